//! Networks run by ONNX Runtime: the tiny ones of `models/tiny` and those that `make models`
//! fetches. Needs what `make setup` leaves in the cache.

use std::path::Path;

use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Sample, Size, View};
use gstfacesr::infer::onnx::{OnnxNetwork, Options, TensorSample};
use gstfacesr::infer::precision::Precision;
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::tensors::TensorNetwork;
use gstfacesr::infer::tile::{Limits, Tiler};
use gstfacesr::infer::{InferError, Network, runtime};
use gstfacesr::model::contract::Upscaler as File;
use gstfacesr::model::registry;
use gstfacesr::upscale::{Done, Upscaler};

/// Large enough for every picture here in one piece.
const WHOLE: usize = 1 << 30;

fn tiny(name: &str) -> File {
    File::read(&Path::new("models/tiny").join(format!("{name}.onnx"))).unwrap()
}

fn load<S: TensorSample>(file: &File) -> Result<OnnxNetwork<S>, InferError> {
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    OnnxNetwork::load(runtime, file, &Options { choice: Choice::Only(Provider::Cpu), ..Options::default() })
}

/// On so many threads.
fn load_on<S: TensorSample>(threads: usize, file: &File) -> OnnxNetwork<S> {
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    let options = Options { choice: Choice::Only(Provider::Cpu), threads, ..Options::default() };
    OnnxNetwork::load(runtime, file, &options).unwrap()
}

fn load_in(precision: Precision, file: &File) -> Result<OnnxNetwork<u8>, InferError> {
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    let choice = Choice::Only(Provider::Cpu);
    OnnxNetwork::load(runtime, file, &Options { choice, precision, ..Options::default() })
}

fn upscaler<S: TensorSample>(file: &File, pixels: usize) -> Upscaler<S> {
    let limits = Limits { pixels, overlap: file.overlap };
    Upscaler::new(Box::new(load::<S>(file).unwrap()), Tiler::new(limits))
}

/// Enlarges by the network's own factor.
fn enlarge<S: TensorSample>(file: &File, pixels: usize, picture: &Picture<S>) -> (Picture<S>, Done) {
    enlarge_by(&mut upscaler::<S>(file, pixels), picture)
}

/// The same in one run, on one thread.
fn enlarge_at_once<S: TensorSample>(file: &File, picture: &Picture<S>) -> (Picture<S>, Done) {
    let tiler = Tiler::new(Limits { pixels: WHOLE, overlap: file.overlap });
    enlarge_by(&mut Upscaler::new(Box::new(load_on::<S>(1, file)), tiler), picture)
}

fn enlarge_by<S: Sample>(upscaler: &mut Upscaler<S>, picture: &Picture<S>) -> (Picture<S>, Done) {
    let (height, width, channels) = picture.dim();
    let size = Size::new(width, height).times(upscaler.scale());
    let mut enlarged = Picture::from_elem((size.height, size.width, channels), S::MAX);
    let done = upscaler.run(picture.view(), enlarged.view_mut()).unwrap();
    (enlarged, done)
}

/// Edges, ramps, fine lines and noise in three different channels; the same each time.
fn scene<S: Sample>(width: usize, height: usize) -> Picture<S> {
    let mut seed = 0x2545_f491_u32;
    Picture::from_shape_fn((height, width, 3), |(y, x, channel)| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
        let wave = ((across * 40.0 + channel as f32).sin() * (down * 30.0).cos() + 1.0) / 2.0;
        let edge = if (x / 13 + y / 9) % 2 == 0 { 0.2 } else { 0.0 };
        let noise = (seed >> 8) as f32 / (1 << 24) as f32;
        S::from_f32((0.6 * wave + edge + 0.1 * noise) * S::WHITE)
    })
}

fn largest_difference<S: Sample>(a: &Picture<S>, b: &Picture<S>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    let differences = a.iter().zip(b).map(|(a, b)| (a.to_f32() - b.to_f32()).abs());
    differences.fold(0.0, f32::max) / S::WHITE * 255.0
}

/// A network that repeats pixels gives exactly the repeated input, in every sample type.
fn check_repeats<S: TensorSample>(name: &str, width: usize, height: usize) {
    let file = tiny(name);
    let picture = scene::<S>(width, height);
    let (enlarged, done) = enlarge(&file, WHOLE, &picture);
    let scale = enlarged.dim().0 / height;
    for ((y, x, channel), &sample) in enlarged.indexed_iter() {
        let expected = picture[(y / scale, x / scale, channel)];
        let allowed = match name {
            // Half floats hold 11 bits.
            "half-x2" => S::WHITE / 2048.0 * 2.0,
            // It rounds to whole steps of 0..255.
            "range255-x2" if S::BITS == 16 => S::WHITE / 255.0,
            _ => 0.0,
        };
        let difference = (sample.to_f32() - expected.to_f32()).abs();
        assert!(difference <= allowed, "{name} {width}x{height} at {x},{y}: {sample:?} {expected:?}");
    }
    assert!(done.tiles >= 1 && done.left_out == 0);
}

#[test]
fn every_sample_of_8_and_16_bits_goes_through_a_network_unchanged() {
    for name in
        ["nearest-x2", "nearest-x3", "identity-x1", "half-x2", "fixed-x2", "multiple4-x2", "range255-x2"]
    {
        for (width, height) in [(1, 1), (16, 16), (33, 17), (50, 41)] {
            check_repeats::<u8>(name, width, height);
            check_repeats::<u16>(name, width, height);
        }
    }
}

#[test]
fn a_rectifier_with_slopes_is_the_same_however_it_is_written() {
    for (width, height) in [(16, 16), (33, 17), (1, 5), (96, 64)] {
        let picture = scene::<u16>(width, height);
        let [once, apart] =
            ["compact-x2", "compact-apart-x2"].map(|name| enlarge(&tiny(name), WHOLE, &picture).0);
        assert!(largest_difference(&once, &apart) < 0.01, "{width}x{height}");
        let pixels = once.iter().filter(|&&sample| sample > 0 && sample < u16::MAX);
        assert!(2 * pixels.count() > once.len(), "{width}x{height}: most of it says nothing");
        assert!(largest_difference(&once, &enlarge(&tiny("nearest-x2"), WHOLE, &picture).0) > 8.0);
    }
}

/// Written in one way, the element's own kernels compute the convolutions where the processor has vectors for them, in the other
/// ONNX Runtime's.
#[test]
fn convolutions_with_many_channels_are_the_same_whoever_computes_them() {
    for threads in [1, 2, 3] {
        for (width, height) in [(16, 16), (33, 17), (1, 5), (7, 1), (64, 4), (97, 66), (131, 40)] {
            let picture = scene::<u16>(width, height);
            let [ours, theirs] = ["filtered-x2", "filtered-apart-x2"].map(|name| {
                let file = tiny(name);
                let tiler = Tiler::new(Limits { pixels: WHOLE, overlap: file.overlap });
                enlarge_by(&mut Upscaler::new(Box::new(load_on::<u16>(threads, &file)), tiler), &picture).0
            });
            let about = format!("{width}x{height} on {threads}");
            assert!(largest_difference(&ours, &theirs) < 0.01, "{about}");
            let pixels = ours.iter().filter(|&&sample| sample > 0 && sample < u16::MAX);
            assert!(2 * pixels.count() > ours.len(), "{about}: most of it says nothing");
            let plain = enlarge(&tiny("nearest-x2"), WHOLE, &picture).0;
            assert!(largest_difference(&ours, &plain) > 8.0, "{about}");
        }
    }
}

#[test]
fn convolutions_of_several_pictures_at_once_are_those_of_each() {
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    let load = |name: &str| {
        let path = Path::new("models/tiny").join(format!("{name}.onnx"));
        TensorNetwork::load(runtime, &path, &Options { threads: 2, ..Options::default() }).unwrap()
    };
    let (mut ours, mut theirs) = (load("filtered-x2"), load("filtered-apart-x2"));
    for shape in [(1, 3, 5, 5), (2, 3, 9, 35), (3, 3, 4, 70)] {
        let pictures = ndarray::Array4::from_shape_fn(shape, |(n, c, y, x)| {
            0.5 + 0.4 * ((x * (n + 2)) as f32 / 3.0 + c as f32).sin() * (y as f32 / 2.0).cos()
        });
        let [made, expected] =
            [&mut ours, &mut theirs].map(|network| network.run(&[pictures.view()]).unwrap().pop().unwrap());
        assert_eq!(made.len(), 4 * pictures.len());
        let difference = made.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 2e-5, "{shape:?}: {difference}");
        for (picture, made) in pictures.outer_iter().zip(made.chunks_exact(4 * pictures.len() / shape.0)) {
            let picture = picture.insert_axis(ndarray::Axis(0));
            assert_eq!(ours.run(&[picture]).unwrap()[0], made, "{shape:?}: another one beside changes it");
        }
    }
}

#[test]
fn a_luma_network_changes_luma_and_leaves_the_colours_to_the_resampler() {
    let file = tiny("luma-x2");
    let picture = scene::<u8>(40, 31);
    let (enlarged, _) = enlarge(&file, WHOLE, &picture);
    let resampled = Resampler::default().resize(picture.view(), Size::new(80, 62));
    // Every channel of a pixel moves by the same amount, unless one meets its limit.
    for (pixel, before) in enlarged.rows().into_iter().zip(resampled.rows()) {
        let moves: Vec<i32> = pixel.iter().zip(before).map(|(&a, &b)| i32::from(a) - i32::from(b)).collect();
        let at_limit = pixel.iter().any(|&sample| sample == 0 || sample == 255);
        let spread = moves.iter().max().unwrap() - moves.iter().min().unwrap();
        assert!(spread <= 1 || at_limit, "{moves:?}");
    }
    assert!(largest_difference(&enlarged, &resampled) > 2.0, "the network did nothing");
}

#[test]
fn values_that_are_no_numbers_are_resampled_and_counted_and_never_black() {
    let file = tiny("nan-x2");
    let mut picture = scene::<u8>(201, 150).mapv(|sample| sample.min(200));
    assert_eq!(enlarge(&file, WHOLE, &picture).1.left_out, 0);
    picture[(10, 12, 0)] = 255;
    let (enlarged, done) = enlarge(&file, WHOLE, &picture);
    assert_eq!((done.tiles, done.left_out), (1, 1));
    let resampled = Resampler::default().resize(picture.view(), Size::new(402, 300));
    assert_eq!(enlarged, resampled);

    // In tiles, the others are the network's.
    let (enlarged, done) = enlarge(&file, 1, &picture);
    assert!(done.left_out >= 1 && done.left_out < done.tiles, "{done:?}");
    let darkest = |picture: &Picture<u8>| picture.iter().copied().min().unwrap();
    assert!(darkest(&enlarged) + 16 >= darkest(&resampled), "{}", darkest(&enlarged));
}

#[test]
fn a_model_that_does_not_enlarge_by_a_whole_factor_is_refused() {
    for name in ["noninteger-x1.5", "uneven-x2x3"] {
        let error = load::<u8>(&tiny(name)).err().unwrap().to_string();
        assert!(error.contains("no whole factor") && error.contains(name), "{error}");
    }
}

#[test]
fn a_model_that_the_runtime_cannot_load_is_named_on_one_line() {
    let whole = std::fs::read("models/tiny/bilinear-x2.onnx").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unknown.onnx");
    let broken: Vec<u8> = whole.windows(4).position(|bytes| bytes == b"Conv").map_or_else(Vec::new, |at| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(b"Bonv");
        bytes
    });
    std::fs::write(&path, broken).unwrap();
    let error = load::<u8>(&File::read(&path).unwrap()).err().unwrap().to_string();
    assert!(error.starts_with("model unknown cannot be loaded") && error.contains("Bonv"), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn tiles_of_any_size_give_the_picture_of_one_piece() {
    let file = tiny("bilinear-x2");
    for (width, height) in [(64, 64), (101, 75), (150, 40)] {
        let picture = scene::<u16>(width, height);
        let (whole, done) = enlarge(&file, WHOLE, &picture);
        assert_eq!(done.tiles, 1);
        for pixels in [1, 1000, 2500, 4000] {
            let (tiled, done) = enlarge(&file, pixels, &picture);
            assert!(done.tiles > 1, "{pixels}");
            let difference = largest_difference(&whole, &tiled);
            assert!(difference <= 0.02, "{width}x{height}, {pixels}: {difference} of 255 in {done:?}");
        }
    }
}

/// The networks of the registry at their default overlap: at most one grey level at seams.
#[test]
fn the_networks_of_the_registry_do_not_depend_on_the_tiling_by_more_than_a_grey_level() {
    for entry in registry::UPSCALERS {
        let path = registry::resolve(entry.name, None, None).expect("`make models` fetches every network");
        let file = File::read(&path).unwrap();
        assert_eq!(file.scale, Some(entry.scale), "{}", entry.name);
        // The heavy network on as little as shows a seam.
        let height = if entry.name == "realesrgan-x4plus" { 24 } else { 144 };
        let picture = scene::<u8>(223, height - 1);
        let (whole, done) = enlarge_at_once(&file, &picture);
        assert_eq!(done.tiles, 1);
        let (tiled, done) = enlarge(&file, 1, &picture);
        assert!(done.tiles > 1, "{}: {:?}", entry.name, done);
        let difference = largest_difference(&whole, &tiled);
        println!("{}: {} tiles with {} context, {difference} of 255", entry.name, done.tiles, file.overlap);
        assert!(difference <= 1.0, "{}: {difference} of 255", entry.name);
    }
}

fn check_bands<S: TensorSample>(file: &File, (width, height): (usize, usize)) {
    let picture = scene::<S>(width, height);
    let (whole, done) = enlarge_at_once(file, &picture);
    assert_eq!(done.tiles, 1);
    for threads in [2, 3, 8] {
        for pixels in [WHOLE, width * height] {
            let tiler = Tiler::new(Limits { pixels, overlap: file.overlap });
            let mut upscaler = Upscaler::new(Box::new(load_on::<S>(threads, file)), tiler);
            let (made, done) = enlarge_by(&mut upscaler, &picture);
            let about = format!("{} {width}x{height} by {threads} in {pixels}: {done:?}", file.name);
            assert!(made == whole, "{about}");
            // Bands with their context are more than the picture, for which there may be no room.
            assert_eq!(done.tiles > 1, pixels == WHOLE && height >= 2 * 36, "{about}");
        }
    }
}

#[test]
fn a_picture_that_threads_make_in_bands_is_that_of_one_run_bit_for_bit() {
    for name in ["facesr-live-x2", "facesr-live-x2-int8"] {
        let file = File::read(&registry::resolve(name, None, None).unwrap()).unwrap();
        assert_eq!(file.receptive_radius, Some(12), "{name}");
        for size in [(64, 72), (97, 107), (33, 71), (18, 301), (161, 144), (2, 2)] {
            check_bands::<u8>(&file, size);
        }
        check_bands::<u16>(&file, (51, 111));
    }
}

/// What the element's own kernels make depends on where tiles lie.
#[test]
fn a_network_whose_convolutions_are_ours_is_made_at_once_and_has_the_same_bits_on_every_number_of_threads() {
    let mut file = tiny("filtered-x2");
    file.receptive_radius = Some(2);
    let picture = scene::<u16>(67, 93);
    let (whole, done) = enlarge_at_once(&file, &picture);
    assert_eq!(done.tiles, 1);
    for threads in [2, 3, 8] {
        let tiler = Tiler::new(Limits { pixels: WHOLE, overlap: file.overlap });
        let (made, done) =
            enlarge_by(&mut Upscaler::new(Box::new(load_on::<u16>(threads, &file)), tiler), &picture);
        assert!(made == whole, "{threads}: {done:?}");
        assert_eq!(done.tiles == 1, gstfacesr::infer::convolution::lanes().is_some());
    }
}

#[test]
fn pictures_that_are_run_at_the_same_time_are_those_that_are_run_alone() {
    let named = |name: &str| File::read(&registry::resolve(name, None, None).unwrap()).unwrap();
    for file in [tiny("bilinear-x2"), tiny("compact-x2"), tiny("luma-x2"), named("span-x2"), tiny("nan-x2")] {
        let sizes = [(40, 32), (9, 77), (64, 64), (1, 1), (33, 21), (40, 32), (128, 16)];
        let pictures = sizes.map(|(width, height)| {
            let scene = scene::<u8>(width, height);
            // One with white in it, of which `nan-x2` makes none.
            let sample = |(y, x, c)| if (width, x, y) == (33, 20, 20) { 255 } else { scene[(y, x, c)] };
            Picture::from_shape_fn((height, width, file.channels), sample)
        });
        let mut without_numbers = false;
        let mut alone = load_on::<u8>(1, &file);
        assert_eq!(alone.lanes(), 1);
        for threads in [2, 5] {
            let mut network = load_on::<u8>(threads, &file);
            assert_eq!(network.lanes(), threads, "{}", file.name);
            // Scratch of larger pictures is used again for smaller ones.
            for pictures in [&pictures[..], &pictures[3..], &pictures[1..2], &[]] {
                let mut order = Vec::new();
                let mut take = |number: usize, enlarged: Option<View<'_, u8>>| {
                    let mut expected = None;
                    match alone.run(pictures[number].view(), &mut |made| expected = Some(made.to_owned())) {
                        Ok(()) | Err(InferError::NotFinite) => {}
                        Err(error) => panic!("{error}"),
                    }
                    assert!(enlarged == expected.as_ref().map(|made| made.view()), "{} {number}", file.name);
                    without_numbers |= expected.is_none();
                    order.push(number);
                };
                network.run_each(pictures, &mut take).unwrap();
                assert_eq!(order, (0..pictures.len()).collect::<Vec<_>>());
            }
            network.canceller().cancel();
            let cancelled = network.run_each(&pictures, &mut |_, _| panic!("it was stopped"));
            assert!(matches!(cancelled, Err(InferError::Cancelled)), "{cancelled:?}");
            network.canceller().resume();
            network.run_each(&pictures, &mut |_, _| {}).unwrap();
        }
        assert_eq!(without_numbers, file.name == "nan-x2");
    }
}

/// Levels of 255 in the mean of squares, as dB.
fn psnr(a: &Picture<u8>, b: &Picture<u8>) -> f64 {
    let squares = a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2));
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.sum::<f64>().max(1e-9)).log10()
}

#[test]
fn networks_in_16_bits_give_the_picture_of_32_and_are_not_the_same_network() {
    let named = |name: &str| File::read(&registry::resolve(name, None, None).unwrap()).unwrap();
    for file in [
        named("span-x2"),
        named("animevideo-x2"),
        named("facesr-restore-x2"),
        named("facesr-live-x2"),
        tiny("bilinear-x2"),
        tiny("luma-x2"),
    ] {
        for (width, height) in [(48, 40), (33, 17)] {
            let picture = scene::<u8>(width, height);
            let enlarged = [Precision::Fp32, Precision::Fp16].map(|precision| {
                let network = Box::new(load_in(precision, &file).unwrap());
                let mut upscaler = Upscaler::new(network, Tiler::new(Limits { pixels: WHOLE, overlap: 0 }));
                let size = Size::new(width, height).times(upscaler.scale());
                let mut enlarged = Picture::zeros((size.height, size.width, 3));
                assert_eq!(
                    upscaler.run(picture.view(), enlarged.view_mut()).unwrap().left_out,
                    0,
                    "{}",
                    file.name
                );
                enlarged
            });
            let psnr = psnr(&enlarged[0], &enlarged[1]);
            println!("{} {width}x{height}: {psnr:.1} dB", file.name);
            assert!(psnr >= 50.0, "{}: {psnr} dB", file.name);
            // Those with weights that are no round numbers lose something.
            let is_tiny = ["bilinear-x2", "luma-x2"].contains(&file.name.as_str());
            assert!(is_tiny || psnr < 100.0, "{}: nothing was rounded", file.name);
        }
    }
}

#[test]
fn a_precision_that_does_not_fit_is_refused_in_one_line() {
    let whole_numbers = registry::resolve("facesr-live-x2-int8", None, None).unwrap();
    for (precision, file, expected) in [
        (Precision::Bf16, tiny("nearest-x2"), ["execution provider cpu", "bf16"]),
        (Precision::Fp16, File::read(&whole_numbers).unwrap(), ["facesr-live-x2-int8", "whole numbers"]),
    ] {
        let line = load_in(precision, &file).err().unwrap().to_string();
        assert!(expected.iter().all(|text| line.contains(text)) && line.lines().count() == 1, "{line}");
    }
    // Nobody takes the network to be at fault either where `auto` finds nobody who computes so.
    let options = Options { precision: Precision::Bf16, ..Options::default() };
    let runtime = runtime::load(None, None).unwrap();
    if let Err(error) = OnnxNetwork::<u8>::load(runtime, &tiny("nearest-x2"), &options) {
        let line = error.to_string();
        assert!(line.starts_with("no execution provider") && line.contains("cpu: "), "{line}");
    }
}

#[test]
fn a_cancelled_run_ends_with_its_own_error_and_the_next_one_works() {
    let mut network = load::<u8>(&tiny("bilinear-x2")).unwrap();
    let canceller = network.canceller();
    let picture = scene::<u8>(20, 20);
    let mut run = || network.run(picture.view(), &mut |_| {});
    run().unwrap();
    canceller.cancel();
    assert!(matches!(run(), Err(InferError::Cancelled)));
    canceller.resume();
    run().unwrap();
}

#[test]
fn a_run_is_cancelled_from_another_thread() {
    let path =
        registry::resolve("realesrgan-x4plus", None, None).expect("`make models` fetches every network");
    let mut network = load::<u8>(&File::read(&path).unwrap()).unwrap();
    let canceller = network.canceller();
    let picture = scene::<u8>(160, 160);
    let thread = std::thread::spawn(move || {
        let started = std::time::Instant::now();
        let result = network.run(picture.view(), &mut |_| {});
        (result, started.elapsed())
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    canceller.cancel();
    let cancelled = std::time::Instant::now();
    let (result, took) = thread.join().unwrap();
    assert!(matches!(result, Err(InferError::Cancelled)), "{result:?} after {took:?}");
    println!("came back {:?} after the call", cancelled.elapsed());
}

#[test]
fn providers_that_are_not_here_are_refused_with_their_reason() {
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    for provider in [Provider::Cuda, Provider::TensorRt] {
        let options = Options { choice: Choice::Only(provider), ..Options::default() };
        let Err(error) = OnnxNetwork::<u8>::load(runtime, &tiny("nearest-x2"), &options) else {
            // A machine that has it: then it must really run there.
            continue;
        };
        let error = error.to_string();
        assert!(error.contains(provider.name()) && error.lines().count() == 1, "{error}");
        println!("{error}");
    }
    let network = OnnxNetwork::<u8>::load(runtime, &tiny("nearest-x2"), &Options::default()).unwrap();
    println!("auto: {}; {}", network.active().describe(), network.active().why_not_others());
}
