//! The stages of a frame, each on its own: 640x360 to 1280x720 unless it says otherwise.
//!
//!     cargo bench --bench stages [-- FILTER]

use divan::Bencher;

use gstfacesr::image::convert::Coding;
use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Sample, Size};
use gstfacesr::infer::onnx::{OnnxNetwork, Options, TensorSample};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime;
use gstfacesr::infer::tile::{Limits, Tiler};
use gstfacesr::model::contract::Upscaler as File;
use gstfacesr::upscale::Upscaler;

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
