//! A length for frames that come without one.

use std::sync::Mutex;

use gstreamer as gst;
use gstreamer::prelude::*;

/// Shorter is as good as none: decoders write one nanosecond where the rate
/// varies.
const LEAST: gst::ClockTime = gst::ClockTime::from_useconds(1);

/// What a film of a single frame lasts.
const USUAL: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// Gives a frame without a length that of the shortest so far. Muxers take the length from the next frame wherever
/// there is one, so it counts for the last only, which players leave out when it is zero; one after a long pause that lasted
/// as long as the pause would reach past the end of the film, and lengthen it.
pub fn complete(pad: &gst::Pad) {
    let lengths = Mutex::new(Lengths::default());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let (Some(gst::PadProbeData::Buffer(buffer)), Ok(mut lengths)) = (&mut info.data, lengths.lock()) {
            let length = lengths.next(buffer.pts());
            if buffer.duration().is_none_or(|length| length < LEAST) {
                buffer.make_mut().set_duration(length);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// How far apart frames were.
#[derive(Default)]
struct Lengths {
    last: Option<gst::ClockTime>,
    shortest: Option<gst::ClockTime>,
}

impl Lengths {
    /// The length of a frame at `time`.
    fn next(&mut self, time: Option<gst::ClockTime>) -> gst::ClockTime {
        let gap = self.last.zip(time).and_then(|(last, now)| now.checked_sub(last));
        if let Some(gap) = gap.filter(|gap| *gap >= LEAST) {
            self.shortest = Some(self.shortest.map_or(gap, |shortest| shortest.min(gap)));
        }
        self.last = time;
        self.shortest.unwrap_or(USUAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(times: &[u64], expected: &[u64]) {
        let mut lengths = Lengths::default();
        let found: Vec<_> = times
            .iter()
            .map(|time| lengths.next(Some(gst::ClockTime::from_mseconds(*time))).mseconds())
            .collect();
        assert_eq!(found, expected, "{times:?}");
    }

    #[test]
    fn no_frame_lasts_as_long_as_the_pause_before_it() {
        check(&[0, 20, 40], &[40, 20, 20]);
        check(&[0, 40, 80, 20_080, 20_120], &[40, 40, 40, 40, 40]);
        check(&[0, 1000, 2000], &[40, 1000, 1000]);
        // Repeated and reversed times tell nothing.
        check(&[80, 80, 40, 70], &[40, 40, 40, 30]);
    }
}
