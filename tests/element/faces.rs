//! Faces through the element: found, given, restored, counted and attached.

use crate::common::{Bench, frame, info, tiny};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoRegionOfInterestMeta};
use gstreamer as gst;
use gstreamer_video as gst_video;

fn faces(bench: &Bench) -> gst::Structure {
    bench.stats().get::<gst::Structure>("faces").unwrap()
}

fn count(bench: &Bench, name: &str) -> u64 {
    faces(bench).get::<u64>(name).unwrap()
}

/// Rows of this width have no padding.
fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// A grey picture of soft waves with a face given in its middle.
fn given(width: usize, height: usize, level: f32) -> (gst_video::VideoInfo, gst::Buffer) {
    crate::common::init();
    let input = info(VideoFormat::Rgb, width, height);
    let mut buffer = frame(&input, |_, x, y| {
        (level + 20.0 * (x as f32 * 0.2).sin() + 20.0 * (y as f32 * 0.15).cos()) as u32
    });
    let place = (width as u32 / 2 - 20, height as u32 / 2 - 25, 40, 50);
    VideoRegionOfInterestMeta::add(buffer.get_mut().unwrap(), "face", place);
    VideoRegionOfInterestMeta::add(buffer.get_mut().unwrap(), "hand", (0, 0, 30, 30));
    (input, buffer)
}

#[test]
fn by_default_faces_are_restored_by_the_projects_own_network() {
    let mut bench = Bench::new("nearest-x2", &[("face-source", "meta")]);
    let (input, buffer) = given(120, 100, 120.0);
    bench.info(&input);
    let made = bench.frame(buffer);
    let faces = faces(&bench);
    assert_eq!(faces.get::<String>("restorer").unwrap(), "facesr-face-256", "`make models` installs it");
    assert_eq!(faces.get::<String>("note").unwrap(), "");
    assert_eq!(faces.get::<u64>("restored").unwrap(), 1);
    assert_eq!(made.iter_meta::<VideoRegionOfInterestMeta>().count(), 2, "what was attached stays");
}

#[test]
fn faces_that_were_given_are_restored_and_counted() {
    let (input, buffer) = given(120, 100, 120.0);
    let mut plain = Bench::new("nearest-x2", &[("temporal-mode", "off"), ("face-mode", "off")]);
    plain.info(&input);
    let before = plain.frame(buffer.copy());
    for (model, strength, changes) in
        [("bilinear-x2", "1", true), ("bilinear-x2", "0", false), ("face", "1", true), ("face", "0", false)]
    {
        let model_path = tiny(model);
        let mut bench = Bench::new(
            "nearest-x2",
            &[
                ("temporal-mode", "off"),
                ("face-source", "meta"),
                ("face-model", &model_path),
                ("face-strength", strength),
            ],
        );
        bench.info(&input);
        let after = bench.frame(buffer.copy());
        assert_eq!(bytes(&before) != bytes(&after), changes, "{model}, {strength}");
        assert_eq!((count(&bench, "max"), count(&bench, "tracks")), (1, 1), "{model}");
        assert_eq!(count(&bench, "restored"), u64::from(changes), "{model}");
        assert_eq!(faces(&bench).get::<String>("restorer").unwrap(), model);
    }
}

#[test]
fn a_cut_ends_every_face_whether_frames_are_steadied_or_not() {
    for mode in ["off", "balanced"] {
        let settings = [("temporal-mode", mode), ("face-source", "meta"), ("face-mode", "detect")];
        let mut bench = Bench::new("nearest-x2", &settings);
        let (input, _) = given(120, 100, 120.0);
        bench.info(&input);
        for number in 0..8 {
            let (_, mut buffer) = given(120, 100, 120.0 + (number % 2) as f32);
            if number >= 4 {
                // Another scene, with a face in the same place.
                let stripes =
                    frame(
                        &input,
                        |_, x, y| if (x / 9 + y / 5).is_multiple_of(2) { 20 } else { 200 + number },
                    );
                let picture = stripes.map_readable().unwrap();
                buffer.get_mut().unwrap().copy_from_slice(0, &picture).unwrap();
            }
            bench.frame(buffer);
            let expected = if number < 4 { 1 } else { 2 };
            assert_eq!(count(&bench, "tracks"), expected, "{mode}, frame {number}");
        }
    }
}

/// Frame `number` of a scene that stands still under noise, with a face given in its middle.
fn noisy(number: u32) -> gst::Buffer {
    let (input, mut buffer) = given(120, 100, 120.0);
    let noise = |x, y| (crate::common::noise(number as usize + 1, x, y) % 17) as f32 - 8.0;
    let picture = frame(&input, |_, x, y| {
        (120.0 + 20.0 * (x as f32 * 0.2).sin() + 20.0 * (y as f32 * 0.15).cos() + noise(x, y)) as u32
    });
    buffer.get_mut().unwrap().copy_from_slice(0, &picture.map_readable().unwrap()).unwrap();
    buffer
}

#[test]
fn what_is_restored_is_what_was_steadied() {
    // It gives back what it is given.
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("same.onnx");
    std::fs::copy(tiny("face-fidelity"), &network).unwrap();
    let text = "[modelinfo]\nversion=1.0\nrole=face-restorer\ninvents=no\nface-heights=10,20\n";
    std::fs::write(folder.path().join("same.onnx.modelinfo"), text).unwrap();
    let network = network.to_string_lossy().into_owned();
    let last = |settings: &[(&str, &str)]| {
        let mut bench = Bench::new("", &[&[("scale", "1"), ("face-source", "meta")], settings].concat());
        bench.info(&given(120, 100, 120.0).0);
        let made = (0..12).map(|number| bytes(&bench.frame(noisy(number)))).last().unwrap();
        (made, count(&bench, "restored"))
    };
    let (steadied, none) = last(&[("face-mode", "off")]);
    let (restored, all) = last(&[("face-model", &network), ("face-fidelity", "0")]);
    assert_eq!((none, all), (0, 12));
    let apart = |one: &[u8], other: &[u8]| {
        let rows = (40..60).flat_map(|y| (3 * (120 * y + 50)..3 * (120 * y + 70)).collect::<Vec<_>>());
        rows.map(|at| f64::from(one[at].abs_diff(other[at]))).sum::<f64>() / 1200.0
    };
    let (by_face, by_noise) = (apart(&restored, &steadied), apart(&bytes(&noisy(11)), &steadied));
    assert!(by_face < 0.5 * by_noise && by_noise > 1.0, "{by_face} {by_noise}");
}

#[test]
fn a_frame_that_comes_again_has_the_same_faces_laid_over_it() {
    let network = tiny("bilinear-x2");
    let mut bench = Bench::new("nearest-x2", &[("face-source", "meta"), ("face-model", &network)]);
    bench.info(&given(120, 100, 120.0).0);
    let made: Vec<_> = [0, 1, 1, 1].map(|number| bytes(&bench.frame(noisy(number)))).into();
    assert_eq!((bench.count("repeated"), count(&bench, "restored")), (2, 2));
    assert!(made[0] != made[1] && made[1] == made[2] && made[1] == made[3]);
}

#[test]
fn a_restorer_that_fails_leaves_the_picture_and_is_counted() {
    // Too bright for that network.
    let (input, buffer) = given(120, 100, 210.0);
    let network = tiny("face-nan");
    let mut made = Vec::new();
    for faces in [("face-mode", "off"), ("face-model", network.as_str())] {
        let settings = [("temporal-mode", "off"), ("face-source", "meta"), faces];
        let mut bench = Bench::new("nearest-x2", &settings);
        bench.info(&input);
        made.push(bytes(&bench.frame(buffer.copy())));
        if faces.0 == "face-model" {
            assert_eq!((count(&bench, "restored"), count(&bench, "failed")), (0, 1));
            let note = self::faces(&bench).get::<String>("note").unwrap();
            assert!(note.contains("face-nan") && note.contains("no numbers"), "{note}");
        }
    }
    assert!(made[0] == made[1]);
}

/// A picture as of [`given`], with colours and fine texture; a little brighter with each number.
fn textured(colour: [f32; 3], number: u32) -> gst::Buffer {
    let (input, mut buffer) = given(120, 100, 120.0);
    let picture = frame(&input, |c, x, y| {
        let texture = crate::common::noise(0, x, y) % 40 + number % 2;
        (255.0 * colour[c]) as u32 - 20 + texture
    });
    buffer.get_mut().unwrap().copy_from_slice(0, &picture.map_readable().unwrap()).unwrap();
    buffer
}

const SKIN: [f32; 3] = [0.8, 0.6, 0.5];

#[test]
fn who_somebody_is_is_guarded_by_the_embedding_where_there_is_one() {
    // The negative agrees with nothing, but with full fidelity nothing of it is left.
    for (embedding, guarded_by, expected) in [
        ("", "agreement", [true, true, true]),
        ("embedding-fine", "embedding embedding-fine", [false, true, false]),
    ] {
        let (restorer, network) = (tiny("face"), tiny(embedding));
        let network = if embedding.is_empty() { "" } else { &network };
        let mut bench = Bench::new(
            "nearest-x2",
            &[
                ("temporal-mode", "off"),
                ("face-source", "meta"),
                ("face-model", &restorer),
                ("face-embedding", network),
            ],
        );
        bench.info(&given(120, 100, 120.0).0);
        let mut before = 0;
        for (fidelity, expected) in ["1", "0", "1"].into_iter().zip(expected) {
            bench.element.set_property_from_str("face-fidelity", fidelity);
            for number in 0..40 {
                // Settled before it is looked at.
                if number == 30 {
                    before = count(&bench, "guarded");
                }
                bench.frame(textured(SKIN, number));
            }
            let held = count(&bench, "guarded") - before;
            assert_eq!(held, if expected { 10 } else { 0 }, "{embedding}, fidelity {fidelity}");
        }
        assert_eq!(faces(&bench).get::<String>("guard").unwrap(), guarded_by);
        assert_eq!(count(&bench, "not-embedded"), 0);
        assert_eq!(bench.complaints(), [""; 0]);
    }
}

#[test]
fn where_no_face_is_seen_by_the_parser_it_is_restored_in_the_ellipse_and_said_once() {
    let (restorer, parser) = (tiny("bilinear-x2"), tiny("parsing"));
    let settings = [("temporal-mode", "off"), ("face-source", "meta"), ("face-model", restorer.as_str())];
    let with = [settings.as_slice(), &[("face-parsing", parser.as_str())]].concat();
    let (mut with, mut without) = (Bench::new("nearest-x2", &with), Bench::new("nearest-x2", &settings));
    for bench in [&mut with, &mut without] {
        bench.info(&given(120, 100, 120.0).0);
    }
    // Grass, as far as that network knows.
    for number in 0..4 {
        let made =
            [&mut with, &mut without].map(|bench| bytes(&bench.frame(textured([0.2, 0.7, 0.2], number))));
        assert!(made[0] == made[1], "frame {number}");
    }
    assert_eq!((count(&with, "restored"), count(&with, "not-parsed")), (4, 4));
    assert_eq!(faces(&with).get::<String>("parser").unwrap(), "parsing (bisenet)");
    assert_eq!(faces(&without).get::<String>("parser").unwrap(), "");
    let complaints = with.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(
        complaints[0].contains("face parser parsing (bisenet) failed") && complaints[0].contains("no face")
    );
    let fallbacks = with.stats().get::<gst::Array>("fallbacks").unwrap();
    assert!(fallbacks.iter().any(|line| line.get::<String>().unwrap().contains("no face")));
}

#[test]
fn networks_that_cannot_help_are_refused_at_the_start_in_one_line() {
    let restorer = tiny("face");
    for (property, network, expected) in [
        ("face-embedding", "fixed-x2", "no face embedding network: `input`"),
        ("face-parsing", "face", "no face parsing network: `input`"),
        ("face-parsing", "no-such", "does not exist"),
    ] {
        let network = tiny(network);
        let bench = crate::common::element(
            "nearest-x2",
            &[("face-source", "meta"), ("face-model", &restorer), (property, &network)],
        );
        let bus = gst::Bus::new();
        bench.set_bus(Some(&bus));
        assert!(bench.set_state(gst::State::Paused).is_err(), "{property}");
        let complaints = crate::common::messages(&bus);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains(expected) && complaints[0].lines().count() == 1, "{complaints:?}");
        bench.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn faces_that_were_found_leave_as_regions_that_move_with_the_size() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media/faces/skimage/astronaut.png");
    let Ok(file) = std::fs::File::open(&path) else {
        return println!("{} is not there and was not looked at", path.display());
    };
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut samples).unwrap();
    crate::common::init();
    let input = info(VideoFormat::Rgb, 512, 512);
    for (downstream, across, down) in
        [("video/x-raw,width=512,height=512", 1.0, 1.0), ("video/x-raw,width=1024,height=768", 2.0, 1.5)]
    {
        let settings = [("temporal-mode", "off"), ("face-mode", "detect")];
        let mut bench = Bench::new("nearest-x2", &settings).downstream(downstream);
        bench.info(&input);
        let made = bench.frame(gst::Buffer::from_slice(samples.clone()));
        let regions: Vec<_> = made.iter_meta::<VideoRegionOfInterestMeta>().collect();
        assert_eq!(regions.len(), 1, "{downstream}");
        assert_eq!(regions[0].roi_type(), "face");
        let (x, y, width, height) = regions[0].rect();
        // Where OpenCV's FaceDetectorYN finds it, within a tenth of its size.
        for (is, expected, scale) in
            [(x, 178.2, across), (y, 62.9, down), (width, 89.9, across), (height, 113.3, down)]
        {
            assert!((f64::from(is) - expected * scale).abs() < 11.0 * scale, "{downstream}: {is}");
        }
        let about = regions[0].params().next().unwrap();
        assert_eq!(about.get::<u64>("track").unwrap(), 1);
        assert!(about.get::<f64>("score").unwrap() > 0.9);
        assert_eq!(about.get::<gst::Array>("landmarks").unwrap().len(), 10);
        assert_eq!((count(&bench, "max"), count(&bench, "restored")), (1, 0));
    }
}

/// What GStreamer 1.24 and later have for detections.
#[cfg(feature = "v1_24")]
mod analytics {
    use gst_analytics::prelude::*;
    use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta, AnalyticsTrackingMtd, RelTypes};
    use gstreamer_analytics as gst_analytics;

    use super::*;

    /// The detections on a buffer, as type and place.
    fn detections(buffer: &gst::Buffer) -> Vec<(String, [i32; 4])> {
        let Some(meta) = buffer.meta::<AnalyticsRelationMeta>() else { return Vec::new() };
        meta.iter::<AnalyticsODMtd>()
            .map(|found| {
                let place = found.location().unwrap();
                let kind = found.obj_type().unwrap();
                (kind.as_str().to_string(), [place.x, place.y, place.w, place.h])
            })
            .collect()
    }

    #[test]
    fn detections_of_others_move_with_the_size_and_faces_among_them_are_taken() {
        for (downstream, across, down) in [("video/x-raw", 2, 2), ("video/x-raw,width=360,height=100", 3, 1)]
        {
            let settings = [("face-source", "meta"), ("face-mode", "detect")];
            let mut bench = Bench::new("nearest-x2", &settings).downstream(downstream);
            let input = info(VideoFormat::Rgb, 120, 100);
            bench.info(&input);
            let mut buffer = frame(&input, |_, x, y| (100 + x / 2 + y / 3) as u32);
            let mut meta = AnalyticsRelationMeta::add(buffer.get_mut().unwrap());
            let kind = |name| gst::glib::Quark::from_str(name);
            meta.add_od_mtd(kind("face"), 40, 25, 40, 50, 0.9).unwrap();
            meta.add_od_mtd(kind("car"), 0, 10, 30, 20, 0.5).unwrap();
            let made = bench.frame(buffer);
            let expected = [("face", [40, 25, 40, 50]), ("car", [0, 10, 30, 20])]
                .map(|(kind, [x, y, w, h])| (kind.to_string(), [x * across, y * down, w * across, h * down]));
            assert_eq!(detections(&made), expected, "{downstream}");
            assert_eq!(count(&bench, "max"), 1, "{downstream}");
        }
    }

    #[test]
    fn faces_that_were_found_leave_as_detections_with_their_number() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared/media/faces/skimage/astronaut.png");
        let Ok(file) = std::fs::File::open(&path) else {
            return println!("{} is not there and was not looked at", path.display());
        };
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        let mut samples = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut samples).unwrap();
        let mut bench = Bench::new("nearest-x2", &[("face-mode", "detect")]);
        bench.info(&info(VideoFormat::Rgb, 512, 512));
        for number in 0..3 {
            let mut buffer = gst::Buffer::from_slice(samples.clone());
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(1000 + 40 * number));
            let made = bench.frame(buffer);
            let region = made.meta::<VideoRegionOfInterestMeta>().unwrap().rect();
            let place = [region.0, region.1, region.2, region.3].map(|side| side as i32);
            assert_eq!(detections(&made), [("face".to_string(), place)]);
            let meta = made.meta::<AnalyticsRelationMeta>().unwrap();
            let related: Vec<_> = meta
                .iter_direct_related::<AnalyticsTrackingMtd>(0, RelTypes::RELATE_TO)
                .map(|tracking| tracking.info())
                .collect();
            assert_eq!(related.len(), 1);
            assert_eq!((related[0].0, related[0].1), (1, gst::ClockTime::SECOND), "frame {number}");
        }
    }
}
