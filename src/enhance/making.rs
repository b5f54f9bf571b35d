//! The half of the enhancer that makes outputs, by what the other half found out about their inputs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::large::{Device, Leaves, Place, Runner};
use super::planned::{Areas, Planned};
use super::threads::Threads;
use super::{Effort, EnhanceError, Report, StoodIn, stand_in};
use crate::face::crop::{Frame, Source};
use crate::face::{FaceReport, Restoring};
use crate::image::luma::colours;
use crate::image::planar::Planar;
use crate::image::resample::Resampler;
use crate::image::{Sample, Size, View, ViewMut, copy, rows, rows_mut};
use crate::infer::InferError;
use crate::infer::onnx::TensorSample;
use crate::infer::resident::Levels;
use crate::temporal::reuse::Refresh;
use crate::temporal::{Look, Steadying};
use crate::upscale::{Done, Runs, Upscaler};

/// Makes outputs, one after the other, and remembers them.
pub struct Making<S> {
    pub(super) threads: Arc<Threads>,
    pub(super) upscaler: Option<Upscaler<S>>,
    /// As `upscaler`, for frames whose large picture stays where the network runs.
    pub(super) device: Option<Device<S>>,
    /// Where the past is.
    pub(super) place: Place,
    /// For frames that have no time for the other.
    pub(super) light: Option<Upscaler<S>>,
    pub(super) steadying: Steadying,
    pub(super) restoring: Option<Restoring>,
    /// Share of restored faces: they fade in after frames that had no time for them.
    pub(super) fade: f32,
    pub(super) resampler: Resampler,
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

/// What the upscaler did.
#[derive(Default)]
pub(super) struct Upscaled {
    pub tiles: usize,
    pub left_out: usize,
    /// Pixels of the input, context included, where not all were run.
    pub pixels: usize,
    /// What else made parts of the output.
    pub stood_in: Option<StoodIn>,
    pub time: Duration,
    /// The large picture, where it stays on the device.
    pub levels: Option<Levels>,
}

impl<S: TensorSample> Making<S> {
    /// Fills `output` with what comes of an input of which this was found out.
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the output is unfinished then.
    pub fn make(
        &mut self,
        planned: &Planned<S>,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
    ) -> Result<Report, EnhanceError> {
        if planned.effort() == Effort::Resampled {
            return Ok(self.resample(input, output));
        }
        self.choose_place(planned, Size::of(&input), Size::of(&output.view()))?;
        let upscaled = match planned.look() {
            Look::Repeated => Upscaled::default(),
            _ => self.upscale(
                planned.effort(),
                planned.areas(),
                planned.for_network(input),
                output.view_mut(),
            )?,
        };
        self.finish(planned, upscaled, input, output)
    }

    /// Runs the network over an input, or over parts of it.
    pub(super) fn upscale(
        &mut self,
        effort: Effort,
        parts: Option<Areas<'_>>,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
    ) -> Result<Upscaled, InferError> {
        let started = Instant::now();
        let Self { upscaler, light, device, place, resampler, .. } = self;
        let (mut done, stood_in) = match &parts {
            // First: around its parts, the network's pixels count.
            Some(parts) => {
                stand_in::fill(light.as_mut(), resampler, parts.stand_ins, input, output.view_mut())?
            }
            None => (Done::default(), None),
        };
        let runner = match (light, device, upscaler) {
            (Some(light), _, _) if effort == Effort::Light => Runner::Host(light),
            (_, Some(device), _) if *place == Place::Device => Runner::Device(device),
            (_, _, Some(upscaler)) => Runner::Host(upscaler),
            (_, _, None) => Runner::Nothing,
        };
        let (upscaler, areas) = match (runner, parts) {
            (Runner::Host(upscaler), Some(Areas { refresh: Refresh::Parts(areas), .. })) => (upscaler, areas),
            (runner, _) => return runner.run(input, output),
        };
        let made = upscaler.run_parts(input, output, areas)?;
        let pixels = made.pixels;
        done += made;
        let (tiles, left_out) = (done.tiles, done.left_out);
        Ok(Upscaled { tiles, left_out, pixels, stood_in, time: started.elapsed(), levels: None })
    }

    /// Why pictures of this size leave the device, if there is one and they do.
    pub(super) fn leaves_device(&self, small: Size, large: Size) -> Option<Leaves> {
        let (Some(device), Some(upscaler)) = (&self.device, &self.upscaler) else { return None };
        match upscaler.runs(small, large) {
            Runs::More => Some(Leaves::Passes(small, large)),
            Runs::Tiles => Some(Leaves::Tiles(small)),
            Runs::One => (!device.has_room_for(large)).then_some(Leaves::Room(large)),
        }
    }

    /// Large pictures stay on the device where a frame is steadied and one run of the network that is set makes it, all of it.
    /// What was seen before comes along.
    pub(super) fn choose_place(
        &mut self,
        planned: &Planned<S>,
        small: Size,
        large: Size,
    ) -> Result<(), InferError> {
        let leaves = self.leaves_device(small, large).is_some();
        let Some(device) = &mut self.device else { return Ok(()) };
        let stays = planned.effort() <= Effort::NoFaces && planned.steadies_all() && !leaves;
        let place = if stays { Place::Device } else { Place::Host };
        if place == self.place {
            return Ok(());
        }
        self.place = place;
        device.hand_over(place, &mut self.steadying, small)
    }

    /// What was seen before is blended in, where the large picture is.
    fn steady(
        &mut self,
        planned: &Planned<S>,
        levels: Option<Levels>,
        output: &mut ViewMut<'_, S>,
    ) -> Result<(), InferError> {
        let Self { threads, steadying, device, place, .. } = self;
        match device {
            Some(device) if *place == Place::Device => device.steady(planned.seen(), levels, output),
            _ => {
                threads.run(|| steadying.steady(planned.seen(), output));
                Ok(())
            }
        }
    }

    /// Steadies what the network made and lays the faces over it.
    pub(super) fn finish(
        &mut self,
        planned: &Planned<S>,
        mut upscaled: Upscaled,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
    ) -> Result<Report, EnhanceError> {
        let started = Instant::now();
        self.steady(planned, upscaled.levels.take(), &mut output)?;
        let blending = started.elapsed();
        let faces = self.restore_faces(planned, input, &mut output)?;
        self.pass_alpha(input, output);
        Ok(Report {
            tiles: upscaled.tiles,
            tiles_left_out: upscaled.left_out,
            look: planned.look(),
            faces,
            reused: planned.reused(&upscaled, Size::of(&input)),
            large: self.place,
            upscale: upscaled.time,
            looking: planned.looking(),
            beside: planned.beside(),
            blending,
        })
    }

    /// Forgets the past.
    pub(super) fn forget(&mut self) {
        self.steadying.forget();
        self.device.iter_mut().for_each(Device::forget);
        self.restoring.iter_mut().for_each(Restoring::forget);
    }

    /// Faces are restored from the small picture as the past made it better, and laid over the large one that was steadied
    /// with it.
    fn restore_faces(
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

    /// Fills `output` by a resize alone. The past is forgotten: it would not be of the frame before.
    fn resample(&mut self, input: View<'_, S>, output: ViewMut<'_, S>) -> Report {
        let started = Instant::now();
        self.forget();
        self.fade = 0.0;
        match Size::of(&output.view()) {
            size if size == Size::of(&input) => copy(input, output),
            size => copy(self.resampler.resize(input, size).view(), output),
        }
        Report {
            tiles: 0,
            tiles_left_out: 0,
            look: Look::Alone,
            faces: FaceReport::default(),
            reused: None,
            large: Place::Host,
            upscale: started.elapsed(),
            looking: Duration::ZERO,
            beside: Duration::ZERO,
            blending: Duration::ZERO,
        }
    }

    fn pass_alpha(&mut self, input: View<'_, S>, mut output: ViewMut<'_, S>) {
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
}
