//! Restorers of aligned faces, from a file of the user's: GFPGAN, GPEN, RestoreFormer and CodeFormer
//! as they are exported.

use std::sync::Arc;

use ndarray::{Array4, ArrayView4, s};

use super::{Restorer, trust_by_height};
use crate::face::align::{Window, aligned};
use crate::face::crop::Crop;
use crate::face::detect::Landmarks;
use crate::face::mask::smoothstep;
use crate::infer::tensors::TensorNetwork;
use crate::infer::{Cancel, InferError};
use crate::model::manifest::{Manifest, Range};
use crate::model::onnx_file::{Element, TensorInfo};

/// Sides that such networks have.
const SIDES: [usize; 3] = [256, 512, 1024];

/// Values of black and white where no sidecar says otherwise.
const RANGE: Range = Range { black: -1.0, white: 1.0 };

/// Below the first height, in pixels, what comes out is somebody else; from the second on, the person. Of networks
/// whose sidecar says nothing else.
const TRUSTED: (f32, f32) = (20.0, 64.0);

/// Pixels in which a pixel of the crop is shown, up to which faces are shown small, and from which on in full.
const SHOWN: (f32, f32) = (0.35, 0.5);

/// How much larger than it came a face is shown, up to which all that is seen of it came along, and from which on half of
/// it and more is the network's.
const ENLARGED: (f32, f32) = (1.0, 2.0);

/// The fidelity asked for at which a network that can overdo its detail shows all that it learnt to, and below which it
/// overdoes it.
const AS_LEARNT: f32 = 0.5;

/// The most faces in one run, whose memory grows with them: 100 at once took 1.2 GB more than 16.
const AT_ONCE: usize = 16;

/// What is light and colour in an aligned crop: a quarter of the distance between the eyes.
const LIGHT: f32 = 1.0 / 16.0;

/// How such a network looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    side: usize,
    /// Several faces may go in at once.
    batch: bool,
    /// It has a second input, the fidelity.
    fidelity: bool,
}

/// The shape of a network that fits.
///
/// # Errors
/// What does not fit, in words.
pub fn shape(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<Shape, String> {
    let (picture, fidelity) = match inputs {
        [picture] => (picture, None),
        [picture, fidelity] => (picture, Some(fidelity)),
        _ => return Err(format!("it has {} inputs", inputs.len())),
    };
    let &[batch, Some(3), Some(height), Some(width)] = &picture.dims[..] else {
        return Err(format!("{picture} is not [1, 3, S, S]"));
    };
    if picture.element != Some(Element::F32) || height != width || !SIDES.contains(&width) {
        return Err(format!("{picture} is not [1, 3, S, S] of float32 with S of 256, 512 or 1024"));
    }
    if let Some(fidelity) = fidelity {
        let one = fidelity.dims.iter().all(|dim| dim.is_none_or(|length| length == 1));
        if !one || !matches!(fidelity.element, Some(Element::F32 | Element::F64)) {
            return Err(format!("{fidelity} is no single number for the fidelity"));
        }
    }
    let made = outputs.first().ok_or("it has no output")?;
    let fits = made.dims.len() == 4
        && made.element == Some(Element::F32)
        && made
            .dims
            .iter()
            .zip([batch, Some(3), Some(height), Some(width)])
            .skip(1)
            .all(|(is, wanted)| is.is_none() || *is == wanted);
    match fits {
        true => Ok(Shape { side: width, batch: batch.is_none(), fidelity: fidelity.is_some() }),
        false => Err(format!("its output {made} is not [1, 3, {width}, {width}] of float32")),
    }
}

/// A restorer of aligned faces.
pub struct Aligned {
    network: TensorNetwork,
    shape: Shape,
    input: Range,
    output: Range,
    trusted: (f32, f32),
    invents: bool,
    /// The fidelity, below zero, at which it overdoes its detail, of networks whose sidecar has such a range.
    least_fidelity: Option<f32>,
}

impl Aligned {
    /// Around a network of this shape.
    pub fn new(network: TensorNetwork, shape: Shape, manifest: &Manifest) -> Self {
        let range = |tensor: &TensorInfo| manifest.range_said(&tensor.name).unwrap_or(RANGE);
        let (input, output) = (range(&network.inputs()[0]), range(&network.outputs()[0]));
        let trusted = manifest.face_heights.unwrap_or(TRUSTED);
        let fidelity = network.inputs().get(1).and_then(|tensor| manifest.range_said(&tensor.name));
        let least_fidelity = fidelity.map(|range| range.black).filter(|&least| least < 0.0);
        let invents = manifest.invents.unwrap_or(true);
        Self { network, shape, input, output, trusted, invents, least_fidelity }
    }

    fn run(&mut self, crops: &[Crop], fidelity: f32) -> Result<Vec<Crop>, InferError> {
        let side = self.shape.side;
        let mut faces = Array4::zeros((crops.len(), 3, side, side));
        let Range { black, white } = self.input;
        for (mut face, crop) in faces.outer_iter_mut().zip(crops) {
            face.zip_mut_with(crop, |to, value| *to = black + value.clamp(0.0, 1.0) * (white - black));
        }
        let weight = Array4::from_elem((1, 1, 1, 1), fidelity);
        let inputs = [faces.view(), weight.view()];
        let given = 1 + usize::from(self.shape.fidelity);
        let made = self.network.run(&inputs[..given])?.swap_remove(0);
        let made =
            ArrayView4::from_shape((crops.len(), 3, side, side), &made).map_err(|_| InferError::Run {
                model: self.network.model().into(),
                size: crate::image::Size::new(side, side),
                reason: format!("it gave {} numbers", made.len()),
            })?;
        let Range { black, white } = self.output;
        let unit = |value: f32| ((value - black) / (white - black)).clamp(0.0, 1.0);
        Ok((0..crops.len()).map(|at| made.slice(s![at, .., .., ..]).mapv(unit)).collect())
    }
}

impl Restorer for Aligned {
    fn name(&self) -> &str {
        self.network.model()
    }

    fn window(&self, landmarks: &Landmarks) -> Option<Window> {
        aligned(landmarks, self.shape.side)
    }

    fn trust(&self, height: f32) -> f32 {
        trust_by_height(height, self.trusted.0, self.trusted.1)
    }

    fn light(&self) -> f32 {
        LIGHT
    }

    fn invents(&self) -> bool {
        self.invents
    }

    /// Of a face that is shown much smaller than its crop, most of the detail that the network adds is averaged away: such
    /// a face gets more of it, where it is enlarged. One that is not shows all that the source had, and lines would
    /// be drawn over it.
    fn fidelity(&self, asked: f32, place: f32, enlarged: f32) -> f32 {
        let Some(least) = self.least_fidelity else { return asked };
        let small = 1.0 - smoothstep(SHOWN.0, SHOWN.1, place * enlarged);
        let overdone = least * small * smoothstep(ENLARGED.0, ENLARGED.1, enlarged);
        match asked / AS_LEARNT {
            part if part < 1.0 => overdone * (1.0 - part),
            _ => (asked - AS_LEARNT) / (1.0 - AS_LEARNT),
        }
    }

    fn restore(&mut self, crops: &[Crop], fidelity: f32) -> Result<Vec<Crop>, InferError> {
        let at_once = if self.shape.batch { AT_ONCE } else { 1 };
        let mut restored = Vec::new();
        for crops in crops.chunks(at_once) {
            restored.extend(self.run(crops, fidelity)?);
        }
        Ok(restored)
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        self.network.canceller()
    }
}
