//! Face parsing: which pixels of a face are skin, brows, eyes, glasses, ears, nose and mouth, by a network that the
//! user brings (BiSeNet or ParseNet, as GFPGAN and CodeFormer use them). What is not, such as hair that
//! falls into the face, a hat or a hand, is not laid over ([`cover`]).

pub mod cover;

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Array4, Axis};

use super::crop::Crop;
use crate::infer::onnx::Options;
use crate::infer::runtime::Runtime;
use crate::infer::tensors::TensorNetwork;
use crate::infer::{Cancel, InferError};
use crate::model::manifest::{Manifest, Range};
use crate::model::onnx_file::{Element, TensorInfo};

/// Side, in pixels, of the aligned crops that such networks are used to.
pub const SIDE: usize = 512;
/// How many classes they tell apart: those of CelebAMask-HQ.
const CLASSES: usize = 19;

/// What a network multiplies colours of 0 to 1 by, and adds, for red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normalisation {
    times: [f32; 3],
    plus: [f32; 3],
}

impl Normalisation {
    /// By the mean and the deviation of colours.
    const fn by(mean: [f32; 3], deviation: [f32; 3]) -> Self {
        let [r, g, b] = deviation;
        Self { times: [1.0 / r, 1.0 / g, 1.0 / b], plus: [-mean[0] / r, -mean[1] / g, -mean[2] / b] }
    }

    /// From black to white.
    fn to(range: Range) -> Self {
        Self { times: [range.white - range.black; 3], plus: [range.black; 3] }
    }
}

/// A kind of network: what it takes, and which number is what.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The numbers of what is pasted: skin, brows, eyes, glasses, ears, nose, mouth and lips.
    face: &'static [usize],
    normalisation: Normalisation,
    /// It gives a picture besides, by which a file is known.
    gives_picture: bool,
}

/// Every kind that can be read, the usual one last. To add one: a row.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "parsenet",
        face: &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        normalisation: Normalisation::by([0.5; 3], [0.5; 3]),
        gives_picture: true,
    },
    Kind {
        name: "bisenet",
        face: &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13],
        // The mean and the deviation of ImageNet.
        normalisation: Normalisation::by([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        gives_picture: false,
    },
];

/// A face parsing network.
pub struct Parser {
    network: TensorNetwork,
    kind: Kind,
    normalisation: Normalisation,
}

impl Parser {
    /// Loads one, with its sidecar.
    ///
    /// # Errors
    /// [`InferError::NotA`] if the file does not fit, other [`InferError`]s if it cannot be run.
    pub fn load(runtime: &'static Runtime, path: &Path, options: &Options) -> Result<Self, InferError> {
        let mut network = TensorNetwork::load(runtime, path, options)?;
        let model = network.model().to_string();
        let refuse = |reason| InferError::NotA { what: "face parsing network", model: model.clone(), reason };
        let manifest = Manifest::beside(path).map_err(|err| refuse(err.to_string()))?;
        manifest.check(network.inputs().iter().chain(network.outputs())).map_err(refuse)?;
        let (kind, output) = shape(network.inputs(), network.outputs(), &manifest).map_err(refuse)?;
        let said = manifest.range_said(&network.inputs()[0].name).map(Normalisation::to);
        network.keep_output(output);
        let mut parser = Self { network, kind, normalisation: said.unwrap_or(kind.normalisation) };
        // The file may leave lengths open: a black picture tells.
        parser.parse(&Crop::zeros((3, SIDE, SIDE))).map_err(|err| match err {
            InferError::Run { reason, .. } => refuse(reason),
            other => other,
        })?;
        Ok(parser)
    }

    /// Name to show: the file's without its extension.
    pub fn name(&self) -> &str {
        self.network.model()
    }

    /// What it was taken for.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Stops a run from another thread.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.network.canceller()
    }

    /// Which pixels of an aligned crop of [`SIDE`] pixels are of the face.
    ///
    /// # Errors
    /// [`InferError`]
    pub fn parse(&mut self, crop: &Crop) -> Result<Array2<bool>, InferError> {
        let Normalisation { times, plus } = self.normalisation;
        let mut input = Array4::zeros((1, 3, SIDE, SIDE));
        for (channel, mut plane) in input.index_axis_mut(Axis(0), 0).outer_iter_mut().enumerate() {
            plane.zip_mut_with(&crop.index_axis(Axis(0), channel), |to, value| {
                *to = value.clamp(0.0, 1.0) * times[channel] + plus[channel];
            });
        }
        let logits = self.network.run(&[input.view()])?.swap_remove(0);
        match logits.len() == CLASSES * SIDE * SIDE {
            true => Ok(face_of(&logits, self.kind.face)),
            false => Err(InferError::Run {
                model: self.name().into(),
                size: crate::image::Size::new(SIDE, SIDE),
                reason: format!("it gives {} numbers, not {CLASSES} for each pixel", logits.len()),
            }),
        }
    }
}

/// Of which kind a file is, and which of its outputs counts.
fn shape(
    inputs: &[TensorInfo],
    outputs: &[TensorInfo],
    manifest: &Manifest,
) -> Result<(Kind, usize), String> {
    let fits = |tensor: &TensorInfo, channels: usize| {
        let wanted = [1, channels, SIDE, SIDE];
        tensor.element == Some(Element::F32)
            && tensor.dims.len() == wanted.len()
            && tensor.dims.iter().zip(wanted).all(|(dim, wanted)| dim.is_none_or(|is| is == wanted))
    };
    let [input] = inputs else { return Err(format!("it has {} inputs", inputs.len())) };
    if !fits(input, 3) {
        return Err(format!("{input} is not [1, 3, {SIDE}, {SIDE}] of float32"));
    }
    let output = outputs.iter().position(|output| fits(output, CLASSES));
    let output = output.ok_or_else(|| match outputs {
        [] => "it has no output".into(),
        [first, ..] => format!("no output is [1, {CLASSES}, {SIDE}, {SIDE}] of float32: {first}"),
    })?;
    let has_picture = outputs.iter().any(|output| output.dims.get(1) == Some(&Some(3)) && fits(output, 3));
    let named = |name: &String| {
        KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            format!("its sidecar says classes={name}, known are {}", known.join(", "))
        })
    };
    let kind = match &manifest.classes {
        Some(name) => named(name)?,
        None => KINDS.iter().find(|kind| kind.gives_picture == has_picture).expect("there are both"),
    };
    Ok((*kind, output))
}

/// Where the most likely of all classes is one of these.
fn face_of(logits: &[f32], classes: &[usize]) -> Array2<bool> {
    let mut likeliest = vec![f32::NEG_INFINITY; SIDE * SIDE];
    let mut is_face = vec![false; SIDE * SIDE];
    for (class, plane) in logits.chunks_exact(SIDE * SIDE).enumerate() {
        let of_face = classes.contains(&class);
        for ((most, is_face), &logit) in likeliest.iter_mut().zip(&mut is_face).zip(plane) {
            if logit > *most {
                (*most, *is_face) = (logit, of_face);
            }
        }
    }
    Array2::from_shape_vec((SIDE, SIDE), is_face).expect("one for each pixel")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, dims: &[usize]) -> TensorInfo {
        // 0 stands for any length.
        let dims = dims.iter().map(|&length| (length > 0).then_some(length)).collect();
        TensorInfo { name: name.into(), element: Some(Element::F32), dims }
    }

    #[test]
    fn a_file_is_known_by_its_outputs_unless_its_sidecar_says() {
        let input = [tensor("input", &[1, 3, SIDE, SIDE])];
        let logits = tensor("a", &[0, CLASSES, SIDE, SIDE]);
        let coarse = tensor("b", &[1, CLASSES, 64, 64]);
        let picture = tensor("c", &[1, 3, SIDE, SIDE]);
        let said = |name: &str| Manifest::parse(&format!("[modelinfo]\nclasses={name}")).unwrap();
        for (outputs, manifest, expected) in [
            (vec![&logits], Manifest::default(), Some(("bisenet", 0))),
            (vec![&coarse, &logits], Manifest::default(), Some(("bisenet", 1))),
            (vec![&logits, &logits, &logits], Manifest::default(), Some(("bisenet", 0))),
            (vec![&picture, &logits], Manifest::default(), Some(("parsenet", 1))),
            (vec![&logits], said("parsenet"), Some(("parsenet", 0))),
            (vec![&logits, &picture], said("bisenet"), Some(("bisenet", 0))),
            (vec![&logits], said("segformer"), None),
            (vec![&coarse, &picture], Manifest::default(), None),
            (vec![], Manifest::default(), None),
        ] {
            let outputs: Vec<TensorInfo> = outputs.into_iter().cloned().collect();
            let found = shape(&input, &outputs, &manifest).map(|(kind, at)| (kind.name, at)).ok();
            assert_eq!(found, expected, "{outputs:?}");
        }
        assert!(shape(&[], std::slice::from_ref(&logits), &Manifest::default()).is_err());
        assert!(shape(&[coarse], &[logits], &Manifest::default()).unwrap_err().contains("is not [1, 3, 512"));
    }

    #[test]
    fn every_kind_pastes_each_class_of_a_face_and_nothing_else() {
        for kind in KINDS {
            assert_eq!(kind.face.len(), 12, "{}: two brows, eyes, ears and lips, and four more", kind.name);
            for class in 0..CLASSES {
                let mut logits = vec![0.0; CLASSES * SIDE * SIDE];
                logits[class * SIDE * SIDE + 77] = 1.0;
                let face = face_of(&logits, kind.face);
                assert_eq!(face[(0, 77)], kind.face.contains(&class), "{}, {class}", kind.name);
            }
        }
    }
}
