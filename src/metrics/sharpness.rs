//! Sharpness: the strength of edges, in shares of a reference's. Blur wins every measure of
//! flicker, so none of those means anything without this one.
//!
//! Strength is the mean magnitude of the 3x3 Sobel gradient; pixels beyond the border mirror
//! those within, the border itself not repeated. The figure for a clip is the sum over frames
//! over that of the reference, so that a black frame does not divide by zero.

use super::{Frame, Given, Meter, MetricError, Outcome};
use crate::image::{View, rows};

/// The mean magnitude of the gradient, in levels of 255 (a step of one level counts 4).
pub fn edges(picture: View<'_, f32>) -> f64 {
    let (height, width, _) = picture.dim();
    let lines: Vec<&[f32]> = rows(picture).collect();
    // Mirrored; a picture one pixel wide has itself beside it.
    let before = |at: usize, length: usize| if at > 0 { at - 1 } else { 1.min(length - 1) };
    let after = |at: usize, length: usize| if at + 1 < length { at + 1 } else { length.saturating_sub(2) };
    let mut sum = 0.0;
    for (y, here) in lines.iter().enumerate() {
        let (above, below) = (lines[before(y, height)], lines[after(y, height)]);
        for x in 0..width {
            let (left, right) = (before(x, width), after(x, width));
            let column = |x: usize| above[x] + 2.0 * here[x] + below[x];
            let line = |row: &[f32]| row[left] + 2.0 * row[x] + row[right];
            let (across, down) = (column(right) - column(left), line(below) - line(above));
            sum += f64::from((across * across + down * down).sqrt());
        }
    }
    sum / (height * width) as f64
}

/// The reference of a frame.
type Reference = for<'a> fn(&Frame<'a>) -> Result<View<'a, f32>, MetricError>;

struct Sharpness {
    reference: Reference,
    test: f64,
    expected: f64,
    series: Vec<(usize, f64)>,
}

fn start(reference: Reference) -> Box<dyn Meter> {
    Box::new(Sharpness { reference, test: 0.0, expected: 0.0, series: Vec::new() })
}

pub(super) fn start_over_truth(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(start(|frame| frame.truth()))
}

pub(super) fn start_over_per_frame(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(start(|frame| frame.per_frame()))
}

impl Meter for Sharpness {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        let (test, expected) = (edges(frame.test()), edges((self.reference)(frame)?));
        self.test += test;
        self.expected += expected;
        if expected > 0.0 {
            self.series.push((frame.number(), test / expected));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        let value = (self.expected > 0.0).then(|| self.test / self.expected);
        Outcome { value, series: self.series }
    }
}
