//! Cutting a picture into tiles that a network can take, and putting the enlarged tiles
//! together again so that no seam shows.
//!
//! All tiles of a picture have one size. Each is run with context around it, and where two
//! overlap, the picture goes over from one to the other by a ramp in the middle of the shared
//! strip, as far as possible from the edges at which their context ends.

use std::ops::Range;

use ndarray::Axis;

use super::{InferError, Network, share};
use crate::image::{
    Area, Picture, Sample, Size, View, ViewMut, Window, copy, crop, crop_mut, rows, rows_mut,
};
use crate::model::contract::InputSize;

/// The fewest pixels, along a side, that a tile adds to the picture, whatever the limits say:
/// with less, nearly all of the work would be context.
const LEAST_CORE: usize = 16;

/// Context, in pixels, of parts that are run anew within a picture that stays: a quarter of what tiles without a trace
/// need, but within these. With 4, tiles of 32 by SPAN are 65 dB from the whole, with 8, compact networks are 66; of
/// networks that look farther, what they make of a part is as near to the truth as what they make of the whole.
const PART_CONTEXT: (usize, usize) = (4, 8);

/// How large tiles may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels that a tile may have (its context included).
    pub pixels: usize,
    /// Context on every side of a tile, in input pixels.
    pub overlap: usize,
}

impl Limits {
    /// Tiles that need no more than `memory` bytes, for a network that takes
    /// `memory_per_pixel`.
    pub fn by_memory(memory: usize, memory_per_pixel: usize, overlap: usize) -> Self {
        Self { pixels: (memory / memory_per_pixel.max(1)).max(1), overlap }
    }
}

/// A tile along one axis, in input pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    /// What the network sees, from a multiple of what it works in; the end may lie outside the
    /// picture, there edges are repeated.
    seen: Range<usize>,
    /// What is taken from the result.
    used: Range<usize>,
    /// How many pixels at the start of `used` are mixed with the tile before.
    ramp: usize,
}

/// The tiles along an axis of `length` pixels, all of `tile` pixels, a multiple of `step`.
///
/// They start at multiples of it too: what a network that folds pixels makes of one depends on
/// its place in the fold, which must be the same as in the whole picture.
fn spans(length: usize, tile: usize, overlap: usize, step: usize) -> Vec<Span> {
    if tile >= length {
        return vec![Span { seen: 0..tile, used: 0..length, ramp: 0 }];
    }
    let whole = length.next_multiple_of(step);
    // At least one step of every tile is its own.
    let overlap = overlap.min((tile - step) / 2);
    let count = (whole - 2 * overlap).div_ceil(tile - 2 * overlap).max(2);
    let start = |at: usize| at * ((whole - tile) / step) / (count - 1) * step;
    // The middle of what two neighbours share.
    let cut = |at: usize| (start(at) + start(at - 1) + tile) / 2;
    let shared = |at: usize| start(at - 1) + tile - start(at);
    // An eighth of the context on each side of the cut goes into the ramp.
    let ramp = |at: usize| (overlap / 4).min(shared(at));
    let span = |at: usize| {
        let from = if at == 0 { 0 } else { cut(at) - ramp(at) / 2 };
        let to = if at + 1 == count { length } else { cut(at + 1) - ramp(at + 1) / 2 + ramp(at + 1) };
        let ramp = if at == 0 { 0 } else { ramp(at) };
        Span { seen: start(at)..start(at) + tile, used: from..to, ramp }
    };
    (0..count).map(span).collect()
}

/// A range along an axis of `length` pixels in so many strips, with context around each, and what is taken besides at both ends of
/// the range.
fn strips(
    range: Range<usize>,
    count: usize,
    (context, besides): (usize, usize),
    length: usize,
    step: usize,
) -> Vec<Span> {
    let edge = |at: usize| range.start + range.len() * at / count;
    let strip = |at: usize| {
        let (start, end) = (edge(at), edge(at + 1));
        let first = start.saturating_sub(context) / step * step;
        let seen_to = (end + context).min(length);
        let from = if at == 0 { start.saturating_sub(besides) } else { start };
        let to = if at + 1 == count { (end + besides).min(length) } else { end };
        Span { seen: first..first + (seen_to - first).next_multiple_of(step), used: from..to, ramp: 0 }
    };
    (0..count).map(strip).collect()
}

/// Tiles of all columns and rows, row by row.
fn grid(across: &[Span], down: &[Span]) -> Vec<[Span; 2]> {
    down.iter().flat_map(|down| across.iter().map(|across| [across.clone(), down.clone()])).collect()
}

/// Pixels that the network sees for tiles, context included.
fn pixels(tiles: &[[Span; 2]]) -> usize {
    tiles.iter().map(|[across, down]| across.seen.len() * down.seen.len()).sum()
}

/// The size of the tiles for a picture: the picture itself if it may be that large, else the
/// fewest tiles within the limits, as square as they can be.
fn tile_size(picture: Size, input: InputSize, limits: Limits) -> Size {
    let multiple = match input {
        InputSize::Fixed(size) => return size,
        InputSize::Multiple(multiple) => multiple,
    };
    let round_up = |length: usize| length.next_multiple_of(multiple);
    if picture.width * picture.height <= limits.pixels {
        return Size::new(round_up(picture.width), round_up(picture.height));
    }
    let least = round_up(2 * limits.overlap + LEAST_CORE);
    let side = limits.pixels.isqrt() / multiple * multiple;
    let fit = |length: usize, most: usize| {
        let most = most.max(least);
        if length <= most {
            return round_up(length);
        }
        // As many as `most` needs, but no larger than that many need to be.
        let count = (length - 2 * limits.overlap).div_ceil(most - 2 * limits.overlap);
        let even = (length + (count - 1) * 2 * limits.overlap).div_ceil(count);
        round_up(even).min(round_up(most))
    };
    // A side that is short anyway leaves room for the other.
    let height = fit(picture.height, side.max(limits.pixels / picture.width.max(1)));
    let width = fit(picture.width, (limits.pixels / height).max(side));
    Size::new(width, height)
}

/// The step that tiles keep to.
fn step(input: InputSize) -> usize {
    match input {
        InputSize::Fixed(_) => 1,
        InputSize::Multiple(multiple) => multiple,
    }
}

/// Runs networks over pictures tile by tile; keeps its working memory between frames.
#[derive(Debug)]
pub struct Tiler<S> {
    limits: Limits,
    tiles: Vec<Picture<S>>,
}

/// What happened to a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiled {
    /// Tiles that were run.
    pub tiles: usize,
    /// Pixels that the network saw, context included.
    pub pixels: usize,
    /// Places, in input pixels (x, y, size), whose result was no numbers and was left out.
    pub left_out: Vec<(usize, usize, Size)>,
}

impl<S: Sample> Tiler<S> {
    /// A tiler that keeps to the limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, tiles: Vec::new() }
    }

    /// How many tiles a picture takes.
    pub fn count(&self, picture: Size, input: InputSize) -> usize {
        let tile = tile_size(picture, input, self.limits);
        let along = |length, tile| spans(length, tile, self.limits.overlap, step(input)).len();
        along(picture.width, tile.width) * along(picture.height, tile.height)
    }

    /// The size of the tiles that a picture takes.
    pub fn tile(&self, picture: Size, input: InputSize) -> Size {
        tile_size(picture, input, self.limits)
    }

    /// Enlarges `from` into `to`. `fallback` writes the part of the result for a tile whose
    /// values were no numbers: it gets the place in `from` and the part of `to`.
    ///
    /// # Errors
    /// Whatever the network says; `to` is then unfinished.
    pub fn run(
        &mut self,
        network: &mut dyn Network<S>,
        from: View<'_, S>,
        to: ViewMut<'_, S>,
        fallback: &mut dyn FnMut(usize, usize, ViewMut<'_, S>),
    ) -> Result<Tiled, InferError> {
        let size = Size::of(&from);
        let tile = tile_size(size, network.input_size(), self.limits);
        let step = step(network.input_size());
        if let Some(bands) = self.bands(size, network) {
            return self.run_tiles(network, (from, to), &bands, fallback);
        }
        let along = |length, tile| spans(length, tile, self.limits.overlap, step);
        let tiles = grid(&along(size.width, tile.width), &along(size.height, tile.height));
        self.run_tiles(network, (from, to), &tiles, fallback)
    }

    /// Enlarges parts of `from`, and a pixel around each, into their places in `to`, with so many pixels of context, at
    /// least one; what lies outside of them is left as it is. The network must take any size.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_parts(
        &mut self,
        network: &mut dyn Network<S>,
        from: View<'_, S>,
        to: ViewMut<'_, S>,
        (areas, context): (&[Area], usize),
        fallback: &mut dyn FnMut(usize, usize, ViewMut<'_, S>),
    ) -> Result<Tiled, InferError> {
        let size = Size::of(&from);
        let step = step(network.input_size());
        let parts = |lanes: usize| -> Vec<_> {
            let sizes: Vec<_> = areas.iter().map(|area| area.size).collect();
            let cut = |(area, pieces): (&Area, usize)| {
                let (wide, tall) = (area.size.width, area.size.height);
                let (across, down) = if wide > tall { (pieces, 1) } else { (1, pieces) };
                // A pixel more, into which whoever enlarges shares of the part may reach.
                let along = |from, used, length, pieces| {
                    strips(from..from + used, pieces, (context, 1), length, step)
                };
                grid(&along(area.x, wide, size.width, across), &along(area.y, tall, size.height, down))
            };
            areas.iter().zip(share::pieces(&sizes, context, lanes)).flat_map(cut).collect()
        };
        let mut tiles = parts(network.lanes());
        if pixels(&tiles) > self.limits.pixels {
            tiles = parts(1);
        }
        self.run_tiles(network, (from, to), &tiles, fallback)
    }

    /// The bands that a whole picture is made in, each by a lane of the network, with the same result; `None` where it is made at once.
    fn bands(&self, picture: Size, network: &dyn Network<S>) -> Option<Vec<[Span; 2]>> {
        let InputSize::Multiple(step) = network.input_size() else { return None };
        let radius = network.receptive_radius()?;
        let count = share::bands(picture.height, radius, network.lanes());
        let down = strips(0..picture.height, count, (radius, 0), picture.height, step);
        let tiles = grid(&spans(picture.width, picture.width.next_multiple_of(step), 0, step), &down);
        (count > 1 && pixels(&tiles) <= self.limits.pixels).then_some(tiles)
    }

    /// Runs tiles: all at a time, where the network does that and the limits allow it, or one after the other.
    fn run_tiles(
        &mut self,
        network: &mut dyn Network<S>,
        (from, mut to): (View<'_, S>, ViewMut<'_, S>),
        tiles: &[[Span; 2]],
        fallback: &mut dyn FnMut(usize, usize, ViewMut<'_, S>),
    ) -> Result<Tiled, InferError> {
        let (scale, channels) = (network.scale(), network.channels());
        let mut tiled = Tiled::default();
        let together = network.lanes() > 1 && pixels(tiles) <= self.limits.pixels;
        let at_a_time = if together { tiles.len().max(1) } else { 1 };
        for tiles in tiles.chunks(at_a_time) {
            self.tiles.resize_with(tiles.len(), || Picture::from_elem((0, 0, channels), S::zeroed()));
            for ([across, down], tile) in tiles.iter().zip(&mut self.tiles) {
                tiled.pixels += across.seen.len() * down.seen.len();
                cut(from, across, down, channels, tile);
            }
            network.run_each(&self.tiles, &mut |number, enlarged| {
                let [across, down] = &tiles[number];
                let used = Size::new(across.used.len(), down.used.len());
                let (x, y) = (across.used.start, down.used.start);
                let mut place = crop_mut(to.view_mut(), x * scale, y * scale, used.times(scale));
                tiled.tiles += 1;
                match enlarged {
                    Some(enlarged) => {
                        let (skip_x, skip_y) = (x - across.seen.start, y - down.seen.start);
                        let part = crop(enlarged, skip_x * scale, skip_y * scale, used.times(scale));
                        blend(part, place.view_mut(), (across.ramp * scale, down.ramp * scale));
                    }
                    None => {
                        tiled.left_out.push((x, y, used));
                        fallback(x, y, place);
                    }
                }
            })?;
        }
        Ok(tiled)
    }

    /// The window of runs over parts of a picture.
    pub fn window(&self) -> Window {
        let (least, most) = PART_CONTEXT;
        Window { context: (self.limits.overlap / 4).clamp(least, most), most: self.limits.pixels }
    }
}

/// Copies a tile out of the picture; where it looks over the end, the last pixel repeats.
fn cut<S: Sample>(from: View<'_, S>, across: &Span, down: &Span, channels: usize, tile: &mut Picture<S>) {
    let shape = (down.seen.len(), across.seen.len(), channels);
    if tile.dim() != shape {
        *tile = Picture::from_elem(shape, S::zeroed());
    }
    let size = Size::of(&from);
    let inside = Size::new(
        across.seen.end.min(size.width) - across.seen.start,
        down.seen.end.min(size.height) - down.seen.start,
    );
    let part = crop(from, across.seen.start, down.seen.start, inside);
    copy(part, crop_mut(tile.view_mut(), 0, 0, inside));
    let end = inside.width * channels;
    for row in rows_mut(&mut tile.view_mut()).take(inside.height) {
        let (line, beyond) = row.split_at_mut(end);
        for pixel in beyond.chunks_exact_mut(channels) {
            pixel.copy_from_slice(&line[end - channels..]);
        }
    }
    if inside.height < shape.0 {
        let last = tile.index_axis(Axis(0), inside.height - 1).to_owned();
        for mut row in tile.outer_iter_mut().skip(inside.height) {
            row.assign(&last);
        }
    }
}

/// Writes a tile into its place; over the first `ramps` (x, y) pixels it comes in gradually.
fn blend<S: Sample>(tile: View<'_, S>, mut place: ViewMut<'_, S>, ramps: (usize, usize)) {
    let (from_channels, to_channels) = (tile.dim().2, place.dim().2);
    let weight = |at: usize, ramp: usize| ((at as f32 + 0.5) / ramp as f32).min(1.0);
    if ramps == (0, 0) {
        return copy(tile, place);
    }
    for (y, (from, to)) in rows(tile).zip(rows_mut(&mut place)).enumerate() {
        let down = weight(y, ramps.1);
        let pixels = from.chunks_exact(from_channels).zip(to.chunks_exact_mut(to_channels));
        for (x, (from, to)) in pixels.enumerate() {
            let share = down * weight(x, ramps.0);
            if share >= 1.0 {
                let colours = from_channels.min(to_channels);
                to[..colours].copy_from_slice(&from[..colours]);
                continue;
            }
            for (from, to) in from.iter().zip(to) {
                let before = to.to_f32();
                *to = S::from_f32(before + share * (from.to_f32() - before));
            }
        }
    }
}

#[cfg(test)]
mod tests;
