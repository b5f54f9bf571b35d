//! Where the pixels of one picture are in another: dense inverse search.
//!
//! Written from T. Kroeger, R. Timofte, D. Dai, L. Van Gool, "Fast Optical Flow using Dense Inverse
//! Search", ECCV 2016. From coarse to fine: patches of 8x8 pixels each descend to where they fit
//! best (`patch`), starting from the coarser level and from what their neighbours found
//! (`search`); every pixel gets a mean of the patches that cover it (`densify`); and the flow
//! is made smooth where the picture allows it (`refine`, after T. Brox et al., "High Accuracy
//! Optical Flow Estimation Based on a Theory for Warping", ECCV 2004).
//!
//! Rows of a level are shared out to threads. The same bits on every processor and with any number of threads; nothing is
//! remembered from one call to the next.

mod checker;
mod densify;
mod patch;
mod refine;
mod relax;
mod round_trip;
mod scale;
mod search;
mod warp;
mod weigh;

use ndarray::{Array2, ArrayView2};

use crate::image::Size;
use crate::image::plane::Plane;
use patch::SIDE;
use refine::Refinement;
pub use round_trip::round_trip_error;
use search::{Fits, Grid, Pair};

/// The smallest width and height of a picture, in pixels: two patches.
pub const SMALLEST: usize = 2 * SIDE;

/// How much work to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The level, counted from 0 for the picture itself, each half the size of the one before, that is
    /// the last to be searched. A small picture has fewer levels; then its coarsest is taken.
    pub finest_level: usize,
    /// Pixels from one patch to the next: 1 to 8, a patch.
    pub stride: usize,
    /// Gradient steps of a patch at each level, at most; most stop after three.
    pub steps: usize,
    /// How often the refinement of the finest level computes its weights; 0 for none.
    pub iterations: usize,
    /// As `iterations`, of levels that are coarser.
    pub coarse_iterations: usize,
    /// Sweeps of the refinement between two of these: 1 or more.
    pub sweeps: usize,
    /// Displacements of neighbours that lie nearer than this to a patch's own, in pixels, are not tried.
    pub near: f32,
}

/// Settings by name, fast ones first.
///
/// On the Middlebury pairs, five sweeps have a 2 to 3 % larger error than eight, four computations of the weights 1.4 % more than five, and two of
/// coarser levels .5 %; displacements within .05 pixels none (2 % within .1). What is steadied by such a flow is the same to 0.01 dB. Ten sweeps gain
/// only where there is noise.
pub const PRESETS: &[(&str, Settings)] = &[
    (
        "fast",
        Settings {
            finest_level: 1,
            stride: 4,
            steps: 16,
            iterations: 4,
            coarse_iterations: 2,
            sweeps: 5,
            near: 0.05,
        },
    ),
    ("medium", Settings { finest_level: 1, stride: 3, steps: 25, ..THOROUGH }),
    // Level 0 takes noise for motion: for clean pictures.
    ("quality", Settings { finest_level: 0, stride: 3, steps: 25, ..THOROUGH }),
];

/// As `fast`, refined as far as that gains.
pub const THOROUGH: Settings = Settings {
    finest_level: 1,
    stride: 4,
    steps: 16,
    iterations: 5,
    coarse_iterations: 5,
    sweeps: 8,
    near: 0.0,
};

/// The settings of that name in [`PRESETS`].
pub fn preset(name: &str) -> Option<Settings> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, settings)| *settings)
}

/// A displacement for every pixel of a picture, in pixels: the pixel `(x, y)` of the first picture is at
/// `(x + u, y + v)` in the second. Indexed by row and column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// To the right.
    pub u: Array2<f32>,
    /// Down.
    pub v: Array2<f32>,
}

impl Flow {
    /// Becomes the flow of two planes, in the memory that it has where that is as large.
    pub(crate) fn take(&mut self, planes: [&Plane; 2]) {
        for (from, to) in planes.into_iter().zip([&mut self.u, &mut self.v]) {
            let dim = (from.size.height, from.size.width);
            if to.dim() != dim {
                *to = Array2::zeros(dim);
            }
            from.copy_to(to);
        }
    }
}

/// Why there is no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// A side is shorter than [`SMALLEST`].
    #[error("a picture of {0} is too small for flow, which needs {SMALLEST} pixels each way")]
    TooSmall(Size),
    /// The pictures have different sizes.
    #[error("flow is between pictures of one size, not {0} and {1}")]
    SizesDiffer(Size, Size),
}

/// Estimates flow, and keeps what it works on from call to call.
pub struct Estimator {
    settings: Settings,
    levels: Vec<Level>,
    fits: Fits,
}

impl Estimator {
    /// With these settings.
    ///
    /// # Panics
    /// If the stride is not 1 to 8.
    pub fn new(settings: Settings) -> Self {
        assert!((1..=SIDE).contains(&settings.stride), "a stride of {} leaves pixels out", settings.stride);
        Self { settings, levels: Vec::new(), fits: Fits::default() }
    }

    /// The flow from one picture to another. Samples are luma of 0 to 255; what is not finite or far
    /// outside of that is limited.
    ///
    /// # Errors
    /// If the pictures are too small or of different sizes.
    pub fn estimate(
        &mut self,
        from: ArrayView2<'_, f32>,
        to: ArrayView2<'_, f32>,
    ) -> Result<Flow, FlowError> {
        let mut flow = Flow::default();
        self.estimate_into(from, to, &mut flow)?;
        Ok(flow)
    }

    /// As [`Self::estimate`], into a flow that is written over; one of the same size, and nothing is allocated.
    ///
    /// # Errors
    /// As for [`Self::estimate`]; the flow is as it was then.
    pub fn estimate_into(
        &mut self,
        from: ArrayView2<'_, f32>,
        to: ArrayView2<'_, f32>,
        flow: &mut Flow,
    ) -> Result<(), FlowError> {
        self.load(from, to)?;
        self.run(flow);
        Ok(())
    }

    /// The flow from one picture to another, and back.
    ///
    /// # Errors
    /// As for [`Self::estimate`].
    pub fn estimate_both(
        &mut self,
        first: ArrayView2<'_, f32>,
        second: ArrayView2<'_, f32>,
    ) -> Result<(Flow, Flow), FlowError> {
        self.load(first, second)?;
        let (mut forward, mut backward) = (Flow::default(), Flow::default());
        self.run(&mut forward);
        for level in &mut self.levels {
            std::mem::swap(&mut level.from, &mut level.to);
        }
        self.run(&mut backward);
        Ok((forward, backward))
    }

    /// As [`Self::estimate`], of planes that are extended and hold luma of 0 to 255; the flow is written over `flow`, of the
    /// same size, and is extended.
    pub(crate) fn estimate_planes(
        &mut self,
        from: &Plane,
        to: &Plane,
        flow: [&mut Plane; 2],
    ) -> Result<(), FlowError> {
        self.prepare(from.size, to.size)?;
        let [finest, coarser @ ..] = &mut self.levels[..] else { return Ok(()) };
        if finest.work.is_some() {
            finest.from.copy_from(from);
            finest.to.copy_from(to);
        }
        if let [first, ..] = coarser {
            scale::halve(from, &mut first.from);
            scale::halve(to, &mut first.to);
        }
        self.halve_from(1);
        self.search();
        let finest = &mut self.levels[0];
        let [u, v] = flow;
        std::mem::swap(u, &mut finest.u);
        std::mem::swap(v, &mut finest.v);
        Ok(())
    }

    /// Builds both pyramids.
    fn load(&mut self, from: ArrayView2<'_, f32>, to: ArrayView2<'_, f32>) -> Result<(), FlowError> {
        let [size, other] = [&from, &to].map(|picture| Size::new(picture.ncols(), picture.nrows()));
        self.prepare(size, other)?;
        self.levels[0].from.load(from);
        self.levels[0].to.load(to);
        self.halve_from(0);
        Ok(())
    }

    /// Makes room for pictures of these sizes.
    fn prepare(&mut self, size: Size, other: Size) -> Result<(), FlowError> {
        if size != other {
            return Err(FlowError::SizesDiffer(size, other));
        }
        if size.width.min(size.height) < SMALLEST {
            return Err(FlowError::TooSmall(size));
        }
        if self.levels.first().is_none_or(|level| level.from.size != size) {
            self.levels = Level::pyramid(size, self.settings);
        }
        Ok(())
    }

    /// Fills every level that is coarser than this one.
    fn halve_from(&mut self, level: usize) {
        for fine in level + 1..self.levels.len() {
            let (fine, coarse) = self.levels.split_at_mut(fine);
            let (fine, coarse) = (&fine[fine.len() - 1], &mut coarse[0]);
            scale::halve(&fine.from, &mut coarse.from);
            scale::halve(&fine.to, &mut coarse.to);
        }
    }

    fn run(&mut self, flow: &mut Flow) {
        self.search();
        let finest = &self.levels[0];
        flow.take([&finest.u, &finest.v]);
    }

    /// Searches every level, coarse ones first, and carries the flow to the finest.
    fn search(&mut self) {
        if let Some(coarsest) = self.levels.last_mut() {
            coarsest.u.fill(0.0);
            coarsest.v.fill(0.0);
        }
        for index in (0..self.levels.len()).rev() {
            let (finer, level) = self.levels.split_at_mut(index);
            let level = &mut level[0];
            level.run(self.settings, &mut self.fits);
            if let Some(finer) = finer.last_mut() {
                scale::double(&level.u, &mut finer.u);
                scale::double(&level.v, &mut finer.v);
            }
        }
    }
}

/// One level of both pyramids and its flow.
struct Level {
    from: Plane,
    to: Plane,
    u: Plane,
    v: Plane,
    /// None where a level is finer than the finest that is searched.
    work: Option<Work>,
}

/// What a level that is searched works on.
struct Work {
    grid: Grid,
    slope_x: Plane,
    slope_y: Plane,
    weight: Plane,
    refinement: Refinement,
    /// How often that computes its weights.
    iterations: usize,
}

impl Level {
    /// Every level of pictures of this size, the finest first, down to where a side would be too short.
    fn pyramid(size: Size, settings: Settings) -> Vec<Self> {
        let halves = std::iter::successors(Some(size), |&size| Some(scale::halved(size)));
        let sizes: Vec<Size> = halves.take_while(|size| size.width.min(size.height) >= SMALLEST).collect();
        let finest = settings.finest_level.min(sizes.len() - 1);
        let level = |(index, &size): (usize, &Size)| Self {
            from: Plane::new(size),
            to: Plane::new(size),
            u: Plane::new(size),
            v: Plane::new(size),
            work: (index >= finest).then(|| Work {
                grid: Grid::new(size.width, size.height, settings.stride),
                slope_x: Plane::new(size),
                slope_y: Plane::new(size),
                weight: Plane::new(size),
                refinement: Refinement::new(size, settings.sweeps),
                iterations: if index == finest { settings.iterations } else { settings.coarse_iterations },
            }),
        };
        sizes.iter().enumerate().map(level).collect()
    }

    /// Searches and refines, from the flow of the coarser level.
    fn run(&mut self, settings: Settings, fits: &mut Fits) {
        let Self { from, to, u, v, work } = self;
        let Some(work) = work else { return };
        // No patch leaves the picture.
        scale::slopes_without_border(from, &mut work.slope_x, &mut work.slope_y);
        let pair = Pair { from, slope_x: &work.slope_x, slope_y: &work.slope_y, to };
        search::search(&pair, &work.grid, u, v, (settings.steps, settings.near), fits);
        densify::densify(&pair, &work.grid, fits.all(), u, v, &mut work.weight);
        work.refinement.run(from, to, u, v, work.iterations);
    }
}
