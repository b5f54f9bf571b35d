//! Nodes and constants of a graph that this crate writes, as messages of the ONNX file format.

use prost::Message;

use super::fields::{GRAPH_INITIALIZER, GRAPH_NODE, MODEL_GRAPH, MODEL_OPSET_IMPORT, copy, put, rewrite};
use super::foreign::kernels::DOMAIN;
use crate::model::onnx_file::Element;
use crate::model::proto;

/// `AttributeProto.type` of a float, of an integer and of a list of integers.
const KIND_FLOAT: i32 = 1;
const KIND_INT: i32 = 2;
const KIND_INTS: i32 = 7;

/// `TensorProto.DataType` of whole numbers, which no picture has.
const INT32: i32 = 6;
const INT64: i32 = 7;

/// The version of our own operators.
const OURS: i64 = 1;

/// Operators of graphs that are ours alone: old enough for every runtime that is accepted.
pub(super) const OPSET: i64 = 17;
/// The version of the file format that goes with it.
const IR_VERSION: i64 = 8;

/// Nodes in order of execution, and the constants that they read.
pub(super) struct Nodes {
    /// How every name begins.
    prefix: &'static str,
    nodes: Vec<proto::Node>,
    constants: Vec<proto::Tensor>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self::named("facesr")
    }
}

impl Nodes {
    /// None yet; names will begin so.
    pub(super) fn named(prefix: &'static str) -> Self {
        Self { prefix, nodes: Vec::new(), constants: Vec::new() }
    }

    /// Whether there is none yet.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a node and gives the name of what it makes.
    pub(super) fn add(&mut self, op_type: &str, input: &[&str], attribute: Vec<proto::Attribute>) -> String {
        let name = format!("{}/{}", self.prefix, self.nodes.len());
        let input = input.iter().map(|name| name.to_string()).collect();
        let (op_type, output) = (op_type.to_string(), vec![name.clone()]);
        let node = proto::Node { input, output, op_type, attribute, ..Default::default() };
        self.nodes.push(proto::Node { name: name.clone(), ..node });
        name
    }

    /// Adds a node of an operator of ours, which makes several.
    pub(super) fn add_ours(
        &mut self,
        op_type: &str,
        input: &[&str],
        output: &[&str],
        attribute: Vec<proto::Attribute>,
    ) {
        let name = format!("{}/{}", self.prefix, self.nodes.len());
        let [input, output] =
            [input, output].map(|names| names.iter().map(|name| name.to_string()).collect());
        let (op_type, domain) = (op_type.to_string(), DOMAIN.to_string());
        self.nodes.push(proto::Node { input, output, name, op_type, attribute, domain });
    }

    /// As [`Self::add`], for an operator without attributes.
    pub(super) fn op(&mut self, op_type: &str, input: &[&str]) -> String {
        self.add(op_type, input, vec![])
    }

    /// Gives what the last node makes another name.
    ///
    /// # Panics
    /// If there is no node.
    pub(super) fn name_last(&mut self, name: &str) {
        self.nodes.last_mut().expect("a node was added").output = vec![name.into()];
    }

    /// A constant number.
    pub(super) fn float(&mut self, value: f32) -> String {
        self.floats(&[], vec![value])
    }

    /// A constant of a shape.
    pub(super) fn floats(&mut self, dims: &[usize], float_data: Vec<f32>) -> String {
        self.constant(
            dims,
            proto::Tensor { data_type: Element::F32 as i32, float_data, ..Default::default() },
        )
    }

    /// A constant whole number of 32 bits.
    pub(super) fn int32(&mut self, value: usize) -> String {
        self.int32s(&[], std::iter::once(value))
    }

    /// As [`Self::floats`], of whole numbers of 32 bits.
    pub(super) fn int32s(&mut self, dims: &[usize], values: impl Iterator<Item = usize>) -> String {
        let int32_data = values.map(|value| value as i32).collect();
        self.constant(dims, proto::Tensor { data_type: INT32, int32_data, ..Default::default() })
    }

    /// As [`Self::floats`], of whole numbers of 64 bits.
    pub(super) fn int64s(&mut self, dims: &[usize], values: impl Iterator<Item = usize>) -> String {
        let int64_data = values.map(|value| value as i64).collect();
        self.constant(dims, proto::Tensor { data_type: INT64, int64_data, ..Default::default() })
    }

    fn constant(&mut self, dims: &[usize], tensor: proto::Tensor) -> String {
        let name = format!("{}/constant{}", self.prefix, self.constants.len());
        let dims = dims.iter().map(|&length| length as i64).collect();
        self.constants.push(proto::Tensor { dims, name: name.clone(), ..tensor });
        name
    }

    /// Converts to whole numbers of 32 bits.
    pub(super) fn cast_to_int32(&mut self, from: &str) -> String {
        self.add("Cast", &[from], vec![integer("to", i64::from(INT32))])
    }

    /// Converts to samples or numbers of a network.
    pub(super) fn cast(&mut self, from: &str, element: Element) -> String {
        self.add("Cast", &[from], vec![integer("to", element as i64)])
    }

    /// Puts dimensions into another order.
    pub(super) fn transpose(&mut self, from: &str, order: &[i64]) -> String {
        self.add("Transpose", &[from], vec![integers("perm", order)])
    }

    /// Limits numbers.
    pub(super) fn clip(&mut self, from: &str, least: f32, most: f32) -> String {
        let (least, most) = (self.float(least), self.float(most));
        self.add("Clip", &[from, &least, &most], vec![])
    }

    /// The parts of a graph that were added; its inputs and outputs are the caller's.
    pub(super) fn graph(self, input: Vec<proto::ValueInfo>, output: Vec<proto::ValueInfo>) -> proto::Graph {
        proto::Graph { node: self.nodes, initializer: self.constants, input, output }
    }

    /// A model in which these stand in the place of the nodes that `replaces` names.
    ///
    /// # Errors
    /// A text when the file's fields do not follow each other as they should.
    pub(super) fn put_into(
        self,
        model: &[u8],
        replaces: impl Fn(&proto::Node) -> bool,
    ) -> Result<Vec<u8>, String> {
        let has_ours = self.has_ours();
        let added = self.graph(vec![], vec![]);
        rewrite(model, &mut |field, out| match field.content {
            Some(content) if field.number == MODEL_GRAPH => {
                let mut graph = rewrite(content, &mut |field, out| {
                    let node = (field.number == GRAPH_NODE).then_some(field.content).flatten();
                    let node = node.map(proto::Node::decode).transpose().map_err(|err| err.to_string())?;
                    match node.is_some_and(|node| replaces(&node)) {
                        true => Ok(()),
                        false => copy(field, out),
                    }
                })?;
                for node in &added.node {
                    put(&mut graph, GRAPH_NODE, &node.encode_to_vec());
                }
                for constant in &added.initializer {
                    put(&mut graph, GRAPH_INITIALIZER, &constant.encode_to_vec());
                }
                put(out, MODEL_GRAPH, &graph);
                if has_ours {
                    put(out, MODEL_OPSET_IMPORT, &our_operators().encode_to_vec());
                }
                Ok(())
            }
            _ => copy(field, out),
        })
    }

    fn has_ours(&self) -> bool {
        self.nodes.iter().any(|node| node.domain == DOMAIN)
    }

    /// The bytes of a file that holds nothing else.
    pub(super) fn file(self, input: Vec<proto::ValueInfo>, output: Vec<proto::ValueInfo>) -> Vec<u8> {
        let has_ours = self.has_ours();
        let mut opset_import = vec![proto::OperatorSet { domain: String::new(), version: OPSET }];
        opset_import.extend(has_ours.then(our_operators));
        let graph = Some(self.graph(input, output));
        proto::Model { ir_version: IR_VERSION, graph, opset_import }.encode_to_vec()
    }
}

/// What a file says that has operators of ours.
fn our_operators() -> proto::OperatorSet {
    proto::OperatorSet { domain: DOMAIN.into(), version: OURS }
}

/// An attribute that is a number.
pub(super) fn float(name: &str, value: f32) -> proto::Attribute {
    proto::Attribute { name: name.into(), f: Some(value), kind: KIND_FLOAT, ..Default::default() }
}

/// An attribute that is a whole number.
pub(super) fn integer(name: &str, value: i64) -> proto::Attribute {
    proto::Attribute { name: name.into(), i: Some(value), kind: KIND_INT, ..Default::default() }
}

/// An attribute that is a list of whole numbers.
pub(super) fn integers(name: &str, values: &[i64]) -> proto::Attribute {
    proto::Attribute { name: name.into(), ints: values.to_vec(), kind: KIND_INTS, ..Default::default() }
}

/// What a graph takes or gives; lengths that are no number are known when running.
pub(super) fn value(name: &str, element: Element, dims: Option<Vec<proto::Dimension>>) -> proto::ValueInfo {
    let shape = dims.map(|dim| proto::Shape { dim });
    let tensor = proto::TensorType { elem_type: element as i32, shape };
    proto::ValueInfo { name: name.into(), r#type: Some(proto::Type { tensor_type: Some(tensor) }) }
}

/// A length that is known.
pub(super) fn length(length: usize) -> proto::Dimension {
    proto::Dimension { dim_value: Some(length as i64), dim_param: None }
}

/// A length that is known when running.
pub(super) fn any(name: &str) -> proto::Dimension {
    proto::Dimension { dim_value: None, dim_param: Some(name.into()) }
}
