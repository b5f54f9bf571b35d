//! Square crops of faces: planar floats, 0 to 1, indexed by channel, row and column; cut out of pictures
//! and sampled.

use ndarray::{Array3, ArrayView2, ArrayView3};

use super::geometry::{Point, Similarity};
use crate::image::{Sample, View};

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
}

impl Source for ArrayView3<'_, f32> {
    fn size(&self) -> (usize, usize) {
        (self.dim().2, self.dim().1)
    }

    #[inline]
    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        [self[(0, y, x)], self[(1, y, x)], self[(2, y, x)]]
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

/// The colour at a point, by Catmull-Rom splines, or as the mean of `reduce` by `reduce` bilinear samples where a
/// pixel wanted covers several. Outside, the outermost pixels go on.
///
/// `across` is how far it is to the next pixel wanted, to the right; the one below is at a right angle to it.
pub fn sample(source: &impl Source, at: Point, across: Point, reduce: usize) -> [f32; 3] {
    if reduce <= 1 {
        return catmull_rom(source, at);
    }
    let mut sum = [0.0; 3];
    let part = |i: usize| (i as f32 + 0.5) / reduce as f32 - 0.5;
    for down in (0..reduce).map(part) {
        for right in (0..reduce).map(part) {
            let point = Point::new(
                at.x + right * across.x - down * across.y,
                at.y + right * across.y + down * across.x,
            );
            let colour = bilinear(source, point);
            sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += colour);
        }
    }
    sum.map(|sum| sum / (reduce * reduce) as f32)
}

/// Into how many parts a pixel wanted is divided each way when it covers so many pixels of the source.
pub fn reduce(scale: f32) -> usize {
    // A little above one, splines leave next to no aliases.
    if scale <= 1.1 { 1 } else { (scale.ceil() as usize).clamp(2, 16) }
}

fn tap<const N: usize>(position: f32, length: usize, first: isize) -> ([usize; N], f32) {
    let position = (position - 0.5).clamp(-1.0, length as f32);
    let whole = position.floor();
    let at = |i: usize| (whole as isize + first + i as isize).clamp(0, length as isize - 1) as usize;
    (std::array::from_fn(at), position - whole)
}

fn bilinear(source: &impl Source, at: Point) -> [f32; 3] {
    let (width, height) = source.size();
    let (columns, right) = tap::<2>(at.x, width, 0);
    let (rows, down) = tap::<2>(at.y, height, 0);
    weigh(source, &columns, &rows, &[1.0 - right, right], &[1.0 - down, down])
}

fn catmull_rom(source: &impl Source, at: Point) -> [f32; 3] {
    let (width, height) = source.size();
    let (columns, right) = tap::<4>(at.x, width, -1);
    let (rows, down) = tap::<4>(at.y, height, -1);
    weigh(source, &columns, &rows, &spline(right), &spline(down))
}

fn spline(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [-0.5 * t + t2 - 0.5 * t3, 1.0 - 2.5 * t2 + 1.5 * t3, 0.5 * t + 2.0 * t2 - 1.5 * t3, -0.5 * t2 + 0.5 * t3]
}

#[inline]
fn weigh(source: &impl Source, columns: &[usize], rows: &[usize], across: &[f32], down: &[f32]) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for (&y, &by_row) in rows.iter().zip(down) {
        for (&x, &by_column) in columns.iter().zip(across) {
            let (colour, weight) = (source.pixel(x, y), by_row * by_column);
            sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += weight * colour);
        }
    }
    sum
}

/// Cuts a square of `side` pixels. `place` takes points of the crop to points of the source.
pub fn cut(source: &impl Source, place: &Similarity, side: usize) -> Crop {
    cut_enlarged(source, place, Point::new(1.0, 1.0), side)
}

/// [`cut`] from a source that is an enlargement, by `times` across and down, of what `place` takes points to.
pub fn cut_enlarged(source: &impl Source, place: &Similarity, times: Point, side: usize) -> Crop {
    let reduce = reduce(place.scale() * times.x.max(times.y));
    let across = Point::new(place.a, place.b).times(times);
    let mut crop = Crop::zeros((3, side, side));
    for y in 0..side {
        for x in 0..side {
            let at = place.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5)).times(times);
            let colour = sample(source, at, across, reduce);
            (0..3).for_each(|channel| crop[(channel, y, x)] = colour[channel]);
        }
    }
    crop
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
