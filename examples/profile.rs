//! Where the time of a frame goes, for scripts: answers every line on the standard input, `WIDTH HEIGHT KIND EVERY PROPERTIES
//! INPUTS`, with a line of JSON.
//!
//! INPUTS is a file of frames in I420 without gaps, PROPERTIES are those of the element, `NAME=VALUE,NAME=VALUE`. KIND is
//! `file`, or `live` for video that comes live, of which frames get everything all the same. Every EVERYth frame is
//! followed by a run of a bare session of the same network on a picture of the same size. The JSON tells the network, the
//! frames that count (the first two do not) and their mean milliseconds: `frame` and its `stages` as `stats` has them,
//! `beside`, and `bare`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;
use serde_json::{Map, Value, json};

use gstfacesr::image::{Picture, Size};
use gstfacesr::infer::Network;
use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::runtime;
use gstfacesr::model::contract::Upscaler;
use gstfacesr::model::registry;

#[path = "common/passage.rs"]
mod passage;

use passage::Passage;

/// Frames at the start that do not count: the first has no past, and both find memory.
const FIRST: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstfacesr::plugin_register_static()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [width, height, kind, every, properties, inputs] =
            line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            return Err(format!("not six words: `{line}`").into());
        };
        let size = Size::new(width.parse()?, height.parse()?);
        let element = format!("qos=false {}", properties.replace(',', " "));
        println!("{}", profile(size, kind == "live", every.parse()?, &element, &std::fs::read(inputs)?)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Sums over all frames so far, in milliseconds, by name.
fn sums(passage: &Passage) -> Result<Map<String, Value>, Box<dyn Error>> {
    let stats = passage.stats();
    let frames = stats.get::<u64>("frames")?;
    let stages = stats.get::<gst::Structure>("stages-ms")?;
    let mut sums = Map::new();
    for (name, mean) in stages.iter() {
        sums.insert(name.to_string(), json!(mean.get::<f64>()? * frames as f64));
    }
    for name in ["frame-ms", "beside-ms"] {
        sums.insert(name.into(), json!(stats.get::<f64>(name)? * frames as f64));
    }
    sums.insert("restored".into(), json!(stats.get::<gst::Structure>("faces")?.get::<u64>("restored")?));
    Ok(sums)
}

fn profile(
    size: Size,
    is_live: bool,
    every: usize,
    element: &str,
    frames: &[u8],
) -> Result<Value, Box<dyn Error>> {
    let source = format!("is-live={is_live}");
    let passage = Passage::start(gst_video::VideoFormat::I420, size, (&source, element))?;
    let mut alone = None;
    let mut before = Map::new();
    let (mut bare, mut runs, mut count) = (Duration::ZERO, 0, 0);
    for (number, samples) in frames.chunks_exact(size.width * size.height * 3 / 2).enumerate() {
        passage.source.push_buffer(passage.frame(samples, number)?)?;
        passage.sink.pull_sample()?;
        if number + 1 == FIRST {
            before = sums(&passage)?;
        }
        count = (number + 1).saturating_sub(FIRST);
        if number % every == 0 {
            let picture =
                Picture::from_shape_fn((size.height, size.width, 3), |(y, x, _)| samples[y * size.width + x]);
            let network = match &mut alone {
                None => alone.insert(network_of(&passage)?),
                Some(network) => network,
            };
            let started = Instant::now();
            network.run(picture.view(), &mut |_| {})?;
            if number > 0 {
                bare += started.elapsed();
                runs += 1;
            }
        }
    }
    let after = sums(&passage)?;
    let number =
        |sums: &Map<String, Value>, name: &str| sums.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let mean = |name: &str| (number(&after, name) - number(&before, name)) / f64::from(count.max(1) as u32);
    let stages: Map<String, Value> = after
        .keys()
        .filter(|name| !name.ends_with("-ms") && *name != "restored")
        .map(|name| (name.clone(), json!(mean(name))))
        .collect();
    let stats = passage.stats();
    Ok(json!({
        "model": stats.get::<String>("model")?,
        "provider": stats.get::<String>("provider")?,
        "frames": count,
        "frame": mean("frame-ms"),
        "beside": mean("beside-ms"),
        "stages": stages,
        "restored": mean("restored"),
        "bare": bare.as_secs_f64() * 1e3 / f64::from(runs.max(1)),
    }))
}

/// The element's network, in a session that it shares with it.
fn network_of(passage: &Passage) -> Result<OnnxNetwork<u8>, Box<dyn Error>> {
    let model: String = passage.stats().get("model")?;
    let file = Upscaler::read(&registry::resolve(&model, None, None)?)?;
    let threads = passage.facesr.property::<u32>("threads") as usize;
    let options = Options { threads, ..Options::default() };
    Ok(OnnxNetwork::<u8>::load(runtime::load(None, None)?, &file, &options)?)
}
