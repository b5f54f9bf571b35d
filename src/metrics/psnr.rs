//! Peak signal-to-noise ratio of luma: the mean over frames of `10 log10(255^2 / MSE)`.

use super::{Frame, Given, Meter, MetricError, Outcome, plane};
use crate::image::View;

/// The figure of a frame is limited to this, in dB: one black frame that stays black would
/// otherwise make the mean of the whole clip infinite. Rounding alone costs more (59 dB).
pub const MOST: f64 = 100.0;

/// The figure of one picture, in dB.
pub fn psnr(test: View<'_, f32>, truth: View<'_, f32>) -> f64 {
    let error = plane::mean_over(test, truth, |a, b| (a - b) * (a - b));
    (10.0 * (255.0 * 255.0 / error).log10()).min(MOST)
}

#[derive(Default)]
struct Psnr(Vec<(usize, f64)>);

pub(super) fn start(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(Box::<Psnr>::default())
}

impl Meter for Psnr {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        self.0.push((frame.number(), psnr(frame.test(), frame.truth()?)));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.0)
    }
}
