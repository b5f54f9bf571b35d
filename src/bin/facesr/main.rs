//! The program `facesr`: enhances a file without a pipeline to write, and measures and shows
//! what came of it.
//!
//! Everything that changes pixels happens in the element of the same name;
//! here is what a file needs around it. Exit codes: 0 done, 1 failed, 2 wrong
//! usage, 3 input unreadable or unsupported, 4 model or provider unavailable.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// Its macros are for all below.
#[macro_use]
mod say;

mod clips;
mod compare;
mod doctor;
mod enhance;
mod failure;
mod frames;
mod interrupt;
mod measure;
mod models;
mod options;
mod presets;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Upscales and restores video with ONNX networks.
#[derive(Parser)]
#[command(name = "facesr", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enhance a video file or a still picture
    Enhance(Box<enhance::Arguments>),
    /// Measure the quality and steadiness of a clip against its ground truth
    Measure(Box<measure::Arguments>),
    /// Put two clips side by side: a sheet, or a page with a slider and plots
    Compare(Box<compare::Arguments>),
    /// List the networks that have a name, or check a file
    Models(models::Arguments),
    /// Say what runs on this machine, what is missing, and how to get it
    Doctor(doctor::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = start().and_then(|()| match cli.command {
        Command::Enhance(arguments) => enhance::run(&arguments),
        Command::Measure(arguments) => measure::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell!("facesr: {failure}");
            failure.exit_code()
        }
    }
}

/// The folder of this program, a place where models and the runtime may lie.
fn folder() -> Option<PathBuf> {
    std::env::current_exe().ok()?.parent().map(Into::into)
}

/// Brings up what every command needs: GStreamer with the element in it, and
/// a Ctrl-C that is noticed instead of killing.
fn start() -> Result<(), Failure> {
    gstreamer::init().map_err(|err| Failure::Failed(format!("cannot start GStreamer: {err}")))?;
    gstfacesr::plugin_register_static()
        .map_err(|err| Failure::Failed(format!("cannot register the element facesr: {err}")))?;
    interrupt::install()
}
