//! YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023): without anchors, a
//! cell of each of three grids says whether a face is there, where, and where its landmarks are.

use super::{Detection, Landmarks};
use crate::face::geometry::{Point, Rect};
use crate::image::Size;

/// Pixels from one cell to the next, by grid.
const STRIDES: [usize; 3] = [8, 16, 32];

/// Outputs come by kind (class, object, box, landmarks), each for the three grids.
pub(super) fn decode(outputs: &[&[f32]], input: Size, least: f32) -> Vec<Detection> {
    let mut found = Vec::new();
    for (grid, stride) in STRIDES.into_iter().enumerate() {
        let [class, object, boxes, points] = [0, 1, 2, 3].map(|kind| outputs[3 * kind + grid]);
        let columns = input.width / stride;
        for (cell, (class, object)) in class.iter().zip(object).enumerate() {
            let score = (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
            if score < least {
                continue;
            }
            let corner = Point::new((cell % columns) as f32, (cell / columns) as f32);
            let (Some(shape), Some(points)) =
                (boxes.get(4 * cell..4 * cell + 4), points.get(10 * cell..10 * cell + 10))
            else {
                continue;
            };
            found.push(face(score, corner, shape, points, stride as f32));
        }
    }
    found
}

fn face(score: f32, corner: Point, shape: &[f32], points: &[f32], stride: f32) -> Detection {
    let (width, height) = (shape[2].exp() * stride, shape[3].exp() * stride);
    let (x, y) = ((corner.x + shape[0]) * stride, (corner.y + shape[1]) * stride);
    let area = Rect::new(x - width / 2.0, y - height / 2.0, width, height);
    let landmarks: Landmarks = std::array::from_fn(|i| {
        Point::new((corner.x + points[2 * i]) * stride, (corner.y + points[2 * i + 1]) * stride)
    });
    Detection { score, area, landmarks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_every_grid_is_found_where_it_is() {
        let input = Size::new(96, 64);
        for (grid, stride) in STRIDES.into_iter().enumerate() {
            let (columns, rows) = (input.width / stride, input.height / stride);
            for cell in 0..columns * rows {
                let mut outputs: Vec<Vec<f32>> = (0..12)
                    .map(|output| {
                        let numbers = super::super::HEADS[0].outputs[output];
                        let stride = STRIDES[output % 3];
                        vec![0.0; numbers * (input.width / stride) * (input.height / stride)]
                    })
                    .collect();
                outputs[grid][cell] = 0.81;
                outputs[3 + grid][cell] = 1.0;
                outputs[6 + grid][4 * cell..4 * cell + 4].copy_from_slice(&[0.5, 0.25, 0.0, 2_f32.ln()]);
                outputs[9 + grid][10 * cell + 4..10 * cell + 6].copy_from_slice(&[0.5, -1.0]);
                let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
                let found = decode(&outputs, input, 0.5);
                assert_eq!(found.len(), 1, "grid {grid}, cell {cell}");
                let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
                let side = stride as f32;
                let centre = Point::new((column + 0.5) * side, (row + 0.25) * side);
                assert!((found[0].score - 0.9).abs() < 1e-6);
                assert!(found[0].area.centre().distance(centre) < 1e-3);
                assert!((found[0].area.height - 2.0 * side).abs() < 1e-3);
                let nose = Point::new((column + 0.5) * side, (row - 1.0) * side);
                assert!(found[0].landmarks[2].distance(nose) < 1e-3);
                assert!(decode(&outputs, input, 0.95).is_empty());
            }
        }
    }
}
