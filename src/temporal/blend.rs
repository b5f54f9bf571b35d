//! The large-picture stage: the previous output, moved along the motion, is blended into the new one.

use ndarray::Axis;
use ndarray::parallel::prelude::*;

use super::Mode;
use super::maps::{MOTION, Maps, SHARE, SPEED};
use crate::image::bands::rows_in_band;
use crate::image::enlarge::{Cubic, EnlargedRow, Enlarging, Linear};
use crate::image::interleave::{load_colours, store_colours};
use crate::image::lanes::{LANES, Lanes, Row, dispatched, smooth_steps};
use crate::image::planar::{COLOURS, Planar, RowsMut, Spots};
use crate::image::{Sample, Size, ViewMut, rows_mut};

/// What the guard leaves of fine differences to the past where the picture moves, and what it adds to that where it
/// stands still.
pub const KEPT: (f32, f32) = (0.3, 0.7);
/// Pixels of motion per frame between which the guard comes in.
pub const GUARDED: (f32, f32) = (0.3, 1.5);

/// The history of the output.
pub struct Blend {
    past: Planar<COLOURS>,
    present: Planar<COLOURS>,
    has_past: bool,
    /// From the size of the maps to that of the output.
    enlarging: Enlarging,
    /// How many of the maps are wanted.
    wanted: usize,
    /// Pixels of the large picture in one of the small.
    scale: [f32; 2],
    /// How the past differs from the output, for the guard.
    difference: Option<Planar<COLOURS>>,
    /// Of every band of rows.
    scratch: Vec<Scratch>,
}

/// What a thread works with on a band of rows.
struct Scratch {
    guide: EnlargedRow<4>,
    /// Where the past of each eight pixels of a row is.
    spots: Vec<Spots>,
    /// The colours of a row as they are: the history is large, and written once.
    colours: [Vec<[f32; LANES]>; COLOURS],
    /// What is handed on to a row.
    handed: EnlargedRow<COLOURS>,
}

impl Blend {
    /// For outputs of one size, guided by pictures of another.
    pub fn new(small: Size, large: Size, mode: Mode) -> Self {
        // The size of the motion is for the guard.
        let wanted = if mode == Mode::Quality { 4 } else { 3 };
        Self {
            past: Planar::new(large),
            present: Planar::new(large),
            has_past: false,
            enlarging: Enlarging::new(small, large),
            wanted,
            scale: [large.width as f32 / small.width as f32, large.height as f32 / small.height as f32],
            difference: (mode == Mode::Quality).then(|| Planar::new(large)),
            scratch: Vec::new(),
        }
    }

    /// Sees that there is scratch for each band.
    fn prepare(&mut self) {
        let size = self.past.size;
        let Self { scratch, enlarging, wanted, .. } = self;
        let fresh = || Scratch {
            guide: enlarging.row(*wanted),
            spots: vec![Spots::default(); size.width.div_ceil(LANES)],
            colours: std::array::from_fn(|_| vec![[0.0; LANES]; size.width.div_ceil(LANES)]),
            handed: enlarging.row(COLOURS),
        };
        scratch.resize_with(size.height.div_ceil(rows_in_band(size)), fresh);
    }

    /// As [`Self::new`], with an output to go on from.
    pub fn with_past(small: Size, mode: Mode, past: Planar<COLOURS>) -> Self {
        let fresh = Self::new(small, past.size, mode);
        Self { past, has_past: true, ..fresh }
    }

    /// The output to go on from, if there is one.
    pub fn into_past(self) -> Option<Planar<COLOURS>> {
        self.has_past.then_some(self.past)
    }

    /// Forgets the past.
    pub fn forget(&mut self) {
        self.has_past = false;
    }

    /// The output is left as it is, and remembered.
    pub fn begin<S: Sample>(&mut self, output: &mut ViewMut<'_, S>) {
        // Nothing is worked with, and takes no memory.
        let mut nothing = vec![(); self.past.size.height];
        for_each_row(&mut self.past, output, &mut nothing, |(), _, past, output, channels| {
            past.load(output, channels);
        });
        self.past.extend();
        self.has_past = true;
    }

    /// The last output again.
    pub fn repeat<S: Sample>(&self, output: &mut ViewMut<'_, S>) {
        let channels = output.dim().2;
        for (y, to) in rows_mut(output).enumerate() {
            store_colours(self.past.row(y), channels, to);
        }
    }

    /// As [`Self::blend`], where parts of the output were not made, and what of the input differs from the past is
    /// added to it: `transfer`, in red, green and blue of 0 to 255 at the size of the maps.
    pub fn blend_parts<S: Sample>(
        &mut self,
        maps: &Maps,
        transfer: &Planar<COLOURS>,
        output: &mut ViewMut<'_, S>,
    ) {
        self.prepare();
        let Self { past, present, scratch, .. } = self;
        let moving = Moving { past, maps, enlarging: &self.enlarging, scale: self.scale };
        blend_parts(&moving, transfer, present, output, scratch);
        std::mem::swap(&mut self.past, &mut self.present);
        self.past.extend();
    }

    /// Whether there is an output to go on from.
    pub fn has_past(&self) -> bool {
        self.has_past
    }

    /// Blends the past into the output, by maps of the motion and of the share of the past.
    pub fn blend<S: Sample>(&mut self, maps: &Maps, output: &mut ViewMut<'_, S>) {
        if !self.has_past {
            return self.begin(output);
        }
        self.prepare();
        let Self { past, present, difference, scratch, .. } = self;
        let moving = Moving { past, maps, enlarging: &self.enlarging, scale: self.scale };
        match difference {
            None => blend(&moving, present, output, scratch),
            Some(difference) => {
                differ(&moving, present, difference, output, scratch);
                blend_guarded(&moving, present, difference, output, scratch);
            }
        }
        std::mem::swap(&mut self.past, &mut self.present);
        self.past.extend();
    }
}

/// Every row of a history and of an output, in bands; with the scratch of the band, the row's number, and the output's channels.
/// Each row of the history is extended.
fn for_each_row<S: Sample, T: Send>(
    history: &mut Planar<COLOURS>,
    output: &mut ViewMut<'_, S>,
    scratch: &mut [T],
    run: impl Fn(&mut T, usize, &mut RowsMut<'_, COLOURS>, &mut [S], usize) + Sync + Send,
) {
    let (channels, count) = (output.dim().2, rows_in_band(history.size));
    let bands = output.axis_chunks_iter_mut(Axis(0), count).into_par_iter();
    bands.zip(history.bands_mut(count)).zip(scratch).for_each(|((mut output, mut band), scratch)| {
        let first = band.rows().start;
        for ((y, output), mut row) in (first..).zip(rows_mut(&mut output)).zip(band.rows_mut()) {
            run(scratch, y, &mut row, output, channels);
            row.extend();
        }
    });
}

/// The plain blend.
fn blend<S: Sample>(
    moving: &Moving<'_>,
    present: &mut Planar<COLOURS>,
    output: &mut ViewMut<'_, S>,
    scratch: &mut [Scratch],
) {
    for_each_row(present, output, scratch, |scratch, y, present, output, channels| {
        let Scratch { guide, spots, colours, .. } = scratch;
        load_colours(output, channels, colours.each_mut().map(|row| &mut row[..]));
        moving.maps_at(y, guide);
        locate_row(moving, y, guide, spots);
        blend_row(moving.past, spots, guide, colours.each_ref().map(|row| &row[..]), present);
        present.store(channels, output);
    });
}

/// The blend of what was made of the output with what is handed on.
fn blend_parts<S: Sample>(
    moving: &Moving<'_>,
    transfer: &Planar<COLOURS>,
    present: &mut Planar<COLOURS>,
    output: &mut ViewMut<'_, S>,
    scratch: &mut [Scratch],
) {
    let unit = S::WHITE / 255.0;
    for_each_row(
        present,
        output,
        scratch,
        |Scratch { guide, spots, handed, .. }, y, present, output, channels| {
            present.load(output, channels);
            moving.maps_at(y, guide);
            moving.enlarging.at::<Cubic, 4, _, _>(y, transfer, handed);
            locate_row(moving, y, guide, spots);
            blend_row_of_parts(moving.past, spots, guide, (handed, unit), present);
            present.store(channels, output);
        },
    );
}

/// Reads the output, and fills in how the past differs from it.
fn differ<S: Sample>(
    moving: &Moving<'_>,
    present: &mut Planar<COLOURS>,
    difference: &mut Planar<COLOURS>,
    output: &mut ViewMut<'_, S>,
    scratch: &mut [Scratch],
) {
    let (channels, count) = (output.dim().2, rows_in_band(present.size));
    let bands = output.axis_chunks_iter_mut(Axis(0), count).into_par_iter();
    let bands = bands.zip(present.bands_mut(count)).zip(difference.bands_mut(count)).zip(scratch);
    bands.for_each(|(((mut output, mut present), mut difference), Scratch { guide, spots, .. })| {
        let rows = present.rows().zip(rows_mut(&mut output));
        let rows = rows.zip(present.rows_mut()).zip(difference.rows_mut());
        for (((y, output), mut present), mut difference) in rows {
            present.load(output, channels);
            moving.maps_at(y, guide);
            locate_row(moving, y, guide, spots);
            subtract_row(moving.past, spots, &mut present, &mut difference);
            difference.extend();
        }
    });
    difference.extend();
}

/// The blend that holds back what the past would blur.
fn blend_guarded<S: Sample>(
    moving: &Moving<'_>,
    present: &mut Planar<COLOURS>,
    difference: &Planar<COLOURS>,
    output: &mut ViewMut<'_, S>,
    scratch: &mut [Scratch],
) {
    for_each_row(present, output, scratch, |Scratch { guide, .. }, y, present, output, channels| {
        moving.maps_at(y, guide);
        guard_row(difference, y, guide, present);
        present.store(channels, output);
    });
}

/// The past and where it went.
struct Moving<'a> {
    past: &'a Planar<COLOURS>,
    maps: &'a Maps,
    enlarging: &'a Enlarging,
    scale: [f32; 2],
}

impl Moving<'_> {
    /// Fills in the maps at a row of the output.
    fn maps_at(&self, y: usize, to: &mut EnlargedRow<4>) {
        self.enlarging.at::<Linear, 2, _, _>(y, self.maps, to);
    }
}

dispatched! {
    /// Where the past of a row is. All of a row's first, and then what is there: the processor need not wait for where.
    fn locate_row / locate_row_plain(moving: &Moving<'_>, y: usize, guide: &EnlargedRow<4>, spots: &mut [Spots]) {
        let [across, down] = moving.scale.map(Lanes::splat);
        for (block, spots) in spots.iter_mut().enumerate() {
            let [u, v] = MOTION.map(|map| guide.of(map, block));
            *spots = moving.past.locate((LANES * block, y), [across * u, down * v]);
        }
    }
}

dispatched! {
    /// Leans a row on the past by the share of the maps.
    fn blend_row / blend_row_plain(
        past: &Planar<COLOURS>, spots: &[Spots], guide: &EnlargedRow<4>, colours: [Row<'_>; COLOURS], present: &mut RowsMut<'_, COLOURS>,
    ) {
        let count = spots.len();
        let [red, green, blue] = present.lanes().map(|row| &mut row[..count]);
        let [new_red, new_green, new_blue] = colours.map(|row| &row[..count]);
        for (block, spots) in spots.iter().enumerate() {
            let [old_red, old_green, old_blue] = past.sample(spots);
            let share = guide.of(SHARE, block);
            let (r, g, b) = (Lanes(new_red[block]), Lanes(new_green[block]), Lanes(new_blue[block]));
            red[block] = (r + share * (old_red - r)).0;
            green[block] = (g + share * (old_green - g)).0;
            blue[block] = (b + share * (old_blue - b)).0;
        }
    }
}

dispatched! {
    /// As [`blend_row`], exact where nothing of the present counts, and with what is handed on added, in so many units a level.
    fn blend_row_of_parts / blend_row_of_parts_plain(
        past: &Planar<COLOURS>, spots: &[Spots], guide: &EnlargedRow<4>, handed: (&EnlargedRow<COLOURS>, f32), present: &mut RowsMut<'_, COLOURS>,
    ) {
        let (handed, unit) = (handed.0, Lanes::splat(handed.1));
        let [red, green, blue] = present.lanes();
        let blocks = red.iter_mut().zip(green).zip(blue);
        for (block, (((red, green), blue), spots)) in blocks.zip(spots).enumerate() {
            let moved = past.sample(spots);
            let old = Lanes::splat(1.0) - guide.of(SHARE, block);
            for (colour, (present, moved)) in [red, green, blue].into_iter().zip(moved).enumerate() {
                let added = handed.of(colour, block) * unit;
                let new = old * (Lanes(*present) - moved);
                *present = (moved + new + added).0;
            }
        }
    }
}

dispatched! {
    /// What the past is more than the present.
    fn subtract_row / subtract_row_plain(
        past: &Planar<COLOURS>, spots: &[Spots], present: &mut RowsMut<'_, COLOURS>, difference: &mut RowsMut<'_, COLOURS>,
    ) {
        let (present, difference) = (present.lanes(), difference.lanes());
        for (block, spots) in spots.iter().enumerate() {
            let moved = past.sample(spots);
            for colour in 0..COLOURS {
                difference[colour][block] = (moved[colour] - Lanes(present[colour][block])).0;
            }
        }
    }
}

dispatched! {
    /// As [`blend_row`], but where the picture moves only a part of the differences that are coarser than a pixel.
    fn guard_row / guard_row_plain(
        difference: &Planar<COLOURS>, y: usize, guide: &EnlargedRow<4>, present: &mut RowsMut<'_, COLOURS>,
    ) {
        let (one, here) = (Lanes::splat(1.0), y as isize);
        for (colour, row) in present.lanes().into_iter().enumerate() {
            let rows = [here - 1, here, here + 1].map(|y| [-1, 0, 1].map(|x| difference.lanes(colour, x, y)));
            for (block, present) in row.iter_mut().enumerate() {
                let still = one - smooth_steps(GUARDED, guide.of(SPEED, block));
                let held_back = one - (Lanes::splat(KEPT.0) + Lanes::splat(KEPT.1) * still);
                let mut coarse = Lanes::ZERO;
                for (weight, [left, middle, right]) in [0.0625, 0.125, 0.0625].into_iter().zip(rows) {
                    let middle = Lanes::splat(2.0) * Lanes(middle[block]);
                    coarse += Lanes::splat(weight) * (Lanes(left[block]) + middle + Lanes(right[block]));
                }
                let here = Lanes(rows[1][1][block]);
                *present = (Lanes(*present) + guide.of(SHARE, block) * (here - held_back * coarse)).0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_keeps_all_differences_where_nothing_moves_and_a_part_of_the_coarse_ones_where_it_does() {
        let size = Size::new(21, 9);
        let level = |x: isize, y: isize| ((x * 7 + y * 3) as f32 * 0.9).sin() * 20.0;
        let mut difference = Planar::<COLOURS>::new(size);
        let mut present = Planar::<COLOURS>::new(size);
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
            let guide = EnlargedRow::of_rows([row(0.0), row(0.0), row(0.5), row(speed)]);
            let mut steadied = present.clone();
            steadied.bands_mut(1).for_each(|mut band| {
                let y = band.rows().start;
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
