//! The motion of the ground truth from frame to frame.

use gstfacesr::flow::{Estimator, Flow, FlowError, preset};
use gstfacesr::image::Picture;
use gstfacesr::metrics::motion::{Field, Motion};
use ndarray::Axis;

/// How thoroughly the ground truth is followed; it is clean, so down to its single pixels.
const PRESET: &str = "quality";

/// Follows one clip.
pub struct Follower {
    estimator: Estimator,
    before: Option<Picture<f32>>,
}

impl Follower {
    /// At the beginning of a clip.
    pub fn new() -> Follower {
        let settings = preset(PRESET).expect("the preset is in the table");
        Follower { estimator: Estimator::new(settings), before: None }
    }

    /// Motion from `luma` to the frame before; none for the first frame of a scene.
    pub fn follow(&mut self, luma: &Picture<f32>, cut: bool) -> Result<Option<Motion>, FlowError> {
        let before = self.before.replace(luma.clone()).filter(|_| !cut);
        let Some(before) = before else { return Ok(None) };
        let [now, then] = [luma, &before].map(|picture| picture.index_axis(Axis(2), 0));
        let (back, forth) = self.estimator.estimate_both(now, then)?;
        Ok(Some(Motion::new(field(&back), field(&forth))))
    }
}

fn field(flow: &Flow) -> Field<'_> {
    Field { u: flow.u.view(), v: flow.v.view() }
}
