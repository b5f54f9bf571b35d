//! Square crops of faces: planar floats, 0 to 1, indexed by channel, row and column; cut out of pictures.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView2, ArrayView3, Axis, s};

use super::geometry::{Point, Similarity};
use super::sample::{Colours, Line, reduce};
use crate::image::bands::rows_in_band;
use crate::image::{Sample, Size, View};

/// RGB planes of a square.
pub type Crop = Array3<f32>;

/// A side of a crop.
pub fn side(crop: &Crop) -> usize {
    crop.dim().2
}

/// Whatever has colours.
pub trait Source {
    /// Width and height in pixels.
    fn size(&self) -> (usize, usize);

    /// Reads colours of row `y`, from the column `x` on: red, green and blue, and nothing beside them.
    fn read(&self, y: usize, x: usize, to: &mut [[f32; 4]]);
}

impl Source for ArrayView3<'_, f32> {
    fn size(&self) -> (usize, usize) {
        (self.dim().2, self.dim().1)
    }

    fn read(&self, y: usize, x: usize, to: &mut [[f32; 4]]) {
        let [red, green, blue] = [0, 1, 2].map(|channel| self.slice(s![channel, y, x..]));
        let colours = red.into_iter().zip(green).zip(blue);
        to.iter_mut().zip(colours).for_each(|(to, ((&red, &green), &blue))| *to = [red, green, blue, 0.0]);
    }
}

/// A plane is a grey picture.
impl Source for ArrayView2<'_, f32> {
    fn size(&self) -> (usize, usize) {
        (self.dim().1, self.dim().0)
    }

    fn read(&self, y: usize, x: usize, to: &mut [[f32; 4]]) {
        to.iter_mut().zip(self.slice(s![y, x..])).for_each(|(to, &grey)| *to = [grey, grey, grey, 0.0]);
    }
}

/// A picture of samples as colours of 0 to 1; grey has three equal ones.
pub struct Frame<'a, S>(pub View<'a, S>);

impl<S: Sample> Source for Frame<'_, S> {
    fn size(&self) -> (usize, usize) {
        (self.0.dim().1, self.0.dim().0)
    }

    fn read(&self, y: usize, x: usize, to: &mut [[f32; 4]]) {
        let share = 1.0 / S::WHITE;
        let (row, channels) = (self.0.slice(s![y, x.., ..]), self.0.dim().2);
        let row = row.to_slice().expect("a row of a picture is contiguous");
        for (to, pixel) in to.iter_mut().zip(row.chunks_exact(channels)) {
            let [red, green, blue] = match *pixel {
                [red, green, blue, ..] => [red, green, blue],
                [grey, ..] => [grey; 3],
                [] => return,
            };
            *to = [share * red.to_f32(), share * green.to_f32(), share * blue.to_f32(), 0.0];
        }
    }
}

/// Cuts a square of `side` pixels. `place` takes points of the crop to points of the source.
pub fn cut(source: &(impl Source + Sync), place: &Similarity, side: usize) -> Crop {
    cut_enlarged(source, place, Point::new(1.0, 1.0), side)
}

/// [`cut`] from a source that is an enlargement, by `times` across and down, of what `place` takes points to.
pub fn cut_enlarged(source: &(impl Source + Sync), place: &Similarity, times: Point, side: usize) -> Crop {
    let reduce = reduce(place.scale() * times.x.max(times.y));
    let step = Point::new(place.a, place.b).times(times);
    let length = side as f32;
    let corners = [(0.0, 0.0), (length, 0.0), (0.0, length), (length, length)]
        .map(|(x, y)| place.apply(Point::new(x, y)).times(times));
    let (width, height) = source.size();
    let columns = seen(corners.map(|corner| corner.x), width);
    let source = Colours::part(source, columns, seen(corners.map(|corner| corner.y), height));
    let mut crop = Crop::zeros((3, side, side));
    let count = rows_in_band(Size::new(side, side));
    crop.axis_chunks_iter_mut(Axis(1), count).into_par_iter().enumerate().for_each(|(band, mut rows)| {
        let mut colours = vec![[0.0; 4]; side];
        for (y, mut row) in (band * count..).zip(rows.axis_iter_mut(Axis(1))) {
            let first = place.apply(Point::new(0.5, y as f32 + 0.5)).times(times);
            source.sample(Line { first, step }, reduce, &mut colours);
            for (channel, mut row) in row.outer_iter_mut().enumerate() {
                row.iter_mut().zip(&colours).for_each(|(to, colour)| *to = colour[channel]);
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

    /// Weights of the pixels at -1, 0, 1 and 2 for a position of 0 to 1 between the second and the third.
    fn spline(t: f32) -> [f32; 4] {
        let (t2, t3) = (t * t, t * t * t);
        let (left, right) = (1.0 - 2.5 * t2 + 1.5 * t3, 0.5 * t + 2.0 * t2 - 1.5 * t3);
        [-0.5 * t + t2 - 0.5 * t3, left, right, -0.5 * t2 + 0.5 * t3]
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
                    let mut colour = [[0.0; 4]];
                    source.read(near(y, height), near(x, width), &mut colour);
                    let colours = sum.iter_mut().zip(colour[0]);
                    colours.for_each(|(sum, colour)| *sum += by_row * by_column * colour);
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
    fn what_is_cut_is_what_is_sampled_pixel_by_pixel_wherever_it_lies() {
        for (width, height) in [(40, 31), (1, 1), (2, 9), (300, 200)] {
            let source = noisy(width, height);
            for scale in [0.3, 1.0, 1.7, 5.2] {
                for (tx, ty) in [(3.2, 1.7), (-30.0, 12.0), (500.0, -900.0), (38.0, 29.0)] {
                    for times in [Point::new(1.0, 1.0), Point::new(2.0, 1.5)] {
                        let place = Similarity { a: scale * 0.8, b: scale * 0.6, tx, ty };
                        for side in [13, 16, 1] {
                            let crop = cut_enlarged(&source.view(), &place, times, side);
                            let parts = reduce(place.scale() * times.x);
                            let across = Point::new(place.a, place.b).times(times);
                            for ((y, x), _) in crop.index_axis(Axis(0), 0).indexed_iter() {
                                let at = place.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5)).times(times);
                                let expected = plain(&source.view(), at, across, parts);
                                for (channel, expected) in expected.into_iter().enumerate() {
                                    let off = (crop[(channel, y, x)] - expected).abs();
                                    // Positions are rounded otherwise, and the farther out the more.
                                    let far = at.x.abs().max(at.y.abs()).max(100.0);
                                    assert!(
                                        off < 2.0 * f32::EPSILON * far * 4.0,
                                        "{width}, {scale}, {tx}, {side}: {x}, {y}: {off}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_place_that_is_none_gives_colours_all_the_same() {
        for (tx, ty) in [(f32::NAN, 2.0), (3.0, f32::INFINITY), (f32::NEG_INFINITY, f32::NAN)] {
            let crop = cut(&noisy(30, 20).view(), &Similarity { a: 1.0, b: 0.2, tx, ty }, 11);
            assert!(crop.iter().all(|value| (-0.2..1.2).contains(value)), "{tx}, {ty}");
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
