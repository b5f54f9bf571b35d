//! Fewer than one inference per frame: what of the last output is as good as a new one, and what is not.
//!
//! Every pixel has a debt that grows with each frame that its output is only moved along, faster where it moves and where
//! the past counts for less. Tiles whose debt has come to a limit, whose input no longer agrees with the past, or that are
//! old, are run through the network again; in the others the past is moved and what differs of the input is added to it.

use super::maps::Maps;
use super::parts::Grid;
use super::{larger, smaller, smooth_step};
use crate::image::box_filter::box_filter;
use crate::image::lanes::{Lanes, Row, RowMut, dispatched};
use crate::image::luma::colours;
use crate::image::planar::{COLOURS, Planar};
use crate::image::plane::Plane;
use crate::image::{Area, Size, Window};

/// Debt at which a tile is run again, at a `reuse` of 1: frames of what is still and well known count for a tenth each.
const MOST_DEBT: f32 = 4.0;
/// The most of it in noise, where new samples of the network are what calms it, unless speed is asked for.
const MOST_DEBT_IN_NOISE: f32 = 0.5;
/// Levels of noise from which on this holds.
const NOISE: f32 = 2.0;
/// From here on, speed is asked for.
const SPEED: f32 = 0.9;
/// Share of the tolerance within which input and past agree well enough to go on with the past alone, and the mean doubt
/// of a tile that is run again. On a talking head at 200x150 (`reuse` of 1, SPAN), dB to an inference for every frame and
/// share of the picture inferred: -0.37 and .11 with the whole tolerance and a doubt of .05, -0.14 and .14 with this share,
/// -0.09 and .17 with this doubt, -0.05 and .19 with .03.
pub(super) const STRICTER: f32 = 2.0 / 3.0;
const DOUBT: f32 = 0.035;
/// Pixels of motion that double the debt of a frame.
const MOTION_OF_DOUBLE: f32 = 0.5;
/// Over how many pixels a tile that was run goes over to its neighbours that were not.
const RAMP: f32 = 3.0;
/// In clips without noise the difference to the input is handed on; between these levels of noise that ends.
const HANDED_ON: (f32, f32) = (1.0, 2.0);
/// A pixel stands still where the frame agrees with the past unmoved: residuals at most this many times those with
/// motion, and this many squared levels more, and motion shorter than this.
const STILL: (f32, f32, f32) = (1.05, 0.1, 0.5);
/// Radii, in pixels, of the squares over which stillness is judged, that all have to be still, and that it comes in over.
const STILL_RADII: (usize, usize, usize) = (3, 2, 2);
/// The debts of tiles after a whole frame are spread up to this share of the limit, so that they do not come back together.
const SPREAD: f32 = 0.9;
/// Steps of the spread: the golden ratio puts neighbours in the order far from each other.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// The age of what was never inferred.
const OLD: u32 = u32::MAX;

/// How much is made of what was inferred before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controls {
    /// 0: every frame is inferred; 1: as rarely as the eye allows.
    pub amount: f32,
    /// Frames after which a tile is inferred anew whatever is known of it.
    pub max_age: u32,
    /// Side of a tile in pixels of the input.
    pub tile: u32,
    /// Largest share of the tiles that is inferred for a frame, but for those that are too old.
    pub budget: f32,
    /// Something lighter makes what the budget leaves out, where the past is distrusted: see [`Reuse::stand_ins`].
    pub stands_in: bool,
}

impl Default for Controls {
    fn default() -> Self {
        Self { amount: 0.0, max_age: 64, tile: 32, budget: 1.0, stands_in: false }
    }
}

impl Controls {
    /// The debt at which a tile is inferred again.
    fn most_debt(&self, noise: f32) -> f32 {
        let most = MOST_DEBT * self.amount.clamp(0.0, 1.0);
        if noise > NOISE && self.amount <= SPEED { most.min(MOST_DEBT_IN_NOISE) } else { most }
    }
}

/// What of a frame is to be run through the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// All of it.
    #[default]
    Whole,
    /// These parts, which may be none.
    Parts(Vec<Area>),
}

/// What is known of reuse beside the histories.
pub struct Reuse {
    grid: Grid,
    /// Of each pixel, where it was in the last frame, and where it is in this.
    debts: [Plane; 2],
    /// Frames since each tile was inferred.
    ages: Vec<u32>,
    /// Of each tile: that it is wanted, and half the debt is enough.
    wanted: Vec<bool>,
    watched: Vec<bool>,
    /// Of each tile: that something else makes its pixels where the past is distrusted.
    owed: Vec<bool>,
    stand_ins: Vec<Area>,
    /// Trust, frames of history with what they may be at most, and doubt, of each pixel.
    merits: Planar<4>,
    still: [Plane; 3],
    /// The difference that is handed on to the output: red, green and blue in levels.
    transfer: Planar<COLOURS>,
    refresh: Refresh,
}

impl Reuse {
    /// For pictures of a size.
    pub fn new(picture: Size, controls: &Controls) -> Self {
        let grid = Grid::new(picture, controls.tile as usize);
        let plane = || Plane::new(picture);
        Self {
            grid,
            debts: [plane(), plane()],
            // Whatever the history holds may be of another network: all is to be new once.
            ages: vec![OLD; grid.count()],
            wanted: vec![false; grid.count()],
            watched: vec![false; grid.count()],
            owed: vec![false; grid.count()],
            stand_ins: Vec::new(),
            merits: Planar::new(picture),
            still: [plane(), plane(), plane()],
            transfer: Planar::new(picture),
            refresh: Refresh::Whole,
        }
    }

    /// Whether it is for tiles of this side.
    pub fn fits(&self, controls: &Controls) -> bool {
        self.grid.tile == controls.tile.max(1) as usize
    }

    /// What of the last frame was to be run through the network.
    pub fn refresh(&self) -> &Refresh {
        &self.refresh
    }

    /// What of the last frame is to be made by something else than the network, for which the budget had no room. It stays due.
    pub fn stand_ins(&self) -> &[Area] {
        &self.stand_ins
    }

    /// Frames since the tile that was inferred longest ago was.
    pub fn oldest(&self) -> u32 {
        self.ages.iter().copied().max().unwrap_or(0)
    }

    /// Gives away the difference that is handed on for another, which is written over.
    pub fn swap_transfer(&mut self, other: &mut Planar<COLOURS>) {
        if other.size != self.grid.picture {
            *other = Planar::new(self.grid.picture);
        }
        std::mem::swap(&mut self.transfer, other);
    }

    /// The whole frame is inferred, and has no past.
    pub fn begin(&mut self, controls: &Controls, noise: f32) {
        self.renew(controls.most_debt(noise));
    }

    /// The whole frame is inferred: every tile is new, but their debts are not alike.
    fn renew(&mut self, most: f32) {
        self.refresh = Refresh::Whole;
        self.owe_nothing();
        self.ages.fill(0);
        for tile in 0..self.grid.count() {
            let share = (tile as f64 * GOLDEN).fract() as f32;
            fill(&mut self.debts[0], &self.grid.tile_area(tile), SPREAD * share * most);
        }
    }

    fn owe_nothing(&mut self) {
        self.owed.fill(false);
        self.stand_ins.clear();
    }

    /// Takes the motion out where frame and past, of which it gets the luma, agree without it; `residuals` are the squares of what luma
    /// differs by along the motion. Answers whether there was any.
    pub fn hold_still(
        &mut self,
        [present, past]: [&Plane; 2],
        residuals: &Plane,
        motion: &mut [Plane; 2],
        between: &mut Plane,
    ) -> bool {
        let [unmoved, moved, mask] = &mut self.still;
        unmoved_residuals(present, past, mask);
        mask.extend();
        box_filter(mask, STILL_RADII.0, between, unmoved);
        box_filter(residuals, STILL_RADII.0, between, moved);
        if !mark_still(unmoved, moved, motion, mask) {
            return false;
        }
        mask.extend();
        smallest(mask, STILL_RADII.1, between, moved);
        moved.extend();
        box_filter(moved, STILL_RADII.2, between, mask);
        slow_down(mask, motion);
        motion.iter_mut().for_each(Plane::extend);
        true
    }

    /// Where the merits go.
    pub fn merits_mut(&mut self) -> &mut Planar<4> {
        &mut self.merits
    }

    /// Half the debt is enough in these parts of the frame.
    pub fn watch(&mut self, areas: &[Area]) {
        self.watched.fill(false);
        for area in areas {
            self.grid.touched(area).for_each(|tile| self.watched[tile] = true);
        }
    }

    /// Decides what of the frame is new, by its maps (motion, share of the past, speed) and merits.
    pub fn decide(&mut self, controls: &Controls, maps: &Maps, noise: f32, window: &Window) {
        let [before, debts] = &mut self.debts;
        move_debts(before, maps, debts);
        let most = controls.most_debt(noise);
        let max_age = controls.max_age.max(1);
        let mut urgent = Vec::new();
        for tile in 0..self.grid.count() {
            let area = self.grid.tile_area(tile);
            let limit = if self.watched[tile] { 0.5 * most } else { most };
            let (debt, doubt) = (mean(&self.debts[1], &area), mean_doubt(&self.merits, &area));
            self.ages[tile] = self.ages[tile].saturating_add(1);
            self.wanted[tile] = self.ages[tile] >= max_age;
            if !self.wanted[tile] && (doubt > DOUBT || debt >= limit) {
                urgent.push((debt / limit.max(1e-3) + doubt / DOUBT, tile, doubt));
            }
        }
        let allowed = (controls.budget.clamp(0.0, 1.0) * self.grid.count() as f32) as usize;
        let old = self.wanted.iter().filter(|wanted| **wanted).count();
        urgent.sort_unstable_by(|(a, first, _), (b, second, _)| b.total_cmp(a).then(first.cmp(second)));
        // A budget of next to nothing still lets the picture come round.
        let (now, later) = urgent.split_at(urgent.len().min(allowed.max(1).saturating_sub(old)));
        now.iter().for_each(|&(_, tile, _)| self.wanted[tile] = true);
        self.owe_nothing();
        for &(_, tile, doubt) in later {
            self.owed[tile] = controls.stands_in && doubt > DOUBT;
        }
        self.debts.swap(0, 1);
        match self.grid.rectangles(&self.wanted, window) {
            None => self.renew(most),
            Some(areas) => {
                for area in &areas {
                    // What lies between tiles that were wanted is new, too.
                    self.grid.touched(area).for_each(|tile| self.wanted[tile] = true);
                    fill(&mut self.debts[0], area, 0.0);
                }
                let ages = self.ages.iter_mut().zip(&self.wanted);
                ages.filter(|(_, wanted)| **wanted).for_each(|(age, _)| *age = 0);
                self.refresh = Refresh::Parts(areas);
                self.owed.iter_mut().zip(&self.wanted).for_each(|(owed, wanted)| *owed &= !wanted);
                let all = Area { x: 0, y: 0, size: self.grid.picture };
                self.stand_ins = self.grid.rectangles(&self.owed, window).unwrap_or_else(|| vec![all]);
            }
        }
    }

    /// What rows are brought up to date with, as it was decided, where there is so much noise; and where the difference goes that is handed
    /// on.
    pub fn settle(&mut self, noise: f32) -> (Settling<'_>, &mut Planar<COLOURS>) {
        let Self { grid, wanted, owed, merits, refresh, transfer, .. } = self;
        let handed_on = 1.0 - smooth_step(HANDED_ON, noise);
        (Settling { grid, wanted, owed, merits, is_whole: *refresh == Refresh::Whole, handed_on }, transfer)
    }
}

/// What of a frame is new, and what rows are brought up to date with.
pub struct Settling<'a> {
    grid: &'a Grid,
    wanted: &'a [bool],
    owed: &'a [bool],
    merits: &'a Planar<4>,
    is_whole: bool,
    handed_on: f32,
}

impl Settling<'_> {
    /// Brings row `y` up to date: the frame becomes the history, the maps' share that of the past, and what is handed on goes to
    /// `transfer`. `fresh` is scratch, a row of vectors.
    pub fn settle_row(
        &self,
        y: usize,
        fresh: RowMut<'_>,
        moved: [Row<'_>; 4],
        present: [RowMut<'_>; 4],
        shares: RowMut<'_>,
        transfer: [RowMut<'_>; COLOURS],
    ) {
        self.find_fresh(y, fresh.as_flattened_mut());
        let row = Settled { moved, merits: self.merits.row(y), handed_on: self.handed_on };
        settle_row(fresh, &row, present, shares, transfer);
    }

    /// Share of the new sample in the pixels of a row: all of it in tiles that are new, but less towards such as are not; where
    /// something else stands in, as much as the past is distrusted.
    fn find_fresh(&self, y: usize, fresh: &mut [f32]) {
        fresh.fill(1.0);
        if self.is_whole {
            return;
        }
        let Size { width: across, height: down } = self.grid.tiles;
        let side = self.grid.tile;
        let row = (y / side) as isize;
        let is_new = |x: isize, y: isize| {
            let inside = x >= 0 && y >= 0 && x < across as isize && y < down as isize;
            // Beyond the picture there is nothing to go over to.
            !inside || self.wanted[y as usize * across + x as usize]
        };
        let (above, below) = ((y % side) as f32, (side - 1 - y % side) as f32);
        let trust = self.merits.plane(0, y).chunks(side);
        for ((column, fresh), trust) in
            (0..).zip(fresh[..self.grid.picture.width].chunks_mut(side)).zip(trust)
        {
            if !is_new(column, row) {
                let is_owed = self.owed[row as usize * across + column as usize];
                let pixels = fresh.iter_mut().zip(trust);
                pixels.for_each(|(fresh, trust)| *fresh = if is_owed { 1.0 - trust } else { 0.0 });
                continue;
            }
            let around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)));
            for (dx, dy) in around {
                let steps = [above, 0.0, below][(dy + 1) as usize];
                if steps >= RAMP || is_new(column + dx, row + dy) {
                    continue;
                }
                for (x, fresh) in fresh.iter_mut().enumerate() {
                    let along = [(side - 1 - x) as f32, 0.0, x as f32][(1 - dx) as usize];
                    *fresh = smaller((larger(along, steps) + 0.5) / RAMP, *fresh);
                }
            }
        }
    }
}

fn fill(plane: &mut Plane, area: &Area, value: f32) {
    for y in area.y..area.y + area.size.height {
        plane.row_mut(y)[area.x..area.x + area.size.width].fill(value);
    }
}

fn mean(plane: &Plane, area: &Area) -> f32 {
    let rows = (area.y..area.y + area.size.height).map(|y| &plane.row(y)[area.x..area.x + area.size.width]);
    rows.map(|row| row.iter().sum::<f32>()).sum::<f32>() / (area.size.width * area.size.height) as f32
}

fn mean_doubt(merits: &Planar<4>, area: &Area) -> f32 {
    let rows =
        (area.y..area.y + area.size.height).map(|y| &merits.plane(3, y)[area.x..area.x + area.size.width]);
    let sum = rows.map(|row| row.iter().sum::<f32>()).sum::<f32>();
    sum / (area.size.width * area.size.height) as f32
}

/// The debt of each pixel where it came from, and what this frame adds to it.
fn move_debts(before: &Plane, maps: &Maps, after: &mut Plane) {
    let Size { width, height } = before.size;
    for y in 0..height {
        let [u, v, shares, speeds] = [0, 1, 2, 3].map(|map| maps.plane(map, y));
        for (x, to) in after.row_mut(y).iter_mut().enumerate() {
            let nearest = |at: usize, by: f32, end: usize| {
                // A cast saturates, and takes what is no number to 0.
                ((at as f32 + by).round() as usize).min(end - 1)
            };
            let (from_x, from_y) = (nearest(x, u[x], width), nearest(y, v[x], height));
            *to = before.row(from_y)[from_x] + (1.0 - shares[x]) * (1.0 + speeds[x] / MOTION_OF_DOUBLE);
        }
    }
}

dispatched! {
    /// Squares of what the luma of a frame differs from the past without motion.
    fn unmoved_residuals / unmoved_residuals_plain(present: &Plane, past: &Plane, squares: &mut Plane) {
        for y in 0..present.size.height {
            let pixels = present.row(y).iter().zip(past.row(y));
            for ((present, past), square) in pixels.zip(squares.row_mut(y)) {
                let difference = present - past;
                *square = difference * difference;
            }
        }
    }
}

/// 1 where a pixel stands still, else 0. Answers whether any does.
fn mark_still(unmoved: &Plane, moved: &Plane, motion: &[Plane; 2], mask: &mut Plane) -> bool {
    let (share, more, longest) = STILL;
    let mut any = false;
    for y in 0..mask.size.height {
        let residuals = unmoved.row(y).iter().zip(moved.row(y));
        let motion = motion[0].row(y).iter().zip(motion[1].row(y));
        for (((unmoved, moved), (u, v)), mask) in residuals.zip(motion).zip(mask.row_mut(y)) {
            let is_still = *unmoved <= share * moved + more && u * u + v * v < longest * longest;
            *mask = if is_still { 1.0 } else { 0.0 };
            any |= is_still;
        }
    }
    any
}

/// The smallest value of the square around each pixel. `from` must be extended.
fn smallest(from: &Plane, radius: usize, between: &mut Plane, to: &mut Plane) {
    let reach = radius as isize;
    let Size { width, height } = from.size;
    for y in 0..height {
        for (x, to) in between.row_mut(y).iter_mut().enumerate() {
            let around = &from.rest(x as isize - reach, y as isize)[..2 * radius + 1];
            *to = around.iter().copied().fold(f32::INFINITY, smaller);
        }
    }
    for y in 0..height {
        let rows = y.saturating_sub(radius)..=(y + radius).min(height - 1);
        let to = to.row_mut(y);
        to.fill(f32::INFINITY);
        for y in rows {
            for (to, &from) in to.iter_mut().zip(&between.row(y)[..width]) {
                *to = smaller(*to, from);
            }
        }
    }
}

/// Takes as much of the motion away as the mask says.
fn slow_down(mask: &Plane, motion: &mut [Plane; 2]) {
    for motion in motion {
        for y in 0..mask.size.height {
            for (mask, motion) in mask.row(y).iter().zip(motion.row_mut(y)) {
                *motion *= 1.0 - smooth_step((0.5, 1.0), *mask);
            }
        }
    }
}

/// What is known of a row that is brought up to date.
struct Settled<'a> {
    moved: [Row<'a>; 4],
    merits: [Row<'a>; 4],
    handed_on: f32,
}

dispatched! {
    /// The row as it goes into the history, its share of the past, and what is handed on.
    fn settle_row / settle_row_plain(
        fresh: Row<'_>, row: &Settled<'_>, present: [RowMut<'_>; 4], shares: RowMut<'_>, transfer: [RowMut<'_>; COLOURS],
    ) {
        let (count, one) = (fresh.len(), Lanes::splat(1.0));
        let [trusts, lengths, longests, _] = row.merits.map(|row| &row[..count]);
        let moved = row.moved.map(|row| &row[..count]);
        let present = present.map(|row| &mut row[..count]);
        let mut transfer = transfer.map(|row| &mut row[..count]);
        let shares = &mut shares[..count];
        for (block, new) in fresh.iter().enumerate() {
            let new = Lanes(*new);
            let [trust, length, longest] = [trusts, lengths, longests].map(|row| Lanes(row[block]));
            let pull = new * (one - Lanes(shares[block]));
            let kept = (one - new)
                * ((one - trust) + Lanes::splat(row.handed_on) * trust / (length + one));
            let mut difference = [Lanes::ZERO; COLOURS];
            for plane in 0..COLOURS {
                let past = Lanes(moved[plane][block]);
                let residual = Lanes(present[plane][block]) - past;
                difference[plane] = kept * residual;
                present[plane][block] = (past + pull * residual + difference[plane]).0;
            }
            let counted = (length * trust).min(longest) + one;
            present[COLOURS][block] = (new * counted + (one - new) * length).0;
            shares[block] = (one - pull).0;
            for (to, colour) in transfer.iter_mut().zip(colours(difference)) {
                to[block] = colour.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trust that is different everywhere.
    fn trust(x: usize, y: usize) -> f32 {
        ((x * 7 + y * 13) % 32) as f32 / 32.0
    }

    #[test]
    fn a_new_tile_goes_over_to_others_within_three_pixels_in_all_directions() {
        for (width, height, side) in [(100, 70, 16), (33, 47, 8), (64, 64, 32), (21, 9, 8)] {
            let picture = Size::new(width, height);
            let mut reuse = Reuse::new(picture, &Controls { tile: side, ..Controls::default() });
            reuse.merits.fill_with(|x, y| [trust(x, y), 0.0, 0.0, 0.0]);
            for seed in 0..40 {
                let grid = reuse.grid;
                for tile in 0..grid.count() {
                    reuse.wanted[tile] = (tile * 31 + seed * 17 + tile * tile * seed) % 5 < 3;
                    reuse.owed[tile] = !reuse.wanted[tile] && (tile + seed) % 3 == 0;
                }
                reuse.refresh = Refresh::Parts(vec![]);
                let wanted = reuse.wanted.clone();
                let owed = reuse.owed.clone();
                let tile_of =
                    |x: usize, y: usize| grid.touched(&Area { x, y, size: Size::new(1, 1) }).next().unwrap();
                let (settling, _) = reuse.settle(0.0);
                let mut fresh = vec![9.0; width];
                for y in 0..height {
                    settling.find_fresh(y, &mut fresh);
                    for (x, &found) in fresh.iter().enumerate() {
                        let tile = tile_of(x, y);
                        let expected = if wanted[tile] {
                            let rows = y.saturating_sub(4)..(y + 5).min(height);
                            let columns = x.saturating_sub(4)..(x + 5).min(width);
                            let others = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
                            let old = others.filter(|&(x, y)| !wanted[tile_of(x, y)]);
                            let near = old.map(|(a, b)| a.abs_diff(x).max(b.abs_diff(y))).min();
                            near.map_or(1.0, |steps| ((steps as f32 - 0.5) / RAMP).min(1.0))
                        } else if owed[tile] {
                            1.0 - trust(x, y)
                        } else {
                            0.0
                        };
                        assert!(
                            (found - expected).abs() < 1e-6,
                            "{x},{y} in {picture}: {found} for {expected}"
                        );
                    }
                }
            }
        }
    }
}
