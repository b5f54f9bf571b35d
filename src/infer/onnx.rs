//! A network run by ONNX Runtime.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ort::session::{RunOptions, Session};
use ort::value::{PrimitiveTensorElementType, TensorRef};

use super::graph::Made;
use super::planes::{Given, Planes};
use super::precision::Precision;
use super::provider::{Active, Choice, Provider, choose};
use super::runtime::Runtime;
use super::session::{Idle, Work, blame_model, one_line, start, start_alone};
use super::shared::{Shared, Users};
use super::{
    Cancel, InferError, Network, TakeEach, accelerator, convolution, fp16, graph, one_after_another,
};
use crate::image::{Picture, Sample, Size, View, view};
use crate::model::contract::{InputSize, Upscaler, whole_scale};

/// Samples that ONNX Runtime knows, too.
pub trait TensorSample: Sample + PrimitiveTensorElementType {}
impl TensorSample for u8 {}
impl TensorSample for u16 {}

/// Side of the picture, in pixels, that a network of unknown factor is tried on.
const TRIAL: usize = 16;

/// Lanes at most: each has a copy of the weights.
const MOST_LANES: usize = 8;
/// Bytes of a file at most of which there are several.
const LIGHT: usize = 8 << 20;
const NO_PICTURE: &str = "it gave no whole picture";

/// How to run a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Execution provider.
    pub choice: Choice,
    /// Number of the device, for providers that have several.
    pub device: i32,
    /// How exactly to compute.
    pub precision: Precision,
    /// Where providers that compile networks keep the result; `None` to compile each time.
    pub cache_dir: Option<PathBuf>,
    /// Threads of the processor; 0 for one per core.
    pub threads: usize,
    /// Who shares the loaded network: those of the same name; `None` is a name, too.
    pub instance: Option<String>,
    /// What nobody uses yet.
    pub trials: Trials,
}

/// Settings of CUDA for measurements: what they bring is not known of any GPU yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trials {
    /// Convolutions take pictures whose channels lie together, as tensor cores want 16-bit floats.
    pub channels_last: bool,
    /// A bias is added by the convolution instead of a kernel after it, which cuDNN compiles when it is first run.
    pub fused_bias: bool,
}

/// A loaded network.
pub struct OnnxNetwork<S> {
    session: Arc<Shared>,
    model: String,
    scale: usize,
    channels: usize,
    input_size: InputSize,
    active: Active,
    stop: Arc<Stop>,
    /// On the processor: what samples become, and what becomes of what it gives.
    planes: Option<Planes>,
    scratch: Scratch<S>,
    /// Of pictures that are run at the same time.
    beside: Vec<Scratch<S>>,
    receptive_radius: Option<usize>,
    /// What more sessions are started with.
    runtime: &'static Runtime,
    path: PathBuf,
    options: Options,
}

/// What a run on planes works in.
struct Scratch<S> {
    taken: Vec<f32>,
    given: Given<S>,
}

impl<S: Sample> Scratch<S> {
    fn new() -> Self {
        Self { taken: Vec::new(), given: Given::new() }
    }

    /// Runs a session on a picture, and makes a picture of what it gives by so many threads of ours. Answers whether all of it is numbers.
    fn run(
        &mut self,
        (session, stop): (&mut Session, &Stop),
        planes: &Planes,
        picture: View<'_, S>,
        threads: usize,
    ) -> Result<bool, String> {
        let text = |err: ort::Error| one_line(&err);
        let Self { taken, given } = self;
        planes.take_in(picture, taken);
        let Size { width, height } = Size::of(&picture);
        let input =
            TensorRef::from_array_view(([1, picture.dim().2, height, width], &taken[..])).map_err(text)?;
        let inputs = ort::inputs![planes.input.as_str() => input];
        let outputs = session.run_with_options(inputs, &stop.options).map_err(text)?;
        let (shape, floats) = outputs[planes.output.as_str()].try_extract_tensor::<f32>().map_err(text)?;
        let &[1, channels, height, width] = &**shape else {
            return Err(format!("it gave no picture but {shape:?}"));
        };
        given.fill(planes, floats, [channels, height, width].map(|length| length as usize), threads)
    }
}

/// The handle that stops a run. `cancelled` tells a stop apart from a failure.
pub(super) struct Stop {
    pub(super) options: RunOptions,
    cancelled: AtomicBool,
}

impl Stop {
    pub(super) fn new() -> ort::Result<Self> {
        Ok(Self { options: RunOptions::new()?, cancelled: AtomicBool::new(false) })
    }

    /// Whether what failed was stopped.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

impl Cancel for Stop {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        // Cannot fail but for lack of memory; the next check of the flag stops the run then.
        let _ = self.options.terminate();
    }

    fn resume(&self) {
        let _ = self.options.unterminate();
        self.cancelled.store(false, Ordering::SeqCst);
    }
}

impl<S: TensorSample> OnnxNetwork<S> {
    /// Loads a network, and tries it once on a small picture if its file leaves the size open.
    ///
    /// # Errors
    /// [`InferError`], with the reason in the runtime's words.
    pub fn load(runtime: &'static Runtime, model: &Upscaler, options: &Options) -> Result<Self, InferError> {
        let name = model.name.clone();
        let refuse = |reason| InferError::Model { model: name.clone(), reason };
        let spliced = prepare::<S>(model, Made::Samples, options).map_err(refuse)?;
        let planes = Some(model).filter(|_| options.precision != Precision::Fp16).and_then(Planes::of::<S>);
        let network = |provider, session| -> Result<Self, String> {
            Ok(Self {
                session,
                scale: model.scale.unwrap_or(0),
                channels: model.channels,
                input_size: model.input_size,
                active: Active { provider, nodes: Vec::new(), refused: Vec::new() },
                stop: Arc::new(Stop::new().map_err(|err| one_line(&err))?),
                model: name.clone(),
                planes: planes.clone().filter(|_| provider == Provider::Cpu),
                scratch: Scratch::new(),
                beside: Vec::new(),
                receptive_radius: model.receptive_radius,
                runtime,
                path: model.path.clone(),
                options: options.clone(),
            })
        };
        let says_all = matches!(model.input_size, InputSize::Fixed(_)) && model.scale.is_some();
        let attempt = |provider| {
            let file =
                planes.as_ref().filter(|_| provider == Provider::Cpu).map_or(&spliced, |planes| &planes.file);
            let (session, nodes) = start(runtime, &model.path, file, provider, options, Work::Frames)?;
            let mut network = network(provider, session)?;
            // Bands promise the same bits, and tiles of ours lie elsewhere in each.
            if provider == Provider::Cpu && network.receptive_radius.is_some() && convolution::takes_any(file)
            {
                network.receptive_radius = None;
            }
            // What loads on another may yet fail when it runs. On the processor that is the network's fault.
            let tried =
                (!says_all || provider != Provider::Cpu).then(|| network.measure_scale(model)).transpose();
            match tried {
                Err(InferError::Run { reason, .. }) if provider != Provider::Cpu => Err(reason),
                tried => Ok(((network, tried), nodes)),
            }
        };
        let ((mut network, tried), active) =
            choose(options.choice, &name, attempt).map_err(|err| blame_model(err, &name, options))?;
        let tried = tried.map_err(|err| match err {
            InferError::Run { model, reason, .. } => InferError::NotAnUpscaler { model, reason },
            err => err,
        })?;
        network.scale = tried.unwrap_or(network.scale);
        network.active = active;
        Ok(network)
    }

    /// What runs it.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// Who else runs it.
    pub fn users(&self) -> Users {
        Users::of(&self.session)
    }

    /// The factor as a small grey picture shows it.
    fn measure_scale(&mut self, model: &Upscaler) -> Result<usize, InferError> {
        let refuse = |reason| InferError::NotAnUpscaler { model: model.name.clone(), reason };
        let size = model.input_size.for_trial(TRIAL);
        let grey = Picture::from_elem((size.height, size.width, self.channels), S::from_f32(S::WHITE / 2.0));
        let mut made = (0, 0, 0);
        self.run_any(grey.view(), &mut |picture, _| made = picture.dim())?;
        let (height, width, channels) = made;
        if channels != self.channels {
            let reason = format!("it makes {channels} channels of {}", self.channels);
            return Err(refuse(reason));
        }
        let scale = whole_scale(size, Size::new(width, height)).map_err(refuse)?;
        match model.scale {
            Some(said) if said != scale => {
                Err(refuse(format!("its sidecar says x{said}, it enlarges by {scale}")))
            }
            _ => Ok(scale),
        }
    }

    /// Runs it and hands over whatever picture it makes, and whether all of it was numbers.
    fn run_any(
        &mut self,
        picture: View<'_, S>,
        take: &mut dyn FnMut(View<'_, S>, bool),
    ) -> Result<(), InferError> {
        if self.stop.is_cancelled() {
            return Err(InferError::Cancelled);
        }
        match self.planes.is_some() {
            true => self.run_on_planes(picture, take),
            false => self.run_on_samples(picture, take),
        }
    }

    /// As [`Self::run_any`], where our own code makes planes of samples and samples of planes.
    fn run_on_planes(
        &mut self,
        picture: View<'_, S>,
        take: &mut dyn FnMut(View<'_, S>, bool),
    ) -> Result<(), InferError> {
        let Self { session, model, stop, planes: Some(planes), scratch, options, .. } = self else {
            return Ok(());
        };
        let failed = failed_run(model, stop, Size::of(&picture));
        let ran = session.run(
            picture.shape(),
            || stop.is_cancelled(),
            |session| scratch.run((session, stop), planes, picture, options.threads),
        );
        let is_finite = ran.ok_or(InferError::Cancelled)?.map_err(&failed)?;
        take(scratch.given.picture().ok_or_else(|| failed(NO_PICTURE.into()))?, is_finite);
        Ok(())
    }

    /// Runs several pictures at the same time, each on a thread and a session of its own. Answers of each whether all of it is
    /// numbers; they lie in `beside`.
    fn run_beside(&mut self, pictures: &[Picture<S>]) -> Result<Vec<bool>, InferError> {
        let lanes = self.lanes();
        let Self { session, model, stop, planes: Some(planes), beside, runtime, path, options, .. } = self
        else {
            return Ok(Vec::new());
        };
        if beside.len() < pictures.len() {
            beside.resize_with(pictures.len(), Scratch::new);
        }
        let alone = Options { threads: 1, ..options.clone() };
        let start = || {
            start_alone(runtime, path, &planes.file, Provider::Cpu, &alone, Idle::Sleep)
                .map(|(session, _)| session)
        };
        let run = |picture: &Picture<S>, scratch: &mut Scratch<S>| {
            let failed = failed_run(model, stop, Size::of(&picture.view()));
            if stop.is_cancelled() {
                return Err(InferError::Cancelled);
            }
            let run = |session: &mut Session| scratch.run((session, stop), planes, picture.view(), 1);
            session.run_beside(start, run).and_then(|result| result).map_err(failed)
        };
        let mut results: Vec<_> = pictures.iter().map(|_| Ok(false)).collect();
        let mut jobs: Vec<_> = pictures.iter().zip(beside).zip(&mut results).collect();
        // The largest is taken first, so that no lane is left with it at the end.
        jobs.sort_by_key(|((picture, _), _)| picture.len());
        let jobs = Mutex::new(jobs);
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
        rayon::scope(|scope| {
            for _ in 0..lanes.min(pictures.len()) {
                scope.spawn(|_| {
                    while let Some(((picture, scratch), result)) = next() {
                        *result = run(picture, scratch);
                    }
                });
            }
        });
        results.into_iter().collect()
    }

    /// As [`Self::run_any`], where nodes around the network do that.
    fn run_on_samples(
        &mut self,
        picture: View<'_, S>,
        take: &mut dyn FnMut(View<'_, S>, bool),
    ) -> Result<(), InferError> {
        let size = Size::of(&picture);
        let stop = &self.stop;
        let (provider, device) = (self.active.provider, self.options.device);
        let failed = failed_run(&self.model, stop, size);
        let failed = |reason| failed(accelerator::of_run(provider, device, reason));
        let samples = picture.to_slice().ok_or_else(|| failed("the picture is not contiguous".into()))?;
        let shape = [1, size.height, size.width, picture.dim().2];
        let input = TensorRef::from_array_view((shape, samples)).map_err(|err| failed(one_line(&err)))?;
        let ran = self.session.run(
            picture.shape(),
            || stop.is_cancelled(),
            |session| {
                let outputs = session
                    .run_with_options(ort::inputs![graph::INPUT => input], &self.stop.options)
                    .map_err(|err| failed(one_line(&err)))?;
                let (shape, samples) =
                    outputs[graph::OUTPUT].try_extract_tensor::<S>().map_err(|err| failed(one_line(&err)))?;
                let &[_, height, width, channels] = &**shape else {
                    return Err(failed(format!("it gave {} dimensions", shape.len())));
                };
                let made = Size::new(width as usize, height as usize);
                let enlarged = view(samples, made, channels as usize, made.width * channels as usize)
                    .ok_or_else(|| failed(format!("it gave no picture but {shape:?}")))?;
                let sum = outputs[graph::FINITE]
                    .try_extract_scalar::<f32>()
                    .map_err(|err| failed(one_line(&err)))?;
                take(enlarged, sum.is_finite());
                Ok(())
            },
        );
        ran.unwrap_or(Err(InferError::Cancelled))
    }
}

/// A run that failed, or was stopped.
fn failed_run(model: &str, stop: &Stop, size: Size) -> impl Fn(String) -> InferError {
    move |reason| match stop.is_cancelled() {
        true => InferError::Cancelled,
        false => InferError::Run { model: model.to_string(), size, reason },
    }
}

/// Whether a picture has the size that the network's factor makes it.
fn check_size<S>(model: &str, expected: Size, made: View<'_, S>) -> Result<(), InferError> {
    let made = Size::of(&made);
    if made == expected {
        return Ok(());
    }
    let reason = format!("it made {made} instead of {expected}");
    Err(InferError::NotAnUpscaler { model: model.to_string(), reason })
}

impl<S: TensorSample> Network<S> for OnnxNetwork<S> {
    fn scale(&self) -> usize {
        self.scale
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn input_size(&self) -> InputSize {
        self.input_size
    }

    fn receptive_radius(&self) -> Option<usize> {
        self.receptive_radius
    }

    fn lanes(&self) -> usize {
        match (&self.planes, self.options.threads) {
            (Some(planes), _) if planes.file.len() > LIGHT => 1,
            (Some(_), 0) => rayon::current_num_threads().min(MOST_LANES),
            (Some(_), threads) => threads.min(MOST_LANES),
            (None, _) => 1,
        }
    }

    fn run_each(&mut self, pictures: &[Picture<S>], take: &mut TakeEach<'_, S>) -> Result<(), InferError> {
        if pictures.len() < 2 || self.lanes() < 2 {
            return one_after_another(self, pictures, take);
        }
        let are_finite = self.run_beside(pictures)?;
        for (number, (picture, is_finite)) in pictures.iter().zip(are_finite).enumerate() {
            let size = Size::of(&picture.view());
            let made = self.beside[number].given.picture();
            let made = made.ok_or_else(|| failed_run(&self.model, &self.stop, size)(NO_PICTURE.into()))?;
            check_size(&self.model, size.times(self.scale), made)?;
            take(number, is_finite.then_some(made));
        }
        Ok(())
    }

    fn run(&mut self, picture: View<'_, S>, take: &mut dyn FnMut(View<'_, S>)) -> Result<(), InferError> {
        let (size, scale, model) = (Size::of(&picture), self.scale, self.model.clone());
        let mut result = Ok(());
        self.run_any(picture, &mut |enlarged, finite| {
            result = check_size(&model, size.times(scale), enlarged);
            match result {
                Ok(()) if finite => take(enlarged),
                Ok(()) => result = Err(InferError::NotFinite),
                Err(_) => {}
            }
        })?;
        result
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        self.stop.clone()
    }
}

/// A small network with convolutions, which NVIDIA's libraries are first asked for when they come, to try providers on.
const TRIAL_NETWORK: &[u8] = include_bytes!("../../models/tiny/compact-x2.onnx");

/// Whether a provider works on this machine: runs a small network on it.
///
/// # Errors
/// Why not, in the runtime's words.
pub fn try_provider(runtime: &'static Runtime, provider: Provider) -> Result<Active, String> {
    let network = Upscaler::from_bytes("trial", TRIAL_NETWORK).map_err(|err| err.to_string())?;
    let options = Options { choice: Choice::Only(provider), ..Options::default() };
    match OnnxNetwork::<u8>::load(runtime, &network, &options) {
        Ok(loaded) => Ok(loaded.active().clone()),
        Err(InferError::Provider { reason, .. }) => Err(reason),
        Err(err) => Err(err.to_string()),
    }
}

/// A network's file for samples, as exact as is asked for.
pub(super) fn prepare<S: Sample>(model: &Upscaler, made: Made, options: &Options) -> Result<Vec<u8>, String> {
    match options.precision {
        Precision::Fp16 => graph::splice(&fp16::halve(model)?, S::BITS, made),
        _ => graph::splice(model, S::BITS, made),
    }
}
