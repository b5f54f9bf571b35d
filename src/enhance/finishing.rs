//! What is done to an output after it is steadied, while the next one may already be made on the device.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::planned::Planned;
use super::{Effort, EnhanceError};
use crate::face::crop::{Frame, Source};
use crate::face::{FaceReport, Restoring};
use crate::image::luma::colours;
use crate::image::planar::Planar;
use crate::image::resample::Resampler;
use crate::image::{Sample, Size, View, ViewMut, rows, rows_mut};
use crate::temporal::Look;

/// Lays faces and alpha over outputs, one after the other.
pub(super) struct Finishing {
    restoring: Option<Restoring>,
    /// Share of restored faces: they fade in after frames that had no time for them.
    fade: f32,
    resampler: Resampler,
}

/// Frames over which restored faces come back.
const FADING: f32 = 8.0;

/// The small picture as it is best known: what the large one was steadied to, where it was.
struct BestKnown<'a, S> {
    input: Frame<'a, S>,
    history: Option<&'a Planar<4>>,
}

impl<S: Sample> Source for BestKnown<'_, S> {
    fn size(&self) -> (usize, usize) {
        self.input.size()
    }

    fn read(&self, y: usize, x: usize, to: &mut [[f32; 4]]) {
        let Some(history) = self.history else { return self.input.read(y, x, to) };
        let [luma, blues, reds] = [0, 1, 2].map(|plane| &history.plane(plane, y)[x..]);
        for (to, ((&luma, &blue), &red)) in to.iter_mut().zip(luma.iter().zip(blues).zip(reds)) {
            let [red, green, blue] =
                colours([luma, blue, red]).map(|level| (level * (1.0 / 255.0)).clamp(0.0, 1.0));
            *to = [red, green, blue, 0.0];
        }
    }
}

impl Finishing {
    pub(super) fn new(restoring: Option<Restoring>) -> Self {
        Self { restoring, fade: 1.0, resampler: Resampler::default() }
    }

    /// Lays the faces over an output that is steadied, and passes its alpha on.
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the output is unfinished then.
    pub(super) fn finish<S: Sample>(
        &mut self,
        planned: &Planned<S>,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
    ) -> Result<FaceReport, EnhanceError> {
        let faces = self.restore_faces(planned, input, &mut output)?;
        self.pass_alpha(input, output);
        Ok(faces)
    }

    /// Faces are restored from the small picture as the past made it better, and laid over the large one that was steadied
    /// with it.
    fn restore_faces<S: Sample>(
        &mut self,
        planned: &Planned<S>,
        input: View<'_, S>,
        output: &mut ViewMut<'_, S>,
    ) -> Result<FaceReport, EnhanceError> {
        let (Some(restoring), Some(followed)) = (&mut self.restoring, planned.followed()) else {
            return Ok(FaceReport::default());
        };
        if planned.look() == Look::Repeated {
            let restoring = restoring.lay_again(Size::of(&input), output);
            return Ok(FaceReport { restoring, ..followed.report.clone() });
        }
        if planned.effort() > Effort::Full {
            restoring.forget();
            self.fade = 0.0;
            return Ok(followed.report.clone());
        }
        self.fade = (self.fade + 1.0 / FADING).min(1.0);
        let mut shown = planned.controls().faces;
        shown.strength *= self.fade;
        let source = BestKnown { input: Frame(input), history: planned.history() };
        Ok(restoring.restore(followed, &source, output, &shown)?)
    }

    fn pass_alpha<S: Sample>(&mut self, input: View<'_, S>, mut output: ViewMut<'_, S>) {
        if input.dim().2 != 4 || output.dim().2 != 4 {
            return;
        }
        let opaque = rows(input).all(|row| row.chunks_exact(4).all(|pixel| pixel[3] == S::MAX));
        let alpha = (!opaque).then(|| self.resampler.resize(input, Size::of(&output.view())));
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

    /// Forgets the past.
    pub(super) fn forget(&mut self) {
        self.restoring.iter_mut().for_each(Restoring::forget);
    }

    /// Forgets the past, and lets faces fade in anew: they were left out.
    pub(super) fn leave_out(&mut self) {
        self.forget();
        self.fade = 0.0;
    }
}

/// Outputs that were begun and are to be ended.
#[derive(Default)]
pub(super) struct Begun {
    count: Mutex<usize>,
    ended: Condvar,
}

/// One of them. Its end is that of the output.
pub(super) struct Ticket(Arc<Begun>);

impl Begun {
    pub(super) fn one_more(self: &Arc<Self>) -> Ticket {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ticket(self.clone())
    }

    /// Waits until all are ended, by other threads.
    pub(super) fn wait_for_all(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.ended.wait_while(count, |count| *count > 0));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_all();
    }
}
