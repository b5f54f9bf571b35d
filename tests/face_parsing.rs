//! Where a parser sees skin and where it does not, through the stage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gstfacesr::face::align::{Window, aligned, to_face, upright};
use gstfacesr::face::crop::{Crop, Frame, resized, side};
use gstfacesr::face::detect::{Detection, Landmarks};
use gstfacesr::face::geometry::{Point, Rect, Similarity};
use gstfacesr::face::helpers::Helpers;
use gstfacesr::face::mask::{MIDDLE, REACH};
use gstfacesr::face::parse::{self, Parser};
use gstfacesr::face::restore::Restorer;
use gstfacesr::face::{Controls, FaceReport, Faces, Settings, Source};
use gstfacesr::flow::Flow;
use gstfacesr::image::{Picture, Size};
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::runtime::{self, Runtime};
use gstfacesr::infer::{Cancel, InferError};
use ndarray::Array2;

fn ort() -> &'static Runtime {
    runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache")
}

fn tiny(name: &str) -> PathBuf {
    Path::new("models/tiny").join(name).with_extension("onnx")
}

/// Stripes finer than the source can show, over all that it is given.
struct Stripes {
    is_aligned: bool,
}

struct Never;

impl Cancel for Never {
    fn cancel(&self) {}
    fn resume(&self) {}
}

impl Restorer for Stripes {
    fn name(&self) -> &str {
        "stripes"
    }
    fn window(&self, landmarks: &Landmarks) -> Option<Window> {
        if self.is_aligned { aligned(landmarks, 256) } else { upright(landmarks, MIDDLE, REACH, 4.0, 16) }
    }
    fn trust(&self, _height: f32) -> f32 {
        1.0
    }
    fn light(&self) -> f32 {
        1.0 / 16.0
    }
    fn restore(&mut self, crops: &[Crop], _fidelity: f32) -> Result<Vec<Crop>, InferError> {
        let restore = |crop: &Crop| {
            let mut made = resized(crop, 2 * side(crop));
            made.indexed_iter_mut()
                .for_each(|((_, y, _), value)| *value += if y % 2 == 0 { 0.1 } else { -0.1 });
            made
        };
        Ok(crops.iter().map(restore).collect())
    }
    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::new(Never)
    }
}

fn stage(network: Option<&str>, is_aligned: bool) -> Faces {
    let parser = network.map(|name| Parser::load(ort(), &tiny(name), &Options::default()).unwrap());
    let faces = Faces::new(&Settings::default(), None, Some(Box::new(Stripes { is_aligned })));
    faces.with_helpers(Helpers { identity: None, parser })
}

/// A face that leans, of a height in pixels from brow to chin.
fn face(x: f32, y: f32, height: f32, lean: f32) -> Detection {
    let turned = Similarity { a: height * lean.cos(), b: height * lean.sin(), tx: x, ty: y };
    let at = |dx: f32, dy: f32| turned.apply(Point::new(dx, dy));
    let landmarks = [at(-0.2, -0.15), at(0.2, -0.15), at(0.0, 0.09), at(-0.18, 0.27), at(0.18, 0.27)];
    let width = 0.8 * height;
    Detection { score: 0.95, area: Rect::new(x - width / 2.0, y - height / 2.0, width, height), landmarks }
}

// As models/tiny/generate.py has them.
const SKIN: [f32; 3] = [0.8, 0.6, 0.5];
const HAIR: [f32; 3] = [0.2, 0.2, 0.6];

/// What is at a point, in face units: hair that falls over the forehead, or skin.
fn is_skin(at: Point) -> bool {
    at.y > -0.25 + 0.2 * (2.5 * at.x).sin()
}

/// What all is, by a place in face units.
type Look = fn(Point) -> [f32; 3];

fn fringe(at: Point) -> [f32; 3] {
    if is_skin(at) { SKIN } else { HAIR }
}

/// A picture that shows a face, `times` as fine as the small one.
fn scene(face: &Detection, size: Size, times: usize, look: Look) -> Picture<u8> {
    let to_face = to_face(&face.landmarks).unwrap();
    let size = size.times(times);
    Picture::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
        let at = Point::new((x as f32 + 0.5) / times as f32, (y as f32 + 0.5) / times as f32);
        (255.0 * look(to_face.apply(at))[c]) as u8
    })
}

/// Runs a frame; the picture before and after, and the report.
fn frame(
    faces: &mut Faces,
    found: &Detection,
    size: Size,
    look: Look,
) -> (Picture<u8>, Picture<u8>, FaceReport) {
    let small = scene(found, size, 1, look);
    let before = scene(found, size, 2, look);
    let mut after = before.clone();
    faces.follow(small.view(), None, false, Some(std::slice::from_ref(found))).unwrap();
    let report = faces.restore(&Frame(small.view()), &mut after.view_mut(), &Controls::default()).unwrap();
    assert_eq!((report.restored, report.failed), (1, 0));
    (before, after, report)
}

/// Pixels that changed, by whether they are of skin.
fn changed(before: &Picture<u8>, after: &Picture<u8>, face: &Detection) -> (usize, usize) {
    let to_face = to_face(&face.landmarks).unwrap();
    let (mut skin, mut other) = (0, 0);
    for ((y, x, _), sample) in after.indexed_iter() {
        if *sample != before[(y, x, 0)] && *sample != before[(y, x, 1)] && *sample != before[(y, x, 2)] {
            let at = Point::new((x as f32 + 0.5) / 2.0, (y as f32 + 0.5) / 2.0);
            match is_skin(to_face.apply(at)) {
                true => skin += 1,
                false => other += 1,
            }
        }
    }
    (skin, other)
}

#[test]
fn hair_over_the_forehead_stays_bit_for_bit_at_every_size_and_lean() {
    let mut hidden = 0;
    for (height, lean) in [(48.0, 0.0), (60.0, 0.4), (81.0, -0.9)] {
        for is_aligned in [true, false] {
            let size = Size::new(161, 141);
            let face = face(80.0, 70.0, height, lean);
            let mut faces = stage(Some("parsing"), is_aligned);
            for number in 0..4 {
                let (before, after, report) = frame(&mut faces, &face, size, fringe);
                assert_eq!(report.parsing.faces, 0);
                let (skin, other) = changed(&before, &after, &face);
                let about = format!("{height}, {lean}, {is_aligned}, frame {number}");
                assert!(skin > 2000 && other == 0, "{about}: {skin} of skin and {other} others changed");
            }
            let (before, after, _) = frame(&mut stage(None, is_aligned), &face, size, fringe);
            hidden += changed(&before, &after, &face).1;
        }
    }
    assert!(hidden > 2000, "the ellipse alone lays only {hidden} pixels over hair: this shows nothing");
}

#[test]
fn without_anything_before_it_a_face_is_restored_as_by_the_ellipse_alone() {
    let size = Size::new(161, 121);
    let face = face(80.0, 60.0, 60.0, 0.2);
    for is_aligned in [true, false] {
        let (_, expected, _) = frame(&mut stage(None, is_aligned), &face, size, |_| SKIN);
        for network in ["parsing", "parsing-parsenet"] {
            let (_, after, _) = frame(&mut stage(Some(network), is_aligned), &face, size, |_| SKIN);
            assert!(after == expected, "{network}, {is_aligned}");
        }
    }
}

#[test]
fn where_the_parser_fails_or_sees_no_face_the_ellipse_alone_is_used_and_the_face_is_counted() {
    let size = Size::new(161, 121);
    let white: Look = |_| [1.0; 3];
    let hair: Look = |_| HAIR;
    for (height, network, look, missed) in [
        (60.0, "parsing-nan", white, Some("no numbers")),
        (60.0, "parsing", hair, Some("sees no face")),
        // Too small to be asked about.
        (31.0, "parsing-nan", white, None),
        (31.0, "parsing", hair, None),
    ] {
        let face = face(80.0, 60.0, height, 0.0);
        let (mut with, mut without) = (stage(Some(network), true), stage(None, true));
        for number in 0..3 {
            let (_, after, report) = frame(&mut with, &face, size, look);
            let (_, expected, _) = frame(&mut without, &face, size, look);
            assert!(after == expected, "{network}, {height}, frame {number}");
            assert_eq!(report.parsing.faces, usize::from(missed.is_some()), "{network}, {height}");
            let reason = report.parsing.reason.unwrap_or_default();
            assert!(reason.contains(missed.unwrap_or_default()), "{network}, {height}: {reason}");
        }
    }
}

#[test]
fn small_faces_come_under_the_parser_little_by_little() {
    let size = Size::new(121, 101);
    let mut before = None;
    for quarters in 120..=170 {
        let face = face(60.0, 50.0, quarters as f32 / 4.0, 0.0);
        let (plain, after, _) = frame(&mut stage(Some("parsing"), false), &face, size, fringe);
        let (_, ellipse, _) = frame(&mut stage(None, false), &face, size, fringe);
        let lack = |picture: &Picture<u8>| -> f32 {
            picture.iter().zip(&plain).map(|(a, b)| f32::from(a.abs_diff(*b))).sum()
        };
        // How much of the whole change there still is.
        let share = lack(&after) / lack(&ellipse);
        let step = before.map_or(0.0, |before: f32| (share - before).abs());
        assert!(step < 0.06, "{quarters}: from {before:?} to {share}");
        before = Some(share);
    }
    assert!(before.unwrap() < 0.9, "{before:?}");
}

#[test]
fn when_a_parser_begins_to_fail_the_picture_goes_over_without_a_step() {
    let size = Size::new(161, 121);
    let face = face(80.0, 60.0, 60.0, 0.0);
    // Far from the face, but within what is parsed.
    let spot: Look = |at| if at.y < -0.9 && at.x > 1.2 { [1.0; 3] } else { fringe(at) };
    let mut faces = stage(Some("parsing-nan"), false);
    let mut last: Option<Picture<u8>> = None;
    let (mut furthest, mut steepest) = (0_u8, 0_u8);
    for number in 0..30 {
        let look: Look = if number < 10 { fringe } else { spot };
        let (before, after, report) = frame(&mut faces, &face, size, look);
        assert_eq!(report.parsing.faces, usize::from(number >= 10), "frame {number}");
        for (at, sample) in after.indexed_iter() {
            let to = last.as_ref().map_or(*sample, |last| last[at]);
            if before[at] != 255 && number > 4 {
                steepest = steepest.max(sample.abs_diff(to));
                furthest = furthest.max(sample.abs_diff(before[at]));
            }
        }
        last = Some(after);
    }
    // A sixth of the stripes, and a level of rounding.
    assert!(furthest > 15 && u32::from(steepest) * 5 < u32::from(furthest) + 5, "{steepest} of {furthest}");
}

/// Adds noise of a few levels, the same for the same seed.
fn noisy(picture: &Picture<u8>, seed: u32, strength: f32) -> Picture<u8> {
    let mut bits = seed.wrapping_mul(0x9E37_79B9) | 1;
    picture.mapv(|sample| {
        bits = (bits ^ (bits << 13)) ^ ((bits ^ (bits << 13)) >> 17);
        bits ^= bits << 5;
        let noise = strength * ((bits >> 8) as f32 / (1 << 23) as f32 - 1.0);
        (f32::from(sample) + noise).round().clamp(0.0, 255.0) as u8
    })
}

#[test]
fn the_edge_of_the_mask_stays_where_it_is_while_the_input_is_full_of_noise() {
    let size = Size::new(161, 121);
    let face = face(80.0, 60.0, 60.0, 0.0);
    // One goes over into the other so slowly that noise decides where.
    let slowly: Look = |at| {
        let share = (0.5 - (at.y + 0.25)).clamp(0.0, 1.0);
        [0, 1, 2].map(|c| SKIN[c] + share * (HAIR[c] - SKIN[c]))
    };
    // Nothing moves; flow of so little but noise would say otherwise.
    let zeros = || Array2::zeros((size.height, size.width));
    let still = Flow { u: zeros(), v: zeros() };
    let mut moved = Vec::new();
    for is_remembered in [true, false] {
        let mut faces = [stage(Some("parsing"), true), stage(Some("parsing"), true)];
        let (mut last, mut sum) = (None, 0.0);
        for number in 0..16 {
            let small = noisy(&scene(&face, size, 1, slowly), number, 24.0);
            // What is laid over black and over white tells how much of it is.
            let [black, white] = [0, 1].map(|at| {
                let faces = &mut faces[at];
                if !is_remembered {
                    faces.reset();
                }
                faces.follow(small.view(), Some(&still), false, Some(&[face])).unwrap();
                let mut large =
                    Picture::<u8>::from_elem((2 * size.height, 2 * size.width, 3), 255 * at as u8);
                let report =
                    faces.restore(&Frame(small.view()), &mut large.view_mut(), &Controls::default()).unwrap();
                assert_eq!(report.parsing.faces, 0, "{is_remembered}, frame {number}");
                large
            });
            let weights: Vec<u8> =
                white.iter().zip(&black).map(|(white, black)| 255 - (white - black)).collect();
            let change = |last: &Vec<u8>| -> f32 {
                weights.iter().zip(last).map(|(a, b)| f32::from(a.abs_diff(*b))).sum()
            };
            sum += if number < 8 { 0.0 } else { last.as_ref().map_or(0.0, change) };
            last = Some(weights);
        }
        moved.push(sum);
    }
    assert!(moved[0] < 0.3 * moved[1], "{moved:?}");
}

/// The nearest of the colours that the tiny networks know.
fn is_face(colour: [f32; 3]) -> bool {
    let known = [
        ([0.0, 0.0, 0.0], false),
        (SKIN, true),
        ([0.9, 0.4, 0.4], true),
        (HAIR, false),
        ([0.2, 0.7, 0.2], false),
    ];
    let distance = |other: &[f32; 3]| -> f32 { (0..3).map(|c| (colour[c] - other[c]).powi(2)).sum() };
    known.iter().min_by(|a, b| distance(&a.0).total_cmp(&distance(&b.0))).unwrap().1
}

/// What a network takes for the sample of a channel that is given to it as its sidecar says.
type TakenFor = fn(usize, f32) -> f32;

#[test]
fn colours_come_to_the_network_as_it_was_trained_on_them_or_as_its_sidecar_says() {
    let folder = tempfile::tempdir().unwrap();
    let all: [(&str, &str, TakenFor); 4] = [
        ("parsing", "", |_, value| value),
        ("parsing-parsenet", "", |_, value| value),
        ("parsing", "[input]\nranges=-1,1\n", |c, value| {
            // ImageNet's mean and deviation, which that network takes back.
            [0.485, 0.456, 0.406][c] + [0.229, 0.224, 0.225][c] * (2.0 * value - 1.0)
        }),
        ("parsing-parsenet", "[input]\nranges=-1,0\n", |_, value| 0.5 * value),
    ];
    for (name, sidecar, taken_for) in all {
        let file = folder.path().join(format!("{name}.onnx"));
        std::fs::copy(tiny(name), &file).unwrap();
        std::fs::write(
            folder.path().join(format!("{name}.onnx.modelinfo")),
            format!("[modelinfo]\n{sidecar}"),
        )
        .unwrap();
        let mut parser = Parser::load(ort(), &file, &Options::default()).unwrap();
        let colour = |c: usize, y: usize, x: usize| {
            let (down, right) = (y as f32 / parse::SIDE as f32, x as f32 / parse::SIDE as f32);
            [right, down, 0.5 * (1.0 - right) + 0.5 * down][c]
        };
        let crop = Crop::from_shape_fn((3, parse::SIDE, parse::SIDE), |(c, y, x)| colour(c, y, x));
        let seen = parser.parse(&crop).unwrap();
        let wrong = seen
            .indexed_iter()
            .filter(|((y, x), seen)| **seen != is_face([0, 1, 2].map(|c| taken_for(c, colour(c, *y, *x)))));
        // On the very edge between two colours, rounding decides.
        let wrong = wrong.count();
        assert!(wrong < 20, "{name} {sidecar}: {wrong} pixels");
        assert!(seen.iter().any(|&seen| seen) && seen.iter().any(|&seen| !seen), "{name} {sidecar}");
    }
}

#[test]
fn what_parses_no_faces_is_refused_at_the_start_with_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd.onnx");
    std::fs::copy(tiny("parsing"), &odd).unwrap();
    std::fs::write(folder.path().join("odd.onnx.modelinfo"), "[modelinfo]\nclasses=segformer\n").unwrap();
    for (file, expected) in [
        (tiny("two-inputs"), "it has 2 inputs"),
        (tiny("embedding"), "is not [1, 3, 512, 512]"),
        (tiny("u8-input"), "of float32"),
        (tiny("nearest-x2"), "no output is [1, 19, 512, 512]"),
        (tiny("no-such"), "does not exist"),
        (odd, "classes=segformer, known are parsenet, bisenet"),
    ] {
        let settings = Settings {
            source: Source::Meta,
            parsing: Some(file),
            model: tiny("face").to_string_lossy().into(),
            ..Settings::default()
        };
        let plan = settings.plan().unwrap();
        let error = Faces::open(&settings, &plan, ort()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
