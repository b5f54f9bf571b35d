//! The table of metrics, and what each needs.

use std::path::{Path, PathBuf};

use super::{
    Meter, MetricError, ghost, identity, perceptual, psnr, sharpness, ssim, static_deviation,
    temporal_difference, warping_error,
};
use crate::infer::onnx::Options;
use crate::infer::runtime::Runtime;

/// Which way a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// A metric: a row of [`METRICS`].
#[derive(Debug)]
pub struct Metric {
    /// The name that users type and read.
    pub name: &'static str,
    /// Unit of its values; empty for plain numbers.
    pub unit: &'static str,
    /// Which way it improves.
    pub better: Better,
    /// What it tells, on one line.
    pub meaning: &'static str,
    /// What has to be at hand.
    pub needs: &'static [Need],
    start: fn(&Given) -> Result<Box<dyn Meter>, MetricError>,
}

/// Every metric this build can measure. To add one: a file, a row.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "psnr",
        unit: "dB",
        better: Better::Higher,
        meaning: "closeness to the ground truth, pixel by pixel",
        needs: &[Need::Truth],
        start: psnr::start,
    },
    Metric {
        name: "ssim",
        unit: "",
        better: Better::Higher,
        meaning: "closeness of structures to the ground truth, 1 is identical",
        needs: &[Need::Truth],
        start: ssim::start,
    },
    Metric {
        name: "st-lpips",
        unit: "",
        better: Better::Lower,
        meaning: "perceptual distance to the ground truth by the ST-LPIPS network (AlexNet), 0 is identical",
        needs: &[Need::Colours, Need::PerceptualNetwork, Need::Runtime],
        start: perceptual::start,
    },
    Metric {
        name: "identity",
        unit: "",
        better: Better::Higher,
        meaning: "likeness of faces to those of the ground truth by an embedding network, 1 is the same",
        needs: &[Need::Faces, Need::EmbeddingNetwork, Need::Runtime],
        start: identity::start,
    },
    Metric {
        name: "warping-error",
        unit: "",
        better: Better::Lower,
        meaning: "change along the motion of the ground truth: flicker and noise, squared, white is 1",
        needs: &[Need::Motion],
        start: warping_error::start,
    },
    Metric {
        name: "tde",
        unit: "levels",
        better: Better::Lower,
        meaning: "temporal difference error: change from frame to frame that the ground truth does not have",
        needs: &[Need::Truth],
        start: temporal_difference::start,
    },
    Metric {
        name: "sstd",
        unit: "levels",
        better: Better::Lower,
        meaning: "static deviation: flicker where the ground truth stands still",
        needs: &[Need::Truth],
        start: static_deviation::start,
    },
    Metric {
        name: "sharpness",
        unit: "",
        better: Better::Higher,
        meaning: "strength of edges in shares of the ground truth's; well above 1 is ringing or noise",
        needs: &[Need::Truth],
        start: sharpness::start_over_truth,
    },
    Metric {
        name: "sharpness-per-frame",
        unit: "",
        better: Better::Higher,
        meaning: "strength of edges in shares of the same network's without temporal stage",
        needs: &[Need::PerFrame],
        start: sharpness::start_over_per_frame,
    },
    Metric {
        name: "ghost",
        unit: "levels",
        better: Better::Lower,
        meaning: "error that the temporal stage adds where motion uncovers or tears; below 0 it removes error",
        needs: &[Need::Truth, Need::PerFrame, Need::Motion],
        start: ghost::start,
    },
];

/// The metric of that name.
pub fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

impl Metric {
    /// A meter for a new clip.
    ///
    /// # Errors
    /// [`MetricError::NotMeasured`] when something it needs is not at hand, another one when
    /// something is at hand that cannot be used.
    pub fn start(&self, given: &Given) -> Result<Box<dyn Meter>, MetricError> {
        match self.needs.iter().find(|need| !need.is_met(given)) {
            Some(need) => Err(MetricError::NotMeasured(need.absence())),
            None => (self.start)(given),
        }
    }
}

/// What a metric may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// [`super::Frame::truth`].
    Truth,
    /// [`super::Frame::per_frame`].
    PerFrame,
    /// [`super::Frame::motion`].
    Motion,
    /// [`super::Frame::colours`].
    Colours,
    /// [`super::Frame::faces`].
    Faces,
    /// The ST-LPIPS network.
    PerceptualNetwork,
    /// A face embedding network.
    EmbeddingNetwork,
    /// ONNX Runtime.
    Runtime,
}

impl Need {
    fn is_met(self, given: &Given) -> bool {
        match self {
            Self::Truth => given.truth,
            Self::PerFrame => given.per_frame,
            Self::Motion => given.motion,
            Self::Colours => given.colours,
            Self::Faces => given.faces,
            Self::PerceptualNetwork => given.perceptual.is_some(),
            Self::EmbeddingNetwork => given.embedding.is_some(),
            Self::Runtime => given.runtime.is_some(),
        }
    }

    fn absence(self) -> &'static str {
        match self {
            Self::Truth => "no ground truth given",
            Self::PerFrame => "no clip without temporal stage given",
            Self::Motion => "no motion of a ground truth known",
            Self::Colours => "no ground truth in colour given",
            Self::Faces => "no faces located: the detector yunet is not there, run `make setup`",
            Self::PerceptualNetwork => {
                "no ST-LPIPS network here, `make metrics` in the source tree fetches it"
            }
            Self::EmbeddingNetwork => "no face embedding network given",
            Self::Runtime => "no ONNX Runtime here, `make runtime` in the source tree fetches it",
        }
    }
}

/// What is at hand for a clip: every frame will bring what is promised here.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// A ground truth.
    pub truth: bool,
    /// The same network's result without temporal stage.
    pub per_frame: bool,
    /// The ground truth's motion.
    pub motion: bool,
    /// Colour pictures of both.
    pub colours: bool,
    /// Aligned crops of faces of both.
    pub faces: bool,
    /// What runs networks.
    pub runtime: Option<&'static Runtime>,
    /// File of the ST-LPIPS network.
    pub perceptual: Option<PathBuf>,
    /// File of a face embedding network.
    pub embedding: Option<PathBuf>,
    /// How networks are run.
    pub options: Options,
}

impl Given {
    /// The runtime and a network's file, which [`Metric::start`] has seen to be there.
    pub(super) fn network<'b>(
        &self,
        path: &'b Option<PathBuf>,
    ) -> Result<(&'static Runtime, &'b Path), MetricError> {
        let runtime = self.runtime.ok_or(MetricError::NotMeasured(Need::Runtime.absence()))?;
        let path = path.as_deref().ok_or(MetricError::NotMeasured("no network given"))?;
        Ok((runtime, path))
    }
}
