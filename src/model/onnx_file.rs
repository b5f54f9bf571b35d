//! What an ONNX file says of its inputs and outputs, read without running anything.

use std::collections::HashSet;
use std::path::Path;

use prost::Message;

use super::{ModelError, proto};

/// Element type of a tensor, with its number in the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Element {
    /// 32-bit float.
    F32 = 1,
    /// Unsigned byte.
    U8 = 2,
    /// Unsigned 16 bits.
    U16 = 4,
    /// 16-bit float.
    F16 = 10,
    /// 64-bit float.
    F64 = 11,
}

impl Element {
    const ALL: [Self; 5] = [Self::F32, Self::U8, Self::U16, Self::F16, Self::F64];

    fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|&element| element as i32 == number)
    }

    /// The name that sidecars use.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::F16 => "float16",
            Self::F64 => "float64",
        }
    }
}

/// A tensor that goes in or comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the graph.
    pub name: String,
    /// `None` for a type that no picture has.
    pub element: Option<Element>,
    /// Lengths; `None` where any length goes.
    pub dims: Vec<Option<usize>>,
}

impl std::fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dims: Vec<String> =
            self.dims.iter().map(|dim| dim.map_or("?".into(), |length| length.to_string())).collect();
        let element = self.element.map_or("another type", Element::name);
        // Names come from the file: nothing in them may break the line.
        write!(f, "`{}` [{}] of {element}", self.name.escape_debug(), dims.join(","))
    }
}

/// The outside of an ONNX file.
#[derive(Clone, Debug)]
pub struct OnnxFile {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Inputs without the constants.
    pub inputs: Vec<TensorInfo>,
    /// Outputs.
    pub outputs: Vec<TensorInfo>,
    /// Version of the standard operator set.
    pub opset: i64,
    /// The most channels that any convolution makes, 0 without convolutions.
    pub widest: usize,
    /// The name that the first output had before a last clip, with no clip its own name.
    pub unclipped: String,
}

/// How a file begins that Git LFS left in place of a large one.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// The oldest standard operator set whose `Mul` broadcasts as the spliced nodes need it.
const OLDEST_OPSET: i64 = 7;

impl OnnxFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ModelError`] when it is missing, unreadable or no ONNX model.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let unreadable = |err: std::io::Error| match err.kind() {
            std::io::ErrorKind::NotFound => ModelError::Missing(path.into()),
            _ => ModelError::Unreadable(path.into(), err),
        };
        match std::fs::metadata(path).map_err(unreadable)? {
            about if about.is_dir() => return Err(ModelError::Directory(path.into())),
            about if !about.is_file() => return Err(ModelError::NotRegular(path.into())),
            _ => {}
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        Self::parse(bytes).map_err(|reason| ModelError::NotOnnx(path.into(), reason))
    }

    /// Reads the bytes of a file; the error says in words what is wrong with them.
    ///
    /// # Errors
    /// A text to be read after "not an ONNX model:".
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty".into());
        }
        if bytes.starts_with(LFS_POINTER) {
            return Err("it is a Git LFS pointer, fetch the file itself with `git lfs pull`".into());
        }
        let model = proto::Model::decode(bytes.as_slice()).map_err(|_| {
            if bytes.iter().take(512).all(|byte| byte.is_ascii()) {
                "it is a text file".to_string()
            } else {
                "it is damaged, cut short or of another format".to_string()
            }
        })?;
        let opset = model
            .opset_import
            .iter()
            .find(|set| set.domain.is_empty() || set.domain == "ai.onnx")
            .map_or(0, |set| set.version);
        let graph = model.graph.filter(|graph| !graph.node.is_empty());
        let graph = graph.ok_or("it holds no network")?;
        if opset < OLDEST_OPSET {
            return Err(format!("it is for operator set {opset}, export it for 17 or so"));
        }

        let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let inputs = graph.input.iter().filter(|info| !constants.contains(info.name.as_str()));
        let outputs: Vec<TensorInfo> = graph.output.iter().map(tensor_info).collect();
        let output = outputs.first().ok_or("it has no output")?.name.clone();
        Ok(Self {
            inputs: inputs.map(tensor_info).collect(),
            unclipped: unclipped(&graph, output),
            outputs,
            opset,
            widest: widest(&graph),
            bytes,
        })
    }
}

fn tensor_info(info: &proto::ValueInfo) -> TensorInfo {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dims = shape.map_or(&[][..], |shape| &shape.dim);
    TensorInfo {
        name: info.name.clone(),
        element: tensor.and_then(|tensor| Element::from_number(tensor.elem_type)),
        dims: dims
            .iter()
            .map(|dim| dim.dim_value.and_then(|length| usize::try_from(length).ok()))
            .map(|dim| dim.filter(|&length| length > 0))
            .collect(),
    }
}

/// A last `Clip` may turn a NaN into a number; the tensor before it still shows it.
fn unclipped(graph: &proto::Graph, output: String) -> String {
    let last = graph.node.iter().find(|node| node.output.contains(&output));
    match last {
        Some(node) if node.op_type == "Clip" => node.input.first().cloned().unwrap_or(output),
        _ => output,
    }
}

fn widest(graph: &proto::Graph) -> usize {
    let weights: HashSet<&str> = graph
        .node
        .iter()
        .filter(|node| node.op_type == "Conv")
        .filter_map(|node| node.input.get(1).map(String::as_str))
        .collect();
    let made = graph.initializer.iter().filter(|tensor| weights.contains(tensor.name.as_str()));
    made.filter_map(|tensor| usize::try_from(*tensor.dims.first()?).ok()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_is_told_apart() {
        for (bytes, expected) in [
            (&b""[..], "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
            (b"<!doctype html><html>not found</html>", "text"),
            (&[0xff; 40], "damaged"),
            (&[0x08, 0x08], "no network"),
        ] {
            let reason = OnnxFile::parse(bytes.to_vec()).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn every_prefix_of_a_model_is_refused_or_read_but_never_a_panic() {
        let model = std::fs::read("models/tiny/half-x2.onnx").unwrap();
        for length in 0..model.len() {
            let _ = OnnxFile::parse(model[..length].to_vec());
        }
    }
}
