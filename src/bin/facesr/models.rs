//! `facesr models`: the networks that have a name, or whether a file of one's own fits.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::{Network, runtime};
use gstfacesr::model::contract::{InputSize, Upscaler};
use gstfacesr::model::manifest::Manifest;
use gstfacesr::model::registry::{self, Live};

use crate::failure::Failure;

/// Options of `facesr models`.
#[derive(Args)]
pub struct Arguments {
    /// Check this ONNX file or named network instead: what it takes, and a trial run
    file: Option<String>,

    /// One JSON object on standard output, for machines
    #[arg(long)]
    json: bool,

    /// Path of the ONNX Runtime library, for the trial run [default: searched for]
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
}

/// Prints the list, or what a file is.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.file {
        Some(file) => check(file, arguments),
        None => {
            list(arguments.json);
            Ok(())
        }
    }
}

/// A network that has a name.
struct Row {
    name: &'static str,
    /// Enlargement, of upscalers.
    scale: Option<usize>,
    summary: &'static str,
    /// Where it is, if it is, and what is said of it.
    file: (Option<PathBuf>, Manifest),
}

fn list(as_json: bool) {
    let beside = super::folder();
    let described = |path: Option<PathBuf>| {
        let manifest = path.as_deref().and_then(|path| Manifest::beside(path).ok()).unwrap_or_default();
        (path, manifest)
    };
    let upscalers = registry::UPSCALERS.iter().map(|entry| Row {
        name: entry.name,
        scale: Some(entry.scale),
        summary: entry.summary,
        file: described(registry::resolve(entry.name, None, beside.as_deref()).ok()),
    });
    let restorers = registry::RESTORERS.iter().map(|&name| Row {
        name,
        scale: None,
        summary: "restores faces, for face-model",
        file: described(registry::resolve_restorer(name, beside.as_deref()).ok()),
    });
    let rows: Vec<Row> = upscalers.chain(restorers).collect();
    if as_json {
        let models: Vec<Value> = rows
            .iter()
            .map(|Row { name, scale, summary, file: (path, manifest) }| {
                json!({
                    "name": name,
                    "scale": scale,
                    "summary": summary,
                    "path": path,
                    "licence": manifest.licence,
                    "source": manifest.source,
                })
            })
            .collect();
        say!("{}", json!({ "models": models, "searched": registry::search_path(beside.as_deref()) }));
        return;
    }
    for Row { name, scale, summary, file: (path, manifest) } in &rows {
        let state =
            path.as_ref().map_or("not here: run `make models`".into(), |path| path.display().to_string());
        let scale = scale.map_or("  ".into(), |scale| format!("x{scale}"));
        say!("{name:<18} {scale}  {summary}");
        say!("{:<22} {state}", "");
        if let Some(licence) = &manifest.licence {
            say!("{:<22} licence: {licence}", "");
        }
    }
    say!("{:<18}     {}", registry::AUTO, automatic().join("; "));
}

/// What `auto` stands for on this machine, in parts of a sentence.
pub fn automatic() -> [String; 2] {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let name = |factor, live| registry::automatic(Some(factor), live).name;
    let pixels = Live::most_pixels(cores);
    let fast = name(2.0, Some(Live { pixels: 2.0 * pixels, cores }));
    [
        format!("{} up to a factor of 2, {} above", name(2.0, None), name(4.0, None)),
        format!(
            "{fast} where the {cores} cores of this processor run the network on live video of more than {:.2} million pixels a second (640x360 at {:.1} frames a second)",
            pixels / 1e6,
            pixels / (640.0 * 360.0)
        ),
    ]
}

fn check(file: &str, arguments: &Arguments) -> Result<(), Failure> {
    let beside = super::folder();
    let unavailable = |err: &dyn std::fmt::Display| Failure::Unavailable(err.to_string());
    let path = registry::resolve(file, None, beside.as_deref()).map_err(|err| unavailable(&err))?;
    let model = Upscaler::read(&path).map_err(|err| unavailable(&err))?;
    let runtime =
        runtime::load(arguments.runtime.as_deref(), beside.as_deref()).map_err(|err| unavailable(&err))?;
    let options = Options { choice: Choice::Only(Provider::Cpu), ..Options::default() };
    let network = OnnxNetwork::<u8>::load(runtime, &model, &options).map_err(|err| unavailable(&err))?;

    let (size, fixed) = match model.input_size {
        InputSize::Fixed(size) => {
            (format!("{size} only, frames are cut to it"), Some([size.width, size.height]))
        }
        InputSize::Multiple(1) => ("any".into(), None),
        InputSize::Multiple(multiple) => (format!("multiples of {multiple}, frames are padded"), None),
    };
    let colours = if model.channels == 1 { "luma" } else { "RGB" };
    if arguments.json {
        let facts = json!({
            "name": model.name,
            "path": model.path,
            "scale": network.scale(),
            "channels": model.channels,
            "type": model.element.name(),
            "fixed_size": fixed,
            "overlap": model.overlap,
            "memory_per_pixel": model.memory_per_pixel,
            "licence": model.licence,
        });
        say!("{facts}");
        return Ok(());
    }
    say!("{} fits: {}", model.name, model.path.display());
    say!("  enlarges by       {}", network.scale());
    say!("  takes             {colours}, {}, sizes: {size}", model.element.name());
    say!("  tile context      {} pixels", model.overlap);
    say!("  memory, about     {} bytes a pixel", model.memory_per_pixel);
    say!("  licence           {}", model.licence.as_deref().unwrap_or("not said by a sidecar"));
    Ok(())
}
