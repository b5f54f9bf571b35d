//! What stands in the way of a provider on a GPU, in one line that says what is missing and what gets it. The runtime
//! itself names source files and functions.

use std::path::Path;

use super::libraries::{DRIVER, folders_of_pip, load_all, needed_of_nvidia};
use super::provider::Provider;

/// The variable by which CUDA's own programs are told which GPUs there are.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Where the driver lists its GPUs, a folder each.
const LISTED: &str = "/proc/driver/nvidia/gpus";

/// The machine and the runtime on it, as far as a provider depends on them.
pub struct Surroundings<'a> {
    /// The library of ONNX Runtime.
    pub runtime: &'a Path,
    /// Whether the runtime was built with a provider.
    pub is_built_with: &'a dyn Fn(Provider) -> bool,
    /// Loads a library for good, by its path or by a bare name; whether that worked.
    pub load: &'a dyn Fn(&Path) -> bool,
    /// GPUs that programs may use, if that is known.
    pub gpus: Option<usize>,
}

/// Why a provider cannot run on a device of this machine; `None` where nothing is seen to be missing. What NVIDIA's
/// providers need is loaded on the way.
pub fn obstacle(provider: Provider, device: i32, on: &Surroundings<'_>) -> Option<String> {
    let files: &[&str] = match provider {
        Provider::Cuda => &["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"],
        Provider::TensorRt => &["libonnxruntime_providers_shared.so", "libonnxruntime_providers_tensorrt.so"],
        Provider::Cpu | Provider::OpenVino => return None,
    };
    if !(on.load)(Path::new(DRIVER)) {
        return Some(format!(
            "there is no NVIDIA driver on this machine (no {DRIVER}): install it, then run `make cuda` in the source tree"
        ));
    }
    if let Some(gpus) = on.gpus.filter(|&gpus| usize::try_from(device).is_ok_and(|device| device >= gpus)) {
        return Some(no_device(device, Some(gpus)));
    }
    let runtime = on.runtime.display();
    if !(on.is_built_with)(provider) {
        return Some(format!(
            "ONNX Runtime at {runtime} was built without it: run `make cuda` in the source tree, or name that of the package onnxruntime-gpu by FACESR_ONNXRUNTIME"
        ));
    }
    // One that the loader found by its bare name has its company where the loader looks.
    let folder = on.runtime.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let absent: Vec<&str> = files.iter().copied().filter(|file| !folder.join(file).is_file()).collect();
    if !absent.is_empty() {
        return Some(format!(
            "{} must lie beside ONNX Runtime in {}: run `make cuda` in the source tree",
            absent.join(" and "),
            folder.display()
        ));
    }
    let folders = folders_of_pip(on.runtime);
    let needed: Vec<String> = files.iter().flat_map(|file| needed_of_nvidia(&folder.join(file))).collect();
    let absent = load_all(&needed, &folders, on.load);
    (!absent.is_empty()).then(|| no_libraries(&absent))
}

fn no_libraries(names: &[String]) -> String {
    let is_tensorrt = |name: &String| name.starts_with("libnvinfer") || name.starts_with("libnvonnxparser");
    let mut ways = Vec::new();
    if !names.iter().all(is_tensorrt) {
        ways.push("run `make cuda` in the source tree");
    }
    if names.iter().any(is_tensorrt) {
        ways.push("install TensorRT 10 (`pip install tensorrt-cu13==10.*`)");
    }
    let names = names.join(", ");
    format!(
        "NVIDIA's {names} cannot be loaded: {}, or name their folder by LD_LIBRARY_PATH",
        ways.join(" and ")
    )
}

fn no_device(device: i32, gpus: Option<usize>) -> String {
    match gpus {
        Some(0) => format!("the NVIDIA driver shows no GPU: see `nvidia-smi` and {VISIBLE}"),
        Some(1) => format!("there is no GPU {device}: there is one, set device=0"),
        Some(gpus) => format!("there is no GPU {device}: set `device` to 0 to {}", gpus - 1),
        None => format!("there is no GPU {device}: `nvidia-smi` lists those that there are, set `device`"),
    }
}

/// The GPUs that programs may use, if that is known.
pub fn gpus() -> Option<usize> {
    let listed = std::fs::read_dir(LISTED).ok().map(|folders| folders.flatten().count());
    visible(std::env::var(VISIBLE).ok().as_deref(), listed)
}

/// `variable` names GPUs with commas, up to one that is none; `listed` is what the driver shows.
fn visible(variable: Option<&str>, listed: Option<usize>) -> Option<usize> {
    let is_one = |name: &&str| !name.is_empty() && !name.starts_with('-');
    let named = variable.map(|names| names.split(',').map(str::trim).take_while(is_one).count());
    match (named, listed) {
        (Some(named), Some(listed)) => Some(named.min(listed)),
        (named, listed) => named.or(listed),
    }
}

/// What CUDA says when a provider starts, and what that is for the user. The first that is found counts.
const SAID: &[(&str, &str)] = &[
    (
        "driver version is insufficient",
        "the NVIDIA driver is too old for this ONNX Runtime: CUDA 13 needs 580 or newer",
    ),
    ("no CUDA-capable device", "the NVIDIA driver shows no GPU: see `nvidia-smi` and CUDA_VISIBLE_DEVICES"),
    (
        "no kernel image is available",
        "this ONNX Runtime holds no code for this GPU: name another by FACESR_ONNXRUNTIME",
    ),
    ("out of memory", NO_MEMORY),
    ("Failed to allocate memory for requested buffer", NO_MEMORY),
];

const NO_MEMORY: &str = "the GPU has too little memory free: see `nvidia-smi`, or lower memory-limit";

/// How the runtime begins to say which call of NVIDIA's libraries failed, and why; a semicolon ends it.
const CALLS: [&str; 7] = [
    "CUDA failure ",
    "CUDA error ",
    "CUDNN failure ",
    "CUDNN_FE failure ",
    "CUBLAS failure ",
    "CURAND failure ",
    DRIVER_SAYS,
];

/// How what failed of them ends. Words that were found once may come by again in others.
const SEE: &str = ", see `nvidia-smi`";

/// How we begin to say what failed of the driver's.
pub const DRIVER_SAYS: &str = "the NVIDIA driver says: ";

/// The runtime's words of a run that failed, on a GPU [reworded].
pub fn of_run(provider: Provider, device: i32, reason: String) -> String {
    if provider.is_gpu() { reworded(device, &reason) } else { reason }
}

/// The runtime's words of a provider that failed, without its source files and in the user's words where they
/// are known.
pub fn reworded(device: i32, reason: &str) -> String {
    if reason.contains("invalid device ordinal") {
        return no_device(device, None);
    }
    if let Some((_, words)) = SAID.iter().find(|(said, _)| reason.contains(said)) {
        return (*words).into();
    }
    // It wraps a failure in others, which name functions and files.
    if let Some(at) = CALLS.iter().filter_map(|call| reason.rfind(call)).max() {
        let call = reason[at..].split(" ; ").next().unwrap_or_default();
        return format!("{}{SEE}", call.trim().trim_end_matches(SEE));
    }
    // `FILE:LINE FUNCTION [ONNXRuntimeError] : 1 : FAIL : what counts`
    reason.rsplit_once(" : FAIL : ").map_or(reason, |(_, rest)| rest).into()
}

#[cfg(test)]
mod tests;
