//! One patch of a picture and how well it fits another picture at a displacement.
//!
//! Inverse search: the slopes are those of the patch, so that they, and the matrix that turns a
//! residual into a step, are computed once, however many steps are taken (Kroeger et al. 2016,
//! section 2.1; Baker and Matthews 2004). The mean of a patch is taken away: brightness that
//! changes by an offset does not matter.

use crate::image::lanes::{LANES, Lanes};
use crate::image::plane::{BORDER, Plane};

/// Rows and columns of a patch.
pub const SIDE: usize = LANES;

const AREA: f32 = (SIDE * SIDE) as f32;

/// Added to the sums of squared slopes of a patch, in squared levels per pixel. Where there is
/// little to see, a patch stays near where it started, and noise moves it less: against 1, the
/// error on the Middlebury pairs falls from 0.268 to 0.263 pixels, and from 0.67 to 0.60 with noise
/// of 12 levels. 3000 gains another 3 % with noise, nothing without.
const DAMPING: f32 = 1000.0;

/// A step shorter than this, in pixels, is the last one. A tenth of the error that good flow has.
const LAST_STEP: f32 = 0.01;

/// A patch, ready to be searched for.
pub struct Patch {
    /// Levels, row by row.
    value: [Lanes; SIDE],
    /// Slopes with their mean taken away, levels per pixel.
    slope_x: [Lanes; SIDE],
    slope_y: [Lanes; SIDE],
    /// The inverse of the sums of their products: xx, xy, yy.
    inverse: [f32; 3],
}

/// Where a patch was compared, and how well it fits there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fit {
    /// Displacement in pixels.
    pub u: f32,
    /// Displacement in pixels.
    pub v: f32,
    /// Sum of squared differences after their mean is taken away.
    pub error: f32,
    /// The step towards a better fit, in pixels.
    step: (f32, f32),
}

impl Fit {
    /// Whether a displacement lies nearer to this one's than so much: steps from both lead to the same place.
    #[inline(always)]
    pub fn is_near(&self, (u, v): (f32, f32), near: f32) -> bool {
        let (du, dv) = (u - self.u, v - self.v);
        du * du + dv * dv < near * near
    }
}

impl Patch {
    /// The patch with its first sample at `(x, y)`, of a plane with its slopes.
    #[inline(always)]
    pub fn cut(plane: &Plane, along_x: &Plane, along_y: &Plane, x: usize, y: usize) -> Self {
        let value = rows(plane, x, y);
        let slope_x = without_mean(rows(along_x, x, y));
        let slope_y = without_mean(rows(along_y, x, y));
        let (mut xx, mut xy, mut yy) = (Lanes::ZERO, Lanes::ZERO, Lanes::ZERO);
        for (&sx, &sy) in slope_x.iter().zip(&slope_y) {
            xx += sx * sx;
            xy += sx * sy;
            yy += sy * sy;
        }
        let (xx, xy, yy) = (xx.sum() + DAMPING, xy.sum(), yy.sum() + DAMPING);
        // Not less than for a flat patch, whatever the rounding.
        let determinant = (xx * yy - xy * xy).max(DAMPING * DAMPING);
        let inverse = [yy / determinant, -xy / determinant, xx / determinant];
        Self { value, slope_x, slope_y, inverse }
    }

    /// Compares with another plane, the first sample of the patch at `(x, y)` displaced by `(u, v)`.
    #[inline(always)]
    pub fn fit(&self, to: &Plane, (x, y): (usize, usize), (u, v): (f32, f32)) -> Fit {
        let at = Sampling::new(to, x as f32 + u, y as f32 + v);
        let (mut sum, mut squares) = (Lanes::ZERO, Lanes::ZERO);
        let (mut along_x, mut along_y) = (Lanes::ZERO, Lanes::ZERO);
        let mut above = at.blend(0);
        for r in 0..SIDE {
            let below = at.blend(r + 1);
            let difference = above + at.fraction_y * (below - above) - self.value[r];
            above = below;
            sum += difference;
            squares += difference * difference;
            along_x += self.slope_x[r] * difference;
            along_y += self.slope_y[r] * difference;
        }
        let sum = sum.sum();
        let (bx, by) = (along_x.sum(), along_y.sum());
        let [xx, xy, yy] = self.inverse;
        let error = squares.sum() - sum * sum / AREA;
        Fit { u, v, error, step: (-(xx * bx + xy * by), -(xy * bx + yy * by)) }
    }

    /// Follows the steps from a fit down to where it gets no better, `steps` at most.
    #[inline(always)]
    pub fn descend(&self, to: &Plane, at: (usize, usize), start: Fit, steps: usize) -> Fit {
        let mut best = start;
        for _ in 0..steps {
            let (u, v) = (best.u + best.step.0, best.v + best.step.1);
            let (du, dv) = (u - start.u, v - start.v);
            // Further than its own side a patch has lost what it started from.
            if du * du + dv * dv > (SIDE * SIDE) as f32 {
                return start;
            }
            let next = self.fit(to, at, (u, v));
            if next.error >= best.error {
                break;
            }
            let (du, dv) = best.step;
            best = next;
            if du * du + dv * dv < LAST_STEP * LAST_STEP {
                break;
            }
        }
        best
    }
}

#[inline(always)]
fn rows(plane: &Plane, x: usize, y: usize) -> [Lanes; SIDE] {
    let mut rows = [Lanes::ZERO; SIDE];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = Lanes::load(plane.rest(x as isize, (y + r) as isize));
    }
    rows
}

#[inline(always)]
fn without_mean(mut rows: [Lanes; SIDE]) -> [Lanes; SIDE] {
    let mut sum = Lanes::ZERO;
    rows.iter().for_each(|&row| sum += row);
    let mean = Lanes::splat(sum.sum() / AREA);
    rows.iter_mut().for_each(|row| *row = *row - mean);
    rows
}

/// A patch of a plane between the samples. Outside the plane its border is read, and further out
/// the outermost patch that can be.
pub struct Sampling<'a> {
    plane: &'a Plane,
    first: usize,
    fraction_x: Lanes,
    /// The weight of the lower of two rows.
    pub fraction_y: Lanes,
}

impl<'a> Sampling<'a> {
    /// The patch with its first sample at `(x, y)`.
    #[inline(always)]
    pub fn new(plane: &'a Plane, x: f32, y: f32) -> Self {
        let first = -(BORDER as f32);
        let last = |side: usize| (side + BORDER - SIDE - 2) as f32;
        // `max` before `min`: a NaN lands in the border and stays finite.
        let x = x.max(first).min(last(plane.size.width));
        let y = y.max(first).min(last(plane.size.height));
        let (whole_x, whole_y) = (x.floor(), y.floor());
        Self {
            plane,
            first: plane.index(whole_x as isize, whole_y as isize),
            fraction_x: Lanes::splat(x - whole_x),
            fraction_y: Lanes::splat(y - whole_y),
        }
    }

    /// A row between the columns.
    #[inline(always)]
    pub fn blend(&self, row: usize) -> Lanes {
        let start = self.first + row * self.plane.stride;
        let samples = &self.plane.samples()[start..start + LANES + 1];
        let (left, right) = (Lanes::load(samples), Lanes::load(&samples[1..]));
        left + self.fraction_x * (right - left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scale::slopes;
    use super::*;
    use crate::image::Size;
    use crate::image::plane::tests::{noise, plane};

    /// A patch search that follows the formulas sample by sample: the error and the step at a displacement.
    fn plain(from: &Plane, to: &Plane, (x, y): (usize, usize), (u, v): (f32, f32)) -> (f64, f64, f64) {
        let at = |plane: &Plane, x: isize, y: isize| f64::from(plane.samples()[plane.index(x, y)]);
        let (mut along_x, mut along_y) = (Plane::new(from.size), Plane::new(from.size));
        slopes(from, &mut along_x, &mut along_y);
        let (mut differences, mut slopes_x, mut slopes_y) = (vec![], vec![], vec![]);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let (px, py) = ((x + column) as isize, (y + row) as isize);
                let (sx, sy) = (f64::from(px as f32 + u), f64::from(py as f32 + v));
                let (ix, iy) = (sx.floor() as isize, sy.floor() as isize);
                let (fx, fy) = (sx - sx.floor(), sy - sy.floor());
                let above = at(to, ix, iy) * (1.0 - fx) + at(to, ix + 1, iy) * fx;
                let below = at(to, ix, iy + 1) * (1.0 - fx) + at(to, ix + 1, iy + 1) * fx;
                differences.push(above * (1.0 - fy) + below * fy - at(from, px, py));
                slopes_x.push(at(&along_x, px, py));
                slopes_y.push(at(&along_y, px, py));
            }
        }
        for values in [&mut differences, &mut slopes_x, &mut slopes_y] {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter_mut().for_each(|value| *value -= mean);
        }
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (xx, xy) = (product(&slopes_x, &slopes_x), product(&slopes_x, &slopes_y));
        let yy = product(&slopes_y, &slopes_y) + f64::from(DAMPING);
        let xx = xx + f64::from(DAMPING);
        let (bx, by) = (product(&slopes_x, &differences), product(&slopes_y, &differences));
        let determinant = xx * yy - xy * xy;
        (
            product(&differences, &differences),
            -(yy * bx - xy * by) / determinant,
            -(xx * by - xy * bx) / determinant,
        )
    }

    fn fast(from: &Plane, to: &Plane, at: (usize, usize), flow: (f32, f32)) -> (f64, f64, f64) {
        let (mut along_x, mut along_y) = (Plane::new(from.size), Plane::new(from.size));
        slopes(from, &mut along_x, &mut along_y);
        let fit = Patch::cut(from, &along_x, &along_y, at.0, at.1).fit(to, at, flow);
        (f64::from(fit.error), f64::from(fit.step.0), f64::from(fit.step.1))
    }

    type Step = fn(&Plane, &Plane, (usize, usize), (f32, f32)) -> (f64, f64, f64);

    /// The kernel and the formulas that it must follow.
    const STEPS: &[(&str, Step)] = &[("plain", plain), ("fast", fast)];

    fn waves(size: Size, u: f32, v: f32, offset: f32) -> Plane {
        plane(size, |x, y| {
            let (x, y) = (x as f32 - u, y as f32 - v);
            120.0 + offset + 50.0 * (0.35 * x + 0.1 * y).sin() + 40.0 * (0.3 * y - 0.15 * x).sin()
        })
    }

    #[test]
    fn a_step_leads_most_of_the_way_to_a_small_displacement() {
        let size = Size::new(48, 40);
        for (name, step) in STEPS {
            for (u, v) in [(0.5, 0.0), (0.0, -0.5), (0.4, 0.3), (-0.7, 0.6)] {
                let (_, du, dv) =
                    step(&waves(size, 0.0, 0.0, 0.0), &waves(size, u, v, 0.0), (20, 16), (0.0, 0.0));
                let left = (du - f64::from(u)).hypot(dv - f64::from(v));
                assert!(left < 0.35 * f64::from(u.hypot(v)), "{name}: ({du}, {dv}), not ({u}, {v})");
            }
        }
    }

    #[test]
    fn an_offset_of_brightness_changes_neither_error_nor_step() {
        let size = Size::new(48, 40);
        for (name, step) in STEPS {
            let of = |offset| {
                step(&waves(size, 0.0, 0.0, 0.0), &waves(size, 0.4, 0.3, offset), (20, 16), (0.2, 0.1))
            };
            let (error, u, v) = of(0.0);
            for offset in [-40.0, 3.0, 30.0] {
                let (e, x, y) = of(offset);
                assert!((e - error).abs() < 0.01 * error + 1.0, "{name}: error {e}, not {error}");
                assert!((x - u).abs() < 1e-3 && (y - v).abs() < 1e-3, "{name}: ({x}, {y}), not ({u}, {v})");
            }
        }
    }

    #[test]
    fn the_kernel_follows_the_formulas_wherever_a_patch_can_lie() {
        for (width, height) in [(16, 16), (17, 23), (40, 19)] {
            let size = Size::new(width, height);
            let (from, to) = (noise(size, 1), noise(size, 2));
            for at in [(0, 0), (width - SIDE, height - SIDE), (3, 5)] {
                for flow in [(0.0, 0.0), (0.25, -0.75), (-7.5, 3.0), (6.0, 5.5)] {
                    let (plain, fast) = (plain(&from, &to, at, flow), fast(&from, &to, at, flow));
                    assert!((plain.0 - fast.0).abs() < 1e-4 * plain.0 + 1.0, "{plain:?} {fast:?}");
                    let apart = (plain.1 - fast.1).hypot(plain.2 - fast.2);
                    assert!(apart < 1e-3, "{size}, {at:?}, {flow:?}: {plain:?} {fast:?}");
                }
            }
        }
    }

    #[test]
    fn a_displacement_out_of_the_picture_reads_its_border() {
        let size = Size::new(20, 18);
        let (from, to) = (noise(size, 1), noise(size, 2));
        for flow in [(1e9, 0.0), (-1e9, 1e9), (f32::NAN, 0.0), (0.0, f32::INFINITY), (-40.0, -40.0)] {
            let (error, u, v) = fast(&from, &to, (6, 6), flow);
            assert!(error.is_finite() && u.is_finite() && v.is_finite(), "{flow:?}");
        }
    }
}
