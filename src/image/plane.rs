//! One channel of floats with a border, as the search reads and writes it.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder};

use super::Size;
use super::bands::{Rows, rows_in_band};
use super::lanes::{LANES, Row, RowMut};

/// Samples around a plane. A patch may lie outside a picture by its whole side, and a bilinear
/// sample reads one more.
pub const BORDER: usize = 16;

/// Samples are luma of 0 to 255; what lies further out than this is limited, so that squares
/// and their sums stay finite whatever comes in.
const LARGEST: f32 = 4096.0;

/// A plane of floats with [`BORDER`] samples around it. Rows are whole vectors long, so the last
/// vector of a row may reach into the border.
#[derive(Clone, Debug)]
pub struct Plane {
    samples: Vec<f32>,
    /// Without the border.
    pub size: Size,
    /// Samples from one row to the next.
    pub stride: usize,
}

impl Plane {
    /// Zeros.
    pub fn new(size: Size) -> Self {
        let stride = 2 * BORDER + size.width.next_multiple_of(LANES);
        let samples = vec![0.0; stride * (size.height + 2 * BORDER)];
        Self { samples, size, stride }
    }

    /// Where the sample `(x, y)` lies in [`Self::samples`]; both may be as low as minus the border.
    #[inline(always)]
    pub fn index(&self, x: isize, y: isize) -> usize {
        let border = BORDER as isize;
        (y + border) as usize * self.stride + (x + border) as usize
    }

    /// Everything, borders included.
    #[inline(always)]
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// From `(x, y)` to the end of that row's border.
    #[inline(always)]
    pub fn rest(&self, x: isize, y: isize) -> &[f32] {
        let start = self.index(x, y);
        let end = self.index(-(BORDER as isize), y) + self.stride;
        &self.samples[start..end]
    }

    /// As [`Self::rest`], to write.
    #[inline(always)]
    pub fn rest_mut(&mut self, x: isize, y: isize) -> &mut [f32] {
        let start = self.index(x, y);
        let end = self.index(-(BORDER as isize), y) + self.stride;
        &mut self.samples[start..end]
    }

    /// A row without its border.
    #[inline(always)]
    pub fn row(&self, y: usize) -> &[f32] {
        &self.rest(0, y as isize)[..self.size.width]
    }

    /// As [`Self::row`], to write.
    #[inline(always)]
    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let width = self.size.width;
        &mut self.rest_mut(0, y as isize)[..width]
    }

    /// Whole vectors of a row from `(x, y)` on, enough for the row's width.
    #[inline(always)]
    pub fn lanes(&self, x: isize, y: isize) -> Row<'_> {
        &self.rest(x, y).as_chunks().0[..self.size.width.div_ceil(LANES)]
    }

    /// As [`Self::lanes`], to write.
    #[inline(always)]
    pub fn lanes_mut(&mut self, x: isize, y: isize) -> RowMut<'_> {
        let count = self.size.width.div_ceil(LANES);
        &mut self.rest_mut(x, y).as_chunks_mut().0[..count]
    }

    /// Every sample, the border too.
    pub fn fill(&mut self, value: f32) {
        self.samples.fill(value);
    }

    /// Every row, top to bottom, in bands of `count` rows, for threads.
    pub fn bands_mut(&mut self, count: usize) -> impl IndexedParallelIterator<Item = Band<'_>> {
        let (width, height, stride) = (self.size.width, self.size.height, self.stride);
        let inside = &mut self.samples[BORDER * stride..(BORDER + height) * stride];
        Rows::bands(inside, stride, count).map(move |rows| Band { rows, width })
    }

    /// Takes a picture of the same size, limited to what can be computed with, and fills the border.
    pub fn load(&mut self, from: ArrayView2<'_, f32>) {
        let count = rows_in_band(self.size);
        self.bands_mut(count).zip(from.axis_chunks_iter(Axis(0), count)).for_each(|(mut band, from)| {
            for (y, from) in band.rows().zip(from.outer_iter()) {
                for (to, &from) in band.row_mut(y).iter_mut().zip(from) {
                    *to = limited(from);
                }
                band.extend(y);
            }
        });
        self.extend_ends();
    }

    /// Repeats the outermost samples in the border.
    pub fn extend(&mut self) {
        let (width, height) = (self.size.width, self.size.height);
        for y in 0..height {
            extend_row(self.rest_mut(-(BORDER as isize), y as isize), width);
        }
        self.extend_ends();
    }

    /// Repeats the first and the last row in the border, of a plane whose rows are [extended](Band::extend).
    pub fn extend_ends(&mut self) {
        let (height, stride) = (self.size.height, self.stride);
        for y in 0..BORDER {
            self.samples.copy_within(BORDER * stride..(BORDER + 1) * stride, y * stride);
            let last = (BORDER + height - 1) * stride;
            self.samples.copy_within(last..last + stride, (BORDER + height + y) * stride);
        }
    }

    /// Becomes the same as another of the same size, border and all.
    pub fn copy_from(&mut self, other: &Self) {
        self.samples.copy_from_slice(&other.samples);
    }

    /// The plane without its border.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        let shape = (self.size.height, self.size.width).strides((self.stride, 1));
        ArrayView2::from_shape(shape, &self.samples[self.index(0, 0)..])
            .expect("a plane lies inside of its border")
    }

    /// Writes the plane, without its border, row by row.
    pub fn copy_to(&self, to: &mut Array2<f32>) {
        let count = rows_in_band(self.size);
        to.axis_chunks_iter_mut(Axis(0), count).into_par_iter().enumerate().for_each(|(band, mut to)| {
            for (y, mut to) in (band * count..).zip(to.outer_iter_mut()) {
                to.as_slice_mut()
                    .expect("rows of an owned array are contiguous")
                    .copy_from_slice(self.row(y));
            }
        });
    }
}

/// Some rows of a plane, to write; they are counted in the plane.
pub struct Band<'a> {
    rows: Rows<'a>,
    width: usize,
}

impl Band<'_> {
    /// Which rows they are.
    pub fn rows(&self) -> std::ops::Range<usize> {
        self.rows.range()
    }

    /// As [`Plane::rest_mut`].
    #[inline(always)]
    pub fn rest_mut(&mut self, x: isize, y: usize) -> &mut [f32] {
        &mut self.rows.row_mut(y)[(x + BORDER as isize) as usize..]
    }

    /// As [`Plane::row_mut`].
    #[inline(always)]
    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let width = self.width;
        &mut self.rest_mut(0, y)[..width]
    }

    /// As [`Plane::lanes_mut`].
    #[inline(always)]
    pub fn lanes_mut(&mut self, y: usize) -> RowMut<'_> {
        let count = self.width.div_ceil(LANES);
        &mut self.rest_mut(0, y).as_chunks_mut().0[..count]
    }

    /// Every sample, the border too.
    pub fn fill(&mut self, value: f32) {
        self.rows.fill(value);
    }

    /// Repeats the outermost samples of a row in its border.
    pub fn extend(&mut self, y: usize) {
        extend_row(self.rows.row_mut(y), self.width);
    }
}

fn extend_row(row: &mut [f32], width: usize) {
    let (first, last) = (row[BORDER], row[BORDER + width - 1]);
    row[..BORDER].fill(first);
    row[BORDER + width..].fill(last);
}

/// What can be computed with: no NaN, and not too far out.
#[inline(always)]
fn limited(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-LARGEST, LARGEST) }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use ndarray::{Array2, s};

    /// A plane of a function of the column and the row.
    pub fn plane(size: Size, value: impl Fn(usize, usize) -> f32) -> Plane {
        let mut plane = Plane::new(size);
        plane.load(Array2::from_shape_fn((size.height, size.width), |(y, x)| value(x, y)).view());
        plane
    }

    /// Levels of 0 to 255 without any pattern.
    pub fn noise(size: Size, seed: u32) -> Plane {
        plane(size, |x, y| {
            let mut bits = (x as u32).wrapping_mul(0x9E37_79B9) ^ (y as u32).wrapping_mul(0x85EB_CA6B) ^ seed;
            for _ in 0..3 {
                bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
            }
            (bits >> 24) as f32
        })
    }

    #[test]
    fn the_border_repeats_the_nearest_sample() {
        for (width, height) in [(16, 16), (17, 21), (40, 16)] {
            let plane = noise(Size::new(width, height), 7);
            let border = BORDER as isize;
            for y in -border..height as isize + border {
                for x in -border..width as isize + border {
                    let inside = plane.row(y.clamp(0, height as isize - 1) as usize)
                        [x.clamp(0, width as isize - 1) as usize];
                    assert_eq!(plane.samples()[plane.index(x, y)], inside, "{x},{y}");
                }
            }
        }
    }

    #[test]
    fn whatever_is_loaded_is_finite_and_padding_is_not_read() {
        let mut wide = Array2::from_elem((16, 40), f32::NAN);
        let extremes = [f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, 255.0];
        let mut part = wide.slice_mut(s![.., 3..24]);
        part.iter_mut().zip(extremes.iter().cycle()).for_each(|(to, &from)| *to = from);
        let mut plane = Plane::new(Size::new(21, 16));
        plane.load(wide.slice(s![.., 3..24]));
        assert!(plane.samples().iter().all(|sample| sample.abs() <= LARGEST));
        assert_eq!(plane.row(0)[5..7], [0.0, 255.0]);
    }
}
