//! What restoring does to faces: nearness to the ground truth, steadiness, seams and steps.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gstfacesr::enhance::{self, Enhancer};
use gstfacesr::face::align::to_face;
use gstfacesr::face::geometry::{Point, Rect};
use gstfacesr::face::mask::mask;
use gstfacesr::face::track::Track;
use gstfacesr::face::{Controls, Mode, Settings};
use gstfacesr::image::resample::Resampler;
use gstfacesr::image::{Picture, Size, crop};
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::runtime;
use gstfacesr::metrics::Colours;
use gstfacesr::metrics::perceptual::Perceptual;
use gstfacesr::metrics::plane::{luma, planar};
use gstfacesr::metrics::psnr::psnr;
use gstfacesr::metrics::ssim::ssim;
use gstfacesr::model::registry;
use gstfacesr::temporal;
use gstreamer_app::gst;
use gstreamer_app::gst::prelude::*;

use crate::clip::{Clip, save};
use crate::found::name;

/// Side to which faces are brought before what they look like is compared, as in `make eval-models`: a face
/// of 60 pixels leaves the network of the measure 5 x 5 places, where dirt cannot be told from detail.
const COMPARED: usize = 256;

/// Where the mask has nearly gone: the boundary of the paste.
const BOUNDARY: std::ops::Range<f32> = 0.005..0.15;

/// The path of a frame, and where its faces are.
pub struct Stage {
    enhancer: Enhancer<u8>,
    scale: usize,
    controls: Controls,
}

/// Which stages run.
#[derive(Clone, Copy, PartialEq)]
pub enum Run {
    /// The upscaler alone.
    Plain,
    /// And the picture steadied.
    PlainSteadied,
    /// Faces restored, each frame for itself.
    Alone,
    /// Faces restored over time.
    Followed,
    /// And the picture steadied, too.
    Steadied,
}

const RUNS: [(&str, Run); 5] = [
    ("not restored", Run::Plain),
    ("not restored, steadied", Run::PlainSteadied),
    ("restored frame by frame", Run::Alone),
    ("restored, followed", Run::Followed),
    ("restored, steadied", Run::Steadied),
];

/// The run whose faces are looked at, and whose seams.
const FOLLOWED: usize = 3;

impl Stage {
    /// Opens SPAN for a factor of 2 or 4 and the face stage with a restorer by name.
    pub fn open(restorer: &str, run: Run, scale: usize, controls: Controls) -> Result<Self, Box<dyn Error>> {
        let restores = !matches!(run, Run::Plain | Run::PlainSteadied);
        let mode = if restores { Mode::Auto } else { Mode::Detect };
        let steadies = matches!(run, Run::Steadied | Run::PlainSteadied);
        let settings = enhance::Settings {
            model: Some(format!("span-x{scale}")),
            factor: Some(scale as f64),
            temporal: if steadies { temporal::Mode::Balanced } else { temporal::Mode::Off },
            faces: Settings { mode, model: restorer.into(), ..Settings::default() },
            ..enhance::Settings::default()
        };
        Ok(Self { enhancer: Enhancer::open(&settings)?, scale, controls })
    }

    /// The enlarged frame.
    pub fn run(&mut self, small: &Picture<u8>) -> Result<Picture<u8>, Box<dyn Error>> {
        let size = Size::of(&small.view()).times(self.scale);
        let mut large = Picture::zeros((size.height, size.width, 3));
        let controls = enhance::Controls { faces: self.controls, ..enhance::Controls::default() };
        let report = self.enhancer.process(small.view(), large.view_mut(), &controls)?;
        report.faces.failure.map_or(Ok(large), |failure| Err(failure.into()))
    }

    /// The largest face.
    pub fn main(&self) -> Option<&Track> {
        self.enhancer.faces().iter().max_by(|a, b| a.area.area().total_cmp(&b.area.area()))
    }
}

/// A clip at half its size, compressed hard: the file it was written to.
fn degraded(path: &Path, size: Size) -> Result<PathBuf, Box<dyn Error>> {
    let target = std::env::temp_dir().join(format!("faces-{}.mkv", name(path)));
    gst::init()?;
    let text = format!(
        "filesrc location={} ! decodebin ! videoconvert ! videoscale method=bilinear ! video/x-raw,format=I420,width={},height={},pixel-aspect-ratio=1/1 ! x264enc pass=quant quantizer=30 speed-preset=medium ! h264parse ! matroskamux ! filesink location={}",
        path.display(),
        size.width,
        size.height,
        target.display()
    );
    let pipeline = gst::parse::launch(&text)?;
    pipeline.set_state(gst::State::Playing)?;
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    let ended =
        bus.timed_pop_filtered(gst::ClockTime::NONE, &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null)?;
    match ended {
        Some(message) if message.type_() == gst::MessageType::Eos => Ok(target),
        _ => Err(format!("{} could not be degraded", path.display()).into()),
    }
}

/// Measures of the pictures of a run.
#[derive(Default)]
pub struct Sums {
    psnr: f64,
    ssim: f64,
    distance: f64,
    distance_enlarged: f64,
    difference: f64,
    frames: f64,
    before: Option<(Picture<f32>, Picture<f32>)>,
}

impl Sums {
    /// Adds what is in a place of a picture.
    pub fn add(
        &mut self,
        test: &Picture<u8>,
        truth: &Picture<u8>,
        place: Rect,
        network: &mut Perceptual,
    ) -> Result<(), Box<dyn Error>> {
        let size = Size::new(place.width as usize, place.height as usize);
        let part =
            |picture: &Picture<u8>| crop(picture.view(), place.x as usize, place.y as usize, size).to_owned();
        let (test, truth) = (part(test), part(truth));
        let colours = Colours { test: planar(test.view()), truth: planar(truth.view()) };
        self.distance += network.distance(&colours)?;
        let mut resampler = Resampler::default();
        let mut enlarged = |picture: &Picture<u8>| {
            planar(resampler.resize(picture.view(), Size::new(COMPARED, COMPARED)).view())
        };
        let colours = Colours { test: enlarged(&test), truth: enlarged(&truth) };
        self.distance_enlarged += network.distance(&colours)?;
        let (test, truth) = (luma(test.view()), luma(truth.view()));
        self.psnr += psnr(test.view(), truth.view());
        self.ssim += ssim(test.view(), truth.view()).unwrap_or(f64::NAN);
        self.frames += 1.0;
        if let Some((test_before, truth_before)) = self.before.replace((test.clone(), truth.clone())) {
            let off = (&(&test - &test_before) - &(&truth - &truth_before)).mapv(f32::abs);
            self.difference += f64::from(off.mean().unwrap_or(0.0));
        }
        Ok(())
    }

    /// The means, in words.
    pub fn describe(&self) -> String {
        let n = self.frames;
        format!(
            "PSNR {:6.3}  SSIM {:.4}  ST-LPIPS {:.4}, at {COMPARED} px {:.4}  TDE {:.3}",
            self.psnr / n,
            self.ssim / n,
            self.distance / n,
            self.distance_enlarged / n,
            self.difference / (n - 1.0)
        )
    }
}

/// The face and what is around it, in pixels of the picture that is so many times as large.
pub fn place(track: &Track, size: Size, scale: usize) -> Rect {
    let scale = scale as f32;
    let (centre, side) = (track.area.centre(), 0.75 * scale * track.area.height);
    let start = |centre: f32, length: usize| {
        (scale * centre - side).clamp(0.0, (length as f32 - 2.0 * side).max(0.0)).floor()
    };
    let long = |length: usize| (2.0 * side).min(length as f32).floor();
    Rect::new(start(centre.x, size.width), start(centre.y, size.height), long(size.width), long(size.height))
}

/// Prints how near faces come to the ground truth, and how steady they are, without restoring, with
/// it frame by frame, and with its memory.
pub fn truth(media: &Path, restorer: &str, frames: usize, controls: Controls) -> Result<(), Box<dyn Error>> {
    let (pairs, videos) = (media.join("pairs"), media.join("videos"));
    let mut clips: Vec<(PathBuf, PathBuf)> = ["noise", "comp", "arch"]
        .map(|kind| (pairs.join(format!("carphone.{kind}.x2.mkv")), pairs.join("carphone.gt.mkv")))
        .to_vec();
    for (clip, size) in
        [("pyfeat_single_face.mp4", Size::new(320, 180)), ("intel_asl/again.mkv", Size::new(320, 240))]
    {
        let path = videos.join(clip);
        clips.push((degraded(&path, size)?, path));
    }
    let mut network = perceptual()?;
    println!(
        "faces with {restorer}, strength {}, fidelity {}, {frames} frames",
        controls.strength, controls.fidelity
    );
    for (small, large) in clips {
        let mut sums: [Sums; RUNS.len()] = Default::default();
        let mut stages = Vec::new();
        for (_, run) in RUNS {
            stages.push((run, Stage::open(restorer, run, 2, controls)?));
        }
        let (mut at, mut height, mut seam) = (None, 0.0, (0.0, 0.0));
        let start = Instant::now();
        for (number, (small_frame, truth)) in
            Clip::open(&small)?.zip(Clip::open(&large)?).take(frames).enumerate()
        {
            let mut made = Vec::new();
            for (run, stage) in &mut stages {
                if *run == Run::Alone {
                    stage.enhancer.reset();
                }
                made.push(stage.run(&small_frame)?);
            }
            let Some(track) = stages[FOLLOWED].1.main() else { continue };
            let place = *at.get_or_insert_with(|| place(track, Size::of(&truth.view()), 2));
            height = track.area.height;
            let (one, other) = seams(&made[0], &made[FOLLOWED], track);
            seam = (seam.0 + one, seam.1 + other);
            for (sums, test) in sums.iter_mut().zip(&made) {
                sums.add(test, &truth, place, &mut network)?;
            }
            if number + 1 == frames {
                let shown = std::env::temp_dir().join(format!(
                    "face-{}-{}.png",
                    name(&small),
                    name(Path::new(restorer))
                ));
                let pictures: Vec<&Picture<u8>> = made.iter().chain([&truth]).collect();
                save(&side_by_side(&pictures, place), &shown)?;
            }
        }
        println!(
            "{} (a face of {height:.0} px), seam {:.3}, {:.1} s a frame",
            name(&small),
            seam.1 / seam.0,
            start.elapsed().as_secs_f64() / frames as f64
        );
        for (sums, (what, _)) in sums.iter().zip(RUNS) {
            println!("  {what:24} {}", sums.describe());
        }
    }
    Ok(())
}

/// The measure of how unlike two pictures look.
pub fn perceptual() -> Result<Perceptual, Box<dyn Error>> {
    let lpips = registry::cache_dir().ok_or("there is no cache")?.join("models/stlpips-alex.onnx");
    Ok(Perceptual::load(runtime::load(None, None)?, &lpips, &Options::default())?)
}

/// The same place of several pictures in a row.
pub fn side_by_side(pictures: &[&Picture<u8>], place: Rect) -> Picture<u8> {
    let size = Size::new(place.width as usize, place.height as usize);
    let parts: Vec<Picture<u8>> = pictures
        .iter()
        .map(|picture| crop(picture.view(), place.x as usize, place.y as usize, size).to_owned())
        .collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    ndarray::concatenate(ndarray::Axis(1), &views)
        .expect("all are of one size")
        .as_standard_layout()
        .to_owned()
}

/// The mean gradient along the boundary of the paste, of both pictures.
fn seams(plain: &Picture<u8>, pasted: &Picture<u8>, track: &Track) -> (f64, f64) {
    let Some(to_face) = to_face(&track.landmarks) else { return (0.0, 0.0) };
    let (plain, pasted) = (luma(plain.view()), luma(pasted.view()));
    let (height, width, _) = plain.dim();
    let mut sums = (0.0, 0.0);
    for y in 0..height - 1 {
        for x in 0..width - 1 {
            let at = Point::new((x as f32 + 0.5) / 2.0, (y as f32 + 0.5) / 2.0);
            if BOUNDARY.contains(&mask(to_face.apply(at))) {
                let slope = |p: &Picture<f32>| {
                    let here = p[(y, x, 0)];
                    f64::from((p[(y, x + 1, 0)] - here).hypot(p[(y + 1, x, 0)] - here))
                };
                sums = (sums.0 + slope(&plain), sums.1 + slope(&pasted));
            }
        }
    }
    sums
}

/// Prints the largest step of light in the face box from frame to frame, pasted over unpasted, in a clip whose
/// face comes and goes. The fallback to steps of the picture as it is holds where nothing is pasted.
pub fn steps(media: &Path, restorer: &str, controls: Controls) -> Result<(), Box<dyn Error>> {
    let clip = media.join("videos/pyfeat_face_noface.mov");
    let blank = Picture::<u8>::from_elem((180, 320, 3), 96);
    let frames: Vec<Picture<u8>> = Clip::open(&degraded(&clip, Size::new(320, 180))?)?.collect();
    let cut = (1..frames.len()).max_by_key(|&at| apart(&frames[at - 1], &frames[at])).unwrap_or(0);
    let leaves: Vec<Picture<u8>> = frames[cut.saturating_sub(15)..frames.len().min(cut + 30)].to_vec();
    // A face walks in from the left and out again, over a grey ground.
    let enters = (0..70).map(|number: i32| {
        let shift = 320 - 320 * number.min(69 - number).min(22) / 22;
        Picture::from_shape_fn((180, 320, 3), |(y, x, c)| match x + shift as usize {
            from if from < 320 => frames[number as usize % frames.len()][(y, from, c)],
            _ => blank[(y, x, c)],
        })
    });
    for (what, clip) in
        [("pyfeat_face_noface, around its cut", leaves), ("a face enters and leaves", enters.collect())]
    {
        let mut stages = [
            Stage::open(restorer, Run::Plain, 2, controls)?,
            Stage::open(restorer, Run::Followed, 2, controls)?,
        ];
        let (mut before, mut last) = (None, None);
        let (mut largest, mut sums, mut count) = ((0.0_f64, 0.0_f64), (0.0, 0.0), 0);
        for small in &clip {
            let (plain, pasted) = (stages[0].run(small)?, stages[1].run(small)?);
            let at = stages[1].main().map(|track| place(track, Size::of(&plain.view()), 2)).or(last);
            last = at;
            let Some(at) = at else { continue };
            let size = Size::new(at.width as usize, at.height as usize);
            let part = |picture: &Picture<u8>| {
                luma(crop(picture.view(), at.x as usize, at.y as usize, size)).mean().unwrap_or(0.0)
            };
            let now = (part(&plain), part(&pasted), at);
            if let Some((plain_before, pasted_before)) = before.replace((plain.clone(), pasted.clone())) {
                let old = (part(&plain_before), part(&pasted_before));
                let (unpasted, pasted) = ((now.0 - old.0).abs() as f64, (now.1 - old.1).abs() as f64);
                largest = (largest.0.max(unpasted), largest.1.max(pasted));
                sums = (sums.0 + unpasted, sums.1 + pasted);
                count += 1;
            }
        }
        println!(
            "{what}: steps of light in the face box over {count} frames, pasted over unpasted: mean {:.3}, largest {:.3}",
            sums.1 / sums.0,
            largest.1 / largest.0
        );
    }
    Ok(())
}

/// How far apart two pictures are, in levels a sample.
fn apart(a: &Picture<u8>, b: &Picture<u8>) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}
