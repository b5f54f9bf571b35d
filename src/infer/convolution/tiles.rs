//! Convolutions of three by three by minimal filtering: tiles of four by four pixels at a time, each from six by six, with a quarter
//! of the multiplications (A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016; F(4x4, 3x3)).
//!
//! Tiles that lie side by side are computed together, one in a lane. That is explicit vector code, by a library that picks the
//! widest vectors of the processor: left to the compiler, the same loops took from one to twenty times as long, by how they were
//! written. Sums have one order, whatever the lanes, so every processor that they run on gives the same bits.
//!
//! What is rounded is relative to the largest number that a tile depends on, not to those that a pixel does: one of 1e6 among those of 0
//! to 1, which no picture has, takes its neighbours their value.

use ndarray::{ArrayViewMut3, Axis};
use pulp::{Simd, WithSimd};

/// Pixels of a tile, across and down.
pub(super) const TILE: usize = 4;
/// Pixels of the input that they depend on.
const SPAN: usize = TILE + 2;
/// Products of a tile and a pair of channels.
const POINTS: usize = SPAN * SPAN;
/// Weights of a filter.
pub(super) const TAPS: usize = 9;
/// Lanes of the widest vectors.
const MOST_LANES: usize = 16;
/// Outputs whose sums are kept in registers: half of 32 of them, and three quarters of 16.
const WIDE_BLOCK: usize = 16;
const NARROW_BLOCK: usize = 12;

/// What products are multiplied by, of a filter's three weights in a row: six numbers.
const OF_WEIGHTS: [[f64; 3]; SPAN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Floats in a vector of this processor's widest that have fused multiplications: 16, 8, or less where it has none that are worth it.
pub(super) fn lanes() -> usize {
    struct Count;
    impl WithSimd for Count {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    pulp::Arch::new().dispatch(Count)
}

/// Filters of a convolution, as tiles need them.
pub(super) struct Filters {
    inputs: usize,
    outputs: usize,
    /// How many outputs are computed together.
    block: usize,
    /// Of each block of outputs, for each point, for each input: a number for each output of the block.
    numbers: Vec<f32>,
}

impl Filters {
    /// From `weights`, nine for each input of each output.
    pub(super) fn new(outputs: usize, inputs: usize, weights: &[f32]) -> Self {
        Self::in_blocks(
            if lanes() == MOST_LANES { WIDE_BLOCK } else { NARROW_BLOCK },
            outputs,
            inputs,
            weights,
        )
    }

    fn in_blocks(block: usize, outputs: usize, inputs: usize, weights: &[f32]) -> Self {
        let mut numbers = vec![0.0; outputs.div_ceil(block) * POINTS * inputs * block];
        for (filter, weights) in weights.as_chunks::<TAPS>().0.iter().enumerate() {
            let (output, input) = (filter / inputs, filter % inputs);
            let (first, within) = (output / block * POINTS * inputs, output % block);
            for (point, number) in transformed(weights).into_iter().enumerate() {
                numbers[(first + point * inputs + input) * block + within] = number;
            }
        }
        Self { inputs, outputs, block, numbers }
    }

    /// Those of a block of outputs, at a point.
    fn at(&self, block: usize, point: usize) -> &[f32] {
        let length = self.inputs * self.block;
        &self.numbers[(block * POINTS + point) * length..][..length]
    }

    /// How many outputs a task makes, a multiple of those computed together, where there are so many rows of tiles: all, unless that left
    /// threads without a task. Each task looks at its inputs anew.
    pub(super) fn outputs_of_a_task(&self, rows: usize, threads: usize) -> usize {
        let blocks = self.outputs.div_ceil(self.block);
        let tasks = threads.div_ceil(rows.max(1)).clamp(1, blocks);
        blocks.div_ceil(tasks) * self.block
    }

    /// Floats that [`Row::make`] works in.
    pub(super) fn scratch(&self) -> usize {
        (self.inputs + self.block) * POINTS * MOST_LANES
    }
}

/// A filter at the points that its products are taken at.
fn transformed(weights: &[f32; TAPS]) -> [f32; POINTS] {
    let mut half = [[0.0; 3]; SPAN];
    for (half, of) in half.iter_mut().zip(OF_WEIGHTS) {
        for (column, sum) in half.iter_mut().enumerate() {
            *sum = (0..3).map(|row| of[row] * f64::from(weights[row * 3 + column])).sum();
        }
    }
    let mut points = [0.0; POINTS];
    for (points, half) in points.chunks_exact_mut(SPAN).zip(half) {
        for (point, of) in points.iter_mut().zip(OF_WEIGHTS) {
            *point = (0..3).map(|column| of[column] * half[column]).sum::<f64>() as f32;
        }
    }
    points
}

/// What is done to sums before they are written.
#[derive(Clone, Copy)]
pub(super) struct After<'a> {
    /// A number added to each output.
    pub(super) bias: &'a [f32],
    /// What negative sums of each output are multiplied by.
    pub(super) slopes: Option<&'a [f32]>,
}

/// The tiles of four rows of a picture, of which fewer may be left at its end.
pub(super) struct Row<'a, 'b> {
    pub(super) filters: &'a Filters,
    /// The first output that is made, which one of those computed together begins with.
    pub(super) first: usize,
    pub(super) after: After<'a>,
    /// The input, channel by channel, and its size.
    pub(super) from: &'a [f32],
    pub(super) height: usize,
    pub(super) width: usize,
    /// Which row of tiles it is.
    pub(super) number: usize,
    /// The rows, of every output that is made.
    pub(super) to: &'a mut ArrayViewMut3<'b, f32>,
    /// As many floats as [`Filters::scratch`] says.
    pub(super) scratch: &'a mut [f32],
}

impl Row<'_, '_> {
    /// Computes them.
    pub(super) fn make(self) {
        pulp::Arch::new().dispatch(self);
    }
}

impl WithSimd for Row<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match self.filters.block {
            WIDE_BLOCK => self.tiles::<S, WIDE_BLOCK>(simd),
            _ => self.tiles::<S, NARROW_BLOCK>(simd),
        }
    }
}

impl Row<'_, '_> {
    #[inline(always)]
    fn tiles<S: Simd, const BLOCK: usize>(&mut self, simd: S) {
        let together = S::F32_LANES * TILE;
        let mut left = 0;
        while left < self.width {
            // Where half a vector is enough, so is half the time.
            #[cfg(target_arch = "x86_64")]
            if S::F32_LANES == MOST_LANES
                && (self.width - left) * 2 <= together
                && let Some(half) = pulp::x86::V3::try_new()
            {
                self.side_by_side::<_, BLOCK>(half, left);
                break;
            }
            self.side_by_side::<S, BLOCK>(simd, left);
            left += together;
        }
    }

    /// As many tiles as there are lanes, from a column on.
    #[inline(always)]
    fn side_by_side<S: Simd, const BLOCK: usize>(&mut self, simd: S, left: usize) {
        let inputs = self.filters.inputs;
        let made = self.first..self.first + self.to.len_of(Axis(0));
        let (inward, outward) = self.scratch.split_at_mut(inputs * POINTS * MOST_LANES);
        let (inward, _) = S::as_mut_simd_f32s(inward);
        let (outward, _) = S::as_mut_simd_f32s(outward);
        let place = Place { height: self.height, width: self.width, top: self.number * TILE, left };
        let (is_inside, mut padded) = (place.is_inside::<S>(), NOTHING);
        for (input, plane) in self.from.chunks_exact(self.height * self.width).enumerate() {
            let padded = (!is_inside).then_some(&mut padded);
            place.read(simd, plane, padded, &mut inward[input..], inputs);
        }
        let count = (self.width - left).min(S::F32_LANES * TILE);
        for first in made.clone().step_by(BLOCK) {
            for point in 0..POINTS {
                let numbers = self.filters.at(first / BLOCK, point);
                let sums = multiplied::<S, BLOCK>(simd, numbers, &inward[point * inputs..][..inputs]);
                if let Some(outward) = outward[point * BLOCK..].first_chunk_mut() {
                    *outward = sums;
                }
            }
            let planes = self.to.axis_iter_mut(Axis(0)).skip(first - made.start).take(BLOCK);
            for (output, mut plane) in (first..).zip(planes) {
                let bias = simd.splat_f32s(self.after.bias[output]);
                let slope = self.after.slopes.map(|slopes| slopes[output]);
                let tile = finished::<S, BLOCK>(simd, &outward[output - first..]);
                for (mut line, tile) in plane.outer_iter_mut().zip(tile) {
                    let line = line.as_slice_mut().expect("the pixels of a row lie together");
                    let mut tile = added(simd, tile, bias);
                    if let Some(slope) = slope {
                        tile = sloping(simd, tile, simd.splat_f32s(slope));
                    }
                    let tile = simd.interleave_shfl_f32s(tile);
                    write(simd, &mut line[left..left + count], tile);
                }
            }
        }
    }
}

/// Sums of products over all inputs: of each output of a block, at a point.
#[inline(always)]
fn multiplied<S: Simd, const BLOCK: usize>(simd: S, numbers: &[f32], inward: &[S::f32s]) -> [S::f32s; BLOCK] {
    let mut sums = [simd.splat_f32s(0.0); BLOCK];
    for (numbers, inward) in numbers.as_chunks::<BLOCK>().0.iter().zip(inward) {
        for output in 0..BLOCK {
            sums[output] = simd.mul_add_f32s(simd.splat_f32s(numbers[output]), *inward, sums[output]);
        }
    }
    sums
}

/// Rows that tiles side by side depend on.
type Padded = [[f32; MOST_LANES * TILE + TILE]; SPAN];

const NOTHING: Padded = [[0.0; MOST_LANES * TILE + TILE]; SPAN];

/// Where tiles side by side begin, in a picture of a size.
struct Place {
    height: usize,
    width: usize,
    top: usize,
    left: usize,
}

impl Place {
    /// Columns of the input that tiles side by side depend on.
    const fn length<S: Simd>() -> usize {
        S::F32_LANES * TILE + TILE
    }

    /// Whether all that they depend on lies in the picture: a pixel above and left of them is needed, too.
    fn is_inside<S: Simd>(&self) -> bool {
        self.top > 0
            && self.left > 0
            && self.top + SPAN - 1 <= self.height
            && self.left + Self::length::<S>() - 1 <= self.width
    }

    /// What of it does lie in the picture, into `padded`, which stays as it is elsewhere.
    #[inline(always)]
    fn copy<S: Simd>(&self, plane: &[f32], padded: &mut Padded) {
        let from = self.left.saturating_sub(1);
        let to = self.width.min(self.left + Self::length::<S>() - 1);
        let skipped = from + 1 - self.left;
        for (row, padded) in padded.iter_mut().enumerate() {
            let row = (self.top + row).wrapping_sub(1);
            if row < self.height {
                padded[skipped..][..to - from].copy_from_slice(&plane[row * self.width..][from..to]);
            }
        }
    }

    /// What the tiles depend on of a channel, at each point: `every` vectors lie between one point and the next. `padded` is zero outside
    /// of the picture, and used where there is an outside.
    #[inline(always)]
    fn read<S: Simd>(
        &self,
        simd: S,
        plane: &[f32],
        padded: Option<&mut Padded>,
        points: &mut [S::f32s],
        every: usize,
    ) {
        let length = Self::length::<S>();
        let padded = match padded {
            Some(padded) => {
                self.copy::<S>(plane, padded);
                Some(&*padded)
            }
            None => None,
        };
        let mut rows = [[simd.splat_f32s(0.0); SPAN]; SPAN];
        for row in 0..SPAN {
            let pixels = match padded {
                Some(padded) => &padded[row][..length],
                None => &plane[(self.top + row - 1) * self.width + self.left - 1..][..length],
            };
            // Every fourth pixel in a vector, in whatever order of lanes: the same one goes out.
            let [a, b, c, d] = quads(simd, pixels);
            let [e, f, ..] = quads(simd, &pixels[TILE..]);
            rows[row] = inwards(simd, [a, b, c, d, e, f]);
        }
        for column in 0..SPAN {
            let [a, b, c, d, e, f] = rows;
            let column_of = [a[column], b[column], c[column], d[column], e[column], f[column]];
            let transformed = inwards(simd, column_of);
            for row in 0..SPAN {
                points[(row * SPAN + column) * every] = transformed[row];
            }
        }
    }
}

/// The first pixels of tiles side by side, the second ones, and so on.
#[inline(always)]
fn quads<S: Simd>(simd: S, pixels: &[f32]) -> [S::f32s; TILE] {
    let (vectors, _) = S::as_simd_f32s(pixels);
    simd.deinterleave_shfl_f32s([vectors[0], vectors[1], vectors[2], vectors[3]])
}

/// Six pixels in a row at the points of products.
#[inline(always)]
fn inwards<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::f32s; SPAN]) -> [S::f32s; SPAN] {
    let (four, less_four) = (simd.splat_f32s(4.0), simd.splat_f32s(-4.0));
    let less_five = simd.splat_f32s(-5.0);
    let even = simd.mul_add_f32s(less_four, c, e);
    let odd = simd.mul_add_f32s(less_four, b, d);
    let even_twice = simd.sub_f32s(e, c);
    let odd_twice = simd.sub_f32s(d, b);
    let odd_twice = simd.add_f32s(odd_twice, odd_twice);
    [
        simd.mul_add_f32s(four, a, simd.mul_add_f32s(less_five, c, e)),
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        simd.add_f32s(even_twice, odd_twice),
        simd.sub_f32s(even_twice, odd_twice),
        simd.mul_add_f32s(four, b, simd.mul_add_f32s(less_five, d, f)),
    ]
}

/// Four pixels in a row from sums at the points.
#[inline(always)]
fn outwards<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::f32s; SPAN]) -> [S::f32s; TILE] {
    let (even, odd) = (simd.add_f32s(b, c), simd.sub_f32s(b, c));
    let (even_twice, odd_twice) = (simd.add_f32s(d, e), simd.sub_f32s(d, e));
    [
        simd.add_f32s(simd.add_f32s(a, even), even_twice),
        simd.mul_add_f32s(simd.splat_f32s(2.0), odd_twice, odd),
        simd.mul_add_f32s(simd.splat_f32s(4.0), even_twice, even),
        simd.add_f32s(simd.mul_add_f32s(simd.splat_f32s(8.0), odd_twice, odd), f),
    ]
}

/// The pixels of tiles, from the sums of an output at all points, of which those of a block lie together.
#[inline(always)]
fn finished<S: Simd, const BLOCK: usize>(simd: S, sums: &[S::f32s]) -> [[S::f32s; TILE]; TILE] {
    let zero = simd.splat_f32s(0.0);
    let mut columns = [[zero; SPAN]; TILE];
    for column in 0..SPAN {
        let mut points = [zero; SPAN];
        for row in 0..SPAN {
            points[row] = sums[(row * SPAN + column) * BLOCK];
        }
        let pixels = outwards(simd, points);
        for row in 0..TILE {
            columns[row][column] = pixels[row];
        }
    }
    let mut tile = [[zero; TILE]; TILE];
    for row in 0..TILE {
        tile[row] = outwards(simd, columns[row]);
    }
    tile
}

#[inline(always)]
fn added<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; TILE], bias: S::f32s) -> [S::f32s; TILE] {
    [simd.add_f32s(a, bias), simd.add_f32s(b, bias), simd.add_f32s(c, bias), simd.add_f32s(d, bias)]
}

/// What is negative times a slope; what is no number stays none.
#[inline(always)]
fn sloping<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; TILE], slope: S::f32s) -> [S::f32s; TILE] {
    [
        sloping_one(simd, a, slope),
        sloping_one(simd, b, slope),
        sloping_one(simd, c, slope),
        sloping_one(simd, d, slope),
    ]
}

// A closure would be compiled for every processor, not for this one's vectors.
#[inline(always)]
fn sloping_one<S: Simd>(simd: S, value: S::f32s, slope: S::f32s) -> S::f32s {
    let is_negative = simd.less_than_f32s(value, simd.splat_f32s(0.0));
    simd.select_f32s(is_negative, simd.mul_f32s(value, slope), value)
}

/// As many pixels as there is room for.
#[inline(always)]
fn write<S: Simd>(simd: S, line: &mut [f32], pixels: [S::f32s; TILE]) {
    let (vectors, rest) = S::as_mut_simd_f32s(line);
    match vectors.first_chunk_mut() {
        Some(whole) => *whole = pixels,
        None => {
            let whole = vectors.len();
            vectors.copy_from_slice(&pixels[..whole]);
            simd.partial_store_f32s(rest, pixels[whole]);
        }
    }
}

#[cfg(test)]
mod tests;
