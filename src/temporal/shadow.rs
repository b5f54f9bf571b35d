//! The small-picture stage: what the past is worth at each pixel.
//!
//! A shadow of the output's history is kept at the size of the input and blended with the same
//! weights. It shows what the history holds and has little noise, so the motion is estimated, and every
//! test made, against it and not against the frame before.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::noise::{Medians, Noise};
use super::reuse::{Reuse, STRICTER};
use super::{Controls, Mode, larger, smaller, smooth_step};
use crate::flow::{self, Estimator, Flow};
use crate::image::box_filter::{box_row, sums};
use crate::image::lanes::{LANES, dispatched};
use crate::image::luma::{LUMA, load_row};
use crate::image::plane::{Plane, rows_in_band};
use crate::image::quads::{Quad, Quads, Taps, locate, sample, sample_fourth};
use crate::image::{Area, Sample, Size, View, Window, rows};

/// Radius, in pixels, of the square over which residuals are judged.
const RESIDUAL_RADIUS: usize = 2;
/// Radius, in pixels, of the square over which motion is averaged.
const MOTION_RADIUS: usize = 4;
/// A residual of this many times what noise and tolerance explain begins to be distrusted, and ends it.
const DISTRUST: (f32, f32) = (1.1, 2.3);
/// Colour residuals count for this share of their square: noise of chroma that was enlarged comes in spots, which
/// would pass for changes.
const SHARE_OF_COLOUR: f32 = 0.5;
/// Pixels of a picture that is small enough for finer motion.
const SMALL: usize = 256 * 256;
/// Pixels of motion per frame that halve the useful length of the history: flow drifts.
const MOTION_OF_HALF: f32 = 1.0;
/// How much longer the history of a noisy clip may become.
const LONGER_IN_NOISE: f32 = 2.0;
/// A picture has content in rows and columns with a brighter pixel than this many levels; others are bars.
const BRIGHTER_THAN_BARS: f32 = 40.0;

/// What the small picture says about a frame, at each of its pixels.
pub struct Guide {
    /// Motion to the right and down into the past in pixels of the small picture, share of the past in the blend, and size of
    /// the motion around in pixels.
    pub maps: Quads,
    /// Standard deviation of the noise, in levels.
    pub noise: f32,
    /// Mean share of the past.
    pub share: f32,
}

/// The shadow history and everything needed to compare a frame with it.
pub struct Shadow {
    size: Size,
    estimators: Estimators,
    /// The history: luma, two colour differences, and how many frames are in it.
    past: Quads,
    has_past: bool,
    /// The frame, which becomes the history.
    present: Quads,
    /// Luma of the history and of the frame once more, as motion is looked for in it.
    past_luma: Plane,
    luma: Plane,
    /// The history moved to where the frame is.
    moved: Quads,
    noise: Noise,
    colour_noise: Noise,
    medians: [Medians; 2],
    /// Columns and rows of the frame that are not bars.
    content: [Range<usize>; 2],
    /// The brightest luma of each row.
    brightest: Vec<f32>,
    /// Squares of residuals of luma and of the colour differences.
    residuals: [Plane; 2],
    motion: [Plane; 2],
    between: Plane,
    /// Of every band of rows.
    scratch: Vec<Scratch>,
    /// Sum over each row of the share of the past.
    shares: Vec<f64>,
    guide: Guide,
    /// From the frame into the past, where that was looked for.
    flow: Flow,
    has_flow: bool,
    /// Only where outputs are reused.
    reuse: Option<Reuse>,
}

/// What a thread works with on a band of rows.
struct Scratch {
    taps: Taps,
    medians: [Medians; 2],
    /// The brightest luma of each column.
    brightest: Vec<f32>,
    sums: Vec<f32>,
    /// Means of a row's residuals and of its motion.
    mean_residuals: [Vec<[f32; LANES]>; 2],
    mean_motion: [Vec<[f32; LANES]>; 2],
}

impl Scratch {
    fn new(width: usize) -> Self {
        let row = || vec![[0.0; LANES]; width.div_ceil(LANES)];
        Self {
            taps: Taps::new(width),
            medians: Default::default(),
            brightest: vec![0.0; width],
            sums: sums(width),
            mean_residuals: [row(), row()],
            mean_motion: [row(), row()],
        }
    }

    /// Fills in the means of a row.
    fn average(&mut self, y: usize, residuals: &[Plane; 2], motion: &[Plane; 2]) {
        for (from, to) in residuals.iter().zip(&mut self.mean_residuals) {
            box_row(from, RESIDUAL_RADIUS, y, &mut self.sums, to);
        }
        for (from, to) in motion.iter().zip(&mut self.mean_motion) {
            box_row(from, MOTION_RADIUS, y, &mut self.sums, to);
        }
    }
}

/// One for clips with noise, where fine levels would follow the noise, and one for the others.
struct Estimators {
    noisy: Estimator,
    clean: Option<Estimator>,
}

impl Estimators {
    /// Where a mode asks for nothing finer, levels of more than `most` samples are not searched.
    fn new(mode: Mode, size: Size, most: usize) -> Self {
        let preset = |name| flow::preset(name).expect("the preset is in the table");
        // A level finer than what `Mode` says, where that costs next to nothing.
        let small = size.width * size.height <= SMALL;
        let fast = |level| flow::Settings { finest_level: finest_level(size, level, most), ..preset("fast") };
        let (noisy, clean) = match mode {
            Mode::Off | Mode::Fast => (fast(if small { 1 } else { 2 }), None),
            Mode::Balanced => (fast(1), small.then(|| fast(0))),
            Mode::Quality => (fast(1), Some(preset("quality"))),
        };
        Self { noisy: Estimator::new(noisy), clean: clean.map(Estimator::new) }
    }

    fn flow(&mut self, noisy: bool, from: &Plane, to: &Plane, flow: [&mut Plane; 2]) {
        let estimator = match &mut self.clean {
            Some(clean) if !noisy => clean,
            _ => &mut self.noisy,
        };
        estimator
            .estimate_planes(from, to, flow)
            .expect("both pictures have the stage's size, which is large enough");
    }
}

/// The finest level to search: the one that is wanted, or the first after it of so many samples at most.
fn finest_level(size: Size, wanted: usize, most: usize) -> usize {
    let samples = size.width * size.height;
    (wanted..).find(|level| samples >> (2 * level) <= most).expect("in the end, no sample is left")
}

impl Shadow {
    /// For frames of a size, which is at least [`flow::SMALLEST`] each way. Motion is looked for at `most_searched` samples, where the
    /// mode does not ask for more.
    pub fn new(size: Size, mode: Mode, most_searched: usize) -> Self {
        let (quads, plane) = (|| Quads::new(size), || Plane::new(size));
        Self {
            size,
            estimators: Estimators::new(mode, size, most_searched),
            past: quads(),
            has_past: false,
            present: quads(),
            past_luma: plane(),
            luma: plane(),
            moved: quads(),
            noise: Noise::default(),
            colour_noise: Noise::default(),
            medians: Default::default(),
            content: [0..size.width, 0..size.height],
            brightest: vec![0.0; size.height],
            residuals: [plane(), plane()],
            motion: [plane(), plane()],
            between: plane(),
            scratch: Vec::new(),
            shares: vec![0.0; size.height],
            guide: Guide { maps: quads(), noise: 0.0, share: 0.0 },
            flow: Flow::default(),
            has_flow: false,
            reuse: None,
        }
    }

    /// Forgets the past; what is known of the noise stays.
    pub fn forget(&mut self) {
        self.has_past = false;
    }

    /// Takes a frame, to be followed by [`Self::find_motion`].
    pub fn load<S: Sample>(&mut self, input: View<'_, S>) {
        let channels = input.dim().2;
        let count = self.prepare_bands();
        let Self { present, luma, brightest, scratch, .. } = self;
        let input = input.axis_chunks_iter(Axis(0), count).into_par_iter();
        let bands = present.bands_mut(count).zip(luma.bands_mut(count)).zip(input);
        let bands = bands.zip(brightest.par_chunks_mut(count)).zip(scratch);
        bands.for_each(|((((mut present, mut luma), input), brightest), scratch)| {
            scratch.brightest.fill(0.0);
            for ((y, from), brightest) in present.rows().zip(rows(input)).zip(brightest) {
                load_row(from, channels, present.row_mut(y), luma.row_mut(y));
                luma.extend(y);
                *brightest = find_brightest(luma.row_mut(y), &mut scratch.brightest);
            }
        });
        luma.extend_ends();
        self.find_content();
    }

    /// Rows of a band; there is scratch for each.
    fn prepare_bands(&mut self) -> usize {
        let count = rows_in_band(self.size);
        let width = self.size.width;
        self.scratch.resize_with(self.size.height.div_ceil(count), || Scratch::new(width));
        count
    }

    /// What of the outputs may be reused, and how; to be told before each frame. Half the debt is enough in `watched`.
    pub fn prepare_reuse(&mut self, controls: &Controls, watched: &[Area]) {
        let wanted = controls.reuse.amount > 0.0;
        if !wanted || self.reuse.as_ref().is_some_and(|reuse| !reuse.fits(&controls.reuse)) {
            self.reuse = None;
        }
        if wanted {
            let fresh = || Reuse::new(self.size, &controls.reuse);
            self.reuse.get_or_insert_with(fresh).watch(watched);
        }
    }

    /// What is known of reuse, where it is wanted.
    pub fn reuse_mut(&mut self) -> Option<&mut Reuse> {
        self.reuse.as_mut()
    }

    /// Finds the motion of the frame that was loaded, to be followed by [`Self::compare`] or [`Self::begin`], while
    /// something else is found out about its luma.
    pub fn find_motion<R: Send>(&mut self, beside: impl FnOnce(ArrayView2<'_, f32>) -> R + Send) -> R {
        let Self { luma, past_luma, estimators, noise, has_past, motion, flow, .. } = self;
        let (noisy, luma) = (noise.is_noisy(), &*luma);
        let (result, has_flow) = rayon::join(
            || beside(luma.view()),
            || {
                if *has_past {
                    let [u, v] = motion;
                    estimators.flow(noisy, luma, past_luma, [u, v]);
                    flow.take([u, v]);
                }
                *has_past
            },
        );
        self.has_flow = has_flow;
        result
    }

    /// The frame is the first of its scene.
    pub fn begin(&mut self, controls: &Controls) {
        if let Some(reuse) = &mut self.reuse {
            reuse.begin(&controls.reuse, self.noise.level());
        }
        for y in 0..self.size.height {
            self.present.row_mut(y).iter_mut().for_each(|pixel| pixel[3] = 1.0);
        }
        self.has_flow = false;
        std::mem::swap(&mut self.past_luma, &mut self.luma);
        self.keep();
    }

    /// Whether there is something to compare a frame with.
    pub fn has_past(&self) -> bool {
        self.has_past
    }

    /// Compares the frame, whose motion was found, with the past, and adds it. Where outputs are reused, runs of the network are as `window` says.
    pub fn compare(&mut self, controls: &Controls, window: &Window) -> &Guide {
        let noisy = self.noise.is_noisy();
        self.move_past();
        if let Some(reuse) = &mut self.reuse {
            let [luma, _] = &self.residuals;
            let lumas = [&self.luma, &self.past_luma];
            if reuse.hold_still(lumas, luma, &mut self.motion, &mut self.between) {
                self.move_past();
            }
        }
        let noise = self.find_noise();
        let longest = if noisy { LONGER_IN_NOISE } else { 1.0 } * controls.max_history as f32;
        let tolerance = controls.tolerance * controls.tolerance;
        let weighing = Weighing {
            strength: controls.strength,
            longest,
            explained: noise.map(|noise| noise * noise + tolerance),
        };
        match self.reuse.take() {
            None => self.weigh(&weighing),
            Some(mut reuse) => {
                self.weigh_and_reuse(&weighing, &mut reuse, controls, noise, window);
                self.reuse = Some(reuse);
            }
        }
        self.guide.noise = noise[0];
        self.guide.maps.extend();
        self.keep();
        &self.guide
    }

    /// Gives away the flow from the last frame into the past for another, which is written over. Answers whether there is one:
    /// the first frame of a scene has none.
    pub fn swap_flow(&mut self, other: &mut Flow) -> bool {
        std::mem::swap(&mut self.flow, other);
        std::mem::take(&mut self.has_flow)
    }

    /// Gives away the maps of the last frame for others, which are written over.
    pub fn swap_maps(&mut self, other: &mut Quads) {
        if other.size != self.size {
            *other = Quads::new(self.size);
        }
        std::mem::swap(&mut self.guide.maps, other);
    }

    /// The history: luma and colour differences.
    pub fn past(&self) -> &Quads {
        &self.past
    }

    /// The frame, as it was blended, is the past of the next.
    fn keep(&mut self) {
        std::mem::swap(&mut self.past, &mut self.present);
        self.past.extend();
        self.has_past = true;
    }

    /// Moves the past to where the frame is, and finds by how much they differ.
    fn move_past(&mut self) {
        let count = self.prepare_bands();
        // A quarter of a large picture's pixels is enough for its noise.
        let step = if self.size.width * self.size.height > SMALL { 2 } else { 1 };
        let Self { past, present, moved, motion, residuals, scratch, content: [columns, rows], .. } = self;
        let [luma, colour] = residuals;
        let bands =
            moved.bands_mut(count).zip(luma.bands_mut(count)).zip(colour.bands_mut(count)).zip(scratch);
        bands.for_each(|(((mut moved, mut luma), mut colour), Scratch { taps, medians, .. })| {
            medians.iter_mut().for_each(Medians::clear);
            for y in moved.rows() {
                let moved = moved.row_mut(y);
                locate(past, y, [motion[0].row(y), motion[1].row(y)], taps);
                sample(past, taps, moved);
                sample_fourth(past, taps, moved);
                let present = present.row(y);
                square_differences(present, moved, luma.row_mut(y), colour.row_mut(y));
                luma.extend(y);
                colour.extend(y);
                if rows.contains(&y) && (y - rows.start).is_multiple_of(step) {
                    let [luma, colour] = &mut *medians;
                    let pixels = present[columns.clone()].iter().zip(&moved[columns.clone()]);
                    for (present, moved) in pixels.step_by(step) {
                        luma.add(present[0] - moved[0]);
                        colour.add(present[1] - moved[1]);
                        colour.add(present[2] - moved[2]);
                    }
                }
            }
        });
        residuals.iter_mut().for_each(Plane::extend_ends);
    }

    /// Noise of luma and of the colour differences, in the part of the picture that is not bars.
    fn find_noise(&mut self) -> [f32; 2] {
        for scratch in &self.scratch {
            self.medians.iter_mut().zip(&scratch.medians).for_each(|(all, some)| all.add_all(some));
        }
        let [luma, colour] = &mut self.medians;
        [self.noise.of_frame(luma.take()), self.colour_noise.of_frame(colour.take())]
    }

    /// Columns and rows of the picture that are not bars; all where everything is dark.
    fn find_content(&mut self) {
        let Size { width, height } = self.size;
        let [first, others @ ..] = &mut self.scratch[..] else { return };
        for other in others {
            let columns = first.brightest.iter_mut().zip(&other.brightest);
            columns.for_each(|(all, some)| *all = larger(*all, *some));
        }
        let range = |brightest: &[f32]| {
            let first = brightest.iter().position(|&level| level > BRIGHTER_THAN_BARS)?;
            let last = brightest.iter().rposition(|&level| level > BRIGHTER_THAN_BARS)?;
            Some(first..last + 1)
        };
        let found = range(&first.brightest).zip(range(&self.brightest));
        let (columns, rows) = found.unwrap_or((0..width, 0..height));
        self.content = [columns, rows];
    }

    /// Fills the guide's maps and blends the frame with the past.
    fn weigh(&mut self, weighing: &Weighing) {
        let count = self.prepare_bands();
        let Self { size, residuals, motion, moved, present, past_luma, guide, scratch, shares, .. } = self;
        let bands = present.bands_mut(count).zip(guide.maps.bands_mut(count)).zip(past_luma.bands_mut(count));
        let bands = bands.zip(shares.par_chunks_mut(count)).zip(scratch);
        bands.for_each(|((((mut present, mut maps), mut luma), shares), scratch)| {
            for (y, sum) in present.rows().zip(shares) {
                scratch.average(y, residuals, motion);
                let evidence = Evidence::of(y, *size, scratch, motion, moved);
                let (present, maps) = (present.row_mut(y), maps.row_mut(y));
                weigh_row(&evidence, weighing, present, maps);
                *sum = maps.iter().map(|map| f64::from(map[2])).sum();
                luma.row_mut(y).iter_mut().zip(present).for_each(|(luma, pixel)| *luma = pixel[0]);
                luma.extend(y);
            }
        });
        past_luma.extend_ends();
        self.find_share();
    }

    /// As [`Self::weigh`], where not all of the frame is to be new: that is decided here.
    fn weigh_and_reuse(
        &mut self,
        weighing: &Weighing,
        reuse: &mut Reuse,
        controls: &Controls,
        noise: [f32; 2],
        window: &Window,
    ) {
        let explained = |noise: f32| noise * noise + (STRICTER * controls.tolerance).powi(2);
        let deciding = noise.map(explained);
        let count = self.prepare_bands();
        let Self { size, residuals, motion, moved, guide, scratch, .. } = self;
        let bands = guide.maps.bands_mut(count).zip(reuse.merits_mut().bands_mut(count)).zip(scratch);
        bands.for_each(|((mut maps, mut merits), scratch)| {
            for y in maps.rows() {
                scratch.average(y, residuals, motion);
                let evidence = Evidence::of(y, *size, scratch, motion, moved);
                judge_row(&evidence, weighing, &deciding, maps.row_mut(y), merits.row_mut(y));
            }
        });
        reuse.decide(&controls.reuse, &self.guide.maps, noise[0], window);
        for y in 0..self.size.height {
            let (present, maps) = (self.present.row_mut(y), self.guide.maps.row_mut(y));
            reuse.settle_row(y, noise[0], self.moved.row(y), present, maps);
            self.shares[y] = maps.iter().map(|map| f64::from(map[2])).sum();
            self.past_luma.row_mut(y).iter_mut().zip(present).for_each(|(luma, pixel)| *luma = pixel[0]);
        }
        self.past_luma.extend();
        reuse.settled();
        self.find_share();
    }

    /// Mean share of the past, of the sums of rows.
    fn find_share(&mut self) {
        let Size { width, height } = self.size;
        self.guide.share = (self.shares.iter().sum::<f64>() / (width * height) as f64) as f32;
    }
}

/// What weights depend on besides the evidence.
struct Weighing {
    strength: f32,
    /// Frames of history, at most.
    longest: f32,
    /// Square of what luma and colour differences may differ by.
    explained: [f32; 2],
}

/// What is known of the pixels of a row.
struct Evidence<'a> {
    y: f32,
    /// Where the picture ends: half a pixel beyond the last column and row.
    end: [f32; 2],
    residuals: [&'a [f32]; 2],
    motion: [&'a [f32]; 2],
    mean_motion: [&'a [f32]; 2],
    moved: &'a [Quad],
}

impl<'a> Evidence<'a> {
    fn of(y: usize, size: Size, means: &'a Scratch, motion: &'a [Plane; 2], moved: &'a Quads) -> Self {
        Self {
            y: y as f32,
            end: [size.width as f32 - 0.5, size.height as f32 - 0.5],
            residuals: means.mean_residuals.each_ref().map(|row| row.as_flattened()),
            motion: motion.each_ref().map(|plane| plane.row(y)),
            mean_motion: means.mean_motion.each_ref().map(|row| row.as_flattened()),
            moved: moved.row(y),
        }
    }

    /// Of so many pixels, the first: all of them are there, as the compiler then knows.
    #[inline(always)]
    fn first(&self, count: usize) -> Self {
        Self {
            residuals: self.residuals.map(|row| &row[..count]),
            motion: self.motion.map(|row| &row[..count]),
            mean_motion: self.mean_motion.map(|row| &row[..count]),
            moved: &self.moved[..count],
            ..*self
        }
    }

    /// How far a pixel agrees with the past, where so much is explained: 0 where the past lies outside of the picture.
    #[inline(always)]
    fn trust(&self, x: usize, explained: &[f32; 2]) -> f32 {
        let (at_x, at_y) = (x as f32 + self.motion[0][x], self.y + self.motion[1][x]);
        let inside = at_x >= -0.5 && at_y >= -0.5 && at_x <= self.end[0] && at_y <= self.end[1];
        let [luma, colour] = [self.residuals[0][x] / explained[0], self.residuals[1][x] / explained[1]];
        let worst = larger(luma, SHARE_OF_COLOUR * colour);
        if inside { 1.0 - smooth_step(DISTRUST, worst.sqrt()) } else { 0.0 }
    }

    /// What the past is worth at a pixel.
    #[inline(always)]
    fn weigh(&self, x: usize, weighing: &Weighing) -> Weight {
        let trust = self.trust(x, &weighing.explained);
        let [u, v] = self.mean_motion.map(|row| row[x]);
        let speed = (u * u + v * v).sqrt();
        let longest = larger(weighing.longest / (1.0 + speed / MOTION_OF_HALF), 1.0);
        let length = smaller(self.moved[x][3], longest);
        let share = weighing.strength * trust * length / (length + 1.0);
        Weight { trust, length, longest, map: [self.motion[0][x], self.motion[1][x], share, speed] }
    }
}

/// What the past is worth at a pixel.
struct Weight {
    trust: f32,
    /// Frames of history, and what they may be at most.
    length: f32,
    longest: f32,
    map: Quad,
}

/// Luma of a picture, 0 to 255.
pub fn luma<S: Sample>(picture: View<'_, S>) -> Array2<f32> {
    let level = 255.0 / S::WHITE;
    let (height, width, _) = picture.dim();
    Array2::from_shape_fn((height, width), |at| {
        let weighted = LUMA.iter().enumerate().map(|(c, weight)| weight * picture[(at.0, at.1, c)].to_f32());
        level * weighted.sum::<f32>()
    })
}

/// The brightest of a row; of each column, so far.
fn find_brightest(row: &[f32], columns: &mut [f32]) -> f32 {
    row.iter().zip(columns).fold(0.0, |brightest, (&luma, column)| {
        *column = larger(*column, luma);
        larger(brightest, luma)
    })
}

/// Red, green and blue in levels of 0 to 255, of a pixel of the history.
pub fn colours(pixel: &Quad) -> [f32; 3] {
    let [luma, blue, red, _] = *pixel;
    let [red, blue] = [luma + red, luma + blue];
    [red, (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1], blue]
}

dispatched! {
    /// Squares of the differences of a row.
    fn square_differences / square_differences_plain(
        present: &[Quad], moved: &[Quad], luma: &mut [f32], colour: &mut [f32],
    ) {
        for ((present, moved), (luma, colour)) in present.iter().zip(moved).zip(luma.iter_mut().zip(colour)) {
            let [l, b, r] = [present[0] - moved[0], present[1] - moved[1], present[2] - moved[2]];
            *luma = l * l;
            *colour = 0.5 * (b * b + r * r);
        }
    }
}

dispatched! {
    /// The maps of a row, and the row as it goes into the history.
    fn weigh_row / weigh_row_plain(evidence: &Evidence<'_>, weighing: &Weighing, present: &mut [Quad], maps: &mut [Quad]) {
        let evidence = evidence.first(present.len());
        let maps = &mut maps[..present.len()];
        for (x, pixel) in present.iter_mut().enumerate() {
            let Weight { trust, length, longest, map } = evidence.weigh(x, weighing);
            let (share, moved) = (map[2], &evidence.moved[x]);
            for channel in 0..3 {
                pixel[channel] += share * (moved[channel] - pixel[channel]);
            }
            pixel[3] = smaller(length * trust, longest) + 1.0;
            maps[x] = map;
        }
    }
}

dispatched! {
    /// The maps of a row; and its trust, frames of history with what they may be at most, and doubt where `deciding` is
    /// what may differ.
    fn judge_row / judge_row_plain(
        evidence: &Evidence<'_>, weighing: &Weighing, deciding: &[f32; 2], maps: &mut [Quad], merits: &mut [Quad],
    ) {
        let evidence = evidence.first(maps.len());
        let merits = &mut merits[..maps.len()];
        for (x, to) in maps.iter_mut().enumerate() {
            let Weight { trust, length, longest, map } = evidence.weigh(x, weighing);
            *to = map;
            merits[x] = [trust, length, longest, 1.0 - evidence.trust(x, deciding)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motion_is_looked_for_as_finely_as_wanted_but_never_at_more_samples_than_allowed() {
        for (width, height) in [(16, 16), (640, 360), (960, 540), (1280, 720), (1920, 1080), (3840, 2160)] {
            let size = Size::new(width, height);
            for wanted in 0..4 {
                assert_eq!(finest_level(size, wanted, usize::MAX), wanted, "{size}");
                for most in [0, 100, 1 << 14, 1 << 17, 1 << 20] {
                    let level = finest_level(size, wanted, most);
                    let samples = |level: usize| (width * height) >> (2 * level);
                    assert!(level >= wanted && samples(level) <= most, "{size}: {level}");
                    assert!(level == wanted || samples(level - 1) > most, "{size}: {level} is too coarse");
                }
            }
        }
    }
}
