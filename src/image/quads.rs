//! Pixels of four floats with a border, which can be sampled between pixels.

use ndarray::{ArrayView2, ShapeBuilder};

use super::Size;
use super::lanes::Lanes;

/// A pixel.
pub type Quad = [f32; 4];

/// Pixels around a picture. A sample may lie outside of it by one pixel, and a cubic one reads two more.
const BORDER: usize = 4;

/// Floats of a pixel.
const CHANNELS: usize = 4;

/// A picture of four channels with a border of 4 pixels around it.
#[derive(Clone, Debug)]
pub struct Quads {
    samples: Vec<f32>,
    /// Without the border.
    pub size: Size,
    /// Floats from one row to the next.
    stride: usize,
}

impl Quads {
    /// Zeros.
    pub fn new(size: Size) -> Self {
        let stride = (size.width + 2 * BORDER) * CHANNELS;
        Self { samples: vec![0.0; stride * (size.height + 2 * BORDER)], size, stride }
    }

    /// A row without its border.
    #[inline(always)]
    pub fn row(&self, y: usize) -> &[Quad] {
        let start = (y + BORDER) * self.stride + BORDER * CHANNELS;
        self.samples[start..start + self.size.width * CHANNELS].as_chunks().0
    }

    /// As [`Self::row`], to write.
    #[inline(always)]
    pub fn row_mut(&mut self, y: usize) -> &mut [Quad] {
        let start = (y + BORDER) * self.stride + BORDER * CHANNELS;
        self.samples[start..start + self.size.width * CHANNELS].as_chunks_mut().0
    }

    /// Every row, top to bottom, in bands of `count` rows, each with its border at both ends and all
    /// without the border above and below.
    pub fn bands_mut(&mut self, count: usize) -> impl rayon::iter::IndexedParallelIterator<Item = BandMut<'_>> {
        use rayon::prelude::*;
        let (stride, width, height) = (self.stride, self.size.width, self.size.height);
        let inside = &mut self.samples[BORDER * stride..(BORDER + height) * stride];
        inside.par_chunks_mut(stride * count).enumerate().map(move |(index, samples)| BandMut {
            first: index * count,
            samples,
            stride,
            width,
        })
    }

    /// One channel.
    pub fn channel(&self, channel: usize) -> ArrayView2<'_, f32> {
        let shape = (self.size.height, self.size.width).strides((self.stride, CHANNELS));
        let start = BORDER * self.stride + BORDER * CHANNELS + channel;
        ArrayView2::from_shape(shape, &self.samples[start..]).expect("a channel lies inside of its picture")
    }

    /// Repeats the outermost pixels in the border. To be called after writing, before sampling.
    pub fn extend(&mut self) {
        let (stride, height) = (self.stride, self.size.height);
        for row in self.samples.chunks_exact_mut(stride).skip(BORDER).take(height) {
            let pixels: &mut [Quad] = row.as_chunks_mut().0;
            let (first, last) = (pixels[BORDER], pixels[BORDER + self.size.width - 1]);
            pixels[..BORDER].fill(first);
            pixels[BORDER + self.size.width..].fill(last);
        }
        let last = (BORDER + height - 1) * stride;
        for y in 0..BORDER {
            self.samples.copy_within(BORDER * stride..(BORDER + 1) * stride, y * stride);
            self.samples.copy_within(last..last + stride, (BORDER + height + y) * stride);
        }
    }

    /// A pixel, and the mean of it and its eight neighbours weighted 1, 2, 1 each way.
    #[inline(always)]
    pub fn smooth(&self, x: usize, y: usize) -> (Quad, Quad) {
        let mut start = (y + BORDER - 1) * self.stride + (x + BORDER - 1) * CHANNELS;
        let mut sum = [0.0; 4];
        let mut here = [0.0; 4];
        for (row, weight) in [0.0625, 0.125, 0.0625].into_iter().enumerate() {
            let taps: &[Quad] = self.samples[start..start + 3 * CHANNELS].as_chunks().0;
            for channel in 0..CHANNELS {
                sum[channel] += weight * (taps[0][channel] + 2.0 * taps[1][channel] + taps[2][channel]);
            }
            if row == 1 {
                here = taps[1];
            }
            start += self.stride;
        }
        (here, sum)
    }

    /// The value at a position in pixels: cubic after Catmull and Rom (the interpolating cubic
    /// of slope (next - previous) / 2), in the fourth channel linear if asked for. Positions farther out than a
    /// pixel are limited to that.
    #[inline(always)]
    pub fn cubic<const LINEAR_FOURTH: bool>(&self, x: f32, y: f32) -> Quad {
        let (left, across) = split(x, self.size.width);
        let (top, down) = split(y, self.size.height);
        let (across, down) = (Weights::<LINEAR_FOURTH>::new(across), Weights::<LINEAR_FOURTH>::new(down));
        let [near, far] = [across.pair(0), across.pair(2)];
        let mut sum = Lanes::ZERO;
        let mut start = top * self.stride + left * CHANNELS;
        for row in 0..4 {
            let taps = &self.samples[start..start + 4 * CHANNELS];
            let along = Lanes::load(&taps[..8]) * near + Lanes::load(&taps[8..]) * far;
            sum += along * down.both(row);
            start += self.stride;
        }
        let [a, b, c, d, e, f, g, h] = sum.0;
        [a + e, b + f, c + g, d + h]
    }
}

/// Some rows of a picture.
pub struct BandMut<'a> {
    /// Number of the first row.
    pub first: usize,
    samples: &'a mut [f32],
    stride: usize,
    width: usize,
}

impl BandMut<'_> {
    /// The rows, without their borders.
    pub fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [Quad]> {
        let inside = BORDER * CHANNELS..(BORDER + self.width) * CHANNELS;
        self.samples.chunks_exact_mut(self.stride).map(move |row| row[inside.clone()].as_chunks_mut().0)
    }
}

/// The first of the four taps, counted in the border, and how far the position lies beyond the second.
#[inline(always)]
fn split(position: f32, length: usize) -> (usize, f32) {
    // From one pixel before the first to one behind the last; NaN goes to the first.
    let inside = if position > -1.0 { position } else { -1.0 };
    let inside = if inside < length as f32 { inside } else { length as f32 } + BORDER as f32;
    let whole = inside as i32;
    (whole as usize - 1, inside - whole as f32)
}

/// Weights of the four taps around a position.
struct Weights<const LINEAR_FOURTH: bool> {
    cubic: [f32; 4],
    linear: [f32; 4],
}

impl<const LINEAR_FOURTH: bool> Weights<LINEAR_FOURTH> {
    #[inline(always)]
    fn new(t: f32) -> Self {
        Self { cubic: catmull_rom(t), linear: [0.0, 1.0 - t, t, 0.0] }
    }

    /// Of a tap and the next.
    #[inline(always)]
    fn pair(&self, tap: usize) -> Lanes {
        let (a, b) = (self.cubic[tap], self.cubic[tap + 1]);
        let (c, d) =
            if LINEAR_FOURTH { (self.linear[tap], self.linear[tap + 1]) } else { (a, b) };
        Lanes([a, a, a, c, b, b, b, d])
    }

    /// Of a tap, for two pixels.
    #[inline(always)]
    fn both(&self, tap: usize) -> Lanes {
        let a = self.cubic[tap];
        let c = if LINEAR_FOURTH { self.linear[tap] } else { a };
        Lanes([a, a, a, c, a, a, a, c])
    }
}

/// Weights of the samples at -1, 0, 1 and 2 for a position `t` of 0 to 1.
#[inline(always)]
pub fn catmull_rom(t: f32) -> [f32; 4] {
    let rest = 1.0 - t;
    let (outer, far) = (-0.5 * t * rest, 1.5 * t);
    [outer * rest, 1.0 + t * t * (far - 2.5), t * (0.5 + t * (2.0 - far)), outer * t]
}
