//! Whether a pipeline has come to rest without a word.
//!
//! While parsebin tries an element it keeps that element's errors to itself. One whose own thread finds
//! the damage before the trial is over fails, and nobody is told.

use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;

/// How long nobody works before it counts: threads hand over to each other, and between two looks
/// both may seem to stand.
const PATIENCE: Duration = Duration::from_secs(1);

/// Since when nobody works.
#[derive(Default)]
pub struct Rest {
    since: Option<Instant>,
}

impl Rest {
    /// Whether no thread of `pipeline` has worked for a second, so that nothing will come of it any
    /// more. Ask while it has nothing to tell. One that waits for a slow disk works.
    pub fn is_final(&mut self, pipeline: &gst::Pipeline) -> bool {
        if is_at_work(pipeline) {
            self.since = None;
            return false;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
    }
}

fn is_at_work(pipeline: &gst::Pipeline) -> bool {
    let runs = |pad: &gst::Pad| pad.task_state() == gst::TaskState::Started;
    // What changes while it is looked at is at work.
    pipeline
        .iterate_recurse()
        .into_iter()
        .any(|element| element.map_or(true, |element| element.pads().iter().any(runs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a pipeline for twice the patience.
    fn check(description: &str, rests: bool) {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        // Within another bin, as readers are.
        pipeline.add(&gst::parse::bin_from_description(description, false).unwrap()).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let (mut rest, start) = (Rest::default(), Instant::now());
        assert!(!rest.is_final(&pipeline), "{description}: at once");
        let mut is_final = false;
        while !is_final && start.elapsed() < 2 * PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
            is_final = rest.is_final(&pipeline);
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(is_final, rests, "{description}");
    }

    #[test]
    fn a_pipeline_that_ended_rests_and_one_that_waits_for_data_does_not() {
        check("fakesrc num-buffers=1 ! fakesink async=false", true);
        check("fakesrc num-buffers=1 ! queue ! fakesink async=false", true);
        check("appsrc ! fakesink async=false", false);
        check("appsrc ! queue ! fakesink async=false", false);
    }
}
