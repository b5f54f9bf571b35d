//! Where pictures are missing among those that came.

use gstreamer as gst;

/// How many times its usual length a frame of a steady film has to last for others to be missing after it. Containers round,
/// and one frame in a row may be left out on purpose.
const LONG: u64 = 5;
const LONG_OF: u64 = 2;

/// Of the frames of a steady film, one in so many may be of another length.
const UNSTEADY: usize = 6;

/// Frames from which on it can be told whether a film is steady.
const FEW: usize = 8;

/// The times of pictures, as they come.
#[derive(Default)]
pub struct Holes {
    last: Option<gst::ClockTime>,
    /// How long each frame was shown, in nanoseconds.
    lengths: Vec<u64>,
    /// Time of the first frame.
    start: u64,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// When the first of the missing frames would have come.
    pub from: gst::ClockTime,
    /// How long they would have been shown, all together.
    pub length: gst::ClockTime,
    /// In how many places they are missing.
    pub places: usize,
}

impl Holes {
    /// Notes a picture.
    pub fn push(&mut self, time: gst::ClockTime) {
        match self.last {
            Some(last) => self.lengths.push(time.saturating_sub(last).nseconds()),
            None => self.start = time.nseconds(),
        }
        self.last = Some(time);
    }

    /// How long a frame is usually shown, where the film is steady: one of variable rate may rest wherever it likes.
    fn usual(&self) -> Option<u64> {
        let mut sorted = self.lengths.clone();
        sorted.sort_unstable();
        let usual = *sorted.get(sorted.len() / 2).filter(|usual| sorted.len() >= FEW && **usual > 0)?;
        let odd = sorted.iter().filter(|length| length.abs_diff(usual) > usual / 4).count();
        (odd * UNSTEADY <= sorted.len()).then_some(usual)
    }

    /// Where a steady film ends.
    pub fn end(&self) -> Option<gst::ClockTime> {
        Some(self.last? + gst::ClockTime::from_nseconds(self.usual()?))
    }

    /// What is missing within a film that is steady otherwise.
    pub fn missing(&self) -> Option<Missing> {
        let usual = self.usual()?;
        let (mut now, mut found) = (self.start, None);
        for &length in &self.lengths {
            if length * LONG_OF > usual * LONG {
                let from = gst::ClockTime::from_nseconds(now + usual);
                let missing = found.get_or_insert(Missing { from, length: gst::ClockTime::ZERO, places: 0 });
                missing.length += gst::ClockTime::from_nseconds(length - usual);
                missing.places += 1;
            }
            now += length;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: impl Iterator<Item = u64>, expected: Option<(u64, u64, usize)>) {
        let mut holes = Holes::default();
        times.for_each(|time| holes.push(gst::ClockTime::from_mseconds(time)));
        let found = holes.missing();
        let found = found.map(|missing| (missing.from.mseconds(), missing.length.mseconds(), missing.places));
        assert_eq!(found, expected);
        let end =
            holes.last.zip(holes.usual()).map(|(last, usual)| last + gst::ClockTime::from_nseconds(usual));
        assert_eq!(holes.end(), end);
        assert!(found.is_none() || end.is_some());
    }

    #[test]
    fn frames_that_are_missing_from_a_steady_film_are_told() {
        for start in [0, 700] {
            let steady = |frame: u64| start + frame * 40;
            check((0..100).map(steady), None);
            for lost in 2..50 {
                let rest = (0..100).filter(move |frame| !(20..20 + lost).contains(frame)).map(steady);
                check(rest, Some((start + 800, lost * 40, 1)));
            }
            let twice =
                (0..100).filter(|frame| !(20..25).contains(frame) && !(60..70).contains(frame)).map(steady);
            check(twice, Some((start + 800, 600, 2)));
            // Times of whole milliseconds, and one frame alone.
            check((0..100).filter(|frame| *frame != 50).map(|frame| start + frame * 1000 / 30), None);
        }
    }

    #[test]
    fn a_film_of_variable_rate_may_rest() {
        check((0..100).map(|frame| frame * 40 + frame / 5 * 130), None);
        check((0..100).map(|frame| frame * frame * 10), None);
        check([0, 40, 80, 20_080, 20_120, 20_160].into_iter(), None);
        check(std::iter::empty(), None);
        check((0..20).map(|_| 5), None);
    }
}
