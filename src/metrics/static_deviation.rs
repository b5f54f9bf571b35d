//! Static deviation: how much a picture flickers where the ground truth stands still.
//!
//! Over windows of 8 frames, one beginning every 4 frames and anew at each cut: the standard
//! deviation (over the 8 frames) of every pixel that varies by at most 4 levels in the ground
//! truth, its mean over those pixels, and the mean over the windows, in levels of 255. A window
//! without a still pixel does not count, nor does one that a cut or the end cuts short.

use super::{Frame, Given, Meter, MetricError, Outcome};
use crate::image::{Picture, Size, View, rows};

/// Frames of a window.
pub const WINDOW: usize = 8;
/// Frames from the beginning of one window to that of the next.
pub const STEP: usize = 4;
/// A pixel stands still if the ground truth varies by no more than this, in levels of 255.
const STILL: f32 = 4.0;

/// What is known of a pixel in a window under way. Mean and squared deviations are carried
/// along (Welford, 1962), so that no frame has to be kept.
#[derive(Clone, Copy)]
struct Pixel {
    mean: f32,
    squares: f32,
    least: f32,
    most: f32,
}

const UNSEEN: Pixel = Pixel { mean: 0.0, squares: 0.0, least: f32::INFINITY, most: f32::NEG_INFINITY };

/// A window under way.
struct Window {
    frames: usize,
    pixels: Picture<Pixel>,
}

impl Window {
    fn new(size: Size) -> Self {
        Self { frames: 0, pixels: Picture::from_elem((size.height, size.width, 1), UNSEEN) }
    }

    fn push(&mut self, test: View<'_, f32>, truth: View<'_, f32>) {
        self.frames += 1;
        let share = 1.0 / self.frames as f32;
        let pixels = self.pixels.as_slice_mut().expect("an owned picture is contiguous");
        let seen = rows(test).flatten().zip(rows(truth).flatten());
        for (pixel, (&test, &truth)) in pixels.iter_mut().zip(seen) {
            let off = test - pixel.mean;
            pixel.mean += off * share;
            pixel.squares += off * (test - pixel.mean);
            pixel.least = pixel.least.min(truth);
            pixel.most = pixel.most.max(truth);
        }
    }

    /// The mean deviation of the pixels that stand still, if there are any.
    fn deviation(&self) -> Option<f64> {
        let still = self.pixels.iter().filter(|pixel| pixel.most - pixel.least <= STILL);
        let deviations = still.map(|pixel| f64::from(pixel.squares / WINDOW as f32).sqrt());
        let (count, sum) = deviations.fold((0_u64, 0.0), |(count, sum), one| (count + 1, sum + one));
        (count > 0).then(|| sum / count as f64)
    }
}

#[derive(Default)]
struct StaticDeviation {
    /// Frames since the last cut.
    frames: usize,
    /// Windows under way, the oldest first: two at most.
    windows: Vec<Window>,
    /// By the last frame of each window.
    series: Vec<(usize, f64)>,
}

pub(super) fn start(_: &Given) -> Result<Box<dyn Meter>, MetricError> {
    Ok(Box::<StaticDeviation>::default())
}

impl Meter for StaticDeviation {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        if frame.cut() {
            self.windows.clear();
            self.frames = 0;
        }
        let truth = frame.truth()?;
        if let Some(window) = self.windows.first() {
            let (found, expected) = (Size::of(&window.pixels.view()), frame.size());
            if found != expected {
                let (frame, what) = (frame.number(), "frame before");
                return Err(MetricError::Sizes { frame, what, found, expected });
            }
        }
        if self.frames.is_multiple_of(STEP) {
            self.windows.push(Window::new(frame.size()));
        }
        self.frames += 1;
        self.windows.iter_mut().for_each(|window| window.push(frame.test(), truth));
        if self.windows[0].frames == WINDOW {
            let deviation = self.windows.remove(0).deviation();
            self.series.extend(deviation.map(|deviation| (frame.number(), deviation)));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.series)
    }
}
