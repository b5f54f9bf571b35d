//! The enhancer for the samples of the negotiated format, and the way of a frame to it and
//! from it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_video as gst_video;

use gst_video::prelude::*;
use gst_video::video_frame::{Readable, Writable};
use gst_video::{VideoFrame, VideoFrameRef, VideoInfo};

use super::flight::Job;

use crate::enhance::{self, Controls, EnhanceError, Enhancer, Leaves, Loaded, OnDevice, Planned, Report};
use crate::face::detect::Detection;
use crate::face::helpers::HelperNames;
use crate::face::track::Track;
use crate::image::{Picture, Size, ViewMut};
use crate::infer::Cancel;
use crate::infer::onnx::TensorSample;
use crate::plugin::frame::{Conversion, Direction, size};
use crate::plugin::messages::{Failure, Stats};
use crate::plugin::stages::Passed;

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
    formats: Option<Formats<S>>,
    /// Of the last frame.
    times: Option<FrameTimes>,
    /// What frames that were made on another thread leave to those that follow.
    spare: Arc<Mutex<Vec<Spare<S>>>>,
}

struct Formats<S> {
    from: Conversion<S>,
    /// Shared with the thread that makes frames.
    to: Arc<Mutex<Conversion<S>>>,
    large: Size,
}

/// An input and what was found out about it.
type Spare<S> = (Picture<S>, Planned<S>);

/// A frame that was made on another thread.
pub struct Landed {
    /// The output, whatever became of it.
    pub output: VideoFrame<Writable>,
    /// What became of it.
    pub done: Result<Passed, Failure>,
    /// The faces that are followed.
    pub faces: Vec<Track>,
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
        Ok(Self { enhancer: Enhancer::open(settings)?, formats: None, times: None, spare: Arc::default() })
    }

    fn negotiate(&mut self, input: &VideoInfo, output: &VideoInfo) -> Result<(), glib::BoolError> {
        self.enhancer.reset();
        self.formats = None;
        // Without a rate, the enhancer keeps what it takes for usual.
        let rate = input.fps();
        if rate.numer() > 0 {
            self.enhancer.set_frame_rate(f64::from(rate.numer()) / f64::from(rate.denom()));
        }
        let threads = self.enhancer.threads();
        let from = Conversion::new(input, Direction::In, threads)?;
        let to = Arc::new(Mutex::new(Conversion::new(output, Direction::Out, threads)?));
        self.formats = Some(Formats { from, to, large: size(output) });
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
    ) -> Result<Passed, Failure> {
        let begun = Instant::now();
        if !self.is_neighbour(input, is_reversed) {
            self.enhancer.reset();
        }
        let formats = self.formats.as_mut().ok_or_else(no_frame)?;
        let started = Instant::now();
        let picture = formats.from.read(input).ok_or_else(no_frame)?;
        let reading = started.elapsed();
        let mut to = formats.to.lock().unwrap_or_else(PoisonError::into_inner);
        let (report, writing) = write(&mut to, output, |out| self.enhancer.process(picture, out, controls))?;
        Ok(Passed { report, reading, writing, whole: begun.elapsed() })
    }

    /// Finds out what there is to know about a frame, and hands back what makes the output of it, on any thread, in order.
    fn launch(
        &mut self,
        input: VideoFrame<Readable>,
        mut output: VideoFrame<Writable>,
        controls: &Controls,
        is_reversed: bool,
    ) -> Result<Job<Landed>, Failure> {
        let begun = Instant::now();
        let input = input.as_video_frame_ref();
        if !self.is_neighbour(&input, is_reversed) {
            self.enhancer.reset_ahead();
        }
        let Formats { from, to, large } = self.formats.as_mut().ok_or_else(no_frame)?;
        let started = Instant::now();
        let view = from.read(&input).ok_or_else(no_frame)?;
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut picture, mut planned) = spare.unwrap_or_else(|| (view.to_owned(), Planned::default()));
        picture.assign(&view);
        let reading = started.elapsed();
        self.enhancer.plan(picture.view(), *large, controls, &mut planned)?;
        let (maker, to, spare) = (self.enhancer.maker(), to.clone(), self.spare.clone());
        let (large, planning) = (*large, begun.elapsed());
        Ok(Box::new(move || {
            let started = Instant::now();
            let begun = maker.begin(&planned, picture.view(), large);
            let beginning = started.elapsed();
            let end = move |begun: Result<Option<OnDevice<S>>, EnhanceError>| {
                let started = Instant::now();
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                let make = |out: ViewMut<'_, S>| match begun? {
                    Some(begun) => begun.end(&planned, picture.view(), out),
                    None => maker.make(&planned, picture.view(), out),
                };
                let made = write(&mut to, &mut output.as_mut_video_frame_ref(), make);
                let done = made.map(|(report, writing)| {
                    // Without the time between its parts.
                    let whole = planning + beginning + started.elapsed();
                    Passed { report, reading, writing, whole }
                });
                let faces = planned.followed().map(|followed| followed.tracks.clone()).unwrap_or_default();
                spare.lock().unwrap_or_else(PoisonError::into_inner).push((picture, planned));
                Landed { output, done, faces }
            };
            match begun {
                Ok(Some(_)) => Box::new(move || end(begun)),
                // What is made on the host is so before the next one is begun.
                begun => {
                    let landed = end(begun);
                    Box::new(move || landed)
                }
            }
        }))
    }

    /// Whether a frame comes after the one before, which it takes the place of.
    fn is_neighbour(&mut self, input: &VideoFrameRef<&gst::BufferRef>, is_reversed: bool) -> bool {
        let times = FrameTimes::of(input);
        let follows = self.times.is_none_or(|before| before.is_followed_by(&times, is_reversed));
        self.times = Some(times);
        follows && !input.buffer().flags().contains(gst::BufferFlags::DISCONT)
    }
}

/// Lets a picture be made and converts it; the report, and the time of the conversion.
fn write<S: TensorSample>(
    to: &mut Conversion<S>,
    output: &mut VideoFrameRef<&mut gst::BufferRef>,
    make: impl FnOnce(ViewMut<'_, S>) -> Result<Report, EnhanceError>,
) -> Result<(Report, Duration), Failure> {
    let started = Instant::now();
    let draw = |out: ViewMut<'_, S>| {
        let started = Instant::now();
        (make(out), started.elapsed())
    };
    let (report, making) = to.write(output, draw).ok_or_else(no_frame)?;
    Ok((report?, started.elapsed().saturating_sub(making)))
}

fn no_frame() -> Failure {
    Failure::Frame("a frame cannot be mapped as a picture".into())
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
    ) -> Result<Passed, Failure> {
        match self {
            Self::Empty => Err(Failure::Frame("a frame came before its format".into())),
            Self::Eight(lane) => lane.process(input, output, controls, is_reversed),
            Self::Sixteen(lane) => lane.process(input, output, controls, is_reversed),
        }
    }

    /// As [`Self::process`], but hands back what makes the output of the frame, on any thread, in order.
    pub fn launch(
        &mut self,
        input: VideoFrame<Readable>,
        output: VideoFrame<Writable>,
        controls: &Controls,
        is_reversed: bool,
    ) -> Result<Job<Landed>, Failure> {
        match self {
            Self::Empty => Err(Failure::Frame("a frame came before its format".into())),
            Self::Eight(lane) => lane.launch(input, output, controls, is_reversed),
            Self::Sixteen(lane) => lane.launch(input, output, controls, is_reversed),
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

    /// Why large pictures of this size leave the device that runs the network, if any stay there.
    pub fn leaves_device(&self, small: Size, large: Size) -> Option<Leaves> {
        match self {
            Self::Empty => None,
            Self::Eight(lane) => lane.enhancer.leaves_device(small, large),
            Self::Sixteen(lane) => lane.enhancer.leaves_device(small, large),
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
    pub fn face_helpers(&self) -> Option<&HelperNames> {
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
/// How the entry begins that says why large pictures leave the device.
pub const NOT_RESIDENT: &str = "large pictures are made on the host";
/// How the entry begins that says why they are blended more slowly than they could be.
pub const SLOW_BLEND: &str =
    "large pictures are blended by ONNX Runtime's operators, which takes longer than our kernels";
