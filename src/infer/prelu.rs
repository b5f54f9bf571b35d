//! Rectifiers with a slope for each channel, as the processor's kernels of ONNX Runtime compute them best.
//!
//! Its `PRelu` runs on one thread, in another order of numbers than its convolutions, to which and from which every picture
//! is brought. The same is `slope * x + (1 - slope) * relu(x)`: convolutions of a channel by itself, which run on every thread
//! in the order of the others. A compact network takes 80 ms instead of 115.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::nodes::{Nodes, integer};
use crate::model::onnx_file::Element;
use crate::model::proto;

/// Channels that the convolutions' order of numbers comes in, on every processor that has one.
const CHANNELS: usize = 16;

/// A file in which every `PRelu` behind a convolution is written so. `None` where there is none to gain from, or the file is not
/// what it seems.
pub(super) fn written_otherwise(model: &[u8]) -> Option<Vec<u8>> {
    // Elsewhere a convolution of a channel by itself is slow.
    if !cfg!(target_arch = "x86_64") {
        return None;
    }
    let graph = proto::Model::decode(model).ok()?.graph?;
    let channels = slopes(&graph);
    let made_by = |operator: &str| -> HashSet<&str> {
        let nodes = graph.node.iter().filter(|node| node.op_type == operator);
        nodes.flat_map(|node| &node.output).map(String::as_str).collect()
    };
    let convolved = made_by("Conv");
    let count_of = |node: &proto::Node| match (node.op_type.as_str(), &node.input[..], &node.output[..]) {
        ("PRelu", [value, slope], [_]) if convolved.contains(value.as_str()) => {
            channels.get(slope.as_str()).copied()
        }
        _ => None,
    };
    let mut added = Nodes::named("facesr/prelu");
    for node in &graph.node {
        if let Some(count) = count_of(node) {
            add(&mut added, node, count);
        }
    }
    if added.is_empty() {
        return None;
    }
    added.put_into(model, |node| count_of(node).is_some()).ok()
}

/// Constants that are slopes of channels, 32-bit floats or made so of 16-bit ones, with how many there are: a whole number of
/// [`CHANNELS`]. One that is an input, too, may be given when running, and nothing is computed of it before.
fn slopes(graph: &proto::Graph) -> HashMap<&str, usize> {
    let count = |dims: &[i64]| match dims {
        [count, 1, 1] | [1, count, 1, 1] => {
            usize::try_from(*count).ok().filter(|count| *count > 0 && count.is_multiple_of(CHANNELS))
        }
        _ => None,
    };
    let of_type = |element: Element| -> HashMap<&str, usize> {
        let is_input = |name: &str| graph.input.iter().any(|input| input.name == name);
        let is_constant =
            |constant: &&proto::Tensor| constant.data_type == element as i32 && !is_input(&constant.name);
        let constants = graph.initializer.iter().filter(is_constant);
        constants.filter_map(|constant| Some((constant.name.as_str(), count(&constant.dims)?))).collect()
    };
    let (mut slopes, halves) = (of_type(Element::F32), of_type(Element::F16));
    for node in graph.node.iter().filter(|node| node.op_type == "Cast") {
        let is_float = node.attribute.iter().any(|to| to.name == "to" && to.i == Some(Element::F32 as i64));
        if let ([from], [to], true) = (&node.input[..], &node.output[..], is_float) {
            slopes.extend(halves.get(from.as_str()).map(|count| (to.as_str(), *count)));
        }
    }
    slopes
}

/// What a `PRelu` of so many channels makes, under the same name. The runtime computes what is made of constants alone when it
/// loads the file.
fn add(nodes: &mut Nodes, node: &proto::Node, count: usize) {
    let (value, slope) = (&node.input[0], &node.input[1]);
    let shape = nodes.int64s(&[4], [count, 1, 1, 1].into_iter());
    let one = nodes.float(1.0);
    let slope = nodes.op("Reshape", &[slope, &shape]);
    let rest = nodes.op("Sub", &[&one, &slope]);
    let group = || vec![integer("group", count as i64)];
    let sloping = nodes.add("Conv", &[value, &slope], group());
    let positive = nodes.op("Relu", &[value]);
    let more = nodes.add("Conv", &[&positive, &rest], group());
    nodes.op("Add", &[&more, &sloping]);
    nodes.name_last(&node.output[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators(model: &[u8]) -> Vec<String> {
        let graph = proto::Model::decode(model).unwrap().graph.unwrap();
        graph.node.into_iter().map(|node| node.op_type).collect()
    }

    fn read(name: &str) -> proto::Model {
        proto::Model::decode(&*std::fs::read(format!("models/tiny/{name}.onnx")).unwrap()).unwrap()
    }

    #[test]
    fn every_rectifier_behind_a_convolution_is_written_otherwise_and_nothing_else_is_changed() {
        let before = read("compact-x2");
        let after = written_otherwise(&before.encode_to_vec());
        if !cfg!(target_arch = "x86_64") {
            return assert_eq!(after, None);
        }
        let after = operators(&after.unwrap());
        let others = |all: &[String]| -> Vec<String> {
            let added = ["PRelu", "Conv", "Relu", "Reshape", "Sub", "Add"];
            all.iter().filter(|name| !added.contains(&name.as_str())).cloned().collect()
        };
        let count = |all: &[String], name: &str| all.iter().filter(|other| *other == name).count();
        let before = operators(&before.encode_to_vec());
        assert_eq!(others(&before), others(&after));
        // One of three has another number of channels than the order of numbers comes in.
        assert_eq!((count(&before, "PRelu"), count(&after, "PRelu")), (3, 1));
        assert_eq!(count(&after, "Conv"), count(&before, "Conv") + 4);
    }

    #[test]
    fn slopes_of_another_kind_are_left_and_damaged_files_are_not_touched() {
        let change_slopes = |change: fn(&mut proto::Tensor)| {
            let mut model = read("compact-x2");
            let constants = &mut model.graph.as_mut().unwrap().initializer;
            constants.iter_mut().filter(|constant| constant.dims.ends_with(&[1, 1])).for_each(change);
            written_otherwise(&model.encode_to_vec())
        };
        assert_eq!(change_slopes(|slope| slope.dims = vec![1]), None);
        assert_eq!(change_slopes(|slope| slope.dims = vec![slope.dims[0]]), None);
        assert_eq!(change_slopes(|slope| slope.dims = vec![-16, 1, 1]), None);
        assert_eq!(change_slopes(|slope| slope.data_type = Element::F64 as i32), None);
        let mut given = read("compact-x2");
        let graph = given.graph.as_mut().unwrap();
        for constant in &graph.initializer {
            graph.input.push(proto::ValueInfo { name: constant.name.clone(), r#type: None });
        }
        assert_eq!(written_otherwise(&given.encode_to_vec()), None);
        for name in ["nearest-x2", "bilinear-x2", "half-x2"] {
            assert_eq!(written_otherwise(&std::fs::read(format!("models/tiny/{name}.onnx")).unwrap()), None);
        }
        let whole = std::fs::read("models/tiny/compact-x2.onnx").unwrap();
        for length in (0..whole.len()).step_by(97) {
            // Whatever it makes of it, it does not fall over.
            written_otherwise(&whole[..length]);
        }
    }
}
