//! Finds faces in a picture: a box, five landmarks and a score for each.

mod centerface;
mod sift;
mod yunet;

use std::path::Path;

use ndarray::{Array4, ArrayViewMut4};

use super::FaceError;
use super::geometry::{Point, Rect};
use crate::image::resample::Resampler;
use crate::image::{Sample, Size, View, rows};
use crate::infer::onnx::Options;
use crate::infer::runtime::Runtime;
use crate::infer::tensors::TensorNetwork;
use crate::model::onnx_file::{Element, TensorInfo};
pub use sift::turned;

/// Eyes, nose, corners of the mouth; the viewer's left first.
pub type Landmarks = [Point; 5];

/// A face as it was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// From brow to chin and ear to ear, in pixels of the picture.
    pub area: Rect,
    /// In pixels of the picture.
    pub landmarks: Landmarks,
}

/// The order of colours that a detector takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// A kind of detector: what it takes, 0..255 a sample, and how its answers are read.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Its name.
    pub name: &'static str,
    /// Order of colours.
    pub order: Order,
    /// Numbers per cell of each output, by which a file is known.
    pub outputs: &'static [usize],
    /// Which dimension of an output those are.
    pub numbers_at: usize,
    /// The least height of a face, in pixels of its input, that is found nearly always.
    pub least_face: f32,
    /// Every answer of at least this score, for an input of this size.
    pub decode: fn(&[&[f32]], Size, f32) -> Vec<Detection>,
}

/// Every kind of detector that can be read. To add one: a file, a row.
pub const HEADS: &[Head] = &[
    Head {
        name: "yunet",
        order: Order::Bgr,
        outputs: &[1, 1, 1, 1, 1, 1, 4, 4, 4, 10, 10, 10],
        numbers_at: 2,
        least_face: 16.0,
        decode: yunet::decode,
    },
    Head {
        name: "centerface",
        order: Order::Rgb,
        outputs: &[1, 2, 2, 10],
        numbers_at: 1,
        least_face: 16.0,
        decode: centerface::decode,
    },
];

/// Both sides of an input are multiples of this: the coarsest grid of either head.
const MULTIPLE: usize = 32;

/// A small picture is enlarged up to this for the detector: beyond, nothing more is found.
const MOST_ENLARGED: f32 = 2.0;

/// Sides longer than this, in pixels of the input, get a second look at a smaller size, for faces
/// that fill the picture: heads find faces up to about 300 pixels.
const LONG: usize = 448;
/// The longer side of that second look.
const OVERVIEW: usize = 256;

/// Samples of white, as detectors take them.
const WHITE: f32 = 255.0;

/// A detector network.
pub struct Detector {
    network: TensorNetwork,
    head: Head,
    resampler: Resampler,
    /// The least height of a face that is looked for, in pixels of the picture.
    smallest: f32,
}

impl Detector {
    /// Loads one. `smallest` is the least height of a face to be looked for, brow to chin, in pixels of the picture.
    ///
    /// # Errors
    /// [`FaceError::NotA`] if the file is none that can be read, [`FaceError::Infer`] if it
    /// cannot be run.
    pub fn load(
        runtime: &'static Runtime,
        path: &Path,
        options: &Options,
        smallest: f32,
    ) -> Result<Self, FaceError> {
        let network = TensorNetwork::load(runtime, path, options)?;
        let refuse =
            |reason| FaceError::NotA { what: "face detector", model: network.model().into(), reason };
        let head = *head_of(network.inputs(), network.outputs()).map_err(refuse)?;
        Ok(Self { network, head, resampler: Resampler::default(), smallest: smallest.max(1.0) })
    }

    /// Its kind.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The network.
    pub fn network(&self) -> &TensorNetwork {
        &self.network
    }

    /// Every face of at least this score in a picture (grey, RGB, or with an alpha that is not
    /// looked at), the surest first.
    ///
    /// # Errors
    /// [`FaceError::Infer`]
    pub fn detect<S: Sample>(
        &mut self,
        picture: View<'_, S>,
        least: f32,
    ) -> Result<Vec<Detection>, FaceError> {
        let size = Size::of(&picture);
        let mut looked = Vec::new();
        for look in looks(size, self.smallest, self.head.least_face) {
            let (scaled, padded) = (look, padded(look));
            let resized = (scaled != size).then(|| self.resampler.resize(picture, scaled));
            let mut input = Array4::zeros((1, 3, padded.height, padded.width));
            let source = resized.as_ref().map_or(picture, |resized| resized.view());
            fill(source, input.view_mut(), self.head.order);
            let outputs = self.network.run(&[input.view()])?;
            let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
            let back = Point::new(
                size.width as f32 / scaled.width as f32,
                size.height as f32 / scaled.height as f32,
            );
            let found = (self.head.decode)(&outputs, padded, least).into_iter().map(|face| Detection {
                score: face.score,
                area: face.area.times(back),
                landmarks: face.landmarks.map(|point| point.times(back)),
            });
            looked.push(found.collect());
        }
        Ok(sift::sift(looked))
    }
}

/// The head that a file fits.
fn head_of(inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<&'static Head, String> {
    let [input] = inputs else { return Err(format!("it has {} inputs", inputs.len())) };
    let open =
        |at: usize, length: usize| input.dims.get(at).is_some_and(|dim| dim.is_none_or(|is| is == length));
    let free = |at: usize| input.dims.get(at) == Some(&None);
    if !(open(0, 1) && open(1, 3) && free(2) && free(3)) || input.element != Some(Element::F32) {
        return Err(format!("{input} is not [1, 3, ?, ?] of float32, of any height and width"));
    }
    let fits = |head: &&Head| {
        head.outputs.len() == outputs.len()
            && head.outputs.iter().zip(outputs).all(|(&numbers, output)| {
                output.dims.get(head.numbers_at).is_some_and(|dim| dim.is_none_or(|is| is == numbers))
            })
    };
    let known = || HEADS.iter().map(|head| head.name).collect::<Vec<_>>().join(", ");
    HEADS.iter().find(fits).ok_or_else(|| format!("its outputs are those of none of {}", known()))
}

/// The sizes at which a picture is looked at.
fn looks(picture: Size, smallest: f32, least_face: f32) -> Vec<Size> {
    let scaled = |scale: f32| {
        let side = |length: usize| ((length as f32 * scale).round() as usize).max(1);
        Size::new(side(picture.width), side(picture.height))
    };
    let longest = picture.width.max(picture.height);
    let fine = (least_face / smallest).min(MOST_ENLARGED);
    // A scale of nearly one would resample for nothing.
    let fine = if (0.85..1.2).contains(&fine) { 1.0 } else { fine };
    let mut looks = vec![scaled(fine)];
    if longest as f32 * fine > LONG as f32 {
        looks.push(scaled(OVERVIEW as f32 / longest as f32));
    }
    looks
}

fn padded(size: Size) -> Size {
    Size::new(size.width.next_multiple_of(MULTIPLE), size.height.next_multiple_of(MULTIPLE))
}

/// Writes the colours plane by plane; what is beyond the picture stays black.
fn fill<S: Sample>(picture: View<'_, S>, mut input: ArrayViewMut4<'_, f32>, order: Order) {
    let channels = picture.dim().2;
    for plane in 0..3 {
        let channel = match order {
            _ if channels < 3 => 0,
            Order::Rgb => plane,
            Order::Bgr => 2 - plane,
        };
        let mut plane = input.slice_mut(ndarray::s![0, plane, .., ..]);
        for (from, mut to) in rows(picture).zip(plane.outer_iter_mut()) {
            for (from, to) in from.chunks_exact(channels).zip(&mut to) {
                *to = from[channel].to_f32() * (WHITE / S::WHITE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Picture;

    fn tensor(dims: &[Option<usize>]) -> TensorInfo {
        TensorInfo { name: "t".into(), element: Some(Element::F32), dims: dims.to_vec() }
    }

    #[test]
    fn every_head_is_known_by_its_outputs_and_finds_nothing_in_silence() {
        let input = [tensor(&[Some(1), Some(3), None, None])];
        for head in HEADS {
            let outputs: Vec<TensorInfo> = head
                .outputs
                .iter()
                .map(|&numbers| {
                    let mut dims = [None; 4];
                    dims[head.numbers_at] = Some(numbers);
                    tensor(&dims)
                })
                .collect();
            assert_eq!(head_of(&input, &outputs).unwrap().name, head.name);
            assert!(head_of(&input, &outputs[1..]).is_err());
            let silence = vec![0.0; 10 * 96 * 64];
            let answers = vec![&silence[..]; head.outputs.len()];
            assert!((head.decode)(&answers, Size::new(96, 64), 0.3).is_empty(), "{}", head.name);
            assert!((head.decode)(&vec![&[][..]; head.outputs.len()], Size::new(96, 64), 0.3).is_empty());
        }
        let fixed = [tensor(&[Some(1), Some(3), Some(640), Some(640)])];
        assert!(head_of(&fixed, &[]).unwrap_err().contains("any height"));
    }

    #[test]
    fn the_smallest_face_wanted_is_seen_as_large_as_the_head_needs_it() {
        for (width, height) in [(88, 72), (640, 360), (1920, 1080), (321, 1001)] {
            for smallest in 8..200 {
                let size = Size::new(width, height);
                let looks = looks(size, smallest as f32, 16.0);
                let scale = looks[0].width as f32 / width as f32;
                assert!(smallest as f32 * scale > 0.8 * 16.0_f32.min(2.0 * smallest as f32), "{smallest}");
                // A face that fills the picture is seen at a size that heads find.
                let coarsest = looks.iter().map(|look| look.width.max(look.height)).min().unwrap();
                assert!(coarsest <= LONG, "{size}, {smallest}: {looks:?}");
            }
        }
    }

    #[test]
    fn colours_come_in_the_order_of_the_head_and_padding_stays_black() {
        let picture = Picture::<u16>::from_shape_fn((2, 3, 4), |(_, _, c)| [100, 200, 300, u16::MAX][c]);
        for (order, first) in [(Order::Rgb, 100.0), (Order::Bgr, 300.0)] {
            let mut input = Array4::zeros((1, 3, 32, 32));
            fill(picture.view(), input.view_mut(), order);
            let expected = first * 255.0 / 65535.0;
            assert!((input[(0, 0, 1, 2)] - expected).abs() < 1e-6);
            assert_eq!(input.iter().filter(|&&value| value != 0.0).count(), 18);
        }
        let grey = Picture::<u8>::from_elem((2, 3, 1), 7);
        let mut input = Array4::zeros((1, 3, 32, 32));
        fill(grey.view(), input.view_mut(), Order::Bgr);
        assert!((0..3).all(|plane| input[(0, plane, 0, 0)] == 7.0));
    }
}
