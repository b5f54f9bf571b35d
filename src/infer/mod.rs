//! Running networks on pictures: finding the runtime, choosing and proving the execution
//! provider, and cutting pictures into tiles that fit into memory.

pub mod accelerator;
pub mod convolution;
pub mod embedding;
pub mod engines;
mod fields;
mod foreign;
pub mod fp16;
pub mod gpu_memory;
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
mod session;
mod share;
pub mod shared;
pub mod tensors;
pub mod tile;

use std::sync::Arc;

use crate::image::{Picture, Sample, View};
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

    /// How many pictures [`Self::run_each`] runs at the same time.
    fn lanes(&self) -> usize {
        1
    }

    /// How many pixels away from a pixel of the input its result depends on, at most; `None` where nobody said it.
    fn receptive_radius(&self) -> Option<usize> {
        None
    }

    /// Runs the network on each of several pictures and hands the enlarged ones to `take` with their numbers, in order; `None` for one
    /// that [`InferError::NotFinite`] is true of.
    ///
    /// # Errors
    /// Any other [`InferError`].
    fn run_each(&mut self, pictures: &[Picture<S>], take: &mut TakeEach<'_, S>) -> Result<(), InferError> {
        one_after_another(self, pictures, take)
    }

    /// Stops a run from another thread.
    fn canceller(&self) -> Arc<dyn Cancel>;
}

/// [`Network::run_each`] by one run after another.
fn one_after_another<S: Sample>(
    network: &mut (impl Network<S> + ?Sized),
    pictures: &[Picture<S>],
    take: &mut TakeEach<'_, S>,
) -> Result<(), InferError> {
    for (number, picture) in pictures.iter().enumerate() {
        match network.run(picture.view(), &mut |enlarged| take(number, Some(enlarged))) {
            Err(InferError::NotFinite) => take(number, None),
            result => result?,
        }
    }
    Ok(())
}

/// Who takes the pictures of [`Network::run_each`].
pub type TakeEach<'a, S> = dyn FnMut(usize, Option<View<'_, S>>) + 'a;

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
