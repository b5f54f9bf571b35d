//! Faces: found ([`detect`]), followed from frame to frame ([`track`]), restored ([`restore`]) and laid over the
//! large picture ([`paste`](mod@paste)) without a seam, a step or a change of person.
//!
//! The restorer sees a window of the small picture ([`align`]), steadied by what was seen before
//! ([`memory`]); what it makes is brought back to the light, the colours and in part the detail of the source
//! ([`agree`](mod@agree)), steadied again, and blended by a mask that follows the landmarks
//! ([`mask`](mod@mask)), as far as a guard of the person allows ([`guard`]). Two networks of the user's may help: one
//! that tells people apart ([`identity`]), and one that tells skin from hair ([`parse`]).

pub mod agree;
pub mod align;
pub mod crop;
pub mod detect;
mod faces;
mod follower;
pub mod geometry;
pub mod guard;
pub mod helpers;
pub mod identity;
mod known;
pub mod mask;
pub mod memory;
pub mod parse;
pub mod paste;
pub mod restore;
mod restoring;
pub(crate) mod sample;
pub mod settings;
pub mod track;

use std::time::Duration;

use crate::infer::InferError;
use crate::model::ModelError;
pub use faces::{Controls, Faces};
pub use follower::{Followed, Follower};
pub use restoring::Restoring;
pub use settings::{Mode, Plan, Settings, Source};

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

/// What a network did not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// For so many faces.
    pub faces: usize,
    /// Why, of the last of them.
    pub reason: Option<String>,
}

impl Missed {
    fn count(&mut self, reason: impl std::fmt::Display) {
        self.faces += 1;
        self.reason = Some(reason.to_string());
    }
}

/// What became of the faces of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaceReport {
    /// Faces there.
    pub faces: usize,
    /// Faces restored and laid over the picture.
    pub restored: usize,
    /// Of these, faces that looked as they did and were not restored anew.
    pub reused: usize,
    /// Faces left as they are because the restorer failed.
    pub failed: usize,
    /// Why the last of those failed.
    pub failure: Option<String>,
    /// Faces of which less was blended in, because they drifted from the input.
    pub guarded: usize,
    /// Faces judged by agreement, because the embedding network failed.
    pub embedding: Missed,
    /// Faces laid over by the ellipse alone, because the parser failed or saw none.
    pub parsing: Missed,
    /// Faces since the start, by number.
    pub tracks: u64,
    /// The share of the restored face that was blended in, by the number of the face.
    pub shares: Vec<(u64, f32)>,
    /// The detector was run.
    pub detected: bool,
    /// Time in the detector.
    pub detecting: Duration,
    /// Time in the restorer, and of laying faces over the picture.
    pub restoring: Duration,
}

#[cfg(test)]
mod tests;
