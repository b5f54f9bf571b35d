//! How much a face shakes in its crop, and how far the crop lags behind, for ways of placing it.
//!
//! Noise of deviation 8 is added to every clip; the face that is largest in the first frame is placed on the noisy
//! frames; a detection that does not overlap the one before is of something else and not taken by any way. Instability: of
//! neighbouring clean frames, cut where the noisy ones were placed, in pixels of 512, the mean over
//! frames of how far the similarity that their flow fits moves the landmarks of the template. Lag: the
//! shift, in frames, by which the speed of the placed middle of eyes and nose fits best that of detections on the clean
//! frames, smoothed without a lag (Gaussian of 1.5 frames); over all clips together, by least squares in distances
//! between the eyes, so that faces at rest, which have no lag, do not count.

use std::error::Error;
use std::f32::consts::TAU;
use std::path::Path;

use gstfacesr::face::align::aligned;
use gstfacesr::face::crop::{Crop, Frame, cut};
use gstfacesr::face::detect::{Detection, Detector, Landmarks};
use gstfacesr::face::geometry::{Point, Rect};
use gstfacesr::face::track::{CONTINUES, Limits, Motion, OwnMotion, Tracker, ride};
use gstfacesr::flow::{Estimator, preset};
use gstfacesr::image::Picture;
use ndarray::Array2;

use crate::clip::Clip;
use crate::degrade::noisy;
use crate::found::{SMALLEST, clips, name};

const NOISE: f32 = 8.0;
/// The unit of instability is a pixel of an aligned crop of this side ...
const UNIT: usize = 512;
/// ... which is looked at in half the size, where the noise of its flow is less.
const SIDE: usize = UNIT / 2;
/// Overlap (intersection over union) from which on two detections in a row are of one face.
const SAME: f32 = 0.2;
/// Frames of a clip that are measured.
const FRAMES: usize = 60;

/// A way of placing the face of a frame.
type Placer = Box<dyn FnMut(&Picture<u8>, Option<&Detection>, usize) -> Option<Landmarks>>;

/// The One-Euro filter (Casiez, Roussel and Vogel, 2012) on each coordinate.
struct OneEuro {
    least_cutoff: f32,
    beta: f32,
    rate: f32,
    state: Option<([f32; 10], [f32; 10])>,
}

impl OneEuro {
    fn step(&mut self, points: &Landmarks) -> Landmarks {
        let now: [f32; 10] =
            std::array::from_fn(|i| if i % 2 == 0 { points[i / 2].x } else { points[i / 2].y });
        let share = |cutoff: f32| {
            let r = TAU * cutoff / self.rate;
            r / (r + 1.0)
        };
        let (value, speed) = match self.state {
            None => (now, [0.0; 10]),
            Some((value, speed)) => {
                let speed: [f32; 10] = std::array::from_fn(|i| {
                    let raw = (now[i] - value[i]) * self.rate;
                    speed[i] + share(1.0) * (raw - speed[i])
                });
                let value = std::array::from_fn(|i| {
                    value[i] + share(self.least_cutoff + self.beta * speed[i].abs()) * (now[i] - value[i])
                });
                (value, speed)
            }
        };
        self.state = Some((value, speed));
        std::array::from_fn(|i| Point::new(value[2 * i], value[2 * i + 1]))
    }
}

fn raw() -> Placer {
    Box::new(|_, found, _| found.map(|face| face.landmarks))
}

fn one_euro(least_cutoff: f32, beta: f32) -> Placer {
    let mut filter = OneEuro { least_cutoff, beta, rate: 25.0, state: None };
    Box::new(move |_, found, _| found.map(|face| filter.step(&face.landmarks)))
}

fn tracked(interval: usize, finest: Option<&'static str>) -> Placer {
    let limits = Limits { smallest: SMALLEST, most: 16, coast: 13 };
    let (mut tracker, mut own) = (Tracker::new(limits), OwnMotion::default());
    let mut estimator = finest.map(|name| Estimator::new(preset(name).expect("it is a preset")));
    let mut before: Option<Array2<f32>> = None;
    Box::new(move |picture, found, frame| {
        let found: Vec<Detection> = found.copied().into_iter().collect();
        let found = (frame % interval == 0).then_some(&found[..]);
        match &mut estimator {
            None => tracker.step(own.step(picture.view(), true), found),
            Some(estimator) => {
                let now = luma(picture);
                let flow =
                    before.as_ref().and_then(|before| estimator.estimate(now.view(), before.view()).ok());
                before = Some(now);
                tracker.step(flow.as_ref().map(|flow| Motion { flow, scale: 1.0 }), found);
            }
        }
        tracker.tracks().first().map(|track| track.landmarks)
    })
}

fn luma(picture: &Picture<u8>) -> Array2<f32> {
    let (height, width, _) = picture.dim();
    Array2::from_shape_fn((height, width), |(y, x)| {
        let colour = |c: usize| f32::from(picture[(y, x, c)]);
        0.299 * colour(0) + 0.587 * colour(1) + 0.114 * colour(2)
    })
}

struct Way {
    name: &'static str,
    place: Placer,
    before: Option<Crop>,
    moved: Vec<f32>,
    middles: Vec<Option<Point>>,
}

/// Prints instability and lag of every way for every clip, and the means.
pub fn table(detector: &mut Detector, media: &Path) -> Result<(), Box<dyn Error>> {
    let mut sums: Vec<(&str, f32, Vec<f64>, usize)> = Vec::new();
    let mut eyes = 1.0;
    for path in clips(media)? {
        let mut ways: Vec<Way> = [
            ("raw detections", raw()),
            ("One-Euro 1.0, 0.02", one_euro(1.0, 0.02)),
            ("One-Euro 1.0, 0.1", one_euro(1.0, 0.1)),
            ("tracked, every frame", tracked(1, Some("quality"))),
            ("tracked, every 5th", tracked(5, Some("medium"))),
            ("tracked, own flow, every 5th", tracked(5, None)),
        ]
        .into_iter()
        .map(|(name, place)| Way { name, place, before: None, moved: Vec::new(), middles: Vec::new() })
        .collect();
        let mut truth = Vec::new();
        let mut last: Option<Rect> = None;
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        let mut estimator = Estimator::new(preset("fast").expect("it is a preset"));
        for (frame, clean) in Clip::open(&path)?.take(FRAMES).enumerate() {
            let noisy = noisy(NOISE, &clean, &mut seed);
            let same = |found: Vec<Detection>| match last {
                None => found.into_iter().max_by(|a, b| a.area.area().total_cmp(&b.area.area())),
                Some(last) => found
                    .into_iter()
                    .filter(|face| face.area.overlap(&last) > SAME)
                    .max_by(|a, b| a.area.overlap(&last).total_cmp(&b.area.overlap(&last))),
            };
            let seen = same(detector.detect(noisy.view(), CONTINUES)?);
            let real = same(detector.detect(clean.view(), CONTINUES)?);
            last = real.map(|face| face.area).or(last);
            eyes = real.map_or(eyes, |face| face.landmarks[0].distance(face.landmarks[1]).max(1.0));
            truth.push(real.map(|face| middle(&face.landmarks)));
            for way in &mut ways {
                let placed = (way.place)(&noisy, seen.as_ref(), frame);
                way.middles.push(placed.map(|points| middle(&points)));
                let crop = placed
                    .and_then(|points| aligned(&points, SIDE))
                    .map(|window| cut(&Frame(clean.view()), &window.place, SIDE));
                if let Some((before, now)) = way.before.as_ref().zip(crop.as_ref()) {
                    way.moved.extend(shaken(&mut estimator, before, now));
                }
                way.before = crop;
            }
        }
        let smooth = smoothed(&truth);
        print!("{:28}", name(&path));
        for way in &ways {
            let mean = way.moved.iter().sum::<f32>() / way.moved.len().max(1) as f32;
            let misfits = misfits(&way.middles, &smooth, eyes);
            print!("  {mean:5.2} {:+4.1}", best(&misfits));
            match sums.iter_mut().find(|sum| sum.0 == way.name) {
                Some(sum) => {
                    (sum.1, sum.3) = (sum.1 + mean, sum.3 + 1);
                    sum.2.iter_mut().zip(misfits).for_each(|(sum, misfit)| *sum += misfit);
                }
                None => sums.push((way.name, mean, misfits, 1)),
            }
        }
        println!();
    }
    println!("mean over clips: instability (pixels of 512), lag (frames)");
    for (name, moved, misfits, count) in sums {
        println!("{name:30} {:5.2} {:+5.2}", moved / count as f32, best(&misfits));
    }
    Ok(())
}

fn middle(points: &Landmarks) -> Point {
    points[0].towards(points[1], 0.5).towards(points[2], 1.0 / 3.0)
}

/// How far the face moved in its crop, on average over the template's landmarks.
fn shaken(estimator: &mut Estimator, before: &Crop, now: &Crop) -> Option<f32> {
    let plane = |crop: &Crop| gstfacesr::face::agree::luma(crop).mapv(|value| 255.0 * value);
    let flow = estimator.estimate(plane(now).view(), plane(before).view()).ok()?;
    let template: Landmarks =
        [(193.0, 240.0), (319.0, 240.0), (256.5, 314.0), (201.0, 371.0), (313.0, 371.0)]
            .map(|(x, y)| Point::new(x, y));
    let moved = ride(&Motion { flow: &flow, scale: (UNIT / SIDE) as f32 }, &template)?;
    Some(template.iter().map(|point| point.distance(moved.apply(*point))).sum::<f32>() / 5.0)
}

fn smoothed(points: &[Option<Point>]) -> Vec<Option<Point>> {
    (0..points.len() as isize)
        .map(|at| {
            let (mut sum, mut weights) = (Point::default(), 0.0);
            for offset in -5..=5_isize {
                let Some(Some(point)) = usize::try_from(at + offset).ok().and_then(|at| points.get(at))
                else {
                    continue;
                };
                let weight = (-(offset * offset) as f32 / (2.0 * 1.5 * 1.5)).exp();
                sum = Point::new(sum.x + weight * point.x, sum.y + weight * point.y);
                weights += weight;
            }
            (weights > 0.0).then(|| Point::new(sum.x / weights, sum.y / weights))
        })
        .collect()
}

/// Shifts that are tried, in frames.
fn shifts() -> impl Iterator<Item = f32> {
    (-60..=80).map(|step| step as f32 / 20.0)
}

/// The squared difference of speeds for each shift.
fn misfits(placed: &[Option<Point>], truth: &[Option<Point>], eyes: f32) -> Vec<f64> {
    let speed = |points: &[Option<Point>], t: usize| -> Option<(f32, f32)> {
        let (before, after) = ((*points.get(t - 1)?)?, (*points.get(t + 1)?)?);
        Some(((after.x - before.x) / eyes, (after.y - before.y) / eyes))
    };
    shifts()
        .map(|shift| {
            (6..placed.len().saturating_sub(6))
                .filter_map(|t| {
                    let at = t as f32 - shift;
                    let part = at.fract();
                    let (one, next) = (speed(truth, at as usize)?, speed(truth, at as usize + 1)?);
                    let truth = (one.0 + part * (next.0 - one.0), one.1 + part * (next.1 - one.1));
                    let placed = speed(placed, t)?;
                    Some(f64::from((placed.0 - truth.0).powi(2) + (placed.1 - truth.1).powi(2)))
                })
                .sum()
        })
        .collect()
}

fn best(misfits: &[f64]) -> f32 {
    let least = misfits.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    least.and_then(|(at, _)| shifts().nth(at)).unwrap_or(f32::NAN)
}
