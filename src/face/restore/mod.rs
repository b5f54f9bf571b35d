//! Networks that make a degraded face a good one, behind one trait.

mod aligned;
mod heavy;

use std::path::Path;
use std::sync::Arc;

use super::FaceError;
use super::align::Window;
use super::crop::Crop;
use super::detect::Landmarks;
use super::mask::smoothstep;
use crate::infer::onnx::Options;
use crate::infer::runtime::Runtime;
use crate::infer::tensors::TensorNetwork;
use crate::infer::{Cancel, InferError};
use crate::model::manifest::Manifest;
pub use aligned::Aligned;
pub use heavy::Heavy;

/// Makes degraded faces good ones.
pub trait Restorer: Send {
    /// Its name.
    fn name(&self) -> &str;

    /// Where it wants to see a face. `None` where the landmarks are no face.
    fn window(&self, landmarks: &Landmarks) -> Option<Window>;

    /// What of its work is to be trusted for a face of this height, brow to chin, in pixels of the
    /// small picture: 0 to 1.
    fn trust(&self, height: f32) -> f32;

    /// Width of what is light and colour rather than detail in its crops, as a share of their side.
    fn light(&self) -> f32;

    /// It makes up what its input does not show, something else for every frame. Then detail that the source does show is put
    /// back by the fidelity asked for, and the past is blended in. Of one that is near the truth by itself, the
    /// faults of the source would come back, and a past of its own would only blur.
    fn invents(&self) -> bool {
        true
    }

    /// The fidelity to ask the network for where `asked` is wished for, of a face of which a pixel of the crop covers `place`
    /// pixels of the small picture, which is shown `enlarged` times as large.
    fn fidelity(&self, asked: f32, _place: f32, _enlarged: f32) -> f32 {
        asked
    }

    /// Restores crops of [`Self::window`], in order; what comes out may be larger by a factor.
    /// `fidelity` is resemblance (1) against invention (0), for networks that can be asked for it.
    ///
    /// # Errors
    /// [`InferError`], for all of them together.
    fn restore(&mut self, crops: &[Crop], fidelity: f32) -> Result<Vec<Crop>, InferError>;

    /// Stops a run from another thread.
    fn canceller(&self) -> Arc<dyn Cancel>;
}

/// Loads a restorer of whatever kind the file is: an aligned one, else an upscaler.
///
/// # Errors
/// [`FaceError`], in words that say why it is neither.
pub fn open(
    runtime: &'static Runtime,
    path: &Path,
    options: &Options,
) -> Result<Box<dyn Restorer>, FaceError> {
    let network = TensorNetwork::load(runtime, path, options)?;
    let manifest = Manifest::beside(path)?;
    let is_upscaler = manifest.role.as_deref() == Some("upscaler");
    match aligned::shape(network.inputs(), network.outputs()) {
        Ok(shape) if !is_upscaler => Ok(Box::new(Aligned::new(network, shape, &manifest))),
        not_aligned => match Heavy::new(network, path) {
            Ok(heavy) => Ok(Box::new(heavy)),
            Err(FaceError::NotA { what, model, reason }) => {
                let first = not_aligned.err().map_or_else(String::new, |reason| format!("{reason}; "));
                Err(FaceError::NotA { what, model, reason: format!("{first}and as an upscaler: {reason}") })
            }
            Err(other) => Err(other),
        },
    }
}

/// The trust in networks that invent what they cannot see, for a face of this height.
fn trust_by_height(height: f32, from: f32, to: f32) -> f32 {
    smoothstep(from, to, height)
}
