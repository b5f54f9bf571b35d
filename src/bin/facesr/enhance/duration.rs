//! A length for frames that come without one.

use std::sync::Mutex;

use gstreamer as gst;
use gstreamer::prelude::*;

/// Shorter is as good as none: decoders write one nanosecond where the rate
/// varies.
const LEAST: gst::ClockTime = gst::ClockTime::from_useconds(1);

/// What a film of a single frame lasts.
const USUAL: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// Gives a frame without a length that of the frame before. Muxers take the
/// length from the next frame wherever there is one, so it counts for the last
/// only, which players leave out when it is zero.
pub fn complete(pad: &gst::Pad) {
    let past = Mutex::new((None, USUAL));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let (Some(gst::PadProbeData::Buffer(buffer)), Ok(mut past)) = (&mut info.data, past.lock()) {
            let (last, usual) = &mut *past;
            if let (Some(last), Some(now)) = (*last, buffer.pts())
                && now > last
            {
                *usual = now - last;
            }
            *last = buffer.pts();
            if buffer.duration().is_none_or(|length| length < LEAST) {
                buffer.make_mut().set_duration(*usual);
            }
        }
        gst::PadProbeReturn::Ok
    });
}
