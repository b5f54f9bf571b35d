//! Networks on the processor: samples become planes of floats and again samples by code of ours, and a last shuffle of channels
//! into pixels with it, on all threads and in one pass. ONNX Runtime has a node for each step, of which some run on one thread: of
//! a light network they take a third of the time.
//!
//! The arithmetic is that of the nodes that [`super::graph`] writes for other providers, operation by operation.

use prost::Message;
use rayon::prelude::*;

use super::fields::{GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH, copy, put, rewrite};
use super::nodes::{any, value};
use crate::image::bands::rows_in_bands;
use crate::image::interleave::{interleave, take_channel, to_samples};
use crate::image::{Sample, Size, View, rows, view};
use crate::model::contract::Upscaler;
use crate::model::onnx_file::Element;
use crate::model::proto;

/// Samples that one thread makes in less time than it takes to wake another.
const WORTH_WAKING: usize = 1 << 17;

/// A network whose picture is made of what it gives.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    /// The file without what is done here.
    pub(super) file: Vec<u8>,
    /// Names of what goes in and what comes out, both `[1,channels,rows,columns]`.
    pub(super) input: String,
    pub(super) output: String,
    shuffle: Shuffle,
    /// What a level of a sample is in the network's numbers, and black.
    taken: (f32, f32),
    /// What one of the network's numbers is in levels, and half a level above what its zero is: casting cuts the fraction off.
    given: (f32, f32),
}

/// How channels become the pixels of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shuffle {
    /// Side of a block; 1 where there is none.
    block: usize,
    /// Whether the channels of a colour lie together, or those of a place in the block.
    by_colour: bool,
}

impl Shuffle {
    const NONE: Self = Self { block: 1, by_colour: true };

    /// Of a node that shuffles.
    fn of(node: &proto::Node) -> Option<Self> {
        let block = node.attribute.iter().find(|found| found.name == "blocksize")?.i?;
        let mode = node.attribute.iter().find(|found| found.name == "mode").map(|found| &found.s[..]);
        let block = usize::try_from(block).ok().filter(|block| (1..=8).contains(block))?;
        match mode {
            Some(b"CRD") => Some(Self { block, by_colour: true }),
            None | Some(b"DCR") => Some(Self { block, by_colour: false }),
            Some(_) => None,
        }
    }

    /// The plane of a colour of `colours` at a place in the block.
    fn plane(self, colour: usize, (x, y): (usize, usize), colours: usize) -> usize {
        let place = y * self.block + x;
        match self.by_colour {
            true => colour * self.block * self.block + place,
            false => place * colours + colour,
        }
    }
}

impl Planes {
    /// Of a network of 32-bit floats for samples of so many bits; `None` of any other.
    pub(super) fn of<S: Sample>(model: &Upscaler) -> Option<Self> {
        if model.element != Element::F32 {
            return None;
        }
        let graph = proto::Model::decode(&*model.file.bytes).ok()?.graph?;
        let made_by = |name: &str| graph.node.iter().find(|node| node.output == [name]);
        let read_by =
            |name: &str| graph.node.iter().filter(|node| node.input.iter().any(|read| read == name)).count();
        let (last, unclipped) = (&graph.output.first()?.name, &model.file.unclipped);
        // The last clip, for ours follows anyway, and the last shuffle.
        let mut left_out = Vec::new();
        if unclipped != last {
            if read_by(last) > 0 {
                return None;
            }
            left_out.push(last.clone());
        }
        let ends = made_by(unclipped)?;
        let shuffle =
            Some(ends).filter(|node| node.op_type == "DepthToSpace" && read_by(unclipped) == left_out.len());
        let (output, shuffle) = match shuffle.and_then(|node| Some((node.input.first()?, Shuffle::of(node)?)))
        {
            // Of what is fed in nothing can be made an output.
            Some((before, shuffle)) if made_by(before).is_some() => {
                left_out.push(unclipped.clone());
                (before.clone(), shuffle)
            }
            _ => (unclipped.clone(), Shuffle::NONE),
        };
        let file = rewrite(&model.file.bytes, &mut |field, out| match field.content {
            Some(graph) if field.number == MODEL_GRAPH => {
                put(out, MODEL_GRAPH, &with_output(graph, &left_out, &output)?);
                Ok(())
            }
            _ => copy(field, out),
        });
        let (taken, given) = (model.input_range, model.output_range);
        let gain = S::WHITE / (given.white - given.black);
        Some(Self {
            file: file.ok()?,
            input: model.file.inputs.first()?.name.clone(),
            output,
            shuffle,
            taken: ((taken.white - taken.black) / S::WHITE, taken.black),
            given: (gain, 0.5 - given.black * gain),
        })
    }

    /// The planes of a picture, one after the other, for the network.
    pub(super) fn take_in<S: Sample>(&self, picture: View<'_, S>, to: &mut Vec<f32>) {
        let (height, width, channels) = picture.dim();
        to.resize(height * width * channels, 0.0);
        let (gain, black) = self.taken;
        for (channel, plane) in to.chunks_exact_mut(height * width).enumerate() {
            for (from, to) in rows(picture).zip(plane.chunks_exact_mut(width)) {
                take_channel(from, (channel, channels), (gain, black), to);
            }
        }
    }
}

/// A graph without the nodes that make these, and with one output.
fn with_output(graph: &[u8], left_out: &[String], output: &str) -> Result<Vec<u8>, String> {
    let mut is_placed = false;
    rewrite(graph, &mut |field, out| match (field.number, field.content) {
        (GRAPH_NODE, Some(content)) => {
            let node = proto::Node::decode(content).map_err(|err| err.to_string())?;
            if node.output.iter().any(|name| left_out.contains(name)) { Ok(()) } else { copy(field, out) }
        }
        (GRAPH_OUTPUT, _) => {
            if !std::mem::replace(&mut is_placed, true) {
                let dims = ["facesr/n", "facesr/channels", "facesr/rows", "facesr/columns"].map(any);
                put(out, GRAPH_OUTPUT, &value(output, Element::F32, Some(dims.to_vec())).encode_to_vec());
            }
            Ok(())
        }
        _ => copy(field, out),
    })
}

/// What a network gave, as samples.
#[derive(Debug)]
pub(super) struct Given<S> {
    samples: Vec<S>,
    size: Size,
    channels: usize,
    /// Rows of samples before they lie between each other, of each band.
    apart: Vec<Vec<S>>,
}

impl<S: Sample> Given<S> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { samples: Vec::new(), size: Size::new(0, 0), channels: 0, apart: Vec::new() }
    }

    /// The picture that was made last; `None` where none was.
    pub(super) fn picture(&self) -> Option<View<'_, S>> {
        view(&self.samples, self.size, self.channels, self.size.width * self.channels)
    }

    /// Makes a picture of planes `[channels,rows,columns]`, by at most so many threads; 0: as many as there are. Answers whether all planes
    /// are numbers.
    ///
    /// # Errors
    /// A text, where these are no planes of whole blocks.
    pub(super) fn fill(
        &mut self,
        planes: &Planes,
        floats: &[f32],
        [channels, height, width]: [usize; 3],
        threads: usize,
    ) -> Result<bool, String> {
        let Shuffle { block, .. } = planes.shuffle;
        let colours = channels / (block * block);
        if channels != colours * block * block
            || floats.len() != channels * height * width
            || floats.is_empty()
        {
            return Err(format!("it gave no picture but [{channels},{height},{width}]"));
        }
        let size = Size::new(width * block, height * block);
        (self.size, self.channels) = (size, colours);
        let row = size.width * colours;
        self.samples.resize(row * size.height, S::MAX);
        let most = match threads {
            _ if self.samples.len() < WORTH_WAKING => 1,
            0 => rayon::current_num_threads(),
            _ => threads,
        };
        let count = rows_in_bands(Size::new(row, height), most);
        self.apart.resize_with(height.div_ceil(count), Vec::new);
        let shape = Shape { colours, height, width };
        let fill = |(band, (samples, apart)): (usize, (&mut [S], &mut Vec<S>))| {
            fill_rows(planes, floats, &shape, band * count, samples, apart)
        };
        let rows = row * block * count;
        let is_finite = match self.apart.len() {
            1 => self.samples.chunks_mut(rows).zip(&mut self.apart).enumerate().all(fill),
            _ => {
                let bands = self.samples.par_chunks_mut(rows).zip(&mut self.apart).enumerate();
                // All of them, whatever the first one is.
                bands.map(fill).reduce(|| true, |one, other| one & other)
            }
        };
        Ok(is_finite)
    }
}

/// What planes are of.
struct Shape {
    colours: usize,
    /// Of a plane.
    height: usize,
    width: usize,
}

/// Fills whole rows of blocks, of which the first is `first`. Answers whether all of their planes are numbers.
fn fill_rows<S: Sample>(
    planes: &Planes,
    floats: &[f32],
    &Shape { colours, height, width }: &Shape,
    first: usize,
    samples: &mut [S],
    apart: &mut Vec<S>,
) -> bool {
    let block = planes.shuffle.block;
    apart.resize(block * colours * width, S::MAX);
    let mut are_numbers = true;
    for (at, to) in samples.chunks_exact_mut(block * colours * width).enumerate() {
        let (y, down) = (first + at / block, at % block);
        for (group, apart) in apart.chunks_exact_mut(width).enumerate() {
            let plane = planes.shuffle.plane(group % colours, (group / colours, down), colours);
            let from = &floats[(plane * height + y) * width..][..width];
            are_numbers &= to_samples(from, planes.given, apart);
        }
        interleave(apart, block * colours, to);
    }
    are_numbers
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn planes(shuffle: Shuffle) -> Planes {
        let name = String::new;
        let (input, output, file) = (name(), name(), vec![]);
        Planes { file, input, output, shuffle, taken: (1.0 / 255.0, 0.0), given: (255.0, 0.5) }
    }

    fn operators(file: &[u8]) -> Vec<String> {
        let graph = proto::Model::decode(file).unwrap().graph.unwrap();
        graph.node.into_iter().map(|node| node.op_type).collect()
    }

    fn read(path: &str) -> Upscaler {
        Upscaler::read(Path::new(path)).unwrap()
    }

    /// A value for every place, some below black and above white.
    fn level(plane: usize, y: usize, x: usize) -> f32 {
        ((plane * 37 + y * 11 + x * 5) as f32 * 0.7).sin() * 0.7 + 0.5
    }

    /// As ONNX defines `DepthToSpace`: the channel of a colour at a place in a block.
    fn channel(
        by_colour: bool,
        block: usize,
        colours: usize,
        colour: usize,
        (x, y): (usize, usize),
    ) -> usize {
        if by_colour { (colour * block + y) * block + x } else { (y * block + x) * colours + colour }
    }

    fn check<S: Sample>(colours: usize, shuffle: Shuffle, (width, height): (usize, usize), threads: usize) {
        let Shuffle { block, by_colour } = shuffle;
        let channels = colours * block * block;
        let mut floats = Vec::new();
        for plane in 0..channels {
            floats.extend((0..width * height).map(|at| level(plane, at / width, at % width)));
        }
        let planes = Planes { given: (S::WHITE, 0.5), ..planes(shuffle) };
        let mut given = Given::<S>::new();
        // What was there before is of no account.
        given.fill(&planes, &[0.3; 64 * 9], [9 * block * block, 8 / block, 8 / block], 0).ok();
        assert!(given.fill(&planes, &floats, [channels, height, width], threads).unwrap());
        let samples = given.picture().unwrap();
        assert_eq!(samples.dim(), (height * block, width * block, colours));
        for ((y, x, colour), sample) in samples.indexed_iter() {
            let plane = channel(by_colour, block, colours, colour, (x % block, y % block));
            let wanted = (level(plane, y / block, x / block) * S::WHITE + 0.5).clamp(0.0, S::WHITE).floor();
            assert_eq!(sample.to_f32(), wanted, "{colours} {shuffle:?} {x},{y}");
        }
        for at in (0..floats.len()).step_by(floats.len() / 9 + 1).chain([floats.len() - 1]) {
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let kept = std::mem::replace(&mut floats[at], odd);
                let is_finite = given.fill(&planes, &floats, [channels, height, width], threads);
                assert!(!is_finite.unwrap(), "{odd} at {at}");
                floats[at] = kept;
            }
        }
        assert!(given.fill(&planes, &floats, [channels, height, width], threads).unwrap());
    }

    #[test]
    fn every_value_lands_at_its_pixel_and_one_that_is_no_number_is_seen_wherever_it_is() {
        for block in [1, 2, 3, 4, 5] {
            for by_colour in [true, false] {
                for colours in [1, 2, 3, 5] {
                    for size in [(1, 1), (7, 3), (17, 35)] {
                        check::<u8>(colours, Shuffle { block, by_colour }, size, 0);
                    }
                    check::<u16>(colours, Shuffle { block, by_colour }, (9, 4), 1);
                }
            }
        }
    }

    #[test]
    fn rows_that_threads_share_are_those_of_one() {
        for threads in [0, 1, 2, 7] {
            check::<u8>(3, Shuffle { block: 2, by_colour: true }, (211, 75), threads);
        }
    }

    #[test]
    fn every_level_is_rounded_as_the_other_providers_nodes_do() {
        let steps: Vec<f32> = (-2000..70_000).map(|step| step as f32 / 65_535.0).collect();
        let mut given = Given::<u8>::new();
        let planes = planes(Shuffle::NONE);
        given.fill(&planes, &steps, [1, 1, steps.len()], 0).unwrap();
        for (sample, step) in given.picture().unwrap().iter().zip(&steps) {
            assert_eq!(f32::from(*sample), (step * 255.0 + 0.5).clamp(0.0, 255.0).floor(), "{step}");
        }
    }

    #[test]
    fn planes_that_are_no_whole_blocks_are_refused() {
        let mut given = Given::<u8>::new();
        let planes = planes(Shuffle { block: 2, by_colour: true });
        for shape in [[3, 2, 2], [0, 2, 2], [12, 0, 2], [12, 2, 3]] {
            assert!(
                given.fill(&planes, &[0.0; 48], shape, 0).unwrap_err().contains("no picture"),
                "{shape:?}"
            );
        }
    }

    #[test]
    fn a_picture_goes_in_plane_by_plane_whatever_lies_between_its_rows() {
        for channels in [1, 3, 4] {
            let wide =
                ndarray::Array3::from_shape_fn((5, 11, channels), |(y, x, c)| (y * 40 + x * 3 + c) as u8);
            let part = wide.slice(ndarray::s![1..4, 2..9, ..]);
            let mut taken = vec![f32::NAN; 3];
            Planes { taken: (2.0, -3.0), ..planes(Shuffle::NONE) }.take_in(part, &mut taken);
            assert_eq!(taken.len(), 3 * 7 * channels);
            for ((y, x, c), sample) in part.indexed_iter() {
                assert_eq!(taken[(c * 3 + y) * 7 + x], f32::from(*sample) * 2.0 - 3.0, "{channels} {x},{y}");
            }
        }
    }

    #[test]
    fn the_last_clip_and_the_last_shuffle_are_left_out_and_nothing_else() {
        for (path, gone, block) in [
            ("tiny/nearest-x2", &[][..], 1),
            ("tiny/compact-x2", &["Clip"], 1),
            ("trained/facesr-live-x2", &["DepthToSpace"], 4),
            ("trained/facesr-live-x2-int8", &["DepthToSpace"], 4),
        ] {
            let model = read(&format!("models/{path}.onnx"));
            let planes = Planes::of::<u8>(&model).unwrap();
            let mut left = operators(&model.file.bytes);
            for operator in gone {
                left.remove(left.iter().rposition(|name| name == operator).unwrap());
            }
            assert_eq!((operators(&planes.file), planes.shuffle.block), (left, block), "{path}");
            let graph = proto::Model::decode(&*planes.file).unwrap().graph.unwrap();
            assert_eq!(graph.output.len(), 1);
            assert!(graph.node.iter().any(|node| node.output == [graph.output[0].name.clone()]), "{path}");
        }
        assert!(Planes::of::<u8>(&read("models/tiny/half-x2.onnx")).is_none(), "it is in 16 bits");
    }

    #[test]
    fn a_shuffle_whose_blocks_are_read_elsewhere_too_stays_where_it_is() {
        let model = read("models/trained/facesr-live-x2.onnx");
        let mut file = proto::Model::decode(&*model.file.bytes).unwrap();
        let graph = file.graph.as_mut().unwrap();
        let last = graph.output[0].name.clone();
        let reader = proto::Node {
            input: vec![last],
            output: vec!["more".into()],
            op_type: "Relu".into(),
            ..Default::default()
        };
        graph.node.push(reader);
        let bytes = crate::model::onnx_file::OnnxFile::parse(file.encode_to_vec()).unwrap();
        let planes = Planes::of::<u8>(&Upscaler { file: bytes, ..model }).unwrap();
        assert_eq!(planes.shuffle, Shuffle::NONE);
        assert!(operators(&planes.file).contains(&"DepthToSpace".to_string()));
    }

    #[test]
    fn both_orders_of_a_shuffle_are_told_apart_and_others_are_left() {
        let node = |block: i64, mode: Option<&str>| {
            let text = |mode: &str| proto::Attribute {
                name: "mode".into(),
                s: mode.into(),
                kind: 3,
                ..Default::default()
            };
            let attribute = vec![super::super::nodes::integer("blocksize", block)];
            let attribute = attribute.into_iter().chain(mode.map(text)).collect();
            Shuffle::of(&proto::Node { op_type: "DepthToSpace".into(), attribute, ..Default::default() })
        };
        let shuffle = |block, by_colour| Some(Shuffle { block, by_colour });
        assert_eq!(node(2, Some("CRD")), shuffle(2, true));
        assert_eq!(node(3, Some("DCR")), shuffle(3, false));
        assert_eq!(node(4, None), shuffle(4, false));
        for (block, mode) in [(2, Some("ABC")), (0, None), (-1, None), (i64::MAX, Some("CRD"))] {
            assert_eq!(node(block, mode), None);
        }
    }
}
