//! Frames from fields, one for one.

use std::collections::VecDeque;
use std::sync::Mutex;

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::failure::Failure;

/// What the element `deinterlace` works on; anything else it hands through with
/// its fields as they are.
pub const FORMATS: &str = "video/x-raw,format=(string){Y444,Y42B,I420}";

/// How fields become frames.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deinterlace {
    /// One frame per frame.
    Frames,
    /// One frame per field, at twice the rate.
    Fields,
}

impl Deinterlace {
    /// The element. Its methods with a memory give the right pictures in the
    /// right order, but with the times of their neighbours and the last one more
    /// than once; so the n-th picture gets the n-th time here, and what is left
    /// over is dropped.
    pub fn element(self) -> Result<gst::Element, Failure> {
        let element = super::parts::make("deinterlace")?;
        element.set_property_from_str("method", "greedyh");
        let per_frame = match self {
            Deinterlace::Frames => {
                element.set_property_from_str("fields", "top");
                1
            }
            Deinterlace::Fields => {
                element.set_property_from_str("fields", "all");
                // Progressive frames in between also count twice then, which
                // keeps the rate constant.
                element.set_property_from_str("mode", "interlaced");
                2
            }
        };
        if let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src")) {
            restamp(&sink, &src, per_frame);
        }
        Ok(element)
    }
}

type Times = Option<(Option<gst::ClockTime>, Option<gst::ClockTime>)>;

fn restamp(sink: &gst::Pad, src: &gst::Pad, per_frame: u64) {
    let times = std::sync::Arc::new(Mutex::new(VecDeque::new()));
    let seen = times.clone();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let (Some(gst::PadProbeData::Buffer(buffer)), Ok(mut seen)) = (&info.data, seen.lock()) {
            let length = buffer.duration().map(|length| length / per_frame);
            for part in 0..per_frame {
                seen.push_back((buffer.pts().map(|start| start + length.unwrap_or_default() * part), length));
            }
        }
        gst::PadProbeReturn::Ok
    });
    src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let time: Times = times.lock().ok().and_then(|mut times| times.pop_front());
        match (&mut info.data, time) {
            (Some(gst::PadProbeData::Buffer(buffer)), Some((start, length))) => {
                let buffer = buffer.make_mut();
                buffer.set_pts(start);
                buffer.set_duration(length);
                gst::PadProbeReturn::Ok
            }
            _ => gst::PadProbeReturn::Drop,
        }
    });
}
