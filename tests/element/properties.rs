//! Properties: what is advertised is what holds, and what they tell is the truth.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::common::{Bench, element, frame, info, messages, read, tiny};
use gst::glib;
use gst::prelude::*;
use gst_video::VideoFormat;
use gstreamer as gst;
use gstreamer_video as gst_video;

/// The properties that are facesr's own.
fn own(element: &gst::Element) -> Vec<glib::ParamSpec> {
    let all = element.list_properties();
    all.iter().filter(|spec| spec.owner_type() == element.type_()).cloned().collect()
}

fn fresh() -> gst::Element {
    crate::common::init();
    gst::ElementFactory::make("facesr").build().unwrap()
}

#[test]
fn every_advertised_default_is_what_a_new_element_holds() {
    let element = fresh();
    let mut seen = 0;
    for spec in own(&element) {
        if spec.name() == "stats" {
            continue;
        }
        let (held, advertised) = (element.property_value(spec.name()), spec.default_value());
        // An empty text and none are the same to whoever reads the help.
        let text = |value: &glib::Value| match value.get::<Option<String>>() {
            Ok(text) => text.unwrap_or_default(),
            Err(_) => format!("{value:?}"),
        };
        assert_eq!(text(&held), text(advertised), "{}", spec.name());
        seen += 1;
    }
    assert!(seen >= 12, "{seen} properties");
}

#[test]
fn every_property_says_what_it_is_and_when_it_may_change() {
    for spec in own(&fresh()) {
        let blurb = spec.blurb().unwrap_or_default();
        assert!(blurb.len() > 20 && blurb.len() < 320 && !blurb.contains('\n'), "{}: {blurb}", spec.name());
        assert!(!spec.nick().is_empty(), "{}", spec.name());
        let is_ready_only = spec.flags().contains(gst::PARAM_FLAG_MUTABLE_READY);
        let is_controllable = spec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
        let is_read_only = !spec.flags().contains(glib::ParamFlags::WRITABLE);
        assert!(is_ready_only || is_controllable || is_read_only, "{}", spec.name());
    }
}

#[test]
fn what_is_set_is_what_is_read() {
    let element = fresh();
    for (name, value) in [
        ("model", "span-x4"),
        ("scale", "2.5"),
        ("execution-provider", "tensorrt"),
        ("device", "3"),
        ("precision", "fp16"),
        ("threads", "2"),
        ("tile-size", "128"),
        ("tile-overlap", "9"),
        ("memory-limit", "512"),
    ] {
        element.set_property_from_str(name, value);
        let held = element.property_value(name);
        let held = held.serialize().map_or_else(|_| format!("{held:?}"), |text| text.to_string());
        assert!(held.trim_matches('"').starts_with(value), "{name}: {held} for {value}");
    }
    for (name, value) in [("runtime", "/x/lib.so"), ("model-cache-dir", "/x/cache")] {
        element.set_property_from_str(name, value);
        assert_eq!(element.property::<PathBuf>(name).to_str(), Some(value));
    }
}

#[test]
fn a_text_of_null_is_its_default_and_one_of_any_bytes_is_told_at_the_start() {
    let bytes = Path::new(OsStr::from_bytes(b"\xff\xfe/x.onnx"));
    let mut told = Vec::new();
    for spec in own(&fresh()) {
        let is_text = spec.value_type() == glib::Type::STRING;
        if !is_text || !spec.flags().contains(glib::ParamFlags::WRITABLE) {
            continue;
        }
        let element = element("nearest-x2", &[]);
        element.set_property(spec.name(), bytes);
        assert_eq!(element.property::<PathBuf>(spec.name()), bytes);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let started = element.set_state(gst::State::Paused);
        let complaints = messages(&bus);
        assert_eq!(complaints.len(), usize::from(started.is_err()), "{}: {complaints:?}", spec.name());
        if complaints.iter().any(|line| line.contains("UTF-8") && line.contains(spec.name())) {
            told.push(spec.name().to_string());
        }
        element.set_state(gst::State::Null).unwrap();
        element.set_property(spec.name(), None::<PathBuf>);
        let (held, default) = (element.property_value(spec.name()), spec.default_value());
        let held = held.get::<Option<String>>().unwrap();
        assert_eq!(held, default.get::<Option<String>>().unwrap(), "{}", spec.name());
    }
    told.sort();
    assert_eq!(told, ["face-detector", "face-model", "model", "model-instance-id"]);
}

#[test]
fn a_text_or_path_that_is_empty_is_as_one_that_is_unset() {
    for spec in own(&fresh()) {
        let is_text = spec.value_type() == glib::Type::STRING;
        if is_text && spec.flags().contains(glib::ParamFlags::WRITABLE) {
            let element = element("nearest-x2", &[(spec.name(), "")]);
            let bus = gst::Bus::new();
            element.set_bus(Some(&bus));
            let started = element.set_state(gst::State::Paused);
            assert!(started.is_ok(), "{}: {:?}", spec.name(), messages(&bus));
            element.set_state(gst::State::Null).unwrap();
        }
    }
}

#[test]
fn what_changes_while_playing_waits_for_the_next_start() {
    let mut bench = Bench::new("nearest-x2", &[]);
    let input = info(VideoFormat::Rgb, 20, 10);
    bench.info(&input);
    let check = |bench: &mut Bench, about: &str| {
        let made = bench.frame(frame(&input, |_, x, _| x as u32));
        let output = bench.made();
        assert_eq!((output.width(), output.height()), (40, 20), "{about}");
        let made = read(&output, &made);
        assert!(made[0].values.iter().enumerate().all(|(at, &v)| v as usize == at % 40 / 2), "{about}");
    };
    check(&mut bench, "before");
    let three = tiny("nearest-x3");
    for (name, value) in [
        ("model", three.as_str()),
        ("model", "/no/such/model.onnx"),
        ("scale", "4"),
        ("execution-provider", "cuda"),
        ("threads", "1"),
        ("tile-size", "16"),
        ("tile-overlap", "100"),
        ("memory-limit", "64"),
        ("runtime", "/no/such/lib.so"),
    ] {
        bench.element.set_property_from_str(name, value);
        check(&mut bench, name);
    }
    assert_eq!(bench.complaints(), [""; 0]);
    assert_eq!(bench.stats().get::<String>("model").unwrap(), "nearest-x2");
}

#[test]
fn another_depth_while_playing_keeps_the_network_of_the_start() {
    let mut bench = Bench::new("nearest-x2", &[]);
    bench.info(&info(VideoFormat::Rgb, 20, 10));
    bench.element.set_property("model", tiny("nearest-x3"));
    for format in [VideoFormat::Rgba64Le, VideoFormat::Rgb] {
        let input = info(format, 20, 10);
        bench.info(&input);
        bench.frame(frame(&input, |_, _, _| 1));
        assert_eq!(bench.made().width(), 40, "{format:?}");
        assert_eq!(bench.stats().get::<String>("model").unwrap(), "nearest-x2");
    }
}

#[test]
fn a_changed_model_is_there_at_the_next_start() {
    let element = element("nearest-x2", &[]);
    for (network, scale) in [("nearest-x2", 2), ("nearest-x3", 3), ("identity-x1", 1)] {
        element.set_property("model", tiny(network));
        let mut harness = gstreamer_check::Harness::with_element(&element, Some("sink"), Some("src"));
        let input = info(VideoFormat::Gray8, 8, 8);
        harness.set_src_caps(input.to_caps().unwrap());
        let made = harness.push_and_pull(frame(&input, |_, _, _| 3)).unwrap();
        assert_eq!(made.size(), 64 * scale * scale, "{network}");
        drop(harness);
    }
}

#[test]
fn stats_and_active_provider_tell_the_truth() {
    let fresh = fresh();
    assert_eq!(fresh.property::<String>("active-provider"), "");
    let empty: gst::Structure = fresh.property("stats");
    assert_eq!((empty.name().as_str(), empty.get("frames")), ("facesr-stats", Ok(0_u64)));

    let mut bench = Bench::new("bilinear-x2", &[("tile-size", "48"), ("temporal-mode", "off")]);
    let input = info(VideoFormat::I420, 100, 60);
    bench.info(&input);
    for n in 1..=3 {
        bench.frame(frame(&input, |_, _, _| 128));
        assert_eq!(bench.count("frames"), n);
        assert_eq!(bench.count("tiles") % n, 0);
        assert!(bench.count("tiles") > n);
    }
    let stats = bench.stats();
    assert_eq!(stats.get::<String>("model").unwrap(), "bilinear-x2");
    assert_eq!(stats.get::<String>("provider").unwrap(), "cpu");
    assert_eq!(bench.element.property::<String>("active-provider"), "cpu");
    assert!(stats.get::<String>("runtime").unwrap().contains("libonnxruntime"));
    assert_eq!(stats.get::<gst::Array>("fallbacks").unwrap().len(), 0);
}

#[test]
fn the_stages_of_stats_add_up_to_the_frame_and_each_that_ran_took_time() {
    for (mode, format) in [("off", VideoFormat::I420), ("balanced", VideoFormat::Nv12)] {
        let mut bench = Bench::new("bilinear-x2", &[("temporal-mode", mode), ("face-mode", "off")]);
        let input = info(format, 101, 63);
        bench.info(&input);
        for n in 0..6 {
            bench.frame(frame(&input, |c, x, y| 60 + ((x * 7 + y * 3 + c + n) % 90) as u32));
        }
        let (stats, steadies) = (bench.stats(), mode != "off");
        let stages = stats.get::<gst::Structure>("stages-ms").unwrap();
        let took = |name: &str| stages.get::<f64>(name).unwrap();
        let names = ["read", "motion", "upscale", "blend", "detect", "restore", "write", "other"];
        assert!(stages.iter().map(|(name, _)| name.as_str()).eq(names), "{stages}");
        let whole = stats.get::<f64>("frame-ms").unwrap();
        let sum: f64 = names.iter().map(|name| took(name)).sum();
        assert!((sum - whole).abs() < 1e-3 * whole, "{sum} of {whole}: {stages}");
        assert!(["read", "upscale", "write"].iter().all(|name| took(name) > 0.0), "{stages}");
        assert!(!steadies || took("blend") > 0.0, "{stages}");
        assert_eq!((took("detect"), took("restore")), (0.0, 0.0));
    }
}

#[test]
fn with_one_thread_nothing_runs_beside_the_network_and_the_result_is_the_same() {
    let made = |threads: &str| {
        let mut bench = Bench::new(
            "bilinear-x2",
            &[("threads", threads), ("temporal-mode", "balanced"), ("face-mode", "off")],
        );
        let input = info(VideoFormat::I420, 101, 63);
        bench.info(&input);
        let mut frames = vec![];
        for n in 0..6 {
            let buffer = bench.frame(frame(&input, |c, x, y| 60 + ((x * 7 + y * 3 + c + n) % 90) as u32));
            let samples = read(&bench.made(), &buffer).into_iter().flat_map(|c| c.values);
            frames.push(samples.collect::<Vec<u32>>());
        }
        (frames, bench.stats().get::<f64>("beside-ms").unwrap())
    };
    let (alone, beside) = made("1");
    assert_eq!(beside, 0.0);
    for threads in ["0", "2", "3"] {
        assert_eq!(made(threads).0, alone, "{threads} threads");
    }
}

#[test]
fn the_provider_is_notified_when_it_is_known() {
    let element = element("nearest-x2", &[]);
    let (sender, receiver) = std::sync::mpsc::channel();
    element.connect_notify(Some("active-provider"), move |element, _| {
        // Reading everything from inside the notification must not hang.
        let _: gst::Structure = element.property("stats");
        sender.send(element.property::<String>("active-provider")).unwrap();
    });
    element.set_state(gst::State::Paused).unwrap();
    assert_eq!(receiver.try_recv().as_deref(), Ok("cpu"));
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn statistics_can_be_read_while_a_frame_is_under_way() {
    let slow = element("", &[("model", "realesrgan-x4plus")]);
    let mut harness = gstreamer_check::Harness::with_element(&slow, Some("sink"), Some("src"));
    let input = info(VideoFormat::Rgb, 300, 200);
    harness.set_src_caps(input.to_caps().unwrap());
    let large = frame(&input, |_, _, _| 9);
    let pushing = std::thread::spawn(move || (harness.push(large), harness));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let asked = std::time::Instant::now();
    let _: gst::Structure = slow.property("stats");
    let _: String = slow.property("active-provider");
    let source = slow.static_pad("src").unwrap();
    let sizes = source.query_caps(None);
    assert!(!sizes.is_empty());
    assert!(asked.elapsed() < std::time::Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(!pushing.is_finished(), "the frame was not slow enough");
    slow.static_pad("sink").unwrap().send_event(gst::event::FlushStart::new());
    let _ = pushing.join().unwrap();
}
