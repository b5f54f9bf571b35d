//! The large picture kept where the network runs: it is made, blended with what was seen before and converted to samples there,
//! and only the finished frame comes to the host.
//!
//! ```text
//! input samples -> network -> levels -+-> blend -> history, for the next frame
//!                       maps ---------+        \-> finished samples -> host
//! ```
//!
//! Graphs are chained by bindings of ONNX Runtime. What stays on the device is held as a handle ([`Levels`]) that nothing here reads.

mod bound;
mod graphs;
mod host;

use std::marker::PhantomData;
use std::sync::Arc;

use ort::memory::AllocationDevice;
use ort::value::{DynTensor, Tensor};

pub use bound::Moved;
use bound::{Graph, Place, Source, Target};
use graphs::Shape;

use super::graph::{self, Made};
use super::onnx::{Options, Stop, TensorSample, prepare};
use super::provider::{Active, Provider};
use super::runtime::Runtime;
use super::session::one_line;
use super::{Cancel, InferError};
use crate::image::planar::{COLOURS, Planar};
use crate::image::{Picture, Size, View, ViewMut, view};
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
    /// The maps that it will be blended by lie ready.
    has_maps: bool,
}

/// A finished picture in memory of the host that the device wrote, apart from what goes on there.
pub struct Finished<S> {
    samples: DynTensor,
    model: String,
    /// The most that copy it.
    threads: usize,
    _sample: PhantomData<S>,
}

impl<S: TensorSample> Finished<S> {
    /// Copies it to where it is wanted; an alpha there stays.
    ///
    /// # Errors
    /// [`InferError::Run`] where that has another size.
    pub fn give(&self, output: ViewMut<'_, S>) -> Result<(), InferError> {
        let size = Size::of(&output.view());
        let failed = failed(&self.model, size);
        let (shape, samples) =
            self.samples.try_extract_tensor::<S>().map_err(|err| failed(one_line(&err)))?;
        if **shape != [1, size.height as i64, size.width as i64, 3] {
            return Err(failed("the output has another size".into()));
        }
        let picture = view(samples, size, 3, size.width * 3);
        let picture = picture.ok_or_else(|| failed("it gave no picture".into()))?;
        host::copy_by(self.threads, picture, output);
        Ok(())
    }
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
    take_in: Option<Graph>,
    stage: Option<Stage>,
    past: Option<DynTensor>,
    stop: Arc<Stop>,
    moved: Moved,
    _sample: PhantomData<S>,
}

/// What is there for one size: a graph, and memory of the host that is read there.
struct Stage {
    small: Size,
    large: Size,
    blend: Graph,
    input: DynTensor,
    maps: DynTensor,
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
        let finish = Graph::start_ours(runtime, "facesr-finish", &graphs::finish(S::BITS), &options)?;
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
            take_in: None,
            stage: None,
            past: None,
            stop,
            moved: Moved::default(),
            _sample: PhantomData,
        };
        // TensorRT would build an engine for it.
        if resident.active().provider != Provider::TensorRt {
            resident.try_out(file.input_size)?;
        }
        Ok(resident)
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
            self.blend(levels, &Planar::new(small))?.give(made.view_mut())?;
        }
        (self.stage, self.past, self.moved) = (None, None, Moved::default());
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
        self.moved
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
    /// is to be [blended](Self::blend) by are made ready meanwhile, if they are known already.
    ///
    /// # Errors
    /// [`InferError::NotFinite`] where it made values that are no numbers, else as an upscaler's.
    pub fn upscale(&mut self, input: View<'_, S>, maps: Option<&Planar<4>>) -> Result<Levels, InferError> {
        let small = Size::of(&input);
        self.prepare(small)?;
        let Self { stage: Some(stage), network, stop, place, moved, options, .. } = self else {
            return Err(InferError::Cancelled);
        };
        let failed = failed(&self.model, small);
        host::write_samples(input, &mut stage.input).map_err(&failed)?;
        let outputs = [(graph::LEVELS, Target::Device), (graph::FINITE, Target::Number)];
        let inputs = [(graph::INPUT, Source::Host(&stage.input))];
        let to_maps = &mut stage.maps;
        let [levels, finite] = std::thread::scope(|scope| {
            // Not by `rayon`, of which a thread would wait for the device.
            let writing = maps.map(|maps| scope.spawn(|| host::write_maps(maps, to_maps, options.threads)));
            let made = network.run((stop, *place, small), &inputs, outputs, moved);
            let written = writing
                .map(|writing| writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            written.transpose().map_err(&failed)?;
            made
        })?;
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
            true => Ok(Levels { tensor: levels, has_maps: maps.is_some() }),
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
        let Self { take_in: Some(graph), stop, place, moved, .. } = self else {
            return Err(InferError::Cancelled);
        };
        let mut taken = graph.host_tensor::<S>(*place, &[1, large.height, large.width, 3])?;
        host::write_samples(picture, &mut taken).map_err(failed(&self.model, large))?;
        let inputs = [(graphs::TAKEN, Source::Host(&taken))];
        let [levels] = graph.run((stop, *place, large), &inputs, [(graph::LEVELS, Target::Device)], moved)?;
        Ok(Levels { tensor: levels, has_maps: false })
    }

    /// The output is what the network made, and remembered.
    ///
    /// # Errors
    /// [`InferError`] in the runtime's words.
    pub fn begin(&mut self, levels: Levels) -> Result<Finished<S>, InferError> {
        self.past = Some(levels.tensor);
        self.repeat()
    }

    /// The last output again.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn repeat(&mut self) -> Result<Finished<S>, InferError> {
        let Self { stage: Some(stage), past: Some(past), finish, stop, place, moved, .. } = self else {
            return Err(failed(&self.model, Size::new(0, 0))("there is no output to repeat".into()));
        };
        let inputs = [(graphs::PAST, Source::Device(past))];
        let outputs = [(graphs::FINISHED, Target::Host)];
        let [finished] = finish.run((stop, *place, stage.large), &inputs, outputs, moved)?;
        Ok(self.finished(finished))
    }

    /// Blends the past into what the network made, by maps at the input's size of the motion into the past in pixels of
    /// the input, of the share of the past and of the speed; where nothing is past, as [`Self::begin`].
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn blend(&mut self, levels: Levels, maps: &Planar<4>) -> Result<Finished<S>, InferError> {
        let Self { stage: Some(stage), past: Some(past), stop, place, moved, options, .. } = self else {
            return self.begin(levels);
        };
        let failed = failed(&self.model, stage.large);
        if !levels.has_maps {
            host::write_maps(maps, &mut stage.maps, options.threads).map_err(&failed)?;
        }
        let inputs = [
            (graph::LEVELS, Source::Device(&levels.tensor)),
            (graphs::PAST, Source::Device(past)),
            (graphs::MAPS, Source::Host(&stage.maps)),
        ];
        let outputs = [(graphs::HISTORY, Target::Device), (graphs::FINISHED, Target::Host)];
        let [history, finished] = stage.blend.run((stop, *place, stage.large), &inputs, outputs, moved)?;
        self.past = Some(history);
        Ok(self.finished(finished))
    }

    fn finished(&self, samples: DynTensor) -> Finished<S> {
        let (model, threads) = (self.model.clone(), self.options.threads);
        Finished { samples, model, threads, _sample: PhantomData }
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
        self.moved.out_bytes += size_of_val(levels);
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
        self.moved.in_bytes += size_of_val(levels.as_slice());
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
        let blend = Graph::start_ours(self.runtime, "facesr-blend", &graphs::blend(&shape), &self.options)?;
        let (place, host) = (self.place, &self.finish);
        self.stage = Some(Stage {
            small,
            large,
            blend,
            input: host.host_tensor::<S>(place, &[1, small.height, small.width, 3])?,
            maps: host.host_tensor::<f32>(place, &[4, small.height, small.width])?,
        });
        Ok(())
    }
}

fn failed(model: &str, size: Size) -> impl Fn(String) -> InferError + use<> {
    let model = model.to_string();
    move |reason| InferError::Run { model: model.clone(), size, reason }
}
