//! Temporal difference error: the mean over pixels and frames of
//! `|(O_t - O_{t-1}) - (G_t - G_{t-1})|`, in levels of 255. Needs no motion, so it also sees what
//! happens where motion cannot be followed.

use super::plane::mean_over;
use super::{Frame, Given, Meter, MetricError, Outcome};
use crate::image::Picture;

#[derive(Default)]
struct TemporalDifference {
    /// `O - G` of the frame before: all that is needed of it.
    before: Option<Picture<f32>>,
    series: Vec<(usize, f64)>,
}

pub(super) fn start(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(Box::<TemporalDifference>::default())
}

impl Meter for TemporalDifference {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        let error = &frame.test() - &frame.truth()?;
        if let Some(before) = frame.neighbour(self.before.as_ref().map(|before| before.view()))? {
            let change = mean_over(error.view(), before, |now, before| (now - before).abs());
            self.series.push((frame.number(), change));
        }
        self.before = Some(error);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.series)
    }
}
