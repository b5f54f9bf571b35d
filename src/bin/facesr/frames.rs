//! Numbers of frames, counted from 0: as people list them, and spread over a clip.

use std::str::FromStr;

use crate::failure::Failure;

/// A list like `20,40`, in order and without repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames(Vec<usize>);

impl FromStr for Frames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| {
            word.trim().parse().map_err(|_| format!("`{word}` is no frame number; write for example 10,40"))
        };
        let mut frames = text.split(',').map(number).collect::<Result<Vec<usize>, _>>()?;
        frames.sort_unstable();
        frames.dedup();
        Ok(Frames(frames))
    }
}

impl Frames {
    /// The numbers.
    pub fn list(&self) -> &[usize] {
        &self.0
    }

    /// The numbers, all of which a clip of `count` frames must have.
    pub fn within(&self, count: usize) -> Result<Vec<usize>, Failure> {
        match self.0.iter().find(|frame| **frame >= count) {
            Some(frame) => Err(Failure::Usage(format!(
                "there is no frame {frame}: the clip has {count}, 0 to {}",
                count.saturating_sub(1)
            ))),
            None => Ok(self.0.clone()),
        }
    }
}

/// At most `wanted` frames in the middles of as many equal parts of a clip.
pub fn spread(wanted: usize, count: usize) -> Vec<usize> {
    let mut frames: Vec<_> = (0..wanted).map(|part| (2 * part + 1) * count / (2 * wanted)).collect();
    frames.retain(|frame| *frame < count);
    frames.dedup();
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_any_order() {
        assert_eq!("40, 10,40".parse(), Ok(Frames(vec![10, 40])));
        for wrong in ["", "a", "1,,2", "-1", "1.5"] {
            assert!(wrong.parse::<Frames>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_frame_beyond_the_end_is_refused() {
        let frames: Frames = "0,9".parse().unwrap();
        assert_eq!(frames.within(10).unwrap(), [0, 9]);
        assert!(frames.within(9).is_err());
    }

    #[test]
    fn spread_frames_are_in_the_clip_and_apart() {
        for count in 1..50 {
            let frames = spread(3, count);
            assert_eq!(frames.len(), count.min(3), "{count}");
            assert!(frames.iter().all(|frame| *frame < count), "{count}");
            assert!(frames.windows(2).all(|pair| pair[0] < pair[1]), "{count}");
        }
        assert_eq!(spread(3, 80), [13, 40, 66]);
    }
}
