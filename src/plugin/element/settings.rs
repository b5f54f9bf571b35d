//! What users set on the element.

use std::path::{Path, PathBuf};

use gstreamer::glib;

use crate::enhance;
use crate::face;
use crate::infer::onnx::{Options, Trials};
use crate::infer::precision;
use crate::infer::provider::{Choice, Provider};
use crate::model::registry;
use crate::temporal;

/// Who runs the networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFaceSrExecutionProvider")]
pub enum ExecutionProvider {
    /// The best that works.
    #[default]
    #[enum_value(
        name = "The best that is present and computes as precision says: cuda, cpu, openvino, in this order",
        nick = "auto"
    )]
    Auto,
    /// ONNX Runtime's own kernels.
    #[enum_value(name = "The processor, by ONNX Runtime itself", nick = "cpu")]
    Cpu,
    /// NVIDIA CUDA.
    #[enum_value(name = "NVIDIA GPU by CUDA", nick = "cuda")]
    Cuda,
    /// NVIDIA TensorRT.
    #[enum_value(name = "NVIDIA GPU by TensorRT, builds an engine at the first start", nick = "tensorrt")]
    Tensorrt,
    /// Intel OpenVINO.
    #[enum_value(name = "The processor, by OpenVINO", nick = "openvino")]
    Openvino,
}

/// How exactly networks compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFaceSrPrecision")]
pub enum Precision {
    /// As exactly as 32-bit floats.
    #[default]
    #[enum_value(name = "As fp32 on every provider", nick = "auto")]
    Auto,
    /// 32-bit floats.
    #[enum_value(
        name = "32-bit floats, on cpu, cuda and openvino; on tensorrt with NVIDIA_TF32_OVERRIDE=0",
        nick = "fp32"
    )]
    Fp32,
    /// 16-bit floats.
    #[enum_value(
        name = "16-bit floats in upscalers, on cuda and tensorrt; on cpu as a trial, slower than fp32",
        nick = "fp16"
    )]
    Fp16,
    /// 16-bit products.
    #[enum_value(name = "Products of 16 bits, on openvino and processors that have them", nick = "bf16")]
    Bf16,
}

impl From<Precision> for precision::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Auto => Self::Auto,
            Precision::Fp32 => Self::Fp32,
            Precision::Fp16 => Self::Fp16,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// How frames are steadied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFaceSrTemporalMode")]
pub enum TemporalMode {
    /// Every frame on its own.
    #[enum_value(name = "Every frame on its own", nick = "off")]
    Off,
    /// Motion at a quarter of the size.
    #[enum_value(name = "Motion at a quarter of the input's size", nick = "fast")]
    Fast,
    /// Motion at half the size.
    #[default]
    #[enum_value(name = "Motion at half of the input's size", nick = "balanced")]
    Balanced,
    /// Motion at full size, detail guarded.
    #[enum_value(
        name = "Motion at the input's size where there is little noise, fine detail guarded",
        nick = "quality"
    )]
    Quality,
}

/// What is done with faces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFaceSrFaceMode")]
pub enum FaceMode {
    /// Nothing.
    #[enum_value(name = "Nothing", nick = "off")]
    Off,
    /// Found and followed, and attached to frames.
    #[enum_value(
        name = "Find and follow them, and attach them to frames as regions of interest",
        nick = "detect"
    )]
    Detect,
    /// And restored, where there is a restorer.
    #[default]
    #[enum_value(
        name = "Find, follow, attach and restore them with face-model, where that is installed",
        nick = "auto"
    )]
    Auto,
}

impl From<FaceMode> for face::Mode {
    fn from(mode: FaceMode) -> Self {
        match mode {
            FaceMode::Off => Self::Off,
            FaceMode::Detect => Self::Detect,
            FaceMode::Auto => Self::Auto,
        }
    }
}

/// Where faces come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFaceSrFaceSource")]
pub enum FaceSource {
    /// The detector.
    #[default]
    #[enum_value(name = "The detector", nick = "detect")]
    Detect,
    /// Somebody upstream.
    #[enum_value(name = "Regions of interest of type face, which somebody upstream attached", nick = "meta")]
    Meta,
}

impl From<FaceSource> for face::Source {
    fn from(source: FaceSource) -> Self {
        match source {
            FaceSource::Detect => Self::Detect,
            FaceSource::Meta => Self::Meta,
        }
    }
}

impl From<TemporalMode> for temporal::Mode {
    fn from(mode: TemporalMode) -> Self {
        match mode {
            TemporalMode::Off => Self::Off,
            TemporalMode::Fast => Self::Fast,
            TemporalMode::Balanced => Self::Balanced,
            TemporalMode::Quality => Self::Quality,
        }
    }
}

impl From<ExecutionProvider> for Choice {
    fn from(provider: ExecutionProvider) -> Self {
        match provider {
            ExecutionProvider::Auto => Self::Auto,
            ExecutionProvider::Cpu => Self::Only(Provider::Cpu),
            ExecutionProvider::Cuda => Self::Only(Provider::Cuda),
            ExecutionProvider::Tensorrt => Self::Only(Provider::TensorRt),
            ExecutionProvider::Openvino => Self::Only(Provider::OpenVino),
        }
    }
}

/// Default of `scene-cut-threshold`, the detector's own.
pub const SCENE_CUT_THRESHOLD: f64 = 0.7;

/// Default of `max-lateness`, ns: what people who talk to each other hardly notice.
pub const MAX_LATENESS: u64 = 100_000_000;

/// Values of the properties. Texts are held as paths are, which may be any bytes: that they are none in UTF-8 is told at the
/// start, see [`Settings::not_text`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub model: PathBuf,
    pub scale: f64,
    pub execution_provider: ExecutionProvider,
    pub device: i32,
    pub precision: Precision,
    pub runtime: Option<PathBuf>,
    pub model_cache_dir: Option<PathBuf>,
    pub threads: u32,
    pub tile_size: u32,
    pub tile_overlap: u32,
    pub memory_limit: u32,
    pub temporal_mode: TemporalMode,
    pub temporal_strength: f64,
    pub temporal_max_history: u32,
    pub temporal_tolerance: f64,
    pub scene_cut_threshold: f64,
    pub input_denoise: f64,
    pub reuse: f64,
    pub reuse_max_age: u32,
    pub reuse_tile: u32,
    pub reuse_budget: f64,
    pub face_mode: FaceMode,
    pub face_model: PathBuf,
    pub face_detector: PathBuf,
    pub face_embedding: Option<PathBuf>,
    pub face_parsing: Option<PathBuf>,
    pub face_source: FaceSource,
    pub face_strength: f64,
    pub face_fidelity: f64,
    pub face_detect_interval: u32,
    pub face_min_size: u32,
    pub face_max: u32,
    pub max_lateness: u64,
    pub model_instance_id: Option<PathBuf>,
    pub stats_interval: u32,
    /// Frames that the output lags behind the input.
    pub frames_in_flight: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: registry::AUTO.into(),
            scale: 0.0,
            execution_provider: ExecutionProvider::Auto,
            device: 0,
            precision: Precision::default(),
            runtime: None,
            model_cache_dir: None,
            threads: 0,
            tile_size: 0,
            tile_overlap: 0,
            memory_limit: 0,
            temporal_mode: TemporalMode::default(),
            temporal_strength: 1.0,
            temporal_max_history: 8,
            temporal_tolerance: 3.0,
            scene_cut_threshold: SCENE_CUT_THRESHOLD,
            input_denoise: 0.0,
            reuse: 0.0,
            reuse_max_age: 64,
            reuse_tile: 32,
            reuse_budget: 1.0,
            face_mode: FaceMode::default(),
            face_model: registry::AUTO.into(),
            face_detector: registry::AUTO.into(),
            face_embedding: None,
            face_parsing: None,
            face_source: FaceSource::default(),
            face_strength: 1.0,
            face_fidelity: 0.5,
            face_detect_interval: 5,
            face_min_size: 24,
            face_max: 16,
            max_lateness: MAX_LATENESS,
            model_instance_id: None,
            stats_interval: 0,
            frames_in_flight: 0,
        }
    }
}

/// A path that is set: an empty one is none.
fn given(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|path| !path.as_os_str().is_empty())
}

/// A text; nothing of it is lost after [`Settings::not_text`].
fn text(set: &Path) -> String {
    set.to_string_lossy().into_owned()
}

impl Settings {
    /// What is to be a name, or a path that is looked for by its name, and is no text, in words.
    pub fn not_text(&self) -> Option<String> {
        let instance = self.model_instance_id.as_deref().unwrap_or(Path::new(""));
        let texts = [
            ("model", self.model.as_path()),
            ("face-model", &self.face_model),
            ("face-detector", &self.face_detector),
            ("model-instance-id", instance),
        ];
        let (name, set) = texts.into_iter().find(|(_, set)| set.to_str().is_none())?;
        Some(format!(
            "`{name}` is not UTF-8 ({}): give what it names another name, or a link that has one",
            set.display()
        ))
    }

    /// The enlargement asked for, `None` to leave it to the model or to what is downstream.
    pub fn factor(&self) -> Option<f64> {
        (self.scale > 0.0).then_some(self.scale)
    }

    /// The model is to be chosen by the enlargement.
    pub fn chooses_model(&self) -> bool {
        self.model.as_os_str().is_empty() || self.model.as_os_str() == registry::AUTO
    }

    /// Whether a network that is loaded is the one to use, where `automatic` would be chosen.
    pub fn model_is(&self, loaded: &str, automatic: &str) -> bool {
        !self.chooses_model() || loaded == automatic
    }

    /// No network is to run: none is named, and the size stays.
    pub fn needs_no_network(&self) -> bool {
        self.scale == 1.0 && self.chooses_model()
    }

    /// Nothing is to be done.
    pub fn is_off(&self) -> bool {
        self.needs_no_network() && self.temporal_mode == TemporalMode::Off && !self.wants_faces()
    }

    /// Something may be done with faces.
    pub fn wants_faces(&self) -> bool {
        self.face_mode != FaceMode::Off
    }

    /// What may change from frame to frame.
    pub fn controls(&self) -> enhance::Controls {
        enhance::Controls {
            effort: enhance::Effort::Full,
            temporal: temporal::Controls {
                strength: self.temporal_strength as f32,
                max_history: self.temporal_max_history,
                tolerance: self.temporal_tolerance as f32,
                cut_threshold: self.scene_cut_threshold as f32,
                reuse: temporal::reuse::Controls {
                    amount: self.reuse as f32,
                    max_age: self.reuse_max_age,
                    tile: self.reuse_tile,
                    budget: self.reuse_budget as f32,
                    ..temporal::reuse::Controls::default()
                },
            },
            input_denoise: self.input_denoise as f32,
            faces: face::Controls {
                strength: self.face_strength as f32,
                fidelity: self.face_fidelity as f32,
                reuse: self.reuse as f32,
            },
        }
    }

    /// The settings of the enhancer.
    pub fn enhance(&self, beside: Option<PathBuf>) -> enhance::Settings {
        enhance::Settings {
            model: (!self.needs_no_network()).then(|| text(&self.model)),
            factor: self.factor(),
            options: Options {
                choice: self.execution_provider.into(),
                device: self.device,
                precision: self.precision.into(),
                cache_dir: given(&self.model_cache_dir),
                threads: self.threads as usize,
                instance: given(&self.model_instance_id).as_deref().map(text),
                trials: Trials::default(),
            },
            runtime: given(&self.runtime),
            beside,
            tile_size: self.tile_size as usize,
            tile_overlap: self.tile_overlap as usize,
            memory_limit: Some(self.memory_limit as usize * 1024 * 1024).filter(|&bytes| bytes > 0),
            temporal: self.temporal_mode.into(),
            residency: enhance::Residency::Auto,
            faces: face::Settings {
                mode: self.face_mode.into(),
                source: self.face_source.into(),
                detector: text(&self.face_detector),
                model: text(&self.face_model),
                embedding: given(&self.face_embedding),
                parsing: given(&self.face_parsing),
                interval: self.face_detect_interval,
                smallest: self.face_min_size,
                most: self.face_max,
                ..face::Settings::default()
            },
        }
    }
}
