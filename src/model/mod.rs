//! What a network file says about itself: its inputs and outputs, its sidecar, and where the
//! networks that have a name are found. Nothing here runs a network.

pub mod contract;
pub mod manifest;
pub mod onnx_file;
pub mod proto;
pub mod registry;

use std::path::PathBuf;

/// Why a model cannot be used. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Neither a registry name nor a file.
    #[error("no model is called `{0}`: use a path of an ONNX file or one of {names}", names = registry::names().join(", "))]
    Unknown(String),
    /// Neither the name of a face detector nor a file.
    #[error("no face detector is called `{0}`: use a path of an ONNX file or one of {names}", names = registry::DETECTORS.join(", "))]
    UnknownDetector(String),
    /// Neither the name of a restorer of faces nor a file.
    #[error("no face restorer is called `{0}`: use a path of an ONNX file or one of {names}", names = registry::restorer_names().join(", "))]
    UnknownRestorer(String),
    /// A registry name without its file.
    #[error(
        "model `{name}` is not on this machine: run `make models` in the source tree, or put {name}.onnx into one of: {}",
        searched.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotInstalled {
        /// The name.
        name: String,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// No such file.
    #[error("model file {} does not exist", .0.display())]
    Missing(PathBuf),
    /// A directory in place of a file.
    #[error("model file {} is a directory: name the .onnx file in it", .0.display())]
    Directory(PathBuf),
    /// A pipe or a device in place of a file, which may have no end.
    #[error("model file {} is not a regular file: name the .onnx file itself", .0.display())]
    NotRegular(PathBuf),
    /// The file cannot be read.
    #[error("cannot read model file {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, std::io::Error),
    /// The file is something else.
    #[error("{} is not an ONNX model: {}", .0.display(), .1)]
    NotOnnx(PathBuf, String),
    /// The sidecar cannot be read or contradicts the model.
    #[error("sidecar {}: {}", .0.display(), .1)]
    Sidecar(PathBuf, String),
    /// A model of another kind.
    #[error("{} is no upscaler: {}", .0.display(), .1)]
    NotAnUpscaler(PathBuf, String),
}
