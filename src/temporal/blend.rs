//! The large-picture stage: the previous output, moved along the motion, is blended into the new one.

use ndarray::Axis;
use ndarray::parallel::prelude::*;

use super::{Mode, smooth_step};
use crate::image::lanes::dispatched;
use crate::image::quads::{Quad, Quads, Taps, catmull_rom, load_row, locate, sample, store_row};
use crate::image::{Sample, Size, ViewMut, rows_mut};

/// Rows that a thread takes at a time.
const BAND: usize = 16;
/// What the guard leaves of fine differences to the past where the picture moves, and what it adds to that where it
/// stands still.
const KEPT: (f32, f32) = (0.3, 0.7);
/// Pixels of motion per frame between which the guard comes in.
const GUARDED: (f32, f32) = (0.3, 1.5);

/// The history of the output.
pub struct Blend {
    past: Quads,
    present: Quads,
    has_past: bool,
    across: Vec<Place>,
    down: Vec<Place>,
    /// As `across`, for what is handed on.
    cubic: Vec<Taken>,
    /// Pixels of the large picture in one of the small.
    scale: [f32; 2],
    /// How the past differs from the output, for the guard.
    difference: Option<Quads>,
}

/// Where a pixel lies between two of the small picture.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The one before and the one behind.
    between: [usize; 2],
    /// Share of the one behind.
    share: f32,
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
        Self {
            past: Quads::new(large),
            present: Quads::new(large),
            has_past: false,
            cubic: places(small.width, large.width)
                .iter()
                .map(|place| Taken::new(place, small.width))
                .collect(),
            across: places(small.width, large.width),
            down: places(small.height, large.height),
            scale: [large.width as f32 / small.width as f32, large.height as f32 / small.height as f32],
            difference: (mode == Mode::Quality).then(|| Quads::new(large)),
        }
    }

    /// Forgets the past.
    pub fn forget(&mut self) {
        self.has_past = false;
    }

    /// The output is left as it is, and remembered.
    pub fn begin<S: Sample>(&mut self, output: &mut ViewMut<'_, S>) {
        let channels = output.dim().2;
        for (y, from) in rows_mut(output).enumerate() {
            load_row(from, channels, self.past.row_mut(y));
        }
        self.past.extend();
        self.has_past = true;
    }

    /// The last output again.
    pub fn repeat<S: Sample>(&self, output: &mut ViewMut<'_, S>) {
        let channels = output.dim().2;
        for (y, to) in rows_mut(output).enumerate() {
            store_row(self.past.row(y), channels, to);
        }
    }

    /// As [`Self::blend`], where parts of the output were not made, and what of the input differs from the past is
    /// added to it: `transfer`, in red, green and blue of 0 to 255 at the size of the maps.
    pub fn blend_parts<S: Sample>(&mut self, maps: &Quads, transfer: &Quads, output: &mut ViewMut<'_, S>) {
        let Self { past, present, across, down, cubic, scale, .. } = self;
        let moving = Moving { past, maps, across, down, scale: *scale };
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
        let Self { past, present, difference, across, down, scale, .. } = self;
        let moving = Moving { past, maps, across, down, scale: *scale };
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

/// The plain blend.
fn blend<S: Sample>(moving: &Moving<'_>, present: &mut Quads, output: &mut ViewMut<'_, S>) {
    let (channels, width) = (output.dim().2, moving.past.size.width);
    let bands = output.axis_chunks_iter_mut(Axis(0), BAND).into_par_iter();
    bands.zip(present.bands_mut(BAND)).for_each_init(
        || Window::new(width),
        |window, (mut output, mut present)| {
            let first = present.first;
            for ((y, output), present) in (first..).zip(rows_mut(&mut output)).zip(present.rows_mut()) {
                load_row(output, channels, present);
                moving.row(y, window);
                blend_row(&window.moved, &window.maps, present);
                store_row(present, channels, output);
            }
        },
    );
}

/// The blend of what was made of the output with what is handed on.
fn blend_parts<S: Sample>(
    moving: &Moving<'_>,
    transfer: &Quads,
    cubic: &[Taken],
    present: &mut Quads,
    output: &mut ViewMut<'_, S>,
) {
    let (channels, width) = (output.dim().2, moving.past.size.width);
    let unit = S::WHITE / 255.0;
    let bands = output.axis_chunks_iter_mut(Axis(0), BAND).into_par_iter();
    bands.zip(present.bands_mut(BAND)).for_each_init(
        || (Window::new(width), vec![[0.0; 4]; transfer.size.width]),
        |(window, between), (mut output, mut present)| {
            let first = present.first;
            for ((y, output), present) in (first..).zip(rows_mut(&mut output)).zip(present.rows_mut()) {
                load_row(output, channels, present);
                moving.row(y, window);
                let down = Taken::new(&moving.down[y], transfer.size.height);
                let rows = down.at.map(|y| transfer.row(y));
                sum_rows(&rows, down.weights.map(|weight| weight * unit), between);
                blend_row_of_parts(&window.moved, &window.maps, between, cubic, present);
                store_row(present, channels, output);
            }
        },
    );
}

/// Reads the output, and fills in how the past differs from it.
fn differ<S: Sample>(
    moving: &Moving<'_>,
    present: &mut Quads,
    difference: &mut Quads,
    output: &mut ViewMut<'_, S>,
) {
    let (channels, width) = (output.dim().2, moving.past.size.width);
    let bands = output.axis_chunks_iter_mut(Axis(0), BAND).into_par_iter();
    bands.zip(present.bands_mut(BAND)).zip(difference.bands_mut(BAND)).for_each_init(
        || Window::new(width),
        |window, ((mut output, mut present), mut difference)| {
            let rows = (present.first..).zip(rows_mut(&mut output));
            for (((y, output), present), difference) in
                rows.zip(present.rows_mut()).zip(difference.rows_mut())
            {
                load_row(output, channels, present);
                moving.row(y, window);
                subtract_row(&window.moved, present, difference);
            }
        },
    );
    difference.extend();
}

/// The blend that holds back what the past would blur.
fn blend_guarded<S: Sample>(
    moving: &Moving<'_>,
    present: &mut Quads,
    difference: &Quads,
    output: &mut ViewMut<'_, S>,
) {
    let (channels, width) = (output.dim().2, moving.past.size.width);
    let bands = output.axis_chunks_iter_mut(Axis(0), BAND).into_par_iter();
    bands.zip(present.bands_mut(BAND)).for_each_init(
        || Window::new(width),
        |window, (mut output, mut present)| {
            let first = present.first;
            for ((y, output), present) in (first..).zip(rows_mut(&mut output)).zip(present.rows_mut()) {
                moving.maps_of_row(y, window);
                guard_row(difference, y, &window.maps, present);
                store_row(present, channels, output);
            }
        },
    );
}

/// Scratch of a band.
struct Window {
    between: Vec<Quad>,
    maps: Vec<Quad>,
    taps: Taps,
    moved: Vec<Quad>,
}

impl Window {
    fn new(width: usize) -> Self {
        Self {
            between: vec![],
            maps: vec![[0.0; 4]; width],
            taps: Taps::new(width),
            moved: vec![[0.0; 4]; width],
        }
    }
}

/// The past and where it went.
struct Moving<'a> {
    past: &'a Quads,
    maps: &'a Quads,
    across: &'a [Place],
    down: &'a [Place],
    scale: [f32; 2],
}

impl Moving<'_> {
    /// The maps of a row, enlarged, and the past moved by them.
    fn row(&self, y: usize, window: &mut Window) {
        self.maps_of_row(y, window);
        locate(self.past, y, self.scale, &window.maps, &mut window.taps);
        sample(self.past, &window.taps, &mut window.moved);
    }

    /// The maps of a row, enlarged.
    fn maps_of_row(&self, y: usize, window: &mut Window) {
        let down = self.down[y];
        let [above, below] = down.between.map(|y| self.maps.row(y));
        window.between.resize(above.len(), [0.0; 4]);
        enlarge_row(above, below, down.share, self.across, &mut window.between, &mut window.maps);
    }
}

/// Pixel centres coincide with those of a plain enlargement.
fn places(small: usize, large: usize) -> Vec<Place> {
    let ratio = small as f64 / large as f64;
    let place = |at: usize| {
        let position = ((at as f64 + 0.5) * ratio - 0.5).clamp(0.0, (small - 1) as f64);
        let before = position as usize;
        Place { between: [before, (before + 1).min(small - 1)], share: (position - before as f64) as f32 }
    };
    (0..large).map(place).collect()
}

dispatched! {
    /// Linear between rows, then between columns.
    fn enlarge_row / enlarge_row_plain(
        above: &[Quad], below: &[Quad], share: f32, across: &[Place], between: &mut [Quad], to: &mut [Quad],
    ) {
        for ((above, below), between) in above.iter().zip(below).zip(between.iter_mut()) {
            for channel in 0..4 {
                between[channel] = above[channel] + share * (below[channel] - above[channel]);
            }
        }
        for (place, to) in across.iter().zip(to) {
            let [before, behind] = place.between.map(|x| between[x]);
            for channel in 0..4 {
                to[channel] = before[channel] + place.share * (behind[channel] - before[channel]);
            }
        }
    }
}

dispatched! {
    /// Leans a row on the past by the share of the maps.
    fn blend_row / blend_row_plain(moved: &[Quad], maps: &[Quad], present: &mut [Quad]) {
        for ((moved, map), present) in moved.iter().zip(maps).zip(present) {
            for channel in 0..4 {
                present[channel] += map[2] * (moved[channel] - present[channel]);
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
    /// As [`blend_row`], exact where nothing of the present counts, and with a difference from `between` added.
    fn blend_row_of_parts / blend_row_of_parts_plain(
        moved: &[Quad], maps: &[Quad], between: &[Quad], cubic: &[Taken], present: &mut [Quad],
    ) {
        for (((moved, map), taken), present) in moved.iter().zip(maps).zip(cubic).zip(present) {
            let [a, b, c, d] = taken.at.map(|x| between[x]);
            let [wa, wb, wc, wd] = taken.weights;
            for channel in 0..4 {
                let added = wa * a[channel] + wb * b[channel] + wc * c[channel] + wd * d[channel];
                let new = (1.0 - map[2]) * (present[channel] - moved[channel]);
                present[channel] = moved[channel] + new + added;
            }
        }
    }
}

dispatched! {
    /// What the past is more than the present.
    fn subtract_row / subtract_row_plain(moved: &[Quad], present: &[Quad], difference: &mut [Quad]) {
        for ((moved, present), difference) in moved.iter().zip(present).zip(difference) {
            for channel in 0..4 {
                difference[channel] = moved[channel] - present[channel];
            }
        }
    }
}

dispatched! {
    /// As [`blend_row`], but where the picture moves only a part of the differences that are coarser than a pixel.
    fn guard_row / guard_row_plain(difference: &Quads, y: usize, maps: &[Quad], present: &mut [Quad]) {
        for (x, (map, present)) in maps.iter().zip(present).enumerate() {
            let still = 1.0 - smooth_step(GUARDED, map[3]);
            let held_back = 1.0 - (KEPT.0 + KEPT.1 * still);
            let (here, coarse) = difference.smooth(x, y);
            for channel in 0..3 {
                present[channel] += map[2] * (here[channel] - held_back * coarse[channel]);
            }
        }
    }
}
