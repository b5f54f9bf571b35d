//! A session of ONNX Runtime: started with what all of ours have in common.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::foreign::assignment;
use super::foreign::kernels::Kernels;
use super::onnx::Options;
use super::precision::Units;
use super::provider::Provider;
use super::register::{register, said};
use super::runtime::Runtime;
use super::shared::{self, Again, Shared};
use super::{InferError, convolution, prelu};

/// The processor can always be tried, so when it refuses, the model is at fault, unless it was not to compute so.
pub(super) fn blame_model(error: InferError, model: &str, options: &Options) -> InferError {
    if options.precision.refused_by(Provider::Cpu, Units::here()).is_some() {
        return error;
    }
    let cpu = Provider::Cpu.name();
    let reason = match &error {
        InferError::Provider { name, reason } if *name == cpu => Some(reason.clone()),
        InferError::NoProvider { reasons, .. } => reasons
            .iter()
            .find_map(|reason| Some(reason.strip_prefix(cpu)?.trim_start_matches(": ").to_string())),
        _ => None,
    };
    match reason {
        Some(reason) => InferError::Model { model: model.into(), reason },
        None => error,
    }
}

/// What threads of a session do while they have none of a run's nodes to work on. Between runs all sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// A pipeline has other work for the cores: the frame after is looked at, the frame before is encoded.
    Sleep,
    /// Waking up takes longer than most nodes of a network for a face do.
    Spin,
}

/// What sessions are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Whole frames, of one size a stream.
    Frames,
    /// Faces and pictures in which they are looked for, in a few sizes and numbers.
    Faces,
    /// What lies between, of operators that plan nothing.
    Between,
}

/// Shapes of what has to do with faces: two sizes in which they are looked for, or so many at a time.
const SHAPES_OF_FACES: usize = 4;

impl Work {
    fn idle(self) -> Idle {
        match self {
            Self::Faces => Idle::Spin,
            Self::Frames | Self::Between => Idle::Sleep,
        }
    }
}

/// A session on one provider, which others may run, too, and where its nodes went. `path` is where the model
/// was read from.
pub(super) fn start(
    runtime: &'static Runtime,
    path: &Path,
    model: &[u8],
    provider: Provider,
    options: &Options,
    work: Work,
) -> Result<(Arc<Shared>, shared::Nodes), String> {
    let again = || {
        let (path, model, options) = (path.to_path_buf(), model.to_vec(), options.clone());
        Box::new(move || {
            let started = start_alone(runtime, &path, &model, provider, &options, work.idle());
            started.map(|(session, _)| session)
        })
    };
    // CUDA's provider keeps one plan of cuDNN's for each convolution, whose making takes tens of milliseconds.
    let again = match (provider, work) {
        (Provider::Cuda, Work::Frames) => Some(Again { start: again(), most: None }),
        (Provider::Cuda, Work::Faces) => Some(Again { start: again(), most: Some(SHAPES_OF_FACES) }),
        _ => None,
    };
    let start = || start_alone(runtime, path, model, provider, options, work.idle());
    shared(path, model, provider, options, again, start)
}

/// As [`start`] for a file in which operators of ours are, too.
pub(super) fn start_with_ours(
    runtime: &Runtime,
    path: &Path,
    model: &[u8],
    provider: Provider,
    options: &Options,
    kernels: &Arc<Kernels>,
) -> Result<(Arc<Shared>, shared::Nodes), String> {
    shared(path, model, provider, options, None, || {
        let builder = configured(runtime, path, provider, options, Idle::Sleep)?;
        let domain = kernels.domain().map_err(|err| one_line(&err))?;
        let builder = builder.with_operators(domain).map_err(|err| one_line(&err))?;
        commit(runtime, builder, model, provider, options)
    })
}

fn shared(
    path: &Path,
    model: &[u8],
    provider: Provider,
    options: &Options,
    again: Option<Again>,
    start: impl FnOnce() -> Result<(Session, shared::Nodes), String>,
) -> Result<(Arc<Shared>, shared::Nodes), String> {
    let shared = shared::session(path, model, provider, options, again, start)?;
    let nodes = shared.nodes().clone();
    Ok((shared, nodes))
}

pub(super) fn start_alone(
    runtime: &Runtime,
    path: &Path,
    model: &[u8],
    provider: Provider,
    options: &Options,
    idle: Idle,
) -> Result<(Session, shared::Nodes), String> {
    let builder = configured(runtime, path, provider, options, idle)?;
    if provider != Provider::Cpu {
        return commit(runtime, builder, model, provider, options);
    }
    let ours = convolution::placed(model);
    let builder = match ours {
        Some(_) => {
            let threads = match threads_of(provider, options.threads, cores(options.threads)) {
                0 => cores(1),
                threads => threads,
            };
            let domain = convolution::domain(threads).map_err(|err| one_line(&err))?;
            builder.with_operators(domain).map_err(|err| one_line(&err))?
        }
        None => builder,
    };
    let model = ours.as_deref().unwrap_or(model);
    let tuned = prelu::written_otherwise(model);
    commit(runtime, builder, tuned.as_deref().unwrap_or(model), provider, options)
}

/// What sessions have in common.
fn configured(
    runtime: &Runtime,
    path: &Path,
    provider: Provider,
    options: &Options,
    idle: Idle,
) -> Result<SessionBuilder, String> {
    let text = |err: ort::Error| one_line(&err);
    let builder = Session::builder(runtime.environment()).map_err(text)?;
    let configured = |builder: SessionBuilder| -> ort::Result<SessionBuilder> {
        let mut builder = builder
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_config_entry(assignment::RECORD, "1")?
            .with_intra_op_spinning(idle == Idle::Spin)?
            .with_config_entry("session.force_spinning_stop", "1")?;
        if let Some(folder) = path.parent().map(|dir| dir.to_string_lossy()) {
            // Weights in a file of their own are looked for beside the model.
            let folder = if folder.is_empty() { ".".into() } else { folder };
            builder =
                builder.with_config_entry("session.model_external_initializers_file_folder_path", folder)?;
        }
        let threads = threads_of(provider, options.threads, cores(options.threads));
        if threads > 0 {
            builder = builder.with_intra_threads(threads)?;
        }
        Ok(builder)
    };
    configured(builder).map_err(text)
}

/// Cores that this process may use, or a number where nobody says.
fn cores(otherwise: usize) -> usize {
    std::thread::available_parallelism().map_or(otherwise, usize::from)
}

/// Threads of a session where so many were asked for; 0 is one a core.
fn threads_of(provider: Provider, asked: usize, cores: usize) -> usize {
    match provider.is_gpu() {
        // There is nothing to share out, and one a core and session would wait for nothing.
        true => 1,
        // More than there are cores would wait for each other at each node: a thousand on two cores take minutes to start.
        false => asked.min(cores),
    }
}

fn commit(
    runtime: &Runtime,
    builder: SessionBuilder,
    model: &[u8],
    provider: Provider,
    options: &Options,
) -> Result<(Session, shared::Nodes), String> {
    let mut builder = register(runtime, builder, model, provider, options)?;
    // The binding panics on some shapes that damaged files declare.
    let committed = catch_unwind(AssertUnwindSafe(|| builder.commit_from_memory(model)));
    let session = committed.map_err(|_| "its tensors have impossible shapes".to_string())?;
    let session = session.map_err(|err| said(provider, options, &err))?;
    let nodes = assignment::nodes_by_provider(&session)?;
    Ok((session, nodes))
}

/// The first line of an error of the runtime, which likes to append its source locations.
pub(super) fn one_line<T>(error: &ort::Error<T>) -> String {
    let text = error.message();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    line.trim().trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_no_more_threads_than_there_are_cores_and_one_beside_a_gpu() {
        for (asked, cores, expected) in
            [(0, 2, 0), (1, 2, 1), (2, 2, 2), (3, 2, 2), (1024, 16, 16), (1024, 1, 1)]
        {
            for provider in Provider::ALL {
                let expected = if provider.is_gpu() { 1 } else { expected };
                assert_eq!(threads_of(provider, asked, cores), expected, "{provider:?}: {asked} of {cores}");
            }
        }
    }
}
