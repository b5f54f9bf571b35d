//! Identity: whether a face is still that of the same person, by a network that the user brings
//! ([`crate::infer::embedding`]).
//!
//! The cosine of the angle between the embeddings of two crops of 112x112 pixels, aligned by
//! five landmarks; the mean over the faces of a frame, and over the frames that have any.

use ndarray::s;

use super::{Colours, Frame, Given, Meter, MetricError, Outcome};
use crate::infer::embedding::{Embedding, cosine};

/// The likeness of two aligned crops, -1 to 1.
fn likeness(network: &mut Embedding, face: &Colours) -> Result<f64, MetricError> {
    let crops = [&face.test, &face.truth].map(|crop| crop.slice(s![0, .., .., ..]));
    let embeddings = network.embed(&crops)?;
    Ok(cosine(&embeddings[0], &embeddings[1]))
}

struct Identity {
    network: Embedding,
    series: Vec<(usize, f64)>,
}

pub(super) fn start(given: &Given) -> Result<Box<dyn Meter>, MetricError> {
    let (runtime, path) = given.network(&given.embedding)?;
    let network = Embedding::load(runtime, path, &given.options)?;
    Ok(Box::new(Identity { network, series: Vec::new() }))
}

impl Meter for Identity {
    fn push(&mut self, frame: &Frame<'_>) -> Result<(), MetricError> {
        let faces = frame.faces();
        let mut sum = 0.0;
        for face in faces {
            sum += likeness(&mut self.network, face)?;
        }
        if !faces.is_empty() {
            self.series.push((frame.number(), sum / faces.len() as f64));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        Outcome::mean(self.series)
    }
}
