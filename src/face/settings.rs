//! What is asked of the stage, and what comes of that on this machine.

use std::path::PathBuf;

use super::FaceError;
use crate::infer::onnx::Options;
use crate::infer::provider::Provider;
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
    /// Restorer: `auto`, the registry name of an upscaler or a path.
    pub model: String,
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
            interval: 5,
            smallest: 24,
            most: 16,
            coast: 15,
            options: Options::default(),
            beside: None,
        }
    }
}

/// The restorer that `auto` stands for on a GPU.
pub const HEAVY: &str = "realesrgan-x4plus";

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

    /// What comes of the settings where networks run on `provider`.
    ///
    /// A restorer that was named is used or missed, whatever it costs. `auto` takes the heavy upscaler on a
    /// GPU alone: on a processor it would take seconds for each face of each frame, so faces are left to the
    /// upscaler there, and nothing is spent on finding them either.
    ///
    /// # Errors
    /// [`FaceError::Model`] if something that was named is missing.
    pub fn plan(&self, provider: Option<Provider>) -> Result<Plan, FaceError> {
        match self.mode {
            Mode::Off => return Ok(Plan::Nothing(None)),
            Mode::Detect => return Ok(Plan::Detect),
            Mode::Auto => {}
        }
        let beside = self.beside.as_deref();
        let named = !(self.model.is_empty() || self.model == registry::AUTO);
        if named {
            return Ok(Plan::Restore(registry::resolve(&self.model, None, beside)?));
        }
        if !matches!(provider, Some(Provider::Cuda | Provider::TensorRt)) {
            let reason = format!(
                "faces are left to the upscaler: no restorer is fast enough for a processor, face-model={HEAVY} takes seconds a face"
            );
            return Ok(Plan::Nothing(Some(reason)));
        }
        let restorer = registry::resolve(HEAVY, None, beside);
        let detector = self.detector_file();
        match (restorer, detector) {
            (Ok(path), Ok(_)) => Ok(Plan::Restore(path)),
            (Err(err), _) => Ok(Plan::Nothing(Some(format!("faces are left to the upscaler: {err}")))),
            (_, Err(err)) => Ok(Plan::Nothing(Some(format!("faces are left to the upscaler: {err}")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(mode: Mode, model: &str, provider: Option<Provider>) -> Result<Plan, FaceError> {
        Settings { mode, model: model.into(), ..Settings::default() }.plan(provider)
    }

    #[test]
    fn a_restorer_that_was_named_is_used_or_missed_wherever_networks_run() {
        let file = "models/tiny/identity-x1.onnx";
        for provider in [None, Some(Provider::Cpu), Some(Provider::Cuda)] {
            assert_eq!(plan(Mode::Auto, file, provider).unwrap(), Plan::Restore(file.into()));
            let missing = plan(Mode::Auto, "no/such.onnx", provider).unwrap_err().to_string();
            assert!(missing.contains("no/such.onnx does not exist"), "{missing}");
        }
    }

    #[test]
    fn auto_spends_nothing_on_a_processor_and_says_why() {
        for provider in [None, Some(Provider::Cpu), Some(Provider::OpenVino)] {
            for model in ["", "auto"] {
                let Plan::Nothing(Some(reason)) = plan(Mode::Auto, model, provider).unwrap() else {
                    panic!("{provider:?} does something");
                };
                assert!(reason.contains(HEAVY) && reason.contains("face-model"), "{reason}");
            }
        }
    }

    #[test]
    fn off_is_off_and_detecting_needs_no_restorer() {
        for provider in [None, Some(Provider::Cpu), Some(Provider::Cuda)] {
            assert_eq!(plan(Mode::Off, "no/such.onnx", provider).unwrap(), Plan::Nothing(None));
            assert_eq!(plan(Mode::Detect, "auto", provider).unwrap(), Plan::Detect);
        }
    }
}
