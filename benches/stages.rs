//! The stages of a frame, each on its own: 640x360 to 1280x720 unless it says otherwise.
//!
//!     cargo bench --bench stages [-- FILTER]

use divan::Bencher;

use gstfacesr::face::agree::{ALIGNED_LIGHT, agree};
use gstfacesr::face::align::{Window, aligned};
use gstfacesr::face::crop::{self, Crop, Frame};
use gstfacesr::face::detect::Landmarks;
use gstfacesr::face::geometry::Point;
use gstfacesr::face::paste::paste;
use gstfacesr::flow::{Estimator, PRESETS, preset};
use gstfacesr::image::convert::Coding;
use gstfacesr::image::planar::Planar;
use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Sample, Size};
use gstfacesr::infer::onnx::{OnnxNetwork, Options, TensorSample};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::resident::{Deliver, Resident};
use gstfacesr::infer::runtime;
use gstfacesr::infer::tile::{Limits, Tiler};
use gstfacesr::model::contract::Upscaler as File;
use gstfacesr::temporal::blend::Blend;
use gstfacesr::temporal::cut::{CutDetector, THRESHOLD};
use gstfacesr::temporal::{Controls, Look, Mode, Temporal};
use gstfacesr::upscale::Upscaler;
use ndarray::Array2;

const SMALL: Size = Size::new(640, 360);
const LARGE: Size = Size::new(1280, 720);

fn main() {
    divan::main();
}

fn scene<S: Sample>(size: Size, channels: usize) -> Picture<S> {
    Picture::from_shape_fn((size.height, size.width, channels), |(y, x, channel)| {
        S::from_f32(((x * 7 + y * 13 + channel * 31) % 251) as f32 / 251.0 * S::WHITE)
    })
}

fn coding(bits: u32) -> Coding {
    Coding { red: 0.2126, blue: 0.0722, full_range: false, depth: if bits == 8 { 8 } else { 10 } }
}

#[divan::bench(types = [u8, u16])]
fn colours_to_rgb<S: Sample>(bencher: Bencher) {
    let (from, mut to) = (scene::<S>(SMALL, 4), scene::<S>(SMALL, 3));
    bencher.bench_local(|| coding(S::BITS).decode(from.view(), to.view_mut()));
}

#[divan::bench(types = [u8, u16])]
fn rgb_to_colours<S: Sample>(bencher: Bencher) {
    let (from, mut to) = (scene::<S>(LARGE, 3), scene::<S>(LARGE, 4));
    bencher.bench_local(|| coding(S::BITS).encode(from.view(), to.view_mut()));
}

#[divan::bench(types = [u8, u16])]
fn resize_by_lanczos<S: Sample>(bencher: Bencher) {
    let (from, mut resampler) = (scene::<S>(SMALL, 3), Resampler::default());
    bencher.bench_local(|| resampler.resize(from.view(), LARGE));
}

/// Luma of a picture, and of the same moved by a few pixels.
fn pair() -> [Array2<f32>; 2] {
    [0.0, 3.0].map(|moved: f32| {
        Array2::from_shape_fn((SMALL.height, SMALL.width), |(y, x)| {
            let (x, y) = (x as f32 + moved, y as f32);
            128.0 + 50.0 * (x / 11.0).sin() * (y / 7.0).cos() + 30.0 * (x / 3.0 + y / 5.0).sin()
        })
    })
}

#[divan::bench(args = PRESETS.iter().map(|(name, _)| *name))]
fn flow(bencher: Bencher, name: &str) {
    let ([from, to], settings) = (pair(), preset(name).expect("it is in the table"));
    let mut estimator = Estimator::new(settings);
    bencher.bench_local(|| estimator.estimate(from.view(), to.view()).expect("it is large enough"));
}

#[divan::bench]
fn cut(bencher: Bencher) {
    let ([now, before], mut detector) = (pair(), CutDetector::new(THRESHOLD));
    let mut turn = false;
    bencher.bench_local(|| {
        turn = !turn;
        detector.look(if turn { now.view() } else { before.view() })
    });
}

fn upscaler<S: TensorSample>(pixels: usize) -> Upscaler<S> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let file = File::read(file.as_ref()).expect("it is in the source tree");
    let runtime = runtime::load(None, None).expect("`make runtime` fetches it");
    let options = Options { choice: Choice::Only(Provider::Cpu), ..Options::default() };
    let network = OnnxNetwork::<S>::load(runtime, &file, &options).expect("it loads");
    Upscaler::new(Box::new(network), Tiler::new(Limits { pixels, overlap: 16 }))
}

/// A network of one node in one tile: everything around the network.
#[divan::bench(types = [u8, u16])]
fn whole_frame_in_one_tile<S: TensorSample>(bencher: Bencher) {
    let (mut upscaler, from, mut to) =
        (upscaler::<S>(usize::MAX), scene::<S>(SMALL, 3), scene::<S>(LARGE, 3));
    bencher.bench_local(|| upscaler.run(from.view(), to.view_mut()).expect("it runs"));
}

/// The same in tiles of about 160x160 pixels with 16 of context.
#[divan::bench(types = [u8, u16])]
fn whole_frame_in_small_tiles<S: TensorSample>(bencher: Bencher) {
    let (mut upscaler, from, mut to) = (upscaler::<S>(160 * 160), scene::<S>(SMALL, 3), scene::<S>(LARGE, 3));
    bencher.bench_local(|| upscaler.run(from.view(), to.view_mut()).expect("it runs"));
}

/// Looking at an input and blending the past into its output; with one thread, `RAYON_NUM_THREADS=1`.
#[divan::bench(args = [Mode::Fast, Mode::Balanced, Mode::Quality])]
fn look(bencher: Bencher, mode: Mode) {
    let [now, before] = pair().map(|luma| coloured(&luma));
    let mut temporal = Temporal::<u8>::new(mode);
    let mut turn = false;
    bencher.bench_local(|| {
        turn = !turn;
        temporal.look(if turn { now.view() } else { before.view() }, LARGE, &Controls::default())
    });
}

#[divan::bench(args = [Mode::Balanced, Mode::Quality])]
fn blend(bencher: Bencher, mode: Mode) {
    let [now, before] = pair().map(|luma| coloured(&luma));
    let mut temporal = Temporal::<u8>::new(mode);
    let mut output = scene::<u8>(LARGE, 3);
    let first = temporal.look(before.view(), LARGE, &Controls::default());
    temporal.steady(first, &mut output.view_mut());
    let look = temporal.look(now.view(), LARGE, &Controls::default());
    assert!(matches!(look, Look::Compared { .. }));
    bencher.bench_local(|| temporal.steady(look, &mut output.view_mut()));
}

/// A network of one node and the blend behind it, its large picture on the host.
#[divan::bench(types = [u8, u16])]
fn large_picture_on_the_host<S: TensorSample>(bencher: Bencher) {
    let (mut upscaler, from, mut to) =
        (upscaler::<S>(usize::MAX), scene::<S>(SMALL, 3), scene::<S>(LARGE, 3));
    let (mut blend, maps) = (Blend::new(SMALL, LARGE, Mode::Balanced), drifting());
    blend.begin(&mut to.view_mut());
    bencher.bench_local(|| {
        upscaler.run(from.view(), to.view_mut()).expect("it runs");
        blend.blend(&maps, &mut to.view_mut());
    });
}

/// As above by graphs of ONNX Runtime, on the processor in place of a device.
#[divan::bench(types = [u8, u16])]
fn large_picture_in_graphs<S: TensorSample>(bencher: Bencher) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let file = File::read(file.as_ref()).expect("it is in the source tree");
    let runtime = runtime::load(None, None).expect("`make runtime` fetches it");
    let options = Options { choice: Choice::Only(Provider::Cpu), ..Options::default() };
    let mut resident = Resident::<S>::load(runtime, &file, 2, None, &options).expect("it loads");
    let (from, mut to, maps) = (scene::<S>(SMALL, 3), scene::<S>(LARGE, 3), drifting());
    bencher.bench_local(|| {
        let levels = resident.upscale(from.view(), None).expect("it runs");
        resident.blend(levels, &maps, Deliver::Now).expect("it runs").give(to.view_mut()).expect("it fits");
    });
}

/// Maps of a picture that moves by parts of pixels.
fn drifting() -> Planar<4> {
    let mut maps = Planar::new(SMALL);
    maps.fill_with(|_, _| [0.3, -1.4, 0.8, 1.5]);
    maps
}

fn coloured(luma: &Array2<f32>) -> Picture<u8> {
    let (height, width) = luma.dim();
    Picture::from_shape_fn((height, width, 3), |(y, x, _)| u8::from_f32(luma[(y, x)]))
}

/// A face that is half as high as the small picture, as restorers of 256 pixels see it.
fn face() -> (Landmarks, Window) {
    let eyes = 75.0;
    let face = [(-0.5, 0.0), (0.5, 0.0), (0.0, 0.6), (-0.44, 1.04), (0.44, 1.04)]
        .map(|(x, y)| Point::new(320.0 + eyes * x, 150.0 + eyes * y));
    (face, aligned(&face, 256).expect("they are a face"))
}

fn seen() -> Crop {
    let (_, window) = face();
    crop::cut(&Frame(scene::<u8>(SMALL, 3).view()), &window.place, window.side)
}

#[divan::bench(types = [u8, u16])]
fn face_cut_out<S: Sample>(bencher: Bencher) {
    let (from, (_, window)) = (scene::<S>(SMALL, 3), face());
    bencher.bench_local(|| crop::cut(&Frame(from.view()), &window.place, window.side));
}

#[divan::bench]
fn face_that_agrees(bencher: Bencher) {
    let (source, mut made) = (seen(), seen().mapv(|value| 0.9 * value));
    bencher.bench_local(|| agree(&mut made, &source, 0.0, ALIGNED_LIGHT));
}

#[divan::bench(types = [u8, u16])]
fn face_laid_over<S: Sample>(bencher: Bencher) {
    let ((landmarks, window), made) = (face(), seen());
    let mut to = scene::<S>(LARGE, 3);
    bencher.bench_local(|| paste(&made, &window, &landmarks, 1.0, None, SMALL, &mut to.view_mut()));
}
