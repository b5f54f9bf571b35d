//! The motion of the ground truth from frame to frame.

use gstfacesr::image::Picture;
use gstfacesr::metrics::motion::Motion;

/// Follows one clip.
#[derive(Default)]
pub struct Follower {}

impl Follower {
    /// Whether this build can follow motion.
    pub const AVAILABLE: bool = false;

    /// Motion from `luma` to the frame before; none for the first frame of a scene.
    pub fn follow(&mut self, _luma: &Picture<f32>, _cut: bool) -> Option<Motion> {
        None
    }
}
