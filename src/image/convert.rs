//! Colours: from luma and colour differences to RGB and back, in floats.
//!
//! GStreamer's converter does this with coefficients of eight bits, which moves colours by up
//! to four levels of 255 on the way there and back (and by four of 1023 in ten bits). Here
//! nothing is lost but the rounding to the samples themselves. Formulas: ITU-T H.273.

use ndarray::Axis;
use ndarray::parallel::prelude::*;

use super::bands::rows_in_band;
use super::interleave::below;
use super::{Sample, Size, View, ViewMut, rows, rows_mut};

/// How a format codes its colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coding {
    /// Weight of red in luma.
    pub red: f32,
    /// Weight of blue in luma.
    pub blue: f32,
    /// Luma fills the whole range of its bits, instead of 16 to 235 (of 255).
    pub full_range: bool,
    /// Bits of a sample in the format itself; at most as many as the samples here have.
    pub depth: u32,
}

impl Coding {
    fn steps(&self) -> f32 {
        ((1_u32 << self.depth) - 1) as f32
    }

    /// Black and the distance to white, then the middle and the span of colour differences,
    /// all in steps of the format.
    fn levels(&self) -> (f32, f32, f32, f32) {
        let unit = (1_u32 << (self.depth - 8)) as f32;
        let middle = 128.0 * unit;
        match self.full_range {
            true => (0.0, self.steps(), middle, self.steps()),
            false => (16.0 * unit, 219.0 * unit, middle, 224.0 * unit),
        }
    }

    fn green(&self) -> f32 {
        1.0 - self.red - self.blue
    }

    /// Fills `rgb` (three channels, or four with an alpha) from samples in the order alpha,
    /// luma, blue difference, red difference. Samples of a shallower format fill the range of
    /// `S`, as GStreamer's unpacking leaves them.
    pub fn decode<S: Sample>(&self, aybr: View<'_, S>, mut rgb: ViewMut<'_, S>) {
        let (black, white, middle, span) = self.levels();
        let step = self.steps() / S::WHITE;
        let (gain, chroma_gain) = (step * S::WHITE / white, step * S::WHITE / span);
        let (from_red, from_blue) = (2.0 * (1.0 - self.red), 2.0 * (1.0 - self.blue));
        let red_in_green = from_red * self.red / self.green();
        let blue_in_green = from_blue * self.blue / self.green();
        let (black, middle) = (black / step, middle / step);
        let decoding = Decoding {
            black,
            middle,
            gain,
            chroma_gain,
            red_in_red: from_red,
            in_green: [red_in_green, blue_in_green],
            blue_in_blue: from_blue,
        };
        let channels = rgb.dim().2;
        for_each_row(aybr, &mut rgb, |from, to| decode_row(&decoding, from, channels, to));
    }

    /// The way back of [`Self::decode`]. A shallower format gets its samples by cutting bits
    /// off, after averaging colour differences if it does: half a step is added here, which
    /// makes that rounding.
    pub fn encode<S: Sample>(&self, rgb: View<'_, S>, mut aybr: ViewMut<'_, S>) {
        let (black, white, middle, span) = self.levels();
        let (gain, chroma_gain) = (white / S::WHITE, span / S::WHITE);
        let (to_red, to_blue) = (0.5 / (1.0 - self.red), 0.5 / (1.0 - self.blue));
        let encoding = Encoding {
            weights: [self.red, self.green(), self.blue],
            black,
            middle,
            gain,
            blue_gain: chroma_gain * to_blue,
            red_gain: chroma_gain * to_red,
            cut: Cut::new::<S>(self.depth),
        };
        let channels = rgb.dim().2;
        for_each_row(rgb, &mut aybr, |from, to| encode_row(&encoding, from, channels, to));
    }
}

/// Every row of a picture with that of another, on all threads.
fn for_each_row<S: Sample>(from: View<'_, S>, to: &mut ViewMut<'_, S>, run: impl Fn(&[S], &mut [S]) + Sync) {
    let count = rows_in_band(Size::of(&from));
    let bands = from.axis_chunks_iter(Axis(0), count).into_par_iter();
    bands.zip(to.axis_chunks_iter_mut(Axis(0), count)).for_each(|(from, mut to)| {
        rows(from).zip(rows_mut(&mut to)).for_each(|(from, to)| run(from, to));
    });
}

/// Black and the middle of colour differences in samples, and what makes red, green and blue of what is beyond.
struct Decoding {
    black: f32,
    middle: f32,
    gain: f32,
    chroma_gain: f32,
    red_in_red: f32,
    /// Of the red and of the blue difference.
    in_green: [f32; 2],
    blue_in_blue: f32,
}

#[multiversion::multiversion(targets("x86_64+avx2"))]
fn decode_row<S: Sample>(decoding: &Decoding, from: &[S], channels: usize, to: &mut [S]) {
    match channels {
        3 => decode_pixels::<S, 3>(decoding, from, to),
        _ => decode_pixels::<S, 4>(decoding, from, to),
    }
}

#[inline(always)]
fn decode_pixels<S: Sample, const CHANNELS: usize>(decoding: &Decoding, from: &[S], to: &mut [S]) {
    let Decoding { black, middle, gain, chroma_gain, red_in_red, in_green, blue_in_blue } = *decoding;
    for (from, to) in from.as_chunks::<4>().0.iter().zip(to.as_chunks_mut::<CHANNELS>().0) {
        let luma = (from[1].to_f32() - black) * gain;
        let blue = (from[2].to_f32() - middle) * chroma_gain;
        let red = (from[3].to_f32() - middle) * chroma_gain;
        to[0] = below(luma + red_in_red * red + 0.5);
        to[1] = below(luma - in_green[0] * red - in_green[1] * blue + 0.5);
        to[2] = below(luma + blue_in_blue * blue + 0.5);
        if CHANNELS == 4 {
            to[3] = from[0];
        }
    }
}

/// Weights of red, green and blue in luma, and what makes steps of the format of it and of colour differences.
struct Encoding {
    weights: [f32; 3],
    black: f32,
    middle: f32,
    gain: f32,
    blue_gain: f32,
    red_gain: f32,
    cut: Cut,
}

#[multiversion::multiversion(targets("x86_64+avx2"))]
fn encode_row<S: Sample>(encoding: &Encoding, from: &[S], channels: usize, to: &mut [S]) {
    match channels {
        3 => encode_pixels::<S, 3>(encoding, from, to),
        _ => encode_pixels::<S, 4>(encoding, from, to),
    }
}

#[inline(always)]
fn encode_pixels<S: Sample, const CHANNELS: usize>(encoding: &Encoding, from: &[S], to: &mut [S]) {
    let Encoding { weights, black, middle, gain, blue_gain, red_gain, cut } = *encoding;
    for (from, to) in from.as_chunks::<CHANNELS>().0.iter().zip(to.as_chunks_mut::<4>().0) {
        let (red, green, blue) = (from[0].to_f32(), from[1].to_f32(), from[2].to_f32());
        let luma = weights[0] * red + weights[1] * green + weights[2] * blue;
        to[0] = if CHANNELS == 4 { cut.sample(from[CHANNELS - 1]) } else { S::MAX };
        to[1] = cut.steps(black + gain * luma);
        to[2] = cut.steps(middle + blue_gain * (blue - luma));
        to[3] = cut.steps(middle + red_gain * (red - luma));
    }
}

/// Prepares the samples of a picture for a format of fewer bits that cuts the rest off: what
/// remains is the nearest value. Formats of as many bits are left alone.
pub fn round_for_cutting<S: Sample>(mut picture: ViewMut<'_, S>, depth: u32) {
    if depth == S::BITS {
        return;
    }
    let cut = Cut::new::<S>(depth);
    let count = rows_in_band(Size::of(&picture.view()));
    picture.axis_chunks_iter_mut(Axis(0), count).into_par_iter().for_each(|mut band| {
        rows_mut(&mut band).for_each(|row| cut_row(cut, row));
    });
}

#[multiversion::multiversion(targets("x86_64+avx2"))]
fn cut_row<S: Sample>(cut: Cut, row: &mut [S]) {
    row.iter_mut().for_each(|sample| *sample = cut.sample(*sample));
}

/// From steps of a format to samples whose upper bits are the nearest step.
#[derive(Clone, Copy)]
struct Cut {
    most: f32,
    unit: f32,
    half: f32,
}

impl Cut {
    fn new<S: Sample>(depth: u32) -> Self {
        let unit = (1_u32 << (S::BITS - depth)) as f32;
        // With nothing to cut off, `Sample::from_f32` rounds.
        let half = if S::BITS == depth { 0.0 } else { unit / 2.0 };
        Self { most: ((1_u32 << depth) - 1) as f32, unit, half }
    }

    #[inline(always)]
    fn steps<S: Sample>(self, steps: f32) -> S {
        let steps = if steps > 0.0 { steps } else { 0.0 };
        let steps = if steps < self.most { steps } else { self.most };
        below(steps * self.unit + self.half + 0.5)
    }

    #[inline(always)]
    fn sample<S: Sample>(self, sample: S) -> S {
        self.steps(sample.to_f32() * (self.most / S::WHITE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Picture;

    const BT601: (f32, f32) = (0.299, 0.114);
    const BT709: (f32, f32) = (0.2126, 0.0722);
    const BT2020: (f32, f32) = (0.2627, 0.0593);

    /// A value of `depth` bits as GStreamer unpacks it: the upper bits repeat below.
    fn unpack(value: u32, depth: u32) -> u16 {
        (value << (16 - depth) | value >> (2 * depth - 16)) as u16
    }

    #[test]
    fn known_colours_have_their_known_codes() {
        // Full red, green, blue and white of BT.709 in 8 bits (SMPTE 274M rounded).
        let coding = Coding { red: BT709.0, blue: BT709.1, full_range: false, depth: 8 };
        for (rgb, code) in [
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
        ] {
            let rgb = Picture::<u8>::from_shape_vec((1, 1, 3), rgb.to_vec()).unwrap();
            let mut coded = Picture::<u8>::zeros((1, 1, 4));
            coding.encode(rgb.view(), coded.view_mut());
            assert_eq!(coded.as_slice().unwrap(), [[255].as_slice(), &code].concat());
        }
    }

    #[test]
    fn every_grey_level_of_every_depth_survives_the_way_to_rgb_and_back() {
        for (red, blue) in [BT601, BT709, BT2020] {
            for full_range in [false, true] {
                for depth in [10, 12] {
                    let coding = Coding { red, blue, full_range, depth };
                    let (black, white, _, _) = coding.levels();
                    for level in black as u32..=(black + white) as u32 {
                        let middle = unpack(1 << (depth - 1), depth);
                        let from = [u16::MAX, unpack(level, depth), middle, middle];
                        let from = Picture::from_shape_vec((1, 1, 4), from.to_vec()).unwrap();
                        let mut rgb = Picture::<u16>::zeros((1, 1, 3));
                        coding.decode(from.view(), rgb.view_mut());
                        let mut back = Picture::<u16>::zeros((1, 1, 4));
                        coding.encode(rgb.view(), back.view_mut());
                        let got = u32::from(back[(0, 0, 1)]) >> (16 - depth);
                        assert_eq!(got, level, "{coding:?}");
                        assert_eq!(back[(0, 0, 2)] >> (16 - depth), 1 << (depth - 1), "{coding:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn rounding_for_cutting_keeps_every_value_of_the_shallower_format() {
        for depth in [10, 12, 14, 16] {
            for value in 0..1_u32 << depth {
                let unpacked = if depth == 16 { value as u16 } else { unpack(value, depth) };
                let mut picture = Picture::from_elem((1, 1, 1), unpacked);
                round_for_cutting(picture.view_mut(), depth);
                assert_eq!(u32::from(picture[(0, 0, 0)]) >> (16 - depth), value, "{depth} bits");
            }
        }
    }

    #[test]
    fn colours_of_8_bits_come_back_within_a_level() {
        for (red, blue) in [BT601, BT709, BT2020] {
            for full_range in [false, true] {
                let coding = Coding { red, blue, full_range, depth: 8 };
                for luma in (60..=190).step_by(5) {
                    let colours = Picture::<u8>::from_shape_fn((32, 32, 4), |(y, x, channel)| {
                        [200, luma, 112 + x as u8, 112 + y as u8][channel]
                    });
                    let mut rgb = Picture::<u8>::zeros((32, 32, 4));
                    coding.decode(colours.view(), rgb.view_mut());
                    let mut back = Picture::<u8>::zeros((32, 32, 4));
                    coding.encode(rgb.view(), back.view_mut());
                    let worst = back.iter().zip(&colours).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(worst <= Some(1), "{coding:?}, luma {luma}: {worst:?}");
                }
            }
        }
    }

    /// As H.273 has it, a pixel at a time, rounded as [`Sample::from_f32`] does.
    fn plain_pixel<S: Sample>(coding: &Coding, [alpha, luma, blue, red]: [S; 4]) -> [S; 4] {
        let (black, white, middle, span) = coding.levels();
        let step = coding.steps() / S::WHITE;
        let [gain, chroma_gain] = [white, span].map(|range| step * S::WHITE / range);
        let luma = (luma.to_f32() - black / step) * gain;
        let [blue, red] = [blue, red].map(|sample| (sample.to_f32() - middle / step) * chroma_gain);
        let (of_red, of_blue) = (2.0 * (1.0 - coding.red), 2.0 * (1.0 - coding.blue));
        let (red_in_green, blue_in_green) =
            (of_red * coding.red / coding.green(), of_blue * coding.blue / coding.green());
        let green = luma - red_in_green * red - blue_in_green * blue;
        let [red, green, blue] = [luma + of_red * red, green, luma + of_blue * blue].map(S::from_f32);
        [red, green, blue, alpha]
    }

    /// The way back.
    fn plain_code<S: Sample>(coding: &Coding, [red, green, blue, alpha]: [S; 4]) -> [S; 4] {
        let (black, white, middle, span) = coding.levels();
        let cut = Cut::new::<S>(coding.depth);
        let steps = |steps: f32| S::from_f32(steps.clamp(0.0, cut.most) * cut.unit + cut.half);
        let [red, green, blue] = [red, green, blue].map(S::to_f32);
        let luma = coding.red * red + coding.green() * green + coding.blue * blue;
        let gain = |range: f32, weight: f32| range / S::WHITE * weight;
        [
            steps(alpha.to_f32() * (cut.most / S::WHITE)),
            steps(black + white / S::WHITE * luma),
            steps(middle + gain(span, 0.5 / (1.0 - coding.blue)) * (blue - luma)),
            steps(middle + gain(span, 0.5 / (1.0 - coding.red)) * (red - luma)),
        ]
    }

    #[test]
    fn every_row_is_what_its_pixels_are_alone_and_padding_is_left_alone() {
        fn check<S: Sample>(depth: u32) {
            let noise = |at: usize| S::from_low_bits((at as u32).wrapping_mul(0x9E37_79B9) >> 11);
            let poison = S::from_low_bits(0x5A5A);
            for (width, height, channels) in [(1, 1, 3), (7, 3, 4), (33, 50, 3), (64, 17, 4)] {
                for (full_range, (red, blue)) in [(false, BT601), (true, BT709), (false, BT2020)] {
                    let coding = Coding { red, blue, full_range, depth };
                    let size = Size::new(width, height);
                    let codes = Picture::from_shape_fn((height, width, 4), |(y, x, c)| {
                        noise(1 + (y * width + x) * 4 + c)
                    });
                    let stride = width * channels + 5;
                    let mut samples = vec![poison; stride * height];
                    let mut rgb = crate::image::view_mut(&mut samples, size, channels, stride).unwrap();
                    coding.decode(codes.view(), rgb.view_mut());
                    let mut back = Picture::from_elem((height, width, 4), poison);
                    coding.encode(rgb.view(), back.view_mut());
                    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                        let code = [0, 1, 2, 3].map(|c| codes[(y, x, c)]);
                        let mut pixel = plain_pixel(&coding, code);
                        assert_eq!(rgb.slice(ndarray::s![y, x, ..]).to_vec(), pixel[..channels]);
                        if channels == 3 {
                            pixel[3] = S::MAX;
                        }
                        let mut expected = plain_code(&coding, pixel);
                        if channels == 3 {
                            expected[0] = S::MAX;
                        }
                        assert_eq!(back.slice(ndarray::s![y, x, ..]).to_vec(), expected, "{coding:?}");
                    }
                    let padding = samples.chunks(stride).flat_map(|row| &row[width * channels..]);
                    assert!(padding.into_iter().all(|sample| *sample == poison));
                }
            }
        }
        check::<u8>(8);
        [10, 12, 16].into_iter().for_each(check::<u16>);
    }
}
