//! Where scenes begin.

use crate::failure::Failure;
use crate::frames::Frames;

/// First frames of new scenes, as far as somebody said so.
pub struct Cuts {
    given: Option<Frames>,
}

impl Cuts {
    /// Those of the command line.
    pub fn new(given: Option<&Frames>) -> Cuts {
        Cuts { given: given.cloned() }
    }

    /// Whether a scene begins at `frame`.
    pub fn is_at(&self, frame: usize) -> bool {
        self.list().contains(&frame)
    }

    /// Their frames.
    pub fn list(&self) -> &[usize] {
        self.given.as_ref().map_or(&[], Frames::list)
    }

    /// Where they come from, in a word.
    pub fn source(&self) -> &'static str {
        if self.given.is_some() { "given" } else { "none" }
    }

    /// The same, for people.
    pub fn told(&self) -> String {
        match self.list() {
            [] => "no cuts given (--cuts): metrics over time look back from every frame".into(),
            [one] => format!("a cut at frame {one}"),
            more => {
                let frames: Vec<_> = more.iter().map(ToString::to_string).collect();
                format!("cuts at frames {}", frames.join(", "))
            }
        }
    }

    /// Refuses cuts beyond the end of a clip.
    pub fn check(&self, count: usize) -> Result<(), Failure> {
        let within = self.given.as_ref().map(|given| given.within(count));
        within.transpose().map(drop).map_err(|failure| Failure::Usage(format!("--cuts: {failure}")))
    }
}
