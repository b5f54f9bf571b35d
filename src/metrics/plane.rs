//! The pictures that metrics look at: luma in floats, and colours plane by plane for networks.

use ndarray::Array4;

use crate::image::{Picture, Sample, View, rows};

/// Weights of red, green and blue in luma, ITU-R BT.601.
const WEIGHTS: [f32; 3] = [0.299, 0.587, 0.114];

/// Luma of a picture, 0 to 255 whatever the depth of its samples, not rounded. A picture of one
/// channel is luma already; an alpha is left out.
pub fn luma<S: Sample>(picture: View<'_, S>) -> Picture<f32> {
    let (height, width, channels) = picture.dim();
    let unit = 255.0 / S::WHITE;
    let mut samples = Vec::with_capacity(height * width);
    for row in rows(picture) {
        samples.extend(row.chunks_exact(channels).map(|pixel| match pixel {
            [grey] => unit * grey.to_f32(),
            colours => {
                let weighted = colours.iter().zip(WEIGHTS).map(|(colour, weight)| colour.to_f32() * weight);
                unit * weighted.sum::<f32>()
            }
        }));
    }
    Picture::from_shape_vec((height, width, 1), samples).expect("one sample a pixel")
}

/// The colours of a picture as networks take them: `[1, 3, height, width]`, 0..1. Grey fills all
/// three; an alpha is left out.
pub fn planar<S: Sample>(picture: View<'_, S>) -> Array4<f32> {
    let (height, width, channels) = picture.dim();
    Array4::from_shape_fn((1, 3, height, width), |(_, colour, y, x)| {
        picture[(y, x, colour.min(channels - 1))].to_f32() / S::WHITE
    })
}

/// The mean of `measure` over the pixels of two pictures of one size.
pub(super) fn mean_over(a: View<'_, f32>, b: View<'_, f32>, measure: impl Fn(f32, f32) -> f32) -> f64 {
    let pixels = (a.dim().0 * a.dim().1) as f64;
    let of_row =
        |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(&a, &b)| f64::from(measure(a, b))).sum::<f64>();
    rows(a).zip(rows(b)).map(of_row).sum::<f64>() / pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luma_is_the_weighted_sum_of_the_colours_at_every_depth() {
        for (pixel, expected) in [
            (vec![255_u8, 0, 0], 76.245),
            (vec![0, 255, 0], 149.685),
            (vec![0, 0, 255], 29.07),
            (vec![255, 255, 255, 7], 255.0),
            (vec![31], 31.0),
        ] {
            let deep: Vec<u16> = pixel.iter().map(|&sample| u16::from(sample) * 257).collect();
            let shape = (1, 1, pixel.len());
            let of_8 = luma(Picture::from_shape_vec(shape, pixel).unwrap().view())[(0, 0, 0)];
            let of_16 = luma(Picture::from_shape_vec(shape, deep).unwrap().view())[(0, 0, 0)];
            assert!((of_8 - expected).abs() < 1e-4 && (of_16 - expected).abs() < 1e-4, "{of_8} {of_16}");
        }
    }

    #[test]
    fn planes_hold_one_colour_each() {
        let picture =
            Picture::<u8>::from_shape_fn((2, 3, 4), |(y, x, channel)| (y * 30 + x * 10 + channel) as u8);
        let planes = planar(picture.view());
        assert_eq!(planes.dim(), (1, 3, 2, 3));
        for ((_, colour, y, x), value) in planes.indexed_iter() {
            assert_eq!(*value, f32::from(picture[(y, x, colour)]) / 255.0);
        }
    }
}
