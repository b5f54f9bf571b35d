//! Light and colour apart, as noise and change are told apart in them.

use std::ops::{Add, Div, Mul, Sub};

use ndarray::Array2;

use super::planar::COLOURS;
use super::{Sample, View};

/// Weights of red, green and blue in luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Luma and colour differences in levels of 0 to 255, and luma once more.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub fn load_row<S: Sample>(from: &[S], channels: usize, to: [&mut [f32]; COLOURS], lumas: &mut [f32]) {
    match channels {
        3 => load_channels::<S, 3>(from, to, lumas),
        _ => load_channels::<S, 4>(from, to, lumas),
    }
}

#[inline(always)]
fn load_channels<S: Sample, const CHANNELS: usize>(from: &[S], to: [&mut [f32]; COLOURS], lumas: &mut [f32]) {
    let level = 255.0 / S::WHITE;
    let pixels = from.as_chunks::<CHANNELS>().0;
    let count = pixels.len().min(lumas.len());
    let lumas = &mut lumas[..count];
    let [light, blues, reds] = to.map(|row| &mut row[..count]);
    for x in 0..count {
        let [red, green, blue] = [0, 1, 2].map(|channel| pixels[x][channel].to_f32() * level);
        let luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue;
        (light[x], lumas[x]) = (luma, luma);
        (blues[x], reds[x]) = (blue - luma, red - luma);
    }
}

/// Luma of a picture, 0 to 255.
pub fn luma<S: Sample>(picture: View<'_, S>) -> Array2<f32> {
    let level = 255.0 / S::WHITE;
    let (height, width, _) = picture.dim();
    Array2::from_shape_fn((height, width), |at| {
        let weighted = LUMA.iter().enumerate().map(|(c, weight)| weight * picture[(at.0, at.1, c)].to_f32());
        level * weighted.sum::<f32>()
    })
}

/// Red, green and blue in levels of 0 to 255, of luma and its differences to blue and red.
#[inline(always)]
pub fn colours<T>([luma, blue, red]: [T; COLOURS]) -> [T; COLOURS]
where
    T: Copy + From<f32> + Add<Output = T> + Sub<Output = T> + Mul<Output = T> + Div<Output = T>,
{
    let [of_red, of_green, of_blue] = LUMA.map(T::from);
    let (red, blue) = (luma + red, luma + blue);
    [red, (luma - of_red * red - of_blue * blue) / of_green, blue]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<S: Sample>(channels: usize) {
        for width in [1, 2, 7, 8, 9, 33] {
            let sample = |k: usize| S::from_f32((k * 37 % 256) as f32 / 255.0 * S::WHITE);
            let from: Vec<S> = (0..width * channels).map(sample).collect();
            let [mut light, mut blues, mut reds, mut lumas] = [(); 4].map(|()| vec![f32::NAN; width]);
            load_row(&from, channels, [&mut light, &mut blues, &mut reds], &mut lumas);
            for (x, luma) in lumas.iter().enumerate() {
                let pixel = [light[x], blues[x], reds[x]];
                let level =
                    |c: usize| f64::from(from[x * channels + c].to_f32()) * 255.0 / f64::from(S::WHITE);
                let [red, green, blue] = [0, 1, 2].map(level);
                let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
                let again = colours(pixel).map(f64::from);
                let found = pixel.map(f64::from).into_iter().chain(again);
                for (found, wanted) in found.zip([grey, blue - grey, red - grey, red, green, blue]) {
                    assert!((found - wanted).abs() < 1e-3, "{width} {channels} at {x}: {pixel:?}");
                }
                assert_eq!(luma.to_bits(), pixel[0].to_bits());
            }
        }
    }

    #[test]
    fn a_row_is_its_luma_and_how_far_blue_and_red_are_from_it() {
        for channels in [3, 4] {
            check::<u8>(channels);
            check::<u16>(channels);
        }
    }
}
