//! What is there for pictures of one size, and what blends them.

use std::sync::Arc;

use ort::value::DynTensor;

use super::bound::{Graph, Place, Source, Tally, Target};
use super::graphs::{self, Shape};
use super::host;
use crate::image::Size;
use crate::image::planar::Planar;
use crate::infer::InferError;
use crate::infer::foreign::kernels::Kernels;
use crate::infer::onnx::{Options, Stop, TensorSample};
use crate::infer::runtime::Runtime;

/// What the blend is made of.
pub(super) enum Blending {
    Kernels(Arc<Kernels>),
    /// Standard operators, with the reason where kernels could have been.
    Operators(Option<String>),
}

impl Blending {
    /// The blend of pictures of a size.
    pub(super) fn graph(
        &self,
        runtime: &'static Runtime,
        shape: &Shape,
        options: &Options,
    ) -> Result<Graph, InferError> {
        match self {
            Self::Operators(_) => Graph::start_ours(runtime, "facesr-blend", &graphs::blend(shape), options),
            Self::Kernels(kernels) => {
                let bytes = graphs::blend_by_kernels(shape);
                Graph::start_kernels(runtime, "facesr-blend-kernels", &bytes, options, kernels)
            }
        }
    }
}

/// What is there for one size: a graph, and memory of the host that is read there.
pub(super) struct Stage {
    pub small: Size,
    pub large: Size,
    pub blend: Graph,
    pub input: DynTensor,
    pub maps: DynTensor,
}

impl Stage {
    /// `host` is of the same device.
    pub(super) fn new<S: TensorSample>(
        &Shape { small, large, .. }: &Shape,
        blend: Graph,
        place: Place,
        host: &Graph,
    ) -> Result<Self, InferError> {
        let input = host.host_tensor::<S>(place, &[1, small.height, small.width, 3])?;
        let maps = host.host_tensor::<f32>(place, &[4, small.height, small.width])?;
        Ok(Self { small, large, blend, input, maps })
    }
}

/// Maps where the blend reads them, by way of `through`.
pub(super) fn fetched(
    fetch: &Graph,
    run: (&Stop, Place, Size),
    (maps, through, threads): (&Planar<4>, &mut DynTensor, usize),
    tally: &Tally,
) -> Result<DynTensor, InferError> {
    host::write_maps(maps, through, threads).map_err(|reason| fetch.failed(run.2, reason))?;
    let outputs = [(graphs::FETCHED, Target::Device)];
    let [fetched] = fetch.run(run, &[(graphs::MAPS, Source::Host(through))], outputs, tally)?;
    Ok(fetched)
}
