//! Random formats, sizes and model files: whatever comes, there is a picture or an error.
//!
//! Critical messages of GLib end these programs, see `common`.

use std::cell::Cell;
use std::path::Path;

use crate::common::pool::padded;
use crate::common::{Bench, child, components, formats, noise, read, said};
use gst_video::{VideoFormat, VideoInfo};
use gstfacesr::image::Picture;
use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::{Network, runtime};
use gstfacesr::model::contract::{InputSize, Upscaler};
use gstfacesr::model::onnx_file::OnnxFile;
use gstreamer as gst;
use gstreamer_video as gst_video;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn runner(cases: u32) -> TestRunner {
    // The same cases each time: what fails here fails on every machine.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let seed = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, seed)
}

/// What stands for a frame in these tests.
#[derive(Clone, Debug)]
struct Case {
    format: VideoFormat,
    network: &'static str,
    sizes: Vec<(u32, u32)>,
    /// Hundredths; 0 leaves the size to downstream.
    scale: u32,
    downstream: (Option<u32>, Option<u32>),
    tile_size: u32,
    par: (i32, i32),
    pad: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    const NETWORKS: [&str; 8] = [
        "nearest-x2",
        "nearest-x3",
        "identity-x1",
        "luma-x2",
        "fixed-x2",
        "multiple4-x2",
        "half-x2",
        "nan-x2",
    ];
    let side = || prop_oneof![1..200_u32, 1..9_u32];
    let open = move || proptest::option::weighted(0.4, side());
    (
        proptest::sample::select(formats()),
        proptest::sample::select(&NETWORKS[..]),
        proptest::collection::vec((side(), side()), 1..3),
        prop_oneof![Just(0), Just(100), Just(200), 100..800_u32],
        (open(), open()),
        prop_oneof![Just(0), 1..100_u32],
        (1..20, 1..20),
        any::<bool>(),
    )
        .prop_map(|(format, network, sizes, scale, downstream, tile_size, par, pad)| Case {
            format,
            network,
            sizes,
            scale,
            downstream,
            tile_size,
            par,
            pad,
        })
}

/// Whether the side left open would be longer than the element makes any.
fn follows_beyond_the_longest(fixed: (Option<u32>, Option<u32>), width: u32, height: u32) -> bool {
    let longest = match fixed {
        (Some(wanted), None) => wanted * height / width,
        (None, Some(wanted)) => wanted * width / height,
        _ => 0,
    };
    longest >= 16_384
}

fn check(case: &Case) {
    let scale = f64::from(case.scale) / 100.0;
    let mut downstream = gst::Caps::builder("video/x-raw");
    // A scale and a size would contradict each other, which is another test's.
    let fixed = if case.scale == 0 { case.downstream } else { (None, None) };
    if let Some(width) = fixed.0 {
        downstream = downstream.field("width", width as i32);
    }
    if let Some(height) = fixed.1 {
        downstream = downstream.field("height", height as i32);
    }
    let settings = [("scale", scale.to_string()), ("tile-size", case.tile_size.to_string())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut bench = Bench::new(case.network, &settings);
    bench.harness.set_sink_caps(downstream.build());
    for &(width, height) in &case.sizes {
        if follows_beyond_the_longest(fixed, width, height) {
            continue;
        }
        let par = gst::Fraction::new(case.par.0, case.par.1);
        let input = VideoInfo::builder(case.format, width, height).par(par).build().unwrap();
        let parts = components(&input);
        bench.info(&input);
        let sample = |c: usize, x, y| noise(c, x, y) & parts[c].most();
        let sent = match case.pad {
            true => padded(&input, 0xcc, sample),
            false => crate::common::frame(&input, sample),
        };
        let made = bench.frame(sent);
        let output = bench.made();
        assert_eq!(output.format(), case.format);
        let (across, down) =
            (f64::from(output.width()) / f64::from(width), f64::from(output.height()) / f64::from(height));
        match (case.scale, fixed) {
            (0, (wanted_width, wanted_height)) => {
                assert!(wanted_width.is_none_or(|wanted| wanted == output.width()), "{output:?}");
                assert!(wanted_height.is_none_or(|wanted| wanted == output.height()), "{output:?}");
            }
            _ => {
                let off = (across - scale).abs() * f64::from(width);
                assert!(off <= 0.5 + 1e-9 || output.width() == 1, "width by {across} for {scale}");
                let off = (down - scale).abs() * f64::from(height);
                assert!(off <= 0.5 + 1e-9 || output.height() == 1, "height by {down} for {scale}");
            }
        }
        let samples = read(&output, &made);
        assert_eq!(samples[0].values.len() as u32, output.width() * output.height());
    }
    let is_error = |text: &String| text.starts_with("error");
    assert!(!bench.complaints().iter().any(is_error));
}

#[test]
fn every_random_frame_comes_out_at_the_right_size() {
    runner(120)
        .run(&cases(), |case| {
            check(&case);
            Ok(())
        })
        .unwrap();
}

/// Bytes of a tiny network, some of them changed, the end perhaps cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let files = [
        "nearest-x2",
        "half-x2",
        "bilinear-x2",
        "fixed-x2",
        "luma-x2",
        "two-inputs",
        "nan-x2",
        "multiple4-x2",
    ];
    let files = files.map(|name| std::fs::read(crate::common::tiny(name)).unwrap());
    (
        proptest::sample::select(files.to_vec()),
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        proptest::option::weighted(0.3, any::<prop::sample::Index>()),
    )
        .prop_map(|(mut bytes, changes, end)| {
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(end) = end {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        })
}

#[test]
fn every_damaged_model_file_is_read_or_refused_on_one_line() {
    runner(5_000)
        .run(&damaged(), |bytes| {
            if let Err(reason) = OnnxFile::parse(bytes) {
                prop_assert_eq!(reason.lines().count(), 1);
            }
            Ok(())
        })
        .unwrap();
    runner(5_000)
        .run(&proptest::collection::vec(any::<u8>(), 0..300), |bytes| {
            let _ = OnnxFile::parse(bytes);
            Ok(())
        })
        .unwrap();
}

/// Loads and runs what is left of a network.
fn attempt(path: &Path) -> Result<(), String> {
    let text = |err: &dyn std::fmt::Display| err.to_string();
    let file = Upscaler::read(path).map_err(|err| text(&err))?;
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    let options = Options { choice: Choice::Only(Provider::Cpu), threads: 1, ..Options::default() };
    let mut network = OnnxNetwork::<u8>::load(runtime, &file, &options).map_err(|err| text(&err))?;
    let (width, height) = match network.input_size() {
        InputSize::Fixed(size) => (size.width, size.height),
        InputSize::Multiple(multiple) => {
            (16_usize.next_multiple_of(multiple), 16_usize.next_multiple_of(multiple))
        }
    };
    if width * height > 1 << 22 {
        return Err("a header that asks for a picture of many megabytes".into());
    }
    let picture = Picture::<u8>::from_elem((height, width, network.channels()), 99);
    network.run(picture.view(), &mut |_| {}).map_err(|err| text(&err))
}

/// In a process of its own, as it is ONNX Runtime that reads most of these files.
#[test]
fn every_damaged_model_gives_an_error_or_a_picture() {
    let name = "every_damaged_model_gives_an_error_or_a_picture";
    let output = child(name, &[("RUST_BACKTRACE", "0")], || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.onnx");
        let (pictures, errors) = (Cell::new(0), Cell::new(0));
        runner(250)
            .run(&damaged(), |bytes| {
                // Kept for whoever looks into a crash.
                std::fs::write(&path, &bytes).unwrap();
                std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged.onnx"), &bytes).unwrap();
                match attempt(&path) {
                    Ok(()) => pictures.set(pictures.get() + 1),
                    Err(reason) => {
                        prop_assert_eq!(reason.lines().count(), 1, "{}", reason);
                        errors.set(errors.get() + 1);
                    }
                }
                Ok(())
            })
            .unwrap();
        let (pictures, errors) = (pictures.get(), errors.get());
        println!("{pictures} pictures, {errors} errors");
        assert!(pictures > 10 && errors > 10);
    });
    if let Some(output) = output {
        assert!(output.status.success(), "{:?}: {}", output.status, said(&output));
        print!("{}", said(&output));
    }
}
