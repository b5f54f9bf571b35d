//! What of a detector's answers is kept: one for each face, and none that is no face.

use super::{Detection, Landmarks};
use crate::face::geometry::Point;

/// Two boxes that overlap by more (intersection over union) are of one face.
const SAME_FACE: f32 = 0.3;

/// A box of which more than this lies inside of a better one ...
const INSIDE: f32 = 0.7;
/// ... and whose area is below this share of it is a part of that face: an eye, an ear, a pattern.
const PART: f32 = 0.35;

/// Keeps the best of every face, best first. Of several looks at a picture the first is the finest:
/// what it found stays, because the places that it gives are the more exact.
pub(super) fn sift(looks: Vec<Vec<Detection>>) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for mut found in looks {
        found.retain(|detection| is_face(&detection.landmarks) && detection.area.area() > 0.0);
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        for detection in found {
            if kept.iter().all(|better| better.area.overlap(&detection.area) <= SAME_FACE) {
                kept.push(detection);
            }
        }
    }
    let all = kept.clone();
    kept.retain(|one| !all.iter().any(|other| is_part(one, other)));
    kept.sort_by(|a, b| b.score.total_cmp(&a.score));
    kept
}

/// Whether a detection is a part of another, larger one. The score of a part may be the higher.
fn is_part(one: &Detection, other: &Detection) -> bool {
    let area = one.area.area();
    area < PART * other.area.area() && one.area.shared(&other.area) > INSIDE * area
}

/// Whether landmarks lie as those of a face do: the mouth below the eyes, seen along the face, and
/// no two in one place.
fn is_face(points: &Landmarks) -> bool {
    let [left, right, nose, ..] = *points;
    if !points.iter().all(|point| point.x.is_finite() && point.y.is_finite()) {
        return false;
    }
    let eyes = left.towards(right, 0.5);
    let mouth = points[3].towards(points[4], 0.5);
    let length = eyes.distance(mouth);
    let down = (mouth.x - eyes.x, mouth.y - eyes.y);
    let along = |p: Point| ((p.x - eyes.x) * down.0 + (p.y - eyes.y) * down.1) / (length * length);
    length > 0.0 && left.distance(right) < 3.0 * length && (-0.2..1.2).contains(&along(nose))
}

/// How far a face is turned aside: 0 from the front, above 1 a side view. Along the line of the eyes,
/// the nose is in their middle from the front and beyond one of them from the side; and the
/// eyes come together.
pub fn turned(points: &Landmarks) -> f32 {
    let [left, right, nose, ..] = *points;
    let eyes = left.towards(right, 0.5);
    let mouth = points[3].towards(points[4], 0.5);
    let length = eyes.distance(mouth).max(f32::MIN_POSITIVE);
    // Across the face, which is more certain than along the eyes where they lie close together.
    let (across, down) = ((mouth.y - eyes.y) / length, (mouth.x - eyes.x) / length);
    let position = |p: Point| (p.x - eyes.x) * across - (p.y - eyes.y) * down;
    let half = ((position(right) - position(left)) / 2.0).max(0.0);
    let aside = position(nose).abs() / half.max(0.05 * length);
    // From the front, the eyes are about as far apart as the mouth is below them.
    let narrow = NARROW * length / half.max(f32::MIN_POSITIVE) / 2.0;
    aside.max(narrow)
}

/// Eyes closer together than this share of their distance to the mouth are seen from the side.
const NARROW: f32 = 0.45;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::geometry::{Rect, Similarity};

    const FRONT: Landmarks = [
        Point::new(-5.0, -4.0),
        Point::new(5.0, -4.0),
        Point::new(0.0, 1.0),
        Point::new(-4.0, 6.0),
        Point::new(4.0, 6.0),
    ];

    fn at(x: f32, y: f32, side: f32, score: f32) -> Detection {
        let place = Similarity::upright(side / 20.0, x + side / 2.0, y + side / 2.0);
        let landmarks = FRONT.map(|point| place.apply(point));
        Detection { score, area: Rect::new(x, y, side, side), landmarks }
    }

    #[test]
    fn one_of_many_answers_for_a_face_stays_and_it_is_the_best() {
        for best in 0..5 {
            let found = (0..5).map(|i| at(i as f32, 0.0, 40.0, if i == best { 0.9 } else { 0.8 })).collect();
            let kept = sift(vec![found]);
            assert_eq!(kept.len(), 1);
            assert_eq!(kept[0].area.x, best as f32);
        }
    }

    #[test]
    fn a_finer_look_goes_before_a_surer_one_and_a_coarse_look_adds_what_was_missed() {
        let (fine, coarse, missed) =
            (at(0.0, 0.0, 40.0, 0.7), at(4.0, 0.0, 40.0, 0.9), at(60.0, 0.0, 80.0, 0.8));
        assert_eq!(sift(vec![vec![fine], vec![coarse, missed]]), [missed, fine]);
    }

    #[test]
    fn neighbours_stay_and_parts_of_a_face_go_whatever_their_score() {
        for score in [0.6, 0.99] {
            for side in 4..=20 {
                let small = at(12.0, 12.0, side as f32, score);
                let kept = sift(vec![vec![at(0.0, 0.0, 60.0, 0.8), small, at(70.0, 0.0, 20.0, 0.7)]]);
                assert_eq!(kept.len(), 2, "side {side}, score {score}");
                assert!(!kept.contains(&small));
            }
        }
    }

    #[test]
    fn what_does_not_lie_as_a_face_does_goes() {
        let mut upside = at(0.0, 0.0, 40.0, 0.9);
        upside.landmarks[2] = Point::new(20.0, 60.0);
        let mut nowhere = at(0.0, 0.0, 40.0, 0.9);
        nowhere.landmarks = [Point::new(3.0, 3.0); 5];
        let mut endless = at(0.0, 0.0, 40.0, 0.9);
        endless.landmarks[0].x = f32::NAN;
        for wrong in [upside, nowhere, endless] {
            assert!(sift(vec![vec![wrong]]).is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn a_face_is_turned_by_its_nose_and_its_eyes_whichever_way_it_leans() {
        for step in 0..12 {
            let lean = step as f32 * 0.5;
            let lean = Similarity { a: 3.0 * lean.cos(), b: 3.0 * lean.sin(), tx: 9.0, ty: 5.0 };
            let check = |points: Landmarks| turned(&points.map(|point| lean.apply(point)));
            assert!(check(FRONT) < 0.5, "{}", check(FRONT));
            let mut aside = FRONT;
            aside[2].x = 5.5;
            assert!(check(aside) > 1.0, "{}", check(aside));
            let profile = FRONT.map(|point| Point::new(0.3 * point.x, point.y));
            assert!(check(profile) > 1.0, "{}", check(profile));
        }
    }
}
