//! `facesr compare`: two clips before a pair of eyes, as a sheet or as a page.

mod letters;
mod sheet;

use std::io::Write;
use std::path::{Path, PathBuf};

use gstfacesr::metrics::METRICS;

use crate::clips::{Clips, Still, png};
use crate::enhance::output::{Output, same_file};
use crate::failure::Failure;
use crate::frames::{self, Frames};
use crate::measure::cuts::{Cuts, Said};
use crate::measure::measuring::{self, Contender, Materials, Results};
use crate::report::{Gallery, Report, SHOWN, Side, visit};

/// What the same network's result frame by frame is called.
const BASELINE: &str = "per frame";

/// What `facesr compare` is told.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Video or picture from before; enlarged plainly to the size of B
    #[arg(value_name = "A")]
    before: PathBuf,
    /// Video or picture from after
    #[arg(value_name = "B")]
    after: PathBuf,
    /// What to write: .png is a sheet of them at 100 %, .html one page with a slider
    #[arg(long, short, value_name = "FILE.html|FILE.png")]
    output: PathBuf,
    /// Frames to show, counted from 0 [default: three, evenly spread]
    #[arg(long, value_name = "LIST")]
    frames: Option<Frames>,
    /// The same network's result frame by frame, of the size of B: is shown between A and B, and with
    /// --reference measured as well, which allows `ghost` and `sharpness-per-frame`
    #[arg(long, value_name = "PERFRAME")]
    baseline: Option<PathBuf>,
    /// Ground truth: the page also has every metric of them over time, and the worst frames
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
    let sides = sides(arguments);
    for input in sides.iter().map(|side| side.path).chain(arguments.reference.as_deref()) {
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
        Some("png") => write_sheet(&sides, arguments),
        Some("html" | "htm") => write_page(sides, arguments),
        _ => Err(Failure::Usage(format!("{}: must end in .html or .png", arguments.output.display()))),
    }
}

/// What is shown, from left to right; all are as large as the last or enlarged to it.
fn sides(arguments: &Arguments) -> Vec<Side<'_>> {
    let baseline = arguments.baseline.as_ref().map(|path| Side::new(BASELINE, path));
    let before = Side::new("A", &arguments.before);
    [Some(before), baseline, Some(Side::new("B", &arguments.after))].into_iter().flatten().collect()
}

fn write_sheet(sides: &[Side<'_>], arguments: &Arguments) -> Result<(), Failure> {
    let mut output = Output::create(&arguments.output, arguments.overwrite)?;
    let paths: Vec<_> = sides.iter().map(|side| side.path).collect();
    let count = count(&paths)?;
    let frames = chosen(arguments, count)?.unwrap_or_else(|| frames::spread(SHOWN, count));
    let mut rows = Vec::new();
    visit(&paths, &frames, paths.len() - 1, |frame, stills| {
        rows.push((frame, stills.iter().map(Still::shown).collect()));
        Ok(())
    })?;
    let names: Vec<_> = paths.iter().map(|path| stem(path)).collect();
    save(&mut output, &png(&sheet::draw(&rows, &names))?)?;
    output.finish()
}

fn write_page<'a>(mut sides: Vec<Side<'a>>, arguments: &'a Arguments) -> Result<(), Failure> {
    let mut output = Output::create(&arguments.output, arguments.overwrite)?;
    let mut cuts = Cuts::new(arguments.cuts.as_ref());
    let results = match &arguments.reference {
        Some(reference) => Some(measured(reference, &sides, &mut cuts)?),
        None => None,
    };
    let paths: Vec<_> = sides.iter().map(|side| side.path).collect();
    let count = results.as_ref().map_or_else(|| count(&paths), |results| Ok(results.frames))?;
    let shown = chosen(arguments, count)?;
    let title = format!("{} and {}", sides[0].name(), sides[sides.len() - 1].name());
    if let Some(reference) = &arguments.reference {
        sides.insert(0, Side::new("reference", reference));
    }
    let (left, fitted) = (sides.len() - 2, sides.len() - 1);
    let gallery = Gallery { sides, shown, left, fitted };
    let html = Report { title, gallery, results: results.as_ref(), cuts: &cuts }.html(count)?;
    save(&mut output, html.as_bytes())?;
    output.finish()
}

/// The figures of every side, the last one's first. A may be smaller than the reference.
fn measured<'a>(reference: &Path, sides: &[Side<'a>], cuts: &mut Cuts) -> Result<Results, Failure> {
    let contender = |side: &Side<'a>| {
        let baseline = sides.iter().rev().position(|side| side.label == BASELINE);
        Contender {
            label: side.label,
            path: side.path,
            baseline: baseline.filter(|_| side.label == "B"),
            enlarged: side.label == "A",
        }
    };
    let contenders: Vec<_> = sides.iter().rev().map(contender).collect();
    let metrics = METRICS.iter().collect();
    measuring::measure(&Materials { reference, contenders: &contenders, metrics, embedding: None }, cuts)
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
