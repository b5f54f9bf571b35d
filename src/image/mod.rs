//! What a picture is: rows of interleaved samples, and nothing about where they came from.
//!
//! A picture has the shape `(height, width, channels)`; a row is contiguous, rows may be
//! further apart than they are long (padding is never part of a row). The views are
//! `ndarray`'s, so cutting a tile out of a frame copies nothing.

pub(crate) mod bands;
pub(crate) mod box_filter;
pub mod convert;
pub(crate) mod enlarge;
pub(crate) mod interleave;
pub(crate) mod lanes;
pub(crate) mod luma;
pub(crate) mod places;
pub mod planar;
pub(crate) mod plane;
pub mod resample;
pub mod soften;

use fast_image_resize::PixelType;
use ndarray::{Array3, ArrayView3, ArrayViewMut3, ShapeBuilder, s};

/// An owned picture without padding.
pub type Picture<S> = Array3<S>;
/// A borrowed picture, possibly a part of a larger one.
pub type View<'a, S> = ArrayView3<'a, S>;
/// A borrowed picture that can be written.
pub type ViewMut<'a, S> = ArrayViewMut3<'a, S>;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// A size in pixels.
    pub const fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }

    /// The size of a picture.
    pub fn of<S>(picture: &View<'_, S>) -> Self {
        let (height, width, _) = picture.dim();
        Self { width, height }
    }

    /// The size after an enlargement by a whole factor.
    pub const fn times(self, scale: usize) -> Self {
        Self::new(self.width * scale, self.height * scale)
    }
}

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Columns to the left of it.
    pub x: usize,
    /// Rows above it.
    pub y: usize,
    /// How large it is.
    pub size: Size,
}

impl Area {
    /// The smallest area that holds both.
    pub fn hull(&self, other: &Area) -> Area {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.size.width).max(other.x + other.size.width);
        let bottom = (self.y + self.size.height).max(other.y + other.size.height);
        Area { x, y, size: Size::new(right - x, bottom - y) }
    }
}

/// What a run of a network over a part of a picture takes besides the pixels that are wanted, and how many it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Context on every side, in pixels.
    pub context: usize,
    /// Pixels at most, context included.
    pub most: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { context: 0, most: usize::MAX }
    }
}

impl Window {
    /// What a run costs besides its pixels, in pixels.
    pub const RUN: usize = 256;

    /// An area with its context, as far as the picture reaches.
    pub fn around(&self, area: Area, picture: Size) -> Area {
        let (x, y) = (area.x.saturating_sub(self.context), area.y.saturating_sub(self.context));
        let right = (area.x + area.size.width + self.context).min(picture.width);
        let bottom = (area.y + area.size.height + self.context).min(picture.height);
        Area { x, y, size: Size::new(right - x, bottom - y) }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A sample that frames are made of: 8 or 16 bits, full range.
pub trait Sample: bytemuck::Pod + PartialOrd + std::fmt::Debug + Send + Sync {
    /// Bits of a sample.
    const BITS: u32;
    /// The value of white, as a float.
    const WHITE: f32;
    /// The value of white (and of an opaque alpha).
    const MAX: Self;
    /// The same samples to the resampler, by the number of channels (1, 3 or 4).
    fn pixel_type(channels: usize) -> PixelType;
    /// Exact.
    fn to_f32(self) -> f32;
    /// Rounded to the nearest, limited to the range; NaN is black.
    fn from_f32(value: f32) -> Self;
    /// As many of the lowest bits as a sample has.
    fn from_low_bits(bits: u32) -> Self;
}

macro_rules! sample {
    ($type:ty, $one:ident, $three:ident, $four:ident) => {
        impl Sample for $type {
            const BITS: u32 = <$type>::BITS;
            const WHITE: f32 = <$type>::MAX as f32;
            const MAX: Self = <$type>::MAX;

            fn pixel_type(channels: usize) -> PixelType {
                match channels {
                    1 => PixelType::$one,
                    3 => PixelType::$three,
                    _ => PixelType::$four,
                }
            }

            #[inline(always)]
            fn to_f32(self) -> f32 {
                f32::from(self)
            }

            fn from_f32(value: f32) -> Self {
                // A float to integer cast saturates and takes NaN to 0.
                (value + 0.5) as Self
            }

            #[inline(always)]
            fn from_low_bits(bits: u32) -> Self {
                bits as Self
            }
        }
    };
}

sample!(u8, U8, U8x3, U8x4);
sample!(u16, U16, U16x3, U16x4);

/// A view of rows that lie `stride` samples apart in `samples`.
///
/// `None` when the rows do not fit or overlap.
pub fn view<S>(samples: &[S], size: Size, channels: usize, stride: usize) -> Option<View<'_, S>> {
    if stride < size.width * channels {
        return None;
    }
    let shape = (size.height, size.width, channels).strides((stride, channels, 1));
    ArrayView3::from_shape(shape, samples).ok()
}

/// As [`view`], to write.
pub fn view_mut<S>(samples: &mut [S], size: Size, channels: usize, stride: usize) -> Option<ViewMut<'_, S>> {
    if stride < size.width * channels {
        return None;
    }
    let shape = (size.height, size.width, channels).strides((stride, channels, 1));
    ArrayViewMut3::from_shape(shape, samples).ok()
}

/// The rows of a picture, top to bottom, each a slice of `width * channels` samples.
pub fn rows<'a, S>(picture: View<'a, S>) -> impl ExactSizeIterator<Item = &'a [S]> {
    picture.into_outer_iter().map(|row| row.to_slice().expect("a row of a picture is contiguous"))
}

/// As [`rows`], to write.
pub fn rows_mut<'a, S>(picture: &'a mut ViewMut<'_, S>) -> impl ExactSizeIterator<Item = &'a mut [S]> {
    picture.outer_iter_mut().map(|row| row.into_slice().expect("a row of a picture is contiguous"))
}

/// Copies a picture into one of the same size. Where the channels differ, the colours are
/// copied, and an alpha that the source does not have is left as it is.
pub fn copy<S: Copy>(from: View<'_, S>, mut to: ViewMut<'_, S>) {
    let (from_channels, to_channels) = (from.dim().2, to.dim().2);
    for (from, to) in rows(from).zip(rows_mut(&mut to)) {
        if from_channels == to_channels {
            to.copy_from_slice(from);
            continue;
        }
        let pixels = to.chunks_exact_mut(to_channels);
        for (from, to) in from.chunks_exact(from_channels).zip(pixels) {
            to[..3].copy_from_slice(&from[..3]);
        }
    }
}

/// The part of a picture with its first pixel at `(x, y)`.
pub fn crop<'a, S>(picture: View<'a, S>, x: usize, y: usize, size: Size) -> View<'a, S> {
    picture.slice_move(s![y..y + size.height, x..x + size.width, ..])
}

/// As [`crop`], to write.
pub fn crop_mut<'a, S>(picture: ViewMut<'a, S>, x: usize, y: usize, size: Size) -> ViewMut<'a, S> {
    picture.slice_move(s![y..y + size.height, x..x + size.width, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_never_contains_its_padding() {
        const POISON: u8 = 99;
        for (width, height, channels) in [(1, 1, 3), (5, 3, 3), (7, 2, 4), (321, 2, 3)] {
            for padding in 0..4 {
                let stride = width * channels + padding;
                let mut samples = vec![POISON; stride * height];
                let size = Size::new(width, height);
                let mut picture = view_mut(&mut samples, size, channels, stride).unwrap();
                rows_mut(&mut picture).for_each(|row| row.fill(1));
                let poisoned = samples.iter().filter(|&&s| s == POISON).count();
                assert_eq!(poisoned, padding * height, "{size}, {padding} padding");
                let picture = view(&samples, size, channels, stride).unwrap();
                assert!(rows(picture).flatten().all(|&sample| sample == 1));
            }
        }
    }

    #[test]
    fn rows_that_overlap_or_do_not_fit_are_refused() {
        assert!(view(&[0_u8; 12], Size::new(2, 2), 3, 5).is_none());
        assert!(view(&[0_u8; 11], Size::new(2, 2), 3, 6).is_none());
        assert!(view(&[0_u8; 12], Size::new(2, 2), 3, 6).is_some());
        // The last row needs no padding behind it.
        assert!(view(&[0_u8; 14], Size::new(2, 2), 3, 8).is_some());
    }

    #[test]
    fn every_sample_survives_the_way_to_float_and_back() {
        for sample in 0..=u8::MAX {
            assert_eq!(u8::from_f32(sample.to_f32()), sample);
        }
        for sample in 0..=u16::MAX {
            assert_eq!(u16::from_f32(sample.to_f32()), sample);
        }
        for (value, expected) in [(f32::NAN, 0), (-7.0, 0), (1e9, 255), (f32::INFINITY, 255)] {
            assert_eq!(u8::from_f32(value), expected, "{value}");
        }
    }

    #[test]
    fn copying_colours_leaves_the_alpha_of_the_target_alone() {
        let from = Picture::<u8>::from_elem((2, 3, 3), 7);
        let mut to = Picture::<u8>::from_elem((2, 3, 4), 200);
        copy(from.view(), to.view_mut());
        for pixel in to.rows() {
            assert_eq!(pixel.to_vec(), [7, 7, 7, 200]);
        }
    }
}
