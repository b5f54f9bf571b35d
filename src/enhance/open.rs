//! Loading what the settings name.

use std::time::{Duration, Instant};

use super::large::{self, Device, Residency};
use super::{EnhanceError, Loaded, Settings};
use crate::face::{self, Faces, Plan};
use crate::image::{Picture, Size};
use crate::infer::onnx::{OnnxNetwork, TensorSample};
use crate::infer::tile::{Limits, Tiler};
use crate::infer::{Network, runtime};
use crate::model::contract::Upscaler as UpscalerFile;
use crate::model::registry;
use crate::upscale::Upscaler;

pub(super) fn open_upscaler<S: TensorSample>(
    settings: &Settings,
    model: &str,
) -> Result<(Upscaler<S>, UpscalerFile, Loaded), EnhanceError> {
    let beside = settings.beside.as_deref();
    let path = registry::resolve(model, settings.factor, beside)?;
    let file = UpscalerFile::read(&path)?;
    let runtime = runtime::load(settings.runtime.as_deref(), beside)?;
    let network = OnnxNetwork::<S>::load(runtime, &file, &settings.options)?;
    let tiler = Tiler::new(limits(settings, &file));
    let (canceller, active, users) = (network.canceller(), network.active().clone(), network.users());
    let upscaler = Upscaler::new(Box::new(network), tiler);
    let (scale, model) = (upscaler.scale(), file.name.clone());
    let loaded = Loaded { scale, model, active, runtime, canceller, users, not_resident: None };
    Ok((upscaler, file, loaded))
}

/// The network for large pictures that stay on the device. Who asks for nothing in particular can do without.
pub(super) fn open_device<S: TensorSample>(
    settings: &Settings,
    file: &UpscalerFile,
    loaded: &mut Loaded,
) -> Result<Option<Device<S>>, EnhanceError> {
    match large::open(settings, loaded.runtime, file, (loaded.scale, &loaded.active)) {
        Err(error) if settings.residency == Residency::Auto => {
            loaded.not_resident = Some(error.to_string());
            Ok(None)
        }
        opened => Ok(opened?),
    }
}

/// The face stage, if there is anything for it to do, else why there is not.
pub(super) fn open_faces(settings: &Settings) -> Result<(Option<Faces>, Option<String>), EnhanceError> {
    let faces = face::Settings {
        options: settings.options.clone(),
        beside: settings.beside.clone(),
        ..settings.faces.clone()
    };
    match faces.plan()? {
        Plan::Nothing(reason) => Ok((None, reason)),
        plan => match runtime::load(settings.runtime.as_deref(), settings.beside.as_deref()) {
            Ok(runtime) => Ok((Faces::open(&faces, &plan, runtime)?, None)),
            // Whoever asked for nothing in particular can do without, where no other network runs either.
            Err(error) if settings.model.is_none() && faces.is_automatic() => {
                Ok((None, Some(format!("faces are left as they are: {error}"))))
            }
            Err(error) => Err(error.into()),
        },
    }
}

/// Sides of the pictures that networks are timed on.
const TRIALS: [usize; 2] = [32, 64];

pub(super) fn expected_time<S: TensorSample>(
    upscaler: &mut Upscaler<S>,
    input: Size,
    output: Size,
) -> Option<Duration> {
    let pixels = |size: Size| (size.width * size.height) as f64;
    let mut time = |side: usize| {
        let small = Picture::from_elem((side, side, 3), S::from_f32(S::WHITE / 2.0));
        let across = side * output.width / input.width;
        let mut large = Picture::from_elem((across, across, 3), S::zeroed());
        // The first run of a size is that of getting ready for it.
        upscaler.run(small.view(), large.view_mut()).ok()?;
        let started = Instant::now();
        upscaler.run(small.view(), large.view_mut()).ok()?;
        Some(started.elapsed())
    };
    let [least, most] = TRIALS;
    if input.width < most || input.height < most {
        return None;
    }
    // What a run takes besides, whatever the size, is the same for all.
    let more = time(most)?.saturating_sub(time(least)?);
    Some(more.mul_f64(pixels(input) / pixels(Size::new(most, most)) * 4.0 / 3.0))
}

fn limits(settings: &Settings, file: &UpscalerFile) -> Limits {
    let overlap = match settings.tile_overlap {
        0 => file.overlap,
        pixels => pixels,
    };
    match settings.tile_size {
        0 => Limits::by_memory(settings.memory_limit, file.memory_per_pixel, overlap),
        side => Limits { pixels: side * side, overlap },
    }
}
