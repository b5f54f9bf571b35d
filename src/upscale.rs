//! From a picture to the size asked for: the network as often as it takes, tile by tile, and
//! a resize for whatever remains.

use crate::image::resample::Resampler;
use crate::image::{Area, Picture, Sample, Size, View, ViewMut, Window, copy, crop, rows, rows_mut};
use crate::infer::tile::{Tiled, Tiler};
use crate::infer::{InferError, Network};
use crate::model::contract::InputSize;

/// Up to this factor, what is left after a pass of the network is resized; above it, the
/// network is run once more and its result reduced. Halfway to the next pass of a x2 network.
const RESIZE_AT_MOST: f64 = 1.5;

/// A last pass may overshoot the size wanted by this factor, and its result is reduced; where it
/// would overshoot by more, the picture is reduced before. Peak signal-to-noise ratio of the
/// Set5 pictures with SPAN: x3 by two passes of x2 32.84 dB, reduced before the second 32.61,
/// resized after the first 32.54; x8 by two passes of x4 25.36, 25.31 and 25.33, the first of
/// them for four times the work of the second.
const OVERSHOOT_AT_MOST: f64 = 1.5;

/// Weights of red, green and blue in luma (ITU-R BT.601), which luma-only networks are
/// trained on.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// One step on the way to a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run the network.
    Network,
    /// Resize to this size.
    Resize(Size),
}

/// The steps from one size to another with a network of a whole `scale`.
///
/// The network is run as long as more than a factor of 1.5 is left, at least once if the
/// picture is to grow at all; before a last pass that would overshoot by more than that factor,
/// the picture is reduced so that the pass ends at the size wanted. What is left is resized. A picture that does not
/// grow is only resized, unless the network is one that keeps the size.
pub fn plan(from: Size, to: Size, scale: usize) -> Vec<Step> {
    let factor = |at: Size| {
        let across = to.width as f64 / at.width as f64;
        across.max(to.height as f64 / at.height as f64)
    };
    let mut steps = Vec::new();
    let mut at = from;
    if scale == 1 {
        steps.push(Step::Network);
    } else if factor(at) > 1.0 {
        steps.push(Step::Network);
        at = at.times(scale);
        while factor(at) > RESIZE_AT_MOST {
            if scale as f64 / factor(at) > OVERSHOOT_AT_MOST {
                let before = Size::new(to.width.div_ceil(scale), to.height.div_ceil(scale));
                steps.push(Step::Resize(before));
                at = before;
            }
            steps.push(Step::Network);
            at = at.times(scale);
        }
    }
    if at != to {
        steps.push(Step::Resize(to));
    }
    steps
}

/// What was done for a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Runs of the network.
    pub tiles: usize,
    /// Pixels that it saw, context included.
    pub pixels: usize,
    /// Tiles that were resampled because the network gave no numbers.
    pub left_out: usize,
}

/// How often a network is run for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Once, on all of the picture and its colours, and nothing else is done.
    One,
    /// On tiles.
    Tiles,
    /// In passes, between resizes, on luma alone, or on what is no picture's size.
    More,
}

/// What runs over parts of a picture take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    scale: usize,
    /// `None` for a network of luma alone or of a size that is fixed.
    window: Option<Window>,
}

impl Parts {
    /// For pictures of a size; `None` where it is not one run of the network that makes the one of the other, on all of
    /// its colours and at any size.
    pub fn window(&self, from: Size, to: Size) -> Option<Window> {
        self.window.filter(|_| plan(from, to, self.scale) == [Step::Network])
    }
}

/// Brings pictures to a size with a network.
pub struct Upscaler<S> {
    network: Box<dyn Network<S>>,
    tiler: Tiler<S>,
    resampler: Resampler,
}

impl<S: Sample> Upscaler<S> {
    /// An upscaler around a network.
    pub fn new(network: Box<dyn Network<S>>, tiler: Tiler<S>) -> Self {
        Self { network, tiler, resampler: Resampler::default() }
    }

    /// Enlargement factor of the network.
    pub fn scale(&self) -> usize {
        self.network.scale()
    }

    /// Fills `to` with an enlarged `from`. Both have three channels, or four of which the
    /// last is left alone.
    ///
    /// # Errors
    /// What the network says; `to` is unfinished then.
    pub fn run(&mut self, from: View<'_, S>, mut to: ViewMut<'_, S>) -> Result<Done, InferError> {
        let mut done = Done::default();
        let mut at: Option<Picture<S>> = None;
        let steps = plan(Size::of(&from), Size::of(&to.view()), self.scale());
        for (step, is_last) in steps.iter().zip((1..=steps.len()).map(|n| n == steps.len())) {
            let source = at.as_ref().map_or(from, |picture| picture.view());
            match step {
                Step::Resize(size) => at = Some(self.resampler.resize(source, *size)),
                Step::Network if is_last => {
                    done.add(self.pass(source, to.view_mut())?);
                    return Ok(done);
                }
                Step::Network => {
                    let size = Size::of(&source).times(self.scale());
                    let mut larger = Picture::from_elem((size.height, size.width, 3), S::zeroed());
                    done.add(self.pass(source, larger.view_mut())?);
                    at = Some(larger);
                }
            }
        }
        copy(at.as_ref().map_or(from, |picture| picture.view()), to);
        Ok(done)
    }

    /// What it takes to run it over parts of pictures.
    pub fn parts(&self) -> Parts {
        let takes_any = matches!(self.network.input_size(), InputSize::Multiple(_));
        let takes_parts = takes_any && self.network.channels() == 3;
        Parts { scale: self.scale(), window: takes_parts.then(|| self.tiler.window()) }
    }

    /// How often the network is run to make the one of the other.
    pub fn runs(&self, from: Size, to: Size) -> Runs {
        let input = self.network.input_size();
        let is_plain = plan(from, to, self.scale()) == [Step::Network] && self.network.channels() == 3;
        match (is_plain, input) {
            (true, _) if self.tiler.tile(from, input) == from => Runs::One,
            (true, InputSize::Multiple(_)) if self.tiler.count(from, input) > 1 => Runs::Tiles,
            _ => Runs::More,
        }
    }

    /// As [`Self::run`] for parts of the picture, where [`Parts::window`] allows it; the rest of `to` is left alone.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_parts(
        &mut self,
        from: View<'_, S>,
        to: ViewMut<'_, S>,
        areas: &[Area],
    ) -> Result<Done, InferError> {
        let Self { network, tiler, resampler } = self;
        let (size, scale) = (Size::of(&to.view()), network.scale());
        let mut resampled = None;
        let context = tiler.window().context;
        let tiled = tiler.run_parts(network.as_mut(), from, to, (areas, context), &mut |x, y, place| {
            let resampled = resampled.get_or_insert_with(|| resampler.resize(from, size));
            copy(crop(resampled.view(), x * scale, y * scale, Size::of(&place.view())), place);
        })?;
        let mut done = Done::default();
        done.add(tiled);
        Ok(done)
    }

    /// Runs the network once over the picture.
    fn pass(&mut self, from: View<'_, S>, mut to: ViewMut<'_, S>) -> Result<Tiled, InferError> {
        let Self { network, tiler, resampler } = self;
        let size = Size::of(&to.view());
        let scale = network.scale();
        if network.channels() == 3 {
            // Made when the first tile needs it, which is hardly ever.
            let mut resampled = None;
            return tiler.run(network.as_mut(), from, to, &mut |x, y, place| {
                let resampled = resampled.get_or_insert_with(|| resampler.resize(from, size));
                copy(crop(resampled.view(), x * scale, y * scale, Size::of(&place.view())), place);
            });
        }
        let resampled = resampler.resize(from, size);
        let small = luma(from);
        let before = luma(resampled.view());
        let mut after = before.clone();
        // The luma that was resampled already stays where the network gives no numbers.
        let tiled = tiler.run(network.as_mut(), small.view(), after.view_mut(), &mut |x, y, place| {
            copy(crop(before.view(), x * scale, y * scale, Size::of(&place.view())), place);
        })?;
        copy(resampled.view(), to.view_mut());
        replace_luma(before.view(), after.view(), to);
        Ok(tiled)
    }
}

impl Done {
    fn add(&mut self, tiled: Tiled) {
        self.tiles += tiled.tiles;
        self.pixels += tiled.pixels;
        self.left_out += tiled.left_out.len();
    }
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, more: Self) {
        self.tiles += more.tiles;
        self.pixels += more.pixels;
        self.left_out += more.left_out;
    }
}

/// The luma of a picture, one channel.
fn luma<S: Sample>(picture: View<'_, S>) -> Picture<S> {
    let (height, width, channels) = picture.dim();
    let mut luma = Picture::from_elem((height, width, 1), S::zeroed());
    for (from, to) in rows(picture).zip(rows_mut(&mut luma.view_mut())) {
        for (from, to) in from.chunks_exact(channels).zip(to) {
            let sum: f32 = from.iter().zip(LUMA).map(|(sample, weight)| sample.to_f32() * weight).sum();
            *to = S::from_f32(sum);
        }
    }
    luma
}

/// Adds the change of luma to every colour, which leaves the colour differences as they are.
fn replace_luma<S: Sample>(before: View<'_, S>, after: View<'_, S>, mut picture: ViewMut<'_, S>) {
    let channels = picture.dim().2;
    for ((before, after), row) in rows(before).zip(rows(after)).zip(rows_mut(&mut picture)) {
        let change = before.iter().zip(after).map(|(before, after)| after.to_f32() - before.to_f32());
        for (pixel, change) in row.chunks_exact_mut(channels).zip(change) {
            for sample in &mut pixel[..3] {
                *sample = S::from_f32((sample.to_f32() + change).max(0.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(from: Size, scale: usize, steps: &[Step]) -> Size {
        steps.iter().fold(from, |at, step| match *step {
            Step::Network => at.times(scale),
            Step::Resize(size) => size,
        })
    }

    #[test]
    fn every_plan_ends_at_the_size_wanted() {
        for scale in 1..=4 {
            for from in [Size::new(16, 16), Size::new(33, 17), Size::new(640, 360)] {
                for tenths in 2..=80 {
                    let grow = |length: usize| (length * tenths).div_ceil(10);
                    for to in [
                        Size::new(grow(from.width), grow(from.height)),
                        Size::new(grow(from.width), from.height),
                    ] {
                        let steps = plan(from, to, scale);
                        let about = format!("{from} to {to} by {scale}: {steps:?}");
                        assert_eq!(end(from, scale, &steps), to, "{about}");
                        let passes = steps.iter().filter(|&&step| step == Step::Network).count();
                        let grows = to.width > from.width || to.height > from.height;
                        assert_eq!(passes > 0, grows || scale == 1, "{about}");
                        assert!(passes <= 3, "{about}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_whole_multiple_of_the_network_needs_no_resize() {
        let from = Size::new(33, 17);
        for (scale, factor, passes) in [(2, 2, 1), (2, 4, 2), (2, 8, 3), (3, 3, 1), (4, 4, 1)] {
            assert_eq!(plan(from, from.times(factor), scale), vec![Step::Network; passes]);
        }
        assert_eq!(plan(from, from, 2), []);
    }

    #[test]
    fn luma_of_grey_is_the_grey_and_replacing_it_keeps_grey_grey() {
        for grey in 0..=255_u8 {
            let picture = Picture::from_elem((1, 2, 3), grey);
            let same = luma(picture.view());
            assert!(same.iter().all(|&sample| sample == grey));
            let white = Picture::from_elem((1, 2, 1), 255);
            let mut brighter = picture.clone();
            replace_luma(same.view(), white.view(), brighter.view_mut());
            assert!(brighter.iter().all(|&sample| sample == 255));
        }
    }
}
