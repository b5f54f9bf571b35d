//! Identity: whether a face is still that of the same person, by a network that the user brings.
//!
//! The cosine of the angle between the embeddings of two crops of 112x112 pixels, aligned by
//! five landmarks; the mean over the faces of a frame, and over the frames that have any. The network
//! takes one RGB picture `[1, 3, 112, 112]`, -1..1 unless its sidecar says otherwise (ArcFace,
//! Deng et al., 2019, and those like it), and gives one vector.

use std::path::Path;

use ndarray::{Array4, ArrayView4};

use super::{Colours, Frame, Given, Meter, MetricError, Outcome};
use crate::infer::onnx::Options;
use crate::infer::runtime::Runtime;
use crate::infer::tensors::TensorNetwork;
use crate::model::manifest::{Manifest, Range};
use crate::model::onnx_file::Element;

/// Side of a crop, in pixels.
pub const SIDE: usize = 112;
/// How many numbers an embedding has: fewer are some other result, more are a picture.
const NUMBERS: std::ops::RangeInclusive<usize> = 32..=4096;

/// A face embedding network.
pub struct Embedding {
    network: TensorNetwork,
    range: Range,
}

impl Embedding {
    /// Loads one, with its sidecar.
    ///
    /// # Errors
    /// [`MetricError::Network`] if the file does not fit, [`MetricError::Infer`] if it cannot be
    /// run.
    pub fn load(runtime: &Runtime, path: &Path, options: &Options) -> Result<Self, MetricError> {
        let mut network = TensorNetwork::load(runtime, path, options)?;
        let model = network.model().to_string();
        let refuse = |reason| MetricError::Network { model: model.clone(), what: "face embedding", reason };
        let manifest = Manifest::beside(path).map_err(|err| refuse(err.to_string()))?;
        manifest.check(network.inputs().iter().chain(network.outputs())).map_err(refuse)?;
        let ([input], [_]) = (network.inputs(), network.outputs()) else {
            return Err(refuse("it has several inputs or outputs".into()));
        };
        let open = |at: usize, length: usize| input.dims[at].is_none_or(|is| is == length);
        let fits = input.dims.len() == 4 && open(0, 1) && open(1, 3) && open(2, SIDE) && open(3, SIDE);
        if !fits || input.element != Some(Element::F32) {
            return Err(refuse(format!("{input} is not [1, 3, {SIDE}, {SIDE}] of float32")));
        }
        let arcface = Range { black: -1.0, white: 1.0 };
        let range = manifest.range_said(&input.name).unwrap_or(arcface);
        // The file may leave the length open: a grey picture tells.
        let grey = Array4::zeros((1, 3, SIDE, SIDE));
        let length = network.run(&[grey.view()])?[0].len();
        match NUMBERS.contains(&length) {
            true => Ok(Self { network, range }),
            false => Err(refuse(format!("it gives {length} numbers, which is no embedding"))),
        }
    }

    /// The likeness of two aligned crops of [`SIDE`] pixels, -1 to 1.
    ///
    /// # Errors
    /// [`MetricError::Infer`]
    pub fn likeness(&mut self, face: &Colours) -> Result<f64, MetricError> {
        let (test, truth) = (self.embed(face.test.view())?, self.embed(face.truth.view())?);
        Ok(cosine(&test, &truth))
    }

    fn embed(&mut self, crop: ArrayView4<'_, f32>) -> Result<Vec<f32>, MetricError> {
        let Range { black, white } = self.range;
        let ranged = crop.mapv(|value| black + value * (white - black));
        Ok(self.network.run(&[ranged.view()])?.remove(0))
    }
}

/// The cosine of the angle between two vectors; 0 when one has no direction.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

struct Identity {
    network: Embedding,
    series: Vec<(usize, f64)>,
}

pub(super) fn start(given: &Given<'_>) -> Result<Box<dyn Meter>, MetricError> {
    let (runtime, path) = given.network(&given.embedding)?;
    let network = Embedding::load(runtime, path, &given.options)?;
    Ok(Box::new(Identity { network, series: Vec::new() }))
}

impl Meter for Identity {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        let faces = frame.faces();
        let mut sum = 0.0;
        for face in faces {
            sum += self.network.likeness(face)?;
        }
        if !faces.is_empty() {
            self.series.push((frame.number(), sum / faces.len() as f64));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_knows_directions_and_not_lengths() {
        for (a, b, expected) in [
            ([3.0, 4.0], [6.0, 8.0], 1.0),
            ([1.0, 0.0], [0.0, 5.0], 0.0),
            ([1.0, 2.0], [-2.0, -4.0], -1.0),
            ([1.0, 0.0], [3.0, 4.0], 0.6),
            ([0.0, 0.0], [3.0, 4.0], 0.0),
        ] {
            assert!((cosine(&a, &b) - expected).abs() < 1e-12, "{a:?} {b:?}");
            assert_eq!(cosine(&a, &b), cosine(&b, &a));
        }
    }
}
