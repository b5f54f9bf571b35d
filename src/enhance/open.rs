//! Loading what the settings name.

use std::time::{Duration, Instant};

use super::large::{self, Device, Residency};
use super::{EnhanceError, Loaded, Settings};
use crate::face::{self, Faces, Plan};
use crate::image::{Picture, Size};
use crate::infer::onnx::{OnnxNetwork, TensorSample};
use crate::infer::provider::Provider;
use crate::infer::tile::{Limits, Tiler};
use crate::infer::{Network, gpu_memory, runtime};
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
    let (canceller, active, users) = (network.canceller(), network.active().clone(), network.users());
    let memory_limit = settings.memory_limit.unwrap_or_else(|| memory_limit(active.provider));
    let tiler = Tiler::new(limits(settings, &file, memory_limit));
    let upscaler = Upscaler::new(Box::new(network), tiler);
    let (scale, model) = (upscaler.scale(), file.name.clone());
    let loaded = Loaded {
        scale,
        model,
        active,
        runtime,
        canceller,
        users,
        not_resident: None,
        slow_blend: None,
        memory_limit,
    };
    Ok((upscaler, file, loaded))
}

/// The network for large pictures that stay on the device. Who asks for nothing in particular can do without.
pub(super) fn open_device<S: TensorSample>(
    settings: &Settings,
    file: &UpscalerFile,
    loaded: &mut Loaded,
) -> Result<Option<Device<S>>, EnhanceError> {
    match large::open(settings, file, loaded) {
        Err(error) if settings.residency == Residency::Auto => {
            loaded.not_resident = Some(error.to_string());
            Ok(None)
        }
        opened => {
            let device = opened?;
            loaded.slow_blend = device.as_ref().and_then(Device::why_no_kernels).map(String::from);
            Ok(device)
        }
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

/// MiB that a run may take on a processor. A fixed figure, so that the tiles, and with them the result, do not depend on
/// the machine.
const ON_PROCESSOR: usize = 2048;

/// Share of a GPU's memory that a run may take. A picture in tiles leaves the GPU, and costs more than all of its work there.
const OF_GPU: u64 = 2;

/// MiB that a run may take on a GPU of which nobody says how much it has.
const ON_UNKNOWN_GPU: usize = 4096;

/// Bytes that a run of the network may take, where nobody says.
fn memory_limit(provider: Provider) -> usize {
    let known = provider.is_gpu().then(gpu_memory::least).flatten();
    match (provider.is_gpu(), known.and_then(|bytes| usize::try_from(bytes / OF_GPU).ok())) {
        (false, _) => ON_PROCESSOR << 20,
        (true, Some(bytes)) => bytes,
        (true, None) => ON_UNKNOWN_GPU << 20,
    }
}

fn limits(settings: &Settings, file: &UpscalerFile, memory_limit: usize) -> Limits {
    let overlap = match settings.tile_overlap {
        0 => file.overlap,
        pixels => pixels,
    };
    match settings.tile_size {
        0 => Limits::by_memory(memory_limit, file.memory_per_pixel, overlap),
        side => Limits { pixels: side * side, overlap },
    }
}
