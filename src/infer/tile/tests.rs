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
impl crate::infer::Cancel for Never {
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
    fn canceller(&self) -> std::sync::Arc<dyn crate::infer::Cancel> {
        std::sync::Arc::new(Never)
    }
}

#[test]
fn every_pixel_ends_where_it_belongs_however_the_picture_is_cut() {
    const FIXED: InputSize = InputSize::Fixed(Size::new(48, 32));
    for (width, height) in [(1, 1), (16, 16), (47, 33), (101, 64), (200, 131)] {
        let picture =
            Picture::<u16>::from_shape_fn((height, width, 4), |(y, x, c)| (y * 251 + x * 3 + c * 17) as u16);
        for scale in [1, 2, 3] {
            for (size, pixels) in [(FIXED, 1), (InputSize::Multiple(1), 900), (InputSize::Multiple(8), 3000)]
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
        let picture =
            Picture::<u16>::from_shape_fn((height, width, 3), |(y, x, c)| (y * 251 + x * 3 + c * 17) as u16);
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
        let picture =
            Picture::<u16>::from_shape_fn((height, width, 3), |(y, x, c)| (y * 251 + x * 3 + c * 17) as u16);
        for (lanes, radius, multiple) in [(2, 4, 1), (5, 3, 2), (3, 7, 4), (8, 12, 2)] {
            let size = InputSize::Multiple(multiple);
            let mut network = Repeat { lanes, receptive_radius: Some(radius), ..Repeat::new(2, size) };
            for pixels in [usize::MAX, width.next_multiple_of(multiple) * height.next_multiple_of(multiple)] {
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
            for (count, context, besides, step) in [(1, 4, 1, 1), (2, 12, 0, 2), (4, 3, 1, 4), (3, 8, 1, 8)] {
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
