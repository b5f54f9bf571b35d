//! What `stats` tells of faces.

use gstreamer as gst;

use crate::face::helpers::HelperNames;
use crate::face::{FaceReport, Missed};

/// What has happened to faces since the element started.
#[derive(Clone, Debug, Default)]
pub struct FaceStats {
    most: usize,
    /// Sum over frames.
    sum: u64,
    tracks: u64,
    restored: u64,
    reused: u64,
    failed: u64,
    guarded: u64,
    /// What restores them; empty if nothing does.
    restorer: String,
    /// Why nothing does, or the first failure.
    note: String,
    /// What it is held to: `agreement`, or the network that tells people apart; empty without a restorer.
    guard: String,
    not_embedded: u64,
    /// The network that tells skin from hair; empty if none does.
    parser: String,
    not_parsed: u64,
}

impl FaceStats {
    /// Takes what restores faces, or why nothing does.
    pub fn describe(&mut self, (restorer, left): (Option<&str>, Option<&str>)) {
        self.restorer = restorer.unwrap_or_default().into();
        self.note = left.unwrap_or_default().into();
    }

    /// Takes the networks that help it, `None` where nothing restores.
    pub fn describe_helpers(&mut self, helpers: Option<&HelperNames>) {
        let identity = helpers.and_then(|helpers| helpers.identity.as_ref());
        let by = identity.map_or("agreement".into(), |name| format!("embedding {name}"));
        self.guard = helpers.map_or_else(String::new, |_| by);
        let parser = helpers.and_then(|helpers| helpers.parser.as_ref());
        self.parser = parser.map_or_else(String::new, |(name, kind)| format!("{name} ({kind})"));
    }

    /// Counts a frame; gives warnings to post: of each network that failed for the first time.
    pub fn count(&mut self, report: &FaceReport) -> Vec<String> {
        self.most = self.most.max(report.faces);
        self.sum += report.faces as u64;
        self.tracks = self.tracks.max(report.tracks);
        self.restored += report.restored as u64;
        self.reused += report.reused as u64;
        self.guarded += report.guarded as u64;
        let restoring = Missed { faces: report.failed, reason: report.failure.clone() };
        let warnings = [
            first(&mut self.failed, &restoring).map(|reason| {
                format!(
                    "face restorer {} failed, such faces are left as they are and counted in `stats`: {reason}",
                    self.restorer
                )
            }),
            first(&mut self.not_embedded, &report.embedding).map(|reason| {
                format!(
                    "the face guard by {} failed, such faces are held to agreement and counted in `stats`: {reason}",
                    self.guard
                )
            }),
            first(&mut self.not_parsed, &report.parsing).map(|reason| {
                format!(
                    "face parser {} failed, such faces are restored in an ellipse and counted in `stats`: {reason}",
                    self.parser
                )
            }),
        ];
        let warnings: Vec<String> = warnings.into_iter().flatten().collect();
        if let Some(warning) = warnings.first().filter(|_| self.note.is_empty()) {
            self.note.clone_from(warning);
        }
        warnings
    }

    /// The structure, after so many frames.
    pub fn structure(&self, frames: u64) -> gst::Structure {
        gst::Structure::builder("faces")
            .field("max", self.most as u64)
            .field("mean", self.sum as f64 / frames.max(1) as f64)
            .field("tracks", self.tracks)
            .field("restored", self.restored)
            .field("reused", self.reused)
            .field("failed", self.failed)
            .field("guarded", self.guarded)
            .field("restorer", &self.restorer)
            .field("guard", &self.guard)
            .field("not-embedded", self.not_embedded)
            .field("parser", &self.parser)
            .field("not-parsed", self.not_parsed)
            .field("note", &self.note)
            .build()
    }
}

/// Adds to a count; gives the reason where it was none before.
fn first<'a>(count: &mut u64, missed: &'a Missed) -> Option<&'a str> {
    let is_first = *count == 0 && missed.faces > 0;
    *count += missed.faces as u64;
    missed.reason.as_deref().filter(|_| is_first)
}
