//! Faces as regions of interest on buffers: `face`, with what is known of each.

use gstreamer as gst;
use gstreamer_video as gst_video;

use gst_video::VideoRegionOfInterestMeta;

use crate::face::detect::{Detection, Landmarks};
use crate::face::geometry::{Point, Rect};
use crate::face::track::Track;

/// The type of such a region.
const FACE: &str = "face";

/// The name of the structure that tells what is known of a face: `track` (its number), `score`, `blend` (the share to
/// which it is faded in) and `landmarks` (x and y of eyes, nose and corners of the mouth, the viewer's left first).
const ABOUT: &str = "facesr-face";

/// Attaches faces to a buffer whose picture has so many pixels for each of theirs, across and down.
pub fn attach(faces: &[Track], scale: (f32, f32), buffer: &mut gst::BufferRef) {
    let scale = Point::new(scale.0, scale.1);
    for face in faces.iter().filter(|face| face.confirmed()) {
        let area = face.area.times(scale);
        // A region cannot begin outside of the picture.
        let (left, top) = (area.x.max(0.0), area.y.max(0.0));
        let (right, bottom) = (area.x + area.width, area.y + area.height);
        if right <= left || bottom <= top {
            continue;
        }
        let whole = |length: f32| length.round() as u32;
        let place = (whole(left), whole(top), whole(right - left), whole(bottom - top));
        let mut region = VideoRegionOfInterestMeta::add(buffer, FACE, place);
        let points = face.landmarks.iter().map(|point| point.times(scale));
        let points: Vec<f64> = points.flat_map(|point| [f64::from(point.x), f64::from(point.y)]).collect();
        let about = gst::Structure::builder(ABOUT)
            .field("track", face.id)
            .field("score", f64::from(face.score))
            .field("blend", f64::from(face.blend()))
            .field("landmarks", gst::Array::new(points));
        region.add_param(about.build());
    }
}

/// The faces that somebody attached to a buffer. Without landmarks they are taken to lie as those of a face seen from
/// the front do.
pub fn faces(buffer: &gst::BufferRef) -> Vec<Detection> {
    let regions = buffer.iter_meta::<VideoRegionOfInterestMeta>();
    let faces = regions.filter(|region| region.roi_type() == FACE);
    let faces: Vec<_> = faces
        .map(|region| {
            let (x, y, width, height) = region.rect();
            let area = Rect::new(x as f32, y as f32, width as f32, height as f32);
            let landmarks = region.params().find_map(landmarks);
            let score = region.params().find_map(|about| about.get::<f64>("score").ok());
            let score = score.map_or(1.0, |score| score as f32);
            Detection { score, area, landmarks: landmarks.unwrap_or_else(|| frontal(&area)) }
        })
        .collect();
    #[cfg(feature = "v1_24")]
    if faces.is_empty() {
        // Who attaches both says the same twice, and less by these.
        return super::analytics::faces(buffer, frontal);
    }
    faces
}

fn landmarks(about: &gst::StructureRef) -> Option<Landmarks> {
    let points = about.get::<gst::Array>("landmarks").ok()?;
    let numbers: Vec<f32> =
        points.iter().filter_map(|number| number.get::<f64>().ok()).map(|n| n as f32).collect();
    (numbers.len() == 10).then(|| std::array::from_fn(|i| Point::new(numbers[2 * i], numbers[2 * i + 1])))
}

/// Where landmarks are in the box of a face seen from the front, as shares of its sides: means over
/// the faces that YuNet finds in Solvay 1927.
fn frontal(area: &Rect) -> Landmarks {
    [(0.27, 0.38), (0.73, 0.38), (0.51, 0.59), (0.32, 0.75), (0.7, 0.75)]
        .map(|(x, y)| Point::new(area.x + x * area.width, area.y + y * area.height))
}
