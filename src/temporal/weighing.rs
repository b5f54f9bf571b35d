//! What the past is worth at a pixel: the evidence, and the weights that come of it.

use super::{larger, smaller, smooth_step};
use crate::image::Size;
use crate::image::box_filter::{box_row, sums};
use crate::image::lanes::{LANES, dispatched};
use crate::image::plane::Plane;
use crate::image::quads::{Quad, Quads};

/// Radius, in pixels, of the square over which residuals are judged.
const RESIDUAL_RADIUS: usize = 2;
/// Radius, in pixels, of the square over which motion is averaged.
const MOTION_RADIUS: usize = 4;
/// A residual of this many times what noise and tolerance explain begins to be distrusted, and ends it.
const DISTRUST: (f32, f32) = (1.1, 2.3);
/// Colour residuals count for this share of their square: noise of chroma that was enlarged comes in spots, which
/// would pass for changes.
const SHARE_OF_COLOUR: f32 = 0.5;
/// Pixels of motion per frame that halve the useful length of the history: flow drifts.
const MOTION_OF_HALF: f32 = 1.0;

/// Means around the pixels of a row.
pub struct Means {
    sums: Vec<f32>,
    /// Of the squared residuals of luma and of the colour differences, and of the motion.
    residuals: [Vec<[f32; LANES]>; 2],
    motion: [Vec<[f32; LANES]>; 2],
}

impl Means {
    /// For pictures of a width.
    pub fn new(width: usize) -> Self {
        let row = || vec![[0.0; LANES]; width.div_ceil(LANES)];
        Self { sums: sums(width), residuals: [row(), row()], motion: [row(), row()] }
    }

    /// Fills in those of row `y`, of planes that are extended.
    pub fn fill(&mut self, y: usize, residuals: &[Plane; 2], motion: &[Plane; 2]) {
        for (from, to) in residuals.iter().zip(&mut self.residuals) {
            box_row(from, RESIDUAL_RADIUS, y, &mut self.sums, to);
        }
        for (from, to) in motion.iter().zip(&mut self.motion) {
            box_row(from, MOTION_RADIUS, y, &mut self.sums, to);
        }
    }
}

/// What weights depend on besides the evidence.
pub struct Weighing {
    /// Largest share of the past.
    pub strength: f32,
    /// Frames of history, at most.
    pub longest: f32,
    /// Square of what luma and colour differences may differ by.
    pub explained: [f32; 2],
}

/// What is known of the pixels of a row.
pub struct Evidence<'a> {
    y: f32,
    /// Where the picture ends: half a pixel beyond the last column and row.
    end: [f32; 2],
    residuals: [&'a [f32]; 2],
    motion: [&'a [f32]; 2],
    mean_motion: [&'a [f32]; 2],
    moved: &'a [Quad],
}

impl<'a> Evidence<'a> {
    /// Of row `y` of a picture of a size.
    pub fn of(y: usize, size: Size, means: &'a Means, motion: &'a [Plane; 2], moved: &'a Quads) -> Self {
        Self {
            y: y as f32,
            end: [size.width as f32 - 0.5, size.height as f32 - 0.5],
            residuals: means.residuals.each_ref().map(|row| row.as_flattened()),
            motion: motion.each_ref().map(|plane| plane.row(y)),
            mean_motion: means.motion.each_ref().map(|row| row.as_flattened()),
            moved: moved.row(y),
        }
    }

    /// Of so many pixels, the first: all of them are there, as the compiler then knows.
    #[inline(always)]
    fn first(&self, count: usize) -> Self {
        Self {
            residuals: self.residuals.map(|row| &row[..count]),
            motion: self.motion.map(|row| &row[..count]),
            mean_motion: self.mean_motion.map(|row| &row[..count]),
            moved: &self.moved[..count],
            ..*self
        }
    }

    /// How far a pixel agrees with the past, where so much is explained: 0 where the past lies outside of the picture.
    #[inline(always)]
    fn trust(&self, x: usize, explained: &[f32; 2]) -> f32 {
        let (at_x, at_y) = (x as f32 + self.motion[0][x], self.y + self.motion[1][x]);
        let inside = at_x >= -0.5 && at_y >= -0.5 && at_x <= self.end[0] && at_y <= self.end[1];
        let [luma, colour] = [self.residuals[0][x] / explained[0], self.residuals[1][x] / explained[1]];
        let worst = larger(luma, SHARE_OF_COLOUR * colour);
        if inside { 1.0 - smooth_step(DISTRUST, worst.sqrt()) } else { 0.0 }
    }

    /// What the past is worth at a pixel.
    #[inline(always)]
    fn weigh(&self, x: usize, weighing: &Weighing) -> Weight {
        let trust = self.trust(x, &weighing.explained);
        let [u, v] = self.mean_motion.map(|row| row[x]);
        let speed = (u * u + v * v).sqrt();
        let longest = larger(weighing.longest / (1.0 + speed / MOTION_OF_HALF), 1.0);
        let length = smaller(self.moved[x][3], longest);
        let share = weighing.strength * trust * length / (length + 1.0);
        Weight { trust, length, longest, map: [self.motion[0][x], self.motion[1][x], share, speed] }
    }
}

/// What the past is worth at a pixel.
struct Weight {
    trust: f32,
    /// Frames of history, and what they may be at most.
    length: f32,
    longest: f32,
    map: Quad,
}

dispatched! {
    /// The maps of a row, and the row as it goes into the history.
    pub fn weigh_row / weigh_row_plain(evidence: &Evidence<'_>, weighing: &Weighing, present: &mut [Quad], maps: &mut [Quad]) {
        let evidence = evidence.first(present.len());
        let maps = &mut maps[..present.len()];
        for (x, pixel) in present.iter_mut().enumerate() {
            let Weight { trust, length, longest, map } = evidence.weigh(x, weighing);
            let (share, moved) = (map[2], &evidence.moved[x]);
            for channel in 0..3 {
                pixel[channel] += share * (moved[channel] - pixel[channel]);
            }
            pixel[3] = smaller(length * trust, longest) + 1.0;
            maps[x] = map;
        }
    }
}

dispatched! {
    /// The maps of a row; and its trust, frames of history with what they may be at most, and doubt where `deciding` is
    /// what may differ.
    pub fn judge_row / judge_row_plain(
        evidence: &Evidence<'_>, weighing: &Weighing, deciding: &[f32; 2], maps: &mut [Quad], merits: &mut [Quad],
    ) {
        let evidence = evidence.first(maps.len());
        let merits = &mut merits[..maps.len()];
        for (x, to) in maps.iter_mut().enumerate() {
            let Weight { trust, length, longest, map } = evidence.weigh(x, weighing);
            *to = map;
            merits[x] = [trust, length, longest, 1.0 - evidence.trust(x, deciding)];
        }
    }
}
