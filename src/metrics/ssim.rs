//! Structural similarity of luma: Wang, Bovik, Sheikh and Simoncelli, "Image quality
//! assessment: from error visibility to structural similarity" (2004), with their window of
//! 11x11 (Gaussian, sigma 1.5), their constants (K1 = 0.01, K2 = 0.03), and variances that divide
//! by the number of samples. Only places where the whole window is inside the picture count.

use super::{Frame, Given, Meter, MetricError, Outcome};
use crate::image::{Size, View, rows};

/// Side of the window, in pixels.
pub const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// The figure of one picture, 1 where both are the same; `None` below [`WINDOW`] pixels a side.
pub fn ssim(test: View<'_, f32>, truth: View<'_, f32>) -> Option<f64> {
    let size = Size::of(&test);
    if size.width < WINDOW || size.height < WINDOW {
        return None;
    }
    let weights = weights();
    let (a, b): (Vec<&[f32]>, Vec<&[f32]>) = (rows(test).collect(), rows(truth).collect());
    let mut moments = vec![[0.0; 5]; size.width];
    let mut sum = 0.0;
    for (a, b) in a.windows(WINDOW).zip(b.windows(WINDOW)) {
        columns(a, b, &weights, &mut moments);
        sum += moments.windows(WINDOW).map(|window| similarity(window, &weights)).sum::<f64>();
    }
    Some(sum / ((size.width - WINDOW + 1) * (size.height - WINDOW + 1)) as f64)
}

fn weights() -> [f64; WINDOW] {
    let centre = (WINDOW / 2) as f64;
    let bell: [f64; WINDOW] = std::array::from_fn(|at| (-((at as f64 - centre) / SIGMA).powi(2) / 2.0).exp());
    bell.map(|weight| weight / bell.iter().sum::<f64>())
}

/// Weighted sums down every column: of both, of both squared, and of the product.
fn columns(a: &[&[f32]], b: &[&[f32]], weights: &[f64], moments: &mut [[f64; 5]]) {
    moments.fill([0.0; 5]);
    for ((a, b), weight) in a.iter().zip(b).zip(weights) {
        for ((sums, &a), &b) in moments.iter_mut().zip(*a).zip(*b) {
            let (a, b) = (f64::from(a), f64::from(b));
            for (sum, value) in sums.iter_mut().zip([a, b, a * a, b * b, a * b]) {
                *sum += weight * value;
            }
        }
    }
}

/// The similarity at one place, from the sums of the columns of its window.
fn similarity(window: &[[f64; 5]], weights: &[f64]) -> f64 {
    let mut sums = [0.0; 5];
    for (column, weight) in window.iter().zip(weights) {
        for (sum, value) in sums.iter_mut().zip(column) {
            *sum += weight * value;
        }
    }
    let [a, b, aa, bb, ab] = sums;
    let means = (2.0 * a * b + C1) / (a * a + b * b + C1);
    means * (2.0 * (ab - a * b) + C2) / ((aa - a * a) + (bb - b * b) + C2)
}

#[derive(Default)]
struct Ssim(Vec<(usize, f64)>);

pub(super) fn start(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(Box::<Ssim>::default())
}

impl Meter for Ssim {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        let (number, size) = (frame.number(), frame.size());
        let too_small = MetricError::TooSmall { frame: number, metric: "ssim", size, least: WINDOW };
        self.0.push((number, ssim(frame.test(), frame.truth()?).ok_or(too_small)?));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Picture;

    #[test]
    fn slopes_that_oppose_each_other_have_the_value_computed_by_hand() {
        // One window. Both means are 100, both variances 4 s and the covariance -4 s, where s, the
        // variance of a place under the window, is 2.243490: (C2 - 8 s) / (C2 + 8 s).
        let slope =
            |rise: f32| Picture::from_shape_fn((11, 11, 1), |(_, x, _)| 100.0 + rise * (x as f32 - 5.0));
        let found = ssim(slope(2.0).view(), slope(-2.0).view()).unwrap();
        assert!((found - 0.530591868).abs() < 1e-6, "{found}");
    }
}
