//! The enhancer for the samples of the negotiated format, and the way of a frame to it and
//! from it.

use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_video as gst_video;

use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};

use crate::enhance::{self, Controls, EnhanceError, Enhancer, Loaded, Report};
use crate::face::detect::Detection;
use crate::face::helpers::Helpers;
use crate::face::track::Track;
use crate::image::Size;
use crate::infer::Cancel;
use crate::infer::onnx::TensorSample;
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
    /// Of the last frame.
    times: Option<FrameTimes>,
}

/// When a frame is shown, and for how long.
#[derive(Clone, Copy, Debug)]
struct FrameTimes {
    start: Option<gst::ClockTime>,
    duration: Option<gst::ClockTime>,
}

/// Frames that are farther apart than this, and than [`LONGEST_GAP`] frames, are no neighbours.
const LONGEST_PAUSE: gst::ClockTime = gst::ClockTime::from_mseconds(500);
/// Frames that may be missing between neighbours: motion over more of them is seldom found.
const LONGEST_GAP: u64 = 5;

impl FrameTimes {
    fn of(frame: &VideoFrameRef<&gst::BufferRef>) -> Self {
        let fps = frame.info().fps();
        let by_rate = || {
            // Variable rates are 0/1.
            let frames = u64::try_from(fps.numer()).ok().filter(|&frames| frames > 0)?;
            gst::ClockTime::SECOND.mul_div_floor(u64::try_from(fps.denom()).ok()?, frames)
        };
        let buffer = frame.buffer();
        Self { start: buffer.pts(), duration: buffer.duration().or_else(by_rate) }
    }

    /// The other frame comes next: later, or earlier where a stream is played backwards, and not much. Frames without
    /// times are taken for neighbours.
    fn is_followed_by(&self, next: &Self, is_reversed: bool) -> bool {
        let (Some(mut before), Some(mut after)) = (self.start, next.start) else { return true };
        if is_reversed {
            std::mem::swap(&mut before, &mut after);
        }
        let Some(step) = after.checked_sub(before) else { return false };
        let frame = self.duration.or(next.duration).unwrap_or(gst::ClockTime::ZERO);
        step <= LONGEST_PAUSE.max(frame * (LONGEST_GAP + 1))
    }
}

impl<S: TensorSample> Lane<S> {
    fn open(settings: &enhance::Settings) -> Result<Self, EnhanceError> {
        Ok(Self { enhancer: Enhancer::open(settings)?, formats: None, times: None })
    }

    fn negotiate(&mut self, input: &VideoInfo, output: &VideoInfo) -> Result<(), glib::BoolError> {
        self.enhancer.reset();
        self.formats = None;
        // Without a rate, the enhancer keeps what it takes for usual.
        let rate = input.fps();
        if rate.numer() > 0 {
            self.enhancer.set_frame_rate(f64::from(rate.numer()) / f64::from(rate.denom()));
        }
        let from = Conversion::new(input, Direction::In)?;
        self.formats = Some((from, Conversion::new(output, Direction::Out)?));
        Ok(())
    }

    fn forget(&mut self) {
        self.enhancer.reset();
        self.times = None;
    }

    fn process(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
        controls: &Controls,
        is_reversed: bool,
    ) -> Result<Report, Failure> {
        let no_frame = || Failure::Frame("a frame cannot be mapped as a picture".into());
        let times = FrameTimes::of(input);
        let is_neighbour = self.times.is_none_or(|before| before.is_followed_by(&times, is_reversed));
        self.times = Some(times);
        if !is_neighbour || input.buffer().flags().contains(gst::BufferFlags::DISCONT) {
            self.enhancer.reset();
        }
        let (from, to) = self.formats.as_mut().ok_or_else(no_frame)?;
        let picture = from.read(input).ok_or_else(no_frame)?;
        let report = to.write(output, |out| self.enhancer.process(picture, out, controls));
        Ok(report.ok_or_else(no_frame)??)
    }
}

/// Tells the statistics what runs.
pub fn describe(loaded: Option<&Loaded>, stats: &mut Stats) {
    stats.fallbacks.retain(|line| !line.starts_with(NOT_TAKEN));
    let Some(loaded) = loaded else { return };
    stats.model = loaded.model.clone();
    stats.users = Some(loaded.users.clone());
    stats.provider = loaded.active.describe();
    stats.runtime = format!("{} ({})", loaded.runtime.path.display(), loaded.runtime.found_by);
    if !loaded.active.refused.is_empty() {
        stats.fallbacks.push(format!("{NOT_TAKEN}: {}", loaded.active.why_not_others()));
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

    /// Enhances a frame of a stream that is played forwards or backwards.
    pub fn process(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
        controls: &Controls,
        is_reversed: bool,
    ) -> Result<Report, Failure> {
        match self {
            Self::Empty => Err(Failure::Frame("a frame came before its format".into())),
            Self::Eight(lane) => lane.process(input, output, controls, is_reversed),
            Self::Sixteen(lane) => lane.process(input, output, controls, is_reversed),
        }
    }

    /// The network, `None` before one is loaded.
    pub fn loaded(&self) -> Option<&Loaded> {
        match self {
            Self::Empty => None,
            Self::Eight(lane) => lane.enhancer.loaded(),
            Self::Sixteen(lane) => lane.enhancer.loaded(),
        }
    }

    /// Forgets the past.
    pub fn forget(&mut self) {
        match self {
            Self::Empty => {}
            Self::Eight(lane) => lane.forget(),
            Self::Sixteen(lane) => lane.forget(),
        }
    }

    /// Loads a network for frames that have no time for the other.
    pub fn open_light(&mut self, settings: &enhance::Settings, model: &str) -> Result<(), EnhanceError> {
        match self {
            Self::Empty => Ok(()),
            Self::Eight(lane) => lane.enhancer.open_light(settings, model),
            Self::Sixteen(lane) => lane.enhancer.open_light(settings, model),
        }
    }

    /// About how long the networks will take for a frame, the one that is set and the light one.
    pub fn expected_times(&mut self, input: Size, output: Size) -> [Option<Duration>; 2] {
        match self {
            Self::Empty => [None; 2],
            Self::Eight(lane) => lane.enhancer.expected_times(input, output),
            Self::Sixteen(lane) => lane.enhancer.expected_times(input, output),
        }
    }

    /// What stops a frame that is under way on another thread.
    pub fn cancellers(&self) -> Vec<Arc<dyn Cancel>> {
        match self {
            Self::Empty => Vec::new(),
            Self::Eight(lane) => lane.enhancer.cancellers(),
            Self::Sixteen(lane) => lane.enhancer.cancellers(),
        }
    }

    /// The faces that are followed.
    pub fn faces(&self) -> &[Track] {
        match self {
            Self::Empty => &[],
            Self::Eight(lane) => lane.enhancer.faces(),
            Self::Sixteen(lane) => lane.enhancer.faces(),
        }
    }

    /// Names the faces of the next frame.
    pub fn give_faces(&mut self, given: Vec<Detection>) {
        match self {
            Self::Empty => {}
            Self::Eight(lane) => lane.enhancer.give_faces(given),
            Self::Sixteen(lane) => lane.enhancer.give_faces(given),
        }
    }

    /// What restores faces, or why nothing does.
    pub fn faces_done(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Empty => (None, None),
            Self::Eight(lane) => lane.enhancer.faces_done(),
            Self::Sixteen(lane) => lane.enhancer.faces_done(),
        }
    }

    /// The networks that help to restore faces.
    pub fn face_helpers(&self) -> Option<&Helpers> {
        match self {
            Self::Empty => None,
            Self::Eight(lane) => lane.enhancer.face_helpers(),
            Self::Sixteen(lane) => lane.enhancer.face_helpers(),
        }
    }

    /// Something is done with faces.
    pub fn has_faces(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Eight(lane) => lane.enhancer.has_faces(),
            Self::Sixteen(lane) => lane.enhancer.has_faces(),
        }
    }

    /// Bits of the samples that it takes, `None` before it is opened.
    pub fn bits(&self) -> Option<u32> {
        match self {
            Self::Empty => None,
            Self::Eight(_) => Some(u8::BITS),
            Self::Sixteen(_) => Some(u16::BITS),
        }
    }
}

/// How the entry of `fallbacks` begins that says why `auto` passed providers over.
pub const NOT_TAKEN: &str = "providers not taken";
