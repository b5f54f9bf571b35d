//! Successive over-relaxation of the equations of a flow, on the colours of a chessboard.

use super::checker::{Checker, Eights, around};
use crate::image::lanes::{Lanes, dispatched};
use crate::image::plane::Plane;

/// Over-relaxation: more than 1 is faster, less than 2 is stable. The usual value for this problem.
const OMEGA: f32 = 1.6;

/// The equations `(A + W) f = b + sum of weights times neighbours` of eight pixels, where W is the
/// sum of the weights of a pixel's four edges.
#[derive(Clone, Copy, Debug)]
pub struct Pixels {
    /// The inverse of `A + W`: xx, xy, yy.
    pub inverse: [Lanes; 3],
    /// `b`.
    pub known: [Lanes; 2],
    /// Weights of the edges to the left, to the right, up and down.
    pub edges: [Lanes; 4],
}

impl Default for Pixels {
    fn default() -> Self {
        Self { inverse: [Lanes::ZERO; 3], known: [Lanes::ZERO; 2], edges: [Lanes::ZERO; 4] }
    }
}

/// Of every pixel.
pub type System = Eights<Pixels>;

/// How many rows of a system [`relax`] works on at once: the one that was written last, and one for each half of a sweep.
pub fn rows_at_once(sweeps: usize) -> usize {
    2 * sweeps + 1
}

/// Relaxes every pixel `sweeps` times, the red ones before the black ones and both components of
/// the flow at once. `before` writes a row of the system, of a flow that was not relaxed there, before the first sweep comes
/// to it.
pub fn relax(
    system: &mut System,
    flow: [&mut Checker; 2],
    sweeps: usize,
    before: impl FnMut(&mut System, [&Checker; 2], usize),
) {
    relax_by(relax_row, system, flow, sweeps, before);
}

/// As [`relax`], by what relaxes a row of a colour.
///
/// A row hears of the next ones only, so half a sweep can follow another one a row behind: what is in the cache is used
/// by all of them.
fn relax_by(
    relax_row: impl Fn(&System, &mut Checker, &mut Checker, usize, usize),
    system: &mut System,
    [u, v]: [&mut Checker; 2],
    sweeps: usize,
    mut before: impl FnMut(&mut System, [&Checker; 2], usize),
) {
    let (height, halves) = (u[0].size.height, 2 * sweeps);
    for step in 0..height + halves {
        if step < height {
            before(system, [u, v], step);
        }
        for half in step.saturating_sub(height)..halves.min(step) {
            relax_row(system, u, v, half % 2, step - half - 1);
        }
    }
}

// A function for a row, and not for all of them: what is written is known to be apart from what is read then.
dispatched! {
    /// Relaxes the pixels of a colour in row `y`.
    fn relax_row / relax_row_plain(system: &System, u: &mut Checker, v: &mut Checker, colour: usize, y: usize) {
        let omega = Lanes::splat(OMEGA);
        let (own_u, other_u) = own_and_other(u, colour);
        let (own_v, other_v) = own_and_other(v, colour);
        let pixels = system.row(colour, y);
        let count = pixels.len();
        let to_u = &mut own_u.lanes_mut(0, y as isize)[..count];
        let to_v = &mut own_v.lanes_mut(0, y as isize)[..count];
        let near_u = around(other_u, colour, y, count);
        let near_v = around(other_v, colour, y, count);
        for k in 0..count {
            let Pixels { inverse: [xx, xy, yy], known: [mut sum_u, mut sum_v], edges } = pixels[k];
            for side in 0..4 {
                sum_u += edges[side] * Lanes(near_u[side][k]);
                sum_v += edges[side] * Lanes(near_v[side][k]);
            }
            let (u, v) = (Lanes(to_u[k]), Lanes(to_v[k]));
            to_u[k] = (u + omega * (xx * sum_u + xy * sum_v - u)).0;
            to_v[k] = (v + omega * (xy * sum_u + yy * sum_v - v)).0;
        }
    }
}

/// One colour to write and the other to read.
#[inline(always)]
fn own_and_other(planes: &mut Checker, colour: usize) -> (&mut Plane, &Plane) {
    let [red, black] = planes;
    if colour == 0 { (red, black) } else { (black, red) }
}

#[cfg(test)]
mod tests {
    use super::super::checker::{checker, first, pack, unpack};
    use super::*;
    use crate::image::Size;
    use crate::image::lanes::LANES;
    use crate::image::plane::tests::noise;
    use ndarray::Array2;

    /// The equations pixel by pixel, unpacked: A + W inverted, b, and the edges.
    struct Equations {
        matrix: [Array2<f32>; 3],
        known: [Array2<f32>; 2],
        right: Array2<f32>,
        down: Array2<f32>,
    }

    impl Equations {
        /// Some that have a solution: positive weights, and a matrix that is larger than they are.
        fn new(size: Size, with_data: bool) -> Self {
            let dim = (size.height, size.width);
            let field = |seed, largest: f32| {
                let noise = noise(size, seed);
                Array2::from_shape_fn(dim, |(y, x)| noise.row(y)[x] * largest / 255.0)
            };
            let mut right = field(1, 2.0) + 0.5;
            let mut down = field(2, 2.0) + 0.5;
            right.column_mut(size.width - 1).fill(0.0);
            down.row_mut(size.height - 1).fill(0.0);
            let data = if with_data { 1.0 } else { 0.0 };
            let (a, b) = (field(3, 1.5) * data, field(4, 1.5) * data);
            let mut matrix = [&a * &a + 0.1 * data, &a * &b, &b * &b + 0.1 * data];
            let known = [field(5, 3.0) * data, field(6, -3.0) * data];
            for ((y, x), xx) in matrix[0].indexed_iter_mut() {
                let left = if x > 0 { right[[y, x - 1]] } else { 0.0 };
                let up = if y > 0 { down[[y - 1, x]] } else { 0.0 };
                let edges = left + up + right[[y, x]] + down[[y, x]];
                *xx += edges;
            }
            for ((y, x), yy) in matrix[2].indexed_iter_mut() {
                let left = if x > 0 { right[[y, x - 1]] } else { 0.0 };
                let up = if y > 0 { down[[y - 1, x]] } else { 0.0 };
                *yy += left + up + right[[y, x]] + down[[y, x]];
            }
            Self { matrix, known, right, down }
        }

        fn inverse(&self, at: [usize; 2]) -> [f32; 3] {
            let [xx, xy, yy] = [self.matrix[0][at], self.matrix[1][at], self.matrix[2][at]];
            let determinant = xx * yy - xy * xy;
            [yy / determinant, -xy / determinant, xx / determinant]
        }

        /// The right side at a pixel: what is known and the weighted neighbours.
        fn side(&self, component: usize, flow: &Array2<f32>, y: usize, x: usize) -> f32 {
            let (height, width) = flow.dim();
            let mut sum = self.known[component][[y, x]];
            if x > 0 {
                sum += self.right[[y, x - 1]] * flow[[y, x - 1]];
            }
            if x + 1 < width {
                sum += self.right[[y, x]] * flow[[y, x + 1]];
            }
            if y > 0 {
                sum += self.down[[y - 1, x]] * flow[[y - 1, x]];
            }
            if y + 1 < height {
                sum += self.down[[y, x]] * flow[[y + 1, x]];
            }
            sum
        }
    }

    impl Equations {
        /// As [`relax`] takes them.
        fn packed(&self, size: Size) -> System {
            let mut system = System::new(size);
            let [columns, rows] = [size.width, size.height];
            for (y, colour) in (0..rows).flat_map(|y| [(y, 0), (y, 1)]) {
                for (k, x) in (first(colour, y)..columns).step_by(2).enumerate() {
                    let (at, lane) = ([y, x], k % LANES);
                    let Pixels { inverse, known, edges } = &mut system.row_mut(colour, y)[k / LANES];
                    let to = inverse.iter_mut().zip(self.inverse(at));
                    to.for_each(|(to, value)| to.0[lane] = value);
                    known.iter_mut().zip(&self.known).for_each(|(to, known)| to.0[lane] = known[at]);
                    let left = if x > 0 { self.right[[y, x - 1]] } else { 0.0 };
                    let up = if y > 0 { self.down[[y - 1, x]] } else { 0.0 };
                    let weights = [left, self.right[at], up, self.down[at]];
                    edges.iter_mut().zip(weights).for_each(|(to, weight)| to.0[lane] = weight);
                }
            }
            system
        }
    }

    type Solver = fn(&Equations, &mut Array2<f32>, &mut Array2<f32>, usize);

    /// Pixel by pixel, as the formulas say.
    fn plain(equations: &Equations, u: &mut Array2<f32>, v: &mut Array2<f32>, sweeps: usize) {
        let (height, width) = u.dim();
        for colour in [0, 1].repeat(sweeps) {
            for y in 0..height {
                for x in (first(colour, y)..width).step_by(2) {
                    let [xx, xy, yy] = equations.inverse([y, x]);
                    let (side_u, side_v) = (equations.side(0, u, y, x), equations.side(1, v, y, x));
                    u[[y, x]] += OMEGA * (xx * side_u + xy * side_v - u[[y, x]]);
                    v[[y, x]] += OMEGA * (xy * side_u + yy * side_v - v[[y, x]]);
                }
            }
        }
    }

    fn packed(
        equations: &Equations,
        u: &mut Array2<f32>,
        v: &mut Array2<f32>,
        sweeps: usize,
        relax_row: impl Fn(&System, &mut Checker, &mut Checker, usize, usize),
    ) {
        let (height, width) = u.dim();
        let size = Size::new(width, height);
        let split = |field: &Array2<f32>| {
            let mut to = checker(size);
            field.outer_iter().enumerate().for_each(|(y, row)| pack(row.as_slice().unwrap(), y, &mut to));
            to
        };
        let mut system = equations.packed(size);
        let (mut split_u, mut split_v) = (split(u), split(v));
        relax_by(relax_row, &mut system, [&mut split_u, &mut split_v], sweeps, |_, _, _| {});
        for (flow, split) in [(u, &split_u), (v, &split_v)] {
            for (y, mut row) in flow.outer_iter_mut().enumerate() {
                unpack(split, y, row.as_slice_mut().unwrap());
            }
        }
    }

    fn fast(equations: &Equations, u: &mut Array2<f32>, v: &mut Array2<f32>, sweeps: usize) {
        packed(equations, u, v, sweeps, relax_row);
    }

    fn every_processor(equations: &Equations, u: &mut Array2<f32>, v: &mut Array2<f32>, sweeps: usize) {
        packed(equations, u, v, sweeps, relax_row_plain);
    }

    const SOLVERS: &[(&str, Solver)] =
        &[("plain", plain), ("fast", fast), ("every processor", every_processor)];
    const SIZES: &[(usize, usize)] = &[(16, 16), (17, 16), (16, 17), (33, 21), (50, 18)];

    #[test]
    fn many_sweeps_solve_the_equations() {
        for &(width, height) in SIZES {
            let equations = Equations::new(Size::new(width, height), true);
            for (name, solve) in SOLVERS {
                let (mut u, mut v) = (Array2::zeros((height, width)), Array2::zeros((height, width)));
                solve(&equations, &mut u, &mut v, 300);
                for ((y, x), &got) in u.indexed_iter() {
                    let [xx, xy, _] = equations.inverse([y, x]);
                    let expected = xx * equations.side(0, &u, y, x) + xy * equations.side(1, &v, y, x);
                    assert!(
                        (got - expected).abs() < 1e-4,
                        "{name}, {width}x{height} at {x},{y}: {got}, not {expected}"
                    );
                }
                assert!(u.iter().any(|u| u.abs() > 0.1), "{name}");
            }
        }
    }

    #[test]
    fn a_flow_that_nothing_pulls_at_and_that_is_smooth_stays() {
        for &(width, height) in SIZES {
            let equations = Equations::new(Size::new(width, height), false);
            for (name, solve) in SOLVERS {
                let (mut u, mut v) =
                    (Array2::from_elem((height, width), 2.5), Array2::from_elem((height, width), -1.0));
                solve(&equations, &mut u, &mut v, 10);
                assert!(u.iter().all(|u| (u - 2.5_f32).abs() < 1e-4), "{name}, {width}x{height}");
                assert!(v.iter().all(|v| (v + 1.0_f32).abs() < 1e-4), "{name}, {width}x{height}");
            }
        }
    }

    #[test]
    fn every_solver_takes_the_same_way() {
        for &(width, height) in SIZES {
            let equations = Equations::new(Size::new(width, height), true);
            let run = |solve: &Solver, sweeps| {
                let (mut u, mut v) = (Array2::zeros((height, width)), Array2::zeros((height, width)));
                solve(&equations, &mut u, &mut v, sweeps);
                (u, v)
            };
            for sweeps in 1..6 {
                let formulas = run(&(plain as Solver), sweeps);
                let [fast, slow] =
                    [fast as Solver, every_processor as Solver].map(|solve| run(&solve, sweeps));
                assert_eq!(fast, slow, "{width}x{height}: not the same bits on every processor");
                let apart = (&fast.0 - &formulas.0).mapv(f32::abs) + (&fast.1 - &formulas.1).mapv(f32::abs);
                assert!(apart.iter().all(|apart| *apart < 1e-4), "{width}x{height}, {sweeps} sweeps");
            }
        }
    }
}
