//! The half of the enhancer that makes outputs, by what the other half found out about their inputs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::finishing::{Begun, Finishing, Ticket};
use super::large::{Device, Leaves, Place, Runner};
use super::planned::{Areas, Planned};
use super::threads::Threads;
use super::{Effort, EnhanceError, Report, StoodIn, stand_in};
use crate::face::FaceReport;
use crate::image::resample::Resampler;
use crate::image::{Sample, Size, View, ViewMut, copy};
use crate::infer::InferError;
use crate::infer::onnx::TensorSample;
use crate::infer::resident::{Deliver, Finished, Levels};
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
    pub(super) resampler: Resampler,
    /// Apart, for it may be at the output of the frame before.
    pub(super) finishing: Arc<Mutex<Finishing>>,
    /// Outputs that were begun and may not be ended.
    pub(super) begun: Arc<Begun>,
}

/// An output that was made on the device, before it is where it is wanted and faces are laid over it.
pub struct OnDevice<S> {
    finished: Finished<S>,
    upscaled: Upscaled,
    blending: Duration,
    finishing: Arc<Mutex<Finishing>>,
    _ticket: Ticket,
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

impl<S: TensorSample> OnDevice<S> {
    /// Fills `output` with it, and finishes it.
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the output is unfinished then.
    pub fn end(
        self,
        planned: &Planned<S>,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
    ) -> Result<Report, EnhanceError> {
        let started = Instant::now();
        self.finished.give(output.view_mut())?;
        let blending = self.blending + started.elapsed();
        let faces = lock(&self.finishing).finish(planned, input, output)?;
        Ok(report(planned, &self.upscaled, (Place::Device, blending), faces, Size::of(&input)))
    }
}

/// What was done for a frame.
fn report<S: Sample>(
    planned: &Planned<S>,
    upscaled: &Upscaled,
    (large, blending): (Place, Duration),
    faces: FaceReport,
    small: Size,
) -> Report {
    Report {
        tiles: upscaled.tiles,
        tiles_left_out: upscaled.left_out,
        look: planned.look(),
        faces,
        reused: planned.reused(upscaled, small),
        large,
        upscale: upscaled.time,
        looking: planned.looking(),
        beside: planned.beside(),
        blending,
    }
}

/// A panic in there was the end of a frame; what it remembers is forgotten with that.
fn lock(finishing: &Mutex<Finishing>) -> MutexGuard<'_, Finishing> {
    finishing.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Makes what comes of an input where its large picture stays on the device; `None` where that is not so, once all that was begun
    /// before is ended.
    ///
    /// # Errors
    /// [`EnhanceError::Infer`].
    pub(super) fn begin(
        &mut self,
        planned: &Planned<S>,
        input: View<'_, S>,
        large: Size,
    ) -> Result<Option<OnDevice<S>>, EnhanceError> {
        let is_made = planned.effort() < Effort::Resampled;
        if is_made {
            self.choose_place(planned, Size::of(&input), large)?;
        }
        let Some(device) = self.device.as_mut().filter(|_| is_made && self.place == Place::Device) else {
            self.begun.wait_for_all();
            return Ok(None);
        };
        let mut upscaled = match planned.look() {
            Look::Repeated => Upscaled::default(),
            _ => device.upscale(planned.for_network(input), large, Some(planned.seen()))?,
        };
        let started = Instant::now();
        let finished = device.steady(planned.seen(), upscaled.levels.take(), Deliver::Later)?;
        let (finishing, blending) = (self.finishing.clone(), started.elapsed());
        Ok(Some(OnDevice { finished, upscaled, blending, finishing, _ticket: self.begun.one_more() }))
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
            Some(device) if *place == Place::Device => {
                device.steady(planned.seen(), levels, Deliver::Now)?.give(output.view_mut())
            }
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
        let faces = lock(&self.finishing).finish(planned, input, output)?;
        Ok(report(planned, &upscaled, (self.place, blending), faces, Size::of(&input)))
    }

    /// Forgets the past.
    pub(super) fn forget(&mut self) {
        self.steadying.forget();
        self.device.iter_mut().for_each(Device::forget);
        lock(&self.finishing).forget();
    }

    /// Fills `output` by a resize alone. The past is forgotten: it would not be of the frame before.
    fn resample(&mut self, input: View<'_, S>, output: ViewMut<'_, S>) -> Report {
        let started = Instant::now();
        self.forget();
        lock(&self.finishing).leave_out();
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
}
