//! A network in 16-bit floats, made of one in 32-bit floats when it is loaded: constants are rounded, and what says
//! "float" in the file says "float16". Samples are converted in 32 bits around it, as around every network.
//!
//! As in [`super::graph`], the file is walked field by field, and what is no float is copied as it is.

use std::collections::HashSet;

use half::f16;
use prost::Message;
use prost::encoding::encode_varint;

use super::fields::{
    Field, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH, copy, fields, put, rewrite,
};
use crate::model::contract::Upscaler;
use crate::model::onnx_file::{Element, OnnxFile};
use crate::model::proto;

/// Inputs that stay 32-bit floats by the operator's definition, by place: they say sizes.
const STAYING: &[(&str, &[usize])] = &[("Resize", &[1, 2]), ("Upsample", &[1])];

/// Operators of networks that cannot be rounded, and what such a network is.
const REFUSED: &[(&str, &str)] = &[
    ("QuantizeLinear", "is in whole numbers"),
    ("DequantizeLinear", "is in whole numbers"),
    ("DynamicQuantizeLinear", "is in whole numbers"),
    ("QLinearConv", "is in whole numbers"),
    ("ConvInteger", "is in whole numbers"),
    ("If", "has branches"),
    ("Loop", "has branches"),
    ("Scan", "has branches"),
];

// Fields of the messages of `onnx.proto` that are changed.
const GRAPH_VALUE_INFO: u64 = 13;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_TENSOR: u64 = 5;
const TENSOR_TYPE: u64 = 2;
const TENSOR_FLOATS: u64 = 4;
const TENSOR_RAW: u64 = 9;
const TENSOR_LOCATION: u64 = 14;

/// Operators that NVIDIA's libraries multiply large matrices for.
const MULTIPLYING: &[&str] = &["Conv", "ConvTranspose", "Gemm", "MatMul"];

/// Whether a file multiplies, and all that it multiplies by are weights of 16 bits.
pub(super) fn multiplies_halves(file: &[u8]) -> bool {
    let graph = proto::Model::decode(file).ok().and_then(|model| model.graph).unwrap_or_default();
    let multiplies = |node: &&proto::Node| MULTIPLYING.contains(&node.op_type.as_str());
    let mut multiplying = graph.node.iter().filter(multiplies).peekable();
    let is_half = |weights: &String| element_of(&graph, weights) == Some(Element::F16 as i64);
    multiplying.peek().is_some() && multiplying.all(|node| node.input.get(1).is_some_and(is_half))
}

/// The type of a constant, which may be kept in fewer bits than it is used in.
fn element_of(graph: &proto::Graph, name: &str) -> Option<i64> {
    if let Some(constant) = graph.initializer.iter().find(|tensor| tensor.name == name) {
        return Some(constant.data_type.into());
    }
    let node = graph.node.iter().find(|node| node.output.iter().any(|made| made == name))?;
    let attribute = |name| node.attribute.iter().find(|attribute| attribute.name == name);
    match node.op_type.as_str() {
        "Cast" => attribute("to")?.i,
        "Constant" => Some(attribute("value")?.t.as_ref()?.data_type.into()),
        _ => None,
    }
}

/// The same network in 16-bit floats; one that is in them already is given back as it is.
///
/// # Errors
/// A text, for a network that cannot be rounded.
pub fn halve(model: &Upscaler) -> Result<Upscaler, String> {
    if model.element == Element::F16 {
        return Ok(model.clone());
    }
    let read = proto::Model::decode(model.file.bytes.as_slice()).map_err(|err| err.to_string())?;
    let graph = read.graph.unwrap_or_default();
    for node in &graph.node {
        if let Some((_, what)) = REFUSED.iter().find(|(name, _)| *name == node.op_type) {
            return Err(format!("it {what}, which precision=fp16 is not for: set precision=fp32"));
        }
    }
    let staying: HashSet<&str> = graph.node.iter().flat_map(staying_inputs).collect();
    let bytes = rewrite(&model.file.bytes, &mut |field, out| match field.content {
        Some(content) if field.number == MODEL_GRAPH => {
            put(out, MODEL_GRAPH, &rewrite(content, &mut |field, out| in_graph(field, &staying, out))?);
            Ok(())
        }
        _ => copy(field, out),
    })?;
    let file = OnnxFile::parse(bytes)?;
    Ok(Upscaler { element: Element::F16, file, ..model.clone() })
}

/// Names of what a node reads in 32 bits in any case.
fn staying_inputs(node: &proto::Node) -> impl Iterator<Item = &str> {
    let places =
        STAYING.iter().find(|(name, _)| *name == node.op_type).map_or(&[][..], |(_, places)| *places);
    places.iter().filter_map(|&place| node.input.get(place)).map(String::as_str)
}

fn in_graph(field: &Field<'_>, staying: &HashSet<&str>, out: &mut Vec<u8>) -> Result<(), String> {
    let Some(content) = field.content else { return copy(field, out) };
    let damaged = |err: prost::DecodeError| err.to_string();
    match field.number {
        GRAPH_INITIALIZER => {
            let tensor = proto::Tensor::decode(content).map_err(damaged)?;
            if staying.contains(tensor.name.as_str()) {
                return copy(field, out);
            }
            put(out, field.number, &round(content)?);
        }
        GRAPH_NODE => {
            let node = proto::Node::decode(content).map_err(damaged)?;
            if node.output.iter().any(|name| staying.contains(name.as_str())) {
                return copy(field, out);
            }
            put(out, field.number, &rewrite(content, &mut |field, out| in_node(field, &node, out))?);
        }
        number @ (GRAPH_INPUT | GRAPH_OUTPUT) => {
            let mut info = proto::ValueInfo::decode(content).map_err(damaged)?;
            let tensor = info.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
            if let Some(tensor) = tensor.filter(|tensor| tensor.elem_type == Element::F32 as i32) {
                tensor.elem_type = Element::F16 as i32;
            }
            put(out, number, &info.encode_to_vec());
        }
        // What the exporter noted of the tensors in between no longer holds, and nobody needs it.
        GRAPH_VALUE_INFO => {}
        _ => return copy(field, out),
    }
    Ok(())
}

fn in_node(field: &Field<'_>, node: &proto::Node, out: &mut Vec<u8>) -> Result<(), String> {
    let (Some(content), NODE_ATTRIBUTE) = (field.content, field.number) else { return copy(field, out) };
    let mut attribute = proto::Attribute::decode(content).map_err(|err| err.to_string())?;
    match (node.op_type.as_str(), attribute.name.as_str()) {
        ("Cast", "to") if attribute.i == Some(Element::F32 as i64) => {
            attribute.i = Some(Element::F16 as i64);
            put(out, NODE_ATTRIBUTE, &attribute.encode_to_vec());
        }
        ("Constant", "value_float" | "value_floats") => {
            return Err(
                "it holds numbers in a form that precision=fp16 does not know: set precision=fp32".into()
            );
        }
        ("Constant" | "ConstantOfShape", "value") => {
            let rounded = rewrite(content, &mut |field, out| match field.content {
                Some(tensor) if field.number == ATTRIBUTE_TENSOR => {
                    put(out, ATTRIBUTE_TENSOR, &round(tensor)?);
                    Ok(())
                }
                _ => copy(field, out),
            })?;
            put(out, NODE_ATTRIBUTE, &rounded);
        }
        _ => return copy(field, out),
    }
    Ok(())
}

/// A tensor of 32-bit floats in 16 bits; others as they are.
fn round(tensor: &[u8]) -> Result<Vec<u8>, String> {
    let head = proto::Tensor::decode(tensor).map_err(|err| err.to_string())?;
    if head.data_type != Element::F32 as i32 {
        return Ok(tensor.to_vec());
    }
    let (mut rounded, mut values) = (Vec::with_capacity(tensor.len() / 2), Vec::new());
    for field in fields(tensor) {
        let field = field?;
        match (field.number, field.content) {
            (TENSOR_TYPE, _) => {}
            (TENSOR_FLOATS | TENSOR_RAW, Some(bytes)) => values.extend(floats(bytes)),
            // A list that was not packed has a tag before each number.
            (TENSOR_FLOATS, None) => values.extend(floats(&field.whole[field.whole.len() - 4..])),
            (TENSOR_LOCATION, _) => {
                return Err(
                    "its weights are in a file of their own, which precision=fp16 does not read".into()
                );
            }
            _ => rounded.extend_from_slice(field.whole),
        }
    }
    let mut raw = Vec::with_capacity(values.len() * 2);
    for value in values {
        let half = f16::from_f32(value);
        if value.is_finite() && !half.is_finite() {
            return Err(format!("it holds {value}, which is beyond fp16: set precision=fp32"));
        }
        raw.extend(half.to_le_bytes());
    }
    encode_varint(TENSOR_TYPE << 3, &mut rounded);
    encode_varint(Element::F16 as u64, &mut rounded);
    put(&mut rounded, TENSOR_RAW, &raw);
    Ok(rounded)
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(path: &str) -> Upscaler {
        Upscaler::read(Path::new(path)).unwrap()
    }

    #[test]
    fn every_constant_is_rounded_and_every_other_byte_of_the_weights_gone() {
        for name in
            ["tiny/bilinear-x2", "tiny/nearest-x2", "tiny/luma-x2", "tiny/fixed-x2", "trained/facesr-live-x2"]
        {
            let whole = read(&format!("models/{name}.onnx"));
            let halved = halve(&whole).unwrap_or_else(|err| panic!("{name}: {err}"));
            assert_eq!(halved.element, Element::F16);
            let inputs = (&halved.file.inputs[0], &whole.file.inputs[0]);
            assert_eq!(inputs.0.element, Some(Element::F16), "{name}");
            assert_eq!((&inputs.0.name, &inputs.0.dims), (&inputs.1.name, &inputs.1.dims), "{name}");
            let graph = |file: &Upscaler| proto::Model::decode(&*file.file.bytes).unwrap().graph.unwrap();
            let (before, after) = (graph(&whole), graph(&halved));
            assert_eq!(before.node.len(), after.node.len());
            let staying: HashSet<&str> = before.node.iter().flat_map(staying_inputs).collect();
            for tensor in after.initializer {
                let stays = staying.contains(tensor.name.as_str());
                assert_eq!(tensor.data_type == Element::F32 as i32, stays, "{name}: {}", tensor.name);
            }
            assert_eq!(
                halve(&halved).unwrap().file.bytes,
                halved.file.bytes,
                "{name}: it is in them already"
            );
        }
    }

    #[test]
    fn only_what_multiplies_by_halves_and_nothing_else_is_said_to() {
        for name in ["tiny/compact-x2", "tiny/bilinear-x2", "trained/facesr-live-x2"] {
            let whole = read(&format!("models/{name}.onnx"));
            assert!(!multiplies_halves(&whole.file.bytes), "{name}");
            let halved = halve(&whole).unwrap().file.bytes;
            assert!(multiplies_halves(&halved), "{name}");
            // One weight that is not.
            let mut graph = proto::Model::decode(&*halved).unwrap().graph.unwrap();
            let convolution = graph.node.iter().find(|node| node.op_type.starts_with("Conv")).unwrap();
            let weights = convolution.input[1].clone();
            match graph.initializer.iter_mut().find(|tensor| tensor.name == weights) {
                Some(constant) => constant.data_type = Element::F32 as i32,
                None => {
                    let cast = graph.node.iter_mut().find(|node| node.output[0] == weights).unwrap();
                    cast.attribute[0].i = Some(Element::F32 as i64);
                }
            }
            let mixed = proto::Model { graph: Some(graph), ..Default::default() };
            assert!(!multiplies_halves(&mixed.encode_to_vec()), "{name}");
        }
        for nothing in ["tiny/nearest-x2", "trained/facesr-live-x2-int8"] {
            assert!(!multiplies_halves(&read(&format!("models/{nothing}.onnx")).file.bytes), "{nothing}");
        }
        assert!(!multiplies_halves(b"no network"));
    }

    #[test]
    fn a_list_of_floats_is_rounded_in_whichever_form_it_is_kept() {
        let values = [0.1_f32, -2.5, 65504.0, 1e-7];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let expected: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        let head =
            proto::Tensor { dims: vec![4], data_type: 1, name: "weights".into(), ..Default::default() };
        let unpacked = values
            .iter()
            .flat_map(|value| [&[(TENSOR_FLOATS << 3 | 5) as u8][..], &value.to_le_bytes()].concat());
        let mut forms = vec![[head.encode_to_vec(), unpacked.collect()].concat()];
        for number in [TENSOR_FLOATS, TENSOR_RAW] {
            let mut form = head.encode_to_vec();
            put(&mut form, number, &bytes);
            forms.push(form);
        }
        for form in forms {
            let rounded = round(&form).unwrap();
            assert_eq!(&rounded[rounded.len() - expected.len()..], expected);
            let head = proto::Tensor::decode(&*rounded).unwrap();
            assert_eq!((head.data_type, head.dims, head.name.as_str()), (10, vec![4], "weights"));
        }
    }

    #[test]
    fn what_cannot_be_rounded_is_refused_with_the_reason() {
        let whole_numbers = halve(&read("models/trained/facesr-live-x2-int8.onnx")).unwrap_err();
        assert!(whole_numbers.contains("whole numbers") && whole_numbers.contains("precision=fp32"));
        let mut large = proto::Tensor { dims: vec![1], data_type: 1, name: "w".into(), ..Default::default() }
            .encode_to_vec();
        put(&mut large, TENSOR_RAW, &70_000_f32.to_le_bytes());
        assert!(round(&large).unwrap_err().contains("70000"));
        let mut elsewhere =
            proto::Tensor { dims: vec![1], data_type: 1, name: "w".into(), ..Default::default() }
                .encode_to_vec();
        elsewhere.extend([(TENSOR_LOCATION << 3) as u8, 1]);
        assert!(round(&elsewhere).unwrap_err().contains("file of their own"));
    }
}
