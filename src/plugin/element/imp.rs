//! The way of a buffer through the element.

mod flying;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo, VideoInterlaceMode};
use once_cell::sync::Lazy;

use super::caps;
use super::flight::Flight;
use super::ladder::Ladder;
use super::lane::{NOT_RESIDENT, NOT_TAKEN, SLOW_BLEND, State, describe};
use super::live::{self, NO_LIGHT, TOO_SLOW};
use super::metas;
use super::regions;
use super::settings::{
    ExecutionProvider, FaceMode, FaceSource, MAX_LATENESS, Precision, SCENE_CUT_THRESHOLD, Settings,
    TemporalMode,
};
use crate::enhance::{Controls, Effort, EnhanceError};
use crate::face::track::Track;
use crate::image::Size;
use crate::infer::provider::Provider;
use crate::infer::{Cancel, InferError};
use crate::model::registry::{self, Live};
use crate::plugin::CAT;
use crate::plugin::frame::{size, working_bits};
use crate::plugin::messages::{self, Failure, Stats};
use crate::plugin::stages::Passed;
use crate::temporal::Look;
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

    /// Loads the network if another one, or one for other samples, is there. `video` is what is
    /// to come, if that is known.
    fn load(&self, settings: &Settings, bits: u32, video: Option<&VideoInfo>) -> Result<(), EnhanceError> {
        let choose = || {
            let live = video.and_then(|video| self.live(settings, video));
            live::choose(settings.factor(), live, crate::plugin::folder().as_deref())
        };
        self.load_for(settings, bits, choose().0)?;
        // Who runs the network, and so whether it can keep up, is known once one is loaded.
        let (wanted, slow) = choose();
        self.load_for(settings, bits, wanted)?;
        if let Some(line) = &slow {
            gst::warning!(CAT, imp = self, "{line}");
        }
        let fallbacks = &mut self.stats.lock().unwrap().fallbacks;
        fallbacks.retain(|line| !line.starts_with(TOO_SLOW));
        fallbacks.extend(slow);
        Ok(())
    }

    /// `wanted` is what `auto` stands for.
    fn load_for(&self, settings: &Settings, bits: u32, wanted: &str) -> Result<(), EnhanceError> {
        let has_model = self.state().loaded().map(|loaded| settings.model_is(&loaded.model, wanted));
        if self.state().bits() == Some(bits) && has_model.unwrap_or(settings.needs_no_network()) {
            return Ok(());
        }
        // The old network's memory first.
        *self.state() = State::Empty;
        let mut enhance = settings.enhance(crate::plugin::folder());
        if settings.chooses_model() {
            enhance.model = enhance.model.map(|_| wanted.into());
        }
        let state = State::open(&enhance, bits)?;
        let line = {
            let mut stats = self.stats.lock().unwrap();
            describe(state.loaded(), &mut stats);
            stats.faces.describe(state.faces_done());
            stats.faces.describe_helpers(state.face_helpers());
            let refused = stats.fallbacks.iter().find(|line| line.starts_with(NOT_TAKEN));
            let refused = refused.map_or_else(String::new, |line| format!("; {line}"));
            state.loaded().map_or("no network".into(), |loaded| {
                let (model, scale) = (&stats.model, loaded.scale);
                format!("model {model} x{scale} on {}, {}{refused}", stats.provider, stats.runtime)
            })
        };
        gst::info!(CAT, imp = self, "{line}");
        if let (_, Some(reason)) = state.faces_done() {
            gst::info!(CAT, imp = self, "{reason}");
        }
        *self.cancellers.lock().unwrap() = state.cancellers();
        *self.state() = state;
        self.obj().notify("active-provider");
        Ok(())
    }

    /// What video asks of the processor that does not wait: it comes live, the choice of the network is
    /// left to the element, and no other provider runs it.
    fn live(&self, settings: &Settings, video: &VideoInfo) -> Option<Live> {
        let on_processor =
            self.state().loaded().is_some_and(|loaded| loaded.active.provider == Provider::Cpu);
        let hurries = settings.chooses_model() && on_processor && live::is_live(self.obj().sink_pad());
        hurries.then(|| live::demand(video, settings.threads))
    }

    fn open(&self) -> Result<(), Failure> {
        *self.stats.lock().unwrap() = Stats::default();
        *self.refused.lock().unwrap() = None;
        let settings = self.settings();
        if let Some(reason) = settings.not_text() {
            return Err(Failure::Setting(reason));
        }
        *self.started.lock().unwrap() = Some(settings.clone());
        if settings.is_off() { Ok(()) } else { Ok(self.load(&settings, 8, None)?) }
    }

    fn close(&self) {
        if self.started.lock().unwrap().is_some() {
            gst::info!(CAT, imp = self, "stopped");
        }
        *self.flight.lock().unwrap() = None;
        *self.formats.lock().unwrap() = None;
        *self.state() = State::default();
        self.cancellers.lock().unwrap().clear();
        *self.ladder.lock().unwrap() = None;
        *self.latency.lock().unwrap() = None;
        *self.told.lock().unwrap() = None;
        *self.started.lock().unwrap() = None;
    }

    fn fail(&self, failure: impl Into<Failure>) {
        failure.into().post(self.obj().upcast_ref());
    }

    /// What does not fit these caps, in words.
    fn refuse(&self, input: &VideoInfo, output: &VideoInfo) -> Option<String> {
        let scale = self.settings().scale;
        if scale > 0.0 && scale < 1.0 {
            return Some(format!("scale={scale} would make the picture smaller: set 0 or 1 to 8"));
        }
        if input.interlace_mode() != VideoInterlaceMode::Progressive {
            return Some(format!(
                "interlaced video ({}) would keep its combs: put `deinterlace` before facesr",
                input.interlace_mode().to_str()
            ));
        }
        let (from, to) = (size(input), size(output));
        let longest = caps::LONGEST_SIDE as usize;
        (to.width > longest || to.height > longest).then(|| {
            format!(
                "{from} to {to} is beyond the {longest} pixels that a side may have: set a smaller `scale` or a size by caps after facesr"
            )
        })
    }

    fn configure(&self, input: &VideoInfo, output: &VideoInfo) -> Result<(), Failure> {
        if let Some(reason) = self.refuse(input, output) {
            return Err(Failure::Caps(reason));
        }
        let mut settings = self.settings();
        let (from, to) = (size(input), size(output));
        let keeps_size = from == to;
        if settings.factor().is_none() {
            // The size that downstream fixed decides what `auto` is.
            let across = to.width as f64 / from.width as f64;
            settings.scale = across.max(to.height as f64 / from.height as f64).max(1.0);
        }
        if settings.is_off() && keeps_size {
            self.obj().set_passthrough(true);
            self.pace(&settings, input, output);
            return Ok(());
        }
        self.load(&settings, working_bits(input), Some(input))?;
        let restores = self.state().loaded().is_some_and(|loaded| loaded.scale == 1);
        let steadies = settings.temporal_mode != TemporalMode::Off;
        self.obj().set_passthrough(keeps_size && !restores && !steadies && !self.state().has_faces());
        self.state().negotiate(input, output).map_err(|err| {
            Failure::Caps(format!(
                "{from} to {to} in {} is more than a converter can hold ({err}): put `videoscale` or `videocrop` before facesr",
                input.format()
            ))
        })?;
        self.tell_where(from, to);
        self.pace(&settings, input, output);
        Ok(())
    }

    /// Says why large pictures leave the device, where they do, or why they are blended there more slowly than they could be.
    fn tell_where(&self, from: Size, to: Size) {
        let state = self.state();
        let leaves = state.leaves_device(from, to).map(|leaves| leaves.to_string());
        let leaves = leaves.or_else(|| state.loaded()?.not_resident.clone());
        let leaves = leaves.map(|reason| format!("{NOT_RESIDENT}: {reason}"));
        let slow = || Some(format!("{SLOW_BLEND}: {}", state.loaded()?.slow_blend.as_ref()?));
        let line = leaves.or_else(slow);
        if let Some(line) = &line {
            gst::info!(CAT, imp = self, "{line}");
        }
        let fallbacks = &mut self.stats.lock().unwrap().fallbacks;
        fallbacks.retain(|line| !line.starts_with(NOT_RESIDENT) && !line.starts_with(SLOW_BLEND));
        fallbacks.extend(line);
    }

    /// Prepares for video that does not wait, where it does not.
    fn pace(&self, settings: &Settings, input: &VideoInfo, output: &VideoInfo) {
        let is_live = !self.obj().is_passthrough() && live::is_live(self.obj().sink_pad());
        let frame = is_live.then(|| live::frame(input));
        if !is_live && settings.reuse > 0.0 && settings.reuse_budget < 1.0 {
            // It stands in for what the budget has no room for; without it, that is resized.
            self.open_light(settings);
        }
        let ladder = frame.map(|frame| {
            let efforts = self.efforts(settings);
            let mut ladder = Ladder::new(&efforts, frame.seconds_f64(), 1e-9 * settings.max_lateness as f64);
            let [network, light] = self.state().expected_times(size(input), size(output));
            let expected = [(Effort::Full, network), (Effort::NoFaces, network), (Effort::Light, light)];
            let known = expected.into_iter().filter_map(|(effort, time)| Some((effort, time?.as_secs_f64())));
            ladder.expect(&known.collect::<Vec<_>>());
            ladder
        });
        *self.ladder.lock().unwrap() = ladder;
        // What a frame may take, where it does not wait for anybody, and those that it waits for.
        let flying = live::frame(input) * u64::from(settings.frames_in_flight);
        let latency = Some(frame.unwrap_or_default() + flying)
            .filter(|latency| !latency.is_zero() && !self.obj().is_passthrough());
        if std::mem::replace(&mut *self.latency.lock().unwrap(), latency) != latency {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Fails only for an element without a bus, which nobody listens to.
            let _ = self.obj().post_message(message);
        }
    }

    /// What can be done for a frame, most first.
    fn efforts(&self, settings: &Settings) -> Vec<Effort> {
        let mut efforts = vec![Effort::Full];
        if self.state().faces_done().0.is_some() {
            efforts.push(Effort::NoFaces);
        }
        let scale = self.state().loaded().map_or(1, |loaded| loaded.scale);
        if self.open_light(settings) {
            efforts.push(Effort::Light);
        }
        if scale > 1 {
            efforts.push(Effort::Resampled);
        }
        efforts
    }

    /// Loads the light network, if there is one for the network that is set. Says why not where it should be there.
    fn open_light(&self, settings: &Settings) -> bool {
        let loaded =
            self.state().loaded().map(|loaded| (loaded.model.clone(), loaded.active.provider, loaded.scale));
        let Some((model, provider, scale)) = loaded else { return false };
        let fallbacks = &mut self.stats.lock().unwrap().fallbacks;
        fallbacks.retain(|line| !line.starts_with(NO_LIGHT));
        let light = registry::light(&model, provider == Provider::Cpu).filter(|_| scale > 1);
        let opened = light.map(|light| {
            let enhance = settings.enhance(crate::plugin::folder());
            self.state().open_light(&enhance, light)
        });
        if let Some(Err(error)) = &opened {
            fallbacks.push(format!("{NO_LIGHT}: {error}"));
        }
        *self.cancellers.lock().unwrap() = self.state().cancellers();
        matches!(opened, Some(Ok(())))
    }

    /// Seconds of running time now, and those at which a frame is due.
    fn times(&self, frame: &gst::BufferRef) -> Option<(f64, f64)> {
        let now = self.obj().current_running_time()?;
        let segment = self.obj().segment();
        let due = segment.downcast_ref::<gst::ClockTime>()?.to_running_time(frame.pts()?)?;
        Some((now.seconds_f64(), due.seconds_f64()))
    }

    /// How much is done for a frame; says so where it is less, or more, than for the last.
    fn effort(&self, frame: &gst::BufferRef, patience: u64) -> Effort {
        if !self.obj().property::<bool>("qos") {
            return Effort::Full;
        }
        let Some((now, due)) = self.times(frame) else { return Effort::Full };
        let (before, effort, proportion, quality) = {
            let mut ladder = self.ladder.lock().unwrap();
            let Some(ladder) = ladder.as_mut() else { return Effort::Full };
            let (before, proportion) = (ladder.effort(), ladder.proportion());
            let effort = ladder.choose(now, now - due, 1e-9 * patience as f64);
            (before, effort, proportion, ladder.quality())
        };
        if effort != before {
            gst::info!(CAT, imp = self, "from {before:?} to {effort:?}, {:.0} ms late", 1e3 * (now - due));
            let values = ((1e9 * (now - due)) as i64, proportion, (1e6 * quality) as i32);
            // Nothing is locked when a message is posted: who is called for it may ask for anything.
            let frames = self.stats.lock().unwrap().qos();
            messages::post_qos(self.obj().upcast_ref(), frame, due, values, frames);
        }
        effort
    }

    /// Takes note of what a frame took.
    fn took(&self, passed: &Passed) {
        // Of frames that are like the one before, only a copy is made.
        if passed.report.look == Look::Repeated {
            return;
        }
        if let (Some(ladder), Some(now)) =
            (&mut *self.ladder.lock().unwrap(), self.obj().current_running_time())
        {
            let restoring = passed.report.faces.restoring.as_secs_f64();
            ladder.done(now.seconds_f64(), passed.whole.as_secs_f64(), restoring);
        }
    }

    /// Lets controllers set what they control to what it is at a frame.
    fn sync(&self, frame: &gst::BufferRef) {
        let segment = self.obj().segment();
        let time = segment.downcast_ref::<gst::ClockTime>().zip(frame.pts());
        let Some(time) = time.and_then(|(segment, pts)| segment.to_stream_time(pts)) else { return };
        if self.obj().sync_values(time).is_err() {
            gst::debug!(CAT, imp = self, "a controller says nothing of {time}");
        }
    }

    /// What is done for a frame. Not by the copy of the start: these may change at any time.
    fn controls(&self, input: &gst::BufferRef) -> Controls {
        self.sync(input);
        let (mut controls, patience) = {
            let settings = self.settings.lock().unwrap();
            (settings.controls(), settings.max_lateness)
        };
        controls.effort = self.effort(input, patience);
        controls
    }

    fn is_reversed(&self) -> bool {
        self.obj().segment().rate() < 0.0
    }

    /// Tells whoever listens what became of a frame.
    fn account(
        &self,
        done: Result<Passed, Failure>,
        effort: Effort,
        pts: Option<gst::ClockTime>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        match done {
            Ok(passed) => {
                self.took(&passed);
                let (number, warnings) = self.stats.lock().unwrap().count(&passed, effort);
                if passed.report.look == (Look::First { cut: true }) {
                    messages::post_cut(self.obj().upcast_ref(), number, pts);
                }
                for warning in warnings {
                    gst::element_imp_warning!(self, gst::StreamError::Failed, ("{warning}"));
                }
                let interval = self.settings.lock().unwrap().stats_interval;
                self.tell_stats(interval);
                Ok(gst::FlowSuccess::Ok)
            }
            Err(Failure::Unavailable(EnhanceError::Infer(InferError::Cancelled))) => {
                Err(gst::FlowError::Flushing)
            }
            Err(failure) => {
                self.fail(failure);
                Err(gst::FlowError::Error)
            }
        }
    }

    /// The faces of the next frame are those that somebody upstream attached to it, where those are wanted.
    fn take_given_faces(&self, input: &gst::BufferRef) {
        if self.settings().face_source == FaceSource::Meta {
            let given = regions::faces(input);
            self.state().give_faces(given);
        }
    }

    /// Attaches the faces that were found to a frame.
    fn attach_faces(&self, faces: &[Track], output: &mut gst::BufferRef) {
        if self.settings().face_source != FaceSource::Detect {
            return;
        }
        let scale = self.scale();
        regions::attach(faces, scale, output);
        #[cfg(feature = "v1_24")]
        if let Err(error) = self.first_seen.lock().unwrap().attach(faces, scale, output) {
            gst::warning!(CAT, imp = self, "faces cannot be attached as detections: {error}");
        }
    }

    /// Posts the statistics when it is time to.
    fn tell_stats(&self, interval: u32) {
        let is_due = {
            let mut told = self.told.lock().unwrap();
            let is_due = told.is_none_or(|told| told.elapsed() >= Duration::from_millis(interval.into()));
            if interval > 0 && is_due {
                *told = Some(Instant::now());
            }
            interval > 0 && is_due
        };
        if is_due {
            let stats = self.stats.lock().unwrap().structure();
            messages::post_stats(self.obj().upcast_ref(), stats);
        }
    }

    /// Pixels of the output for each of the input, across and down.
    fn scale(&self) -> (f32, f32) {
        let sizes = |pad: &gst::Pad| Some(size(&VideoInfo::from_caps(pad.current_caps()?.as_ref()).ok()?));
        let from_to = sizes(self.obj().sink_pad()).zip(sizes(self.obj().src_pad()));
        from_to.map_or((1.0, 1.0), |(from, to)| {
            (to.width as f32 / from.width as f32, to.height as f32 / from.height as f32)
        })
    }

    fn cancel(&self) {
        self.cancellers.lock().unwrap().iter().for_each(|canceller| canceller.cancel());
    }

    fn resume(&self) {
        self.cancellers.lock().unwrap().iter().for_each(|canceller| canceller.resume());
    }
}

/// Maps the memory of an output.
fn writable<'a>(
    output: &'a mut gst::BufferRef,
    info: &VideoInfo,
) -> Result<VideoFrameRef<&'a mut gst::BufferRef>, Failure> {
    let bytes = output.size();
    VideoFrameRef::from_buffer_ref_writable(output, info).map_err(|_| unmapped(bytes, info))
}

/// Why a buffer of so many bytes is no frame of a format.
fn unmapped(bytes: usize, info: &VideoInfo) -> Failure {
    let frame = format!("a frame of {} in {} ({} bytes)", size(info), info.format(), info.size());
    Failure::Frame(format!(
        "a buffer of {bytes} bytes is not {frame}: the element that gave it does not keep to its caps"
    ))
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

impl BaseTransformImpl for FaceSr {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let other = caps::transform(caps, direction, self.settings().factor());
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            None => other,
        })
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
        let own = self.state().loaded().map_or(1, |loaded| loaded.scale);
        caps::fixate(caps, direction, othercaps, self.settings().factor().unwrap_or(own as f64))
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        // What comes after frames goes on after them.
        let is_flush = matches!(event.type_(), gst::EventType::FlushStart | gst::EventType::FlushStop);
        if event.is_serialized() && !is_flush {
            self.drain();
        }
        match event.view() {
            gst::EventView::FlushStart(_) => self.cancel(),
            gst::EventView::FlushStop(_) => {
                gst::debug!(CAT, imp = self, "a flush: the past is forgotten");
                self.discard();
                self.ladder.lock().unwrap().iter_mut().for_each(Ladder::forget_times);
                self.state().forget();
                self.resume();
            }
            // Whatever it shows next is no neighbour of what was shown.
            gst::EventView::Segment(_) => {
                gst::debug!(CAT, imp = self, "a segment: the past is forgotten");
                self.state().forget();
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, mut event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            let late = qos.get().2 as f64 * 1e-9;
            if let (Some(ladder), Some(now)) =
                (&mut *self.ladder.lock().unwrap(), self.obj().current_running_time())
            {
                ladder.tell(now.seconds_f64(), late);
            }
            // The base class would leave out frames: here, less is done for them, and only where video is live.
            return self.obj().sink_pad().push_event(event);
        }
        if event.type_() == gst::EventType::Navigation {
            let (across, down) = self.scale();
            let event = event.make_mut().structure_mut();
            for (place, scale) in [("pointer_x", across), ("pointer_y", down)] {
                if let Ok(at) = event.get::<f64>(place) {
                    event.set(place, at / f64::from(scale));
                }
            }
        }
        self.parent_src_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if direction == gst::PadDirection::Sink && query.is_serialized() {
            self.drain();
        }
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
            && let ((is_live, least, most), Some(own)) = (latency.result(), *self.latency.lock().unwrap())
        {
            latency.set(is_live, least + own, most.map(|most| most + own));
        }
        true
    }

    fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        self.make_room(query);
        self.parent_decide_allocation(query)
    }

    /// With frames in flight, the base class pushes nothing: it would mark the first buffer that it pushes after a
    /// discontinuous one came in, and that may have come out by a drain.
    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let ahead = self.frames_in_flight() as usize;
        if ahead == 0 {
            return self.parent_generate_output();
        }
        if self.obj().is_passthrough() {
            return match self.parent_generate_output()? {
                GenerateOutputSuccess::Buffer(untouched) => {
                    self.obj().src_pad().push(untouched)?;
                    Ok(GenerateOutputSuccess::NoOutput)
                }
                other => Ok(other),
            };
        }
        if let Some(input) = self.take_queued_buffer() {
            self.launch(input)?;
        }
        if self.in_flight() > ahead {
            self.push_oldest()?;
        }
        Ok(GenerateOutputSuccess::NoOutput)
    }

    fn transform(
        &self,
        inbuf: &gst::Buffer,
        outbuf: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let formats = self.formats.lock().unwrap().clone();
        let (from, to) = formats.ok_or(gst::FlowError::NotNegotiated)?;
        self.take_given_faces(inbuf);
        let done = {
            // The parent class takes a frame that it cannot map for one that is done.
            let frames = VideoFrameRef::from_buffer_ref_readable(inbuf, &from)
                .map_err(|_| unmapped(inbuf.size(), &from))
                .and_then(|input| Ok((input, writable(outbuf, &to)?)));
            let (input, mut output) = frames.map_err(|failure| {
                self.fail(failure);
                gst::FlowError::Error
            })?;
            self.transform_frame(&input, &mut output)?
        };
        let faces = self.state().faces().to_vec();
        self.attach_faces(&faces, outbuf);
        Ok(done)
    }

    fn transform_meta<'a>(
        &self,
        outbuf: &mut gst::BufferRef,
        meta: gst::MetaRef<'a, gst::Meta>,
        inbuf: &'a gst::BufferRef,
    ) -> bool {
        let info = |pad: &gst::Pad| VideoInfo::from_caps(pad.current_caps()?.as_ref()).ok();
        if let Some((from, to)) = info(self.obj().sink_pad()).zip(info(self.obj().src_pad()))
            && let Some(carried) = metas::carry(&meta, outbuf, &from, &to)
        {
            if carried.is_err() {
                gst::debug!(CAT, imp = self, "a {} cannot change its size and is dropped", meta.api());
            }
            return false;
        }
        self.parent_transform_meta(outbuf, meta, inbuf)
    }
}

impl VideoFilterImpl for FaceSr {
    fn set_info(
        &self,
        _incaps: &gst::Caps,
        in_info: &VideoInfo,
        _outcaps: &gst::Caps,
        out_info: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        // Frames of the formats before go before.
        self.drain();
        let configured = self.configure(in_info, out_info);
        if configured.is_ok() {
            let (from, to) = (size(in_info), size(out_info));
            let does = if self.obj().is_passthrough() { "passed through" } else { "enhanced" };
            gst::info!(CAT, imp = self, "{} of {from} to {to}, {does}", in_info.format());
        }
        *self.formats.lock().unwrap() = Some((in_info.clone(), out_info.clone()));
        if configured.is_ok() {
            *self.refused.lock().unwrap() = None;
        }
        configured.map_err(|failure| {
            let error = gst::loggable_error!(CAT, "cannot take {in_info:?}: {failure:?}");
            // Caps come again with every buffer, which is nothing new to the application.
            let text = failure.to_string();
            if self.refused.lock().unwrap().replace(text.clone()) != Some(text) {
                self.fail(failure);
            }
            error
        })
    }

    fn transform_frame(
        &self,
        inframe: &VideoFrameRef<&gst::BufferRef>,
        outframe: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let controls = self.controls(inframe.buffer());
        let done = self.state().process(inframe, outframe, &controls, self.is_reversed());
        self.account(done, controls.effort, inframe.buffer().pts())
    }
}
