//! Nothing is left behind: no object of GStreamer, and no memory however many frames pass.

mod common;

use common::{child, element, frame, info, said, tiny};
use gst::prelude::*;
use gst_app::AppSink;
use gst_video::VideoFormat;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

const TRACE: [(&str, &str); 3] =
    [("GST_TRACERS", "leaks(check-refs=true)"), ("GST_DEBUG", "GST_TRACER:7"), ("GST_DEBUG_NO_COLOR", "1")];

/// Whether a line of the tracer is about an object that nobody let go. It once explains how
/// such lines will look, too.
fn is_alive(line: &str) -> bool {
    line.contains("object-alive,") && !line.contains("new format string")
}

fn wait_for_end(pipeline: &gst::Pipeline) {
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &kinds);
    assert_eq!(message.map(|message| message.type_()), Some(gst::MessageType::Eos));
}

/// A life with everything in it: starts, ends, seeks, changes of caps, errors, a flushed frame.
fn live() {
    common::init();
    let network = tiny("bilinear-x2");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![77; 16 * 16 * 50]).unwrap();
    let film = format!(
        "filesrc location={} ! rawvideoparse width=16 height=16 format=gray8 framerate=25/1 ! facesr model={network} execution-provider=cpu ! appsink name=sink sync=false max-buffers=2",
        file.path().display(),
    );
    {
        let pipeline = gst::parse::launch(&film).unwrap().downcast::<gst::Pipeline>().unwrap();
        for _ in 0..3 {
            pipeline.set_state(gst::State::Playing).unwrap();
            let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
            for target in [10, 40, 2] {
                let time = gst::ClockTime::from_mseconds(40 * target);
                sink.pull_sample().unwrap();
                pipeline.seek_simple(gst::SeekFlags::FLUSH, time).unwrap();
            }
            while sink.pull_sample().is_ok() {}
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }
    {
        // Sizes and depths that change; then the pool of another size is there, too.
        let mut harness =
            gstreamer_check::Harness::with_element(&element("nearest-x2", &[]), Some("sink"), Some("src"));
        for (format, side) in [(VideoFormat::I420, 16), (VideoFormat::I42010le, 33), (VideoFormat::Rgb, 8)] {
            let input = info(format, side, side);
            harness.set_src_caps(input.to_caps().unwrap());
            for _ in 0..3 {
                harness.push_and_pull(frame(&input, |_, _, _| 99)).unwrap();
            }
        }
        harness.set_src_caps_str("video/x-raw,format=RGB,width=8,height=8,interlace-mode=mixed");
        let _ = harness.push(gst::Buffer::with_size(192).unwrap());
    }
    for bad in ["/no/such/model.onnx".into(), tiny("two-inputs"), tiny("uneven-x2x3")] {
        let element = element("", &[]);
        element.set_property("model", bad);
        assert!(element.set_state(gst::State::Paused).is_err());
        element.set_state(gst::State::Null).unwrap();
    }
    {
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=20 ! video/x-raw,width=32,height=32 ! tee name=t
             t. ! queue ! facesr model={network} execution-provider=cpu ! fakesink sync=false
             t. ! queue ! facesr scale=1 ! fakesink sync=false"
        ))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        wait_for_end(&pipeline);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn no_object_outlives_its_pipeline() {
    let output = child("no_object_outlives_its_pipeline", &TRACE, || {
        live();
        // SAFETY: nothing of GStreamer is used after this.
        unsafe { gst::deinit() };
        println!("lived");
    });
    let Some(output) = output else { return };
    let said = said(&output);
    assert!(output.status.success() && said.contains("lived"), "{said}");
    let alive: Vec<&str> = said.lines().filter(|line| is_alive(line)).collect();
    assert!(alive.is_empty(), "{}", alive.join("\n"));
}

#[test]
fn an_object_that_is_left_behind_is_noticed() {
    let output = child("an_object_that_is_left_behind_is_noticed", &TRACE, || {
        let left = element("nearest-x2", &[]);
        std::mem::forget(left);
        // SAFETY: nothing of GStreamer is used after this.
        unsafe { gst::deinit() };
    });
    let Some(output) = output else { return };
    let said = said(&output);
    assert!(said.lines().any(|line| is_alive(line) && line.contains("FaceSr")), "{said}");
}

/// Memory of this process that is in use, KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// In a process of its own, as other tests take memory, too.
#[test]
fn memory_stays_flat_over_two_thousand_frames() {
    /// What may come on top after the first frames, KiB. One frame that comes out has 24, so
    /// that a leak of one in fifty would show.
    const GROWTH: usize = 960;
    let output = child("memory_stays_flat_over_two_thousand_frames", &[], || {
        let element = element("bilinear-x2", &[("tile-size", "60")]);
        let mut harness = gstreamer_check::Harness::with_element(&element, Some("sink"), Some("src"));
        let input = info(VideoFormat::I420, 64, 64);
        harness.set_src_caps(input.to_caps().unwrap());
        let picture = frame(&input, |_, x, y| (50 + x + y % 9) as u32);
        let mut push =
            |frames| (0..frames).for_each(|_| drop(harness.push_and_pull(picture.copy()).unwrap()));
        push(500);
        let before = resident();
        push(2000);
        let after = resident();
        println!("{before} KiB, then {after} KiB");
        assert!(after < before + GROWTH, "{before} KiB became {after} KiB");
    });
    let Some(output) = output else { return };
    assert!(output.status.success(), "{}", said(&output));
    print!("{}", said(&output));
}

/// An allocator that gives every larger piece back at once. Left alone it keeps up to 20 MiB of
/// the networks of the past, more or less by chance, and hides or feigns a leak with that.
const GIVES_BACK: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

#[test]
fn memory_stays_flat_over_three_hundred_starts() {
    /// What may come on top after the first starts, KiB: a start that leaves 20 KiB shows. How the heap happens to lie is up to
    /// 2 MiB of it, however many starts there are.
    const GROWTH: usize = 6144;
    let output = child("memory_stays_flat_over_three_hundred_starts", &GIVES_BACK, || {
        let element = element("bilinear-x2", &[]);
        let cycle = |times| {
            for _ in 0..times {
                element.set_state(gst::State::Paused).unwrap();
                element.set_state(gst::State::Null).unwrap();
            }
        };
        let least = || (0..5).map(|_| (cycle(1), resident()).1).min().unwrap();
        cycle(50);
        let before = least();
        cycle(300);
        let after = least();
        println!("{before} KiB, then {after} KiB");
        assert!(after < before + GROWTH, "{before} KiB became {after} KiB");
    });
    let Some(output) = output else { return };
    assert!(output.status.success(), "{}", said(&output));
    print!("{}", said(&output));
}
