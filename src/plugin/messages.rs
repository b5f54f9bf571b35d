//! What the element tells its application: errors with an exit code for programs, and the
//! statistics structure.

use std::collections::VecDeque;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::face_stats::FaceStats;
use super::stages::{Passed, Stages};
use crate::enhance::{Effort, EnhanceError, Place, Reused, StoodIn, Whole};
use crate::infer::InferError;
use crate::infer::shared::Users;
use crate::temporal::Look;

/// Exit code of a program whose model or provider is not available, or cannot be named.
const EXIT_UNAVAILABLE: i32 = 4;
/// Exit code of a program whose input cannot be taken.
const EXIT_UNSUPPORTED: i32 = 3;
/// Exit code of a program that failed.
const EXIT_FAILED: i32 = 1;

/// Why the element stops, as it is posted on the bus.
#[derive(Debug)]
pub enum Failure {
    /// Nothing can be enhanced: the model, the runtime, the provider.
    Unavailable(EnhanceError),
    /// A property holds what it cannot.
    Setting(String),
    /// These caps cannot be taken.
    Caps(String),
    /// A frame could not be enhanced.
    Frame(String),
}

impl From<EnhanceError> for Failure {
    fn from(error: EnhanceError) -> Self {
        match error {
            EnhanceError::Infer(InferError::Run { .. }) => Self::Frame(error.to_string()),
            error => Self::Unavailable(error),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable(error) => error.fmt(f),
            Self::Setting(text) | Self::Caps(text) | Self::Frame(text) => f.write_str(text),
        }
    }
}

impl Failure {
    /// Posts the error, one line that says what to do; `exit-code` in its details is for
    /// programs.
    pub fn post(&self, element: &gst::Element) {
        let text = self.to_string();
        let code = match self {
            Self::Unavailable(_) | Self::Setting(_) => EXIT_UNAVAILABLE,
            Self::Caps(_) => EXIT_UNSUPPORTED,
            Self::Frame(_) => EXIT_FAILED,
        };
        let details = gst::Structure::builder("facesr-error").field("exit-code", code).build();
        let message = match self {
            Self::Unavailable(EnhanceError::Model(_)) => {
                gst::message::Error::builder(gst::ResourceError::NotFound, &text)
            }
            Self::Unavailable(_) => gst::message::Error::builder(gst::LibraryError::Init, &text),
            Self::Setting(_) => gst::message::Error::builder(gst::LibraryError::Settings, &text),
            Self::Caps(_) => gst::message::Error::builder(gst::StreamError::Format, &text),
            Self::Frame(_) => gst::message::Error::builder(gst::StreamError::Failed, &text),
        };
        let message = message.src(element).details(details).build();
        // Fails only for an element without a bus, which nobody listens to.
        let _ = element.post_message(message);
    }
}

/// Numbers of frames that `stats` keeps of cuts.
const CUTS: usize = 1000;

/// Says that a scene begins: an element message `facesr-cut` with the frame's number, counted from 0, and its time.
pub fn post_cut(element: &gst::Element, frame: u64, pts: Option<gst::ClockTime>) {
    let cut = gst::Structure::builder("facesr-cut").field("frame", frame).field_if_some("pts", pts).build();
    // Fails only for an element without a bus, which nobody listens to.
    let _ = element.post_message(gst::message::Element::builder(cut).src(element).build());
}

/// Says that `stats` is this now: an element message `facesr-stats`.
pub fn post_stats(element: &gst::Element, stats: gst::Structure) {
    // Fails only for an element without a bus, which nobody listens to.
    let _ = element.post_message(gst::message::Element::builder(stats).src(element).build());
}

/// Says that more or less is done from this frame on, which is due at this running time in seconds: how late it is in
/// nanoseconds, what frames cost in frames and how much is done, from 0 to 1,000,000; and of how many frames all was
/// done and not all.
pub fn post_qos(
    element: &gst::Element,
    frame: &gst::BufferRef,
    due: f64,
    values: (i64, f64, i32),
    frames: (u64, u64),
) {
    let (whole, less) = frames;
    let message = gst::message::Qos::builder(true)
        .src(element)
        .running_time(gst::ClockTime::from_seconds_f64(due.max(0.0)))
        .timestamp(frame.pts())
        .duration(frame.duration())
        .values(values.0, values.1, values.2)
        .stats(gst::format::Buffers::from_u64(whole), gst::format::Buffers::from_u64(less))
        .build();
    // As above.
    let _ = element.post_message(message);
}

/// Names of the efforts in `stats`.
const EFFORTS: [(Effort, &str); 4] = [
    (Effort::Full, "full"),
    (Effort::NoFaces, "faces-skipped"),
    (Effort::Light, "light-network"),
    (Effort::Resampled, "resampled"),
];

/// Names of the reasons why a whole frame was inferred, in `stats`.
const WHOLE: [(Whole, &str); 4] = [
    (Whole::Begins, "begins"),
    (Whole::NearlyAll, "nearly-all"),
    (Whole::NoParts, "no-parts"),
    (Whole::Hurried, "hurried"),
];

/// What was made of outputs before.
#[derive(Clone, Default)]
struct ReuseStats {
    frames: u64,
    /// Sum over frames.
    area: f64,
    oldest: u32,
    whole: [u64; WHOLE.len()],
    /// As `area`, of what something lighter made, and what did the last time.
    stood_in: f64,
    stand_in: Option<Effort>,
}

impl ReuseStats {
    fn count(&mut self, reused: Option<&Reused>) {
        let Some(reused) = reused else { return };
        self.frames += 1;
        self.area += f64::from(reused.area);
        self.oldest = reused.oldest;
        if let Some(StoodIn { area, by }) = reused.stood_in {
            self.stood_in += f64::from(area);
            self.stand_in = Some(by);
        }
        let reason = WHOLE.iter().zip(&mut self.whole).find(|((reason, _), _)| reused.whole == Some(*reason));
        if let Some((_, frames)) = reason {
            *frames += 1;
        }
    }

    /// `frames` that were looked at for it, the mean `area` of them that was inferred, context included, how many frames ago
    /// the `oldest` part of the last was, how many were inferred `whole`, by why, and the mean area that was `stood-in` for, by
    /// which `stand-in`.
    fn structure(&self) -> gst::Structure {
        let mut whole = gst::Structure::new_empty("whole");
        WHOLE.iter().zip(self.whole).for_each(|((_, name), frames)| whole.set(*name, frames));
        let stand_in =
            EFFORTS.iter().find(|(effort, _)| self.stand_in == Some(*effort)).map_or("", |(_, name)| *name);
        gst::Structure::builder("reuse")
            .field("frames", self.frames)
            .field("area", self.area / self.frames.max(1) as f64)
            .field("oldest", self.oldest)
            .field("whole", whole)
            .field("stood-in", self.stood_in / self.frames.max(1) as f64)
            .field("stand-in", stand_in)
            .build()
    }
}

/// What has happened since the element started.
#[derive(Clone, Default)]
pub struct Stats {
    frames: u64,
    tiles: u64,
    tiles_left_out: u64,
    repeated: u64,
    cuts: VecDeque<u64>,
    noise: f32,
    /// Sum over frames.
    past_share: f64,
    stages: Stages,
    reuse: ReuseStats,
    /// Faces.
    pub faces: FaceStats,
    /// What ran, filled when the network is loaded.
    pub model: String,
    /// The execution provider and what it does not run.
    pub provider: String,
    /// Version of ONNX Runtime and where it was found.
    pub runtime: String,
    /// Who shares it.
    pub users: Option<Users>,
    effort: Effort,
    efforts: [u64; EFFORTS.len()],
    /// Where the large picture of the last frame was made.
    large: Place,
    /// Everything that is less than what was asked for, with its reason.
    pub fallbacks: Vec<String>,
}

impl Stats {
    /// Counts a frame; gives its number, and warnings to post: of what failed for the first time.
    pub fn count(&mut self, passed: &Passed, effort: Effort) -> (u64, Vec<String>) {
        let report = &passed.report;
        let number = self.frames;
        self.frames += 1;
        self.effort = effort;
        self.large = report.large;
        let known = EFFORTS.iter().zip(&mut self.efforts).find(|((known, _), _)| *known == effort);
        if let Some((_, frames)) = known {
            *frames += 1;
        }
        self.tiles += report.tiles as u64;
        let mut warnings = self.faces.count(&report.faces);
        self.reuse.count(report.reused.as_ref());
        self.stages.count(passed);
        match report.look {
            Look::Repeated => self.repeated += 1,
            Look::Compared { noise, share } => {
                self.noise = noise;
                self.past_share += f64::from(share);
            }
            Look::First { cut: true } => {
                self.cuts.truncate(CUTS - 1);
                self.cuts.push_front(number);
            }
            Look::First { cut: false } | Look::Alone => {}
        }
        let first = self.tiles_left_out == 0 && report.tiles_left_out > 0;
        self.tiles_left_out += report.tiles_left_out as u64;
        if first {
            warnings.push(format!(
                "network {} gave values that are no numbers, such tiles are resampled and counted in `stats` (first at frame {})",
                self.model, number
            ));
        }
        self.fallbacks.extend(warnings.iter().cloned());
        (number, warnings)
    }

    /// Frames for which everything was done, and those for which less was.
    pub fn qos(&self) -> (u64, u64) {
        (self.efforts[0], self.frames - self.efforts[0])
    }

    /// The structure of the property `stats`.
    pub fn structure(&self) -> gst::Structure {
        let frames = self.frames.max(1) as f64;
        let (whole, beside, stages) = self.stages.means(self.frames);
        let efforts = EFFORTS.iter().zip(self.efforts);
        let efforts: gst::Structure =
            efforts.fold(gst::Structure::new_empty("efforts"), |mut structure, ((_, name), frames)| {
                structure.set(*name, frames);
                structure
            });
        gst::Structure::builder("facesr-stats")
            .field("frames", self.frames)
            .field("model", &self.model)
            .field("provider", &self.provider)
            .field("runtime", &self.runtime)
            .field("tiles", self.tiles)
            .field("tiles-left-out", self.tiles_left_out)
            .field("repeated", self.repeated)
            .field("cuts", gst::Array::new(self.cuts.iter().rev()))
            .field("noise", f64::from(self.noise))
            .field("past-share", self.past_share / frames)
            .field("frame-ms", whole)
            .field("stages-ms", stages)
            .field("beside-ms", beside)
            .field("reuse", self.reuse.structure())
            .field("faces", self.faces.structure(self.frames))
            .field("fallbacks", gst::Array::new(&self.fallbacks))
            .field("users", self.users.as_ref().map_or(0, Users::count) as u32)
            .field(
                "effort",
                EFFORTS.iter().find(|(known, _)| *known == self.effort).map_or("", |(_, name)| name),
            )
            .field("efforts", efforts)
            .field("large-picture", self.large.name())
            .build()
    }
}
