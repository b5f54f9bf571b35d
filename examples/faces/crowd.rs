//! What a crowd costs in time and memory, and what a picture without anybody does.

use std::error::Error;
use std::path::Path;

use gstfacesr::enhance::{Controls, Enhancer, Settings};
use gstfacesr::face;
use gstfacesr::image::{Picture, Size};
use gstfacesr::temporal;
use ndarray::{Axis, concatenate};

use crate::clip::Clip;

/// Frames that are timed, after a first.
const FRAMES: u32 = 5;

/// Four times 29 people, of whom so many are restored at most; then nobody.
pub fn table(media: &Path, restorer: &str) -> Result<(), Box<dyn Error>> {
    let path = media.join("faces/gpen_solvay/Solvay_conference_1927.png");
    let people = Clip::open(&path)?.next().ok_or("there is no picture")?;
    let pair = concatenate(Axis(1), &[people.view(), people.view()])?;
    let crowd = concatenate(Axis(0), &[pair.view(), pair.view()])?.as_standard_layout().to_owned();
    let nobody = Picture::from_shape_fn(crowd.dim(), |(y, x, c)| (x / 7 + y / 5 + 40 * c) as u8);
    for (what, picture, most) in [("nobody", &nobody, 100), ("a crowd", &crowd, 16), ("a crowd", &crowd, 100)]
    {
        let settings = Settings {
            temporal: temporal::Mode::Off,
            faces: face::Settings { model: restorer.into(), most, ..face::Settings::default() },
            ..Settings::default()
        };
        let mut enhancer = Enhancer::<u8>::open(&settings)?;
        let mut made = picture.clone();
        let (mut detecting, mut restoring) = (0.0, 0.0);
        let mut report = face::FaceReport::default();
        for frame in 0..=FRAMES {
            // One sample differs, or the frame would pass for the last one repeated.
            let mut picture = picture.clone();
            picture[(0, 0, 0)] = frame as u8;
            report = enhancer.process(picture.view(), made.view_mut(), &Controls::default())?.faces;
            if frame > 0 {
                detecting += report.detecting.as_secs_f64() * 1e3 / f64::from(FRAMES);
                restoring += report.restoring.as_secs_f64() * 1e3 / f64::from(FRAMES);
            }
        }
        println!(
            "{what} in {}, at most {most}: {} found, {} restored; a frame takes {detecting:.1} ms to detect (every 5th), {restoring:.1} ms to restore; peak memory so far {}",
            Size::of(&picture.view()),
            report.faces,
            report.restored,
            peak()
        );
    }
    Ok(())
}

/// The most memory that this process has held, as the kernel says it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".into(), |line| line.trim().into())
}
