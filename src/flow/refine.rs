//! The flow of a level made smooth where the picture allows it.
//!
//! Minimises the sum over all pixels of the square roots of: the squared difference of levels, the
//! squared difference of slopes, and the squared slopes of the flow (Brox et al. 2004; Kroeger et
//! al. 2016, section 2.3). The differences are linear around the flow that the search found, and
//! normalised, so that strong edges do not count more than weak ones.

use std::ops::Range;

use rayon::prelude::*;

use super::checker::{Checker, checker, pack, unpack};
use super::relax::{System, relax};
use super::scale::slopes;
use super::weigh::{Equations, weigh};
use crate::image::Size;
use crate::image::bands::{rows_in_band, rows_in_bands};
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
    /// 1 where a pixel points into the picture, else 0.
    inside: Plane,
    mean: Plane,
    change: Plane,
    of_mean: Slopes,
    of_change: Slopes,
    of_x: Slopes,
    of_y: Slopes,
    /// Of each row, the sum of changes and over how many pixels.
    sums: Vec<[f32; 2]>,
    parts: Vec<Part>,
    /// Rows of a part, but for the last.
    rows_in_part: usize,
}

/// Rows that a thread solves the equations of, and so many of its neighbours' that they are solved as if those were there:
/// in a sweep, a pixel hears of what is two rows away.
struct Part {
    own: Range<usize>,
    around: Range<usize>,
    equations: Equations,
    system: System,
    u: Checker,
    v: Checker,
    /// Scratch of a row.
    row: [Plane; 3],
}

/// Rows that sweeps carry anything across. Even, so that a part's first pixel is a red one.
const REACH: usize = 2 * SWEEPS;

impl Part {
    fn new(own: Range<usize>, size: Size) -> Self {
        let around = own.start.saturating_sub(REACH)..(own.end + REACH).min(size.height);
        let part = Size::new(size.width, around.len());
        let equation = || [checker(part), checker(part), checker(part)];
        let row = || Plane::new(Size::new(size.width, 1));
        Self {
            own,
            around,
            equations: [equation(), equation(), equation()],
            system: System::new(part),
            u: checker(part),
            v: checker(part),
            row: [row(), row(), row()],
        }
    }

    /// Takes the flow so far.
    fn begin(&mut self, u: &Plane, v: &Plane) {
        for (row, y) in self.around.clone().enumerate() {
            pack(u.row(y), row, &mut self.u);
            pack(v.row(y), row, &mut self.v);
        }
    }

    fn solve(&mut self, width: usize) {
        weigh(&self.equations, &self.u, &self.v, width, &mut self.system);
        relax(&self.system, &mut self.u, &mut self.v, SWEEPS);
    }

    /// Takes rows that are another's own.
    fn hear(&mut self, other: &Self) {
        let shared = self.around.start.max(other.own.start)..self.around.end.min(other.own.end);
        for y in shared {
            let (from, to) = ((y - other.around.start) as isize, (y - self.around.start) as isize);
            for (from_flow, to_flow) in [(&other.u, &mut self.u), (&other.v, &mut self.v)] {
                for (from_colour, to_colour) in from_flow.iter().zip(to_flow) {
                    to_colour.rest_mut(0, to).copy_from_slice(from_colour.rest(0, from));
                }
            }
        }
    }
}

impl Refinement {
    /// For levels of this size.
    pub fn new(size: Size) -> Self {
        Self {
            inside: Plane::new(size),
            mean: Plane::new(size),
            change: Plane::new(size),
            of_mean: Slopes::new(size),
            of_change: Slopes::new(size),
            of_x: Slopes::new(size),
            of_y: Slopes::new(size),
            sums: vec![[0.0; 2]; size.height],
            parts: Vec::new(),
            rows_in_part: 0,
        }
    }

    /// Refines a flow in place, the weights computed `iterations` times.
    pub fn run(&mut self, from: &Plane, to: &Plane, u: &mut Plane, v: &mut Plane, iterations: usize) {
        let rows = rows_in_bands(from.size, rayon::current_num_threads()).max(REACH);
        self.run_in_parts(from, to, u, v, iterations, rows);
    }

    /// As [`Self::run`], with parts of so many rows: an even number, and not fewer than [`REACH`].
    fn run_in_parts(
        &mut self,
        from: &Plane,
        to: &Plane,
        u: &mut Plane,
        v: &mut Plane,
        iterations: usize,
        rows: usize,
    ) {
        if iterations == 0 {
            return;
        }
        self.divide(from.size, rows);
        self.compare(from, to, u, v);
        self.linearise(u, v);
        for iteration in 0..iterations {
            if iteration > 0 {
                self.exchange();
            }
            self.parts.par_iter_mut().for_each(|part| part.solve(from.size.width));
        }
        for (flow, of) in [(&mut *u, (|part| &part.u) as fn(&Part) -> &Checker), (&mut *v, |part| &part.v)] {
            flow.bands_mut(self.rows_in_part).zip(&self.parts).for_each(|(mut band, part)| {
                for y in band.rows() {
                    unpack(of(part), y - part.around.start, band.row_mut(y));
                    band.extend(y);
                }
            });
            flow.extend_ends();
        }
    }

    fn divide(&mut self, size: Size, rows: usize) {
        if self.rows_in_part == rows && !self.parts.is_empty() {
            return;
        }
        let firsts = (0..size.height).step_by(rows);
        self.parts = firsts.map(|y| Part::new(y..(y + rows).min(size.height), size)).collect();
        self.rows_in_part = rows;
    }

    /// Every part hears what the next ones found.
    fn exchange(&mut self) {
        for index in 1..self.parts.len() {
            let (before, behind) = self.parts.split_at_mut(index);
            let (before, behind) = (&mut before[index - 1], &mut behind[0]);
            before.hear(behind);
            behind.hear(before);
        }
    }

    /// Fills `mean` and `change` and their slopes. What changed everywhere alike is taken away: a
    /// change of brightness is no motion.
    fn compare(&mut self, from: &Plane, to: &Plane, u: &Plane, v: &Plane) {
        let count = rows_in_band(from.size);
        let Self { inside, mean, change, sums, .. } = self;
        let bands = inside.bands_mut(count).zip(mean.bands_mut(count)).zip(change.bands_mut(count));
        bands.zip(sums.par_chunks_mut(count)).for_each(|(((mut inside, mut mean), mut change), sums)| {
            for (y, sum) in mean.rows().zip(sums) {
                warp_row(to, y, [u.row(y), v.row(y)], mean.row_mut(y), inside.row_mut(y));
                *sum = compare_row(from.row(y), inside.row_mut(y), mean.row_mut(y), change.row_mut(y));
                mean.extend(y);
            }
        });
        let [sum, pixels] = [0, 1].map(|of| self.sums.iter().map(|row| f64::from(row[of])).sum::<f64>());
        let offset = (sum / pixels.max(1.0)) as f32;
        self.change.bands_mut(count).for_each(|mut change| {
            for y in change.rows() {
                change.row_mut(y).iter_mut().for_each(|change| *change -= offset);
                change.extend(y);
            }
        });
        self.mean.extend_ends();
        self.change.extend_ends();
        self.of_mean.of(&self.mean);
        self.of_change.of(&self.change);
        self.of_x.of(&self.of_mean.x);
        self.of_y.of(&self.of_mean.y);
    }

    /// Writes the equations, and the flow that they begin with. A pixel that points out of the picture has none.
    fn linearise(&mut self, u: &Plane, v: &Plane) {
        let Self { inside, change, of_mean, of_change, of_x, of_y, parts, .. } = self;
        let terms = [
            [&of_mean.x, &of_mean.y, &*change],
            [&of_x.x, &of_x.y, &of_change.x],
            [&of_x.y, &of_y.y, &of_change.y],
        ];
        parts.par_iter_mut().for_each(|part| {
            part.begin(u, v);
            for (to, y) in part.around.clone().enumerate() {
                for (term, equation) in terms.iter().zip(&mut part.equations) {
                    normalise(*term, u, v, inside, y as isize, &mut part.row);
                    for (row, equation) in part.row.iter().zip(equation) {
                        pack(row.row(0), to, equation);
                    }
                }
            }
        });
    }
}

/// Turns a row of what was warped into its mean with where it comes from, and fills in the change. Answers the sum of changes
/// inside of the picture, and of how many pixels.
fn compare_row(from: &[f32], inside: &[f32], warped: &mut [f32], change: &mut [f32]) -> [f32; 2] {
    let (mut sum, mut count) = (0.0, 0.0);
    let pictures = from.iter().zip(inside);
    for (((from, inside), warped), change) in pictures.zip(warped).zip(change) {
        *change = *warped - from;
        *warped = 0.5 * (from + *warped);
        sum += inside * *change;
        count += inside;
    }
    [sum, count]
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

/// Samples `from` where the flow of a row points, bilinear; where that is outside, at its edge.
fn warp_row(from: &Plane, y: usize, [u, v]: [&[f32]; 2], to: &mut [f32], inside: &mut [f32]) {
    let (last_x, last_y) = ((from.size.width - 1) as f32, (from.size.height - 1) as f32);
    let to = to.iter_mut().zip(inside);
    for ((x, (to, inside)), (u, v)) in to.enumerate().zip(u.iter().zip(v)) {
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
    fn parts_are_solved_as_one_to_the_bit() {
        for (width, height) in [(16, 16), (37, 90), (50, 133)] {
            let size = Size::new(width, height);
            let (from, to) = (noise(size, 1), noise(size, 2));
            let refined = |rows: usize| {
                let start = |seed| plane(size, |x, y| noise(size, seed).row(y)[x] / 60.0 - 2.0);
                let (mut u, mut v) = (start(3), start(4));
                let mut work = Refinement::new(size);
                work.run_in_parts(&from, &to, &mut u, &mut v, 5, rows);
                assert_eq!(work.parts.len(), height.div_ceil(rows));
                [u, v].map(|flow| flow.samples().iter().map(|s| s.to_bits()).collect::<Vec<_>>())
            };
            let one = refined(height);
            for rows in [REACH, REACH + 2, 44, 64] {
                assert!(refined(rows) == one, "{size} in parts of {rows} rows");
            }
        }
    }

    #[test]
    fn equations_have_the_same_bits_on_every_processor() {
        for (width, height) in [(16, 16), (37, 21)] {
            let size = Size::new(width, height);
            let (from, to) = (noise(size, 1), noise(size, 2));
            let [u, v] = [plane(size, |x, y| (x + y) as f32 * 0.1), plane(size, |x, _| x as f32 * -0.2)];
            let mut work = Refinement::new(size);
            work.divide(size, height);
            work.compare(&from, &to, &u, &v);
            work.linearise(&u, &v);
            let Part { equations, u: split_u, v: split_v, system, .. } = &mut work.parts[0];
            let mut plain = system.clone();
            weigh(equations, split_u, split_v, width, system);
            weigh_plain(equations, split_u, split_v, width, &mut plain);
            let bits = |system: &System| {
                let parts = system.inverse.iter().chain(&system.known).chain([&system.right, &system.down]);
                parts
                    .flatten()
                    .flat_map(|plane| plane.samples().iter().map(|s| s.to_bits()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(bits(system), bits(&plain), "{size}");
            let row = || [Plane::new(size), Plane::new(size), Plane::new(size)];
            let (mut fast, mut plain) = (row(), row());
            let term = [&work.of_mean.x, &work.of_mean.y, &work.change];
            normalise(term, &u, &v, &work.inside, 3, &mut fast);
            normalise_plain(term, &u, &v, &work.inside, 3, &mut plain);
            assert!(fast.iter().zip(&plain).all(|(fast, plain)| fast.samples() == plain.samples()), "{size}");
        }
    }
}
