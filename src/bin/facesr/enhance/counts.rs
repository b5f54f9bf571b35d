//! What has passed through the pipeline, counted from its streaming threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::holes::{Holes, Missing};

/// Plain counters; each is read on its own, so no order between them matters.
#[derive(Default)]
pub struct Counts {
    /// Frames that went into the element.
    decoded: AtomicU64,
    /// Frames that came out of it.
    enhanced: AtomicU64,
    /// Running time of the newest frame that came out, in nanoseconds.
    position: AtomicU64,
    /// Where the stream that lasts longest ends, as far as read, in nanoseconds.
    end: AtomicU64,
    /// Bytes written to OUT, where the program does it itself.
    written: AtomicU64,
    /// The times of the frames that came out.
    holes: Mutex<Holes>,
}

impl Counts {
    /// Counts what goes into and comes out of the element.
    pub fn watch_frames(counts: &Arc<Counts>, into: &gst::Pad, out: &gst::Pad) {
        let shared = counts.clone();
        on_buffer(into, move |_, _| {
            shared.decoded.fetch_add(1, Ordering::Relaxed);
        });
        let shared = counts.clone();
        on_buffer(out, move |pad, buffer| {
            shared.enhanced.fetch_add(1, Ordering::Relaxed);
            if let Some(time) = running_time(pad, buffer.pts()) {
                shared.position.fetch_max(time.nseconds(), Ordering::Relaxed);
                if let Ok(mut holes) = shared.holes.lock() {
                    holes.push(time);
                }
            }
        });
    }

    /// Notes how far the stream that passes `pad` reaches.
    pub fn watch_end(counts: &Arc<Counts>, pad: &gst::Pad) {
        let shared = counts.clone();
        on_buffer(pad, move |pad, buffer| {
            let end = buffer.pts().map(|start| start + buffer.duration().unwrap_or_default());
            if let Some(end) = running_time(pad, end) {
                shared.end.fetch_max(end.nseconds(), Ordering::Relaxed);
            }
        });
    }

    /// Counts bytes that were written to OUT.
    pub fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes written to OUT, where the program does it itself.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Frames that went into the element.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    /// Frames that came out of the element.
    pub fn enhanced(&self) -> u64 {
        self.enhanced.load(Ordering::Relaxed)
    }

    /// Time of the newest enhanced frame.
    pub fn position(&self) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(self.position.load(Ordering::Relaxed))
    }

    /// Frames that are missing among those that came out.
    pub fn missing(&self) -> Option<Missing> {
        self.holes.lock().ok()?.missing()
    }

    /// Where the pictures that came out end, if they have a steady rate.
    pub fn picture_end(&self) -> Option<gst::ClockTime> {
        self.holes.lock().ok()?.end()
    }

    /// Where what could be read of IN ends.
    pub fn end(&self) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(self.end.load(Ordering::Relaxed))
    }
}

fn on_buffer(pad: &gst::Pad, act: impl Fn(&gst::Pad, &gst::Buffer) + Send + Sync + 'static) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
            act(pad, buffer);
        }
        gst::PadProbeReturn::Ok
    });
}

fn running_time(pad: &gst::Pad, time: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(time?)
}
