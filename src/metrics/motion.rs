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
