//! The element steadies: what its properties do, what it says, and where it forgets.

use crate::common::{Bench, frame, info, noise, read};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use gstreamer as gst;
use gstreamer_video as gst_video;

const SIZE: (usize, usize) = (48, 32);

/// A scene of smooth waves with noise, frame by frame at 25 per second.
fn noisy(input: &VideoInfo, t: u64) -> gst::Buffer {
    let unit = 1 << (input.format_info().depth()[0] - 8);
    let mut buffer = frame(input, |c, x, y| {
        let wave = 100.0 + 40.0 * ((x as f32 * 0.3).sin() + (y as f32 * 0.23 + c as f32).sin());
        let grain = noise(c + 7 * t as usize, x + 131 * t as usize, y) % 21;
        (wave as u32 + grain) * unit
    });
    at(&mut buffer, t * 40);
    buffer
}

/// Another scene.
fn other(input: &VideoInfo, t: u64) -> gst::Buffer {
    let mut buffer =
        frame(input, |_, x, y| if (x / 5 + y / 7).is_multiple_of(2) { 30 } else { 200 - t as u32 % 3 });
    at(&mut buffer, t * 40);
    buffer
}

fn at(buffer: &mut gst::Buffer, ms: u64) {
    let buffer = buffer.get_mut().unwrap();
    buffer.set_pts(gst::ClockTime::from_mseconds(ms));
    buffer.set_duration(gst::ClockTime::from_mseconds(40));
}

fn bench(properties: &[(&str, &str)]) -> (Bench, VideoInfo) {
    let mut bench = Bench::new("bilinear-x2", properties);
    let input = info(VideoFormat::Rgb, SIZE.0, SIZE.1);
    bench.info(&input);
    (bench, input)
}

fn samples(bench: &Bench, buffer: &gst::Buffer) -> Vec<u32> {
    read(&bench.made(), buffer).into_iter().flat_map(|component| component.values).collect()
}

/// What comes out of frames, each as a list of samples.
fn run(properties: &[(&str, &str)], frames: impl IntoIterator<Item = u64>) -> Vec<Vec<u32>> {
    let (mut bench, input) = bench(properties);
    let mut made = vec![];
    for t in frames {
        let buffer = bench.frame(noisy(&input, t));
        made.push(samples(&bench, &buffer));
    }
    made
}

/// Mean step from frame to frame, after some frames.
fn restlessness(frames: &[Vec<u32>]) -> f64 {
    let steps = frames.windows(2).skip(6).map(|pair| {
        pair[0].iter().zip(&pair[1]).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
            / pair[0].len() as f64
    });
    let steps: Vec<f64> = steps.collect();
    steps.iter().sum::<f64>() / steps.len() as f64
}

#[test]
fn strength_zero_is_bit_for_bit_what_mode_off_gives() {
    let off = run(&[("temporal-mode", "off")], 0..8);
    assert_eq!(run(&[("temporal-strength", "0")], 0..8), off);
    assert_eq!(run(&[("temporal-strength", "0"), ("temporal-mode", "quality")], 0..8), off);
}

#[test]
fn each_property_does_what_its_blurb_says() {
    let restless = |properties: &[(&str, &str)]| restlessness(&run(properties, 0..16));
    let falls = |name: &str, values: &[&str]| {
        let found: Vec<f64> = values.iter().map(|value| restless(&[(name, value)])).collect();
        assert!(found.windows(2).all(|pair| pair[1] < 0.97 * pair[0]), "{name} {values:?}: {found:?}");
    };
    falls("temporal-mode", &["off", "fast"]);
    falls("temporal-mode", &["off", "balanced"]);
    falls("temporal-mode", &["off", "quality"]);
    falls("temporal-strength", &["0", "0.5", "1"]);
    falls("temporal-max-history", &["1", "3", "12"]);
    // Noise is borne anyway; light that flickers is not.
    let flickering = |tolerance: &str| {
        let (mut bench, input) = bench(&[("temporal-tolerance", tolerance)]);
        let frames: Vec<_> = (0..16)
            .map(|t| {
                let mut buffer = frame(&input, |c, x, y| 90 + noise(c, x, y) % 64 + 6 * (t % 2) as u32);
                at(&mut buffer, t * 40);
                let made = bench.frame(buffer);
                samples(&bench, &made)
            })
            .collect();
        restlessness(&frames)
    };
    let found = ["0", "4"].map(flickering);
    assert!(found.windows(2).all(|pair| pair[1] < 0.97 * pair[0]), "tolerance: {found:?}");
    falls("input-denoise", &["0", "1"]);
}

#[test]
fn the_past_is_forgotten_at_discontinuities_gaps_steps_back_flushes_and_caps() {
    let alone = |t: u64| run(&[("temporal-mode", "off")], [t]).remove(0);
    let (mut bench, input) = bench(&[]);
    let push = |bench: &mut Bench, buffer: gst::Buffer| {
        let made = bench.frame(buffer);
        samples(bench, &made)
    };
    let is_alone = |bench: &mut Bench, t: u64, change: &dyn Fn(&mut gst::BufferRef)| {
        let mut buffer = noisy(&input, t);
        change(buffer.get_mut().unwrap());
        push(bench, buffer) == alone(t)
    };
    assert!(is_alone(&mut bench, 0, &|_| {}));
    assert!(!is_alone(&mut bench, 1, &|_| {}));
    assert!(is_alone(&mut bench, 2, &|buffer| buffer.set_flags(gst::BufferFlags::DISCONT)));
    // Up to five frames that are missing are borne; frames without times are taken as they come.
    assert!(!is_alone(&mut bench, 8, &|_| {}));
    assert!(!is_alone(&mut bench, 9, &|buffer| buffer.set_pts(gst::ClockTime::NONE)));
    assert!(!is_alone(&mut bench, 10, &|_| {}));
    assert!(is_alone(&mut bench, 30, &|_| {}), "twenty frames are missing");
    assert!(is_alone(&mut bench, 29, &|_| {}), "a step back");
    assert!(!is_alone(&mut bench, 30, &|_| {}));
    bench.harness.push_event(gst::event::FlushStart::new());
    bench.harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    bench.harness.push_event(gst::event::Segment::new(&segment));
    assert!(is_alone(&mut bench, 31, &|_| {}), "a flush");
    assert!(!is_alone(&mut bench, 32, &|_| {}));
    bench.caps("format=RGB,width=48,height=32,framerate=50/1");
    assert!(is_alone(&mut bench, 33, &|_| {}), "other caps");
}

#[test]
fn slow_film_of_one_frame_a_second_has_neighbours_too() {
    for (rate, step) in [(1, 1000), (10, 100), (240, 4)] {
        let mut bench = Bench::new("bilinear-x2", &[]);
        let fps = gst::Fraction::new(rate, 1);
        let input = VideoInfo::builder(VideoFormat::Rgb, 48, 32).fps(fps).build().unwrap();
        bench.info(&input);
        for t in 0..3 {
            let mut buffer = noisy(&input, t);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(t * step));
            buffer.get_mut().unwrap().set_duration(gst::ClockTime::NONE);
            bench.frame(buffer);
        }
        assert!(bench.stats().get::<f64>("past-share").unwrap() > 0.3, "{rate} frames per second");
    }
}

#[test]
fn a_cut_is_told_by_a_message_and_by_the_statistics() {
    let (mut bench, input) = bench(&[]);
    for t in 0..5 {
        bench.frame(noisy(&input, t));
    }
    let cut = bench.frame(other(&input, 5));
    for t in 6..8 {
        bench.frame(other(&input, t));
    }
    let message = bench.bus.pop_filtered(&[gst::MessageType::Element]).expect("a message");
    let told = message.structure().unwrap();
    assert_eq!((told.name().as_str(), told.get("frame")), ("facesr-cut", Ok(5_u64)));
    assert_eq!(told.get("pts"), Ok(gst::ClockTime::from_mseconds(200)));
    assert!(bench.bus.pop_filtered(&[gst::MessageType::Element]).is_none());
    let cuts = bench.stats().get::<gst::Array>("cuts").unwrap();
    assert_eq!(cuts.iter().map(|cut| cut.get().unwrap()).collect::<Vec<u64>>(), [5]);
    let mut alone = Bench::new("bilinear-x2", &[("temporal-mode", "off")]);
    alone.info(&input);
    let wanted = alone.frame(other(&input, 5));
    assert_eq!(samples(&bench, &cut), samples(&alone, &wanted));
}

#[test]
fn a_threshold_of_two_finds_no_cut() {
    let (mut bench, input) = bench(&[("scene-cut-threshold", "2")]);
    for t in 0..4 {
        bench.frame(noisy(&input, t));
        bench.frame(other(&input, t));
    }
    assert_eq!(bench.stats().get::<gst::Array>("cuts").unwrap().len(), 0);
}

#[test]
fn a_frame_that_comes_again_is_not_inferred_again() {
    let (mut bench, input) = bench(&[]);
    let first = bench.frame(noisy(&input, 0));
    let mut again = noisy(&input, 0);
    at(&mut again, 40);
    let second = bench.frame(again);
    assert_eq!(samples(&bench, &first), samples(&bench, &second));
    assert_eq!((bench.count("frames"), bench.count("tiles"), bench.count("repeated")), (2, 1, 1));
}

#[test]
fn at_scale_one_without_a_model_any_tool_s_output_is_steadied_and_nothing_is_loaded() {
    for format in [VideoFormat::Rgb, VideoFormat::I42010le, VideoFormat::Rgba64Le, VideoFormat::I420] {
        let run = |strength: &str| {
            let mut bench = Bench::new("", &[("scale", "1"), ("temporal-strength", strength)]);
            let input = info(format, SIZE.0, SIZE.1);
            bench.info(&input);
            let frames: Vec<_> = (0..12)
                .map(|t| {
                    let made = bench.frame(noisy(&input, t));
                    let luma = read(&bench.made(), &made).remove(0);
                    luma.values
                })
                .collect();
            assert_eq!((bench.made().width(), bench.count("tiles")), (SIZE.0 as u32, 0));
            assert_eq!(bench.element.property::<String>("active-provider"), "");
            restlessness(&frames)
        };
        let (before, after) = (run("0"), run("1"));
        assert!(after < 0.5 * before, "{format:?}: {before} -> {after}");
    }
}

#[test]
fn properties_may_change_while_frames_flow() {
    let (mut bench, input) = bench(&[]);
    let element = bench.element.clone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut step = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let share = f64::from(step % 11) / 10.0;
                element.set_property("temporal-strength", share);
                element.set_property("temporal-max-history", 1 + step % 64);
                element.set_property("temporal-tolerance", 8.0 * share);
                element.set_property("scene-cut-threshold", 2.0 * share);
                element.set_property("input-denoise", share);
                step += 1;
            }
        });
        for t in 0..200 {
            bench.frame(noisy(&input, t));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(bench.count("frames"), 200);
    // And take effect at once.
    for (name, value) in [("temporal-strength", 0.0), ("input-denoise", 0.0)] {
        bench.element.set_property(name, value);
    }
    let made = bench.frame(noisy(&input, 200));
    let alone = run(&[("temporal-mode", "off")], [200]).remove(0);
    assert_eq!(samples(&bench, &made), alone);
}

#[test]
fn backwards_the_past_is_what_was_shown_before_and_ends_at_every_join() {
    let (mut bench, input) = bench(&[]);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    segment.set_stop(gst::ClockTime::from_seconds(4));
    assert!(bench.harness.push_event(gst::event::Segment::new(&segment)));
    // Decoders give a group of pictures from its last to its first, and mark where another begins.
    let mut shares = vec![];
    for (n, t) in (0..24).rev().enumerate() {
        let mut buffer = noisy(&input, t);
        if n == 12 {
            buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
        }
        bench.frame(buffer);
        shares.push(bench.stats().get::<f64>("past-share").unwrap() * (n + 1) as f64);
    }
    for (n, pair) in shares.windows(2).enumerate() {
        let has_past = pair[1] - pair[0] > 0.3;
        assert_eq!(has_past, n + 1 != 12, "frame {} took {} of the past", n + 1, pair[1] - pair[0]);
    }
    // A step forwards is none to a neighbour there.
    let before = bench.stats().get::<f64>("past-share").unwrap() * 24.0;
    bench.frame(noisy(&input, 1));
    assert!(bench.stats().get::<f64>("past-share").unwrap() * 25.0 - before < 1e-6);
}
