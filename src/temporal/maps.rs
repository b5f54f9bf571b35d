//! What the small picture says, at the pixels of the large one.

use crate::image::Size;
use crate::image::lanes::{LANES, Lanes, dispatched};
use crate::image::places::{Place, places};
use crate::image::planar::Planar;

/// Maps of a small picture: motion to the right and down, share of the past, size of the motion.
pub type Maps = Planar<4>;

/// Where the pixels of a large picture lie in the maps of a small one.
pub struct Enlarging {
    /// Of every column, and the last one again up to whole vectors.
    across: Vec<Place>,
    down: Vec<Place>,
    /// Columns of the large picture in one of the small, where that is whole.
    columns: Option<usize>,
    /// Columns of the small picture.
    width: usize,
    /// How many of the maps are wanted, from the first on.
    wanted: usize,
}

/// The maps at a row of the large picture, as far as whole vectors, and what they are made of.
pub struct MapRow {
    /// At the row, in columns of the small picture, of which one more lies on either side.
    between: Vec<f32>,
    rows: [Vec<[f32; LANES]>; 4],
}

impl Enlarging {
    /// For a size of the small picture and of the large one, and as many of the maps.
    pub fn new(small: Size, large: Size, wanted: usize) -> Self {
        let mut across = places(small.width, large.width);
        across.resize(large.width.next_multiple_of(LANES), across[large.width - 1]);
        Self {
            across,
            down: places(small.height, large.height),
            columns: large.width.is_multiple_of(small.width).then(|| large.width / small.width),
            width: small.width,
            wanted,
        }
    }

    /// Room for a row.
    pub fn row(&self) -> MapRow {
        let row = |map: usize| match map < self.wanted {
            true => vec![[0.0; LANES]; self.across.len() / LANES],
            false => Vec::new(),
        };
        MapRow { between: vec![0.0; self.width + 2], rows: std::array::from_fn(row) }
    }

    /// Fills in a row of the large picture: linear between rows, then between columns.
    pub fn at(&self, y: usize, maps: &Maps, to: &mut MapRow) {
        let down = self.down[y];
        for (map, row) in to.rows.iter_mut().enumerate().take(self.wanted) {
            let [above, below] = down.between.map(|y| maps.rest(map, -1, y as isize));
            mix_rows(above, below, down.share, &mut to.between);
            let row = row.as_flattened_mut();
            match self.columns {
                Some(2) => double(&to.between, row),
                Some(4) => quadruple(&to.between, row),
                _ => enlarge(&to.between, &self.across, row),
            }
        }
    }
}

impl MapRow {
    /// Of maps that are known, in the order of [`Maps`].
    #[cfg(test)]
    pub fn of_rows(rows: [Vec<[f32; LANES]>; 4]) -> Self {
        Self { between: vec![], rows }
    }

    /// The share of the past at eight pixels.
    #[inline(always)]
    pub fn share(&self, block: usize) -> Lanes {
        Lanes(self.rows[2][block])
    }

    /// The size of the motion at eight pixels, where it is wanted.
    #[inline(always)]
    pub fn speed(&self, block: usize) -> Lanes {
        Lanes(self.rows[3][block])
    }

    /// The motion of eight pixels.
    #[inline(always)]
    pub fn motion(&self, block: usize) -> [Lanes; 2] {
        [Lanes(self.rows[0][block]), Lanes(self.rows[1][block])]
    }
}

dispatched! {
    /// Linear between rows.
    fn mix_rows / mix_rows_plain(above: &[f32], below: &[f32], share: f32, to: &mut [f32]) {
        for ((above, below), to) in above.iter().zip(below).zip(to) {
            *to = above + share * (below - above);
        }
    }
}

/// Linear between columns, of which there is one more on either side.
fn enlarge(from: &[f32], across: &[Place], to: &mut [f32]) {
    for (place, to) in across.iter().zip(to) {
        let [before, behind] = place.between.map(|x| from[x + 1]);
        *to = before + place.share * (behind - before);
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

/// As [`enlarge`], with the same bits, for a scale that is a power of two.
#[inline(always)]
fn enlarge_by<const SCALE: usize>(from: &[f32], to: &mut [f32]) {
    let last = SCALE as f32 * 2.0;
    for (columns, to) in from.windows(3).zip(to.as_chunks_mut::<SCALE>().0) {
        for (phase, to) in to.iter_mut().enumerate() {
            // Odd eighths or quarters of a pixel, of which no bit is lost.
            let beyond = (2 * phase + 1) as f32 / last - 0.5;
            let (before, behind, share) = match beyond < 0.0 {
                true => (columns[0], columns[1], 1.0 + beyond),
                false => (columns[1], columns[2], beyond),
            };
            *to = before + share * (behind - before);
        }
    }
    // Before the first column, what is behind it counts for nothing, but is no number where that is none.
    if let ([_, first, second, ..], Some(to)) = (from, to.first_chunk_mut::<SCALE>()) {
        to[..SCALE / 2].fill(first + 0.0 * (second - first));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlarging_by_a_power_of_two_gives_the_bits_of_any_enlarging() {
        let kinds = [
            None,
            Some((0, f32::NAN)),
            Some((1, f32::INFINITY)),
            Some((2, f32::NEG_INFINITY)),
            Some((16, f32::NAN)),
        ];
        for (small, odd) in [1, 2, 3, 17, 40].into_iter().flat_map(|small| kinds.map(|odd| (small, odd))) {
            let mut columns: Vec<f32> = (0..small).map(|x| (x as f32 * 1.7).sin() * 30.0).collect();
            if let Some((x, value)) = odd.filter(|(x, _)| *x < small) {
                columns[x] = value;
            }
            let (first, last) = (columns[0], columns[small - 1]);
            let from: Vec<f32> = [first].into_iter().chain(columns).chain([last]).collect();
            for scale in [2, 4] {
                let large = small * scale;
                let (mut plain, mut fast) = (vec![0.0; large], vec![1.0; large]);
                enlarge(&from, &places(small, large), &mut plain);
                match scale {
                    2 => double(&from, &mut fast),
                    _ => quadruple(&from, &mut fast),
                }
                let same = fast.iter().zip(&plain).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
                assert!(same, "{small} by {scale}, {odd:?}: {fast:?}, not {plain:?}");
            }
        }
    }
}
