//! What `stats` tells of faces.

use gstreamer as gst;

use crate::face::FaceReport;

/// What has happened to faces since the element started.
#[derive(Clone, Debug, Default)]
pub struct FaceStats {
    most: usize,
    /// Sum over frames.
    sum: u64,
    tracks: u64,
    restored: u64,
    failed: u64,
    guarded: u64,
    /// What restores them; empty if nothing does.
    restorer: String,
    /// Why nothing does, or the first failure.
    note: String,
}

impl FaceStats {
    /// Takes what restores faces, or why nothing does.
    pub fn describe(&mut self, (restorer, left): (Option<&str>, Option<&str>)) {
        self.restorer = restorer.unwrap_or_default().into();
        self.note = left.unwrap_or_default().into();
    }

    /// Counts a frame; gives a warning to post when the restorer failed for the first time.
    pub fn count(&mut self, report: &FaceReport) -> Option<String> {
        self.most = self.most.max(report.faces);
        self.sum += report.faces as u64;
        self.tracks = self.tracks.max(report.tracks);
        self.restored += report.restored as u64;
        self.guarded += report.guarded as u64;
        let first = self.failed == 0 && report.failed > 0;
        self.failed += report.failed as u64;
        let reason = report.failure.as_ref().filter(|_| first)?;
        let restorer = &self.restorer;
        let warning = format!(
            "face restorer {restorer} failed, such faces are left as they are and counted in `stats`: {reason}"
        );
        self.note.clone_from(&warning);
        Some(warning)
    }

    /// The structure, after so many frames.
    pub fn structure(&self, frames: u64) -> gst::Structure {
        gst::Structure::builder("faces")
            .field("max", self.most as u64)
            .field("mean", self.sum as f64 / frames.max(1) as f64)
            .field("tracks", self.tracks)
            .field("restored", self.restored)
            .field("failed", self.failed)
            .field("guarded", self.guarded)
            .field("restorer", &self.restorer)
            .field("note", &self.note)
            .build()
    }
}
