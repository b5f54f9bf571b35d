//! Keeps watch that a restored face stays the person it was: where it drifts from the input, less of
//! it is blended in, slowly, and more again once it agrees.

use std::collections::VecDeque;

/// What a guard judges by. Both are cosines, 1 for the same, and have the same thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// How far the shapes of the input and of what was restored go together ([`super::agree`](mod@super::agree)).
    Agreement,
    /// How near the embeddings of the two are ([`super::identity`]).
    Embedding,
}

/// Agreement, by the running median, below which the guard comes in ...
const ENTERS: f32 = 0.45;
/// ... and above which it goes.
const LEAVES: f32 = 0.55;
/// Frames that the median is over: half a second.
const FRAMES: usize = 15;
/// Frames from one embedding to the next once the median is full. An embedding costs as much as a detection and
/// who somebody is does not change from frame to frame; with five of them the median still is over the
/// same half second, and one or two bad ones change nothing.
const INTERVAL: usize = 3;
/// What is left of the blend under guard.
const CAP: f32 = 0.25;
/// Change of the blend in a frame.
const STEP: f32 = 1.0 / 8.0;

impl By {
    /// How many values the median is over.
    fn most(self) -> usize {
        match self {
            Self::Agreement => FRAMES,
            Self::Embedding => FRAMES / INTERVAL,
        }
    }
}

/// The guard of one face.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    by: Option<By>,
    seen: VecDeque<f32>,
    /// Frames since the last value.
    since: usize,
    /// What is known was found by another test, and holds until most of the median is by the new one.
    carried: bool,
    on: bool,
    level: Option<f32>,
}

impl Guard {
    /// What it judged by last.
    pub fn by(&self) -> Option<By> {
        self.by
    }

    /// Whether an embedding is due in this frame: in each until there are enough, and every few from then on.
    pub fn wants_embedding(&self) -> bool {
        let settled = self.by == Some(By::Embedding) && self.seen.len() == By::Embedding.most();
        !settled || self.since >= INTERVAL
    }

    /// Takes how near a frame's restored face is to its input, -1 to 1.
    pub fn judge(&mut self, by: By, value: f32) {
        if self.by != Some(by) {
            self.seen.clear();
            self.carried = self.by.is_some();
            self.by = Some(by);
        }
        if self.seen.len() == by.most() {
            self.seen.pop_front();
        }
        self.seen.push_back(if value.is_nan() { -1.0 } else { value });
        self.since = 0;
        self.carried &= self.seen.len() <= by.most() / 2;
        if !self.carried {
            let mut sorted: Vec<f32> = self.seen.iter().copied().collect();
            sorted.sort_by(f32::total_cmp);
            let median = sorted[sorted.len() / 2];
            self.on = median < if self.on { LEAVES } else { ENTERS };
        }
    }

    /// Goes on by a frame; gives the share of the restored face to blend.
    pub fn step(&mut self) -> f32 {
        self.since += 1;
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

    /// A frame in which the guard gets what it asks for.
    fn frame(guard: &mut Guard, by: By, value: f32) -> f32 {
        let before = guard.level;
        if by == By::Agreement || guard.wants_embedding() {
            guard.judge(by, value);
        }
        let share = guard.step();
        assert!(before.is_none_or(|before| (share - before).abs() <= STEP + 1e-6));
        share
    }

    const BOTH: [By; 2] = [By::Agreement, By::Embedding];

    #[test]
    fn the_guard_comes_in_below_and_goes_above_and_nothing_changes_between() {
        for by in BOTH {
            let mut guard = Guard::default();
            for (value, frames, on) in
                [(0.9, 20, false), (0.5, 40, false), (0.3, 40, true), (0.5, 40, true), (0.6, 40, false)]
            {
                let mut share = 0.0;
                for _ in 0..frames {
                    share = frame(&mut guard, by, value);
                }
                assert_eq!(guard.is_on(), on, "{by:?}, {value}");
                assert_eq!(share, if on { CAP } else { 1.0 });
            }
        }
    }

    #[test]
    fn single_frames_do_not_bring_it_in_and_a_first_one_is_judged_at_once() {
        for by in BOTH {
            let mut guard = Guard::default();
            for number in 0..60 {
                let share = frame(&mut guard, by, if number % 5 == 4 { -1.0 } else { 0.8 });
                assert_eq!(share, 1.0, "{by:?}, frame {number}");
            }
            for (value, expected) in [(0.44, CAP), (0.46, 1.0), (f32::NAN, CAP)] {
                assert_eq!(frame(&mut Guard::default(), by, value), expected, "{by:?}, {value}");
            }
        }
    }

    #[test]
    fn embeddings_are_asked_for_until_there_are_enough_and_seldom_from_then_on() {
        let mut guard = Guard::default();
        let asked: Vec<bool> = (0..60)
            .map(|_| {
                let asked = guard.wants_embedding();
                frame(&mut guard, By::Embedding, 0.8);
                asked
            })
            .collect();
        assert!(asked[..By::Embedding.most()].iter().all(|&asked| asked), "{asked:?}");
        let later = asked[20..50].iter().filter(|&&asked| asked).count();
        assert_eq!(later, 30 / INTERVAL, "{asked:?}");
    }

    #[test]
    fn both_tests_need_about_as_long_to_change_their_mind() {
        for by in BOTH {
            let mut guard = Guard::default();
            for _ in 0..40 {
                frame(&mut guard, by, 0.9);
            }
            let frames = (1..60).find(|_| {
                frame(&mut guard, by, 0.0);
                guard.is_on()
            });
            assert!((FRAMES / 2..=FRAMES / 2 + INTERVAL).contains(&frames.unwrap()), "{by:?}: {frames:?}");
        }
    }

    #[test]
    fn another_test_takes_over_only_with_evidence_of_its_own() {
        for by in BOTH {
            let other = BOTH[usize::from(by == BOTH[0])];
            let mut guard = Guard::default();
            for _ in 0..40 {
                frame(&mut guard, by, 0.9);
            }
            for number in 0..other.most() / 2 {
                assert_eq!(frame(&mut guard, other, 0.0), 1.0, "{other:?}, frame {number}");
            }
            frame(&mut guard, other, 0.0);
            assert!(guard.is_on(), "{other:?}");
            // One frame of the other test, such as when a network fails, changes nothing.
            frame(&mut guard, by, 0.9);
            assert!(guard.is_on(), "{by:?}");
        }
    }
}
