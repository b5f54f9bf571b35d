//! The path of a frame, one line per stage.

mod finishing;
mod large;
mod making;
mod open;
mod planned;
mod stand_in;
mod threads;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::face::detect::Detection;
use crate::face::helpers::HelperNames;
use crate::face::{self, FaceError, FaceReport, Faces, Follower, Restoring};
use crate::image::resample::Resampler;
use crate::image::{Size, View, ViewMut};
use crate::infer::onnx::{Options, TensorSample};
use crate::infer::provider::Active;
use crate::infer::shared::Users;
use crate::infer::{Cancel, InferError, runtime};
use crate::model::ModelError;
use crate::temporal::{self, Look, Looking, Steadying};
use crate::upscale::Upscaler;
use finishing::Finishing;
use large::Device;
pub use large::{Leaves, MOST_IN_FLIGHT, Place, Residency};
use making::Making;
pub use making::OnDevice;
use open::{expected_time, open_device, open_faces, open_upscaler};
use planned::Ahead;
pub use planned::Planned;
pub use threads::Threads;

/// What decides which network runs, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Registry name or path of the model; `None` for no network, where sizes stay.
    pub model: Option<String>,
    /// Enlargement wished for, which decides what `auto` is.
    pub factor: Option<f64>,
    /// How to run it.
    pub options: Options,
    /// The library of ONNX Runtime, if named.
    pub runtime: Option<PathBuf>,
    /// The folder of the plugin or program, a place to look for models and the runtime.
    pub beside: Option<PathBuf>,
    /// Side of a tile in input pixels; 0: as `memory_limit` allows.
    pub tile_size: usize,
    /// Context of a tile in input pixels; 0: what the model needs.
    pub tile_overlap: usize,
    /// Bytes that a run of the network may take; `None`: 2 GiB on a processor, half of a GPU's memory.
    pub memory_limit: Option<usize>,
    /// Steadying from frame to frame.
    pub temporal: temporal::Mode,
    /// Whether large pictures stay on the device that runs the network.
    pub residency: Residency,
    /// Faces; how networks are run and where files lie is taken from here.
    pub faces: face::Settings,
}

/// How much is done for a frame, from all to least: video that does not wait gets what there is time for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Everything that is set.
    #[default]
    Full,
    /// Faces are followed but not restored.
    NoFaces,
    /// Nor is the network the one that is set, but the light one.
    Light,
    /// Nothing but a resize: no network, no past, no faces.
    Resampled,
}

/// What may change from frame to frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Controls {
    /// How much is done.
    pub effort: Effort,
    /// Steadying from frame to frame.
    pub temporal: temporal::Controls,
    /// How far the network's input leans on the history, which has less noise: 0 to 1.
    pub input_denoise: f32,
    /// Restoring faces.
    pub faces: face::Controls,
}

/// Why there is no enhancer, or no frame.
#[derive(Debug, thiserror::Error)]
pub enum EnhanceError {
    /// The model's file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Running it.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A network for faces that is none.
    #[error(transparent)]
    Face(FaceError),
    /// Threads of our own.
    #[error("cannot start {count} threads: {reason}")]
    Threads {
        /// As many as were asked for.
        count: usize,
        /// What the system says.
        reason: String,
    },
}

impl From<FaceError> for EnhanceError {
    fn from(error: FaceError) -> Self {
        match error {
            FaceError::Model(error) => Self::Model(error),
            FaceError::Infer(error) => Self::Infer(error),
            error => Self::Face(error),
        }
    }
}

impl From<runtime::RuntimeError> for EnhanceError {
    fn from(error: runtime::RuntimeError) -> Self {
        Self::Infer(error.into())
    }
}

/// What became of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Runs of the upscaling network.
    pub tiles: usize,
    /// Tiles resampled because the network gave values that are no numbers.
    pub tiles_left_out: usize,
    /// What the frame was to the past.
    pub look: Look,
    /// What became of its faces.
    pub faces: FaceReport,
    /// What was made of outputs before, where that is asked for.
    pub reused: Option<Reused>,
    /// Where the large picture was made.
    pub large: Place,
    /// Time in the upscaler.
    pub upscale: Duration,
    /// Time of looking at the input.
    pub looking: Duration,
    /// What of that, and of finding faces, passed beside the upscaler, so that the frame did not wait for it.
    pub beside: Duration,
    /// Time of blending.
    pub blending: Duration,
}

/// What was made of outputs before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reused {
    /// Share of the frame that was run through the network, context included.
    pub area: f32,
    /// Frames since the part that was longest ago was.
    pub oldest: u32,
    /// Why the whole frame was, where it was.
    pub whole: Option<Whole>,
    /// What was made by something lighter, for which the budget had no room, if anything was.
    pub stood_in: Option<StoodIn>,
}

/// What something lighter than the network made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoodIn {
    /// Share of the frame.
    pub area: f32,
    /// [`Effort::Light`] is the light network, [`Effort::Resampled`] a resize.
    pub by: Effort,
}

/// Why a whole frame was run through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// It is the first of its scene.
    Begins,
    /// So much of it was to be that the rest is as cheap.
    NearlyAll,
    /// It is made by passes of the network, resizes, luma alone or a size that is fixed, of which no part can be.
    NoParts,
    /// It got another network, because there was no time.
    Hurried,
}

/// Samples of a picture at which motion is looked for beside a network on a GPU, which would wait for a finer search: a quarter of the
/// width of 1280x720 and of 1920x1080. On five clips of 960x540 to 1280x720 with noise of 4 levels, searching half of the width takes the
/// stage 1.7 to 2 times as long and steadies them by 0.1 to 0.5 dB more (of 4 to 8); with noise of 10, by -0.1 to 0.3.
const SEARCHED_BESIDE_GPU: usize = 1 << 17;

/// Enhances frames of one sample type. It owns everything that is remembered from frame to
/// frame, in two halves: one finds out about inputs, the other makes outputs of them.
pub struct Enhancer<S> {
    ahead: Ahead<S>,
    making: Arc<Mutex<Making<S>>>,
    /// Of the frame before, to be written over.
    planned: Planned<S>,
    loaded: Option<Loaded>,
    light: Option<Loaded>,
    /// Stops the network whose large pictures stay on the device.
    device: Option<Arc<dyn Cancel>>,
    faces: FacesDone,
}

/// What is done with faces.
#[derive(Default)]
struct FacesDone {
    /// The restorer's name.
    restorer: Option<String>,
    /// Why faces are left to the upscaler.
    left: Option<String>,
    helpers: HelperNames,
    cancellers: Vec<Arc<dyn Cancel>>,
}

/// The network that upscales.
#[derive(Clone)]
pub struct Loaded {
    /// Its enlargement factor.
    pub scale: usize,
    /// Its name.
    pub model: String,
    /// What runs it.
    pub active: Active,
    /// The runtime in use.
    pub runtime: &'static runtime::Runtime,
    /// Stops a frame that is under way on another thread.
    pub canceller: Arc<dyn Cancel>,
    /// Who else runs it.
    pub users: Users,
    /// Why large pictures do not stay on the device, where they should and cannot.
    pub not_resident: Option<String>,
    /// Why those that stay there are blended more slowly than they could be, if they are.
    pub slow_blend: Option<String>,
    /// Bytes that a run may take.
    pub memory_limit: usize,
}

impl<S: TensorSample> Enhancer<S> {
    /// Loads everything that the settings name.
    ///
    /// # Errors
    /// [`EnhanceError`], one line that says what to do.
    pub fn open(settings: &Settings) -> Result<Self, EnhanceError> {
        let opened = settings.model.as_ref().map(|model| open_upscaler(settings, model)).transpose()?;
        let (upscaler, device, loaded) = match opened {
            Some((upscaler, file, mut loaded)) => {
                let device = open_device(settings, &file, &mut loaded)?;
                (Some(upscaler), device, Some(loaded))
            }
            None => (None, None, None),
        };
        let (faces, left) = open_faces(settings)?;
        let (follower, restoring) = faces.map(Faces::into_halves).unzip();
        let done = FacesDone {
            restorer: restoring.as_ref().and_then(Restoring::restorer).map(Into::into),
            left,
            helpers: restoring.as_ref().map(|restoring| restoring.helpers().names()).unwrap_or_default(),
            cancellers: restoring.iter().flat_map(Restoring::cancellers).collect(),
        };
        let on_device = device.as_ref().map(Device::canceller);
        let threads = Arc::new(Threads::new(settings.options.threads)?);
        let mut looking = Looking::new(settings.temporal);
        if loaded.as_ref().is_some_and(|loaded| loaded.active.provider.is_gpu()) {
            looking.limit_search(SEARCHED_BESIDE_GPU);
        }
        if follower.is_some() {
            looking.keep_flow();
        }
        let ahead = Ahead {
            threads: threads.clone(),
            looking,
            follower,
            takes_faces: settings.faces.source == face::Source::Meta,
            given: Vec::new(),
            parts: upscaler.as_ref().map(Upscaler::parts),
        };
        let making = Making {
            threads,
            upscaler,
            device,
            place: Place::Host,
            light: None,
            steadying: Steadying::new(settings.temporal),
            resampler: Resampler::default(),
            finishing: Arc::new(Mutex::new(Finishing::new(restoring))),
            begun: Arc::default(),
        };
        let making = Arc::new(Mutex::new(making));
        Ok(Self {
            ahead,
            making,
            planned: Planned::default(),
            loaded,
            light: None,
            device: on_device,
            faces: done,
        })
    }

    /// Why pictures of these sizes leave the device that runs the network, if large ones can stay there at all.
    pub fn leaves_device(&self, small: Size, large: Size) -> Option<Leaves> {
        self.making().leaves_device(small, large)
    }

    /// The threads of its stages, for what else is done to its pictures.
    pub fn threads(&self) -> &Arc<Threads> {
        &self.ahead.threads
    }

    /// Loads a network beside the other, for [`Effort::Light`], by name or path.
    ///
    /// # Errors
    /// [`EnhanceError`], one line that says what to do; there is no light network then.
    pub fn open_light(&mut self, settings: &Settings, model: &str) -> Result<(), EnhanceError> {
        self.light = None;
        self.making().light = None;
        let (upscaler, _, loaded) = open_upscaler(settings, model)?;
        self.making().light = Some(upscaler);
        self.light = Some(loaded);
        Ok(())
    }

    /// Fills `output` with the enhanced `input`. Both have three channels, or four of which
    /// the last is alpha (straight, not premultiplied).
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the output is unfinished then, and the past forgotten.
    pub fn process(
        &mut self,
        input: View<'_, S>,
        output: ViewMut<'_, S>,
        controls: &Controls,
    ) -> Result<Report, EnhanceError> {
        let done = self.process_one(input, output, controls);
        if done.is_err() {
            self.reset();
        }
        done
    }

    /// The small picture is looked at beside the network, unless what comes of it is for the network to see, or decides
    /// what it is to be run on.
    fn process_one(
        &mut self,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
        controls: &Controls,
    ) -> Result<Report, EnhanceError> {
        let Self { ahead, making, planned, .. } = self;
        let making = &mut *making.lock().unwrap_or_else(PoisonError::into_inner);
        let large = Size::of(&output.view());
        if ahead.prepare(input, large, controls, planned) {
            ahead.look(input, large, planned)?;
            return making.make(planned, input, output);
        }
        making.choose_place(planned, Size::of(&input), large)?;
        let started = Instant::now();
        let (looked, upscaled) = std::thread::scope(|scope| {
            let beside = scope.spawn(|| ahead.look(input, large, planned));
            let upscaled = making.upscale(controls.effort, None, input, output.view_mut());
            (beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), upscaled)
        });
        looked?;
        let upscaled = upscaled?;
        planned.passed_beside(started.elapsed().saturating_sub(upscaled.time));
        making.finish(planned, upscaled, input, output)
    }

    /// The first half of [`Self::process`]: finds out about an input, of which an output of size `large` is to be made by the
    /// [maker](Self::maker), while that may still be at the output of the frame before.
    ///
    /// # Errors
    /// [`EnhanceError::Infer`] of the network that finds faces; the past is forgotten then.
    pub fn plan(
        &mut self,
        input: View<'_, S>,
        large: Size,
        controls: &Controls,
        planned: &mut Planned<S>,
    ) -> Result<(), EnhanceError> {
        self.ahead.plan(input, large, controls, planned)
    }

    /// The second half of [`Self::process`], for another thread.
    pub fn maker(&self) -> Maker<S> {
        Maker { making: self.making.clone() }
    }

    /// About how long the networks will take for a frame, the one that is set and the light one, tried on two small pictures.
    /// `None` where there is no network, or the frame is as small.
    pub fn expected_times(&mut self, input: Size, output: Size) -> [Option<Duration>; 2] {
        let making = &mut *self.making();
        [making.upscaler.as_mut(), making.light.as_mut()]
            .map(|upscaler| upscaler.and_then(|it| expected_time(it, input, output)))
    }
}

/// Makes outputs of inputs that were [planned](Enhancer::plan), in the same order.
#[derive(Clone)]
pub struct Maker<S> {
    making: Arc<Mutex<Making<S>>>,
}

impl<S: TensorSample> Maker<S> {
    /// Fills `output` with the enhanced `input`, see [`Enhancer::process`].
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the output is unfinished then, and the enhancer to be reset.
    pub fn make(
        &self,
        planned: &Planned<S>,
        input: View<'_, S>,
        output: ViewMut<'_, S>,
    ) -> Result<Report, EnhanceError> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner).make(planned, input, output)
    }

    /// The first part of [`Self::make`] for an output whose large picture stays on the device. It is to be [ended](OnDevice::end), in the
    /// same order, while the next one may be begun. `None` where it is to be made in one, once all that were begun are ended.
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the enhancer is to be reset then.
    pub fn begin(
        &self,
        planned: &Planned<S>,
        input: View<'_, S>,
        large: Size,
    ) -> Result<Option<OnDevice<S>>, EnhanceError> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner).begin(planned, input, large)
    }
}

impl<S> Enhancer<S> {
    fn making(&self) -> MutexGuard<'_, Making<S>> {
        // A panic in there is the end of the frame; what was remembered is forgotten with it.
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the frames per second, which decide for how many frames a face that is not seen is waited for.
    pub fn set_frame_rate(&mut self, rate: f64) {
        if let Some(follower) = &mut self.ahead.follower {
            follower.set_frame_rate(rate);
        }
    }

    /// Names the faces of the next frame, for [`face::Source::Meta`].
    pub fn give_faces(&mut self, given: Vec<Detection>) {
        self.ahead.given = given;
    }

    /// The faces that are followed.
    pub fn faces(&self) -> &[face::track::Track] {
        self.ahead.follower.as_ref().map_or(&[], Follower::tracks)
    }

    /// Something is done with faces.
    pub fn has_faces(&self) -> bool {
        self.ahead.follower.is_some()
    }

    /// What restores faces, or why nothing does.
    pub fn faces_done(&self) -> (Option<&str>, Option<&str>) {
        (self.faces.restorer.as_deref(), self.faces.left.as_deref())
    }

    /// The networks that help to restore faces.
    pub fn face_helpers(&self) -> Option<&HelperNames> {
        self.faces.restorer.as_ref().map(|_| &self.faces.helpers)
    }

    /// What stops a frame that is under way on another thread: one for each network that takes long.
    pub fn cancellers(&self) -> Vec<Arc<dyn Cancel>> {
        let networks = self.loaded.iter().chain(&self.light).map(|loaded| loaded.canceller.clone());
        networks.chain(self.device.clone()).chain(self.faces.cancellers.iter().cloned()).collect()
    }

    /// The network for frames that have no time for the other.
    pub fn light(&self) -> Option<&Loaded> {
        self.light.as_ref()
    }

    /// What upscales, `None` without a network.
    pub fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }
}

impl<S: TensorSample> Enhancer<S> {
    /// Forgets the past. Call it wherever frames stop being neighbours. A cancelled run stays
    /// cancelled: the flush that asked for it says when it is over.
    pub fn reset(&mut self) {
        self.ahead.reset();
        self.making().forget();
    }

    /// As [`Self::reset`], for frames to come: the maker forgets when it gets to them.
    pub fn reset_ahead(&mut self) {
        self.ahead.reset();
    }
}
