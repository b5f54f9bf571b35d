//! What is done to clips so that there is something to restore.

use std::error::Error;
use std::f32::consts::TAU;

use gstfacesr::image::Picture;
use gstreamer_app::gst;
use gstreamer_app::gst::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

/// Noise and quality of a badly kept small video.
const NOISE: f32 = 4.0;
const QUALITY: i32 = 40;

/// Normal noise of a deviation, the same every time, by Box and Muller.
pub fn noisy(deviation: f32, picture: &Picture<u8>, seed: &mut u64) -> Picture<u8> {
    let mut uniform = || {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        ((*seed >> 11) as f32 / (1_u64 << 53) as f32).max(1e-9)
    };
    picture.mapv(|sample| {
        let normal = (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos();
        (f32::from(sample) + deviation * normal + 0.5) as u8
    })
}

/// Smaller by a whole factor (means), with noise of deviation 4, as JPEG of quality 40.
pub fn medium(picture: &Picture<u8>, factor: usize, seed: &mut u64) -> Result<Picture<u8>, Box<dyn Error>> {
    let (height, width, channels) = picture.dim();
    let small = Picture::from_shape_fn((height / factor, width / factor, channels), |(y, x, c)| {
        let part = ndarray::s![y * factor..(y + 1) * factor, x * factor..(x + 1) * factor, c];
        let sum: u32 = picture.slice(part).iter().map(|&sample| u32::from(sample)).sum();
        ((sum as f32 / (factor * factor) as f32) + 0.5) as u8
    });
    jpeg(&noisy(NOISE, &small, seed))
}

/// There and back.
fn jpeg(picture: &Picture<u8>) -> Result<Picture<u8>, Box<dyn Error>> {
    gst::init()?;
    let (height, width, _) = picture.dim();
    // Every row of a buffer of GStreamer begins at a multiple of four bytes; RGBx needs no such care.
    let bytes: Vec<u8> = picture.rows().into_iter().flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let text = format!(
        "appsrc name=from format=time caps=video/x-raw,format=RGBx,width={width},height={height},framerate=25/1 ! videoconvert ! jpegenc quality={QUALITY} ! jpegdec ! videoconvert ! video/x-raw,format=RGBx ! appsink name=to sync=false"
    );
    let pipeline = gst::parse::launch(&text)?.downcast::<gst::Pipeline>().expect("it is a pipeline");
    let from = pipeline.by_name("from").and_downcast::<AppSrc>().ok_or("jpegenc takes no frames")?;
    let to = pipeline.by_name("to").and_downcast::<AppSink>().ok_or("jpegdec gives no frames")?;
    pipeline.set_state(gst::State::Playing)?;
    from.push_buffer(gst::Buffer::from_slice(bytes))?;
    from.end_of_stream()?;
    let sample = to.pull_sample();
    let frame = sample.as_ref().ok().and_then(|sample| sample.buffer()?.map_readable().ok());
    let made = frame.map(|map| {
        let at = |y, x, c| map.as_slice()[4 * (y * width + x) + c];
        Picture::from_shape_fn((height, width, 3), |(y, x, c)| at(y, x, c))
    });
    pipeline.set_state(gst::State::Null)?;
    made.ok_or_else(|| "a frame did not survive JPEG".into())
}
