//! Where scenes begin.
//!
//! Two thumbnails are compared after the earlier one was warped to the later one by their flow, and
//! after both lost their local mean, which makes the comparison blind to flashes. A scene begins
//! where they are unlike in two ways at once: as wholes, and in most of their textured
//! parts, at two scales, because grain is unlike itself at the finer one. A histogram would fire on every flash, the correlation of whole pictures alone would
//! see black bars as what two scenes have in common.

use ndarray::{Array2, ArrayView2, s};

use super::thumbnail::{HEIGHT, Reduction, WIDTH};
use crate::flow::{Estimator, Flow, Settings, THOROUGH};
use crate::image::lanes::{Lanes, dispatched};

/// Above what both differences say that a scene begins.
pub const THRESHOLD: f32 = 0.7;

/// The flow between thumbnails is coarse on purpose: patches of a fifth of the width that do not overlap follow
/// pans and people, but cannot shape one scene into another. Of 1803 pairs of frames of different clips all
/// are told apart; with patches every 4 samples 12 to 15 are not (two talking heads), down to single samples 91.
const FLOW: Settings = Settings { finest_level: 2, stride: 8, ..THOROUGH };

/// Samples to either side of the middle of the window whose mean is removed: 15x15.
const REACH: usize = 7;
/// Rows and columns without anything lighter are black bars, in levels of 255.
const BAR: f32 = 40.0;
/// How far the local mean at the edge of a bar still sees the bar, about.
const MARGIN: usize = 6;
/// Side of the parts that are compared one by one.
const BLOCK: usize = 16;
/// Mean square, in levels, from which on a part has a texture to compare.
const TEXTURED: f64 = 9.0;
/// Samples to either side of the middle of those whose mean is grain no more: 5x5, a twenty-fifth of its mean square.
const COARSE_REACH: usize = 2;
/// Mean square of all that is left then, in levels, of next to nothing: grain of 10 levels, sample by sample.
const NEXT_TO_NOTHING: f64 = 4.0;
/// Up to here what is left is the same as before, whatever was said of finer detail.
const ALIKE: f32 = 0.4;
/// Mean square, in levels, of what is as good as flat: less than the rounding to 8 bits leaves.
const FLAT: f64 = 1e-2;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// The picture is the first of a scene.
    pub cut: bool,
    /// How different the pictures are as wholes: 0 for alike, 1 for nothing in common, up to 2.
    pub a: f32,
    /// How different their textured parts are, the middle one of them, on the same scale.
    pub b: f32,
}

impl Look {
    /// Where there is nothing to compare with.
    const NONE: Self = Self { cut: false, a: 0.0, b: 0.0 };
}

/// Tells the first pictures of scenes from their followers.
///
/// A picture without any texture, such as a black one, counts as a scene of its own: cuts are both the first such
/// picture after one with texture and the next one that has texture, unless it fades. Between
/// pictures without texture there is no cut, whatever their brightness.
pub struct CutDetector {
    threshold: f32,
    estimator: Estimator,
    /// The picture before, if `follows`.
    before: Array2<f32>,
    now: Array2<f32>,
    follows: bool,
    reduction: Reduction,
    flow: Flow,
    /// The picture before where it moved, and what both show of detail.
    warped: Array2<f32>,
    details: [Array2<f32>; 2],
    sums: Array2<f64>,
}

impl CutDetector {
    /// With the difference from which on a scene begins, see [`THRESHOLD`].
    pub fn new(threshold: f32) -> Self {
        let thumbnail = || Array2::zeros((HEIGHT, WIDTH));
        Self {
            threshold,
            estimator: Estimator::new(FLOW),
            before: thumbnail(),
            now: thumbnail(),
            follows: false,
            reduction: Reduction::default(),
            flow: Flow::default(),
            warped: thumbnail(),
            details: [thumbnail(), thumbnail()],
            sums: Array2::zeros((HEIGHT + 1, WIDTH + 1)),
        }
    }

    /// Takes another threshold from the next picture on.
    pub fn set_threshold(&mut self, threshold: f32) {
        self.threshold = threshold;
    }

    /// Compares a picture, luma of 0 to 255 and of any size, with the one before. The first one
    /// is never a cut.
    ///
    /// # Panics
    /// If the picture has no sample.
    pub fn look(&mut self, luma: ArrayView2<'_, f32>) -> Look {
        std::mem::swap(&mut self.before, &mut self.now);
        self.reduction.reduce(luma, &mut self.now);
        if !std::mem::replace(&mut self.follows, true) {
            return Look::NONE;
        }
        let flow = self.estimator.estimate_into(self.now.view(), self.before.view(), &mut self.flow);
        flow.expect("thumbnails are of one size, and large enough");
        warp(&self.before, &self.flow, &mut self.warped);
        let [u, v] = &mut self.details;
        detail(&self.now, REACH, &mut self.sums, u);
        detail(&self.warped, REACH, &mut self.sums, v);
        let area = Area::of(&self.now, &self.before);
        let a = 1.0 - Match::of(u, v, area).correlation() as f32;
        let mut b = difference(u, v, area);
        if a > self.threshold && b > self.threshold {
            // Grain on something flat is never the same twice. What else there is, is left when it is averaged away.
            let fine = &mut self.warped;
            for picture in [&mut *u, &mut *v] {
                detail(picture, COARSE_REACH, &mut self.sums, fine);
                *picture -= &*fine;
            }
            let found = Match::of(u, v, area);
            let coarsely =
                if found.is_textured(NEXT_TO_NOTHING) { 1.0 - found.correlation() as f32 } else { 0.0 };
            if coarsely < ALIKE {
                b = b.min(coarsely);
            }
        }
        Look { cut: a > self.threshold && b > self.threshold, a, b }
    }

    /// Forgets the picture before.
    pub fn reset(&mut self) {
        self.follows = false;
    }
}

/// A part of a thumbnail: from the first to before the last column and row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Area {
    const ALL: Self = Self { left: 0, right: WIDTH, top: 0, bottom: HEIGHT };

    /// Where there are no black bars in both pictures. Everything, where nearly all is black.
    fn of(now: &Array2<f32>, before: &Array2<f32>) -> Self {
        let (mut rows, mut columns) = ([0.0_f32; HEIGHT], [0.0_f32; WIDTH]);
        for ((y, x), &now) in now.indexed_iter() {
            let light = now.max(before[(y, x)]);
            rows[y] = rows[y].max(light);
            columns[x] = columns[x].max(light);
        }
        let found = within(&rows).zip(within(&columns));
        found.map_or(Self::ALL, |((top, bottom), (left, right))| Self { left, right, top, bottom })
    }

    /// Its parts of a block each, from the first corner on; what is left of a block at the other ends is left out.
    fn blocks(self) -> impl Iterator<Item = Self> {
        let tops = (self.top..self.bottom - (BLOCK - 1)).step_by(BLOCK);
        let lefts = move || (self.left..self.right - (BLOCK - 1)).step_by(BLOCK);
        tops.flat_map(move |top| lefts().map(move |left| (left, top))).map(|(left, top)| Self {
            left,
            right: left + BLOCK,
            top,
            bottom: top + BLOCK,
        })
    }
}

/// From the first to behind the last of the lines that are no bar, less the margin at bars. `None` when too few are left.
fn within(lightest: &[f32]) -> Option<(usize, usize)> {
    let lit = |&light: &f32| light > BAR;
    let (first, last) = (lightest.iter().position(lit)?, lightest.iter().rposition(lit)?);
    let first = if first == 0 { 0 } else { first + MARGIN };
    let end = if last + 1 == lightest.len() { last + 1 } else { (last + 1).saturating_sub(MARGIN) };
    (first + BLOCK <= end).then_some((first, end))
}

/// How the samples of two pictures go together.
#[derive(Default)]
struct Match {
    samples: f64,
    uu: f64,
    uv: f64,
    vv: f64,
}

impl Match {
    fn of(u: &Array2<f32>, v: &Array2<f32>, area: Area) -> Self {
        let part = s![area.top..area.bottom, area.left..area.right];
        let mut sums = Self::default();
        for (u, v) in u.slice(part).outer_iter().zip(v.slice(part).outer_iter()) {
            let [uu, uv, vv] =
                products(u.to_slice().zip(v.to_slice()).expect("rows of thumbnails are contiguous"));
            sums.samples += u.len() as f64;
            sums.uu += f64::from(uu);
            sums.uv += f64::from(uv);
            sums.vv += f64::from(vv);
        }
        sums
    }

    /// Normalised correlation, -1 to 1. Two flat pictures are alike, a flat one and another one are not.
    fn correlation(&self) -> f64 {
        let flat = self.samples * FLAT;
        if self.uu.max(self.vv) <= flat {
            return 1.0;
        }
        (self.uv / (self.uu.max(flat) * self.vv.max(flat)).sqrt()).clamp(-1.0, 1.0)
    }

    /// One of the two has something to recognise, from that mean square on.
    fn is_textured(&self, least: f64) -> bool {
        self.uu.max(self.vv) > self.samples * least
    }
}

/// Sums of squares of one row, of products, and of squares of another.
fn products((u, v): (&[f32], &[f32])) -> [f32; 3] {
    let ((us, u_rest), (vs, v_rest)) = (u.as_chunks(), v.as_chunks());
    let (mut uu, mut uv, mut vv) = (Lanes::ZERO, Lanes::ZERO, Lanes::ZERO);
    for (u, v) in us.iter().zip(vs).map(|(u, v)| (Lanes(*u), Lanes(*v))) {
        uu += u * u;
        uv += u * v;
        vv += v * v;
    }
    let mut sums = [uu, uv, vv].map(Lanes::sum);
    for (u, v) in u_rest.iter().zip(v_rest) {
        sums[0] += u * u;
        sums[1] += u * v;
        sums[2] += v * v;
    }
    sums
}

/// How different the textured parts are, the middle one of them; nothing where none is.
fn difference(u: &Array2<f32>, v: &Array2<f32>, area: Area) -> f32 {
    let matches = area.blocks().map(|block| Match::of(u, v, block));
    let textured = matches.filter(|found| found.is_textured(TEXTURED)).map(|found| found.correlation());
    1.0 - middle(textured.collect()).unwrap_or(1.0) as f32
}

/// The median; of an even number of values, the mean of the two in the middle.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    Some(if values.len() % 2 == 1 { upper } else { 0.5 * (values[half - 1] + upper) })
}

/// The picture before as it moved: bilinear, the outermost samples go on outside.
fn warp(before: &Array2<f32>, flow: &Flow, to: &mut Array2<f32>) {
    let (last_x, last_y) = ((WIDTH - 1) as f32, (HEIGHT - 1) as f32);
    let before = before.as_slice().expect("thumbnails are contiguous");
    let rows = flow.u.outer_iter().zip(flow.v.outer_iter()).zip(to.outer_iter_mut()).enumerate();
    for (y, ((u, v), to)) in rows {
        for (x, ((u, v), to)) in u.into_iter().zip(v).zip(to).enumerate() {
            let (from_x, from_y) = ((x as f32 + u).clamp(0.0, last_x), (y as f32 + v).clamp(0.0, last_y));
            let (left, top) = (from_x as usize, from_y as usize);
            let (right, below) = ((left + 1).min(WIDTH - 1), (top + 1).min(HEIGHT - 1));
            let (across, down) = (from_x - left as f32, from_y - top as f32);
            let row = |y: usize| {
                let row = &before[y * WIDTH..][..WIDTH];
                row[left] + across * (row[right] - row[left])
            };
            *to = row(top) + down * (row(below) - row(top));
        }
    }
}

dispatched! {
    /// A picture less its local mean, of `reach` samples to either side; at the edges, of what there is. `sums` is scratch, whose first row
    /// and column are zero.
    fn detail / detail_plain(picture: &Array2<f32>, reach: usize, sums: &mut Array2<f64>, to: &mut Array2<f32>) {
        // Sums over everything above and to the left, doubles so that flat pictures come out flat.
        let sums = sums.as_slice_mut().expect("sums are contiguous");
        for (y, row) in picture.outer_iter().enumerate() {
            let (above, below) = sums.split_at_mut((y + 1) * (WIDTH + 1));
            let sums = above[y * (WIDTH + 1) + 1..].iter().zip(&mut below[1..]);
            let mut sum = 0.0;
            for (sample, (above, below)) in row.iter().zip(sums) {
                sum += f64::from(*sample);
                *below = above + sum;
            }
        }
        for ((y, row), mut to) in picture.outer_iter().enumerate().zip(to.outer_iter_mut()) {
            let (top, bottom) = (y.saturating_sub(reach), (y + reach + 1).min(HEIGHT));
            let [above, below] = [top, bottom].map(|y| &sums[y * (WIDTH + 1)..][..WIDTH + 1]);
            let (row, to) = (row.to_slice(), to.as_slice_mut());
            let (row, to) = row.zip(to).expect("rows of thumbnails are contiguous");
            let mean = |left: usize, right: usize| {
                let sum = below[right] - above[right] - below[left] + above[left];
                (sum / ((bottom - top) * (right - left)) as f64) as f32
            };
            // All that is not at an edge has as much to either side.
            for x in reach..WIDTH - reach {
                to[x] = row[x] - mean(x - reach, x + reach + 1);
            }
            for x in (0..reach).chain(WIDTH - reach..WIDTH) {
                to[x] = row[x] - mean(x.saturating_sub(reach), (x + reach + 1).min(WIDTH));
            }
        }
    }
}
