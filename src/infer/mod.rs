//! Running networks on pictures: finding the runtime, choosing and proving the execution
//! provider, and cutting pictures into tiles that fit into memory.

pub mod accelerator;
mod assignment;
pub mod embedding;
pub mod engines;
mod fields;
pub mod fp16;
pub mod graph;
pub mod libraries;
mod nodes;
pub mod onnx;
mod planes;
pub mod precision;
mod prelu;
pub mod provider;
mod register;
pub mod resident;
pub mod runtime;
pub mod shared;
pub mod tensors;
pub mod tile;

use std::sync::Arc;

use crate::image::{Sample, View};
use crate::model::contract::InputSize;

/// A network that enlarges pictures. The trait is what tiles and the enhancer know of it, so
/// that they can be tested without one.
pub trait Network<S: Sample>: Send {
    /// Enlargement factor.
    fn scale(&self) -> usize;

    /// 3 for colour, 1 for luma.
    fn channels(&self) -> usize;

    /// Which sizes go in.
    fn input_size(&self) -> InputSize;

    /// Runs the network on one picture without padding, of [`Self::channels`] channels and a
    /// size that [`Self::input_size`] allows, and hands the enlarged picture to `take`.
    ///
    /// # Errors
    /// [`InferError`]; `take` has not been called then.
    fn run(&mut self, picture: View<'_, S>, take: &mut dyn FnMut(View<'_, S>)) -> Result<(), InferError>;

    /// Stops a run from another thread.
    fn canceller(&self) -> Arc<dyn Cancel>;
}

/// Stops a run that is under way on another thread.
pub trait Cancel: Send + Sync {
    /// Runs end with [`InferError::Cancelled`] until [`Self::resume`].
    fn cancel(&self);
    /// Lets runs go on.
    fn resume(&self);
}

/// Why a network gave no picture.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// No ONNX Runtime could be loaded.
    #[error(transparent)]
    Runtime(#[from] runtime::RuntimeError),
    /// The execution provider asked for cannot run this.
    #[error("execution provider {name} cannot be used: {reason}")]
    Provider {
        /// Its name.
        name: &'static str,
        /// In the runtime's words.
        reason: String,
    },
    /// `auto` found none that works.
    #[error("no execution provider can run {model}: {}", reasons.join("; "))]
    NoProvider {
        /// Name of the model.
        model: String,
        /// A reason per provider.
        reasons: Vec<String>,
    },
    /// The runtime does not take the model.
    #[error("model {model} cannot be loaded: {reason}")]
    Model {
        /// Name of the model.
        model: String,
        /// In the runtime's words.
        reason: String,
    },
    /// The model's output is not an enlarged input.
    #[error("model {model} is no upscaler: {reason}")]
    NotAnUpscaler {
        /// Name of the model.
        model: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A network of another kind.
    #[error("model {model} is no {what}: {reason}")]
    NotA {
        /// What it should be.
        what: &'static str,
        /// Name of the model.
        model: String,
        /// What does not fit.
        reason: String,
    },
    /// The run failed.
    #[error("model {model} failed on a picture of {size}: {reason}")]
    Run {
        /// Name of the model.
        model: String,
        /// Size of the picture.
        size: crate::image::Size,
        /// In the runtime's words.
        reason: String,
    },
    /// NaN or infinity came out.
    #[error("the network gave values that are no numbers")]
    NotFinite,
    /// Stopped by [`Cancel`].
    #[error("cancelled")]
    Cancelled,
}
