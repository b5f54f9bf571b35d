//! A network of any kind, run on pictures in floats: some in, numbers out. Upscalers have
//! their own way ([`super::onnx`]), which converts samples inside the network.

use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayView4;
use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, TensorRef};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::onnx::{Options, Stop};
use super::provider::{Active, choose};
use super::runtime::Runtime;
use super::session::{Work, blame_model, one_line, start};
use super::shared::Shared;
use super::{Cancel, InferError, accelerator};
use crate::image::Size;
use crate::model::onnx_file::{Element, OnnxFile, TensorInfo};

/// A loaded network whose inputs and outputs are 32-bit floats.
pub struct TensorNetwork {
    session: Arc<Shared>,
    model: String,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    active: Active,
    device: i32,
    stop: Arc<Stop>,
    /// On a GPU, a thread of its own that is there for good, whoever asks: the runtime makes a stream and handles of NVIDIA's libraries for
    /// each thread that is new to it.
    thread: Option<ThreadPool>,
}

impl TensorNetwork {
    /// Loads a network.
    ///
    /// # Errors
    /// [`InferError::Model`] when the file cannot be read or run, other [`InferError`]s when the
    /// provider cannot be used.
    pub fn load(runtime: &'static Runtime, path: &Path, options: &Options) -> Result<Self, InferError> {
        let model = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        let refuse = |reason| InferError::Model { model: String::clone(&model), reason };
        let file = OnnxFile::read(path).map_err(|err| refuse(err.to_string()))?;
        let attempt = |provider| start(runtime, path, &file.bytes, provider, options, Work::Faces);
        let (session, active) =
            choose(options.choice, &model, attempt).map_err(|err| blame_model(err, &model, options))?;
        let stop = Arc::new(Stop::new().map_err(|err| refuse(one_line(&err)))?);
        let thread = || ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "facesr-gpu".into()).build();
        let thread = active.provider.is_gpu().then(thread).transpose();
        let thread = thread.map_err(|err| refuse(format!("no thread can be had: {err}")))?;
        Ok(Self {
            session,
            model,
            inputs: file.inputs,
            outputs: file.outputs,
            active,
            device: options.device,
            stop,
            thread,
        })
    }

    /// Name to show: the file's without its extension.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What it takes, in order.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// What it gives, in order.
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// Takes this one of its outputs alone from now on, by its place in [`Self::outputs`].
    ///
    /// # Panics
    /// If there is none in that place.
    pub fn keep_output(&mut self, at: usize) {
        self.outputs = vec![self.outputs.swap_remove(at)];
    }

    /// What runs it.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// Stops a run from another thread.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.stop.clone()
    }

    /// Runs it on one array an input, in order, each `[count, channels, height, width]`, and gives
    /// the numbers of each output. An input of fewer dimensions takes the last ones: a single
    /// number is `[1, 1, 1, 1]` here. Numbers are made 64 bits wide for an input that wants that.
    ///
    /// # Errors
    /// [`InferError::Run`] in the runtime's words, [`InferError::NotFinite`] for NaN and infinity,
    /// [`InferError::Cancelled`] if it was stopped.
    pub fn run(&mut self, pictures: &[ArrayView4<'_, f32>]) -> Result<Vec<Vec<f32>>, InferError> {
        let size = pictures.first().map_or(Size::new(0, 0), |first| Size::new(first.dim().3, first.dim().2));
        let (model, stop) = (self.model.clone(), self.stop.clone());
        let (provider, device) = (self.active.provider, self.device);
        let failed = |reason| match stop.is_cancelled() {
            true => InferError::Cancelled,
            false => {
                let reason = accelerator::of_run(provider, device, reason);
                InferError::Run { model: model.clone(), size, reason }
            }
        };
        if pictures.len() != self.inputs.len() {
            return Err(failed(format!("it takes {} pictures, not {}", self.inputs.len(), pictures.len())));
        }
        let standard: Vec<_> = pictures.iter().map(|picture| picture.as_standard_layout()).collect();
        let mut inputs = Vec::new();
        for (input, picture) in self.inputs.iter().zip(&standard) {
            let samples = picture.as_slice().expect("standard layout is contiguous");
            let shape = shape_of(picture.shape(), input.dims.len()).map_err(&failed)?;
            let value: SessionInputValue<'_> = if input.element == Some(Element::F64) {
                let wide: Vec<f64> = samples.iter().map(|&value| f64::from(value)).collect();
                Tensor::from_array((shape, wide)).map_err(|err| failed(one_line(&err)))?.into()
            } else {
                TensorRef::from_array_view((shape, samples)).map_err(|err| failed(one_line(&err)))?.into()
            };
            inputs.push((input.name.as_str(), value));
        }
        let outputs = &self.outputs;
        let shape: Vec<_> = pictures.iter().flat_map(|picture| picture.shape()).copied().collect();
        let on_session = |session: &mut Session| {
            let made = session.run_with_options(inputs, &self.stop.options);
            let made = made.map_err(|err| failed(one_line(&err)))?;
            let mut numbers = Vec::new();
            for output in outputs {
                let (_, values) = made[output.name.as_str()]
                    .try_extract_tensor::<f32>()
                    .map_err(|err| failed(one_line(&err)))?;
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(InferError::NotFinite);
                }
                numbers.push(values.to_vec());
            }
            Ok(numbers)
        };
        let run = || self.session.run(&shape, || stop.is_cancelled(), on_session);
        let ran = match &self.thread {
            Some(thread) => thread.install(run),
            None => run(),
        };
        ran.unwrap_or(Err(InferError::Cancelled))
    }
}

/// The last dimensions of an array, where the others are 1.
fn shape_of(shape: &[usize], dimensions: usize) -> Result<Vec<usize>, String> {
    let (first, last) = shape.split_at(shape.len().saturating_sub(dimensions));
    match dimensions <= shape.len() && first.iter().all(|&length| length == 1) {
        true => Ok(last.to_vec()),
        false => Err(format!("{shape:?} does not fit {dimensions} dimensions")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_dimensions_are_the_last_ones_and_nothing_is_lost() {
        for (shape, dimensions, expected) in [
            (vec![2, 3, 4, 5], 4, Some(vec![2, 3, 4, 5])),
            (vec![1, 3, 4, 5], 3, Some(vec![3, 4, 5])),
            (vec![1, 1, 1, 1], 1, Some(vec![1])),
            (vec![1, 1, 1, 1], 0, Some(vec![])),
            (vec![2, 3, 4, 5], 3, None),
            (vec![1, 1, 1, 2], 0, None),
            (vec![1, 1, 1, 1], 5, None),
        ] {
            assert_eq!(shape_of(&shape, dimensions).ok(), expected, "{shape:?} as {dimensions}");
        }
    }
}
