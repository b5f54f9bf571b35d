//! What was seen of a face before, blended in where the input agrees. First into what the restorer sees,
//! which has less noise for it; then into what it makes, because it makes something else of every frame,
//! and a face at rest must not shimmer. What moves by itself, such as lips and lids, keeps up:
//! there the inputs do not agree.

use ndarray::Array2;

use super::agree::luma;
use super::align::Window;
use super::crop::{Crop, cut, resized, side};
use super::geometry::{Point, Similarity};
use super::mask::smoothstep;
use crate::image::soften::soften;

/// Frames that the past counts for at most.
const MOST: f32 = 5.0;

/// Difference, in levels of 0 to 1, that is none, besides noise.
const TOLERANCE: f32 = 3.0 / 255.0;
/// Differences, in deviations, up to which inputs agree, and from which they do not.
const AGREED: (f32, f32) = (1.3, 2.2);
/// Deviation, in pixels of the input, of the blur in which differences are looked at.
const NEAR: f32 = 1.5;
/// From the median of absolute differences to the standard deviation of noise.
const MEDIAN_TO_DEVIATION: f32 = 1.4826;
/// Noise of more than this, in levels of 0 to 1, is motion.
const MOST_NOISE: f32 = 20.0 / 255.0;

/// What is taken of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing. Where the restorer makes of like faces like ones, the past would only blur: see
    /// [`Restorer::invents`](super::restore::Restorer::invents).
    Nothing,
    /// Nothing of the face, but somebody wants to know what might be: see [`Memory::past`].
    Shares,
    /// It is blended in.
    Blends,
}

/// What is remembered of a face.
#[derive(Clone, Debug)]
pub struct Memory {
    takes: Takes,
    window: Window,
    input: Crop,
    /// How many frames have gone into each pixel of the input.
    count: Array2<f32>,
    restored: Option<Crop>,
    /// Of the frame under way: points of its crop to points of the one before, and the share of the past.
    way: Option<(Similarity, Array2<f32>)>,
}

impl Memory {
    /// Of a first frame.
    pub fn new(window: Window, input: Crop, takes: Takes) -> Self {
        let count = Array2::ones((side(&input), side(&input)));
        Self { takes, window, input, count, restored: None, way: None }
    }

    /// Takes the next frame's crop; `moved` takes points of the picture before to points of this one, as the
    /// face moved. `None` begins anew.
    pub fn look(&mut self, window: Window, mut input: Crop, moved: Option<&Similarity>) {
        if self.takes == Takes::Nothing {
            (self.window, self.input) = (window, input);
            return;
        }
        let fits = side(&self.input) == side(&input) && self.restored.is_some();
        let back = moved.and_then(Similarity::inverse).zip(self.window.place.inverse());
        let Some((back, to_crop)) = back.filter(|_| fits) else {
            *self = Self::new(window, input, self.takes);
            return;
        };
        let way = window.place.then(&back).then(&to_crop);
        let before = cut(&self.input.view(), &way, side(&input));
        let share = self.share(&way, &before, &input);
        if self.takes == Takes::Blends {
            mix(&mut input, &before, &share);
        }
        self.window = window;
        self.input = input;
        self.way = Some((way, share));
    }

    /// The crop as it is best known.
    pub fn input(&self) -> &Crop {
        &self.input
    }

    /// Blends what was made of [`Self::input`] with what was made before, and remembers it.
    pub fn steady(&mut self, mut restored: Crop) -> &Crop {
        let before = self
            .restored
            .take()
            .filter(|before| self.takes == Takes::Blends && side(before) == side(&restored));
        if let Some((before, (way, share))) = before.zip(self.way.as_ref()) {
            let times = side(&restored) as f32 / side(&self.input) as f32;
            let finer = Similarity { tx: way.tx * times, ty: way.ty * times, ..*way };
            let past = cut(&before.view(), &finer, side(&restored));
            mix(&mut restored, &past, share);
        }
        self.restored.insert(restored)
    }

    /// What was steadied last: the window, and the crop as it is laid over the picture.
    pub fn steadied(&self) -> Option<(&Window, &Crop)> {
        Some((&self.window, self.restored.as_ref()?))
    }

    /// How the frame under way takes from the one before: points of the input's crop to points of the one before, and the
    /// share of the past for each pixel. `None` where it takes nothing.
    pub fn past(&self) -> Option<(&Similarity, &Array2<f32>)> {
        self.way.as_ref().map(|(way, share)| (way, share))
    }

    /// The share of the past for each pixel of the input; counts the frame.
    fn share(&mut self, way: &Similarity, before: &Crop, input: &Crop) -> Array2<f32> {
        let error = distrust(&luma(before), &luma(input));
        let length = side(input);
        let last = length as f32 - 0.5;
        let mut share = Array2::zeros(error.dim());
        let mut counted = Array2::zeros(error.dim());
        for ((y, x), share) in share.indexed_iter_mut() {
            let at = way.apply(Point::new(x as f32 + 0.5, y as f32 + 0.5));
            let inside = at.x >= 0.5 && at.y >= 0.5 && at.x <= last && at.y <= last;
            if !inside {
                counted[(y, x)] = 1.0;
                continue;
            }
            let agreed = 1.0 - smoothstep(AGREED.0, AGREED.1, error[(y, x)]);
            let count: f32 = self.count[(at.y as usize, at.x as usize)];
            *share = agreed * count / (count + 1.0);
            counted[(y, x)] = (count * agreed).min(MOST) + 1.0;
        }
        self.count = counted;
        share
    }
}

/// How far two planes differ nearby, in deviations of their noise.
fn distrust(before: &Array2<f32>, now: &Array2<f32>) -> Array2<f32> {
    let mut error = now - before;
    let mut sizes: Vec<f32> = error.iter().map(|value| value.abs()).collect();
    let middle = sizes.len() / 2;
    let median = *sizes.select_nth_unstable_by(middle, f32::total_cmp).1;
    let noise = (MEDIAN_TO_DEVIATION * median).min(MOST_NOISE);
    error.mapv_inplace(|value| value * value);
    soften(error.view_mut(), NEAR);
    let allowed = noise * noise + TOLERANCE * TOLERANCE;
    error.mapv(|square| (square.max(0.0) / allowed).sqrt())
}

/// Takes a share of the past for each pixel; the shares may be on a coarser grid.
fn mix(now: &mut Crop, past: &Crop, share: &Array2<f32>) {
    let shares = Crop::from_shape_fn((3, share.nrows(), share.ncols()), |(_, y, x)| share[(y, x)]);
    let shares = resized(&shares, side(now));
    for ((value, past), share) in now.iter_mut().zip(past).zip(&shares) {
        *value += share.clamp(0.0, 1.0) * (past - *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(x: f32) -> Window {
        Window { place: Similarity::upright(1.0, x, 3.0), side: 32 }
    }

    fn scene(x: usize, y: usize) -> f32 {
        0.5 + 0.3 * (x as f32 * 0.4).sin() * (y as f32 * 0.3).cos()
    }

    fn crop(shift: usize, noise: f32, seed: usize) -> Crop {
        Crop::from_shape_fn((3, 32, 32), |(c, y, x)| {
            let mut bits = (x * 37 + y * 101 + c * 57 + seed * 7919) as u32;
            for _ in 0..3 {
                bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D).wrapping_add(0x9E37_79B9);
            }
            scene(x + shift, y) + noise * ((bits >> 8) as f32 / (1 << 24) as f32 - 0.5)
        })
    }

    fn error(crop: &Crop, shift: usize) -> f32 {
        let sum: f32 = crop.indexed_iter().map(|((_, y, x), v)| (v - scene(x + shift, y)).abs()).sum();
        sum / crop.len() as f32
    }

    #[test]
    fn input_and_what_is_made_of_it_are_steadied_while_the_window_moves() {
        // Noise of the input, and what the restorer shimmers by.
        for (noise, shimmer) in [(0.0, 0.2), (0.1, 0.2)] {
            for step in [0, 1, 2] {
                let mut memory = Memory::new(window(0.0), crop(0, noise, 0), Takes::Blends);
                memory.steady(crop(0, shimmer, 0));
                let mut restored = Crop::zeros((3, 32, 32));
                for frame in 1..8 {
                    let shift = frame * step;
                    let input = crop(shift, noise, 100 + frame);
                    memory.look(window(shift as f32), input, Some(&Similarity::IDENTITY));
                    restored = memory.steady(crop(shift, shimmer, frame)).clone();
                }
                let alone = error(&crop(7 * step, shimmer, 7), 7 * step);
                let steadied = error(&restored, 7 * step);
                assert!(steadied < 0.7 * alone, "{noise}, {step} a frame: {steadied} of {alone}");
                let seen = error(memory.input(), 7 * step);
                assert!(seen <= 0.7 * error(&crop(7 * step, noise, 107), 7 * step) + 0.01, "{noise}: {seen}");
            }
        }
    }

    #[test]
    fn a_memory_that_does_not_blend_hands_on_what_it_gets() {
        for takes in [Takes::Nothing, Takes::Shares] {
            let mut memory = Memory::new(window(0.0), crop(0, 0.1, 0), takes);
            memory.steady(crop(0, 0.2, 0));
            for frame in 1..6 {
                let (input, made) = (crop(0, 0.1, 100 + frame), crop(0, 0.2, frame));
                memory.look(window(frame as f32), input.clone(), Some(&Similarity::IDENTITY));
                assert_eq!(memory.input(), &input);
                assert_eq!(memory.steady(made.clone()), &made);
                assert_eq!(memory.steadied(), Some((&window(frame as f32), &made)));
                assert_eq!(memory.past().is_some(), takes == Takes::Shares);
            }
        }
    }

    #[test]
    fn where_the_input_changes_nothing_of_the_past_is_taken() {
        let mut changed = crop(0, 0.0, 0);
        changed.slice_mut(ndarray::s![.., 8..16, 8..16]).fill(0.0);
        let mut memory = Memory::new(window(0.0), crop(0, 0.0, 0), Takes::Blends);
        memory.steady(Crop::ones((3, 64, 64)));
        memory.look(window(0.0), changed, Some(&Similarity::IDENTITY));
        let restored = memory.steady(Crop::zeros((3, 64, 64)));
        assert!(restored.slice(ndarray::s![.., 18..30, 18..30]).iter().all(|&value| value < 0.01));
        assert!(restored[(0, 56, 56)] > 0.3);
    }

    #[test]
    fn nothing_is_remembered_over_a_change_of_size_or_of_place() {
        let larger = Window { side: 48, ..window(0.0) };
        for (window, side, moved) in [
            (larger, 48, Some(Similarity::IDENTITY)),
            (window(0.0), 32, None),
            (window(0.0), 32, Some(Similarity::upright(0.0, 0.0, 0.0))),
        ] {
            let mut memory = Memory::new(self::window(0.0), crop(0, 0.0, 0), Takes::Blends);
            memory.steady(Crop::ones((3, 64, 64)));
            memory.look(window, Crop::zeros((3, side, side)), moved.as_ref());
            let restored = memory.steady(Crop::zeros((3, 2 * side, 2 * side)));
            assert!(restored.iter().all(|&value| value == 0.0));
        }
    }
}
