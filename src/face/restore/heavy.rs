//! A heavy upscaler, let loose on the faces alone.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array4, ArrayView4, s};

use super::{Restorer, trust_by_height};
use crate::face::FaceError;
use crate::face::align::{Window, upright};
use crate::face::crop::{Crop, resized, side};
use crate::face::detect::Landmarks;
use crate::face::mask::{MIDDLE, REACH};
use crate::image::Size;
use crate::infer::tensors::TensorNetwork;
use crate::infer::{Cancel, InferError};
use crate::model::contract::{InputSize, Upscaler};
use crate::model::onnx_file::Element;

/// Pixels around the mask that the network sees besides; what comes out of the outermost is
/// hidden, because the mask has faded there.
const MARGIN: f32 = 4.0;

/// Sides of windows are multiples of this many pixels, so that few sizes come up.
const STEP: usize = 16;

/// The longest side, in pixels, that the network is run on. A larger face needs no restoring as
/// much as it needs time, and is seen reduced to this.
const LONGEST: usize = 256;

/// Below the first height, in pixels, what comes out has the wrong anatomy; from the second on it
/// is good. Looked at, with Real-ESRGAN x4plus: invented teeth and eyes at 24 to 30, good at 80.
const TRUSTED: (f32, f32) = (12.0, 60.0);

/// What is blended in of a large face: skin comes out a little waxen, and half of the source beside it hides that.
const MOST: f32 = 0.6;

/// What is light and colour, as a share of the side: about a quarter of the distance between the eyes.
const LIGHT: f32 = 0.25 / (2.0 * REACH);

/// An upscaler as a restorer of faces.
pub struct Heavy {
    network: TensorNetwork,
    file: Upscaler,
    /// Sides that go in are multiples of this.
    multiple: usize,
}

impl Heavy {
    /// Around a network, read from `path`.
    ///
    /// # Errors
    /// [`FaceError::NotA`] if it is no upscaler of colours in floats.
    pub fn new(network: TensorNetwork, path: &Path) -> Result<Self, FaceError> {
        let refuse =
            |reason: String| FaceError::NotA { what: "face restorer", model: network.model().into(), reason };
        let file = Upscaler::read(path).map_err(|err| refuse(err.to_string()))?;
        match file.input_size {
            InputSize::Multiple(multiple) if file.channels == 3 && file.element == Element::F32 => {
                Ok(Self { network, file, multiple })
            }
            _ => Err(refuse("only one of RGB in float32 and of any size can restore faces".into())),
        }
    }

    fn run(&mut self, crop: &Crop) -> Result<Crop, InferError> {
        let length = side(crop).min(LONGEST).next_multiple_of(self.multiple);
        let reduced = resized(crop, length);
        let (from, to) = (self.file.input_range, self.file.output_range);
        let ranged = reduced.mapv(|value| from.black + value.clamp(0.0, 1.0) * (from.white - from.black));
        let input = Array4::from_shape_fn((1, 3, length, length), |(_, c, y, x)| ranged[(c, y, x)]);
        let made = self.network.run(&[input.view()])?.swap_remove(0);
        let larger = ((made.len() / 3) as f64).sqrt() as usize;
        let wrong = || InferError::Run {
            model: self.network.model().into(),
            size: Size::new(length, length),
            reason: format!("it gave {} numbers", made.len()),
        };
        let made = ArrayView4::from_shape((1, 3, larger, larger), &made).map_err(|_| wrong())?;
        let unit = |value: f32| ((value - to.black) / (to.white - to.black)).clamp(0.0, 1.0);
        Ok(made.slice(s![0, .., .., ..]).mapv(unit))
    }
}

impl Restorer for Heavy {
    fn name(&self) -> &str {
        self.network.model()
    }

    fn window(&self, landmarks: &Landmarks) -> Option<Window> {
        upright(landmarks, MIDDLE, REACH, MARGIN, STEP)
    }

    fn trust(&self, height: f32) -> f32 {
        MOST * trust_by_height(height, TRUSTED.0, TRUSTED.1)
    }

    fn light(&self) -> f32 {
        LIGHT
    }

    /// One by one: windows differ in size, and a network this heavy fills the processor with one.
    fn restore(&mut self, crops: &[Crop], _fidelity: f32) -> Result<Vec<Crop>, InferError> {
        crops.iter().map(|crop| self.run(crop)).collect()
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        self.network.canceller()
    }
}
