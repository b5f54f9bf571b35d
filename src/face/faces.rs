//! The stage: finds and follows faces, and restores those that are shown.

use super::crop;
use super::detect::{Detection, Detector};
use super::helpers::Helpers;
use super::restore::{self, Restorer};
use super::settings::{Plan, Settings, Source};
use super::track::Track;
use super::{FaceError, FaceReport, Followed, Follower, Restoring};
use crate::flow::Flow;
use crate::image::{Sample, View, ViewMut};
use crate::infer::runtime::Runtime;

/// What may change from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controls {
    /// How much of the restored face is blended in, 0 to 1.
    pub strength: f32,
    /// Resemblance (1) against invention (0).
    pub fidelity: f32,
    /// How much faces that look as they did are taken for what was restored before, 0 to 1.
    pub reuse: f32,
}

impl Default for Controls {
    fn default() -> Self {
        Self { strength: 1.0, fidelity: 0.5, reuse: 0.0 }
    }
}

/// Faces over time. Both halves in one, for frames that come one at a time.
pub struct Faces {
    follower: Follower,
    restoring: Restoring,
    followed: Followed,
}

impl Faces {
    /// Loads what the plan needs. `Ok(None)` where it is to do nothing.
    ///
    /// # Errors
    /// [`FaceError`], one line that says what to do.
    pub fn open(
        settings: &Settings,
        plan: &Plan,
        runtime: &'static Runtime,
    ) -> Result<Option<Self>, FaceError> {
        let (restorer, helpers) = match plan {
            Plan::Nothing(_) => return Ok(None),
            Plan::Detect => (None, Helpers::default()),
            Plan::Restore(path) => {
                let restorer = restore::open(runtime, path, &settings.options)?;
                (Some(restorer), Helpers::load(settings, runtime)?)
            }
        };
        let detector = match settings.source {
            Source::Meta => None,
            Source::Detect => {
                let path = settings.detector_file()?;
                // A face that has entered stays until it is smaller.
                let smallest = 0.75 * settings.smallest as f32;
                Some(Detector::load(runtime, &path, &settings.options, smallest)?)
            }
        };
        Ok(Some(Self::new(settings, detector, restorer).with_helpers(helpers)))
    }

    /// Around networks that are loaded.
    pub fn new(settings: &Settings, detector: Option<Detector>, restorer: Option<Box<dyn Restorer>>) -> Self {
        Self {
            follower: Follower::new(settings, detector),
            restoring: Restoring::new(restorer, Helpers::default()),
            followed: Followed::default(),
        }
    }

    /// Both halves, for frames that are restored while the next one is followed.
    pub fn into_halves(self) -> (Follower, Restoring) {
        (self.follower, self.restoring)
    }

    /// The same with these networks to help it.
    #[must_use]
    pub fn with_helpers(mut self, helpers: Helpers) -> Self {
        self.restoring = self.restoring.with_helpers(helpers);
        self
    }

    /// The half that follows.
    pub fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    /// See [`Follower::reset`].
    pub fn reset(&mut self) {
        self.follower.reset();
        self.restoring.forget();
    }

    /// See [`Follower::follow`].
    ///
    /// # Errors
    /// [`FaceError::Infer`] if the detector fails.
    pub fn follow<S: Sample>(
        &mut self,
        input: View<'_, S>,
        flow: Option<&Flow>,
        cut: bool,
        given: Option<&[Detection]>,
    ) -> Result<&[Track], FaceError> {
        self.followed = self.follower.follow(input, flow, cut, given)?;
        Ok(&self.followed.tracks)
    }

    /// See [`Restoring::restore`], of the frame that was followed last.
    ///
    /// # Errors
    /// [`crate::infer::InferError::Cancelled`] alone.
    pub fn restore<S: Sample>(
        &mut self,
        input: &(impl crop::Source + Sync),
        output: &mut ViewMut<'_, S>,
        controls: &Controls,
    ) -> Result<FaceReport, FaceError> {
        self.restoring.restore(&self.followed, input, output, controls)
    }
}
