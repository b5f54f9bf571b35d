//! The motion of the ground truth between two frames, and where it cannot be trusted.
//!
//! Consistency and boundaries as in Ruder, Dosovitskiy and Brox, "Artistic style transfer for
//! videos" (2016), the mask that Lai et al. (2018) measure the warping error with.

use ndarray::{Array2, ArrayView2, Axis};

use crate::image::{Size, View};

/// The round trip may miss by this share of both motions, squared, ...
const MISS_PER_MOTION: f32 = 0.01;
/// ... and by this much more, in square pixels.
const MISS: f32 = 0.5;

/// Where motion comes from: `u` to the right and `v` down, in pixels. The point `(x, y)` of one
/// frame is at `(x + u, y + v)` of the other.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// To the right.
    pub u: ArrayView2<'a, f32>,
    /// Down.
    pub v: ArrayView2<'a, f32>,
}

/// Motion from a frame to the one before.
#[derive(Clone, Debug)]
pub struct Motion {
    u: Array2<f32>,
    v: Array2<f32>,
    /// Where the frame before has no counterpart.
    occluded: Array2<bool>,
    /// Square of the gradient of `u` and `v`, by forward differences.
    gradient: Array2<f32>,
}

impl Motion {
    /// Motion from a frame to the one before, and from the one before to the frame.
    ///
    /// # Panics
    /// If the four parts differ in size.
    pub fn new(back: Field<'_>, forth: Field<'_>) -> Self {
        assert!([back.v, forth.u, forth.v].iter().all(|part| part.dim() == back.u.dim()));
        let (u, v) = (back.u.to_owned(), back.v.to_owned());
        let occluded = Array2::from_shape_fn(u.dim(), |(y, x)| {
            let (fu, fv) = (u[(y, x)], v[(y, x)]);
            let at = (x as f32 + fu, y as f32 + fv);
            let Some((bu, bv)) = bilinear(forth.u, at).zip(bilinear(forth.v, at)) else { return true };
            let missed = square(fu + bu, fv + bv);
            missed > MISS_PER_MOTION * (square(fu, fv) + square(bu, bv)) + MISS
        });
        let gradient = Array2::from_shape_fn(u.dim(), |(y, x)| {
            let steps = [&u, &v].map(|part| {
                let here = part[(y, x)];
                let step = |y, x| part.get((y, x)).map_or(0.0, |there| there - here);
                square(step(y, x + 1), step(y + 1, x))
            });
            steps[0] + steps[1]
        });
        Self { u, v, occluded, gradient }
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        let (height, width) = self.u.dim();
        Size::new(width, height)
    }

    /// Whether the frame before has no counterpart of a pixel.
    pub fn occluded(&self, x: usize, y: usize) -> bool {
        self.occluded[(y, x)]
    }

    /// Square of the gradient of the motion at a pixel.
    pub fn gradient(&self, x: usize, y: usize) -> f32 {
        self.gradient[(y, x)]
    }

    /// Square of the motion of a pixel.
    pub fn square(&self, x: usize, y: usize) -> f32 {
        square(self.u[(y, x)], self.v[(y, x)])
    }

    /// A pixel's counterpart in the frame before, bilinear; `None` outside of it.
    pub fn follow(&self, before: View<'_, f32>, x: usize, y: usize) -> Option<f32> {
        bilinear(before.index_axis_move(Axis(2), 0), (x as f32 + self.u[(y, x)], y as f32 + self.v[(y, x)]))
    }
}

fn square(u: f32, v: f32) -> f32 {
    u * u + v * v
}

/// The value between pixels; `None` outside the centres of the outermost pixels.
fn bilinear(picture: ArrayView2<'_, f32>, (x, y): (f32, f32)) -> Option<f32> {
    let (height, width) = picture.dim();
    // A comparison with NaN is false.
    let inside = x >= 0.0 && y >= 0.0 && x <= (width - 1) as f32 && y <= (height - 1) as f32;
    if !inside {
        return None;
    }
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (across, down) = (x - left as f32, y - top as f32);
    let row = |y: usize| picture[(y, left)] + across * (picture[(y, right)] - picture[(y, left)]);
    let (above, below) = (row(top), row(bottom));
    Some(above + down * (below - above))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Motion that is the same everywhere.
    fn uniform(back: (f32, f32), forth: (f32, f32)) -> Motion {
        let fill = |value| Array2::from_elem((20, 24), value);
        let [bu, bv, fu, fv] = [back.0, back.1, forth.0, forth.1].map(fill);
        Motion::new(Field { u: bu.view(), v: bv.view() }, Field { u: fu.view(), v: fv.view() })
    }

    #[test]
    fn a_round_trip_may_miss_by_a_share_of_the_motion_and_a_little_more() {
        for (back, forth, occluded) in [
            ((2.0, 0.0), (-2.0, 0.0), false),
            // Missed by 1.0; 0.01 * (4 + 1) + 0.5 = 0.55 is allowed.
            ((2.0, 0.0), (-1.0, 0.0), true),
            // Missed by 0.49 of 0.5569.
            ((2.0, 0.0), (-1.3, 0.0), false),
            ((0.0, -2.0), (0.0, 1.3), false),
            ((0.0, -2.0), (0.0, 1.0), true),
            // Missed by 0.64 in both directions together, of 0.5 and a little.
            ((0.6, 0.0), (0.0, 0.6), true),
            ((0.4, 0.0), (0.0, 0.4), false),
            // The faster, the more: 1.0 of 1.1381.
            ((6.0, 0.0), (-5.0, 0.0), false),
        ] {
            let motion = uniform(back, forth);
            assert_eq!(motion.occluded(10, 10), occluded, "{back:?} {forth:?}");
        }
        // What comes from outside is occluded: the three columns that 2.5 pixels lead out of.
        let motion = uniform((2.5, 0.0), (-2.5, 0.0));
        let outside = (0..24).filter(|&x| motion.occluded(x, 7)).collect::<Vec<_>>();
        assert_eq!(outside, [21, 22, 23]);
    }

    #[test]
    fn the_gradient_sums_the_forward_differences_of_both_directions() {
        let u = Array2::from_shape_fn((5, 6), |(y, x)| 0.5 * x as f32 + 0.25 * y as f32);
        let v = Array2::from_shape_fn((5, 6), |(y, x)| 2.0 * x as f32 - y as f32);
        let motion = Motion::new(Field { u: u.view(), v: v.view() }, Field { u: u.view(), v: v.view() });
        let (across, down) = (0.25 + 4.0, 0.0625 + 1.0);
        for (x, y, expected) in
            [(0, 0, across + down), (4, 3, across + down), (5, 3, down), (4, 4, across), (5, 4, 0.0)]
        {
            assert_eq!(motion.gradient(x, y), expected, "{x},{y}");
        }
        assert_eq!(motion.square(2, 1), 1.25 * 1.25 + 9.0);
    }

    #[test]
    fn sampling_is_bilinear_and_ends_at_the_outermost_pixels() {
        let plane = Array2::from_shape_fn((3, 4), |(y, x)| (10 * y + x * x) as f32);
        for (at, expected) in [
            ((0.0, 0.0), Some(0.0)),
            ((3.0, 2.0), Some(29.0)),
            ((2.5, 0.0), Some(6.5)),
            ((1.5, 0.5), Some(7.5)),
            ((-0.001, 0.0), None),
            ((3.001, 0.0), None),
            ((0.0, 2.001), None),
            ((f32::NAN, 0.0), None),
        ] {
            assert_eq!(bilinear(plane.view(), at), expected, "{at:?}");
        }
    }
}
