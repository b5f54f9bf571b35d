//! What the past is worth at a pixel: the evidence, and the weights that come of it.

use crate::image::Size;
use crate::image::box_filter::{box_row, sums};
use crate::image::lanes::{LANES, Lanes, Row, RowMut, SIDE_BY_SIDE, dispatched, smooth_steps};
use crate::image::planar::Planar;
use crate::image::plane::Plane;

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
    residuals: [Row<'a>; 2],
    motion: [Row<'a>; 2],
    mean_motion: [Row<'a>; 2],
    moved: [Row<'a>; 4],
}

impl<'a> Evidence<'a> {
    /// Of row `y` of a picture of a size.
    pub fn of(y: usize, size: Size, means: &'a Means, motion: &'a [Plane; 2], moved: &'a Planar<4>) -> Self {
        Self {
            y: y as f32,
            end: [size.width as f32 - 0.5, size.height as f32 - 0.5],
            residuals: means.residuals.each_ref().map(|row| &row[..]),
            motion: motion.each_ref().map(|plane| plane.lanes(0, y as isize)),
            mean_motion: means.motion.each_ref().map(|row| &row[..]),
            moved: moved.row(y),
        }
    }

    /// Of so many vectors, the first: all of them are there, as the compiler then knows.
    #[inline(always)]
    fn first(&self, count: usize) -> Self {
        Self {
            residuals: self.residuals.map(|row| &row[..count]),
            motion: self.motion.map(|row| &row[..count]),
            mean_motion: self.mean_motion.map(|row| &row[..count]),
            moved: self.moved.map(|row| &row[..count]),
            ..*self
        }
    }

    /// How far eight pixels agree with the past, where so much is explained: 0 where the past lies outside of the picture.
    #[inline(always)]
    fn trust(&self, block: usize, explained: &[f32; 2]) -> Lanes {
        let columns = Lanes::splat((LANES * block) as i32 as f32) + SIDE_BY_SIDE;
        let [u, v] = self.motion.map(|row| Lanes(row[block]));
        let inside = (columns + u).is_within(-0.5, self.end[0])
            * (Lanes::splat(self.y) + v).is_within(-0.5, self.end[1]);
        let [luma, colour] = self.residuals.map(|row| Lanes(row[block]));
        let (of_luma, of_colour) = (1.0 / explained[0], SHARE_OF_COLOUR / explained[1]);
        let worst = (luma * Lanes::splat(of_luma)).max(colour * Lanes::splat(of_colour));
        inside * (Lanes::splat(1.0) - smooth_steps(DISTRUST, worst.sqrt()))
    }

    /// What the past is worth at eight pixels.
    #[inline(always)]
    fn weigh(&self, block: usize, weighing: &Weighing) -> Weight {
        let one = Lanes::splat(1.0);
        let trust = self.trust(block, &weighing.explained);
        let [u, v] = self.mean_motion.map(|row| Lanes(row[block]));
        let speed = (u * u + v * v).sqrt();
        let longest = Lanes::splat(weighing.longest) / (one + speed * Lanes::splat(1.0 / MOTION_OF_HALF));
        let longest = longest.max(one);
        let length = Lanes(self.moved[3][block]).min(longest);
        let share = Lanes::splat(weighing.strength) * trust * length / (length + one);
        Weight { trust, length, longest, share, speed }
    }
}

/// What the past is worth at eight pixels.
struct Weight {
    trust: Lanes,
    /// Frames of history, and what they may be at most.
    length: Lanes,
    longest: Lanes,
    share: Lanes,
    speed: Lanes,
}

dispatched! {
    /// The maps of a row, and the row as it goes into the history.
    pub fn weigh_row / weigh_row_plain(
        evidence: &Evidence<'_>, weighing: &Weighing, present: [RowMut<'_>; 4], maps: [RowMut<'_>; 4],
    ) {
        let count = present[0].len();
        let evidence = evidence.first(count);
        let [luma, blue, red, lengths] = present.map(|row| &mut row[..count]);
        let [to_u, to_v, shares, speeds] = maps.map(|row| &mut row[..count]);
        for block in 0..count {
            let Weight { trust, length, longest, share, speed } = evidence.weigh(block, weighing);
            for (plane, moved) in [&mut *luma, &mut *blue, &mut *red].into_iter().zip(evidence.moved) {
                let present = Lanes(plane[block]);
                plane[block] = (present + share * (Lanes(moved[block]) - present)).0;
            }
            lengths[block] = ((length * trust).min(longest) + Lanes::splat(1.0)).0;
            (to_u[block], to_v[block]) = (evidence.motion[0][block], evidence.motion[1][block]);
            (shares[block], speeds[block]) = (share.0, speed.0);
        }
    }
}

dispatched! {
    /// The maps of a row; and its trust, frames of history with what they may be at most, and doubt where `deciding` is
    /// what may differ.
    pub fn judge_row / judge_row_plain(
        evidence: &Evidence<'_>, weighing: &Weighing, deciding: &[f32; 2], maps: [RowMut<'_>; 4], merits: [RowMut<'_>; 4],
    ) {
        let count = maps[0].len();
        let evidence = evidence.first(count);
        let [to_u, to_v, shares, speeds] = maps.map(|row| &mut row[..count]);
        let [trusts, lengths, longests, doubts] = merits.map(|row| &mut row[..count]);
        for block in 0..count {
            let Weight { trust, length, longest, share, speed } = evidence.weigh(block, weighing);
            (to_u[block], to_v[block]) = (evidence.motion[0][block], evidence.motion[1][block]);
            (shares[block], speeds[block]) = (share.0, speed.0);
            (trusts[block], lengths[block], longests[block]) = (trust.0, length.0, longest.0);
            doubts[block] = (Lanes::splat(1.0) - evidence.trust(block, deciding)).0;
        }
    }
}
