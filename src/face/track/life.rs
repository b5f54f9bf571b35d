//! When a track counts, and how far its face is faded in: nothing about a face comes or goes
//! from one frame to the next, except at a cut.

/// Detections that confirm a track ...
const CONFIRMING: u32 = 3;
/// ... unless one is as sure as this.
const SURE: f32 = 0.9;

/// Frames to fade in over.
pub const FADE_IN: f32 = 6.0;
/// Frames to fade out over.
pub const FADE_OUT: f32 = 8.0;

/// A face enters at the smallest size and leaves below this share of it.
const LEAVES: f32 = 0.75;

/// A face is turned aside (1 is a side view) from above the second, and back from below the first.
const TURNS: (f32, f32) = (0.8, 1.0);

/// What a track has been through.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    hits: u32,
    /// Frames since the last detection that found it, where one since has not.
    missed: Option<u32>,
    confirmed: bool,
    large: bool,
    frontal: bool,
    chosen: bool,
    blend: f32,
}

/// What a frame says of a face.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Its height over the smallest that is restored.
    pub size: f32,
    /// How far it is turned aside.
    pub turned: f32,
    /// It is among the largest, of which so many are restored.
    pub chosen: bool,
}

impl Life {
    /// Begins with a detection. On a picture that has no past the face is there at once; elsewhere it
    /// has to be confirmed, and fades in.
    pub fn begin(score: f32, has_past: bool) -> Self {
        Self {
            hits: 1,
            missed: None,
            confirmed: score > SURE || !has_past,
            large: false,
            frontal: false,
            chosen: false,
            blend: 0.0,
        }
    }

    /// A detection found it.
    pub fn hit(&mut self, score: f32) {
        self.hits += 1;
        self.missed = None;
        self.confirmed |= score > SURE || self.hits >= CONFIRMING;
    }

    /// A detection did not find it.
    pub fn miss(&mut self) {
        self.missed.get_or_insert(0);
    }

    /// It has been found often or surely enough.
    pub fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Frames since it was missed first.
    pub fn missed(&self) -> Option<u32> {
        self.missed
    }

    /// 0 while it is not seen, 1 when faded in.
    pub fn blend(&self) -> f32 {
        // Slow at both ends, so that neither is a step.
        self.blend * self.blend * (3.0 - 2.0 * self.blend)
    }

    /// Goes on by a frame; it stays for `coast` frames after it was missed. `at_once` fades nothing.
    pub fn step(&mut self, look: Look, coast: u32, at_once: bool) {
        self.large = look.size >= if self.large { LEAVES } else { 1.0 };
        self.frontal = look.turned <= if self.frontal { TURNS.1 } else { TURNS.0 };
        self.chosen = look.chosen;
        let there = self.missed.is_none_or(|frames| frames < coast);
        let shown = self.confirmed && self.large && self.frontal && self.chosen && there;
        self.blend = match (shown, at_once) {
            (_, true) => f32::from(u8::from(shown)),
            (true, false) => (self.blend + 1.0 / FADE_IN).min(1.0),
            (false, false) => (self.blend - 1.0 / FADE_OUT).max(0.0),
        };
        self.missed = self.missed.map(|frames| frames.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Look = Look { size: 1.5, turned: 0.2, chosen: true };

    fn faded_in() -> Life {
        let mut life = Life::begin(0.95, true);
        (0..10).for_each(|_| life.step(GOOD, 15, false));
        life
    }

    #[test]
    fn a_sure_face_fades_in_over_six_frames_and_a_doubtful_one_after_three_detections() {
        for (score, detections) in [(0.95, 1), (0.91, 1), (0.89, 3), (0.5, 3)] {
            let mut life = Life::begin(score, true);
            for hit in 1..=3 {
                assert_eq!(life.confirmed(), hit >= detections, "{score}, {hit}");
                life.step(GOOD, 15, false);
                life.hit(score);
            }
            (0..6).for_each(|_| life.step(GOOD, 15, false));
            assert_eq!(life.blend(), 1.0);
        }
        let mut life = Life::begin(0.95, true);
        (0..5).for_each(|_| life.step(GOOD, 15, false));
        assert!(life.blend() < 1.0);
    }

    #[test]
    fn no_step_between_frames_is_larger_than_the_fades_allow() {
        let mut life = faded_in();
        let mut before = life.blend();
        for frame in 0..200_u32 {
            if frame % 37 == 5 {
                life.miss();
            }
            if frame % 37 == 30 {
                life.hit(0.8);
            }
            let chosen = frame % 53 != 7;
            life.step(Look { chosen, ..GOOD }, 15, false);
            assert!((life.blend() - before).abs() < 1.5 * (1.0 / FADE_IN) + 1e-6, "frame {frame}");
            before = life.blend();
        }
    }

    #[test]
    fn on_a_picture_without_a_past_the_face_is_there_at_once() {
        for score in [0.6, 0.95] {
            let mut life = Life::begin(score, false);
            life.step(GOOD, 15, true);
            assert_eq!(life.blend(), 1.0);
        }
    }

    #[test]
    fn size_and_turn_have_a_span_in_which_nothing_changes() {
        for (enters, stays, leaves) in [
            (GOOD, Look { size: 0.76, ..GOOD }, Look { size: 0.74, ..GOOD }),
            (GOOD, Look { turned: 0.99, ..GOOD }, Look { turned: 1.01, ..GOOD }),
        ] {
            let mut life = faded_in();
            life.step(enters, 15, false);
            (0..20).for_each(|_| life.step(stays, 15, false));
            assert_eq!(life.blend(), 1.0, "{stays:?}");
            (0..8).for_each(|_| life.step(leaves, 15, false));
            assert_eq!(life.blend(), 0.0, "{leaves:?}");
            (0..20).for_each(|_| life.step(stays, 15, false));
            assert_eq!(life.blend(), 0.0, "{stays:?}");
        }
    }

    #[test]
    fn a_face_that_is_missed_coasts_and_then_fades() {
        for coast in [1, 12, 30] {
            let mut life = faded_in();
            life.miss();
            for frame in 0..coast + 8 {
                assert_eq!(life.blend() == 1.0, frame <= coast, "frame {frame} of {coast}");
                life.step(GOOD, coast, false);
            }
            assert_eq!(life.blend(), 0.0);
        }
    }
}
