//! Frames that are made on another thread while the next one is looked at.

use gst_base::subclass::base_transform::{InputBuffer, PrepareOutputBufferSuccess};
use gst_base::subclass::prelude::*;
use gst_video::VideoFrame;
use gstreamer as gst;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

use gst::prelude::*;
use gst_base::prelude::*;

use super::FaceSr;
use super::frames::unmapped;
use crate::enhance::Effort;
use crate::plugin::CAT;
use crate::plugin::element::flight::{Flight, Rest};
use crate::plugin::element::lane::Landed;
use crate::plugin::messages::Failure;

/// Frames that may be in flight at once: one hides what can be hidden, others even out frames that take long.
pub(super) const MOST_IN_FLIGHT: u32 = crate::enhance::MOST_IN_FLIGHT as u32;

/// A frame that comes from another thread.
pub(super) struct Arrived {
    landed: Landed,
    /// Of the input, which is let go once its picture was read: upstream may have few.
    pts: Option<gst::ClockTime>,
    effort: Effort,
}

impl FaceSr {
    pub(super) fn frames_in_flight(&self) -> u32 {
        self.settings().frames_in_flight
    }

    /// Frames that are being made on another thread.
    pub(super) fn in_flight(&self) -> usize {
        self.flight.lock().unwrap().as_ref().map_or(0, Flight::under_way)
    }

    /// Makes room for frames in flight in the pool that outputs come from: they are taken from it before the ones before
    /// them are let go, and one that cannot hold as many would be waited for for ever.
    pub(super) fn make_room(&self, query: &mut gst::query::Allocation) {
        let ahead = self.frames_in_flight();
        let Some((pool, bytes, least, most)) = query.allocation_pools().next() else { return };
        if ahead == 0 {
            return;
        }
        // The least is what downstream needs, one frame of ours among them.
        let least = least.max(1) + ahead;
        let (pool, most) = if most > 0 && most < least {
            gst::info!(
                CAT,
                imp = self,
                "a pool of {most} has no room for {ahead} in flight and {least}: not used"
            );
            (None, 0)
        } else {
            (pool, most)
        };
        query.set_nth_allocation_pool(0, pool.as_ref(), bytes, least, most);
    }

    /// Lets a frame be made on another thread.
    pub(super) fn launch(&self, input: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let formats = self.formats.lock().unwrap().clone();
        let (from, to) = formats.ok_or(gst::FlowError::NotNegotiated)?;
        let output = match self.parent_prepare_output_buffer(InputBuffer::Readable(&input))? {
            PrepareOutputBufferSuccess::Buffer(output) => output,
            PrepareOutputBufferSuccess::InputBuffer => return Err(gst::FlowError::Error),
        };
        let (controls, pts) = (self.controls(&input), input.pts());
        self.take_given_faces(&input);
        let frames = VideoFrame::from_buffer_readable(input, &from)
            .map_err(|input| unmapped(input.size(), &from))
            .and_then(|input| {
                let output = VideoFrame::from_buffer_writable(output, &to);
                Ok((input, output.map_err(|output| unmapped(output.size(), &to))?))
            });
        let launched = frames
            .and_then(|(input, output)| self.state().launch(input, output, &controls, self.is_reversed()));
        let job = match launched {
            Ok(job) => job,
            Err(failure) => {
                // Those before it are as good as without it.
                self.drain();
                return self.account(Err(failure), controls.effort, pts);
            }
        };
        let effort = controls.effort;
        let job = move || -> Rest<Arrived> {
            let rest = job();
            Box::new(move || Arrived { landed: rest(), pts, effort })
        };
        let flight = self.flight.lock().unwrap().take();
        let mut flight = flight.map_or_else(Flight::start, Ok).map_err(|error| {
            self.fail(Failure::Frame(format!("frames cannot be in flight, there is no thread: {error}")));
            gst::FlowError::Error
        })?;
        flight.send(Box::new(job));
        *self.flight.lock().unwrap() = Some(flight);
        Ok(gst::FlowSuccess::Ok)
    }

    /// Waits for the oldest frame in flight, `None` where there is none.
    pub(super) fn land(&self) -> Result<Option<gst::Buffer>, gst::FlowError> {
        // Not held while frames are waited for: a flush that comes meanwhile asks how many there are.
        let Some(mut flight) = self.flight.lock().unwrap().take() else { return Ok(None) };
        let arrived = flight.receive();
        *self.flight.lock().unwrap() = Some(flight);
        let Some(Arrived { landed, pts, effort }) = arrived else { return Ok(None) };
        let mut output = landed.output.into_buffer();
        self.account(landed.done, effort, pts).inspect_err(|_| {
            // Those behind were made of its past, and would fail in the same words.
            self.discard();
        })?;
        if let Some(output) = output.get_mut() {
            self.attach_faces(&landed.faces, output);
        }
        Ok(Some(output))
    }

    /// Pushes the oldest frame in flight, with the flags of its input.
    pub(super) fn push_oldest(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self.land()? {
            Some(output) => self.obj().src_pad().push(output),
            None => Ok(gst::FlowSuccess::Ok),
        }
    }

    /// Pushes every frame in flight.
    pub(super) fn drain(&self) {
        let frames = self.in_flight();
        if frames > 0 {
            gst::debug!(CAT, imp = self, "{frames} in flight are waited for");
        }
        while self.in_flight() > 0 {
            // Whoever pushes the next frame is told what became of this one.
            let _ = self.push_oldest();
        }
    }

    /// Drops every frame in flight.
    pub(super) fn discard(&self) {
        let flight = self.flight.lock().unwrap().take();
        let frames = flight.as_ref().map_or(0, Flight::under_way);
        if frames > 0 {
            gst::debug!(CAT, imp = self, "{frames} in flight are dropped");
        }
        drop(flight);
    }
}
