//! Steadies a clip: what was seen before is blended in where the motion says that it is the same.

pub mod blend;
pub mod cut;
pub mod noise;
pub mod parts;
pub mod reuse;
pub mod shadow;
mod thumbnail;

use crate::flow::{self, Flow};
use crate::image::quads::Quads;
use crate::image::{Area, Picture, Sample, Size, View, ViewMut, Window, rows_mut};
use blend::Blend;
use cut::CutDetector;
use reuse::Refresh;
use shadow::Shadow;

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

/// The stage: looks at inputs and steadies the outputs made of them.
pub struct Temporal<S> {
    mode: Mode,
    sizes: Option<(Size, Size)>,
    shadow: Option<Shadow>,
    blend: Option<Blend>,
    cuts: CutDetector,
    last: Option<Picture<S>>,
    window: Window,
    watched: Vec<Area>,
}

impl<S: Sample> Temporal<S> {
    /// With nothing remembered.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            sizes: None,
            shadow: None,
            blend: None,
            cuts: CutDetector::new(cut::THRESHOLD),
            last: None,
            window: Window::default(),
            watched: Vec::new(),
        }
    }

    /// What a run of the network over a part of the input takes and may have.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
    }

    /// As it was set.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Parts of the next input where half the debt is enough for a new inference.
    pub fn watch(&mut self, areas: Vec<Area>) {
        self.watched = areas;
    }

    /// What of the input that was looked at last is to be run through the network, and frames since the part that was
    /// longest ago was; `None` where outputs are not reused.
    pub fn refresh(&self) -> Option<(&Refresh, u32)> {
        let reuse = self.shadow.as_ref()?.reuse()?;
        Some((reuse.refresh(), reuse.oldest()))
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.cuts.reset();
        self.forget();
    }

    /// Forgets all but the frame that the next is compared with to find cuts.
    fn forget(&mut self) {
        self.last = None;
        if let Some(shadow) = &mut self.shadow {
            shadow.forget();
        }
        if let Some(blend) = &mut self.blend {
            blend.forget();
        }
    }

    /// Whether frames of this size are to be steadied, and can be.
    pub fn works_on(&self, small: Size, controls: &Controls) -> bool {
        let is_wanted = self.mode != Mode::Off && controls.strength > 0.0;
        is_wanted && small.width.min(small.height) >= flow::SMALLEST
    }

    /// Whether `input` is the last one again, sample for sample, and its output still there.
    pub fn is_repeated(&self, input: View<'_, S>, large: Size, controls: &Controls) -> bool {
        let small = Size::of(&input);
        let has_output = self.sizes == Some((small, large)) && self.works_on(small, controls);
        has_output && self.last.as_ref().is_some_and(|last| last.view() == input)
    }

    /// Whether an input that is not steadied, [`Look::Alone`], begins a scene.
    pub fn begins_scene(&mut self, input: View<'_, S>, controls: &Controls) -> bool {
        self.cuts.set_threshold(controls.cut_threshold);
        self.cuts.look(shadow::luma(input).view()).cut
    }

    /// Looks at an input, of which an output of size `large` is being made.
    pub fn look(&mut self, input: View<'_, S>, large: Size, controls: &Controls) -> Look {
        let small = Size::of(&input);
        if !self.works_on(small, controls) {
            self.forget();
            return Look::Alone;
        }
        if self.sizes != Some((small, large)) {
            self.sizes = Some((small, large));
            self.shadow = Some(Shadow::new(small, self.mode));
            self.blend = Some(Blend::new(small, large, self.mode));
        }
        match &mut self.last {
            Some(last) if last.dim() == input.dim() => last.assign(&input),
            last => *last = Some(input.to_owned()),
        }
        let Some(shadow) = &mut self.shadow else { return Look::Alone };
        shadow.load(input);
        shadow.prepare_reuse(controls, &self.watched);
        self.cuts.set_threshold(controls.cut_threshold);
        let cuts = &mut self.cuts;
        let cut = shadow.find_motion(|luma| cuts.look(luma).cut);
        if cut || !shadow.has_past() {
            shadow.begin(controls);
            return Look::First { cut };
        }
        let guide = shadow.compare(controls, &self.window);
        Look::Compared { noise: guide.noise, share: guide.share }
    }

    /// Steadies the output of the input that was looked at last.
    pub fn steady(&mut self, look: Look, output: &mut ViewMut<'_, S>) {
        let (Some(shadow), Some(blend)) = (&self.shadow, &mut self.blend) else { return };
        match look {
            Look::Alone => {}
            Look::First { .. } => blend.begin(output),
            Look::Repeated => blend.repeat(output),
            Look::Compared { .. } => match shadow.reuse().and_then(reuse::Reuse::transfer) {
                Some(transfer) if blend.has_past() => {
                    blend.blend_parts(&shadow.guide().maps, transfer, output)
                }
                _ => blend.blend(&shadow.guide().maps, output),
            },
        }
    }

    /// The flow from the last input to where its pixels were before, in pixels of the input.
    pub fn flow(&self) -> Option<&Flow> {
        self.shadow.as_ref()?.flow()
    }

    /// What the history holds of the input that was looked at last, at its size: luma and colour differences in levels
    /// of 0 to 255, see [`shadow::colours`].
    pub fn history(&self) -> Option<&Quads> {
        self.shadow.as_ref().filter(|shadow| shadow.has_past()).map(Shadow::past)
    }

    /// The input that was looked at last, leaning by `share` on the history, which has less noise.
    pub fn lean(&self, input: View<'_, S>, share: f32) -> Picture<S> {
        let mut leaning = input.to_owned();
        let Some(shadow) = &self.shadow else { return leaning };
        let channels = input.dim().2;
        for (y, row) in rows_mut(&mut leaning.view_mut()).enumerate() {
            for (pixel, past) in row.chunks_exact_mut(channels).zip(shadow.past().row(y)) {
                for (sample, past) in pixel.iter_mut().zip(shadow::colours(past)) {
                    let past = past * (S::WHITE / 255.0);
                    *sample = S::from_f32(sample.to_f32() + share * (past - sample.to_f32()));
                }
            }
        }
        leaning
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
