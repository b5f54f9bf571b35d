//! Pictures of a few planes of floats with a border, which are sampled between pixels, eight pixels at a time.
//!
//! Neighbours mostly move alike: where eight of them are to be found side by side, or at most a pixel apart, their taps
//! are vectors as they lie in memory. Others are sampled one by one, with the same bits.

use rayon::prelude::*;

use super::bands::{Rows, rows_in_band};
use super::interleave::{load_colours, store_colours};
use super::lanes::{LANES, Lanes, Row, RowMut, SIDE_BY_SIDE, are_side_by_side, whole};
use super::{Sample, Size};

/// Red, green and blue, or luma and two colour differences.
pub const COLOURS: usize = 3;

/// Rows above and below a picture. A sample may lie outside of it by a pixel, and a cubic one reads two more.
pub(crate) const BORDER: usize = 4;
/// Floats to the left of a row: a whole vector, so that rows begin where vectors do.
const LEFT: usize = LANES;
/// Floats to the right of a row's last vector: eight samples may begin at the border's end, and take five taps each.
const RIGHT: usize = 2 * LANES;

/// Planes of a size: a figure of every pixel in each. Rows of the planes lie one after the other; each is whole vectors long, of
/// which the last may reach into the border.
#[derive(Clone, Debug)]
pub struct Planar<const PLANES: usize> {
    samples: Vec<f32>,
    /// Without the border.
    pub size: Size,
    /// Floats of a row of one plane.
    stride: usize,
}

impl<const PLANES: usize> Planar<PLANES> {
    /// Zeros.
    pub fn new(size: Size) -> Self {
        let stride = LEFT + size.width.next_multiple_of(LANES) + RIGHT;
        Self { samples: vec![0.0; stride * PLANES * (size.height + 2 * BORDER)], size, stride }
    }

    /// Becomes the same as another, in the memory that it has where that is as large.
    pub fn copy_from(&mut self, other: &Self) {
        (self.size, self.stride) = (other.size, other.stride);
        self.samples.clone_from(&other.samples);
    }

    /// Fills in a figure of every pixel by its column and row, and the border.
    pub fn fill_with(&mut self, figure: impl Fn(usize, usize) -> [f32; PLANES] + Sync) {
        let width = self.size.width;
        self.bands_mut(rows_in_band(self.size)).for_each(|mut band| {
            for (y, mut rows) in band.rows().zip(band.rows_mut()) {
                let mut planes = rows.planes();
                for x in 0..width {
                    planes.iter_mut().zip(figure(x, y)).for_each(|(plane, figure)| plane[x] = figure);
                }
                rows.extend();
            }
        });
        self.extend();
    }

    /// A row of every plane in whole vectors.
    #[inline(always)]
    pub fn row(&self, y: usize) -> [Row<'_>; PLANES] {
        std::array::from_fn(|plane| self.lanes(plane, 0, y as isize))
    }

    /// A row of a plane without its border.
    #[inline(always)]
    pub fn plane(&self, plane: usize, y: usize) -> &[f32] {
        &self.lanes(plane, 0, y as isize).as_flattened()[..self.size.width]
    }

    /// As many vectors as a row has, from `(x, y)` of a plane on. Both may be as low as -1.
    #[inline(always)]
    pub fn lanes(&self, plane: usize, x: isize, y: isize) -> Row<'_> {
        let count = self.size.width.next_multiple_of(LANES);
        self.rest(plane, x, y)[..count].as_chunks().0
    }

    /// From `(x, y)` of a plane to the end of that row's border.
    #[inline(always)]
    pub fn rest(&self, plane: usize, x: isize, y: isize) -> &[f32] {
        let row = ((y + BORDER as isize) as usize * PLANES + plane) * self.stride;
        &self.samples[row + (x + LEFT as isize) as usize..row + self.stride]
    }

    /// Every row, top to bottom, in bands of `count` rows.
    pub fn bands_mut(&mut self, count: usize) -> impl IndexedParallelIterator<Item = BandMut<'_, PLANES>> {
        let (stride, width, height) = (self.stride, self.size.width, self.size.height);
        let row = PLANES * stride;
        let inside = &mut self.samples[BORDER * row..(BORDER + height) * row];
        Rows::bands(inside, row, count).map(move |rows| BandMut { rows, stride, width })
    }

    /// Repeats the first and the last row in the border. To be called after all rows were written and
    /// [extended](RowsMut::extend), before sampling.
    pub fn extend(&mut self) {
        let (row, height) = (PLANES * self.stride, self.size.height);
        let last = (BORDER + height - 1) * row;
        for y in 0..BORDER {
            self.samples.copy_within(BORDER * row..(BORDER + 1) * row, y * row);
            self.samples.copy_within(last..last + row, (BORDER + height + y) * row);
        }
    }

    /// Where the pixels of row `y` from the column `x` on, eight of them, are after a motion. Positions farther out than a pixel
    /// are limited to that; NaN is far out.
    #[inline(always)]
    pub fn locate(&self, (x, y): (usize, usize), motion: [Lanes; 2]) -> Spots {
        let columns = Lanes::splat(x as i32 as f32) + SIDE_BY_SIDE;
        let across = Taps::inside(columns + motion[0], self.size.width);
        let down = Taps::inside(Lanes::splat(y as i32 as f32) + motion[1], self.size.height);
        let (taps_across, taps_down) = (Taps::new(across), Taps::new(down));
        // Mostly, they do.
        if !are_side_by_side(taps_across.whole, taps_down.whole) {
            return Spots { across, down, start: 0, kind: Kind::Apart };
        }
        let (across, down) = (taps_across.beyond, taps_down.beyond);
        let still = (across + down).are_zeros();
        let kind = if still { Kind::Whole } else { Kind::Together };
        Spots { across, down, start: self.start(taps_across.whole.0[0], taps_down.whole.0[0]), kind }
    }

    /// Samples the first three planes at eight pixels by the cubic of Catmull and Rom, whose slope at a pixel is half the difference
    /// of its neighbours.
    #[inline(always)]
    pub fn sample(&self, spots: &Spots) -> [Lanes; COLOURS] {
        match spots.kind {
            Kind::Together => {
                self.together::<4, 4>(spots.start, &weights(spots.across), &weights(spots.down))
            }
            Kind::Whole => self.second_taps(spots.start),
            Kind::Apart => {
                let mut sums = [Lanes::ZERO; COLOURS];
                sample_apart(self, spots, &mut sums);
                sums
            }
        }
    }

    /// What [`Self::together`] makes of samples that lie on their second taps.
    #[inline(always)]
    fn second_taps(&self, start: usize) -> [Lanes; COLOURS] {
        let mut sums = [Lanes::ZERO; COLOURS];
        let rows = self.samples[start..].chunks_exact(self.stride).skip(PLANES);
        for (row, sum) in rows.zip(&mut sums) {
            // With the taps beside them, whose weight is nothing, negative zeros become positive ones.
            *sum += Lanes::load(&row[1..]);
        }
        sums
    }

    /// Where the taps of a sample begin, of which the second is in this column and row.
    #[inline(always)]
    fn start(&self, column: f32, row: f32) -> usize {
        // Both are whole numbers, of which the border makes none less than one.
        (whole(row) as usize - 1) * PLANES * self.stride + (LEFT - BORDER - 1) + whole(column) as usize
    }

    /// Eight samples whose taps are within `ACROSS` columns, of which each has its own four, and `DOWN` rows.
    #[inline(always)]
    fn together<const ACROSS: usize, const DOWN: usize>(
        &self,
        start: usize,
        across: &[Lanes; 5],
        down: &[Lanes; 5],
    ) -> [Lanes; COLOURS] {
        let mut columns = [[Lanes::ZERO; 5]; COLOURS];
        // Rows of one length: where that is known to be enough, it is for all.
        let mut rows = self.samples[start..].chunks_exact(self.stride);
        for weight in &down[..DOWN] {
            for columns in &mut columns {
                let Some(taps) = rows.next().and_then(|row| row.first_chunk::<{ LANES + 4 }>()) else {
                    break;
                };
                for column in 0..ACROSS {
                    columns[column] += *weight * Lanes::load(&taps[column..]);
                }
            }
            if PLANES > COLOURS {
                // The planes that are not sampled.
                rows.nth(PLANES - COLOURS - 1);
            }
        }
        let mut sums = [Lanes::ZERO; COLOURS];
        for (columns, sum) in columns.iter().zip(&mut sums) {
            let mut even = columns[0] * across[0] + columns[2] * across[2];
            if ACROSS > 4 {
                even += columns[4] * across[4];
            }
            *sum = even + (columns[1] * across[1] + columns[3] * across[3]);
        }
        sums
    }

    /// Samples a plane at eight pixels, linear between neighbours: what a cubic would make larger or smaller than any.
    #[inline(always)]
    pub fn linear(&self, plane: usize, spots: &Spots) -> Lanes {
        if spots.kind == Kind::Apart {
            return self.linear_apart(plane, spots);
        }
        let start = spots.start + (PLANES + plane) * self.stride;
        let above = self.between_columns(start, spots.across);
        let below = self.between_columns(start + PLANES * self.stride, spots.across);
        mixed(spots.down, above, below)
    }

    /// Between the second and the third of the taps that begin here, side by side.
    #[inline(always)]
    fn between_columns(&self, start: usize, share: Lanes) -> Lanes {
        let taps = &self.samples[start..start + LANES + 4];
        mixed(share, Lanes::load(&taps[1..]), Lanes::load(&taps[2..]))
    }

    #[inline(never)]
    fn linear_apart(&self, plane: usize, spots: &Spots) -> Lanes {
        let (across, down) = (Taps::new(spots.across), Taps::new(spots.down));
        let mut taps = [[Lanes::ZERO; 2]; 2];
        for lane in 0..LANES {
            let start = self.start(across.whole.0[lane], down.whole.0[lane]);
            for (row, taps) in (1..).zip(&mut taps) {
                let start = start + (row * PLANES + plane) * self.stride + 1;
                taps.iter_mut().zip(&self.samples[start..start + 2]).for_each(|(to, tap)| to.0[lane] = *tap);
            }
        }
        let [above, below] = taps.map(|[before, behind]| mixed(across.beyond, before, behind));
        mixed(down.beyond, above, below)
    }

    /// Eight samples, wherever they are.
    #[inline(never)]
    fn one_by_one(&self, across: &Taps, down: &Taps) -> [Lanes; COLOURS] {
        let mut sums = [Lanes::ZERO; COLOURS];
        for lane in 0..LANES {
            let across_weights = catmull_rom(across.beyond.0[lane]);
            let down_weights = catmull_rom(down.beyond.0[lane]);
            let start = self.start(across.whole.0[lane], down.whole.0[lane]);
            for (colour, sum) in sums.iter_mut().enumerate() {
                let mut columns = [0.0; 4];
                for (row, weight) in down_weights.into_iter().enumerate() {
                    let start = start + (row * PLANES + colour) * self.stride;
                    for (column, tap) in columns.iter_mut().zip(&self.samples[start..start + 4]) {
                        *column += weight * tap;
                    }
                }
                let [a, b, c, d] = across_weights;
                sum.0[lane] = (columns[0] * a + columns[2] * c) + (columns[1] * b + columns[3] * d);
            }
        }
        sums
    }
}

/// Where eight samples are.
#[derive(Clone, Copy, Debug)]
pub struct Spots {
    /// How far they lie beyond the second of their four taps; where they are, counted in the border, if these are apart.
    across: Lanes,
    down: Lanes,
    /// Where the first one's taps begin, if they are side by side.
    start: usize,
    kind: Kind,
}

/// How the taps of eight samples lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Side by side, and the samples on the second ones: what stands still.
    Whole,
    /// Side by side.
    Together,
    /// Not side by side.
    Apart,
}

impl Default for Spots {
    fn default() -> Self {
        Self { across: Lanes::ZERO, down: Lanes::ZERO, start: 0, kind: Kind::Apart }
    }
}

/// Samples that are [`Kind::Apart`]. A function of its own, so that what mostly happens has the registers for itself.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn sample_apart<const PLANES: usize>(from: &Planar<PLANES>, spots: &Spots, to: &mut [Lanes; COLOURS]) {
    let (across, down) = (Taps::new(spots.across), Taps::new(spots.down));
    let (left, top) = (across.whole.0[0], down.whole.0[0]);
    let (apart_x, apart_y) =
        (across.whole - (SIDE_BY_SIDE + Lanes::splat(left)), down.whole - Lanes::splat(top));
    let ((least_x, most_x), (least_y, most_y)) = (range(apart_x), range(apart_y));
    let start = from.start(left + least_x, top + least_y);
    let (later_x, later_y) = (apart_x - Lanes::splat(least_x), apart_y - Lanes::splat(least_y));
    *to = match (most_x - least_x, most_y - least_y) {
        (0.0, 1.0) => from.together::<4, 5>(start, &across.weights(), &down.later_weights(later_y)),
        (1.0, 0.0) => from.together::<5, 4>(start, &across.later_weights(later_x), &down.weights()),
        (1.0, 1.0) => {
            let weights = (across.later_weights(later_x), down.later_weights(later_y));
            from.together::<5, 5>(start, &weights.0, &weights.1)
        }
        _ => from.one_by_one(&across, &down),
    };
}

/// Where eight positions lie along an axis.
struct Taps {
    /// The second of four taps, counted in the border.
    whole: Lanes,
    /// How far the position lies beyond it.
    beyond: Lanes,
}

/// As much of the second as the share says, and else of the first.
#[inline(always)]
fn mixed(share: Lanes, first: Lanes, second: Lanes) -> Lanes {
    first + share * (second - first)
}

/// Weights of the samples at -1, 0, 1 and 2 for a position `t` of 0 to 1.
#[inline(always)]
pub(crate) fn catmull_rom(t: f32) -> [f32; 4] {
    let rest = 1.0 - t;
    let (outer, far) = (-0.5 * t * rest, 1.5 * t);
    [outer * rest, 1.0 + t * t * (far - 2.5), t * (0.5 + t * (2.0 - far)), outer * t]
}

/// [`catmull_rom`] of eight.
#[inline(always)]
pub(crate) fn catmull_roms(t: Lanes) -> [Lanes; 4] {
    let one = Lanes::splat(1.0);
    let rest = one - t;
    let (outer, far) = (Lanes::splat(-0.5) * t * rest, Lanes::splat(1.5) * t);
    [
        outer * rest,
        one + t * t * (far - Lanes::splat(2.5)),
        t * (Lanes::splat(0.5) + t * (Lanes::splat(2.0) - far)),
        outer * t,
    ]
}

/// [`catmull_roms`]; the fifth tap has none.
#[inline(always)]
fn weights(t: Lanes) -> [Lanes; 5] {
    let [a, b, c, d] = catmull_roms(t);
    [a, b, c, d, Lanes::ZERO]
}

impl Taps {
    /// Limits a position to a pixel before the first and one behind the last, and counts it in the border; NaN goes to the first.
    #[inline(always)]
    fn inside(position: Lanes, length: usize) -> Lanes {
        let inside = position.max(Lanes::splat(-1.0)).min(Lanes::splat(length as i32 as f32));
        inside + Lanes::splat(BORDER as f32)
    }

    /// Of a position that is counted in the border.
    #[inline(always)]
    fn new(inside: Lanes) -> Self {
        let whole = inside.floor();
        Self { whole, beyond: inside - whole }
    }

    #[inline(always)]
    fn weights(&self) -> [Lanes; 5] {
        weights(self.beyond)
    }

    /// Of five taps, of which each lane has its own four: the first ones, or the last where it is `later`.
    #[inline(always)]
    fn later_weights(&self, later: Lanes) -> [Lanes; 5] {
        let sooner = Lanes::splat(1.0) - later;
        let [a, b, c, d, _] = self.weights();
        [a * sooner, b * sooner + a * later, c * sooner + b * later, d * sooner + c * later, d * later]
    }
}

/// The least and the most of eight, none of which is NaN.
#[inline(always)]
fn range(Lanes([a, b, c, d, e, f, g, h]): Lanes) -> (f32, f32) {
    // In pairs, which need not wait for each other.
    let less = |a: f32, b: f32| if a < b { a } else { b };
    let more = |a: f32, b: f32| if a > b { a } else { b };
    let least = less(less(less(a, e), less(c, g)), less(less(b, f), less(d, h)));
    (least, more(more(more(a, e), more(c, g)), more(more(b, f), more(d, h))))
}

/// Some rows of a picture, to write; they are counted in the picture.
pub struct BandMut<'a, const PLANES: usize> {
    rows: Rows<'a>,
    stride: usize,
    width: usize,
}

impl<const PLANES: usize> BandMut<'_, PLANES> {
    /// Which rows they are.
    pub fn rows(&self) -> std::ops::Range<usize> {
        self.rows.range()
    }

    /// The rows.
    pub fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = RowsMut<'_, PLANES>> {
        let Self { rows, stride, width } = self;
        rows.iter_mut().map(|samples| RowsMut { samples, stride: *stride, width: *width })
    }
}

/// A row of every plane.
pub struct RowsMut<'a, const PLANES: usize> {
    samples: &'a mut [f32],
    stride: usize,
    width: usize,
}

impl<const PLANES: usize> RowsMut<'_, PLANES> {
    /// In whole vectors.
    #[inline(always)]
    pub fn lanes(&mut self) -> [RowMut<'_>; PLANES] {
        let inside = LEFT..LEFT + self.width.next_multiple_of(LANES);
        let mut rows = self.samples.chunks_exact_mut(self.stride);
        std::array::from_fn(|_| {
            let row = rows.next().expect("there is a row of each plane");
            row[inside.clone()].as_chunks_mut().0
        })
    }

    /// Without the border.
    #[inline(always)]
    pub fn planes(&mut self) -> [&mut [f32]; PLANES] {
        let width = self.width;
        self.lanes().map(|row| &mut row.as_flattened_mut()[..width])
    }

    /// Repeats the first and the last pixel in the border.
    pub fn extend(&mut self) {
        for row in self.samples.chunks_exact_mut(self.stride) {
            let (first, last) = (row[LEFT], row[LEFT + self.width - 1]);
            row[..LEFT].fill(first);
            row[LEFT + self.width..].fill(last);
        }
    }
}

impl RowsMut<'_, COLOURS> {
    /// Takes the colours of a row of samples, in the samples' units.
    pub fn load<S: Sample>(&mut self, from: &[S], channels: usize) {
        load_colours(from, channels, self.lanes());
    }

    /// Writes the colours to a row of samples, rounded to the nearest and limited to their range; others are left as they
    /// are.
    pub fn store<S: Sample>(&mut self, channels: usize, to: &mut [S]) {
        let [red, green, blue] = self.lanes();
        store_colours([&*red, &*green, &*blue], channels, to);
    }
}

#[cfg(test)]
mod tests;
