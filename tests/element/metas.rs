//! What rides on buffers, and the memory they are made of.

use std::collections::BTreeSet;

use crate::common::{Bench, frame, info, read};
use gst::prelude::*;
use gst_video::{
    ValidVideoTimeCode, VideoBarMeta, VideoCaptionMeta, VideoCaptionType, VideoFormat, VideoMeta,
    VideoOverlayComposition, VideoOverlayCompositionMeta, VideoOverlayFormatFlags, VideoOverlayRectangle,
    VideoRegionOfInterestMeta, VideoTimeCodeFlags, VideoTimeCodeMeta,
};
use gstreamer as gst;
use gstreamer_video as gst_video;

#[test]
fn regions_of_interest_move_with_the_size() {
    for (downstream, across, down) in [
        ("video/x-raw", 2, 2),
        ("video/x-raw,width=180,height=60", 6, 3),
        ("video/x-raw,width=30,height=20", 1, 1),
    ] {
        let mut bench = Bench::new("nearest-x2", &[]).downstream(downstream);
        let input = info(VideoFormat::Rgb, 30, 20);
        bench.info(&input);
        let mut buffer = frame(&input, |_, _, _| 50);
        let regions = [("face", (3, 4, 10, 12)), ("hand", (0, 0, 30, 20))];
        for (kind, region) in regions {
            VideoRegionOfInterestMeta::add(buffer.get_mut().unwrap(), kind, region);
        }
        let mut meta = buffer.get_mut().unwrap().meta_mut::<VideoRegionOfInterestMeta>().unwrap();
        meta.add_param(gst::Structure::builder("detection").field("confidence", 0.9).build());
        let made = bench.frame(buffer);
        let found: Vec<_> = made
            .iter_meta::<VideoRegionOfInterestMeta>()
            .map(|meta| (meta.roi_type(), meta.rect()))
            .collect();
        let expected: Vec<_> = regions
            .map(|(kind, (x, y, width, height))| {
                (kind, (x * across, y * down, width * across, height * down))
            })
            .into();
        assert_eq!(found, expected, "to {downstream}");
        let first = made.iter_meta::<VideoRegionOfInterestMeta>().next().unwrap();
        assert_eq!(first.params().count(), 1, "the parameters of a region are lost");
    }
}

#[test]
fn bars_and_overlays_move_with_the_size() {
    for (downstream, across, down) in [
        ("video/x-raw", 2.0, 2.0),
        ("video/x-raw,width=180,height=60", 6.0, 3.0),
        ("video/x-raw,width=30,height=20", 1.0, 1.0),
        ("video/x-raw,width=45,height=50", 1.5, 2.5),
    ] {
        let mut bench = Bench::new("nearest-x2", &[]).downstream(downstream);
        let input = info(VideoFormat::Rgb, 30, 20);
        bench.info(&input);
        let mut buffer = frame(&input, |_, _, _| 50);
        let writable = buffer.get_mut().unwrap();
        // Two lines above and two below; four columns left and none right.
        VideoBarMeta::add(writable, 0, true, 2, 19);
        VideoBarMeta::add(writable, 1, false, 4, 0);
        let mut text = gst::Buffer::with_size(4 * 4 * 2).unwrap();
        VideoMeta::add(text.get_mut().unwrap(), gst_video::VideoFrameFlags::empty(), VideoFormat::Bgra, 4, 2)
            .unwrap();
        let place = (10, -4, 8, 6);
        let rectangle = VideoOverlayRectangle::new_raw(
            &text,
            place.0,
            place.1,
            place.2,
            place.3,
            VideoOverlayFormatFlags::empty(),
        );
        VideoOverlayCompositionMeta::add(writable, &VideoOverlayComposition::from(rectangle));
        let made = bench.frame(buffer);
        let times = |length: f64, factor: f64| (length * factor).round();
        let bars: Vec<_> = made
            .iter_meta::<VideoBarMeta>()
            .map(|bar| (bar.field(), bar.is_letterbox(), bar.bar_data1(), bar.bar_data2()))
            .collect();
        let last = times(18.0, down) as u32 + 1;
        let expected = [(0, true, times(2.0, down) as u32, last), (1, false, times(4.0, across) as u32, 0)];
        assert_eq!(bars, expected, "to {downstream}");
        let overlays: Vec<_> = made
            .iter_meta::<VideoOverlayCompositionMeta>()
            .flat_map(|meta| meta.overlay_owned().iter().collect::<Vec<_>>())
            .map(|rectangle| rectangle.render_rectangle())
            .collect();
        let expected = (
            times(10.0, across) as i32,
            times(-4.0, down) as i32,
            times(8.0, across) as u32,
            times(6.0, down) as u32,
        );
        assert_eq!(overlays, [expected], "to {downstream}");
    }
}

#[test]
fn time_codes_captions_and_reference_times_are_kept() {
    for downstream in ["video/x-raw", "video/x-raw,width=31,height=77"] {
        let mut bench = Bench::new("nearest-x2", &[]).downstream(downstream);
        let input = info(VideoFormat::I42010le, 30, 20);
        bench.info(&input);
        let mut buffer = frame(&input, |_, _, _| 500);
        let writable = buffer.get_mut().unwrap();
        let code = ValidVideoTimeCode::new(
            gst::Fraction::new(25, 1),
            None,
            VideoTimeCodeFlags::empty(),
            1,
            2,
            3,
            4,
            0,
        )
        .unwrap();
        VideoTimeCodeMeta::add(writable, &code);
        VideoCaptionMeta::add(writable, VideoCaptionType::Cea708Raw, &[1, 2, 3]);
        let reference = gst::Caps::builder("timestamp/x-unix").build();
        gst::ReferenceTimestampMeta::add(writable, &reference, gst::ClockTime::SECOND, gst::ClockTime::NONE);
        let made = bench.frame(buffer);
        assert_eq!(made.meta::<VideoTimeCodeMeta>().unwrap().tc().to_string(), code.to_string());
        let caption = made.meta::<VideoCaptionMeta>().unwrap();
        assert_eq!((caption.caption_type(), caption.data()), (VideoCaptionType::Cea708Raw, &[1, 2, 3][..]));
        let reference = made.meta::<gst::ReferenceTimestampMeta>().unwrap();
        assert_eq!(reference.timestamp(), gst::ClockTime::SECOND);
    }
}

/// Memories of frames that are taken and let go one after the other.
fn memories(bench: &mut Bench, frames: usize) -> BTreeSet<usize> {
    let input = info(VideoFormat::Rgb, 320, 200);
    bench.info(&input);
    let picture = frame(&input, |_, _, _| 7);
    let mut seen = BTreeSet::new();
    for _ in 0..frames {
        let made = bench.frame(picture.clone());
        // The allocator alone could give the same place again and again.
        // SAFETY: the buffer is alive, and this field of it is only compared.
        assert!(unsafe { !(*made.as_ptr()).pool.is_null() }, "a buffer without a pool");
        seen.insert(made.peek_memory(0).as_ptr() as usize);
    }
    seen
}

#[test]
fn buffers_are_used_again() {
    let mut bench = Bench::new("nearest-x2", &[("temporal-mode", "off")]);
    bench.harness.add_propose_allocation_meta(VideoMeta::meta_api(), None);
    let seen = memories(&mut bench, 40);
    assert!(seen.len() <= 3, "{} memories for 40 frames", seen.len());
    // Those that downstream keeps are not.
    let kept: Vec<gst::Buffer> = (0..10)
        .map(|n| {
            let input = info(VideoFormat::Rgb, 320, 200);
            bench.frame(frame(&input, |_, _, _| n))
        })
        .collect();
    for (n, buffer) in kept.iter().enumerate() {
        assert!(read(&bench.made(), buffer)[0].values.iter().all(|&sample| sample == n as u32), "{n}");
    }
}

#[test]
fn buffers_come_from_a_pool_of_video_and_are_used_again_without_video_meta_downstream() {
    let mut bench = Bench::new("nearest-x2", &[]);
    let seen = memories(&mut bench, 40);
    assert!(seen.len() <= 3, "{} memories for 40 frames", seen.len());
    // Whoever does not look at metas finds rows where the caps put them.
    let input = info(VideoFormat::I420, 17, 9);
    bench.info(&input);
    let made = bench.frame(frame(&input, |c, x, y| if c == 0 { (x * 9 + y) as u32 } else { 128 }));
    let output = bench.made();
    assert_eq!(made.size(), output.size());
    if let Some(meta) = made.meta::<VideoMeta>() {
        assert_eq!((meta.stride(), meta.offset()), (&output.stride()[..3], &output.offset()[..3]));
    }
}

#[test]
fn upstream_is_told_that_metas_are_understood() {
    let bench = Bench::new("nearest-x2", &[]);
    let mut harness = bench.harness;
    let input = info(VideoFormat::Rgb, 16, 16);
    harness.set_src_caps(input.to_caps().unwrap());
    harness.push_and_pull(frame(&input, |_, _, _| 1)).unwrap();
    let mut query = gst::query::Allocation::new(Some(&input.to_caps().unwrap()), true);
    assert!(bench.element.static_pad("sink").unwrap().query(&mut query));
    assert!(query.find_allocation_meta::<VideoMeta>().is_some());
}
