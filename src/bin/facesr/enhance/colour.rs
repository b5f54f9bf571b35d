//! Who is believed about the range of colours: the container or the video.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video::{VideoColorRange, VideoColorimetry, VideoInfo};

/// Takes the colours that a container states off what passes `pad`, so that the
/// decoder looks for them in the video itself. Answers whether they were of
/// limited range, known once the caps have passed.
pub fn forget(pad: &gst::Pad) -> Arc<AtomicBool> {
    let limited = Arc::new(AtomicBool::new(false));
    let seen = limited.clone();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(stated) =
                caps.caps().structure(0).and_then(|caps| caps.get::<&str>("colorimetry").ok())
        {
            seen.store(
                stated
                    .parse()
                    .is_ok_and(|colour: VideoColorimetry| colour.range() == VideoColorRange::Range16_235),
                Ordering::Relaxed,
            );
            let mut caps = caps.caps_owned();
            caps.make_mut().iter_mut().for_each(|caps| caps.remove_field("colorimetry"));
            *event = gst::event::Caps::new(&caps);
        }
        gst::PadProbeReturn::Ok
    });
    limited
}

/// Whether a decoded picture uses all values from 0 up.
pub fn is_full_range(picture: &gst::Caps) -> bool {
    VideoInfo::from_caps(picture)
        .is_ok_and(|info| info.is_yuv() && info.colorimetry().range() == VideoColorRange::Range0_255)
}
