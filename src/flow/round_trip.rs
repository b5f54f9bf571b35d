//! Whether two flows agree.

use ndarray::Array2;

use super::Flow;

/// How far each pixel is from itself after it went along `forward` and back along `backward` (bilinear),
/// in pixels. Where it leaves the picture, infinite.
///
/// Small where both flows are right. Large where a pixel is hidden in the other picture, or where a
/// flow is wrong.
///
/// # Panics
/// If the flows have different sizes.
pub fn round_trip_error(forward: &Flow, backward: &Flow) -> Array2<f32> {
    assert_eq!(forward.u.dim(), backward.u.dim(), "flows of one size");
    let (height, width) = forward.u.dim();
    let (last_x, last_y) = ((width - 1) as f32, (height - 1) as f32);
    Array2::from_shape_fn((height, width), |(y, x)| {
        let (u, v) = (forward.u[[y, x]], forward.v[[y, x]]);
        let (far_x, far_y) = (x as f32 + u, y as f32 + v);
        if !(0.0..=last_x).contains(&far_x) || !(0.0..=last_y).contains(&far_y) {
            return f32::INFINITY;
        }
        let (left, top) = (far_x as usize, far_y as usize);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (fx, fy) = (far_x - left as f32, far_y - top as f32);
        let sample = |field: &Array2<f32>| {
            let above = field[[top, left]] + fx * (field[[top, right]] - field[[top, left]]);
            let below = field[[bottom, left]] + fx * (field[[bottom, right]] - field[[bottom, left]]);
            above + fy * (below - above)
        };
        (u + sample(&backward.u)).hypot(v + sample(&backward.v))
    })
}
