//! The half of the stage that looks at inputs. What it sees of one is all that the other half needs to know of it, so that the
//! next input can be looked at while the output of this one is made.

use ndarray::Axis;
use ndarray::parallel::prelude::*;

use super::cut::{self, CutDetector};
use super::maps::Maps;
use super::reuse::Refresh;
use super::shadow::Shadow;
use super::{Controls, Look, Mode};
use crate::flow::{self, Flow};
use crate::image::luma::{colours, luma};
use crate::image::planar::{COLOURS, Planar};
use crate::image::{Area, Picture, Sample, Size, View, Window};

/// What was seen of an input. One that is given back to [`Looking::look`] is written over, and allocates nothing.
pub struct Seen {
    /// What it is to the past.
    pub look: Look,
    /// Motion into the past in pixels of the input, share of the past, and size of the motion around; where it was compared.
    maps: Maps,
    reuse: Option<SeenReuse>,
    flow: Flow,
    has_flow: bool,
}

struct SeenReuse {
    refresh: Refresh,
    stand_ins: Vec<Area>,
    oldest: u32,
    transfer: Planar<COLOURS>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            look: Look::Alone,
            maps: Maps::new(Size::new(0, 0)),
            reuse: None,
            flow: Flow::default(),
            has_flow: false,
        }
    }
}

impl Seen {
    /// Motion and share of the past at each pixel of the input.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// What of the input is to be run through the network, and frames since the part that was longest ago was; `None` where
    /// outputs are not reused.
    pub fn refresh(&self) -> Option<(&Refresh, u32)> {
        self.reuse.as_ref().map(|reuse| (&reuse.refresh, reuse.oldest))
    }

    /// What of the input something else than the network is to make: see [`Reuse::stand_ins`](super::reuse::Reuse::stand_ins).
    pub fn stand_ins(&self) -> &[Area] {
        self.reuse.as_ref().map_or(&[], |reuse| &reuse.stand_ins)
    }

    /// The difference that is handed on to an output, where it was not made anew: red, green and blue in levels of 0 to 255.
    pub fn transfer(&self) -> Option<&Planar<COLOURS>> {
        let reuse = self.reuse.as_ref()?;
        matches!(reuse.refresh, Refresh::Parts(_)).then_some(&reuse.transfer)
    }

    /// The flow from the input to where its pixels were before, in pixels of the input; where that was [asked for](Looking::keep_flow).
    pub fn flow(&self) -> Option<&Flow> {
        self.has_flow.then_some(&self.flow)
    }

    /// Takes over what a shadow found out, for memory that it may write the next time.
    fn take(&mut self, shadow: &mut Shadow) {
        shadow.swap_maps(&mut self.maps);
        self.has_flow = shadow.swap_flow(&mut self.flow);
        let Some(reuse) = shadow.reuse_mut() else {
            self.reuse = None;
            return;
        };
        let seen = self.reuse.get_or_insert_with(|| SeenReuse {
            refresh: Refresh::Whole,
            stand_ins: Vec::new(),
            oldest: 0,
            transfer: Planar::new(Size::new(0, 0)),
        });
        seen.refresh.clone_from(reuse.refresh());
        reuse.stand_ins().clone_into(&mut seen.stand_ins);
        seen.oldest = reuse.oldest();
        reuse.swap_transfer(&mut seen.transfer);
    }
}

/// Looks at inputs, one after the other, and remembers what they showed.
pub struct Looking<S> {
    mode: Mode,
    sizes: Option<(Size, Size)>,
    shadow: Option<Shadow>,
    cuts: CutDetector,
    last: Option<Picture<S>>,
    window: Window,
    watched: Vec<Area>,
    most_searched: usize,
    keeps_flow: bool,
}

impl<S: Sample> Looking<S> {
    /// With nothing remembered.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            sizes: None,
            shadow: None,
            cuts: CutDetector::new(cut::THRESHOLD),
            last: None,
            window: Window::default(),
            watched: Vec::new(),
            most_searched: usize::MAX,
            keeps_flow: false,
        }
    }

    /// Looks for motion at so many samples of a picture at most, unless the mode asks for the finest there is: motion of large pictures is
    /// coarser then.
    pub fn limit_search(&mut self, samples: usize) {
        self.most_searched = samples;
        self.shadow = None;
    }

    /// Keeps the flow as [`Seen::flow`], for who follows something along it.
    pub fn keep_flow(&mut self) {
        self.keeps_flow = true;
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
    }

    /// Whether frames of this size are to be steadied, and can be.
    pub fn works_on(&self, small: Size, controls: &Controls) -> bool {
        let is_wanted = self.mode != Mode::Off && controls.strength > 0.0;
        is_wanted && small.width.min(small.height) >= flow::SMALLEST
    }

    /// Whether `input` is the last one again, sample for sample, for an output of the same size.
    pub fn is_repeated(&self, input: View<'_, S>, large: Size, controls: &Controls) -> bool {
        let small = Size::of(&input);
        let has_output = self.sizes == Some((small, large)) && self.works_on(small, controls);
        has_output && self.last.as_ref().is_some_and(|last| last.view() == input)
    }

    /// Whether an input that is not steadied, [`Look::Alone`], begins a scene.
    pub fn begins_scene(&mut self, input: View<'_, S>, controls: &Controls) -> bool {
        self.cuts.set_threshold(controls.cut_threshold);
        self.cuts.look(luma(input).view()).cut
    }

    /// Looks at an input, of which an output of size `large` is made, and fills in what is seen of it.
    pub fn look(&mut self, input: View<'_, S>, large: Size, controls: &Controls, seen: &mut Seen) {
        let small = Size::of(&input);
        if !self.works_on(small, controls) {
            self.forget();
            (seen.look, seen.reuse, seen.has_flow) = (Look::Alone, None, false);
            return;
        }
        if self.sizes != Some((small, large)) {
            self.sizes = Some((small, large));
            self.shadow = None;
        }
        match &mut self.last {
            Some(last) if last.dim() == input.dim() => last.assign(&input),
            last => *last = Some(input.to_owned()),
        }
        let shadow = self.shadow.get_or_insert_with(|| Shadow::new(small, self.mode, self.most_searched));
        shadow.load(input);
        shadow.prepare_reuse(controls, &self.watched);
        self.cuts.set_threshold(controls.cut_threshold);
        let cuts = &mut self.cuts;
        let cut = shadow.find_motion(self.keeps_flow, |luma| cuts.look(luma).cut);
        seen.look = if cut || !shadow.has_past() {
            shadow.begin(controls);
            Look::First { cut }
        } else {
            let guide = shadow.compare(controls, &self.window);
            Look::Compared { noise: guide.noise, share: guide.share }
        };
        seen.take(shadow);
    }

    /// What the history holds of the input that was looked at last, at its size: luma and colour differences in levels
    /// of 0 to 255.
    pub fn history(&self) -> Option<&Planar<4>> {
        self.shadow.as_ref().filter(|shadow| shadow.has_past()).map(Shadow::past)
    }

    /// The input that was looked at last, leaning by `share` on the history, which has less noise. A picture of the same size is
    /// written over.
    pub fn lean(&self, input: View<'_, S>, share: f32, leaning: &mut Option<Picture<S>>) {
        let leaning = match leaning {
            Some(leaning) if leaning.dim() == input.dim() => {
                leaning.assign(&input);
                leaning
            }
            leaning => leaning.insert(input.to_owned()),
        };
        let Some(shadow) = &self.shadow else { return };
        let channels = input.dim().2;
        leaning.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(y, row)| {
            let row = row.into_slice().expect("a row of a picture is contiguous");
            let past = [0, 1, 2].map(|plane| shadow.past().plane(plane, y));
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                for (sample, past) in pixel.iter_mut().zip(colours(past.map(|row| row[x]))) {
                    let past = past * (S::WHITE / 255.0);
                    *sample = S::from_f32(sample.to_f32() + share * (past - sample.to_f32()));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_is_kept_where_it_was_asked_for() {
        let size = Size::new(40, 24);
        let picture = |shift: usize| {
            Picture::from_shape_fn((size.height, size.width, 3), |(y, x, _)| {
                (((x + shift) * 7 + y * 5) % 200) as u8
            })
        };
        for wanted in [false, true] {
            let (mut looking, mut seen) = (Looking::new(Mode::Balanced), Seen::default());
            if wanted {
                looking.keep_flow();
            }
            for shift in 0..3 {
                looking.look(picture(shift).view(), size.times(2), &Controls::default(), &mut seen);
                // The first frame has nothing behind it.
                assert_eq!(seen.flow().is_some(), wanted && shift > 0, "frame {shift}");
            }
        }
    }
}
