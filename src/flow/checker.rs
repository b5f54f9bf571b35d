//! Planes split like a chessboard.
//!
//! A red sample has only black neighbours and the other way round, so all samples of one colour
//! can be computed together. Each colour is packed: row `y` of colour `c` holds the samples
//! `x = 2k + first(c, y)`. Where a colour has one sample less than the other, its last one is
//! nobody's neighbour.

use crate::image::Size;
use crate::image::lanes::{LANES, Lanes, Row};
use crate::image::plane::Plane;

/// Both colours of a plane: red has the sample (0, 0).
pub type Checker = [Plane; 2];

/// Zeros, for a plane of this size.
pub fn checker(size: Size) -> Checker {
    let half = Size::new(size.width.div_ceil(2), size.height);
    [Plane::new(half), Plane::new(half)]
}

/// The column where a colour starts in a row: 0 or 1.
pub const fn first(colour: usize, y: usize) -> usize {
    (colour + y) % 2
}

/// Splits a row.
pub fn pack(from: &[f32], y: usize, to: &mut Checker) {
    for (colour, to) in to.iter_mut().enumerate() {
        let to = to.row_mut(y);
        let (pairs, rest) = from.as_chunks::<2>();
        let first = first(colour, y);
        for (to, from) in to.iter_mut().zip(pairs) {
            *to = from[first];
        }
        if let [last] = rest {
            to[pairs.len()] = if first == 0 { *last } else { 0.0 };
        }
    }
}

/// Puts a row together again.
pub fn unpack(from: &Checker, y: usize, to: &mut [f32]) {
    for (colour, from) in from.iter().enumerate() {
        for (to, from) in to[first(colour, y)..].iter_mut().step_by(2).zip(from.row(y)) {
            *to = *from;
        }
    }
}

/// The neighbours of a colour's row, of which `other` is the other colour: left, right, above, below.
#[inline(always)]
pub fn around(other: &Plane, colour: usize, y: usize, count: usize) -> [Row<'_>; 4] {
    let (right, y) = (first(colour, y) as isize, y as isize);
    [
        &other.lanes(right - 1, y)[..count],
        &other.lanes(right, y)[..count],
        &other.lanes(0, y - 1)[..count],
        &other.lanes(0, y + 1)[..count],
    ]
}

/// What belongs to eight samples, for all samples of both colours: one after the other in a row of a colour, so that all of it is
/// found at one place.
#[derive(Clone)]
pub struct Eights<T> {
    colours: [Vec<T>; 2],
    /// Of a row of a colour.
    count: usize,
    /// How many rows are kept: the first is written over by the next after the last.
    rows: usize,
}

impl<T: Clone + Default> Eights<T> {
    /// Nothing yet, for a plane of this size.
    pub fn new(size: Size) -> Self {
        Self::of_last_rows(size.height, size)
    }

    /// As [`Self::new`], of only so many rows that were written last: those of a whole plane may not fit into the processor's cache.
    pub fn of_last_rows(rows: usize, size: Size) -> Self {
        let rows = rows.min(size.height);
        let count = size.width.div_ceil(2).div_ceil(LANES);
        let colour = || vec![T::default(); count * rows];
        Self { colours: [colour(), colour()], count, rows }
    }
}

impl<T> Eights<T> {
    /// Where a row is.
    #[inline(always)]
    fn range(&self, y: usize) -> std::ops::Range<usize> {
        let row = y % self.rows;
        row * self.count..(row + 1) * self.count
    }

    /// Those of a row.
    #[inline(always)]
    pub fn row(&self, colour: usize, y: usize) -> &[T] {
        &self.colours[colour][self.range(y)]
    }

    /// As [`Self::row`], to write.
    #[inline(always)]
    pub fn row_mut(&mut self, colour: usize, y: usize) -> &mut [T] {
        let range = self.range(y);
        &mut self.colours[colour][range]
    }

    /// A row of both colours, to write: that of the sample at its begin first.
    #[inline(always)]
    pub fn rows_mut(&mut self, y: usize) -> [&mut [T]; 2] {
        let range = self.range(y);
        let [red, black] = self.colours.each_mut().map(|colour| &mut colour[range.clone()]);
        if first(0, y) == 0 { [red, black] } else { [black, red] }
    }
}

/// Every other one of sixteen samples, those that come first and those behind them.
#[inline(always)]
pub fn split(Lanes(a): Lanes, Lanes(b): Lanes) -> [Lanes; 2] {
    [
        Lanes([a[0], a[2], a[4], a[6], b[0], b[2], b[4], b[6]]),
        Lanes([a[1], a[3], a[5], a[7], b[1], b[3], b[5], b[7]]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::plane::tests::noise;

    #[test]
    fn a_row_survives_being_split_and_every_sample_meets_its_neighbours() {
        for (width, height) in [(16, 16), (17, 19), (31, 16)] {
            let whole = noise(Size::new(width, height), 3);
            let mut split = checker(whole.size);
            (0..height).for_each(|y| pack(whole.row(y), y, &mut split));
            let mut again = Plane::new(whole.size);
            (0..height).for_each(|y| unpack(&split, y, again.row_mut(y)));
            (0..height).for_each(|y| assert_eq!(again.row(y), whole.row(y)));
            for (colour, y) in (0..height).flat_map(|y| [(0, y), (1, y)]) {
                let own = &split[colour];
                let count = own.size.width.div_ceil(8);
                let near = around(&split[1 - colour], colour, y, count).map(|row| row.as_flattened());
                for (k, x) in (first(colour, y)..width).step_by(2).enumerate() {
                    let at = |x: isize, y: isize| whole.samples()[whole.index(x, y)];
                    let (ix, iy) = (x as isize, y as isize);
                    assert_eq!(own.row(y)[k], at(ix, iy));
                    let inside = [x > 0, x + 1 < width, y > 0, y + 1 < height];
                    let places = [(ix - 1, iy), (ix + 1, iy), (ix, iy - 1), (ix, iy + 1)];
                    for ((near, (x, y)), inside) in near.iter().zip(places).zip(inside) {
                        assert!(!inside || near[k] == at(x, y), "{width}x{height} at {x},{y}");
                    }
                }
            }
        }
    }
}
