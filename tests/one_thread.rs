//! `threads=1` means it: nothing runs on the threads that the process shares. A program of its own, for who starts those
//! threads once cannot be told apart from who uses them. Needs ONNX Runtime, which `make setup` leaves in the cache.

use gstfacesr::enhance::{Controls, Enhancer, Residency, Settings};
use gstfacesr::face;
use gstfacesr::face::detect::Detection;
use gstfacesr::face::geometry::{Point, Rect};
use gstfacesr::frame::{Conversion, Direction};
use gstfacesr::image::{Picture, Size};
use gstfacesr::infer::onnx::{Options, TensorSample};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::temporal::Mode;
use gstreamer as gst;
use gstreamer_video::{VideoFormat, VideoFrame, VideoInfo};

const SMALL: Size = Size { width: 322, height: 242 };

fn settings(temporal: Mode, residency: Residency) -> Settings {
    Settings {
        model: Some("models/tiny/nearest-x2.onnx".into()),
        options: Options { choice: Choice::Only(Provider::Cpu), threads: 1, ..Options::default() },
        temporal,
        residency,
        faces: face::Settings {
            mode: face::Mode::Detect,
            source: face::Source::Meta,
            ..face::Settings::default()
        },
        ..Settings::default()
    }
}

fn frame(at: usize) -> Picture<u8> {
    Picture::from_shape_fn((SMALL.height, SMALL.width, 3), |(y, x, c)| {
        let (x, y) = ((x + at) as f32, y as f32);
        (120.0 + 60.0 * (0.11 * x + c as f32).sin() + 40.0 * (0.17 * y).cos()) as u8
    })
}

/// A face where the picture is, so that its motion is wanted.
fn face() -> Detection {
    let point = |(x, y)| Point::new(x, y);
    let landmarks =
        [(130.0, 100.0), (170.0, 100.0), (150.0, 125.0), (135.0, 145.0), (165.0, 145.0)].map(point);
    Detection { score: 0.95, area: Rect { x: 110.0, y: 70.0, width: 80.0, height: 100.0 }, landmarks }
}

/// A frame of a format to a picture, and the picture to a frame.
fn convert<S: TensorSample>(format: VideoFormat, enhancer: &Enhancer<S>) {
    let info = VideoInfo::builder(format, SMALL.width as u32, SMALL.height as u32).build().unwrap();
    let frame = || {
        let buffer = gst::Buffer::with_size(info.size()).unwrap();
        VideoFrame::from_buffer_writable(buffer, &info).unwrap()
    };
    let mut there = Conversion::<S>::new(&info, Direction::In, enhancer.threads()).unwrap();
    let mut back = Conversion::<S>::new(&info, Direction::Out, enhancer.threads()).unwrap();
    let input = frame().into_buffer();
    let input = VideoFrame::from_buffer_readable(input, &info).unwrap();
    let picture = there.read(&input.as_video_frame_ref()).unwrap().to_owned();
    let mut output = frame();
    back.write(&mut output.as_mut_video_frame_ref(), |mut out| out.assign(&picture)).unwrap();
}

#[test]
fn with_one_thread_nothing_runs_on_those_of_the_process() {
    let large = SMALL.times(2);
    for (mode, residency) in [
        (Mode::Off, Residency::Never),
        (Mode::Balanced, Residency::Never),
        (Mode::Quality, Residency::Never),
        (Mode::Balanced, Residency::Always),
    ] {
        for (input_denoise, reuse) in [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)] {
            let mut enhancer = Enhancer::<u8>::open(&settings(mode, residency)).unwrap();
            let mut controls = Controls { input_denoise, ..Controls::default() };
            controls.temporal.reuse.amount = reuse;
            for at in 0..4 {
                let mut output = Picture::zeros((large.height, large.width, 3));
                enhancer.give_faces(vec![face()]);
                let report = enhancer.process(frame(at).view(), output.view_mut(), &controls).unwrap();
                assert_eq!(report.faces.tracks, 1, "the face is followed");
            }
        }
    }
    gst::init().unwrap();
    let settings = settings(Mode::Off, Residency::Never);
    let (eight, sixteen) = (Enhancer::open(&settings).unwrap(), Enhancer::open(&settings).unwrap());
    convert::<u8>(VideoFormat::I420, &eight);
    for format in [VideoFormat::I42010le, VideoFormat::Gbr10le] {
        convert::<u16>(format, &sixteen);
    }
    let started = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
    assert!(started.is_ok(), "the threads of the process were there already, so somebody used them");
}
