//! Frames in flight: made on another thread while the next ones are looked at, and otherwise as if they were not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::QUICK;
use crate::common::{Bench, element, frame, info, read};
use gst::glib;
use gst::prelude::*;
use gst_controller::prelude::*;
use gst_controller::{DirectControlBinding, InterpolationControlSource, InterpolationMode};
use gst_video::{VideoFormat, VideoInfo};
use gstreamer as gst;
use gstreamer_controller as gst_controller;
use gstreamer_video as gst_video;

const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// A scene that moves a little, with noise; another from the twelfth frame on; and frames that come twice.
fn scene(input: &VideoInfo, t: u64) -> gst::Buffer {
    let unit = 1 << (input.format_info().depth()[0] - 8);
    let (t, shown) = (t, if t % 7 == 6 { t - 1 } else { t } as usize);
    let other = if t < 12 { 0.0 } else { 1.9 };
    let mut buffer = frame(input, |c, x, y| {
        let (x, y, c) = (x + shown, y, c as f32);
        let wave = 100.0 + 40.0 * ((x as f32 * (0.3 + other)).sin() + (y as f32 * 0.23 + c + other).cos());
        (wave as u32 + crate::common::noise(c as usize + 7 * shown, x, y) % 4) * unit
    });
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(FRAME * t);
    writable.set_duration(FRAME);
    buffer
}

/// Every frame that comes out, with its time; padding of rows is nobody's.
fn made(bench: &mut Bench) -> Vec<(Option<gst::ClockTime>, Vec<u32>)> {
    let mut frames = Vec::new();
    while let Some(buffer) = bench.harness.try_pull() {
        let components = read(&bench.made(), &buffer).into_iter();
        frames.push((buffer.pts(), components.flat_map(|component| component.values).collect()));
    }
    frames
}

fn flying(frames: usize, network: &str, properties: &[(&str, &str)]) -> Bench {
    let frames = frames.to_string();
    let properties: Vec<_> = properties.iter().copied().chain([("frames-in-flight", &*frames)]).collect();
    Bench::new(network, &properties)
}

#[test]
fn frames_in_flight_are_the_same_ones_in_the_same_order_and_as_late_as_is_told() {
    const COUNT: usize = 20;
    for properties in [
        &[][..],
        &[("reuse", "1"), ("reuse-tile", "16")],
        &[("temporal-mode", "quality"), ("input-denoise", "0.7")],
        &[("temporal-mode", "off")],
        &[("scale", "3")],
    ] {
        for (format, network) in [(VideoFormat::Rgb, "bilinear-x2"), (VideoFormat::I42010le, "nearest-x2")] {
            let input = info(format, 97, 61);
            let run = |ahead: usize| {
                let mut bench = flying(ahead, network, properties);
                assert_eq!(bench.element.property::<u32>("latency-frames"), ahead as u32);
                bench.info(&input);
                let mut frames = Vec::new();
                for t in 0..COUNT {
                    bench.harness.push(scene(&input, t as u64)).unwrap();
                    frames.extend(made(&mut bench));
                    assert_eq!(frames.len(), (t + 1).saturating_sub(ahead), "{properties:?}, {ahead} ahead");
                }
                bench.harness.push_event(gst::event::Eos::new());
                frames.extend(made(&mut bench));
                assert_eq!(bench.count("frames"), COUNT as u64);
                assert_eq!(bench.complaints(), [""; 0]);
                let cuts = bench.stats().get::<gst::Array>("cuts").unwrap().len();
                (frames, cuts)
            };
            let expected = run(0);
            assert_eq!(expected.0.len(), COUNT);
            for ahead in [1, 2, 8] {
                assert!(run(ahead) == expected, "{properties:?}, {format:?}, {ahead} ahead");
            }
        }
    }
}

#[test]
fn the_frame_that_is_discontinuous_says_so_and_no_other() {
    // What comes between frames lets those before it out.
    for (ahead, between) in
        [0, 1, 3].into_iter().flat_map(|ahead| [(ahead, 99), (ahead, 0), (ahead, 4), (ahead, 7)])
    {
        let mut bench = flying(ahead, "nearest-x2", &[]);
        let input = info(VideoFormat::Rgb, 32, 24);
        bench.info(&input);
        for t in 0..12 {
            let mut buffer = scene(&input, t);
            // As sources do, and as after a loss.
            if t == 0 || t == 7 {
                buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
            }
            bench.harness.push(buffer).unwrap();
            if t == between {
                bench.harness.push_event(gst::event::Tag::new(gst::TagList::new()));
            }
        }
        bench.harness.push_event(gst::event::Eos::new());
        let pulled: Vec<_> = std::iter::from_fn(|| bench.harness.try_pull()).collect();
        assert_eq!(pulled.len(), 12);
        for (t, buffer) in pulled.iter().enumerate() {
            assert_eq!((buffer.pts(), buffer.duration()), (Some(FRAME * t as u64), Some(FRAME)));
            let is_marked = buffer.flags().contains(gst::BufferFlags::DISCONT);
            assert_eq!(is_marked, t == 0 || t == 7, "{ahead} ahead, an event after {between}, frame {t}");
        }
    }
}

#[test]
fn what_passes_through_after_frames_in_flight_is_as_discontinuous_as_it_came() {
    let off = [("temporal-mode", "off"), ("face-mode", "off")];
    for ahead in [0, 1, 3] {
        let mut bench = flying(ahead, "nearest-x2", &off).downstream("video/x-raw,width=64,height=48");
        let mut t = 0;
        for (width, height) in [(32, 24), (64, 48), (32, 24)] {
            let input = info(VideoFormat::Rgb, width, height);
            bench.info(&input);
            for _ in 0..4 {
                let mut buffer = scene(&input, t);
                if t == 0 || t == 6 {
                    buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
                }
                bench.harness.push(buffer).unwrap();
                t += 1;
            }
        }
        bench.harness.push_event(gst::event::Eos::new());
        let pulled: Vec<_> = std::iter::from_fn(|| bench.harness.try_pull()).collect();
        let is_marked = |buffer: &gst::Buffer| buffer.flags().contains(gst::BufferFlags::DISCONT);
        let marked: Vec<_> = pulled.iter().filter(|buffer| is_marked(buffer)).map(|b| b.pts()).collect();
        assert_eq!((pulled.len(), marked), (12, [0, 6].map(|t| Some(FRAME * t)).to_vec()), "{ahead} ahead");
    }
}

#[test]
fn what_comes_after_frames_goes_on_after_them() {
    for ahead in [1, 3] {
        let mut bench = flying(ahead, "nearest-x2", &[]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let pad = bench.element.static_pad("src").unwrap();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        let note = seen.clone();
        pad.add_probe(kinds, move |_, passing| {
            let name = match &passing.data {
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    format!("{}", buffer.pts().unwrap().mseconds() / 40)
                }
                Some(gst::PadProbeData::Event(event)) => event.type_().name().to_string(),
                _ => return gst::PadProbeReturn::Ok,
            };
            note.lock().unwrap().push(name);
            gst::PadProbeReturn::Ok
        });
        let input = info(VideoFormat::Rgb, 32, 24);
        bench.info(&input);
        let tags = gst::TagList::new();
        let structure = gst::Structure::new_empty("mark");
        let events = [
            gst::event::Tag::new(tags),
            gst::event::Gap::builder(FRAME).build(),
            gst::event::CustomDownstream::new(structure),
            gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()),
            gst::event::Eos::new(),
        ];
        let mut expected = Vec::new();
        for (number, event) in events.into_iter().enumerate() {
            for t in 4 * number..4 * number + 4 {
                bench.harness.push(scene(&input, t as u64)).unwrap();
                expected.push(t.to_string());
            }
            expected.push(event.type_().name().to_string());
            bench.harness.push_event(event);
        }
        let seen = seen.lock().unwrap();
        let from = seen.iter().position(|name| name == "0").unwrap();
        assert_eq!(seen[from..], expected[..], "{ahead} ahead");
    }
}

#[test]
fn caps_that_change_find_every_frame_of_the_caps_before_gone() {
    let mut bench = flying(2, "nearest-x2", &[("temporal-mode", "off")]);
    for (format, width) in [(VideoFormat::Rgb, 16), (VideoFormat::Rgb, 24), (VideoFormat::I42010le, 24)] {
        let input = info(format, width, 16);
        bench.info(&input);
        // Frames of the format before came out with their caps, and nothing is left of them.
        made(&mut bench);
        for t in 0..5 {
            bench.harness.push(scene(&input, t)).unwrap();
        }
        bench.harness.push_event(gst::event::Gap::builder(FRAME * 5).build());
        assert_eq!(bench.made().width() as usize, 2 * width);
        let frames = made(&mut bench);
        assert_eq!(frames.len(), 5);
        let samples = 2 * width * 32 * if format == VideoFormat::Rgb { 6 } else { 3 } / 2;
        assert!(frames.iter().all(|(_, made)| made.len() == samples));
    }
    assert_eq!(bench.complaints(), [""; 0]);
}

#[test]
fn what_a_controller_says_of_the_stream_time_of_a_frame_holds_for_that_frame() {
    const COUNT: u64 = 10;
    for ahead in [0, 2] {
        let mut bench = flying(ahead, "nearest-x2", &[]);
        let all = bench.element.list_properties();
        let controlled = all.iter().filter(|spec| spec.flags().contains(gst::PARAM_FLAG_CONTROLLABLE));
        let names: Vec<&str> = controlled.map(|spec| spec.name()).collect();
        assert!(names.len() >= 9, "{names:?}");
        for name in &names {
            // From the least there is to the most.
            let source = InterpolationControlSource::new();
            source.set_mode(InterpolationMode::Linear);
            assert!(source.set(gst::ClockTime::ZERO, 0.0) && source.set(FRAME * COUNT, 1.0));
            let binding = DirectControlBinding::new(&bench.element, name, &source);
            bench.element.add_control_binding(&binding).unwrap();
        }
        let input = info(VideoFormat::Rgb, 32, 24);
        bench.info(&input);
        // The stream begins at an hour of its time stamps.
        let hour = gst::ClockTime::from_seconds(3600);
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(hour);
        segment.set_time(gst::ClockTime::ZERO);
        bench.harness.push_event(gst::event::Segment::new(&segment));
        for t in 0..=COUNT {
            let mut buffer = scene(&input, t);
            buffer.get_mut().unwrap().set_pts(hour + FRAME * t);
            bench.harness.push(buffer).unwrap();
            for name in &names {
                let share = share_of_range(&bench.element, name);
                let expected = t as f64 / COUNT as f64;
                assert!((share - expected).abs() < 0.02, "{name} of frame {t}, {ahead} ahead: {share}");
            }
        }
    }
}

/// Where between its least and its most a property is.
fn share_of_range(element: &gst::Element, name: &str) -> f64 {
    let spec = element.find_property(name).unwrap();
    let range = spec.downcast_ref::<glib::ParamSpecDouble>().map(|spec| (spec.minimum(), spec.maximum()));
    let whole = spec.downcast_ref::<glib::ParamSpecUInt>();
    let range = range.or_else(|| whole.map(|spec| (f64::from(spec.minimum()), f64::from(spec.maximum()))));
    let (least, most) = range.unwrap_or_else(|| panic!("{name} is no number"));
    let value = element.property_value(name).transform::<f64>().unwrap().get::<f64>().unwrap();
    (value - least) / (most - least)
}

#[test]
fn a_buffer_that_is_too_small_for_its_caps_is_an_error_and_nothing_of_it_comes_out() {
    crate::common::init();
    for format in [VideoFormat::Rgb, VideoFormat::I42010le] {
        let input = info(format, 32, 24);
        for bytes in [0, 1, 100, input.size() - 1] {
            for ahead in [0, 1, 3] {
                let mut bench = flying(ahead, "nearest-x2", &[]);
                bench.info(&input);
                for t in 0..5 {
                    bench.harness.push(scene(&input, t)).unwrap();
                }
                let flow = bench.harness.push(gst::Buffer::from_slice(vec![0_u8; bytes]));
                assert_eq!(flow, Err(gst::FlowError::Error), "{bytes} bytes, {ahead} ahead");
                assert_eq!(made(&mut bench).len(), 5, "{bytes} bytes, {ahead} ahead");
                let complaints = bench.complaints();
                let says =
                    |line: &String| line.contains(&format!("of {bytes} bytes")) && line.contains("caps");
                assert!(complaints.len() == 1 && says(&complaints[0]), "{complaints:?}");
            }
        }
    }
}

/// A pool of so many buffers at most.
fn limited(input: &VideoInfo, least: u32, most: u32) -> gst::BufferPool {
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(Some(&input.to_caps().unwrap()), input.size() as u32, least, most);
    pool.set_config(config).unwrap();
    pool
}

#[test]
fn a_pool_of_downstream_that_is_too_small_for_frames_in_flight_is_not_waited_for() {
    crate::common::init();
    let (input, output) = (info(VideoFormat::I420, 32, 24), info(VideoFormat::I420, 64, 48));
    for (ahead, most) in [(0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (2, 5), (3, 1), (3, 4), (8, 8), (2, 0)] {
        let mut bench = flying(ahead, "nearest-x2", &[]);
        let (pool, bytes) = (limited(&output, 0, most), output.size() as u32);
        let pad = bench.element.static_pad("src").unwrap();
        let proposed = pool.clone();
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, passing| {
            let Some(gst::PadProbeData::Query(query)) = &mut passing.data else {
                return gst::PadProbeReturn::Ok;
            };
            let gst::QueryViewMut::Allocation(allocation) = query.view_mut() else {
                return gst::PadProbeReturn::Ok;
            };
            allocation.add_allocation_pool(Some(&proposed), bytes, most.min(2), most);
            gst::PadProbeReturn::Handled
        });
        bench.info(&input);
        let mut frames = 0;
        for t in 0..12 {
            bench.harness.push(scene(&input, t)).unwrap();
            frames += made(&mut bench).len();
        }
        bench.harness.push_event(gst::event::Eos::new());
        frames += made(&mut bench).len();
        assert_eq!(frames, 12, "{ahead} ahead, {most} at most");
        // A pool that is large enough is used.
        let is_large = most == 0 || most as usize >= most.clamp(1, 2) as usize + ahead;
        assert_eq!(pool.is_active(), is_large, "{ahead} ahead, {most} at most");
    }
}

#[test]
fn inputs_go_back_to_their_pool_before_the_next_frame_whatever_is_in_flight() {
    crate::common::init();
    let input = info(VideoFormat::I420, 32, 24);
    for ahead in [0, 1, 3] {
        let mut bench = flying(ahead, "nearest-x2", &[]);
        bench.info(&input);
        let pool = limited(&input, 0, 1);
        pool.set_active(true).unwrap();
        for t in 0..8 {
            let now = gst::BufferPoolAcquireFlags::DONTWAIT;
            let only = pool.acquire_buffer(Some(&gst::BufferPoolAcquireParams::with_flags(now)));
            let mut only = only.unwrap_or_else(|_| panic!("{ahead} ahead, the input of frame {t} is held"));
            crate::common::fill(&input, only.get_mut().unwrap(), 0, |_, _, _| 99);
            only.get_mut().unwrap().set_pts(FRAME * t);
            bench.harness.push(only).unwrap();
        }
    }
}

#[test]
fn latency_is_as_many_frames_more_as_are_in_flight() {
    let told = |ahead: usize| {
        let mut bench = flying(ahead, "nearest-x2", &[]);
        bench.info(&info(VideoFormat::Rgb, 32, 24));
        let mut query = gst::query::Latency::new();
        assert!(bench.element.static_pad("src").unwrap().query(&mut query));
        query.result().1
    };
    let none = told(0);
    for ahead in 1..=8 {
        assert_eq!(told(ahead), none + FRAME * ahead as u64);
    }
}

/// An element with the heavy network, one frame of which takes tens of seconds, and frames for it.
fn slow(ahead: u32) -> (gst::Element, gstreamer_check::Harness, VideoInfo) {
    let element = element("", &[("model", "realesrgan-x4plus"), ("frames-in-flight", &ahead.to_string())]);
    let mut harness = gstreamer_check::Harness::with_element(&element, Some("sink"), Some("src"));
    let input = info(VideoFormat::Rgb, 400, 300);
    harness.set_src_caps(input.to_caps().unwrap());
    (element, harness, input)
}

#[test]
fn while_a_slow_frame_is_made_as_many_others_are_taken_as_may_be_in_flight_and_a_flush_ends_all() {
    let ahead = 2;
    let (element, mut harness, input) = slow(ahead);
    for t in 0..u64::from(ahead) {
        let started = Instant::now();
        harness.push(frame_of(&input, 50 + t as u32)).unwrap();
        assert!(started.elapsed() < QUICK, "frame {t} was waited for");
    }
    let frame = frame_of(&input, 90);
    let pushing = std::thread::spawn(move || {
        let flow = harness.push(frame);
        (harness, flow, Instant::now())
    });
    std::thread::sleep(Duration::from_millis(1500));
    if pushing.is_finished() {
        panic!("one more was taken: {:?}", pushing.join().unwrap().1);
    }
    let sink = element.static_pad("sink").unwrap();
    let flushed = Instant::now();
    sink.send_event(gst::event::FlushStart::new());
    let (mut harness, flow, ended) = pushing.join().unwrap();
    assert_eq!(flow, Err(gst::FlowError::Flushing));
    assert!(ended - flushed < QUICK, "{:?} until the flush", ended - flushed);
    sink.send_event(gst::event::FlushStop::new(true));
    assert_eq!(harness.try_pull(), None, "nothing of what was in flight comes out");

    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    let small = info(VideoFormat::Rgb, 8, 8);
    harness.set_src_caps(small.to_caps().unwrap());
    let grey = frame_of(&small, 100);
    harness.push(grey).unwrap();
    harness.push_event(gst::event::Eos::new());
    let made = read(&info(VideoFormat::Rgb, 32, 32), &harness.try_pull().unwrap());
    assert!(made[0].values.iter().all(|level| level.abs_diff(100) < 12), "a grey frame stays grey");
    assert_eq!(harness.try_pull(), None);
}

/// A grey frame without a time: for such, nothing is left out to be in time.
fn frame_of(input: &VideoInfo, level: u32) -> gst::Buffer {
    frame(input, |_, _, _| level)
}

#[test]
fn an_element_stops_while_frames_are_in_flight() {
    let (element, mut harness, input) = slow(3);
    for level in [50, 60, 70] {
        harness.push(frame_of(&input, level)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    element.set_state(gst::State::Null).unwrap();
    assert!(started.elapsed() < QUICK, "{:?} until the end", started.elapsed());
}

#[test]
fn a_seek_that_is_not_flushing_and_frames_far_apart_begin_anew_as_without_any_in_flight() {
    crate::common::init();
    let input = info(VideoFormat::Rgb, 48, 32);
    let run = |ahead: usize| {
        let mut bench = flying(ahead, "nearest-x2", &[("reuse", "1"), ("reuse-tile", "16")]);
        bench.info(&input);
        // What is shown goes on; the times jump ahead, and back.
        for (shown, at) in (0..).zip([0, 1, 2, 60, 61, 62, 63, 20, 21]) {
            let mut buffer = scene(&input, shown);
            buffer.get_mut().unwrap().set_pts(FRAME * at);
            bench.harness.push(buffer).unwrap();
        }
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        bench.harness.push_event(gst::event::Segment::new(&segment));
        for t in 9..13 {
            bench.harness.push(scene(&input, t)).unwrap();
        }
        bench.harness.push_event(gst::event::Eos::new());
        let reuse = bench.stats().get::<gst::Structure>("reuse").unwrap();
        let whole = reuse.get::<gst::Structure>("whole").unwrap();
        let begins = whole.get::<u64>("begins").unwrap();
        assert!(begins >= 4, "{ahead} ahead, it begins {begins} times: {reuse}");
        made(&mut bench)
    };
    let expected = run(0);
    assert_eq!(expected.len(), 13);
    assert!(run(1) == expected && run(3) == expected);
}
