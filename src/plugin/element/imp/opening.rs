//! Before frames flow: what is loaded, for which formats, and what does not fit.

use gst_video::{VideoInfo, VideoInterlaceMode};
use gstreamer as gst;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::FaceSr;
use crate::enhance::EnhanceError;
use crate::image::Size;
use crate::infer::provider::Provider;
use crate::model::registry::Live;
use crate::plugin::CAT;
use crate::plugin::element::caps;
use crate::plugin::element::lane::{NOT_RESIDENT, NOT_TAKEN, SLOW_BLEND, State, describe};
use crate::plugin::element::live::{self, TOO_SLOW};
use crate::plugin::element::settings::{Settings, TemporalMode};
use crate::plugin::frame::{size, working_bits};
use crate::plugin::messages::{Failure, Stats};

impl FaceSr {
    pub(super) fn open(&self) -> Result<(), Failure> {
        *self.stats.lock().unwrap() = Stats::default();
        *self.refused.lock().unwrap() = None;
        let settings = self.settings();
        if let Some(reason) = settings.not_text() {
            return Err(Failure::Setting(reason));
        }
        *self.started.lock().unwrap() = Some(settings.clone());
        if settings.is_off() { Ok(()) } else { Ok(self.load(&settings, 8, None)?) }
    }

    pub(super) fn close(&self) {
        if self.started.lock().unwrap().is_some() {
            gst::info!(CAT, imp = self, "stopped");
        }
        *self.flight.lock().unwrap() = None;
        *self.formats.lock().unwrap() = None;
        *self.state() = State::default();
        self.cancellers.lock().unwrap().clear();
        *self.ladder.lock().unwrap() = None;
        *self.latency.lock().unwrap() = None;
        *self.told.lock().unwrap() = None;
        *self.started.lock().unwrap() = None;
    }

    pub(super) fn configure(&self, input: &VideoInfo, output: &VideoInfo) -> Result<(), Failure> {
        if let Some(reason) = self.refuse(input, output) {
            return Err(Failure::Caps(reason));
        }
        let mut settings = self.settings();
        let (from, to) = (size(input), size(output));
        let keeps_size = from == to;
        if settings.factor().is_none() {
            // The size that downstream fixed decides what `auto` is.
            let across = to.width as f64 / from.width as f64;
            settings.scale = across.max(to.height as f64 / from.height as f64).max(1.0);
        }
        if settings.is_off() && keeps_size {
            self.obj().set_passthrough(true);
            self.pace(&settings, input, output);
            return Ok(());
        }
        self.load(&settings, working_bits(input), Some(input))?;
        let restores = self.state().loaded().is_some_and(|loaded| loaded.scale == 1);
        let steadies = settings.temporal_mode != TemporalMode::Off;
        self.obj().set_passthrough(keeps_size && !restores && !steadies && !self.state().has_faces());
        self.state().negotiate(input, output).map_err(|err| {
            Failure::Caps(format!(
                "{from} to {to} in {} is more than a converter can hold ({err}): put `videoscale` or `videocrop` before facesr",
                input.format()
            ))
        })?;
        self.tell_where(from, to);
        self.pace(&settings, input, output);
        Ok(())
    }

    /// Loads the network if another one, or one for other samples, is there. `video` is what is
    /// to come, if that is known.
    fn load(&self, settings: &Settings, bits: u32, video: Option<&VideoInfo>) -> Result<(), EnhanceError> {
        let choose = || {
            let live = video.and_then(|video| self.live(settings, video));
            live::choose(settings.factor(), live, crate::plugin::folder().as_deref())
        };
        self.load_for(settings, bits, choose().0)?;
        // Who runs the network, and so whether it can keep up, is known once one is loaded.
        let (wanted, slow) = choose();
        self.load_for(settings, bits, wanted)?;
        if let Some(line) = &slow {
            gst::warning!(CAT, imp = self, "{line}");
        }
        let fallbacks = &mut self.stats.lock().unwrap().fallbacks;
        fallbacks.retain(|line| !line.starts_with(TOO_SLOW));
        fallbacks.extend(slow);
        Ok(())
    }

    /// `wanted` is what `auto` stands for.
    fn load_for(&self, settings: &Settings, bits: u32, wanted: &str) -> Result<(), EnhanceError> {
        let has_model = self.state().loaded().map(|loaded| settings.model_is(&loaded.model, wanted));
        if self.state().bits() == Some(bits) && has_model.unwrap_or(settings.needs_no_network()) {
            return Ok(());
        }
        // The old network's memory first.
        *self.state() = State::Empty;
        let mut enhance = settings.enhance(crate::plugin::folder());
        if settings.chooses_model() {
            enhance.model = enhance.model.map(|_| wanted.into());
        }
        let state = State::open(&enhance, bits)?;
        let line = {
            let mut stats = self.stats.lock().unwrap();
            describe(state.loaded(), &mut stats);
            stats.faces.describe(state.faces_done());
            stats.faces.describe_helpers(state.face_helpers());
            let refused = stats.fallbacks.iter().find(|line| line.starts_with(NOT_TAKEN));
            let refused = refused.map_or_else(String::new, |line| format!("; {line}"));
            state.loaded().map_or("no network".into(), |loaded| {
                let (model, scale) = (&stats.model, loaded.scale);
                format!("model {model} x{scale} on {}, {}{refused}", stats.provider, stats.runtime)
            })
        };
        gst::info!(CAT, imp = self, "{line}");
        if let (_, Some(reason)) = state.faces_done() {
            gst::info!(CAT, imp = self, "{reason}");
        }
        *self.cancellers.lock().unwrap() = state.cancellers();
        *self.state() = state;
        self.obj().notify("active-provider");
        Ok(())
    }

    /// What video asks of the processor that does not wait: it comes live, the choice of the network is
    /// left to the element, and no other provider runs it.
    fn live(&self, settings: &Settings, video: &VideoInfo) -> Option<Live> {
        let on_processor =
            self.state().loaded().is_some_and(|loaded| loaded.active.provider == Provider::Cpu);
        let hurries = settings.chooses_model() && on_processor && live::is_live(self.obj().sink_pad());
        hurries.then(|| live::demand(video, settings.threads))
    }

    /// What does not fit these caps, in words.
    fn refuse(&self, input: &VideoInfo, output: &VideoInfo) -> Option<String> {
        let scale = self.settings().scale;
        if scale > 0.0 && scale < 1.0 {
            return Some(format!("scale={scale} would make the picture smaller: set 0 or 1 to 8"));
        }
        if input.interlace_mode() != VideoInterlaceMode::Progressive {
            return Some(format!(
                "interlaced video ({}) would keep its combs: put `deinterlace` before facesr",
                input.interlace_mode().to_str()
            ));
        }
        let (from, to) = (size(input), size(output));
        let longest = caps::LONGEST_SIDE as usize;
        (to.width > longest || to.height > longest).then(|| {
            format!(
                "{from} to {to} is beyond the {longest} pixels that a side may have: set a smaller `scale` or a size by caps after facesr"
            )
        })
    }

    /// Says why large pictures leave the device, where they do, or why they are blended there more slowly than they could be.
    fn tell_where(&self, from: Size, to: Size) {
        let state = self.state();
        let leaves = state.leaves_device(from, to).map(|leaves| leaves.to_string());
        let leaves = leaves.or_else(|| state.loaded()?.not_resident.clone());
        let leaves = leaves.map(|reason| format!("{NOT_RESIDENT}: {reason}"));
        let slow = || Some(format!("{SLOW_BLEND}: {}", state.loaded()?.slow_blend.as_ref()?));
        let line = leaves.or_else(slow);
        if let Some(line) = &line {
            gst::info!(CAT, imp = self, "{line}");
        }
        let fallbacks = &mut self.stats.lock().unwrap().fallbacks;
        fallbacks.retain(|line| !line.starts_with(NOT_RESIDENT) && !line.starts_with(SLOW_BLEND));
        fallbacks.extend(line);
    }
}
