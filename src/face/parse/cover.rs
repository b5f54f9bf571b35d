//! What of a face may be laid over, as a parser sees it: a soft plane in the place of the face, that
//! moves with it and does not shake.

use ndarray::{Array2, ArrayViewMut2, Axis};

use super::SIDE as PARSED;
use crate::face::align::{Window, aligned, aligned_to_face};
use crate::face::crop::{Crop, cut, side};
use crate::face::detect::Landmarks;
use crate::face::geometry::{Point, Similarity};
use crate::face::mask::mask;
use crate::image::soften::soften;

/// Pixels of a side of the plane: a quarter of what is parsed is fine enough for what is blurred anyway.
pub const SIDE: usize = 128;
/// Pixels of the crop that was parsed for each of the plane.
const PART: usize = PARSED / SIDE;

/// Deviation, in pixels of the plane, of each of the two blurs: together a sixteenth of the distance
/// between the eyes.
const SOFT: f32 = std::f32::consts::SQRT_2;
/// How far two such blurs reach, in pixels of the plane.
const BLURRED: usize = 6;
/// By how many pixels the face is drawn in before it is blurred, so that nothing beyond its edge is laid
/// over: as far as the blurs reach, and one for the sampling between pixels.
const DRAWN_IN: usize = BLURRED + 1;

/// Less than this is nothing: what sampling a moving plane leaves behind.
const LEAST: f32 = 1.0 / 255.0;

/// The share of the face's ellipse that a parser must take for face; with less, it does not see the one
/// that the landmarks are of.
const LEAST_FACE: f32 = 0.25;

/// The crop that is to be parsed, cut out of a restored one that was seen through `window`. `None` where the
/// landmarks are no face.
pub fn to_parse(restored: &Crop, window: &Window, landmarks: &Landmarks) -> Option<Crop> {
    let wanted = aligned(landmarks, PARSED)?;
    // Restorers of aligned faces may have worked on the very same crop.
    if wanted == *window && side(restored) == PARSED {
        return Some(restored.clone());
    }
    Some(cut(&restored.view(), &wanted.to_crop(window, side(restored))?, PARSED))
}

/// What may be laid over in a frame, without what was seen before. `None` where there is no face.
pub fn fresh(is_face: &Array2<bool>) -> Option<Array2<f32>> {
    let mut plane = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| {
        let part = is_face.slice(ndarray::s![PART * y..PART * (y + 1), PART * x..PART * (x + 1)]);
        f32::from(u8::from(part.iter().all(|&is_face| is_face)))
    });
    let to_face = aligned_to_face(SIDE);
    let (mut seen, mut all) = (0.0, 0.0);
    for ((y, x), value) in plane.indexed_iter() {
        let weight = mask(to_face.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5)));
        (seen, all) = (seen + weight * value, all + weight);
    }
    if seen < LEAST_FACE * all {
        return None;
    }
    draw_in(plane.view_mut());
    soften(plane.view_mut(), SOFT);
    soften(plane.view_mut(), SOFT);
    Some(plane)
}

/// The least of the pixels up to [`DRAWN_IN`] away each way; what lies outside is like the border.
fn draw_in(mut plane: ArrayViewMut2<'_, f32>) {
    for axis in [Axis(0), Axis(1)] {
        for mut lane in plane.lanes_mut(axis) {
            let line = lane.to_vec();
            for (at, value) in lane.iter_mut().enumerate() {
                let near = at.saturating_sub(DRAWN_IN)..(at + DRAWN_IN + 1).min(line.len());
                *value = line[near].iter().copied().fold(f32::INFINITY, f32::min);
            }
        }
    }
}

/// What may be laid over of one face.
#[derive(Clone, Debug)]
pub struct Cover {
    plane: Array2<f32>,
    /// Points of the plane to points of the picture.
    place: Similarity,
    /// Points of the plane to points of the crop that the restorer saw.
    to_crop: Similarity,
}

impl Cover {
    /// Steadies what was seen in a frame by what was before. `window` and `side` are those of the crop that the
    /// restorer saw; `past` is how that crop takes from the one before: see
    /// [`Memory::past`](crate::face::memory::Memory::past). `None` where the landmarks are no face.
    pub fn next(
        before: Option<Self>,
        mut plane: Array2<f32>,
        landmarks: &Landmarks,
        window: &Window,
        past: Option<(&Similarity, &Array2<f32>)>,
    ) -> Option<Self> {
        let seen = aligned(landmarks, SIDE)?;
        let to_crop = seen.to_crop(window, window.side)?;
        let before = before.and_then(|before| Some((before.plane, before.to_crop.inverse()?)));
        if let Some(((before, from_crop), (way, share))) = before.zip(past) {
            let way = to_crop.then(way).then(&from_crop);
            let before = cut(&before.view(), &way, SIDE);
            let share = cut(&share.view(), &to_crop, SIDE);
            for ((at, value), share) in plane.indexed_iter_mut().zip(share.index_axis(Axis(0), 0)) {
                let was = before[(0, at.0, at.1)].clamp(0.0, 1.0);
                *value += share.clamp(0.0, 1.0) * (was - *value);
            }
        }
        Some(Self { plane, place: seen.place, to_crop })
    }

    /// How much of the restored face may be laid over points of the picture, 0 to 1.
    pub fn over(&self) -> Option<impl Fn(Point) -> f32 + '_> {
        let from_picture = self.place.inverse()?;
        Some(move |point: Point| {
            let at = from_picture.apply(point);
            let value = bilinear(&self.plane, at);
            ((value - LEAST) / (1.0 - LEAST)).clamp(0.0, 1.0)
        })
    }
}

fn bilinear(plane: &Array2<f32>, at: Point) -> f32 {
    let last = SIDE as f32 - 1.0;
    let (x, y) = ((at.x - 0.5).clamp(0.0, last), (at.y - 0.5).clamp(0.0, last));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(SIDE - 1), (top + 1).min(SIDE - 1));
    let (across, down) = (x - left as f32, y - top as f32);
    let row = |y: usize| plane[(y, left)] + across * (plane[(y, right)] - plane[(y, left)]);
    row(top) + down * (row(bottom) - row(top))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skin wherever a line through the middle says, moved by up to `shake` pixels in each row.
    fn half(lean: f32, shake: f32, seed: usize) -> Array2<bool> {
        Array2::from_shape_fn((PARSED, PARSED), |(y, x)| {
            let mut bits = (y * 131 + seed * 7919) as u32;
            for _ in 0..3 {
                bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D).wrapping_add(0x9E37_79B9);
            }
            let off = shake * ((bits >> 8) as f32 / (1 << 23) as f32 - 1.0);
            let (right, down) = (x as f32 - 256.0 + off, y as f32 - 256.0);
            right * lean.cos() + down * lean.sin() > 0.0
        })
    }

    fn landmarks(x: f32) -> Landmarks {
        [(40.0, 50.0), (60.0, 50.0), (50.0, 62.0), (42.0, 71.0), (58.0, 71.0)]
            .map(|(at, y)| Point::new(at + x, y))
    }

    fn window(x: f32) -> Window {
        aligned(&landmarks(x), 64).unwrap()
    }

    fn next(before: Option<Cover>, plane: Array2<f32>, share: f32) -> Cover {
        let (way, share) = (Similarity::IDENTITY, Array2::from_elem((64, 64), share));
        Cover::next(before, plane, &landmarks(0.0), &window(0.0), Some((&way, &share))).unwrap()
    }

    #[test]
    fn nothing_that_is_no_face_is_laid_over_and_there_is_no_step_at_the_edge() {
        for turn in 0..16 {
            let is_face = half(turn as f32 * 0.39, 12.0, turn);
            let cover = next(None, fresh(&is_face).unwrap(), 0.0);
            let place = aligned(&landmarks(0.0), PARSED).unwrap().place;
            let over = cover.over().unwrap();
            let at = |y: usize, x: usize| over(place.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5)));
            let (mut most, mut steepest) = (0.0_f32, 0.0_f32);
            for ((y, x), is_face) in is_face.indexed_iter().filter(|((y, x), _)| *y > 0 && *x > 0) {
                let here = at(y, x);
                assert!(*is_face || here == 0.0, "{turn}: {here} at {x},{y}");
                steepest = steepest.max((here - at(y - 1, x)).abs()).max((here - at(y, x - 1)).abs());
                most = most.max(here);
            }
            assert!(most == 1.0 && steepest < 0.06, "{turn}: {most}, {steepest} a pixel of the crop");
        }
    }

    #[test]
    fn a_parser_that_sees_less_than_a_quarter_of_the_face_sees_none() {
        for (rows, is_seen) in [(0, false), (150, false), (330, true), (PARSED, true)] {
            let is_face = Array2::from_shape_fn((PARSED, PARSED), |(y, _)| y < rows);
            assert_eq!(fresh(&is_face).is_some(), is_seen, "{rows}");
        }
    }

    #[test]
    fn an_edge_that_is_seen_elsewhere_in_each_frame_moves_a_third_as_much() {
        let (mut steady, mut alone) = (None, None);
        let mut moved = [0.0; 2];
        for number in 0..40 {
            let plane = fresh(&half(0.3, 30.0, number)).unwrap();
            let after = next(steady.clone(), plane.clone(), 5.0 / 6.0);
            let change = |a: &Array2<f32>, b: &Array2<f32>| (a - b).mapv(f32::abs).sum();
            if let (true, Some(before), Some(last)) = (number > 10, &steady, &alone) {
                let before: &Cover = before;
                moved[0] += change(&after.plane, &before.plane);
                moved[1] += change(&plane, last);
            }
            (steady, alone) = (Some(after), Some(plane));
        }
        assert!(moved[1] > 100.0 && moved[0] < moved[1] / 3.0, "{moved:?}");
    }

    #[test]
    fn where_the_input_is_new_so_is_what_may_be_laid_over() {
        let (one, other) = (fresh(&half(0.0, 0.0, 0)).unwrap(), fresh(&half(2.0, 0.0, 0)).unwrap());
        let before = next(None, one, 0.0);
        assert_eq!(next(Some(before), other.clone(), 0.0).plane, other);
    }

    #[test]
    fn what_was_seen_moves_with_the_face_whether_its_landmarks_shake_or_not() {
        let plane = fresh(&half(0.3, 0.0, 0)).unwrap();
        // Pixels that the face moves a frame, and pixels that its landmarks are off in every other one.
        for (moves, shake) in [(5.0, 0.0), (0.0, 2.5), (-3.0, 1.0)] {
            let first = next(None, plane.clone(), 0.0);
            let mut cover = first.clone();
            let at = |step: u8| moves * f32::from(step) + shake * f32::from(step % 2);
            for step in 1..6 {
                let (from, to) = (window(at(step - 1)), window(at(step)));
                let back = Similarity::upright(1.0, -moves, 0.0);
                let way = to.place.then(&back).then(&from.place.inverse().unwrap());
                let share = Array2::from_elem((64, 64), 1.0);
                let nothing = Array2::zeros((SIDE, SIDE));
                let there = landmarks(at(step));
                cover = Cover::next(Some(cover), nothing, &there, &to, Some((&way, &share))).unwrap();
                let (is, was) = (cover.over().unwrap(), first.over().unwrap());
                for (x, y) in (25..75).flat_map(|x| (35..85).map(move |y| (x as f32, y as f32))) {
                    let moved = Point::new(x + moves * f32::from(step), y);
                    let off = (is(moved) - was(Point::new(x, y))).abs();
                    assert!(off < 0.04, "{moves}, {shake}, frame {step}, {x},{y}: {off}");
                }
            }
        }
    }
}
