//! Means over squares.

use rayon::prelude::*;

use super::bands::rows_in_band;
use super::lanes::{LANES, Lanes, RowMut, dispatched};
use super::plane::Plane;

/// Fills `to` with the means of `from` over squares of `2 * radius + 1` pixels a side, of which the nearest
/// pixels are repeated beyond the picture. `from` must be extended, `between` is scratch, all three of one
/// size. The radius is 7 at most.
pub fn box_filter(from: &Plane, radius: usize, between: &mut Plane, to: &mut Plane) {
    let count = rows_in_band(from.size);
    between.bands_mut(count).zip(to.bands_mut(count)).for_each(|(mut between, mut to)| {
        // The first row is enough, over and over.
        let scratch = between.rest_mut(-(LANES as isize), to.rows().start);
        for y in to.rows() {
            box_row(from, radius, y, scratch, to.lanes_mut(y));
        }
    });
}

/// Room for the sums of a row, for planes of a width.
pub fn sums(width: usize) -> Vec<f32> {
    vec![0.0; width.next_multiple_of(LANES) + 2 * LANES]
}

dispatched! {
    /// As [`box_filter`], one row. `sums` is scratch, see [`fn@sums`].
    pub fn box_row / box_row_plain(from: &Plane, radius: usize, y: usize, sums: &mut [f32], to: RowMut<'_>) {
        // Where the number is known, all of a square's rows are summed at once, in registers.
        match radius {
            0 => box_row_of_side::<1>(from, y, sums, to),
            1 => box_row_of_side::<3>(from, y, sums, to),
            2 => box_row_of_side::<5>(from, y, sums, to),
            3 => box_row_of_side::<7>(from, y, sums, to),
            4 => box_row_of_side::<9>(from, y, sums, to),
            5 => box_row_of_side::<11>(from, y, sums, to),
            6 => box_row_of_side::<13>(from, y, sums, to),
            7 => box_row_of_side::<15>(from, y, sums, to),
            _ => panic!("the border that is summed is eight pixels wide"),
        }
    }
}

#[inline(always)]
fn box_row_of_side<const SIDE: usize>(from: &Plane, y: usize, sums: &mut [f32], to: RowMut<'_>) {
    let radius = SIDE / 2;
    // Sums of columns, with a vector on both sides for the sums of rows.
    let (count, left, top) = (to.len() + 2, -(LANES as isize), y as isize - radius as isize);
    let columns: &mut [[f32; LANES]] = &mut sums.as_chunks_mut().0[..count];
    let rows: [&[[f32; LANES]]; SIDE] =
        std::array::from_fn(|down| &from.rest(left, top + down as isize).as_chunks().0[..count]);
    for (k, sum) in columns.iter_mut().enumerate() {
        let mut column = Lanes(rows[0][k]);
        for row in &rows[1..] {
            column += Lanes(row[k]);
        }
        *sum = column.0;
    }
    let share = Lanes::splat(1.0 / (SIDE * SIDE) as f32);
    let sums = &mut sums[LANES - radius..];
    if SIDE == 9 {
        // Three sums of three, each of which three pixels share. A sum takes the place of its first column, which no later one needs.
        for k in 0..=to.len() {
            let columns = &mut sums[k * LANES..k * LANES + 2 + LANES];
            let three = Lanes::load(columns) + Lanes::load(&columns[1..]) + Lanes::load(&columns[2..]);
            three.store(columns);
        }
        for (k, to) in to.iter_mut().enumerate() {
            let sums = &sums[k * LANES..k * LANES + 6 + LANES];
            *to = ((Lanes::load(sums) + Lanes::load(&sums[3..]) + Lanes::load(&sums[6..])) * share).0;
        }
        return;
    }
    for (k, to) in to.iter_mut().enumerate() {
        let sums = &sums[k * LANES..k * LANES + SIDE - 1 + LANES];
        let mut sum = Lanes::load(sums);
        for x in 1..SIDE {
            sum += Lanes::load(&sums[x..]);
        }
        *to = (sum * share).0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Size;
    use super::super::plane::tests::noise;
    use super::*;

    fn plain(from: &Plane, radius: usize, _: &mut Plane, to: &mut Plane) {
        let mut sums = sums(from.size.width);
        for y in 0..from.size.height {
            box_row_plain(from, radius, y, &mut sums, to.lanes_mut(0, y as isize));
        }
    }

    /// As the documentation says it, a pixel at a time.
    fn mean(plane: &Plane, radius: isize, x: usize, y: usize) -> f32 {
        let (width, height) = (plane.size.width as isize, plane.size.height as isize);
        let square = (-radius..=radius).flat_map(|dy| (-radius..=radius).map(move |dx| (dx, dy)));
        let samples = square.map(|(dx, dy)| {
            let (x, y) = ((x as isize + dx).clamp(0, width - 1), (y as isize + dy).clamp(0, height - 1));
            f64::from(plane.row(y as usize)[x as usize])
        });
        let side = (2 * radius + 1) as f64;
        (samples.sum::<f64>() / (side * side)) as f32
    }

    #[test]
    fn every_pixel_is_the_mean_of_the_square_around_it() {
        for (width, height) in [(1, 1), (3, 2), (8, 8), (13, 7), (40, 21)] {
            let size = Size::new(width, height);
            let from = noise(size, 3);
            for radius in 0..=7 {
                for filter in [box_filter, plain] {
                    let (mut between, mut to) = (Plane::new(size), Plane::new(size));
                    between.fill(f32::NAN);
                    filter(&from, radius, &mut between, &mut to);
                    for y in 0..height {
                        for x in 0..width {
                            let wanted = mean(&from, radius as isize, x, y);
                            let found = to.row(y)[x];
                            assert!((found - wanted).abs() < 1e-3, "{size} {radius}: {found} not {wanted}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn means_have_the_same_bits_on_every_processor() {
        let size = Size::new(53, 38);
        let from = noise(size, 5);
        let filtered = |filter: fn(&Plane, usize, &mut Plane, &mut Plane)| {
            let (mut between, mut to) = (Plane::new(size), Plane::new(size));
            filter(&from, 4, &mut between, &mut to);
            to.samples().to_vec()
        };
        assert_eq!(filtered(box_filter), filtered(plain));
    }
}
