//! Square crops of faces: planar floats, 0 to 1, indexed by channel, row and column; cut out of pictures
//! and sampled.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView2, ArrayView3, Axis};

use super::geometry::{Point, Similarity};
use crate::image::bands::rows_in_band;
use crate::image::{Sample, Size, View};

/// RGB planes of a square.
pub type Crop = Array3<f32>;

/// A side of a crop.
pub fn side(crop: &Crop) -> usize {
    crop.dim().2
}

/// Whatever has colours at points between pixels.
pub trait Source {
    /// Width and height in pixels.
    fn size(&self) -> (usize, usize);
    /// The colour of a pixel inside.
    fn pixel(&self, x: usize, y: usize) -> [f32; 3];

    /// Appends colours of a row, and nothing beside them.
    fn add_row(&self, y: usize, columns: Range<usize>, to: &mut Vec<[f32; 4]>) {
        to.extend(columns.map(|x| {
            let [red, green, blue] = self.pixel(x, y);
            [red, green, blue, 0.0]
        }));
    }
}

impl Source for ArrayView3<'_, f32> {
    fn size(&self) -> (usize, usize) {
        (self.dim().2, self.dim().1)
    }

    #[inline]
    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        [self[(0, y, x)], self[(1, y, x)], self[(2, y, x)]]
    }

    fn add_row(&self, y: usize, columns: Range<usize>, to: &mut Vec<[f32; 4]>) {
        let [red, green, blue] =
            [0, 1, 2].map(|channel| self.slice(ndarray::s![channel, y, columns.clone()]));
        let colours = red.into_iter().zip(green).zip(blue);
        to.extend(colours.map(|((&red, &green), &blue)| [red, green, blue, 0.0]));
    }
}

/// A plane is a grey picture.
impl Source for ArrayView2<'_, f32> {
    fn size(&self) -> (usize, usize) {
        (self.dim().1, self.dim().0)
    }

    #[inline]
    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        [self[(y, x)]; 3]
    }
}

/// A picture of samples as colours of 0 to 1; grey has three equal ones.
pub struct Frame<'a, S>(pub View<'a, S>);

impl<S: Sample> Source for Frame<'_, S> {
    fn size(&self) -> (usize, usize) {
        (self.0.dim().1, self.0.dim().0)
    }

    #[inline]
    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        let step = usize::from(self.0.dim().2 >= 3);
        [0, 1, 2].map(|channel| self.0[(y, x, channel * step)].to_f32() / S::WHITE)
    }
}

/// A part of a source as colours that lie together, for whoever samples it often.
pub struct Colours {
    /// Columns and rows of the source that are here.
    columns: Range<usize>,
    rows: Range<usize>,
    /// Of the source.
    size: (usize, usize),
    /// Row by row: red, green, blue, and nothing.
    pixels: Vec<[f32; 4]>,
}

impl Colours {
    /// A part of a source. What lies around it is taken for a repetition of its border.
    fn part(source: &impl Source, columns: Range<usize>, rows: Range<usize>) -> Self {
        let mut pixels = Vec::with_capacity(columns.len() * rows.len());
        for y in rows.clone() {
            source.add_row(y, columns.clone(), &mut pixels);
        }
        Self { columns, rows, size: source.size(), pixels }
    }

    /// All of a source.
    pub fn of(source: &impl Source) -> Self {
        let (width, height) = source.size();
        Self::part(source, 0..width, 0..height)
    }

    /// The colour at a point, by Catmull-Rom splines, or as the mean of `reduce` by `reduce` bilinear samples where a
    /// pixel wanted covers several. Outside, the outermost pixels go on.
    ///
    /// `across` is how far it is to the next pixel wanted, to the right; the one below is at a right angle to it.
    pub fn sample(&self, at: Point, across: Point, reduce: usize) -> [f32; 3] {
        let [red, green, blue, _] =
            if reduce <= 1 { self.catmull_rom(at) } else { self.mean(at, across, reduce) };
        [red, green, blue]
    }

    fn mean(&self, at: Point, across: Point, reduce: usize) -> [f32; 4] {
        let mut sum = [0.0; 4];
        let part = |i: usize| (i as f32 + 0.5) / reduce as f32 - 0.5;
        for down in (0..reduce).map(part) {
            for right in (0..reduce).map(part) {
                let point = Point::new(
                    at.x + right * across.x - down * across.y,
                    at.y + right * across.y + down * across.x,
                );
                let colour = self.bilinear(point);
                sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += colour);
            }
        }
        sum.map(|sum| sum / (reduce * reduce) as f32)
    }

    #[inline]
    fn bilinear(&self, at: Point) -> [f32; 4] {
        let (column, right) = tap(at.x, self.size.0);
        let (row, down) = tap(at.y, self.size.1);
        self.weigh(column, row, &[1.0 - right, right], &[1.0 - down, down])
    }

    #[inline]
    fn catmull_rom(&self, at: Point) -> [f32; 4] {
        let (column, right) = tap(at.x, self.size.0);
        let (row, down) = tap(at.y, self.size.1);
        self.weigh(column - 1, row - 1, &spline(right), &spline(down))
    }

    /// Weighs N by N pixels from `(column, row)` of the source on.
    #[inline]
    fn weigh<const N: usize>(
        &self,
        column: isize,
        row: isize,
        across: &[f32; N],
        down: &[f32; N],
    ) -> [f32; 4] {
        let (column, row) = (column - self.columns.start as isize, row - self.rows.start as isize);
        let (width, height) = (self.columns.len(), self.rows.len());
        let is_inside = column >= 0 && row >= 0 && column as usize + N <= width && row as usize + N <= height;
        if !is_inside {
            return self.weigh_at_border(column, row, across, down);
        }
        let start = row as usize * width + column as usize;
        let mut sum = [0.0; 4];
        for (y, by_row) in down.iter().enumerate() {
            let pixels: &[[f32; 4]; N] =
                self.pixels[start + y * width..].first_chunk().expect("all are inside");
            add(&mut sum, pixels, by_row, across);
        }
        sum
    }

    /// As [`Self::weigh`], from `(column, row)` of what is here on, where not all are.
    #[cold]
    fn weigh_at_border<const N: usize>(
        &self,
        column: isize,
        row: isize,
        across: &[f32; N],
        down: &[f32; N],
    ) -> [f32; 4] {
        let near = |at: isize, step: usize, length: usize| {
            (at + step as isize).clamp(0, length as isize - 1) as usize
        };
        let (width, height) = (self.columns.len(), self.rows.len());
        let mut sum = [0.0; 4];
        for (y, by_row) in down.iter().enumerate() {
            let line = &self.pixels[near(row, y, height) * width..][..width];
            let pixels: [[f32; 4]; N] = std::array::from_fn(|x| line[near(column, x, width)]);
            add(&mut sum, &pixels, by_row, across);
        }
        sum
    }
}

/// Adds pixels of a row by their weights.
#[inline(always)]
fn add<const N: usize>(sum: &mut [f32; 4], pixels: &[[f32; 4]; N], by_row: &f32, across: &[f32; N]) {
    for (colour, by_column) in pixels.iter().zip(across) {
        let weight = by_row * by_column;
        sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += weight * colour);
    }
}

/// Into how many parts a pixel wanted is divided each way when it covers so many pixels of the source.
pub fn reduce(scale: f32) -> usize {
    // A little above one, splines leave next to no aliases.
    if scale <= 1.1 { 1 } else { (scale.ceil() as usize).clamp(2, 16) }
}

/// The pixel whose centre is next to the left of a position, or above it, and how far it is from there.
#[inline]
fn tap(position: f32, length: usize) -> (isize, f32) {
    let position = (position - 0.5).clamp(-1.0, length as f32);
    // `f32::floor` is a call on the oldest processors.
    let towards_zero = position as isize;
    let whole = towards_zero - isize::from(position < towards_zero as f32);
    (whole, position - whole as f32)
}

fn spline(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [-0.5 * t + t2 - 0.5 * t3, 1.0 - 2.5 * t2 + 1.5 * t3, 0.5 * t + 2.0 * t2 - 1.5 * t3, -0.5 * t2 + 0.5 * t3]
}

/// Cuts a square of `side` pixels. `place` takes points of the crop to points of the source.
pub fn cut(source: &impl Source, place: &Similarity, side: usize) -> Crop {
    cut_enlarged(source, place, Point::new(1.0, 1.0), side)
}

/// [`cut`] from a source that is an enlargement, by `times` across and down, of what `place` takes points to.
pub fn cut_enlarged(source: &impl Source, place: &Similarity, times: Point, side: usize) -> Crop {
    let reduce = reduce(place.scale() * times.x.max(times.y));
    let across = Point::new(place.a, place.b).times(times);
    let length = side as f32;
    let corners = [(0.0, 0.0), (length, 0.0), (0.0, length), (length, length)]
        .map(|(x, y)| place.apply(Point::new(x, y)).times(times));
    let (width, height) = source.size();
    let columns = seen(corners.map(|corner| corner.x), width);
    let source = Colours::part(source, columns, seen(corners.map(|corner| corner.y), height));
    let mut crop = Crop::zeros((3, side, side));
    let count = rows_in_band(Size::new(side, side));
    crop.axis_chunks_iter_mut(Axis(1), count).into_par_iter().enumerate().for_each(|(band, mut rows)| {
        for (y, mut row) in (band * count..).zip(rows.axis_iter_mut(Axis(1))) {
            for x in 0..side {
                let at = place.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5)).times(times);
                let colour = source.sample(at, across, reduce);
                (0..3).for_each(|channel| row[(channel, x)] = colour[channel]);
            }
        }
    });
    crop
}

/// The columns, or rows, that samples between these points are made of.
fn seen(points: [f32; 4], length: usize) -> Range<usize> {
    // Two pixels for the splines, one for rounding.
    const AROUND: f32 = 3.0;
    if points.iter().any(|point| !point.is_finite()) {
        return 0..length;
    }
    let last = length.saturating_sub(1);
    let start = (points.into_iter().fold(f32::INFINITY, f32::min) - AROUND) as usize;
    let end = (points.into_iter().fold(f32::NEG_INFINITY, f32::max) + AROUND) as usize;
    start.min(last)..end.min(last) + 1
}

/// The crop at another size.
pub fn resized(crop: &Crop, to: usize) -> Crop {
    if side(crop) == to {
        return crop.clone();
    }
    let scale = side(crop) as f32 / to as f32;
    cut(&crop.view(), &Similarity::upright(scale, 0.0, 0.0), to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Picture;

    /// A plane that rises to the right and falls downwards, known at every point.
    fn ramp(at: Point) -> f32 {
        0.3 + 0.004 * at.x - 0.003 * at.y
    }

    fn picture(width: usize, height: usize, times: f32) -> Picture<u16> {
        Picture::from_shape_fn((height, width, 3), |(y, x, _)| {
            let at = Point::new((x as f32 + 0.5) / times, (y as f32 + 0.5) / times);
            u16::from_f32(ramp(at) * u16::WHITE)
        })
    }

    #[test]
    fn what_is_cut_lies_where_the_similarity_says_at_every_size_and_lean() {
        for scale in [0.2, 0.5, 1.0, 1.3, 2.0, 3.7] {
            for lean in [0.0_f32, 0.4, -1.2, 3.0] {
                let side = (20.0 / scale) as usize;
                let (a, b) = (scale * lean.cos(), scale * lean.sin());
                let mut place = Similarity { a, b, tx: 0.0, ty: 0.0 };
                let middle = place.apply(Point::new(side as f32 / 2.0, side as f32 / 2.0));
                (place.tx, place.ty) = (40.3 - middle.x, 38.1 - middle.y);
                let crop = cut(&Frame(picture(80, 77, 1.0).view()), &place, side);
                for ((_, y, x), &value) in crop.indexed_iter() {
                    let expected = ramp(place.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5)));
                    assert!((value - expected).abs() < 1e-4, "{scale}, {lean}: {value} {expected}");
                }
            }
        }
    }

    #[test]
    fn whole_pixels_come_back_as_they_are_and_outside_the_border_goes_on() {
        let noise = Picture::<u8>::from_shape_fn((20, 30, 3), |(y, x, c)| (x * 97 + y * 31 + c * 57) as u8);
        let crop = cut(&Frame(noise.view()), &Similarity::upright(1.0, -4.0, 13.0), 12);
        for ((c, y, x), &value) in crop.indexed_iter() {
            let expected = noise[((y + 13).min(19), (x as isize - 4).max(0) as usize, c)];
            assert!((value * 255.0 - f32::from(expected)).abs() < 1e-3, "{c},{y},{x}");
        }
    }

    /// Noise in a source of no particular shape.
    fn noisy(width: usize, height: usize) -> Array3<f32> {
        Array3::from_shape_fn((3, height, width), |(c, y, x)| {
            let bits = ((x * 97 + y * 4099 + c * 57) as u32).wrapping_mul(0x9E37_79B9);
            (bits >> 8) as f32 / (1 << 24) as f32
        })
    }

    /// As the documentation says it: every pixel of the source by itself.
    fn plain(source: &impl Source, at: Point, across: Point, reduce: usize) -> [f32; 3] {
        let (width, height) = source.size();
        let weighed = |at: Point, first: isize, weights: fn(f32) -> Vec<f32>| {
            let split = |position: f32, length: usize| {
                let position = (position - 0.5).clamp(-1.0, length as f32);
                (position.floor() as isize, position - position.floor())
            };
            let ((column, right), (row, down)) = (split(at.x, width), split(at.y, height));
            let near = |at: isize, length: usize| at.clamp(0, length as isize - 1) as usize;
            let mut sum = [0.0; 3];
            for (y, by_row) in (row + first..).zip(weights(down)) {
                for (x, by_column) in (column + first..).zip(weights(right)) {
                    let colour = source.pixel(near(x, width), near(y, height));
                    sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += by_row * by_column * colour);
                }
            }
            sum
        };
        if reduce == 1 {
            return weighed(at, -1, |t| spline(t).to_vec());
        }
        let mut sum = [0.0; 3];
        let parts = (0..reduce).map(|i| (i as f32 + 0.5) / reduce as f32 - 0.5);
        for (down, right) in parts.clone().flat_map(|down| parts.clone().map(move |right| (down, right))) {
            let x = at.x + right * across.x - down * across.y;
            let y = at.y + right * across.y + down * across.x;
            let colour = weighed(Point::new(x, y), 0, |t| vec![1.0 - t, t]);
            sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += colour);
        }
        sum.map(|sum| sum / (reduce * reduce) as f32)
    }

    #[test]
    fn what_is_cut_is_what_is_sampled_pixel_by_pixel_to_the_bit_wherever_it_lies() {
        for (width, height) in [(40, 31), (1, 1), (2, 9), (300, 200)] {
            let source = noisy(width, height);
            for scale in [0.3, 1.0, 1.7, 5.2] {
                for (tx, ty) in [(3.2, 1.7), (-30.0, 12.0), (500.0, -900.0), (38.0, 29.0), (f32::NAN, 2.0)] {
                    for times in [Point::new(1.0, 1.0), Point::new(2.0, 1.5)] {
                        let place = Similarity { a: scale * 0.8, b: scale * 0.6, tx, ty };
                        let crop = cut_enlarged(&source.view(), &place, times, 13);
                        let parts = reduce(place.scale() * times.x);
                        let across = Point::new(place.a, place.b).times(times);
                        for y in 0..13 {
                            for x in 0..13 {
                                let at = place.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5)).times(times);
                                let expected = plain(&source.view(), at, across, parts);
                                let found = [0, 1, 2].map(|c| crop[(c, y, x)]);
                                let bits = |colour: [f32; 3]| colour.map(f32::to_bits);
                                let is_none = tx.is_nan() && found.iter().all(|value| value.is_nan());
                                assert!(
                                    is_none || bits(found) == bits(expected),
                                    "{width}, {scale}, {tx}: {x}, {y}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn halving_is_the_mean_of_four_pixels() {
        let crop =
            Crop::from_shape_fn((3, 8, 8), |(c, y, x)| ((c * 64 + y * 8 + x) * 37 % 101) as f32 / 101.0);
        for ((c, y, x), &value) in resized(&crop, 4).indexed_iter() {
            let four = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| crop[(c, 2 * y + dy, 2 * x + dx)]);
            assert!((value - four.iter().sum::<f32>() / 4.0).abs() < 1e-6);
        }
    }
}
