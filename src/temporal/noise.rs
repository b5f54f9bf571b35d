//! How noisy a clip is, from frame to frame.

/// Levels of luma beyond which noise is not told from a change of the picture.
const LOUDEST: f32 = 20.0;
/// A median of absolute deviations times this is the standard deviation of normal noise.
const MEDIAN_TO_DEVIATION: f32 = 1.4826;
/// The running noise takes this much of each frame's.
const SHARE_OF_A_FRAME: f32 = 0.1;
/// What a frame's noise may be more than the running one, in levels and as a factor. It makes a cut
/// that was missed harmless, whose residual would otherwise pass for noise.
const SLEW: (f32, f32) = (0.5, 1.3);
/// A clip is noisy from the first figure on, and remains so down to the second. In levels.
const NOISY: (f32, f32) = (9.0, 8.0);
/// Whether the first frames are noisy.
const NOISY_AT_FIRST: f32 = 8.5;
/// Steps of the histogram in a level.
const STEPS: f32 = 64.0;
/// Residuals beyond this many levels are counted as this; the median is not among them where it matters.
const LARGEST: usize = 64;

/// The noise of a clip: a running figure that survives cuts.
#[derive(Clone, Debug, Default)]
pub struct Noise {
    /// Standard deviation in levels, `None` before the first frame that has one behind it.
    running: Option<f32>,
    noisy: bool,
}

impl Noise {
    /// The noise of a frame, in levels, of its median absolute residual. Updates the running one.
    pub fn of_frame(&mut self, median: f32) -> f32 {
        let found = MEDIAN_TO_DEVIATION * median + 0.001;
        let running = self.running.unwrap_or(found.min(LOUDEST));
        let noise = found.min(SLEW.1 * running + SLEW.0).min(LOUDEST);
        let next = running + SHARE_OF_A_FRAME * (noise - running);
        let limit = match self.running {
            None => NOISY_AT_FIRST,
            Some(_) if self.noisy => NOISY.1,
            Some(_) => NOISY.0,
        };
        self.noisy = next > limit;
        self.running = Some(next);
        noise
    }

    /// The clip so far is so noisy that fine flow would follow the noise, and more history pays.
    pub fn is_noisy(&self) -> bool {
        self.noisy
    }

    /// The running figure, in levels; 0 before there is one.
    pub fn level(&self) -> f32 {
        self.running.unwrap_or(0.0)
    }
}

/// Finds medians of absolute values, to 1/64 of a level.
#[derive(Clone, Debug)]
pub struct Medians {
    counts: Vec<u32>,
    total: u32,
}

impl Default for Medians {
    fn default() -> Self {
        Self { counts: vec![0; LARGEST * STEPS as usize + 1], total: 0 }
    }
}

impl Medians {
    /// Counts a value of either sign.
    pub fn add(&mut self, value: f32) {
        let step = ((value.abs() * STEPS) as usize).min(self.counts.len() - 1);
        self.counts[step] += 1;
        self.total += 1;
    }

    /// The median of what was counted since the last call, 0 of nothing.
    pub fn take(&mut self) -> f32 {
        let half = self.total / 2;
        let mut below = 0;
        let step = self.counts.iter().position(|&count| {
            below += count;
            below > half
        });
        self.counts.fill(0);
        self.total = 0;
        step.map_or(0.0, |step| (step as f32 + 0.5) / STEPS)
    }
}
