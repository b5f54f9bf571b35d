//! The flow of a level made smooth where the picture allows it.
//!
//! Minimises the sum over all pixels of the square roots of: the squared difference of levels, the
//! squared difference of slopes, and the squared slopes of the flow (Brox et al. 2004; Kroeger et
//! al. 2016, section 2.3). The differences are linear around the flow that the search found, and
//! normalised, so that strong edges do not count more than weak ones.

use super::checker::{Checker, checker, pack, unpack};
use super::relax::{System, relax};
use super::scale::slopes;
use super::weigh::{Equations, weigh};
use crate::image::Size;
use crate::image::lanes::{Lanes, dispatched};
use crate::image::plane::Plane;

/// Sweeps between two computations of the weights. With five, the error on the Middlebury pairs is
/// 3 % larger; ten gain only where there is noise.
const SWEEPS: usize = 8;

/// Slopes below this many levels per pixel say nothing: their equations fade out.
const LEAST_SLOPE: f32 = 0.1;

/// Slopes along rows and along columns.
struct Slopes {
    x: Plane,
    y: Plane,
}

impl Slopes {
    fn new(size: Size) -> Self {
        Self { x: Plane::new(size), y: Plane::new(size) }
    }

    fn of(&mut self, plane: &Plane) {
        slopes(plane, &mut self.x, &mut self.y);
    }
}

/// What the refinement of a level works on; nothing in it outlives a run.
pub struct Refinement {
    warped: Plane,
    /// 1 where a pixel points into the picture, else 0.
    inside: Plane,
    mean: Plane,
    change: Plane,
    of_mean: Slopes,
    of_change: Slopes,
    of_x: Slopes,
    of_y: Slopes,
    equations: Equations,
    system: System,
    u: Checker,
    v: Checker,
}

impl Refinement {
    /// For levels of this size.
    pub fn new(size: Size) -> Self {
        let equation = || [checker(size), checker(size), checker(size)];
        Self {
            warped: Plane::new(size),
            inside: Plane::new(size),
            mean: Plane::new(size),
            change: Plane::new(size),
            of_mean: Slopes::new(size),
            of_change: Slopes::new(size),
            of_x: Slopes::new(size),
            of_y: Slopes::new(size),
            equations: [equation(), equation(), equation()],
            system: System::new(size),
            u: checker(size),
            v: checker(size),
        }
    }

    /// Refines a flow in place, the weights computed `iterations` times.
    pub fn run(&mut self, from: &Plane, to: &Plane, u: &mut Plane, v: &mut Plane, iterations: usize) {
        if iterations == 0 {
            return;
        }
        warp(to, u, v, &mut self.warped, &mut self.inside);
        self.compare(from);
        self.linearise(u, v);
        for y in 0..u.size.height {
            pack(u.row(y), y, &mut self.u);
            pack(v.row(y), y, &mut self.v);
        }
        for _ in 0..iterations {
            weigh(&self.equations, &self.u, &self.v, u.size.width, &mut self.system);
            relax(&self.system, &mut self.u, &mut self.v, SWEEPS);
        }
        for y in 0..u.size.height {
            unpack(&self.u, y, u.row_mut(y));
            unpack(&self.v, y, v.row_mut(y));
        }
        u.extend();
        v.extend();
    }

    /// Fills `mean` and `change` and their slopes. What changed everywhere alike is taken away: a
    /// change of brightness is no motion.
    fn compare(&mut self, from: &Plane) {
        let (mut sum, mut count) = (0.0_f64, 0.0_f64);
        for y in 0..from.size.height {
            let pictures = from.row(y).iter().zip(self.warped.row(y)).zip(self.inside.row(y));
            let rows = self.mean.row_mut(y).iter_mut().zip(self.change.row_mut(y));
            let (mut row_sum, mut row_count) = (0.0, 0.0);
            for (((from, warped), inside), (mean, change)) in pictures.zip(rows) {
                *mean = 0.5 * (from + warped);
                *change = warped - from;
                row_sum += inside * *change;
                row_count += inside;
            }
            sum += f64::from(row_sum);
            count += f64::from(row_count);
        }
        let offset = (sum / count.max(1.0)) as f32;
        for y in 0..from.size.height {
            self.change.row_mut(y).iter_mut().for_each(|change| *change -= offset);
        }
        self.mean.extend();
        self.change.extend();
        self.of_mean.of(&self.mean);
        self.of_change.of(&self.change);
        self.of_x.of(&self.of_mean.x);
        self.of_y.of(&self.of_mean.y);
    }

    /// Writes the equations. A pixel that points out of the picture has none.
    fn linearise(&mut self, u: &Plane, v: &Plane) {
        let terms = [
            [&self.of_mean.x, &self.of_mean.y, &self.change],
            [&self.of_x.x, &self.of_x.y, &self.of_change.x],
            [&self.of_x.y, &self.of_y.y, &self.of_change.y],
        ];
        let mut row = [
            Plane::new(Size::new(u.size.width, 1)),
            Plane::new(Size::new(u.size.width, 1)),
            Plane::new(Size::new(u.size.width, 1)),
        ];
        for y in 0..u.size.height {
            for (term, equation) in terms.iter().zip(&mut self.equations) {
                normalise(*term, u, v, &self.inside, y as isize, &mut row);
                for (row, to) in row.iter().zip(equation) {
                    pack(row.row(0), y, to);
                }
            }
        }
    }
}

dispatched! {
    /// One row of an equation: about the flow instead of its change, and as long as its slopes.
    fn normalise / normalise_plain(
        term: [&Plane; 3], u: &Plane, v: &Plane, inside: &Plane, y: isize, to: &mut [Plane; 3],
    ) {
        let [a, b, c] = term;
        let a = a.lanes(0, y);
        let count = a.len();
        let (b, c) = (&b.lanes(0, y)[..count], &c.lanes(0, y)[..count]);
        let (u, v) = (&u.lanes(0, y)[..count], &v.lanes(0, y)[..count]);
        let inside = &inside.lanes(0, y)[..count];
        let [to_a, to_b, to_c] = to;
        let to_a = &mut to_a.lanes_mut(0, 0)[..count];
        let to_b = &mut to_b.lanes_mut(0, 0)[..count];
        let to_c = &mut to_c.lanes_mut(0, 0)[..count];
        let least = Lanes::splat(LEAST_SLOPE * LEAST_SLOPE);
        for k in 0..count {
            let (a, b, c) = (Lanes(a[k]), Lanes(b[k]), Lanes(c[k]));
            let scale = Lanes(inside[k]) / (a * a + b * b + least).sqrt();
            to_a[k] = (scale * a).0;
            to_b[k] = (scale * b).0;
            to_c[k] = (scale * (c - a * Lanes(u[k]) - b * Lanes(v[k]))).0;
        }
    }
}

/// Samples `from` where the flow points, bilinear; where that is outside, at its edge.
fn warp(from: &Plane, u: &Plane, v: &Plane, to: &mut Plane, inside: &mut Plane) {
    let (last_x, last_y) = ((from.size.width - 1) as f32, (from.size.height - 1) as f32);
    for y in 0..from.size.height {
        let flow = u.row(y).iter().zip(v.row(y));
        let to = to.row_mut(y).iter_mut().zip(inside.row_mut(y));
        for ((x, (to, inside)), (u, v)) in to.enumerate().zip(flow) {
            let (far_x, far_y) = (x as f32 + u, y as f32 + v);
            let (px, py) = (far_x.max(0.0).min(last_x), far_y.max(0.0).min(last_y));
            *inside = if px == far_x && py == far_y { 1.0 } else { 0.0 };
            let (column, row) = (px as u16, py as u16);
            let (fx, fy) = (px - f32::from(column), py - f32::from(row));
            let at = from.index(column as isize, row as isize);
            let above = &from.samples()[at..at + 2];
            let below = &from.samples()[at + from.stride..at + from.stride + 2];
            let above = above[0] + fx * (above[1] - above[0]);
            let below = below[0] + fx * (below[1] - below[0]);
            *to = above + fy * (below - above);
        }
    }
    to.extend();
}

#[cfg(test)]
mod tests {
    use super::super::weigh::weigh_plain;
    use super::*;
    use crate::image::plane::tests::{noise, plane};

    #[test]
    fn pictures_that_are_alike_leave_a_flow_of_zero_alone() {
        for (width, height) in [(16, 16), (37, 21), (50, 33)] {
            let picture = noise(Size::new(width, height), 1);
            let [mut u, mut v] = [Plane::new(picture.size), Plane::new(picture.size)];
            Refinement::new(picture.size).run(&picture, &picture, &mut u, &mut v, 5);
            assert!(u.samples().iter().chain(v.samples()).all(|&f| f == 0.0), "{width}x{height}");
        }
    }

    #[test]
    fn a_flow_that_is_nearly_right_becomes_better() {
        let size = Size::new(64, 48);
        let wave = |shift: f32| {
            plane(size, move |x, y| {
                let (x, y) = (x as f32 - shift, y as f32 - 0.5 * shift);
                120.0 + 50.0 * (0.35 * x + 0.1 * y).sin() + 40.0 * (0.3 * y - 0.15 * x).sin()
            })
        };
        for shift in [0.3, -0.4, 0.5] {
            let [mut u, mut v] = [Plane::new(size), Plane::new(size)];
            Refinement::new(size).run(&wave(0.0), &wave(shift), &mut u, &mut v, 5);
            let (u, v) = (u.row(24)[32], v.row(24)[32]);
            let left = (u - shift).hypot(v - 0.5 * shift);
            assert!(left < 0.3 * shift.abs(), "({u}, {v}) at {shift}");
        }
    }

    #[test]
    fn equations_have_the_same_bits_on_every_processor() {
        for (width, height) in [(16, 16), (37, 21)] {
            let size = Size::new(width, height);
            let (from, to) = (noise(size, 1), noise(size, 2));
            let [u, v] = [plane(size, |x, y| (x + y) as f32 * 0.1), plane(size, |x, _| x as f32 * -0.2)];
            let mut work = Refinement::new(size);
            warp(&to, &u, &v, &mut work.warped, &mut work.inside);
            work.compare(&from);
            work.linearise(&u, &v);
            let mut plain = work.system.clone();
            weigh(&work.equations, &work.u, &work.v, width, &mut work.system);
            weigh_plain(&work.equations, &work.u, &work.v, width, &mut plain);
            let bits = |system: &System| {
                let parts = system.inverse.iter().chain(&system.known).chain([&system.right, &system.down]);
                parts
                    .flatten()
                    .flat_map(|plane| plane.samples().iter().map(|s| s.to_bits()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(bits(&work.system), bits(&plain), "{size}");
            let row = || [Plane::new(size), Plane::new(size), Plane::new(size)];
            let (mut fast, mut plain) = (row(), row());
            let term = [&work.of_mean.x, &work.of_mean.y, &work.change];
            normalise(term, &u, &v, &work.inside, 3, &mut fast);
            normalise_plain(term, &u, &v, &work.inside, 3, &mut plain);
            assert!(fast.iter().zip(&plain).all(|(fast, plain)| fast.samples() == plain.samples()), "{size}");
        }
    }
}
