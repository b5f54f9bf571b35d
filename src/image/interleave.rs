//! Rows of interleaved samples as rows of planes of floats, and the other way round.

use super::Sample;
use super::lanes::{Row, RowMut};
use super::planar::COLOURS;

/// From here on, floats are whole numbers, and the lowest bits of their representation are those of the number.
const FIRST_WITHOUT_FRACTION: f32 = (1 << 23) as f32;

/// The part of a float's representation that is all ones where it is no number.
const EXPONENT: u32 = 0x7f80_0000;

/// One of so many channels of a row: every sample times the gain, more by the offset.
pub fn take_channel<S: Sample>(
    from: &[S],
    (channel, channels): (usize, usize),
    scale: (f32, f32),
    to: &mut [f32],
) {
    match channels {
        1 => take_one_of::<S, 1>(from, channel, scale, to),
        3 => take_one_of::<S, 3>(from, channel, scale, to),
        _ => {
            let samples = from.iter().skip(channel).step_by(channels);
            to.iter_mut().zip(samples).for_each(|(to, sample)| *to = sample.to_f32() * scale.0 + scale.1);
        }
    }
}

#[multiversion::multiversion(targets("x86_64+avx2"))]
fn take_one_of<S: Sample, const CHANNELS: usize>(
    from: &[S],
    channel: usize,
    (gain, black): (f32, f32),
    to: &mut [f32],
) {
    let pixels = from.as_chunks::<CHANNELS>().0;
    for (pixel, to) in pixels.iter().zip(to) {
        *to = pixel[channel].to_f32() * gain + black;
    }
}

/// A row of a plane as samples, limited to their range and rounded. Answers whether all of it is numbers.
///
/// A value is times the gain, more by the offset, and then loses what is less than a level.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub fn to_samples<S: Sample>(from: &[f32], (gain, offset): (f32, f32), to: &mut [S]) -> bool {
    let mut other = 0;
    for (value, to) in from.iter().zip(to) {
        other |= u32::from(value.to_bits() & EXPONENT == EXPONENT);
        *to = below(value * gain + offset);
    }
    other == 0
}

/// The whole number below, limited to the range: what a cast would give, but vectorised.
#[inline(always)]
pub fn below<S: Sample>(level: f32) -> S {
    let level = if level > 0.0 { level } else { 0.0 };
    let level = if level < S::WHITE { level } else { S::WHITE };
    let nearest = (level + FIRST_WITHOUT_FRACTION) - FIRST_WITHOUT_FRACTION;
    let below = if nearest > level { nearest - 1.0 } else { nearest };
    S::from_low_bits((below + FIRST_WITHOUT_FRACTION).to_bits())
}

/// Puts so many rows, one after the other, between each other.
pub fn interleave<S: Sample>(apart: &[S], count: usize, to: &mut [S]) {
    match count {
        1 => to.copy_from_slice(apart),
        3 => interleave_some::<S, 3>(apart, to),
        6 => interleave_some::<S, 6>(apart, to),
        9 => interleave_some::<S, 9>(apart, to),
        12 => interleave_some::<S, 12>(apart, to),
        _ => {
            let width = apart.len() / count;
            for (x, to) in to.chunks_exact_mut(count).enumerate() {
                to.iter_mut().enumerate().for_each(|(row, to)| *to = apart[row * width + x]);
            }
        }
    }
}

#[multiversion::multiversion(targets("x86_64+avx2"))]
fn interleave_some<S: Sample, const COUNT: usize>(apart: &[S], to: &mut [S]) {
    let width = apart.len() / COUNT;
    let rows: [&[S]; COUNT] = std::array::from_fn(|row| &apart[row * width..][..width]);
    for (x, to) in to.as_chunks_mut::<COUNT>().0.iter_mut().enumerate().take(width) {
        *to = std::array::from_fn(|row| rows[row][x]);
    }
}

/// The first three channels of a row of samples, as they are.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub fn load_colours<S: Sample>(from: &[S], channels: usize, to: [RowMut<'_>; COLOURS]) {
    match channels {
        3 => load_channels::<S, 3>(from, to),
        _ => load_channels::<S, 4>(from, to),
    }
}

#[inline(always)]
fn load_channels<S: Sample, const CHANNELS: usize>(from: &[S], [red, green, blue]: [RowMut<'_>; COLOURS]) {
    let pixels = from.as_chunks::<CHANNELS>().0;
    let [red, green, blue] = [red.as_flattened_mut(), green.as_flattened_mut(), blue.as_flattened_mut()];
    let count = pixels.len().min(red.len());
    let (red, green, blue) = (&mut red[..count], &mut green[..count], &mut blue[..count]);
    for x in 0..count {
        red[x] = pixels[x][0].to_f32();
        green[x] = pixels[x][1].to_f32();
        blue[x] = pixels[x][2].to_f32();
    }
}

/// Writes colours to the first three channels of a row of samples, rounded to the nearest and limited to their range.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub fn store_colours<S: Sample>(from: [Row<'_>; COLOURS], channels: usize, to: &mut [S]) {
    match channels {
        3 => store_channels::<S, 3>(from, to),
        _ => store_channels::<S, 4>(from, to),
    }
}

#[inline(always)]
fn store_channels<S: Sample, const CHANNELS: usize>([red, green, blue]: [Row<'_>; COLOURS], to: &mut [S]) {
    let pixels = to.as_chunks_mut::<CHANNELS>().0;
    let [red, green, blue] = [red.as_flattened(), green.as_flattened(), blue.as_flattened()];
    let count = pixels.len().min(red.len());
    let (red, green, blue) = (&red[..count], &green[..count], &blue[..count]);
    for (x, pixel) in pixels[..count].iter_mut().enumerate() {
        pixel[0] = rounded(red[x]);
        pixel[1] = rounded(green[x]);
        pixel[2] = rounded(blue[x]);
    }
}

/// Rounded to the nearest, limited to the range.
#[inline(always)]
fn rounded<S: Sample>(value: f32) -> S {
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < S::WHITE { value } else { S::WHITE };
    S::from_low_bits((value + FIRST_WITHOUT_FRACTION).to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_rounded_to_the_nearest_and_limited_and_nan_is_black() {
        fn check<S: Sample>(values: impl Iterator<Item = f32>) {
            for value in values {
                let stored = rounded::<S>(value).to_f32();
                let off = (stored - value.clamp(0.0, S::WHITE)).abs();
                assert!(off <= 0.5 || (value.is_nan() && stored == 0.0), "{value} became {stored}");
            }
        }
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e9, 1e9, -0.4];
        check::<u8>((-40..2200).map(|step| step as f32 / 8.0).chain(odd));
        check::<u16>((-40..280_000).map(|step| step as f32 / 4.0).chain(odd));
    }
}
