//! The pictures of a page.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::clips::{Clips, Still, jpeg, png};
use crate::failure::Failure;
use crate::frames;

/// Frames that are shown when none are named, besides the worst.
pub const SHOWN: usize = 3;

/// Pixels up to which pictures are kept without loss; larger ones would make a page too large
/// to pass on.
const MOST_LOSSLESS: usize = 640 * 480;

/// A clip whose pictures are shown.
pub struct Side<'a> {
    /// What to call it.
    pub label: &'static str,
    /// Where it is.
    pub path: &'a Path,
}

impl<'a> Side<'a> {
    /// A clip to show.
    pub fn new(label: &'static str, path: &'a Path) -> Self {
        Side { label, path }
    }

    /// Its name without folders.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Clips that show the same.
pub struct Gallery<'a> {
    /// The clips; the last is shown on the right at first.
    pub sides: Vec<Side<'a>>,
    /// Frames to show, or a few.
    pub shown: Option<Vec<usize>>,
    /// Which one is shown on the left at first.
    pub left: usize,
    /// The one that all others are as large as, or are enlarged to.
    pub fitted: usize,
}

impl Gallery<'_> {
    /// The pictures of the frames to show and the `worst`, as what the script of the page reads.
    pub fn pictures(&self, count: usize, worst: &[usize]) -> Result<Vec<Value>, Failure> {
        let mut wanted = self.shown.clone().unwrap_or_else(|| frames::spread(SHOWN, count));
        wanted.extend(worst);
        wanted.sort_unstable();
        wanted.dedup();
        let paths: Vec<_> = self.sides.iter().map(|side| side.path).collect();
        let mut pairs = Vec::new();
        visit(&paths, &wanted, self.fitted, |frame, stills| {
            let pictures = stills.iter().map(address).collect::<Result<Vec<_>, _>>()?;
            let size = stills[self.fitted].size();
            pairs.push(json!({
                "frame": frame, "width": size.width, "height": size.height, "pictures": pictures,
            }));
            Ok(())
        })?;
        Ok(pairs)
    }
}

/// Hands over the pictures of the frames `wanted` (in order) of all clips, those that are
/// smaller than the clip `fitted` enlarged plainly to its size.
pub fn visit(
    paths: &[&Path],
    wanted: &[usize],
    fitted: usize,
    mut hand_over: impl FnMut(usize, Vec<Still>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut clips = Clips::open(paths)?;
    for &frame in wanted {
        while clips.frames() < frame {
            if !clips.skip()? {
                return Ok(());
            }
        }
        let Some(stills) = clips.next()? else { return Ok(()) };
        hand_over(frame, fit(stills, paths, fitted)?)?;
    }
    Ok(())
}

fn fit(stills: Vec<Still>, paths: &[&Path], fitted: usize) -> Result<Vec<Still>, Failure> {
    let size = stills[fitted].size();
    let too_large = |still: &Still| still.size().width > size.width || still.size().height > size.height;
    if let Some(at) = stills.iter().position(too_large) {
        return Err(Failure::Input(format!(
            "{} is {} and {} only {size}; give the smaller one first",
            paths[at].display(),
            stills[at].size(),
            paths[fitted].display()
        )));
    }
    Ok(stills.into_iter().map(|still| still.resized(size)).collect())
}

/// A picture as an address that holds it.
fn address(still: &Still) -> Result<String, Failure> {
    let size = still.size();
    let (kind, bytes) = match size.width * size.height <= MOST_LOSSLESS {
        true => ("png", png(&still.shown())?),
        false => ("jpeg", jpeg(&still.shown())?),
    };
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}
