//! The element's presets. GStreamer finds their file where it is installed; the program has it inside.

use ini::Ini;

use crate::failure::Failure;

const FILE: &str = include_str!("../../../presets/GstFaceSr.prs");

/// Groups and keys of GStreamer's own begin like this.
const NOT_OURS: char = '_';

/// Properties and values of a preset.
///
/// # Errors
/// [`Failure::Usage`] with the names that there are, if it is none of them.
pub fn settings(name: &str) -> Result<Vec<(String, String)>, Failure> {
    let file = Ini::load_from_str(FILE).expect("the tests read the same file");
    let names = file.sections().flatten().filter(|name| !name.starts_with(NOT_OURS));
    let names: Vec<&str> = names.collect();
    let Some(preset) = file.section(Some(name)).filter(|_| names.contains(&name)) else {
        return Err(Failure::Usage(format!("--preset {name}: must be one of {}", names.join(", "))));
    };
    let ours = preset.iter().filter(|(property, _)| !property.starts_with(NOT_OURS));
    Ok(ours.map(|(property, value)| (property.into(), value.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_named_in_the_help_has_settings_and_another_is_refused_with_all_names() {
        let names = ["live-low-latency", "webcam", "film-archive", "vhs", "animation", "heavy-network"];
        for name in names {
            let settings = settings(name).unwrap();
            assert!(!settings.is_empty() && settings.iter().all(|(property, _)| !property.starts_with('_')));
        }
        for wrong in ["", "VHS", "_presets_", "film"] {
            let Err(Failure::Usage(text)) = settings(wrong) else { panic!("{wrong} is taken") };
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
        }
    }
}
