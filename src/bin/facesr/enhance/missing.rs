//! What GStreamer says is not installed, and the package that has it.

use std::path::Path;

use gstreamer as gst;

use crate::failure::Failure;

/// Debian's packages by the kind of element; the first row that fits counts.
const PACKAGES: &[(&str, &str)] = &[
    ("decoder", "gstreamer1.0-libav"),
    ("demuxer", "gstreamer1.0-plugins-good and gstreamer1.0-plugins-bad"),
    ("avenc_", "gstreamer1.0-libav"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("x265enc", "gstreamer1.0-plugins-bad"),
    ("av1enc", "gstreamer1.0-plugins-bad"),
    ("aacparse", "gstreamer1.0-plugins-good"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("h265parse", "gstreamer1.0-plugins-bad"),
    ("vp9parse", "gstreamer1.0-plugins-bad"),
    ("av1parse", "gstreamer1.0-plugins-bad"),
    ("opusparse", "gstreamer1.0-plugins-bad"),
    ("opusenc", "gstreamer1.0-plugins-base"),
    ("parsebin", "gstreamer1.0-plugins-base"),
    ("decodebin", "gstreamer1.0-plugins-base"),
    ("video", "gstreamer1.0-plugins-base and gstreamer1.0-plugins-good"),
    ("audio", "gstreamer1.0-plugins-base"),
    ("", "gstreamer1.0-plugins-good"),
];

/// The package to install for an element or a kind of element.
pub fn package(name: &str) -> &'static str {
    PACKAGES.iter().find(|(start, _)| name.starts_with(start)).map_or("", |(_, package)| package)
}

/// The first thing that a pipeline reported missing.
#[derive(Default)]
pub struct Missing {
    what: Option<(String, &'static str)>,
}

impl Missing {
    /// Remembers a `missing-plugin` message; others pass.
    pub fn note(&mut self, message: &gst::Message) {
        let Some(details) = message.structure().filter(|details| details.has_name("missing-plugin")) else {
            return;
        };
        let kind = details.get::<&str>("type").unwrap_or("element");
        let name = details.get::<&str>("name").unwrap_or("a plugin");
        let detail = details.get::<&str>("detail").unwrap_or(kind);
        self.what
            .get_or_insert_with(|| (name.to_owned(), package(if kind == "element" { detail } else { kind })));
    }

    /// A failure that names what is missing, or else the one that was seen.
    pub fn or(&self, path: &Path, seen: Failure) -> Failure {
        match &self.what {
            Some((name, package)) => Failure::Input(format!(
                "{}: needs a {name}, which is not installed; try: apt install {package}",
                path.display()
            )),
            None => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_package() {
        for name in ["decoder", "demuxer", "x264enc", "avenc_ffv1", "videoflip", "matroskamux", ""] {
            assert!(package(name).starts_with("gstreamer1.0-"), "{name}");
        }
    }
}
