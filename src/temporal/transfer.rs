//! What differs of an input from the past, at the pixels of the large picture: cubic between those of the small one.

use crate::image::Size;
use crate::image::lanes::{LANES, Lanes, dispatched};
use crate::image::places::{Place, places};
use crate::image::planar::{COLOURS, Planar, catmull_rom};

/// Columns of the small picture that a cubic reads beyond it.
const BEYOND: usize = 2;

/// Where the pixels of a large picture lie in a small one.
pub struct Enlarging {
    /// Of every column, and the last one again up to whole vectors.
    across: Vec<Taken>,
    down: Vec<Taken>,
    /// Columns of the large picture in one of the small, where that is whole.
    columns: Option<usize>,
    width: usize,
}

/// What is handed on to a row of the large picture, as far as whole vectors, and what it is made of.
pub struct TransferRow {
    /// At the row, in columns of the small picture, of which there are [`BEYOND`] more on either side.
    between: Vec<f32>,
    rows: [Vec<[f32; LANES]>; COLOURS],
}

/// The four pixels of the small picture around a place, and their weights.
#[derive(Clone, Copy, Debug)]
struct Taken {
    at: [usize; 4],
    weights: [f32; 4],
}

impl Taken {
    fn new(place: &Place, length: usize) -> Self {
        let first = place.between[0];
        let at = [first.saturating_sub(1), first, first + 1, first + 2].map(|at| at.min(length - 1));
        Self { at, weights: catmull_rom(place.share) }
    }
}

impl Enlarging {
    /// From a size to another.
    pub fn new(small: Size, large: Size) -> Self {
        let taken = |small: usize, large: usize| -> Vec<Taken> {
            places(small, large).iter().map(|place| Taken::new(place, small)).collect()
        };
        let mut across = taken(small.width, large.width);
        across.resize(large.width.next_multiple_of(LANES), across[large.width - 1]);
        Self {
            across,
            down: taken(small.height, large.height),
            columns: large.width.is_multiple_of(small.width).then(|| large.width / small.width),
            width: small.width,
        }
    }

    /// Room for a row.
    pub fn row(&self) -> TransferRow {
        let row = || vec![[0.0; LANES]; self.across.len() / LANES];
        TransferRow { between: vec![0.0; self.width + 2 * BEYOND], rows: [row(), row(), row()] }
    }

    /// Fills in a row of the large picture, in so many units a level.
    pub fn at(&self, y: usize, transfer: &Planar<COLOURS>, unit: f32, to: &mut TransferRow) {
        let down = &self.down[y];
        let weights = down.weights.map(|weight| weight * unit);
        for (plane, row) in to.rows.iter_mut().enumerate() {
            let rows = down.at.map(|y| transfer.rest(plane, -(BEYOND as isize), y as isize));
            sum_rows(&rows, weights, &mut to.between);
            let row = row.as_flattened_mut();
            match self.columns {
                Some(2) => double(&to.between, row),
                Some(4) => quadruple(&to.between, row),
                _ => enlarge(&to.between, &self.across, row),
            }
        }
    }
}

impl TransferRow {
    /// What is handed on to eight pixels.
    #[inline(always)]
    pub fn of(&self, block: usize) -> [Lanes; COLOURS] {
        let [red, green, blue] = &self.rows;
        [Lanes(red[block]), Lanes(green[block]), Lanes(blue[block])]
    }
}

/// Four numbers, each times its weight.
#[inline(always)]
fn weighted([a, b, c, d]: [f32; 4], weights: [f32; 4]) -> f32 {
    weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d
}

dispatched! {
    /// Four rows, each times its weight.
    fn sum_rows / sum_rows_plain(rows: &[&[f32]; 4], weights: [f32; 4], to: &mut [f32]) {
        let count = to.len();
        let [a, b, c, d] = rows.map(|row| &row[..count]);
        for x in 0..count {
            to[x] = weighted([a[x], b[x], c[x], d[x]], weights);
        }
    }
}

/// Cubic between columns, of which there are [`BEYOND`] more on either side.
fn enlarge(from: &[f32], across: &[Taken], to: &mut [f32]) {
    for (taken, to) in across.iter().zip(to) {
        *to = weighted(taken.at.map(|x| from[x + BEYOND]), taken.weights);
    }
}

dispatched! {
    /// [`enlarge_by`] two.
    fn double / double_plain(from: &[f32], to: &mut [f32]) {
        enlarge_by::<2>(from, to);
    }
}

dispatched! {
    /// [`enlarge_by`] four.
    fn quadruple / quadruple_plain(from: &[f32], to: &mut [f32]) {
        enlarge_by::<4>(from, to);
    }
}

/// As [`enlarge`], for a scale that is a power of two.
#[inline(always)]
fn enlarge_by<const SCALE: usize>(from: &[f32], to: &mut [f32]) {
    // Odd eighths or quarters of a pixel, of which no bit is lost.
    let beyond: [f32; SCALE] =
        std::array::from_fn(|phase| (2 * phase + 1) as f32 / (SCALE as f32 * 2.0) - 0.5);
    let weights = beyond.map(|beyond| catmull_rom(if beyond < 0.0 { 1.0 + beyond } else { beyond }));
    let pixels = to.as_chunks_mut::<SCALE>().0;
    for (columns, to) in from.windows(2 * BEYOND + 1).zip(pixels) {
        let (before, behind) = ([0, 1, 2, 3].map(|x| columns[x]), [1, 2, 3, 4].map(|x| columns[x]));
        for phase in 0..SCALE {
            to[phase] = weighted(if beyond[phase] < 0.0 { before } else { behind }, weights[phase]);
        }
    }
    // Beyond the centres of the outermost pixels nothing changes.
    let inside = BEYOND..from.len() - BEYOND;
    let (first, last, end) = (from[inside.start], from[inside.end - 1], SCALE * inside.len());
    to[..SCALE / 2].fill(first);
    to[end - SCALE / 2..end].fill(last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_cubic_of_the_small_picture_at_every_scale() {
        for (small, large) in [((1, 1), (2, 2)), ((5, 4), (10, 8)), ((9, 3), (36, 12)), ((7, 5), (21, 15))] {
            let (small, large) = (Size::new(small.0, small.1), Size::new(large.0, large.1));
            let level = |x: usize, y: usize, plane: usize| ((x * 7 + y * 5 + plane * 3) as f32).sin() * 40.0;
            let mut transfer = Planar::<COLOURS>::new(small);
            transfer.fill_with(|x, y| [0, 1, 2].map(|plane| level(x, y, plane)));
            let enlarging = Enlarging::new(small, large);
            let mut row = enlarging.row();
            let axis = |at: usize, small: usize, large: usize| {
                let position = (at as f64 + 0.5) * small as f64 / large as f64 - 0.5;
                let position = position.clamp(0.0, (small - 1) as f64);
                let first = position.floor();
                let weights = catmull_rom((position - first) as f32);
                let taps = [-1, 0, 1, 2].map(|tap| (first as isize + tap).clamp(0, small as isize - 1));
                taps.map(|tap| tap as usize).into_iter().zip(weights)
            };
            for y in 0..large.height {
                enlarging.at(y, &transfer, 2.0, &mut row);
                for x in 0..large.width {
                    for (plane, found) in row.of(x / LANES).into_iter().enumerate() {
                        let mut wanted = 0.0;
                        for (from_y, down) in axis(y, small.height, large.height) {
                            for (from_x, across) in axis(x, small.width, large.width) {
                                wanted += 2.0 * down * across * level(from_x, from_y, plane);
                            }
                        }
                        let found = found.0[x % LANES];
                        assert!((found - wanted).abs() < 1e-3, "{large} {x},{y}: {found}, not {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn enlarging_by_a_power_of_two_gives_the_numbers_of_any_enlarging() {
        for small in [1, 2, 3, 17, 40] {
            let columns = (0..small).map(|x| (x as f32 * 1.7).sin() * 30.0);
            let mut transfer = Planar::<COLOURS>::new(Size::new(small, 1));
            let columns: Vec<f32> = columns.collect();
            transfer.fill_with(|x, _| [columns[x]; COLOURS]);
            let from = &transfer.rest(0, -(BEYOND as isize), 0)[..small + 2 * BEYOND];
            for scale in [2, 4] {
                let large = small * scale;
                let (mut plain, mut fast) = (vec![0.0; large], vec![1.0; large]);
                let across: Vec<Taken> =
                    places(small, large).iter().map(|place| Taken::new(place, small)).collect();
                enlarge(from, &across, &mut plain);
                match scale {
                    2 => double(from, &mut fast),
                    _ => quadruple(from, &mut fast),
                }
                assert_eq!(fast, plain, "{small} by {scale}");
            }
        }
    }
}
