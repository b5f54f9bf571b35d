//! Every frame of every clip through every meter.

use std::path::Path;

use gstfacesr::face::detect::Detection;
use gstfacesr::image::{Picture, Size};
use gstfacesr::infer::runtime;
use gstfacesr::metrics::measurement::{Measured, Measurement};
use gstfacesr::metrics::motion::Motion;
use gstfacesr::metrics::{Better, Colours, Frame, Given, Metric, MetricError, Need, Outcome};
use gstfacesr::model::registry;
use indicatif::ProgressBar;

use super::cuts::Cuts;
use super::faces::{Locator, crops};
use super::motion::Follower;
use crate::clips::{Clips, Still};
use crate::failure::Failure;

/// The network that measures perceptual distance, where it was fetched.
const PERCEPTUAL: &str = "stlpips-alex.onnx";

/// A clip to measure.
pub struct Contender<'a> {
    /// What to call it.
    pub label: &'static str,
    /// Where it is.
    pub path: &'a Path,
    /// Which of the contenders is its network's result frame by frame.
    pub baseline: Option<usize>,
    /// It may be smaller than the reference, and is enlarged plainly then.
    pub enlarged: bool,
}

impl<'a> Contender<'a> {
    /// A clip on its own, of the size of the reference.
    pub fn new(label: &'static str, path: &'a Path) -> Self {
        Contender { label, path, baseline: None, enlarged: false }
    }
}

/// What is measured against what.
pub struct Materials<'a> {
    /// The ground truth.
    pub reference: &'a Path,
    /// The clips, the one that matters first.
    pub contenders: &'a [Contender<'a>],
    /// What to measure.
    pub metrics: Vec<&'static Metric>,
    /// File of a face embedding network.
    pub embedding: Option<&'a Path>,
}

/// What came of it.
pub struct Results {
    /// Frames of each clip.
    pub frames: usize,
    /// Size of each picture.
    pub size: Size,
    /// For each contender, what came of each metric.
    pub scores: Vec<Score>,
}

/// The figures of one clip.
pub struct Score {
    /// What the clip is called.
    pub label: &'static str,
    /// What came of each metric, in the order of the table.
    pub measured: Vec<Measured>,
}

impl Score {
    /// The outcome of a metric that was measured.
    pub fn outcome(&self, metric: &Metric) -> Option<&Outcome> {
        let (_, outcome) = self.measured.iter().find(|(measured, _)| measured.name == metric.name)?;
        outcome.as_ref().ok()
    }
}

/// The worst frame of a metric, and its figure.
pub fn worst(metric: &Metric, outcome: &Outcome) -> Option<(usize, f64)> {
    let by_value = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    match metric.better {
        Better::Higher => outcome.series.iter().min_by(by_value).copied(),
        Better::Lower => outcome.series.iter().max_by(by_value).copied(),
    }
}

/// Reads all clips to their end, and finds the cuts on the way if nobody said where they are.
pub fn measure(materials: &Materials<'_>, cuts: &mut Cuts) -> Result<Results, Failure> {
    let beside = crate::folder();
    // Without these, metrics that need a network are reported as not measured.
    let runtime = runtime::load(None, beside.as_deref()).ok();
    let places = registry::search_path(beside.as_deref()).into_iter();
    let perceptual = places.map(|folder| folder.join(PERCEPTUAL)).find(|file| file.is_file());
    let has_networks = runtime.is_some() && perceptual.is_some();
    let wants_colours = materials.metrics.iter().any(|metric| metric.needs.contains(&Need::Colours));
    let wants_faces = materials.metrics.iter().any(|metric| metric.needs.contains(&Need::Faces));
    let mut locator = match (materials.embedding, runtime) {
        (Some(_), Some(runtime)) if wants_faces => Locator::open(runtime, beside.as_deref()).ok(),
        _ => None,
    };
    let mut measurements = Vec::new();
    for contender in materials.contenders {
        let given = Given {
            truth: true,
            per_frame: contender.baseline.is_some(),
            motion: true,
            colours: true,
            faces: locator.is_some(),
            runtime,
            perceptual: perceptual.clone(),
            embedding: materials.embedding.map(Into::into),
            ..Given::default()
        };
        let metrics = materials.metrics.iter().copied();
        measurements.push(Measurement::new(metrics, &given).map_err(unavailable)?);
    }

    let paths: Vec<_> = std::iter::once(materials.reference)
        .chain(materials.contenders.iter().map(|contender| contender.path))
        .collect();
    let mut clips = Clips::open(&paths)?;
    // Draws nothing where standard error is no terminal.
    let progress = ProgressBar::new_spinner();
    let follows = materials.metrics.iter().any(|metric| metric.needs.contains(&Need::Motion));
    let mut follower = follows.then(Follower::new);
    let mut size = Size::new(0, 0);
    while let Some(mut stills) = clips.next()? {
        let number = clips.frames() - 1;
        progress.set_message(format!("frame {number}"));
        progress.tick();
        let truth = stills.remove(0);
        size = truth.size();
        let stills = fitted(stills, size, materials)?;
        let luma = truth.luma();
        let cut = cuts.at(number, &luma);
        let motion = follower.as_mut().map(|follower| follower.follow(&luma, cut)).transpose();
        let motion = motion.map_err(|err| Failure::Input(format!("frame {number}: {err}")))?.flatten();
        let colours = wants_colours && has_networks;
        let faces = locator.as_mut().map(|locator| locator.find(&truth)).transpose();
        let faces =
            faces.map_err(|err| Failure::Failed(format!("frame {number}: {err}")))?.unwrap_or_default();
        let shots =
            Shots { number, cut, truth: &truth, luma, motion, stills: &stills, colours, faces: &faces };
        push(&shots, materials, &mut measurements).map_err(fault)?;
    }
    progress.finish_and_clear();
    cuts.check(clips.frames())?;
    let labels = materials.contenders.iter().map(|contender| contender.label);
    let scores = labels.zip(measurements).map(|(label, all)| Score { label, measured: all.finish() });
    Ok(Results { frames: clips.frames(), size, scores: scores.collect() })
}

/// All contenders' pictures in the size of the reference.
fn fitted(stills: Vec<Still>, size: Size, materials: &Materials<'_>) -> Result<Vec<Still>, Failure> {
    let fit = |(still, contender): (Still, &Contender<'_>)| {
        let found = still.size();
        if found == size {
            return Ok(still);
        }
        if contender.enlarged && found.width <= size.width && found.height <= size.height {
            return Ok(still.resized(size));
        }
        Err(Failure::Input(format!(
            "{} is {found} and the reference {} is {size}; they must be of one size",
            contender.path.display(),
            materials.reference.display()
        )))
    };
    stills.into_iter().zip(materials.contenders).map(fit).collect()
}

/// What there is of one frame.
struct Shots<'a> {
    number: usize,
    cut: bool,
    truth: &'a Still,
    /// Of the truth.
    luma: Picture<f32>,
    /// Of the truth, to the frame before.
    motion: Option<Motion>,
    /// Of each contender.
    stills: &'a [Still],
    /// Somebody looks at colours.
    colours: bool,
    /// Faces of the truth, where somebody looks at them.
    faces: &'a [Detection],
}

fn push(
    shots: &Shots<'_>,
    materials: &Materials<'_>,
    measurements: &mut [Measurement],
) -> Result<(), MetricError> {
    let lumas: Vec<Picture<f32>> = shots.stills.iter().map(Still::luma).collect();
    for (at, measurement) in measurements.iter_mut().enumerate() {
        let colours =
            shots.colours.then(|| Colours { test: shots.stills[at].planar(), truth: shots.truth.planar() });
        let faces = crops(shots.faces, &shots.stills[at], shots.truth);
        let mut frame =
            Frame::new(shots.number, lumas[at].view()).with_cut(shots.cut).with_truth(shots.luma.view())?;
        if let Some(colours) = &colours {
            frame = frame.with_colours(colours)?;
        }
        if let Some(baseline) = materials.contenders[at].baseline {
            frame = frame.with_per_frame(lumas[baseline].view())?;
        }
        if let Some(motion) = &shots.motion {
            frame = frame.with_motion(motion)?;
        }
        measurement.push(&frame.with_faces(&faces))?;
    }
    Ok(())
}

/// What it means that a meter cannot start: of the user's own network, that it is not there or not one.
fn unavailable(err: MetricError) -> Failure {
    match err {
        MetricError::Infer(err) => Failure::Unavailable(err.to_string()),
        err => fault(err),
    }
}

/// Whose fault it is that a meter failed.
fn fault(err: MetricError) -> Failure {
    match err {
        MetricError::TooSmall { .. } | MetricError::Sizes { .. } => Failure::Input(err.to_string()),
        MetricError::Network { .. } => Failure::Unavailable(err.to_string()),
        err => Failure::Failed(err.to_string()),
    }
}
