//! The large-picture stage: the previous output, moved along the motion, is blended into the new one.

use ndarray::Axis;
use ndarray::parallel::prelude::*;

use super::Mode;
use crate::image::lanes::{LANES, Lanes, dispatched};
use crate::image::places::{Place, places};
use crate::image::planar::{COLOURS, Planar, RowsMut, store};
use crate::image::plane::Plane;
use crate::image::quads::{Quad, Quads, catmull_rom};
use crate::image::{Sample, Size, ViewMut, rows_mut};

/// Rows that a thread takes at a time.
const BAND: usize = 16;
/// What the guard leaves of fine differences to the past where the picture moves, and what it adds to that where it
/// stands still.
pub const KEPT: (f32, f32) = (0.3, 0.7);
/// Pixels of motion per frame between which the guard comes in.
pub const GUARDED: (f32, f32) = (0.3, 1.5);

/// The history of the output.
pub struct Blend {
    past: Planar,
    present: Planar,
    has_past: bool,
    /// Of every column, and the last one again up to whole vectors.
    across: Vec<Place>,
    down: Vec<Place>,
    /// As `across`, for what is handed on.
    cubic: Vec<Taken>,
    /// Pixels of the large picture in one of the small.
    scale: [f32; 2],
    /// The maps in planes: motion to the right and down, share, size of the motion.
    maps: [Plane; 4],
    /// How the past differs from the output, for the guard.
    difference: Option<Planar>,
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

impl Blend {
    /// For outputs of one size, guided by pictures of another.
    pub fn new(small: Size, large: Size, mode: Mode) -> Self {
        let mut across = places(small.width, large.width);
        across.resize(large.width.next_multiple_of(LANES), across[large.width - 1]);
        Self {
            past: Planar::new(large),
            present: Planar::new(large),
            has_past: false,
            cubic: across.iter().map(|place| Taken::new(place, small.width)).collect(),
            across,
            down: places(small.height, large.height),
            scale: [large.width as f32 / small.width as f32, large.height as f32 / small.height as f32],
            maps: [(); 4].map(|()| Plane::new(small)),
            difference: (mode == Mode::Quality).then(|| Planar::new(large)),
        }
    }

    /// As [`Self::new`], with an output to go on from, of the size `large`.
    pub fn with_past(small: Size, large: Size, mode: Mode, past: &Quads) -> Self {
        Self { past: Planar::of(past), has_past: true, ..Self::new(small, large, mode) }
    }

    /// The output to go on from, if there is one.
    pub fn into_past(self) -> Option<Quads> {
        self.has_past.then(|| self.past.in_quads())
    }

    /// Forgets the past.
    pub fn forget(&mut self) {
        self.has_past = false;
    }

    /// The output is left as it is, and remembered.
    pub fn begin<S: Sample>(&mut self, output: &mut ViewMut<'_, S>) {
        for_each_row(
            &mut self.past,
            output,
            || (),
            |(), _, past, output, channels| past.load(output, channels),
        );
        self.past.extend();
        self.has_past = true;
    }

    /// The last output again.
    pub fn repeat<S: Sample>(&self, output: &mut ViewMut<'_, S>) {
        let channels = output.dim().2;
        for (y, to) in rows_mut(output).enumerate() {
            store(self.past.row(y), channels, to);
        }
    }

    /// As [`Self::blend`], where parts of the output were not made, and what of the input differs from the past is
    /// added to it: `transfer`, in red, green and blue of 0 to 255 at the size of the maps.
    pub fn blend_parts<S: Sample>(&mut self, maps: &Quads, transfer: &Quads, output: &mut ViewMut<'_, S>) {
        take_maps(maps, &mut self.maps);
        let Self { past, present, across, down, cubic, scale, maps, .. } = self;
        let moving = Moving { past, maps: &*maps, across, down, scale: *scale };
        blend_parts(&moving, transfer, cubic, present, output);
        std::mem::swap(&mut self.past, &mut self.present);
        self.past.extend();
    }

    /// Whether there is an output to go on from.
    pub fn has_past(&self) -> bool {
        self.has_past
    }

    /// Blends the past into the output, by maps of the motion and of the share of the past.
    pub fn blend<S: Sample>(&mut self, maps: &Quads, output: &mut ViewMut<'_, S>) {
        if !self.has_past {
            return self.begin(output);
        }
        take_maps(maps, &mut self.maps);
        let Self { past, present, difference, across, down, scale, maps, .. } = self;
        let moving = Moving { past, maps: &*maps, across, down, scale: *scale };
        match difference {
            None => blend(&moving, present, output),
            Some(difference) => {
                differ(&moving, present, difference, output);
                blend_guarded(&moving, present, difference, output);
            }
        }
        std::mem::swap(&mut self.past, &mut self.present);
        self.past.extend();
    }
}

/// Every row of a history and of an output, in bands; with scratch of a thread, the row's number, and the output's channels.
/// Each row of the history is extended.
fn for_each_row<S: Sample, T>(
    history: &mut Planar,
    output: &mut ViewMut<'_, S>,
    scratch: impl Fn() -> T + Sync + Send,
    run: impl Fn(&mut T, usize, &mut RowsMut<'_>, &mut [S], usize) + Sync + Send,
) {
    let channels = output.dim().2;
    let bands = output.axis_chunks_iter_mut(Axis(0), BAND).into_par_iter();
    bands.zip(history.bands_mut(BAND)).for_each_init(scratch, |scratch, (mut output, mut band)| {
        let first = band.first;
        for ((y, output), mut row) in (first..).zip(rows_mut(&mut output)).zip(band.rows_mut()) {
            run(scratch, y, &mut row, output, channels);
            row.extend();
        }
    });
}

/// The plain blend.
fn blend<S: Sample>(moving: &Moving<'_>, present: &mut Planar, output: &mut ViewMut<'_, S>) {
    for_each_row(
        present,
        output,
        || Guide::new(moving),
        |guide, y, present, output, channels| {
            present.load(output, channels);
            moving.guide(y, guide);
            blend_row(moving, y, guide, present);
            present.store(channels, output);
        },
    );
}

/// The blend of what was made of the output with what is handed on.
fn blend_parts<S: Sample>(
    moving: &Moving<'_>,
    transfer: &Quads,
    cubic: &[Taken],
    present: &mut Planar,
    output: &mut ViewMut<'_, S>,
) {
    let unit = S::WHITE / 255.0;
    let scratch = || (Guide::new(moving), vec![[0.0; 4]; transfer.size.width]);
    for_each_row(present, output, scratch, |(guide, added), y, present, output, channels| {
        present.load(output, channels);
        moving.guide(y, guide);
        let down = Taken::new(&moving.down[y], transfer.size.height);
        let rows = down.at.map(|y| transfer.row(y));
        sum_rows(&rows, down.weights.map(|weight| weight * unit), added);
        blend_row_of_parts(moving, y, guide, added, cubic, present);
        present.store(channels, output);
    });
}

/// Reads the output, and fills in how the past differs from it.
fn differ<S: Sample>(
    moving: &Moving<'_>,
    present: &mut Planar,
    difference: &mut Planar,
    output: &mut ViewMut<'_, S>,
) {
    let channels = output.dim().2;
    let bands = output.axis_chunks_iter_mut(Axis(0), BAND).into_par_iter();
    let bands = bands.zip(present.bands_mut(BAND)).zip(difference.bands_mut(BAND));
    bands.for_each_init(
        || Guide::new(moving),
        |guide, ((mut output, mut present), mut difference)| {
            let rows = (present.first..).zip(rows_mut(&mut output));
            for (((y, output), mut present), mut difference) in
                rows.zip(present.rows_mut()).zip(difference.rows_mut())
            {
                present.load(output, channels);
                moving.guide(y, guide);
                subtract_row(moving, y, guide, &mut present, &mut difference);
                difference.extend();
            }
        },
    );
    difference.extend();
}

/// The blend that holds back what the past would blur.
fn blend_guarded<S: Sample>(
    moving: &Moving<'_>,
    present: &mut Planar,
    difference: &Planar,
    output: &mut ViewMut<'_, S>,
) {
    for_each_row(
        present,
        output,
        || Guide::new(moving),
        |guide, y, present, output, channels| {
            moving.guide(y, guide);
            guard_row(difference, y, guide, present);
            present.store(channels, output);
        },
    );
}

/// The past and where it went.
struct Moving<'a> {
    past: &'a Planar,
    maps: &'a [Plane; 4],
    across: &'a [Place],
    down: &'a [Place],
    scale: [f32; 2],
}

/// The maps at the pixels of a row, as far as whole vectors, and what they are made of.
struct Guide {
    /// At the row, in columns of the small picture, of which one more lies on either side.
    between: Vec<f32>,
    rows: [Vec<[f32; LANES]>; 4],
}

impl Guide {
    fn new(moving: &Moving<'_>) -> Self {
        let row = || vec![[0.0; LANES]; moving.across.len() / LANES];
        Self { between: vec![0.0; moving.maps[0].size.width + 2], rows: [row(), row(), row(), row()] }
    }

    /// Each map at eight pixels.
    #[inline(always)]
    fn of(&self, block: usize) -> [Lanes; 4] {
        let [u, v, share, speed] = &self.rows;
        [Lanes(u[block]), Lanes(v[block]), Lanes(share[block]), Lanes(speed[block])]
    }
}

impl Moving<'_> {
    /// Fills in the maps at a row of the large picture.
    fn guide(&self, y: usize, guide: &mut Guide) {
        let down = self.down[y];
        for (map, row) in self.maps.iter().zip(&mut guide.rows) {
            let [above, below] = down.between.map(|y| map.rest(-1, y as isize));
            mix_rows(above, below, down.share, &mut guide.between);
            let row = row.as_flattened_mut();
            match self.scale {
                [2.0, _] => double(&guide.between, row),
                [4.0, _] => quadruple(&guide.between, row),
                _ => enlarge(&guide.between, self.across, row),
            }
        }
    }

    /// The past where eight pixels are.
    #[inline(always)]
    fn moved(&self, at: (usize, usize), [u, v, _, _]: &[Lanes; 4]) -> [Lanes; COLOURS] {
        let [across, down] = self.scale.map(Lanes::splat);
        self.past.sample(at, [across * *u, down * *v])
    }
}

/// From pixels of four figures to planes of one.
fn take_maps(from: &Quads, to: &mut [Plane; 4]) {
    for y in 0..from.size.height {
        let [u, v, share, speed] = to.each_mut().map(|plane| plane.row_mut(y));
        split_row(from.row(y), [u, v, share, speed]);
    }
    to.iter_mut().for_each(Plane::extend);
}

dispatched! {
    fn split_row / split_row_plain(from: &[Quad], to: [&mut [f32]; 4]) {
        let [a, b, c, d] = to.map(|row| &mut row[..from.len()]);
        for x in 0..from.len() {
            [a[x], b[x], c[x], d[x]] = from[x];
        }
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

dispatched! {
    /// Leans a row on the past by the share of the maps.
    fn blend_row / blend_row_plain(moving: &Moving<'_>, y: usize, guide: &Guide, present: &mut RowsMut<'_>) {
        let [red, green, blue] = present.lanes();
        for (block, ((red, green), blue)) in red.iter_mut().zip(green).zip(blue).enumerate() {
            let x = LANES * block;
            let maps = guide.of(block);
            let moved = moving.moved((x, y), &maps);
            for (present, moved) in [red, green, blue].into_iter().zip(moved) {
                let new = Lanes(*present);
                *present = (new + maps[2] * (moved - new)).0;
            }
        }
    }
}

dispatched! {
    /// Four rows, each times its weight.
    fn sum_rows / sum_rows_plain(rows: &[&[Quad]; 4], weights: [f32; 4], to: &mut [Quad]) {
        let count = to.len();
        let [a, b, c, d] = rows.map(|row| &row[..count]);
        for x in 0..count {
            for channel in 0..4 {
                let (above, below) = (weights[0] * a[x][channel], weights[3] * d[x][channel]);
                to[x][channel] = above + weights[1] * b[x][channel] + weights[2] * c[x][channel] + below;
            }
        }
    }
}

dispatched! {
    /// As [`blend_row`], exact where nothing of the present counts, and with a difference from `added` added.
    fn blend_row_of_parts / blend_row_of_parts_plain(
        moving: &Moving<'_>, y: usize, guide: &Guide, added: &[Quad], cubic: &[Taken], present: &mut RowsMut<'_>,
    ) {
        let [red, green, blue] = present.lanes();
        for (block, ((red, green), blue)) in red.iter_mut().zip(green).zip(blue).enumerate() {
            let x = LANES * block;
            let maps = guide.of(block);
            let moved = moving.moved((x, y), &maps);
            let old = Lanes::splat(1.0) - maps[2];
            for ((present, moved), added) in [red, green, blue].into_iter().zip(moved).zip(cubes(added, cubic, x)) {
                let new = old * (Lanes(*present) - moved);
                *present = (moved + new + added).0;
            }
        }
    }
}

/// The colours of a row between its pixels, at eight places from `x` on.
#[inline(always)]
fn cubes(row: &[Quad], cubic: &[Taken], x: usize) -> [Lanes; COLOURS] {
    let places: &[Taken; LANES] = cubic[x..].first_chunk().expect("places up to whole vectors");
    let mut cubes = [Lanes::ZERO; COLOURS];
    for (lane, taken) in places.iter().enumerate() {
        let [a, b, c, d] = taken.at.map(|x| row[x]);
        let [wa, wb, wc, wd] = taken.weights;
        for colour in 0..COLOURS {
            cubes[colour].0[lane] = wa * a[colour] + wb * b[colour] + wc * c[colour] + wd * d[colour];
        }
    }
    cubes
}

dispatched! {
    /// What the past is more than the present.
    fn subtract_row / subtract_row_plain(
        moving: &Moving<'_>, y: usize, guide: &Guide, present: &mut RowsMut<'_>, difference: &mut RowsMut<'_>,
    ) {
        let (present, difference) = (present.lanes(), difference.lanes());
        for block in 0..present[0].len() {
            let x = LANES * block;
            let moved = moving.moved((x, y), &guide.of(block));
            for colour in 0..COLOURS {
                difference[colour][block] = (moved[colour] - Lanes(present[colour][block])).0;
            }
        }
    }
}

dispatched! {
    /// As [`blend_row`], but where the picture moves only a part of the differences that are coarser than a pixel.
    fn guard_row / guard_row_plain(
        difference: &Planar, y: usize, guide: &Guide, present: &mut RowsMut<'_>,
    ) {
        let (one, here) = (Lanes::splat(1.0), y as isize);
        for (colour, row) in present.lanes().into_iter().enumerate() {
            let rows = [here - 1, here, here + 1].map(|y| [-1, 0, 1].map(|x| difference.lanes(colour, x, y)));
            for (block, present) in row.iter_mut().enumerate() {
                let maps = guide.of(block);
                let still = one - smooth_steps(GUARDED, maps[3]);
                let held_back = one - (Lanes::splat(KEPT.0) + Lanes::splat(KEPT.1) * still);
                let mut coarse = Lanes::ZERO;
                for (weight, [left, middle, right]) in [0.0625, 0.125, 0.0625].into_iter().zip(rows) {
                    let middle = Lanes::splat(2.0) * Lanes(middle[block]);
                    coarse += Lanes::splat(weight) * (Lanes(left[block]) + middle + Lanes(right[block]));
                }
                let here = Lanes(rows[1][1][block]);
                *present = (Lanes(*present) + maps[2] * (here - held_back * coarse)).0;
            }
        }
    }
}

/// [`super::smooth_step`] of eight.
#[inline(always)]
fn smooth_steps((from, to): (f32, f32), value: Lanes) -> Lanes {
    let t = (value - Lanes::splat(from)) / Lanes::splat(to - from);
    let t = t.min(Lanes::splat(1.0)).max(Lanes::ZERO);
    t * t * (Lanes::splat(3.0) - Lanes::splat(2.0) * t)
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
    #[test]
    fn the_guard_keeps_all_differences_where_nothing_moves_and_a_part_of_the_coarse_ones_where_it_does() {
        let size = Size::new(21, 9);
        let level = |x: isize, y: isize| ((x * 7 + y * 3) as f32 * 0.9).sin() * 20.0;
        let mut difference = Planar::new(size);
        let mut present = Planar::new(size);
        for (planar, gain) in [(&mut difference, 1.0), (&mut present, 0.0)] {
            planar.bands_mut(size.height).for_each(|mut band| {
                for (y, mut rows) in band.rows_mut().enumerate() {
                    for row in rows.lanes() {
                        let samples = row.as_flattened_mut().iter_mut().enumerate();
                        samples.for_each(|(x, sample)| *sample = gain * level(x as isize, y as isize));
                    }
                    rows.extend();
                }
            });
            planar.extend();
        }
        let inside = |at: isize, length: usize| at.clamp(0, length as isize - 1);
        let at = |x: isize, y: isize| level(inside(x, size.width), inside(y, size.height));
        for (speed, held_back) in [(0.0, 0.0), (GUARDED.1, 1.0 - KEPT.0), (100.0, 1.0 - KEPT.0)] {
            let row = |value: f32| vec![[value; LANES]; size.width.div_ceil(LANES)];
            let guide = Guide { between: vec![], rows: [row(0.0), row(0.0), row(0.5), row(speed)] };
            let mut steadied = present.clone();
            steadied.bands_mut(1).for_each(|mut band| {
                let y = band.first;
                for mut rows in band.rows_mut() {
                    guard_row(&difference, y, &guide, &mut rows);
                }
            });
            for y in 0..size.height {
                for (colour, row) in steadied.row(y).into_iter().enumerate() {
                    for (x, found) in row.as_flattened()[..size.width].iter().enumerate() {
                        let (x, y) = (x as isize, y as isize);
                        let near = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)));
                        let weight = |d: isize| if d == 0 { 0.5 } else { 0.25 };
                        let coarse: f32 =
                            near.map(|(dx, dy)| weight(dx) * weight(dy) * at(x + dx, y + dy)).sum();
                        let expected = 0.5 * (at(x, y) - held_back * coarse);
                        assert!(
                            (found - expected).abs() < 1e-4,
                            "{colour} {x},{y} at {speed}: {found}, not {expected}"
                        );
                    }
                }
            }
        }
    }
}
