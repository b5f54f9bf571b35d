//! Splices sample conversion into a network's file, so that frames go in and come out as the
//! bytes they are, and what moves to a GPU is a quarter of floats. On the processor `planes` does the same
//! around networks of 32-bit floats.
//!
//! ```text
//! samples [1,H,W,C] -> Transpose, Cast -> Mul (Add) (Cast f16) -> the network as it is
//!   -> (Cast f32) -> Mul, Add -> Clip -> Cast -> Transpose -> samples [1,sH,sW,C]
//!                                  or -> Floor -> levels [1,C,sH,sW], the same numbers as floats
//!                 -> ReduceSum -> a number that is finite if and only if every value was
//! ```
//!
//! The file is taken apart only as far as needed (protocol buffers are tagged fields): every
//! field is copied as it is but the declarations of inputs and outputs, which the new nodes
//! replace. Constants may be many megabytes; they are neither parsed nor checked here.

use prost::Message;

use super::fields::{GRAPH_INPUT, GRAPH_OUTPUT, LENGTH_DELIMITED, MODEL_GRAPH, fields};
use super::nodes::{Nodes, any, float, integer, length, value};
use crate::model::contract::{InputSize, Upscaler};
use crate::model::manifest::Range;
use crate::model::onnx_file::Element;
use crate::model::proto;

/// Name of the spliced graph's input.
pub const INPUT: &str = "facesr/samples";
/// Name of the enlarged samples.
pub const OUTPUT: &str = "facesr/enlarged";
/// Name of the enlarged picture as floats in units of samples, whole numbers, `[1,C,sH,sW]`.
pub const LEVELS: &str = "facesr/levels";
/// Name of the number that is finite if and only if every value of the network was.
pub const FINITE: &str = "facesr/finite";

/// Fields of a graph that are replaced: its inputs and outputs.
const DECLARATIONS: [u64; 2] = [GRAPH_INPUT, GRAPH_OUTPUT];

/// First operator set in which the bounds of `Clip` are inputs instead of attributes.
const CLIP_BY_INPUTS: i64 = 11;

/// What the spliced model makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// [`OUTPUT`], for who reads the picture.
    Samples,
    /// [`LEVELS`], for another graph.
    Levels,
}

/// The model with conversions around it, as the bytes of an ONNX file. `bits` is the size of a
/// frame's samples, 8 or 16.
///
/// # Errors
/// A text when the file's fields do not follow each other as they should.
pub fn splice(model: &Upscaler, bits: u32, made: Made) -> Result<Vec<u8>, String> {
    let added = added_nodes(model, bits, made);
    let mut file = Vec::with_capacity(model.file.bytes.len() + added.encoded_len() + 64);
    let mut placed = false;
    for field in fields(&model.file.bytes) {
        let field = field?;
        match field.content {
            Some(graph) if field.number == MODEL_GRAPH && !placed => {
                placed = true;
                let mut spliced = added.encode_to_vec();
                for inner in fields(graph) {
                    let inner = inner?;
                    if !DECLARATIONS.contains(&inner.number) {
                        spliced.extend_from_slice(inner.whole);
                    }
                }
                prost::encoding::encode_varint(MODEL_GRAPH << 3 | LENGTH_DELIMITED, &mut file);
                prost::encoding::encode_varint(spliced.len() as u64, &mut file);
                file.extend_from_slice(&spliced);
            }
            _ => file.extend_from_slice(field.whole),
        }
    }
    Ok(file)
}

/// The element of samples of 8 or 16 bits, and the level of white.
pub(super) fn samples(bits: u32) -> (Element, f32) {
    (if bits == 8 { Element::U8 } else { Element::U16 }, ((1_u32 << bits) - 1) as f32)
}

/// The new nodes, constants, input and outputs. The parser of ONNX Runtime sorts nodes by what
/// they read, so where they stand in the file does not matter.
fn added_nodes(model: &Upscaler, bits: u32, made: Made) -> proto::Graph {
    let input = &model.file.inputs[0];
    let (samples, white) = samples(bits);
    let mut chain = Chain::default();

    let Range { black, white: top } = model.input_range;
    chain.start(INPUT);
    match made {
        // Of samples a quarter has to be moved about.
        Made::Samples => {
            chain.transpose(&[0, 3, 1, 2]);
            chain.cast(Element::F32);
        }
        // A GPU reads the host's memory itself, fast only from one end to the other.
        Made::Levels => {
            chain.cast(Element::F32);
            chain.transpose(&[0, 3, 1, 2]);
        }
    }
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
    // Casting, as rounding down, cuts the fraction off: half a step makes that rounding.
    chain.add(0.5 - black * gain);
    chain.clip(0.0, white, model.file.opset);
    // Lengths of the output are left to shape inference: the network decides.
    let output = match made {
        Made::Samples => {
            chain.cast(samples);
            chain.transpose(&[0, 2, 3, 1]);
            chain.end(OUTPUT);
            let dims = ["facesr/n", "facesr/rows", "facesr/columns", "facesr/channels"];
            value(OUTPUT, samples, Some(dims.map(any).to_vec()))
        }
        Made::Levels => {
            chain.node("Floor", &[], vec![]);
            chain.end(LEVELS);
            let dims = ["facesr/n", "facesr/channels", "facesr/rows", "facesr/columns"];
            value(LEVELS, Element::F32, Some(dims.map(any).to_vec()))
        }
    };

    // Infinities and NaN survive every sum; values large enough to overflow it are no picture.
    chain.start(&float);
    chain.sum();
    chain.end(FINITE);

    let [height, width] = match model.input_size {
        InputSize::Fixed(size) => [length(size.height), length(size.width)],
        InputSize::Multiple(_) => ["facesr/height", "facesr/width"].map(any),
    };
    let input_dims = vec![length(1), height, width, length(model.channels)];
    let inputs = vec![value(INPUT, samples, Some(input_dims))];
    chain.nodes.graph(inputs, vec![output, value(FINITE, Element::F32, None)])
}

/// Nodes in a row, each reading what the one before made.
#[derive(Default)]
struct Chain {
    nodes: Nodes,
    at: String,
}

impl Chain {
    fn start(&mut self, name: &str) {
        self.at = name.into();
    }

    /// Gives the last tensor made its final name.
    fn end(&mut self, name: &str) {
        self.nodes.name_last(name);
        self.at = name.into();
    }

    fn node(&mut self, op_type: &str, constants: &[f32], attribute: Vec<proto::Attribute>) {
        let constants: Vec<String> = constants.iter().map(|&value| self.nodes.float(value)).collect();
        let inputs: Vec<&str> = std::iter::once(&self.at).chain(&constants).map(String::as_str).collect();
        self.at = self.nodes.add(op_type, &inputs, attribute);
    }

    fn transpose(&mut self, order: &[i64]) {
        self.at = self.nodes.transpose(&self.at, order);
    }

    fn cast(&mut self, element: Element) {
        self.at = self.nodes.cast(&self.at, element);
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
        self.node("Clip", &[], vec![float("min", least), float("max", most)]);
    }

    fn sum(&mut self) {
        // With dimensions: a number without any OpenVINO leaves to the processor's kernels, to which the picture then goes, too.
        self.node("ReduceSum", &[], vec![integer("keepdims", 1)]);
    }
}
