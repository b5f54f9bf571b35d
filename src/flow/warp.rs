//! A picture, sampled where a flow points.

use crate::image::lanes::{LANES, Lanes, Row, RowMut, SIDE_BY_SIDE, are_side_by_side, dispatched, whole};
use crate::image::plane::Plane;

dispatched! {
    /// Samples `from` where the flow of a row points, bilinear; where that is outside, at its edge.
    pub fn warp_row / warp_row_plain(from: &Plane, y: usize, flow: [Row<'_>; 2], to: RowMut<'_>, inside: RowMut<'_>) {
        let [last_x, last_y] = [from.size.width, from.size.height].map(|length| (length - 1) as f32);
        let (count, row) = (to.len(), Lanes::splat(y as i32 as f32));
        let ([u, v], inside) = (flow.map(|flow| &flow[..count]), &mut inside[..count]);
        for k in 0..count {
            let columns = Lanes::splat((LANES * k) as i32 as f32) + SIDE_BY_SIDE;
            let (far_x, far_y) = (columns + Lanes(u[k]), row + Lanes(v[k]));
            // Nor is what the last vector has beyond the row.
            let in_row = columns.is_within(0.0, last_x) * far_x.is_within(0.0, last_x);
            inside[k] = (in_row * far_y.is_within(0.0, last_y)).0;
            let x = far_x.max(Lanes::ZERO).min(Lanes::splat(last_x));
            let y = far_y.max(Lanes::ZERO).min(Lanes::splat(last_y));
            let (left, top) = (x.floor(), y.floor());
            let taps = taps(from, left, top);
            let (across, down) = (x - left, y - top);
            let above = taps[0] + across * (taps[1] - taps[0]);
            let below = taps[2] + across * (taps[3] - taps[2]);
            to[k] = (above + down * (below - above)).0;
        }
    }
}

/// The samples at eight pixels, to the right of them, below them and to the right of those.
#[inline(always)]
fn taps(from: &Plane, columns: Lanes, rows: Lanes) -> [Lanes; 4] {
    if !are_side_by_side(columns, rows) {
        return taps_apart(from, &columns, &rows);
    }
    let at = from.index(whole(columns.0[0]) as isize, whole(rows.0[0]) as isize);
    let (above, below) = (&from.samples()[at..], &from.samples()[at + from.stride..]);
    [Lanes::load(above), Lanes::load(&above[1..]), Lanes::load(below), Lanes::load(&below[1..])]
}

/// As [`taps`], of pixels that do not lie side by side.
#[inline(never)]
fn taps_apart(from: &Plane, columns: &Lanes, rows: &Lanes) -> [Lanes; 4] {
    let mut taps = [Lanes::ZERO; 4];
    for lane in 0..LANES {
        let at = from.index(whole(columns.0[lane]) as isize, whole(rows.0[lane]) as isize);
        let [above, below] = [at, at + from.stride].map(|at| &from.samples()[at..at + 2]);
        let of_lane = [above[0], above[1], below[0], below[1]];
        taps.iter_mut().zip(of_lane).for_each(|(taps, tap)| taps.0[lane] = tap);
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Size;
    use crate::image::plane::tests::{noise, plane};

    #[test]
    fn a_picture_is_warped_as_the_formula_says_wherever_its_pixels_went() {
        for (width, height) in [(16, 16), (17, 19), (31, 16), (40, 21)] {
            let size = Size::new(width, height);
            let from = noise(size, 1);
            // Side by side, a pixel apart, anywhere, and far outside.
            for (reach, odd) in
                [(0.3, None), (1.5, None), (9.0, None), (9.0, Some(f32::NAN)), (9.0, Some(1e9))]
            {
                let [mut u, mut v] = [3, 4]
                    .map(|seed| plane(size, |x, y| reach * (noise(size, seed).row(y)[x] / 127.5 - 1.0)));
                if let Some(odd) = odd {
                    (u.row_mut(3)[5], v.row_mut(7)[2]) = (odd, -odd);
                }
                for warp_row in [warp_row, warp_row_plain] {
                    let (mut warped, mut inside) = (Plane::new(size), Plane::new(size));
                    warped.fill(f32::NAN);
                    inside.fill(f32::NAN);
                    for y in 0..height {
                        let flow = [&u, &v].map(|flow| flow.lanes(0, y as isize));
                        warp_row(
                            &from,
                            y,
                            flow,
                            warped.lanes_mut(0, y as isize),
                            inside.lanes_mut(0, y as isize),
                        );
                        for (k, inside) in inside.lanes(0, y as isize).as_flattened().iter().enumerate() {
                            if k >= width {
                                assert_eq!(*inside, 0.0, "{size}: beyond the row at {k},{y}");
                                continue;
                            }
                            let far = [k as f32 + u.row(y)[k], y as f32 + v.row(y)[k]];
                            let last = [width - 1, height - 1].map(|last| last as f32);
                            let is_inside =
                                far.iter().zip(last).all(|(far, last)| (0.0..=last).contains(far));
                            assert_eq!(*inside, f32::from(is_inside), "{size} at {k},{y}");
                            let [x, row] = [0, 1].map(|axis| far[axis].max(0.0).min(last[axis]));
                            let at = |x: f32, y: f32| {
                                from.row((y as usize).min(height - 1))[(x as usize).min(width - 1)]
                            };
                            let (fx, fy) = (x.fract(), row.fract());
                            let line = |y: f32| at(x, y) + fx * (at(x + 1.0, y) - at(x, y));
                            let expected = line(row) + fy * (line(row + 1.0) - line(row));
                            let found = warped.row(y)[k];
                            assert!(
                                (found - expected).abs() < 1e-3,
                                "{size} at {k},{y}: {found}, not {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
