//! Pixels of four floats with a border, which can be sampled between pixels.

use rayon::prelude::*;

use super::Size;
use super::bands::Rows;
use super::lanes::{Lanes, dispatched};

/// A pixel.
pub type Quad = [f32; 4];

/// Pixels around a picture. A sample may lie outside of it by one pixel, and a cubic one reads two more.
pub(crate) const BORDER: usize = 4;

/// Floats of a pixel.
const CHANNELS: usize = 4;

/// From here on, floats are whole numbers, and the lowest bits of their representation are those of the number.
pub const FIRST_WITHOUT_FRACTION: f32 = (1 << 23) as f32;
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

    /// Becomes the same as another, in the memory that it has where that is as large.
    pub fn copy_from(&mut self, other: &Self) {
        (self.size, self.stride) = (other.size, other.stride);
        self.samples.clone_from(&other.samples);
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

    /// Every row, top to bottom, in bands of `count` rows, for threads.
    pub fn bands_mut(&mut self, count: usize) -> impl IndexedParallelIterator<Item = QuadBand<'_>> {
        let (width, height, stride) = (self.size.width, self.size.height, self.stride);
        let inside = &mut self.samples[BORDER * stride..(BORDER + height) * stride];
        Rows::bands(inside, stride, count).map(move |rows| QuadBand { rows, width })
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
}

/// Some rows of a picture, to write; they are counted in the picture.
pub struct QuadBand<'a> {
    rows: Rows<'a>,
    width: usize,
}

impl QuadBand<'_> {
    /// Which rows they are.
    pub fn rows(&self) -> std::ops::Range<usize> {
        self.rows.range()
    }

    /// As [`Quads::row_mut`].
    #[inline(always)]
    pub fn row_mut(&mut self, y: usize) -> &mut [Quad] {
        let samples = BORDER * CHANNELS..(BORDER + self.width) * CHANNELS;
        self.rows.row_mut(y)[samples].as_chunks_mut().0
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
    /// Prepares to sample `picture` at the pixels of row `y`, moved to the right and down by `motion`. Positions farther out than a
    /// pixel are limited to that; NaN is far out.
    pub fn locate / locate_plain(picture: &Quads, y: usize, motion: [&[f32]; 2], taps: &mut Taps) {
        let count = motion[0].len();
        let [u, v] = motion.map(|row| &row[..count]);
        let end = [picture.size.width as f32, picture.size.height as f32];
        let stride = picture.stride as u32;
        let first = &mut taps.first[..count];
        let [c0, c1, c2, c3] = taps.across.each_mut().map(|row| &mut row[..count]);
        let [r0, r1, r2, r3] = taps.down.each_mut().map(|row| &mut row[..count]);
        let [beyond_x, beyond_y] = taps.beyond.each_mut().map(|row| &mut row[..count]);
        for x in 0..count {
            let (left, across) = split(x as i32 as f32 + u[x], end[0]);
            let (top, down) = split(y as i32 as f32 + v[x], end[1]);
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(usize, usize); 5] = [(1, 1), (2, 5), (7, 3), (16, 16), (37, 21)];

    fn level(x: usize, y: usize, channel: usize) -> f32 {
        ((x * 7 + y * 13 + channel * 5) as f32 * 0.7).sin() * 100.0 + 100.0
    }

    fn picture(size: Size) -> Quads {
        let mut picture = Quads::new(size);
        for y in 0..size.height {
            for (x, pixel) in picture.row_mut(y).iter_mut().enumerate() {
                *pixel = std::array::from_fn(|channel| level(x, y, channel));
            }
        }
        picture.extend();
        picture
    }

    /// Catmull and Rom's cubic through four samples, in the form of Keys 1981 with a = -1/2.
    fn keys(distance: f64) -> f64 {
        let d = distance.abs();
        if d < 1.0 {
            1.5 * d.powi(3) - 2.5 * d.powi(2) + 1.0
        } else if d < 2.0 {
            -0.5 * d.powi(3) + 2.5 * d.powi(2) - 4.0 * d + 2.0
        } else {
            0.0
        }
    }

    /// The sample at a position, as the documentation has it, a tap at a time.
    fn expected(size: Size, channel: usize, x: f64, y: f64, kernel: impl Fn(f64) -> f64) -> f64 {
        let limited = |at: f64, length: usize| at.clamp(-1.0, length as f64);
        let (x, y) = (limited(x, size.width), limited(y, size.height));
        let mut sum = 0.0;
        for row in y.floor() as isize - 2..=y.floor() as isize + 3 {
            for column in x.floor() as isize - 2..=x.floor() as isize + 3 {
                let inside = |at: isize, length: usize| at.clamp(0, length as isize - 1) as usize;
                let value = level(inside(column, size.width), inside(row, size.height), channel);
                sum += f64::from(value) * kernel(x - column as f64) * kernel(y - row as f64);
            }
        }
        sum
    }

    /// Motion of every kind: none, fractions, whole pixels, and far out of the picture.
    fn motions(width: usize, y: usize) -> [Vec<f32>; 2] {
        let kinds = [0.0, 0.5, -0.25, 1.0, -3.0, 0.999, -0.001, 2.75, 40.0, -1e6, 7.125];
        let row = |step: usize| (0..width).map(|x| kinds[(x * step + y) % kinds.len()]).collect();
        [row(1), row(3)]
    }

    fn slices([u, v]: &[Vec<f32>; 2]) -> [&[f32]; 2] {
        [u, v]
    }

    #[test]
    fn a_sample_is_the_cubic_of_its_surroundings_and_its_fourth_channel_may_be_linear() {
        for (width, height) in SIZES {
            let size = Size::new(width, height);
            let picture = picture(size);
            let (mut taps, mut found) = (Taps::new(width), vec![[0.0; 4]; width]);
            for y in 0..height {
                let motion = motions(width, y);
                locate(&picture, y, slices(&motion), &mut taps);
                sample(&picture, &taps, &mut found);
                let cubic = found.clone();
                sample_fourth(&picture, &taps, &mut found);
                for x in 0..width {
                    let place = (x as f64 + f64::from(motion[0][x]), y as f64 + f64::from(motion[1][x]));
                    let tent = |distance: f64| (1.0 - distance.abs()).max(0.0);
                    for (channel, &found) in cubic[x].iter().enumerate() {
                        let wanted = expected(size, channel, place.0, place.1, keys);
                        assert!((f64::from(found) - wanted).abs() < 2e-3, "{size} {place:?}");
                    }
                    let wanted = expected(size, 3, place.0, place.1, tent);
                    assert!((f64::from(found[x][3]) - wanted).abs() < 2e-3, "{size} {place:?}");
                    assert_eq!(found[x][..3], cubic[x][..3]);
                }
            }
        }
    }

    #[test]
    fn what_does_not_move_is_sampled_bit_for_bit() {
        for (width, height) in SIZES {
            let picture = picture(Size::new(width, height));
            let (mut taps, mut found) = (Taps::new(width), vec![[0.0; 4]; width]);
            for y in 0..height {
                locate(&picture, y, [&vec![0.0; width], &vec![0.0; width]], &mut taps);
                sample(&picture, &taps, &mut found);
                assert_eq!(found, picture.row(y), "{width}x{height} row {y}");
            }
        }
    }

    #[test]
    fn motion_that_is_no_number_stays_in_the_picture() {
        let picture = picture(Size::new(9, 6));
        let (mut taps, mut found) = (Taps::new(3), vec![[0.0; 4]; 3]);
        let motion = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        locate(&picture, 2, [&motion, &motion], &mut taps);
        sample(&picture, &taps, &mut found);
        assert!(found.iter().flatten().all(|value| value.is_finite()), "{found:?}");
    }

    #[test]
    fn samples_have_the_same_bits_on_every_processor() {
        let size = Size::new(37, 21);
        let picture = picture(size);
        for y in 0..size.height {
            let motion = motions(size.width, y);
            let (mut taps, mut plain) = (Taps::new(size.width), Taps::new(size.width));
            locate(&picture, y, slices(&motion), &mut taps);
            locate_plain(&picture, y, slices(&motion), &mut plain);
            let (mut found, mut wanted) = (vec![[0.0; 4]; size.width], vec![[0.0; 4]; size.width]);
            sample(&picture, &taps, &mut found);
            sample_fourth(&picture, &taps, &mut found);
            sample_plain(&picture, &plain, &mut wanted);
            sample_fourth_plain(&picture, &plain, &mut wanted);
            assert_eq!(found, wanted);
        }
    }
}
