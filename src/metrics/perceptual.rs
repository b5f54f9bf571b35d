//! ST-LPIPS: Ghildyal and Liu, "Shift-tolerant perceptual similarity metric" (2022), with
//! AlexNet. Agrees with what people see where pixels do not, such as in textures. The figures
//! are not those of LPIPS and are not to be compared with them. `models/stlpips_to_onnx.py` builds
//! the network; its mean over frames is given.

use std::path::Path;

use super::{Colours, Frame, Given, Meter, MetricError, Outcome};
use crate::image::Size;
use crate::infer::onnx::Options;
use crate::infer::runtime::Runtime;
use crate::infer::tensors::TensorNetwork;

/// Side in pixels below which the network has nothing left to compare.
pub const LEAST: usize = 21;

/// The ST-LPIPS network.
pub struct Perceptual(TensorNetwork);

impl Perceptual {
    /// Loads it.
    ///
    /// # Errors
    /// [`MetricError::Network`] if the file is another network, [`MetricError::Infer`] if it
    /// cannot be run.
    pub fn load(runtime: &'static Runtime, path: &Path, options: &Options) -> Result<Self, MetricError> {
        let network = TensorNetwork::load(runtime, path, options)?;
        let names = |tensors: &[crate::model::onnx_file::TensorInfo]| -> Vec<String> {
            tensors.iter().map(|tensor| tensor.name.clone()).collect()
        };
        let (inputs, outputs) = (names(network.inputs()), names(network.outputs()));
        if inputs == ["test", "truth"] && outputs == ["distance"] {
            return Ok(Self(network));
        }
        Err(MetricError::Network {
            model: network.model().into(),
            what: "ST-LPIPS network",
            reason: format!("it takes {inputs:?} and gives {outputs:?}, not [test, truth] and [distance]"),
        })
    }

    /// The distance of two pictures of one size; 0 for the same.
    ///
    /// # Errors
    /// [`MetricError::Infer`]
    pub fn distance(&mut self, pictures: &Colours) -> Result<f64, MetricError> {
        let numbers = self.0.run(&[pictures.test.view(), pictures.truth.view()])?;
        Ok(numbers.first().and_then(|output| output.first()).map_or(f64::NAN, |&value| f64::from(value)))
    }
}

struct Distance {
    network: Perceptual,
    series: Vec<(usize, f64)>,
}

pub(super) fn start(given: &Given) -> Result<Box<dyn Meter>, MetricError> {
    let (runtime, path) = given.network(&given.perceptual)?;
    let network = Perceptual::load(runtime, path, &given.options)?;
    Ok(Box::new(Distance { network, series: Vec::new() }))
}

impl Meter for Distance {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        let size @ Size { width, height } = frame.size();
        if width < LEAST || height < LEAST {
            let (frame, metric) = (frame.number(), "st-lpips");
            return Err(MetricError::TooSmall { frame, metric, size, least: LEAST });
        }
        self.series.push((frame.number(), self.network.distance(frame.colours()?)?));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.series)
    }
}
