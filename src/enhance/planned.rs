//! The half of the enhancer that finds out about inputs what it takes to make their outputs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::making::Upscaled;
use super::threads::Threads;
use super::{Controls, Effort, EnhanceError, Reused, Whole};
use crate::face::detect::Detection;
use crate::face::geometry::Rect;
use crate::face::{FaceReport, Followed, Follower};
use crate::image::planar::Planar;
use crate::image::{Area, Picture, Sample, Size, View};
use crate::temporal::reuse::Refresh;
use crate::temporal::{self, Look, Looking, Seen};
use crate::upscale::Parts;

/// What was found out about an input. One that is given back is written over, and allocates little.
pub struct Planned<S> {
    controls: Controls,
    reuse: Reuse,
    seen: Seen,
    looking: Duration,
    beside: Duration,
    /// Whether its output can be steadied.
    steadies: bool,
    /// The input as the network is to see it, where it leans on the past.
    leaning: Option<Picture<S>>,
    leans: bool,
    followed: Option<Followed>,
    /// The small picture as the past made it better, where a face is to be restored.
    history: Option<Planar<4>>,
    has_history: bool,
}

/// Parts of an input.
#[derive(Clone, Copy)]
pub(super) struct Areas<'a> {
    /// For the network.
    pub refresh: &'a Refresh,
    /// For something lighter.
    pub stand_ins: &'a [Area],
}

impl<S> Default for Planned<S> {
    fn default() -> Self {
        Self {
            controls: Controls::default(),
            reuse: Reuse::Off,
            seen: Seen::default(),
            looking: Duration::ZERO,
            beside: Duration::ZERO,
            steadies: false,
            leaning: None,
            leans: false,
            followed: None,
            history: None,
            has_history: false,
        }
    }
}

impl<S: Sample> Planned<S> {
    /// What the frame is to the past.
    pub fn look(&self) -> Look {
        self.seen.look
    }

    /// Where its faces are, where any are followed.
    pub fn followed(&self) -> Option<&Followed> {
        self.followed.as_ref()
    }

    pub(super) fn controls(&self) -> &Controls {
        &self.controls
    }

    pub(super) fn effort(&self) -> Effort {
        self.controls.effort
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether its output is steadied, and all of it new.
    pub(super) fn steadies_all(&self) -> bool {
        self.steadies && self.controls.temporal.reuse.amount <= 0.0
    }

    pub(super) fn looking(&self) -> Duration {
        self.looking
    }

    /// What of the time for it passed beside the network.
    pub(super) fn beside(&self) -> Duration {
        self.beside
    }

    /// The network has run beside, and the frame waited for so long besides.
    pub(super) fn passed_beside(&mut self, waited: Duration) {
        let detecting = self.followed.as_ref().map_or(Duration::ZERO, |followed| followed.report.detecting);
        self.beside = (self.looking + detecting).saturating_sub(waited);
    }

    pub(super) fn history(&self) -> Option<&Planar<4>> {
        self.history.as_ref().filter(|_| self.has_history)
    }

    /// What of the input is to be run through the network; `None` for all of it.
    pub(super) fn areas(&self) -> Option<Areas<'_>> {
        let (refresh, _) = self.seen.refresh().filter(|_| self.reuse == Reuse::Parts)?;
        Some(Areas { refresh, stand_ins: self.seen.stand_ins() })
    }

    /// The input as the network is to see it.
    pub(super) fn for_network<'a>(&'a self, input: View<'a, S>) -> View<'a, S> {
        self.leaning.as_ref().filter(|_| self.leans).map_or(input, |leaning| leaning.view())
    }

    /// What was made of outputs before, after this of the input was run.
    pub(super) fn reused(&self, upscaled: &Upscaled, small: Size) -> Option<Reused> {
        self.reuse.report(self.look(), self.seen.refresh(), upscaled, small)
    }
}

/// Finds out about inputs, one after the other, and remembers what they showed.
pub struct Ahead<S> {
    pub(super) threads: Arc<Threads>,
    pub(super) looking: Looking<S>,
    pub(super) follower: Option<Follower>,
    pub(super) takes_faces: bool,
    pub(super) given: Vec<Detection>,
    /// What parts the network can be run on.
    pub(super) parts: Option<Parts>,
}

impl<S: Sample> Ahead<S> {
    /// Finds out about an input, of which an output of size `large` is to be made.
    ///
    /// # Errors
    /// [`EnhanceError`] of the network that finds faces; the past is forgotten then.
    pub fn plan(
        &mut self,
        input: View<'_, S>,
        large: Size,
        controls: &Controls,
        planned: &mut Planned<S>,
    ) -> Result<(), EnhanceError> {
        self.prepare(input, large, controls, planned);
        self.look(input, large, planned)
    }

    /// The first step: what can be said before the input is looked at. Answers whether the network has to wait for the
    /// second, which then decides what it is to see.
    pub(super) fn prepare(
        &mut self,
        input: View<'_, S>,
        large: Size,
        controls: &Controls,
        planned: &mut Planned<S>,
    ) -> bool {
        let small = Size::of(&input);
        planned.reuse = self.reuse(small, large, controls);
        planned.controls = Controls { temporal: planned.reuse.controls(controls), ..*controls };
        planned.seen.look = Look::Alone;
        (planned.looking, planned.beside) = (Duration::ZERO, Duration::ZERO);
        (planned.leans, planned.has_history) = (false, false);
        let temporal = &planned.controls.temporal;
        planned.steadies = self.looking.works_on(small, temporal);
        if controls.effort < Effort::Resampled && self.looking.is_repeated(input, large, temporal) {
            planned.seen.look = Look::Repeated;
        }
        let decides = controls.input_denoise > 0.0 || planned.reuse == Reuse::Parts;
        decides
            || self.threads.is_one()
            || controls.effort == Effort::Resampled
            || planned.seen.look == Look::Repeated
            || !planned.steadies
    }

    /// The second step.
    pub(super) fn look(
        &mut self,
        input: View<'_, S>,
        large: Size,
        planned: &mut Planned<S>,
    ) -> Result<(), EnhanceError> {
        if planned.effort() == Effort::Resampled {
            // It would not be of the frame before.
            self.reset();
            planned.followed = None;
            return Ok(());
        }
        if planned.look() == Look::Repeated {
            let again = |follower: &Follower| {
                let report = FaceReport { detected: false, detecting: Duration::ZERO, ..follower.report() };
                Followed { report, ..Followed::default() }
            };
            planned.followed = self.follower.as_ref().map(again);
            return Ok(());
        }
        let started = Instant::now();
        let Self { threads, looking, .. } = self;
        threads.run(|| looking.look(input, large, &planned.controls.temporal, &mut planned.seen));
        if planned.controls.input_denoise > 0.0 && planned.steadies {
            let share = planned.controls.input_denoise;
            threads.run(|| looking.lean(input, share, &mut planned.leaning));
            planned.leans = true;
        }
        planned.looking = started.elapsed();
        let followed = self.follow(input, planned);
        if followed.is_err() {
            self.reset();
        }
        planned.followed = followed?;
        let is_shown = planned.followed.as_ref().is_some_and(|followed| !followed.tracks.is_empty());
        if is_shown && planned.effort() == Effort::Full && matches!(planned.look(), Look::Compared { .. }) {
            planned.has_history = self.remember(&mut planned.history);
        }
        Ok(())
    }

    /// Copies the history, if there is one.
    fn remember(&self, to: &mut Option<Planar<4>>) -> bool {
        let Some(history) = self.looking.history() else { return false };
        match to {
            Some(to) => to.copy_from(history),
            to => *to = Some(history.clone()),
        }
        true
    }

    /// Faces are followed along the motion that steadies.
    fn follow(&mut self, input: View<'_, S>, planned: &Planned<S>) -> Result<Option<Followed>, EnhanceError> {
        let Self { threads, looking, follower: Some(follower), takes_faces, given, .. } = self else {
            return Ok(None);
        };
        let given = std::mem::take(given);
        let given = takes_faces.then_some(&given[..]);
        let begins = match planned.look() {
            Look::First { .. } => true,
            Look::Alone => threads.run(|| looking.begins_scene(input, &planned.controls.temporal)),
            Look::Repeated | Look::Compared { .. } => false,
        };
        let flow = match planned.look() {
            Look::Compared { .. } => {
                Some(planned.seen.flow().expect("where faces are followed, the flow is kept"))
            }
            _ => planned.seen.flow(),
        };
        Ok(Some(threads.run(|| follower.follow(input, flow, begins, given))?))
    }

    /// Whether parts of this frame may be left as they were, and what the temporal stage has to know for it.
    fn reuse(&mut self, small: Size, large: Size, controls: &Controls) -> Reuse {
        if controls.temporal.reuse.amount <= 0.0 || !self.looking.works_on(small, &controls.temporal) {
            return Reuse::Off;
        }
        if controls.effort > Effort::NoFaces {
            return Reuse::Whole(Whole::Hurried);
        }
        let Some(parts) = &self.parts else { return Reuse::Off };
        let Some(window) = parts.window(small, large) else { return Reuse::Whole(Whole::NoParts) };
        self.looking.set_window(window);
        let faces = self.follower.as_ref().map_or(&[][..], Follower::tracks);
        self.looking.watch(faces.iter().filter_map(|face| area_of(&face.area, small)).collect());
        Reuse::Parts
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.looking.reset();
        self.follower.iter_mut().for_each(Follower::reset);
    }
}

/// What may be made of outputs before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// Nobody asked.
    Off,
    /// Nothing, for this reason.
    Whole(Whole),
    /// Whatever the temporal stage says.
    Parts,
}

impl Reuse {
    fn controls(self, controls: &Controls) -> temporal::Controls {
        let mut temporal = controls.temporal;
        match self {
            Self::Parts => temporal.reuse.stands_in = true,
            Self::Off | Self::Whole(_) => temporal.reuse.amount = 0.0,
        }
        temporal
    }

    fn report(
        self,
        look: Look,
        refresh: Option<(&Refresh, u32)>,
        upscaled: &Upscaled,
        small: Size,
    ) -> Option<Reused> {
        let all = |why| Some(Reused { area: 1.0, oldest: 0, whole: Some(why), stood_in: None });
        match (self, refresh) {
            (Self::Off, _) => None,
            (Self::Whole(why), _) => all(why),
            (Self::Parts, Some((Refresh::Parts(_), oldest))) if matches!(look, Look::Compared { .. }) => {
                let area = upscaled.pixels as f32 / (small.width * small.height) as f32;
                Some(Reused { area, oldest, whole: None, stood_in: upscaled.stood_in })
            }
            (Self::Parts, _) if matches!(look, Look::Compared { .. }) => all(Whole::NearlyAll),
            (Self::Parts, _) => all(Whole::Begins),
        }
    }
}

/// The part of a picture that a rectangle covers, if any.
fn area_of(rect: &Rect, picture: Size) -> Option<Area> {
    // Casts saturate.
    let (left, top) = (rect.x as usize, rect.y as usize);
    let right = ((rect.x + rect.width).ceil() as usize).min(picture.width);
    let bottom = ((rect.y + rect.height).ceil() as usize).min(picture.height);
    (left < right && top < bottom).then(|| Area {
        x: left,
        y: top,
        size: Size::new(right - left, bottom - top),
    })
}
