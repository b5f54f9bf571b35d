//! Face embedding networks, which the user brings: crops of aligned faces in, for each a vector whose direction
//! tells people apart (ArcFace, Deng et al., 2019, and those like it).
//!
//! The network takes RGB pictures `[1, 3, 112, 112]`, -1..1 unless its sidecar says otherwise, and gives
//! one vector for each.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array4, ArrayView3, Axis};

use super::onnx::Options;
use super::runtime::Runtime;
use super::tensors::TensorNetwork;
use super::{Cancel, InferError};
use crate::model::manifest::{Manifest, Range};
use crate::model::onnx_file::Element;

/// Side of a crop, in pixels.
pub const SIDE: usize = 112;
/// How many numbers an embedding has: fewer are some other result, more are a picture.
const NUMBERS: std::ops::RangeInclusive<usize> = 32..=4096;
/// Values of black and white where no sidecar says otherwise.
const RANGE: Range = Range { black: -1.0, white: 1.0 };

/// A face embedding network.
pub struct Embedding {
    network: TensorNetwork,
    range: Range,
    /// Several faces may go in at once.
    batch: bool,
}

impl Embedding {
    /// Loads one, with its sidecar.
    ///
    /// # Errors
    /// [`InferError::NotA`] if the file does not fit, other [`InferError`]s if it cannot be run.
    pub fn load(runtime: &'static Runtime, path: &Path, options: &Options) -> Result<Self, InferError> {
        let network = TensorNetwork::load(runtime, path, options)?;
        let model = network.model().to_string();
        let refuse =
            |reason| InferError::NotA { what: "face embedding network", model: model.clone(), reason };
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
        let is_free = input.dims[0].is_none();
        let range = manifest.range_said(&input.name).unwrap_or(RANGE);
        let mut embedding = Self { network, range, batch: false };
        // The file may leave the length open: a grey picture tells.
        let length = embedding.numbers(1)?;
        if !NUMBERS.contains(&length) {
            return Err(refuse(format!("it gives {length} numbers, which is no embedding")));
        }
        // Some files leave the count open and yet are of one picture inside.
        embedding.batch = is_free && embedding.numbers(2).is_ok_and(|both| both == 2 * length);
        Ok(embedding)
    }

    /// How many numbers come of so many grey pictures.
    fn numbers(&mut self, count: usize) -> Result<usize, InferError> {
        let grey = Array4::zeros((count, 3, SIDE, SIDE));
        Ok(self.network.run(&[grey.view()])?[0].len())
    }

    /// Name to show: the file's without its extension.
    pub fn model(&self) -> &str {
        self.network.model()
    }

    /// Stops a run from another thread.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.network.canceller()
    }

    /// The embeddings of aligned crops of [`SIDE`] pixels, 0 to 1, in order: in one run where the file
    /// takes several at once.
    ///
    /// # Errors
    /// [`InferError`], for all of them together.
    pub fn embed(&mut self, crops: &[ArrayView3<'_, f32>]) -> Result<Vec<Vec<f32>>, InferError> {
        let at_once = if self.batch { crops.len().max(1) } else { 1 };
        let Range { black, white } = self.range;
        let mut embeddings = Vec::new();
        for crops in crops.chunks(at_once) {
            let mut faces = Array4::zeros((crops.len(), 3, SIDE, SIDE));
            for (mut face, crop) in faces.axis_iter_mut(Axis(0)).zip(crops) {
                face.zip_mut_with(crop, |face, value| *face = black + value * (white - black));
            }
            let numbers = self.network.run(&[faces.view()])?.swap_remove(0);
            let length = numbers.len() / crops.len();
            embeddings.extend(numbers.chunks(length.max(1)).map(<[f32]>::to_vec));
        }
        Ok(embeddings)
    }
}

/// The cosine of the angle between two embeddings, 1 for the same person; 0 when one has no direction.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
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
