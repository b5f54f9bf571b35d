//! Which network `auto` is for video that does not wait.

use std::path::Path;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video::VideoInfo;

use crate::model::registry::{self, Live};

/// How the entry of `fallbacks` begins that says why `auto` passed a network over.
pub const TOO_SLOW: &str = "too slow live on this processor";

/// How the entry of `fallbacks` begins that says why frames that come late are resampled at once.
pub const NO_LIGHT: &str = "no light network";

/// Frames a second of live video that tells no rate: it is usually that of a camera.
const USUAL_RATE: f64 = 30.0;

/// Whether what comes to a pad comes live, as its source says.
pub fn is_live(pad: &gst::Pad) -> bool {
    let mut query = gst::query::Latency::new();
    pad.peer_query(&mut query) && query.result().0
}

/// How long a frame lasts.
pub fn frame(video: &VideoInfo) -> gst::ClockTime {
    gst::ClockTime::from_nseconds((1e9 / rate(video)) as u64)
}

fn rate(video: &VideoInfo) -> f64 {
    match video.fps() {
        rate if rate.numer() > 0 => f64::from(rate.numer()) / f64::from(rate.denom()),
        _ => USUAL_RATE,
    }
}

/// What the video asks of a processor with so many threads, 0 for all.
pub fn demand(video: &VideoInfo, threads: u32) -> Live {
    let rate = rate(video);
    let cores = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    };
    Live { pixels: f64::from(video.width()) * f64::from(video.height()) * rate, cores }
}

/// The network that `auto` is, and a line where the usual one is too slow: it is not taken, or taken for
/// want of the other.
pub fn choose(
    factor: Option<f64>,
    live: Option<Live>,
    beside: Option<&Path>,
) -> (&'static str, Option<String>) {
    let (usual, wanted) = (registry::automatic(factor, None).name, registry::automatic(factor, live).name);
    let Some(Live { pixels, cores }) = live.filter(|_| wanted != usual) else { return (usual, None) };
    let cores = if cores == 1 { "one core".into() } else { format!("{cores} cores") };
    let slow = format!("{TOO_SLOW}: {usual}, for {:.1} million pixels a second on {cores}", pixels / 1e6);
    match registry::resolve(wanted, None, beside) {
        Ok(_) => (wanted, Some(format!("{slow}; name it as the model to have it anyway"))),
        Err(error) => (usual, Some(format!("{slow}, but {error}"))),
    }
}
