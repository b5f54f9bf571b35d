//! Ghosting: what a temporal stage gets wrong where motion uncovers something or tears.
//!
//! The mean over frames of `MAE(O, G) - MAE(Y, G)`, in levels of 255, where `Y` is the same
//! network's picture without temporal stage; over pixels that are occluded or where the squared
//! gradient of the motion exceeds 0.25, and a margin of 4 pixels around them. Below 0 the
//! temporal stage removes more error there than it adds. Frames without such places do not count.

use super::motion::Motion;
use super::{Frame, Given, Meter, MetricError, Outcome};
use crate::image::{Picture, View};

/// Squared gradient above which motion tears.
const TEAR: f32 = 0.25;
/// Pixels around such places that count, too: a window of 9x9.
const MARGIN: usize = 4;

/// Whether each pixel counts.
fn places(motion: &Motion) -> Picture<bool> {
    let size = motion.size();
    let torn = |y: usize, x: usize| motion.occluded(x, y) || motion.gradient(x, y) > TEAR;
    let mut spread = Picture::from_elem((size.height, size.width, 1), false);
    for y in 0..size.height {
        for x in (0..size.width).filter(|&x| torn(y, x)) {
            for near in x.saturating_sub(MARGIN)..(x + MARGIN + 1).min(size.width) {
                spread[(y, near, 0)] = true;
            }
        }
    }
    Picture::from_shape_fn(spread.dim(), |(y, x, _)| {
        (y.saturating_sub(MARGIN)..(y + MARGIN + 1).min(size.height)).any(|near| spread[(near, x, 0)])
    })
}

/// The figure of one frame; `None` when it has no such place.
pub fn ghost(
    test: View<'_, f32>,
    per_frame: View<'_, f32>,
    truth: View<'_, f32>,
    motion: &Motion,
) -> Option<f64> {
    let (mut sum, mut pixels) = (0.0, 0_u64);
    for (at, _) in places(motion).indexed_iter().filter(|(_, counts)| **counts) {
        let error = |picture: View<'_, f32>| f64::from((picture[at] - truth[at]).abs());
        sum += error(test) - error(per_frame);
        pixels += 1;
    }
    (pixels > 0).then(|| sum / pixels as f64)
}

#[derive(Default)]
struct Ghost {
    /// Whether there was a frame before.
    follows: bool,
    series: Vec<(usize, f64)>,
}

pub(super) fn start(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(Box::<Ghost>::default())
}

impl Meter for Ghost {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        if std::mem::replace(&mut self.follows, true) && !frame.cut() {
            let ghost = ghost(frame.test(), frame.per_frame()?, frame.truth()?, frame.motion()?);
            self.series.extend(ghost.map(|ghost| (frame.number(), ghost)));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.series)
    }
}
