//! Live video, which does not wait: how much is done for a frame.

use gst_base::prelude::*;
use gst_video::VideoInfo;
use gstreamer as gst;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

use gst::subclass::prelude::*;

use super::FaceSr;
use crate::enhance::Effort;
use crate::infer::provider::Provider;
use crate::model::registry;
use crate::plugin::CAT;
use crate::plugin::element::ladder::Ladder;
use crate::plugin::element::live::{self, NO_LIGHT};
use crate::plugin::element::settings::Settings;
use crate::plugin::frame::size;
use crate::plugin::messages;
use crate::plugin::stages::Passed;
use crate::temporal::Look;

impl FaceSr {
    /// Prepares for video that does not wait, where it does not.
    pub(super) fn pace(&self, settings: &Settings, input: &VideoInfo, output: &VideoInfo) {
        let is_live = !self.obj().is_passthrough() && live::is_live(self.obj().sink_pad());
        let frame = is_live.then(|| live::frame(input));
        if !is_live && settings.reuse > 0.0 && settings.reuse_budget < 1.0 {
            // It stands in for what the budget has no room for; without it, that is resized.
            self.open_light(settings);
        }
        let ladder = frame.map(|frame| {
            let efforts = self.efforts(settings);
            let mut ladder = Ladder::new(&efforts, frame.seconds_f64(), 1e-9 * settings.max_lateness as f64);
            let [network, light] = self.state().expected_times(size(input), size(output));
            let expected = [(Effort::Full, network), (Effort::NoFaces, network), (Effort::Light, light)];
            let known = expected.into_iter().filter_map(|(effort, time)| Some((effort, time?.as_secs_f64())));
            ladder.expect(&known.collect::<Vec<_>>());
            ladder
        });
        *self.ladder.lock().unwrap() = ladder;
        // What a frame may take, where it does not wait for anybody, and those that it waits for.
        let flying = live::frame(input) * u64::from(settings.frames_in_flight);
        let latency = Some(frame.unwrap_or_default() + flying)
            .filter(|latency| !latency.is_zero() && !self.obj().is_passthrough());
        if std::mem::replace(&mut *self.latency.lock().unwrap(), latency) != latency {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Fails only for an element without a bus, which nobody listens to.
            let _ = self.obj().post_message(message);
        }
    }

    /// How much is done for a frame; says so where it is less, or more, than for the last.
    pub(super) fn effort(&self, frame: &gst::BufferRef, patience: u64) -> Effort {
        if !self.obj().property::<bool>("qos") {
            return Effort::Full;
        }
        let Some((now, due)) = self.times(frame) else { return Effort::Full };
        let (before, effort, proportion, quality) = {
            let mut ladder = self.ladder.lock().unwrap();
            let Some(ladder) = ladder.as_mut() else { return Effort::Full };
            let (before, proportion) = (ladder.effort(), ladder.proportion());
            let effort = ladder.choose(now, now - due, 1e-9 * patience as f64);
            (before, effort, proportion, ladder.quality())
        };
        if effort != before {
            gst::info!(CAT, imp = self, "from {before:?} to {effort:?}, {:.0} ms late", 1e3 * (now - due));
            let values = ((1e9 * (now - due)) as i64, proportion, (1e6 * quality) as i32);
            // Nothing is locked when a message is posted: who is called for it may ask for anything.
            let frames = self.stats.lock().unwrap().qos();
            messages::post_qos(self.obj().upcast_ref(), frame, due, values, frames);
        }
        effort
    }

    /// Takes note of what a frame took.
    pub(super) fn took(&self, passed: &Passed) {
        // Of frames that are like the one before, only a copy is made.
        if passed.report.look == Look::Repeated {
            return;
        }
        if let (Some(ladder), Some(now)) =
            (&mut *self.ladder.lock().unwrap(), self.obj().current_running_time())
        {
            let restoring = passed.report.faces.restoring.as_secs_f64();
            ladder.done(now.seconds_f64(), passed.whole.as_secs_f64(), restoring);
        }
    }

    /// What can be done for a frame, most first.
    fn efforts(&self, settings: &Settings) -> Vec<Effort> {
        let mut efforts = vec![Effort::Full];
        if self.state().faces_done().0.is_some() {
            efforts.push(Effort::NoFaces);
        }
        let scale = self.state().loaded().map_or(1, |loaded| loaded.scale);
        if self.open_light(settings) {
            efforts.push(Effort::Light);
        }
        if scale > 1 {
            efforts.push(Effort::Resampled);
        }
        efforts
    }

    /// Loads the light network, if there is one for the network that is set. Says why not where it should be there.
    fn open_light(&self, settings: &Settings) -> bool {
        let loaded =
            self.state().loaded().map(|loaded| (loaded.model.clone(), loaded.active.provider, loaded.scale));
        let Some((model, provider, scale)) = loaded else { return false };
        let fallbacks = &mut self.stats.lock().unwrap().fallbacks;
        fallbacks.retain(|line| !line.starts_with(NO_LIGHT));
        let light = registry::light(&model, provider == Provider::Cpu).filter(|_| scale > 1);
        let opened = light.map(|light| {
            let enhance = settings.enhance(crate::plugin::folder());
            self.state().open_light(&enhance, light)
        });
        if let Some(Err(error)) = &opened {
            fallbacks.push(format!("{NO_LIGHT}: {error}"));
        }
        *self.cancellers.lock().unwrap() = self.state().cancellers();
        matches!(opened, Some(Ok(())))
    }

    /// Seconds of running time now, and those at which a frame is due.
    fn times(&self, frame: &gst::BufferRef) -> Option<(f64, f64)> {
        let now = self.obj().current_running_time()?;
        let segment = self.obj().segment();
        let due = segment.downcast_ref::<gst::ClockTime>()?.to_running_time(frame.pts()?)?;
        Some((now.seconds_f64(), due.seconds_f64()))
    }
}
