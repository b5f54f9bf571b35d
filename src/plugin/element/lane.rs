//! The enhancer for the samples of the negotiated format, and the way of a frame to it and
//! from it.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_video as gst_video;

use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};

use crate::enhance::{self, EnhanceError, Enhancer, Report};
use crate::infer::Cancel;
use crate::infer::onnx::TensorSample;
use crate::infer::provider::Active;
use crate::infer::runtime::Runtime;
use crate::plugin::frame::{Conversion, Direction};
use crate::plugin::messages::{Failure, Stats};

/// What lives from start to stop: the enhancer for the samples of the negotiated format.
#[derive(Default)]
pub enum State {
    #[default]
    Empty,
    Eight(Lane<u8>),
    Sixteen(Lane<u16>),
}

/// An enhancer, and the way to it and from it once formats are negotiated.
pub struct Lane<S> {
    enhancer: Enhancer<S>,
    formats: Option<(Conversion<S>, Conversion<S>)>,
}

impl<S: TensorSample> Lane<S> {
    fn open(settings: &enhance::Settings) -> Result<Self, EnhanceError> {
        Ok(Self { enhancer: Enhancer::open(settings)?, formats: None })
    }

    fn negotiate(&mut self, input: &VideoInfo, output: &VideoInfo) -> Result<(), glib::BoolError> {
        self.enhancer.reset();
        self.formats = None;
        let from = Conversion::new(input, Direction::In)?;
        self.formats = Some((from, Conversion::new(output, Direction::Out)?));
        Ok(())
    }

    fn process(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<Report, Failure> {
        let no_frame = || Failure::Frame("a frame cannot be mapped as a picture".into());
        if input.buffer().flags().contains(gst::BufferFlags::DISCONT) {
            self.enhancer.reset();
        }
        let (from, to) = self.formats.as_mut().ok_or_else(no_frame)?;
        let picture = from.read(input).ok_or_else(no_frame)?;
        let report = to.write(output, |out| self.enhancer.process(picture, out));
        Ok(report.ok_or_else(no_frame)??)
    }

    fn loaded(&self) -> Loaded {
        Loaded {
            bits: S::BITS,
            scale: self.enhancer.scale(),
            model: self.enhancer.model().into(),
            active: self.enhancer.active().clone(),
            runtime: self.enhancer.runtime(),
            canceller: self.enhancer.canceller(),
        }
    }
}

/// What there is to know of the network in use.
pub struct Loaded {
    pub bits: u32,
    pub scale: usize,
    pub model: String,
    pub active: Active,
    pub runtime: &'static Runtime,
    pub canceller: Arc<dyn Cancel>,
}

impl Loaded {
    /// Tells the statistics what runs.
    pub fn describe(&self, stats: &mut Stats) {
        stats.model = self.model.clone();
        stats.provider = self.active.describe();
        stats.runtime = format!("{} ({})", self.runtime.path.display(), self.runtime.found_by);
        stats.fallbacks.retain(|line| !line.starts_with(NOT_TAKEN));
        if !self.active.refused.is_empty() {
            stats.fallbacks.push(format!("{NOT_TAKEN}: {}", self.active.why_not_others()));
        }
    }
}

impl State {
    /// Loads the network for samples of so many bits.
    pub fn open(settings: &enhance::Settings, bits: u32) -> Result<Self, EnhanceError> {
        match bits {
            8 => Lane::open(settings).map(Self::Eight),
            _ => Lane::open(settings).map(Self::Sixteen),
        }
    }

    /// Prepares for frames of these formats.
    pub fn negotiate(&mut self, input: &VideoInfo, output: &VideoInfo) -> Result<(), glib::BoolError> {
        match self {
            Self::Empty => Ok(()),
            Self::Eight(lane) => lane.negotiate(input, output),
            Self::Sixteen(lane) => lane.negotiate(input, output),
        }
    }

    /// Enhances a frame.
    pub fn process(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<Report, Failure> {
        match self {
            Self::Empty => Err(Failure::Frame("a frame came before its format".into())),
            Self::Eight(lane) => lane.process(input, output),
            Self::Sixteen(lane) => lane.process(input, output),
        }
    }

    /// What runs, `None` before a network is loaded.
    pub fn loaded(&self) -> Option<Loaded> {
        match self {
            Self::Empty => None,
            Self::Eight(lane) => Some(lane.loaded()),
            Self::Sixteen(lane) => Some(lane.loaded()),
        }
    }
}

/// How the entry of `fallbacks` begins that says why `auto` passed providers over.
pub const NOT_TAKEN: &str = "providers not taken";
