//! `facesr enhance`: one file in, one enhanced file out.

pub mod colour;
mod container;
mod counts;
mod deinterlace;
mod duration;
mod first_picture;
pub mod input;
pub mod missing;
pub mod output;
pub mod parts;
mod pipeline;
mod play;
mod progress;
mod stats;
mod streams;
mod text;

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::options::ElementOptions;
use container::{Container, Content};
use deinterlace::Deinterlace;
use input::Input;
use output::Output;
use pipeline::Graph;
use progress::{Progress, Style};
use streams::Plan;

/// What `facesr enhance` is told.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Video or picture to read: anything GStreamer knows
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File to write: .mp4, .m4v, .mov, .mkv, .webm, or .png, .jpg for a picture
    #[arg(value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    element: ElementOptions,
    /// Make frames of interlaced fields first: one per frame, or one per field at twice the rate
    #[arg(long, value_name = "RATE", num_args = 0..=1, require_equals = true, default_missing_value = "frames")]
    deinterlace: Option<Deinterlace>,
    /// Encode without loss: FFV1 in .mkv, or .png
    #[arg(long)]
    lossless: bool,
    /// Encode with this instead, in the words of gst-launch-1.0: "x265enc speed-preset=slow"
    #[arg(long, value_name = "ELEMENTS", conflicts_with = "lossless")]
    encoder: Option<String>,
    /// Replace OUT if it exists
    #[arg(long, short = 'f')]
    overwrite: bool,
    /// Bar on standard error, lines of JSON on standard output, or nothing but warnings
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    progress: Style,
    /// Write what ran, and how fast, to this file
    #[arg(long, value_name = "FILE.json")]
    stats: Option<PathBuf>,
}

/// Does all of it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let container = Container::of(&arguments.output)?;
    container.video_encoder(arguments.encoder.as_deref(), arguments.lossless)?;
    refuse_same_file(arguments)?;
    let input = Input::open(&arguments.input)?;
    check_content(&input, container, arguments)?;
    let mut plan = Plan::new(&input, container);
    if arguments.deinterlace.is_some() && input.depth() > 8 {
        plan.notes.push(format!("deinterlacing works on 8 bits; the picture had {}", input.depth()));
    }
    let output = Output::create(&arguments.output, arguments.overwrite)?;
    let stats_file = arguments.stats.as_deref().map(|path| Output::create(path, true)).transpose()?;
    let graph = Graph::build(&input, &plan, container, arguments, output.part())?;

    let mut progress = Progress::new(arguments.progress, &input);
    progress.start(&arguments.output);
    for note in &plan.notes {
        progress.note(note);
    }
    let summary = play::play(graph, &input, &mut progress)?;
    let size = output.size();
    output.finish()?;
    if let Some(file) = stats_file {
        summary.save(file)?;
    }
    progress.done(&summary, &arguments.output, size);
    Ok(())
}

fn refuse_same_file(arguments: &Arguments) -> Result<(), Failure> {
    let in_itself = |path: &Path, name: &str| {
        let shown = path.display();
        match output::same_file(&arguments.input, path) {
            true => Err(Failure::Usage(format!("{shown}: is IN itself; name another file for {name}"))),
            false => Ok(()),
        }
    };
    in_itself(&arguments.output, "OUT")?;
    let Some(stats) = &arguments.stats else { return Ok(()) };
    in_itself(stats, "--stats")?;
    if *stats == arguments.output || output::same_file(stats, &arguments.output) {
        return Err(Failure::Usage(format!(
            "{}: is OUT itself; name another file for --stats",
            stats.display()
        )));
    }
    Ok(())
}

/// Refuses what cannot become OUT, in words that name the way out.
fn check_content(input: &Input, container: &Container, arguments: &Arguments) -> Result<(), Failure> {
    let shown = input.path.display();
    match (input.is_still, container.content) {
        (true, Content::Film) => {
            return Err(Failure::Usage(format!("{shown}: is a still picture; OUT must end in .png or .jpg")));
        }
        (false, Content::Still) => {
            return Err(Failure::Usage(format!(
                "{shown}: is a video; OUT must end in .mp4, .mkv, .webm or .mov"
            )));
        }
        _ => {}
    }
    if input.is_interlaced() && arguments.deinterlace.is_none() {
        return Err(Failure::Input(format!(
            "{shown}: is interlaced, and upscaling would enlarge its combs; pass --deinterlace"
        )));
    }
    Ok(())
}
