//! Where each patch of a grid went.

use rayon::prelude::*;

use super::patch::{Fit, Patch, SIDE};
use crate::image::lanes::dispatched;
use crate::image::plane::Plane;

/// Rows of patches that a thread searches by itself. From one stripe to the next, patches do not try where others went; it is
/// a fixed number, so that what is found does not depend on how many threads there are.
const STRIPE: usize = 12;

/// One level of both pictures.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// The picture whose pixels move.
    pub from: &'a Plane,
    /// Its slopes along rows.
    pub slope_x: &'a Plane,
    /// Its slopes along columns.
    pub slope_y: &'a Plane,
    /// Where they move to.
    pub to: &'a Plane,
}

impl Pair<'_> {
    #[inline(always)]
    fn patch(&self, (x, y): (usize, usize)) -> Patch {
        Patch::cut(self.from, self.slope_x, self.slope_y, x, y)
    }
}

/// Where the patches of a level lie: at every column with every row.
#[derive(Clone, Debug)]
pub struct Grid {
    columns: Vec<usize>,
    rows: Vec<usize>,
}

impl Grid {
    /// A patch every `stride` pixels, and always one at the end, so that every pixel is covered.
    pub fn new(width: usize, height: usize, stride: usize) -> Self {
        let places = |side: usize| (0..side - SIDE).step_by(stride).chain([side - SIDE]).collect();
        Self { columns: places(width), rows: places(height) }
    }

    /// The first pixels of the patches in some rows of a picture, and the patches' numbers.
    pub fn covering(&self, rows: std::ops::Range<usize>) -> impl Iterator<Item = (usize, (usize, usize))> {
        let first = self.rows.partition_point(|&y| y + SIDE <= rows.start);
        let last = self.rows.partition_point(|&y| y < rows.end);
        let columns = self.columns.len();
        let places = self.rows[first..last].iter().flat_map(|&y| self.columns.iter().map(move |&x| (x, y)));
        (first * columns..).zip(places)
    }

    /// The first pixel of every patch, row by row.
    #[cfg(test)]
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.rows.iter().flat_map(|&y| self.columns.iter().map(move |&x| (x, y)))
    }
}

/// Searches for each patch from what `u` and `v` say at its middle.
///
/// Row by row, a patch also tries where those to the left and above went; then, backwards, where
/// those to the right and below went (spatial propagation), and searches again if that is
/// better.
pub fn search(pair: &Pair<'_>, grid: &Grid, u: &Plane, v: &Plane, steps: usize, fits: &mut Vec<Fit>) {
    in_stripes(grid, fits, |rows, fits| search_stripe(pair, &grid.columns, rows, [u, v], steps, fits));
}

/// [`search`] for every processor.
#[cfg(test)]
pub fn search_plain(pair: &Pair<'_>, grid: &Grid, u: &Plane, v: &Plane, steps: usize, fits: &mut Vec<Fit>) {
    in_stripes(grid, fits, |rows, fits| search_stripe_plain(pair, &grid.columns, rows, [u, v], steps, fits));
}

/// Rows of patches, and their fits.
fn in_stripes(grid: &Grid, fits: &mut Vec<Fit>, search: impl Fn(&[usize], &mut [Fit]) + Sync) {
    let columns = grid.columns.len();
    fits.resize(columns * grid.rows.len(), Fit::default());
    let stripes = fits.par_chunks_mut(columns * STRIPE);
    stripes.zip(grid.rows.par_chunks(STRIPE)).for_each(|(fits, rows)| search(rows, fits));
}

dispatched! {
    fn search_stripe / search_stripe_plain(
        pair: &Pair<'_>, columns: &[usize], rows: &[usize], start: [&Plane; 2], steps: usize, fits: &mut [Fit],
    ) {
        let [u, v] = start;
        let across = columns.len();
        for (row, &y) in rows.iter().enumerate() {
            for (column, &x) in columns.iter().enumerate() {
                let here = row * across + column;
                let patch = pair.patch((x, y));
                let middle = u.index((x + SIDE / 2) as isize, (y + SIDE / 2) as isize);
                let mut best = patch.fit(pair.to, (x, y), (u.samples()[middle], v.samples()[middle]));
                let left = if column > 0 { fits.get(here - 1) } else { None };
                let above = if row > 0 { fits.get(here - across) } else { None };
                for near in [left, above].into_iter().flatten() {
                    let candidate = patch.fit(pair.to, (x, y), (near.u, near.v));
                    best = if candidate.error < best.error { candidate } else { best };
                }
                fits[here] = patch.descend(pair.to, (x, y), best, steps);
            }
        }
        for (row, &y) in rows.iter().enumerate().rev() {
            for (column, &x) in columns.iter().enumerate().rev() {
                let here = row * across + column;
                let patch = pair.patch((x, y));
                let right = if column + 1 < across { fits.get(here + 1) } else { None };
                let below = fits.get(here + across);
                let mut best = fits[here];
                let mut better = false;
                for near in [right, below].into_iter().flatten() {
                    let candidate = patch.fit(pair.to, (x, y), (near.u, near.v));
                    if candidate.error < best.error {
                        (best, better) = (candidate, true);
                    }
                }
                if better {
                    fits[here] = patch.descend(pair.to, (x, y), best, steps);
                }
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::scale::slopes;
    use super::*;
    use crate::image::Size;
    use crate::image::plane::tests::noise;

    /// Runs `check` with the pair and the grid of two pictures of noise.
    pub fn with_noise(size: Size, stride: usize, check: impl Fn(&Pair<'_>, &Grid)) {
        let (from, to) = (noise(size, 1), noise(size, 2));
        let (mut slope_x, mut slope_y) = (Plane::new(size), Plane::new(size));
        slopes(&from, &mut slope_x, &mut slope_y);
        let pair = Pair { from: &from, slope_x: &slope_x, slope_y: &slope_y, to: &to };
        check(&pair, &Grid::new(size.width, size.height, stride));
    }

    #[test]
    fn every_pixel_is_covered_and_no_patch_leaves_the_picture() {
        for side in 16..60 {
            for stride in 1..=SIDE {
                let grid = Grid::new(side, 16, stride);
                let covered = |x| grid.places().any(|(first, _)| (first..first + SIDE).contains(&x));
                assert!((0..side).all(covered), "side {side}, stride {stride}");
                assert!(grid.places().all(|(x, y)| x + SIDE <= side && y + SIDE <= 16));
            }
        }
    }

    #[test]
    fn the_search_finds_the_same_bits_on_every_processor() {
        for (width, height) in [(16, 16), (37, 21), (50, 33)] {
            let size = Size::new(width, height);
            with_noise(size, 3, |pair, grid| {
                let start = Plane::new(size);
                let (mut fast, mut plain) = (vec![], vec![]);
                search(pair, grid, &start, &start, 16, &mut fast);
                search_plain(pair, grid, &start, &start, 16, &mut plain);
                let bits = |fits: &[Fit]| {
                    fits.iter().map(|fit| [fit.u, fit.v, fit.error].map(f32::to_bits)).collect::<Vec<_>>()
                };
                assert_eq!(bits(&fast), bits(&plain), "{size}");
                assert_eq!(fast.len(), grid.places().count());
            });
        }
    }
}
