//! Where a restorer wants to see a face.

use super::detect::Landmarks;
use super::geometry::{Point, Similarity};

/// Where the landmarks are in an aligned crop of 512 pixels: those of the FFHQ collection, which
/// restorers are trained on.
const FFHQ: Landmarks = [
    Point::new(192.98138, 239.94708),
    Point::new(318.90277, 240.1936),
    Point::new(256.63416, 314.01935),
    Point::new(201.26117, 371.41043),
    Point::new(313.08905, 371.15118),
];
/// The side that those numbers are for.
const FFHQ_SIDE: f32 = 512.0;
/// Pixels between the eyes at that side.
const FFHQ_EYES: f32 = 125.92164;

/// Where they are in an aligned crop of 112 pixels: those that networks which tell people apart are trained
/// on (ArcFace, Deng et al., 2019).
const ARCFACE: Landmarks = [
    Point::new(38.2946, 51.6963),
    Point::new(73.5318, 51.5014),
    Point::new(56.0252, 71.7366),
    Point::new(41.5493, 92.3655),
    Point::new(70.7299, 92.2041),
];
/// The side that those numbers are for.
const ARCFACE_SIDE: usize = 112;

/// A square of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Points of the crop to points of the picture.
    pub place: Similarity,
    /// Pixels of a side of the crop.
    pub side: usize,
}

/// The window in which the landmarks lie as restorers of aligned faces are used to. `None` where
/// the landmarks are in one place.
pub fn aligned(landmarks: &Landmarks, side: usize) -> Option<Window> {
    fit(&FFHQ, side as f32 / FFHQ_SIDE, landmarks, side)
}

/// The window of 112 pixels in which face embedding networks are used to see a face. `None` where the landmarks are
/// in one place.
pub fn for_embedding(landmarks: &Landmarks) -> Option<Window> {
    fit(&ARCFACE, 1.0, landmarks, ARCFACE_SIDE)
}

fn fit(template: &Landmarks, unit: f32, landmarks: &Landmarks, side: usize) -> Option<Window> {
    let pairs: Vec<(Point, Point)> = template
        .iter()
        .zip(landmarks)
        .map(|(template, is)| (Point::new(template.x * unit, template.y * unit), *is))
        .collect();
    // From the template to the face, so that the error is least in pixels of the picture.
    let place = Similarity::fit(&pairs)?;
    (place.scale() > 0.0).then_some(Window { place, side })
}

/// From points of the picture to face units: 0 is the middle between the eyes, which are 1 apart; down the
/// face is positive.
pub fn to_face(landmarks: &Landmarks) -> Option<Similarity> {
    let crop = aligned(landmarks, FFHQ_SIDE as usize)?;
    Some(crop.place.inverse()?.then(&aligned_to_face(crop.side)))
}

/// From points of an [`aligned`] crop of so many pixels a side to face units.
pub fn aligned_to_face(side: usize) -> Similarity {
    let middle = FFHQ[0].towards(FFHQ[1], 0.5);
    let pixel = FFHQ_SIDE / side as f32;
    Similarity::upright(pixel / FFHQ_EYES, -middle.x / FFHQ_EYES, -middle.y / FFHQ_EYES)
}

impl Window {
    /// From points of this window's crop to points of another's, where that crop has `side` pixels: it may
    /// have been restored to more than the window asks for. `None` where the other is in one place.
    pub fn to_crop(&self, other: &Self, side: usize) -> Option<Similarity> {
        let finer = Similarity::upright(side as f32 / other.side as f32, 0.0, 0.0);
        Some(self.place.then(&other.place.inverse()?).then(&finer))
    }
}

/// An upright square of whole pixels around a face, `reach` eye distances from its middle each way and `margin`
/// pixels more; a multiple of `multiple` pixels.
pub fn upright(
    landmarks: &Landmarks,
    middle: Point,
    reach: f32,
    margin: f32,
    multiple: usize,
) -> Option<Window> {
    let face = to_face(landmarks)?.inverse()?;
    let centre = face.apply(middle);
    let half = reach * face.scale() + margin;
    let side = ((2.0 * half).ceil().max(1.0) as usize).next_multiple_of(multiple);
    let start = |centre: f32| (centre - side as f32 / 2.0).round();
    Some(Window { place: Similarity::upright(1.0, start(centre.x), start(centre.y)), side })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faces() -> impl Iterator<Item = (Similarity, Landmarks)> {
        (1..40).map(|at| {
            let (lean, scale) = (at as f32 * 0.16, at as f32 * 0.05);
            let (a, b) = (scale * lean.cos(), scale * lean.sin());
            let place = Similarity { a, b, tx: 300.0, ty: 40.0 * scale };
            (place, FFHQ.map(|point| place.apply(point)))
        })
    }

    #[test]
    fn every_face_is_found_in_the_template_whatever_its_size_and_lean() {
        for (_, face) in faces() {
            for side in [256, 512, 1024] {
                let window = aligned(&face, side).unwrap();
                let back = window.place.inverse().unwrap();
                let unit = side as f32 / 512.0;
                for (point, template) in face.iter().zip(FFHQ) {
                    let expected = Point::new(template.x * unit, template.y * unit);
                    assert!(back.apply(*point).distance(expected) < 0.02 * unit, "{side}");
                }
            }
            let to_face = to_face(&face).unwrap();
            let (left, right) = (to_face.apply(face[0]), to_face.apply(face[1]));
            assert!(left.distance(Point::new(-0.5, 0.0)) < 0.002, "{left:?}");
            assert!(right.distance(Point::new(0.5, 0.0)) < 0.002, "{right:?}");
        }
        assert_eq!(aligned(&[Point::new(3.0, 3.0); 5], 512), None);
    }

    #[test]
    fn embeddings_see_every_face_in_one_place() {
        for (place, _) in faces() {
            let face = ARCFACE.map(|point| place.apply(point));
            let window = for_embedding(&face).unwrap();
            assert_eq!(window.side, 112);
            let back = window.place.inverse().unwrap();
            for (point, template) in face.iter().zip(ARCFACE) {
                assert!(back.apply(*point).distance(template) < 0.01);
            }
        }
        assert_eq!(for_embedding(&[Point::new(3.0, 3.0); 5]), None);
    }

    #[test]
    fn an_upright_window_covers_what_it_shall_in_whole_pixels() {
        for (_, face) in faces() {
            for multiple in [1, 8, 13] {
                let window = upright(&face, Point::new(0.0, 0.4), 1.8, 6.0, multiple).unwrap();
                assert_eq!(window.side % multiple, 0);
                assert_eq!((window.place.a, window.place.tx.fract()), (1.0, 0.0));
                let unit = to_face(&face).unwrap();
                let reach = |x: f32, y: f32| unit.apply(window.place.apply(Point::new(x, y)));
                let side = window.side as f32;
                let middle = Point::new(0.0, 0.4);
                for edge in [reach(side / 2.0, 0.0), reach(0.0, side / 2.0), reach(side, side / 2.0)] {
                    assert!(edge.distance(middle) > 1.8, "{edge:?}");
                }
            }
        }
    }
}
