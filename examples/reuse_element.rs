//! The whole element with outputs used again, beside a bare session of its network, for scripts: answers every line on the
//! standard input, `WIDTH HEIGHT MODEL PROPERTIES INPUTS`, with a line of JSON.
//!
//! INPUTS is a file of frames of three bytes per pixel, PROPERTIES are those of the element, `NAME=VALUE,NAME=VALUE`. All frames
//! go through the session and then through a pipeline around the element, twice in turn, with as many threads as there are
//! cores; the JSON tells the milliseconds of a frame in the mean of both (the first does not count), the share of the picture
//! that was inferred, and how many faces were restored.

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

/// How often both take their turn.
const ROUNDS: u32 = 2;

fn compare(size: Size, model: &str, properties: &str, frames: &[u8]) -> Result<String, Box<dyn Error>> {
    let file = Upscaler::read(&registry::resolve(model, Some(2.0), None)?)?;
    let options = Options { choice: Choice::Only(Provider::Cpu), ..Options::default() };
    let mut network = OnnxNetwork::<u8>::load(runtime::load(None, None)?, &file, &options)?;
    let frames: Vec<&[u8]> = frames.chunks_exact(size.width * size.height * 3).collect();
    let properties = format!("model={model} execution-provider=cpu {properties}");
    let (mut bare, mut element, mut stats) = (Duration::ZERO, Duration::ZERO, None);
    for _ in 0..ROUNDS {
        let mut started = Instant::now();
        for (number, samples) in frames.iter().enumerate() {
            let picture = view(samples, size, 3, size.width * 3).ok_or("a frame is too short")?;
            network.run(picture, &mut |_| {})?;
            if number == 0 {
                started = Instant::now();
            }
        }
        bare += started.elapsed();
        let (time, told) = play(size, &properties, &frames)?;
        element += time;
        stats = Some(told);
    }
    let stats = stats.ok_or("nothing was played")?;
    let area = stats.get::<gst::Structure>("reuse")?.get::<f64>("area")?;
    let restored = stats.get::<gst::Structure>("faces")?.get::<u64>("restored")?;
    let count = ROUNDS * u32::try_from(frames.len().saturating_sub(1).max(1))?;
    let mean = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(count);
    Ok(format!(
        "{{\"bare\": {}, \"element\": {}, \"area\": {area}, \"restored\": {restored}}}",
        mean(bare),
        mean(element),
    ))
}

/// Plays frames through the element as fast as it goes: the time from the first that comes out to the last, and statistics.
fn play(
    size: Size,
    properties: &str,
    frames: &[&[u8]],
) -> Result<(Duration, gst::Structure), Box<dyn Error>> {
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=source format=time block=true max-buffers=2 ! facesr name=facesr {properties} ! appsink name=sink sync=false"
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
    let numbered = (0..).zip(frames);
    let buffers: Vec<_> =
        numbered.map(|(number, frame)| padded(&info, frame, number)).collect::<Result<_, _>>()?;
    let count = buffers.len();
    pipeline.set_state(gst::State::Playing)?;
    let feeding = std::thread::spawn(move || {
        for buffer in buffers {
            source.push_buffer(buffer)?;
        }
        source.end_of_stream()
    });
    let (mut started, mut ended) = (Instant::now(), Instant::now());
    for number in 0..count {
        sink.pull_sample()?;
        ended = Instant::now();
        if number == 0 {
            started = ended;
        }
    }
    feeding.join().map_err(|_| "the source failed")??;
    let stats = part("facesr")?.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null)?;
    Ok((ended - started, stats))
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
