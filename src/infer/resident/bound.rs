//! Sessions whose inputs and outputs are bound to where they lie: some in memory of the host, the large ones where
//! the provider computes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{
    DynTensor, DynTensorValueType, PrimitiveTensorElementType, Tensor, TensorElementType, TensorRef,
};

use crate::image::Size;
use crate::infer::InferError;
use crate::infer::accelerator;
use crate::infer::foreign::kernels::Kernels;
use crate::infer::onnx::{Options, Stop};
use crate::infer::provider::{Active, Choice, Provider, choose};
use crate::infer::runtime::Runtime;
use crate::infer::session::{Work, blame_model, one_line, start, start_with_ours};
use crate::infer::shared::Shared;

/// Bytes that were bound in memory of the host, from where and to where they are moved if the provider computes elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// From the host.
    pub in_bytes: usize,
    /// To the host.
    pub out_bytes: usize,
}

/// [`Moved`] by all who move something.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Moved>>);

impl Tally {
    pub(super) fn moved(&self) -> Moved {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to it.
    pub(super) fn add(&self, in_bytes: usize, out_bytes: usize) {
        let mut moved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moved.in_bytes += in_bytes;
        moved.out_bytes += out_bytes;
    }
}

/// Where an input lies.
pub(super) enum Source<'a> {
    Host(&'a DynTensor),
    Device(&'a DynTensor),
}

/// Where an output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Into memory of the host, which the runtime keeps from run to run. Memory of ours cannot be named: where a GPU reaches it, the
    /// runtime (1.31) has the last node write there, then copies it onto itself and fails.
    Host,
    /// It stays where it is made.
    Device,
    /// A single number, to the host.
    Number,
}

/// Where a provider computes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    provider: Provider,
    device: i32,
}

impl Place {
    pub(super) fn of(active: &Active, options: &Options) -> Self {
        Self { provider: active.provider, device: options.device }
    }

    /// The provider for graphs of plain operators at this place: TensorRT would compile them for minutes, and shares
    /// its memory with CUDA.
    pub(super) fn options(&self, options: &Options) -> Options {
        let provider = match self.provider {
            Provider::TensorRt => Provider::Cuda,
            provider => provider,
        };
        Options { choice: Choice::Only(provider), ..options.clone() }
    }

    pub(super) fn is_gpu(&self) -> bool {
        self.provider.is_gpu()
    }

    /// A tensor of the host as it is on the GPU.
    pub(super) fn copied_to(&self, tensor: &DynTensor) -> ort::Result<DynTensor> {
        tensor.to(AllocationDevice::CUDA, self.device)
    }

    fn memory(&self) -> ort::Result<MemoryInfo<'static>> {
        match self.is_gpu() {
            true => {
                let kind = (AllocatorType::Device, MemoryType::Default);
                MemoryInfo::new(AllocationDevice::CUDA, self.device, kind.0, kind.1)
            }
            false => host_memory(),
        }
    }

    /// Memory of the host that is moved from and to this place: of a GPU that cannot be paged out, so that it is
    /// read and written without a copy between.
    fn memory_of_host(&self) -> ort::Result<MemoryInfo<'static>> {
        match self.is_gpu() {
            true => {
                let kind = (AllocatorType::Device, MemoryType::CPUOutput);
                MemoryInfo::new(AllocationDevice::CUDA_PINNED, self.device, kind.0, kind.1)
            }
            false => host_memory(),
        }
    }

    fn host_allocator(&self, session: &Session) -> ort::Result<Allocator> {
        match self.is_gpu() {
            true => Allocator::new(session, self.memory_of_host()?),
            false => Ok(Allocator::default()),
        }
    }
}

fn host_memory() -> ort::Result<MemoryInfo<'static>> {
    MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)
}

/// A session that is run on bound values.
pub(super) struct Graph {
    session: Arc<Shared>,
    model: String,
    active: Active,
    device: i32,
}

impl Graph {
    /// Starts a session of a file's bytes; `path` is where the file was read from.
    pub(super) fn start(
        runtime: &'static Runtime,
        file: (&str, &Path),
        bytes: &[u8],
        options: &Options,
    ) -> Result<Self, InferError> {
        Self::start_for(Work::Frames, runtime, file, bytes, options)
    }

    fn start_for(
        work: Work,
        runtime: &'static Runtime,
        (model, path): (&str, &Path),
        bytes: &[u8],
        options: &Options,
    ) -> Result<Self, InferError> {
        let attempt = |provider| start(runtime, path, bytes, provider, options, work);
        let (session, active) =
            choose(options.choice, model, attempt).map_err(|err| blame_model(err, model, options))?;
        Ok(Self { session, model: model.into(), active, device: options.device })
    }

    /// As [`Self::start`] for a graph of ours, of which every node must run where the others do: a single one elsewhere would
    /// move the large picture there and back.
    pub(super) fn start_ours(
        runtime: &'static Runtime,
        name: &str,
        bytes: &[u8],
        options: &Options,
    ) -> Result<Self, InferError> {
        Self::start_for(Work::Between, runtime, (name, Path::new(name)), bytes, options)?.whole()
    }

    /// As [`Self::start_ours`] for a graph of operators of ours.
    pub(super) fn start_kernels(
        runtime: &'static Runtime,
        name: &str,
        bytes: &[u8],
        options: &Options,
        kernels: &Arc<Kernels>,
    ) -> Result<Self, InferError> {
        let attempt = |provider| start_with_ours(runtime, Path::new(name), bytes, provider, options, kernels);
        let (session, active) = choose(options.choice, name, attempt)?;
        Self { session, model: name.into(), active, device: options.device }.whole()
    }

    /// Itself, unless a part of it runs elsewhere.
    fn whole(self) -> Result<Self, InferError> {
        let provider = self.active.provider;
        match self.active.nodes.iter().all(|(name, _)| name == provider.runtime_name()) {
            true => Ok(self),
            false => {
                let reason = format!("of {} it runs but a part: {}", self.model, self.active.describe());
                Err(InferError::Provider { name: provider.name(), reason })
            }
        }
    }

    pub(super) fn active(&self) -> &Active {
        &self.active
    }

    /// Memory of the host for a tensor, zeros.
    pub(super) fn host_tensor<T>(&self, place: Place, dims: &[usize]) -> Result<DynTensor, InferError>
    where
        T: PrimitiveTensorElementType + std::fmt::Debug,
    {
        let made = self.session.run(
            &[],
            || false,
            |session| {
                let allocator = place.host_allocator(session)?;
                Tensor::<T>::new(&allocator, dims.to_vec()).map(Tensor::upcast)
            },
        );
        let made = made.ok_or(InferError::Cancelled)?;
        made.map_err(|err| self.failed(Size::new(dims[dims.len() - 1], dims[0]), one_line(&err)))
    }

    pub(super) fn failed(&self, size: Size, reason: String) -> InferError {
        let reason = accelerator::of_run(self.active.provider, self.device, reason);
        InferError::Run { model: self.model.clone(), size, reason }
    }

    /// Runs it and gives every output in order. `size` is of the picture, for the error.
    pub(super) fn run<const N: usize>(
        &self,
        (stop, place, size): (&Stop, Place, Size),
        inputs: &[(&str, Source<'_>)],
        outputs: [(&str, Target); N],
        tally: &Tally,
    ) -> Result<[DynTensor; N], InferError> {
        let failed = |reason: String| match stop.is_cancelled() {
            true => InferError::Cancelled,
            false => self.failed(size, reason),
        };
        if stop.is_cancelled() {
            return Err(InferError::Cancelled);
        }
        let from_host = inputs.iter().map(|(_, source)| match source {
            Source::Host(tensor) => bytes(tensor),
            Source::Device(_) => 0,
        });
        tally.add(from_host.sum(), 0);
        let ran = self.session.run(
            &[size.width, size.height],
            || stop.is_cancelled(),
            |session| run_bound(session, stop, place, inputs, outputs).map_err(|err| failed(one_line(&err))),
        );
        let made = ran.unwrap_or(Err(InferError::Cancelled))?;
        let to_host = outputs.iter().zip(&made).filter(|((_, target), _)| *target != Target::Device);
        tally.add(0, to_host.map(|(_, tensor)| bytes(tensor)).sum());
        Ok(made)
    }
}

fn bytes(tensor: &DynTensor) -> usize {
    tensor.data_type().byte_size(tensor.shape().num_elements()).unwrap_or(0)
}

/// Binds memory of the host as if a GPU could not reach it, so that it is copied there at once and by a copy engine. Otherwise kernels
/// would read it over the bus, in pieces as small as they happen to take: a byte a thread of samples.
fn bind_copied(binding: &mut IoBinding, name: &str, tensor: &DynTensor) -> ort::Result<()> {
    match tensor.data_type() {
        TensorElementType::Uint8 => bind_view::<u8>(binding, name, tensor),
        TensorElementType::Uint16 => bind_view::<u16>(binding, name, tensor),
        TensorElementType::Float32 => bind_view::<f32>(binding, name, tensor),
        _ => binding.bind_input(name, tensor),
    }
}

fn bind_view<T>(binding: &mut IoBinding, name: &str, tensor: &DynTensor) -> ort::Result<()>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    let (shape, numbers) = tensor.try_extract_tensor::<T>()?;
    let view = TensorRef::from_array_view((shape.to_vec(), numbers))?;
    binding.bind_input(name, &*view)
}

/// A binding is made for each run, so that it keeps no large value alive until the next.
fn run_bound<const N: usize>(
    session: &mut Session,
    stop: &Stop,
    place: Place,
    inputs: &[(&str, Source<'_>)],
    outputs: [(&str, Target); N],
) -> ort::Result<[DynTensor; N]> {
    let mut binding: IoBinding = session.create_binding()?;
    for (name, source) in inputs {
        match source {
            Source::Host(tensor) if place.is_gpu() => bind_copied(&mut binding, name, tensor)?,
            Source::Host(tensor) | Source::Device(tensor) => binding.bind_input(*name, tensor)?,
        }
    }
    let names = outputs.each_ref().map(|(name, _)| name.to_string());
    for (name, target) in outputs {
        match target {
            Target::Host => binding.bind_output_to_device(name, &place.memory_of_host()?)?,
            Target::Device => binding.bind_output_to_device(name, &place.memory()?)?,
            Target::Number => binding.bind_output_to_device(name, &host_memory()?)?,
        }
    }
    let mut made = session.run_binding_with_options(&binding, &stop.options)?;
    let mut values = Vec::with_capacity(N);
    for name in &names {
        let value = made.remove(name).ok_or_else(|| ort::Error::new(format!("it made no {name}")))?;
        values.push(value.downcast::<DynTensorValueType>()?);
    }
    values.try_into().map_err(|_| ort::Error::new("it made other outputs"))
}
