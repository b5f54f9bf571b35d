//! The order of the layers, read off the `use` lines: which module may name which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each module with the modules of this crate that it may use. Their tests keep to it, too.
const LAYERS: &[(&str, &[&str])] = &[
    ("image", &[]),
    ("flow", &["image"]),
    ("model", &["image"]),
    ("infer", &["image", "model"]),
    ("upscale", &["image", "infer", "model"]),
    ("temporal", &["flow", "image"]),
    ("face", &["flow", "image", "infer", "model"]),
    ("enhance", &["face", "image", "infer", "model", "temporal", "upscale"]),
    ("metrics", &["image", "infer", "model"]),
    ("plugin", &["enhance", "face", "image", "infer", "model", "temporal"]),
];

/// Crates that only one layer may name.
const CRATES: &[(&str, &[&str])] = &[
    ("ort", &["infer"]),
    ("gstreamer", &["plugin", "lib", "bin"]),
    ("gstreamer_analytics", &["plugin"]),
    ("gstreamer_app", &["bin"]),
    ("gstreamer_base", &["plugin"]),
    ("gstreamer_video", &["plugin", "bin"]),
    ("fast_image_resize", &["image"]),
    ("multiversion", &["image", "flow"]),
    ("prost", &["model", "infer"]),
    ("clap", &["bin"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The first part of a source's path below `src`, without its extension.
fn layer(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// Words that follow `prefix` in the code (not the comments) of a file.
fn named_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(move |line| line.match_indices(prefix).map(move |(at, _)| &line[at + prefix.len()..]))
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

#[test]
fn every_layer_uses_only_the_layers_below_it() {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut seen = 0;
    for path in sources(Path::new("src")) {
        let layer = layer(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        let Some(below) = allowed.get(layer.as_str()) else {
            assert!(["lib", "bin"].contains(&layer.as_str()), "{layer} has no place in the order");
            continue;
        };
        for used in named_after(&text, "crate::") {
            let is_module = allowed.contains_key(used.as_str());
            let fits = used == layer || below.contains(&used.as_str());
            assert!(!is_module || fits, "{}: {layer} must not use {used}", path.display());
            seen += usize::from(is_module);
        }
    }
    assert!(seen > 20, "only {seen} uses were found: does this test still read them?");
}

#[test]
fn a_crate_is_named_only_in_its_layer() {
    for path in sources(Path::new("src")) {
        let layer = layer(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        for (name, layers) in CRATES {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let path_of = format!("{name}::");
            let names_it = code.into_iter().any(|line| {
                line.match_indices(&path_of).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                })
            });
            assert!(!names_it || layers.contains(&layer.as_str()), "{} names {name}", path.display());
        }
    }
}

#[test]
fn unsafe_code_is_in_the_one_place_that_says_why() {
    let uses: Vec<PathBuf> = sources(Path::new("src"))
        .into_iter()
        .filter(|path| std::fs::read_to_string(path).unwrap().contains("allow(unsafe_code)"))
        .collect();
    assert_eq!(uses, [Path::new("src/infer/foreign/mod.rs")]);
    assert!(std::fs::read_to_string("src/lib.rs").unwrap().contains("#![deny(unsafe_code)]"));
}
