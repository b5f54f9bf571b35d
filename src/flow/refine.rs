//! The flow of a level made smooth where the picture allows it.
//!
//! Minimises the sum over all pixels of the square roots of: the squared difference of levels, the
//! squared difference of slopes, and the squared slopes of the flow (Brox et al. 2004; Kroeger et
//! al. 2016, section 2.3). The differences are linear around the flow that the search found, and
//! normalised, so that strong edges do not count more than weak ones.

use std::ops::Range;

use rayon::prelude::*;

use super::checker::{Checker, checker, pack, split, unpack};
use super::relax::{System, relax, rows_at_once};
use super::scale::{slopes, slopes_without_border};
use super::warp::warp_row;
use super::weigh::{Edges, Equations, weigh_row};
use crate::image::Size;
use crate::image::bands::{rows_in_band, rows_in_bands};
use crate::image::lanes::{Lanes, Row, RowMut, dispatched};
use crate::image::plane::Plane;

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

    /// Without their border.
    fn of(&mut self, plane: &Plane) {
        slopes_without_border(plane, &mut self.x, &mut self.y);
    }
}

/// What the refinement of a level works on; nothing in it outlives a run.
pub struct Refinement {
    /// 1 where a pixel points into the picture, else 0; 0 in the border, so that nothing is said of what lies there.
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
    /// Between two computations of the weights.
    sweeps: usize,
    /// Rows of a part, but for the last.
    rows_in_part: usize,
}

/// Rows that a thread solves the equations of, and so many of its neighbours' that they are solved as if those were there:
/// in a sweep, a pixel hears of what is two rows away.
struct Part {
    own: Range<usize>,
    around: Range<usize>,
    equations: Equations,
    edges: Edges,
    system: System,
    u: Checker,
    v: Checker,
}

/// Rows that so many sweeps carry anything across. Even, so that a part's first pixel is a red one.
fn reach(sweeps: usize) -> usize {
    2 * sweeps
}

impl Part {
    fn new(own: Range<usize>, size: Size, sweeps: usize) -> Self {
        let reach = reach(sweeps);
        let around = own.start.saturating_sub(reach)..(own.end + reach).min(size.height);
        let part = Size::new(size.width, around.len());
        Self {
            own,
            around,
            equations: Equations::new(part),
            edges: Edges::new(part),
            system: System::of_last_rows(rows_at_once(sweeps), part),
            u: checker(part),
            v: checker(part),
        }
    }

    /// Takes the flow so far.
    fn begin(&mut self, u: &Plane, v: &Plane) {
        for (row, y) in self.around.clone().enumerate() {
            pack(u.row(y), row, &mut self.u);
            pack(v.row(y), row, &mut self.v);
        }
    }

    fn solve(&mut self, sweeps: usize) {
        let Self { equations, edges, system, u, v, .. } = self;
        relax(system, [u, v], sweeps, |system, [u, v], y| weigh_row(equations, u, v, y, edges, system));
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
    /// For levels of this size, with so many sweeps between two computations of the weights.
    pub fn new(size: Size, sweeps: usize) -> Self {
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
            sweeps,
            rows_in_part: 0,
        }
    }

    /// Refines a flow in place, the weights computed `iterations` times.
    pub fn run(&mut self, from: &Plane, to: &Plane, u: &mut Plane, v: &mut Plane, iterations: usize) {
        let rows = rows_in_bands(from.size, rayon::current_num_threads()).max(reach(self.sweeps));
        self.run_in_parts(from, to, u, v, iterations, rows);
    }

    /// As [`Self::run`], with parts of so many rows: an even number, and not fewer than sweeps [reach](reach).
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
            self.parts.par_iter_mut().for_each(|part| part.solve(self.sweeps));
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
        self.parts = firsts.map(|y| Part::new(y..(y + rows).min(size.height), size, self.sweeps)).collect();
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
                let flow = [u, v].map(|flow| flow.lanes(0, y as isize));
                warp_row(to, y, flow, mean.lanes_mut(y), inside.lanes_mut(y));
                let from = from.lanes(0, y as isize);
                compare_row(from, inside.lanes_mut(y), mean.lanes_mut(y), change.lanes_mut(y), sum);
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
        slopes(&self.mean, &mut self.of_mean.x, &mut self.of_mean.y);
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
                for (number, term) in terms.iter().enumerate() {
                    normalise(*term, [u, v], inside, y, (number, to), &mut part.equations);
                }
            }
        });
    }
}

dispatched! {
    /// Turns a row of what was warped into its mean with where it comes from, and fills in the change; and the sum of
    /// changes inside of the picture, and of how many pixels.
    fn compare_row / compare_row_plain(from: Row<'_>, inside: Row<'_>, warped: RowMut<'_>, change: RowMut<'_>, sums: &mut [f32; 2]) {
        let count = from.len();
        let (inside, warped, change) = (&inside[..count], &mut warped[..count], &mut change[..count]);
        let [mut sum, mut pixels] = [Lanes::ZERO; 2];
        for k in 0..count {
            let (here, moved, inside) = (Lanes(from[k]), Lanes(warped[k]), Lanes(inside[k]));
            let changed = moved - here;
            change[k] = changed.0;
            warped[k] = (Lanes::splat(0.5) * (here + moved)).0;
            sum += inside * changed;
            pixels += inside;
        }
        *sums = [sum.sum(), pixels.sum()];
    }
}

/// An equation of eight pixels, of rows of its terms, of the flow, and of what is inside; none beyond the rows.
#[inline(always)]
fn normalised(rows: &[Row<'_>; 6], k: usize) -> [Lanes; 3] {
    let Some(inside) = rows[5].get(k) else { return [Lanes::ZERO; 3] };
    let (a, b, c) = (Lanes(rows[0][k]), Lanes(rows[1][k]), Lanes(rows[2][k]));
    let (u, v) = (Lanes(rows[3][k]), Lanes(rows[4][k]));
    let scale = Lanes(*inside) / (a * a + b * b + Lanes::splat(LEAST_SLOPE * LEAST_SLOPE)).sqrt();
    [scale * a, scale * b, scale * (c - a * u - b * v)]
}

dispatched! {
    /// Row `y` of an equation, into the equations of that number, at a row of theirs: about the flow instead of its change, and as
    /// long as its slopes.
    fn normalise / normalise_plain(
        term: [&Plane; 3], flow: [&Plane; 2], inside: &Plane, y: usize, number_and_row: (usize, usize), equations: &mut Equations,
    ) {
        let (number, to) = number_and_row;
        let rows = [term[0], term[1], term[2], flow[0], flow[1], inside].map(|plane| plane.lanes(0, y as isize));
        let [first, second] = equations.rows_mut(to);
        for (k, (first, second)) in first.iter_mut().zip(second).enumerate() {
            let (left, right) = (normalised(&rows, 2 * k), normalised(&rows, 2 * k + 1));
            for part in 0..3 {
                let [even, odd] = split(left[part], right[part]);
                first.0[number][part] = even;
                second.0[number][part] = odd;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::checker::first;
    use super::super::relax::Pixels;
    use super::super::weigh::{Terms, weigh_row_plain};
    use super::*;
    use crate::image::lanes::LANES;
    use crate::image::plane::tests::{noise, plane};

    const SWEEPS: usize = 8;

    #[test]
    fn pictures_that_are_alike_leave_a_flow_of_zero_alone() {
        for (width, height) in [(16, 16), (37, 21), (50, 33)] {
            let picture = noise(Size::new(width, height), 1);
            let [mut u, mut v] = [Plane::new(picture.size), Plane::new(picture.size)];
            Refinement::new(picture.size, SWEEPS).run(&picture, &picture, &mut u, &mut v, 5);
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
            Refinement::new(size, SWEEPS).run(&wave(0.0), &wave(shift), &mut u, &mut v, 5);
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
                let mut work = Refinement::new(size, SWEEPS);
                work.run_in_parts(&from, &to, &mut u, &mut v, 5, rows);
                assert_eq!(work.parts.len(), height.div_ceil(rows));
                [u, v].map(|flow| flow.samples().iter().map(|s| s.to_bits()).collect::<Vec<_>>())
            };
            let one = refined(height);
            for rows in [reach(SWEEPS), reach(SWEEPS) + 2, 44, 64] {
                assert!(refined(rows) == one, "{size} in parts of {rows} rows");
            }
        }
    }

    #[test]
    fn every_pixel_has_the_equations_of_its_own_place_and_none_lies_beyond_the_picture() {
        for (width, height) in [(16, 16), (17, 16), (31, 18), (33, 21), (50, 17)] {
            let size = Size::new(width, height);
            let (from, to) = (noise(size, 1), noise(size, 2));
            let [u, v] = [3, 4].map(|seed| plane(size, |x, y| noise(size, seed).row(y)[x] / 60.0 - 2.0));
            let mut work = Refinement::new(size, SWEEPS);
            work.divide(size, height);
            work.compare(&from, &to, &u, &v);
            work.linearise(&u, &v);
            let levels = [&work.of_mean.x, &work.of_mean.y, &work.change];
            let mut places = 0;
            for (y, colour) in (0..height).flat_map(|y| [(y, 0), (y, 1)]) {
                let row = work.parts[0].equations.row(colour, y);
                for k in 0..row.len() * LANES {
                    let Terms([found, ..]) = &row[k / LANES];
                    let x = 2 * k + first(colour, y);
                    let expected = if x < width {
                        let [a, b, c] = levels.map(|plane| plane.row(y)[x]);
                        let scale = work.inside.row(y)[x] / (a * a + b * b + LEAST_SLOPE.powi(2)).sqrt();
                        places += 1;
                        [scale * a, scale * b, scale * (c - a * u.row(y)[x] - b * v.row(y)[x])]
                    } else {
                        [0.0; 3]
                    };
                    for (found, expected) in found.iter().zip(expected) {
                        let found = found.0[k % LANES];
                        assert!(
                            (found - expected).abs() <= 1e-5 * expected.abs(),
                            "{size} at {x},{y}: {found}, not {expected}"
                        );
                    }
                }
            }
            assert_eq!(places, width * height);
        }
    }

    #[test]
    fn equations_have_the_same_bits_on_every_processor() {
        for (width, height) in [(16, 16), (37, 21)] {
            let size = Size::new(width, height);
            let (from, to) = (noise(size, 1), noise(size, 2));
            let [u, v] = [plane(size, |x, y| (x + y) as f32 * 0.1), plane(size, |x, _| x as f32 * -0.2)];
            let mut work = Refinement::new(size, SWEEPS);
            work.divide(size, height);
            work.compare(&from, &to, &u, &v);
            work.linearise(&u, &v);
            let Part { equations, u: split_u, v: split_v, system, edges, .. } = &mut work.parts[0];
            let (mut plain, mut plain_edges) = (system.clone(), edges.clone());
            for y in 0..height {
                weigh_row(equations, split_u, split_v, y, edges, system);
                weigh_row_plain(equations, split_u, split_v, y, &mut plain_edges, &mut plain);
            }
            let rows = || (0..height).flat_map(|y| [(0, y), (1, y)]);
            let bits = |system: &System| {
                let pixels = rows().flat_map(|(colour, y)| system.row(colour, y));
                let figures =
                    pixels.flat_map(|Pixels { inverse, known, edges }| [&inverse[..], known, edges]);
                figures.flatten().flat_map(|lanes| lanes.bits()).collect::<Vec<_>>()
            };
            assert_eq!(bits(system), bits(&plain), "{size}");
            let (mut fast, mut plain) = (Equations::new(size), Equations::new(size));
            let term = [&work.of_mean.x, &work.of_mean.y, &work.change];
            for number in 0..3 {
                normalise(term, [&u, &v], &work.inside, 3, (number, 4), &mut fast);
                normalise_plain(term, [&u, &v], &work.inside, 3, (number, 4), &mut plain);
            }
            let bits = |equations: &Equations| {
                let terms = rows().flat_map(|(colour, y)| equations.row(colour, y));
                terms
                    .flat_map(|Terms(terms)| terms.as_flattened())
                    .flat_map(|lanes| lanes.bits())
                    .collect::<Vec<_>>()
            };
            assert_eq!(bits(&fast), bits(&plain), "{size}");
            assert!(bits(&fast).iter().any(|&bits| bits != 0));
        }
    }
}
