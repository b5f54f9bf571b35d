//! What keeps a restored face the person it was: colours and light from the source, its detail as far
//! as asked, and a measure of how far the two agree.

use ndarray::{Array2, ArrayView2, Axis, Zip};
use rayon::prelude::*;

use super::crop::{Crop, resized, side};
use super::mask::smoothstep;
use crate::image::soften::soften;

/// What is broader than this share of a crop of an aligned face, about a quarter of the distance between the
/// eyes, is colour and light.
const LIGHT: f32 = 1.0 / 16.0;

/// What is narrower than this share of light may be noise, and is not compared.
const NOISE: f32 = 0.25;

/// Weights of red, green and blue in luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// A mean distance of colours from grey up to which a source is black and white, and from which it
/// has colours: half a step of 8 bits, and three.
const GREY: (f32, f32) = (0.5 / 255.0, 3.0 / 255.0);

/// Makes `restored` agree with `source`, a crop of the same window at its own resolution: light and
/// colour wholly, detail that the source shows by `fidelity`. What lies beyond the source's resolution stays.
///
/// Gives how far they agreed before: the correlation of what both show between light and noise, -1 to 1; 1 where there is nothing to see.
pub fn agree(restored: &mut Crop, source: &Crop, fidelity: f32, light: f32) -> f32 {
    let length = side(source);
    let small = (side(restored) != length).then(|| resized(restored, length));
    let small = small.as_ref().unwrap_or(restored);
    let mut off = source - small;
    let (of_source, mut of_small) = (luma(source), luma(small));
    let (mut broad, mut broad_luma, mut luma_of_source) = (off.clone(), of_source.clone(), of_source.clone());
    let radius = light * length as f32;
    let planes = broad.outer_iter_mut().chain([broad_luma.view_mut()]).map(|plane| (plane, radius));
    let shapes = [luma_of_source.view_mut(), of_small.view_mut()].map(|plane| (plane, NOISE * radius));
    let planes: Vec<_> = planes.chain(shapes).collect();
    planes.into_par_iter().for_each(|(plane, deviation)| soften(plane, deviation));
    // What is finer than light: of the small one, the broad part is that of the source less what they are apart.
    let fine = luma_of_source - &broad_luma;
    let fine_of_small = of_small - broad_luma + luma(&broad);
    off.zip_mut_with(&broad, |off, &broad| *off = broad + fidelity * (*off - broad));
    if side(restored) == length {
        *restored += &off;
    } else {
        *restored += &resized(&off, side(restored));
    }
    keep_grey(restored, source, &of_source);
    correlation(&fine, &fine_of_small)
}

/// The radius of [`agree`] for a crop of an aligned face, as a share of its side.
pub const ALIGNED_LIGHT: f32 = LIGHT;

/// Takes colours away as far as the source, of which this is the luma, has none.
fn keep_grey(restored: &mut Crop, source: &Crop, grey: &Array2<f32>) {
    let off = |plane: ArrayView2<'_, f32>| {
        Zip::from(plane.rows()).and(grey.rows()).fold(0.0, |sum, plane, grey| {
            sum + plane.iter().zip(grey).map(|(value, grey)| (value - grey).abs()).sum::<f32>()
        })
    };
    let colour: f32 = source.outer_iter().map(off).sum();
    let kept = smoothstep(GREY.0, GREY.1, colour / source.len() as f32);
    if kept < 1.0 {
        let grey = luma(restored);
        for mut plane in restored.outer_iter_mut() {
            plane.zip_mut_with(&grey, |value, &grey| *value = grey + kept * (*value - grey));
        }
    }
}

/// The luma of a crop.
pub fn luma(crop: &Crop) -> Array2<f32> {
    let [red, green, blue] = [0, 1, 2].map(|channel| crop.index_axis(Axis(0), channel));
    let luma = |r: &f32, g: &f32, b: &f32| r * LUMA[0] + g * LUMA[1] + b * LUMA[2];
    Zip::from(red).and(green).and(blue).map_collect(luma)
}

/// How two planes go together; only the middle counts, where the face is.
fn correlation(one: &Array2<f32>, other: &Array2<f32>) -> f32 {
    let side = one.nrows();
    let middle = side / 4..(3 * side).div_ceil(4);
    let middle = ndarray::s![middle.clone(), middle];
    let (one, other) = (one.slice(middle), other.slice(middle));
    let dot = |a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>| -> f32 { (a * b).sum() };
    let power = (dot(&one, &one) * dot(&other, &other)).sqrt();
    if power > f32::EPSILON * one.len() as f32 { dot(&one, &other) / power } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(side: usize, seed: u32) -> Crop {
        Crop::from_shape_fn((3, side, side), |(c, y, x)| {
            let mut bits =
                (x as u32 * 0x9E37_79B9) ^ (y as u32).wrapping_mul(0x85EB_CA6B) ^ (c as u32 + seed);
            for _ in 0..3 {
                bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
            }
            (bits >> 8) as f32 / (1 << 24) as f32
        })
    }

    fn furthest(a: &Crop, b: &Crop) -> f32 {
        (a - b).iter().fold(0.0, |most, value| value.abs().max(most))
    }

    #[test]
    fn light_and_colour_become_the_sources_whatever_the_restorer_made_of_them() {
        let source =
            Crop::from_shape_fn((3, 24, 24), |(c, y, x)| 0.3 + 0.1 * c as f32 + 0.004 * (x + y) as f32);
        for (gain, shift) in [(1.0, 0.2), (0.7, 0.0), (1.2, -0.1)] {
            for fidelity in [0.0, 0.5, 1.0] {
                let mut restored = resized(&source, 48).mapv(|value| value * gain + shift);
                agree(&mut restored, &source, fidelity, ALIGNED_LIGHT);
                let now = resized(&restored, 24);
                assert!(furthest(&now, &source) < 0.01, "{gain}, {shift}, {fidelity}");
            }
        }
    }

    #[test]
    fn full_fidelity_keeps_all_that_the_source_shows_and_what_lies_beyond() {
        let source = noise(20, 3);
        let mut restored = noise(80, 9);
        let before = resized(&restored, 20);
        let fine = &restored - &resized(&before, 80);
        agree(&mut restored, &source, 1.0, ALIGNED_LIGHT);
        let expected = resized(&source, 80) + fine;
        assert!(furthest(&restored, &expected) < 1e-4);
    }

    #[test]
    fn the_same_agrees_fully_its_negative_not_at_all_and_another_hardly() {
        let source = noise(40, 3);
        for (mut restored, least, most) in [
            (resized(&source, 80), 0.9, 1.001),
            (source.mapv(|value| 1.0 - value), -1.001, -0.99),
            (noise(80, 77), -0.4, 0.4),
            (Crop::from_elem((3, 40, 40), 0.5), 0.99, 1.001),
        ] {
            let agreed = agree(&mut restored, &source, 0.5, ALIGNED_LIGHT);
            assert!((least..=most).contains(&agreed), "{agreed}");
        }
    }

    #[test]
    fn black_and_white_stays_black_and_white() {
        let colours = noise(32, 5);
        let grey = Crop::from_shape_fn((3, 16, 16), |(_, y, x)| (x * 16 + y) as f32 / 256.0);
        for fidelity in [0.0, 0.5, 1.0] {
            let mut restored = colours.clone();
            agree(&mut restored, &grey, fidelity, ALIGNED_LIGHT);
            for y in 0..32 {
                for x in 0..32 {
                    let [r, g, b] = [0, 1, 2].map(|c| restored[(c, y, x)]);
                    assert!((r - g).abs() < 1e-5 && (g - b).abs() < 1e-5, "{r} {g} {b}");
                }
            }
        }
    }
}
