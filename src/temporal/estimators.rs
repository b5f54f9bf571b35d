//! How finely motion is looked for.

use super::Mode;
use crate::flow::{self, Estimator, THOROUGH};
use crate::image::Size;
use crate::image::plane::Plane;

/// Pixels of a picture that is small enough for finer motion.
pub const SMALL: usize = 256 * 256;

/// One for clips with noise, where fine levels would follow the noise, and one for the others.
pub struct Estimators {
    noisy: Estimator,
    clean: Option<Estimator>,
}

impl Estimators {
    /// For a size. Where a mode asks for nothing finer, levels of more than `most` samples are not searched.
    pub fn new(mode: Mode, size: Size, most: usize) -> Self {
        let preset = |name| flow::preset(name).expect("the preset is in the table");
        // A level finer than what `Mode` says, where that costs next to nothing.
        let small = size.width * size.height <= SMALL;
        let fast = |level| flow::Settings { finest_level: finest_level(size, level, most), ..preset("fast") };
        let (noisy, clean) = match mode {
            Mode::Off | Mode::Fast => (fast(if small { 1 } else { 2 }), None),
            // Parts that are used again, which small pictures have most of, show a flow that is refined less (0.065 dB).
            Mode::Balanced => (
                fast(1),
                small.then(|| flow::Settings { finest_level: finest_level(size, 0, most), ..THOROUGH }),
            ),
            Mode::Quality => (fast(1), Some(preset("quality"))),
        };
        Self { noisy: Estimator::new(noisy), clean: clean.map(Estimator::new) }
    }

    /// From a picture of the size to another.
    pub fn flow(&mut self, noisy: bool, from: &Plane, to: &Plane, flow: [&mut Plane; 2]) {
        let estimator = match &mut self.clean {
            Some(clean) if !noisy => clean,
            _ => &mut self.noisy,
        };
        estimator
            .estimate_planes(from, to, flow)
            .expect("both pictures have the stage's size, which is large enough");
    }
}

/// The finest level to search: the one that is wanted, or the first after it of so many samples at most.
fn finest_level(size: Size, wanted: usize, most: usize) -> usize {
    let samples = size.width * size.height;
    (wanted..).find(|level| samples >> (2 * level) <= most).expect("in the end, no sample is left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motion_is_looked_for_as_finely_as_wanted_but_never_at_more_samples_than_allowed() {
        for (width, height) in [(16, 16), (640, 360), (960, 540), (1280, 720), (1920, 1080), (3840, 2160)] {
            let size = Size::new(width, height);
            for wanted in 0..4 {
                assert_eq!(finest_level(size, wanted, usize::MAX), wanted, "{size}");
                for most in [0, 100, 1 << 14, 1 << 17, 1 << 20] {
                    let level = finest_level(size, wanted, most);
                    let samples = |level: usize| (width * height) >> (2 * level);
                    assert!(level >= wanted && samples(level) <= most, "{size}: {level}");
                    assert!(level == wanted || samples(level - 1) > most, "{size}: {level} is too coarse");
                }
            }
        }
    }
}
