//! The path of a frame, one line per stage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::image::resample::Resampler;
use crate::image::{Sample, Size, View, ViewMut, rows, rows_mut};
use crate::infer::onnx::{OnnxNetwork, Options, TensorSample};
use crate::infer::provider::Active;
use crate::infer::tile::{Limits, Tiler};
use crate::infer::{Cancel, InferError, Network, runtime};
use crate::model::contract::Upscaler as UpscalerFile;
use crate::model::{ModelError, registry};
use crate::upscale::Upscaler;

/// What decides which network runs, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Registry name or path of the model.
    pub model: String,
    /// Enlargement wished for, which decides what `auto` is.
    pub factor: Option<f64>,
    /// How to run it.
    pub options: Options,
    /// The library of ONNX Runtime, if named.
    pub runtime: Option<PathBuf>,
    /// The folder of the plugin or program, a place to look for models and the runtime.
    pub beside: Option<PathBuf>,
    /// Side of a tile in input pixels; 0: as `memory_limit` allows.
    pub tile_size: usize,
    /// Context of a tile in input pixels; 0: what the model needs.
    pub tile_overlap: usize,
    /// Bytes that a run of the network may take.
    pub memory_limit: usize,
}

/// Why there is no enhancer, or no frame.
#[derive(Debug, thiserror::Error)]
pub enum EnhanceError {
    /// The model's file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Running it.
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl From<runtime::RuntimeError> for EnhanceError {
    fn from(error: runtime::RuntimeError) -> Self {
        Self::Infer(error.into())
    }
}

/// What became of one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs of the upscaling network.
    pub tiles: usize,
    /// Tiles resampled because the network gave values that are no numbers.
    pub tiles_left_out: usize,
    /// Time in the upscaler.
    pub upscale: Duration,
}

/// Enhances frames of one sample type. It owns everything that is remembered from frame to
/// frame.
pub struct Enhancer<S> {
    upscaler: Upscaler<S>,
    alpha: Resampler,
    canceller: Arc<dyn Cancel>,
    active: Active,
    model: String,
    runtime: &'static runtime::Runtime,
}

impl<S: TensorSample> Enhancer<S> {
    /// Loads everything that the settings name.
    ///
    /// # Errors
    /// [`EnhanceError`], one line that says what to do.
    pub fn open(settings: &Settings) -> Result<Self, EnhanceError> {
        let beside = settings.beside.as_deref();
        let path = registry::resolve(&settings.model, settings.factor, beside)?;
        let file = UpscalerFile::read(&path)?;
        let runtime = runtime::load(settings.runtime.as_deref(), beside)?;
        let network = OnnxNetwork::<S>::load(runtime, &file, &settings.options)?;
        let tiler = Tiler::new(limits(settings, &file));
        Ok(Self {
            canceller: network.canceller(),
            active: network.active().clone(),
            model: file.name,
            upscaler: Upscaler::new(Box::new(network), tiler),
            alpha: Resampler::default(),
            runtime,
        })
    }

    /// Fills `output` with the enhanced `input`. Both have three channels, or four of which
    /// the last is alpha (straight, not premultiplied).
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the output is unfinished then.
    pub fn process(
        &mut self,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
    ) -> Result<Report, EnhanceError> {
        let started = Instant::now();
        let upscaled = self.upscaler.run(input, output.view_mut())?;
        let upscale = started.elapsed();
        self.pass_alpha(input, output);
        Ok(Report { tiles: upscaled.tiles, tiles_left_out: upscaled.left_out, upscale })
    }

    /// Forgets the past. Call it wherever frames stop being neighbours. A cancelled run stays
    /// cancelled: the flush that asked for it says when it is over.
    ///
    /// No stage remembers frames yet, so there is nothing to forget.
    pub fn reset(&mut self) {}

    fn pass_alpha(&mut self, input: View<'_, S>, mut output: ViewMut<'_, S>) {
        if input.dim().2 != 4 || output.dim().2 != 4 {
            return;
        }
        let opaque = rows(input).all(|row| row.chunks_exact(4).all(|pixel| pixel[3] == S::MAX));
        let alpha = (!opaque).then(|| self.alpha.resize(input, Size::of(&output.view())));
        let mut alpha_rows = alpha.as_ref().map(|alpha| rows(alpha.view()));
        for row in rows_mut(&mut output) {
            let from = alpha_rows.as_mut().and_then(Iterator::next);
            match from {
                Some(from) => {
                    let pixels = row.chunks_exact_mut(4).zip(from.chunks_exact(4));
                    pixels.for_each(|(pixel, from)| pixel[3] = from[3]);
                }
                None => row.chunks_exact_mut(4).for_each(|pixel| pixel[3] = S::MAX),
            }
        }
    }
}

impl<S: Sample> Enhancer<S> {
    /// Enlargement factor of the network.
    pub fn scale(&self) -> usize {
        self.upscaler.scale()
    }

    /// Stops a frame that is under way on another thread.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.canceller.clone()
    }

    /// What runs the network.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// Name of the network.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The runtime in use.
    pub fn runtime(&self) -> &'static runtime::Runtime {
        self.runtime
    }
}

fn limits(settings: &Settings, file: &UpscalerFile) -> Limits {
    let overlap = match settings.tile_overlap {
        0 => file.overlap,
        pixels => pixels,
    };
    match settings.tile_size {
        0 => Limits::by_memory(settings.memory_limit, file.memory_per_pixel, overlap),
        side => Limits { pixels: side * side, overlap },
    }
}
