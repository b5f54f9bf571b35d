//! Where the large picture of a frame is made: on the host, by tiles and passes and whatever a frame takes, or
//! kept on the device that runs the network, where only the finished frame leaves it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::making::Upscaled;
use super::{Loaded, Settings};
use crate::image::planar::{COLOURS, Planar};
use crate::image::resample::Resampler;
use crate::image::{Size, View, ViewMut, copy};
use crate::infer::onnx::TensorSample;
use crate::infer::resident::{Deliver, Finished, Guard, Levels, Resident};
use crate::infer::{Cancel, InferError};
use crate::model::contract::Upscaler as UpscalerFile;
use crate::temporal::{Look, Mode, Seen, Steadying, blend};
use crate::upscale::{Done, Upscaler};

/// Bytes of the device that the blend takes at most for each pixel of the large picture, counted off its graph: the history,
/// the new picture and eight sums of three colours, and seventeen numbers that say where the past is read.
const BLEND_BYTES: usize = 196;

/// The same of the blend by kernels: two histories, the new picture and a difference, of three colours each.
const KERNEL_BYTES: usize = 48;

/// Frames that may be begun and not ended, at most.
pub const MOST_IN_FLIGHT: usize = 8;

/// Finished pictures that are there at the same time: of those, one that is made and one on its way.
const FINISHED: usize = MOST_IN_FLIGHT + 2;

/// Whether large pictures stay on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// On a GPU, where a frame is steadied and made by one run of the network.
    #[default]
    Auto,
    /// On every provider: for tests, the processor's own memory is no other than the host's.
    Always,
    /// Nowhere.
    Never,
}

/// Where the large picture of a frame was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In memory of the host.
    #[default]
    Host,
    /// Where the network ran, from which only the finished frame came.
    Device,
}

impl Place {
    /// The name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Device => "device",
        }
    }
}

/// Why a picture leaves the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// It is made by passes of the network, resizes, luma alone or a size that is fixed: the input's size, and the picture's.
    Passes(Size, Size),
    /// The network is run on tiles.
    Tiles(Size),
    /// The blend needs more memory.
    Room(Size),
}

impl fmt::Display for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes(small, large) => {
                write!(f, "one run of the network does not make {large} of {small}")
            }
            Self::Tiles(small) => write!(f, "memory-limit or tile-size has frames of {small} cut into tiles"),
            Self::Room(large) => write!(f, "memory-limit has no room for the past of {large}"),
        }
    }
}

/// The network with its large pictures on the device.
pub(super) struct Device<S> {
    resident: Resident<S>,
    resampler: Resampler,
    /// Bytes that the blend may take.
    memory_limit: usize,
}

/// Loads the network a second time, for large pictures that stay on the device, if they are to; else nothing.
pub(super) fn open<S: TensorSample>(
    settings: &Settings,
    file: &UpscalerFile,
    loaded: &Loaded,
) -> Result<Option<Device<S>>, InferError> {
    let is_wanted = match settings.residency {
        Residency::Auto => loaded.active.provider.is_gpu(),
        Residency::Always => true,
        Residency::Never => false,
    };
    if !is_wanted || file.channels != 3 || settings.temporal == Mode::Off {
        return Ok(None);
    }
    let guard = Guard { kept: blend::KEPT, moving: blend::GUARDED };
    let guard = (settings.temporal == Mode::Quality).then_some(guard);
    let resident = Resident::load(loaded.runtime, file, loaded.scale, guard, &settings.options)?;
    Ok(Some(Device { resident, resampler: Resampler::default(), memory_limit: loaded.memory_limit }))
}

impl<S: TensorSample> Device<S> {
    pub(super) fn canceller(&self) -> Arc<dyn Cancel> {
        self.resident.canceller()
    }

    pub(super) fn forget(&mut self) {
        self.resident.forget();
    }

    /// Whether a picture of this size may be blended here.
    pub(super) fn has_room_for(&self, large: Size) -> bool {
        let blend = if self.resident.has_kernels() { KERNEL_BYTES } else { BLEND_BYTES };
        large.width * large.height <= self.memory_limit / (blend + FINISHED * COLOURS * size_of::<S>())
    }

    /// Why the blend takes longer than it could, if it does.
    pub(super) fn why_no_kernels(&self) -> Option<&str> {
        self.resident.why_no_kernels()
    }

    /// Enlarges a picture into what [`Upscaled`] holds. What was seen in it is made ready meanwhile, if it is known.
    pub(super) fn upscale(
        &mut self,
        input: View<'_, S>,
        large: Size,
        seen: Option<&Seen>,
    ) -> Result<Upscaled, InferError> {
        let started = Instant::now();
        let maps = seen.filter(|seen| matches!(seen.look, Look::Compared { .. })).map(Seen::maps);
        let (levels, done) = self.run(input, large, maps)?;
        let (tiles, left_out) = (done.tiles, done.left_out);
        let (time, levels) = (started.elapsed(), Some(levels));
        Ok(Upscaled { tiles, left_out, time, levels, ..Upscaled::default() })
    }

    /// Runs the network on all of a picture, or resamples that where it gives no numbers.
    fn run(
        &mut self,
        input: View<'_, S>,
        large: Size,
        maps: Option<&Planar<4>>,
    ) -> Result<(Levels, Done), InferError> {
        let pixels = input.dim().0 * input.dim().1;
        match self.resident.upscale(input, maps) {
            Ok(levels) => Ok((levels, Done { tiles: 1, pixels, left_out: 0 })),
            Err(InferError::NotFinite) => {
                let resampled = self.resampler.resize(input, large);
                Ok((self.resident.take_in(resampled.view())?, Done { tiles: 1, pixels, left_out: 1 }))
            }
            Err(error) => Err(error),
        }
    }

    /// What [`Steadying::steady`] does.
    pub(super) fn steady(
        &mut self,
        seen: &Seen,
        levels: Option<Levels>,
        deliver: Deliver,
    ) -> Result<Finished<S>, InferError> {
        match (seen.look, levels) {
            (Look::Compared { .. }, Some(levels)) => self.resident.blend(levels, seen.maps(), deliver),
            (_, Some(levels)) => self.resident.begin(levels, deliver),
            (_, None) => self.resident.repeat(deliver),
        }
    }

    /// Brings the past to where the next frame is made.
    pub(super) fn hand_over(
        &mut self,
        to: Place,
        steadying: &mut Steadying,
        small: Size,
    ) -> Result<(), InferError> {
        match to {
            Place::Device => match steadying.take_past() {
                Some(past) => self.resident.give_past(&past, small),
                None => Ok(()),
            },
            Place::Host => {
                if let Some(past) = self.resident.take_past()? {
                    steadying.give_past(small, past);
                }
                Ok(())
            }
        }
    }
}

/// What enlarges a frame.
pub(super) enum Runner<'a, S> {
    /// Nothing: it keeps its size.
    Nothing,
    Host(&'a mut Upscaler<S>),
    Device(&'a mut Device<S>),
}

impl<S: TensorSample> Runner<'_, S> {
    /// Enlarges a picture into `output`, or where it stays on the device into what [`Upscaled`] holds.
    pub(super) fn run(self, input: View<'_, S>, output: ViewMut<'_, S>) -> Result<Upscaled, InferError> {
        let started = Instant::now();
        let done = match self {
            Self::Nothing => {
                copy(input, output);
                Done::default()
            }
            Self::Host(upscaler) => upscaler.run(input, output)?,
            Self::Device(device) => return device.upscale(input, Size::of(&output.view()), None),
        };
        let (tiles, left_out) = (done.tiles, done.left_out);
        Ok(Upscaled { tiles, left_out, time: started.elapsed(), ..Upscaled::default() })
    }
}
