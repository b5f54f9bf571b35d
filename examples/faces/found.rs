//! How many faces are found in stills, and whether clips keep their main face.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gstfacesr::face::detect::{Detection, Detector};
use gstfacesr::face::track::{BEGINS, CONTINUES, Limits, OwnMotion, Tracker};
use gstfacesr::image::Picture;

use crate::clip::{Clip, save};

/// Least heights of faces looked for, in pixels of the picture.
pub const SMALLEST: f32 = 24.0;

/// Prints the faces in a still, and draws them.
pub fn still(detector: &mut Detector, path: &Path, drawn: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let mut picture = Clip::open(path)?.next().ok_or("there is no picture")?;
    let start = Instant::now();
    let found = detector.detect(picture.view(), BEGINS)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let shape = picture.dim();
    let scores: Vec<String> = found.iter().map(|face| format!("{:.2}", face.score)).collect();
    println!(
        "{:32} {}x{}: {} faces, {took:.0} ms; scores {}",
        name(path),
        shape.1,
        shape.0,
        found.len(),
        scores.join(" ")
    );
    if let Some(drawn) = drawn {
        found.iter().for_each(|face| draw(&mut picture, face));
        save(&picture, drawn)?;
    }
    Ok(())
}

pub fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
}

/// Draws a box and the landmarks.
pub fn draw(picture: &mut Picture<u8>, face: &Detection) {
    let (height, width, _) = picture.dim();
    let mut dot = |x: f32, y: f32, colour: [u8; 3]| {
        let (x, y) = (x as usize, y as usize);
        if x < width && y < height {
            (0..3).for_each(|c| picture[(y, x, c)] = colour[c]);
        }
    };
    let area = face.area;
    for step in 0..=200 {
        let t = step as f32 / 200.0;
        for side in [0.0, 1.0] {
            dot(area.x + t * area.width, area.y + side * area.height, [255, 255, 0]);
            dot(area.x + side * area.width, area.y + t * area.height, [255, 255, 0]);
        }
    }
    for point in face.landmarks {
        for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            dot(point.x + dx, point.y + dy, [0, 255, 0]);
        }
    }
}

/// A clip, followed from its first to its last frame.
pub fn clip(detector: &mut Detector, path: &Path, interval: u32) -> Result<(), Box<dyn Error>> {
    let limits = Limits { smallest: SMALLEST, most: 16, coast: 13 };
    let (mut tracker, mut own) = (Tracker::new(limits), OwnMotion::default());
    let mut shown: BTreeMap<u64, usize> = BTreeMap::new();
    let (mut frames, mut detections, mut without) = (0, 0, 0);
    let start = Instant::now();
    let mut mains = Vec::new();
    for picture in Clip::open(path)? {
        let motion = own.step(picture.view(), !tracker.tracks().is_empty());
        let due = tracker.is_due(interval, motion.is_some());
        let found = due.then(|| detector.detect(picture.view(), CONTINUES)).transpose()?;
        detections += usize::from(due);
        tracker.step(motion, found.as_deref());
        for track in tracker.tracks().iter().filter(|track| track.confirmed() && track.found()) {
            *shown.entry(track.id).or_default() += 1;
        }
        let main = tracker
            .tracks()
            .iter()
            .filter(|track| track.confirmed() && track.found())
            .max_by(|a, b| a.area.area().total_cmp(&b.area.area()));
        without += usize::from(main.is_none());
        if let Some(main) = main
            && mains.last() != Some(&main.id)
        {
            mains.push(main.id);
        }
        frames += 1;
    }
    let took = start.elapsed().as_secs_f64() * 1e3 / frames as f64;
    println!(
        "{:32} {frames} frames, {detections} detections, main face by number {mains:?}, {without} frames without, frames by number {shown:?}, {took:.1} ms a frame",
        name(path)
    );
    Ok(())
}

/// The clips whose main face is to be followed.
pub fn clips(media: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let videos = media.join("videos");
    let mut clips: Vec<PathBuf> = [
        "clm_cap12.mp4",
        "carphone_pristine.mp4",
        "pyfeat_single_face.mp4",
        "pyfeat_pexels_woman.mp4",
        "pyfeat_face_noface.mov",
    ]
    .map(|name| videos.join(name))
    .to_vec();
    let mut signing: Vec<PathBuf> = std::fs::read_dir(videos.join("intel_asl"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    signing.sort();
    clips.extend(signing);
    Ok(clips)
}
