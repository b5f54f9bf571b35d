//! The guard of a person by an embedding network, through the stage.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstfacesr::face::align::{Window, aligned};
use gstfacesr::face::crop::{Crop, Frame, resized, side};
use gstfacesr::face::detect::{Detection, Landmarks};
use gstfacesr::face::geometry::{Point, Rect};
use gstfacesr::face::helpers::Helpers;
use gstfacesr::face::identity::Identity;
use gstfacesr::face::restore::Restorer;
use gstfacesr::face::{Controls, FaceReport, Faces, Plan, Settings, Source};
use gstfacesr::image::{Picture, Size};
use gstfacesr::infer::embedding::{Embedding, SIDE, cosine};
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::runtime::{self, Runtime};
use gstfacesr::infer::{Cancel, InferError};

fn ort() -> &'static Runtime {
    runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache")
}

fn tiny(name: &str) -> PathBuf {
    Path::new("models/tiny").join(name).with_extension("onnx")
}

/// Makes crops larger, and while it is told to, another's: with stripes that are finer than what agreement looks at.
struct Stand {
    another: Arc<AtomicBool>,
}

struct Never;

impl Cancel for Never {
    fn cancel(&self) {}
    fn resume(&self) {}
}

impl Restorer for Stand {
    fn name(&self) -> &str {
        "stand"
    }
    fn window(&self, landmarks: &Landmarks) -> Option<Window> {
        aligned(landmarks, 128)
    }
    fn trust(&self, _height: f32) -> f32 {
        1.0
    }
    fn light(&self) -> f32 {
        1.0 / 16.0
    }
    fn restore(&mut self, crops: &[Crop], _fidelity: f32) -> Result<Vec<Crop>, InferError> {
        let depth = if self.another.load(Ordering::SeqCst) { 0.25 } else { 0.0 };
        let restore = |crop: &Crop| {
            let mut made = resized(crop, 2 * side(crop));
            made.indexed_iter_mut()
                .for_each(|((_, _, x), value)| *value += if x / 4 % 2 == 0 { depth } else { -depth });
            made
        };
        Ok(crops.iter().map(restore).collect())
    }
    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::new(Never)
    }
}

/// A stage with this embedding network, or none, and what makes its faces another's.
fn stage(network: Option<&str>) -> (Faces, Arc<AtomicBool>) {
    let another = Arc::new(AtomicBool::new(false));
    let identity = network.map(|name| Identity::load(ort(), &tiny(name), &Options::default()).unwrap());
    let restorer = Stand { another: another.clone() };
    let faces = Faces::new(&Settings::default(), None, Some(Box::new(restorer)));
    (faces.with_helpers(Helpers { identity, parser: None }), another)
}

fn face(x: f32, y: f32, height: f32) -> Detection {
    let at = |dx: f32, dy: f32| Point::new(x + dx * height, y + dy * height);
    let landmarks = [at(-0.2, -0.15), at(0.2, -0.15), at(0.0, 0.09), at(-0.18, 0.27), at(0.18, 0.27)];
    let width = 0.8 * height;
    Detection { score: 0.95, area: Rect::new(x - width / 2.0, y - height / 2.0, width, height), landmarks }
}

const SMALL: Size = Size::new(201, 121);

/// Soft waves under fine texture, brighter on the right by `bright`.
fn scene(times: usize, bright: f32) -> Picture<u8> {
    let size = SMALL.times(times);
    Picture::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
        let (column, row) = (x / times, y / times);
        let wave = 0.2 * (column as f32 * 0.11 + c as f32).sin() + 0.15 * (row as f32 * 0.09).cos();
        let mut bits = (column * 37 + row * 101) as u32;
        for _ in 0..3 {
            bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D).wrapping_add(0x9E37_79B9);
        }
        let texture = 0.2 * ((bits >> 8) as f32 / (1 << 24) as f32 - 0.5);
        let side = if column > SMALL.width / 2 { bright } else { 0.0 };
        (255.0 * (0.4 + wave + texture + side).clamp(0.0, 1.0)) as u8
    })
}

/// Runs a frame of these faces.
fn frame(faces: &mut Faces, found: &[Detection], bright: f32) -> FaceReport {
    let small = scene(1, bright);
    let mut large = scene(2, bright);
    faces.follow(small.view(), None, false, Some(found)).unwrap();
    let controls = Controls { fidelity: 0.0, ..Controls::default() };
    faces.restore(&Frame(small.view()), &mut large.view_mut(), &controls).unwrap()
}

#[test]
fn a_face_that_becomes_anothers_is_held_back_and_let_go_by_an_eighth_a_frame() {
    // Agreement sees nothing of it.
    for (network, held) in [(Some("embedding-fine"), 0.25), (None, 1.0)] {
        let (mut faces, another) = stage(network);
        let mut before: Option<f32> = None;
        for (is_another, frames, expected) in [(false, 20, 1.0), (true, 40, held), (false, 60, 1.0)] {
            another.store(is_another, Ordering::SeqCst);
            let mut report = FaceReport::default();
            for number in 0..frames {
                report = frame(&mut faces, &[face(60.0, 60.0, 60.0)], 0.0);
                let share = report.shares[0].1;
                let step = before.map_or(0.0, |before| (share - before).abs());
                assert!(
                    step <= 0.125 + 1e-6,
                    "{network:?}, {is_another}, frame {number}: {before:?} {share}"
                );
                assert_eq!(report.embedding.faces, 0);
                before = Some(share);
            }
            assert_eq!(before, Some(expected), "{network:?}, {is_another}");
            assert_eq!(report.guarded, usize::from(expected < 1.0), "{network:?}, {is_another}");
        }
    }
}

#[test]
fn one_that_is_anothers_from_the_start_is_never_shown_whole() {
    let (mut faces, another) = stage(Some("embedding-fine"));
    another.store(true, Ordering::SeqCst);
    for number in 0..30 {
        let report = frame(&mut faces, &[face(60.0, 60.0, 60.0)], 0.0);
        assert_eq!((report.shares[0].1, report.guarded), (0.25, 1), "frame {number}");
    }
}

#[test]
fn where_the_network_fails_agreement_decides_and_the_face_is_counted_with_the_reason() {
    let (mut faces, _) = stage(Some("embedding-nan"));
    let two = [face(50.0, 60.0, 60.0), face(150.0, 60.0, 60.0)];
    for number in 0..20 {
        // Too bright on the right for that network.
        let report = frame(&mut faces, &two, 0.6);
        assert_eq!((report.embedding.faces, report.failed, report.restored), (1, 0, 2), "frame {number}");
        assert!(report.embedding.reason.unwrap().contains("no numbers"));
        assert!(report.shares.iter().all(|share| share.1 == 1.0), "{:?}", report.shares);
    }
}

#[test]
fn faces_too_small_to_tell_who_they_are_are_left_to_agreement() {
    for (height, is_embedded) in [(31.0, false), (33.0, true)] {
        let (mut faces, _) = stage(Some("embedding-nan"));
        // The network would fail on it.
        let report = frame(&mut faces, &[face(150.0, 60.0, height)], 0.6);
        assert_eq!(report.embedding.faces, usize::from(is_embedded), "{height}");
        assert_eq!(report.restored, 1);
    }
}

#[test]
fn several_faces_at_once_have_the_embeddings_that_each_has_alone() {
    let crops: Vec<Crop> = (1..6)
        .map(|seed| {
            Crop::from_shape_fn((3, SIDE, SIDE), |(c, y, x)| {
                ((x * seed + y * 7 * seed + c * 5) % 97) as f32 / 97.0
            })
        })
        .collect();
    let views: Vec<_> = crops.iter().map(|crop| crop.view()).collect();
    for name in ["embedding", "embedding-fine"] {
        let mut network = Embedding::load(ort(), &tiny(name), &Options::default()).unwrap();
        let together = network.embed(&views).unwrap();
        assert_eq!(together.len(), crops.len());
        for (view, together) in views.iter().zip(&together) {
            let alone = network.embed(&[*view]).unwrap();
            assert!(cosine(&alone[0], together) > 0.999_999, "{name}");
        }
        assert!(cosine(&together[0], &together[1]) < 0.999, "{name}");
        assert!(network.embed(&[]).unwrap().is_empty());
    }
}

#[test]
fn a_network_that_tells_nobody_apart_is_refused_at_the_start_with_what_does_not_fit() {
    for (name, expected) in [
        ("two-inputs", "several inputs"),
        ("fixed-x2", "is not [1, 3, 112, 112]"),
        ("parsing", "several inputs or outputs"),
        ("parsing-nan", "is not [1, 3, 112, 112]"),
        ("nearest-x2", "150528 numbers"),
        ("no-such", "does not exist"),
    ] {
        let settings = Settings {
            source: Source::Meta,
            embedding: Some(tiny(name)),
            model: tiny("face").to_string_lossy().into(),
            ..Settings::default()
        };
        let plan = settings.plan().unwrap();
        assert!(matches!(plan, Plan::Restore(_)));
        let error = Faces::open(&settings, &plan, ort()).err().unwrap().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
