//! Blurs of planes of floats, nearly Gaussian.

use ndarray::ArrayViewMut2;

use super::lanes::dispatched;

/// Rows and columns that are turned at a time: what is read and what is written stay in the cache.
const BLOCK: usize = 16;

/// Blurs a plane nearly as a Gaussian of this deviation, in pixels, by three means of boxes each way; the border goes on
/// outside. (Wells, "Efficient synthesis of Gaussian filters by cascaded uniform filters", 1986.)
pub fn soften(mut plane: ArrayViewMut2<'_, f32>, deviation: f32) {
    // Three boxes of width w have the variance (w^2 - 1) / 4.
    let radius = (((4.0 * deviation * deviation + 1.0).sqrt() - 1.0) / 2.0).round().max(0.0) as usize;
    let (height, width) = plane.dim();
    if radius == 0 || plane.is_empty() {
        return;
    }
    let mut upright: Vec<f32> = plane.iter().copied().collect();
    let mut other = vec![0.0; upright.len()];
    let mut sums = vec![0.0; width.max(height)];
    for (width, height) in [(width, height), (height, width)] {
        for _ in 0..3 {
            means_of_columns(&upright, width, radius, &mut sums[..width], &mut other);
            std::mem::swap(&mut upright, &mut other);
        }
        turn(&upright, width, height, &mut other);
        std::mem::swap(&mut upright, &mut other);
    }
    plane.iter_mut().zip(upright).for_each(|(to, from)| *to = from);
}

dispatched! {
    /// Means over `2 * radius + 1` pixels of each column. Sums are kept in 64 bits, and nothing is lost on the way down.
    fn means_of_columns / means_of_columns_plain(
        from: &[f32], width: usize, radius: usize, sums: &mut [f64], to: &mut [f32],
    ) {
        let (radius, last) = (radius as isize, (from.len() / width) as isize - 1);
        let row = |y: isize| {
            let start = y.clamp(0, last) as usize * width;
            &from[start..start + width]
        };
        sums.fill(0.0);
        for y in -radius..=radius {
            sums.iter_mut().zip(row(y)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let share = 1.0 / (2 * radius + 1) as f64;
        for (y, to) in to.chunks_exact_mut(width).enumerate() {
            let (below, above) = (row(y as isize + radius + 1), row(y as isize - radius));
            let around = below.iter().zip(above);
            for ((to, sum), (&below, &above)) in to.iter_mut().zip(sums.iter_mut()).zip(around) {
                *to = (*sum * share) as f32;
                *sum += f64::from(below) - f64::from(above);
            }
        }
    }
}

/// Rows become columns.
fn turn(from: &[f32], width: usize, height: usize, to: &mut [f32]) {
    for top in (0..height).step_by(BLOCK) {
        for left in (0..width).step_by(BLOCK) {
            for x in left..(left + BLOCK).min(width) {
                for y in top..(top + BLOCK).min(height) {
                    to[x * height + y] = from[y * width + x];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, ArrayViewMut1, Axis};

    /// As the documentation says it, a line at a time.
    fn plain(plane: &mut Array2<f32>, radius: isize) {
        let means = |mut lane: ArrayViewMut1<'_, f32>| {
            let line = lane.to_vec();
            let at = |i: isize| f64::from(line[i.clamp(0, line.len() as isize - 1) as usize]);
            let mut sum: f64 = (-radius..=radius).map(at).sum();
            let share = 1.0 / (2 * radius + 1) as f64;
            for (i, to) in lane.iter_mut().enumerate() {
                *to = (sum * share) as f32;
                sum += at(i as isize + radius + 1) - at(i as isize - radius);
            }
        };
        for axis in [Axis(0), Axis(1)] {
            for _ in 0..3 {
                plane.lanes_mut(axis).into_iter().for_each(means);
            }
        }
    }

    fn noise(height: usize, width: usize) -> Array2<f32> {
        Array2::from_shape_fn((height, width), |(y, x)| {
            let bits = (x as u32 * 97 + y as u32 * 4099 + 1).wrapping_mul(0x9E37_79B9);
            (bits >> 8) as f32 / (1 << 20) as f32 - 8.0
        })
    }

    #[test]
    fn three_means_each_way_are_what_is_made_at_every_size_and_radius() {
        for (height, width) in [(1, 1), (1, 40), (37, 1), (16, 16), (17, 33), (50, 19)] {
            for (deviation, radius) in [(0.3, 0), (1.5, 1), (2.5, 2), (6.0, 6), (16.0, 16)] {
                let (mut made, mut expected) = (noise(height, width), noise(height, width));
                soften(made.view_mut(), deviation);
                plain(&mut expected, radius);
                assert!(made == expected, "{height}, {width}, {deviation}");
            }
        }
        soften(Array2::zeros((0, 3)).view_mut(), 3.0);
    }

    #[test]
    fn planes_that_are_parts_of_others_are_written_and_nothing_around_them() {
        let mut large = noise(30, 40);
        let mut part = large.slice(ndarray::s![5..25, 7..31;2]).to_owned();
        soften(large.slice_mut(ndarray::s![5..25, 7..31;2]), 2.0);
        soften(part.view_mut(), 2.0);
        let mut expected = noise(30, 40);
        expected.slice_mut(ndarray::s![5..25, 7..31;2]).assign(&part);
        assert!(large == expected);
    }

    #[test]
    fn means_have_the_same_bits_on_every_processor() {
        let from: Vec<f32> = noise(29, 53).iter().copied().collect();
        let filtered = |filter: fn(&[f32], usize, usize, &mut [f64], &mut [f32])| {
            let (mut sums, mut to) = (vec![0.0; 53], vec![0.0; from.len()]);
            filter(&from, 53, 4, &mut sums, &mut to);
            to
        };
        assert!(filtered(means_of_columns) == filtered(means_of_columns_plain));
    }

    #[test]
    fn blurring_keeps_the_mean_and_spreads_by_its_deviation() {
        for deviation in [0.0, 1.0, 2.5, 6.0_f32] {
            let mut plane = Array2::zeros((121, 121));
            plane[(60, 60)] = 1.0;
            soften(plane.view_mut(), deviation);
            assert!((plane.sum() - 1.0).abs() < 1e-3);
            let variance: f32 = plane.indexed_iter().map(|((_, x), v)| v * (x as f32 - 60.0).powi(2)).sum();
            assert!((variance.sqrt() - deviation).abs() < 0.5, "{deviation}: {}", variance.sqrt());
        }
    }
}
