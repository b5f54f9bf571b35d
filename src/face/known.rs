//! What is remembered of a face that is restored.

use ndarray::Array2;

use super::agree::agree;
use super::align::Window;
use super::crop::Crop;
use super::detect::Landmarks;
use super::geometry::Similarity;
use super::guard::{By, Guard};
use super::identity::{Pair, SMALLEST};
use super::memory::{Memory, Takes};
use super::parse::cover::{Cover, SIDE, to_parse};
use crate::infer::InferError;

/// A face whose embeddings were compared stays one until it is smaller than this share of the smallest, so that
/// none that is about as large goes back and forth.
const STAYS: f32 = 0.75;

/// Side of the squares of a crop that must look as they did for it to be restored as it was.
const LOOKED_AT: usize = 16;
/// How much the mean of one may differ, in levels of 255, where as much is reused as can be.
const ALIKE: f32 = 2.0;
/// Frames for which a restored face is used again at most.
const LONGEST: u32 = 16;

/// A crop, and what the restorer made of it.
struct Restored {
    crop: Crop,
    made: Crop,
    fidelity: f32,
    frames: u32,
}

/// What is remembered of a face.
#[derive(Default)]
pub struct Known {
    memory: Option<Memory>,
    restored: Option<Restored>,
    pub guard: Guard,
    cover: Option<Cover>,
}

impl Known {
    /// Takes the crop of this frame, and gives it as it is best known; `moved` is how the face moved since the one before,
    /// `takes` what is taken from it.
    pub fn look(&mut self, window: Window, crop: Crop, moved: Option<&Similarity>, takes: Takes) -> Crop {
        let memory = match self.memory.take() {
            Some(mut memory) => {
                memory.look(window, crop, moved);
                memory
            }
            None => Memory::new(window, crop, takes),
        };
        self.memory.insert(memory).input().clone()
    }

    /// What the restorer made of a crop that looked like this one; `reuse` of 0 to 1 says how much may be taken for that.
    pub fn made_before(&mut self, crop: &Crop, fidelity: f32, reuse: f32) -> Option<Crop> {
        let restored = self.restored.as_mut().filter(|_| reuse > 0.0)?;
        restored.frames += 1;
        let is_fresh = restored.frames < LONGEST && restored.fidelity == fidelity;
        let is_alike = is_fresh && largest_difference(crop, &restored.crop) <= reuse * ALIKE / 255.0;
        is_alike.then(|| restored.made.clone())
    }

    /// Remembers what the restorer made of a crop.
    pub fn remember(&mut self, crop: &Crop, made: &Crop, fidelity: f32) {
        self.restored = Some(Restored { crop: crop.clone(), made: made.clone(), fidelity, frames: 0 });
    }

    /// What is to be laid over the picture.
    pub fn steadied(&self) -> Option<&Crop> {
        Some(self.memory.as_ref()?.steadied()?.1)
    }

    /// Takes what was made of the crop of this frame: brings it into agreement with it, and steadies it. Gives how
    /// far the two agreed. `detail` is the share of the source's, `light` as of
    /// [`agree`].
    ///
    /// # Errors
    /// Why there is nothing to lay over; what was seen of the face is forgotten then.
    pub fn finish(
        &mut self,
        made: Result<Crop, InferError>,
        crop: &Crop,
        detail: f32,
        light: f32,
    ) -> Result<f32, InferError> {
        let finished = made.and_then(|mut made| {
            let agreed = agree(&mut made, crop, detail, light);
            let is_finite = made.iter().all(|value| value.is_finite());
            let memory = self.memory.as_mut().filter(|_| is_finite).ok_or(InferError::NotFinite)?;
            memory.steady(made);
            Ok(agreed)
        });
        if finished.is_err() {
            self.memory = None;
            self.restored = None;
            self.cover = None;
        }
        finished
    }

    /// Whether it is judged by its embeddings, at this height in pixels of the small picture.
    pub fn is_embedded(&self, height: f32) -> bool {
        let stays = if self.guard.by() == Some(By::Embedding) { STAYS } else { 1.0 };
        height >= stays * SMALLEST
    }

    /// What is to be embedded. `None` where the landmarks are no face.
    pub fn pair(&self, landmarks: &Landmarks) -> Option<Pair> {
        let memory = self.memory.as_ref()?;
        let (window, restored) = memory.steadied()?;
        Pair::cut(memory.input(), restored, window, landmarks)
    }

    /// What is to be parsed. `None` where the landmarks are no face.
    pub fn to_parse(&self, landmarks: &Landmarks) -> Option<Crop> {
        let (window, restored) = self.memory.as_ref()?.steadied()?;
        to_parse(restored, window, landmarks)
    }

    /// Takes what may be laid over, by this frame alone; `None` is everything. It goes over from one to the other as what
    /// was restored does.
    pub fn cover(&mut self, fresh: Option<Array2<f32>>, landmarks: &Landmarks) {
        if fresh.is_none() && self.cover.is_none() {
            return;
        }
        let Some(memory) = &self.memory else { return };
        let Some((window, _)) = memory.steadied() else { return };
        let plane = fresh.unwrap_or_else(|| Array2::ones((SIDE, SIDE)));
        self.cover = Cover::next(self.cover.take(), plane, landmarks, window, memory.past());
    }

    /// What may be laid over; `None` is everything.
    pub fn covered(&self) -> Option<&Cover> {
        self.cover.as_ref()
    }
}

/// The largest mean difference of any square of two crops; without end where their sizes differ.
fn largest_difference(one: &Crop, other: &Crop) -> f32 {
    if one.dim() != other.dim() {
        return f32::INFINITY;
    }
    let squares = |crop: &Crop| {
        let (channels, height, width) = crop.dim();
        let side = LOOKED_AT.min(height).min(width);
        (channels, height / side, width / side, side)
    };
    let (channels, down, across, side) = squares(one);
    let mut largest = 0.0_f32;
    let mut sums = vec![0.0_f32; across];
    for y in 0..down {
        sums.fill(0.0);
        let rows = ndarray::s![.., y * side..(y + 1) * side, ..];
        let (one, other) = (one.slice(rows), other.slice(rows));
        for (one, other) in one.rows().into_iter().zip(other.rows()) {
            let (Some(one), Some(other)) = (one.to_slice(), other.to_slice()) else { return f32::INFINITY };
            let squares = one.chunks_exact(side).zip(other.chunks_exact(side));
            for (sum, (one, other)) in sums.iter_mut().zip(squares) {
                *sum += one.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f32>();
            }
        }
        largest = sums.iter().fold(largest, |most, sum| most.max(sum / (channels * side * side) as f32));
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_is_that_of_the_square_that_differs_most() {
        for side in [5, 16, 48, 70] {
            let one = Crop::from_shape_fn((3, side, side), |(c, y, x)| ((c * 7 + y * 5 + x * 3) % 11) as f32);
            assert_eq!(largest_difference(&one, &one), 0.0);
            let square = LOOKED_AT.min(side);
            // Pixels beyond the last whole square do not count.
            let whole = side / square * square;
            for at in [0, square - 1, whole - 1] {
                let mut other = one.clone();
                other[(1, at, whole - 1)] -= 6.0;
                other[(2, whole - 1, at)] += 3.0;
                let apart = at / square < (whole - 1) / square;
                let most = if apart { 6.0 } else { 9.0 } / (3 * square * square) as f32;
                assert!((largest_difference(&one, &other) - most).abs() < 1e-6, "{side}, {at}");
            }
        }
        let sizes = [Crop::zeros((3, 16, 16)), Crop::zeros((3, 32, 32))];
        assert_eq!(largest_difference(&sizes[0], &sizes[1]), f32::INFINITY);
    }

    #[test]
    fn faces_about_as_large_as_the_smallest_do_not_go_from_one_test_to_the_other_and_back() {
        let mut known = Known::default();
        for (height, is_embedded) in [(31.0, false), (33.0, true), (28.0, true), (23.0, false), (28.0, false)]
        {
            assert_eq!(known.is_embedded(height), is_embedded, "{height}");
            known.guard.judge(if is_embedded { By::Embedding } else { By::Agreement }, 0.9);
        }
    }
}
