//! Scenes that are functions of the place, so that their truth is known at every size.

use gstfacesr::image::{Picture, Sample, Size};

/// What there is to see.
#[derive(Clone, Copy, Debug)]
pub enum Scene {
    /// Waves of many lengths and directions, in colours: texture everywhere.
    Trees,
    /// A zone plate: rings that become as fine as the pixels of the input allow.
    Rings,
    /// Lines, bars and letters of a resolution chart.
    Chart,
}

impl Scene {
    /// Levels of 0 to 255 at a place in pixels of the input.
    fn at(self, x: f32, y: f32) -> [f32; 3] {
        match self {
            Self::Trees => {
                let waves = [
                    (0.06, 0.02, 30.0),
                    (-0.05, 0.11, 24.0),
                    (0.21, 0.17, 16.0),
                    (0.33, -0.29, 12.0),
                    (-0.62, 0.44, 9.0),
                    (0.9, 0.8, 6.0),
                ];
                let sum = |shift: f32| {
                    waves.iter().map(|(u, v, size)| size * (u * x + v * y + shift * size).sin()).sum::<f32>()
                };
                [120.0 + sum(0.1), 118.0 + 0.9 * sum(0.12), 110.0 + 0.8 * sum(0.15)]
            }
            Self::Rings => {
                let (x, y) = (x - 64.0, y - 48.0);
                // A quarter of a cycle per pixel at 80 pixels from the middle.
                let level = 128.0 + 90.0 * ((x * x + y * y) * std::f32::consts::PI / 320.0).cos();
                [level; 3]
            }
            Self::Chart => {
                let inside = |period: f32, at: f32| at.rem_euclid(period) < period / 2.0;
                let period = [4.0, 6.0, 9.0, 14.0][(y.rem_euclid(96.0) / 24.0) as usize % 4];
                let upright = x.rem_euclid(64.0) < 32.0;
                let dark = if upright { inside(period, x) } else { inside(period, y) };
                [if dark { 40.0 } else { 215.0 }; 3]
            }
        }
    }
}

/// A frame of a scene: the input, what a network would make of it, and the truth.
#[derive(Clone)]
pub struct Shot {
    scene: Scene,
    small: Size,
    large: Size,
    ratio: f32,
    moved: (f32, f32),
    deviation: f32,
    seed: u32,
    light: f32,
    bars: usize,
    /// Left, top, side and colour.
    patches: Vec<(f32, f32, f32, [f32; 3])>,
}

impl Shot {
    pub fn of(scene: &Scene, small: Size, ratio: f32, moved: (f32, f32)) -> Self {
        let side = |length: usize| (length as f32 * ratio).round() as usize;
        Self {
            scene: *scene,
            small,
            large: Size::new(side(small.width), side(small.height)),
            ratio,
            moved,
            deviation: 0.0,
            seed: 0,
            light: 0.0,
            bars: 0,
            patches: vec![],
        }
    }

    /// Noise of the input, in levels.
    pub fn with_noise(self, deviation: f32, seed: u32) -> Self {
        Self { deviation, seed, ..self }
    }

    pub fn with_light(self, light: f32) -> Self {
        Self { light, ..self }
    }

    /// Rows of black at the top and at the bottom of the input.
    pub fn with_bars(self, bars: usize) -> Self {
        Self { bars, ..self }
    }

    pub fn with_square(self, left: f32, top: f32, side: f32, level: f32) -> Self {
        self.with_lamp(left, top, side, [level; 3])
    }

    pub fn with_lamp(mut self, left: f32, top: f32, side: f32, colour: [f32; 3]) -> Self {
        self.patches.push((left, top, side, colour));
        self
    }

    /// Levels at a place in pixels of the input, the mean of a square of `side` pixels.
    fn level(&self, x: f32, y: f32, side: f32) -> [f32; 3] {
        const STEPS: usize = 3;
        let mut sum = [0.0; 3];
        for step in 0..STEPS * STEPS {
            let within = |step: usize| ((step as f32 + 0.5) / STEPS as f32 - 0.5) * side;
            let (x, y) = (x + within(step % STEPS), y + within(step / STEPS));
            let patch = self.patches.iter().find(|(left, top, size, _)| {
                (*left..left + size).contains(&(x + 0.5)) && (*top..top + size).contains(&(y + 0.5))
            });
            let level = patch.map_or_else(
                || self.scene.at(x - self.moved.0, y - self.moved.1),
                |(_, _, _, colour)| *colour,
            );
            let bar = y + 0.5 < self.bars as f32 || y + 0.5 > (self.small.height - self.bars) as f32;
            for (sum, level) in sum.iter_mut().zip(level) {
                *sum += if bar { 0.0 } else { level + self.light };
            }
        }
        sum.map(|sum| (sum / (STEPS * STEPS) as f32).clamp(0.0, 255.0))
    }

    /// Noise of a pixel of the input; none in bars.
    fn grain(&self, x: usize, y: usize, channel: usize) -> f32 {
        if y < self.bars || y >= self.small.height - self.bars {
            return 0.0;
        }
        let seed = ((self.seed * 4 + channel as u32) * 4096 + y as u32) * 4096 + x as u32;
        // Nearly normal: four uniform numbers.
        let sum: f32 = (0..4).map(|k| noise(seed.wrapping_mul(4).wrapping_add(k)) - 0.5).sum();
        self.deviation * sum * 3.0_f32.sqrt()
    }

    /// The large picture without noise.
    pub fn truth(&self) -> Picture<f32> {
        self.picture(self.large, self.ratio, |_, _, _| 0.0)
    }

    /// The input without noise.
    pub fn small_truth(&self) -> Picture<f32> {
        self.picture(self.small, 1.0, |_, _, _| 0.0)
    }

    fn picture(&self, size: Size, ratio: f32, grain: impl Fn(usize, usize, usize) -> f32) -> Picture<f32> {
        let mut picture = Picture::zeros((size.height, size.width, 3));
        for y in 0..size.height {
            for x in 0..size.width {
                let place = |at: usize| (at as f32 + 0.5) / ratio - 0.5;
                let level = self.level(place(x), place(y), 1.0 / ratio);
                for channel in 0..3 {
                    picture[(y, x, channel)] = level[channel] + grain(x, y, channel);
                }
            }
        }
        picture
    }

    /// The input and what a network makes of it, whose noise is that of the input, enlarged.
    pub fn frame<S: Sample>(&self) -> (Picture<S>, Picture<S>) {
        let samples = |picture: Picture<f32>| picture.mapv(|level| S::from_f32(level / 255.0 * S::WHITE));
        let small = self.picture(self.small, 1.0, |x, y, c| self.grain(x, y, c));
        let large = self.picture(self.large, self.ratio, |x, y, c| {
            let near = |at: usize, length: usize| ((at as f32 / self.ratio) as usize).min(length - 1);
            self.grain(near(x, self.small.width), near(y, self.small.height), c)
        });
        (samples(small), samples(large))
    }
}

/// A number of 0 to 1 that looks random.
pub fn noise(seed: u32) -> f32 {
    let mut bits = seed ^ 0x9E37_79B9;
    for _ in 0..3 {
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x45D9_F3B5);
    }
    (bits >> 8) as f32 / (1 << 24) as f32
}

/// Root of the mean square error to the truth, in levels.
pub fn standard_error(picture: &Picture<u8>, shot: &Shot) -> f32 {
    let truth = shot.truth();
    let sum: f32 = picture.iter().zip(&truth).map(|(a, b)| (f32::from(*a) - b).powi(2)).sum();
    (sum / truth.len() as f32).sqrt()
}

/// Mean magnitude of the Sobel gradient of the second channel.
pub fn sharpness(picture: &Picture<u8>) -> f32 {
    let (height, width, _) = picture.dim();
    let at = |x: usize, y: usize| f32::from(picture[(y, x, 1)]);
    let mut sum = 0.0;
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let side = |dx: usize| at(x + dx - 1, y - 1) + 2.0 * at(x + dx - 1, y) + at(x + dx - 1, y + 1);
            let level = |dy: usize| at(x - 1, y + dy - 1) + 2.0 * at(x, y + dy - 1) + at(x + 1, y + dy - 1);
            sum += (side(2) - side(0)).hypot(level(2) - level(0));
        }
    }
    sum / ((width - 2) * (height - 2)) as f32
}
