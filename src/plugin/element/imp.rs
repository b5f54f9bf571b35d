//! The element's properties, what it keeps, and its states.

mod flying;
mod frames;
mod opening;
mod pacing;
mod transform;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use gst_video::VideoInfo;
use gst_video::subclass::prelude::*;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer_video as gst_video;

use gst::prelude::*;
use once_cell::sync::Lazy;

use super::caps;
use super::flight::Flight;
use super::ladder::Ladder;
use super::lane::State;
use super::settings::{
    ExecutionProvider, FaceMode, FaceSource, MAX_LATENESS, Precision, SCENE_CUT_THRESHOLD, Settings,
    TemporalMode,
};
use crate::infer::Cancel;
use crate::model::registry;
use crate::plugin::messages::{Failure, Stats};
use flying::{Arrived, MOST_IN_FLIGHT};

/// See [`super::FaceSr`].
#[derive(Default, glib::Properties)]
#[properties(wrapper_type = super::FaceSr)]
pub struct FaceSr {
    #[property(name = "model", type = PathBuf, member = model, get, set,
        nick = "Model",
        blurb = "Upscaling network: a name (auto, span-x2, span-x4, facesr-restore-x2, realesrgan-x4plus, animevideo-x2, animevideo-x3, animevideo-x4, facesr-live-x2, facesr-live-x2-int8) or the path of an ONNX file; auto chooses by the enlargement, and facesr-live-x2-int8 where live video is too much for the processor",
        builder().default_value(Some(registry::AUTO)).mutable_ready())]
    #[property(name = "scale", type = f64, member = scale, get, set,
        nick = "Scale", blurb = "Enlargement factor, in part by a second pass or a resize where the network's own differs; 0: the size that downstream asks for, else the network's factor; 1 without a model: pass through",
        builder().minimum(0.0).maximum(8.0).default_value(0.0).mutable_ready())]
    #[property(name = "execution-provider", type = ExecutionProvider, member = execution_provider, get, set,
        nick = "Execution provider", blurb = "Who runs the networks; only auto falls back, and active-provider tells to what",
        builder(ExecutionProvider::Auto).mutable_ready())]
    #[property(name = "device", type = i32, member = device, get, set,
        nick = "Device", blurb = "Number of the device, for providers that have several",
        builder().minimum(0).maximum(255).default_value(0).mutable_ready())]
    #[property(name = "precision", type = Precision, member = precision, get, set,
        nick = "Precision", blurb = "How exactly networks compute: nothing less than fp32 unless it is asked for, and what a provider cannot do is refused",
        builder(Precision::default()).mutable_ready())]
    #[property(name = "runtime", type = Option<PathBuf>, member = runtime, get, set,
        nick = "Runtime", blurb = "Path of libonnxruntime.so; unset: FACESR_ONNXRUNTIME, ORT_DYLIB_PATH, the cache of make, beside the plugin, the system",
        builder().mutable_ready())]
    #[property(name = "model-cache-dir", type = Option<PathBuf>, member = model_cache_dir, get, set,
        nick = "Model cache folder", blurb = "Where TensorRT keeps the engines that it builds; unset: they are built at every start",
        builder().mutable_ready())]
    #[property(name = "threads", type = u32, member = threads, get, set,
        nick = "Threads", blurb = "Threads of the processor that networks use, and the stages around them: each at most so many, and with 1 one after the other; 0: one per core",
        builder().minimum(0).maximum(1024).default_value(0).mutable_ready())]
    #[property(name = "tile-size", type = u32, member = tile_size, get, set,
        nick = "Tile size", blurb = "Side of a square tile in input pixels, context included; 0: as memory-limit allows",
        builder().minimum(0).maximum(16384).default_value(0).mutable_ready())]
    #[property(name = "tile-overlap", type = u32, member = tile_overlap, get, set,
        nick = "Tile overlap", blurb = "Context on every side of a tile in input pixels; 0: what the model needs",
        builder().minimum(0).maximum(1024).default_value(0).mutable_ready())]
    #[property(name = "memory-limit", type = u32, member = memory_limit, get, set,
        nick = "Memory limit", blurb = "Working memory of the network in MiB, about; larger frames are cut into tiles; 0: 2048 on the processor, half of a GPU's memory",
        builder().minimum(0).maximum(1048576).default_value(0).mutable_ready())]
    #[property(name = "temporal-mode", type = TemporalMode, member = temporal_mode, get, set,
        nick = "Temporal mode", blurb = "Whether frames are steadied by what was seen before, along the motion, and how exactly the motion is found; with scale=1 and no model nothing else is done",
        builder(TemporalMode::default()).mutable_ready())]
    #[property(name = "temporal-strength", type = f64, member = temporal_strength, get, set,
        nick = "Temporal strength", blurb = "Share of what the past may contribute where it can be trusted; 0: every frame on its own, bit for bit",
        builder().minimum(0.0).maximum(1.0).default_value(1.0).mutable_playing().controllable())]
    #[property(name = "temporal-max-history", type = u32, member = temporal_max_history, get, set,
        nick = "Temporal history", blurb = "Frames that the past may count for where nothing moves, twice as many in strong noise: more are calmer, and show changes of the past for longer",
        builder().minimum(1).maximum(64).default_value(8).mutable_playing().controllable())]
    #[property(name = "temporal-tolerance", type = f64, member = temporal_tolerance, get, set,
        nick = "Temporal tolerance", blurb = "Levels of 255 by which past and present may differ, besides noise, before the past is distrusted: more is calmer, less shows faint changes at once",
        builder().minimum(0.0).maximum(64.0).default_value(3.0).mutable_playing().controllable())]
    #[property(name = "scene-cut-threshold", type = f64, member = scene_cut_threshold, get, set,
        nick = "Scene cut threshold", blurb = "How different a frame must be to begin a new scene, which takes nothing from the past: 0 is alike, 1 has nothing in common, 2 is never reached",
        builder().minimum(0.0).maximum(2.0).default_value(SCENE_CUT_THRESHOLD).mutable_playing().controllable())]
    #[property(name = "input-denoise", type = f64, member = input_denoise, get, set,
        nick = "Input denoise", blurb = "How far the network's input leans on what was seen before, which has less noise: 0 is the input as it is, 1 is for film grain, with a temporal-max-history of 3 or 4",
        builder().minimum(0.0).maximum(1.0).default_value(0.0).mutable_playing().controllable())]
    #[property(name = "reuse", type = f64, member = reuse, get, set,
        nick = "Reuse", blurb = "How far outputs are used again where nothing but motion came over them, which saves inferences and so time: 0 infers every frame, 1 as little as the eye allows; 0.5 for hand-held footage, 0.25 in noise. Needs temporal-mode and an enlargement by the network's own factor",
        builder().minimum(0.0).maximum(1.0).default_value(0.0).mutable_playing().controllable())]
    #[property(name = "reuse-max-age", type = u32, member = reuse_max_age, get, set,
        nick = "Oldest reuse", blurb = "Frames after which a part of the picture is inferred anew in any case; with reuse",
        builder().minimum(1).maximum(1000).default_value(64).mutable_playing())]
    #[property(name = "reuse-tile", type = u32, member = reuse_tile, get, set,
        nick = "Reuse tile", blurb = "Side in input pixels of the squares that the picture is inferred by, with reuse: small ones follow what changes more closely and cost more besides",
        builder().minimum(8).maximum(512).default_value(32).mutable_playing())]
    #[property(name = "reuse-budget", type = f64, member = reuse_budget, get, set,
        nick = "Reuse budget", blurb = "Largest share of the picture that is inferred for a frame with reuse, where most is due first, besides what is too old: it bounds the time of all frames but the first of a scene",
        builder().minimum(0.01).maximum(1.0).default_value(1.0).mutable_playing().controllable())]
    #[property(name = "face-mode", type = FaceMode, member = face_mode, get, set,
        nick = "Face mode", blurb = "What is done with faces; `stats` tells what restores them, or why nothing does",
        builder(FaceMode::default()).mutable_ready())]
    #[property(name = "face-model", type = PathBuf, member = face_model, get, set,
        nick = "Face model", blurb = "Restorer: facesr-face-256 (auto), the path of an ONNX file for aligned faces (GFPGAN, GPEN, RestoreFormer or CodeFormer, which have licences of their own) or an upscaler by name or path, run on faces alone: realesrgan-x4plus takes seconds a face on a processor",
        builder().default_value(Some(registry::AUTO)).mutable_ready())]
    #[property(name = "face-detector", type = PathBuf, member = face_detector, get, set,
        nick = "Face detector", blurb = "Network that finds faces: a name (auto, yunet, centerface) or the path of an ONNX file of either kind",
        builder().default_value(Some(registry::AUTO)).mutable_ready())]
    #[property(name = "face-embedding", type = Option<PathBuf>, member = face_embedding, get, set,
        nick = "Face embedding", blurb = "Path of an ONNX face embedding network (ArcFace and those like it, 112x112): where a restored face is no longer of the same person by it, less of it is blended in; unset: where its shapes no longer agree with the input's",
        builder().mutable_ready())]
    #[property(name = "face-parsing", type = Option<PathBuf>, member = face_parsing, get, set,
        nick = "Face parsing", blurb = "Path of an ONNX face parsing network (BiSeNet or ParseNet, 512x512): faces are restored only where it sees skin, eyes, nose or mouth, not hair, hats or hands before them; unset: in an ellipse around the landmarks",
        builder().mutable_ready())]
    #[property(name = "face-source", type = FaceSource, member = face_source, get, set,
        nick = "Face source", blurb = "Who finds faces: the detector or somebody upstream",
        builder(FaceSource::default()).mutable_ready())]
    #[property(name = "face-strength", type = f64, member = face_strength, get, set,
        nick = "Face strength", blurb = "Share of the restored face in the picture: 0 leaves faces as they are; small faces get less of it in any case",
        builder().minimum(0.0).maximum(1.0).default_value(1.0).mutable_playing().controllable())]
    #[property(name = "face-fidelity", type = f64, member = face_fidelity, get, set,
        nick = "Face fidelity", blurb = "Resemblance against invention. The default restorer: 1 adds no detail, 0.5 all it learnt, less overdoes it on small faces that are enlarged. Others: 1 keeps every detail that the input shows, its faults too, 0 keeps its light and colours alone",
        builder().minimum(0.0).maximum(1.0).default_value(0.5).mutable_playing().controllable())]
    #[property(name = "face-detect-interval", type = u32, member = face_detect_interval, get, set,
        nick = "Face detect interval", blurb = "Frames from one detection to the next; between them faces are followed along the motion",
        builder().minimum(1).maximum(250).default_value(5).mutable_ready())]
    #[property(name = "face-min-size", type = u32, member = face_min_size, get, set,
        nick = "Smallest face", blurb = "Height of a face, brow to chin, in pixels of the input, from which on it is restored; smaller ones cost time to find",
        builder().minimum(8).maximum(4096).default_value(24).mutable_ready())]
    #[property(name = "face-max", type = u32, member = face_max, get, set,
        nick = "Most faces", blurb = "Faces that are restored in a frame, the largest ones; each costs time",
        builder().minimum(1).maximum(1000).default_value(16).mutable_ready())]
    #[property(name = "max-lateness", type = u64, member = max_lateness, get, set,
        nick = "Most lateness", blurb = "Nanoseconds by which a frame of live video may come late, besides the frame's duration that is added to the latency, before less is done for the next ones; with qos, and in live pipelines only",
        builder().minimum(0).maximum(60_000_000_000).default_value(MAX_LATENESS).mutable_playing())]
    #[property(name = "model-instance-id", type = Option<PathBuf>, member = model_instance_id, get, set,
        nick = "Model instance", blurb = "Elements of one process that name the same one, or none, load a network once and run it in turns; those that name different ones load it each and run it beside each other",
        builder().mutable_ready())]
    #[property(name = "stats-interval", type = u32, member = stats_interval, get, set,
        nick = "Statistics interval", blurb = "Milliseconds between element messages facesr-stats, which hold what `stats` does; 0: none",
        builder().minimum(0).maximum(3_600_000).default_value(0).mutable_playing())]
    #[property(name = "frames-in-flight", type = u32, member = frames_in_flight, get, set,
        nick = "Frames in flight", blurb = "Frames that the output may lag behind the input, so that the next is looked at while the network is still at this one: 1 makes files faster, and live video later by a frame; 0: each comes out before the next goes in",
        builder().minimum(0).maximum(MOST_IN_FLIGHT).default_value(0).mutable_ready())]
    settings: Mutex<Settings>,

    #[property(name = "active-provider", type = String, get = Self::active_provider,
        nick = "Active provider", blurb = "What really runs the network, as its runtime reports it; empty before the start")]
    #[property(name = "latency-frames", type = u32, get = Self::frames_in_flight,
        nick = "Latency", blurb = "Frames that the output lags behind the input")]
    _read_only: (),

    stats: Mutex<Stats>,
    state: Mutex<State>,
    /// A copy of the settings from start to stop: what is set meanwhile waits for the next one.
    started: Mutex<Option<Settings>>,
    /// The last caps that were refused, in words.
    refused: Mutex<Option<String>>,
    /// Formats of both pads.
    formats: Mutex<Option<(VideoInfo, VideoInfo)>>,
    /// Frames that are being made on another thread, oldest first.
    flight: Mutex<Option<Flight<Arrived>>>,
    /// Apart from the state, which is locked while a frame is under way.
    cancellers: Mutex<Vec<Arc<dyn Cancel>>>,
    /// How much is done for frames, in live pipelines.
    ladder: Mutex<Option<Ladder>>,
    /// What a frame may take in live pipelines, as it is told.
    latency: Mutex<Option<gst::ClockTime>>,
    told: Mutex<Option<Instant>>,
    #[cfg(feature = "v1_24")]
    first_seen: Mutex<super::analytics::FirstSeen>,
}

impl FaceSr {
    /// What was set at the start, and before it, what is set now.
    fn settings(&self) -> Settings {
        let started = self.started.lock().unwrap().clone();
        started.unwrap_or_else(|| self.settings.lock().unwrap().clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn active_provider(&self) -> String {
        self.stats.lock().unwrap().provider.clone()
    }

    fn fail(&self, failure: impl Into<Failure>) {
        failure.into().post(self.obj().upcast_ref());
    }

    fn cancel(&self) {
        self.cancellers.lock().unwrap().iter().for_each(|canceller| canceller.cancel());
    }

    fn resume(&self) {
        self.cancellers.lock().unwrap().iter().for_each(|canceller| canceller.resume());
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FaceSr {
    const NAME: &'static str = "GstFaceSr";
    type Type = super::FaceSr;
    type ParentType = gst_video::VideoFilter;
    type Interfaces = (gst::Preset,);
}

impl PresetImpl for FaceSr {}

impl ObjectImpl for FaceSr {
    fn properties() -> &'static [glib::ParamSpec] {
        // Structures are beyond the derive macro.
        static PROPERTIES: Lazy<Vec<glib::ParamSpec>> = Lazy::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("Since the start: frames, model, provider, runtime, tiles, tiles-left-out, repeated, cuts, noise (of 255), past-share, frame-ms, stages-ms (its parts), beside-ms (beside the network), reuse, faces, fallbacks, users (who share the network), effort (now), efforts (frames of each), large-picture (host or device)")
                .read_only()
                .build();
            FaceSr::derived_properties().iter().cloned().chain([stats]).collect()
        });
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // NULL is what was never set.
        let is_unset = matches!(value.get::<Option<PathBuf>>(), Ok(None));
        self.derived_set_property(id, if is_unset { pspec.default_value() } else { value }, pspec);
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self.stats.lock().unwrap().structure().to_value(),
            _ => self.derived_property(id, pspec),
        }
    }
}

impl GstObjectImpl for FaceSr {}

impl ElementImpl for FaceSr {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: Lazy<gst::subclass::ElementMetadata> = Lazy::new(|| {
            gst::subclass::ElementMetadata::new(
                "Video super-resolution",
                "Filter/Effect/Converter/Video/Scaler",
                "Upscales video with an ONNX network, live or from a file",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: Lazy<Vec<gst::PadTemplate>> = Lazy::new(|| {
            let template = |name, direction| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps::template())
                    .expect("the template is well formed")
            };
            vec![template("src", gst::PadDirection::Src), template("sink", gst::PadDirection::Sink)]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            // Before data flows, so that what is missing is told at once. `start` would be the
            // place, but there GStreamer adds an error of its own, without the reason.
            gst::StateChange::ReadyToPaused => self.open().map_err(|err| {
                self.close();
                self.fail(err);
                gst::StateChangeError
            })?,
            // The streaming thread must come out of a frame that may take seconds.
            gst::StateChange::PausedToReady => self.cancel(),
            _ => {}
        }
        let changed = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady || changed.is_err() {
            self.close();
        }
        changed
    }
}
