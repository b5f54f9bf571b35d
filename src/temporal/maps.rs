//! What the small picture says of each of its pixels.

use crate::image::planar::Planar;

/// Motion to the right and down, share of the past, size of the motion.
pub type Maps = Planar<4>;

/// Their numbers.
pub const MOTION: [usize; 2] = [0, 1];
/// As [`MOTION`].
pub const SHARE: usize = 2;
/// As [`MOTION`].
pub const SPEED: usize = 3;
