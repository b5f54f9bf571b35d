//! Finds and loads ONNX Runtime, once per process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use once_cell::sync::OnceCell;
use ort::environment::Environment;
use ort::logging::LogLevel;

use super::provider::Provider;
use super::register::is_built_with;
use crate::model::registry::cache_dir;

/// Name of the library.
pub const LIBRARY: &str = "libonnxruntime.so";

/// Name of the optional OpenVINO provider, a plugin library of ONNX Runtime.
const OPENVINO_PLUGIN: &str = "libonnxruntime_providers_openvino_plugin.so";

/// The environment variable that names the library. The second is the one that other users of
/// the `ort` crate know.
const VARIABLES: [&str; 2] = ["FACESR_ONNXRUNTIME", "ORT_DYLIB_PATH"];

static RUNTIME: OnceCell<Runtime> = OnceCell::new();
static LISTENER: OnceCell<fn(warning: bool, text: &str)> = OnceCell::new();

/// Why there is no runtime.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuntimeError {
    /// None was found.
    #[error(
        "ONNX Runtime is not on this machine: run `make runtime` in the source tree, or name {LIBRARY} (1.{minimum} or newer) by the property `runtime` or by FACESR_ONNXRUNTIME; looked for it in {searched}",
        minimum = ort::MINOR_VERSION
    )]
    NotFound {
        /// Where, with commas.
        searched: String,
    },
    /// It was named but cannot be used.
    #[error("ONNX Runtime at {}, named by {by}, cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What named it.
        by: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another one is loaded already, and a process has one.
    #[error("this process runs ONNX Runtime at {} already, {} cannot be loaded beside it", loaded.display(), wanted.display())]
    AnotherLoaded {
        /// The one loaded.
        loaded: PathBuf,
        /// The one asked for.
        wanted: PathBuf,
    },
}

/// How OpenVINO comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenVino {
    /// With the runtime, which was built for it. For processors of every make.
    BuiltIn,
    /// As a plugin in this file, which offers nothing on processors of other makes than Intel's.
    Plugin(PathBuf),
}

/// The runtime of this process.
#[derive(Debug)]
pub struct Runtime {
    /// The library that was loaded.
    pub path: PathBuf,
    /// What named it, such as `the cache`.
    pub found_by: String,
    /// How OpenVINO is there, or why it is not.
    pub openvino: Result<OpenVino, String>,
    environment: Environment,
}

impl Runtime {
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Version and build of the library, in its own words.
    pub fn build(&self) -> &'static str {
        ort::info()
    }
}

/// Who hears what ONNX Runtime has to say; the first call counts. Warnings and worse are
/// marked. Without a listener nothing is printed.
pub fn set_listener(listener: fn(warning: bool, text: &str)) {
    // A second element registers the same listener again.
    let _ = LISTENER.set(listener);
}

/// Tells whoever listens of what goes on less well than it should.
pub(super) fn warn(text: &str) {
    if let Some(listener) = LISTENER.get() {
        listener(true, text);
    }
}

/// One place where the library may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// File, or bare name to leave the search to the dynamic loader.
    pub path: PathBuf,
    /// What names it.
    pub by: String,
    /// Someone named it: if it cannot be loaded, that is an error, and nothing else is tried.
    pub named: bool,
}

/// Where `make cuda` leaves the runtime, in the cache.
const FOR_CUDA: &str = "cuda/onnxruntime/capi";
/// Where `make openvino` leaves one that was built for OpenVINO.
const FOR_OPENVINO: &str = "openvino";

/// Where the library is looked for, in order: the property, the environment variables, the
/// cache of `make` (those for CUDA and OpenVINO first), the folder beside the plugin or program, the system.
pub fn candidates(property: Option<&Path>, beside: Option<&Path>) -> Vec<Candidate> {
    let candidate = |path: PathBuf, by: &str, named| Candidate { path, by: by.into(), named };
    let property = property.map(|path| candidate(path.into(), "the property `runtime`", true));
    let variables = VARIABLES.iter().filter_map(|name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(candidate(value.into(), name, true))
    });
    let in_cache =
        |folder: &str| Some(candidate(cache_dir()?.join(folder).join(LIBRARY), "the cache", false));
    let cached = [FOR_CUDA, FOR_OPENVINO, "runtime"].into_iter().filter_map(in_cache);
    let beside = beside.map(|dir| candidate(dir.join(LIBRARY), "the folder of the plugin", false));
    let system = [LIBRARY, "libonnxruntime.so.1"].map(|name| candidate(name.into(), "the system", false));
    property.into_iter().chain(variables).chain(cached).chain(beside).chain(system).collect()
}

/// Loads the first candidate that works, or gives what was loaded before.
///
/// # Errors
/// [`RuntimeError`]. A later call tries again.
pub fn load(property: Option<&Path>, beside: Option<&Path>) -> Result<&'static Runtime, RuntimeError> {
    let runtime = RUNTIME.get_or_try_init(|| find(&candidates(property, beside)))?;
    match property {
        Some(wanted) if !same_file(wanted, &runtime.path) => {
            Err(RuntimeError::AnotherLoaded { loaded: runtime.path.clone(), wanted: wanted.into() })
        }
        _ => Ok(runtime),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

fn find(candidates: &[Candidate]) -> Result<Runtime, RuntimeError> {
    let mut searched = Vec::new();
    for candidate in candidates {
        let bare = candidate.path.components().count() == 1 && !candidate.named;
        if !bare && !candidate.named && !candidate.path.exists() {
            searched.push(candidate.path.display().to_string());
            continue;
        }
        match open(&candidate.path) {
            Ok(environment) => {
                let openvino = find_openvino(&environment, &candidate.path);
                let Candidate { path, by: found_by, .. } = candidate.clone();
                return Ok(Runtime { path, found_by, openvino, environment });
            }
            Err(reason) if candidate.named => {
                let Candidate { path, by, .. } = candidate.clone();
                return Err(RuntimeError::Unusable { path, by, reason });
            }
            Err(_) if bare => searched.push(format!("the system's {}", candidate.path.display())),
            Err(reason) => searched.push(format!("{} ({reason})", candidate.path.display())),
        }
    }
    Err(RuntimeError::NotFound { searched: searched.join(", ") })
}

fn open(path: &Path) -> Result<Environment, String> {
    // The loader's own search would take a path without a slash elsewhere.
    if path.components().count() > 1 && !path.is_file() {
        return Err("there is no such file".into());
    }
    let builder = ort::init_from(path).map_err(|err| reason(&err))?;
    let builder = builder.with_telemetry(false).with_logger(Arc::new(|level, _, _, _, text| {
        if let Some(listener) = LISTENER.get() {
            listener(is_warning(&level, text), text);
        }
    }));
    builder.build().map_err(|err| super::session::one_line(&err))
}

/// Parts of warnings that warn of nothing: networks hold what our own nodes took the place of.
const HARMLESS: [&str; 1] = ["It is not used by any node and should be removed from the model"];

fn is_warning(level: &LogLevel, text: &str) -> bool {
    match level {
        LogLevel::Error | LogLevel::Fatal => true,
        LogLevel::Warning => !HARMLESS.iter().any(|part| text.contains(part)),
        _ => false,
    }
}

fn reason(error: &ort::LoadDynamicError) -> String {
    use ort::LoadDynamicError as Error;
    match error {
        Error::Dlopen { error, .. } => format!("it is no library that can be loaded ({error})"),
        Error::MissingApi { .. } => "it is a library, but not ONNX Runtime".into(),
        Error::InvalidVersionString => "it does not say its version".into(),
        Error::BadVersion { version_str, .. } => {
            format!("it is version {version_str}, 1.{} or newer is needed", ort::MINOR_VERSION)
        }
    }
}

/// Where the runtime was not built for OpenVINO, a plugin library is registered, which is looked for in `openvino/` beside the runtime, then
/// where `make openvino` leaves it.
fn find_openvino(environment: &Environment, library: &Path) -> Result<OpenVino, String> {
    if is_built_with(Provider::OpenVino) {
        return Ok(OpenVino::BuiltIn);
    }
    let beside = library.parent().map(Path::to_path_buf);
    let folders = beside.into_iter().chain(cache_dir().map(|dir| dir.join("runtime")));
    let plugin =
        folders.map(|dir| dir.join("openvino").join(OPENVINO_PLUGIN)).find(|plugin| plugin.is_file());
    let plugin = plugin.ok_or("it is not installed, run `make openvino` in the source tree")?;
    let registered = environment.register_ep_library("OpenVINOExecutionProvider", &plugin);
    registered.map_err(|err| super::session::one_line(&err))?;
    Ok(OpenVino::Plugin(plugin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_someone_named_comes_first_and_is_never_passed_over() {
        let listed = candidates(Some(Path::new("/x/lib.so")), Some(Path::new("/plugins")));
        assert_eq!(listed[0].path, Path::new("/x/lib.so"));
        assert!(listed[0].named);
        let beside = listed.iter().position(|c| c.path.starts_with("/plugins")).unwrap();
        assert!(listed[beside + 1..].iter().all(|candidate| candidate.by == "the system"));
        assert!(listed[beside..].iter().all(|candidate| !candidate.named));
        // What was fetched for a purpose comes before what serves without one.
        let of = |folder: &str| listed.iter().position(|c| c.path.ends_with(Path::new(folder).join(LIBRARY)));
        let cached = [FOR_CUDA, FOR_OPENVINO, "runtime"].map(|folder| of(folder).expect("it is looked for"));
        assert!(cached.is_sorted() && cached[2] < beside, "{cached:?}");
    }

    #[test]
    fn a_library_that_cannot_be_used_is_refused_with_its_reason() {
        let named = |path: &str| Candidate { path: path.into(), by: "a test".into(), named: true };
        for (path, expected) in [
            ("/no/such/libonnxruntime.so", "no such file"),
            ("Cargo.toml", "no such file"),
            ("./Cargo.toml", "no library that can be loaded"),
        ] {
            let error = find(&[named(path)]).unwrap_err().to_string();
            assert!(error.contains(expected) || path == "Cargo.toml", "{error}");
            assert!(error.contains("a test"), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
        let nowhere = Candidate { path: "/no/such/lib.so".into(), by: "a test".into(), named: false };
        let error = find(&[nowhere]).unwrap_err().to_string();
        assert!(error.contains("make runtime") && error.contains("/no/such/lib.so"), "{error}");
    }
}
