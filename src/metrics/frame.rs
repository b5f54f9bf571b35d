//! What the meters see of one frame. Sizes are compared here, once.

use ndarray::Array4;

use super::MetricError;
use super::motion::Motion;
use crate::image::{Size, View};

/// A colour picture of both, `[1, 3, height, width]`, RGB 0..1 (see [`super::plane::planar`]).
#[derive(Clone, Debug)]
pub struct Colours {
    /// The picture measured.
    pub test: Array4<f32>,
    /// The ground truth.
    pub truth: Array4<f32>,
}

/// One frame of a clip, with everything it is compared with.
pub struct Frame<'a> {
    number: usize,
    cut: bool,
    test: View<'a, f32>,
    truth: Option<View<'a, f32>>,
    per_frame: Option<View<'a, f32>>,
    motion: Option<&'a Motion>,
    colours: Option<&'a Colours>,
    faces: Option<&'a [Colours]>,
}

impl<'a> Frame<'a> {
    /// A frame: its number in the clip and its luma (one channel).
    ///
    /// # Panics
    /// If it has several channels, as every picture below.
    pub fn new(number: usize, test: View<'a, f32>) -> Self {
        assert_eq!(test.dim().2, 1, "metrics look at luma");
        let (truth, per_frame, motion, colours, faces) = (None, None, None, None, None);
        Self { number, cut: false, test, truth, per_frame, motion, colours, faces }
    }

    /// Whether a new scene begins here: temporal metrics do not look back from it.
    #[must_use]
    pub fn with_cut(mut self, cut: bool) -> Self {
        self.cut = cut;
        self
    }

    /// Adds the ground truth.
    ///
    /// # Errors
    /// [`MetricError::Sizes`], as below.
    pub fn with_truth(mut self, truth: View<'a, f32>) -> Result<Self, MetricError> {
        self.check(&truth, "ground truth")?;
        self.truth = Some(truth);
        Ok(self)
    }

    /// Adds what the same network makes of the frame without temporal stage.
    ///
    /// # Errors
    /// [`MetricError::Sizes`]
    pub fn with_per_frame(mut self, per_frame: View<'a, f32>) -> Result<Self, MetricError> {
        self.check(&per_frame, "picture without temporal stage")?;
        self.per_frame = Some(per_frame);
        Ok(self)
    }

    /// Adds the motion of the ground truth from this frame to the one before.
    ///
    /// # Errors
    /// [`MetricError::Sizes`]
    pub fn with_motion(mut self, motion: &'a Motion) -> Result<Self, MetricError> {
        self.same("motion", motion.size())?;
        self.motion = Some(motion);
        Ok(self)
    }

    /// Adds the colour pictures.
    ///
    /// # Errors
    /// [`MetricError::Sizes`]
    pub fn with_colours(mut self, colours: &'a Colours) -> Result<Self, MetricError> {
        self.same("colour picture", planar_size(&colours.test))?;
        self.same("ground truth in colour", planar_size(&colours.truth))?;
        self.colours = Some(colours);
        Ok(self)
    }

    /// Adds aligned crops of the faces, each of the size that the embedding network takes.
    #[must_use]
    pub fn with_faces(mut self, faces: &'a [Colours]) -> Self {
        self.faces = Some(faces);
        self
    }

    /// Its number in the clip.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether a new scene begins here.
    pub fn cut(&self) -> bool {
        self.cut
    }

    /// The luma to measure.
    pub fn test(&self) -> View<'a, f32> {
        self.test
    }

    /// Size of every picture of this frame.
    pub fn size(&self) -> Size {
        Size::of(&self.test)
    }

    /// The ground truth's luma.
    ///
    /// # Errors
    /// [`MetricError::Missing`], as below.
    pub fn truth(&self) -> Result<View<'a, f32>, MetricError> {
        self.there(self.truth, "ground truth")
    }

    /// The luma without temporal stage.
    ///
    /// # Errors
    /// [`MetricError::Missing`]
    pub fn per_frame(&self) -> Result<View<'a, f32>, MetricError> {
        self.there(self.per_frame, "picture without temporal stage")
    }

    /// The ground truth's motion.
    ///
    /// # Errors
    /// [`MetricError::Missing`]
    pub fn motion(&self) -> Result<&'a Motion, MetricError> {
        self.there(self.motion, "motion")
    }

    /// The colour pictures.
    ///
    /// # Errors
    /// [`MetricError::Missing`]
    pub fn colours(&self) -> Result<&'a Colours, MetricError> {
        self.there(self.colours, "colour pictures")
    }

    /// Crops of faces; none is no error.
    pub fn faces(&self) -> &'a [Colours] {
        self.faces.unwrap_or_default()
    }

    /// The frame before, if it may be looked at: not across a cut, and of the same size.
    ///
    /// # Errors
    /// [`MetricError::Sizes`] when sizes change without a cut.
    pub(super) fn neighbour<'b>(
        &self,
        before: Option<View<'b, f32>>,
    ) -> Result<Option<View<'b, f32>>, MetricError> {
        let before = before.filter(|_| !self.cut);
        before.as_ref().map_or(Ok(()), |before| self.check(before, "frame before"))?;
        Ok(before)
    }

    fn there<T>(&self, what: Option<T>, name: &'static str) -> Result<T, MetricError> {
        what.ok_or(MetricError::Missing { frame: self.number, what: name })
    }

    fn check(&self, picture: &View<'_, f32>, what: &'static str) -> Result<(), MetricError> {
        assert_eq!(picture.dim().2, 1, "metrics look at luma");
        self.same(what, Size::of(picture))
    }

    fn same(&self, what: &'static str, found: Size) -> Result<(), MetricError> {
        let (frame, expected) = (self.number, self.size());
        match found == expected {
            true => Ok(()),
            false => Err(MetricError::Sizes { frame, what, found, expected }),
        }
    }
}

fn planar_size(picture: &Array4<f32>) -> Size {
    let (_, _, height, width) = picture.dim();
    Size::new(width, height)
}
