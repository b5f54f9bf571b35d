//! `facesr doctor`: what runs on this machine, what is missing, and how to get it.

use std::path::PathBuf;

use clap::Args;
use gstreamer as gst;
use serde_json::{Value, json};

use gstfacesr::infer::convolution;
use gstfacesr::infer::onnx::try_provider;
use gstfacesr::infer::provider::{AUTOMATIC, Provider};
use gstfacesr::infer::runtime::{self, Runtime};
use gstfacesr::model::registry;

use crate::failure::Failure;

/// Options of `facesr doctor`.
#[derive(Args)]
pub struct Arguments {
    /// One JSON object on standard output, for machines
    #[arg(long)]
    json: bool,

    /// Path of the ONNX Runtime library [default: searched for]
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
}

/// Elements that files need, what for, and the Debian package they are in.
const ELEMENTS: &[(&str, &str, &str)] = &[
    ("avdec_h264", "reads most files", "gstreamer1.0-libav"),
    ("x264enc", "writes .mp4, .mov, .mkv", "gstreamer1.0-plugins-ugly"),
    ("vp9enc", "writes .webm", "gstreamer1.0-plugins-good"),
    ("avenc_ffv1", "writes without loss", "gstreamer1.0-libav"),
    ("avenc_aac", "sound in .mp4", "gstreamer1.0-libav"),
    ("opusenc", "sound in .webm", "gstreamer1.0-plugins-base"),
    ("qtdemux", "reads .mp4 and .mov", "gstreamer1.0-plugins-good"),
    ("h264parse", "passes streams on", "gstreamer1.0-plugins-bad"),
    ("deinterlace", "interlaced input", "gstreamer1.0-plugins-good"),
    ("videoflip", "rotated input", "gstreamer1.0-plugins-good"),
];

/// Prints the findings; fails if nothing could be enhanced.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let beside = super::folder();
    let runtime = runtime::load(arguments.runtime.as_deref(), beside.as_deref());
    let providers: Vec<(Provider, Result<String, String>)> = match &runtime {
        Ok(runtime) => {
            Provider::ALL.into_iter().map(|provider| (provider, tried(runtime, provider))).collect()
        }
        Err(_) => Vec::new(),
    };
    let works = |provider| providers.iter().any(|(known, result)| *known == provider && result.is_ok());
    let automatic = AUTOMATIC.into_iter().find(|&provider| works(provider));
    let folder = beside.as_deref();
    let upscalers: Vec<(&str, Option<PathBuf>)> = registry::UPSCALERS
        .iter()
        .map(|entry| (entry.name, registry::resolve(entry.name, None, folder).ok()))
        .collect();
    let usable = runtime.is_ok() && upscalers.iter().any(|(_, path)| path.is_some());
    let restorers =
        registry::RESTORERS.iter().map(|&name| (name, registry::resolve_restorer(name, folder).ok()));
    // The others are opt-in.
    let detector = registry::DETECTORS[0];
    let detector = (detector, registry::resolve_detector(detector, folder).ok());
    let models: Vec<_> = upscalers.into_iter().chain(restorers).chain([detector]).collect();
    let missing: Vec<_> =
        ELEMENTS.iter().filter(|(name, ..)| gst::ElementFactory::find(name).is_none()).collect();

    if arguments.json {
        let runtime = match &runtime {
            Ok(runtime) => {
                json!({ "path": runtime.path, "found_by": runtime.found_by, "build": runtime.build() })
            }
            Err(error) => json!({ "error": error.to_string() }),
        };
        let providers: Vec<Value> = providers
            .iter()
            .map(|(provider, result)| match result {
                Ok(_) => json!({ "name": provider.name(), "works": true }),
                Err(reason) => json!({ "name": provider.name(), "works": false, "reason": reason }),
            })
            .collect();
        let models: Vec<Value> =
            models.iter().map(|(name, path)| json!({ "name": name, "path": path })).collect();
        let missing: Vec<Value> = missing
            .iter()
            .map(|(name, purpose, package)| json!({ "element": name, "for": purpose, "package": package }))
            .collect();
        let auto = automatic.map(|provider| provider.name());
        say!(
            "{}",
            json!({ "version": env!("CARGO_PKG_VERSION"), "gstreamer": gst::version_string().as_str(), "runtime": runtime,
                "convolution_lanes": convolution::lanes(), "providers": providers, "auto": auto, "auto_model": super::models::automatic().join("; "), "models": models, "missing_elements": missing })
        );
    } else {
        say!("facesr       {}", env!("CARGO_PKG_VERSION"));
        say!("GStreamer    {}", gst::version_string().trim_start_matches("GStreamer "));
        match &runtime {
            Ok(runtime) => {
                say!("ONNX Runtime {} ({})", runtime.path.display(), runtime.found_by);
                say!("             {}", runtime.build());
            }
            Err(error) => say!("ONNX Runtime missing: {error}"),
        }
        match convolution::lanes() {
            Some(lanes) => {
                say!("processor    {lanes} floats at a time in most convolutions, by kernels of facesr's own")
            }
            None => say!(
                "processor    no vectors that facesr's own kernels want (AVX2): every convolution is left to ONNX Runtime"
            ),
        }
        for (provider, result) in &providers {
            match result {
                Ok(_) => say!("provider     {:<10} works", provider.name()),
                Err(reason) => say!("provider     {:<10} no: {reason}", provider.name()),
            }
        }
        if let Some(provider) = automatic {
            say!("             auto takes {}", provider.name());
        }
        for (name, path) in &models {
            let state =
                path.as_ref().map_or("missing: run `make models`".into(), |path| path.display().to_string());
            say!("model        {name:<18} {state}");
        }
        for part in super::models::automatic() {
            say!("             auto takes {part}");
        }
        for (name, purpose, package) in &missing {
            say!("missing      {name}, {purpose}: install {package}");
        }
    }
    if usable {
        return Ok(());
    }
    Err(Failure::Unavailable(
        "nothing can be enhanced on this machine yet: run `make setup` in the source tree".into(),
    ))
}

fn tried(runtime: &'static Runtime, provider: Provider) -> Result<String, String> {
    try_provider(runtime, provider).map(|active| active.describe())
}
