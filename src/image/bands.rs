//! Rows of pictures, shared out to threads.

use std::ops::Range;

use rayon::prelude::*;

use super::Size;

/// Fewer samples than this are not worth another thread.
const SMALLEST: usize = 4096;
/// Rows that a band has at least.
const FEWEST: usize = 16;
/// Bands that each thread gets: the processor's cores are seldom all free.
const OF_A_THREAD: usize = 2;

/// Rows of a band, so that all threads have something to do. Whatever is computed must not depend on it.
pub fn rows_in_band(size: Size) -> usize {
    rows_in_bands(size, OF_A_THREAD * rayon::current_num_threads())
}

/// Rows of a band where there are to be so many bands at most; an even number.
pub fn rows_in_bands(size: Size, most: usize) -> usize {
    let least = SMALLEST.div_ceil(size.width.max(1)).max(FEWEST);
    size.height.div_ceil(most.max(1)).max(least).next_multiple_of(2)
}

/// Some rows of a picture, to write; they are counted in the picture.
pub struct Rows<'a> {
    first: usize,
    samples: &'a mut [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `stride` samples, which are all there are, in bands of `count`.
    pub fn bands(
        samples: &'a mut [f32],
        stride: usize,
        count: usize,
    ) -> impl IndexedParallelIterator<Item = Self> {
        let bands = samples.par_chunks_mut(stride * count).enumerate();
        bands.map(move |(index, samples)| Self { first: index * count, samples, stride })
    }

    /// Which they are.
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.samples.len() / self.stride
    }

    /// One of them.
    #[inline(always)]
    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let start = (y - self.first) * self.stride;
        &mut self.samples[start..start + self.stride]
    }

    /// All of them, top to bottom.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [f32]> {
        self.samples.chunks_exact_mut(self.stride)
    }

    /// Every sample.
    pub fn fill(&mut self, value: f32) {
        self.samples.fill(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_all_rows_once_and_no_more_bands_than_wanted() {
        for (width, height) in [(1, 1), (7, 50), (640, 360), (1280, 721), (5000, 3)] {
            for most in [1, 2, 3, 16, 1000] {
                let count = rows_in_bands(Size::new(width, height), most);
                assert!(
                    count.is_multiple_of(2) && count >= FEWEST && height.div_ceil(count) <= most,
                    "{count}"
                );
                let mut samples = vec![0.0; width * height];
                Rows::bands(&mut samples, width, count).for_each(|mut rows| {
                    for y in rows.range() {
                        rows.row_mut(y).iter_mut().for_each(|sample| *sample += y as f32);
                    }
                    let first = rows.range().start;
                    assert!((first..).zip(rows.iter_mut()).all(|(y, row)| row[0] == y as f32));
                });
                let rows = samples.chunks_exact(width).enumerate();
                assert!(
                    rows.flat_map(|(y, row)| row.iter().map(move |s| (y, s))).all(|(y, s)| *s == y as f32)
                );
            }
        }
    }
}
