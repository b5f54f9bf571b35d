//! Which convolutions of a network's file are given to our operator.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::{HAS_BIAS, HAS_SLOPES, OPERATOR, SLOPE, lanes};
use crate::infer::nodes::{Nodes, float, integer};
use crate::model::onnx_file::Element;
use crate::model::proto;

/// Channels below which all the time goes into what is done before and after the products.
const LEAST_CHANNELS: i64 = 12;
/// Pairs of channels below which there is less to gain than light networks gain from being made in bands, which cannot be had
/// together: what is computed in tiles depends, in the last bit, on where a band begins.
const LEAST_PAIRS: i64 = 32 * 32 + 1;

/// Operators that have graphs of their own inside, which may read anything around them.
const WITH_GRAPHS: [&str; 4] = ["If", "Loop", "Scan", "SequenceMap"];

/// A convolution that is ours to do, and what follows it.
struct Found<'a> {
    node: &'a proto::Node,
    after: Option<(&'a proto::Node, After<'a>)>,
}

/// What a rectifier multiplies negative numbers by.
enum After<'a> {
    /// The same for every channel.
    One(f32),
    /// Name of the constant that has one for each, or one for all.
    Each(&'a str),
}

/// Whether there are any in a file, on this processor.
pub(in crate::infer) fn takes_any(model: &[u8]) -> bool {
    lanes().is_some() && graph_of(model).is_some_and(|graph| !found(&graph).is_empty())
}

/// A file in which they are. `None` where there is none to gain from, or the file is not what it seems.
pub(in crate::infer) fn placed(model: &[u8]) -> Option<Vec<u8>> {
    lanes()?;
    let graph = graph_of(model)?;
    let found = found(&graph);
    if found.is_empty() {
        return None;
    }
    let mut added = Nodes::named("facesr/convolution");
    let mut replaced = HashSet::new();
    for Found { node, after } in &found {
        let mut input: Vec<&str> = node.input.iter().map(String::as_str).collect();
        input.resize(3, "");
        let mut attributes = Vec::new();
        if !input[2].is_empty() {
            attributes.push(integer(HAS_BIAS, 1));
        }
        match after {
            Some((_, After::One(slope))) => attributes.push(float(SLOPE, *slope)),
            Some((_, After::Each(slopes))) => {
                attributes.push(integer(HAS_SLOPES, 1));
                input.push(slopes);
            }
            None => {}
        }
        let last = after.as_ref().map_or(node, |(rectifier, _)| rectifier);
        added.add_ours(OPERATOR, &input, &[&last.output[0]], attributes);
        replaced.extend([&node.output[0], &last.output[0]]);
    }
    added.put_into(model, |node| node.output.iter().any(|name| replaced.contains(name))).ok()
}

fn graph_of(model: &[u8]) -> Option<proto::Graph> {
    proto::Model::decode(model).ok()?.graph
}

fn found(graph: &proto::Graph) -> Vec<Found<'_>> {
    if graph.node.iter().any(|node| WITH_GRAPHS.contains(&node.op_type.as_str())) {
        return vec![];
    }
    let constants = constants(graph);
    let mut readers: HashMap<&str, Vec<&proto::Node>> = HashMap::new();
    for node in &graph.node {
        for name in &node.input {
            readers.entry(name).or_default().push(node);
        }
    }
    let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let convolutions = graph.node.iter().filter_map(|node| {
        let channels = is_ours(node, &constants)?;
        let sums = node.output[0].as_str();
        let readers = readers.get(sums).map_or(&[][..], Vec::as_slice);
        let after = match readers {
            [reader] if !outputs.contains(sums) => {
                after(reader, sums, channels, &constants).map(|after| (*reader, after))
            }
            _ => None,
        };
        // Of one the runtime makes a single convolution; the other is best behind one of the runtime's (`prelu`).
        let is_better_left = |reader: &&proto::Node| match reader.op_type.as_str() {
            "BatchNormalization" => readers.len() == 1,
            "PRelu" => after.is_none(),
            _ => false,
        };
        (!readers.iter().any(is_better_left)).then_some(Found { node, after })
    });
    convolutions.collect()
}

/// Constants of 32-bit floats, or made so of 16-bit ones, with their shapes. One that is an input, too, may be given when running.
fn constants(graph: &proto::Graph) -> HashMap<&str, &[i64]> {
    let given: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    let of_type = |element: Element| {
        let constants = graph.initializer.iter().filter(move |constant| constant.data_type == element as i32);
        constants.map(|constant| (constant.name.as_str(), constant.dims.as_slice()))
    };
    let mut floats: HashMap<_, _> = of_type(Element::F32).filter(|(name, _)| !given.contains(name)).collect();
    let halves: HashMap<_, _> = of_type(Element::F16).filter(|(name, _)| !given.contains(name)).collect();
    for node in graph.node.iter().filter(|node| node.op_type == "Cast" && is_standard(node)) {
        let is_float = attribute(node, "to").is_some_and(|to| to.i == Some(Element::F32 as i64));
        if let ([from], [to], true) = (&node.input[..], &node.output[..], is_float) {
            floats.extend(halves.get(from.as_str()).map(|dims| (to.as_str(), *dims)));
        }
    }
    floats
}

/// How many channels a convolution makes that is ours to do.
fn is_ours(node: &proto::Node, constants: &HashMap<&str, &[i64]>) -> Option<i64> {
    let (filters, bias) = match &node.input[..] {
        [_, filters] => (filters, None),
        [_, filters, bias] if bias.is_empty() => (filters, None),
        [_, filters, bias] => (filters, Some(bias)),
        _ => return None,
    };
    let &[outputs, inputs, 3, 3] = *constants.get(filters.as_str())? else { return None };
    let is_constant = bias.is_none_or(|bias| constants.get(bias.as_str()) == Some(&[outputs].as_slice()));
    let is = |name: &str, otherwise: &[i64], wanted: &[i64]| {
        attribute(node, name).map_or(otherwise, |attribute| &attribute.ints) == wanted
    };
    let is_padded_otherwise =
        attribute(node, "auto_pad").is_some_and(|pad| !pad.s.is_empty() && pad.s != b"NOTSET");
    let is_one_group = attribute(node, "group").and_then(|group| group.i).is_none_or(|groups| groups == 1);
    let is_plain = is("kernel_shape", &[3, 3], &[3, 3])
        && is("strides", &[1, 1], &[1, 1])
        && is("dilations", &[1, 1], &[1, 1])
        && is("pads", &[0; 4], &[1; 4])
        && is_one_group
        && !is_padded_otherwise;
    let is_large = outputs.min(inputs) >= LEAST_CHANNELS && outputs.saturating_mul(inputs) >= LEAST_PAIRS;
    let is_convolution = node.op_type == "Conv" && is_standard(node) && node.output.len() == 1;
    (is_convolution && is_constant && is_plain && is_large).then_some(outputs)
}

/// What a node does to the sums of a convolution, if that can be done when they are written.
fn after<'a>(
    node: &'a proto::Node,
    sums: &str,
    channels: i64,
    constants: &HashMap<&str, &[i64]>,
) -> Option<After<'a>> {
    if !is_standard(node) {
        return None;
    }
    match (node.op_type.as_str(), &node.input[..], &node.output[..]) {
        ("Relu", [_], [_]) => Some(After::One(0.0)),
        ("LeakyRelu", [_], [_]) => {
            let slope = attribute(node, "alpha").and_then(|alpha| alpha.f);
            Some(After::One(slope.unwrap_or(LEAKY)))
        }
        ("PRelu", [value, slopes], [_]) if value == sums => {
            let is_each = match *constants.get(slopes.as_str())? {
                [count, 1, 1] | [1, count, 1, 1] => [1, channels].contains(count),
                [] | [1] | [1, 1] => true,
                _ => false,
            };
            is_each.then_some(After::Each(slopes))
        }
        _ => None,
    }
}

/// The slope of a `LeakyRelu` that says none.
const LEAKY: f32 = 0.01;

fn is_standard(node: &proto::Node) -> bool {
    ["", "ai.onnx"].contains(&node.domain.as_str())
}

fn attribute<'a>(node: &'a proto::Node, name: &str) -> Option<&'a proto::Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::nodes::{integers, value};

    const PADS: &str = "pads";

    /// A file of one convolution of so many channels to so many, and what follows it.
    fn file(
        inputs: usize,
        outputs: usize,
        next: &[(&str, &[&str])],
        change: impl Fn(&mut proto::Graph),
    ) -> Vec<u8> {
        let mut nodes = Nodes::named("n");
        let filters = nodes.floats(&[outputs, inputs, 3, 3], vec![0.5; outputs * inputs * 9]);
        let bias = nodes.floats(&[outputs], vec![0.25; outputs]);
        nodes.floats(&[outputs, 1, 1], vec![0.125; outputs]);
        let mut at = nodes.add("Conv", &["in", &filters, &bias], vec![integers(PADS, &[1; 4])]);
        for (operator, more) in next {
            let input: Vec<&str> = std::iter::once(at.as_str()).chain(more.iter().copied()).collect();
            at = nodes.op(operator, &input);
        }
        let (input, output) = (value("in", Element::F32, None), value(&at, Element::F32, None));
        let mut model = proto::Model::decode(&*nodes.file(vec![input], vec![output])).unwrap();
        change(model.graph.as_mut().unwrap());
        model.encode_to_vec()
    }

    fn graph(model: &[u8]) -> proto::Graph {
        proto::Model::decode(model).unwrap().graph.unwrap()
    }

    /// The operators of a file after convolutions were placed, if any were.
    fn operators(model: &[u8]) -> Option<Vec<String>> {
        let placed = placed(model)?;
        Some(graph(&placed).node.into_iter().map(|node| node.op_type).collect())
    }

    fn ours(others: &[&str]) -> Option<Vec<String>> {
        lanes().is_some().then(|| others.iter().chain(&[OPERATOR]).map(ToString::to_string).collect())
    }

    #[test]
    fn convolutions_with_enough_channels_are_ours_and_others_are_left() {
        for (inputs, outputs, is_ours) in [
            (33, 32, true),
            (12, 86, true),
            (86, 12, true),
            (32, 32, false),
            (3, 512, false),
            (200, 11, false),
        ] {
            let expected = if is_ours { ours(&[]) } else { None };
            assert_eq!(operators(&file(inputs, outputs, &[], |_| ())), expected, "{inputs} to {outputs}");
        }
    }

    #[test]
    fn a_rectifier_behind_is_taken_along_unless_its_input_is_read_elsewhere() {
        let slopes = "n/constant2";
        for (next, left) in [
            (&[("Relu", &[][..])][..], Some(&[][..])),
            (&[("LeakyRelu", &[])], Some(&[])),
            (&[("PRelu", &[slopes])], Some(&[])),
            (&[("Relu", &[]), ("Sigmoid", &[])], Some(&["Sigmoid"])),
            (&[("Sigmoid", &[])], Some(&["Sigmoid"])),
            // Sums are read a second time.
            (&[("Relu", &[]), ("Add", &["n/0"])], Some(&["Relu", "Add"])),
            // So are those of one that `prelu` writes otherwise then, or its slopes are not one for each channel, or no constants.
            (&[("PRelu", &[slopes]), ("Add", &["n/0"])], None),
            (&[("PRelu", &["n/constant1"])], None),
            (&[("PRelu", &["in"])], None),
        ] {
            let model = file(24, 64, next, |_| ());
            assert_eq!(operators(&model), left.and_then(ours), "{next:?}");
            assert_eq!(takes_any(&model), operators(&model).is_some());
            let Some(placed) = placed(&model) else { continue };
            let (before, after) = (graph(&model), graph(&placed));
            assert_eq!(before.output, after.output);
            let made: HashSet<&String> = after.node.iter().flat_map(|node| &node.output).collect();
            assert!(made.contains(&before.output[0].name), "{next:?}: the output is not made any more");
            assert_eq!(made.len(), after.node.len(), "{next:?}: two make the same");
        }
        let is_an_output = file(24, 64, &[("Relu", &[])], |graph| {
            graph.output.push(value("n/0", Element::F32, None));
        });
        assert_eq!(operators(&is_an_output), ours(&["Relu"]));
        let are_slopes = file(24, 64, &[("PRelu", &["in"])], |graph| graph.node[1].input.reverse());
        assert_eq!(operators(&are_slopes), None, "sums are the slopes of something else");
    }

    #[test]
    fn slopes_may_be_one_for_each_channel_or_one_for_all_in_every_shape_that_says_so() {
        for (dims, is_taken) in [
            (&[64, 1, 1][..], true),
            (&[1, 64, 1, 1], true),
            (&[1], true),
            (&[], true),
            (&[1, 1, 1], true),
            (&[64], false),
            (&[1, 64], false),
            (&[32, 1, 1], false),
            (&[64, 1, 7], false),
        ] {
            let model = file(24, 64, &[("PRelu", &["n/constant2"])], |graph| {
                graph.initializer[2].dims = dims.to_vec();
            });
            assert_eq!(operators(&model), if is_taken { ours(&[]) } else { None }, "{dims:?}");
        }
    }

    #[test]
    fn slopes_are_what_the_rectifier_says() {
        let slope = |operator: &str, alpha: Option<f32>| {
            let model = file(24, 64, &[(operator, &[])], |graph| {
                graph.node[1].attribute.extend(alpha.map(|alpha| float("alpha", alpha)));
            });
            let node = graph(&placed(&model)?).node.pop()?;
            attribute(&node, SLOPE)?.f
        };
        if lanes().is_some() {
            assert_eq!(slope("Relu", None), Some(0.0));
            assert_eq!(slope("LeakyRelu", None), Some(0.01));
            assert_eq!(slope("LeakyRelu", Some(0.2)), Some(0.2));
        }
    }

    #[test]
    fn what_is_not_quite_such_a_convolution_is_left() {
        type Change = fn(&mut proto::Graph);
        let of_conv = |name: &'static str, ints: &'static [i64]| {
            file(24, 64, &[], move |graph| {
                let attributes = &mut graph.node[0].attribute;
                attributes.retain(|attribute| attribute.name != name);
                attributes.push(integers(name, ints));
            })
        };
        let whole = file(24, 64, &[], |_| ());
        assert_eq!(operators(&whole), ours(&[]));
        for (name, ints) in [("strides", [1, 1]), ("dilations", [1, 1]), ("kernel_shape", [3, 3])] {
            let ints: &'static [i64] = Box::leak(Box::new(ints));
            assert_eq!(operators(&of_conv(name, ints)), ours(&[]), "{name} says what is so anyway");
        }
        for (name, ints) in [
            ("strides", &[2, 2][..]),
            ("strides", &[1, 2]),
            ("dilations", &[2, 2]),
            (PADS, &[0; 4]),
            (PADS, &[1, 1, 1, 0]),
        ] {
            assert_eq!(operators(&of_conv(name, ints)), None, "{name} {ints:?}");
        }
        let changes: [(&str, Change); 9] = [
            ("no pads", |graph| graph.node[0].attribute.clear()),
            ("groups", |graph| graph.node[0].attribute.push(integer("group", 2))),
            ("padded otherwise", |graph| {
                let s = b"SAME_UPPER".to_vec();
                graph.node[0].attribute.push(proto::Attribute {
                    name: "auto_pad".into(),
                    s,
                    ..Default::default()
                });
            }),
            ("five by five", |graph| graph.initializer[0].dims = vec![64, 24, 5, 5]),
            ("weights of 64 bits", |graph| graph.initializer[0].data_type = Element::F64 as i32),
            ("weights that may be given", |graph| graph.input.push(value("n/constant0", Element::F32, None))),
            ("a bias that may be given", |graph| graph.input.push(value("n/constant1", Element::F32, None))),
            ("an operator of somebody else's", |graph| graph.node[0].domain = "com.example".into()),
            ("a graph inside", |graph| {
                graph.node.push(proto::Node { op_type: "If".into(), ..Default::default() });
            }),
        ];
        for (what, change) in changes {
            assert_eq!(operators(&file(24, 64, &[], change)), None, "{what}");
        }
        assert_eq!(operators(&file(24, 64, &[("BatchNormalization", &["a", "b", "c", "d"])], |_| ())), None);
    }

    #[test]
    fn weights_made_of_16_bits_are_constants_too_and_a_bias_may_be_missing() {
        let halves = file(24, 64, &[], |graph| {
            for constant in &mut graph.initializer[..2] {
                constant.data_type = Element::F16 as i32;
                let (from, to) = (constant.name.clone(), format!("{}/wide", constant.name));
                for input in &mut graph.node[0].input {
                    if *input == from {
                        *input = to.clone();
                    }
                }
                let attribute = vec![integer("to", Element::F32 as i64)];
                let (input, output) = (vec![from], vec![to]);
                graph.node.push(proto::Node {
                    op_type: "Cast".into(),
                    input,
                    output,
                    attribute,
                    ..Default::default()
                });
            }
        });
        assert_eq!(operators(&halves), ours(&["Cast", "Cast"]));
        for keep in [2, 3] {
            let without = file(24, 64, &[], |graph| {
                let input = &mut graph.node[0].input;
                input.truncate(keep);
                input.iter_mut().skip(2).for_each(String::clear);
            });
            assert_eq!(operators(&without), ours(&[]));
        }
    }

    #[test]
    fn a_file_says_that_it_has_operators_of_ours_and_a_damaged_one_gives_one_that_can_be_read_or_none() {
        let whole = file(24, 64, &[("Relu", &[])], |_| ());
        if let Some(placed) = placed(&whole) {
            let sets = proto::Model::decode(&*placed).unwrap().opset_import;
            let domains: HashSet<_> = sets.iter().map(|set| set.domain.as_str()).collect();
            assert_eq!(domains, HashSet::from(["", "facesr"]));
        }
        for length in (0..whole.len()).step_by(61) {
            assert!(placed(&whole[..length]).is_none_or(|model| graph_of(&model).is_some()), "{length}");
        }
    }

    #[test]
    fn the_networks_that_tests_compare_are_computed_by_ours_and_by_the_runtime() {
        let read = |name: &str| std::fs::read(format!("models/tiny/{name}.onnx")).unwrap();
        let count = |model: &[u8]| {
            operators(model).map_or(0, |all| all.iter().filter(|name| *name == OPERATOR).count())
        };
        assert_eq!(count(&read("filtered-x2")), if lanes().is_some() { 6 } else { 0 });
        assert_eq!(count(&read("filtered-apart-x2")), 0);
    }
}
