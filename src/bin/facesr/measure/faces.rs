//! The faces of the ground truth, cut out of it and of what is measured.

use std::path::Path;

use gstfacesr::face::align::for_embedding;
use gstfacesr::face::crop::{Frame, cut};
use gstfacesr::face::detect::{Detection, Detector};
use gstfacesr::face::identity::SMALLEST;
use gstfacesr::face::{FaceError, Settings};
use gstfacesr::image::Size;
use gstfacesr::infer::runtime::Runtime;
use gstfacesr::metrics::Colours;
use ndarray::{Array4, Axis};

use crate::clips::Still;

/// Faces of a lower score are not sure enough to be measured.
const SURE: f32 = 0.8;

/// Finds faces.
pub struct Locator {
    detector: Detector,
}

impl Locator {
    /// With the detector that the element takes by default.
    pub fn open(runtime: &'static Runtime, beside: Option<&Path>) -> Result<Locator, FaceError> {
        let settings = Settings { beside: beside.map(Into::into), ..Settings::default() };
        let detector = Detector::load(runtime, &settings.detector_file()?, &settings.options, SMALLEST)?;
        Ok(Locator { detector })
    }

    /// The faces of a picture.
    pub fn find(&mut self, truth: &Still) -> Result<Vec<Detection>, FaceError> {
        match truth {
            Still::Eight(picture) => self.detector.detect(picture.view(), SURE),
            Still::Sixteen(picture) => self.detector.detect(picture.view(), SURE),
        }
    }
}

/// Each face, aligned by where it is in the ground truth, of both pictures, which may differ in size.
pub fn crops(faces: &[Detection], test: &Still, truth: &Still) -> Vec<Colours> {
    let sides = |size: Size| (size.width as f32, size.height as f32);
    let ((test_width, test_height), (width, height)) = (sides(test.size()), sides(truth.size()));
    let scale = gstfacesr::face::geometry::Point::new(test_width / width, test_height / height);
    let crop = |face: &Detection| {
        let there = face.landmarks.map(|point| point.times(scale));
        Some(Colours { test: aligned(test, &there)?, truth: aligned(truth, &face.landmarks)? })
    };
    faces.iter().filter_map(crop).collect()
}

fn aligned(still: &Still, landmarks: &gstfacesr::face::detect::Landmarks) -> Option<Array4<f32>> {
    let window = for_embedding(landmarks)?;
    let crop = match still {
        Still::Eight(picture) => cut(&Frame(picture.view()), &window.place, window.side),
        Still::Sixteen(picture) => cut(&Frame(picture.view()), &window.place, window.side),
    };
    Some(crop.insert_axis(Axis(0)))
}
