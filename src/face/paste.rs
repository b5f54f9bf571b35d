//! Lays a restored face over the large picture: each pixel under the mask is sampled once from the
//! restored crop. Pixels that the mask does not reach are not touched. Of a face larger than the crop, the picture
//! keeps what is too fine for the crop to hold.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Axis, Slice};

use super::align::{Window, to_face};
use super::crop::{Crop, Frame, cut_enlarged, side};
use super::detect::Landmarks;
use super::geometry::{Point, Similarity};
use super::mask::{MIDDLE, REACH, masks, smoothstep};
use super::parse::cover::Cover;
use super::sample::{Colours, Line, reduce};
use crate::image::bands::rows_in_band;
use crate::image::lanes::{LANES, Lanes, RowMut, dispatched, smooth_steps};
use crate::image::{Sample, Size, View, ViewMut, rows_mut};

/// Where a crop ends before the mask does, the mask fades over this share of the crop's side.
const EDGE: f32 = 0.06;

/// Pixels of the crop for each pixel of the large picture, up to which the picture keeps what is finer than the crop,
/// and from which the crop holds all there is.
const FINER: (f32, f32) = (1.0, 1.25);

/// Lays `restored`, seen through `window` of the small picture, over the large one, by `share` (0 to
/// 1) of the mask, which a `cover` can only make less. `small` is the size of the small picture.
pub fn paste<S: Sample>(
    restored: &Crop,
    window: &Window,
    landmarks: &Landmarks,
    share: f32,
    cover: Option<&Cover>,
    small: Size,
    large: &mut ViewMut<'_, S>,
) {
    let Some((to_face, to_crop)) = ways(restored, window, landmarks) else { return };
    let size = Size::of(&large.view());
    let to_small =
        Point::new(small.width as f32 / size.width as f32, small.height as f32 / size.height as f32);
    let (columns, lines) = reach(&to_face, to_small, size);
    if columns.is_empty() || lines.is_empty() {
        return;
    }
    let step = Point::new(to_crop.a * to_small.x, to_crop.b * to_small.x);
    let scale = step.x.hypot(step.y);
    let kept = 1.0 - smoothstep(FINER.0, FINER.1, scale);
    // The picture as the crop could hold it.
    let held =
        (kept > 0.0).then(|| seen_by_crop(&large.view(), &to_crop, to_small, side(restored))).flatten();
    let (laid, kept) = match held {
        None => (Colours::of(&restored.view()), 0.0),
        // What the picture has besides is added to it where it is laid over.
        Some(mut held) => {
            held.zip_mut_with(restored, |held, &restored| *held = restored - kept * *held);
            (Colours::of(&held.view()), kept)
        }
    };
    let length = side(restored) as f32;
    let laying = Laying { to_face, to_crop, to_small, length, share, laid, parts: reduce(scale), kept };
    let covered = cover.and_then(Cover::over);
    let count = rows_in_band(Size::new(columns.len(), lines.len()));
    let channels = large.dim().2;
    let mut reached = large.slice_axis_mut(Axis(0), Slice::from(lines.clone()));
    let bands = reached.axis_chunks_iter_mut(Axis(0), count).into_par_iter().enumerate();
    bands.for_each(|(band, mut rows)| {
        let first = lines.start + band * count;
        let mut scratch = Scratch::new(columns.len());
        for (y, row) in (first..).zip(rows_mut(&mut rows)) {
            let row = &mut row[columns.start * channels..columns.end * channels];
            laying.lay((columns.start, y), covered.as_ref(), row.chunks_exact_mut(channels), &mut scratch);
        }
    });
}

/// What a thread works with on a row of what the mask may reach.
struct Scratch {
    /// The mask, and what it may be at most.
    ellipse: Vec<[f32; LANES]>,
    most: Vec<[f32; LANES]>,
    colours: Vec<[f32; 4]>,
}

impl Scratch {
    fn new(columns: usize) -> Self {
        let row = || vec![[0.0; LANES]; columns.div_ceil(LANES)];
        Self { ellipse: row(), most: row(), colours: vec![[0.0; 4]; columns] }
    }
}

/// What is laid over, and where.
struct Laying {
    /// From points of the small picture.
    to_face: Similarity,
    to_crop: Similarity,
    /// Pixels of the small picture for each of the large one.
    to_small: Point,
    /// The crop's side.
    length: f32,
    share: f32,
    /// Colours of the crop, and into how many parts a pixel is divided each way to sample them.
    laid: Colours,
    parts: usize,
    /// So much of the picture's own colour is added.
    kept: f32,
}

impl Laying {
    /// The middle of a pixel of the large picture, in the small one.
    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> Point {
        Point::new(x as f32 + 0.5, y as f32 + 0.5).times(self.to_small)
    }

    /// Where a row of pixels of the large picture, from one on, is on this way from the small one.
    #[inline(always)]
    fn line(&self, way: &Similarity, (x, y): (usize, usize)) -> Line {
        let step = Point::new(way.a * self.to_small.x, way.b * self.to_small.x);
        Line { first: way.apply(self.at(x, y)), step }
    }

    /// Lays it over pixels of a row from one on, as far as that may be covered.
    fn lay<'a, S: Sample>(
        &self,
        (x, y): (usize, usize),
        covered: Option<&impl Fn(Point) -> f32>,
        pixels: impl Iterator<Item = &'a mut [S]>,
        Scratch { ellipse, most, colours }: &mut Scratch,
    ) {
        weigh_row(self, (x, y), ellipse, most);
        let ellipse = &mut ellipse.as_flattened_mut()[..colours.len()];
        let Some(first) = ellipse.iter().position(|&ellipse| ellipse > 0.0) else { return };
        let last = ellipse.iter().rposition(|&ellipse| ellipse > 0.0).unwrap_or(first);
        if let Some(covered) = covered {
            for (x, ellipse) in (x + first..).zip(&mut ellipse[first..=last]) {
                *ellipse = ellipse.min(covered(self.at(x, y)));
            }
        }
        let colours = &mut colours[..=last - first];
        self.laid.sample(self.line(&self.to_crop, (x + first, y)), self.parts, colours);
        let weights = ellipse[first..].iter().zip(&most.as_flattened()[first..]);
        for ((pixel, colour), (ellipse, most)) in pixels.skip(first).zip(colours).zip(weights) {
            let weight = ellipse * most;
            if weight > 0.0 {
                blend(pixel, *colour, self.kept, weight);
            }
        }
    }
}

dispatched! {
    /// The mask, and what it may be at most, of pixels of a row from one on.
    fn weigh_row / weigh_row_plain(
        laying: &Laying, start: (usize, usize), ellipse: RowMut<'_>, most: RowMut<'_>,
    ) {
        let (face, crop) = (laying.line(&laying.to_face, start), laying.line(&laying.to_crop, start));
        let [length, share] = [laying.length, laying.share].map(Lanes::splat);
        for (block, (ellipse, most)) in ellipse.iter_mut().zip(most).enumerate() {
            *ellipse = masks(face.block(block)).0;
            let [x, y] = crop.block(block);
            // 1 inside of the crop, 0 at its edge and outside.
            let near = x.min(y).min(length - x).min(length - y);
            *most = (share * smooth_steps((0.0, EDGE * laying.length), near)).0;
        }
    }
}

/// From points of the small picture to face units, and to the restored crop.
fn ways(restored: &Crop, window: &Window, landmarks: &Landmarks) -> Option<(Similarity, Similarity)> {
    let enlarged = side(restored) as f32 / window.side as f32;
    let to_crop = window.place.inverse()?.then(&Similarity::upright(enlarged, 0.0, 0.0));
    Some((to_face(landmarks)?, to_crop))
}

/// What a crop of this side would hold of the large picture. `to_crop` is from points of the small picture, `to_small` to
/// them.
fn seen_by_crop<S: Sample>(
    large: &View<'_, S>,
    to_crop: &Similarity,
    to_small: Point,
    side: usize,
) -> Option<Crop> {
    let times = Point::new(1.0 / to_small.x, 1.0 / to_small.y);
    Some(cut_enlarged(&Frame(*large), &to_crop.inverse()?, times, side))
}

/// The columns and rows of the large picture that the mask may reach.
fn reach(to_face: &Similarity, to_small: Point, size: Size) -> (Range<usize>, Range<usize>) {
    let Some(from_face) = to_face.inverse() else { return (0..0, 0..0) };
    let (centre, far) = (from_face.apply(MIDDLE), REACH * from_face.scale());
    let range = |centre: f32, to_small: f32, length: usize| {
        let limit = |at: f32| (at / to_small).clamp(0.0, length as f32);
        limit(centre - far).floor() as usize..limit(centre + far).ceil() as usize
    };
    (range(centre.x, to_small.x, size.width), range(centre.y, to_small.y, size.height))
}

/// Leans a pixel by a weight on a colour of 0 to 1, to which so much of the pixel itself is added.
#[inline(always)]
fn blend<S: Sample>(pixel: &mut [S], colour: [f32; 4], kept: f32, weight: f32) {
    let colours = pixel.len().min(3);
    for (sample, value) in pixel[..colours].iter_mut().zip(colour) {
        let is = sample.to_f32();
        let value = (S::WHITE * value + kept * is).clamp(0.0, S::WHITE);
        *sample = S::from_f32(is + weight * (value - is));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::align::{aligned, upright};
    use crate::face::crop::{Frame, cut};
    use crate::face::mask::mask;
    use crate::image::Picture;

    fn face(x: f32, y: f32, eyes: f32, lean: f32) -> Landmarks {
        let (sin, cos) = lean.sin_cos();
        [(-0.5, 0.0), (0.5, 0.0), (0.0, 0.6), (-0.44, 1.04), (0.44, 1.04)].map(|(u, v): (f32, f32)| {
            Point::new(x + eyes * (u * cos - v * sin), y + eyes * (u * sin + v * cos))
        })
    }

    /// Waves too broad for resampling to change; known at every point.
    fn scene<S: Sample>(size: Size, per_small: Point) -> Picture<S> {
        Picture::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
            let (x, y) = ((x as f32 + 0.5) / per_small.x, (y as f32 + 0.5) / per_small.y);
            let value = 0.5 + 0.2 * (x * 0.11 + c as f32).sin() + 0.2 * (y * 0.09).cos();
            S::from_f32(value * S::WHITE)
        })
    }

    /// Cuts, restores nothing, and pastes: the largest change, in samples.
    fn largest_change<S: Sample>(face: &Landmarks, window: Window, times: Point, crop_times: usize) -> f32 {
        let small = Size::new(90, 80);
        let size = Size::new((90.0 * times.x) as usize, (80.0 * times.y) as usize);
        let finer = Point::new(crop_times as f32, crop_times as f32);
        // As a restorer that enlarges without a fault would see it.
        let source = scene::<u16>(small.times(crop_times), finer);
        let place = Similarity::upright(1.0 / crop_times as f32, 0.0, 0.0)
            .then(&window.place)
            .then(&Similarity::upright(crop_times as f32, 0.0, 0.0));
        let restored = cut(&Frame(source.view()), &place, window.side * crop_times);
        let before = scene::<S>(size, times);
        let mut after = before.clone();
        paste(&restored, &window, face, 1.0, None, small, &mut after.view_mut());
        before.iter().zip(&after).map(|(a, b)| (a.to_f32() - b.to_f32()).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn pasting_what_was_cut_leaves_the_picture_within_rounding_at_every_scale_and_lean() {
        for lean in [0.0, 0.3, -0.7] {
            let face = face(44.3, 36.8, 16.0, lean);
            for times in
                [Point::new(1.0, 1.0), Point::new(2.0, 2.0), Point::new(1.5, 1.5), Point::new(3.0, 2.0)]
            {
                let template = aligned(&face, 256).unwrap();
                let whole = upright(&face, MIDDLE, REACH, 4.0, 8).unwrap();
                for (window, crop_times) in [(template, 1), (whole, 1), (whole, 2), (whole, 4)] {
                    let change = largest_change::<u8>(&face, window, times, crop_times);
                    assert!(change <= 1.0, "{lean}, {times:?}, crop x{crop_times}: {change}");
                    let change = largest_change::<u16>(&face, window, times, crop_times);
                    assert!(change <= 257.0 * 0.7, "{lean}, {times:?}, crop x{crop_times}: {change}");
                }
            }
        }
    }

    #[test]
    fn a_face_larger_than_its_crop_keeps_what_is_too_fine_for_the_crop() {
        // Noise, which no coarser crop can hold.
        let noise = |size: Size| {
            Picture::<u8>::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
                ((x * 31 + y * 17 + c * 7) as u32).wrapping_mul(0x9E37_79B9).to_le_bytes()[3]
            })
        };
        let small = Size::new(90, 80);
        for lean in [0.0, 0.3, -0.7] {
            let face = face(44.3, 36.8, 16.0, lean);
            for times in [Point::new(1.0, 1.0), Point::new(3.0, 3.0), Point::new(4.0, 3.0)] {
                let size = Size::new((90.0 * times.x) as usize, (80.0 * times.y) as usize);
                let before = noise(size);
                // A third of the pixels that the large picture has for each of the small one, and all.
                for side in [22, 64] {
                    let window = aligned(&face, side).unwrap();
                    let seen = cut_enlarged(&Frame(before.view()), &window.place, times, side);
                    let mut after = before.clone();
                    paste(&seen, &window, &face, 1.0, None, small, &mut after.view_mut());
                    let off = before.iter().zip(&after).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(off <= Some(1), "{lean}, {times:?}, {side}: {off:?}");
                    // And takes what the restorer changed.
                    paste(
                        &seen.mapv(|value| value + 0.2),
                        &window,
                        &face,
                        1.0,
                        None,
                        small,
                        &mut after.view_mut(),
                    );
                    let centre = to_face(&face).unwrap().inverse().unwrap().apply(MIDDLE).times(times);
                    let (x, y) = (centre.x as usize, centre.y as usize);
                    let mean = |picture: &Picture<u8>| {
                        let part = picture.slice(ndarray::s![y - 4..y + 4, x - 4..x + 4, ..]);
                        part.iter().map(|&sample| f32::from(sample)).sum::<f32>() / part.len() as f32
                    };
                    assert!(mean(&after) > mean(&before) + 25.0, "{lean}, {times:?}, {side}");
                }
            }
        }
    }

    #[test]
    fn a_share_of_nothing_and_pixels_beyond_the_mask_are_left_bit_for_bit() {
        let face = face(30.0, 25.0, 12.0, 0.2);
        let window = aligned(&face, 128).unwrap();
        let white = Crop::from_elem((3, 128, 128), 1.0);
        let before = scene::<u8>(Size::new(121, 99), Point::new(2.0, 2.0));
        let small = Size::new(60, 50);
        let mut after = before.clone();
        paste(&white, &window, &face, 0.0, None, small, &mut after.view_mut());
        assert_eq!(before, after);
        paste(&white, &window, &face, 1.0, None, small, &mut after.view_mut());
        let to_face = to_face(&face).unwrap();
        let mut changed = 0;
        for ((y, x, c), &sample) in after.indexed_iter() {
            let at = Point::new((x as f32 + 0.5) * 60.0 / 121.0, (y as f32 + 0.5) * 50.0 / 99.0);
            let beyond = mask(to_face.apply(at)) == 0.0;
            assert!(!beyond || sample == before[(y, x, c)], "{x},{y}");
            changed += usize::from(sample != before[(y, x, c)]);
        }
        assert!(changed > 1000);
    }

    #[test]
    fn faces_at_and_beyond_the_border_alpha_and_grey_are_no_trouble() {
        for (x, y) in [(0.0, 0.0), (59.0, 49.0), (-8.0, 20.0), (-500.0, 900.0), (f32::NAN, 3.0)] {
            let face = face(x, y, 14.0, 0.1);
            let Some(window) = aligned(&face, 64) else { continue };
            let white = Crop::from_elem((3, 64, 64), f32::INFINITY);
            for channels in [1, 3, 4] {
                let mut picture = Picture::<u8>::from_elem((50, 60, channels), 40);
                paste(&white, &window, &face, 1.0, None, Size::new(60, 50), &mut picture.view_mut());
                if channels == 4 {
                    assert!(picture.slice(ndarray::s![.., .., 3]).iter().all(|&alpha| alpha == 40));
                }
            }
        }
    }
}
