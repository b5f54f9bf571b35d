//! What the face stage does on real pictures and clips, as tables.
//!
//! `faces found|tracks|jitter|truth|steps|crowd|medium|all [MEDIA] [RESTORER] [FRAMES] [STRENGTH] [FIDELITY]`; MEDIA is the folder of
//! test clips, `../shared/media` by default, RESTORER what `face-model` takes. With Real-ESRGAN x4plus, `truth` takes minutes a clip on a
//! processor.

mod clip;
mod crowd;
mod degrade;
mod found;
mod jitter;
mod medium;
mod quality;

use std::error::Error;
use std::path::PathBuf;

use gstfacesr::face::detect::Detector;
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::runtime;
use gstfacesr::model::registry;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted =
        arguments.first().ok_or("say what: found, tracks, jitter, truth, steps, crowd, medium or all")?;
    match wanted.as_str() {
        "all" => {
            ["found", "tracks", "jitter", "steps", "crowd", "truth", "medium"].iter().try_for_each(|table| {
                println!("{table}");
                print(table, &arguments)
            })
        }
        table => print(table, &arguments),
    }
}

/// Prints one table.
fn print(wanted: &str, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let media = arguments.get(1).map_or_else(|| PathBuf::from("../shared/media"), PathBuf::from);
    let detector_of = |name: &str| -> Result<Detector, Box<dyn Error>> {
        let path = registry::resolve_detector(name, None)?;
        Ok(Detector::load(runtime::load(None, None)?, &path, &Options::default(), found::SMALLEST)?)
    };
    match wanted {
        "found" => {
            for name in registry::DETECTORS {
                println!("{name}");
                let mut detector = detector_of(name)?;
                for still in [
                    "gpen_solvay/Solvay_conference_1927.png",
                    "skimage/astronaut.png",
                    "face_recognition_us_gov/two_people.jpg",
                    "face_recognition_us_gov/obama.jpg",
                    "face_recognition_us_gov/biden.jpg",
                ] {
                    let path = media.join("faces").join(still);
                    let drawn = std::env::temp_dir().join(format!("{name}-{}.png", found::name(&path)));
                    found::still(&mut detector, &path, Some(&drawn))?;
                }
            }
        }
        "tracks" => {
            let mut detector = detector_of("yunet")?;
            for path in found::clips(&media)? {
                found::clip(&mut detector, &path, 5)?;
            }
        }
        "jitter" => jitter::table(&mut detector_of("yunet")?, &media)?,
        "crowd" => crowd::table(&media, arguments.get(2).map_or("auto", String::as_str))?,
        "truth" | "steps" | "medium" => {
            let text = |at: usize, otherwise: &str| arguments.get(at).map_or(otherwise.into(), String::clone);
            let (restorer, frames) = (text(2, "auto"), text(3, "12").parse()?);
            let (strength, fidelity) = (text(4, "1").parse()?, text(5, "0.5").parse()?);
            let controls = gstfacesr::face::Controls { strength, fidelity, reuse: 0.0 };
            match wanted {
                "truth" => quality::truth(&media, &restorer, frames, controls)?,
                "steps" => quality::steps(&media, &restorer, controls)?,
                _ => medium::table(&mut detector_of("yunet")?, &media, frames, controls)?,
            }
        }
        other => {
            return Err(format!(
                "`{other}` is none of found, tracks, jitter, truth, steps, crowd, medium, all"
            )
            .into());
        }
    }
    Ok(())
}
