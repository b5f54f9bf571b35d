//! Networks through the element: those that work, those that must be refused in words, those
//! that misbehave, and who runs them.

use std::path::Path;
use std::process::Command;

use crate::common::{Bench, child, element, frame, info, messages, noise, read, said, tiny, tree};
use gst::prelude::*;
use gst_video::VideoFormat;
use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Size};
use gstreamer as gst;
use gstreamer_video as gst_video;

/// Edges, ramps, fine lines and a little noise, in `most` levels.
fn scene(most: u32) -> impl Fn(usize, usize, usize) -> u32 {
    move |c, x, y| {
        let wave = ((x as f32 / 9.0 + c as f32).sin() * (y as f32 / 7.0).cos() + 1.0) / 2.0;
        let edge = if (x / 13 + y / 9) % 2 == 0 { 0.2 } else { 0.0 };
        let noise = (noise(c, x, y) % 1000) as f32 / 10_000.0;
        ((0.6 * wave + edge + noise) * most as f32) as u32
    }
}

#[test]
fn every_sort_of_network_repeats_the_pixels_of_any_frame() {
    for (network, scale, tolerance) in [
        ("nearest-x2", 2, 0),
        ("nearest-x3", 3, 0),
        ("identity-x1", 1, 0),
        ("half-x2", 2, 1),
        ("fixed-x2", 2, 0),
        ("multiple4-x2", 2, 0),
        ("range255-x2", 2, 0),
    ] {
        let mut bench = Bench::new(network, &[]);
        for (width, height) in [(48, 32), (1, 1), (33, 17), (100, 70)] {
            let input = info(VideoFormat::Rgb, width, height);
            bench.info(&input);
            let picture = scene(255);
            let made = bench.frame(frame(&input, &picture));
            for (c, samples) in read(&bench.made(), &made).iter().enumerate() {
                assert_eq!((samples.width, samples.height()), (width * scale, height * scale), "{network}");
                for (at, &sample) in samples.values.iter().enumerate() {
                    let (x, y) = (at % samples.width / scale, at / samples.width / scale);
                    let off = sample.abs_diff(picture(c, x, y));
                    assert!(off <= tolerance, "{network} {width}x{height} at {x},{y}: off by {off}");
                }
            }
        }
        assert_eq!(bench.complaints(), [""; 0]);
    }
}

#[test]
fn a_luma_network_keeps_the_colours_of_the_resampler() {
    let mut bench = Bench::new("luma-x2", &[]);
    let input = info(VideoFormat::Y444, 40, 30);
    bench.info(&input);
    let made = bench.frame(frame(&input, |c, x, y| match c {
        0 => 100 + noise(c, x, y) % 40,
        _ => 100 + 10 * c as u32,
    }));
    let made = read(&bench.made(), &made);
    for (at, &luma) in made[0].values.iter().enumerate() {
        let expected = 100 + noise(0, at % 80 / 2, at / 80 / 2) % 40;
        assert!(luma.abs_diff(expected) <= 2, "{luma} for {expected}");
    }
    for c in [1, 2] {
        assert!(made[c].values.iter().all(|&level| level.abs_diff(100 + 10 * c as u32) <= 1));
    }
}

#[test]
fn tiles_of_any_size_give_the_picture_of_one_piece() {
    for (format, most) in [(VideoFormat::Rgb, 255), (VideoFormat::Rgba64Le, 65535)] {
        let input = info(format, 150, 110);
        let picture = frame(&input, scene(most));
        let with = |tile: &str| {
            let mut bench = Bench::new("bilinear-x2", &[("tile-size", tile)]);
            bench.info(&input);
            let made = bench.frame(picture.clone());
            (read(&bench.made(), &made), bench.count("tiles"))
        };
        let (whole, tiles) = with("0");
        assert_eq!(tiles, 1);
        for tile in ["1", "40", "64", "100"] {
            let (tiled, tiles) = with(tile);
            assert!(tiles > 1, "tile-size={tile}");
            for (whole, tiled) in whole.iter().zip(&tiled).take(3) {
                let differences = whole.values.iter().zip(&tiled.values).map(|(a, b)| a.abs_diff(*b));
                let worst = differences.max().unwrap();
                assert!(worst <= most / 255, "tile-size={tile} {format:?}: off by {worst} of {most}");
            }
        }
    }
}

#[test]
fn memory_limit_decides_the_tiles() {
    let tiles = |limit: &str| {
        let mut bench = Bench::new("bilinear-x2", &[("memory-limit", limit)]);
        bench.info(&info(VideoFormat::Gray8, 2000, 800));
        bench.frame(gst::Buffer::with_size(1_600_000).unwrap());
        bench.count("tiles")
    };
    let (little, much) = (tiles("64"), tiles("100000"));
    assert!(little > much && much == 1, "{little} tiles, {much} tiles");
}

/// Starts a pipeline that must not start; gives the one error of the element.
fn refusal(model: &str, settings: &[(&str, &str)]) -> (gst::glib::Error, i32) {
    let element = element("", settings);
    element.set_property("model", model);
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("videotestsrc").build().unwrap();
    let sink = gst::ElementFactory::make("fakesink").build().unwrap();
    pipeline.add_many([&source, &element, &sink]).unwrap();
    gst::Element::link_many([&source, &element, &sink]).unwrap();
    assert!(pipeline.set_state(gst::State::Playing).is_err(), "{model} was taken");
    let bus = pipeline.bus().unwrap();
    let mut errors = Vec::new();
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
        let gst::MessageView::Error(error) = message.view() else { unreachable!() };
        let code = error.details().and_then(|details| details.get("exit-code").ok());
        errors.push((error.error(), code));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(errors.len(), 1, "{model}: {errors:?}");
    assert!(sink.static_pad("sink").unwrap().current_caps().is_none(), "{model}: data was flowing");
    let (error, code) = errors.remove(0);
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    let code = code.unwrap_or_else(|| panic!("no exit-code with: {error}"));
    (error, code)
}

#[test]
fn a_model_that_cannot_be_used_is_refused_once_on_one_line_before_data_flows() {
    crate::common::init();
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(tiny("bilinear-x2")).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let with_sidecar = |name: &str, text: &str| {
        let path = write(name, &good);
        std::fs::write(format!("{path}.modelinfo"), text).unwrap();
        path
    };
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 1\n";
    let mut renamed = good.clone();
    let at = good.windows(4).position(|bytes| bytes == b"Conv").unwrap();
    renamed[at..at + 4].copy_from_slice(b"Bonv");
    for (model, expected) in [
        ("/no/such/model.onnx".into(), "does not exist"),
        ("no-such-name".into(), "span-x2"),
        (folder.path().to_string_lossy().into_owned(), "is a directory"),
        (write("empty.onnx", b""), "empty"),
        (write("text.onnx", b"<!doctype html><html><head></head></html>"), "text file"),
        (write("pointer.onnx", pointer), "git lfs pull"),
        (write("noise.onnx", &[0xff; 1000]), "damaged"),
        (write("half.onnx", &good[..good.len() / 2]), "cut short"),
        (write("almost.onnx", &good[..good.len() - 10]), "cut short"),
        (write("operator.onnx", &renamed), "Bonv"),
        (write("photo.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "not an ONNX model"),
        (with_sidecar("scale.onnx", "[modelinfo]\nscale=3\n"), "x3"),
        (with_sidecar("section.onnx", "scale=2\n"), "[modelinfo]"),
        (with_sidecar("role.onnx", "[modelinfo]\nrole=face-detector\n"), "role=face-detector"),
        (with_sidecar("number.onnx", "[modelinfo]\nmultiple=0\n"), "multiple=0"),
        (tiny("two-inputs"), "2 inputs"),
        (tiny("sigma"), "2 inputs"),
        (tiny("three-d"), "3 dimensions"),
        (tiny("nhwc"), "is no upscaler"),
        (tiny("u8-input"), "float32"),
        (tiny("five-channels"), "5 channels"),
        (tiny("noninteger-x1.5"), "whole factor"),
        (tiny("uneven-x2x3"), "whole factor"),
    ] {
        let (error, code) = refusal(&model, &[]);
        assert!(error.to_string().contains(expected), "{model}: {error}");
        let name = Path::new(&model).file_stem().unwrap().to_string_lossy();
        assert!(error.to_string().contains(&*name), "it is not said which: {error}");
        assert_eq!(code, 4, "{error}");
        println!("{error}");
    }
}

#[test]
fn a_pipe_or_a_device_is_refused_and_never_read() {
    crate::common::init();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (pipe, beside) = (path("pipe.onnx"), path("beside.onnx"));
    std::fs::copy(tiny("nearest-x2"), &beside).unwrap();
    for pipe in [pipe.clone(), format!("{beside}.modelinfo")] {
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    for (property, value) in [
        ("model", "/dev/null".to_string()),
        ("model", pipe.clone()),
        ("model", beside),
        ("face-detector", pipe.clone()),
        ("face-model", pipe.clone()),
        ("face-embedding", pipe.clone()),
        ("face-parsing", pipe),
    ] {
        // What reads a pipe that nobody writes to never comes back.
        let (sender, receiver) = std::sync::mpsc::channel();
        let set = value.clone();
        std::thread::spawn(move || {
            let model = if property == "model" { set.clone() } else { tiny("nearest-x2") };
            let _ = sender.send(refusal(&model, &[(property, &set)]));
        });
        let (error, code) = receiver
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap_or_else(|_| panic!("{property}={value} is read"));
        assert!(error.to_string().contains("not a regular file"), "{property}={value}: {error}");
        assert_eq!(code, 4, "{error}");
    }
}

#[test]
fn a_provider_that_is_not_here_is_refused_with_its_reason_and_one_that_is_here_runs() {
    for provider in ["cuda", "tensorrt", "openvino"] {
        let settings = [("execution-provider", provider)];
        let element = element("nearest-x2", &settings);
        if element.set_state(gst::State::Paused).is_ok() {
            let active: String = element.property("active-provider");
            assert!(active.starts_with(provider), "{active} instead of {provider}");
        } else {
            let (error, code) = refusal(&tiny("nearest-x2"), &settings);
            assert!(error.to_string().contains(provider), "{error}");
            assert_eq!(code, 4, "{error}");
            println!("{error}");
        }
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_precision_that_a_provider_does_not_have_is_refused_before_data_flows() {
    for (provider, precision, expected) in [
        ("cpu", "bf16", ["execution provider cpu", "bf16"]),
        ("openvino", "fp16", ["execution provider openvino", "fp16"]),
        ("auto", "bf16", ["no execution provider", "cpu: "]),
    ] {
        let settings = [("execution-provider", provider), ("precision", precision)];
        if provider == "auto" && gstfacesr::infer::precision::Units::here().bf16 {
            // Where OpenVINO may be there, and does it.
            continue;
        }
        let (error, code) = refusal(&tiny("nearest-x2"), &settings);
        assert!(expected.iter().all(|text| error.to_string().contains(text)), "{error}");
        assert_eq!(code, 4, "{error}");
    }
}

#[test]
fn frames_in_16_bits_are_those_of_32_to_a_level() {
    let input = info(VideoFormat::Rgb, 66, 42);
    let made = ["fp32", "fp16"].map(|precision| {
        let mut bench = Bench::new("bilinear-x2", &[("precision", precision)]);
        bench.info(&input);
        let made = bench.frame(frame(&input, scene(255)));
        assert_eq!(bench.complaints(), [""; 0]);
        read(&bench.made(), &made)
    });
    for (exact, coarse) in made[0].iter().zip(&made[1]) {
        let differences = exact.values.iter().zip(&coarse.values).map(|(a, b)| a.abs_diff(*b));
        assert!(differences.max().unwrap() <= 1);
    }
}

#[test]
fn auto_says_what_runs_and_why_it_is_not_something_better() {
    let mut bench = Bench::new("nearest-x2", &[("execution-provider", "auto")]);
    bench.info(&info(VideoFormat::Rgb, 8, 8));
    bench.frame(gst::Buffer::with_size(192).unwrap());
    let active: String = bench.element.property("active-provider");
    let stats = bench.stats();
    assert_eq!(stats.get::<String>("provider").unwrap(), active);
    let fallbacks: Vec<String> =
        stats.get::<gst::Array>("fallbacks").unwrap().iter().map(|line| line.get().unwrap()).collect();
    if active.starts_with("cuda") {
        return assert_eq!(fallbacks, [""; 0]);
    }
    assert!(active.starts_with("cpu"), "{active}");
    assert_eq!(fallbacks.len(), 1, "{fallbacks:?}");
    assert!(fallbacks[0].contains("cuda: "), "{fallbacks:?}");
}

/// Three small frames, live or not: the model that ran, and what `stats` says was too slow.
fn played(source: &str, settings: &str) -> (String, Option<String>) {
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc {source} num-buffers=3 ! video/x-raw,width=80,height=48,framerate=25/1 ! facesr name=f face-mode=off execution-provider=cpu {settings} ! fakesink"
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
    assert_eq!(end.map(|message| message.type_()), Some(gst::MessageType::Eos), "{source} {settings}");
    let stats: gst::Structure = pipeline.by_name("f").unwrap().property("stats");
    let fallbacks = stats.get::<gst::Array>("fallbacks").unwrap();
    let slow =
        fallbacks.iter().map(|line| line.get::<String>().unwrap()).find(|line| line.contains("too slow"));
    pipeline.set_state(gst::State::Null).unwrap();
    (stats.get("model").unwrap(), slow)
}

/// One core runs SPAN on 89,000 pixels a second.
#[test]
fn auto_takes_the_network_for_live_video_where_the_other_cannot_keep_up_and_says_so() {
    crate::common::init();
    for (source, settings, expected, slow) in [
        ("is-live=true", "threads=1", "facesr-live-x2-int8", Some("span-x2")),
        ("is-live=true", "threads=1 scale=4", "facesr-live-x2-int8", Some("span-x4")),
        ("is-live=true", "threads=1 model=span-x2", "span-x2", None),
        ("is-live=true", "threads=1024", "span-x2", None),
        ("is-live=false", "threads=1", "span-x2", None),
    ] {
        let (model, told) = played(source, settings);
        assert_eq!(model, expected, "{source} {settings}");
        let expected = slow.map(|name| format!("{name}, for 0.1 million pixels a second on one core"));
        let fits =
            told.as_ref().zip(expected.as_ref()).is_some_and(|(told, expected)| told.contains(expected));
        assert!(fits || told.is_none() && expected.is_none(), "{source} {settings}: {told:?}");
    }
}

#[test]
fn where_the_network_for_live_video_is_missing_auto_keeps_the_other_and_says_so() {
    let name = "where_the_network_for_live_video_is_missing_auto_keeps_the_other_and_says_so";
    let folder = tempfile::tempdir().unwrap();
    let cache = gstfacesr::model::registry::cache_dir().unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    for file in ["span-x2.onnx", "span-x2.onnx.modelinfo"] {
        std::fs::copy(cache.join("models").join(file), folder.path().join("models").join(file)).unwrap();
    }
    let runtime = cache.join("runtime/libonnxruntime.so");
    let variables = [
        ("FACESR_CACHE_DIR", folder.path().to_str().unwrap()),
        ("FACESR_ONNXRUNTIME", runtime.to_str().unwrap()),
    ];
    let output = child(name, &variables, || {
        crate::common::init();
        let (model, told) = played("is-live=true", "threads=1");
        println!("{model}: {told:?}");
    });
    let Some(output) = output else { return };
    let said = said(&output);
    assert!(output.status.success() && said.contains("span-x2: Some(\"too slow"), "{said}");
    assert!(said.contains("facesr-live-x2-int8") && said.contains("make models"), "{said}");
}

#[test]
fn without_a_runtime_the_error_names_the_way_to_one() {
    let name = "without_a_runtime_the_error_names_the_way_to_one";
    for (value, expected) in [("", "make runtime"), ("/no/such/lib.so", "FACESR_ONNXRUNTIME")] {
        let variables =
            [("FACESR_CACHE_DIR", "/nonexistent"), ("FACESR_ONNXRUNTIME", value), ("ORT_DYLIB_PATH", "")];
        let output = child(name, &variables, || {
            let (error, code) = refusal(&tiny("nearest-x2"), &[]);
            println!("{code}: {error}");
        });
        let Some(output) = output else { return };
        let said = said(&output);
        let is_on_the_system = value.is_empty() && said.contains("was taken");
        assert!(output.status.success() && said.contains("4: ") || is_on_the_system, "{said}");
        assert!(said.contains(expected) || is_on_the_system, "{said}");
    }
}

#[test]
fn a_second_runtime_in_one_process_is_refused() {
    let first = element("nearest-x2", &[]);
    first.set_state(gst::State::Paused).unwrap();
    let (error, code) = refusal(&tiny("nearest-x2"), &[("runtime", &tree("Cargo.toml"))]);
    assert!(error.to_string().contains("already"), "{error}");
    assert_eq!(code, 4);
    first.set_state(gst::State::Null).unwrap();
}

/// The picture of a network that makes no numbers of bright red is the resampled one, there.
#[test]
fn values_that_are_no_numbers_are_resampled_counted_and_told_once() {
    let (width, height) = (90, 60);
    let input = info(VideoFormat::Rgb, width, height);
    let dim = |c: usize, x: usize, y: usize| scene(255)(c, x, y).min(200);
    let bright = |c: usize, x: usize, y: usize| if (x, y) == (70, 40) { 255 } else { dim(c, x, y) };
    // Every frame for itself, which is what is counted.
    let mut bench = Bench::new("nan-x2", &[("temporal-mode", "off")]);
    bench.info(&input);
    bench.frame(frame(&input, dim));
    assert_eq!((bench.count("tiles-left-out"), bench.complaints().len()), (0, 0));

    let expected = Picture::<u8>::from_shape_fn((height, width, 3), |(y, x, c)| bright(c, x, y) as u8);
    let expected = Resampler::default().resize(expected.view(), Size::new(2 * width, 2 * height));
    for n in 1..=3 {
        let made = bench.frame(frame(&input, bright));
        for (c, samples) in read(&bench.made(), &made).iter().enumerate() {
            for (at, &sample) in samples.values.iter().enumerate() {
                let (x, y) = (at % samples.width, at / samples.width);
                assert_eq!(sample, u32::from(expected[(y, x, c)]), "at {x},{y}");
            }
        }
        assert_eq!(bench.count("tiles-left-out"), n);
        let complaints = bench.complaints();
        assert_eq!(complaints.len(), usize::from(n == 1), "{complaints:?}");
        assert!(complaints.iter().all(|text| text.starts_with("warning: ") && text.contains("stats")));
    }
    assert_eq!(bench.stats().get::<gst::Array>("fallbacks").unwrap().len(), 1);

    // In tiles, only the one is lost and the others are the network's.
    let mut bench = Bench::new("nan-x2", &[("tile-size", "40"), ("tile-overlap", "4")]);
    bench.info(&input);
    let made = bench.frame(frame(&input, bright));
    let made = read(&bench.made(), &made);
    let (tiles, left_out) = (bench.count("tiles"), bench.count("tiles-left-out"));
    assert!(left_out >= 1 && left_out < tiles, "{left_out} of {tiles}");
    for y in 0..40 {
        for x in 0..40 {
            assert_eq!(made[1].at(x, y), bright(1, x / 2, y / 2), "far away at {x},{y}");
        }
    }
    let _ = messages(&bench.bus);
}
