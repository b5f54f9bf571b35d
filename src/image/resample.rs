//! Resizing with a good filter, for everything that a network does not do itself: the last
//! step to a size that is no multiple of the model's, alpha, chroma of luma-only models, and
//! tiles that a network could not do.
//!
//! The filter is Lanczos with three lobes, sample positions are pixel centres, and reducing
//! widens the filter by the ratio (no aliasing). The work is done by `fast_image_resize`.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::{Picture, Sample, Size, View};

/// Resizes pictures and keeps its working memory between calls.
#[derive(Debug, Default)]
pub struct Resampler {
    resizer: Resizer,
}

impl Resampler {
    /// A picture of the wanted size; every channel is filtered on its own (no
    /// premultiplication by an alpha).
    ///
    /// # Panics
    /// If the picture has two or more than four channels, or no pixels.
    pub fn resize<S: Sample>(&mut self, picture: View<'_, S>, size: Size) -> Picture<S> {
        let (from, channels) = (Size::of(&picture), picture.dim().2);
        let standard = picture.as_standard_layout();
        let samples = standard.as_slice().expect("standard layout is contiguous");
        let source = ImageRef::new(
            from.width as u32,
            from.height as u32,
            bytemuck::cast_slice(samples),
            S::pixel_type(channels),
        )
        .expect("a picture has as many samples as its shape says");

        let mut resized = Picture::from_elem((size.height, size.width, channels), S::zeroed());
        let mut target = Image::from_slice_u8(
            size.width as u32,
            size.height as u32,
            bytemuck::cast_slice_mut(resized.as_slice_mut().expect("an owned picture is contiguous")),
            S::pixel_type(channels),
        )
        .expect("a picture has as many samples as its shape says");

        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false);
        self.resizer
            .resize(&source, &mut target, &options)
            .expect("both pictures are of the same pixel type");
        resized
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat_at_every_size() {
        let mut resampler = Resampler::default();
        for (width, height) in [(1, 1), (3, 5), (16, 16), (33, 7)] {
            for (to_width, to_height) in [(1, 1), (2, 9), (31, 16), (48, 50)] {
                for channels in [1, 3, 4] {
                    let flat = Picture::<u16>::from_elem((height, width, channels), 40_000);
                    let resized = resampler.resize(flat.view(), Size::new(to_width, to_height));
                    assert_eq!(resized.dim(), (to_height, to_width, channels));
                    assert!(resized.iter().all(|&sample| sample.abs_diff(40_000) <= 1));
                }
            }
        }
    }

    #[test]
    fn positions_are_pixel_centres() {
        // A symmetric ramp stays symmetric: any shift would break the mirror.
        let ramp = Picture::<u8>::from_shape_fn((1, 8, 1), |(_, x, _)| if x < 4 { 0 } else { 255 });
        for width in [3, 8, 12, 16, 37] {
            let resized = Resampler::default().resize(ramp.view(), Size::new(width, 1));
            for x in 0..width {
                let (left, right) = (resized[(0, x, 0)], resized[(0, width - 1 - x, 0)]);
                assert!(left.abs_diff(255 - right) <= 1, "width {width}, x {x}: {left} {right}");
            }
        }
    }

    #[test]
    fn padding_of_the_source_is_never_read() {
        let mut samples = vec![255_u8; 10 * 4];
        for row in samples.chunks_exact_mut(10) {
            row[..9].fill(10);
        }
        let padded = crate::image::view(&samples, Size::new(3, 4), 3, 10).unwrap();
        let resized = Resampler::default().resize(padded, Size::new(7, 9));
        assert!(resized.iter().all(|&sample| sample == 10));
    }
}
