//! The small-picture stage: what the past is worth at each pixel.
//!
//! A shadow of the output's history is kept at the size of the input and blended with the same
//! weights. It shows what the history holds and has little noise, so the motion is estimated, and every
//! test made, against it and not against the frame before.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::estimators::{Estimators, SMALL};
use super::maps::{Maps, SHARE};
use super::noise::{Medians, Noise};
use super::reuse::{Reuse, STRICTER};
use super::weighing::{Evidence, Means, Weighing, judge_row, weigh_row};
use super::{Controls, Mode, larger};
use crate::flow::Flow;
use crate::image::bands::rows_in_band;
use crate::image::lanes::{LANES, Lanes, Row, RowMut, dispatched};
use crate::image::luma::load_row;
use crate::image::planar::{COLOURS, Planar, RowsMut, Spots};
use crate::image::plane::Plane;
use crate::image::{Area, Sample, Size, View, Window, rows};

/// How much longer the history of a noisy clip may become.
const LONGER_IN_NOISE: f32 = 2.0;
/// A picture has content in rows and columns with a brighter pixel than this many levels; others are bars.
const BRIGHTER_THAN_BARS: f32 = 40.0;

/// What the small picture says about a frame, at each of its pixels.
pub struct Guide {
    /// Motion to the right and down into the past in pixels of the small picture, share of the past in the blend, and size of
    /// the motion around in pixels.
    pub maps: Maps,
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
    past: Planar<4>,
    has_past: bool,
    /// The frame, which becomes the history.
    present: Planar<4>,
    /// Luma of the history and of the frame once more, as motion is looked for in it.
    past_luma: Plane,
    luma: Plane,
    /// The history moved to where the frame is.
    moved: Planar<4>,
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
    /// Where the past of each eight pixels of a row is.
    spots: Vec<Spots>,
    medians: [Medians; 2],
    /// The brightest luma of each column.
    brightest: Vec<f32>,
    means: Means,
    /// Share of what is new in each pixel of a row, where outputs are reused.
    fresh: Vec<[f32; LANES]>,
}

impl Scratch {
    fn new(width: usize) -> Self {
        Self {
            spots: vec![Spots::default(); width.div_ceil(LANES)],
            medians: Default::default(),
            brightest: vec![0.0; width],
            means: Means::new(width),
            fresh: vec![[0.0; LANES]; width.div_ceil(LANES)],
        }
    }
}

impl Shadow {
    /// For frames of a size, which is at least [`flow::SMALLEST`] each way. Motion is looked for at `most_searched` samples, where the
    /// mode does not ask for more.
    pub fn new(size: Size, mode: Mode, most_searched: usize) -> Self {
        let (planar, plane) = (|| Planar::new(size), || Plane::new(size));
        Self {
            size,
            estimators: Estimators::new(mode, size, most_searched),
            past: planar(),
            has_past: false,
            present: planar(),
            past_luma: plane(),
            luma: plane(),
            moved: planar(),
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
            guide: Guide { maps: planar(), noise: 0.0, share: 0.0 },
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
            let frame = present.rows().zip(present.rows_mut()).zip(rows(input)).zip(brightest);
            for (((y, mut present), from), brightest) in frame {
                let [light, blues, reds, _] = present.planes();
                load_row(from, channels, [light, blues, reds], luma.row_mut(y));
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
    /// something else is found out about its luma. It is also kept for [`Self::swap_flow`], where that is wanted.
    pub fn find_motion<R: Send>(
        &mut self,
        keeps_flow: bool,
        beside: impl FnOnce(ArrayView2<'_, f32>) -> R + Send,
    ) -> R {
        let Self { luma, past_luma, estimators, noise, has_past, motion, flow, .. } = self;
        let (noisy, luma) = (noise.is_noisy(), &*luma);
        let (result, has_flow) = rayon::join(
            || beside(luma.view()),
            || {
                if *has_past {
                    let [u, v] = motion;
                    estimators.flow(noisy, luma, past_luma, [u, v]);
                    if keeps_flow {
                        flow.take([u, v]);
                    }
                }
                *has_past && keeps_flow
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
        let count = self.prepare_bands();
        self.present.bands_mut(count).for_each(|mut band| {
            for mut rows in band.rows_mut() {
                let [_, _, _, lengths] = rows.planes();
                lengths.fill(1.0);
                rows.extend();
            }
        });
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
    pub fn swap_maps(&mut self, other: &mut Maps) {
        if other.size != self.size {
            *other = Maps::new(self.size);
        }
        std::mem::swap(&mut self.guide.maps, other);
    }

    /// The history: luma and colour differences.
    pub fn past(&self) -> &Planar<4> {
        &self.past
    }

    /// The frame, as it was blended, is the past of the next. Its rows are extended.
    fn keep(&mut self) {
        std::mem::swap(&mut self.past, &mut self.present);
        self.past.extend();
        self.has_past = true;
    }

    /// Moves the past to where the frame is, and finds by how much they differ.
    fn move_past(&mut self) {
        let count = self.prepare_bands();
        // An eighth of a large picture's pixels is enough for its noise.
        let (step, down) = if self.size.width * self.size.height > SMALL { (2, 4) } else { (1, 1) };
        let Self { past, present, moved, motion, residuals, scratch, content: [columns, rows], .. } = self;
        let [luma, colour] = residuals;
        let bands =
            moved.bands_mut(count).zip(luma.bands_mut(count)).zip(colour.bands_mut(count)).zip(scratch);
        bands.for_each(|(((mut moved, mut luma), mut colour), Scratch { spots, medians, .. })| {
            medians.iter_mut().for_each(Medians::clear);
            for (y, mut moved) in moved.rows().zip(moved.rows_mut()) {
                locate_row(past, y, motion, spots);
                move_row(
                    past,
                    spots,
                    present.row(y),
                    moved.lanes(),
                    [luma.lanes_mut(y), colour.lanes_mut(y)],
                );
                luma.extend(y);
                colour.extend(y);
                if rows.contains(&y) && (y - rows.start).is_multiple_of(down) {
                    let [luma, colour] = &mut *medians;
                    for (plane, moved) in moved.planes().into_iter().take(COLOURS).enumerate() {
                        let medians = if plane == 0 { &mut *luma } else { &mut *colour };
                        let present = &present.plane(plane, y)[columns.clone()];
                        medians.add([present, &moved[columns.clone()]], step);
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
        bands.for_each(|((((mut present, mut maps), mut luma), shares), Scratch { means, .. })| {
            let rows = present.rows().zip(present.rows_mut()).zip(maps.rows_mut()).zip(shares);
            for (((y, mut present), mut maps), sum) in rows {
                means.fill(y, residuals, motion);
                let evidence = Evidence::of(y, *size, means, motion, moved);
                weigh_row(&evidence, weighing, present.lanes(), maps.lanes());
                *sum = finish_row(&mut present, &mut maps, luma.row_mut(y));
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
        bands.for_each(|((mut maps, mut merits), Scratch { means, .. })| {
            let rows = maps.rows().zip(maps.rows_mut()).zip(merits.rows_mut());
            for ((y, mut maps), mut merits) in rows {
                means.fill(y, residuals, motion);
                let evidence = Evidence::of(y, *size, means, motion, moved);
                judge_row(&evidence, weighing, &deciding, maps.lanes(), merits.lanes());
            }
        });
        reuse.decide(&controls.reuse, &self.guide.maps, noise[0], window);
        let Self { present, moved, past_luma, guide, scratch, shares, .. } = self;
        let (settling, transfer) = reuse.settle(noise[0]);
        let bands = present.bands_mut(count).zip(guide.maps.bands_mut(count)).zip(past_luma.bands_mut(count));
        let bands = bands.zip(transfer.bands_mut(count)).zip(shares.par_chunks_mut(count)).zip(scratch);
        bands.for_each(|(((((mut present, mut maps), mut luma), mut transfer), shares), scratch)| {
            let rows = present.rows().zip(present.rows_mut()).zip(maps.rows_mut());
            for ((((y, mut present), mut maps), mut transfer), sum) in
                rows.zip(transfer.rows_mut()).zip(shares)
            {
                let [_, _, shares, _] = maps.lanes();
                let fresh = &mut scratch.fresh;
                settling.settle_row(y, fresh, moved.row(y), present.lanes(), shares, transfer.lanes());
                transfer.extend();
                *sum = finish_row(&mut present, &mut maps, luma.row_mut(y));
                luma.extend(y);
            }
        });
        transfer.extend();
        past_luma.extend_ends();
        self.find_share();
    }

    /// Mean share of the past, of the sums of rows.
    fn find_share(&mut self) {
        let Size { width, height } = self.size;
        self.guide.share = (self.shares.iter().sum::<f64>() / (width * height) as f64) as f32;
    }
}

/// Extends what became of a row, hands out its luma, and answers the sum of the shares of the past.
fn finish_row(present: &mut RowsMut<'_, 4>, maps: &mut RowsMut<'_, 4>, luma: &mut [f32]) -> f64 {
    present.extend();
    maps.extend();
    luma.copy_from_slice(present.planes()[0]);
    let (shares, rest) = maps.planes()[SHARE].as_chunks();
    let sum = shares.iter().fold(Lanes::ZERO, |sum, shares| sum + Lanes(*shares)).sum();
    f64::from(sum + rest.iter().sum::<f32>())
}

/// The brightest of a row; of each column, so far.
fn find_brightest(row: &[f32], columns: &mut [f32]) -> f32 {
    row.iter().zip(columns).for_each(|(&luma, column)| *column = larger(*column, luma));
    let (lumas, rest) = row.as_chunks();
    let brightest = lumas.iter().fold(Lanes::ZERO, |brightest, lumas| Lanes(*lumas).max(brightest));
    rest.iter().chain(&brightest.0).fold(0.0, |brightest, &luma| larger(luma, brightest))
}

dispatched! {
    /// Where the past of a row is.
    fn locate_row / locate_row_plain(past: &Planar<4>, y: usize, motion: &[Plane; 2], spots: &mut [Spots]) {
        let [u, v] = motion.each_ref().map(|plane| plane.lanes(0, y as isize));
        for (block, (spots, (u, v))) in spots.iter_mut().zip(u.iter().zip(v)).enumerate() {
            *spots = past.locate((LANES * block, y), [Lanes(*u), Lanes(*v)]);
        }
    }
}

dispatched! {
    /// The past of a row, and squares of what luma and colour differences differ from it by.
    fn move_row / move_row_plain(
        past: &Planar<4>, spots: &[Spots], present: [Row<'_>; 4], moved: [RowMut<'_>; 4], residuals: [RowMut<'_>; 2],
    ) {
        let count = spots.len();
        let present = present.map(|row| &row[..count]);
        let [luma, blue, red, lengths] = moved.map(|row| &mut row[..count]);
        let [of_luma, of_colour] = residuals.map(|row| &mut row[..count]);
        for (block, spots) in spots.iter().enumerate() {
            let moved = past.sample(spots);
            lengths[block] = past.linear(3, spots).0;
            let [l, b, r] = moved;
            (luma[block], blue[block], red[block]) = (l.0, b.0, r.0);
            let l = Lanes(present[0][block]) - l;
            let (b, r) = (Lanes(present[1][block]) - b, Lanes(present[2][block]) - r);
            of_luma[block] = (l * l).0;
            of_colour[block] = (Lanes::splat(0.5) * (b * b + r * r)).0;
        }
    }
}
