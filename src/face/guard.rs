//! Keeps watch that a restored face stays the person it was: where it drifts from the input, less of
//! it is blended in, slowly, and more again once it agrees.

use std::collections::VecDeque;

/// Agreement, by the running median, below which the guard comes in ...
const ENTERS: f32 = 0.45;
/// ... and above which it goes.
const LEAVES: f32 = 0.55;
/// Frames that the median is over.
const FRAMES: usize = 15;
/// What is left of the blend under guard.
const CAP: f32 = 0.25;
/// Change of the blend in a frame.
const STEP: f32 = 1.0 / 8.0;

/// The guard of one face.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    agreed: VecDeque<f32>,
    on: bool,
    level: Option<f32>,
}

impl Guard {
    /// Takes how far a frame's restored face agrees with its input, -1 to 1; gives the share of it to blend.
    pub fn step(&mut self, agreed: f32) -> f32 {
        if self.agreed.len() == FRAMES {
            self.agreed.pop_front();
        }
        self.agreed.push_back(if agreed.is_nan() { -1.0 } else { agreed });
        let mut sorted: Vec<f32> = self.agreed.iter().copied().collect();
        sorted.sort_by(f32::total_cmp);
        let median = sorted[sorted.len() / 2];
        self.on = median < if self.on { LEAVES } else { ENTERS };
        let goal = if self.on { CAP } else { 1.0 };
        // The first frame has nothing to step from.
        let level = self.level.map_or(goal, |level| level + (goal - level).clamp(-STEP, STEP));
        *self.level.insert(level)
    }

    /// It holds back.
    pub fn is_on(&self) -> bool {
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_comes_in_below_and_goes_above_and_nothing_changes_between() {
        let mut guard = Guard::default();
        for (agreed, frames, on) in
            [(0.9, 20, false), (0.5, 40, false), (0.3, 40, true), (0.5, 40, true), (0.6, 40, false)]
        {
            let mut share = 0.0;
            for _ in 0..frames {
                let before = guard.level;
                share = guard.step(agreed);
                assert!(before.is_none_or(|before| (share - before).abs() <= STEP + 1e-6));
            }
            assert_eq!(guard.is_on(), on, "{agreed}");
            assert_eq!(share, if on { CAP } else { 1.0 });
        }
    }

    #[test]
    fn single_frames_do_not_bring_it_in_and_a_first_one_is_judged_at_once() {
        let mut guard = Guard::default();
        for frame in 0..60 {
            let share = guard.step(if frame % 5 == 4 { -1.0 } else { 0.8 });
            assert_eq!(share, 1.0, "frame {frame}");
        }
        for (agreed, expected) in [(0.44, CAP), (0.46, 1.0), (f32::NAN, CAP)] {
            assert_eq!(Guard::default().step(agreed), expected, "{agreed}");
        }
    }
}
