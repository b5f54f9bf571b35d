//! `facesr enhance`: one file in, one enhanced file out.

pub mod colour;
mod container;
mod counts;
mod deinterlace;
mod duration;
mod exif;
mod first_picture;
mod holes;
pub mod input;
pub mod missing;
pub mod output;
pub mod parts;
mod pipeline;
mod play;
mod png;
mod progress;
mod rest;
mod stats;
mod streams;
mod text;
pub mod y4m;

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gstreamer::prelude::*;

use crate::failure::Failure;
use crate::options::ElementOptions;
use container::{Container, Content};
use counts::Counts;
use deinterlace::Deinterlace;
use input::Input;
use output::Output;
use pipeline::{Ends, Graph};
use progress::{Progress, Style};
use streams::Plan;

/// What `facesr enhance` is told.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Video or picture to read: anything GStreamer knows, or - for YUV4MPEG2 on standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File to write: .mp4, .m4v, .mov, .mkv, .webm, .y4m, or .png, .jpg for a picture, or - for YUV4MPEG2 on standard output
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
    refuse_mixing(arguments)?;
    let frames = y4m::read::Reader::open(&arguments.input)?;
    let input = match &frames {
        Some(frames) => frames.input(&arguments.input)?,
        None => Input::open(&arguments.input)?,
    };
    check_content(&input, container, arguments)?;
    let mut plan = Plan::new(&input, container);
    if arguments.deinterlace.is_some() && input.depth() > 8 {
        plan.notes.push(format!("deinterlacing works on 8 bits; the picture had {}", input.depth()));
    }
    let is_standard = y4m::is_standard(&arguments.output);
    let shown = y4m::shown_output(&arguments.output);
    let output =
        (!is_standard).then(|| Output::create(&arguments.output, arguments.overwrite)).transpose()?;
    let stats_file = arguments.stats.as_deref().map(|path| Output::create(path, true)).transpose()?;
    let counts = Arc::<Counts>::default();
    let sink = match &output {
        Some(output) if container.is_raw => {
            y4m::write::element(Box::new(output.writer()?), shown.clone(), counts.clone()).upcast()
        }
        Some(output) => pipeline::file_sink(output.part())?,
        None => y4m::write::element(Box::new(standard_output()?), shown.clone(), counts.clone()).upcast(),
    };
    let ends = Ends { frames, sink };
    let graph = Graph::build(&input, &plan, container, arguments, ends, counts.clone())?;

    let mut progress = Progress::new(arguments.progress, &input);
    progress.start(&shown);
    for note in &plan.notes {
        progress.note(note);
    }
    let summary = play::play(graph, &input, &mut progress)?;
    let size = match output {
        Some(output) => {
            let size = output.size();
            output.finish()?;
            size
        }
        None => counts.written(),
    };
    if let Some(file) = stats_file {
        summary.save(file)?;
    }
    progress.done(&summary, &shown, size);
    Ok(())
}

/// Standard output without the buffer that the rest of the program writes lines to.
fn standard_output() -> Result<File, Failure> {
    let cannot = |err| Failure::Failed(format!("standard output: cannot be written: {err}"));
    std::io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(cannot)
}

/// Refuses what would put other things among the pictures.
fn refuse_mixing(arguments: &Arguments) -> Result<(), Failure> {
    if !y4m::is_standard(&arguments.output) {
        return Ok(());
    }
    if arguments.progress == Style::Json {
        return Err(Failure::Usage(
            "--progress json: standard output is OUT; use --stats FILE, or name a file for OUT".into(),
        ));
    }
    if std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "standard output is a terminal: pipe it to a program that reads YUV4MPEG2, as `| ffmpeg -i - FILE`"
                .into(),
        ));
    }
    Ok(())
}

fn refuse_same_file(arguments: &Arguments) -> Result<(), Failure> {
    let in_itself = |path: &Path, name: &str| {
        let shown = path.display();
        let are_files = ![arguments.input.as_path(), path].into_iter().any(y4m::is_standard);
        match are_files && output::same_file(&arguments.input, path) {
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
