//! A small picture of fixed size, in which frames of any size are compared.

use ndarray::{Array2, ArrayView2, Axis};

use crate::image::lanes::dispatched;

/// Columns of a thumbnail.
pub const WIDTH: usize = 160;
/// Rows of a thumbnail.
pub const HEIGHT: usize = 96;

/// Reduces pictures of one size after the other.
#[derive(Default)]
pub struct Reduction {
    /// Rows and columns of the pictures.
    from: (usize, usize),
    /// What each column covers, and its share.
    columns: Vec<Vec<(usize, f32)>>,
    sums: Vec<f32>,
}

impl Reduction {
    /// Fills `to` with the means of the parts of a picture that its samples cover, each of which is as
    /// wide and as high as the ratio of the sizes. What is not finite becomes black or white.
    ///
    /// # Panics
    /// If the picture has no sample.
    pub fn reduce(&mut self, from: ArrayView2<'_, f32>, to: &mut Array2<f32>) {
        let (height, width) = from.dim();
        assert!(width > 0 && height > 0, "a thumbnail of nothing");
        if (self.from, self.columns.len()) != (from.dim(), to.ncols()) {
            let columns = Covered::new(width, to.ncols());
            self.columns = (0..to.ncols()).map(|x| columns.of(x).collect()).collect();
            (self.from, self.sums) = (from.dim(), vec![0.0; width]);
        }
        let Self { columns, sums, .. } = self;
        let rows = Covered::new(height, to.nrows());
        for (y, mut to) in to.outer_iter_mut().enumerate() {
            sums.fill(0.0);
            for (row, weight) in rows.of(y) {
                let row = from.index_axis(Axis(0), row);
                match row.as_slice() {
                    Some(row) => add_row(row, weight, sums),
                    None => sums.iter_mut().zip(row).for_each(|(sum, sample)| *sum += weight * sample),
                }
            }
            for (columns, to) in columns.iter().zip(&mut to) {
                let mean: f32 = columns.iter().map(|&(column, weight)| weight * sums[column]).sum();
                *to = if mean.is_nan() { 0.0 } else { mean.clamp(0.0, 255.0) };
            }
        }
    }
}

dispatched! {
    fn add_row / add_row_plain(row: &[f32], weight: f32, sums: &mut [f32]) {
        for (sum, sample) in sums.iter_mut().zip(row) {
            *sum += weight * sample;
        }
    }
}

/// Which samples of a line each sample of a shorter or longer line covers.
struct Covered {
    from: usize,
    /// Samples of the one in one of the other.
    ratio: f64,
}

impl Covered {
    fn new(from: usize, to: usize) -> Self {
        Self { from, ratio: from as f64 / to as f64 }
    }

    /// The samples below the sample `at`, and their shares of it, which sum to one.
    fn of(&self, at: usize) -> impl Iterator<Item = (usize, f32)> + use<> {
        let (start, end) = (at as f64 * self.ratio, (at + 1) as f64 * self.ratio);
        let last = (end.ceil() as usize).min(self.from);
        let ratio = self.ratio;
        (start as usize..last).map(move |index| {
            let shared = end.min((index + 1) as f64) - start.max(index as f64);
            (index, (shared / ratio) as f32)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::s;

    fn reduced(from: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut to = Array2::from_elem((HEIGHT, WIDTH), f32::NAN);
        let mut reduction = Reduction::default();
        // One of another size before must leave nothing behind.
        reduction.reduce(Array2::from_elem((3, 5), f32::NAN).view(), &mut to);
        reduction.reduce(from, &mut to);
        to
    }

    #[test]
    fn every_sample_counts_by_the_area_that_it_covers() {
        for (width, height) in [(1, 1), (3, 2), (159, 95), (161, 97), (160, 96), (176, 144), (641, 361)] {
            let from = Array2::from_shape_fn((height, width), |(y, x)| ((x * 37 + y * 101) % 256) as f32);
            let to = reduced(from.view());
            let (mean, expected) = (to.mean().unwrap(), from.mean().unwrap());
            assert!((mean - expected).abs() < 0.01, "{width}x{height}: mean {mean}, not {expected}");
            // A ramp stays a ramp: the mean of what a sample covers is the ramp at its middle.
            let ramp =
                Array2::from_shape_fn((height, width), |(_, x)| 200.0 * (x as f32 + 0.5) / width as f32);
            let to = reduced(ramp.view());
            for x in (0..WIDTH).filter(|_| width > WIDTH) {
                let (found, expected) = (to[(HEIGHT / 2, x)], 200.0 * (x as f32 + 0.5) / WIDTH as f32);
                assert!(
                    (found - expected).abs() < 100.0 / width as f32,
                    "{width}x{height}: {found}, not {expected}"
                );
            }
        }
        let from = Array2::from_shape_fn((2 * HEIGHT, 3 * WIDTH), |(y, x)| ((x * 7 + y * 5) % 200) as f32);
        let to = reduced(from.view());
        for ((y, x), found) in to.indexed_iter() {
            let expected = from.slice(s![2 * y..2 * y + 2, 3 * x..3 * x + 3]).mean().unwrap();
            assert!((found - expected).abs() < 1e-3, "{x},{y}: {found}, not {expected}");
        }
    }

    #[test]
    fn padding_is_never_read_and_nothing_is_outside_of_black_and_white() {
        let mut wide = Array2::from_elem((200, 340), f32::NAN);
        wide.slice_mut(s![1..198, 2..337]).fill(77.0);
        let to = reduced(wide.slice(s![1..198, 2..337]));
        assert!(to.iter().all(|&sample| (sample - 77.0).abs() < 1e-3));
        for (value, expected) in [(f32::NAN, 0.0), (f32::INFINITY, 255.0), (f32::MIN, 0.0), (1e9, 255.0)] {
            assert!(
                reduced(Array2::from_elem((7, 9), value).view()).iter().all(|&sample| sample == expected)
            );
        }
    }
}
