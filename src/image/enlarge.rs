//! Pictures of planes at the pixels of a larger one, a row at a time: between rows first, then between columns.

use super::Size;
use super::lanes::{LANES, Lanes};
use super::places::{Place, places};
use super::planar::{Planar, catmull_rom};

/// How what lies between pixels is made of those around it, of which there are `TAPS`.
pub trait Kernel<const TAPS: usize> {
    /// The value `share` of the way from the pixel in the middle to the next.
    fn between(around: [f32; TAPS], share: f32) -> f32;
}

/// A straight line.
pub struct Linear;

impl Kernel<2> for Linear {
    #[inline(always)]
    fn between([before, behind]: [f32; 2], share: f32) -> f32 {
        before + share * (behind - before)
    }
}

/// The cubic of Catmull and Rom.
pub struct Cubic;

impl Kernel<4> for Cubic {
    #[inline(always)]
    fn between([a, b, c, d]: [f32; 4], share: f32) -> f32 {
        let weights = catmull_rom(share);
        weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d
    }
}

/// Where the pixels of a large picture lie in a small one.
pub struct Enlarging {
    /// Of every column, and the last one again up to whole vectors.
    across: Vec<Place>,
    down: Vec<Place>,
    /// Columns of the large picture in one of the small, where that is whole.
    columns: Option<usize>,
    /// Columns of the small picture.
    width: usize,
}

/// The first planes at a row of the large picture, as far as whole vectors.
pub struct EnlargedRow<const PLANES: usize> {
    /// At the row, in columns of the small picture, with those beyond it.
    between: Vec<f32>,
    /// Of all columns of the small picture, those of the large one that lie alike.
    phases: Vec<f32>,
    rows: [Vec<[f32; LANES]>; PLANES],
}

impl<const PLANES: usize> EnlargedRow<PLANES> {
    /// A plane at eight pixels.
    #[inline(always)]
    pub fn of(&self, plane: usize, block: usize) -> Lanes {
        Lanes(self.rows[plane][block])
    }

    /// Of what is known.
    #[cfg(test)]
    pub fn of_rows(rows: [Vec<[f32; LANES]>; PLANES]) -> Self {
        Self { between: vec![], phases: vec![], rows }
    }
}

impl Enlarging {
    /// From a size to another.
    pub fn new(small: Size, large: Size) -> Self {
        let mut across = places(small.width, large.width);
        across.resize(large.width.next_multiple_of(LANES), across[large.width - 1]);
        Self {
            across,
            down: places(small.height, large.height),
            columns: large.width.is_multiple_of(small.width).then(|| large.width / small.width),
            width: small.width,
        }
    }

    /// Room for a row of so many planes, of which only the first are wanted.
    pub fn row<const PLANES: usize>(&self, wanted: usize) -> EnlargedRow<PLANES> {
        let count = |plane: usize| if plane < wanted { self.across.len() / LANES } else { 0 };
        let rows = std::array::from_fn(|plane| vec![[0.0; LANES]; count(plane)]);
        EnlargedRow { between: Vec::new(), phases: Vec::new(), rows }
    }

    /// Fills in row `y` of the large picture, of a small one that is extended.
    pub fn at<K: Kernel<TAPS>, const TAPS: usize, const ALL: usize, const PLANES: usize>(
        &self,
        y: usize,
        small: &Planar<ALL>,
        to: &mut EnlargedRow<PLANES>,
    ) {
        let down = self.down[y];
        // The pixel before is followed by as many as lie before the one behind.
        let beyond = TAPS as isize / 2;
        let first = down.between[0] as isize - (beyond - 1);
        let EnlargedRow { between, phases, rows } = to;
        between.resize(self.width + TAPS, 0.0);
        for (plane, row) in rows.iter_mut().enumerate().filter(|(_, row)| !row.is_empty()) {
            let around = std::array::from_fn(|tap| small.rest(plane, -beyond, first + tap as isize));
            mix_rows::<K, TAPS>(around, down.share, between);
            let row = row.as_flattened_mut();
            match self.columns {
                Some(2) => by::<K, TAPS, 2>(between, phases, row),
                Some(4) => by::<K, TAPS, 4>(between, phases, row),
                _ => by_any::<K, TAPS>(between, &self.across, row),
            }
        }
    }
}

/// Between rows.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn mix_rows<K: Kernel<TAPS>, const TAPS: usize>(rows: [&[f32]; TAPS], share: f32, to: &mut [f32]) {
    let count = to.len();
    let rows = rows.map(|row| &row[..count]);
    for x in 0..count {
        to[x] = K::between(rows.map(|row| row[x]), share);
    }
}

/// So many pixels, from one on.
#[inline(always)]
fn around<const TAPS: usize>(from: &[f32], at: usize) -> [f32; TAPS] {
    *from[at..].first_chunk().expect("there are pixels beyond the outermost")
}

/// Between columns, of which there are half as many as taps beyond the picture on either side.
fn by_any<K: Kernel<TAPS>, const TAPS: usize>(from: &[f32], across: &[Place], to: &mut [f32]) {
    for (place, to) in across.iter().zip(to) {
        *to = K::between(around(from, place.between[0] + 1), place.share);
    }
}

/// As [`by_any`], with the same bits, for a scale that is a power of two.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn by<K: Kernel<TAPS>, const TAPS: usize, const SCALE: usize>(
    from: &[f32],
    phases: &mut Vec<f32>,
    to: &mut [f32],
) {
    let width = from.len() - TAPS;
    phases.resize(SCALE * width, 0.0);
    // A phase after the other, which takes half the time of a column after the other.
    for (phase, values) in phases.chunks_exact_mut(width).enumerate() {
        // Odd eighths or quarters of a pixel, of which no bit is lost.
        let beyond = (2 * phase + 1) as f32 / (2 * SCALE) as f32 - 0.5;
        let (first, share) = if beyond < 0.0 { (0, 1.0 + beyond) } else { (1, beyond) };
        let columns: [&[f32]; TAPS] = std::array::from_fn(|tap| &from[first + tap..][..width]);
        for (x, value) in values.iter_mut().enumerate() {
            *value = K::between(columns.map(|column| column[x]), share);
        }
    }
    let phases: [&[f32]; SCALE] = std::array::from_fn(|phase| &phases[phase * width..][..width]);
    for (x, to) in to.as_chunks_mut::<SCALE>().0[..width].iter_mut().enumerate() {
        *to = phases.map(|values| values[x]);
    }
    // Beyond the centres of the outermost pixels nothing changes.
    let ends = [(0, 1), (SCALE * width - SCALE / 2, width)];
    for (start, at) in ends {
        to[start..start + SCALE / 2].fill(K::between(around(from, at), 0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(x: usize, y: usize, plane: usize) -> f32 {
        ((x * 7 + y * 5 + plane * 3) as f32).sin() * 40.0
    }

    fn check<K: Kernel<TAPS>, const TAPS: usize>() {
        for (small, large) in
            [((1, 1), (2, 2)), ((5, 4), (10, 8)), ((9, 3), (36, 12)), ((7, 5), (21, 15)), ((6, 4), (9, 7))]
        {
            let (small, large) = (Size::new(small.0, small.1), Size::new(large.0, large.1));
            let mut picture = Planar::<3>::new(small);
            picture.fill_with(|x, y| [0, 1, 2].map(|plane| level(x, y, plane)));
            let enlarging = Enlarging::new(small, large);
            let mut row = enlarging.row::<3>(2);
            // The first pixel around a place and the share.
            let axis = |at: usize, small: usize, large: usize| {
                let position = (at as f64 + 0.5) * small as f64 / large as f64 - 0.5;
                let position = position.clamp(0.0, (small - 1) as f64);
                let taps: [usize; TAPS] = std::array::from_fn(|tap| {
                    let at = position.floor() as isize + tap as isize - (TAPS as isize / 2 - 1);
                    at.clamp(0, small as isize - 1) as usize
                });
                (taps, (position - position.floor()) as f32)
            };
            for y in 0..large.height {
                enlarging.at::<K, TAPS, 3, 3>(y, &picture, &mut row);
                let (rows, down) = axis(y, small.height, large.height);
                for x in 0..large.width {
                    let (columns, across) = axis(x, small.width, large.width);
                    for plane in 0..2 {
                        let line = columns.map(|x| K::between(rows.map(|y| level(x, y, plane)), down));
                        let wanted = K::between(line, across);
                        let found = row.of(plane, x / LANES).0[x % LANES];
                        assert!((found - wanted).abs() < 1e-4, "{large} {x},{y}: {found}, not {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_is_what_lies_between_the_pixels_of_the_small_picture_at_every_scale() {
        check::<Linear, 2>();
        check::<Cubic, 4>();
    }

    #[test]
    fn a_cubic_goes_through_its_pixels_and_keeps_straight_lines() {
        for share in [0.0, 0.25, 0.5, 1.0] {
            assert_eq!(Cubic::between([1.0, 2.0, 3.0, 4.0], share), 2.0 + share);
            assert_eq!(Linear::between([2.0, 3.0], share), 2.0 + share);
        }
        assert_eq!(Cubic::between([9.0, 2.0, 7.0, -4.0], 0.0), 2.0);
        // Keys 1981 with a = -1/2, in the middle.
        assert_eq!(Cubic::between([16.0, 0.0, 0.0, 0.0], 0.5), -1.0);
        assert_eq!(Cubic::between([0.0, 16.0, 0.0, 0.0], 0.5), 9.0);
    }

    fn check_bits<K: Kernel<TAPS>, const TAPS: usize>(odd: Option<(usize, f32)>) {
        for small in [1, 2, 3, 17, 40] {
            let mut columns: Vec<f32> = (0..small).map(|x| (x as f32 * 1.7).sin() * 30.0).collect();
            if let Some((x, value)) = odd.filter(|(x, _)| *x < small) {
                columns[x] = value;
            }
            let (first, last) = ([columns[0]; 2], [columns[small - 1]; 2]);
            let beyond = TAPS / 2;
            let from = [&first[..beyond], &columns, &last[..beyond]].concat();
            for scale in [2, 4] {
                let large = small * scale;
                let (mut any, mut fast) = (vec![0.0; large], vec![1.0; large]);
                by_any::<K, TAPS>(&from, &places(small, large), &mut any);
                match scale {
                    2 => by::<K, TAPS, 2>(&from, &mut Vec::new(), &mut fast),
                    _ => by::<K, TAPS, 4>(&from, &mut Vec::new(), &mut fast),
                }
                let same = fast.iter().zip(&any).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
                assert!(same, "{small} by {scale}, {odd:?}: {fast:?}, not {any:?}");
            }
        }
    }

    #[test]
    fn enlarging_by_a_power_of_two_gives_the_bits_of_any_enlarging() {
        let odd = [(0, f32::NAN), (1, f32::INFINITY), (2, f32::NEG_INFINITY), (16, f32::NAN)];
        for odd in odd.map(Some).into_iter().chain([None]) {
            check_bits::<Linear, 2>(odd);
            check_bits::<Cubic, 4>(odd);
        }
    }
}
