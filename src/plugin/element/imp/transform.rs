//! The way of a buffer through the element, and of caps, events and queries.

use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

use super::FaceSr;
use super::frames::{unmapped, writable};
use crate::plugin::CAT;
use crate::plugin::element::ladder::Ladder;
use crate::plugin::element::{caps, metas};
use crate::plugin::frame::size;

impl BaseTransformImpl for FaceSr {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let other = caps::transform(caps, direction, self.settings().factor());
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            None => other,
        })
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
        let own = self.state().loaded().map_or(1, |loaded| loaded.scale);
        caps::fixate(caps, direction, othercaps, self.settings().factor().unwrap_or(own as f64))
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        // What comes after frames goes on after them.
        let is_flush = matches!(event.type_(), gst::EventType::FlushStart | gst::EventType::FlushStop);
        if event.is_serialized() && !is_flush {
            self.drain();
        }
        match event.view() {
            gst::EventView::FlushStart(_) => self.cancel(),
            gst::EventView::FlushStop(_) => {
                gst::debug!(CAT, imp = self, "a flush: the past is forgotten");
                self.discard();
                self.ladder.lock().unwrap().iter_mut().for_each(Ladder::forget_times);
                self.state().forget();
                self.resume();
            }
            // Whatever it shows next is no neighbour of what was shown.
            gst::EventView::Segment(_) => {
                gst::debug!(CAT, imp = self, "a segment: the past is forgotten");
                self.state().forget();
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, mut event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            let late = qos.get().2 as f64 * 1e-9;
            if let (Some(ladder), Some(now)) =
                (&mut *self.ladder.lock().unwrap(), self.obj().current_running_time())
            {
                ladder.tell(now.seconds_f64(), late);
            }
            // The base class would leave out frames: here, less is done for them, and only where video is live.
            return self.obj().sink_pad().push_event(event);
        }
        if event.type_() == gst::EventType::Navigation {
            let (across, down) = self.scale();
            let event = event.make_mut().structure_mut();
            for (place, scale) in [("pointer_x", across), ("pointer_y", down)] {
                if let Ok(at) = event.get::<f64>(place) {
                    event.set(place, at / f64::from(scale));
                }
            }
        }
        self.parent_src_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if direction == gst::PadDirection::Sink && query.is_serialized() {
            self.drain();
        }
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
            && let ((is_live, least, most), Some(own)) = (latency.result(), *self.latency.lock().unwrap())
        {
            latency.set(is_live, least + own, most.map(|most| most + own));
        }
        true
    }

    fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        self.make_room(query);
        self.parent_decide_allocation(query)
    }

    /// With frames in flight, the base class pushes nothing: it would mark the first buffer that it pushes after a
    /// discontinuous one came in, and that may have come out by a drain.
    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let ahead = self.frames_in_flight() as usize;
        if ahead == 0 {
            return self.parent_generate_output();
        }
        if self.obj().is_passthrough() {
            return match self.parent_generate_output()? {
                GenerateOutputSuccess::Buffer(untouched) => {
                    self.obj().src_pad().push(untouched)?;
                    Ok(GenerateOutputSuccess::NoOutput)
                }
                other => Ok(other),
            };
        }
        if let Some(input) = self.take_queued_buffer() {
            self.launch(input)?;
        }
        if self.in_flight() > ahead {
            self.push_oldest()?;
        }
        Ok(GenerateOutputSuccess::NoOutput)
    }

    fn transform(
        &self,
        inbuf: &gst::Buffer,
        outbuf: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let formats = self.formats.lock().unwrap().clone();
        let (from, to) = formats.ok_or(gst::FlowError::NotNegotiated)?;
        self.take_given_faces(inbuf);
        let done = {
            // The parent class takes a frame that it cannot map for one that is done.
            let frames = VideoFrameRef::from_buffer_ref_readable(inbuf, &from)
                .map_err(|_| unmapped(inbuf.size(), &from))
                .and_then(|input| Ok((input, writable(outbuf, &to)?)));
            let (input, mut output) = frames.map_err(|failure| {
                self.fail(failure);
                gst::FlowError::Error
            })?;
            self.transform_frame(&input, &mut output)?
        };
        let faces = self.state().faces().to_vec();
        self.attach_faces(&faces, outbuf);
        Ok(done)
    }

    fn transform_meta<'a>(
        &self,
        outbuf: &mut gst::BufferRef,
        meta: gst::MetaRef<'a, gst::Meta>,
        inbuf: &'a gst::BufferRef,
    ) -> bool {
        let info = |pad: &gst::Pad| VideoInfo::from_caps(pad.current_caps()?.as_ref()).ok();
        if let Some((from, to)) = info(self.obj().sink_pad()).zip(info(self.obj().src_pad()))
            && let Some(carried) = metas::carry(&meta, outbuf, &from, &to)
        {
            if carried.is_err() {
                gst::debug!(CAT, imp = self, "a {} cannot change its size and is dropped", meta.api());
            }
            return false;
        }
        self.parent_transform_meta(outbuf, meta, inbuf)
    }
}

impl VideoFilterImpl for FaceSr {
    fn set_info(
        &self,
        _incaps: &gst::Caps,
        in_info: &VideoInfo,
        _outcaps: &gst::Caps,
        out_info: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        // Frames of the formats before go before.
        self.drain();
        let configured = self.configure(in_info, out_info);
        if configured.is_ok() {
            let (from, to) = (size(in_info), size(out_info));
            let does = if self.obj().is_passthrough() { "passed through" } else { "enhanced" };
            gst::info!(CAT, imp = self, "{} of {from} to {to}, {does}", in_info.format());
        }
        *self.formats.lock().unwrap() = Some((in_info.clone(), out_info.clone()));
        if configured.is_ok() {
            *self.refused.lock().unwrap() = None;
        }
        configured.map_err(|failure| {
            let error = gst::loggable_error!(CAT, "cannot take {in_info:?}: {failure:?}");
            // Caps come again with every buffer, which is nothing new to the application.
            let text = failure.to_string();
            if self.refused.lock().unwrap().replace(text.clone()) != Some(text) {
                self.fail(failure);
            }
            error
        })
    }

    fn transform_frame(
        &self,
        inframe: &VideoFrameRef<&gst::BufferRef>,
        outframe: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let controls = self.controls(inframe.buffer());
        let done = self.state().process(inframe, outframe, &controls, self.is_reversed());
        self.account(done, controls.effort, inframe.buffer().pts())
    }
}
