//! Splices sample conversion into a network's file, so that frames go in and come out as the
//! bytes they are, on every execution provider, and what moves to a GPU is a quarter of floats.
//!
//! ```text
//! samples [1,H,W,C] -> Transpose -> Cast -> Mul (Add) (Cast f16) -> the network as it is
//!   -> (Cast f32) -> Mul, Add -> Clip -> Cast -> Transpose -> samples [1,sH,sW,C]
//!                 -> ReduceSum -> a number that is finite if and only if every value was
//! ```
//!
//! The file is taken apart only as far as needed (protocol buffers are tagged fields): every
//! field is copied as it is but the declarations of inputs and outputs, which the new nodes
//! replace. Constants may be many megabytes; they are neither parsed nor checked here.

use prost::Message;

use crate::model::contract::{InputSize, Upscaler};
use crate::model::manifest::Range;
use crate::model::onnx_file::Element;
use crate::model::proto;

/// Name of the spliced graph's input.
pub const INPUT: &str = "facesr/samples";
/// Name of the enlarged samples.
pub const OUTPUT: &str = "facesr/enlarged";
/// Name of the number that is finite if and only if every value of the network was.
pub const FINITE: &str = "facesr/finite";

/// Field of `ModelProto` that holds the graph.
const GRAPH: u64 = 7;
/// Fields of `GraphProto` that are replaced: its inputs and outputs.
const DECLARATIONS: [u64; 2] = [11, 12];

/// `AttributeProto.type` of an integer, of a list of integers and of a float.
const KIND_FLOAT: i32 = 1;
const KIND_INT: i32 = 2;
const KIND_INTS: i32 = 7;

/// First operator set in which the bounds of `Clip` are inputs instead of attributes.
const CLIP_BY_INPUTS: i64 = 11;

/// The model with conversions around it, as the bytes of an ONNX file. `bits` is the size of a
/// frame's samples, 8 or 16.
///
/// # Errors
/// A text when the file's fields do not follow each other as they should.
pub fn splice(model: &Upscaler, bits: u32) -> Result<Vec<u8>, String> {
    let added = added_nodes(model, bits);
    let mut file = Vec::with_capacity(model.file.bytes.len() + added.encoded_len() + 64);
    let mut placed = false;
    for field in fields(&model.file.bytes) {
        let field = field?;
        match field.content {
            Some(graph) if field.number == GRAPH && !placed => {
                placed = true;
                let mut spliced = added.encode_to_vec();
                for inner in fields(graph) {
                    let inner = inner?;
                    if !DECLARATIONS.contains(&inner.number) {
                        spliced.extend_from_slice(inner.whole);
                    }
                }
                prost::encoding::encode_varint(GRAPH << 3 | LENGTH_DELIMITED, &mut file);
                prost::encoding::encode_varint(spliced.len() as u64, &mut file);
                file.extend_from_slice(&spliced);
            }
            _ => file.extend_from_slice(field.whole),
        }
    }
    Ok(file)
}

/// Wire type of a field that says its length.
pub(super) const LENGTH_DELIMITED: u64 = 2;

/// One tagged field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
    /// The content of a field that says its length.
    pub(super) content: Option<&'a [u8]>,
}

/// The fields of a message, in order.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<Field<'_>, String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next_field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or_else(|| "the file's fields are damaged".to_string()))
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *rest;
    let tag = prost::encoding::decode_varint(rest).ok()?;
    let length = match tag & 7 {
        0 => {
            prost::encoding::decode_varint(rest).ok()?;
            0
        }
        1 => 8,
        LENGTH_DELIMITED => usize::try_from(prost::encoding::decode_varint(rest).ok()?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    let content = (tag & 7 == LENGTH_DELIMITED).then_some(content);
    Some(Field { number: tag >> 3, whole: &start[..start.len() - after.len()], content })
}

/// The new nodes, constants, input and outputs. The parser of ONNX Runtime sorts nodes by what
/// they read, so where they stand in the file does not matter.
fn added_nodes(model: &Upscaler, bits: u32) -> proto::Graph {
    let input = &model.file.inputs[0];
    let samples = if bits == 8 { Element::U8 } else { Element::U16 };
    let white = ((1_u32 << bits) - 1) as f32;
    let mut chain = Chain::default();

    let Range { black, white: top } = model.input_range;
    chain.start(INPUT);
    chain.transpose(&[0, 3, 1, 2]);
    chain.cast(Element::F32);
    chain.multiply((top - black) / white);
    chain.add(black);
    chain.cast_if(model.element == Element::F16, Element::F16);
    chain.end(&input.name);

    // A last clip of the network is passed by: it could hide a NaN, and ours follows anyway.
    chain.start(&model.file.unclipped);
    chain.cast_if(model.element == Element::F16, Element::F32);
    let float = chain.at.clone();
    let Range { black, white: top } = model.output_range;
    let gain = white / (top - black);
    chain.multiply(gain);
    // Casting cuts the fraction off: half a step makes that rounding.
    chain.add(0.5 - black * gain);
    chain.clip(0.0, white, model.file.opset);
    chain.cast(samples);
    chain.transpose(&[0, 2, 3, 1]);
    chain.end(OUTPUT);

    // Infinities and NaN survive every sum; values large enough to overflow it are no picture.
    chain.start(&float);
    chain.sum();
    chain.end(FINITE);

    let fixed = match model.input_size {
        InputSize::Fixed(size) => Some((size.width, size.height)),
        InputSize::Multiple(_) => None,
    };
    let side = |length: Option<usize>, name: &str| match length {
        Some(length) => dimension(length),
        None => proto::Dimension { dim_value: None, dim_param: Some(name.into()) },
    };
    let input_dims = vec![
        dimension(1),
        side(fixed.map(|(_, height)| height), "facesr/height"),
        side(fixed.map(|(width, _)| width), "facesr/width"),
        dimension(model.channels),
    ];
    // Lengths of the output are left to shape inference: the network decides.
    let output_dims = ["facesr/n", "facesr/rows", "facesr/columns", "facesr/channels"];
    let output_dims = output_dims.map(|name| side(None, name)).to_vec();
    proto::Graph {
        node: chain.nodes,
        initializer: chain.constants,
        input: vec![value(INPUT, samples, Some(input_dims))],
        output: vec![value(OUTPUT, samples, Some(output_dims)), value(FINITE, Element::F32, None)],
    }
}

fn dimension(length: usize) -> proto::Dimension {
    proto::Dimension { dim_value: Some(length as i64), dim_param: None }
}

fn value(name: &str, element: Element, dims: Option<Vec<proto::Dimension>>) -> proto::ValueInfo {
    let shape = dims.map(|dim| proto::Shape { dim });
    let tensor = proto::TensorType { elem_type: element as i32, shape };
    proto::ValueInfo { name: name.into(), r#type: Some(proto::Type { tensor_type: Some(tensor) }) }
}

/// Nodes in a row, each reading what the one before made.
#[derive(Default)]
struct Chain {
    nodes: Vec<proto::Node>,
    constants: Vec<proto::Tensor>,
    at: String,
}

impl Chain {
    fn start(&mut self, name: &str) {
        self.at = name.into();
    }

    /// Gives the last tensor made its final name.
    fn end(&mut self, name: &str) {
        let last = self.nodes.last_mut().expect("a chain has nodes");
        last.output = vec![name.into()];
        self.at = name.into();
    }

    fn node(&mut self, op_type: &str, constants: &[f32], attribute: Vec<proto::Attribute>) {
        let name = format!("facesr/{}", self.nodes.len());
        let mut input = vec![self.at.clone()];
        for &value in constants {
            let constant = format!("facesr/constant{}", self.constants.len());
            self.constants.push(proto::Tensor {
                dims: vec![],
                data_type: Element::F32 as i32,
                float_data: vec![value],
                name: constant.clone(),
            });
            input.push(constant);
        }
        let (op_type, output) = (op_type.to_string(), vec![name.clone()]);
        self.nodes.push(proto::Node { input, output, name: name.clone(), op_type, attribute });
        self.at = name;
    }

    fn transpose(&mut self, order: &[i64]) {
        let order = proto::Attribute {
            name: "perm".into(),
            ints: order.to_vec(),
            kind: KIND_INTS,
            ..Default::default()
        };
        self.node("Transpose", &[], vec![order]);
    }

    fn cast(&mut self, element: Element) {
        self.node("Cast", &[], vec![integer("to", element as i64)]);
    }

    fn cast_if(&mut self, wanted: bool, element: Element) {
        if wanted {
            self.cast(element);
        }
    }

    fn multiply(&mut self, factor: f32) {
        self.node("Mul", &[factor], vec![]);
    }

    fn add(&mut self, offset: f32) {
        if offset != 0.0 {
            self.node("Add", &[offset], vec![]);
        }
    }

    fn clip(&mut self, least: f32, most: f32, opset: i64) {
        if opset >= CLIP_BY_INPUTS {
            return self.node("Clip", &[least, most], vec![]);
        }
        let bound = |name: &str, f| proto::Attribute {
            name: name.into(),
            f: Some(f),
            kind: KIND_FLOAT,
            ..Default::default()
        };
        self.node("Clip", &[], vec![bound("min", least), bound("max", most)]);
    }

    fn sum(&mut self) {
        self.node("ReduceSum", &[], vec![integer("keepdims", 0)]);
    }
}

fn integer(name: &str, value: i64) -> proto::Attribute {
    proto::Attribute { name: name.into(), i: Some(value), kind: KIND_INT, ..Default::default() }
}
