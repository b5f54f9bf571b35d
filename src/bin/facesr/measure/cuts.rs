//! Where scenes begin.

use std::str::FromStr;

use gstfacesr::image::Picture;
use gstfacesr::temporal::cut::{CutDetector, THRESHOLD};
use ndarray::Axis;

use crate::failure::Failure;
use crate::frames::Frames;

/// What people say of the cuts of a clip: their frames, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(Option<Frames>);

impl FromStr for Said {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" | "none" => Ok(Said(None)),
            list => list.parse().map(|frames| Said(Some(frames))),
        }
    }
}

/// First frames of new scenes, as somebody said or as they are found in the ground truth.
pub struct Cuts {
    said: Option<Said>,
    detector: CutDetector,
    found: Vec<usize>,
}

impl Cuts {
    /// Those of the command line. Where it has none, they are looked for.
    pub fn new(said: Option<&Said>) -> Cuts {
        Cuts { said: said.cloned(), detector: CutDetector::new(THRESHOLD), found: Vec::new() }
    }

    /// Whether a scene begins at the next frame of the ground truth.
    pub fn at(&mut self, frame: usize, luma: &Picture<f32>) -> bool {
        if self.said.is_none() && self.detector.look(luma.index_axis(Axis(2), 0)).cut {
            self.found.push(frame);
        }
        self.list().contains(&frame)
    }

    /// Their frames, of those seen so far where they are looked for.
    pub fn list(&self) -> &[usize] {
        match &self.said {
            Some(Said(frames)) => frames.as_ref().map_or(&[], Frames::list),
            None => &self.found,
        }
    }

    /// Where they come from, in a word.
    pub fn source(&self) -> &'static str {
        if self.said.is_some() { "given" } else { "detected" }
    }

    /// The same, for people.
    pub fn told(&self) -> String {
        let found = if self.said.is_some() { "" } else { " found" };
        match self.list() {
            [] => format!("no cuts{found}"),
            [one] => format!("a cut{found} at frame {one}"),
            more => {
                let frames: Vec<_> = more.iter().map(ToString::to_string).collect();
                format!("cuts{found} at frames {}", frames.join(", "))
            }
        }
    }

    /// Refuses cuts beyond the end of a clip.
    pub fn check(&self, count: usize) -> Result<(), Failure> {
        let Some(Said(Some(given))) = &self.said else { return Ok(()) };
        given.within(count).map(drop).map_err(|failure| Failure::Usage(format!("--cuts: {failure}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_a_list_or_none() {
        for (text, frames) in [("none", &[][..]), ("", &[]), ("40, 20", &[20, 40])] {
            let cuts = Cuts::new(Some(&text.parse().unwrap()));
            assert_eq!((cuts.list(), cuts.source()), (frames, "given"), "{text}");
        }
        assert!("nowhere".parse::<Said>().is_err());
        assert_eq!(Cuts::new(None).source(), "detected");
    }
}
