//! The blend by kernels of ours, held to the one by standard operators on the processor: by those that load it, and by who wants
//! to know it of a GPU.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::value::{DynTensor, Tensor};

use super::Guard;
use super::bound::{Graph, Place, Source, Tally, Target};
use super::graphs::{self, Shape};
use super::stage::Blending;
use crate::image::Size;
use crate::image::planar::COLOURS;
use crate::infer::foreign::kernels::Kernels;
use crate::infer::graph::LEVELS;
use crate::infer::onnx::{Options, Stop};
use crate::infer::provider::{Choice, Provider};
use crate::infer::runtime::Runtime;
use crate::infer::session::one_line;
use crate::infer::{InferError, accelerator};

/// What the two may differ by, in levels of samples. What PTX promises makes the same bits, but no GPU has shown it yet, and a level is
/// not seen.
pub(super) const MOST_LEVELS: f32 = 1.0;

/// A blend to compare.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Size of the maps.
    pub small: Size,
    /// Pixels of the picture in one of the maps, each way.
    pub scale: usize,
    /// Of samples, 8 or 16.
    pub bits: u32,
    /// What holds back fine differences.
    pub guard: Option<Guard>,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// The most that two samples or two numbers of a history differ by, in levels; infinite where one is no number.
    pub worst: f32,
    /// What a run of the kernels takes on the device, the least of some.
    pub kernels: Duration,
    /// The same, of the standard operators.
    pub operators: Duration,
}

/// Compares the kernels on a GPU with the standard operators on the processor, and with their time on the GPU.
///
/// # Errors
/// Why there are no kernels, or [`InferError`] in the runtime's words, in a line.
pub fn compare(runtime: &'static Runtime, options: &Options, case: &Case) -> Result<Compared, String> {
    let options = Options { choice: Choice::Only(Provider::Cuda), ..options.clone() };
    // The runtime has to be on the GPU before us.
    let operators = Blending::Operators(None);
    let operators = Bench::new(runtime, &options, case, &operators).map_err(|err| err.to_string())?;
    let kernels = Arc::new(Kernels::load(options.device)?);
    let compare = || {
        let worst = worst(runtime, &options, case, &kernels)?;
        let kernels = Bench::new(runtime, &options, case, &Blending::Kernels(kernels.clone()))?;
        Ok(Compared { worst, kernels: kernels.least()?, operators: operators.least()? })
    };
    compare().map_err(|err: InferError| accelerator::reworded(options.device, &err.to_string()))
}

/// The most that samples by the kernels differ from those by standard operators on the processor.
pub(super) fn worst(
    runtime: &'static Runtime,
    options: &Options,
    case: &Case,
    kernels: &Arc<Kernels>,
) -> Result<f32, InferError> {
    let here = Options { choice: Choice::Only(Provider::Cpu), ..options.clone() };
    let here = Bench::new(runtime, &here, case, &Blending::Operators(None))?;
    let there = Bench::new(runtime, options, case, &Blending::Kernels(kernels.clone()))?;
    let [expected, found] = [&here, &there].map(Bench::run);
    let [(expected, expected_history), (found, history)] = [expected?, found?];
    let pairs = expected.iter().zip(&found).chain(expected_history.iter().zip(&history));
    // A maximum of floats would pass a NaN by.
    let apart =
        pairs.map(|(a, b)| (a - b).abs()).map(|levels| if levels.is_nan() { f32::INFINITY } else { levels });
    Ok(apart.fold(0.0, f32::max))
}

/// A blend and what it is tried on.
struct Bench {
    graph: Graph,
    place: Place,
    stop: Stop,
    large: Size,
    bits: u32,
    levels: DynTensor,
    past: DynTensor,
    maps: DynTensor,
}

/// Runs of which the fastest is taken.
const RUNS: usize = 5;

impl Bench {
    fn new(
        runtime: &'static Runtime,
        options: &Options,
        case: &Case,
        blending: &Blending,
    ) -> Result<Self, InferError> {
        let Case { small, scale, bits, guard } = *case;
        let large = small.times(scale);
        let shape = Shape { small, large, bits, guard };
        let graph = blending.graph(runtime, &shape, options)?;
        let place = Place::of(graph.active(), options);
        let white = ((1_u32 << bits) - 1) as f32;
        let stop = Stop::new().map_err(refuse)?;
        let filled = |dims: &[usize], value: &dyn Fn(usize) -> f32| -> Result<DynTensor, InferError> {
            let values: Vec<f32> = (0..dims.iter().product()).map(value).collect();
            Ok(Tensor::from_array((dims.to_vec(), values)).map_err(refuse)?.upcast())
        };
        let picture = [1, COLOURS, large.height, large.width];
        let levels = filled(&picture, &|at| (noise(at) * white).round())?;
        let past = filled(&picture, &|at| (noise(at + 7_777_777) * 1.1 - 0.05) * white)?;
        let columns = small.width + 1;
        let maps = filled(&[4, small.height, columns], &|at| {
            let (map, row) = (at / (small.height * columns), at / columns % small.height);
            if at % columns == small.width {
                // The column that nobody reads.
                return f32::NAN;
            }
            let wild = noise(at + 3);
            // Rows that stand still, move alike, each on its own, and out of the picture.
            match (map, row % 4) {
                (0 | 1, 0) => 0.0,
                (0 | 1, 1) => 1.25 - 2.75 * map as f32,
                (0 | 1, 2) => 6.0 * wild - 3.0,
                (0 | 1, _) => 4000.0 * wild - 2000.0,
                (2, _) => (1.4 * wild - 0.2).clamp(0.0, 1.0),
                _ => 3.0 * wild,
            }
        })?;
        Ok(Self { graph, place, stop, large, bits, levels, past, maps })
    }

    /// Samples and history.
    fn run(&self) -> Result<(Vec<f32>, Vec<f32>), InferError> {
        let [history, samples] = self.made([&self.levels, &self.past, &self.maps], Target::Host)?;
        let history = history.try_extract_tensor::<f32>().map_err(refuse)?.1.to_vec();
        let samples = match self.bits {
            8 => widened(samples.try_extract_tensor::<u8>().map_err(refuse)?.1),
            _ => widened(samples.try_extract_tensor::<u16>().map_err(refuse)?.1),
        };
        Ok((samples, history))
    }

    /// History and samples.
    fn made(&self, inputs: [&DynTensor; 3], to: Target) -> Result<[DynTensor; 2], InferError> {
        let names = [LEVELS, graphs::PAST, graphs::FETCHED].into_iter();
        // They are bound as they lie, on the device or not.
        let inputs: Vec<_> = names.zip(inputs).map(|(name, tensor)| (name, Source::Device(tensor))).collect();
        let outputs = [(graphs::HISTORY, to), (graphs::FINISHED, to)];
        self.graph.run((&self.stop, self.place, self.large), &inputs, outputs, &Tally::default())
    }

    /// The least that a run takes on the GPU.
    fn least(&self) -> Result<Duration, InferError> {
        let to_device = |tensor: &DynTensor| self.place.copied_to(tensor).map_err(refuse);
        let [levels, past, maps] = [&self.levels, &self.past, &self.maps].map(to_device);
        let (levels, past, maps) = (levels?, past?, maps?);
        let mut least = Duration::MAX;
        for _ in 0..RUNS {
            let started = Instant::now();
            self.made([&levels, &past, &maps], Target::Device)?;
            least = least.min(started.elapsed());
        }
        Ok(least)
    }
}

fn refuse(error: ort::Error) -> InferError {
    InferError::Model { model: "facesr-blend".into(), reason: one_line(&error) }
}

fn widened<T: Copy + Into<f32>>(samples: &[T]) -> Vec<f32> {
    samples.iter().map(|&sample| sample.into()).collect()
}

/// Of 0 to 1, the same every time.
fn noise(at: usize) -> f32 {
    let mut bits = (at as u32).wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
    for _ in 0..3 {
        bits = (bits ^ bits >> 15).wrapping_mul(0x2c1b_3c6d);
    }
    (bits >> 8) as f32 / (1 << 24) as f32
}
