//! The operator: what ONNX Runtime calls.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ndarray::{ArrayViewMut3, Axis};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{SymbolicDimensions, TensorElementType, TensorValueType, ValueType};

use super::tiles::{After, Filters, Row, TAPS, TILE};
use super::{HAS_BIAS, HAS_SLOPES, OPERATOR, SLOPE};
use crate::infer::engines::Digest;
use crate::infer::foreign::kernels::DOMAIN;

/// Our operators on the processor, for a session of so many threads.
///
/// # Errors
/// What the runtime says.
pub(in crate::infer) fn domain(threads: usize) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?.add(Convolution { threads })
}

/// Inputs: the picture `[N,C,H,W]`, weights `[K,C,3,3]`, and where the attributes say so, a number added to each output `[K]`, and what
/// negative sums are multiplied by, of each output or of all. All but the first are constants. The attribute `slope` says the last, too,
/// where there is no such input.
struct Convolution {
    threads: usize,
}

impl Operator for Convolution {
    type Kernel<'attr> = Convolve;

    fn name(&self) -> &str {
        OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let float = TensorElementType::Float32;
        let (required, optional) = (OperatorInput::required(float), OperatorInput::optional(float));
        [required, OperatorInput::required(float), optional, OperatorInput::optional(float)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    /// The picture's shape, with as many channels as there are filters: the runtime uses memory again where it knows sizes. It must
    /// know all lengths or their names: one without either would be taken for the length -1.
    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        let inputs = context.inputs();
        if let [picture, ValueType::Tensor { shape: filters, .. }, ..] = &inputs[..]
            && let ValueType::Tensor { ty, shape, dimension_symbols } = picture
            && let (&[count, _, height, width], [name, _, down, across]) =
                (&shape[..], &dimension_symbols[..])
            && let Some(&outputs) = filters.first()
            && outputs > 0
            && [(count, name), (height, down), (width, across)]
                .iter()
                .all(|(n, name)| *n >= 0 || !name.is_empty())
        {
            let mut shape = shape.clone();
            shape[1] = outputs;
            let names = [name.clone(), String::new(), down.clone(), across.clone()];
            let dimension_symbols = SymbolicDimensions::new(names);
            context.set_output(0, &ValueType::Tensor { ty: *ty, shape, dimension_symbols })?;
        }
        Ok(())
    }

    fn create_kernel<'attr>(&self, node: &KernelContext<'attr>) -> ort::Result<Convolve> {
        let constant = |index| node.constant_input::<TensorValueType<f32>>(index);
        let weights = constant(1)?;
        let (shape, weights) = weights.try_extract_tensor::<f32>()?;
        let &[outputs, inputs, 3, 3] = &shape[..] else { return Err(wrong("the weights' shape is another")) };
        let [Ok(outputs), Ok(inputs)] = [outputs, inputs].map(usize::try_from) else {
            return Err(wrong("the weights' shape is impossible"));
        };
        if outputs == 0 || inputs == 0 || weights.len() != outputs * inputs * TAPS {
            return Err(wrong("there are no weights"));
        }
        // What is said to be there and is not constant is an error.
        let each = |name: &str, index| -> ort::Result<Option<Vec<f32>>> {
            if node.get::<i64>(name) != Some(1) {
                return Ok(None);
            }
            let values = constant(index)?;
            match values.try_extract_tensor::<f32>()?.1 {
                &[one] => Ok(Some(vec![one; outputs])),
                values if values.len() == outputs => Ok(Some(values.to_vec())),
                _ => Err(wrong("there is not one number for each channel")),
            }
        };
        let bias = each(HAS_BIAS, 2)?.unwrap_or_else(|| vec![0.0; outputs]);
        let slope = || node.get::<f32>(SLOPE).map(|slope| vec![slope; outputs]);
        let slopes = each(HAS_SLOPES, 3)?.or_else(slope);
        let filters = shared(outputs, inputs, weights);
        Ok(Convolve { outputs, inputs, filters, bias, slopes, threads: self.threads })
    }
}

fn wrong(what: &str) -> ort::Error {
    ort::Error::new(format!("a convolution of ours cannot be made: {what}"))
}

/// Filters by their weights. Sessions of a network, of which each thread may have one, keep them once.
fn shared(outputs: usize, inputs: usize, weights: &[f32]) -> Arc<Filters> {
    static KNOWN: Mutex<Vec<(u128, Weak<Filters>)>> = Mutex::new(Vec::new());
    let mut digest = Digest::default();
    digest.add(&outputs.to_le_bytes());
    digest.add(&inputs.to_le_bytes());
    digest.add(bytemuck::cast_slice(weights));
    let key = digest.value();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(_, filters)| filters.strong_count() > 0);
    if let Some(filters) =
        known.iter().find_map(|(other, filters)| (*other == key).then(|| filters.upgrade())?)
    {
        return filters;
    }
    let filters = Arc::new(Filters::new(outputs, inputs, weights));
    known.push((key, Arc::downgrade(&filters)));
    filters
}

/// A node's kernel.
struct Convolve {
    outputs: usize,
    inputs: usize,
    filters: Arc<Filters>,
    bias: Vec<f32>,
    slopes: Option<Vec<f32>>,
    threads: usize,
}

impl Kernel for Convolve {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        // What unwinds out of here would end the process.
        catch_unwind(AssertUnwindSafe(|| self.run(run))).unwrap_or_else(|_| Err(failed()))
    }
}

fn failed() -> ort::Error {
    ort::Error::new("a convolution of ours failed")
}

impl Convolve {
    fn run(&self, run: &ComputeContext) -> ort::Result<()> {
        let input = run.input(0)?.ok_or_else(|| wrong("the picture is missing"))?;
        let (shape, from) = input.try_extract_tensor::<f32>()?;
        let &[count, inputs, height, width] = &shape[..] else {
            return Err(wrong("the picture's shape is another"));
        };
        if inputs != self.inputs as i64 {
            return Err(wrong("the picture has another number of channels"));
        }
        let mut output = run
            .output(0, [count, self.outputs as i64, height, width])?
            .ok_or_else(|| wrong("there is nowhere to write"))?;
        let (_, to) = output.try_extract_tensor_mut::<f32>()?;
        let [height, width] = [height, width].map(|length| usize::try_from(length).unwrap_or(0));
        if to.is_empty() || from.is_empty() {
            return Ok(());
        }
        let mut pictures = Vec::new();
        for to in to.chunks_exact_mut(self.outputs * height * width) {
            pictures
                .push(ArrayViewMut3::from_shape((self.outputs, height, width), to).map_err(|_| failed())?);
        }
        let sources = from.chunks_exact(self.inputs * height * width);
        let outputs = self.filters.outputs_of_a_task(pictures.len() * height.div_ceil(TILE), self.threads);
        // Of some outputs, from the first of these on.
        let mut parts: Vec<_> = pictures
            .iter_mut()
            .zip(sources)
            .flat_map(|(to, from)| {
                let parts = to.axis_chunks_iter_mut(Axis(0), outputs).enumerate();
                parts.map(move |(part, to)| (from, part * outputs, to))
            })
            .collect();
        let rows: Vec<_> = parts
            .iter_mut()
            .flat_map(|(from, first, to)| {
                let rows = to.axis_chunks_iter_mut(Axis(1), TILE).enumerate();
                rows.map(|(number, rows)| (*from, *first, number, Mutex::new(rows)))
            })
            .collect();
        let is_broken = AtomicBool::new(false);
        run.par_for(rows.len(), 0, |index| {
            let make = || {
                let (from, first, number, rows) = &rows[index];
                let mut to = rows.lock().unwrap_or_else(PoisonError::into_inner);
                let after = After { bias: &self.bias, slopes: self.slopes.as_deref() };
                let (filters, first, number) = (&*self.filters, *first, *number);
                scratch(filters.scratch(), |scratch| {
                    Row { filters, first, after, from, height, width, number, to: &mut to, scratch }.make();
                });
            };
            if catch_unwind(AssertUnwindSafe(make)).is_err() {
                is_broken.store(true, Ordering::Relaxed);
            }
        })?;
        match is_broken.into_inner() {
            true => Err(failed()),
            false => Ok(()),
        }
    }
}

/// As many floats as are asked for, which the thread keeps: those of the largest convolution that it has seen.
fn scratch(length: usize, take: impl FnOnce(&mut [f32])) {
    thread_local!(static KEPT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < length {
            kept.resize(length, 0.0);
        }
        take(&mut kept[..length]);
    });
}
