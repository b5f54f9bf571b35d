//! Faces as GStreamer's own detections, for 1.24 and later: `face` with its place, and its number related to it.

use std::collections::BTreeMap;

use gstreamer as gst;
use gstreamer_analytics as gst_analytics;

use gst_analytics::prelude::*;
use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta, RelTypes};

use crate::face::detect::Detection;
use crate::face::geometry::{Point, Rect};
use crate::face::track::Track;

/// The type of such a detection.
const FACE: &str = "face";

/// When each face that is followed was first there.
#[derive(Default)]
pub struct FirstSeen(BTreeMap<u64, gst::ClockTime>);

impl FirstSeen {
    /// Attaches faces to a buffer whose picture has so many pixels for each of theirs, across and down; beside what
    /// somebody upstream attached.
    pub fn attach(
        &mut self,
        faces: &[Track],
        scale: (f32, f32),
        buffer: &mut gst::BufferRef,
    ) -> Result<(), gst::glib::BoolError> {
        self.0.retain(|id, _| faces.iter().any(|face| face.id == *id));
        let now = buffer.pts().unwrap_or_default();
        let scale = Point::new(scale.0, scale.1);
        let shown: Vec<_> = faces.iter().filter(|face| face.confirmed()).collect();
        if shown.is_empty() {
            return Ok(());
        }
        if buffer.meta::<AnalyticsRelationMeta>().is_none() {
            AnalyticsRelationMeta::add(buffer);
        }
        let Some(mut meta) = buffer.meta_mut::<AnalyticsRelationMeta>() else { return Ok(()) };
        for face in shown {
            let area = face.area.times(scale);
            let whole = |length: f32| length.round() as i32;
            let kind = gst::glib::Quark::from_str(FACE);
            let place = (whole(area.x), whole(area.y), whole(area.width), whole(area.height));
            let detection =
                meta.add_od_mtd(kind, place.0, place.1, place.2, place.3, face.score.clamp(0.0, 1.0))?.id();
            let first = *self.0.entry(face.id).or_insert(now);
            let number = meta.add_tracking_mtd(face.id, first)?.id();
            meta.set_relation(RelTypes::RELATE_TO, detection, number)?;
        }
        Ok(())
    }
}

/// The faces that somebody attached, each with the landmarks that `landmarks` guesses for a box.
pub fn faces(
    buffer: &gst::BufferRef,
    landmarks: impl Fn(&Rect) -> crate::face::detect::Landmarks,
) -> Vec<Detection> {
    let Some(meta) = buffer.meta::<AnalyticsRelationMeta>() else { return Vec::new() };
    let detections = meta.iter::<AnalyticsODMtd>();
    let faces = detections.filter(|found| found.obj_type().is_some_and(|kind| kind.as_str() == FACE));
    faces
        .filter_map(|found| {
            let place = found.location().ok()?;
            let area = Rect::new(place.x as f32, place.y as f32, place.w as f32, place.h as f32);
            Some(Detection { score: place.loc_conf_lvl, area, landmarks: landmarks(&area) })
        })
        .collect()
}
