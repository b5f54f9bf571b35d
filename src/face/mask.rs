//! Where a restored face is laid over the picture: an ellipse that follows the landmarks, from brow to
//! chin in full, gone before hair and neck are.

use super::geometry::Point;
use crate::image::lanes::{Lanes, smooth_steps};

/// The middle, in face units.
pub const MIDDLE: Point = Point::new(0.0, 0.45);
/// Half the width at which the mask ends, in face units: inside of the ears.
const ACROSS: f32 = 1.4;
/// Half the height at which the mask ends, in face units: from the hairline to below the chin.
const DOWN: f32 = 1.75;
/// How far the mask reaches from its middle, in face units, in any direction.
pub const REACH: f32 = DOWN;
/// The share of the way out up to which the mask is whole.
const WHOLE: f32 = 0.55;

/// The mask at a point in face units: 1 in the middle, 0 at the edge, without a kink.
pub fn mask(at: Point) -> f32 {
    masks([at.x, at.y].map(Lanes::splat)).0[0]
}

/// [`mask`] at eight points.
#[inline(always)]
pub fn masks([x, y]: [Lanes; 2]) -> Lanes {
    let x = (x - Lanes::splat(MIDDLE.x)) / Lanes::splat(ACROSS);
    let y = (y - Lanes::splat(MIDDLE.y)) / Lanes::splat(DOWN);
    Lanes::splat(1.0) - smooth_steps((WHOLE, 1.0), (x * x + y * y).sqrt())
}

/// 0 up to one edge, 1 from the other on, smooth between.
pub fn smoothstep(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_whole_over_the_landmarks_and_fades_without_a_step() {
        for landmark in [(-0.5, 0.0), (0.5, 0.0), (0.0, 0.6), (-0.45, 1.04), (0.45, 1.04)] {
            assert_eq!(mask(Point::new(landmark.0, landmark.1)), 1.0, "{landmark:?}");
        }
        for turn in 0..64 {
            let turn = turn as f32 * 0.1;
            let mut before = 1.0;
            for step in 0..=200 {
                let out = step as f32 * 0.01;
                let at = Point::new(MIDDLE.x + out * turn.cos(), MIDDLE.y + out * turn.sin());
                let here = mask(at);
                assert!(here <= before + 1e-6 && before - here < 0.035, "{at:?}: {before} {here}");
                before = here;
            }
            assert_eq!(before, 0.0, "beyond its reach");
        }
    }
}
