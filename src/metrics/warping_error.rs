//! Warping error: Lai et al., "Learning blind video temporal consistency" (2018).
//!
//! The mean over frames of `sum M (O_t - W(O_{t-1}))^2 / sum M / 255^2`. `W` follows the motion of
//! the ground truth from frame `t` to the one before, bilinear; `M` leaves out what is
//! occluded or outside there, and the boundaries of motion. Frames of which nothing is left do
//! not count.

use super::motion::Motion;
use super::{Frame, Given, Meter, MetricError, Outcome};
use crate::image::{Picture, View};

/// A boundary of motion: its squared gradient exceeds this share of the squared motion ...
const GRADIENT_PER_MOTION: f32 = 0.01;
/// ... by this much.
const GRADIENT: f32 = 0.002;

/// The figure of one frame, white is 1; `None` when there is no pixel to compare.
pub fn warping_error(now: View<'_, f32>, before: View<'_, f32>, motion: &Motion) -> Option<f64> {
    let (mut sum, mut pixels) = (0.0, 0_u64);
    for ((y, x, _), &value) in now.indexed_iter() {
        let boundary = motion.gradient(x, y) > GRADIENT_PER_MOTION * motion.square(x, y) + GRADIENT;
        if boundary || motion.occluded(x, y) {
            continue;
        }
        if let Some(followed) = motion.follow(before, x, y) {
            sum += f64::from(value - followed).powi(2);
            pixels += 1;
        }
    }
    (pixels > 0).then(|| sum / pixels as f64 / (255.0 * 255.0))
}

#[derive(Default)]
struct WarpingError {
    before: Option<Picture<f32>>,
    series: Vec<(usize, f64)>,
}

pub(super) fn start(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(Box::<WarpingError>::default())
}

impl Meter for WarpingError {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        if let Some(before) = frame.neighbour(self.before.as_ref().map(|before| before.view()))? {
            let error = warping_error(frame.test(), before, frame.motion()?);
            self.series.extend(error.map(|error| (frame.number(), error)));
        }
        self.before = Some(frame.test().to_owned());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.series)
    }
}
