//! Metrics that run a network: ST-LPIPS, which `make metrics` fetches, and face embeddings.

use std::path::{Path, PathBuf};

use gstfacesr::image::Picture;
use gstfacesr::infer::embedding::{Embedding, SIDE};
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime::{self, Runtime};
use gstfacesr::metrics::perceptual::{LEAST, Perceptual};
use gstfacesr::metrics::plane::{luma, planar};
use gstfacesr::metrics::{Colours, Frame, Given, MetricError, metric};
use gstfacesr::model::registry;

fn ort() -> &'static Runtime {
    runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache")
}

fn options() -> Options {
    Options { choice: Choice::Only(Provider::Cpu), ..Options::default() }
}

fn st_lpips() -> PathBuf {
    let found = registry::search_path(None).into_iter().map(|dir| dir.join("stlpips-alex.onnx"));
    found.into_iter().find(|file| file.is_file()).expect("`make metrics` fetches the ST-LPIPS network")
}

fn tiny(name: &str) -> PathBuf {
    Path::new("models/tiny").join(name).with_extension("onnx")
}

/// Waves in three colours and steps in grey; the same each time.
fn scene(width: usize, height: usize) -> Picture<u8> {
    Picture::from_shape_fn((height, width, 3), |(y, x, channel)| {
        let wave = (x as f32 / 5.0 + channel as f32).sin() * (y as f32 / (7.0 + channel as f32)).cos();
        (110.0 + 60.0 * wave + 40.0 * ((x / 13 + y / 9) % 2) as f32) as u8
    })
}

/// Noise of at most `strength` levels to either side.
fn noisy(picture: &Picture<u8>, strength: i32) -> Picture<u8> {
    let mut seed = 0x2545_f491_u32;
    picture.mapv(|sample| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (seed >> 16) as i32 % (2 * strength + 1) - strength;
        (i32::from(sample) + noise).clamp(0, 255) as u8
    })
}

/// The mean of the pixels up to `reach` away.
fn blurred(picture: &Picture<u8>, reach: usize) -> Picture<u8> {
    let (height, width, _) = picture.dim();
    Picture::from_shape_fn(picture.dim(), |(y, x, channel)| {
        let rows = y.saturating_sub(reach)..(y + reach + 1).min(height);
        let near =
            rows.flat_map(|y| (x.saturating_sub(reach)..(x + reach + 1).min(width)).map(move |x| (y, x)));
        let (sum, count) = near
            .fold((0_u32, 0), |(sum, count), (y, x)| (sum + u32::from(picture[(y, x, channel)]), count + 1));
        (sum / count) as u8
    })
}

fn colours(test: &Picture<u8>, truth: &Picture<u8>) -> Colours {
    Colours { test: planar(test.view()), truth: planar(truth.view()) }
}

#[test]
fn st_lpips_is_zero_for_the_same_picture_and_grows_with_noise_and_blur() {
    let mut network = Perceptual::load(ort(), &st_lpips(), &options()).unwrap();
    for (width, height) in [(LEAST, LEAST), (64, 48), (97, 63)] {
        let truth = scene(width, height);
        let mut distance = |test: &Picture<u8>| network.distance(&colours(test, &truth)).unwrap();
        assert_eq!(distance(&truth), 0.0, "{width}x{height}");
        let noise = [3, 10, 40].map(|strength| distance(&noisy(&truth, strength)));
        let blur = [1, 2, 4].map(|reach| distance(&blurred(&truth, reach)));
        for row in [noise, blur] {
            assert!(row[0] > 0.0 && row[0] < row[1] && row[1] < row[2], "{width}x{height}: {row:?}");
        }
    }
}

#[test]
fn st_lpips_of_a_clip_is_the_mean_of_its_frames_and_small_frames_are_an_error() {
    let given = Given {
        colours: true,
        runtime: Some(ort()),
        perceptual: Some(st_lpips()),
        options: options(),
        ..Given::default()
    };
    let mut meter = metric("st-lpips").unwrap().start(&given).unwrap();
    let truth = scene(40, 32);
    let frames = [truth.clone(), noisy(&truth, 20)];
    for (number, test) in frames.iter().enumerate() {
        let (grey, colours) = (luma(test.view()), colours(test, &truth));
        meter.push(&Frame::new(number, grey.view()).with_colours(&colours).unwrap()).unwrap();
    }
    let small = scene(LEAST - 1, 40);
    let (grey, pair) = (luma(small.view()), colours(&small, &small));
    let error = meter.push(&Frame::new(2, grey.view()).with_colours(&pair).unwrap()).unwrap_err();
    assert!(matches!(error, MetricError::TooSmall { least: LEAST, .. }), "{error}");
    let outcome = meter.finish();
    assert_eq!(outcome.series.len(), 2);
    assert_eq!(outcome.value, Some(outcome.series[1].1 / 2.0));
}

#[test]
fn identity_is_one_for_the_same_face_and_falls_with_every_change() {
    let given = |faces| Given {
        faces,
        runtime: Some(ort()),
        embedding: Some(tiny("embedding")),
        options: options(),
        ..Given::default()
    };
    let row = metric("identity").unwrap();
    let absent = row.start(&given(false)).err().unwrap().to_string();
    assert!(absent.starts_with("not measured: no faces located"), "{absent}");

    let truth = scene(SIDE, SIDE);
    let upside_down =
        Picture::from_shape_fn(truth.dim(), |(y, x, channel)| truth[(SIDE - 1 - y, x, channel)]);
    let mut meter = row.start(&given(true)).unwrap();
    let grey = luma(truth.view());
    let faces = [colours(&truth, &truth), colours(&upside_down, &truth)];
    meter.push(&Frame::new(0, grey.view()).with_faces(&faces[..1])).unwrap();
    // A frame without faces has no figure.
    meter.push(&Frame::new(1, grey.view()).with_faces(&[])).unwrap();
    meter.push(&Frame::new(2, grey.view()).with_faces(&faces)).unwrap();
    let series = meter.finish().series;
    assert_eq!((series[0].0, series[1].0), (0, 2));
    assert!((series[0].1 - 1.0).abs() < 1e-6, "{series:?}");
    assert!(series[1].1 < 0.99, "{series:?}");
}

#[test]
fn networks_of_another_kind_are_refused_in_words() {
    for (file, expected) in [
        (tiny("two-inputs"), "several inputs"),
        (tiny("fixed-x2"), "is not [1, 3, 112, 112]"),
        (tiny("u8-input"), "is not [1, 3, 112, 112]"),
        (tiny("nearest-x2"), "150528 numbers"),
        (PathBuf::from("no/such.onnx"), "does not exist"),
    ] {
        let error = Embedding::load(ort(), &file, &options()).err().unwrap().to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
    }
    for file in [tiny("two-inputs"), tiny("embedding")] {
        let error = Perceptual::load(ort(), &file, &options()).err().unwrap().to_string();
        assert!(error.contains("is no ST-LPIPS network") && error.lines().count() == 1, "{error}");
    }
}
