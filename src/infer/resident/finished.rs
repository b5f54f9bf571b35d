//! What comes of a frame, on its way to who wants it.

use std::marker::PhantomData;
use std::sync::Arc;

use ort::value::DynTensor;

use super::bound::{Graph, Place, Source, Tally, Target};
use super::{failed, graphs, host};
use crate::image::{Size, ViewMut, view};
use crate::infer::InferError;
use crate::infer::onnx::{Stop, TensorSample};
use crate::infer::session::one_line;

/// When a finished picture comes to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// By the run that makes it.
    Now,
    /// When it is given, by who gives it: the device can be at something else meanwhile.
    Later,
}

/// A finished picture, apart from what goes on on the device.
pub struct Finished<S> {
    samples: DynTensor,
    /// What brings it to the host, if it is not there.
    delivery: Option<Delivery>,
    model: String,
    /// The most that copy it.
    threads: usize,
    _sample: PhantomData<S>,
}

/// How finished samples leave the device.
pub(super) struct Delivery {
    pub graph: Arc<Graph>,
    pub stop: Arc<Stop>,
    pub place: Place,
    pub tally: Tally,
}

impl<S: TensorSample> Finished<S> {
    /// `threads` are the most that copy it.
    pub(super) fn new(
        samples: DynTensor,
        delivery: Option<Delivery>,
        (model, threads): (&str, usize),
    ) -> Self {
        Self { samples, delivery, model: model.into(), threads, _sample: PhantomData }
    }

    /// Brings it to where it is wanted; an alpha there stays.
    ///
    /// # Errors
    /// [`InferError::Run`] in the runtime's words, or where that has another size.
    pub fn give(self, output: ViewMut<'_, S>) -> Result<(), InferError> {
        let size = Size::of(&output.view());
        let failed = failed(&self.model, size);
        let delivered = match &self.delivery {
            None => None,
            Some(Delivery { graph, stop, place, tally }) => {
                let inputs = [(graphs::MADE, Source::Device(&self.samples))];
                let [delivered] =
                    graph.run((stop, *place, size), &inputs, [(graphs::FINISHED, Target::Host)], tally)?;
                Some(delivered)
            }
        };
        let samples = delivered.as_ref().unwrap_or(&self.samples);
        let (shape, samples) = samples.try_extract_tensor::<S>().map_err(|err| failed(one_line(&err)))?;
        if **shape != [1, size.height as i64, size.width as i64, 3] {
            return Err(failed("the output has another size".into()));
        }
        let picture = view(samples, size, 3, size.width * 3);
        let picture = picture.ok_or_else(|| failed("it gave no picture".into()))?;
        host::copy_by(self.threads, picture, output);
        Ok(())
    }
}
