//! `facesr compare`: two clips before a pair of eyes, as a sheet or as a page.

mod letters;
mod sheet;

use std::io::Write;
use std::path::{Path, PathBuf};

use gstfacesr::metrics::METRICS;

use crate::clips::{Clips, png};
use crate::enhance::output::{Output, same_file};
use crate::failure::Failure;
use crate::frames::{self, Frames};
use crate::measure::cuts::{Cuts, Said};
use crate::measure::measuring::{self, Contender, Materials};
use crate::report::{Gallery, Report, SHOWN, Side, visit};

/// What `facesr compare` is told.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Video or picture from before; enlarged plainly to the size of B
    #[arg(value_name = "A")]
    before: PathBuf,
    /// Video or picture from after
    #[arg(value_name = "B")]
    after: PathBuf,
    /// What to write: .png is a sheet of both at 100 %, .html one page with a slider
    #[arg(long, short, value_name = "FILE.html|FILE.png")]
    output: PathBuf,
    /// Frames to show, counted from 0 [default: three, evenly spread]
    #[arg(long, value_name = "LIST")]
    frames: Option<Frames>,
    /// Ground truth: the page also has every metric of A and B over time, and the worst frames
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// First frames of new scenes, counted from 0, or `none`: metrics over time do not look back across
    /// them [default: those found in the ground truth]
    #[arg(long, value_name = "LIST", requires = "reference")]
    cuts: Option<Said>,
    /// Replace FILE if it exists
    #[arg(long, short = 'f')]
    overwrite: bool,
}

/// Does all of it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (a, b) = (arguments.before.as_path(), arguments.after.as_path());
    for input in [Some(a), Some(b), arguments.reference.as_deref()].into_iter().flatten() {
        if same_file(input, &arguments.output) {
            return Err(Failure::Usage(format!(
                "{}: would be overwritten; name another file",
                input.display()
            )));
        }
    }
    let extension = arguments.output.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("png") if arguments.reference.is_some() => {
            Err(Failure::Usage("--reference: a sheet has no plots; let -o end in .html".into()))
        }
        Some("png") => write_sheet(a, b, arguments),
        Some("html" | "htm") => write_page(a, b, arguments),
        _ => Err(Failure::Usage(format!("{}: must end in .html or .png", arguments.output.display()))),
    }
}

fn write_sheet(a: &Path, b: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let mut output = Output::create(&arguments.output, arguments.overwrite)?;
    let count = count(&[a, b])?;
    let frames = chosen(arguments, count)?.unwrap_or_else(|| frames::spread(SHOWN, count));
    let mut pairs = Vec::new();
    visit(&[a, b], &frames, 1, |frame, stills| {
        pairs.push((frame, stills[0].shown(), stills[1].shown()));
        Ok(())
    })?;
    let sheet = sheet::draw(&pairs, [&stem(a), &stem(b)]);
    save(&mut output, &png(&sheet)?)?;
    output.finish()
}

fn write_page(a: &Path, b: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let mut output = Output::create(&arguments.output, arguments.overwrite)?;
    let mut cuts = Cuts::new(arguments.cuts.as_ref());
    let mut sides = vec![Side::new("A", a), Side::new("B", b)];
    let results = match &arguments.reference {
        Some(reference) => {
            sides.insert(0, Side::new("reference", reference));
            let before = Contender { enlarged: true, ..Contender::new("A", a) };
            let contenders = [Contender::new("B", b), before];
            let metrics = METRICS.iter().collect();
            let materials = Materials { reference, contenders: &contenders, metrics, embedding: None };
            Some(measuring::measure(&materials, &mut cuts)?)
        }
        None => None,
    };
    let count = results.as_ref().map_or_else(|| count(&[a, b]), |results| Ok(results.frames))?;
    let shown = chosen(arguments, count)?;
    let (left, fitted) = (sides.len() - 2, sides.len() - 1);
    let title = format!("{} and {}", sides[left].name(), sides[fitted].name());
    let gallery = Gallery { sides, shown, left, fitted };
    let html = Report { title, gallery, results: results.as_ref(), cuts: &cuts }.html(count)?;
    save(&mut output, html.as_bytes())?;
    output.finish()
}

/// The frames that were named.
fn chosen(arguments: &Arguments, count: usize) -> Result<Option<Vec<usize>>, Failure> {
    let named = arguments.frames.as_ref().map(|named| named.within(count));
    named.transpose().map_err(|failure| Failure::Usage(format!("--frames: {failure}")))
}

/// Frames that both of them have.
fn count(paths: &[&Path]) -> Result<usize, Failure> {
    let mut clips = Clips::open(paths)?;
    while clips.skip()? {}
    Ok(clips.frames())
}

/// The name of a file without its folder and extension.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn save(output: &mut Output, bytes: &[u8]) -> Result<(), Failure> {
    output.write_all(bytes).map_err(|err| Failure::Failed(format!("the file cannot be written: {err}")))
}
