//! The large picture kept where the network runs: it is made, blended with what was seen before and converted to samples there,
//! and only the finished frame comes to the host.
//!
//! ```text
//! input samples -> network -> levels -+-> blend -> history, for the next frame
//!          maps -> fetch -------------+        \-> finished samples -> deliver -> host
//! ```
//!
//! Maps that are known before the network runs are fetched meanwhile; finished samples can be [delivered](Deliver) while it runs on the
//! next frame, by another thread of the caller's.
//! Graphs are chained by bindings of ONNX Runtime. What stays on the device is held as a handle ([`Levels`]) that nothing here reads.

mod bound;
mod finished;
mod graphs;
mod host;
mod stage;
mod trial;

use std::marker::PhantomData;
use std::sync::Arc;

use ort::memory::AllocationDevice;
use ort::value::{DynTensor, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

pub use bound::Moved;
use bound::{Graph, Place, Source, Tally, Target};
use finished::Delivery;
pub use finished::{Deliver, Finished};
use graphs::Shape;
use stage::{Blending, Stage, fetched};
pub use trial::{Case, Compared, compare};

use super::foreign::kernels::Kernels;
use super::graph::{self, Made};
use super::onnx::{Options, Stop, TensorSample, prepare};
use super::provider::{Active, Provider};
use super::runtime::Runtime;
use super::session::one_line;
use super::{Cancel, InferError, accelerator};
use crate::image::planar::{COLOURS, Planar};
use crate::image::{Picture, Size, View};
use crate::model::contract::{InputSize, Upscaler};

/// Side of the small picture that everything is tried on.
const TRIAL: usize = 16;

/// What holds back fine differences to the past, which it would blur.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// What is left of them where the picture moves, and what is added to that where it stands still.
    pub kept: (f32, f32),
    /// Pixels of motion per frame between which it comes in.
    pub moving: (f32, f32),
}

/// A large picture on the device: floats in units of samples, `[1, 3, height, width]`.
pub struct Levels {
    tensor: DynTensor,
    /// The maps that it will be blended by, there, if they were known when it was made.
    maps: Option<DynTensor>,
}

/// A network, and the history of what became of its pictures.
pub struct Resident<S> {
    runtime: &'static Runtime,
    model: String,
    scale: usize,
    guard: Option<Guard>,
    options: Options,
    place: Place,
    network: Graph,
    finish: Graph,
    fetch: Graph,
    /// A thread that is there for good: the runtime makes a stream for each that is new to it.
    beside: ThreadPool,
    /// Where samples are not made in memory of the host.
    deliver: Option<Arc<Graph>>,
    take_in: Option<Graph>,
    blending: Blending,
    stage: Option<Stage>,
    past: Option<DynTensor>,
    stop: Arc<Stop>,
    tally: Tally,
    _sample: PhantomData<S>,
}

impl<S: TensorSample> Resident<S> {
    /// Loads a colour network of a factor, and tries it and the blend on a small picture. With a guard, fine differences to the past are held back.
    ///
    /// # Errors
    /// [`InferError`] in the runtime's words, of the trial too; [`InferError::Provider`] where the provider runs but a part of the blend.
    pub fn load(
        runtime: &'static Runtime,
        file: &Upscaler,
        scale: usize,
        guard: Option<Guard>,
        options: &Options,
    ) -> Result<Self, InferError> {
        let refuse = |reason| InferError::Model { model: file.name.clone(), reason };
        let spliced = prepare::<S>(file, Made::Levels, options).map_err(refuse)?;
        let network = Graph::start(runtime, (&file.name, &file.path), &spliced, options)?;
        let place = Place::of(network.active(), options);
        let options = place.options(options);
        let graph = |name, bytes: &[u8]| Graph::start_ours(runtime, name, bytes, &options);
        let finish = graph("facesr-finish", &graphs::finish(S::BITS))?;
        let fetch = graph("facesr-fetch", &graphs::fetch())?;
        let deliver =
            place.is_gpu().then(|| graph("facesr-deliver", &graphs::deliver(S::BITS))).transpose()?;
        let beside = ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "facesr-fetch".into()).build();
        let beside = beside.map_err(|err| refuse(format!("no thread can be had: {err}")))?;
        let stop = Arc::new(Stop::new().map_err(|err| refuse(one_line(&err)))?);
        let mut resident = Self {
            runtime,
            model: file.name.clone(),
            scale,
            guard,
            options,
            place,
            network,
            finish,
            fetch,
            beside,
            deliver: deliver.map(Arc::new),
            take_in: None,
            blending: Blending::Operators(None),
            stage: None,
            past: None,
            stop,
            tally: Tally::default(),
            _sample: PhantomData,
        };
        // TensorRT would build an engine for it.
        if resident.active().provider != Provider::TensorRt {
            resident.try_out(file.input_size)?;
        }
        if resident.place.is_gpu() {
            resident.take_kernels();
        }
        Ok(resident)
    }

    /// Blends by kernels of ours from here on, if they make what the standard operators do.
    fn take_kernels(&mut self) {
        let small = Size::new(TRIAL + 5, TRIAL - 3);
        let case = Case { small, scale: self.scale, bits: S::BITS, guard: self.guard };
        let taken = Kernels::load(self.options.device).map(Arc::new).and_then(|kernels| {
            let worst = trial::worst(self.runtime, &self.options, &case, &kernels);
            let worst = worst.map_err(|err| err.to_string())?;
            match worst <= trial::MOST_LEVELS {
                true => Ok(kernels),
                false => Err(format!("they differ by up to {worst} levels")),
            }
        });
        self.blending = match taken {
            Ok(kernels) => Blending::Kernels(kernels),
            Err(reason) => Blending::Operators(Some(accelerator::reworded(self.options.device, &reason))),
        };
    }

    /// Why pictures are blended by standard operators where kernels would be several times as fast, if they are.
    pub fn why_no_kernels(&self) -> Option<&str> {
        match &self.blending {
            Blending::Operators(reason) => reason.as_deref(),
            Blending::Kernels(_) => None,
        }
    }

    /// Whether pictures are blended by kernels of ours.
    pub fn has_kernels(&self) -> bool {
        matches!(self.blending, Blending::Kernels(_))
    }

    /// Makes an output, and another one of it. What loads may yet fail when it runs.
    fn try_out(&mut self, input: InputSize) -> Result<(), InferError> {
        let small = input.for_trial(TRIAL);
        let large = small.times(self.scale);
        let grey = Picture::from_elem((small.height, small.width, COLOURS), S::from_f32(S::WHITE / 2.0));
        let mut made = Picture::from_elem((large.height, large.width, COLOURS), S::zeroed());
        for _ in 0..2 {
            let levels = match self.upscale(grey.view(), None) {
                Err(InferError::NotFinite) => self.take_in(made.view())?,
                levels => levels?,
            };
            self.blend(levels, &Planar::new(small), Deliver::Later)?.give(made.view_mut())?;
        }
        (self.stage, self.past, self.tally) = (None, None, Tally::default());
        Ok(())
    }

    /// What runs the network.
    pub fn active(&self) -> &Active {
        self.network.active()
    }

    /// Stops a run from another thread.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.stop.clone()
    }

    /// What was moved from and to the host so far.
    pub fn moved(&self) -> Moved {
        self.tally.moved()
    }

    /// Forgets the past.
    pub fn forget(&mut self) {
        self.past = None;
    }

    /// Whether there is an output to go on from.
    pub fn has_past(&self) -> bool {
        self.past.is_some()
    }

    /// Runs the network on a picture of three channels, or four of which the last is left out. What it makes stays there. Maps that it
    /// is to be [blended](Self::blend) by are fetched meanwhile, if they are known already.
    ///
    /// # Errors
    /// [`InferError::NotFinite`] where it made values that are no numbers, else as an upscaler's.
    pub fn upscale(&mut self, input: View<'_, S>, maps: Option<&Planar<4>>) -> Result<Levels, InferError> {
        let small = Size::of(&input);
        self.prepare(small)?;
        let Self { stage: Some(stage), network, fetch, beside, stop, place, tally, options, .. } = self
        else {
            return Err(InferError::Cancelled);
        };
        let failed = failed(&self.model, small);
        host::write_samples(input, &mut stage.input).map_err(&failed)?;
        let outputs = [(graph::LEVELS, Target::Device), (graph::FINITE, Target::Number)];
        let inputs = [(graph::INPUT, Source::Host(&stage.input))];
        let to_maps = &mut stage.maps;
        let (run, tally) = ((&**stop, *place, small), &*tally);
        let mut fetching = Ok(None);
        let made = beside.in_place_scope(|scope| {
            if let Some(maps) = maps {
                let fetching = &mut fetching;
                scope.spawn(move |_| {
                    *fetching = fetched(fetch, run, (maps, to_maps, options.threads), tally).map(Some);
                });
            }
            network.run(run, &inputs, outputs, tally)
        });
        let ([levels, finite], maps) = (made?, fetching?);
        let &[_, channels, height, width] = &**levels.shape() else {
            return Err(failed(format!("it gave {} dimensions", levels.shape().len())));
        };
        let made = Size::new(width as usize, height as usize);
        if made != stage.large || channels != 3 {
            let reason = format!("it made {made} of {channels} channels instead of {}", stage.large);
            return Err(InferError::NotAnUpscaler { model: self.model.clone(), reason });
        }
        let sum = finite.try_extract_scalar::<f32>().map_err(|err| failed(one_line(&err)))?;
        match sum.is_finite() {
            true => Ok(Levels { tensor: levels, maps }),
            false => Err(InferError::NotFinite),
        }
    }

    /// Takes in a large picture of the host in place of what the network makes of `small`.
    ///
    /// # Errors
    /// As [`Self::upscale`].
    pub fn take_in(&mut self, picture: View<'_, S>) -> Result<Levels, InferError> {
        let large = Size::of(&picture);
        if self.take_in.is_none() {
            let bytes = graphs::take_in(S::BITS);
            let graph = Graph::start_ours(self.runtime, "facesr-take-in", &bytes, &self.options)?;
            self.take_in = Some(graph);
        }
        let Self { take_in: Some(graph), stop, place, tally, .. } = self else {
            return Err(InferError::Cancelled);
        };
        let mut taken = graph.host_tensor::<S>(*place, &[1, large.height, large.width, 3])?;
        host::write_samples(picture, &mut taken).map_err(failed(&self.model, large))?;
        let inputs = [(graphs::TAKEN, Source::Host(&taken))];
        let [levels] = graph.run((stop, *place, large), &inputs, [(graph::LEVELS, Target::Device)], tally)?;
        Ok(Levels { tensor: levels, maps: None })
    }

    /// The output is what the network made, and remembered.
    ///
    /// # Errors
    /// [`InferError`] in the runtime's words.
    pub fn begin(&mut self, levels: Levels, deliver: Deliver) -> Result<Finished<S>, InferError> {
        self.past = Some(levels.tensor);
        self.repeat(deliver)
    }

    /// The last output again.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn repeat(&mut self, deliver: Deliver) -> Result<Finished<S>, InferError> {
        let to = self.target(deliver);
        let Self { stage: Some(stage), past: Some(past), finish, stop, place, tally, .. } = self else {
            return Err(failed(&self.model, Size::new(0, 0))("there is no output to repeat".into()));
        };
        let inputs = [(graphs::PAST, Source::Device(past))];
        let [finished] = finish.run((stop, *place, stage.large), &inputs, [(graphs::FINISHED, to)], tally)?;
        Ok(self.finished(finished, to))
    }

    /// Blends the past into what the network made, by maps at the input's size of the motion into the past in pixels of
    /// the input, of the share of the past and of the speed; where nothing is past, as [`Self::begin`].
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn blend(
        &mut self,
        levels: Levels,
        maps: &Planar<4>,
        deliver: Deliver,
    ) -> Result<Finished<S>, InferError> {
        let to = self.target(deliver);
        let Self { stage: Some(stage), past: Some(past), fetch, stop, place, tally, options, .. } = self
        else {
            return self.begin(levels, deliver);
        };
        let maps = match levels.maps {
            Some(maps) => maps,
            None => {
                let run = (&**stop, *place, stage.small);
                fetched(fetch, run, (maps, &mut stage.maps, options.threads), tally)?
            }
        };
        let inputs = [
            (graph::LEVELS, Source::Device(&levels.tensor)),
            (graphs::PAST, Source::Device(past)),
            (graphs::FETCHED, Source::Device(&maps)),
        ];
        let outputs = [(graphs::HISTORY, Target::Device), (graphs::FINISHED, to)];
        let [history, finished] = stage.blend.run((stop, *place, stage.large), &inputs, outputs, tally)?;
        self.past = Some(history);
        Ok(self.finished(finished, to))
    }

    /// Where finished samples go.
    fn target(&self, deliver: Deliver) -> Target {
        match (deliver, &self.deliver) {
            (Deliver::Later, Some(_)) => Target::Device,
            _ => Target::Host,
        }
    }

    fn finished(&self, samples: DynTensor, at: Target) -> Finished<S> {
        let graph = self.deliver.as_ref().filter(|_| at == Target::Device);
        let delivery = graph.map(|graph| Delivery {
            graph: graph.clone(),
            stop: self.stop.clone(),
            place: self.place,
            tally: self.tally.clone(),
        });
        Finished::new(samples, delivery, (&self.model, self.options.threads))
    }

    /// Hands out the history, red, green and blue in units of samples, for who goes on elsewhere. It is moved to the host.
    ///
    /// # Errors
    /// [`InferError`] in the runtime's words; there is no past then.
    pub fn take_past(&mut self) -> Result<Option<Planar<COLOURS>>, InferError> {
        let (Some(past), Some(stage)) = (self.past.take(), &self.stage) else { return Ok(None) };
        let failed = failed(&self.model, stage.large);
        let on_host = past.to(AllocationDevice::CPU, 0).map_err(|err| failed(one_line(&err)))?;
        let (_, levels) = on_host.try_extract_tensor::<f32>().map_err(|err| failed(one_line(&err)))?;
        self.tally.add(0, size_of_val(levels));
        Ok(Some(host::planar(levels, stage.large)))
    }

    /// Goes on with a history that was made on the host, of pictures of `small`; one of another size is left.
    ///
    /// # Errors
    /// As [`Self::take_past`].
    pub fn give_past(&mut self, past: &Planar<COLOURS>, small: Size) -> Result<(), InferError> {
        self.prepare(small)?;
        let large = small.times(self.scale);
        self.past = None;
        if past.size != large {
            return Ok(());
        }
        let levels = host::tensor(past);
        self.tally.add(size_of_val(levels.as_slice()), 0);
        let tensor = Tensor::from_array(([1, 3, large.height, large.width], levels));
        let tensor = tensor.map_err(|err| failed(&self.model, large)(one_line(&err)))?;
        self.past = Some(tensor.upcast());
        Ok(())
    }

    /// Makes ready for inputs of a size.
    fn prepare(&mut self, small: Size) -> Result<(), InferError> {
        if self.stage.as_ref().is_some_and(|stage| stage.small == small) {
            return Ok(());
        }
        self.stage = None;
        self.past = None;
        let large = small.times(self.scale);
        let shape = Shape { small, large, bits: S::BITS, guard: self.guard };
        let blend = self.blending.graph(self.runtime, &shape, &self.options)?;
        self.stage = Some(Stage::new::<S>(&shape, blend, self.place, &self.finish)?);
        Ok(())
    }
}

fn failed(model: &str, size: Size) -> impl Fn(String) -> InferError + use<> {
    let model = model.to_string();
    move |reason| InferError::Run { model: model.clone(), size, reason }
}
