//! Faces found in real pictures. Needs the networks that `make setup` leaves in the cache; the
//! pictures lie beside the repository and are passed over, with a word, where they do not.

use std::path::{Path, PathBuf};

use gstfacesr::face::FaceError;
use gstfacesr::face::crop::Crop;
use gstfacesr::face::detect::{Detection, Detector, HEADS};
use gstfacesr::face::geometry::{Point, Rect};
use gstfacesr::face::restore::{Restorer, open};
use gstfacesr::image::{Picture, Sample};
use gstfacesr::infer::InferError;
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::runtime;
use gstfacesr::model::onnx_file::OnnxFile;
use gstfacesr::model::registry;

fn picture(name: &str) -> Option<Picture<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media/faces").join(name);
    if !path.is_file() {
        println!("{} is not there and was not looked at", path.display());
        return None;
    }
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    let channels = info.color_type.samples();
    samples.truncate(info.buffer_size());
    Some(Picture::from_shape_vec((info.height as usize, info.width as usize, channels), samples).unwrap())
}

fn load(path: &Path, smallest: f32) -> Detector {
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    Detector::load(runtime, path, &Options::default(), smallest).unwrap()
}

fn find<S: Sample>(name: &str, picture: &Picture<S>) -> Vec<Detection> {
    let path = registry::resolve_detector(name, None).expect("`make models` puts it into the cache");
    load(&path, 24.0).detect(picture.view(), 0.7).unwrap()
}

/// The detectors that are on this machine: one of them at least.
fn installed() -> Vec<&'static str> {
    let there = |name: &&&str| registry::resolve_detector(name, None).is_ok();
    let installed: Vec<&str> = registry::DETECTORS.iter().filter(there).copied().collect();
    assert!(installed.contains(&"yunet"), "`make models` puts it into the cache");
    installed
}

/// What OpenCV 4.12's FaceDetectorYN finds in `skimage/astronaut.png` with the same network.
fn opencv() -> Detection {
    let points =
        [(200.116, 101.820), (247.134, 102.619), (220.367, 124.545), (198.613, 142.774), (239.668, 143.638)];
    Detection {
        score: 0.9323,
        area: Rect::new(178.167, 62.908, 89.900, 113.332),
        landmarks: points.map(|(x, y)| Point::new(x, y)),
    }
}

#[test]
fn a_face_is_found_where_opencv_finds_it_with_the_same_network() {
    let Some(picture) = picture("skimage/astronaut.png") else { return };
    let path = registry::resolve_detector("yunet", None).unwrap();
    // Of this height, the picture is looked at as it is.
    let mut detector = load(&path, HEADS[0].least_face);
    let found = detector.detect(picture.view(), 0.7).unwrap();
    assert_eq!(found.len(), 1);
    let (ours, theirs) = (&found[0], opencv());
    assert!((ours.score - theirs.score).abs() < 0.005, "{ours:?}");
    assert!(ours.area.overlap(&theirs.area) > 0.98, "{ours:?}");
    for (ours, theirs) in ours.landmarks.iter().zip(theirs.landmarks) {
        assert!(ours.distance(theirs) < 1.0, "{ours:?} {theirs:?}");
    }
}

#[test]
fn every_detector_finds_the_face_its_landmarks_and_nothing_else() {
    let Some(picture) = picture("skimage/astronaut.png") else { return };
    for name in installed() {
        let found = find(name, &picture);
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].area.overlap(&opencv().area) > 0.7, "{name}: {:?}", found[0]);
        for (ours, theirs) in found[0].landmarks.iter().zip(opencv().landmarks) {
            assert!(ours.distance(theirs) < 9.0, "{name}: {ours:?} {theirs:?}");
        }
    }
}

#[test]
fn the_same_face_is_found_in_16_bits_in_grey_and_beside_an_alpha() {
    let Some(picture) = picture("skimage/astronaut.png") else { return };
    let (height, width, _) = picture.dim();
    let expected = find("yunet", &picture)[0];
    let deep = picture.mapv(|sample| u16::from(sample) * 257);
    let clear =
        Picture::from_shape_fn((height, width, 4), |(y, x, c)| if c < 3 { picture[(y, x, c)] } else { 0 });
    let grey = Picture::from_shape_fn((height, width, 3), |(y, x, _)| picture[(y, x, 1)]);
    let of_grey = find("yunet", &grey)[0];
    for (what, found) in [("16 bits", find("yunet", &deep)[0]), ("alpha", find("yunet", &clear)[0])] {
        assert!(found.area.overlap(&expected.area) > 0.99, "{what}: {found:?}");
    }
    assert!(of_grey.area.overlap(&expected.area) > 0.8, "{of_grey:?}");
}

#[test]
fn of_twenty_nine_people_nearly_all_are_found_and_nobody_else() {
    let Some(picture) = picture("gpen_solvay/Solvay_conference_1927.png") else { return };
    for name in installed() {
        let found = find(name, &picture);
        assert!((27..=29).contains(&found.len()), "{name} finds {}", found.len());
        // They stand and sit in the upper half, and their heads are all about as large.
        for face in &found {
            let (centre, height) = (face.area.centre(), face.area.height);
            assert!(centre.y < 280.0 && (38.0..75.0).contains(&height), "{name}: {face:?}");
        }
        for (at, one) in found.iter().enumerate() {
            assert!(found[..at].iter().all(|other| other.area.overlap(&one.area) < 0.3), "{name}: {one:?}");
        }
    }
}

#[test]
fn pictures_without_faces_and_of_odd_sizes_have_none() {
    for (width, height) in [(1, 1), (7, 3), (33, 65), (321, 181), (1000, 40)] {
        let noise = Picture::<u8>::from_shape_fn((height, width, 3), |(y, x, c)| {
            ((x * 31 + y * 17 + c * 7) as u32).wrapping_mul(0x9E37_79B9).to_le_bytes()[3]
        });
        for name in installed() {
            assert!(find(name, &noise).is_empty(), "{name}, {width}x{height}");
        }
    }
}

#[test]
fn a_network_that_is_no_detector_is_refused_with_what_does_not_fit() {
    let runtime = runtime::load(None, None).unwrap();
    for (file, expected) in [
        ("identity-x1", "outputs are those of none of yunet, centerface"),
        ("luma-x2", "is not [1, 3, ?, ?]"),
        ("fixed-x2", "of any height and width"),
        ("two-inputs", "2 inputs"),
    ] {
        let path: PathBuf = ["models/tiny", &format!("{file}.onnx")].iter().collect();
        let error = Detector::load(runtime, &path, &Options::default(), 24.0).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("no face detector"), "{error}");
    }
}

fn restorer(name: &str) -> Result<Box<dyn Restorer>, FaceError> {
    let runtime = runtime::load(None, None).expect("`make runtime` puts ONNX Runtime into the cache");
    let path: PathBuf = ["models/tiny", &format!("{name}.onnx")].iter().collect();
    open(runtime, &path, &Options::default())
}

/// A network with a sidecar of this text behind its head.
fn described(name: &str, text: &str) -> Box<dyn Restorer> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("face.onnx");
    std::fs::copy(format!("models/tiny/{name}.onnx"), &path).unwrap();
    let text = format!("[modelinfo]\nversion=1.0\nrole=face-restorer\n{text}\n");
    std::fs::write(folder.path().join("face.onnx.modelinfo"), text).unwrap();
    open(runtime::load(None, None).unwrap(), &path, &Options::default()).unwrap()
}

fn crops(side: usize) -> Vec<Crop> {
    crowd(3, side)
}

fn crowd(count: usize, side: usize) -> Vec<Crop> {
    (0..count)
        .map(|at| {
            Crop::from_shape_fn((3, side, side), |(c, y, x)| {
                ((at + c * 3 + y * 5 + x * 7) % 80) as f32 / 100.0
            })
        })
        .collect()
}

#[test]
fn restorers_of_aligned_faces_get_their_range_their_fidelity_and_all_faces_at_once() {
    for fidelity in [0.0, 0.25, 1.0] {
        for (name, expected) in [
            ("face", (|value, _| 1.0 - value) as fn(f32, f32) -> f32),
            ("face-fidelity", |value, fidelity| value + fidelity * (1.0 - value)),
        ] {
            let mut restorer = restorer(name).unwrap();
            // More than are run together.
            let crops = crowd(35, 256);
            let made = restorer.restore(&crops, fidelity).unwrap();
            assert_eq!(made.len(), crops.len());
            for (made, crop) in made.iter().zip(&crops) {
                let off =
                    made.iter().zip(crop).map(|(made, &value)| (made - expected(value, fidelity)).abs());
                assert!(off.fold(0.0, f32::max) < 1e-5, "{name}, {fidelity}");
            }
        }
    }
}

#[test]
fn a_sidecar_says_from_which_height_on_a_restorer_is_trusted_and_whether_it_invents() {
    for (said, from, to, invents) in [
        ("", 20.0, 64.0, true),
        ("face-heights=10,20", 10.0, 20.0, true),
        ("face-heights=30,31\ninvents=no", 30.0, 31.0, false),
        ("invents=yes", 20.0, 64.0, true),
    ] {
        let restorer = described("face", said);
        assert_eq!((restorer.trust(from), restorer.trust(to)), (0.0, 1.0), "{said}");
        assert!((0.2..0.8).contains(&restorer.trust((from + to) / 2.0)), "{said}");
        assert_eq!(restorer.invents(), invents, "{said}");
    }
}

#[test]
fn a_face_that_is_shown_small_gets_more_detail_where_the_network_can_overdo_it() {
    let file = OnnxFile::read(Path::new("models/tiny/face-fidelity.onnx")).unwrap();
    let fidelity = &file.inputs[1].name;
    for (range, least) in
        [("", None), ("0.0,1.0", None), ("-0.75,1.0", Some(-0.75)), ("-2.0,1.0", Some(-2.0))]
    {
        let said = match range {
            "" => String::new(),
            range => format!("[{fidelity}]\ndir=input\nranges={range}"),
        };
        let restorer = described("face-fidelity", &said);
        for (place, enlarged) in [0.05, 0.1, 0.2, 0.24, 0.5, 1.0, 4.0]
            .into_iter()
            .flat_map(|place| [1.0, 1.5, 2.0, 4.0].map(|enlarged| (place, enlarged)))
        {
            let mut before = f32::NEG_INFINITY;
            for asked in (0..=20).map(|step| step as f32 / 20.0) {
                let given = restorer.fidelity(asked, place, enlarged);
                let about = format!("{range}: {asked} at {place}, enlarged {enlarged}, is {given}");
                let Some(least) = least else {
                    assert_eq!(given, asked, "{about}");
                    continue;
                };
                assert!(given >= before && given >= least && given <= 1.0, "{about}");
                let is_overdone = enlarged >= 2.0 && place * enlarged <= 0.35;
                let expected = match asked {
                    0.0 if is_overdone => Some(least),
                    0.0 if enlarged == 1.0 || place * enlarged >= 0.5 => Some(0.0),
                    0.5 => Some(0.0),
                    1.0 => Some(1.0),
                    _ => None,
                };
                assert!(expected.is_none_or(|expected| (given - expected).abs() < 1e-6), "{about}");
                before = given;
            }
        }
    }
}

#[test]
fn a_face_that_the_network_fails_on_is_an_error_for_its_batch() {
    let mut restorer = restorer("face-nan").unwrap();
    let mut crops = crops(256);
    assert_eq!(restorer.restore(&crops, 0.5).unwrap().len(), 3);
    crops[1].fill(1.0);
    assert!(matches!(restorer.restore(&crops, 0.5), Err(InferError::NotFinite)));
    assert!(matches!(restorer.restore(&crops[..1], 0.5), Ok(made) if made.len() == 1));
}

#[test]
fn an_upscaler_restores_crops_of_any_size_at_its_own_scale() {
    for (name, scale, sides) in [
        ("nearest-x2", 2, [16, 48, 112]),
        ("nearest-x3", 3, [16, 33, 112]),
        ("multiple4-x2", 2, [16, 48, 112]),
    ] {
        let mut restorer = restorer(name).unwrap();
        for side in sides {
            let crops = crops(side);
            let made = restorer.restore(&crops[..1], 0.5).unwrap();
            assert_eq!(made[0].dim(), (3, side * scale, side * scale), "{name}");
            let off = crops[0]
                .indexed_iter()
                .map(|((c, y, x), value)| (made[0][(c, y * scale, x * scale)] - value).abs());
            assert!(off.fold(0.0, f32::max) < 1e-5, "{name}, {side}");
        }
    }
}

#[test]
fn what_is_no_restorer_is_refused_with_what_does_not_fit() {
    for (name, expected) in [
        ("fixed-x2", "of any size"),
        ("embedding", "is not [1, 3, S, S]"),
        ("two-inputs", "is not [1, 3, S, S]"),
        ("luma-x2", "RGB"),
    ] {
        let error = restorer(name).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("no face restorer"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
