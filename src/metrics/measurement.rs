//! All metrics of a clip at once.

use super::{Frame, Given, METRICS, Meter, Metric, MetricError, Outcome};

/// A clip under measurement.
pub struct Measurement {
    meters: Vec<(&'static Metric, Box<dyn Meter>)>,
    absent: Vec<(&'static Metric, MetricError)>,
}

/// What came of one metric: its figures, or why there are none.
pub type Measured = (&'static Metric, Result<Outcome, MetricError>);

impl Measurement {
    /// Starts a meter for each of `metrics` that what is `given` allows.
    ///
    /// # Errors
    /// [`MetricError`] when something given cannot be used, such as a model.
    pub fn new(
        metrics: impl IntoIterator<Item = &'static Metric>,
        given: &Given,
    ) -> Result<Self, MetricError> {
        let mut measurement = Self { meters: Vec::new(), absent: Vec::new() };
        for metric in metrics {
            match metric.start(given) {
                Ok(meter) => measurement.meters.push((metric, meter)),
                Err(absence @ MetricError::NotMeasured(_)) => measurement.absent.push((metric, absence)),
                Err(fault) => return Err(fault),
            }
        }
        Ok(measurement)
    }

    /// Measures the next frame.
    ///
    /// # Errors
    /// The first meter's that has one.
    pub fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        self.meters.iter_mut().try_for_each(|(_, meter)| meter.push(frame))
    }

    /// The figures, in the order of [`METRICS`].
    pub fn finish(self) -> Vec<Measured> {
        let found = self.meters.into_iter().map(|(metric, meter)| (metric, Ok(meter.finish())));
        let mut all: Vec<Measured> =
            found.chain(self.absent.into_iter().map(|(metric, absence)| (metric, Err(absence)))).collect();
        all.sort_by_key(|(metric, _)| METRICS.iter().position(|row| row.name == metric.name));
        all
    }
}
