//! What is asked of the stage, and what comes of that on this machine.

use std::path::PathBuf;

use super::FaceError;
use crate::infer::onnx::Options;
use crate::model::registry;

/// What to do with faces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Off,
    /// Find and follow them, and tell others.
    Detect,
    /// Restore them, where there is a restorer.
    #[default]
    Auto,
}

/// Where faces come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The detector.
    #[default]
    Detect,
    /// Somebody upstream.
    Meta,
}

/// What does not change while frames pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What to do.
    pub mode: Mode,
    /// Where faces come from.
    pub source: Source,
    /// Detector: `auto`, a registry name or a path.
    pub detector: String,
    /// Restorer: `auto`, a registry name (of an upscaler, too) or a path.
    pub model: String,
    /// Face embedding network that guards who it is; without one, agreement does.
    pub embedding: Option<PathBuf>,
    /// Face parsing network that tells skin from hair; without one, the landmarks alone say where to restore.
    pub parsing: Option<PathBuf>,
    /// Frames from one detection to the next.
    pub interval: u32,
    /// The least height of a face to be restored, brow to chin, in pixels of the input.
    pub smallest: u32,
    /// The most faces to be restored in a frame, the largest ones.
    pub most: u32,
    /// Frames that a face stays after it was missed.
    pub coast: u32,
    /// How to run networks.
    pub options: Options,
    /// The folder of the plugin or program, a place to look for models.
    pub beside: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            source: Source::Detect,
            detector: registry::AUTO.into(),
            model: registry::AUTO.into(),
            embedding: None,
            parsing: None,
            interval: 5,
            smallest: 24,
            most: 16,
            coast: 15,
            options: Options::default(),
            beside: None,
        }
    }
}

/// What is going to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing; with the reason, if `auto` found that nothing can be done.
    Nothing(Option<String>),
    /// Find and follow.
    Detect,
    /// Restore with the network in this file.
    Restore(PathBuf),
}

impl Settings {
    /// The file of the detector.
    ///
    /// # Errors
    /// [`FaceError::Model`]
    pub fn detector_file(&self) -> Result<PathBuf, FaceError> {
        Ok(registry::resolve_detector(&self.detector, self.beside.as_deref())?)
    }

    /// Faces are to be restored if that can be done, and nothing was named to do it.
    pub fn is_automatic(&self) -> bool {
        self.mode == Mode::Auto && is_auto(&self.model) && is_auto(&self.detector)
    }

    /// What comes of the settings on this machine.
    ///
    /// A restorer that was named is used or missed. `auto` takes the default one, and leaves faces to the
    /// upscaler where it or the detector is not installed, so that nothing is spent on finding them either.
    ///
    /// # Errors
    /// [`FaceError::Model`] if something that was named is missing.
    pub fn plan(&self) -> Result<Plan, FaceError> {
        match self.mode {
            Mode::Off => return Ok(Plan::Nothing(None)),
            Mode::Detect => return Ok(Plan::Detect),
            Mode::Auto => {}
        }
        let restorer = registry::resolve_restorer(&self.model, self.beside.as_deref());
        if !is_auto(&self.model) {
            return Ok(Plan::Restore(restorer?));
        }
        let detector = match self.source {
            Source::Detect => self.detector_file().map(|_| ()),
            Source::Meta => Ok(()),
        };
        match detector.and(restorer.map_err(FaceError::from)) {
            Ok(path) => Ok(Plan::Restore(path)),
            // A detector that was named is used or missed, too.
            Err(err) if !self.is_automatic() => Err(err),
            Err(err) => Ok(Plan::Nothing(Some(format!("faces are left to the upscaler: {err}")))),
        }
    }
}

fn is_auto(name: &str) -> bool {
    name.is_empty() || name == registry::AUTO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(mode: Mode, model: &str, detector: &str) -> Result<Plan, FaceError> {
        Settings { mode, model: model.into(), detector: detector.into(), ..Settings::default() }.plan()
    }

    #[test]
    fn what_was_named_is_used_or_missed() {
        let file = "models/tiny/face.onnx";
        assert_eq!(plan(Mode::Auto, file, "auto").unwrap(), Plan::Restore(file.into()));
        let missing = plan(Mode::Auto, "no/such.onnx", "auto").unwrap_err().to_string();
        assert!(missing.contains("no/such.onnx does not exist"), "{missing}");
        let missing = plan(Mode::Auto, "auto", "no/such.onnx").map_err(|err| err.to_string());
        assert!(missing.is_err_and(|missing| missing.contains("no/such.onnx does not exist")));
    }

    #[test]
    fn auto_takes_what_is_installed_or_says_why_faces_are_left_alone() {
        for model in ["", "auto"] {
            match plan(Mode::Auto, model, "auto").unwrap() {
                Plan::Restore(path) => assert!(path.ends_with(format!("{}.onnx", registry::RESTORERS[0]))),
                Plan::Nothing(Some(reason)) => assert!(reason.contains("make models"), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn off_is_off_and_detecting_needs_no_restorer() {
        assert_eq!(plan(Mode::Off, "no/such.onnx", "auto").unwrap(), Plan::Nothing(None));
        assert_eq!(plan(Mode::Detect, "auto", "auto").unwrap(), Plan::Detect);
    }
}
