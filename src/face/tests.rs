//! The stage as a whole, with restorers that are known.

use std::sync::Arc;

use super::align::{Window, aligned, upright};
use super::crop::{Crop, Frame, resized, side};
use super::detect::{Detection, Landmarks};
use super::geometry::{Point, Rect};
use super::mask::{MIDDLE, REACH};
use super::restore::Restorer;
use super::restoring::restore_each;
use super::{Controls, FaceError, Faces, Settings};
use crate::image::{Picture, Sample, Size};
use crate::infer::{Cancel, InferError};

/// What a restorer makes of a crop.
type Make = fn(&Crop, usize) -> Result<Crop, InferError>;

struct Fake {
    make: Make,
    runs: usize,
    is_aligned: bool,
    /// How many crops it was given at once, and with which fidelity.
    asked: Vec<(usize, f32)>,
}

impl Fake {
    fn new(make: Make, is_aligned: bool) -> Self {
        Self { make, runs: 0, is_aligned, asked: Vec::new() }
    }
}

struct Never;

impl Cancel for Never {
    fn cancel(&self) {}
    fn resume(&self) {}
}

impl Restorer for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn window(&self, landmarks: &Landmarks) -> Option<Window> {
        if self.is_aligned { aligned(landmarks, 128) } else { upright(landmarks, MIDDLE, REACH, 4.0, 16) }
    }
    fn trust(&self, _height: f32) -> f32 {
        1.0
    }
    fn light(&self) -> f32 {
        1.0 / 16.0
    }
    fn restore(&mut self, crops: &[Crop], fidelity: f32) -> Result<Vec<Crop>, InferError> {
        self.asked.push((crops.len(), fidelity));
        crops
            .iter()
            .map(|crop| {
                self.runs += 1;
                (self.make)(crop, self.runs)
            })
            .collect()
    }
    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::new(Never)
    }
}

#[test]
fn faces_that_want_the_same_fidelity_are_restored_together_and_all_in_their_order() {
    for wanted in [vec![], vec![0.5], vec![0.5; 4], vec![0.5, 0.5, -0.25, 0.5], vec![0.0, 0.25, 0.5]] {
        let crops: Vec<Crop> = (0..wanted.len()).map(|at| Crop::from_elem((3, 8, 8), at as f32)).collect();
        let mut fake = Fake::new(|crop, _| Ok(crop.clone()), true);
        let made = restore_each(&mut fake, &crops, &wanted).unwrap();
        let made: Vec<Crop> = made.into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(made, crops);
        let runs: Vec<(usize, f32)> = wanted.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
        assert_eq!(fake.asked, runs);
    }
}

fn stage(make: Make, is_aligned: bool) -> Faces {
    Faces::new(&Settings::default(), None, Some(Box::new(Fake::new(make, is_aligned))))
}

fn face(x: f32, y: f32, height: f32, score: f32) -> Detection {
    let at = |dx: f32, dy: f32| Point::new(x + dx * height, y + dy * height);
    let landmarks = [at(-0.2, -0.15), at(0.2, -0.15), at(0.0, 0.09), at(-0.18, 0.27), at(0.18, 0.27)];
    let width = 0.8 * height;
    Detection { score, area: Rect::new(x - width / 2.0, y - height / 2.0, width, height), landmarks }
}

/// Soft waves, in `channels` channels, sampled `times` as finely.
fn scene<S: Sample>(size: Size, times: usize, channels: usize) -> Picture<S> {
    let size = size.times(times);
    Picture::from_shape_fn((size.height, size.width, channels), |(y, x, c)| {
        let (x, y) = ((x as f32 + 0.5) / times as f32, (y as f32 + 0.5) / times as f32);
        S::from_f32((0.5 + 0.2 * (x * 0.11 + c as f32).sin() + 0.2 * (y * 0.09).cos()) * S::WHITE)
    })
}

const SMALL: Size = Size::new(161, 97);

fn same(crop: &Crop, _run: usize) -> Result<Crop, InferError> {
    Ok(resized(crop, 2 * side(crop)))
}

fn bright(crop: &Crop, run: usize) -> Result<Crop, InferError> {
    // Stripes finer than the source can show: it agrees with it in all that it shows.
    let mut larger = same(crop, run)?;
    larger.indexed_iter_mut().for_each(|((_, _, x), value)| *value += if x % 2 == 0 { 0.2 } else { -0.2 });
    Ok(larger)
}

fn fails(_: &Crop, _run: usize) -> Result<Crop, InferError> {
    Err(InferError::NotFinite)
}

fn poison(crop: &Crop, _run: usize) -> Result<Crop, InferError> {
    Ok(Crop::from_elem(crop.dim(), f32::NAN))
}

/// Runs a frame; how far pixels changed, and the report.
fn frame<S: Sample>(
    faces: &mut Faces,
    found: &[Detection],
    controls: &Controls,
    times: usize,
) -> (Picture<S>, Picture<S>, super::FaceReport) {
    let small = scene::<S>(SMALL, 1, 3);
    let before = scene::<S>(SMALL, times, 3);
    let mut after = before.clone();
    faces.follow(small.view(), None, false, Some(found)).unwrap();
    let report = faces.restore(&Frame(small.view()), &mut after.view_mut(), controls).unwrap();
    (before, after, report)
}

fn furthest<S: Sample>(a: &Picture<S>, b: &Picture<S>) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a.to_f32() - b.to_f32()).abs()).fold(0.0, f32::max) / S::WHITE * 255.0
}

#[test]
fn a_restorer_that_changes_nothing_leaves_the_picture_within_rounding() {
    for is_aligned in [false, true] {
        for times in [1, 2, 4] {
            for fidelity in [0.0, 0.5, 1.0] {
                let controls = Controls { fidelity, ..Controls::default() };
                let found = [face(60.0, 45.0, 50.0, 0.95), face(130.0, 70.0, 30.0, 0.95)];
                let (before, after, report) =
                    frame::<u8>(&mut stage(same, is_aligned), &found, &controls, times);
                assert_eq!((report.restored, report.failed), (2, 0));
                // A spline and a mean lose a little of the waves.
                assert!(furthest(&before, &after) <= 1.0, "{is_aligned}, x{times}, {fidelity}");
                let (before, after, _) = frame::<u16>(&mut stage(same, is_aligned), &found, &controls, times);
                assert!(furthest(&before, &after) < 0.6, "{is_aligned}, x{times}, {fidelity}");
            }
        }
    }
}

#[test]
fn a_face_that_looks_as_it_did_is_laid_again_for_a_while_and_one_that_changed_is_restored() {
    let found = [face(60.0, 45.0, 50.0, 0.95), face(130.0, 70.0, 30.0, 0.95)];
    // Frames with the same picture, but for the left face from the sixth on, whose mouth is another.
    let run = |reuse: f32, frames: usize, change: usize| -> Vec<(usize, usize)> {
        let mut faces = stage(bright, false);
        let controls = Controls { reuse, ..Controls::default() };
        (0..frames)
            .map(|number| {
                let mut small = scene::<u8>(SMALL, 1, 3);
                if number >= change {
                    small.slice_mut(ndarray::s![56..62, 54..66, ..]).fill(20);
                }
                let mut large = scene::<u8>(SMALL, 2, 3);
                faces.follow(small.view(), None, false, Some(&found)).unwrap();
                let report = faces.restore(&Frame(small.view()), &mut large.view_mut(), &controls).unwrap();
                (report.restored, report.reused)
            })
            .collect()
    };
    assert!(run(0.0, 8, 5).iter().all(|counts| *counts == (2, 0)), "nobody asked");
    let calm = run(1.0, 40, 40);
    assert_eq!(calm[0], (2, 0));
    assert!(calm[1..16].iter().all(|counts| *counts == (2, 2)), "{calm:?}");
    assert_eq!(calm[16], (2, 0), "no face is used again for longer");
    let changed = run(1.0, 8, 5);
    assert_eq!(changed[4..7], [(2, 2), (2, 1), (2, 2)], "one face changed once");
}

#[test]
fn without_strength_or_without_faces_the_picture_stays_bit_for_bit() {
    let found = [face(60.0, 45.0, 50.0, 0.95)];
    let none = Controls { strength: 0.0, ..Controls::default() };
    for (found, controls) in [(&found[..], none), (&[], Controls::default())] {
        let mut stage = stage(bright, false);
        let (before, after, report) = frame::<u8>(&mut stage, found, &controls, 2);
        assert_eq!(before, after);
        assert_eq!(report.restored, 0);
        assert_eq!(report.faces, found.len());
    }
}

#[test]
fn a_restorer_that_fails_leaves_pixels_alone_and_is_counted_with_its_reason() {
    let found = [face(50.0, 45.0, 40.0, 0.95), face(120.0, 50.0, 40.0, 0.95)];
    for make in [fails as Make, poison] {
        let (before, after, report) = frame::<u8>(&mut stage(make, false), &found, &Controls::default(), 2);
        assert_eq!(before, after);
        assert_eq!((report.restored, report.failed), (0, 2));
        assert!(report.failure.unwrap().contains("no numbers"));
    }
}

#[test]
fn one_bad_face_spoils_no_other() {
    // The first run is of both; then each alone, and the first alone fails again.
    let make: Make = |crop, run| if run == 1 || run == 2 { fails(crop, run) } else { bright(crop, run) };
    let found = [face(50.0, 45.0, 40.0, 0.95), face(120.0, 50.0, 40.0, 0.95)];
    let (before, after, report) = frame::<u8>(&mut stage(make, false), &found, &Controls::default(), 2);
    assert_eq!((report.restored, report.failed), (1, 1));
    let changed = |x: usize, y: usize| before[(y, x, 0)] != after[(y, x, 0)];
    let around = |x: usize| (0..100).any(|i| changed(2 * x - 5 + i % 10, 90 + i / 10));
    assert!(!around(50) && around(120));
}

#[test]
fn a_cancelled_restorer_says_so() {
    let make: Make = |_, _| Err(InferError::Cancelled);
    let small = scene::<u8>(SMALL, 1, 3);
    let mut faces = stage(make, false);
    faces.follow(small.view(), None, false, Some(&[face(60.0, 45.0, 50.0, 0.95)])).unwrap();
    let mut output = scene::<u8>(SMALL, 2, 3);
    let result = faces.restore(&Frame(small.view()), &mut output.view_mut(), &Controls::default());
    assert!(matches!(result, Err(FaceError::Infer(InferError::Cancelled))));
}

#[test]
fn a_face_that_comes_later_fades_in_and_out_without_a_step() {
    let mut faces = stage(bright, false);
    let mut before = 0.0;
    let mut most = 0.0_f32;
    for number in 0..70 {
        let there = (5..30).contains(&number);
        let found = [face(60.0, 45.0, 50.0, 0.95)];
        let found = if there { &found[..] } else { &[] };
        let (_, _, report) = frame::<u8>(&mut faces, found, &Controls::default(), 1);
        let share = report.shares.first().map_or(0.0, |share| share.1);
        assert!((share - before).abs() < 0.26, "frame {number}: {before} to {share}");
        (before, most) = (share, most.max(share));
    }
    assert_eq!((before, most), (0.0, 1.0));
}

#[test]
fn a_face_that_is_not_seen_is_waited_for_half_a_second_at_every_rate() {
    for (rate, coast) in [(0.5, 1), (10.0, 5), (23.976, 12), (30.0, 15), (240.0, 120)] {
        let mut faces = stage(bright, false);
        faces.follower().set_frame_rate(rate);
        frame::<u8>(&mut faces, &[face(60.0, 45.0, 50.0, 0.95)], &Controls::default(), 1);
        for missed in 1..coast + 5 {
            let (_, _, report) = frame::<u8>(&mut faces, &[], &Controls::default(), 1);
            let share = report.shares.first().map_or(0.0, |share| share.1);
            assert_eq!(
                share == 1.0,
                missed <= coast,
                "{rate} frames per second, {missed} of {coast}: {share}"
            );
        }
    }
}

#[test]
fn a_cut_forgets_every_face_and_the_next_is_there_at_once() {
    let mut faces = stage(bright, false);
    let small = scene::<u8>(SMALL, 1, 3);
    let mut share_after = |cut: bool, x: f32| {
        faces.follow(small.view(), None, cut, Some(&[face(x, 45.0, 40.0, 0.95)])).unwrap();
        let mut output = scene::<u8>(SMALL, 1, 3);
        let report =
            faces.restore(&Frame(small.view()), &mut output.view_mut(), &Controls::default()).unwrap();
        (report.tracks, report.shares.last().unwrap().1)
    };
    assert_eq!(share_after(false, 40.0), (1, 1.0));
    assert_eq!(share_after(true, 40.0), (2, 1.0));
    let (tracks, share) = share_after(false, 120.0);
    assert!(tracks == 3 && share < 1.0, "a new face in a scene fades in: {share}");
}

#[test]
fn pictures_with_alpha_and_of_odd_sizes_are_no_trouble() {
    let small = scene::<u16>(Size::new(83, 61), 1, 4);
    let mut output = scene::<u16>(Size::new(83, 61), 3, 4);
    let alpha = output.slice(ndarray::s![.., .., 3]).to_owned();
    let mut faces = stage(bright, true);
    for found in [face(0.0, 0.0, 40.0, 0.95), face(82.0, 60.0, 40.0, 0.95), face(40.0, 30.0, 4000.0, 0.95)] {
        faces.follow(small.view(), None, true, Some(&[found])).unwrap();
        faces.restore(&Frame(small.view()), &mut output.view_mut(), &Controls::default()).unwrap();
    }
    assert_eq!(output.slice(ndarray::s![.., .., 3]), alpha);
}
