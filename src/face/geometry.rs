//! Points, boxes and similarities in a picture. Coordinates are continuous: the pixel of column 0
//! covers 0 to 1, its centre is at 0.5. A place in a picture twice as large is twice the number.

/// A place in a picture, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// From the left edge.
    pub x: f32,
    /// From the top edge.
    pub y: f32,
}

impl Point {
    /// From the left and the top edge.
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// How far another is.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// Part of the way to another: 0 is here, 1 is there.
    pub fn towards(self, other: Self, share: f32) -> Self {
        Self::new(self.x + share * (other.x - self.x), self.y + share * (other.y - self.y))
    }

    /// The point in a picture this many times as large.
    pub fn times(self, scale: Point) -> Self {
        Self::new(self.x * scale.x, self.y * scale.y)
    }
}

/// A box.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Its left edge.
    pub x: f32,
    /// Its top edge.
    pub y: f32,
    /// Its width.
    pub width: f32,
    /// Its height.
    pub height: f32,
}

impl Rect {
    /// From the left, the top, the width and the height.
    pub const fn new(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self { x, y, width, height }
    }

    /// Its middle.
    pub fn centre(&self) -> Point {
        Point::new(self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    /// Square pixels.
    pub fn area(&self) -> f32 {
        self.width.max(0.0) * self.height.max(0.0)
    }

    /// Square pixels that both cover.
    pub fn shared(&self, other: &Self) -> f32 {
        let across = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let down = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        across.max(0.0) * down.max(0.0)
    }

    /// What both cover, as a share of what either does (intersection over union).
    pub fn overlap(&self, other: &Self) -> f32 {
        let shared = self.shared(other);
        let either = self.area() + other.area() - shared;
        if either > 0.0 { shared / either } else { 0.0 }
    }

    /// The box in a picture this many times as large.
    pub fn times(self, scale: Point) -> Self {
        Self::new(self.x * scale.x, self.y * scale.y, self.width * scale.x, self.height * scale.y)
    }

    /// The box after a similarity: its middle moves along, its sides grow, and it stays upright.
    pub fn moved(self, by: &Similarity) -> Self {
        let (centre, scale) = (by.apply(self.centre()), by.scale());
        let (width, height) = (self.width * scale, self.height * scale);
        Self::new(centre.x - width / 2.0, centre.y - height / 2.0, width, height)
    }
}

/// Turns, enlarges and moves: `(x, y)` goes to `(ax - by + tx, bx + ay + ty)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Enlargement times the cosine of the turn.
    pub a: f32,
    /// Enlargement times the sine of the turn.
    pub b: f32,
    /// To the right.
    pub tx: f32,
    /// Down.
    pub ty: f32,
}

impl Similarity {
    /// Leaves everything where it is.
    pub const IDENTITY: Self = Self { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// Enlarges, then moves.
    pub const fn upright(scale: f32, tx: f32, ty: f32) -> Self {
        Self { a: scale, b: 0.0, tx, ty }
    }

    /// Where a point goes.
    pub fn apply(&self, p: Point) -> Point {
        Point::new(self.a * p.x - self.b * p.y + self.tx, self.b * p.x + self.a * p.y + self.ty)
    }

    /// The enlargement.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    /// The way back. `None` if everything goes to one point.
    pub fn inverse(&self) -> Option<Self> {
        let square = self.a * self.a + self.b * self.b;
        if square.is_nan() || square <= f32::MIN_POSITIVE {
            return None;
        }
        let (a, b) = (self.a / square, -self.b / square);
        Some(Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) })
    }

    /// This one, then another.
    pub fn then(&self, next: &Self) -> Self {
        let moved = next.apply(Point::new(self.tx, self.ty));
        Self {
            a: next.a * self.a - next.b * self.b,
            b: next.b * self.a + next.a * self.b,
            tx: moved.x,
            ty: moved.y,
        }
    }

    /// The one that takes points nearest to where they shall go, by least squares. `None` if they
    /// are all in one place or none.
    pub fn fit(pairs: &[(Point, Point)]) -> Option<Self> {
        let count = pairs.len() as f64;
        let mean = |pick: &dyn Fn(&(Point, Point)) -> f32| {
            pairs.iter().map(|pair| f64::from(pick(pair))).sum::<f64>() / count
        };
        let from = (mean(&|pair| pair.0.x), mean(&|pair| pair.0.y));
        let to = (mean(&|pair| pair.1.x), mean(&|pair| pair.1.y));
        let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in pairs {
            let (px, py) = (f64::from(p.x) - from.0, f64::from(p.y) - from.1);
            let (qx, qy) = (f64::from(q.x) - to.0, f64::from(q.y) - to.1);
            along += px * qx + py * qy;
            across += px * qy - py * qx;
            spread += px * px + py * py;
        }
        if spread.is_nan() || spread <= f64::EPSILON {
            return None;
        }
        let (a, b) = (along / spread, across / spread);
        let (tx, ty) = (to.0 - (a * from.0 - b * from.1), to.1 - (b * from.0 + a * from.1));
        Some(Self { a: a as f32, b: b as f32, tx: tx as f32, ty: ty as f32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarities() -> impl Iterator<Item = Similarity> {
        (0..48).map(|at| {
            let (turn, scale) = (at as f32 * 0.4, 0.1 + at as f32 * 0.3);
            let (a, b) = (scale * turn.cos(), scale * turn.sin());
            Similarity { a, b, tx: 7.0 - 3.0 * at as f32, ty: at as f32 }
        })
    }

    const POINTS: [Point; 4] =
        [Point::new(0.0, 0.0), Point::new(10.0, 3.0), Point::new(-4.0, 21.5), Point::new(13.0, -8.0)];

    #[test]
    fn there_and_back_ends_where_it_began() {
        for similarity in similarities() {
            let back = similarity.inverse().unwrap();
            for point in POINTS {
                let after = back.apply(similarity.apply(point));
                assert!(point.distance(after) < 1e-3, "{similarity:?}: {point:?} {after:?}");
                let at_once = similarity.then(&back).apply(point);
                assert!(point.distance(at_once) < 1e-3, "{similarity:?}: {point:?} {at_once:?}");
            }
        }
        assert_eq!(Similarity::upright(0.0, 1.0, 1.0).inverse(), None);
    }

    #[test]
    fn the_fit_finds_every_similarity_that_points_went_by() {
        for similarity in similarities() {
            let pairs = POINTS.map(|point| (point, similarity.apply(point)));
            let fitted = Similarity::fit(&pairs).unwrap();
            for point in POINTS {
                let missed = fitted.apply(point).distance(similarity.apply(point));
                assert!(missed < 1e-3, "{similarity:?} {fitted:?}");
            }
        }
        assert_eq!(Similarity::fit(&[]), None);
        assert_eq!(Similarity::fit(&[(POINTS[1], POINTS[2]); 3]), None);
    }

    #[test]
    fn the_overlap_of_boxes_is_their_share_of_the_whole() {
        let unit = Rect::new(0.0, 0.0, 2.0, 2.0);
        for (other, expected) in [
            (unit, 1.0),
            (Rect::new(1.0, 0.0, 2.0, 2.0), 1.0 / 3.0),
            (Rect::new(0.5, 0.5, 1.0, 1.0), 0.25),
            (Rect::new(2.0, 0.0, 2.0, 2.0), 0.0),
            (Rect::new(0.0, 0.0, 0.0, 0.0), 0.0),
        ] {
            assert_eq!(unit.overlap(&other), expected, "{other:?}");
            assert_eq!(other.overlap(&unit), expected, "{other:?}");
        }
    }
}
