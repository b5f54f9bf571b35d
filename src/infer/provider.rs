//! Which execution provider runs a network. One is tried at a time, strictly; falling from one
//! to the next is for `auto` alone, and every reason is kept for the report.

use super::InferError;

/// What can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first of [`AUTOMATIC`] that works.
    #[default]
    Auto,
    /// This one or an error.
    Only(Provider),
}

/// An execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// ONNX Runtime's own kernels.
    Cpu,
    /// NVIDIA CUDA.
    Cuda,
    /// NVIDIA TensorRT; builds an engine first, which takes minutes.
    TensorRt,
    /// Intel OpenVINO, on the processor.
    OpenVino,
}

impl Provider {
    /// Every provider this build knows.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino];

    /// The name users type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// It runs on a GPU of NVIDIA's.
    pub const fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt)
    }

    /// The name ONNX Runtime uses when it reports where nodes run.
    pub const fn runtime_name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
            Self::OpenVino => "OpenVINOExecutionProvider",
        }
    }
}

/// What `auto` tries, best first. TensorRT is not among them: it would stop a pipeline for
/// minutes at its first start, which nobody asked for. OpenVINO comes last, for what the processor's own provider
/// refuses (bf16): in 32-bit floats that is faster, with the convolutions of [`super::convolution`].
pub const AUTOMATIC: [Provider; 3] = [Provider::Cuda, Provider::Cpu, Provider::OpenVino];

/// What runs, and why others do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// The provider that was chosen.
    pub provider: Provider,
    /// Nodes of the graph by the runtime's name of the provider that runs them, most first.
    pub nodes: Vec<(String, usize)>,
    /// Providers tried before, with the reason each was refused.
    pub refused: Vec<(Provider, String)>,
}

impl Active {
    /// The provider, and how many nodes are not run by it: `cuda`, `cuda (2 of 80 nodes: cpu)`.
    pub fn describe(&self) -> String {
        let total: usize = self.nodes.iter().map(|(_, count)| count).sum();
        let elsewhere: Vec<String> = self
            .nodes
            .iter()
            .filter(|(name, _)| name != self.provider.runtime_name())
            .map(|(name, count)| format!("{count} of {total} nodes: {}", short_name(name)))
            .collect();
        match elsewhere.as_slice() {
            [] => self.provider.name().into(),
            _ => format!("{} ({})", self.provider.name(), elsewhere.join(", ")),
        }
    }

    /// The providers passed over, with reasons; empty if none was.
    pub fn why_not_others(&self) -> String {
        let reasons = self.refused.iter().map(|(provider, why)| format!("{}: {why}", provider.name()));
        reasons.collect::<Vec<_>>().join("; ")
    }
}

fn short_name(runtime_name: &str) -> &str {
    let known = Provider::ALL.into_iter().find(|provider| provider.runtime_name() == runtime_name);
    known.map_or(runtime_name, |provider| provider.name())
}

/// Tries what was asked for; `attempt` gives what it made and the nodes by provider, or a
/// reason.
///
/// # Errors
/// [`InferError::Provider`] for a provider asked for by name, [`InferError::NoProvider`] if
/// every one that `auto` tries fails.
pub fn choose<T>(
    choice: Choice,
    model: &str,
    mut attempt: impl FnMut(Provider) -> Result<(T, Vec<(String, usize)>), String>,
) -> Result<(T, Active), InferError> {
    let candidates = match &choice {
        Choice::Auto => &AUTOMATIC[..],
        Choice::Only(provider) => std::slice::from_ref(provider),
    };
    let mut refused = Vec::new();
    for &provider in candidates {
        let runs_a_node =
            |nodes: &[(String, usize)]| nodes.iter().any(|(name, _)| name == provider.runtime_name());
        match attempt(provider) {
            Ok((made, nodes)) if runs_a_node(&nodes) => {
                return Ok((made, Active { provider, nodes, refused }));
            }
            Ok(_) => refused.push((provider, "it took none of the network's nodes".to_string())),
            Err(reason) => refused.push((provider, reason)),
        }
    }
    match choice {
        Choice::Only(provider) => {
            let reason = refused.pop().map_or_else(String::new, |(_, reason)| reason);
            Err(InferError::Provider { name: provider.name(), reason })
        }
        Choice::Auto => {
            let reasons = refused.iter().map(|(provider, why)| format!("{}: {why}", provider.name()));
            Err(InferError::NoProvider { model: model.into(), reasons: reasons.collect() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works(provider: Provider) -> Result<((), Vec<(String, usize)>), String> {
        Ok(((), vec![(provider.runtime_name().into(), 7)]))
    }

    #[test]
    fn auto_takes_the_first_that_works_and_keeps_every_reason_before_it() {
        for (at, best) in AUTOMATIC.into_iter().enumerate() {
            let attempt = |provider| if provider == best { works(provider) } else { Err("absent".into()) };
            let ((), active) = choose(Choice::Auto, "m", attempt).unwrap();
            assert_eq!(active.provider, best);
            let refused: Vec<Provider> = active.refused.iter().map(|&(provider, _)| provider).collect();
            assert_eq!(refused, AUTOMATIC[..at]);
            assert_eq!(active.why_not_others().matches("absent").count(), at);
        }
    }

    #[test]
    fn a_provider_asked_for_by_name_never_falls_to_another() {
        for provider in Provider::ALL {
            let mut tried = Vec::new();
            let result = choose(Choice::Only(provider), "m", |provider| -> Result<((), _), String> {
                tried.push(provider);
                Err("no such device".into())
            });
            let error = result.unwrap_err().to_string();
            assert_eq!(tried, [provider]);
            assert!(error.contains(provider.name()) && error.contains("no such device"), "{error}");
        }
    }

    #[test]
    fn a_provider_that_starts_but_takes_no_node_counts_as_failed() {
        for provider in Provider::ALL {
            let elsewhere = |_| Ok(((), vec![("SomeExecutionProvider".to_string(), 9)]));
            let error = choose(Choice::Only(provider), "m", elsewhere).unwrap_err();
            assert!(error.to_string().contains("none of the network's nodes"), "{error}");
        }
    }

    #[test]
    fn nodes_that_run_elsewhere_are_told() {
        let nodes = vec![("CUDAExecutionProvider".to_string(), 78), ("CPUExecutionProvider".to_string(), 2)];
        let active = Active { provider: Provider::Cuda, nodes, refused: vec![] };
        assert_eq!(active.describe(), "cuda (2 of 80 nodes: cpu)");
        let ((), active) = choose(Choice::Auto, "m", works).unwrap();
        assert_eq!(active.describe(), "cuda");
    }
}
