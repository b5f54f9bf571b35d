//! The whole element with outputs used again, beside a bare session of its network, for scripts: answers every line on the
//! standard input, `WIDTH HEIGHT MODEL PROVIDER PROPERTIES INPUTS`, with a line of JSON.
//!
//! PROVIDER is `cpu` or `openvino:bf16`. INPUTS is a file of frames of three bytes per pixel, PROPERTIES are those of the
//! element, `NAME=VALUE,NAME=VALUE`. All frames go through the session and then through a pipeline around the element, twice
//! in turn, with as many threads as there are cores; the JSON tells the milliseconds of a frame in the mean of both (the first does not count), the share of the picture
//! that was inferred, and how many faces were restored.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_video as gst_video;

use gstfacesr::image::{Size, view};
use gstfacesr::infer::Network;
use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::provider::Choice;
use gstfacesr::infer::runtime;
use gstfacesr::model::contract::Upscaler;
use gstfacesr::model::registry;

#[path = "common/named.rs"]
mod named;
#[path = "common/passage.rs"]
mod passage;

use named::parse_provider;
use passage::Passage;

fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstfacesr::plugin_register_static()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<_> = line.split_whitespace().collect();
        let [width, height, model, provider, properties, inputs] = words[..] else {
            return Err(format!("not six words: `{line}`").into());
        };
        let size = Size::new(width.parse()?, height.parse()?);
        let frames = std::fs::read(inputs)?;
        println!("{}", compare(size, (model, provider), &properties.replace(',', " "), &frames)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// How often both take their turn.
const ROUNDS: u32 = 2;

fn compare(
    size: Size,
    (model, provider): (&str, &str),
    properties: &str,
    frames: &[u8],
) -> Result<String, Box<dyn Error>> {
    let (provider, precision) = parse_provider(provider)?;
    let file = Upscaler::read(&registry::resolve(model, Some(2.0), None)?)?;
    let options = Options { choice: Choice::Only(provider), precision, ..Options::default() };
    let mut network = OnnxNetwork::<u8>::load(runtime::load(None, None)?, &file, &options)?;
    let frames: Vec<&[u8]> = frames.chunks_exact(size.width * size.height * 3).collect();
    let properties = format!(
        "model={model} execution-provider={} precision={} {properties}",
        provider.name(),
        precision.name()
    );
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
    let passage =
        Passage::start(gst_video::VideoFormat::Rgb, size, ("block=true max-buffers=2", properties))?;
    let numbered = frames.iter().enumerate();
    let buffers: Vec<_> =
        numbered.map(|(number, frame)| passage.frame(frame, number)).collect::<Result<_, _>>()?;
    let (count, source) = (buffers.len(), passage.source.clone());
    let feeding = std::thread::spawn(move || {
        for buffer in buffers {
            source.push_buffer(buffer)?;
        }
        source.end_of_stream()
    });
    let (mut started, mut ended) = (Instant::now(), Instant::now());
    for number in 0..count {
        passage.sink.pull_sample()?;
        ended = Instant::now();
        if number == 0 {
            started = ended;
        }
    }
    feeding.join().map_err(|_| "the source failed")??;
    Ok((ended - started, passage.stats()))
}
