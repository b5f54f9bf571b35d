//! From the energy of a flow to equations: the weights that the flow so far gives to every term.
//!
//! The energy is a sum of square roots. Each is replaced by a weighted square with the same slope
//! at the flow so far, which makes the equations linear (Brox et al. 2004).

use super::checker::{Checker, Eights, around, checker, first};
use super::relax::System;
use crate::image::Size;
use crate::image::lanes::{Lanes, Row, RowMut, dispatched};

/// Weight of the slopes of the flow. At 10 and at 40 the error on the Middlebury pairs is 4 and 6 %
/// larger; at 10 also with noise.
const SMOOTHNESS: f32 = 20.0;
/// Weight of the difference of levels.
const LEVELS: f32 = 5.0;
/// Weight of the difference of slopes.
const SLOPES: f32 = 10.0;

/// Where the square root of a difference, in pixels, becomes a square.
const DATA_EPSILON: f32 = 0.001;
/// Where the square root of the slope of the flow, in pixels per pixel, becomes a square. A tenth
/// of this needs more sweeps: with eight, the error on the Middlebury pairs is 4 % larger.
const FLOW_EPSILON: f32 = 0.01;

/// Added to the weights of every pixel's edges: no matrix is singular, not even that of a sample
/// that is nobody's neighbour.
const LEAST_EDGE: f32 = 1e-6;

/// Three equations for each of eight pixels, `a u + b v + c = 0`: of levels, of slopes along rows, of slopes
/// along columns. Normalised: a residual is a distance in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Terms(pub [[Lanes; 3]; 3]);

impl Default for Terms {
    fn default() -> Self {
        Self([[Lanes::ZERO; 3]; 3])
    }
}

/// Of every pixel.
pub type Equations = Eights<Terms>;

/// Weights of the slopes of a flow.
#[derive(Clone)]
pub struct Edges {
    /// Between a pixel and the one to the right; zero in the last column.
    right: Checker,
    /// Between a pixel and the one below; zero in the last row.
    down: Checker,
    size: Size,
    /// How many rows are kept: all, or an even number of those that were written last.
    rows: usize,
}

impl Edges {
    /// None yet, for a row and the one above it.
    pub fn new(size: Size) -> Self {
        Self::of_last_rows(2, size)
    }

    fn of_last_rows(rows: usize, size: Size) -> Self {
        let kept = Size::new(size.width, rows);
        Self { right: checker(kept), down: checker(kept), size, rows }
    }

    /// Where a row is; the one above the first is without edges.
    #[inline(always)]
    fn row(&self, y: isize) -> isize {
        if y < 0 { y } else { (y as usize % self.rows) as isize }
    }
}

dispatched! {
    /// Writes row `y` of the system that belongs to a flow; rows above were written before.
    pub fn weigh_row / weigh_row_plain(
        equations: &Equations, u: &Checker, v: &Checker, y: usize, edges: &mut Edges, system: &mut System,
    ) {
        for colour in [0, 1] {
            weigh_edges([u, v], (colour, y), edges);
        }
        for colour in [0, 1] {
            weigh_pixels(equations, [u, v], (colour, y), edges, system);
        }
    }
}

#[inline(always)]
fn weigh_edges([u, v]: [&Checker; 2], (colour, y): (usize, usize), edges: &mut Edges) {
    let (other, row, kept) = (1 - colour, y as isize, edges.row(y as isize));
    let here = [u[colour].lanes(0, row), v[colour].lanes(0, row)];
    let count = here[0].len();
    let [_, right_u, _, down_u] = around(&u[other], colour, y, count);
    let [_, right_v, _, down_v] = around(&v[other], colour, y, count);
    write_edges(here, [right_u, right_v], edges.right[colour].lanes_mut(0, kept));
    // No edge leaves the picture.
    let last = (edges.size.width - first(colour, y)) / 2;
    edges.right[colour].rest_mut(last as isize, kept).fill(0.0);
    let down = edges.down[colour].lanes_mut(0, kept);
    if y + 1 < edges.size.height {
        write_edges(here, [down_u, down_v], down);
    } else {
        down.as_flattened_mut().fill(0.0);
    }
}

#[inline(always)]
fn write_edges([here_u, here_v]: [Row<'_>; 2], [near_u, near_v]: [Row<'_>; 2], to: RowMut<'_>) {
    let (weight, epsilon) = (Lanes::splat(SMOOTHNESS), Lanes::splat(FLOW_EPSILON * FLOW_EPSILON));
    let count = to.len();
    let (here_u, here_v) = (&here_u[..count], &here_v[..count]);
    let (near_u, near_v) = (&near_u[..count], &near_v[..count]);
    for k in 0..count {
        let du = Lanes(near_u[k]) - Lanes(here_u[k]);
        let dv = Lanes(near_v[k]) - Lanes(here_v[k]);
        to[k] = (weight / (du * du + dv * dv + epsilon).sqrt()).0;
    }
}

#[inline(always)]
fn weigh_pixels(
    equations: &Equations,
    [u, v]: [&Checker; 2],
    (colour, y): (usize, usize),
    edges: &Edges,
    system: &mut System,
) {
    let (other, row) = (1 - colour, y as isize);
    let epsilon = Lanes::splat(DATA_EPSILON * DATA_EPSILON);
    let one = Lanes::splat(1.0);
    let equations = equations.row(colour, y);
    let count = equations.len();
    let to = &mut system.row_mut(colour, y)[..count];
    let (u, v) = (&u[colour].lanes(0, row)[..count], &v[colour].lanes(0, row)[..count]);
    let (kept, above) = (edges.row(row), edges.row(row - 1));
    let weights = [
        &edges.right[other].lanes(first(colour, y) as isize - 1, kept)[..count],
        &edges.right[colour].lanes(0, kept)[..count],
        &edges.down[other].lanes(0, above)[..count],
        &edges.down[colour].lanes(0, kept)[..count],
    ];
    for k in 0..count {
        // The compiler would otherwise gather one lane of eight iterations at a time, at less than half the speed.
        let k = std::hint::black_box(k);
        let (u, v) = (Lanes(u[k]), Lanes(v[k]));
        let Terms([levels, along, across]) = &equations[k];
        let ([a0, b0, c0], [a1, b1, c1], [a2, b2, c2]) = (*levels, *along, *across);
        let (r0, r1, r2) = (a0 * u + b0 * v + c0, a1 * u + b1 * v + c1, a2 * u + b2 * v + c2);
        let levels = Lanes::splat(LEVELS) / (r0 * r0 + epsilon).sqrt();
        let slopes = Lanes::splat(SLOPES) / (r1 * r1 + r2 * r2 + epsilon).sqrt();
        let edges = [0, 1, 2, 3].map(|side| Lanes(weights[side][k]));
        let [left, right, up, down] = edges;
        let sum = (left + right) + (up + down);
        let sum = sum + Lanes::splat(LEAST_EDGE);
        let xx = levels * a0 * a0 + slopes * (a1 * a1 + a2 * a2) + sum;
        let xy = levels * a0 * b0 + slopes * (a1 * b1 + a2 * b2);
        let yy = levels * b0 * b0 + slopes * (b1 * b1 + b2 * b2) + sum;
        // Not less than without data, whatever the rounding.
        let inverse = one / (xx * yy - xy * xy).max(sum * sum);
        // One by one: all at once goes through memory.
        let to = &mut to[k];
        to.inverse[0] = yy * inverse;
        to.inverse[1] = -xy * inverse;
        to.inverse[2] = xx * inverse;
        to.known[0] = -(levels * a0 * c0 + slopes * (a1 * c1 + a2 * c2));
        to.known[1] = -(levels * b0 * c0 + slopes * (b1 * c1 + b2 * c2));
        to.edges = edges;
    }
}

#[cfg(test)]
mod tests {
    use super::super::checker::{pack, unpack};
    use super::*;
    use crate::image::lanes::LANES;
    use crate::image::plane::tests::noise;
    use ndarray::Array2;

    /// Values of `-largest` to `largest` without a pattern, both whole and split.
    fn field(size: Size, seed: u32, largest: f32) -> (Array2<f32>, Checker) {
        let noise = noise(size, seed);
        let value = |(y, x): (usize, usize)| largest * (noise.row(y)[x] / 127.5 - 1.0);
        let whole = Array2::from_shape_fn((size.height, size.width), value);
        let mut split = checker(size);
        whole.outer_iter().enumerate().for_each(|(y, row)| pack(row.as_slice().unwrap(), y, &mut split));
        (whole, split)
    }

    fn whole(split: &Checker, size: Size) -> Array2<f32> {
        let mut whole = Array2::zeros((size.height, size.width));
        whole
            .outer_iter_mut()
            .enumerate()
            .for_each(|(y, mut row)| unpack(split, y, row.as_slice_mut().unwrap()));
        whole
    }

    /// Weight of the edge between two pixels, as Brox et al. say it; none leaves the picture.
    fn edge([u, v]: [&Array2<f32>; 2], from: (usize, usize), to: (usize, usize)) -> f32 {
        let (Some(to_u), Some(to_v)) = (u.get(to), v.get(to)) else { return 0.0 };
        let (du, dv) = (to_u - u[from], to_v - v[from]);
        SMOOTHNESS / (du * du + dv * dv + FLOW_EPSILON * FLOW_EPSILON).sqrt()
    }

    #[track_caller]
    fn check(what: &str, found: &Array2<f32>, expected: impl Fn((usize, usize)) -> f32) {
        let largest = found.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (at, &found) in found.indexed_iter() {
            let expected = expected(at);
            assert!(
                (found - expected).abs() <= 1e-4 * expected.abs() + 1e-6 * largest,
                "{what} at {at:?}: {found}, not {expected}"
            );
        }
    }

    type WeighRow = fn(&Equations, &Checker, &Checker, usize, &mut Edges, &mut System);

    /// One figure of what belongs to eight pixels, of all of them.
    fn figure<T>(of: &Eights<T>, size: Size, which: impl Fn(&T) -> Lanes) -> Array2<f32> {
        let at = |(y, x): (usize, usize)| {
            let (colour, k) = ((y + x) % 2, x / 2);
            which(&of.row(colour, y)[k / LANES]).0[k % LANES]
        };
        Array2::from_shape_fn((size.height, size.width), at)
    }

    #[test]
    fn weights_are_those_of_the_formulas() {
        let variants: [(&str, WeighRow); 2] = [("fast", weigh_row), ("every processor", weigh_row_plain)];
        for (width, height) in [(16, 16), (17, 16), (16, 17), (33, 21), (50, 18)] {
            let size = Size::new(width, height);
            let ((u, split_u), (v, split_v)) = (field(size, 1, 2.0), field(size, 2, 1.5));
            let fields: [[_; 3]; 3] = [0, 1, 2].map(|i| [0, 1, 2].map(|j| field(size, 10 + 3 * i + j, 1.0)));
            let mut equations = Equations::new(size);
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let (colour, k) = ((y + x) % 2, x / 2);
                let Terms(terms) = &mut equations.row_mut(colour, y)[k / LANES];
                for (terms, fields) in terms.iter_mut().zip(&fields) {
                    terms.iter_mut().zip(fields).for_each(|(to, (whole, _))| to.0[k % LANES] = whole[(y, x)]);
                }
            }
            for (name, weigh_row) in variants {
                let what = |part: &str| format!("{name}, {size}, {part}");
                let (mut system, mut edges_of) = (System::new(size), Edges::of_last_rows(height, size));
                for y in 0..height {
                    weigh_row(&equations, &split_u, &split_v, y, &mut edges_of, &mut system);
                }
                let flow = [&u, &v];
                let right = |(y, x)| edge(flow, (y, x), (y, x + 1));
                let down = |(y, x)| edge(flow, (y, x), (y + 1, x));
                check(&what("right"), &whole(&edges_of.right, size), right);
                check(&what("down"), &whole(&edges_of.down, size), down);
                let sides = |(y, x): (usize, usize)| {
                    let left = if x > 0 { right((y, x - 1)) } else { 0.0 };
                    let up = if y > 0 { down((y - 1, x)) } else { 0.0 };
                    [left, right((y, x)), up, down((y, x))]
                };
                for (side, part) in ["left", "right", "up", "down"].into_iter().enumerate() {
                    let found = figure(&system, size, |pixels| pixels.edges[side]);
                    check(&what(part), &found, |at| sides(at)[side]);
                }

                // The matrix and the right side of a pixel.
                let terms = |at: (usize, usize)| {
                    let [levels, along, across] =
                        fields.each_ref().map(|row| row.each_ref().map(|(whole, _)| whole[at]));
                    let miss = |[a, b, c]: [f32; 3]| a * u[at] + b * v[at] + c;
                    let root = |square: f32| (square + DATA_EPSILON * DATA_EPSILON).sqrt();
                    let slope = SLOPES / root(miss(along).powi(2) + miss(across).powi(2));
                    [(LEVELS / root(miss(levels).powi(2)), levels), (slope, along), (slope, across)]
                };
                let sum = |at, product: fn([f32; 3]) -> f32| -> f32 {
                    terms(at).iter().map(|(weight, row)| weight * product(*row)).sum()
                };
                let edges = |at| sides(at).iter().sum::<f32>() + LEAST_EDGE;
                let matrix = |at| {
                    let [xx, xy, yy] =
                        [sum(at, |[a, ..]| a * a), sum(at, |[a, b, _]| a * b), sum(at, |[_, b, _]| b * b)];
                    (xx + edges(at), xy, yy + edges(at))
                };
                for part in 0..3 {
                    let found = figure(&system, size, |pixels| pixels.inverse[part]);
                    check(&what(&format!("inverse {part}")), &found, |at| {
                        let (xx, xy, yy) = matrix(at);
                        [yy, -xy, xx][part] / (xx * yy - xy * xy)
                    });
                }
                let known = [0, 1].map(|part| figure(&system, size, |pixels| pixels.known[part]));
                check(&what("known u"), &known[0], |at| -sum(at, |[a, _, c]| a * c));
                check(&what("known v"), &known[1], |at| -sum(at, |[_, b, c]| b * c));
            }
        }
    }
}
