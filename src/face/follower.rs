//! The half of the stage that finds and follows faces in small pictures.

use std::time::{Duration, Instant};

use super::detect::{Detection, Detector};
use super::settings::Settings;
use super::track::{CONTINUES, Limits, Motion, OwnMotion, Track, Tracker};
use super::{FaceError, FaceReport};
use crate::flow::Flow;
use crate::image::{Sample, View};

/// For how long a face that is not seen is waited for.
const COASTING: Duration = Duration::from_millis(500);

/// Where the faces of a frame are: all that is needed to restore them.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// Every face that is followed.
    pub tracks: Vec<Track>,
    /// What there is to say before anything is restored.
    pub report: FaceReport,
    /// Nothing that was known before is of these faces.
    pub begins: bool,
}

/// Follows faces from picture to picture.
pub struct Follower {
    detector: Option<Detector>,
    tracker: Tracker,
    own: OwnMotion,
    interval: u32,
    detecting: Duration,
    detected: bool,
    begins: bool,
}

impl Follower {
    /// By a detector, where faces are not given.
    pub fn new(settings: &Settings, detector: Option<Detector>) -> Self {
        let limits = Limits {
            smallest: settings.smallest as f32,
            most: settings.most as usize,
            coast: settings.coast,
        };
        Self {
            detector,
            tracker: Tracker::new(limits),
            own: OwnMotion::default(),
            interval: settings.interval.max(1),
            detecting: Duration::ZERO,
            detected: false,
            begins: true,
        }
    }

    /// Tells the frames per second: a face that is not seen is waited for for half a second.
    pub fn set_frame_rate(&mut self, rate: f64) {
        self.tracker.set_coast((COASTING.as_secs_f64() * rate).round().clamp(1.0, 1000.0) as u32);
    }

    /// Forgets the past. Call it wherever frames stop being neighbours.
    pub fn reset(&mut self) {
        self.tracker.reset();
        self.own.reset();
        self.begins = true;
    }

    /// Every face that is followed.
    pub fn tracks(&self) -> &[Track] {
        self.tracker.tracks()
    }

    /// Takes the next frame. `flow` is from its pixels to where they were in the frame before; without
    /// it, faces find their own. `cut` says that the frame before was of another scene. `given` are the faces that
    /// somebody else found, where those are to be used.
    ///
    /// # Errors
    /// [`FaceError::Infer`] if the detector fails.
    pub fn follow<S: Sample>(
        &mut self,
        input: View<'_, S>,
        flow: Option<&Flow>,
        cut: bool,
        given: Option<&[Detection]>,
    ) -> Result<Followed, FaceError> {
        if cut {
            self.reset();
        }
        let Self { tracker, own, detector, .. } = self;
        let motion = match flow {
            Some(flow) => {
                own.reset();
                Some(Motion { flow, scale: 1.0 })
            }
            None => own.step(input, !tracker.tracks().is_empty()),
        };
        self.detected = false;
        self.detecting = Duration::ZERO;
        let found = match (given, detector) {
            (Some(given), _) => Some(given.to_vec()),
            (None, Some(detector)) if tracker.is_due(self.interval, motion.is_some()) => {
                let started = Instant::now();
                let found = detector.detect(input, CONTINUES)?;
                (self.detected, self.detecting) = (true, started.elapsed());
                Some(found)
            }
            _ => None,
        };
        tracker.step(motion, found.as_deref());
        Ok(Followed {
            tracks: tracker.tracks().to_vec(),
            report: self.report(),
            begins: std::mem::take(&mut self.begins),
        })
    }

    /// What there is to say of the frame that was followed last, before anything is restored.
    pub fn report(&self) -> FaceReport {
        let there = self.tracker.tracks().iter().filter(|track| track.confirmed() && track.found());
        FaceReport {
            faces: there.count(),
            tracks: self.tracker.count(),
            detected: self.detected,
            detecting: self.detecting,
            ..FaceReport::default()
        }
    }
}
