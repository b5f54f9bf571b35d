//! Kernels of ours on a GPU of NVIDIA's, between those of ONNX Runtime: operators of a domain of ours, which launch what
//! `resident/blend.cu` says on the stream that the runtime works on.
//!
//! The runtime gives memory of the device, and its size by a shape: every shape is held to the others before a kernel is launched, for
//! nothing else keeps one inside of what it was given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, CudaModule, DeviceRepr, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use ort::memory::AllocationDevice;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::value::{DynTensorValueType, TensorElementType};

use crate::infer::accelerator::DRIVER_SAYS;
use crate::infer::provider::Provider;

/// Made of `blend.cu` by `make kernels`.
const PTX: &str = include_str!("../resident/blend.ptx");

/// The domain of our operators.
pub(in crate::infer) const DOMAIN: &str = "facesr";

/// Threads of a block, across and down.
const BLOCK: (u32, u32) = (32, 8);
/// Blocks of a grid that are one above the other, at most.
const MOST_DOWN: u32 = 65535;

/// What `Blend` is in `blend.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Blend {
    levels: u64,
    past: u64,
    maps: u64,
    rows: u64,
    down: u64,
    columns: u64,
    across: u64,
    difference: u64,
    history: u64,
    finished: u64,
    width: i32,
    height: i32,
    small_height: i32,
    stride: i32,
    numbers: Numbers,
}

/// The end of it: what the attributes of a node say.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    scale: [f32; 2],
    moving: [f32; 2],
    kept: [f32; 2],
}

// SAFETY: it is plain numbers in the order of `blend.cu`, which takes it by value.
unsafe impl DeviceRepr for Blend {}

/// The kernels, on one GPU.
pub(in crate::infer) struct Kernels {
    context: Arc<CudaContext>,
    module: Arc<CudaModule>,
}

impl Kernels {
    /// Has the driver compile them for a GPU that ONNX Runtime runs on already.
    ///
    /// # Errors
    /// Why it does not, in a line.
    pub(in crate::infer) fn load(device: i32) -> Result<Self, String> {
        let device = usize::try_from(device).map_err(|_| format!("there is no GPU {device}"))?;
        // The binding panics where the driver's library lacks a function.
        let loaded = catch_unwind(AssertUnwindSafe(|| {
            let context = CudaContext::new(device)?;
            let module = context.load_module(Ptx::from_src(PTX))?;
            Ok(Self { context, module })
        }));
        let loaded = loaded.map_err(|_| "the NVIDIA driver lacks a function".to_string())?;
        loaded.map_err(|err: cudarc::driver::DriverError| told(&err))
    }

    /// Operators that launch them, for a session.
    ///
    /// # Errors
    /// What the runtime says.
    pub(in crate::infer) fn domain(self: &Arc<Self>) -> ort::Result<OperatorDomain> {
        Kind::ALL.into_iter().try_fold(OperatorDomain::new(DOMAIN)?, |domain, kind| {
            domain.add(OfKind { kind, kernels: self.clone() })
        })
    }
}

fn told(error: &cudarc::driver::DriverError) -> String {
    let reason =
        error.error_string().map_or_else(|_| format!("{:?}", error.0), |text| text.to_string_lossy().into());
    format!("{DRIVER_SAYS}{reason}")
}

/// One of the kernels, and what it is as an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::infer) enum Kind {
    /// Levels and past into a history and samples.
    Blend(TensorElementType),
    /// Levels and past into what the past is more.
    Differ,
    /// Levels and that into a history and samples.
    Guard(TensorElementType),
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Blend(TensorElementType::Uint8),
        Self::Blend(TensorElementType::Uint16),
        Self::Differ,
        Self::Guard(TensorElementType::Uint8),
        Self::Guard(TensorElementType::Uint16),
    ];

    /// For samples of 8 or 16 bits.
    pub(in crate::infer) fn of(bits: u32, kind: fn(TensorElementType) -> Self) -> Self {
        kind(if bits == 8 { TensorElementType::Uint8 } else { TensorElementType::Uint16 })
    }

    /// The operator's name.
    pub(in crate::infer) fn operator(self) -> &'static str {
        match self {
            Self::Blend(TensorElementType::Uint8) => "Blend8",
            Self::Blend(_) => "Blend16",
            Self::Differ => "Differ",
            Self::Guard(TensorElementType::Uint8) => "Guard8",
            Self::Guard(_) => "Guard16",
        }
    }

    /// The kernel's name.
    fn function(self) -> &'static str {
        match self {
            Self::Blend(TensorElementType::Uint8) => "facesr_blend_8",
            Self::Blend(_) => "facesr_blend_16",
            Self::Differ => "facesr_differ",
            Self::Guard(TensorElementType::Uint8) => "facesr_guard_8",
            Self::Guard(_) => "facesr_guard_16",
        }
    }
}

/// Attributes of nodes, two numbers each.
pub(in crate::infer) const SCALE: [&str; 2] = ["scale_across", "scale_down"];
pub(in crate::infer) const MOVING: [&str; 2] = ["moving_from", "moving_range"];
pub(in crate::infer) const KEPT: [&str; 2] = ["kept_least", "kept_more"];
/// Whole numbers: the size that rows and columns of the maps are counted in.
pub(in crate::infer) const SMALL: [&str; 2] = ["small_height", "small_width"];

struct OfKind {
    kind: Kind,
    kernels: Arc<Kernels>,
}

impl Operator for OfKind {
    type Kernel<'attr> = Launch;

    fn name(&self) -> &str {
        self.kind.operator()
    }

    fn execution_provider_type(&self) -> Option<&str> {
        Some(Provider::Cuda.runtime_name())
    }

    /// In every kind the same: levels, past or difference, maps, and where rows and columns lie in these.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        use TensorElementType::{Float32, Int32};
        [Float32, Float32, Float32, Int32, Float32, Int32, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        let picture = OperatorOutput::required(TensorElementType::Float32);
        match self.kind {
            Kind::Differ => vec![picture],
            Kind::Blend(samples) | Kind::Guard(samples) => vec![picture, OperatorOutput::required(samples)],
        }
    }

    fn create_kernel<'attr>(&self, node: &KernelContext<'attr>) -> ort::Result<Launch> {
        let pair = |names: [&str; 2]| names.map(|name| node.get::<f32>(name).unwrap_or_default());
        let numbers = Numbers { scale: pair(SCALE), moving: pair(MOVING), kept: pair(KEPT) };
        let small = SMALL.map(|name| node.get::<i64>(name).unwrap_or_default());
        let Kernels { context, module } = &*self.kernels;
        // What unwinds out of here would end the process.
        let function = catch_unwind(AssertUnwindSafe(|| {
            context.bind_to_thread()?;
            module.load_function(self.kind.function())
        }));
        let function = function.map_err(|_| wrong("the driver lacks a function"))?;
        let function = function.map_err(|err| ort::Error::new(told(&err)))?;
        Ok(Launch { kind: self.kind, context: context.clone(), function, numbers, small })
    }
}

/// A node's kernel.
struct Launch {
    kind: Kind,
    context: Arc<CudaContext>,
    function: CudaFunction,
    numbers: Numbers,
    /// Rows and columns of the maps.
    small: [i64; 2],
}

impl Kernel for Launch {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        catch_unwind(AssertUnwindSafe(|| self.launch(run)))
            .unwrap_or_else(|_| Err(ort::Error::new("a launch of ours failed")))
    }
}

/// A tensor where the GPU reaches it.
struct There {
    address: u64,
    dims: Vec<i64>,
}

fn input(run: &ComputeContext, index: usize) -> ort::Result<There> {
    let value = run.input(index)?.ok_or_else(|| wrong("an input is missing"))?;
    let tensor = value.downcast::<DynTensorValueType>()?;
    reachable(tensor.memory_info().allocation_device())?;
    Ok(There { address: tensor.data_ptr() as u64, dims: tensor.shape().to_vec() })
}

fn output(run: &ComputeContext, index: usize, dims: [i64; 4]) -> ort::Result<u64> {
    let value = run.output(index, dims)?.ok_or_else(|| wrong("an output is missing"))?;
    let tensor = value.downcast::<DynTensorValueType>()?;
    reachable(tensor.memory_info().allocation_device())?;
    Ok(tensor.data_ptr() as u64)
}

fn reachable(device: AllocationDevice) -> ort::Result<()> {
    match [AllocationDevice::CUDA, AllocationDevice::CUDA_PINNED].contains(&device) {
        true => Ok(()),
        false => Err(wrong("memory is not the GPU's")),
    }
}

fn wrong(what: &str) -> ort::Error {
    ort::Error::new(format!("the blend cannot be launched: {what}"))
}

impl Launch {
    fn launch(&self, run: &ComputeContext) -> ort::Result<()> {
        let inputs = (0..7).map(|index| input(run, index)).collect::<ort::Result<Vec<There>>>()?;
        let [levels, second, maps, rows, down, columns, across] = &inputs[..] else {
            return Err(wrong("inputs are missing"));
        };
        let (&[1, 3, height, width], &[4, small_height, stride]) = (&levels.dims[..], &maps.dims[..]) else {
            return Err(wrong("the shapes are others"));
        };
        let fits = second.dims == levels.dims
            && [small_height, stride.min(self.small[1])] == self.small
            && rows.dims == [2, height]
            && down.dims == [height]
            && columns.dims == [2, width]
            && across.dims == [width];
        if !fits {
            return Err(wrong("the shapes are others"));
        }
        let number = |length: i64| i32::try_from(length).map_err(|_| wrong("the picture is too large"));
        let mut blend = Blend {
            levels: levels.address,
            maps: maps.address,
            rows: rows.address,
            down: down.address,
            columns: columns.address,
            across: across.address,
            width: number(width)?,
            height: number(height)?,
            small_height: number(small_height)?,
            stride: number(stride)?,
            numbers: self.numbers,
            ..Blend::default()
        };
        let (picture, samples) = ([1, 3, height, width], [1, height, width, 3]);
        match self.kind {
            Kind::Differ => {
                blend.past = second.address;
                blend.difference = output(run, 0, picture)?;
            }
            Kind::Blend(_) | Kind::Guard(_) => {
                match self.kind {
                    Kind::Guard(_) => blend.difference = second.address,
                    _ => blend.past = second.address,
                }
                blend.history = output(run, 0, picture)?;
                blend.finished = output(run, 1, samples)?;
            }
        }
        let down = (blend.height as u32).div_ceil(BLOCK.1);
        if down > MOST_DOWN {
            return Err(wrong("the picture is too high"));
        }
        let grid = ((blend.width as u32).div_ceil(BLOCK.0), down, 1);
        let config = LaunchConfig { grid_dim: grid, block_dim: (BLOCK.0, BLOCK.1, 1), shared_mem_bytes: 0 };
        let stream = run.stream()?.ok_or_else(|| wrong("there is no stream"))?.as_ptr();
        // SAFETY: the runtime runs this kernel on that stream, of the context of the device, which it keeps for longer than this call.
        let stream = unsafe { self.context.wrap_borrowed_stream(stream.cast()) };
        // SAFETY: the kernel takes one argument, of this type. What it reads and writes by that was allocated by the runtime for
        // this node in the shapes that were held to each other above; rows and columns are constants of a graph of ours, which
        // lie within maps of the size that its attributes say. The runtime orders what comes before and behind it by the stream.
        let launched = unsafe { stream.launch_builder(&self.function).arg(&blend).launch(config) };
        launched.map(|_| ()).map_err(|err| ort::Error::new(told(&err)))
    }
}
