//! What is remembered of a face that is restored.

use ndarray::Array2;

use super::agree::agree;
use super::align::Window;
use super::crop::Crop;
use super::detect::Landmarks;
use super::geometry::Similarity;
use super::guard::{By, Guard};
use super::identity::{Pair, SMALLEST};
use super::memory::Memory;
use super::parse::cover::{Cover, SIDE, to_parse};
use crate::infer::InferError;

/// A face whose embeddings were compared stays one until it is smaller than this share of the smallest, so that
/// none that is about as large goes back and forth.
const STAYS: f32 = 0.75;

/// What is remembered of a face.
#[derive(Default)]
pub struct Known {
    memory: Option<Memory>,
    pub guard: Guard,
    cover: Option<Cover>,
}

impl Known {
    /// Takes the crop of this frame, and gives it as it is best known; `moved` is how the face moved since the one before,
    /// `blends` whether what is restored takes anything from it.
    pub fn look(&mut self, window: Window, crop: Crop, moved: Option<&Similarity>, blends: bool) -> Crop {
        let memory = match self.memory.take() {
            Some(mut memory) => {
                memory.look(window, crop, moved);
                memory
            }
            None => Memory::new(window, crop, blends),
        };
        self.memory.insert(memory).input().clone()
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

#[cfg(test)]
mod tests {
    use super::*;

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
