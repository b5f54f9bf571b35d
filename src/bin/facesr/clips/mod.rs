//! Video files read picture by picture, one alone or several in step.

mod clip;
mod encode;
mod still;

use std::path::Path;

pub use clip::Clip;
pub use encode::{jpeg, png};
pub use still::Still;

use crate::failure::Failure;

/// Files that show the same, read in step.
pub struct Clips {
    clips: Vec<Clip>,
    frames: usize,
}

impl Clips {
    /// Opens them all.
    pub fn open(paths: &[&Path]) -> Result<Clips, Failure> {
        let clips = paths.iter().map(|path| Clip::open(path)).collect::<Result<_, _>>()?;
        Ok(Clips { clips, frames: 0 })
    }

    /// How many frames each had so far.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The next picture of each, in the order of the paths, or none at the end of all.
    pub fn next(&mut self) -> Result<Option<Vec<Still>>, Failure> {
        let stills = self.clips.iter_mut().map(Clip::next).collect::<Result<Vec<_>, _>>()?;
        if stills.iter().all(Option::is_none) {
            return Ok(None);
        }
        match stills.into_iter().collect() {
            Some(stills) => {
                self.frames += 1;
                Ok(Some(stills))
            }
            None => Err(self.differ_in_length()?),
        }
    }

    /// Reads over the next picture of each; answers whether there was one.
    pub fn skip(&mut self) -> Result<bool, Failure> {
        let found = self.clips.iter_mut().map(Clip::skip).collect::<Result<Vec<_>, _>>()?;
        match (found.contains(&true), found.contains(&false)) {
            (true, true) => Err(self.differ_in_length()?),
            (any, _) => {
                self.frames += usize::from(any);
                Ok(any)
            }
        }
    }

    /// Reads on until all are at their end, so that the failure can tell how long each is.
    fn differ_in_length(&mut self) -> Result<Failure, Failure> {
        for clip in &mut self.clips {
            while clip.skip()? {}
        }
        let lengths: Vec<_> = self
            .clips
            .iter()
            .map(|clip| format!("{} has {}", clip.path().display(), clip.frames()))
            .collect();
        Ok(Failure::Input(format!("not the same number of frames: {}", lengths.join(", "))))
    }
}
