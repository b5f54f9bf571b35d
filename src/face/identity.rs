//! Whether a restored face is still that of the same person, by a face embedding network that the user brings.

use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayView3;

use super::align::{Window, for_embedding};
use super::crop::{Crop, cut, side};
use super::detect::Landmarks;
use crate::infer::embedding::{Embedding, cosine};
use crate::infer::onnx::Options;
use crate::infer::runtime::Runtime;
use crate::infer::{Cancel, InferError};

/// Pixels from brow to chin, in the small picture, below which an embedding says little of who it is.
pub const SMALLEST: f32 = 32.0;

/// A face before and after, as embedding networks see faces.
pub struct Pair {
    source: Crop,
    restored: Crop,
}

impl Pair {
    /// Out of the crops of one window, of which what was restored may be larger. `None` where the landmarks are no face.
    pub fn cut(source: &Crop, restored: &Crop, window: &Window, landmarks: &Landmarks) -> Option<Self> {
        let wanted = for_embedding(landmarks)?;
        let seen = |crop: &Crop| {
            let way = wanted.to_crop(window, side(crop))?;
            Some(cut(&crop.view(), &way, wanted.side))
        };
        Some(Self { source: seen(source)?, restored: seen(restored)? })
    }
}

/// Tells people apart.
pub struct Identity {
    network: Embedding,
}

impl Identity {
    /// Loads a face embedding network.
    ///
    /// # Errors
    /// [`InferError::NotA`] if the file does not fit, other [`InferError`]s if it cannot be run.
    pub fn load(runtime: &'static Runtime, path: &Path, options: &Options) -> Result<Self, InferError> {
        Ok(Self { network: Embedding::load(runtime, path, options)? })
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        self.network.model()
    }

    /// Stops a run from another thread.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.network.canceller()
    }

    /// How near each face is to what it was, -1 to 1: all together, or, should that fail, each alone, so that one
    /// bad face spoils no other.
    ///
    /// # Errors
    /// [`InferError::Cancelled`] alone.
    pub fn likenesses(&mut self, faces: &[Pair]) -> Result<Vec<Result<f32, InferError>>, InferError> {
        match self.run(faces) {
            Ok(likenesses) => return Ok(likenesses.into_iter().map(Ok).collect()),
            Err(InferError::Cancelled) => return Err(InferError::Cancelled),
            Err(error) if faces.len() == 1 => return Ok(vec![Err(error)]),
            Err(_) => {}
        }
        let mut each = Vec::new();
        for face in faces {
            match self.run(std::slice::from_ref(face)) {
                Err(InferError::Cancelled) => return Err(InferError::Cancelled),
                run => each.push(run.map(|likenesses| likenesses[0])),
            }
        }
        Ok(each)
    }

    fn run(&mut self, faces: &[Pair]) -> Result<Vec<f32>, InferError> {
        let crops: Vec<ArrayView3<'_, f32>> =
            faces.iter().flat_map(|face| [face.source.view(), face.restored.view()]).collect();
        let embeddings = self.network.embed(&crops)?;
        Ok(embeddings.chunks_exact(2).map(|pair| cosine(&pair[0], &pair[1]) as f32).collect())
    }
}
