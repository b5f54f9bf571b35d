//! Where scenes begin in real clips, which lie beside the checkout. Without them nothing is measured
//! here; `cuts` has the laws.

use std::path::{Path, PathBuf};

use gstfacesr::temporal::cut::{CutDetector, THRESHOLD};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use ndarray::Array2;

const MEDIA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/media");

/// First frames of scenes, found by eye; clips that are not here have one scene.
const CUTS: &[(&str, &[usize])] = &[
    ("abomb_1950s_newsreel.mp4", &[44, 134, 299]),
    ("bikes.mp4", &[30, 76, 137, 187, 242]),
    // A black frame, and what comes after it.
    ("pyfeat_face_noface.mov", &[72, 73]),
    ("bikes.gt.mkv", &[5]),
    ("bikes.noise.x2.mkv", &[5]),
    ("bikes.arch.x2.mkv", &[5]),
    ("bikes.comp.x2.mkv", &[5]),
    ("cut.gt.mkv", &[20, 40]),
    ("cut.noise.x2.mkv", &[20, 40]),
];

/// Clips whose scenes are alike, by the beginnings of their paths: no splices of these are cuts for sure.
const ALIKE: &[&[&str]] = &[
    &["bikes", "cut"],
    &["carphone"],
    &["foreman"],
    &["clm_cap"],
    &["pyfeat_single", "pyfeat_face"],
    &["intel_asl"],
];

/// Levels of a frame, as small as is enough for a thumbnail of it.
type Luma = Array2<f32>;

/// Every clip there is, by its path below the media.
fn clips() -> Vec<String> {
    let folders = ["videos", "videos/intel_asl", "pairs"].map(|folder| Path::new(MEDIA).join(folder));
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut found: Vec<PathBuf> =
        files.map(|file| file.unwrap().path()).filter(|path| path.is_file()).collect();
    found.sort();
    found.iter().map(|path| path.strip_prefix(MEDIA).unwrap().to_str().unwrap().to_string()).collect()
}

/// Gives the luma of every frame of a clip.
fn frames(clip: &str, mut each: impl FnMut(usize, Luma)) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={MEDIA}/{clip} ! decodebin ! videoconvert ! video/x-raw,format=GRAY8 ! appsink name=out \
         sync=false max-buffers=4"
    ))
    .unwrap();
    let sink = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("out").unwrap();
    let sink = sink.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut number = 0;
    while let Ok(sample) = sink.pull_sample() {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame =
            gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
        let (stride, bytes) = (frame.plane_stride()[0] as usize, frame.plane_data(0).unwrap());
        let size = (info.height() as usize, info.width() as usize);
        each(number, Array2::from_shape_fn(size, |(y, x)| f32::from(bytes[y * stride + x])));
        number += 1;
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(number > 0, "{clip} has no frames");
}

/// Clips of one group have scenes in common.
fn group(clip: &str) -> &str {
    let name = clip.split_once('/').unwrap().1;
    let alike = ALIKE.iter().find(|group| group.iter().any(|start| name.starts_with(start)));
    alike.map_or(name, |group| group[0])
}

#[test]
fn cuts_of_real_clips_are_found_and_nothing_else_is() {
    let (mut looks, mut found, mut skips, mut false_skips) = (0, 0, 0, Vec::new());
    for clip in clips() {
        let name = clip.rsplit('/').next().unwrap();
        let known = CUTS.iter().find(|(file, _)| *file == name).map_or(&[][..], |(_, cuts)| cuts);
        let (mut every, mut fifth) = (CutDetector::new(THRESHOLD), CutDetector::new(THRESHOLD));
        let mut cuts = Vec::new();
        frames(&clip, |number, luma| {
            let look = every.look(luma.view());
            looks += usize::from(number > 0);
            if look.cut {
                cuts.push(number);
            }
            let near = 5.max(number) - 5..=number;
            if number % 5 == 0 && fifth.look(luma.view()).cut && !known.iter().any(|cut| near.contains(cut)) {
                false_skips.push((name.to_string(), number));
            }
            skips += usize::from(number % 5 == 0 && number > 0);
        });
        assert_eq!(cuts, known, "{clip}");
        found += cuts.len();
    }
    println!("{found} cuts found, none missed, none false among {looks} pairs of neighbours");
    println!("{} false among {skips} pairs five frames apart: {false_skips:?}", false_skips.len());
    assert!(false_skips.len() * 200 <= skips, "{false_skips:?}");
}

#[test]
fn splices_of_different_clips_are_cuts() {
    let mut kept: Vec<(String, Vec<Luma>)> = Vec::new();
    for clip in clips() {
        let mut some = Vec::new();
        frames(&clip, |number, luma| {
            if [3, 40].contains(&number) {
                some.push(luma);
            }
        });
        kept.push((clip, some));
    }
    let (mut splices, mut missed) = (0, Vec::new());
    for (before, first) in &kept {
        for (after, second) in kept.iter().filter(|(after, _)| group(after) != group(before)) {
            for (from, to) in first.iter().zip(second.iter().rev()) {
                // Also into a flash.
                for light in [0.0, 80.0] {
                    let mut detector = CutDetector::new(THRESHOLD);
                    detector.look(from.view());
                    let look = detector.look(to.mapv(|level| (level + light).min(255.0)).view());
                    splices += 1;
                    if !look.cut {
                        missed.push(format!("{before} -> {after}, {light}: {look:?}"));
                    }
                }
            }
        }
    }
    println!("{} of {splices} splices found; missed: {missed:#?}", splices - missed.len());
    assert!(missed.len() * 200 <= splices, "{missed:#?}");
}
