//! Negotiation: which sizes and fields come out for which go in, and what is refused.

use crate::common::{Bench, child, element, frame, info, messages, noise, read, said};
use gst::prelude::*;
use gst_video::VideoFormat;
use gstreamer as gst;
use gstreamer_video as gst_video;

/// Sends one grey frame and gives the caps that came out.
fn caps_for(bench: &mut Bench, fields: &str) -> gst::Caps {
    bench.caps(fields);
    let caps = bench.harness.srcpad().unwrap().current_caps().unwrap();
    let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
    let made = bench.frame(gst::Buffer::from_slice(vec![128_u8; info.size()]));
    let out = bench.made();
    assert_eq!(read(&out, &made)[0].values.len() as u32, out.width() * out.height());
    bench.made_caps()
}

fn size_of(caps: &gst::Caps) -> (i32, i32) {
    let structure = caps.structure(0).unwrap();
    (structure.get("width").unwrap(), structure.get("height").unwrap())
}

const SMALL: &str = "format=RGB,width=30,height=20,framerate=25/1";

#[test]
fn without_a_wish_the_models_own_factor_comes_out() {
    for (network, factor) in
        [("nearest-x2", 2), ("nearest-x3", 3), ("identity-x1", 1), ("fixed-x2", 2), ("luma-x2", 2)]
    {
        let caps = caps_for(&mut Bench::new(network, &[]), SMALL);
        assert_eq!(size_of(&caps), (30 * factor, 20 * factor), "{network}");
    }
}

#[test]
fn any_size_that_downstream_fixes_comes_out() {
    for (width, height) in [
        (45, 30),
        (90, 60),
        (180, 120),
        (240, 160),
        (61, 39),
        (60, 20),
        (30, 45),
        (15, 10),
        (29, 21),
        (30, 20),
        (1, 1),
        (7, 200),
    ] {
        let downstream = format!("video/x-raw,width={width},height={height}");
        let mut bench = Bench::new("nearest-x2", &[]).downstream(&downstream);
        assert_eq!(size_of(&caps_for(&mut bench, SMALL)), (width, height));
    }
}

#[test]
fn a_side_left_open_follows_the_one_that_is_fixed() {
    for (downstream, expected) in [
        ("width=90", (90, 60)),
        ("height=30", (45, 30)),
        ("width=31", (31, 21)),
        ("width=[1,50]", (50, 33)),
        ("width=[100,200],height=[1,1000]", (100, 67)),
        ("width={40,90}", (40, 27)),
    ] {
        let mut bench = Bench::new("nearest-x2", &[]).downstream(&format!("video/x-raw,{downstream}"));
        assert_eq!(size_of(&caps_for(&mut bench, SMALL)), expected, "{downstream}");
    }
}

#[test]
fn the_property_scale_sets_the_size() {
    for (scale, expected) in [
        ("1", (30, 20)),
        ("1.5", (45, 30)),
        ("2", (60, 40)),
        ("3", (90, 60)),
        ("4", (120, 80)),
        ("6", (180, 120)),
        ("8", (240, 160)),
    ] {
        for network in ["nearest-x2", "nearest-x3", "identity-x1"] {
            let mut bench = Bench::new(network, &[("scale", scale)]);
            let caps = caps_for(&mut bench, SMALL);
            assert_eq!(size_of(&caps), expected, "{scale} with {network}");
            // An odd size goes to the nearest pixel.
            let (width, height): (i32, i32) = size_of(&caps_for(&mut bench, "format=RGB,width=33,height=17"));
            let scale: f64 = scale.parse().unwrap();
            assert!((f64::from(width) - 33.0 * scale).abs() <= 0.5, "{width} at {scale}");
            assert!((f64::from(height) - 17.0 * scale).abs() <= 0.5, "{height} at {scale}");
        }
    }
}

#[test]
fn a_size_that_contradicts_the_scale_is_not_negotiated_and_nothing_breaks() {
    let mut bench = Bench::new("nearest-x2", &[("scale", "2")]).downstream("video/x-raw,width=91,height=60");
    bench.caps(SMALL);
    let flow = bench.harness.push(frame(&info(VideoFormat::Rgb, 30, 20), |_, _, _| 1));
    assert_eq!(flow, Err(gst::FlowError::NotNegotiated));
}

/// Every field says something that has nothing to do with the size.
#[test]
fn every_other_field_of_the_caps_is_kept() {
    let hdr = "colorimetry=bt2100-pq,chroma-site=v-cosited,\
        mastering-display-info=(string)\"35400:14600:8500:39850:6550:2300:15635:16450:10000000:1\",\
        content-light-level=(string)\"1000:400\"";
    for fields in [
        format!("format=P010_10LE,framerate=30000/1001,{hdr}"),
        "format=I420,framerate=0/1,max-framerate=60/1,colorimetry=bt709,chroma-site=mpeg2".into(),
        "format=I420,framerate=25/1,pixel-aspect-ratio=16/11,colorimetry=bt601,chroma-site=jpeg".into(),
        "format=RGB,framerate=25/1,colorimetry=sRGB,interlace-mode=progressive".into(),
        "format=RGB,framerate=1/3,multiview-mode=side-by-side,multiview-flags=(GstVideoMultiviewFlagsSet)0:ffffffff:".into(),
        "format=NV12,framerate=25/1,views=1,something-of-tomorrow=(string)kept".into(),
    ] {
        for downstream in ["video/x-raw", "video/x-raw,width=90,height=60", "video/x-raw,width=60,height=40,pixel-aspect-ratio=[1/100,100/1]"] {
            let mut bench = Bench::new("nearest-x2", &[]).downstream(downstream);
            let made = caps_for(&mut bench, &format!("width=30,height=20,{fields}"));
            let before = bench.harness.srcpad().unwrap().current_caps().unwrap();
            let made = made.structure(0).unwrap();
            for (name, value) in before.structure(0).unwrap().iter() {
                if name != "width" && name != "height" {
                    let kept = made.value(name).map(|kept| format!("{kept:?}"));
                    assert_eq!(kept.ok(), Some(format!("{value:?}")), "{name} of {fields} to {downstream}");
                }
            }
        }
    }
}

/// The shape of the whole picture, width over height as seen.
fn shape(caps: &gst::Caps) -> f64 {
    let (width, height) = size_of(caps);
    let par = caps.structure(0).unwrap().get("pixel-aspect-ratio").unwrap_or(gst::Fraction::new(1, 1));
    f64::from(width) / f64::from(height) * f64::from(par.numer()) / f64::from(par.denom())
}

#[test]
fn a_size_of_another_shape_changes_the_shape_of_the_pixels_and_not_of_the_picture() {
    for par in ["pixel-aspect-ratio=1/1", "pixel-aspect-ratio=16/11", "pixel-aspect-ratio=12/11", ""] {
        for (width, height) in [(60, 20), (64, 64), (45, 90), (720, 405), (31, 100)] {
            let mut bench = Bench::new("nearest-x2", &[])
                .downstream(&format!("video/x-raw,width={width},height={height}"));
            let made = caps_for(&mut bench, &format!("{SMALL},{par}"));
            let before = bench.harness.srcpad().unwrap().current_caps().unwrap();
            assert_eq!(size_of(&made), (width, height));
            let (before, after) = (shape(&before), shape(&made));
            assert!((before / after - 1.0).abs() < 1e-6, "{before} became {after}: {made}");
        }
    }
}

#[test]
fn where_the_pixels_cannot_change_shape_the_size_still_comes_out() {
    let downstream = "video/x-raw,width=60,height=20,pixel-aspect-ratio=1/1";
    let mut bench = Bench::new("nearest-x2", &[]).downstream(downstream);
    let made = caps_for(&mut bench, &format!("{SMALL},pixel-aspect-ratio=1/1"));
    assert_eq!((size_of(&made), shape(&made)), ((60, 20), 3.0));
}

#[test]
fn sides_that_are_left_open_follow_the_shape_of_pixels_that_downstream_asks_for() {
    let (source, fields) = ("pixel-aspect-ratio=16/11", "format=I420,width=180,height=144,framerate=25/1");
    for (downstream, expected) in [
        ("pixel-aspect-ratio=1/1", (524, 288)),
        ("pixel-aspect-ratio=1/1,width=360", (360, 198)),
        ("pixel-aspect-ratio=1/1,height=288", (524, 288)),
        ("pixel-aspect-ratio=1/1,width=[1,300]", (300, 165)),
        ("pixel-aspect-ratio=16/11", (360, 288)),
        ("pixel-aspect-ratio=[1/100,100/1]", (360, 288)),
        ("pixel-aspect-ratio={1/1,12/11}", (480, 288)),
        ("pixel-aspect-ratio=32/11", (180, 288)),
        ("width=[1,1000]", (360, 288)),
        ("height=[100,200]", (250, 200)),
    ] {
        let mut bench = Bench::new("nearest-x2", &[]).downstream(&format!("video/x-raw,{downstream}"));
        let made = caps_for(&mut bench, &format!("{fields},{source}"));
        assert_eq!(size_of(&made), expected, "{downstream}");
        let before = bench.harness.srcpad().unwrap().current_caps().unwrap();
        let (before, after) = (shape(&before), shape(&made));
        assert!((before / after - 1.0).abs() < 0.005, "{before} became {after} for {downstream}");
    }
    // Who says nothing of pixels has square ones.
    let mut bench = Bench::new("nearest-x2", &[]).downstream("video/x-raw,pixel-aspect-ratio=2/1");
    assert_eq!(size_of(&caps_for(&mut bench, SMALL)), (30, 40));
}

fn refusal(network: &str, settings: &[(&str, &str)], caps: &str) -> String {
    let mut bench = Bench::new(network, settings);
    bench.caps(caps);
    let flow = bench.harness.push(gst::Buffer::with_size(1 << 20).unwrap());
    assert_eq!(flow, Err(gst::FlowError::NotNegotiated), "{caps}");
    let complaints = bench.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0].lines().count(), 1);
    complaints[0].clone()
}

#[test]
fn interlaced_video_is_refused_with_a_word_on_deinterlace() {
    for mode in ["interleaved", "mixed", "fields"] {
        let network = [("nearest-x2", "0"), ("", "1")];
        for (network, scale) in network {
            let caps = format!("{SMALL},interlace-mode={mode}");
            let text = refusal(network, &[("scale", scale)], &caps);
            assert!(text.contains("`deinterlace`") && text.contains(mode), "{text}");
        }
    }
}

#[test]
fn a_scale_that_would_reduce_is_refused_with_the_scales_that_there_are() {
    for scale in ["0.3", "0.99"] {
        let text = refusal("nearest-x2", &[("scale", scale)], SMALL);
        assert!(text.contains(&format!("scale={scale}")) && text.contains("1 to 8"), "{text}");
    }
}

#[test]
fn pictures_that_would_be_too_large_are_refused_with_what_to_do() {
    for (width, height) in [(10_000, 20), (20, 10_000), (8193, 8193)] {
        let text = refusal("nearest-x2", &[], &format!("format=GRAY8,width={width},height={height}"));
        assert!(text.contains("16384") && text.contains("`scale`"), "{text}");
    }
}

#[test]
fn a_frame_too_large_to_be_converted_is_refused_by_its_size_with_what_to_do() {
    let mut bench = Bench::new("nearest-x2", &[]).downstream("video/x-raw,width=320,height=320");
    bench.caps("format=GRAY8,width=32768,height=32768,framerate=25/1");
    let flow = bench.harness.push(gst::Buffer::from_slice([0_u8]));
    assert_eq!(flow, Err(gst::FlowError::NotNegotiated));
    let complaints = bench.complaints();
    let says = |text: &str| complaints[0].contains(text);
    assert!(complaints.len() == 1 && says("32768x32768") && says("`videoscale`"), "{complaints:?}");
}

#[test]
fn at_scale_one_without_model_steadying_and_faces_buffers_pass_untouched_and_nothing_is_loaded() {
    let name = "at_scale_one_without_model_steadying_and_faces_buffers_pass_untouched_and_nothing_is_loaded";
    // Nothing can be found in the child: neither networks nor the runtime. So faces are off by themselves.
    let nowhere = [("FACESR_CACHE_DIR", "/nonexistent"), ("FACESR_ONNXRUNTIME", "/nonexistent/lib.so")];
    let output = child(name, &nowhere, || {
        let mut bench = Bench::new("", &[("scale", "1"), ("temporal-mode", "off")]);
        for format in [VideoFormat::Rgb, VideoFormat::I42010le, VideoFormat::Ayuv] {
            let input = info(format, 33, 17);
            bench.info(&input);
            let buffer = frame(&input, |c, x, y| noise(c, x, y) % 256);
            let (memory, pointer) = (buffer.peek_memory(0).as_ptr(), buffer.as_ptr());
            let made = bench.frame(buffer);
            assert_eq!((made.peek_memory(0).as_ptr(), made.as_ptr()), (memory, pointer));
        }
        assert_eq!(bench.element.property::<String>("active-provider"), "");
        println!("passed");
    });
    if let Some(output) = output {
        assert!(output.status.success() && said(&output).contains("passed"), "{}", said(&output));
    }
}

#[test]
fn a_network_that_keeps_the_size_is_run_and_not_passed_by() {
    for scale in ["0", "1"] {
        let mut bench = Bench::new("identity-x1", &[("scale", scale)]);
        caps_for(&mut bench, SMALL);
        assert_eq!((bench.count("frames"), bench.count("tiles")), (1, 1));
    }
    // A network that enlarges has nothing to do at the same size.
    let off = [("scale", "1"), ("temporal-mode", "off"), ("face-mode", "off")];
    let mut bench = Bench::new("nearest-x2", &off);
    let input = info(VideoFormat::Rgb, 33, 17);
    bench.info(&input);
    let buffer = frame(&input, |_, _, _| 9);
    let memory = buffer.peek_memory(0).as_ptr();
    assert_eq!(bench.frame(buffer).peek_memory(0).as_ptr(), memory);
}

#[test]
fn passing_through_ends_when_the_caps_ask_for_work_and_comes_back() {
    let off = [("temporal-mode", "off"), ("face-mode", "off")];
    let mut bench = Bench::new("nearest-x2", &off).downstream("video/x-raw,width=60,height=40");
    for (width, height) in [(60, 40), (30, 20), (60, 40), (120, 80), (60, 40)] {
        let input = info(VideoFormat::Rgb, width, height);
        bench.info(&input);
        let buffer = frame(&input, |_, _, _| 9);
        let memory = buffer.peek_memory(0).as_ptr();
        let made = bench.frame(buffer);
        assert_eq!(made.peek_memory(0).as_ptr() == memory, (width, height) == (60, 40), "{width}x{height}");
        assert!(read(&bench.made(), &made).iter().all(|c| c.values.iter().all(|&v| v == 9)));
    }
}

#[test]
fn sizes_are_offered_upstream_as_they_are_downstream() {
    crate::common::init();
    let element = element("nearest-x2", &[("scale", "2")]);
    let sink = element.static_pad("sink").unwrap();
    for (filter, possible) in [("width=30,height=20", true), ("width=100,height=100", true)] {
        let caps = gst::Caps::from_iter([format!("video/x-raw,format=RGB,{filter}")
            .parse::<gst::Structure>()
            .unwrap()]);
        assert_eq!(!sink.query_caps(Some(&caps)).is_empty(), possible, "{filter}");
    }
    let source = element.static_pad("src").unwrap();
    let open = source.query_caps(None);
    assert!(open.iter().all(|structure| structure.has_field("format")), "{open}");
    drop(messages(&gst::Bus::new()));
}
