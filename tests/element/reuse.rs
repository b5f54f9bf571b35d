//! Outputs used again, through the element: what is saved, what is told, and where it cannot be.

use crate::common::{Bench, frame, info, read, tiny};
use gst_video::VideoFormat;
use gstfacesr::enhance::{Controls, Effort, Enhancer, Residency, Settings};
use gstfacesr::face;
use gstfacesr::image::{Picture, Size};
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::temporal::Mode;
use gstreamer as gst;
use gstreamer_video as gst_video;

/// A still scene with a little noise and a square that moves in one corner, at 25 frames a second.
fn scene(input: &gst_video::VideoInfo, t: u64) -> gst::Buffer {
    let unit = 1 << (input.format_info().depth()[0] - 8);
    let mut buffer = frame(input, |c, x, y| {
        let wave = 100.0 + 40.0 * ((x as f32 * 0.3).sin() + (y as f32 * 0.23 + c as f32).sin());
        let is_square = (t as usize..t as usize + 12).contains(&x) && (4..16).contains(&y);
        let level = if is_square { 230.0 } else { wave };
        (level as u32 + crate::common::noise(c + 7 * t as usize, x, y) % 2) * unit
    });
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(40 * t));
    writable.set_duration(gst::ClockTime::from_mseconds(40));
    buffer
}

fn reuse(bench: &Bench) -> gst::Structure {
    bench.stats().get::<gst::Structure>("reuse").unwrap()
}

fn whole(bench: &Bench, reason: &str) -> u64 {
    reuse(bench).get::<gst::Structure>("whole").unwrap().get::<u64>(reason).unwrap()
}

#[test]
fn what_stands_still_is_not_inferred_again_and_looks_as_if_it_were() {
    crate::common::init();
    for (format, network) in [(VideoFormat::Rgb, "bilinear-x2"), (VideoFormat::I42010le, "nearest-x2")] {
        let input = info(format, 161, 97);
        let run = |properties: &[(&str, &str)]| {
            let mut bench = Bench::new(network, properties);
            bench.info(&input);
            let made: Vec<Vec<u32>> = (0..24)
                .map(|t| {
                    let buffer = bench.frame(scene(&input, t));
                    read(&bench.made(), &buffer)[0].values.to_vec()
                })
                .collect();
            (made, bench)
        };
        let (every, plain) = run(&[]);
        // On one thread: several cut parts up, and how much context that takes depends on the machine.
        let (reused, bench) = run(&[("reuse", "1"), ("reuse-tile", "16"), ("threads", "1")]);
        let unit = 1 << (input.format_info().depth()[0] - 8);
        for (t, (every, reused)) in every.iter().zip(&reused).enumerate() {
            let steps = every.iter().zip(reused).map(|(a, b)| a.abs_diff(*b) / unit);
            let (sum, count) = steps.fold((0, 0), |(sum, count), step| (sum + step, count + 1));
            assert!(f64::from(sum) / f64::from(count) < 1.0, "{format:?}, frame {t}");
            assert!(t > 0 || sum == 0, "the first frame is the network's");
        }
        let area = reuse(&bench).get::<f64>("area").unwrap();
        assert!(area < 0.5, "{format:?}: {area} of the picture was inferred");
        assert_eq!((reuse(&bench).get::<u64>("frames").unwrap(), whole(&bench, "begins")), (24, 1));
        assert_eq!(reuse(&plain).get::<u64>("frames").unwrap(), 0, "nobody asked");
        assert_eq!(bench.complaints(), [""; 0]);
    }
}

#[test]
fn where_no_part_can_be_made_frames_are_inferred_whole_and_it_is_told() {
    crate::common::init();
    let input = info(VideoFormat::Rgb, 64, 48);
    for (network, downstream) in [
        ("nearest-x2", "video/x-raw,width=192,height=144"),
        ("nearest-x2", "video/x-raw,width=100,height=75"),
    ] {
        let run = |properties: &[(&str, &str)]| {
            let mut bench = Bench::new(network, properties).downstream(downstream);
            bench.info(&input);
            let made: Vec<Vec<u32>> = (0..5)
                .map(|t| {
                    let buffer = bench.frame(scene(&input, t));
                    read(&bench.made(), &buffer).into_iter().flat_map(|component| component.values).collect()
                })
                .collect();
            (made, bench)
        };
        let (reused, bench) = run(&[("reuse", "1")]);
        assert_eq!(whole(&bench, "no-parts"), 5, "{downstream}");
        assert!(reused == run(&[]).0, "{downstream}");
    }
}

#[test]
fn reuse_may_be_turned_on_and_off_while_frames_flow() {
    use gst::prelude::*;
    crate::common::init();
    let input = info(VideoFormat::Rgb, 96, 64);
    let mut bench = Bench::new("bilinear-x2", &[]);
    bench.info(&input);
    for t in 0..24 {
        let amount = if (t / 6) % 2 == 1 { 1.0 } else { 0.0 };
        bench.element.set_property("reuse", amount);
        bench.element.set_property("reuse-tile", if t < 9 { 32_u32 } else { 16 });
        bench.frame(scene(&input, t));
    }
    assert_eq!(reuse(&bench).get::<u64>("frames").unwrap(), 12);
    assert!(reuse(&bench).get::<f64>("area").unwrap() < 1.0);
    assert_eq!(bench.complaints(), [""; 0]);
}

/// Fine stripes that stand still, and before them a square of finer ones that moves faster than a small budget follows.
fn fast(size: Size, t: usize, channels: usize) -> Picture<u8> {
    Picture::from_shape_fn((size.height, size.width, channels), |(y, x, c)| {
        let is_square = (4 * t..4 * t + 40).contains(&x) && (20..60).contains(&y);
        if c == 3 {
            255
        } else if is_square {
            ((x + 5 * y + 4 * t) * 37 % 230) as u8
        } else {
            ((x / 3 + y + c) % 7 * 20) as u8
        }
    })
}

#[test]
fn what_the_budget_leaves_out_is_stood_in_for_and_told_and_never_what_was_in_the_output() {
    let size = Size::new(98, 75);
    for (by, channels) in [(Effort::Light, 3), (Effort::Resampled, 3), (Effort::Light, 4)] {
        let run = |rubbish: u8, budget: f32| {
            let settings = Settings {
                model: Some(tiny("nearest-x2")),
                options: Options { choice: Choice::Only(Provider::Cpu), ..Options::default() },
                temporal: Mode::Balanced,
                residency: Residency::Never,
                faces: face::Settings { mode: face::Mode::Off, ..face::Settings::default() },
                ..Settings::default()
            };
            let mut enhancer = Enhancer::<u8>::open(&settings).unwrap();
            if by == Effort::Light {
                enhancer.open_light(&settings, &tiny("bilinear-x2")).unwrap();
            }
            let mut controls = Controls::default();
            (controls.temporal.reuse.amount, controls.temporal.reuse.budget) = (1.0, budget);
            controls.temporal.reuse.tile = 16;
            let mut stood_in = 0;
            let frames: Vec<Picture<u8>> = (0..12)
                .map(|t| {
                    let input = fast(size, t, channels);
                    let mut output = Picture::from_elem((2 * size.height, 2 * size.width, channels), rubbish);
                    let report = enhancer.process(input.view(), output.view_mut(), &controls).unwrap();
                    if let Some(told) = report.reused.unwrap().stood_in {
                        assert!(told.by == by && told.area > 0.0 && told.area <= 1.0, "{told:?}");
                        stood_in += 1;
                    }
                    output
                })
                .collect();
            assert_eq!(stood_in > 4, budget < 1.0, "{by:?} {budget}: {stood_in} of 12 frames");
            frames
        };
        assert!(run(0, 0.05) == run(255, 0.05), "{by:?}, {channels} channels");
        run(0, 1.0);
    }
}

#[test]
fn statistics_say_what_stood_in() {
    crate::common::init();
    let input = info(VideoFormat::Rgb, 98, 75);
    for (budget, expected) in [("1", ""), ("0.05", "light-network")] {
        let properties = [("reuse", "1"), ("reuse-tile", "16"), ("reuse-budget", budget)];
        let mut bench = Bench::new("nearest-x2", &properties);
        bench.info(&input);
        for t in 0..12 {
            let picture = fast(Size::new(98, 75), t, 3);
            let mut buffer = frame(&input, |c, x, y| u32::from(picture[(y, x, c)]));
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40 * t as u64));
            bench.frame(buffer);
        }
        assert_eq!(reuse(&bench).get::<String>("stand-in").unwrap(), expected);
        let stood_in = reuse(&bench).get::<f64>("stood-in").unwrap();
        assert_eq!(stood_in > 0.0, !expected.is_empty(), "{stood_in}");
        assert_eq!(bench.complaints(), [""; 0]);
    }
}
