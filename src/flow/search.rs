//! Where each patch of a grid went.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::yield_now;

use rayon::prelude::*;

use super::patch::{Fit, Patch, SIDE};
use crate::image::lanes::dispatched;
use crate::image::plane::Plane;

/// Fewer patches than this are not worth another thread.
const LEAST_OF_A_THREAD: usize = 400;
/// Looks at what another thread has not found yet, before it is given the processor: it may be waiting for one.
const LOOKS: u32 = 200;

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

/// Where the patches of a level went.
#[derive(Default)]
pub struct Fits {
    fits: Vec<Fit>,
    /// For the thread at the next row: the displacement of each patch, once it is known.
    known: Vec<AtomicU64>,
}

impl Fits {
    /// By patch, row by row.
    pub fn all(&self) -> &[Fit] {
        &self.fits
    }
}

/// No displacement: two figures that are no numbers, of a kind that arithmetic does not make.
const UNKNOWN: u64 = u64::MAX;

/// What is known of a row of patches, as far as it is.
#[derive(Clone, Copy)]
struct Known<'a>(&'a [AtomicU64]);

impl Known<'_> {
    #[inline(always)]
    fn tell(&self, column: usize, fit: &Fit) {
        let displacement = u64::from(fit.u.to_bits()) << 32 | u64::from(fit.v.to_bits());
        self.0[column].store(displacement, Ordering::Release);
    }

    /// Waits until it is known.
    #[inline(always)]
    fn ask(&self, column: usize) -> (f32, f32) {
        let mut looks = 0;
        loop {
            let found = self.0[column].load(Ordering::Acquire);
            if found != UNKNOWN {
                return (f32::from_bits((found >> 32) as u32), f32::from_bits(found as u32));
            }
            looks += 1;
            if looks % LOOKS == 0 { yield_now() } else { spin_loop() }
        }
    }
}

/// Tells something of every patch of a row at last, so that nobody waits for who failed.
struct AtLast<'a>(Known<'a>);

impl Drop for AtLast<'_> {
    fn drop(&mut self) {
        let Known(row) = self.0;
        row.iter().for_each(|cell| {
            // Where something is known, it stays.
            let _ = cell.compare_exchange(UNKNOWN, 0, Ordering::Release, Ordering::Relaxed);
        });
    }
}

/// Searches for each patch from what `u` and `v` say at its middle.
///
/// Row by row, a patch also tries where those to the left and above went; then, backwards, where
/// those to the right and below went (spatial propagation), and searches again if that is
/// better. What is [near](Fit::is_near) to where it is already is not tried. A row is one thread's, which follows the one at
/// the row before a patch behind.
pub fn search(
    pair: &Pair<'_>,
    grid: &Grid,
    u: &Plane,
    v: &Plane,
    (steps, near): (usize, f32),
    fits: &mut Fits,
) {
    let most = grid.columns.len() * grid.rows.len() / LEAST_OF_A_THREAD;
    let threads = rayon::current_num_threads().min(most).max(1);
    let row = Row { pair, columns: &grid.columns, start: [u, v], steps, near };
    pass(grid, fits, threads, false, |y, before, own, fits| search_from_left(&row, y, before, own, fits));
    pass(grid, fits, threads, true, |y, before, own, fits| search_from_right(&row, y, before, own, fits));
}

/// Runs through the rows, each on one of the threads, `backwards` from the last. Gets the first row of pixels of the patches, what is
/// known of the row before in that direction, where to tell of its own, and its fits.
fn pass(
    grid: &Grid,
    Fits { fits, known }: &mut Fits,
    threads: usize,
    backwards: bool,
    search: impl Fn(usize, Option<Known<'_>>, Known<'_>, &mut [Fit]) + Sync,
) {
    let (columns, rows) = (grid.columns.len(), grid.rows.len());
    fits.resize(columns * rows, Fit::default());
    known.resize_with(columns * rows, Default::default);
    known.iter_mut().for_each(|cell| *cell.get_mut() = UNKNOWN);
    let known: &[AtomicU64] = known;
    let of_row = |row: usize| Known(&known[row * columns..(row + 1) * columns]);
    let left = Mutex::new(fits.chunks_exact_mut(columns).enumerate());
    let next = || {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        if backwards { left.next_back() } else { left.next() }
    };
    // Rows are taken in order, so whoever is waited for has begun.
    (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
        while let Some((row, fits)) = next() {
            let before = if backwards { Some(row + 1).filter(|&row| row < rows) } else { row.checked_sub(1) };
            let own = of_row(row);
            let _at_last = AtLast(own);
            search(grid.rows[row], before.map(of_row), own, fits);
        }
    });
}

/// How rows of patches are searched.
struct Row<'a> {
    pair: &'a Pair<'a>,
    columns: &'a [usize],
    start: [&'a Plane; 2],
    steps: usize,
    near: f32,
}

dispatched! {
    fn search_from_left / search_from_left_plain(
        row: &Row<'_>, y: usize, above: Option<Known<'_>>, own: Known<'_>, fits: &mut [Fit],
    ) {
        let Row { pair, start: [u, v], steps, .. } = row;
        let mut left = None;
        for (column, (&x, fit)) in row.columns.iter().zip(fits).enumerate() {
            let patch = pair.patch((x, y));
            let middle = u.index((x + SIDE / 2) as isize, (y + SIDE / 2) as isize);
            let mut best = patch.fit(pair.to, (x, y), (u.samples()[middle], v.samples()[middle]));
            let above = above.map(|above| above.ask(column));
            for near in [left, above].into_iter().flatten() {
                if best.is_near(near, row.near) {
                    continue;
                }
                let candidate = patch.fit(pair.to, (x, y), near);
                best = if candidate.error < best.error { candidate } else { best };
            }
            *fit = patch.descend(pair.to, (x, y), best, *steps);
            own.tell(column, fit);
            left = Some((fit.u, fit.v));
        }
    }
}

dispatched! {
    fn search_from_right / search_from_right_plain(
        row: &Row<'_>, y: usize, below: Option<Known<'_>>, own: Known<'_>, fits: &mut [Fit],
    ) {
        let Row { pair, steps, .. } = row;
        let mut right = None;
        for (column, (&x, fit)) in row.columns.iter().zip(fits).enumerate().rev() {
            let below = below.map(|below| below.ask(column));
            let elsewhere = [right, below].map(|near| near.filter(|near| !fit.is_near(*near, row.near)));
            if elsewhere.iter().any(Option::is_some) {
                let patch = pair.patch((x, y));
                let mut best = *fit;
                let mut better = false;
                for near in elsewhere.into_iter().flatten() {
                    let candidate = patch.fit(pair.to, (x, y), near);
                    if candidate.error < best.error {
                        (best, better) = (candidate, true);
                    }
                }
                if better {
                    *fit = patch.descend(pair.to, (x, y), best, *steps);
                }
            }
            own.tell(column, fit);
            right = Some((fit.u, fit.v));
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

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

    /// As the documentation has it, a patch after the other.
    fn search_in_order(
        pair: &Pair<'_>,
        grid: &Grid,
        [u, v]: [&Plane; 2],
        (steps, near): (usize, f32),
    ) -> Vec<Fit> {
        let columns = grid.columns.len();
        let places: Vec<_> = grid.places().collect();
        let mut fits: Vec<Fit> = Vec::new();
        for (here, &(x, y)) in places.iter().enumerate() {
            let patch = pair.patch((x, y));
            let start = (u.row(y + SIDE / 2)[x + SIDE / 2], v.row(y + SIDE / 2)[x + SIDE / 2]);
            let left = (here % columns > 0).then(|| (fits[here - 1].u, fits[here - 1].v));
            let above = (here >= columns).then(|| (fits[here - columns].u, fits[here - columns].v));
            let mut best = patch.fit(pair.to, (x, y), start);
            for at in [left, above].into_iter().flatten() {
                if !best.is_near(at, near) {
                    let next = patch.fit(pair.to, (x, y), at);
                    best = if next.error < best.error { next } else { best };
                }
            }
            fits.push(patch.descend(pair.to, (x, y), best, steps));
        }
        for (here, &(x, y)) in places.iter().enumerate().rev() {
            let patch = pair.patch((x, y));
            let right = Some(here + 1).filter(|right| right % columns > 0);
            let below = Some(here + columns).filter(|&below| below < fits.len());
            let tries = [right, below].into_iter().flatten().map(|near| (fits[near].u, fits[near].v));
            let tries = tries.filter(|place| !fits[here].is_near(*place, near));
            let tries: Vec<Fit> = tries.map(|at| patch.fit(pair.to, (x, y), at)).collect();
            let here = &mut fits[here];
            let best =
                tries.into_iter().fold(*here, |best, next| if next.error < best.error { next } else { best });
            if best.error < here.error {
                *here = patch.descend(pair.to, (x, y), best, steps);
            }
        }
        fits
    }

    fn bits(fits: &[Fit]) -> Vec<[u32; 3]> {
        fits.iter().map(|fit| [fit.u, fit.v, fit.error].map(f32::to_bits)).collect()
    }

    #[test]
    fn rows_beside_each_other_find_what_patches_find_one_after_the_other() {
        for (width, height) in [(16, 16), (37, 21), (170, 133), (16, 300)] {
            let size = Size::new(width, height);
            with_noise(size, 3, |pair, grid| {
                let start = Plane::new(size);
                let plain = search_in_order(pair, grid, [&start, &start], (16, 0.05));
                for threads in [1, 2, 3, 7] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut fits = Fits::default();
                    // Twice, because what was known must not be known the next time.
                    for _ in 0..2 {
                        pool.install(|| search(pair, grid, &start, &start, (16, 0.05), &mut fits));
                        assert!(bits(fits.all()) == bits(&plain), "{size} on {threads} threads");
                    }
                }
            });
        }
    }

    #[test]
    fn who_waits_for_a_row_that_failed_goes_on() {
        let size = Size::new(170, 133);
        with_noise(size, 3, |_, grid| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            for backwards in [false, true] {
                let run = || {
                    pass(grid, &mut Fits::default(), 3, backwards, |y, before, own, fits| {
                        assert!(y != grid.rows[9], "a row that fails");
                        for (column, fit) in fits.iter().enumerate() {
                            before.map(|before| before.ask(column));
                            own.tell(column, fit);
                        }
                    });
                };
                let failed = catch_unwind(AssertUnwindSafe(|| pool.install(run)));
                assert!(failed.is_err());
            }
        });
    }

    #[test]
    fn the_search_finds_the_same_bits_on_every_processor() {
        for (width, height) in [(16, 16), (37, 21), (50, 33)] {
            let size = Size::new(width, height);
            with_noise(size, 3, |pair, grid| {
                let start = Plane::new(size);
                let mut fast = Fits::default();
                search(pair, grid, &start, &start, (16, 0.05), &mut fast);
                let mut plain = Fits::default();
                let row =
                    Row { pair, columns: &grid.columns, start: [&start, &start], steps: 16, near: 0.05 };
                pass(grid, &mut plain, 1, false, |y, before, own, fits| {
                    search_from_left_plain(&row, y, before, own, fits);
                });
                pass(grid, &mut plain, 1, true, |y, before, own, fits| {
                    search_from_right_plain(&row, y, before, own, fits);
                });
                assert_eq!(bits(fast.all()), bits(plain.all()), "{size}");
                assert_eq!(fast.all().len(), grid.places().count());
            });
        }
    }
}
