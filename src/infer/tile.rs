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
        let (shared, apart) = (parts(network.lanes()), parts(1));
        let tiles = if pixels(&shared) <= self.limits.pixels { shared } else { apart };
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
mod tests {
    use super::*;

    #[test]
    fn spans_cover_every_pixel_once_but_for_their_ramps() {
        for length in 1..200 {
            let tiles = [1, 2, 3, 8, 17, 32, 64, 250].map(|tile| (tile, 1));
            let folded = [(2, 2), (4, 2), (8, 8), (18, 6), (32, 2), (64, 16), (64, 64)];
            for (tile, step) in tiles.into_iter().chain(folded) {
                for overlap in [0, 1, 4, 8, 33] {
                    let spans = spans(length, tile, overlap, step);
                    let about = format!("{length} in tiles of {tile} with {overlap} by {step}: {spans:?}");
                    assert_eq!(spans[0].used.start, 0, "{about}");
                    assert_eq!(spans.last().unwrap().used.end, length, "{about}");
                    for span in &spans {
                        assert_eq!(span.seen.len(), tile, "{about}");
                        assert!(span.seen.start <= span.used.start, "{about}");
                        assert!(span.seen.end >= span.used.end, "{about}");
                        assert_eq!(span.seen.start % step, 0, "{about}");
                        assert!(span.seen.end < length + step || spans.len() == 1, "{about}");
                        assert!(!span.used.is_empty(), "{about}");
                    }
                    for pair in spans.windows(2) {
                        assert_eq!(pair[1].used.start + pair[1].ramp, pair[0].used.end, "{about}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_used_keeps_seven_eighths_of_the_context() {
        for length in (100..1000).step_by(37) {
            for (tile, overlap, step) in [(64, 8, 1), (96, 16, 1), (99, 32, 1), (64, 16, 2), (96, 16, 8)] {
                for span in spans(length, tile, overlap, step) {
                    let (before, after) = (span.used.start - span.seen.start, span.seen.end - span.used.end);
                    let needed = overlap * 7 / 8 - 1;
                    assert!(span.seen.start == 0 || before >= needed, "{length} {tile} {overlap} {span:?}");
                    assert!(span.seen.end >= length || after >= needed, "{length} {tile} {overlap} {span:?}");
                }
            }
        }
    }

    #[test]
    fn tiles_keep_to_the_limit_and_to_multiples() {
        for (width, height) in [(16, 16), (33, 1000), (641, 359), (1920, 1080), (3840, 2160)] {
            for pixels in [10_000, 100_000, 1_000_000] {
                for multiple in [1, 4, 16] {
                    let limits = Limits { pixels, overlap: 16 };
                    let tile = tile_size(Size::new(width, height), InputSize::Multiple(multiple), limits);
                    let about = format!("{width}x{height}, {pixels} by {multiple}: {tile}");
                    assert_eq!((tile.width % multiple, tile.height % multiple), (0, 0), "{about}");
                    // Rounding up to a multiple may go over by a strip.
                    let strip = multiple * (tile.width + tile.height);
                    assert!(tile.width * tile.height <= pixels.max(48 * 48) + strip, "{about}");
                }
            }
        }
    }

    /// Repeats pixels and notes the tiles; stands for a network without a runtime.
    struct Repeat {
        scale: usize,
        size: InputSize,
        refuse: bool,
        lanes: usize,
        receptive_radius: Option<usize>,
    }

    impl Repeat {
        fn new(scale: usize, size: InputSize) -> Self {
            Self { scale, size, refuse: false, lanes: 1, receptive_radius: None }
        }
    }

    struct Never;
    impl super::super::Cancel for Never {
        fn cancel(&self) {}
        fn resume(&self) {}
    }

    impl<S: Sample> Network<S> for Repeat {
        fn scale(&self) -> usize {
            self.scale
        }
        fn channels(&self) -> usize {
            3
        }
        fn input_size(&self) -> InputSize {
            self.size
        }
        fn lanes(&self) -> usize {
            self.lanes
        }
        fn receptive_radius(&self) -> Option<usize> {
            self.receptive_radius
        }
        fn run(&mut self, picture: View<'_, S>, take: &mut dyn FnMut(View<'_, S>)) -> Result<(), InferError> {
            if self.refuse {
                return Err(InferError::NotFinite);
            }
            if let InputSize::Fixed(size) = self.size {
                assert_eq!(Size::of(&picture), size);
            }
            let (height, width, channels) = picture.dim();
            let shape = (height * self.scale, width * self.scale, channels);
            let scale = self.scale;
            take(Picture::from_shape_fn(shape, |(y, x, c)| picture[(y / scale, x / scale, c)]).view());
            Ok(())
        }
        fn canceller(&self) -> std::sync::Arc<dyn super::super::Cancel> {
            std::sync::Arc::new(Never)
        }
    }

    #[test]
    fn every_pixel_ends_where_it_belongs_however_the_picture_is_cut() {
        const FIXED: InputSize = InputSize::Fixed(Size::new(48, 32));
        for (width, height) in [(1, 1), (16, 16), (47, 33), (101, 64), (200, 131)] {
            let picture = Picture::<u16>::from_shape_fn((height, width, 4), |(y, x, c)| {
                (y * 251 + x * 3 + c * 17) as u16
            });
            for scale in [1, 2, 3] {
                for (size, pixels) in
                    [(FIXED, 1), (InputSize::Multiple(1), 900), (InputSize::Multiple(8), 3000)]
                {
                    let mut network = Repeat::new(scale, size);
                    let mut made = Picture::from_elem((height * scale, width * scale, 4), 9);
                    let mut tiler = Tiler::new(Limits { pixels, overlap: 6 });
                    let tiled = tiler.run(&mut network, picture.view(), made.view_mut(), &mut |_, _, _| {});
                    let tiled = tiled.unwrap();
                    assert_eq!(tiled.tiles, tiler.count(Size::new(width, height), size));
                    for ((y, x, c), &sample) in made.indexed_iter() {
                        let expected = if c == 3 { 9 } else { picture[(y / scale, x / scale, c)] };
                        assert_eq!(sample, expected, "{width}x{height} x{scale} {size:?} at {x},{y}");
                    }
                }
            }
        }
    }

    #[test]
    fn parts_end_where_they_belong_with_a_pixel_around_and_the_rest_is_left_alone() {
        for (width, height) in [(16, 16), (47, 33), (101, 64)] {
            let picture = Picture::<u16>::from_shape_fn((height, width, 3), |(y, x, c)| {
                (y * 251 + x * 3 + c * 17) as u16
            });
            for (x, y, right, bottom) in [(0, 0, 8, 8), (5, 3, 16, 9), (9, 8, 47, 33), (3, 0, 4, 16)] {
                let (right, bottom) = (right.min(width), bottom.min(height));
                let area = Area { x, y, size: Size::new(right - x, bottom - y) };
                for (scale, multiple, context, lanes) in
                    [(2, 1, 4, 1), (3, 2, 1, 3), (2, 8, 8, 2), (1, 1, 4, 1), (2, 1, 4, 5)]
                {
                    let size = InputSize::Multiple(multiple);
                    let mut network = Repeat { lanes, ..Repeat::new(scale, size) };
                    let mut tiler = Tiler::new(Limits { pixels: usize::MAX, overlap: 16 });
                    let mut made = Picture::from_elem((height * scale, width * scale, 3), 9);
                    let to = made.view_mut();
                    let parts = (&[area][..], context);
                    let tiled = tiler.run_parts(&mut network, picture.view(), to, parts, &mut |_, _, _| {});
                    let tiled = tiled.unwrap();
                    assert!((1..=lanes).contains(&tiled.tiles));
                    let columns = x.saturating_sub(1)..(right + 1).min(width);
                    let rows = y.saturating_sub(1)..(bottom + 1).min(height);
                    for ((y, x, c), &sample) in made.indexed_iter() {
                        let is_made = rows.contains(&(y / scale)) && columns.contains(&(x / scale));
                        let expected = if is_made { picture[(y / scale, x / scale, c)] } else { 9 };
                        assert_eq!(sample, expected, "{width}x{height} {area:?} x{scale} at {x},{y}");
                    }
                }
            }
        }
    }

    #[test]
    fn bands_that_lanes_share_make_up_the_picture_where_there_is_room_for_all_of_them() {
        for (width, height) in [(33, 17), (64, 48), (50, 101), (20, 400)] {
            let picture = Picture::<u16>::from_shape_fn((height, width, 3), |(y, x, c)| {
                (y * 251 + x * 3 + c * 17) as u16
            });
            for (lanes, radius, multiple) in [(2, 4, 1), (5, 3, 2), (3, 7, 4), (8, 12, 2)] {
                let size = InputSize::Multiple(multiple);
                let mut network = Repeat { lanes, receptive_radius: Some(radius), ..Repeat::new(2, size) };
                for pixels in
                    [usize::MAX, width.next_multiple_of(multiple) * height.next_multiple_of(multiple)]
                {
                    let mut made = Picture::from_elem((height * 2, width * 2, 3), 9);
                    let mut tiler = Tiler::new(Limits { pixels, overlap: 4 });
                    let tiled = tiler.run(&mut network, picture.view(), made.view_mut(), &mut |_, _, _| {});
                    let tiled = tiled.unwrap();
                    let bands = if pixels == usize::MAX { share::bands(height, radius, lanes) } else { 1 };
                    assert_eq!(tiled.tiles, bands, "{width}x{height} by {lanes} in {pixels}");
                    for ((y, x, c), &sample) in made.indexed_iter() {
                        assert_eq!(sample, picture[(y / 2, x / 2, c)], "{width}x{height} by {lanes}");
                    }
                }
            }
        }
    }

    #[test]
    fn strips_see_all_of_what_they_are_made_of_and_share_a_range_without_a_gap() {
        for length in [5, 64, 117] {
            for (start, end) in [(0, length), (1, length - 1), (length / 3, length / 2 + 1)] {
                for (count, context, besides, step) in
                    [(1, 4, 1, 1), (2, 12, 0, 2), (4, 3, 1, 4), (3, 8, 1, 8)]
                {
                    let strips = strips(start..end, count, (context, besides), length, step);
                    let about = format!("{start}..{end} of {length}: {strips:?}");
                    assert_eq!(strips.len(), count, "{about}");
                    assert_eq!(strips[0].used.start, start.saturating_sub(besides), "{about}");
                    assert_eq!(strips[count - 1].used.end, (end + besides).min(length), "{about}");
                    assert!(strips.windows(2).all(|pair| pair[0].used.end == pair[1].used.start), "{about}");
                    for Span { seen, used, ramp } in &strips {
                        assert_eq!((seen.start % step, seen.len() % step, *ramp), (0, 0, 0), "{about}");
                        let inner = used.start.max(start)..used.end.min(end);
                        assert!(seen.start + context <= inner.start || seen.start == 0, "{about}");
                        assert!(seen.end >= (inner.end + context).min(length), "{about}");
                        assert!(seen.end < length + step, "{about}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_tile_without_numbers_is_left_to_the_fallback_and_counted() {
        let picture = Picture::<u8>::from_elem((40, 50, 3), 1);
        let mut network = Repeat { refuse: true, ..Repeat::new(2, InputSize::Fixed(Size::new(48, 32))) };
        let mut made = Picture::from_elem((80, 100, 3), 0_u8);
        let mut tiler = Tiler::new(Limits { pixels: 1, overlap: 4 });
        let mut fallback = |_: usize, _: usize, mut place: ViewMut<'_, u8>| place.fill(7);
        let tiled = tiler.run(&mut network, picture.view(), made.view_mut(), &mut fallback).unwrap();
        assert_eq!(tiled.left_out.len(), tiled.tiles);
        assert!(made.iter().all(|&sample| sample == 7));
    }
}
