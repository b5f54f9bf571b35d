//! How good an enhanced clip is, in numbers: against a ground truth, and over time.
//!
//! Every metric is a row of [`METRICS`] and a file. Frames come one by one: a [`Meter`] takes
//! them in and gives an [`Outcome`]; [`measurement`] walks all meters at once. What a meter
//! keeps does not grow with the clip, except for one number per frame, for plots.
//!
//! Pictures are luma (ITU-R BT.601, 0 to 255, see [`plane::luma`]) unless a metric says otherwise.

mod frame;
pub mod ghost;
pub mod identity;
pub mod measurement;
pub mod motion;
pub mod perceptual;
pub mod plane;
pub mod psnr;
pub mod sharpness;
pub mod ssim;
pub mod static_deviation;
mod table;
pub mod temporal_difference;
pub mod warping_error;

pub use frame::{Colours, Frame};
pub use table::{Better, Given, METRICS, Metric, Need, metric};

use crate::image::Size;
use crate::infer::InferError;

/// Takes in the frames of one clip, in order.
pub trait Meter: Send {
    /// Measures a frame.
    ///
    /// # Errors
    /// [`MetricError`] when something promised is missing, sizes change, or a network fails.
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError>;

    /// The figure for the clip.
    fn finish(self: Box<Self>) -> Outcome;
}

/// What a meter found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The figure for the clip; `None` when no frame could be measured, such as a temporal
    /// metric of a single frame.
    pub value: Option<f64>,
    /// Number of the frame and its own figure, for those frames that have one.
    pub series: Vec<(usize, f64)>,
}

impl Outcome {
    /// The mean of the frames' figures.
    fn mean(series: Vec<(usize, f64)>) -> Self {
        let sum: f64 = series.iter().map(|(_, value)| value).sum();
        let value = (!series.is_empty()).then(|| sum / series.len() as f64);
        Self { value, series }
    }
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// Something is not at hand, which is no fault.
    #[error("not measured: {0}")]
    NotMeasured(&'static str),
    /// Something promised did not come.
    #[error("frame {frame} came without its {what}")]
    Missing {
        /// Number of the frame.
        frame: usize,
        /// What is missing.
        what: &'static str,
    },
    /// Pictures to compare are of different sizes.
    #[error("frame {frame}: the {what} is {found}, the picture measured is {expected}")]
    Sizes {
        /// Number of the frame.
        frame: usize,
        /// What differs.
        what: &'static str,
        /// Its size.
        found: Size,
        /// The size of the picture measured.
        expected: Size,
    },
    /// A picture is smaller than what the metric looks at.
    #[error("frame {frame}: {metric} needs pictures of {least}x{least} at least, this one is {size}")]
    TooSmall {
        /// Number of the frame.
        frame: usize,
        /// Name of the metric.
        metric: &'static str,
        /// The size it is.
        size: Size,
        /// The side it must have.
        least: usize,
    },
    /// A network is of another kind.
    #[error("model {model} is no {what}: {reason}")]
    Network {
        /// Name of the model.
        model: String,
        /// What it was taken for.
        what: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// A network failed.
    #[error(transparent)]
    Infer(#[from] InferError),
}

#[cfg(test)]
mod tests;
