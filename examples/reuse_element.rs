//! The whole element with outputs used again, beside a bare session of its network, for scripts: answers every line on the
//! standard input, `WIDTH HEIGHT MODEL PROPERTIES INPUTS`, with a line of JSON.
//!
//! INPUTS is a file of frames of three bytes per pixel, PROPERTIES are those of the element, `NAME=VALUE,NAME=VALUE`. Each frame
//! goes through a pipeline around the element and through the session in turn, with as many threads as there are cores; the
//! JSON tells the milliseconds of a frame in the mean of both (the first does not count), the share of the picture that
//! was inferred, and how many faces were restored.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use gstfacesr::image::{Size, view};
use gstfacesr::infer::Network;
use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime;
use gstfacesr::model::contract::Upscaler;
use gstfacesr::model::registry;

fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstfacesr::plugin_register_static()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [width, height, model, properties, inputs] = line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            return Err(format!("not five words: `{line}`").into());
        };
        let size = Size::new(width.parse()?, height.parse()?);
        println!("{}", compare(size, model, &properties.replace(',', " "), &std::fs::read(inputs)?)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn compare(size: Size, model: &str, properties: &str, frames: &[u8]) -> Result<String, Box<dyn Error>> {
    let file = Upscaler::read(&registry::resolve(model, Some(2.0), None)?)?;
    let options = Options { choice: Choice::Only(Provider::Cpu), ..Options::default() };
    let mut network = OnnxNetwork::<u8>::load(runtime::load(None, None)?, &file, &options)?;
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=source format=time ! facesr name=facesr model={model} execution-provider=cpu {properties} ! appsink name=sink sync=false"
    ))?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
    let part = |name: &str| pipeline.by_name(name).ok_or("an element is missing");
    let source = part("source")?.downcast::<gst_app::AppSrc>().map_err(|_| "no source")?;
    let sink = part("sink")?.downcast::<gst_app::AppSink>().map_err(|_| "no sink")?;
    let info =
        gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, size.width as u32, size.height as u32)
            .fps(gst::Fraction::new(25, 1))
            .build()?;
    source.set_caps(Some(&info.to_caps()?));
    pipeline.set_state(gst::State::Playing)?;
    let (mut bare, mut element, mut count) = (Duration::ZERO, Duration::ZERO, 0);
    for (number, samples) in frames.chunks_exact(size.width * size.height * 3).enumerate() {
        let buffer = padded(&info, samples, number as u64)?;
        let started = Instant::now();
        source.push_buffer(buffer)?;
        sink.pull_sample()?;
        let through = started.elapsed();
        let picture = view(samples, size, 3, size.width * 3).ok_or("a frame is too short")?;
        let started = Instant::now();
        network.run(picture, &mut |_| {})?;
        let alone = started.elapsed();
        if number > 0 {
            bare += alone;
            element += through;
            count += 1;
        }
    }
    let stats = part("facesr")?.property::<gst::Structure>("stats");
    let reuse = stats.get::<gst::Structure>("reuse")?;
    let restored = stats.get::<gst::Structure>("faces")?.get::<u64>("restored")?;
    pipeline.set_state(gst::State::Null)?;
    let mean = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(count.max(1));
    Ok(format!(
        "{{\"bare\": {}, \"element\": {}, \"area\": {}, \"restored\": {restored}}}",
        mean(bare),
        mean(element),
        reuse.get::<f64>("area")?
    ))
}

/// A frame whose rows lie as the caps say.
fn padded(info: &gst_video::VideoInfo, samples: &[u8], number: u64) -> Result<gst::Buffer, Box<dyn Error>> {
    let (row, stride) = (info.width() as usize * 3, info.stride()[0] as usize);
    let mut bytes = vec![0; info.size()];
    let rows = bytes.chunks_mut(stride).zip(samples.chunks_exact(row));
    rows.for_each(|(to, from)| to[..row].copy_from_slice(from));
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let writable = buffer.get_mut().ok_or("a new buffer is shared")?;
    writable.set_pts(gst::ClockTime::from_mseconds(40 * number));
    writable.set_duration(gst::ClockTime::from_mseconds(40));
    Ok(buffer)
}
