//! How a face moved, from the flow around it: one similarity for the whole face, so that its five
//! landmarks keep their shape and the noise of the flow averages out.

use crate::face::detect::Landmarks;
use crate::face::geometry::{Point, Similarity};
use crate::flow::Flow;

/// Places on a side of the grid on which the flow is read.
const SIDE: usize = 9;
/// How far the grid reaches from the middle of the landmarks, in distances between the eyes: over the face, not beside it,
/// because what is beside it does not turn along.
const REACH: f32 = 0.8;
/// Fits after the first, each without the places that missed most.
const TRIMS: usize = 2;
/// The share of places that a trimmed fit keeps: a face may be covered in part.
const KEPT: f32 = 0.7;
/// The fewest places, of 81, to fit to: a face that leaves the picture keeps some.
const FEWEST: usize = 20;
/// The flow is read again where the first fit says that the face is now.
const PASSES: usize = 2;
/// Where the places kept miss by more than this on average, in distances between the eyes, they do
/// not move as one, and the flow is of something else.
const MOST_MISSED: f32 = 0.2;

/// Flow from this frame to the one before, possibly of smaller pictures.
#[derive(Clone, Copy)]
pub struct Motion<'a> {
    /// Pixels of this frame to where they were.
    pub flow: &'a Flow,
    /// Pixels of the picture for each pixel of the flow.
    pub scale: f32,
}

impl Motion<'_> {
    /// Where what is at `point` now was before; `None` outside the picture.
    fn before(&self, point: Point) -> Option<Point> {
        let (rows, columns) = self.flow.u.dim();
        let (x, y) = (point.x / self.scale - 0.5, point.y / self.scale - 0.5);
        let inside = x >= -0.5 && y >= -0.5 && x <= columns as f32 - 0.5 && y <= rows as f32 - 0.5;
        if !inside {
            return None;
        }
        let (x, y) = (x.clamp(0.0, columns as f32 - 1.0), y.clamp(0.0, rows as f32 - 1.0));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(columns - 1), (top + 1).min(rows - 1));
        let (across, down) = (x - left as f32, y - top as f32);
        let read = |part: &ndarray::Array2<f32>| {
            let row = |y: usize| part[(y, left)] + across * (part[(y, right)] - part[(y, left)]);
            row(top) + down * (row(bottom) - row(top))
        };
        let (u, v) = (read(&self.flow.u), read(&self.flow.v));
        Some(Point::new(point.x + u * self.scale, point.y + v * self.scale))
    }
}

/// The similarity that takes a face from where it was to where it is; `None` where the flow does
/// not tell.
pub fn ride(motion: &Motion<'_>, landmarks: &Landmarks) -> Option<Similarity> {
    let eyes = landmarks[0].distance(landmarks[1]).max(mouth_width(landmarks)).max(1.0);
    let middle = middle(landmarks);
    let mut moved = Similarity::IDENTITY;
    for _ in 0..PASSES {
        let place = |i: usize| (i as f32 / (SIDE - 1) as f32 * 2.0 - 1.0) * REACH * eyes;
        let pairs: Vec<(Point, Point)> = (0..SIDE * SIDE)
            .filter_map(|i| {
                let was = Point::new(middle.x + place(i % SIDE), middle.y + place(i / SIDE));
                let now = moved.apply(was);
                motion.before(now).map(|before| (before, now))
            })
            .collect();
        if pairs.len() < FEWEST {
            return None;
        }
        moved = fit_most(pairs, eyes)?;
    }
    Some(moved)
}

/// The similarity of most of the pairs.
fn fit_most(mut pairs: Vec<(Point, Point)>, eyes: f32) -> Option<Similarity> {
    let kept = ((pairs.len() as f32 * KEPT) as usize).max(FEWEST / 2);
    let mut fitted = Similarity::fit(&pairs)?;
    for _ in 0..TRIMS {
        let missed = |pair: &(Point, Point)| fitted.apply(pair.0).distance(pair.1);
        pairs.sort_by(|a, b| missed(a).total_cmp(&missed(b)));
        fitted = Similarity::fit(&pairs[..kept])?;
    }
    let missed: f32 = pairs[..kept].iter().map(|pair| fitted.apply(pair.0).distance(pair.1)).sum();
    (missed <= MOST_MISSED * eyes * kept as f32).then_some(fitted)
}

fn mouth_width(landmarks: &Landmarks) -> f32 {
    landmarks[3].distance(landmarks[4])
}

/// The mean of the landmarks.
pub fn middle(landmarks: &Landmarks) -> Point {
    let sum = landmarks.iter().fold(Point::default(), |sum, p| Point::new(sum.x + p.x, sum.y + p.y));
    Point::new(sum.x / 5.0, sum.y / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    const FACE: Landmarks = [
        Point::new(40.0, 40.0),
        Point::new(60.0, 41.0),
        Point::new(50.0, 50.0),
        Point::new(43.0, 60.0),
        Point::new(57.0, 60.0),
    ];

    /// Flow in which everything goes by a similarity, at a fraction of the picture's size.
    fn flow(moved: Similarity, scale: f32) -> Flow {
        let back = moved.inverse().unwrap();
        let at = |y: usize, x: usize| {
            let now = Point::new((x as f32 + 0.5) * scale, (y as f32 + 0.5) * scale);
            let was = back.apply(now);
            ((was.x - now.x) / scale, (was.y - now.y) / scale)
        };
        let dim = ((100.0 / scale) as usize, (110.0 / scale) as usize);
        Flow {
            u: Array2::from_shape_fn(dim, |(y, x)| at(y, x).0),
            v: Array2::from_shape_fn(dim, |(y, x)| at(y, x).1),
        }
    }

    fn moves() -> [Similarity; 5] {
        [
            Similarity::IDENTITY,
            Similarity::upright(1.0, 3.25, -7.5),
            Similarity::upright(1.0, 18.0, 12.0),
            Similarity::upright(1.06, -3.0, -3.0),
            Similarity { a: 0.99, b: 0.08, tx: 4.0, ty: -4.0 },
        ]
    }

    #[test]
    fn the_landmarks_follow_every_similarity_at_every_size_of_the_flow() {
        for moved in moves() {
            for scale in [1.0, 2.0, 3.0] {
                let flow = flow(moved, scale);
                let found = ride(&Motion { flow: &flow, scale }, &FACE).unwrap();
                for point in FACE {
                    let missed = found.apply(point).distance(moved.apply(point));
                    assert!(missed < 0.02, "{moved:?} at 1/{scale}: {missed}");
                }
            }
        }
    }

    #[test]
    fn a_quarter_of_the_face_that_moves_otherwise_changes_nothing() {
        for moved in moves() {
            let mut flow = flow(moved, 1.0);
            // Up and left of where the face was and of where it is.
            let (was, is) = (middle(&FACE), moved.apply(middle(&FACE)));
            let (x, y) = (was.x.min(is.x) as usize, was.y.min(is.y) as usize);
            flow.u.slice_mut(ndarray::s![..y, ..x]).fill(9.0);
            let found = ride(&Motion { flow: &flow, scale: 1.0 }, &FACE).unwrap();
            let missed = found.apply(FACE[4]).distance(moved.apply(FACE[4]));
            assert!(missed < 0.05, "{moved:?}: {missed}");
        }
    }

    #[test]
    fn what_does_not_move_as_one_or_is_outside_is_not_followed() {
        let torn = Flow {
            u: Array2::from_shape_fn(
                (100, 110),
                |(y, x)| if (x / 5 + y / 5) % 2 == 0 { 25.0 } else { -25.0 },
            ),
            v: Array2::zeros((100, 110)),
        };
        assert_eq!(ride(&Motion { flow: &torn, scale: 1.0 }, &FACE), None);
        let still = flow(Similarity::IDENTITY, 1.0);
        let outside = FACE.map(|point| Point::new(point.x + 200.0, point.y));
        assert_eq!(ride(&Motion { flow: &still, scale: 1.0 }, &outside), None);
    }
}
