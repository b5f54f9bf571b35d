//! Colours: from luma and colour differences to RGB and back, in floats.
//!
//! GStreamer's converter does this with coefficients of eight bits, which moves colours by up
//! to four levels of 255 on the way there and back (and by four of 1023 in ten bits). Here
//! nothing is lost but the rounding to the samples themselves. Formulas: ITU-T H.273.

use super::{Sample, View, ViewMut, rows, rows_mut};

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
        let channels = rgb.dim().2;
        for (from, to) in rows(aybr).zip(rows_mut(&mut rgb)) {
            for (from, to) in from.chunks_exact(4).zip(to.chunks_exact_mut(channels)) {
                let luma = (from[1].to_f32() - black) * gain;
                let blue = (from[2].to_f32() - middle) * chroma_gain;
                let red = (from[3].to_f32() - middle) * chroma_gain;
                to[0] = S::from_f32(luma + from_red * red);
                to[1] = S::from_f32(luma - red_in_green * red - blue_in_green * blue);
                to[2] = S::from_f32(luma + from_blue * blue);
                if let Some(alpha) = to.get_mut(3) {
                    *alpha = from[0];
                }
            }
        }
    }

    /// The way back of [`Self::decode`]. A shallower format gets its samples by cutting bits
    /// off, after averaging colour differences if it does: half a step is added here, which
    /// makes that rounding.
    pub fn encode<S: Sample>(&self, rgb: View<'_, S>, mut aybr: ViewMut<'_, S>) {
        let (black, white, middle, span) = self.levels();
        let (gain, chroma_gain) = (white / S::WHITE, span / S::WHITE);
        let (to_red, to_blue) = (0.5 / (1.0 - self.red), 0.5 / (1.0 - self.blue));
        let (red_weight, green_weight, blue_weight) = (self.red, self.green(), self.blue);
        let cut = Cut::new::<S>(self.depth);
        let channels = rgb.dim().2;
        for (from, to) in rows(rgb).zip(rows_mut(&mut aybr)) {
            for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(4)) {
                let (red, green, blue) = (from[0].to_f32(), from[1].to_f32(), from[2].to_f32());
                let luma = red_weight * red + green_weight * green + blue_weight * blue;
                to[0] = from.get(3).map_or(S::MAX, |&alpha| cut.sample(alpha));
                to[1] = cut.steps(black + gain * luma);
                to[2] = cut.steps(middle + chroma_gain * to_blue * (blue - luma));
                to[3] = cut.steps(middle + chroma_gain * to_red * (red - luma));
            }
        }
    }
}

/// Prepares the samples of a picture for a format of fewer bits that cuts the rest off: what
/// remains is the nearest value. Formats of as many bits are left alone.
pub fn round_for_cutting<S: Sample>(mut picture: ViewMut<'_, S>, depth: u32) {
    if depth == S::BITS {
        return;
    }
    let cut = Cut::new::<S>(depth);
    for row in rows_mut(&mut picture) {
        row.iter_mut().for_each(|sample| *sample = cut.sample(*sample));
    }
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

    fn steps<S: Sample>(self, steps: f32) -> S {
        S::from_f32(steps.clamp(0.0, self.most) * self.unit + self.half)
    }

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
}
