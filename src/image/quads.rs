//! Pixels of four floats with a border, which can be sampled between pixels.

use ndarray::{ArrayView2, ShapeBuilder};

use super::lanes::{Lanes, dispatched};
use super::{Sample, Size};

/// A pixel.
pub type Quad = [f32; 4];

/// Pixels around a picture. A sample may lie outside of it by one pixel, and a cubic one reads two more.
const BORDER: usize = 4;

/// Floats of a pixel.
const CHANNELS: usize = 4;

/// From here on, floats are whole numbers, and the lowest bits of their representation are those of the number.
const FIRST_WITHOUT_FRACTION: f32 = (1 << 23) as f32;
const MANTISSA: u32 = (1 << 23) - 1;

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
    pub fn bands_mut(
        &mut self,
        count: usize,
    ) -> impl rayon::iter::IndexedParallelIterator<Item = BandMut<'_>> {
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

/// Reads the colours of a row of samples, in the samples' units.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub fn load_row<S: Sample>(from: &[S], channels: usize, to: &mut [Quad]) {
    for (from, to) in from.chunks_exact(channels).zip(to) {
        *to = [from[0].to_f32(), from[1].to_f32(), from[2].to_f32(), 0.0];
    }
}

/// Writes the colours of a row of samples, rounded to the nearest and limited to their range; others are left
/// as they are.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub fn store_row<S: Sample>(from: &[Quad], channels: usize, to: &mut [S]) {
    for (from, to) in from.iter().zip(to.chunks_exact_mut(channels)) {
        let mut bits = [0; 4];
        for channel in 0..4 {
            let value = if from[channel] > 0.0 { from[channel] } else { 0.0 };
            let value = if value < S::WHITE { value } else { S::WHITE };
            bits[channel] = (value + FIRST_WITHOUT_FRACTION).to_bits();
        }
        to[0] = S::from_low_bits(bits[0]);
        to[1] = S::from_low_bits(bits[1]);
        to[2] = S::from_low_bits(bits[2]);
    }
}

/// Where pixels of a row are to be sampled, ready to be read: a vector of each figure.
#[derive(Clone, Debug, Default)]
pub struct Taps {
    /// Index of the first of the sixteen pixels around each position, in floats.
    first: Vec<u32>,
    /// Weights of the four columns and of the four rows.
    across: [Vec<f32>; 4],
    down: [Vec<f32>; 4],
    /// How far the position lies beyond the second column and row.
    beyond: [Vec<f32>; 2],
}

impl Taps {
    /// For rows of a width.
    pub fn new(width: usize) -> Self {
        let floats = || vec![0.0; width];
        Self {
            first: vec![0; width],
            across: std::array::from_fn(|_| floats()),
            down: std::array::from_fn(|_| floats()),
            beyond: std::array::from_fn(|_| floats()),
        }
    }
}

dispatched! {
    /// Prepares to sample `picture` at the pixels of row `y`, moved by `scale` times the first two figures of each
    /// of `motion`. Positions farther out than a pixel are limited to that; NaN is far out.
    pub fn locate / locate_plain(picture: &Quads, y: usize, scale: [f32; 2], motion: &[Quad], taps: &mut Taps) {
        let count = motion.len();
        let end = [picture.size.width as f32, picture.size.height as f32];
        let stride = picture.stride as u32;
        let first = &mut taps.first[..count];
        let [c0, c1, c2, c3] = taps.across.each_mut().map(|row| &mut row[..count]);
        let [r0, r1, r2, r3] = taps.down.each_mut().map(|row| &mut row[..count]);
        let [beyond_x, beyond_y] = taps.beyond.each_mut().map(|row| &mut row[..count]);
        for x in 0..count {
            let (left, across) = split(x as i32 as f32 + scale[0] * motion[x][0], end[0]);
            let (top, down) = split(y as i32 as f32 + scale[1] * motion[x][1], end[1]);
            first[x] = top * stride + left * CHANNELS as u32;
            [c0[x], c1[x], c2[x], c3[x]] = catmull_rom(across);
            [r0[x], r1[x], r2[x], r3[x]] = catmull_rom(down);
            beyond_x[x] = across;
            beyond_y[x] = down;
        }
    }
}

dispatched! {
    /// Samples a picture by the cubic of Catmull and Rom, whose slope at a pixel is half the difference of its
    /// neighbours.
    pub fn sample / sample_plain(picture: &Quads, taps: &Taps, to: &mut [Quad]) {
        let count = to.len();
        let first = &taps.first[..count];
        let [c0, c1, c2, c3] = taps.across.each_ref().map(|row| &row[..count]);
        let down = taps.down.each_ref().map(|row| &row[..count]);
        for x in 0..count {
            let (mut near, mut far) = (Lanes::ZERO, Lanes::ZERO);
            let mut start = first[x] as usize;
            for down in &down {
                let taps = &picture.samples[start..start + 4 * CHANNELS];
                let weight = Lanes::splat(down[x]);
                near += Lanes::load(&taps[..8]) * weight;
                far += Lanes::load(&taps[8..]) * weight;
                start += picture.stride;
            }
            let [a, b, c, d] = [c0[x], c1[x], c2[x], c3[x]];
            let sum = near * Lanes([a, a, a, a, b, b, b, b]) + far * Lanes([c, c, c, c, d, d, d, d]);
            let [a, b, c, d, e, f, g, h] = sum.0;
            to[x] = [a + e, b + f, c + g, d + h];
        }
    }
}

dispatched! {
    /// Samples the fourth channel linearly, where a cubic would overshoot.
    pub fn sample_fourth / sample_fourth_plain(picture: &Quads, taps: &Taps, to: &mut [Quad]) {
        let count = to.len();
        let first = &taps.first[..count];
        let [across, down] = taps.beyond.each_ref().map(|row| &row[..count]);
        for x in 0..count {
            let start = first[x] as usize + picture.stride;
            let row = |start: usize| {
                let pixels: &[Quad] = picture.samples[start + CHANNELS..start + 3 * CHANNELS].as_chunks().0;
                pixels[0][3] + across[x] * (pixels[1][3] - pixels[0][3])
            };
            let (above, below) = (row(start), row(start + picture.stride));
            to[x][3] = above + down[x] * (below - above);
        }
    }
}

/// The first of the four taps, counted in the border, and how far the position lies beyond the second.
#[inline(always)]
fn split(position: f32, end: f32) -> (u32, f32) {
    // From one pixel before the first to one behind the last; NaN goes to the first.
    let inside = if position > -1.0 { position } else { -1.0 };
    let inside = if inside < end { inside } else { end } + BORDER as f32;
    // Rounding to a whole number below: a position on a pixel may be given as 1 beyond the one before, which
    // has the same weights. A cast would not be vectorised.
    let shifted = (inside - 0.5) + FIRST_WITHOUT_FRACTION;
    let whole = shifted - FIRST_WITHOUT_FRACTION;
    ((shifted.to_bits() & MANTISSA) - 1, inside - whole)
}

/// Weights of the samples at -1, 0, 1 and 2 for a position `t` of 0 to 1.
#[inline(always)]
pub fn catmull_rom(t: f32) -> [f32; 4] {
    let rest = 1.0 - t;
    let (outer, far) = (-0.5 * t * rest, 1.5 * t);
    [outer * rest, 1.0 + t * t * (far - 2.5), t * (0.5 + t * (2.0 - far)), outer * t]
}
