//! The flow of every pixel, from where the patches went.

use rayon::prelude::*;

use super::patch::{Fit, SIDE, Sampling};
use super::search::{Grid, Pair};
use crate::image::bands::rows_in_band;
use crate::image::lanes::{Lanes, dispatched};
use crate::image::plane::{Band, Plane};

/// A residual below this many levels counts no more than this: noise decides nothing.
const SMALLEST_RESIDUAL: f32 = 1.0;

/// Fills `u` and `v`: at each pixel the mean of the patches that cover it, weighted by the
/// inverse of their residuals there (Kroeger et al. 2016, equation 3). As in the search, the
/// mean of a patch's residual is taken away. `weight` is scratch.
pub fn densify(pair: &Pair<'_>, grid: &Grid, fits: &[Fit], u: &mut Plane, v: &mut Plane, weight: &mut Plane) {
    in_bands(u, v, weight, |band| densify_rows(pair, grid, fits, band));
}

/// [`densify`] for every processor.
#[cfg(test)]
fn densify_plain(
    pair: &Pair<'_>,
    grid: &Grid,
    fits: &[Fit],
    u: &mut Plane,
    v: &mut Plane,
    weight: &mut Plane,
) {
    in_bands(u, v, weight, |band| densify_rows_plain(pair, grid, fits, band));
}

/// Rows of `u`, `v` and `weight`.
fn in_bands(u: &mut Plane, v: &mut Plane, weight: &mut Plane, fill: impl Fn([&mut Band<'_>; 3]) + Sync) {
    let count = rows_in_band(u.size);
    let bands = u.bands_mut(count).zip(v.bands_mut(count)).zip(weight.bands_mut(count));
    bands.for_each(|((mut u, mut v), mut weight)| {
        fill([&mut u, &mut v, &mut weight]);
        for y in u.rows() {
            u.extend(y);
            v.extend(y);
        }
    });
    u.extend_ends();
    v.extend_ends();
}

dispatched! {
    fn densify_rows / densify_rows_plain(pair: &Pair<'_>, grid: &Grid, fits: &[Fit], band: [&mut Band<'_>; 3]) {
        let [u, v, weight] = band;
        u.fill(0.0);
        v.fill(0.0);
        weight.fill(0.0);
        let rows = u.rows();
        let least = Lanes::splat(SMALLEST_RESIDUAL);
        for (index, (x, y)) in grid.covering(rows.clone()) {
            let fit = &fits[index];
            let residual = residual(pair, fit, x, y);
            let (fit_u, fit_v) = (Lanes::splat(fit.u), Lanes::splat(fit.v));
            for (y, residual) in (y..).zip(residual) {
                if !rows.contains(&y) {
                    continue;
                }
                let share = Lanes::splat(1.0) / residual.abs().max(least);
                let x = x as isize;
                add(weight, x, y, share);
                add(u, x, y, share * fit_u);
                add(v, x, y, share * fit_v);
            }
        }
        // In the border nothing was added, and the least weight keeps that finite.
        let least = Lanes::splat(f32::MIN_POSITIVE);
        for y in rows {
            let weight = weight.lanes_mut(y);
            for ((u, v), weight) in u.lanes_mut(y).iter_mut().zip(v.lanes_mut(y)).zip(weight) {
                let weight = Lanes(*weight).max(least);
                *u = (Lanes(*u) / weight).0;
                *v = (Lanes(*v) / weight).0;
            }
        }
    }
}

/// What differs between a patch and where it went, without the mean of that.
#[inline(always)]
fn residual(pair: &Pair<'_>, fit: &Fit, x: usize, y: usize) -> [Lanes; SIDE] {
    let at = Sampling::new(pair.to, x as f32 + fit.u, y as f32 + fit.v);
    let mut residual = [Lanes::ZERO; SIDE];
    let mut sum = Lanes::ZERO;
    let mut above = at.blend(0);
    for (row, residual) in residual.iter_mut().enumerate() {
        let below = at.blend(row + 1);
        let here = Lanes::load(pair.from.rest(x as isize, (y + row) as isize));
        *residual = above + at.fraction_y * (below - above) - here;
        above = below;
        sum += *residual;
    }
    let mean = Lanes::splat(sum.sum() / (SIDE * SIDE) as f32);
    residual.iter_mut().for_each(|residual| *residual = *residual - mean);
    residual
}

#[inline(always)]
fn add(band: &mut Band<'_>, x: isize, y: usize, value: Lanes) {
    let to = band.rest_mut(x, y);
    (Lanes::load(to) + value).store(to);
}

#[cfg(test)]
mod tests {
    use super::super::search::{Fits, search, tests::with_noise};
    use super::*;
    use crate::image::Size;

    #[test]
    fn patches_that_agree_give_every_pixel_what_they_say() {
        for (width, height, stride) in [(16, 16, 8), (37, 21, 3), (50, 33, 4)] {
            let size = Size::new(width, height);
            with_noise(size, stride, |pair, grid| {
                let (mut start_u, mut start_v) = (Plane::new(size), Plane::new(size));
                start_u.fill(1.25);
                start_v.fill(-0.5);
                let mut fits = Fits::default();
                search(pair, grid, &start_u, &start_v, (0, 0.0), &mut fits);
                let [mut u, mut v, mut weight] = [Plane::new(size), Plane::new(size), Plane::new(size)];
                densify(pair, grid, fits.all(), &mut u, &mut v, &mut weight);
                assert!(u.samples().iter().all(|u| (u - 1.25).abs() < 1e-4), "{size}");
                assert!(v.samples().iter().all(|v| (v + 0.5).abs() < 1e-4), "{size}");
            });
        }
    }

    #[test]
    fn densification_gives_the_same_bits_on_every_processor() {
        let size = Size::new(53, 38);
        with_noise(size, 3, |pair, grid| {
            let start = Plane::new(size);
            let mut fits = Fits::default();
            search(pair, grid, &start, &start, (16, 0.05), &mut fits);
            let planes = |densify: fn(&Pair<'_>, &Grid, &[Fit], &mut Plane, &mut Plane, &mut Plane)| {
                let [mut u, mut v, mut weight] = [Plane::new(size), Plane::new(size), Plane::new(size)];
                densify(pair, grid, fits.all(), &mut u, &mut v, &mut weight);
                (u.samples().to_vec(), v.samples().to_vec())
            };
            assert_eq!(planes(densify), planes(densify_plain));
        });
    }
}
