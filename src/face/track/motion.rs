//! Flow of our own, for when nobody else needs any: while there are faces.

use ndarray::Array2;

use super::Motion;
use crate::flow::{self, Estimator, Flow};
use crate::image::{Sample, Size, View, rows};

/// The longer side of the pictures that the flow is between, in pixels, about: a face is moved as a
/// whole, so that its flow is an average of many pixels.
const LONGEST: usize = 640;

/// Weights of red, green and blue in luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Estimates motion from frame to frame.
pub struct OwnMotion {
    estimator: Estimator,
    before: Option<Array2<f32>>,
    flow: Option<Flow>,
    scale: usize,
}

impl Default for OwnMotion {
    fn default() -> Self {
        let settings = flow::preset("fast").expect("there is a fast preset");
        Self { estimator: Estimator::new(settings), before: None, flow: None, scale: 1 }
    }
}

impl OwnMotion {
    /// Forgets the frame before.
    pub fn reset(&mut self) {
        self.before = None;
        self.flow = None;
    }

    /// Takes a frame. There is motion when the one before was given, too, and `wanted`.
    pub fn step<S: Sample>(&mut self, picture: View<'_, S>, wanted: bool) -> Option<Motion<'_>> {
        let size = Size::of(&picture);
        self.scale = size.width.max(size.height).div_ceil(LONGEST).max(1);
        let luma = shrunk_luma(picture, self.scale);
        let before = self.before.replace(luma);
        let (now, before) = (self.before.as_ref()?, before.filter(|_| wanted)?);
        // A picture too small, or of another size than before, has no motion.
        self.flow = self.estimator.estimate(now.view(), before.view()).ok();
        self.flow.as_ref().map(|flow| Motion { flow, scale: self.scale as f32 })
    }
}

/// Luma of 0 to 255, a mean of `scale` by `scale` pixels for each.
fn shrunk_luma<S: Sample>(picture: View<'_, S>, scale: usize) -> Array2<f32> {
    let (height, width, channels) = picture.dim();
    let (rows_out, columns) = ((height / scale).max(1), (width / scale).max(1));
    let mut luma = Array2::zeros((rows_out, columns));
    let weights = if channels < 3 { [1.0, 0.0, 0.0] } else { LUMA };
    let unit = 255.0 / S::WHITE / (scale * scale) as f32;
    for (y, row) in rows(picture).take(rows_out * scale).enumerate() {
        let mut to = luma.row_mut(y / scale);
        for (x, pixel) in row.chunks_exact(channels).take(columns * scale).enumerate() {
            let sum: f32 = pixel.iter().zip(weights).map(|(sample, weight)| sample.to_f32() * weight).sum();
            to[x / scale] += sum * unit;
        }
    }
    luma
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Picture;

    #[test]
    fn grey_has_the_luma_of_its_grey_at_every_size_and_depth() {
        for scale in 1..5 {
            for channels in [1, 3, 4] {
                let mut grey = Picture::<u16>::from_elem((13, 17, channels), 257 * 100);
                if channels == 4 {
                    grey.slice_mut(ndarray::s![.., .., 3]).fill(0);
                }
                let luma = shrunk_luma(grey.view(), scale);
                assert_eq!(luma.dim(), (13 / scale, 17 / scale));
                assert!(luma.iter().all(|value| (value - 100.0).abs() < 0.01), "{luma:?}");
            }
        }
    }

    #[test]
    fn motion_needs_a_frame_before_of_the_same_size() {
        let picture =
            |side: usize| Picture::<u8>::from_shape_fn((side, side, 3), |(y, x, _)| (x * 7 + y * 3) as u8);
        let mut own = OwnMotion::default();
        assert!(own.step(picture(64).view(), true).is_none());
        assert!(own.step(picture(64).view(), true).is_some());
        assert!(own.step(picture(64).view(), false).is_none());
        assert!(own.step(picture(48).view(), true).is_none());
        assert!(own.step(picture(48).view(), true).is_some());
        own.reset();
        assert!(own.step(picture(48).view(), true).is_none());
        assert!(own.step(picture(9).view(), true).is_none());
    }
}
