//! Rows of interleaved samples and of planes of floats, as networks want them.

use super::Sample;
use super::planar::FIRST_WITHOUT_FRACTION;

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
        let level = value * gain + offset;
        let level = if level > 0.0 { level } else { 0.0 };
        let level = if level < S::WHITE { level } else { S::WHITE };
        // The whole number below: a cast would not be vectorised.
        let nearest = (level + FIRST_WITHOUT_FRACTION) - FIRST_WITHOUT_FRACTION;
        let below = if nearest > level { nearest - 1.0 } else { nearest };
        *to = S::from_low_bits((below + FIRST_WITHOUT_FRACTION).to_bits());
    }
    other == 0
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
