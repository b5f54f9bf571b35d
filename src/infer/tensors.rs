//! A network of any kind, run on pictures in floats: some in, numbers out. Upscalers have
//! their own way ([`super::onnx`]), which converts samples inside the network.

use std::path::Path;

use ndarray::ArrayView4;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use super::InferError;
use super::onnx::{Options, blame_model, one_line, start};
use super::provider::{Active, choose};
use super::runtime::Runtime;
use crate::image::Size;
use crate::model::onnx_file::{OnnxFile, TensorInfo};

/// A loaded network whose inputs and outputs are 32-bit floats.
pub struct TensorNetwork {
    session: Session,
    model: String,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    active: Active,
}

impl TensorNetwork {
    /// Loads a network.
    ///
    /// # Errors
    /// [`InferError::Model`] when the file cannot be read or run, other [`InferError`]s when the
    /// provider cannot be used.
    pub fn load(runtime: &Runtime, path: &Path, options: &Options) -> Result<Self, InferError> {
        let model = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        let refuse = |reason| InferError::Model { model: String::clone(&model), reason };
        let file = OnnxFile::read(path).map_err(|err| refuse(err.to_string()))?;
        let attempt = |provider| start(runtime, path, &file.bytes, provider, options);
        let (session, active) =
            choose(options.choice, &model, attempt).map_err(|err| blame_model(err, &model))?;
        Ok(Self { session, model, inputs: file.inputs, outputs: file.outputs, active })
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

    /// What runs it.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// Runs it on one picture an input, in order, each `[1, channels, height, width]`, and gives
    /// the numbers of each output.
    ///
    /// # Errors
    /// [`InferError::Run`] in the runtime's words, [`InferError::NotFinite`] for NaN and infinity.
    pub fn run(&mut self, pictures: &[ArrayView4<'_, f32>]) -> Result<Vec<Vec<f32>>, InferError> {
        let size = pictures.first().map_or(Size::new(0, 0), |first| Size::new(first.dim().3, first.dim().2));
        let failed = |reason| InferError::Run { model: self.model.clone(), size, reason };
        if pictures.len() != self.inputs.len() {
            return Err(failed(format!("it takes {} pictures, not {}", self.inputs.len(), pictures.len())));
        }
        let standard: Vec<_> = pictures.iter().map(|picture| picture.as_standard_layout()).collect();
        let mut inputs = Vec::new();
        for (input, picture) in self.inputs.iter().zip(&standard) {
            let tensor = TensorRef::from_array_view(picture).map_err(|err| failed(one_line(&err)))?;
            inputs.push((input.name.as_str(), SessionInputValue::from(tensor)));
        }
        let made = self.session.run(inputs).map_err(|err| failed(one_line(&err)))?;
        let mut numbers = Vec::new();
        for output in &self.outputs {
            let (_, values) = made[output.name.as_str()]
                .try_extract_tensor::<f32>()
                .map_err(|err| failed(one_line(&err)))?;
            if values.iter().any(|value| !value.is_finite()) {
                return Err(InferError::NotFinite);
            }
            numbers.push(values.to_vec());
        }
        Ok(numbers)
    }
}
