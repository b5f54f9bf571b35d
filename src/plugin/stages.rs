//! Where the time of frames goes, for `stats`.

use std::time::Duration;

use gstreamer as gst;

use crate::enhance::Report;

/// What became of a frame on its way through the element.
#[derive(Clone, Debug)]
pub struct Passed {
    /// What the enhancer says.
    pub report: Report,
    /// Time of making a picture of the frame.
    pub reading: Duration,
    /// Time of making a frame of the picture.
    pub writing: Duration,
    /// Time of all of it.
    pub whole: Duration,
}

/// The time that a stage made a frame wait.
type Waited = fn(&Passed) -> Duration;

/// Stages in the order of a frame's way, and the time that each made the frame wait. What passes beside another is left out, so
/// that they add up.
const STAGES: [(&str, Waited); 7] = [
    ("read", |passed| passed.reading),
    ("motion", |passed| passed.report.looking.saturating_sub(passed.report.beside)),
    ("upscale", |passed| passed.report.upscale),
    ("blend", |passed| passed.report.blending),
    ("detect", |passed| {
        let after_looking = passed.report.beside.saturating_sub(passed.report.looking);
        passed.report.faces.detecting.saturating_sub(after_looking)
    }),
    ("restore", |passed| passed.report.faces.restoring),
    ("write", |passed| passed.writing),
];

/// Name of the rest.
const OTHER: &str = "other";

/// Sums over frames.
#[derive(Clone, Default)]
pub struct Stages {
    stages: [Duration; STAGES.len()],
    beside: Duration,
    whole: Duration,
}

impl Stages {
    /// Counts a frame.
    pub fn count(&mut self, passed: &Passed) {
        for (sum, (_, time)) in self.stages.iter_mut().zip(STAGES) {
            *sum += time(passed);
        }
        self.beside += passed.report.beside;
        self.whole += passed.whole;
    }

    /// Mean milliseconds of a frame: all of it, what passed beside the network, and by stages, which add up to all of it.
    pub fn means(&self, frames: u64) -> (f64, f64, gst::Structure) {
        let mean = |time: Duration| time.as_secs_f64() * 1000.0 / frames.max(1) as f64;
        let mut stages = gst::Structure::new_empty("stages-ms");
        for ((name, _), sum) in STAGES.iter().zip(self.stages) {
            stages.set(*name, mean(sum));
        }
        stages.set(OTHER, mean(self.whole.saturating_sub(self.stages.iter().sum())));
        (mean(self.whole), mean(self.beside), stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enhance::Place;
    use crate::face::FaceReport;
    use crate::temporal::Look;

    /// A frame of which every stage took so many milliseconds, and what is in none of them `other`.
    fn passed(each: u64, beside: u64, other: u64) -> Passed {
        gst::init().unwrap();
        let time = Duration::from_millis(each);
        let faces = FaceReport { detecting: time, restoring: time, ..FaceReport::default() };
        let report = Report {
            tiles: 1,
            tiles_left_out: 0,
            look: Look::Alone,
            faces,
            reused: None,
            large: Place::Host,
            upscale: time,
            looking: time + Duration::from_millis(beside),
            beside: Duration::from_millis(beside),
            blending: time,
        };
        let whole = time * STAGES.len() as u32 + Duration::from_millis(other);
        Passed { report, reading: time, writing: time, whole }
    }

    #[test]
    fn stages_add_up_to_the_frame_whatever_passes_beside_the_network() {
        for frames in 1..5 {
            for (each, beside, other) in [(0, 0, 0), (3, 0, 1), (1, 40, 0), (7, 5, 90)] {
                let mut sums = Stages::default();
                (0..frames).for_each(|_| sums.count(&passed(each, beside, other)));
                let (whole, hidden, stages) = sums.means(frames);
                let told = |name: &str| stages.get::<f64>(name).unwrap();
                let sum: f64 = stages.iter().map(|(name, _)| told(name)).sum();
                assert!((sum - whole).abs() < 1e-6, "{sum} of {whole}");
                assert!((hidden - beside as f64).abs() < 1e-6);
                assert!((told(OTHER) - other as f64).abs() < 1e-6);
                for (name, _) in STAGES {
                    assert!((told(name) - each as f64).abs() < 1e-6, "{name}");
                }
            }
        }
    }

    #[test]
    fn of_what_passes_beside_looking_comes_first_and_then_finding_faces() {
        let ms = Duration::from_millis;
        for (beside, motion, detect) in
            [(0, 3.0, 5.0), (2, 1.0, 5.0), (3, 0.0, 5.0), (6, 0.0, 2.0), (8, 0.0, 0.0)]
        {
            let mut frame = passed(0, 0, 0);
            frame.report.looking = ms(3);
            frame.report.faces.detecting = ms(5);
            frame.report.beside = ms(beside);
            let mut sums = Stages::default();
            sums.count(&frame);
            let (_, _, stages) = sums.means(1);
            let told = ["motion", "detect"].map(|name| stages.get::<f64>(name).unwrap());
            assert!((told[0] - motion).abs() < 1e-6 && (told[1] - detect).abs() < 1e-6, "{beside}: {told:?}");
        }
    }

    #[test]
    fn clocks_that_disagree_leave_nothing_over_rather_than_less_than_nothing() {
        let mut sums = Stages::default();
        sums.count(&Passed { whole: Duration::ZERO, ..passed(5, 0, 0) });
        assert_eq!(sums.means(1).2.get::<f64>(OTHER), Ok(0.0));
    }
}
