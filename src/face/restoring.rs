//! The half of the stage that restores faces and lays them over large pictures, by where the other half found them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::align::Window;
use super::crop::{self, Crop, cut};
use super::detect::Landmarks;
use super::helpers::{Finished, Helpers};
use super::known::Known;
use super::memory::Takes;
use super::paste::paste;
use super::restore::Restorer;
use super::track::Track;
use super::{Controls, FaceError, FaceReport, Followed};
use crate::image::{Sample, Size, ViewMut};
use crate::infer::{Cancel, InferError};

/// Less of a blend than this cannot be seen: half a level of 255.
const LEAST_SHARE: f32 = 0.5 / 255.0;

/// Restores the faces of pictures, one after the other, and remembers what it made.
#[derive(Default)]
pub struct Restoring {
    restorer: Option<Box<dyn Restorer>>,
    helpers: Helpers,
    /// What is known of each face that is restored, by its number.
    known: BTreeMap<u64, Known>,
    /// What was laid over the last picture, in order.
    laid: Vec<Laid>,
}

/// How a face that is known was laid over a picture.
struct Laid {
    id: u64,
    window: Window,
    landmarks: Landmarks,
    share: f32,
}

impl Restoring {
    /// By a restorer, where there is one, and what helps it.
    pub fn new(restorer: Option<Box<dyn Restorer>>, helpers: Helpers) -> Self {
        Self { restorer, helpers, ..Self::default() }
    }

    /// Forgets what was restored.
    pub fn forget(&mut self) {
        self.known.clear();
        self.laid.clear();
    }

    /// The restorer's name, where there is one.
    pub fn restorer(&self) -> Option<&str> {
        self.restorer.as_deref().map(Restorer::name)
    }

    /// The same with these networks to help it.
    #[must_use]
    pub fn with_helpers(mut self, helpers: Helpers) -> Self {
        self.helpers = helpers;
        self
    }

    /// The networks that help it.
    pub fn helpers(&self) -> &Helpers {
        &self.helpers
    }

    /// What stops the networks that are under way on another thread, the detector excepted, which is fast.
    pub fn cancellers(&self) -> impl Iterator<Item = Arc<dyn Cancel>> + '_ {
        self.restorer.iter().map(|restorer| restorer.canceller()).chain(self.helpers.cancellers())
    }

    /// Forgets what was laid over the picture before, and whom it will not see again.
    fn renew(&mut self, followed: &Followed) {
        self.laid.clear();
        if followed.begins {
            self.known.clear();
        }
        let is_shown = |id: u64| followed.tracks.iter().any(|track| track.id == id && track.blend() > 0.0);
        self.known.retain(|id, _| is_shown(*id));
    }

    /// Restores the faces of a frame where they were followed to, as `input` shows them, and lays them over `output`. A face
    /// on which the restorer fails is left as it is, and counted.
    ///
    /// # Errors
    /// [`InferError::Cancelled`] alone.
    pub fn restore<S: Sample>(
        &mut self,
        followed: &Followed,
        input: &(impl crop::Source + Sync),
        output: &mut ViewMut<'_, S>,
        controls: &Controls,
    ) -> Result<FaceReport, FaceError> {
        let started = Instant::now();
        let mut report = followed.report.clone();
        self.renew(followed);
        let Self { restorer: Some(restorer), helpers, known, laid, .. } = self else { return Ok(report) };
        let chosen = choose(&followed.tracks, restorer.as_ref(), controls.strength);
        let takes = match (restorer.invents(), &helpers.parser) {
            (true, _) => Takes::Blends,
            (false, Some(_)) => Takes::Shares,
            (false, None) => Takes::Nothing,
        };
        let crops: Vec<Crop> = chosen
            .iter()
            .map(|(track, window, _)| {
                let crop = cut(input, &window.place, window.side);
                known.entry(track.id).or_default().look(*window, crop, track.moved(), takes)
            })
            .collect();
        let small = Size::new(input.size().0, input.size().1);
        let enlarged = output.dim().1 as f32 / small.width as f32;
        let fidelity = |window: &Window| restorer.fidelity(controls.fidelity, window.place.scale(), enlarged);
        let fidelities: Vec<f32> = chosen.iter().map(|(_, window, _)| fidelity(window)).collect();
        // Made before, for crops that look the same; the rest is for the restorer, in its order.
        let asked = chosen.iter().zip(crops.iter().zip(&fidelities));
        let before: Vec<Option<Crop>> = asked
            .map(|((track, _, _), (crop, fidelity))| {
                known.entry(track.id).or_default().made_before(crop, *fidelity, controls.reuse)
            })
            .collect();
        let (crops_left, fidelities_left): (Vec<Crop>, Vec<f32>) = crops
            .iter()
            .zip(&fidelities)
            .zip(&before)
            .filter(|(_, before)| before.is_none())
            .map(|((crop, fidelity), _)| (crop.clone(), *fidelity))
            .unzip();
        report.reused = crops.len() - crops_left.len();
        let mut made = restore_each(restorer.as_mut(), &crops_left, &fidelities_left)?.into_iter();
        let mut restored = Vec::new();
        for (((track, _, _), (crop, fidelity)), before) in
            chosen.iter().zip(crops.iter().zip(&fidelities)).zip(before)
        {
            let is_new = before.is_none();
            let Some(result) = before.map(Ok).or_else(|| made.next()) else { break };
            if let (true, Ok(made)) = (is_new && controls.reuse > 0.0, &result) {
                known.entry(track.id).or_default().remember(crop, made, *fidelity);
            }
            restored.push(result);
        }
        // Of a restorer that does not invent, only the faults of the source would come back.
        let detail = if restorer.invents() { controls.fidelity } else { 0.0 };
        let mut finished = Vec::new();
        for ((track, window, share), (made, crop)) in chosen.into_iter().zip(restored.into_iter().zip(&crops))
        {
            let known = known.entry(track.id).or_default();
            match known.finish(made, crop, detail, restorer.light()) {
                Ok(agreed) => finished.push(Finished { track, window, share, agreed }),
                Err(error) => {
                    report.failed += 1;
                    report.failure = Some(error.to_string());
                }
            }
        }
        report.embedding = helpers.judge(&finished, known)?;
        report.parsing = helpers.cover(&finished, known)?;
        for Finished { track, window, share, .. } in finished {
            let known = known.entry(track.id).or_default();
            let share = share * known.guard.step();
            report.guarded += usize::from(known.guard.is_on());
            report.shares.push((track.id, share));
            let face = Laid { id: track.id, window, landmarks: track.landmarks, share };
            report.restored += usize::from(lay(&face, known, small, output));
            laid.push(face);
        }
        report.restoring = started.elapsed();
        Ok(report)
    }

    /// Lays what was restored last over `output`, which shows the same picture of size `small` once more.
    /// The time that it took.
    pub fn lay_again<S: Sample>(&self, small: Size, output: &mut ViewMut<'_, S>) -> Duration {
        let started = Instant::now();
        for face in &self.laid {
            if let Some(known) = self.known.get(&face.id) {
                lay(face, known, small, output);
            }
        }
        started.elapsed()
    }
}

/// Lays a face over a picture; whether there is anything to lay over it.
fn lay<S: Sample>(face: &Laid, known: &Known, small: Size, output: &mut ViewMut<'_, S>) -> bool {
    let Some(steady) = known.steadied() else { return false };
    paste(steady, &face.window, &face.landmarks, face.share, known.covered(), small, output);
    true
}

/// The faces that are to be restored, the window of each and its share of the blend.
fn choose<'a>(tracks: &'a [Track], restorer: &dyn Restorer, strength: f32) -> Vec<(&'a Track, Window, f32)> {
    let share = |track: &Track| strength.clamp(0.0, 1.0) * track.blend() * restorer.trust(track.area.height);
    let shown = tracks.iter().filter(|track| share(track) > LEAST_SHARE);
    shown.filter_map(|track| Some((track, restorer.window(&track.landmarks)?, share(track)))).collect()
}

/// All crops, those in a row that want the same fidelity together.
pub(super) fn restore_each(
    restorer: &mut dyn Restorer,
    mut crops: &[Crop],
    fidelities: &[f32],
) -> Result<Vec<Result<Crop, InferError>>, FaceError> {
    let mut restored = Vec::new();
    for alike in fidelities.chunk_by(|a, b| a == b) {
        let (now, later) = crops.split_at(alike.len());
        restored.extend(restore_alike(restorer, now, alike[0])?);
        crops = later;
    }
    Ok(restored)
}

/// All crops together, or, should that fail, each alone, so that one bad face spoils no other.
fn restore_alike(
    restorer: &mut dyn Restorer,
    crops: &[Crop],
    fidelity: f32,
) -> Result<Vec<Result<Crop, InferError>>, FaceError> {
    match restorer.restore(crops, fidelity) {
        Ok(made) => return Ok(made.into_iter().map(Ok).collect()),
        Err(InferError::Cancelled) => return Err(InferError::Cancelled.into()),
        Err(error) if crops.len() == 1 => return Ok(vec![Err(error)]),
        Err(_) => {}
    }
    let mut each = Vec::new();
    for crop in crops {
        match restorer.restore(std::slice::from_ref(crop), fidelity) {
            Err(InferError::Cancelled) => return Err(InferError::Cancelled.into()),
            made => each.push(made.and_then(|mut made| made.pop().ok_or(InferError::NotFinite))),
        }
    }
    Ok(each)
}
