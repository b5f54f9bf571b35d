//! The element's properties as options of the command line.

use clap::Args;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use crate::failure::Failure;
use crate::presets;

/// One field and one row in [`ElementOptions::rows`] per property. What is not
/// given is not set, so the defaults live in the element alone.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Enhancement")]
pub struct ElementOptions {
    /// Settings for a kind of footage: film-archive, vhs, animation, webcam, live-low-latency or heavy-network; other options
    /// go before
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Network that upscales: a name from `facesr models` or the path of an ONNX file [default: auto]
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// How many times larger: 1 to 8, also 1.5; 0 takes the network's own factor [default: 0]
    #[arg(long, value_name = "FACTOR")]
    pub scale: Option<f64>,
    /// What runs the network: auto, cpu, cuda, tensorrt or openvino [default: auto]
    #[arg(long, value_name = "NAME", visible_alias = "provider")]
    pub execution_provider: Option<String>,
    /// Number of the GPU, where there are several [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub device: Option<i32>,
    /// How exactly networks compute: auto, fp32, fp16 (cuda, tensorrt) or bf16 (openvino) [default: auto, which is fp32]
    #[arg(long, value_name = "NAME")]
    pub precision: Option<String>,
    /// Path of the ONNX Runtime library [default: searched for]
    #[arg(long, value_name = "FILE")]
    pub runtime: Option<String>,
    /// Where TensorRT keeps the engines that it builds [default: built at every start]
    #[arg(long, value_name = "DIRECTORY")]
    pub model_cache_dir: Option<String>,
    /// Threads of the processor that networks use, and the stages around them: each at most so many; 0 is one per core [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub threads: Option<u32>,
    /// Side of the square tiles a frame is cut into, in pixels; 0 as --memory-limit allows [default: 0]
    #[arg(long, value_name = "PIXELS")]
    pub tile_size: Option<u32>,
    /// Context on every side of a tile, in pixels; 0 what the network needs [default: 0]
    #[arg(long, value_name = "PIXELS")]
    pub tile_overlap: Option<u32>,
    /// Working memory of the network in MiB, about; larger frames are cut into tiles; 0 is 2048 on the processor, half of a GPU's memory [default: 0]
    #[arg(long, value_name = "MIB")]
    pub memory_limit: Option<u32>,
    /// Steadying from frame to frame: off, fast, balanced or quality [default: balanced]
    #[arg(long, value_name = "NAME")]
    pub temporal_mode: Option<String>,
    /// Share of what the past may contribute, 0 to 1 [default: 1]
    #[arg(long, value_name = "SHARE")]
    pub temporal_strength: Option<f64>,
    /// Frames that the past may count for where nothing moves; more are calmer [default: 8]
    #[arg(long, value_name = "FRAMES")]
    pub temporal_max_history: Option<u32>,
    /// Levels of 255 by which past and present may differ, besides noise [default: 3]
    #[arg(long, value_name = "LEVELS")]
    pub temporal_tolerance: Option<f64>,
    /// How different a frame must be to begin a new scene, 0 to 2, which is never [default: 0.7]
    #[arg(long, value_name = "DIFFERENCE")]
    pub scene_cut_threshold: Option<f64>,
    /// How far the network's input leans on the past, which has less noise: 0 to 1 [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub input_denoise: Option<f64>,
    /// How far outputs are used again where only motion came over them, 0 to 1: fewer inferences, faster [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub reuse: Option<f64>,
    /// Frames after which a part of the picture is inferred anew in any case [default: 64]
    #[arg(long, value_name = "FRAMES")]
    pub reuse_max_age: Option<u32>,
    /// Side of the squares that are inferred or not, in pixels of IN [default: 32]
    #[arg(long, value_name = "PIXELS")]
    pub reuse_tile: Option<u32>,
    /// Largest share of the picture that is inferred for a frame, 0.01 to 1 [default: 1]
    #[arg(long, value_name = "SHARE")]
    pub reuse_budget: Option<f64>,
    /// Frames that the output may lag behind the input, so that the next is looked at while the network is still at this
    /// one: 0 to 8 [default: 1]
    #[arg(long, value_name = "FRAMES")]
    pub frames_in_flight: Option<u32>,
    /// What is done with faces: off, detect or auto, which restores them [default: auto]
    #[arg(long, value_name = "NAME")]
    pub face_mode: Option<String>,
    /// Restorer of faces: facesr-face-256, an upscaler by name, such as realesrgan-x4plus, or the path of an ONNX file
    /// [default: auto]
    #[arg(long, value_name = "NAME|FILE")]
    pub face_model: Option<String>,
    /// Network that finds faces: yunet, centerface or the path of an ONNX file [default: auto]
    #[arg(long, value_name = "NAME|FILE")]
    pub face_detector: Option<String>,
    /// ONNX network that tells people apart (ArcFace and those like it): restored faces are held to who they were by
    /// it [default: by how far their shapes agree]
    #[arg(long, value_name = "FILE")]
    pub face_embedding: Option<String>,
    /// ONNX network that tells skin from hair (BiSeNet or ParseNet): faces are restored only where it sees a face
    /// [default: in an ellipse]
    #[arg(long, value_name = "FILE")]
    pub face_parsing: Option<String>,
    /// Share of the restored face in the picture, 0 to 1 [default: 1]
    #[arg(long, value_name = "SHARE")]
    pub face_strength: Option<f64>,
    /// Resemblance of faces (1) against invention (0) [default: 0.5]
    #[arg(long, value_name = "SHARE")]
    pub face_fidelity: Option<f64>,
    /// Frames from one search for faces to the next [default: 5]
    #[arg(long, value_name = "FRAMES")]
    pub face_detect_interval: Option<u32>,
    /// Height of the smallest face that is restored, in pixels of the input [default: 24]
    #[arg(long, value_name = "PIXELS")]
    pub face_min_size: Option<u32>,
    /// Faces restored in a frame at most, the largest ones [default: 16]
    #[arg(long, value_name = "NUMBER")]
    pub face_max: Option<u32>,
}

impl ElementOptions {
    fn rows(&self) -> [(&'static str, Option<String>); 32] {
        [
            ("model", text(&self.model)),
            ("scale", text(&self.scale)),
            ("execution-provider", text(&self.execution_provider)),
            ("device", text(&self.device)),
            ("precision", text(&self.precision)),
            ("runtime", text(&self.runtime)),
            ("model-cache-dir", text(&self.model_cache_dir)),
            ("threads", text(&self.threads)),
            ("tile-size", text(&self.tile_size)),
            ("tile-overlap", text(&self.tile_overlap)),
            ("memory-limit", text(&self.memory_limit)),
            ("temporal-mode", text(&self.temporal_mode)),
            ("temporal-strength", text(&self.temporal_strength)),
            ("temporal-max-history", text(&self.temporal_max_history)),
            ("temporal-tolerance", text(&self.temporal_tolerance)),
            ("scene-cut-threshold", text(&self.scene_cut_threshold)),
            ("input-denoise", text(&self.input_denoise)),
            ("reuse", text(&self.reuse)),
            ("reuse-max-age", text(&self.reuse_max_age)),
            ("reuse-tile", text(&self.reuse_tile)),
            ("reuse-budget", text(&self.reuse_budget)),
            ("frames-in-flight", text(&self.frames_in_flight)),
            ("face-mode", text(&self.face_mode)),
            ("face-model", text(&self.face_model)),
            ("face-detector", text(&self.face_detector)),
            ("face-embedding", text(&self.face_embedding)),
            ("face-parsing", text(&self.face_parsing)),
            ("face-strength", text(&self.face_strength)),
            ("face-fidelity", text(&self.face_fidelity)),
            ("face-detect-interval", text(&self.face_detect_interval)),
            ("face-min-size", text(&self.face_min_size)),
            ("face-max", text(&self.face_max)),
        ]
    }

    /// Sets on `element` what was given, the preset first.
    pub fn apply(&self, element: &gst::Element) -> Result<(), Failure> {
        if let Some(name) = &self.preset {
            for (property, value) in presets::settings(name)? {
                set(element, &property, &value)?;
            }
        }
        // A gap in the property's range, of which the element knows only when there is a picture.
        if let Some(scale) = self.scale.filter(|scale| 0.0 < *scale && *scale < 1.0) {
            return Err(Failure::Usage(format!(
                "--scale {scale}: would make the picture smaller; must be 0 or a number from 1 to 8"
            )));
        }
        for (name, value) in self.rows() {
            if let Some(value) = value {
                set(element, name, &value)?;
            }
        }
        Ok(())
    }
}

fn text<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(T::to_string)
}

/// Sets a property from text, the way gst-launch-1.0 does, but answers
/// instead of panicking when the value does not fit.
fn set(element: &gst::Element, name: &str, text: &str) -> Result<(), Failure> {
    let pspec = element
        .find_property(name)
        .ok_or_else(|| Failure::Usage(format!("--{name}: this build of the element has no such property")))?;
    let wrong = || Failure::Usage(format!("--{name} {text}: {}", accepted(&pspec)));
    let value = glib::Value::deserialize_with_pspec(text, &pspec).map_err(|_| wrong())?;
    if let Some((least, most)) = range(&pspec) {
        let number = value.transform::<f64>().ok().and_then(|value| value.get::<f64>().ok());
        if !number.is_some_and(|number| (least..=most).contains(&number)) {
            return Err(wrong());
        }
    }
    element.set_property_from_value(name, &value);
    Ok(())
}

/// The least and the greatest value of a property that is a number.
fn range(pspec: &glib::ParamSpec) -> Option<(f64, f64)> {
    macro_rules! number {
        ($($kind:ty),*) => { $(if let Some(range) = pspec.downcast_ref::<$kind>() {
            return Some((range.minimum() as f64, range.maximum() as f64));
        })* };
    }
    number!(
        glib::ParamSpecDouble,
        glib::ParamSpecFloat,
        glib::ParamSpecInt,
        glib::ParamSpecUInt,
        glib::ParamSpecUInt64
    );
    None
}

/// What a property takes, in words.
fn accepted(pspec: &glib::ParamSpec) -> String {
    if let Some(choice) = pspec.downcast_ref::<glib::ParamSpecEnum>() {
        let nicks: Vec<_> =
            choice.enum_class().values().iter().map(|value| value.nick().to_owned()).collect();
        return format!("must be one of {}", nicks.join(", "));
    }
    match range(pspec) {
        Some((least, most)) => format!("must be a number from {least} to {most}"),
        None => format!("does not fit ({})", pspec.blurb().unwrap_or(pspec.name())),
    }
}
