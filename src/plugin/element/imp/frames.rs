//! What comes with a frame and what is told of it: settings, faces, statistics, failures.

use std::time::{Duration, Instant};

use gst_base::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

use gst::subclass::prelude::*;

use super::FaceSr;
use crate::enhance::{Controls, Effort, EnhanceError};
use crate::face::track::Track;
use crate::infer::InferError;
use crate::plugin::CAT;
use crate::plugin::element::regions;
use crate::plugin::element::settings::FaceSource;
use crate::plugin::frame::size;
use crate::plugin::messages::{self, Failure};
use crate::plugin::stages::Passed;
use crate::temporal::Look;

impl FaceSr {
    /// What is done for a frame. Not by the copy of the start: these may change at any time.
    pub(super) fn controls(&self, input: &gst::BufferRef) -> Controls {
        self.sync(input);
        let (mut controls, patience) = {
            let settings = self.settings.lock().unwrap();
            (settings.controls(), settings.max_lateness)
        };
        controls.effort = self.effort(input, patience);
        controls
    }

    pub(super) fn is_reversed(&self) -> bool {
        self.obj().segment().rate() < 0.0
    }

    /// Tells whoever listens what became of a frame.
    pub(super) fn account(
        &self,
        done: Result<Passed, Failure>,
        effort: Effort,
        pts: Option<gst::ClockTime>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        match done {
            Ok(passed) => {
                self.took(&passed);
                let (number, warnings) = self.stats.lock().unwrap().count(&passed, effort);
                if passed.report.look == (Look::First { cut: true }) {
                    messages::post_cut(self.obj().upcast_ref(), number, pts);
                }
                for warning in warnings {
                    gst::element_imp_warning!(self, gst::StreamError::Failed, ("{warning}"));
                }
                let interval = self.settings.lock().unwrap().stats_interval;
                self.tell_stats(interval);
                Ok(gst::FlowSuccess::Ok)
            }
            Err(Failure::Unavailable(EnhanceError::Infer(InferError::Cancelled))) => {
                Err(gst::FlowError::Flushing)
            }
            Err(failure) => {
                self.fail(failure);
                Err(gst::FlowError::Error)
            }
        }
    }

    /// The faces of the next frame are those that somebody upstream attached to it, where those are wanted.
    pub(super) fn take_given_faces(&self, input: &gst::BufferRef) {
        if self.settings().face_source == FaceSource::Meta {
            let given = regions::faces(input);
            self.state().give_faces(given);
        }
    }

    /// Attaches the faces that were found to a frame.
    pub(super) fn attach_faces(&self, faces: &[Track], output: &mut gst::BufferRef) {
        if self.settings().face_source != FaceSource::Detect {
            return;
        }
        let scale = self.scale();
        regions::attach(faces, scale, output);
        #[cfg(feature = "v1_24")]
        if let Err(error) = self.first_seen.lock().unwrap().attach(faces, scale, output) {
            gst::warning!(CAT, imp = self, "faces cannot be attached as detections: {error}");
        }
    }

    /// Pixels of the output for each of the input, across and down.
    pub(super) fn scale(&self) -> (f32, f32) {
        let sizes = |pad: &gst::Pad| Some(size(&VideoInfo::from_caps(pad.current_caps()?.as_ref()).ok()?));
        let from_to = sizes(self.obj().sink_pad()).zip(sizes(self.obj().src_pad()));
        from_to.map_or((1.0, 1.0), |(from, to)| {
            (to.width as f32 / from.width as f32, to.height as f32 / from.height as f32)
        })
    }

    /// Lets controllers set what they control to what it is at a frame.
    fn sync(&self, frame: &gst::BufferRef) {
        let segment = self.obj().segment();
        let time = segment.downcast_ref::<gst::ClockTime>().zip(frame.pts());
        let Some(time) = time.and_then(|(segment, pts)| segment.to_stream_time(pts)) else { return };
        if self.obj().sync_values(time).is_err() {
            gst::debug!(CAT, imp = self, "a controller says nothing of {time}");
        }
    }

    /// Posts the statistics when it is time to.
    fn tell_stats(&self, interval: u32) {
        let is_due = {
            let mut told = self.told.lock().unwrap();
            let is_due = told.is_none_or(|told| told.elapsed() >= Duration::from_millis(interval.into()));
            if interval > 0 && is_due {
                *told = Some(Instant::now());
            }
            interval > 0 && is_due
        };
        if is_due {
            let stats = self.stats.lock().unwrap().structure();
            messages::post_stats(self.obj().upcast_ref(), stats);
        }
    }
}

/// Maps the memory of an output.
pub(super) fn writable<'a>(
    output: &'a mut gst::BufferRef,
    info: &VideoInfo,
) -> Result<VideoFrameRef<&'a mut gst::BufferRef>, Failure> {
    let bytes = output.size();
    VideoFrameRef::from_buffer_ref_writable(output, info).map_err(|_| unmapped(bytes, info))
}

/// Why a buffer of so many bytes is no frame of a format.
pub(super) fn unmapped(bytes: usize, info: &VideoInfo) -> Failure {
    let frame = format!("a frame of {} in {} ({} bytes)", size(info), info.format(), info.size());
    Failure::Frame(format!(
        "a buffer of {bytes} bytes is not {frame}: the element that gave it does not keep to its caps"
    ))
}
