//! Faces: found ([`detect`]) and followed from frame to frame ([`track`]).

pub mod detect;
pub mod geometry;
pub mod track;

use crate::infer::InferError;
use crate::model::ModelError;

/// Why the faces of a picture cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// A model of another kind.
    #[error("model {model} is no {what}: {reason}")]
    NotA {
        /// What it should be.
        what: &'static str,
        /// Name of the model.
        model: String,
        /// What does not fit.
        reason: String,
    },
    /// The model's file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Running it.
    #[error(transparent)]
    Infer(#[from] InferError),
}
