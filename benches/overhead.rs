//! What the element costs beyond its network: a pipeline around `facesr` against a bare loop
//! over a session of the same network on the same frames, frame by frame in turn, so that
//! both meet the same moods of the machine.
//!
//!     cargo bench --bench overhead [-- FRAMES]

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use gstfacesr::image::{Picture, Sample};
use gstfacesr::infer::Network;
use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime;
use gstfacesr::model::contract::Upscaler;
use gstfacesr::model::registry;

const WIDTH: usize = 640;
const HEIGHT: usize = 360;

/// Enough pairs for a median that a single disturbance does not move.
const FRAMES: usize = 11;

/// A pipeline that takes one frame and gives one back.
struct Pipeline {
    pipeline: gst::Pipeline,
    src: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Pipeline {
    fn new(element: &str, format: gst_video::VideoFormat) -> Self {
        let text = format!("appsrc name=src format=time ! {element} ! appsink name=sink sync=false");
        let pipeline = gst::parse::launch(&text).expect("the elements are there");
        let pipeline = pipeline.downcast::<gst::Pipeline>().expect("it is a pipeline");
        let src = pipeline.by_name("src").and_downcast::<gst_app::AppSrc>().expect("there is a source");
        let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().expect("there is a sink");
        let info = gst_video::VideoInfo::builder(format, WIDTH as u32, HEIGHT as u32).build();
        src.set_caps(Some(&info.and_then(|info| info.to_caps()).expect("the caps are valid")));
        pipeline.set_state(gst::State::Playing).expect("the pipeline starts");
        Self { pipeline, src, sink }
    }

    fn run(&self, frame: gst::Buffer) -> Duration {
        let started = Instant::now();
        self.src.push_buffer(frame).expect("the pipeline takes a frame");
        self.sink.pull_sample().expect("the pipeline gives a frame");
        started.elapsed()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A frame of I420 with a moving pattern.
fn frame(number: usize) -> gst::Buffer {
    let size = WIDTH * HEIGHT * 3 / 2;
    let samples: Vec<u8> = (0..size).map(|at| ((at % 251) + (at / WIDTH) * 3 + number * 7) as u8).collect();
    let mut buffer = gst::Buffer::from_mut_slice(samples);
    buffer.get_mut().expect("it is new").set_pts(gst::ClockTime::from_mseconds(number as u64 * 40));
    buffer
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    gst::init().expect("GStreamer starts");
    gstfacesr::plugin_register_static().expect("the element registers");
    let frames = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(FRAMES);

    let model = registry::resolve("span-x2", None, None).expect("`make models` fetches it");
    let model = Upscaler::read(&model).expect("it is a model");
    let runtime = runtime::load(None, None).expect("`make runtime` fetches it");
    let options = Options { choice: Choice::Only(Provider::Cpu), ..Options::default() };
    let mut network = OnnxNetwork::<u8>::load(runtime, &model, &options).expect("it loads");
    let picture =
        Picture::from_shape_fn((HEIGHT, WIDTH, 3), |(y, x, c)| u8::from_f32(((x + y * 3 + c) % 251) as f32));
    let mut bare = || {
        let started = Instant::now();
        network.run(picture.view(), &mut |_| {}).expect("it runs");
        started.elapsed()
    };

    let pipeline = Pipeline::new(
        "facesr model=span-x2 execution-provider=cpu temporal-mode=off face-mode=off",
        gst_video::VideoFormat::I420,
    );
    bare();
    pipeline.run(frame(0));
    let mut ratios = Vec::new();
    let (mut in_pipeline, mut in_loop) = (Vec::new(), Vec::new());
    for number in 1..=frames {
        // Who goes first changes, in case the second finds a warmer machine.
        let (element, alone) = if number % 2 == 0 {
            let element = pipeline.run(frame(number));
            (element, bare())
        } else {
            let alone = bare();
            (pipeline.run(frame(number)), alone)
        };
        ratios.push(alone.as_secs_f64() / element.as_secs_f64());
        in_pipeline.push(element.as_secs_f64());
        in_loop.push(alone.as_secs_f64());
    }
    let total: (f64, f64) = (in_loop.iter().sum(), in_pipeline.iter().sum());
    println!("span-x2, {WIDTH}x{HEIGHT}, CPU, {frames} frames each, in turn");
    println!(
        "  bare loop  {:.3} fps (median {:.1} ms a frame)",
        frames as f64 / total.0,
        median(in_loop) * 1e3
    );
    println!(
        "  pipeline   {:.3} fps (median {:.1} ms a frame)",
        frames as f64 / total.1,
        median(in_pipeline) * 1e3
    );
    println!(
        "  pipeline / bare loop: {:.3} (of the sums), {:.3} (median of pairs)",
        total.0 / total.1,
        median(ratios)
    );
    drop(pipeline);
    live(&mut bare);
    memory(2_000);
}

/// The whole element with the networks for live video, against the bare session of the faithful one.
fn live(bare: &mut dyn FnMut() -> Duration) {
    const ROUNDS: usize = 5;
    const FRAMES: usize = 20;
    let kinds = [("facesr-live-x2", "off"), ("facesr-live-x2", "fast"), ("facesr-live-x2-int8", "fast")];
    let pipelines = kinds.map(|(model, mode)| {
        let element =
            format!("facesr model={model} execution-provider=cpu temporal-mode={mode} face-mode=off");
        let pipeline = Pipeline::new(&element, gst_video::VideoFormat::I420);
        pipeline.run(frame(0));
        pipeline
    });
    let mut ratios: [Vec<f64>; 3] = Default::default();
    let mut took = [Duration::ZERO; 3];
    for round in 0..ROUNDS {
        let alone = bare();
        for (at, pipeline) in pipelines.iter().enumerate() {
            let frames = 1 + round * FRAMES..1 + (round + 1) * FRAMES;
            let sum: Duration = frames.map(|number| pipeline.run(frame(number))).sum();
            ratios[at].push(alone.as_secs_f64() * FRAMES as f64 / sum.as_secs_f64());
            took[at] += sum;
        }
    }
    println!(
        "element, {WIDTH}x{HEIGHT}, CPU, {ROUNDS} times {FRAMES} frames, against a bare frame of span-x2"
    );
    for (((model, mode), ratios), took) in kinds.into_iter().zip(ratios).zip(took) {
        println!(
            "  {model:<20} temporal-mode={mode:<5} {:.1} fps, {:.1} times the frames (median of rounds)",
            (ROUNDS * FRAMES) as f64 / took.as_secs_f64(),
            median(ratios)
        );
    }
}

/// Resident memory over many frames of a network that does next to nothing.
fn memory(frames: usize) {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let element = format!("facesr model={model} execution-provider=cpu temporal-mode=off face-mode=off");
    let pipeline = Pipeline::new(&element, gst_video::VideoFormat::I420);
    let mut took = Duration::ZERO;
    let mut resident = Vec::new();
    for number in 0..frames {
        took += pipeline.run(frame(number));
        if (number + 1) % (frames / 10) == 0 {
            resident.push(resident_mib());
        }
    }
    println!(
        "nearest-x2, {WIDTH}x{HEIGHT}, {frames} frames: {:.2} ms a frame",
        took.as_secs_f64() * 1e3 / frames as f64
    );
    println!("  resident MiB after each tenth: {resident:.1?}");
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
