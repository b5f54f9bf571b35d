//! Restorers side by side on clips that were kept badly: a quarter or half of the size, noise, JPEG of 40.

use std::error::Error;
use std::path::Path;

use gstfacesr::face::Controls;
use gstfacesr::face::detect::{Detector, Landmarks};
use gstfacesr::face::geometry::Rect;
use gstfacesr::image::{Picture, Size, crop};

use crate::clip::{Clip, save};
use crate::degrade::medium;
use crate::found::name;
use crate::quality::{Run, Stage, Sums, perceptual, place, side_by_side};

/// Clips and how much smaller they become: at a quarter, the faces of two would have 15 and 22 pixels.
const CLIPS: [(&str, usize); 4] = [
    ("carphone_pristine.mp4", 2),
    ("clm_cap12.mp4", 4),
    ("pyfeat_single_face.mp4", 4),
    ("intel_asl/again.mkv", 2),
];

/// Restorers that are compared with one another and with none.
const RESTORERS: [&str; 2] = ["auto", "realesrgan-x4plus"];

/// How far landmarks are from those of the truth.
#[derive(Default)]
struct Landmarked {
    sum: f64,
    found: u32,
    missed: u32,
}

impl Landmarked {
    fn add(&mut self, found: Option<Landmarks>, truth: &Landmarks) {
        match found {
            Some(found) => {
                let off: f32 = found.iter().zip(truth).map(|(a, b)| a.distance(*b)).sum();
                self.sum += f64::from(off / 5.0 / truth[0].distance(truth[1]));
                self.found += 1;
            }
            None => self.missed += 1,
        }
    }
}

/// Prints how near restored faces are to the truth, how far their landmarks are off and how steady they are.
pub fn table(
    detector: &mut Detector,
    media: &Path,
    frames: usize,
    controls: Controls,
) -> Result<(), Box<dyn Error>> {
    println!("strength {}, fidelity {}", controls.strength, controls.fidelity);
    let mut network = perceptual()?;
    for (clip, factor) in CLIPS {
        let path = media.join("videos").join(clip);
        let mut stages = vec![Stage::open("auto", Run::Plain, factor, controls)?];
        for restorer in RESTORERS {
            stages.push(Stage::open(restorer, Run::Followed, factor, controls)?);
        }
        let mut sums: Vec<(Sums, Landmarked)> = stages.iter().map(|_| Default::default()).collect();
        let (mut at, mut seed, mut height) = (None, 1, 0.0);
        for (number, truth) in Clip::open(&path)?.take(frames).enumerate() {
            let small = medium(&truth, factor, &mut seed)?;
            let size = Size::of(&small.view()).times(factor);
            let truth = crop(truth.view(), 0, 0, size).to_owned();
            let made = stages.iter_mut().map(|stage| stage.run(&small)).collect::<Result<Vec<_>, _>>()?;
            let Some(track) = stages[1].main() else { continue };
            height = track.area.height;
            let place = *at.get_or_insert_with(|| place(track, size, factor));
            let wanted = landmarks(detector, &truth, place)?;
            for ((sums, marks), made) in sums.iter_mut().zip(&made) {
                sums.add(made, &truth, place, &mut network)?;
                if let Some(wanted) = &wanted {
                    marks.add(landmarks(detector, made, place)?, wanted);
                }
            }
            if number + 1 == frames {
                let pictures: Vec<&Picture<u8>> = made.iter().chain([&truth]).collect();
                let shown = std::env::temp_dir().join(format!("medium-{}.png", name(&path)));
                save(&side_by_side(&pictures, place), &shown)?;
            }
        }
        println!(
            "{} at 1/{factor}, noise 4, JPEG 40 (a face of {height:.0} px), {frames} frames",
            name(&path)
        );
        for ((sums, marks), what) in sums.iter().zip(["not restored"].into_iter().chain(RESTORERS)) {
            let off = 100.0 * marks.sum / f64::from(marks.found);
            println!("  {what:24} {}  landmarks {off:.2} %, {} missed", sums.describe(), marks.missed);
        }
    }
    Ok(())
}

/// Landmarks of the surest face there.
fn landmarks(
    detector: &mut Detector,
    picture: &Picture<u8>,
    place: Rect,
) -> Result<Option<Landmarks>, Box<dyn Error>> {
    let size = Size::new(place.width as usize, place.height as usize);
    let part = crop(picture.view(), place.x as usize, place.y as usize, size).to_owned();
    let found = detector.detect(part.view(), 0.5)?;
    Ok(found.iter().max_by(|a, b| a.score.total_cmp(&b.score)).map(|face| face.landmarks))
}
