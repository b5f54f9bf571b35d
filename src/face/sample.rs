//! Colours between the pixels of a picture, at points on lines, eight points at a time.

use std::ops::Range;

use rayon::prelude::*;

use super::crop::Source;
use super::geometry::Point;
use crate::image::Size;
use crate::image::bands::rows_in_band;
use crate::image::lanes::{LANES, Lanes, SIDE_BY_SIDE, dispatched};
use crate::image::planar::catmull_roms;

/// Points on a line, as a row of pixels wants them: the first, and how far it is from each to the next.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The first point.
    pub first: Point,
    /// From each to the next.
    pub step: Point,
}

impl Line {
    /// Eight points of the line, counted in such blocks: what is to the right, and down.
    #[inline(always)]
    pub fn block(&self, block: usize) -> [Lanes; 2] {
        let number = Lanes::splat((LANES * block) as i32 as f32) + SIDE_BY_SIDE;
        [(self.first.x, self.step.x), (self.first.y, self.step.y)]
            .map(|(first, step)| Lanes::splat(first) + number * Lanes::splat(step))
    }
}

/// A part of a picture as colours that lie together: red, green, blue, and nothing, so that two of them are a vector.
pub struct Colours {
    /// Columns and rows of the source that are here.
    columns: Range<usize>,
    rows: Range<usize>,
    /// Of the source.
    size: (usize, usize),
    /// Row by row.
    pixels: Vec<[f32; 4]>,
}

impl Colours {
    /// A part of a source. What lies around it is taken for a repetition of its border.
    pub fn part(source: &(impl Source + Sync), columns: Range<usize>, rows: Range<usize>) -> Self {
        let mut pixels = vec![[0.0; 4]; columns.len() * rows.len()];
        let count = rows_in_band(Size::new(columns.len(), rows.len()));
        pixels.par_chunks_mut((count * columns.len()).max(1)).enumerate().for_each(|(band, pixels)| {
            let first = rows.start + band * count;
            for (y, to) in (first..).zip(pixels.chunks_exact_mut(columns.len())) {
                source.read(y, columns.start, to);
            }
        });
        Self { columns, rows, size: source.size(), pixels }
    }

    /// All of a source.
    pub fn of(source: &(impl Source + Sync)) -> Self {
        let (width, height) = source.size();
        Self::part(source, 0..width, 0..height)
    }

    /// The colours at points on a line, by Catmull-Rom splines, or as the mean of `reduce` by `reduce` bilinear samples
    /// where a pixel wanted covers several: those are turned as the line is. Outside, the outermost pixels go on.
    pub fn sample(&self, line: Line, reduce: usize, to: &mut [[f32; 4]]) {
        if reduce <= 1 {
            sample_by_splines(self, line, to);
        } else {
            sample_means(self, line, reduce, to);
        }
    }

    /// Where N by N pixels of eight samples begin, whose first ones are in these columns and rows of the source. `None` where
    /// not all are here.
    #[inline(always)]
    fn starts<const N: usize>(&self, column: Lanes, row: Lanes) -> Option<[u32; LANES]> {
        let within = |at: Lanes, here: &Range<usize>| {
            let at = at - Lanes::splat(here.start as f32);
            (at, at.is_within(0.0, here.len() as f32 - N as f32))
        };
        let ((column, in_columns), (row, in_rows)) = (within(column, &self.columns), within(row, &self.rows));
        let all = (in_columns * in_rows).bits() == Lanes::splat(1.0).bits();
        all.then(|| {
            let (columns, mut starts, width) = (column.whole(), row.whole(), self.columns.len() as u32);
            starts.iter_mut().zip(columns).for_each(|(start, column)| *start = *start * width + column);
            starts
        })
    }

    /// N pixels side by side, `down` rows below one.
    #[inline(always)]
    fn pixels<const N: usize>(&self, start: u32, down: usize) -> &[[f32; 4]; N] {
        self.pixels[start as usize + down * self.columns.len()..].first_chunk().expect("all are here")
    }

    /// The nearest pixel that is here.
    fn near(&self, column: isize, row: isize) -> [f32; 4] {
        let inside = |at: isize, here: &Range<usize>| {
            (at - here.start as isize).clamp(0, here.len() as isize - 1) as usize
        };
        self.pixels[inside(row, &self.rows) * self.columns.len() + inside(column, &self.columns)]
    }

    /// N by N pixels from `(column, row)` of the source on, where not all are here.
    #[cold]
    #[inline(never)]
    fn pixels_at_border<const N: usize>(&self, column: f32, row: f32) -> [[[f32; 4]; N]; N] {
        let (column, row) = (column as isize, row as isize);
        std::array::from_fn(|y| std::array::from_fn(|x| self.near(column + x as isize, row + y as isize)))
    }
}

/// Four pixels side by side by their weights: the sum of the first and the third, and of the others.
#[inline(always)]
fn weighed(pixels: &[[f32; 4]; 4], weights: [Lanes; 2]) -> Lanes {
    let [a, b, c, d] = *pixels;
    weights[0] * both(a, b) + weights[1] * both(c, d)
}

/// Two pixels side by side.
#[inline(always)]
fn both([a, b, c, d]: [f32; 4], [e, f, g, h]: [f32; 4]) -> Lanes {
    Lanes([a, b, c, d, e, f, g, h])
}

/// Weights of two pixels as their colours lie.
#[inline(always)]
fn pair(a: f32, b: f32) -> Lanes {
    Lanes([a, a, a, a, b, b, b, b])
}

/// From one colour to another.
#[inline(always)]
fn mixed([a, b, c, d]: [f32; 4], [e, f, g, h]: [f32; 4], share: f32) -> [f32; 4] {
    [a + share * (e - a), b + share * (f - b), c + share * (g - c), d + share * (h - d)]
}

/// Four pixels, by how far a sample lies beyond the first, across and down.
#[inline(always)]
fn bilinear([above, below]: [&[[f32; 4]; 2]; 2], across: f32, down: f32) -> [f32; 4] {
    let [above, below] = [above, below].map(|row| mixed(row[0], row[1], across));
    mixed(above, below, down)
}

dispatched! {
    /// See [`Colours::sample`].
    fn sample_by_splines / sample_by_splines_plain(colours: &Colours, line: Line, to: &mut [[f32; 4]]) {
        let one = Lanes::splat(1.0);
        for (block, to) in to.chunks_mut(LANES).enumerate() {
            let [x, y] = line.block(block);
            let (across, down) = (Taps::of(x, colours.size.0), Taps::of(y, colours.size.1));
            let (by_column, by_row) = (catmull_roms(across.beyond), catmull_roms(down.beyond));
            let (columns, rows) = (across.whole - one, down.whole - one);
            let starts = colours.starts::<4>(columns, rows);
            for (lane, to) in to.iter_mut().enumerate() {
                let [a, b, c, d] = &by_column;
                let weights = [pair(a.0[lane], b.0[lane]), pair(c.0[lane], d.0[lane])];
                let mut sum = Lanes::ZERO;
                if let Some(starts) = &starts {
                    for (down, by_row) in by_row.iter().enumerate() {
                        let row = weighed(colours.pixels(starts[lane], down), weights);
                        sum += Lanes::splat(by_row.0[lane]) * row;
                    }
                } else {
                    let pixels = colours.pixels_at_border(columns.0[lane], rows.0[lane]);
                    for (pixels, by_row) in pixels.iter().zip(&by_row) {
                        sum += Lanes::splat(by_row.0[lane]) * weighed(pixels, weights);
                    }
                }
                let [a, b, c, d, e, f, g, h] = sum.0;
                *to = [a + e, b + f, c + g, d + h];
            }
        }
    }
}

dispatched! {
    /// See [`Colours::sample`].
    fn sample_means / sample_means_plain(colours: &Colours, line: Line, reduce: usize, to: &mut [[f32; 4]]) {
        let part = |i: usize| (i as f32 + 0.5) / reduce as f32 - 0.5;
        let share = 1.0 / (reduce * reduce) as f32;
        let Point { x: right, y: down } = line.step;
        for (block, to) in to.chunks_mut(LANES).enumerate() {
            let [x, y] = line.block(block);
            let mut sums = [[0.0; 4]; LANES];
            for (i, j) in (0..reduce).flat_map(|i| (0..reduce).map(move |j| (i, j))) {
                // Below is at a right angle to the line.
                let (across, below) = (part(j), part(i));
                let x = x + Lanes::splat(across * right - below * down);
                let y = y + Lanes::splat(across * down + below * right);
                let (across, down) = (Taps::of(x, colours.size.0), Taps::of(y, colours.size.1));
                let starts = colours.starts::<2>(across.whole, down.whole);
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let [right, below] = [across.beyond.0[lane], down.beyond.0[lane]];
                    let [a, b, c, d] = if let Some(starts) = &starts {
                        bilinear([0, 1].map(|down| colours.pixels(starts[lane], down)), right, below)
                    } else {
                        let rows = colours.pixels_at_border(across.whole.0[lane], down.whole.0[lane]);
                        bilinear([&rows[0], &rows[1]], right, below)
                    };
                    *sum = [sum[0] + a, sum[1] + b, sum[2] + c, sum[3] + d];
                }
            }
            for (to, [a, b, c, d]) in to.iter_mut().zip(sums) {
                *to = [a * share, b * share, c * share, d * share];
            }
        }
    }
}

/// The pixels whose centres are next to the left of eight positions, or above them, and how far these are from there.
struct Taps {
    whole: Lanes,
    beyond: Lanes,
}

impl Taps {
    /// Positions farther out than a pixel are limited to that; NaN is before the first.
    #[inline(always)]
    fn of(position: Lanes, length: usize) -> Self {
        let position = position - Lanes::splat(0.5);
        let position = position.max(Lanes::splat(-1.0)).min(Lanes::splat(length as f32));
        let whole = position.floor();
        Self { whole, beyond: position - whole }
    }
}

/// Into how many parts a pixel wanted is divided each way when it covers so many pixels of the source.
pub fn reduce(scale: f32) -> usize {
    // A little above one, splines leave next to no aliases.
    if scale <= 1.1 { 1 } else { (scale.ceil() as usize).clamp(2, 16) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    fn noise(width: usize, height: usize) -> Array3<f32> {
        Array3::from_shape_fn((3, height, width), |(c, y, x)| {
            let bits = ((x * 97 + y * 4099 + c * 57 + 1) as u32).wrapping_mul(0x9E37_79B9);
            (bits >> 8) as f32 / (1 << 24) as f32
        })
    }

    /// Points inside, around the border and far out.
    fn lines() -> impl Iterator<Item = Line> {
        let firsts = [(0.5, 0.5), (-20.0, 7.3), (11.2, 3.9), (1e6, -1e6), (f32::NAN, 4.0)];
        let steps = [(1.0, 0.0), (0.37, -0.21), (-2.3, 1.4), (0.0, 0.0)];
        firsts.into_iter().flat_map(move |first| {
            steps.map(|step| Line { first: Point::new(first.0, first.1), step: Point::new(step.0, step.1) })
        })
    }

    #[test]
    fn samples_have_the_same_bits_on_every_processor() {
        for (width, height) in [(1, 1), (3, 17), (40, 23)] {
            let colours = Colours::of(&noise(width, height).view());
            for line in lines() {
                for count in [1, 8, 21] {
                    let (mut fast, mut plain) = (vec![[0.0; 4]; count], vec![[1.0; 4]; count]);
                    sample_by_splines(&colours, line, &mut fast);
                    sample_by_splines_plain(&colours, line, &mut plain);
                    assert_eq!(fast, plain, "{line:?}");
                    for reduce in [2, 3] {
                        sample_means(&colours, line, reduce, &mut fast);
                        sample_means_plain(&colours, line, reduce, &mut plain);
                        assert_eq!(fast, plain, "{line:?}, {reduce}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_part_gives_what_the_whole_gives_as_far_as_it_reaches() {
        let source = noise(40, 23);
        let whole = Colours::of(&source.view());
        for (columns, rows) in [(5..33, 2..20), (0..40, 10..23), (0..9, 0..23)] {
            let part = Colours::part(&source.view(), columns.clone(), rows.clone());
            // Points all of whose taps are there: beyond the picture, the border is.
            let from = |range: &Range<usize>, length: usize| {
                let start = if range.start == 0 { -3.0 } else { range.start as f32 + 2.0 };
                let end = if range.end == length { length as f32 + 3.0 } else { range.end as f32 - 2.0 };
                start..end
            };
            let (across, down) = (from(&columns, 40), from(&rows, 23));
            let step = Point::new((across.end - across.start) / 30.0, (down.end - down.start) / 30.0);
            for start in [0.01, 0.5, 0.97] {
                let first = Point::new(across.start + start * step.x, down.start + start * step.y);
                let (mut one, mut other) = ([[0.0; 4]; 30], [[1.0; 4]; 30]);
                whole.sample(Line { first, step }, 1, &mut one);
                part.sample(Line { first, step }, 1, &mut other);
                assert_eq!(one, other, "{columns:?}, {rows:?}");
            }
        }
    }
}
