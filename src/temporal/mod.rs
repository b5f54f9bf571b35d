//! Steadies a clip: what was seen before is blended in where the motion says that it is the same.

pub mod blend;
pub mod cut;
mod estimators;
mod looking;
mod maps;
pub mod noise;
pub mod parts;
pub mod reuse;
mod shadow;
mod steadying;
mod thumbnail;
mod weighing;

use crate::image::{Area, Picture, Sample, Size, View, ViewMut, Window};
pub use looking::{Looking, Seen};
use reuse::Refresh;
pub use steadying::Steadying;

/// How much work goes into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every frame on its own.
    Off,
    /// Motion at a quarter of the size.
    Fast,
    /// Motion at half the size.
    #[default]
    Balanced,
    /// Motion at full size where there is little noise, and fine detail is guarded.
    Quality,
}

/// What may change from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controls {
    /// Share of what the past may contribute, 0 to 1.
    pub strength: f32,
    /// Frames that the past may count for, where little moves.
    pub max_history: u32,
    /// Levels by which past and present may differ before they are distrusted, besides noise.
    pub tolerance: f32,
    /// How different pictures begin a scene, see [`cut::THRESHOLD`]; nothing differs by more than 2.
    pub cut_threshold: f32,
    /// How much of the outputs is used again.
    pub reuse: reuse::Controls,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            strength: 1.0,
            max_history: 8,
            tolerance: 3.0,
            cut_threshold: cut::THRESHOLD,
            reuse: reuse::Controls::default(),
        }
    }
}

/// What a frame is to the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// It has nothing to do with it, and nothing is remembered.
    Alone,
    /// It is the first of its scene.
    First {
        /// The scene before was still there a frame ago.
        cut: bool,
    },
    /// It is the same as the last, sample for sample.
    Repeated,
    /// It was compared to it.
    Compared {
        /// Standard deviation of the noise, in levels of 0 to 255.
        noise: f32,
        /// Mean share of the past in the blend.
        share: f32,
    },
}

/// The stage: looks at inputs and steadies the outputs made of them. Both halves in one, for frames that come one at a time.
pub struct Temporal<S> {
    looking: Looking<S>,
    seen: Seen,
    steadying: Steadying,
}

impl<S: Sample> Temporal<S> {
    /// With nothing remembered.
    pub fn new(mode: Mode) -> Self {
        Self { looking: Looking::new(mode), seen: Seen::default(), steadying: Steadying::new(mode) }
    }

    /// See [`Looking::set_window`].
    pub fn set_window(&mut self, window: Window) {
        self.looking.set_window(window);
    }

    /// See [`Looking::watch`].
    pub fn watch(&mut self, areas: Vec<Area>) {
        self.looking.watch(areas);
    }

    /// See [`Seen::refresh`].
    pub fn refresh(&self) -> Option<(&Refresh, u32)> {
        self.seen.refresh()
    }

    /// See [`Seen::stand_ins`].
    pub fn stand_ins(&self) -> &[Area] {
        self.seen.stand_ins()
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.looking.reset();
        self.steadying.forget();
    }

    /// See [`Looking::is_repeated`].
    pub fn is_repeated(&self, input: View<'_, S>, large: Size, controls: &Controls) -> bool {
        self.looking.is_repeated(input, large, controls)
    }

    /// See [`Looking::look`].
    pub fn look(&mut self, input: View<'_, S>, large: Size, controls: &Controls) -> Look {
        self.looking.look(input, large, controls, &mut self.seen);
        self.seen.look
    }

    /// Steadies the output of the input that was looked at last, or, where it was not looked at, as it says.
    pub fn steady(&mut self, look: Look, output: &mut ViewMut<'_, S>) {
        self.seen.look = look;
        self.steadying.steady(&self.seen, output);
    }

    /// See [`Looking::lean`].
    pub fn lean(&self, input: View<'_, S>, share: f32, leaning: &mut Option<Picture<S>>) {
        self.looking.lean(input, share, leaning);
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// From 0 to 1 between two values, with a slope of zero at both.
#[inline(always)]
fn smooth_step((from, to): (f32, f32), value: f32) -> f32 {
    let t = larger(smaller((value - from) / (to - from), 1.0), 0.0);
    t * t * (3.0 - 2.0 * t)
}
