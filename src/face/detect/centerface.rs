//! CenterFace (Xu, Yan, Yang, Liu, "CenterFace: Joint Face Detection and Alignment Using Face as
//! Point", 2020): a map of the middles of faces, and for each cell the size of the box, where in
//! the cell its middle is, and the landmarks as shares of the box.

use super::{Detection, Landmarks};
use crate::face::geometry::{Point, Rect};
use crate::image::Size;

/// Pixels from one cell to the next.
const STRIDE: f32 = 4.0;

/// Outputs: heat, size (height first, as logarithms), offset (down first), landmarks (down first).
pub(super) fn decode(outputs: &[&[f32]], input: Size, least: f32) -> Vec<Detection> {
    let [heat, size, offset, points] = [0, 1, 2, 3].map(|output| outputs[output]);
    let columns = input.width / STRIDE as usize;
    let cells = columns * (input.height / STRIDE as usize);
    if heat.len() < cells || size.len() < 2 * cells || offset.len() < 2 * cells || points.len() < 10 * cells {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (cell, &score) in heat[..cells].iter().enumerate() {
        if score < least || !is_peak(heat, columns, cell) {
            continue;
        }
        let value = |map: &[f32], channel: usize| map[channel * cells + cell];
        let (height, width) = (value(size, 0).exp() * STRIDE, value(size, 1).exp() * STRIDE);
        let middle = |position: usize, offset: f32| (position as f32 + offset + 0.5) * STRIDE;
        let x = middle(cell % columns, value(offset, 1)) - width / 2.0;
        let y = middle(cell / columns, value(offset, 0)) - height / 2.0;
        let landmarks: Landmarks = std::array::from_fn(|i| {
            Point::new(x + value(points, 2 * i + 1) * width, y + value(points, 2 * i) * height)
        });
        found.push(Detection { score: score.min(1.0), area: Rect::new(x, y, width, height), landmarks });
    }
    found
}

/// Whether no neighbour is hotter: the heat of a face covers several cells.
fn is_peak(heat: &[f32], columns: usize, cell: usize) -> bool {
    let (column, row) = (cell % columns, cell / columns);
    let rows = row.saturating_sub(1)..=row + 1;
    rows.flat_map(|row| {
        (column.saturating_sub(1)..=(column + 1).min(columns - 1)).map(move |c| row * columns + c)
    })
    .all(|near| heat.get(near).is_none_or(|&other| other <= heat[cell]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peak_is_found_where_it_is_and_its_slopes_are_not() {
        let input = Size::new(64, 32);
        let (columns, cells) = (16, 16 * 8);
        for cell in 0..cells {
            let mut heat = vec![0.0; cells];
            heat[cell] = 0.8;
            if cell + 1 < cells {
                heat[cell + 1] = 0.7;
            }
            let mut size = vec![0.0; 2 * cells];
            size[cell] = 3_f32.ln();
            let mut points = vec![0.0; 10 * cells];
            points[4 * cells + cell] = 0.75;
            points[5 * cells + cell] = 0.5;
            let offset = vec![0.25; 2 * cells];
            let found = decode(&[&heat, &size, &offset, &points], input, 0.5);
            let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
            let first = found[0];
            assert_eq!((first.area.width, first.score), (4.0, 0.8));
            assert!((first.area.height - 12.0).abs() < 1e-4);
            let centre = Point::new((column + 0.75) * 4.0, (row + 0.75) * 4.0);
            assert!(first.area.centre().distance(centre) < 1e-3, "cell {cell}");
            let nose = Point::new(centre.x, centre.y + 3.0);
            assert!(first.landmarks[2].distance(nose) < 1e-3, "cell {cell}");
            // In the next row the second is no neighbour.
            let apart = (cell + 1) % columns == 0 && cell + 1 < cells;
            assert_eq!(found.len(), 1 + usize::from(apart), "cell {cell}");
        }
    }
}
