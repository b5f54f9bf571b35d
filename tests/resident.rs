//! The large picture on the device, held to what the host makes of the same frames. Needs what `make setup` leaves in the cache;
//! the processor is the device here.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use gstfacesr::enhance::{Controls, Effort, Enhancer, OnDevice, Place, Planned, Report, Residency, Settings};
use gstfacesr::face;
use gstfacesr::image::planar::Planar;
use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Sample, Size};
use gstfacesr::infer::onnx::{OnnxNetwork, Options, TensorSample};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::resident::{Deliver, Guard, Resident};
use gstfacesr::infer::tile::{Limits, Tiler};
use gstfacesr::infer::{InferError, runtime};
use gstfacesr::model::contract::Upscaler as File;
use gstfacesr::model::registry;
use gstfacesr::temporal::blend::{Blend, GUARDED, KEPT};
use gstfacesr::temporal::{Look, Mode};
use gstfacesr::upscale::Upscaler;

const GUARD: Guard = Guard { kept: KEPT, moving: GUARDED };

fn tiny(name: &str) -> File {
    File::read(&Path::new("models/tiny").join(format!("{name}.onnx"))).unwrap()
}

fn ort() -> &'static runtime::Runtime {
    runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache")
}

fn options() -> Options {
    Options { choice: Choice::Only(Provider::Cpu), ..Options::default() }
}

fn random(seed: usize) -> f32 {
    let mut bits = (seed as u32).wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
    for _ in 0..3 {
        bits = (bits ^ bits >> 15).wrapping_mul(0x2c1b_3c6d);
    }
    (bits >> 8) as f32 / (1 << 24) as f32
}

/// Noise over waves, other in each frame.
fn scene<S: Sample>(size: Size, frame: usize) -> Picture<S> {
    Picture::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
        let wave = ((x + frame) as f32 * 0.4 + c as f32).sin() * (y as f32 * 0.3).cos() * 0.35 + 0.4;
        S::from_f32((wave + 0.25 * random(((frame * 3 + c) * 611 + y) * 977 + x)) * S::WHITE)
    })
}

/// Where motion of a kind leads, in pixels of the small picture.
type Motion = fn(at: usize) -> [f32; 2];

const MOTIONS: [(&str, Motion); 6] = [
    ("none", |_| [0.0, 0.0]),
    ("whole", |_| [3.0, -2.0]),
    ("fractions", |_| [0.3, -1.45]),
    ("each its own", |at| [at, at + 7].map(|at| (random(at) - 0.5) * 6.0)),
    ("far outside", |at| [at, at + 9].map(|at| (random(at) - 0.5) * 4000.0)),
    ("no numbers", |at| [[f32::NAN, 1.0], [0.5, f32::INFINITY], [f32::NEG_INFINITY, 0.0]][at % 3]),
];

fn maps(size: Size, motion: Motion, frame: usize) -> Planar<4> {
    let mut maps = Planar::new(size);
    maps.fill_with(|x, y| {
        let at = (frame * 1009 + y) * 331 + x;
        let [u, v] = motion(at);
        // From nothing of the past to nothing but it, both ends included.
        let share = (random(at + 5) * 1.4 - 0.2).clamp(0.0, 1.0);
        [u, v, share, random(at + 11) * 3.0]
    });
    maps
}

/// The same network and the same past, on the host and on the device.
struct Both<S> {
    host: Upscaler<S>,
    device: Resident<S>,
    blend: Blend,
    large: Size,
}

impl<S: TensorSample> Both<S> {
    fn new(file: &File, small: Size, mode: Mode) -> Self {
        let network = OnnxNetwork::<S>::load(ort(), file, &options()).unwrap();
        let limits = Limits { pixels: 1 << 30, overlap: 0 };
        let host = Upscaler::new(Box::new(network), Tiler::new(limits));
        let large = small.times(host.scale());
        let guard = (mode == Mode::Quality).then_some(GUARD);
        let device = Resident::<S>::load(ort(), file, host.scale(), guard, &options()).unwrap();
        Self { blend: Blend::new(small, large, mode), host, device, large }
    }

    fn picture(&self) -> Picture<S> {
        Picture::from_elem((self.large.height, self.large.width, 3), S::from_f32(7.0))
    }

    fn begin(&mut self, input: &Picture<S>) -> [Picture<S>; 2] {
        let (mut host, mut device) = (self.picture(), self.picture());
        self.host.run(input.view(), host.view_mut()).unwrap();
        self.blend.begin(&mut host.view_mut());
        let levels = self.device.upscale(input.view(), None).unwrap();
        self.device.begin(levels, Deliver::Later).unwrap().give(device.view_mut()).unwrap();
        [host, device]
    }

    fn blend(&mut self, input: &Picture<S>, maps: &Planar<4>) -> [Picture<S>; 2] {
        let (mut host, mut device) = (self.picture(), self.picture());
        self.host.run(input.view(), host.view_mut()).unwrap();
        self.blend.blend(maps, &mut host.view_mut());
        let levels = self.device.upscale(input.view(), None).unwrap();
        self.device.blend(levels, maps, Deliver::Later).unwrap().give(device.view_mut()).unwrap();
        [host, device]
    }

    fn repeat(&mut self) -> [Picture<S>; 2] {
        let (mut host, mut device) = (self.picture(), self.picture());
        self.blend.repeat(&mut host.view_mut());
        self.device.repeat(Deliver::Now).unwrap().give(device.view_mut()).unwrap();
        [host, device]
    }
}

/// Every operator rounds as the host does, so there is nothing to tolerate on the processor.
fn assert_same<S: Sample>([host, device]: &[Picture<S>; 2], about: &str) {
    let differences = host.iter().zip(device).map(|(a, b)| (a.to_f32() - b.to_f32()).abs());
    let worst = differences.fold(0.0, f32::max);
    assert!(host == device, "{about}: {worst} levels at most");
}

/// Several frames in a row, repetitions and a cut.
fn check<S: TensorSample>(file: &File, size: Size, mode: Mode, motion: (&str, Motion)) {
    let mut both = Both::<S>::new(file, size, mode);
    for frame in 0..7 {
        let input = scene::<S>(size, frame);
        let about = format!("{} {size} {mode:?} {} frame {frame}", file.name, motion.0);
        let made = match frame {
            0 | 4 => both.begin(&input),
            _ => both.blend(&input, &maps(size, motion.1, frame)),
        };
        assert_same(&made, &about);
        let repeated = both.repeat();
        assert_same(&[made[1].clone(), repeated[1].clone()], &about);
    }
}

#[test]
fn what_is_blended_on_the_device_is_what_the_host_blends_bit_for_bit() {
    // Every factor with every motion would take minutes; each size has one.
    let names = ["nearest-x2", "nearest-x3", "identity-x1"];
    for (width, height) in [(16, 16), (33, 17), (1, 5), (50, 41), (7, 2)] {
        let file = tiny(names[(width + height) % names.len()]);
        for mode in [Mode::Balanced, Mode::Quality] {
            for motion in MOTIONS {
                check::<u8>(&file, Size::new(width, height), mode, motion);
                check::<u16>(&file, Size::new(width, height), mode, motion);
            }
        }
    }
}

#[test]
fn every_kind_of_network_gives_on_the_device_what_it_gives_to_the_host() {
    fn check<S: TensorSample>(name: &str) {
        let file = tiny(name);
        let mut both = Both::<S>::new(&file, Size::new(48, 32), Mode::Balanced);
        let [host, device] = both.begin(&scene::<S>(Size::new(48, 32), 1));
        assert_eq!(host, device, "{name}");
    }
    for name in ["half-x2", "fixed-x2", "multiple4-x2", "range255-x2", "nearest-x2", "bilinear-x2"] {
        check::<u8>(name);
        check::<u16>(name);
    }
}

#[test]
fn a_network_of_the_registry_gives_the_same_frames_on_the_device() {
    let path = registry::resolve("span-x2", None, None).expect("`make models` fetches every network");
    let file = File::read(&path).unwrap();
    for (size, motion) in [(Size::new(67, 45), MOTIONS[2]), (Size::new(96, 64), MOTIONS[3])] {
        check::<u8>(&file, size, Mode::Balanced, motion);
    }
}

#[test]
fn a_frame_moves_its_input_its_maps_and_its_finished_samples_and_nothing_else() {
    fn check<S: TensorSample>(size: Size) {
        let mut both = Both::<S>::new(&tiny("nearest-x2"), size, Mode::Balanced);
        let (small, large) = (size.width * size.height, both.large.width * both.large.height);
        let sample = size_of::<S>();
        both.begin(&scene::<S>(size, 0));
        for frame in 1..4 {
            let before = both.device.moved();
            both.blend(&scene::<S>(size, frame), &maps(size, MOTIONS[2].1, frame));
            let after = both.device.moved();
            assert_eq!(after.in_bytes - before.in_bytes, small * 3 * sample + small * 16);
            // The number that tells whether all of the network's were.
            assert_eq!(after.out_bytes - before.out_bytes, large * 3 * sample + 4);
        }
        let before = both.device.moved();
        both.repeat();
        assert_eq!(both.device.moved().in_bytes, before.in_bytes);
        assert_eq!(both.device.moved().out_bytes - before.out_bytes, large * 3 * sample);
    }
    for (width, height) in [(16, 16), (33, 17)] {
        check::<u8>(Size::new(width, height));
        check::<u16>(Size::new(width, height));
    }
}

#[test]
fn values_that_are_no_numbers_are_told_and_a_picture_of_the_host_takes_their_place() {
    let size = Size::new(20, 13);
    let file = tiny("nan-x2");
    let mut both = Both::<u8>::new(&file, size, Mode::Balanced);
    let calm = |frame| scene::<u8>(size, frame).mapv(|sample| sample.min(200));
    both.begin(&calm(0));
    let mut input = calm(1);
    input[(3, 4, 0)] = 255;
    assert!(matches!(both.device.upscale(input.view(), None), Err(InferError::NotFinite)));
    let resampled = Resampler::default().resize(input.view(), both.large);
    let levels = both.device.take_in(resampled.view()).unwrap();
    let (mut host, mut device) = (resampled.clone(), both.picture());
    let maps = maps(size, MOTIONS[2].1, 1);
    both.blend.blend(&maps, &mut host.view_mut());
    both.device.blend(levels, &maps, Deliver::Now).unwrap().give(device.view_mut()).unwrap();
    assert_same(&[host, device], "in its place");
    // The past was not lost by it.
    assert_same(&both.blend(&calm(2), &maps), "after it");
}

#[test]
fn without_a_past_a_blend_begins_and_another_size_has_none() {
    let file = tiny("nearest-x2");
    let size = Size::new(18, 11);
    let mut both = Both::<u8>::new(&file, size, Mode::Balanced);
    let maps = maps(size, MOTIONS[2].1, 1);
    let [host, device] = both.blend(&scene(size, 0), &maps);
    assert_eq!(host, device);
    assert!(both.device.has_past());
    both.device.forget();
    let alone = Both::<u8>::new(&file, size, Mode::Balanced).begin(&scene(size, 1));
    assert_eq!(both.blend(&scene(size, 1), &maps)[1], alone[1]);
    both.device.upscale(scene(Size::new(9, 9), 0).view(), None).unwrap();
    assert!(!both.device.has_past());
}

#[test]
fn a_cancelled_run_ends_with_its_own_error_and_the_next_one_works() {
    let size = Size::new(18, 11);
    let mut both = Both::<u8>::new(&tiny("bilinear-x2"), size, Mode::Balanced);
    both.begin(&scene(size, 0));
    let canceller = both.device.canceller();
    canceller.cancel();
    assert!(matches!(both.device.upscale(scene(size, 1).view(), None), Err(InferError::Cancelled)));
    assert!(matches!(both.device.repeat(Deliver::Now), Err(InferError::Cancelled)));
    canceller.resume();
    both.device.upscale(scene(size, 1).view(), None).unwrap();
}

/// Frames of a clip whose picture moves and has noise, and the first of a second scene.
const CLIP: usize = 16;
const CUT: usize = 9;

fn shot<S: Sample>(size: Size, frame: usize) -> Picture<S> {
    let (across, down) = (frame as f32 * 0.7, frame as f32 * -0.3);
    Picture::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
        let (u, v) = (x as f32 + across, y as f32 + down);
        let level = match frame < CUT {
            true => 0.5 + 0.22 * (u * 0.21 + c as f32 * 0.3).sin() + 0.2 * (v * 0.17 - u * 0.05).cos(),
            false if (u / 11.0).sin() * (v / 7.0).cos() > 0.1 => 0.85,
            false => 0.1 + 0.05 * (v * 0.4).sin(),
        };
        S::from_f32((level + 0.03 * (random(((frame * 3 + c) * 611 + y) * 977 + x) - 0.5)) * S::WHITE)
    })
}

fn settings(model: &str, residency: Residency, temporal: Mode) -> Settings {
    Settings {
        model: Some(format!("models/tiny/{model}.onnx")),
        options: options(),
        temporal,
        residency,
        faces: face::Settings { mode: face::Mode::Off, ..face::Settings::default() },
        ..Settings::default()
    }
}

fn opened<S: TensorSample>(settings: &Settings) -> Enhancer<S> {
    let mut enhancer = Enhancer::open(settings).unwrap();
    enhancer.open_light(settings, "models/tiny/nearest-x2.onnx").unwrap();
    enhancer
}

/// The frames of a clip with their numbers, one of them twice.
fn clip<S: Sample>(size: Size) -> impl Iterator<Item = (usize, Picture<S>)> {
    let frames = (0..CLIP).flat_map(|frame| std::iter::repeat_n(frame, if frame == 5 { 2 } else { 1 }));
    frames.map(move |frame| shot(size, frame)).enumerate()
}

/// Runs a clip with what `controls` says of each frame.
fn enhance<S: TensorSample>(
    settings: &Settings,
    (size, factor): (Size, usize),
    controls: impl Fn(usize) -> Controls,
) -> Vec<(Report, Picture<S>)> {
    let mut enhancer = opened::<S>(settings);
    let large = size.times(factor);
    clip::<S>(size)
        .map(|(number, input)| {
            let mut output = Picture::from_elem((large.height, large.width, 3), S::MAX);
            let report = enhancer.process(input.view(), output.view_mut(), &controls(number)).unwrap();
            (report, output)
        })
        .collect()
}

/// An output that was begun: its number, and what it is ended with.
type Begun<S> = (usize, OnDevice<S>, Planned<S>, Picture<S>);

/// As [`enhance`], with every output ended on another thread, as late as can be: when the next one was begun, or is not to be.
fn enhance_in_parts<S: TensorSample>(
    settings: &Settings,
    (size, factor): (Size, usize),
    controls: impl Fn(usize) -> Controls,
) -> Vec<(Report, Picture<S>)> {
    let mut enhancer = opened::<S>(settings);
    let (large, maker) = (size.times(factor), enhancer.maker());
    let picture = move || Picture::from_elem((large.height, large.width, 3), S::MAX);
    let (begun, to_end) = channel::<Begun<S>>();
    let (done, ended) = channel();
    let made = done.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut before: Option<Begun<S>> = None;
            loop {
                // With nothing more to come for a while, the last one is ended.
                let next = to_end.recv_timeout(Duration::from_millis(5));
                if let Some((number, begun, planned, input)) = before.take() {
                    let mut output = picture();
                    let report = begun.end(&planned, input.view(), output.view_mut()).unwrap();
                    done.send((number, report, output)).unwrap();
                }
                match next {
                    Ok(next) => before = Some(next),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        for (number, input) in clip::<S>(size) {
            let mut planned = Planned::default();
            enhancer.plan(input.view(), large, &controls(number), &mut planned).unwrap();
            match maker.begin(&planned, input.view(), large).unwrap() {
                Some(on_device) => begun.send((number, on_device, planned, input)).unwrap(),
                None => {
                    let mut output = picture();
                    let report = maker.make(&planned, input.view(), output.view_mut()).unwrap();
                    made.send((number, report, output)).unwrap();
                }
            }
        }
        drop(begun);
    });
    drop(made);
    // One that ends may be sent after the next, which was waiting for its end.
    let mut ended: Vec<_> = ended.iter().collect();
    ended.sort_by_key(|&(number, ..)| number);
    ended.into_iter().map(|(_, report, output)| (report, output)).collect()
}

/// The same looks and the same pictures; how many frames were made on the device.
fn check_enhancers<S: TensorSample>(
    mode: Mode,
    model: &str,
    sizes: (Size, usize),
    controls: impl Fn(usize) -> Controls,
) -> usize {
    let device = enhance::<S>(&settings(model, Residency::Always, mode), sizes, &controls);
    let host = enhance::<S>(&settings(model, Residency::Never, mode), sizes, &controls);
    assert!(host.iter().all(|(report, _)| report.large == Place::Host));
    let parts = enhance_in_parts::<S>(&settings(model, Residency::Always, mode), sizes, &controls);
    assert_eq!(parts.len(), device.len());
    for (number, ((one, whole), (other, in_parts))) in device.iter().zip(&parts).enumerate() {
        assert_eq!((one.look, one.large), (other.look, other.large), "frame {number}");
        assert_same(
            &[whole.clone(), in_parts.clone()],
            &format!("{model} {mode:?} in parts, frame {number}"),
        );
    }
    for (number, ((here, device), (there, host))) in device.iter().zip(&host).enumerate() {
        let about = format!("{model} {mode:?} {sizes:?} frame {number}");
        assert_eq!(
            (here.look, here.tiles, here.tiles_left_out),
            (there.look, there.tiles, there.tiles_left_out)
        );
        assert_same(&[host.clone(), device.clone()], &about);
    }
    device.iter().filter(|(report, _)| report.large == Place::Device).count()
}

#[test]
fn a_clip_with_a_cut_and_a_repetition_looks_the_same_with_its_large_picture_on_the_device() {
    for mode in [Mode::Fast, Mode::Balanced, Mode::Quality] {
        for size in [Size::new(80, 48), Size::new(67, 45)] {
            for model in ["bilinear-x2", "nearest-x3"] {
                let sizes = (size, if model == "nearest-x3" { 3 } else { 2 });
                assert_eq!(check_enhancers::<u8>(mode, model, sizes, |_| Controls::default()), CLIP + 1);
                assert_eq!(check_enhancers::<u16>(mode, model, sizes, |_| Controls::default()), CLIP + 1);
            }
        }
    }
    let settings = settings("bilinear-x2", Residency::Always, Mode::Balanced);
    let made = enhance::<u8>(&settings, (Size::new(80, 48), 2), |_| Controls::default());
    let looks = |look| made.iter().filter(|(report, _)| report.look == look).count();
    assert_eq!(
        (looks(Look::First { cut: true }), looks(Look::First { cut: false }), looks(Look::Repeated)),
        (1, 1, 1)
    );
}

#[test]
fn a_clip_of_no_numbers_is_resampled_and_blended_the_same_on_the_device() {
    let sizes = (Size::new(80, 48), 2);
    let device = check_enhancers::<u8>(Mode::Balanced, "nan-x2", sizes, |_| Controls::default());
    assert_eq!(device, CLIP + 1);
    let settings = settings("nan-x2", Residency::Always, Mode::Balanced);
    let made = enhance::<u8>(&settings, sizes, |_| Controls::default());
    let left_out: usize = made.iter().map(|(report, _)| report.tiles_left_out).sum();
    assert!(left_out > 0 && left_out < CLIP, "{left_out} frames were resampled");
}

#[test]
fn what_the_device_cannot_do_is_done_on_the_host_with_the_same_past() {
    let sizes = (Size::new(80, 48), 2);
    let check = |controls: fn(usize) -> Controls| {
        let device = check_enhancers::<u8>(Mode::Balanced, "bilinear-x2", sizes, controls);
        assert!(device > 0 && device <= CLIP, "{device} frames on the device");
    };
    // The light network for some frames, another denoising, parts for some.
    check(|number| Controls {
        effort: if (3..5).contains(&number) { Effort::Light } else { Effort::Full },
        input_denoise: if number > 12 { 0.5 } else { 0.0 },
        ..Controls::default()
    });
    check(|number| {
        let mut controls = Controls::default();
        controls.temporal.reuse.amount = if number % 4 == 3 { 1.0 } else { 0.0 };
        controls
    });
    check(|number| {
        let mut controls = Controls::default();
        controls.temporal.strength = if number == 4 { 0.0 } else { 1.0 };
        controls
    });
    check(|number| Controls {
        effort: if number == 7 { Effort::Resampled } else { Effort::Full },
        ..Controls::default()
    });
}

#[test]
fn frames_that_are_not_one_run_of_a_colour_network_are_made_on_the_host() {
    let count = |model: &str, sizes, change: fn(&mut Settings)| {
        let mut settings = settings(model, Residency::Always, Mode::Balanced);
        change(&mut settings);
        let made = enhance::<u8>(&settings, sizes, |_| Controls::default());
        let (small, factor): (Size, usize) = sizes;
        let opened = Enhancer::<u8>::open(&settings).unwrap();
        let reason = opened.leaves_device(small, small.times(factor)).map(|reason| reason.to_string());
        (made.iter().filter(|(report, _)| report.large == Place::Device).count(), reason)
    };
    let because = |reason: &str| (0, Some(reason.to_string()));
    let size = Size::new(67, 45);
    // Luma alone is never wanted there.
    assert_eq!(count("luma-x2", (size, 2), |_| {}), (0, None));
    for (model, factor, large) in
        [("multiple4-x2", 2, "134x90"), ("fixed-x2", 2, "134x90"), ("nearest-x2", 3, "201x135")]
    {
        let reason = format!("one run of the network does not make {large} of 67x45");
        assert_eq!(count(model, (size, factor), |_| {}), because(&reason), "{model}");
    }
    assert_eq!(count("multiple4-x2", (Size::new(68, 44), 2), |_| {}), (CLIP + 1, None));
    let in_tiles = |settings: &mut Settings| (settings.tile_size, settings.tile_overlap) = (40, 4);
    let tiles = because("memory-limit or tile-size has frames of 67x45 cut into tiles");
    assert_eq!(count("nearest-x2", (size, 2), in_tiles), tiles);
    let limited = count("nearest-x2", (size, 2), |settings| settings.memory_limit = Some(1 << 20));
    assert_eq!(limited, because("memory-limit has no room for the past of 134x90"));
    // The processor's memory is the host's: nothing is to be gained there.
    let automatic = count("nearest-x2", (size, 2), |settings| settings.residency = Residency::Auto);
    assert_eq!(automatic, (0, None));
}
