//! Execution providers beside each other, for scripts: what runs where, whether pictures are the same, and how fast it is. One
//! line of JSON on the standard output for each call.
//!
//!     providers nodes   MODEL PROVIDER
//!     providers compare MODEL WIDTHxHEIGHT ROUNDS PROVIDER PROVIDER [FRAMES]
//!     providers blend   WIDTHxHEIGHT FACTOR BITS MODE [DEVICE]
//!     providers element MODEL WIDTHxHEIGHT FRAMES PROVIDER FACES [FRAMES-OF-FACES] [NAME=VALUE...]
//!
//! PROVIDER is `cpu` or `cuda:fp16`, and for `nodes` and `compare` `cuda:fp16:nhwc`, with channels last, `cuda:fp16:fused`, with biases added by
//! convolutions, or `cuda:fp16:nhwc:fused`. FRAMES is a file of pictures of three bytes a pixel in the size given, of which one
//! after the other is taken; FRAMES-OF-FACES the same in 176x144, each with a face, of which so many are laid over the
//! picture. `blend` holds our own kernels to the standard operators on the processor, in levels, and to their time on the GPU, with
//! temporal mode `balanced` or `quality`; the size is of the input. `compare` runs bare sessions in turn, `element` the whole element and a bare session of its network, the
//! first frame of each not counted: first frame by frame, each waited for (`ms`), then as they come, one looked at while another is
//! made (`flowing_ms`, and `ratio` to the bare session).

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_video as gst_video;
use serde_json::{Value, json};

use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Size, view};
use gstfacesr::infer::Network;
use gstfacesr::infer::onnx::{OnnxNetwork, Options, Trials};
use gstfacesr::infer::provider::Choice;
use gstfacesr::infer::resident::{self, Case, Guard};
use gstfacesr::infer::runtime;
use gstfacesr::model::contract::Upscaler;
use gstfacesr::model::registry;
use gstfacesr::temporal::blend::{GUARDED, KEPT};

#[path = "common/named.rs"]
mod named;
#[path = "common/passage.rs"]
mod passage;

use named::parse_provider;
use passage::Passage;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Size of the pictures with faces, as the fetched clip has it.
const FACE: Size = Size { width: 176, height: 144 };

fn main() -> ExitCode {
    match run() {
        Ok(told) => println!("{told}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run() -> Result<Value> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["nodes", model, provider] => nodes(model, provider),
        ["compare", model, size, rounds, a, b, ref frames @ ..] => {
            compare(model, parse_size(size)?, rounds.parse()?, [a, b], frames.first().copied())
        }
        ["blend", size, factor, bits, mode, ref device @ ..] => {
            let device = device.first().map_or(Ok(0), |device| device.parse())?;
            blend(parse_size(size)?, factor.parse()?, bits.parse()?, mode, device)
        }
        ["element", model, size, frames, provider, faces, ref rest @ ..] => {
            let (properties, files): (Vec<&str>, Vec<&str>) =
                rest.iter().partition(|word| word.contains('='));
            let faces = (faces.parse()?, files.first().copied());
            element(model, parse_size(size)?, frames.parse()?, provider, faces, &properties.join(" "))
        }
        _ => Err("see the first lines of examples/providers.rs".into()),
    }
}

fn parse_size(text: &str) -> Result<Size> {
    let (width, height) = text.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
    Ok(Size::new(width.parse()?, height.parse()?))
}

/// A text without its end, and whether it had that.
fn without<'a>(text: &'a str, end: &str) -> (&'a str, bool) {
    text.strip_suffix(end).map_or((text, false), |text| (text, true))
}

fn load(model: &str, provider: &str) -> Result<OnnxNetwork<u8>> {
    let (provider, fused_bias) = without(provider, ":fused");
    let (provider, channels_last) = without(provider, ":nhwc");
    let (provider, precision) = parse_provider(provider)?;
    let file = Upscaler::read(&registry::resolve(model, Some(2.0), None)?)?;
    let trials = Trials { channels_last, fused_bias };
    let options = Options { choice: Choice::Only(provider), precision, trials, ..Options::default() };
    Ok(OnnxNetwork::load(runtime::load(None, None)?, &file, &options)?)
}

fn nodes(model: &str, provider: &str) -> Result<Value> {
    let network = load(model, provider)?;
    let nodes: BTreeMap<_, _> = network.active().nodes.iter().cloned().collect();
    Ok(json!({ "describe": network.active().describe(), "nodes": nodes }))
}

fn blend(small: Size, scale: usize, bits: u32, mode: &str, device: i32) -> Result<Value> {
    let guard = match mode {
        "balanced" => None,
        "quality" => Some(Guard { kept: KEPT, moving: GUARDED }),
        _ => return Err("a mode is balanced or quality".into()),
    };
    let options = Options { device, ..Options::default() };
    let compared =
        resident::compare(runtime::load(None, None)?, &options, &Case { small, scale, bits, guard })?;
    Ok(json!({
        "worst": compared.worst,
        "kernels_ms": ms(compared.kernels),
        "operators_ms": ms(compared.operators),
    }))
}

/// Waves, edges and a little that changes from frame to frame.
fn scene(size: Size, number: usize) -> Picture<u8> {
    Picture::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
        let (x, y) = (x as f32 + number as f32, y as f32);
        let edge = if ((x / 23.0) as usize + (y / 17.0) as usize).is_multiple_of(2) { 24.0 } else { 0.0 };
        (110.0 + 70.0 * (x / 19.0 + c as f32).sin() * (y / 11.0).cos() + edge) as u8
    })
}

/// Picture `number` of a file of pictures, from the first again after the last.
fn taken(bytes: &[u8], size: Size, number: usize) -> Result<Picture<u8>> {
    let length = size.width * size.height * 3;
    let count = bytes.len() / length;
    let at = number % count.max(1) * length;
    let samples = bytes.get(at..at + length).ok_or("the file holds no picture of this size")?;
    Ok(view(samples, size, 3, size.width * 3).ok_or("a picture is too short")?.to_owned())
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let started = Instant::now();
    Ok((run()?, started.elapsed()))
}

fn infer(network: &mut OnnxNetwork<u8>, picture: &Picture<u8>) -> Result<(Picture<u8>, Duration)> {
    timed(|| {
        let mut made = Picture::default((0, 0, 3));
        network.run(picture.view(), &mut |enlarged| made = enlarged.to_owned())?;
        Ok(made)
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn compare(
    model: &str,
    size: Size,
    rounds: usize,
    providers: [&str; 2],
    file: Option<&str>,
) -> Result<Value> {
    let bytes = file.map(std::fs::read).transpose()?;
    let mut networks = [load(model, providers[0])?, load(model, providers[1])?];
    let (mut times, mut ratios): ([Vec<f64>; 2], _) = (Default::default(), Vec::new());
    let (mut squares, mut count, mut largest) = (0.0, 0, 0);
    for round in 0..=rounds {
        let picture =
            bytes.as_ref().map_or_else(|| Ok(scene(size, round)), |bytes| taken(bytes, size, round))?;
        // Who goes first changes, in case the second finds a warmer machine.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut made: [(Picture<u8>, Duration); 2] = Default::default();
        for at in order {
            made[at] = infer(&mut networks[at], &picture)?;
        }
        let differences = made[0].0.iter().zip(&made[1].0).map(|(a, b)| a.abs_diff(*b));
        for difference in differences {
            squares += f64::from(difference).powi(2);
            largest = largest.max(difference);
            count += 1;
        }
        if round > 0 {
            ratios.push(made[0].1.as_secs_f64() / made[1].1.as_secs_f64());
            times.iter_mut().zip(&made).for_each(|(times, (_, time))| times.push(ms(*time)));
        }
    }
    // Pictures that are the same have no noise to measure.
    let psnr = (squares > 0.0).then(|| 10.0 * (255.0 * 255.0 * f64::from(count) / squares).log10());
    let described = networks.each_ref().map(|network| network.active().describe());
    Ok(
        json!({ "providers": described, "ms": times.map(median), "ratio": median(ratios), "psnr": psnr, "largest": largest }),
    )
}

fn element(
    model: &str,
    size: Size,
    frames: usize,
    provider: &str,
    (faces, file): (usize, Option<&str>),
    properties: &str,
) -> Result<Value> {
    gst::init()?;
    gstfacesr::plugin_register_static()?;
    let mut network = load(model, provider)?;
    let (choice, precision) = parse_provider(provider)?;
    let face_mode = if faces > 0 { "auto" } else { "off" };
    let element = format!(
        "model={model} execution-provider={} precision={} face-mode={face_mode} {properties}",
        choice.name(),
        precision.name()
    );
    let passage = Passage::start(gst_video::VideoFormat::Rgb, size, ("", &element))?;
    let faces_file = file.map(std::fs::read).transpose()?;
    let draw = |number: usize| -> Result<Picture<u8>> {
        let mut picture = scene(size, number);
        if let Some(bytes) = &faces_file {
            lay_over(&mut picture, &taken(bytes, FACE, number)?, faces);
        }
        Ok(picture)
    };
    let (mut alone, mut through, mut resident) = (vec![], vec![], vec![]);
    for number in 0..=frames {
        let picture = draw(number)?;
        let buffer = passage.frame(picture.as_slice().ok_or("a new picture is contiguous")?, number)?;
        let (_, whole) = timed(|| {
            passage.source.push_buffer(buffer)?;
            Ok(passage.sink.pull_sample()?)
        })?;
        // A bare frame for each of the first ones is enough, and leaves the time to the others.
        let bare = (number <= BARE).then(|| infer(&mut network, &picture)).transpose()?;
        if number > 0 {
            through.push(ms(whole));
            if let Some((_, bare)) = bare {
                alone.push(ms(bare));
            }
        }
        if number % frames.div_ceil(10).max(1) == 0 {
            resident.push(resident_mib());
        }
    }
    let stats = passage.stats();
    let stages = stats.get::<gst::Structure>("stages-ms")?;
    let stages: BTreeMap<String, f64> =
        stages.iter().filter_map(|(name, value)| Some((name.to_string(), value.get().ok()?))).collect();
    let restored = stats.get::<gst::Structure>("faces")?.get::<u64>("restored")?;
    let (flowing, alone) = (flowing(size, frames, &element, draw)?, median(alone));
    let told = json!({
        "provider": stats.get::<String>("provider")?, "ms": median(through), "bare_ms": alone,
        "flowing_ms": flowing, "ratio": alone / flowing, "stages_ms": stages, "restored": restored, "tiles": stats.get::<u64>("tiles")?,
        "frames": stats.get::<u64>("frames")?, "resident_mib": resident, "large_picture": stats.get::<String>("large-picture")?,
        "fallbacks": stats.get::<gst::Array>("fallbacks")?.iter().filter_map(|reason| reason.get().ok()).collect::<Vec<String>>(),
    });
    Ok(told)
}

/// Frames that are inferred by the bare session, too.
const BARE: usize = 30;
/// Frames that flow, at most, after the first ones, which do not count.
const FLOWING: usize = 60;
const FIRST: usize = 3;

/// Milliseconds a frame where nobody waits for one before the next goes in.
fn flowing(
    size: Size,
    frames: usize,
    element: &str,
    draw: impl Fn(usize) -> Result<Picture<u8>>,
) -> Result<f64> {
    let properties = format!("{element} frames-in-flight=1");
    let passage = Passage::start(gst_video::VideoFormat::Rgb, size, ("", &properties))?;
    let counted = frames.min(FLOWING);
    // The last one stays in flight.
    let buffers = (0..=FIRST + counted).map(|number| {
        let picture = draw(number)?;
        passage.frame(picture.as_slice().ok_or("a new picture is contiguous")?, number)
    });
    for buffer in buffers.collect::<Result<Vec<_>>>()? {
        passage.source.push_buffer(buffer)?;
    }
    for _ in 0..FIRST {
        passage.sink.pull_sample()?;
    }
    let (_, time) = timed(|| (0..counted).try_for_each(|_| Ok(passage.sink.pull_sample().map(drop)?)))?;
    Ok(ms(time) / counted as f64)
}

/// Lays so many copies of a picture over another one, at most four beside each other.
fn lay_over(picture: &mut Picture<u8>, face: &Picture<u8>, count: usize) {
    let (height, width, _) = picture.dim();
    let columns = count.clamp(1, 4);
    let across = width / columns;
    let size = Size::new(across, (across * FACE.height / FACE.width).min(height));
    let face = Resampler::default().resize(face.view(), size);
    for number in 0..count {
        let (left, top) = (number % columns * size.width, number / columns * size.height);
        for ((y, x, c), &sample) in face.indexed_iter() {
            if let Some(place) = picture.get_mut((top + y, left + x, c)) {
                *place = sample;
            }
        }
    }
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
