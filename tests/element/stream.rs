//! The stream through the element: changes of caps, flushes, seeks, the end, and being started
//! again and again.

use std::time::{Duration, Instant};

use crate::QUICK;
use crate::common::{Bench, child, element, frame, info, messages, read, said, tiny};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use gst_video::{VideoFormat, VideoInfo};
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

/// Grey that changes a little from frame to frame is what steadying takes for noise.
const ALONE: [(&str, &str); 1] = [("temporal-mode", "off")];
/// A grey frame whose level is easy to find again.
fn grey(info: &VideoInfo, level: u32) -> gst::Buffer {
    let format = info.format_info();
    frame(info, |c, _, _| {
        let unit = 1 << (format.depth()[c] - 8);
        if c > 0 && format.is_yuv() { 128 * unit } else { level * unit }
    })
}

/// Whether all of a picture has the level, in steps of eight bits.
fn is_grey(info: &VideoInfo, buffer: &gst::Buffer, level: u32) -> bool {
    let depth = info.format_info().depth()[0];
    read(info, buffer)[0].values.iter().all(|&sample| (sample >> (depth - 8)).abs_diff(level) <= 1)
}

#[test]
fn caps_may_change_at_any_frame_and_every_frame_is_right() {
    let mut bench = Bench::new("nearest-x2", &ALONE);
    let mut level = 40;
    for (format, width, height, rate) in [
        (VideoFormat::I420, 32, 24, 25),
        (VideoFormat::I420, 64, 48, 25),
        (VideoFormat::I420, 17, 9, 25),
        (VideoFormat::I42010le, 17, 9, 25),
        (VideoFormat::I420, 17, 9, 25),
        (VideoFormat::I420, 17, 9, 50),
        (VideoFormat::Rgba64Le, 32, 24, 50),
        (VideoFormat::Gray8, 32, 24, 0),
        (VideoFormat::P01010le, 1, 1, 30),
    ] {
        let fps = gst::Fraction::new(rate, 1);
        let input = VideoInfo::builder(format, width, height).fps(fps).build().unwrap();
        bench.info(&input);
        for _ in 0..2 {
            level += 5;
            let made = bench.frame(grey(&input, level));
            let output = bench.made();
            assert_eq!((output.format(), output.fps()), (format, fps));
            assert_eq!((output.width(), output.height()), (2 * width, 2 * height));
            assert!(is_grey(&output, &made, level), "{format:?} {width}x{height}");
        }
    }
    assert_eq!(bench.count("frames"), 18);
    assert_eq!(bench.complaints(), [""; 0]);
}

#[test]
fn a_pointer_is_told_upstream_where_it_is_in_the_picture_that_comes_in() {
    let off = [("temporal-mode", "off"), ("face-mode", "off")];
    for (width, height) in [(64, 48), (32, 24), (96, 24), (33, 70)] {
        let mut bench =
            Bench::new("nearest-x2", &off).downstream(&format!("video/x-raw,width={width},height={height}"));
        let input = info(VideoFormat::Rgb, 32, 24);
        bench.info(&input);
        bench.frame(grey(&input, 9));
        while bench.harness.try_pull_upstream_event().is_some() {}
        for (event, x, y) in [("mouse-move", 10.0, 20.5), ("mouse-button-press", 0.0, 7.0)] {
            let pointer = gst::Structure::builder("application/x-gst-navigation")
                .field("event", event)
                .field("pointer_x", x)
                .field("pointer_y", y)
                .build();
            assert!(bench.harness.push_upstream_event(gst::event::Navigation::new(pointer)));
            let told = bench.harness.pull_upstream_event().unwrap();
            let told = told.structure().unwrap();
            let expected = [x * 32.0 / f64::from(width), y * 24.0 / f64::from(height)];
            for (place, expected) in ["pointer_x", "pointer_y"].into_iter().zip(expected) {
                let at = told.get::<f64>(place).unwrap();
                assert!((at - expected).abs() < 1e-4, "{place} {at} for {expected}, {width}x{height}");
            }
            assert_eq!(told.get::<&str>("event").unwrap(), event);
        }
        // What has no place goes on as it is.
        let key = gst::Structure::builder("application/x-gst-navigation").field("event", "key-press").build();
        assert!(bench.harness.push_upstream_event(gst::event::Navigation::new(key.clone())));
        let told = bench.harness.pull_upstream_event().unwrap();
        assert_eq!(told.structure(), Some(key.as_ref()));
    }
}

#[test]
fn the_log_tells_what_the_element_does_and_warns_of_nothing_that_is_well() {
    let name = "the_log_tells_what_the_element_does_and_warns_of_nothing_that_is_well";
    let variables = [("GST_DEBUG", "facesr:5"), ("GST_DEBUG_NO_COLOR", "1"), ("GST_DEBUG_FILE", "")];
    let output = child(name, &variables, || {
        // Its own network, and those for faces.
        let mut bench = Bench::new("", &[("frames-in-flight", "2")]);
        let mut play = |width, height| {
            let input = info(VideoFormat::Rgb, width, height);
            bench.info(&input);
            for level in 0..3 {
                bench.harness.push(grey(&input, level)).unwrap();
            }
        };
        play(32, 24);
        play(40, 24);
        bench.harness.push_event(gst::event::FlushStart::new());
        bench.harness.push_event(gst::event::FlushStop::new(true));
    });
    let Some(output) = output else { return };
    let said = said(&output);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(" facesr ")).collect();
    for (level, text) in [
        ("INFO", "model span-x2 x2 on cpu"),
        ("INFO", "RGB of 32x24 to 64x48, enhanced"),
        ("INFO", "RGB of 40x24 to 80x48, enhanced"),
        ("DEBUG", "2 in flight are waited for"),
        ("DEBUG", "a segment: the past is forgotten"),
        ("DEBUG", "a flush: the past is forgotten"),
        ("DEBUG", "2 in flight are dropped"),
        ("INFO", "stopped"),
    ] {
        assert!(
            lines.iter().any(|line| line.contains(level) && line.contains(text)),
            "{level} {text}: {said}"
        );
    }
    let others = lines.iter().filter(|line| line.contains("WARN") || line.contains("ONNX Runtime:"));
    assert_eq!(others.count(), 0, "{said}");
}

#[test]
fn one_frame_in_is_one_frame_out_with_its_times_and_flags() {
    let mut bench = Bench::new("nearest-x2", &ALONE);
    let input = info(VideoFormat::Rgb, 16, 16);
    bench.info(&input);
    let ms = gst::ClockTime::from_mseconds;
    let flags = [
        gst::BufferFlags::empty(),
        gst::BufferFlags::DISCONT,
        gst::BufferFlags::MARKER | gst::BufferFlags::DELTA_UNIT,
        gst::BufferFlags::CORRUPTED | gst::BufferFlags::RESYNC,
        gst::BufferFlags::DROPPABLE,
    ];
    // Times that jump, repeat, lack, and go back.
    let times = [Some(ms(0)), Some(ms(40)), None, Some(ms(41)), Some(ms(41)), Some(ms(5)), Some(ms(10_000))];
    for (n, pts) in times.into_iter().cycle().take(35).enumerate() {
        let mut buffer = grey(&input, n as u32);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(pts);
        writable.set_dts(pts.map(|pts| pts + ms(1)));
        writable.set_duration((n % 3 > 0).then(|| ms(n as u64)));
        writable.set_offset(n as u64);
        writable.set_flags(flags[n % flags.len()]);
        let (dts, duration, flags) = (writable.dts(), writable.duration(), writable.flags());
        let made = bench.frame(buffer);
        assert_eq!((made.pts(), made.dts(), made.duration(), made.offset()), (pts, dts, duration, n as u64));
        // Whether memory was tagged is no business of the stream.
        let kept = made.flags() - gst::BufferFlags::TAG_MEMORY;
        assert_eq!(kept, flags - gst::BufferFlags::TAG_MEMORY, "frame {n}");
        assert!(is_grey(&bench.made(), &made, n as u32), "frame {n}");
        assert!(bench.harness.try_pull().is_none());
    }
}

#[test]
fn events_pass_in_their_order_between_the_frames() {
    let mut bench = Bench::new("nearest-x2", &[]);
    let input = info(VideoFormat::Gray8, 8, 8);
    bench.info(&input);
    bench.frame(grey(&input, 1));
    while bench.harness.try_pull_event().is_some() {}
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    let mut later = segment.clone();
    later.set_start(gst::ClockTime::SECOND);
    let mut tags = gst::TagList::new();
    tags.get_mut().unwrap().add::<gst::tags::Title>(&"kept", gst::TagMergeMode::Append);
    let custom = gst::Structure::builder("something-of-tomorrow").build();
    let events = [
        gst::event::Gap::builder(gst::ClockTime::ZERO).duration(gst::ClockTime::SECOND).build(),
        gst::event::Segment::new(&later),
        gst::event::Tag::new(tags),
        gst::event::CustomDownstream::new(custom),
        gst::event::Eos::new(),
    ];
    for event in events {
        let kind = event.type_();
        assert!(bench.harness.push_event(event), "{kind:?}");
        assert_eq!(bench.harness.try_pull_event().map(|event| event.type_()), Some(kind));
        if kind != gst::EventType::Eos {
            bench.frame(grey(&input, 2));
        }
    }
    assert_eq!(bench.harness.push(grey(&input, 3)), Err(gst::FlowError::Eos));
}

/// An element with the heavy network: one frame takes tens of seconds.
fn slow() -> (gst::Element, VideoInfo) {
    let slow = element("", &[("model", "realesrgan-x4plus")]);
    (slow, info(VideoFormat::Rgb, 400, 300))
}

#[test]
fn a_flush_ends_a_slow_frame_and_the_stream_goes_on() {
    let (slow, input) = slow();
    let mut harness = gstreamer_check::Harness::with_element(&slow, Some("sink"), Some("src"));
    harness.set_src_caps(input.to_caps().unwrap());
    let large = grey(&input, 100);
    let pushing = std::thread::spawn(move || {
        let flow = harness.push(large);
        (harness, flow, Instant::now())
    });
    std::thread::sleep(Duration::from_millis(700));
    assert!(!pushing.is_finished(), "the frame was not slow enough to be flushed");
    let sink = slow.static_pad("sink").unwrap();
    let flushed = Instant::now();
    sink.send_event(gst::event::FlushStart::new());
    let (mut harness, flow, ended) = pushing.join().unwrap();
    assert_eq!(flow, Err(gst::FlowError::Flushing));
    assert!(ended - flushed < QUICK, "{:?} until the flush", ended - flushed);
    sink.send_event(gst::event::FlushStop::new(true));

    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    let small = info(VideoFormat::Rgb, 8, 8);
    harness.set_src_caps(small.to_caps().unwrap());
    let made = harness.push_and_pull(grey(&small, 100)).unwrap();
    let made = read(&info(VideoFormat::Rgb, 32, 32), &made);
    assert!(made[0].values.iter().all(|level| level.abs_diff(100) < 12), "a grey frame stays grey");
}

#[test]
fn a_pipeline_stops_in_the_midst_of_a_slow_frame() {
    let (slow, input) = slow();
    let source = AppSrc::builder().caps(&input.to_caps().unwrap()).build();
    let sink = gst::ElementFactory::make("fakesink").property("sync", false).build().unwrap();
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([source.upcast_ref(), &slow, &sink]).unwrap();
    gst::Element::link_many([source.upcast_ref(), &slow, &sink]).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    source.push_buffer(grey(&input, 100)).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let started = Instant::now();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(started.elapsed() < QUICK, "{:?} until the end", started.elapsed());
    assert_eq!(messages(&pipeline.bus().unwrap()), [""; 0]);
}

/// Frames of raw video in a file, each as grey as its number.
fn film(frames: u8) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..frames).flat_map(|level| [level; 16 * 16]).collect();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn a_file_is_played_to_its_end_and_seeks_land_where_they_should() {
    crate::common::init();
    let file = film(100);
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! rawvideoparse width=16 height=16 format=gray8 framerate=25/1 ! facesr model={} execution-provider=cpu temporal-mode=off ! appsink name=sink sync=false max-buffers=2",
        file.path().display(),
        tiny("nearest-x2"),
    ))
    .unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let next = || {
        let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(20))?;
        let output = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer_owned().unwrap();
        let level = read(&output, &buffer)[0].values.iter().copied().max().unwrap();
        Some((buffer.pts().unwrap().mseconds() / 40, u64::from(level)))
    };
    for n in 0..10 {
        assert_eq!(next(), Some((n, n)));
    }
    for target in [75, 3, 98, 0, 50] {
        let time = gst::ClockTime::from_mseconds(40 * target);
        pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, time).unwrap();
        assert_eq!(next(), Some((target, target)));
        assert_eq!(next(), Some((target + 1, target + 1)));
    }
    for n in 52..100 {
        assert_eq!(next(), Some((n, n)));
    }
    assert_eq!(next(), None);
    assert!(sink.is_eos());
    assert_eq!(messages(&pipeline.bus().unwrap()), [""; 0]);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Numbers of the frames that come out of a coded film, from where it is sought to its end: `(number, level)`.
fn sought(enhanced: bool, rate: f64, flags: gst::SeekFlags, file: &std::path::Path) -> Vec<(u64, u32)> {
    let facesr = format!("facesr model={} execution-provider=cpu temporal-mode=off !", tiny("nearest-x2"));
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! qtdemux ! h264parse ! avdec_h264 ! {} appsink name=sink sync=false qos=false max-buffers=2",
        file.display(),
        if enhanced { &facesr } else { "" },
    ))
    .unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
    let (from, to) = match rate > 0.0 {
        true => (gst::ClockTime::ZERO, gst::ClockTime::NONE),
        false => (gst::ClockTime::ZERO, Some(gst::ClockTime::from_mseconds(40 * 50))),
    };
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE | flags;
    pipeline.seek(rate, flags, gst::SeekType::Set, from, gst::SeekType::Set, to).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut seen = vec![];
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        let output = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer_owned().unwrap();
        let level = read(&output, &buffer)[0].values.iter().copied().max().unwrap();
        seen.push((buffer.pts().unwrap().mseconds().div_ceil(40), level));
    }
    assert!(sink.is_eos());
    assert_eq!(messages(&pipeline.bus().unwrap()), [""; 0]);
    pipeline.set_state(gst::State::Null).unwrap();
    seen
}

#[test]
fn a_coded_film_is_played_backwards_and_by_its_key_frames_with_every_frame_once() {
    crate::common::init();
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=source format=time caps=video/x-raw,format=GRAY8,width=32,height=32,framerate=25/1 ! videoconvert ! video/x-raw,format=I420 ! x264enc key-int-max=10 bframes=0 qp-min=0 quantizer=1 pass=quant option-string=scenecut=0 ! h264parse ! mp4mux ! filesink location={}",
        file.path().display()
    ))
    .unwrap();
    let source = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("source").unwrap();
    let source = source.downcast::<AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let input =
        VideoInfo::builder(VideoFormat::Gray8, 32, 32).fps(gst::Fraction::new(25, 1)).build().unwrap();
    for n in 0..50 {
        let mut buffer = grey(&input, 20 + 4 * n);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40 * u64::from(n)));
        buffer.get_mut().unwrap().set_duration(gst::ClockTime::from_mseconds(40));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let bus = pipeline.bus().unwrap();
    assert!(bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Eos]).is_some());
    pipeline.set_state(gst::State::Null).unwrap();
    let trick = gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS;
    let numbers = |seen: &[(u64, u32)]| seen.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    for (rate, flags) in [
        (1.0, gst::SeekFlags::empty()),
        (2.0, gst::SeekFlags::empty()),
        (-1.0, gst::SeekFlags::empty()),
        (4.0, trick),
    ] {
        let plain = sought(false, rate, flags, file.path());
        let enhanced = sought(true, rate, flags, file.path());
        assert_eq!(numbers(&enhanced), numbers(&plain), "rate {rate}");
        for ((number, before), (_, after)) in plain.iter().zip(&enhanced) {
            assert!(before.abs_diff(*after) <= 2, "rate {rate}, frame {number}: {after} was {before}");
        }
        match rate {
            4.0 => assert_eq!(plain.len(), 5, "key frames alone: {plain:?}"),
            -1.0 => assert_eq!(numbers(&plain), (0..50).rev().collect::<Vec<_>>()),
            _ => assert_eq!(numbers(&plain), (0..50).collect::<Vec<_>>()),
        }
    }
}

#[test]
fn an_element_starts_and_stops_twenty_times() {
    let element = element("nearest-x2", &[]);
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("videotestsrc").property("num-buffers", 3).build().unwrap();
    let sink = gst::ElementFactory::make("fakesink").property("sync", false).build().unwrap();
    pipeline.add_many([&source, &element, &sink]).unwrap();
    let caps = gst::Caps::builder("video/x-raw").field("width", 16).field("height", 16).build();
    source.link_filtered(&element, &caps).unwrap();
    element.link(&sink).unwrap();
    let bus = pipeline.bus().unwrap();
    for round in 0..20 {
        pipeline.set_state(gst::State::Playing).unwrap();
        // Some rounds are cut short, some end.
        if round % 3 > 0 {
            let ended = bus.timed_pop_filtered(
                gst::ClockTime::from_seconds(20),
                &[gst::MessageType::Eos, gst::MessageType::Error],
            );
            assert_eq!(ended.map(|message| message.type_()), Some(gst::MessageType::Eos));
            assert_eq!(element.property::<gst::Structure>("stats").get("frames"), Ok(3_u64));
        }
        let to = if round % 2 == 0 { gst::State::Null } else { gst::State::Ready };
        pipeline.set_state(to).unwrap();
        // A source that is stopped while it negotiates may say that its stream failed, before GStreamer's own elements, too.
        let wanted = [gst::MessageType::Error, gst::MessageType::Warning];
        let said = std::iter::from_fn(|| bus.pop_filtered(&wanted));
        let said: Vec<_> =
            said.filter(|message| round % 3 > 0 || message.src() == Some(element.upcast_ref())).collect();
        assert!(said.is_empty(), "round {round}: {said:?}");
        bus.set_flushing(true);
        bus.set_flushing(false);
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn several_elements_work_in_one_process_in_bins_and_behind_a_tee() {
    crate::common::init();
    let (two, three, one) = (tiny("nearest-x2"), tiny("nearest-x3"), tiny("identity-x1"));
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=12 pattern=white ! video/x-raw,format=RGB,width=20,height=10 ! tee name=t
         t. ! queue ! facesr execution-provider=cpu model={two} ! appsink name=a sync=false
         t. ! queue ! ( facesr execution-provider=cpu model={three} ! facesr execution-provider=cpu model={one} ) ! appsink name=b sync=false
         t. ! queue ! facesr scale=1 ! appsink name=c sync=false"
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (name, factor) in [("a", 2), ("b", 3), ("c", 1)] {
        let sink = pipeline.by_name(name).unwrap().downcast::<AppSink>().unwrap();
        let mut frames = 0;
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
            let output = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
            assert_eq!((output.width(), output.height()), (20 * factor, 10 * factor));
            assert!(
                read(&output, &sample.buffer_owned().unwrap())[1].values.iter().all(|&level| level == 255)
            );
            frames += 1;
        }
        assert_eq!((frames, sink.is_eos()), (12, true), "{name}");
    }
    assert_eq!(messages(&pipeline.bus().unwrap()), [""; 0]);
    pipeline.set_state(gst::State::Null).unwrap();
}
