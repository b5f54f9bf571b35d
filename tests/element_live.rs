//! Video that does not wait: how much is done for frames that come late, what is told of it, latency, networks that
//! several elements share, and presets. Time is the test's own, so that nothing hangs on the machine's speed.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Bench, element, frame, info, tiny, tree};
use gst::prelude::*;
use gst_video::VideoFormat;
use gstreamer as gst;
use gstreamer_video as gst_video;

const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// Frames of 25 a second into an element whose clock the test turns.
struct Stream {
    bench: Bench,
    number: u64,
}

impl Stream {
    fn new(properties: &[(&str, &str)], live: bool) -> Self {
        let mut bench = Bench::new("bilinear-x2", properties);
        bench.harness.set_live(live);
        bench.info(&info(VideoFormat::Rgb, 24, 16));
        Self { bench, number: 0 }
    }

    /// The next frame, which comes late by so many milliseconds, and what was done for it.
    fn frame(&mut self, late: u64) -> String {
        let due = FRAME * self.number;
        let now = due + gst::ClockTime::from_mseconds(late);
        if self.bench.harness.testclock().unwrap().time() < now {
            self.bench.harness.set_time(now).unwrap();
        }
        let level = 40 + self.number as u32 % 100;
        let mut buffer = frame(&info(VideoFormat::Rgb, 24, 16), |c, x, y| {
            (level + (x * 7 + y * 3) as u32 + c as u32) % 256
        });
        buffer.get_mut().unwrap().set_pts(due);
        buffer.get_mut().unwrap().set_duration(FRAME);
        self.number += 1;
        let made = self.bench.frame(buffer);
        assert_eq!((made.pts(), made.duration()), (Some(due), Some(FRAME)));
        self.bench.stats().get::<String>("effort").unwrap()
    }

    /// What was told of quality since the last call.
    fn qos(&self) -> Vec<gst::Message> {
        std::iter::from_fn(|| self.bench.bus.pop_filtered(&[gst::MessageType::Qos])).collect()
    }
}

fn view(message: &gst::Message) -> &gst::message::Qos {
    match message.view() {
        gst::MessageView::Qos(qos) => qos,
        other => panic!("{other:?}"),
    }
}

#[test]
fn late_frames_get_less_and_all_come_out_and_all_is_done_again_when_there_is_time() {
    let mut stream = Stream::new(&[], true);
    for _ in 0..25 {
        assert_eq!(stream.frame(0), "full");
    }
    assert!(stream.qos().is_empty());
    for _ in 0..5 {
        assert_eq!(stream.frame(500), "resampled");
    }
    let told = stream.qos();
    assert_eq!(told.len(), 1);
    let (jitter, proportion, quality) = view(&told[0]).values();
    assert_eq!((jitter, quality), (500_000_000, 0));
    assert!(proportion > 0.0 && proportion.is_finite(), "{proportion}");
    let (live, running, _, timestamp, duration) = view(&told[0]).get();
    assert!(live && running == timestamp && duration == Some(FRAME) && timestamp == Some(25 * FRAME));
    // Ten seconds: what was lost in time has to come in again first.
    let efforts: Vec<String> = (0..250).map(|_| stream.frame(0)).collect();
    assert!(efforts[125..].iter().all(|effort| effort == "full"), "{efforts:?}");
    let quality: Vec<i32> = stream.qos().iter().map(|qos| view(qos).values().2).collect();
    assert_eq!(quality.last(), Some(&1_000_000));
    let efforts = stream.bench.stats().get::<gst::Structure>("efforts").unwrap();
    let frames = |name: &str| efforts.get::<u64>(name).unwrap();
    let all = ["full", "faces-skipped", "light-network", "resampled"].map(frames);
    assert_eq!(all.iter().sum::<u64>(), 280);
    assert!(all[3] >= 5);
}

#[test]
fn who_is_told_may_ask_for_anything_at_once() {
    let mut stream = Stream::new(&[("stats-interval", "1")], true);
    let (element, asked) = (stream.bench.element.clone(), Arc::new(AtomicU32::new(0)));
    let count = asked.clone();
    stream.bench.bus.set_sync_handler(move |_, message| {
        if matches!(message.type_(), gst::MessageType::Qos | gst::MessageType::Element) {
            let stats: gst::Structure = element.property("stats");
            assert!(stats.has_field("effort"));
            element.set_property("max-lateness", 90_000_000_u64);
            let mut latency = gst::query::Latency::new();
            assert!(element.static_pad("src").unwrap().query(&mut latency));
            let late = gst::event::Qos::new(gst::QOSType::Underflow, 1.5, 1, FRAME);
            element.static_pad("src").unwrap().send_event(late);
            count.fetch_add(1, Ordering::SeqCst);
        }
        gst::BusSyncReply::Drop
    });
    for late in [0, 0, 0, 500, 500, 0, 0] {
        stream.frame(late);
    }
    assert!(asked.load(Ordering::SeqCst) >= 2);
    stream.bench.bus.unset_sync_handler();
}

#[test]
fn nothing_is_degraded_where_video_waits_or_qos_is_off() {
    for (properties, live) in [(&[][..], false), (&[("qos", "false")][..], true)] {
        let mut stream = Stream::new(properties, live);
        for late in [0, 50, 500, 5000, 50_000] {
            for _ in 0..10 {
                assert_eq!(stream.frame(late), "full", "live {live}, late by {late} ms");
            }
        }
        assert!(stream.qos().is_empty());
    }
}

#[test]
fn a_sink_that_is_late_makes_no_frame_get_lost() {
    for live in [false, true] {
        let mut stream = Stream::new(&[], live);
        for number in 0..50 {
            stream.frame(0);
            let event = gst::event::Qos::builder(gst::QOSType::Underflow, 1.5, 300_000_000)
                .timestamp(FRAME * number)
                .build();
            assert!(stream.bench.harness.push_upstream_event(event));
        }
        let efforts = stream.bench.stats().get::<gst::Structure>("efforts").unwrap();
        let full = efforts.get::<u64>("full").unwrap();
        assert_eq!(stream.bench.count("frames"), 50);
        assert!(if live { full < 50 } else { full == 50 }, "live {live}: {full} of 50");
    }
}

#[test]
fn most_lateness_may_change_while_it_plays() {
    let mut stream = Stream::new(&[("max-lateness", "2000000000")], true);
    (0..25).for_each(|_| assert_eq!(stream.frame(0), "full"));
    assert_eq!(stream.frame(500), "full");
    stream.bench.element.set_property("max-lateness", 300_000_000_u64);
    assert_eq!(stream.frame(500), "resampled");
}

#[test]
fn the_latency_is_that_of_upstream_and_in_live_video_a_frame_and_changes_are_told() {
    let upstream = gst::ClockTime::from_mseconds(7);
    for live in [false, true] {
        let mut bench = Bench::new("nearest-x2", &[]);
        bench.harness.set_live(live);
        bench.harness.set_upstream_latency(upstream);
        for rate in [25, 50, 50] {
            let fps = gst::Fraction::new(rate, 1);
            let input = gst_video::VideoInfo::builder(VideoFormat::Rgb, 8, 8).fps(fps).build().unwrap();
            let before = bench.harness.query_latency();
            bench.info(&input);
            bench.frame(frame(&input, |_, _, _| 99));
            let own = gst::ClockTime::from_mseconds(1000 / rate as u64);
            let expected = if live { upstream + own } else { upstream };
            let now = bench.harness.query_latency();
            if live {
                assert_eq!(now, Some(expected));
            }
            let told = bench.bus.pop_filtered(&[gst::MessageType::Latency]).is_some();
            assert_eq!(told, live && now != before, "live {live}, {rate} frames a second");
        }
        assert_eq!(bench.element.property::<u32>("latency-frames"), 0);
    }
}

#[test]
fn elements_share_a_network_unless_they_name_instances_of_their_own() {
    let users =
        |element: &gst::Element| element.property::<gst::Structure>("stats").get::<u32>("users").unwrap();
    let start = |network: &str, id: &str| {
        let properties = [("model-instance-id", id), ("face-mode", "off")];
        let element = element(network, &properties[usize::from(id.is_empty())..]);
        element.set_state(gst::State::Paused).unwrap();
        element
    };
    // A network that no other test of this program uses.
    let network = "nearest-x3";
    let shared = [start(network, ""), start(network, ""), start(network, "")];
    let own = [start(network, "a"), start(network, "b"), start(network, "b")];
    assert_eq!(shared.each_ref().map(users), [3; 3]);
    assert_eq!(own.each_ref().map(users), [1, 2, 2]);
    shared[0].set_state(gst::State::Null).unwrap();
    assert_eq!(users(&shared[1]), 2);
    shared[1].set_state(gst::State::Null).unwrap();
    shared[0].set_state(gst::State::Paused).unwrap();
    assert_eq!([users(&shared[0]), users(&shared[2])], [2, 2]);
    for element in shared.iter().chain(&own) {
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn streams_that_share_a_network_give_what_each_gives_alone() {
    let line = |pattern: &str, size: &str| {
        format!(
            "videotestsrc num-buffers=40 pattern={pattern} ! video/x-raw,format=RGB,{size} ! facesr model={} execution-provider=cpu face-mode=off name=f ! appsink name=sink sync=false",
            tiny("bilinear-x2")
        )
    };
    let lines = [
        line("ball", "width=40,height=30"),
        line("smpte", "width=32,height=48"),
        line("snow", "width=16,height=16"),
    ];
    common::init();
    let run = |line: &String| {
        let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut made = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            made.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(made.len(), 40);
        made
    };
    // Snow is random: that stream is compared in number alone.
    let alone: Vec<_> = lines.iter().map(run).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = lines.iter().map(|line| scope.spawn(|| run(line))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(alone[..2] == together[..2]);
}

#[test]
fn a_stream_that_is_stopped_while_it_waits_for_a_network_ends_and_the_other_goes_on() {
    let alone = [("memory-limit", "8192"), ("temporal-mode", "off"), ("face-mode", "off")];
    let (mut large, mut small) = (Bench::new("bilinear-x2", &alone), Bench::new("bilinear-x2", &alone));
    // A frame of a second or more in one run of the network, and one of a moment.
    let (wide, narrow) = (info(VideoFormat::Rgb, 6000, 4000), info(VideoFormat::Rgb, 8, 8));
    large.info(&wide);
    small.info(&narrow);
    small.frame(frame(&narrow, |_, _, _| 10));
    let element = small.element.clone();
    std::thread::scope(|scope| {
        let other = scope.spawn(move || large.harness.push(gst::Buffer::with_size(wide.size()).unwrap()));
        let waits = scope.spawn(move || small.harness.push(frame(&narrow, |_, _, _| 20)));
        element.set_state(gst::State::Null).unwrap();
        let flow = waits.join().unwrap();
        assert!(matches!(flow, Ok(_) | Err(gst::FlowError::Flushing)), "{flow:?}");
        assert_eq!(other.join().unwrap(), Ok(gst::FlowSuccess::Ok));
    });
}

#[test]
fn statistics_are_posted_at_the_interval_that_is_set() {
    for (interval, least) in [("0", 0), ("1", 2)] {
        let mut stream = Stream::new(&[("stats-interval", interval)], true);
        for _ in 0..5 {
            stream.frame(0);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let mut told = Vec::new();
        while let Some(message) = stream.bench.bus.pop_filtered(&[gst::MessageType::Element]) {
            told.extend(
                message.structure().filter(|what| what.name() == "facesr-stats").map(|what| what.to_owned()),
            );
        }
        assert!(told.len() >= least && (least > 0 || told.is_empty()), "{interval}: {}", told.len());
        let frames: Vec<u64> = told.iter().map(|what| what.get("frames").unwrap()).collect();
        assert!(frames.is_sorted() && frames.iter().all(|&frames| frames > 0), "{frames:?}");
    }
}

#[test]
fn every_preset_loads_and_sets_what_its_file_says() {
    let folder = tree("presets");
    let child = common::child(
        "every_preset_loads_and_sets_what_its_file_says",
        &[("GST_PRESET_PATH", &folder)],
        || {
            let file = std::fs::read_to_string(tree("presets/GstFaceSr.prs")).unwrap();
            let (mut presets, mut settings) = (0, 0);
            let mut element = element("", &[]);
            for line in file.lines().skip_while(|line| !line.starts_with("[live")) {
                if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                    element = common::element("", &[]);
                    let preset = element.dynamic_cast_ref::<gst::Preset>().unwrap();
                    assert!(preset.preset_names().iter().any(|known| known == name), "{name}");
                    preset.load_preset(name).unwrap();
                    assert!(preset.meta(name, "comment").is_some_and(|comment| comment.len() > 20));
                    presets += 1;
                } else if let Some((property, value)) =
                    line.split_once('=').filter(|_| !line.starts_with('_'))
                {
                    let pspec = element.find_property(property).unwrap();
                    let wanted = gst::glib::Value::deserialize_with_pspec(value, &pspec).unwrap();
                    let set = element.property_value(property);
                    assert_eq!(set.serialize().unwrap(), wanted.serialize().unwrap(), "{property}");
                    settings += 1;
                }
            }
            assert!(presets == 6 && settings >= 18, "{presets} {settings}");
        },
    );
    if let Some(output) = child {
        assert!(output.status.success(), "{}", common::said(&output));
    }
}
