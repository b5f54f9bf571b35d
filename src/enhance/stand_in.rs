//! What is made in the network's place where a budget of reuse has no room for it.

use super::{Effort, StoodIn};
use crate::image::resample::Resampler;
use crate::image::{Area, Picture, Sample, Size, View, ViewMut, Window, copy, crop, crop_mut};
use crate::infer::InferError;
use crate::upscale::{Done, Upscaler};

/// Pixels around an area that are looked at, for the same to come out wherever areas end.
const AROUND: usize = 8;
/// Pixels around an area that are written, because the blend goes over from one pixel of the input to the next.
const WRITTEN: usize = 1;

/// Fills areas of an output, which is a whole multiple of the input, by the light network, or by a resize where there is none.
/// Answers what that was.
pub(super) fn fill<S: Sample>(
    mut light: Option<&mut Upscaler<S>>,
    resampler: &mut Resampler,
    areas: &[Area],
    input: View<'_, S>,
    mut output: ViewMut<'_, S>,
) -> Result<(Done, Option<StoodIn>), InferError> {
    let (small, channels) = (Size::of(&input), input.dim().2);
    let scale = output.dim().1 / small.width;
    let around = |area, context| Window { context, most: usize::MAX }.around(area, small);
    let by = if light.is_some() { Effort::Light } else { Effort::Resampled };
    let (mut done, mut pixels) = (Done::default(), 0);
    for &area in areas {
        let (seen, written) = (around(area, AROUND), around(area, WRITTEN));
        let from = crop(input, seen.x, seen.y, seen.size);
        let size = seen.size.times(scale);
        let made = match &mut light {
            Some(light) => {
                let mut made = Picture::from_elem((size.height, size.width, channels), S::zeroed());
                done += light.run(from, made.view_mut())?;
                made
            }
            None => resampler.resize(from, size),
        };
        let inner = written.size.times(scale);
        let (x, y) = ((written.x - seen.x) * scale, (written.y - seen.y) * scale);
        let to = crop_mut(output.view_mut(), written.x * scale, written.y * scale, inner);
        copy(crop(made.view(), x, y, inner), to);
        pixels += area.size.width * area.size.height;
    }
    let area = pixels as f32 / (small.width * small.height) as f32;
    Ok((done, (pixels > 0).then_some(StoodIn { area, by })))
}
