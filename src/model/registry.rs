//! The networks that have a name, and where their files are looked for.

use std::path::{Path, PathBuf};

use super::ModelError;

/// A network that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name: the file is `NAME.onnx`.
    pub name: &'static str,
    /// Enlargement factor.
    pub scale: usize,
    /// What it is good for, in a few words.
    pub summary: &'static str,
}

/// Every network that has a name. To add one: a row here, its sidecar and its origin in `models/`.
pub const UPSCALERS: &[Entry] = &[
    Entry { name: "span-x2", scale: 2, summary: "faithful and fast; keeps compression as it is" },
    Entry { name: "span-x4", scale: 4, summary: "faithful and fast; keeps compression as it is" },
    Entry {
        name: "facesr-restore-x2",
        scale: 2,
        summary: "ours, for old, noisy and compressed footage: clean and calm, a little soft; a third of span-x2's work",
    },
    Entry {
        name: "facesr-live-x2",
        scale: 2,
        summary: "ours, for live video on a processor: between bicubic and span-x2, a thirtieth of its work",
    },
    Entry {
        name: "facesr-live-x2-int8",
        scale: 2,
        summary: "the same in whole numbers of 8 bits: 0.03 dB less, and faster on processors",
    },
    Entry {
        name: "realesrgan-x4plus",
        scale: 4,
        summary: "removes degradation; about 20 times the work of span-x4, slightly waxen skin",
    },
    Entry { name: "animevideo-x2", scale: 2, summary: "restores drawn footage; painterly on faces" },
    Entry { name: "animevideo-x3", scale: 3, summary: "restores drawn footage; painterly on faces" },
    Entry { name: "animevideo-x4", scale: 4, summary: "restores drawn footage; painterly on faces" },
];

/// Face detectors that have a name, the default first.
pub const DETECTORS: &[&str] = &["yunet", "centerface"];

/// Restorers of aligned faces that have a name, the default first.
pub const RESTORERS: &[&str] = &["facesr-face-256"];

/// The name that stands for a choice by scale and haste.
pub const AUTO: &str = "auto";

/// Every name that a restorer of faces takes: upscalers can be let loose on faces alone.
pub fn restorer_names() -> Vec<&'static str> {
    let upscalers = UPSCALERS.iter().map(|entry| entry.name);
    std::iter::once(AUTO).chain(RESTORERS.iter().copied()).chain(upscalers).collect()
}

/// Every name that `model` takes.
pub fn names() -> Vec<&'static str> {
    std::iter::once(AUTO).chain(UPSCALERS.iter().map(|entry| entry.name)).collect()
}

/// Seconds of one processor core for a pixel that goes into the faithful networks: 0.6 of the 12 to 15 millionths that
/// span-x2 took on cores with AVX2 by ONNX Runtime's convolutions; span-x4 differs from it in its last layer alone.
const FAITHFUL_WORK: f64 = 9e-6;

/// Share of the cores that live video leaves to the network; the others decode, encode and steady.
const LIVE_SHARE: f64 = 0.8;

/// The network for live video on a processor, and the same for other devices.
const LIVE: &str = "facesr-live-x2-int8";
const LIVE_ELSEWHERE: &str = "facesr-live-x2";

/// Video that does not wait, on the processor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// Pixels that come in a second.
    pub pixels: f64,
    /// Cores that the network may use.
    pub cores: usize,
}

impl Live {
    /// The most pixels a second at which the faithful networks keep up with so many cores.
    pub fn most_pixels(cores: usize) -> f64 {
        LIVE_SHARE * cores as f64 / FAITHFUL_WORK
    }

    fn needs_fast(self) -> bool {
        self.pixels > Self::most_pixels(self.cores)
    }
}

/// What `auto` stands for at a factor: the faithful network whose own factor is nearest from
/// above, so that nothing is invented beyond the size asked for. Without a wish it is x2. Video
/// that is too much for it live, on the processor, has the network made for that, whatever the
/// factor.
pub fn automatic(factor: Option<f64>, live: Option<Live>) -> &'static Entry {
    let wanted = match live {
        Some(live) if live.needs_fast() => LIVE,
        _ if factor.unwrap_or(2.0) > 2.0 => "span-x4",
        _ => "span-x2",
    };
    UPSCALERS.iter().find(|entry| entry.name == wanted).expect("the table has all three")
}

/// The network for frames for which `model` takes too long, unless that is one of the lightest.
pub fn light(model: &str, on_processor: bool) -> Option<&'static str> {
    let light = if on_processor { LIVE } else { LIVE_ELSEWHERE };
    (![LIVE, LIVE_ELSEWHERE].contains(&model)).then_some(light)
}

/// The folder of everything that `make` fetches: `$FACESR_CACHE_DIR`, else
/// `$XDG_CACHE_HOME/facesr`, else `~/.cache/facesr`.
pub fn cache_dir() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("FACESR_CACHE_DIR")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("facesr")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/facesr")))
}

/// Where models are looked for, in this order: `$FACESR_MODEL_PATH` (folders with colons),
/// the cache of `make`, `models/` in the folder of the plugin, the system's folders.
pub fn search_path(beside: Option<&Path>) -> Vec<PathBuf> {
    let from_env = std::env::var_os("FACESR_MODEL_PATH").unwrap_or_default();
    let named = std::env::split_paths(&from_env).filter(|dir| !dir.as_os_str().is_empty());
    named
        .chain(cache_dir().map(|dir| dir.join("models")))
        .chain(beside.map(|dir| dir.join("models")))
        .chain(["/usr/local/share/facesr/models", "/usr/share/facesr/models"].map(PathBuf::from))
        .collect()
}

/// The file of a model given by name or path. `factor` is the enlargement wished for, which
/// decides what `auto` is; `beside` the folder of the plugin.
///
/// # Errors
/// [`ModelError`] when nothing is found.
pub fn resolve(model: &str, factor: Option<f64>, beside: Option<&Path>) -> Result<PathBuf, ModelError> {
    let name = if model.is_empty() || model == AUTO { automatic(factor, None).name } else { model };
    match UPSCALERS.iter().any(|entry| entry.name == name) {
        true => installed(name, beside),
        false => file(name, ModelError::Unknown),
    }
}

/// The file of a face detector given by name or path; [`AUTO`] is the first of [`DETECTORS`].
///
/// # Errors
/// [`ModelError`] when nothing is found.
pub fn resolve_detector(model: &str, beside: Option<&Path>) -> Result<PathBuf, ModelError> {
    let name = if model.is_empty() || model == AUTO { DETECTORS[0] } else { model };
    match DETECTORS.contains(&name) {
        true => installed(name, beside),
        false => file(name, ModelError::UnknownDetector),
    }
}

/// The file of a restorer of faces given by name or path; [`AUTO`] is the first of [`RESTORERS`].
///
/// # Errors
/// [`ModelError`] when nothing is found.
pub fn resolve_restorer(model: &str, beside: Option<&Path>) -> Result<PathBuf, ModelError> {
    let name = if model.is_empty() || model == AUTO { RESTORERS[0] } else { model };
    match restorer_names().contains(&name) {
        true => installed(name, beside),
        false => file(name, ModelError::UnknownRestorer),
    }
}

/// A path, which must exist; `unknown` is what to say of a text that looks like none.
fn file(name: &str, unknown: fn(String) -> ModelError) -> Result<PathBuf, ModelError> {
    let path = PathBuf::from(name);
    let is_path = name.contains(std::path::MAIN_SEPARATOR) || path.extension().is_some();
    match path.exists() {
        true => Ok(path),
        false if is_path => Err(ModelError::Missing(path)),
        false => Err(unknown(name.into())),
    }
}

/// The file of a network that has a name.
fn installed(name: &str, beside: Option<&Path>) -> Result<PathBuf, ModelError> {
    let searched = search_path(beside);
    let files = searched.iter().map(|dir| dir.join(format!("{name}.onnx")));
    let found = files.into_iter().find(|file| file.is_file());
    found.ok_or(ModelError::NotInstalled { name: name.into(), searched })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_never_takes_a_network_that_falls_short_of_the_factor() {
        for tenths in 10..=40 {
            let factor = f64::from(tenths) / 10.0;
            let entry = automatic(Some(factor), None);
            assert!(entry.scale as f64 >= factor, "{factor}: {}", entry.name);
            assert!(entry.scale == 2 || factor > 2.0, "{factor}: {}", entry.name);
        }
        assert_eq!(automatic(None, None).name, "span-x2");
        assert_eq!(automatic(Some(8.0), None).name, "span-x4");
    }

    #[test]
    fn auto_takes_the_fast_network_where_the_faithful_ones_cannot_keep_up_and_nowhere_else() {
        for cores in [1, 2, 8, 64] {
            let most = Live::most_pixels(cores);
            for factor in [None, Some(1.5), Some(2.0), Some(4.0)] {
                for share in [0.01, 0.5, 0.99, 1.01, 2.0, 100.0] {
                    let live = Live { pixels: share * most, cores };
                    let name = automatic(factor, Some(live)).name;
                    assert_eq!(name == LIVE, share > 1.0, "{live:?}: {name}");
                    assert!(share > 1.0 || name == automatic(factor, None).name, "{live:?}: {name}");
                }
            }
        }
        // 640x360 at 25 frames a second takes 65 cores.
        let enough = |cores| Live::most_pixels(cores) > 640.0 * 360.0 * 25.0;
        assert!(!enough(64) && enough(66));
    }

    #[test]
    fn names_are_unique_and_tell_their_scale() {
        for (at, entry) in UPSCALERS.iter().enumerate() {
            assert!(UPSCALERS[..at].iter().all(|other| other.name != entry.name));
            assert!(entry.name.contains(&format!("x{}", entry.scale)), "{}", entry.name);
        }
    }

    #[test]
    fn detectors_are_asked_for_as_networks_are() {
        let unknown = resolve_detector("retina", None).unwrap_err().to_string();
        assert!(DETECTORS.iter().all(|name| unknown.contains(name)), "{unknown}");
        let missing = resolve_detector("no/such.onnx", None).unwrap_err().to_string();
        assert!(missing.contains("no/such.onnx does not exist"), "{missing}");
        let file = Path::new("models/tiny/identity-x1.onnx");
        assert_eq!(resolve_detector(file.to_str().unwrap(), None).unwrap(), file);
    }

    #[test]
    fn restorers_are_asked_for_as_networks_are() {
        let unknown = resolve_restorer("remini", None).unwrap_err().to_string();
        assert!(restorer_names().iter().all(|name| unknown.contains(name)), "{unknown}");
        let missing = resolve_restorer("no/such.onnx", None).unwrap_err().to_string();
        assert!(missing.contains("no/such.onnx does not exist"), "{missing}");
        let file = Path::new("models/tiny/face.onnx");
        assert_eq!(resolve_restorer(file.to_str().unwrap(), None).unwrap(), file);
    }

    #[test]
    fn what_is_not_there_is_named_with_a_way_out() {
        let unknown = resolve("span-x7", None, None).unwrap_err().to_string();
        assert!(unknown.contains("span-x7") && unknown.contains("span-x2"), "{unknown}");
        let missing = resolve("no/such.onnx", None, None).unwrap_err().to_string();
        assert!(missing.contains("no/such.onnx does not exist"), "{missing}");
        let directory = resolve("src", None, None).unwrap();
        let directory = crate::model::onnx_file::OnnxFile::read(&directory).unwrap_err().to_string();
        assert!(directory.contains("is a directory"), "{directory}");
    }
}
