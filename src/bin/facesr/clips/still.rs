//! One picture of a clip, with as many bits as it came with.

use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Sample, Size, View};
use gstfacesr::metrics::plane;
use ndarray::Array4;

/// An RGB picture, perhaps with an alpha that is left out of everything below.
#[derive(Clone, Debug)]
pub enum Still {
    /// Of up to 8 bits a sample.
    Eight(Picture<u8>),
    /// Of more.
    Sixteen(Picture<u16>),
}

impl Still {
    /// Width and height.
    pub fn size(&self) -> Size {
        match self {
            Still::Eight(picture) => Size::of(&picture.view()),
            Still::Sixteen(picture) => Size::of(&picture.view()),
        }
    }

    /// What metrics look at, 0 to 255.
    pub fn luma(&self) -> Picture<f32> {
        match self {
            Still::Eight(picture) => plane::luma(picture.view()),
            Still::Sixteen(picture) => plane::luma(picture.view()),
        }
    }

    /// What networks look at, 0 to 1, colour by colour.
    pub fn planar(&self) -> Array4<f32> {
        match self {
            Still::Eight(picture) => plane::planar(picture.view()),
            Still::Sixteen(picture) => plane::planar(picture.view()),
        }
    }

    /// What people look at: three samples a pixel of 8 bits each.
    pub fn shown(&self) -> Picture<u8> {
        match self {
            Still::Eight(picture) => shown(picture.view()),
            Still::Sixteen(picture) => shown(picture.view()),
        }
    }

    /// The same picture in another size, by plain resampling.
    pub fn resized(self, size: Size) -> Still {
        match self {
            same if same.size() == size => same,
            Still::Eight(picture) => Still::Eight(Resampler::default().resize(picture.view(), size)),
            Still::Sixteen(picture) => Still::Sixteen(Resampler::default().resize(picture.view(), size)),
        }
    }
}

fn shown<S: Sample>(picture: View<'_, S>) -> Picture<u8> {
    let (height, width, _) = picture.dim();
    let unit = u8::WHITE / S::WHITE;
    Picture::from_shape_fn((height, width, 3), |at| u8::from_f32(picture[at].to_f32() * unit))
}
