//! The graphs that work on the large picture where it is, beside the network: written here, in the operators that both
//! the processor's and CUDA's kernels of ONNX Runtime have.
//!
//! ```text
//! take in: samples [1,H,W,3] -> levels [1,3,H,W]
//! finish:  levels, or a history -> samples, rounded and limited
//! fetch:   maps [4,h,w] of the host -> there, with a column more
//! blend:   levels, past [1,3,H,W], maps -> history [1,3,H,W], samples
//! deliver: samples -> the same, for who wants them elsewhere
//! ```
//!
//! The blend is there twice. By standard operators it is the arithmetic of `temporal::blend`, operation by operation, so that it gives the same bits wherever
//! operators round as floats do. The past is read by sixteen `Gather`s with the weights of Catmull and Rom: `GridSample`
//! has another cubic, and would take nine bilinear fetches at positions that are cut to the fractions of a float from -1 to 1.
//! What each of them makes goes through memory, 8.5 GB a picture of 2560x1440: on CUDA, operators of ours do the same in one kernel,
//! or two with a guard, held to those when they are loaded.

use super::Guard;
use crate::image::Size;
use crate::image::places::{Place, places};
use crate::image::planar::BORDER;
use crate::infer::foreign::kernels::{KEPT, Kind, MOVING, SCALE, SMALL};
use crate::infer::graph::{self, LEVELS};
use crate::infer::nodes::{Nodes, any, float, integer, length, value};
use crate::model::onnx_file::Element;
use crate::model::proto::ValueInfo;

/// Name of samples that come from the host, and of those that go there.
pub(super) const TAKEN: &str = "facesr/taken";
pub(super) const FINISHED: &str = "facesr/finished";
/// Name of the history that goes in and of the one that comes out.
pub(super) const PAST: &str = "facesr/past";
pub(super) const HISTORY: &str = "facesr/history";
/// Name of the maps of motion and share, and of those that were fetched.
pub(super) const MAPS: &str = "facesr/maps";
pub(super) const FETCHED: &str = "facesr/fetched";
/// Name of samples that are to be delivered.
pub(super) const MADE: &str = "facesr/made";

/// Samples as levels.
pub(super) fn take_in(bits: u32) -> Vec<u8> {
    let (samples, _) = graph::samples(bits);
    let mut nodes = Nodes::default();
    let levels = nodes.cast(TAKEN, Element::F32);
    nodes.transpose(&levels, &[0, 3, 1, 2]);
    nodes.name_last(LEVELS);
    let [height, width] = ["facesr/height", "facesr/width"].map(any);
    let taken = value(TAKEN, samples, Some(vec![length(1), height, width, length(3)]));
    nodes.file(vec![taken], vec![of_any_size(LEVELS, Element::F32)])
}

/// Levels as samples.
pub(super) fn finish(bits: u32) -> Vec<u8> {
    let mut nodes = Nodes::default();
    add_finish(&mut nodes, PAST, bits);
    let [height, width] = ["facesr/height", "facesr/width"].map(any);
    let past = value(PAST, Element::F32, Some(vec![length(1), length(3), height, width]));
    let (samples, _) = graph::samples(bits);
    nodes.file(vec![past], vec![of_any_size(FINISHED, samples)])
}

/// Maps of the host where the blend reads them.
pub(super) fn fetch() -> Vec<u8> {
    let mut nodes = Nodes::default();
    // One column more, which nobody reads, has all of them fetched from the host at once. Who reads them would do it several times.
    let pads = nodes.int64s(&[6], [0, 0, 0, 0, 0, 1].into_iter());
    nodes.op("Pad", &[MAPS, &pads]);
    nodes.name_last(FETCHED);
    nodes.file(vec![maps_of_any_size(MAPS)], vec![maps_of_any_size(FETCHED)])
}

/// Samples as they are.
pub(super) fn deliver(bits: u32) -> Vec<u8> {
    let mut nodes = Nodes::default();
    nodes.op("Identity", &[MADE]);
    nodes.name_last(FINISHED);
    let (samples, _) = graph::samples(bits);
    nodes.file(vec![of_any_size(MADE, samples)], vec![of_any_size(FINISHED, samples)])
}

fn maps_of_any_size(name: &str) -> ValueInfo {
    let dims = vec![length(4), any("facesr/rows"), any(&format!("{name}/columns"))];
    value(name, Element::F32, Some(dims))
}

fn of_any_size(name: &str, element: Element) -> ValueInfo {
    let dims = ["facesr/n", "facesr/a", "facesr/b", "facesr/c"];
    value(name, element, Some(dims.map(any).to_vec()))
}

/// Rounded to the nearest, as `planar::store` does.
fn add_finish(nodes: &mut Nodes, from: &str, bits: u32) {
    let (samples, white) = graph::samples(bits);
    let limited = nodes.clip(from, 0.0, white);
    let rounded = nodes.op("Round", &[&limited]);
    let cast = nodes.cast(&rounded, samples);
    nodes.transpose(&cast, &[0, 2, 3, 1]);
    nodes.name_last(FINISHED);
}

/// What a blend is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) small: Size,
    pub(super) large: Size,
    pub(super) bits: u32,
    pub(super) guard: Option<Guard>,
}

impl Shape {
    /// A graph of [`LEVELS`], [`PAST`] and [`FETCHED`] to [`HISTORY`] and [`FINISHED`].
    fn file(&self, nodes: Nodes) -> Vec<u8> {
        let large = self.large;
        let picture = |name| {
            let dims = [1, 3, large.height, large.width].map(length);
            value(name, Element::F32, Some(dims.to_vec()))
        };
        let finished = [1, large.height, large.width, 3].map(length).to_vec();
        let finished = value(FINISHED, graph::samples(self.bits).0, Some(finished));
        let maps = maps_of_any_size(FETCHED);
        nodes.file(vec![picture(LEVELS), picture(PAST), maps], vec![picture(HISTORY), finished])
    }
}

/// The past, moved along the maps, blended into levels by operators of ours.
pub(super) fn blend_by_kernels(shape: &Shape) -> Vec<u8> {
    let Shape { small, large, bits, guard } = *shape;
    let mut nodes = Nodes::default();
    let mut axis = |small: usize, large: usize| {
        let places = places(small, large);
        let neighbours = [0, 1].map(|which| places.iter().map(move |place| place.between[which]));
        let between = nodes.int32s(&[2, large], neighbours.into_iter().flatten());
        let share = nodes.floats(&[large], places.iter().map(|place| place.share).collect());
        [between, share]
    };
    let [rows, down] = axis(small.height, large.height);
    let [columns, across] = axis(small.width, large.width);
    let inputs = |second| [LEVELS, second, FETCHED, &rows, &down, &columns, &across];
    let pair = |names: [&str; 2], values: [f32; 2]| {
        names.into_iter().zip(values).map(|(name, value)| float(name, value)).collect::<Vec<_>>()
    };
    let lengths = SMALL.into_iter().zip([small.height, small.width]);
    let lengths: Vec<_> = lengths.map(|(name, length)| integer(name, length as i64)).collect();
    let mut scales = pair(SCALE, [scale(small.width, large.width), scale(small.height, large.height)]);
    scales.extend_from_slice(&lengths);
    let made = [HISTORY, FINISHED];
    match guard {
        None => nodes.add_ours(Kind::of(bits, Kind::Blend).operator(), &inputs(PAST), &made, scales),
        Some(Guard { kept, moving: (from, to) }) => {
            let difference = "facesr/difference";
            nodes.add_ours(Kind::Differ.operator(), &inputs(PAST), &[difference], scales);
            let mut numbers = pair(MOVING, [from, to - from]);
            numbers.extend(pair(KEPT, [kept.0, kept.1]));
            numbers.extend(lengths);
            nodes.add_ours(Kind::of(bits, Kind::Guard).operator(), &inputs(difference), &made, numbers);
        }
    }
    shape.file(nodes)
}

/// The past, moved along the maps, blended into levels by standard operators.
pub(super) fn blend(shape: &Shape) -> Vec<u8> {
    let Shape { small, large, bits, guard } = *shape;
    let mut nodes = Nodes::default();
    let maps = Maps::enlarge(&mut nodes, small, large);
    let columns =
        Axis { count: large.width, dims: vec![large.width], scale: scale(small.width, large.width) };
    let rows =
        Axis { count: large.height, dims: vec![large.height, 1], scale: scale(small.height, large.height) };
    let across = columns.locate(&mut nodes, &maps.motion[0]);
    let down = rows.locate(&mut nodes, &maps.motion[1]);
    let moved = sample(&mut nodes, large, &across, &down);
    let difference = nodes.op("Sub", &[&moved, LEVELS]);
    let kept = match &guard {
        None => difference,
        Some(guard) => add_guard(&mut nodes, guard, &difference, &maps.speed, large),
    };
    let taken = nodes.op("Mul", &[&maps.share, &kept]);
    nodes.op("Add", &[LEVELS, &taken]);
    nodes.name_last(HISTORY);
    add_finish(&mut nodes, HISTORY, bits);
    shape.file(nodes)
}

/// Pixels of the large picture in one of the small.
fn scale(small: usize, large: usize) -> f32 {
    large as f32 / small as f32
}

/// The maps at the size of the large picture, each [H,W].
struct Maps {
    motion: [String; 2],
    share: String,
    speed: String,
}

impl Maps {
    fn enlarge(nodes: &mut Nodes, small: Size, large: Size) -> Self {
        let down = places(small.height, large.height);
        let between = linear(nodes, FETCHED, 1, &down, &[large.height, 1]);
        let across = places(small.width, large.width);
        let maps = linear(nodes, &between, 2, &across, &[large.width]);
        let mut map = |channel: usize| {
            let channel = nodes.int64s(&[], std::iter::once(channel));
            nodes.add("Gather", &[&maps, &channel], vec![integer("axis", 0)])
        };
        Self { motion: [map(0), map(1)], share: map(2), speed: map(3) }
    }
}

/// Linear between neighbours along an axis.
fn linear(nodes: &mut Nodes, from: &str, axis: i64, places: &[Place], dims: &[usize]) -> String {
    let mut neighbour = |which: usize| {
        let at = nodes.int64s(&[places.len()], places.iter().map(|place| place.between[which]));
        nodes.add("Gather", &[from, &at], vec![integer("axis", axis)])
    };
    let (before, behind) = (neighbour(0), neighbour(1));
    let share = nodes.floats(dims, places.iter().map(|place| place.share).collect());
    let change = nodes.op("Sub", &[&behind, &before]);
    let added = nodes.op("Mul", &[&share, &change]);
    nodes.op("Add", &[&before, &added])
}

/// The columns or the rows of the large picture.
struct Axis {
    count: usize,
    /// The shape in which a number for each of them is spread over the picture.
    dims: Vec<usize>,
    scale: f32,
}

/// The four columns or rows around each position, as whole numbers, and their weights.
struct Taps {
    at: [String; 4],
    weights: [String; 4],
}

impl Axis {
    /// As `Planar::locate`: positions are limited to a pixel outside of the picture, NaN is before it.
    fn locate(&self, nodes: &mut Nodes, motion: &str) -> Taps {
        let scale = nodes.float(self.scale);
        let start = nodes.floats(&self.dims, (0..self.count).map(|at| at as f32).collect());
        let moved = nodes.op("Mul", &[&scale, motion]);
        let position = nodes.op("Add", &[&start, &moved]);
        let (first, end) = (nodes.float(-1.0), nodes.float(self.count as f32));
        let is_behind = nodes.op("Greater", &[&position, &first]);
        let inside = nodes.op("Where", &[&is_behind, &position, &first]);
        let inside = nodes.op("Min", &[&inside, &end]);
        // Counted in the border, because that decides how the fraction is rounded.
        let border = nodes.float(BORDER as f32);
        let inside = nodes.op("Add", &[&inside, &border]);
        let half = nodes.float(0.5);
        let before = nodes.op("Sub", &[&inside, &half]);
        let whole = nodes.op("Round", &[&before]);
        let beyond = nodes.op("Sub", &[&inside, &whole]);
        let at = std::array::from_fn(|tap| {
            let offset = nodes.float(tap as f32 - 1.0 - BORDER as f32);
            let at = nodes.op("Add", &[&whole, &offset]);
            let at = nodes.clip(&at, 0.0, (self.count - 1) as f32);
            nodes.cast_to_int32(&at)
        });
        Taps { at, weights: catmull_rom(nodes, &beyond) }
    }
}

/// As `planar::catmull_rom`.
fn catmull_rom(nodes: &mut Nodes, t: &str) -> [String; 4] {
    let [half, one, one_half, two, two_half] = [0.5, 1.0, 1.5, 2.0, 2.5].map(|value| nodes.float(value));
    let minus_half = nodes.float(-0.5);
    let rest = nodes.op("Sub", &[&one, t]);
    let outer = nodes.op("Mul", &[&minus_half, t]);
    let outer = nodes.op("Mul", &[&outer, &rest]);
    let far = nodes.op("Mul", &[&one_half, t]);
    let square = nodes.op("Mul", &[t, t]);
    let near = nodes.op("Sub", &[&far, &two_half]);
    let near = nodes.op("Mul", &[&square, &near]);
    let behind = nodes.op("Sub", &[&two, &far]);
    let behind = nodes.op("Mul", &[t, &behind]);
    let behind = nodes.op("Add", &[&half, &behind]);
    [
        nodes.op("Mul", &[&outer, &rest]),
        nodes.op("Add", &[&one, &near]),
        nodes.op("Mul", &[t, &behind]),
        nodes.op("Mul", &[&outer, t]),
    ]
}

/// As `Planar::sample`, in its order of summation.
fn sample(nodes: &mut Nodes, large: Size, across: &Taps, down: &Taps) -> String {
    let shape = nodes.int64s(&[2], [3, large.width * large.height].into_iter());
    let flat = nodes.op("Reshape", &[PAST, &shape]);
    let stride = nodes.int32(large.width);
    let rows = down.at.each_ref().map(|row| nodes.op("Mul", &[row, &stride]));
    let mut tap = |row: usize, column: usize| {
        let at = nodes.op("Add", &[&rows[row], &across.at[column]]);
        let tap = nodes.add("Gather", &[&flat, &at], vec![integer("axis", 1)]);
        nodes.op("Mul", &[&tap, &down.weights[row]])
    };
    let taps: [[String; 4]; 4] = std::array::from_fn(|column| std::array::from_fn(|row| tap(row, column)));
    let columns: [String; 4] = std::array::from_fn(|column| {
        let [first, rest @ ..] = &taps[column];
        let sum = rest.iter().fold(first.clone(), |sum, tap| nodes.op("Add", &[&sum, tap]));
        nodes.op("Mul", &[&sum, &across.weights[column]])
    });
    let [a, b, c, d] = columns;
    let even = nodes.op("Add", &[&a, &c]);
    let odd = nodes.op("Add", &[&b, &d]);
    nodes.op("Add", &[&even, &odd])
}

/// What the guard leaves of the differences: `guard_row` of `temporal::blend`.
fn add_guard(nodes: &mut Nodes, guard: &Guard, difference: &str, speed: &str, large: Size) -> String {
    let (from, to) = guard.moving;
    let [zero, one, two, three] = [0.0, 1.0, 2.0, 3.0].map(|value| nodes.float(value));
    let (from, range) = (nodes.float(from), nodes.float(to - from));
    let (least, more) = (nodes.float(guard.kept.0), nodes.float(guard.kept.1));
    let beyond = nodes.op("Sub", &[speed, &from]);
    let t = nodes.op("Div", &[&beyond, &range]);
    let t = nodes.op("Min", &[&t, &one]);
    let t = nodes.op("Max", &[&t, &zero]);
    let square = nodes.op("Mul", &[&t, &t]);
    let double = nodes.op("Mul", &[&two, &t]);
    let slope = nodes.op("Sub", &[&three, &double]);
    let moves = nodes.op("Mul", &[&square, &slope]);
    let still = nodes.op("Sub", &[&one, &moves]);
    let kept = nodes.op("Mul", &[&more, &still]);
    let kept = nodes.op("Add", &[&least, &kept]);
    let held_back = nodes.op("Sub", &[&one, &kept]);
    let coarse = smooth(nodes, difference, large);
    let coarse = nodes.op("Mul", &[&held_back, &coarse]);
    nodes.op("Sub", &[difference, &coarse])
}

/// Pixels and their neighbours weighted 1, 2, 1 each way; the outermost are repeated.
fn smooth(nodes: &mut Nodes, from: &str, large: Size) -> String {
    let two = nodes.float(2.0);
    let [left, right] = [0, 2].map(|shift| shifted(nodes, from, 3, large.width, shift));
    let double = nodes.op("Mul", &[&two, from]);
    let sum = nodes.op("Add", &[&left, &double]);
    let across = nodes.op("Add", &[&sum, &right]);
    let weights = [0.0625, 0.125].map(|weight| nodes.float(weight));
    let outer = nodes.op("Mul", &[&weights[0], &across]);
    let [above, below] = [0, 2].map(|shift| shifted(nodes, &outer, 2, large.height, shift));
    let middle = nodes.op("Mul", &[&weights[1], &across]);
    let sum = nodes.op("Add", &[&above, &middle]);
    nodes.op("Add", &[&sum, &below])
}

/// Each pixel's neighbour along an axis: the one before (0) or behind (2), the pixel itself at the edge.
fn shifted(nodes: &mut Nodes, from: &str, axis: i64, count: usize, shift: usize) -> String {
    let at = nodes.int64s(&[count], (0..count).map(|at| (at + shift).saturating_sub(1).min(count - 1)));
    nodes.add("Gather", &[from, &at], vec![integer("axis", axis)])
}
