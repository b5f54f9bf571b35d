//! How noisy a clip is, from frame to frame.

use crate::image::lanes::{LANES, Lanes, dispatched};

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

/// How many counters a step has: neighbours mostly differ alike, and one that was just counted up is not at hand at once.
const COUNTERS: usize = 4;

/// Finds medians of absolute values, to 1/64 of a level.
#[derive(Clone, Debug)]
pub struct Medians {
    counts: Vec<[u32; COUNTERS]>,
    total: u32,
}

impl Default for Medians {
    fn default() -> Self {
        Self { counts: vec![[0; COUNTERS]; LARGEST * STEPS as usize + 1], total: 0 }
    }
}

impl Medians {
    /// Counts what each `step`th of some samples, from the first on, differs by from another; what is not a number as nothing.
    pub fn add(&mut self, samples: [&[f32]; 2], step: usize) {
        count(samples, step, &mut self.counts);
        self.total += samples[0].len().div_ceil(step) as u32;
    }

    /// Counts nothing that was counted so far.
    pub fn clear(&mut self) {
        self.counts.fill([0; COUNTERS]);
        self.total = 0;
    }

    /// Counts what another counted.
    pub fn add_all(&mut self, other: &Self) {
        let counts = self.counts.as_flattened_mut().iter_mut().zip(other.counts.as_flattened());
        counts.for_each(|(all, some)| *all += some);
        self.total += other.total;
    }

    /// The median of what was counted since the last call, 0 of nothing.
    pub fn take(&mut self) -> f32 {
        let half = self.total / 2;
        let mut below = 0;
        let step = self.counts.iter().position(|counts| {
            below += counts.iter().sum::<u32>();
            below > half
        });
        self.clear();
        step.map_or(0.0, |step| (step as f32 + 0.5) / STEPS)
    }
}

dispatched! {
    fn count / count_plain(samples: [&[f32]; 2], step: usize, counts: &mut [[u32; COUNTERS]]) {
        match step {
            1 => count_each::<1>(samples, counts),
            2 => count_each::<2>(samples, counts),
            _ => panic!("of samples, each or every second one is counted"),
        }
    }
}

/// Vectors whose steps are found before they are counted: found and counted one by one, they take twice the time.
const AT_ONCE: usize = 16;

#[inline(always)]
fn count_each<const STEP: usize>([samples, others]: [&[f32]; 2], counts: &mut [[u32; COUNTERS]]) {
    let most = Lanes::splat((counts.len() - 1) as f32);
    let mut steps = [[0; LANES]; AT_ONCE];
    for (samples, others) in samples.chunks(AT_ONCE * LANES).zip(others.chunks(AT_ONCE * LANES)) {
        for ((steps, samples), others) in
            steps.iter_mut().zip(samples.chunks(LANES)).zip(others.chunks(LANES))
        {
            let apart = (up_to_eight(samples) - up_to_eight(others)).abs() * Lanes::splat(STEPS);
            *steps = apart.max(Lanes::ZERO).min(most).floor().whole();
        }
        let steps = &steps.as_flattened()[..samples.len()];
        for (number, step) in steps.iter().step_by(STEP).enumerate() {
            counts[*step as usize][number % COUNTERS] += 1;
        }
    }
}

/// Samples of the last vector of a row, and zeros where it has none.
#[inline(always)]
fn up_to_eight(samples: &[f32]) -> Lanes {
    let Some(whole) = samples.first_chunk() else {
        let mut lanes = Lanes::ZERO;
        lanes.0.iter_mut().zip(samples).for_each(|(lane, sample)| *lane = *sample);
        return lanes;
    };
    Lanes(*whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_the_sorted_values_to_a_step() {
        for count in [1_usize, 2, 3, 10, 101, 5000] {
            let values: Vec<f32> =
                (0..count).map(|k| ((k * 7919 + 13) % 3001) as f32 / 100.0 - 15.0).collect();
            let mut medians = Medians::default();
            let others: Vec<f32> = (0..count).map(|k| (k % 7) as f32).collect();
            // Twice, because taking one must leave nothing behind.
            for step in [1, 2, 1, 2] {
                medians.add([&values, &others], step);
                let apart =
                    values.iter().zip(&others).step_by(step).map(|(value, other)| (value - other).abs());
                let mut sorted: Vec<f32> = apart.collect();
                sorted.sort_by(f32::total_cmp);
                let found = medians.take();
                let expected = sorted[sorted.len() / 2];
                assert!((found - expected).abs() <= 1.0 / STEPS, "{count}: {found}, not {expected}");
            }
        }
        assert_eq!(Medians::default().take(), 0.0);
    }

    #[test]
    fn values_beyond_all_levels_and_such_that_are_none_are_counted() {
        let mut medians = Medians::default();
        medians.add([&[f32::NAN, f32::INFINITY, -1e9, 1.0, 1.0], &[0.0; 5]], 1);
        assert!((medians.take() - 1.0).abs() < 0.1);
    }

    #[test]
    fn steady_noise_is_found_and_a_cut_that_was_missed_raises_it_by_the_slew_at_most() {
        for level in [0.0_f32, 0.3, 2.0, 7.0, 12.0] {
            let mut noise = Noise::default();
            let median = level / MEDIAN_TO_DEVIATION;
            for _ in 0..50 {
                assert!((noise.of_frame(median) - level).abs() < 0.01);
            }
            let during = noise.of_frame(60.0);
            assert!(during <= (SLEW.1 * level + SLEW.0 + 0.01).min(LOUDEST), "{level}: {during}");
            assert!((noise.level() - level).abs() <= SHARE_OF_A_FRAME * (during - level) + 0.01);
        }
    }

    #[test]
    fn a_clip_becomes_noisy_above_nine_levels_and_remains_so_down_to_eight() {
        let settled = |noise: &mut Noise, level: f32| {
            for _ in 0..100 {
                noise.of_frame(level / MEDIAN_TO_DEVIATION);
            }
            noise.is_noisy()
        };
        let mut noise = Noise::default();
        for (level, noisy) in
            [(8.4, false), (8.8, false), (9.2, true), (8.2, true), (7.8, false), (8.8, false), (15.0, true)]
        {
            assert_eq!(settled(&mut noise, level), noisy, "{level}");
        }
        // The first figure is held against the middle.
        for (level, noisy) in [(8.4, false), (8.6, true)] {
            let mut noise = Noise::default();
            noise.of_frame(level / MEDIAN_TO_DEVIATION);
            assert_eq!(noise.is_noisy(), noisy, "{level}");
        }
    }

    #[test]
    fn noise_is_never_more_than_the_loudest() {
        let mut noise = Noise::default();
        assert!((0..100).all(|_| noise.of_frame(1e6) <= LOUDEST));
    }
}
