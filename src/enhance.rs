//! The path of a frame, one line per stage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::face::crop::{Frame, Source};
use crate::face::detect::Detection;
use crate::face::geometry::Rect;
use crate::face::helpers::Helpers;
use crate::face::{self, FaceError, FaceReport, Faces, Plan};
use crate::image::quads::Quads;
use crate::image::resample::Resampler;
use crate::image::{Area, Picture, Sample, Size, View, ViewMut, copy, rows, rows_mut};
use crate::infer::onnx::{OnnxNetwork, Options, TensorSample};
use crate::infer::provider::Active;
use crate::infer::shared::Users;
use crate::infer::tile::{Limits, Tiler};
use crate::infer::{Cancel, InferError, Network, runtime};
use crate::model::contract::Upscaler as UpscalerFile;
use crate::model::{ModelError, registry};
use crate::temporal::reuse::Refresh;
use crate::temporal::{self, Look, Temporal, shadow};
use crate::upscale::{self, Upscaler};

/// What decides which network runs, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Registry name or path of the model; `None` for no network, where sizes stay.
    pub model: Option<String>,
    /// Enlargement wished for, which decides what `auto` is.
    pub factor: Option<f64>,
    /// How to run it.
    pub options: Options,
    /// The library of ONNX Runtime, if named.
    pub runtime: Option<PathBuf>,
    /// The folder of the plugin or program, a place to look for models and the runtime.
    pub beside: Option<PathBuf>,
    /// Side of a tile in input pixels; 0: as `memory_limit` allows.
    pub tile_size: usize,
    /// Context of a tile in input pixels; 0: what the model needs.
    pub tile_overlap: usize,
    /// Bytes that a run of the network may take.
    pub memory_limit: usize,
    /// Steadying from frame to frame.
    pub temporal: temporal::Mode,
    /// Faces; how networks are run and where files lie is taken from here.
    pub faces: face::Settings,
}

/// How much is done for a frame, from all to least: video that does not wait gets what there is time for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Everything that is set.
    #[default]
    Full,
    /// Faces are followed but not restored.
    NoFaces,
    /// Nor is the network the one that is set, but the light one.
    Light,
    /// Nothing but a resize: no network, no past, no faces.
    Resampled,
}

/// What may change from frame to frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Controls {
    /// How much is done.
    pub effort: Effort,
    /// Steadying from frame to frame.
    pub temporal: temporal::Controls,
    /// How far the network's input leans on the history, which has less noise: 0 to 1.
    pub input_denoise: f32,
    /// Restoring faces.
    pub faces: face::Controls,
}

/// Why there is no enhancer, or no frame.
#[derive(Debug, thiserror::Error)]
pub enum EnhanceError {
    /// The model's file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Running it.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A network for faces that is none.
    #[error(transparent)]
    Face(FaceError),
}

impl From<FaceError> for EnhanceError {
    fn from(error: FaceError) -> Self {
        match error {
            FaceError::Model(error) => Self::Model(error),
            FaceError::Infer(error) => Self::Infer(error),
            error => Self::Face(error),
        }
    }
}

impl From<runtime::RuntimeError> for EnhanceError {
    fn from(error: runtime::RuntimeError) -> Self {
        Self::Infer(error.into())
    }
}

/// What became of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Runs of the upscaling network.
    pub tiles: usize,
    /// Tiles resampled because the network gave values that are no numbers.
    pub tiles_left_out: usize,
    /// What the frame was to the past.
    pub look: Look,
    /// What became of its faces.
    pub faces: FaceReport,
    /// What was made of outputs before, where that is asked for.
    pub reused: Option<Reused>,
    /// Time in the upscaler.
    pub upscale: Duration,
    /// Time of looking at the input, which may pass beside the upscaler's.
    pub looking: Duration,
    /// Time of blending.
    pub blending: Duration,
}

/// What was made of outputs before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reused {
    /// Share of the frame that was run through the network, context included.
    pub area: f32,
    /// Frames since the part that was longest ago was.
    pub oldest: u32,
    /// Why the whole frame was, where it was.
    pub whole: Option<Whole>,
}

/// Why a whole frame was run through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// It is the first of its scene.
    Begins,
    /// So much of it was to be that the rest is as cheap.
    NearlyAll,
    /// It is made by passes of the network, resizes, luma alone or a size that is fixed, of which no part can be.
    NoParts,
    /// It got another network, because there was no time.
    Hurried,
}

/// Enhances frames of one sample type. It owns everything that is remembered from frame to
/// frame.
pub struct Enhancer<S> {
    upscaler: Option<Upscaler<S>>,
    light: Option<Light<S>>,
    temporal: Temporal<S>,
    faces: Option<Faces>,
    /// Why faces are left to the upscaler.
    faces_left: Option<String>,
    takes_faces: bool,
    given: Vec<Detection>,
    /// Share of restored faces: they fade in after frames that had no time for them.
    fade: f32,
    resampler: Resampler,
    loaded: Option<Loaded>,
}

/// The network for frames that have no time for the other, and its name.
struct Light<S> {
    upscaler: Upscaler<S>,
    loaded: Loaded,
}

/// Frames over which restored faces come back.
const FADING: f32 = 8.0;

/// The small picture as it is best known: what the large one was steadied to, where it was.
struct BestKnown<'a, S> {
    input: Frame<'a, S>,
    history: Option<&'a Quads>,
}

impl<S: Sample> Source for BestKnown<'_, S> {
    fn size(&self) -> (usize, usize) {
        self.input.size()
    }

    #[inline]
    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        match self.history {
            Some(history) => shadow::colours(&history.row(y)[x]).map(|level| (level / 255.0).clamp(0.0, 1.0)),
            None => self.input.pixel(x, y),
        }
    }
}

/// The network that upscales.
#[derive(Clone)]
pub struct Loaded {
    /// Its enlargement factor.
    pub scale: usize,
    /// Its name.
    pub model: String,
    /// What runs it.
    pub active: Active,
    /// The runtime in use.
    pub runtime: &'static runtime::Runtime,
    /// Stops a frame that is under way on another thread.
    pub canceller: Arc<dyn Cancel>,
    /// Who else runs it.
    pub users: Users,
}

impl<S: TensorSample> Enhancer<S> {
    /// Loads everything that the settings name.
    ///
    /// # Errors
    /// [`EnhanceError`], one line that says what to do.
    pub fn open(settings: &Settings) -> Result<Self, EnhanceError> {
        let opened = settings.model.as_ref().map(|model| open_upscaler(settings, model)).transpose()?;
        let (upscaler, loaded) = opened.unzip();
        let temporal = Temporal::new(settings.temporal);
        let (faces, faces_left) = open_faces(settings)?;
        Ok(Self {
            upscaler,
            light: None,
            temporal,
            faces,
            faces_left,
            takes_faces: settings.faces.source == face::Source::Meta,
            given: Vec::new(),
            fade: 1.0,
            resampler: Resampler::default(),
            loaded,
        })
    }

    /// Loads a network beside the other, for [`Effort::Light`], by name or path.
    ///
    /// # Errors
    /// [`EnhanceError`], one line that says what to do; there is no light network then.
    pub fn open_light(&mut self, settings: &Settings, model: &str) -> Result<(), EnhanceError> {
        self.light = None;
        let (upscaler, loaded) = open_upscaler(settings, model)?;
        self.light = Some(Light { upscaler, loaded });
        Ok(())
    }

    /// Fills `output` with the enhanced `input`. Both have three channels, or four of which
    /// the last is alpha (straight, not premultiplied).
    ///
    /// # Errors
    /// [`EnhanceError::Infer`]; the output is unfinished then, and the past forgotten.
    pub fn process(
        &mut self,
        input: View<'_, S>,
        mut output: ViewMut<'_, S>,
        controls: &Controls,
    ) -> Result<Report, EnhanceError> {
        if controls.effort == Effort::Resampled {
            return Ok(self.resample(input, output));
        }
        let (look, looking, upscaled, reused) = self.look_and_upscale(input, output.view_mut(), controls)?;
        let started = Instant::now();
        self.temporal.steady(look, &mut output);
        let blending = started.elapsed();
        let faces = self.restore_faces(look, input, &mut output, controls)?;
        self.pass_alpha(input, output);
        let (tiles, tiles_left_out, upscale) = (upscaled.tiles, upscaled.left_out, upscaled.time);
        Ok(Report { tiles, tiles_left_out, look, faces, reused, upscale, looking, blending })
    }

    /// About how long the networks will take for a frame, the one that is set and the light one, tried on two small pictures.
    /// `None` where there is no network, or the frame is as small.
    pub fn expected_times(&mut self, input: Size, output: Size) -> [Option<Duration>; 2] {
        let light = self.light.as_mut().map(|light| &mut light.upscaler);
        [self.upscaler.as_mut(), light]
            .map(|upscaler| upscaler.and_then(|it| expected_time(it, input, output)))
    }

    /// Fills `output` by a resize alone. The past is forgotten: it would not be of the frame before.
    fn resample(&mut self, input: View<'_, S>, output: ViewMut<'_, S>) -> Report {
        let started = Instant::now();
        self.reset();
        self.fade = 0.0;
        match Size::of(&output.view()) {
            size if size == Size::of(&input) => copy(input, output),
            size => copy(self.resampler.resize(input, size).view(), output),
        }
        Report {
            tiles: 0,
            tiles_left_out: 0,
            look: Look::Alone,
            faces: FaceReport::default(),
            reused: None,
            upscale: started.elapsed(),
            looking: Duration::ZERO,
            blending: Duration::ZERO,
        }
    }

    /// The small picture is looked at beside the network, unless what comes of it is for the network to see, or decides
    /// what it is to be run on.
    fn look_and_upscale(
        &mut self,
        input: View<'_, S>,
        output: ViewMut<'_, S>,
        controls: &Controls,
    ) -> Result<(Look, Duration, Upscaled, Option<Reused>), EnhanceError> {
        let reuse = self.prepare_reuse(Size::of(&input), Size::of(&output.view()), controls);
        let controls = &Controls { temporal: reuse.controls(controls), ..*controls };
        let Self { upscaler, light, temporal, .. } = self;
        let upscaler = match light {
            Some(light) if controls.effort == Effort::Light => Some(&mut light.upscaler),
            _ => upscaler.as_mut(),
        };
        let large = Size::of(&output.view());
        if temporal.is_repeated(input, large, &controls.temporal) {
            return Ok((Look::Repeated, Duration::ZERO, Upscaled::default(), None));
        }
        let looked = |temporal: &mut Temporal<S>| {
            let started = Instant::now();
            (temporal.look(input, large, &controls.temporal), started.elapsed())
        };
        let (look, looking, upscaled);
        if !temporal.works_on(Size::of(&input), &controls.temporal) {
            (look, looking) = looked(temporal);
            upscaled = run(upscaler, input, output);
        } else if controls.input_denoise > 0.0 {
            (look, looking) = looked(temporal);
            let leaning = temporal.lean(input, controls.input_denoise);
            upscaled = run_wanted(upscaler, temporal, leaning.view(), output);
        } else if reuse == Reuse::Parts {
            (look, looking) = looked(temporal);
            upscaled = run_wanted(upscaler, temporal, input, output);
        } else {
            ((look, looking), upscaled) = std::thread::scope(|scope| {
                let beside = scope.spawn(|| looked(temporal));
                let upscaled = run(upscaler, input, output);
                (beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), upscaled)
            });
        }
        if upscaled.is_err() {
            self.reset();
        }
        let reused = reuse.report(look, self.temporal.refresh(), upscaled.as_ref().ok(), Size::of(&input));
        Ok((look, looking, upscaled?, reused))
    }

    /// Whether parts of this frame may be left as they were, and what the temporal stage has to know for it.
    fn prepare_reuse(&mut self, small: Size, large: Size, controls: &Controls) -> Reuse {
        if controls.temporal.reuse.amount <= 0.0 || !self.temporal.works_on(small, &controls.temporal) {
            return Reuse::Off;
        }
        if controls.effort > Effort::NoFaces {
            return Reuse::Whole(Whole::Hurried);
        }
        let Some(upscaler) = &self.upscaler else { return Reuse::Off };
        let Some(window) = upscaler.window(small, large) else { return Reuse::Whole(Whole::NoParts) };
        self.temporal.set_window(window);
        let faces = self.faces.as_ref().map_or(&[][..], Faces::tracks);
        self.temporal.watch(faces.iter().filter_map(|face| area_of(&face.area, small)).collect());
        Reuse::Parts
    }

    /// Faces are followed along the motion that steadies, restored from the small picture as the past made it better,
    /// and laid over the large one that was steadied with it.
    fn restore_faces(
        &mut self,
        look: Look,
        input: View<'_, S>,
        output: &mut ViewMut<'_, S>,
        controls: &Controls,
    ) -> Result<FaceReport, EnhanceError> {
        let Some(faces) = &mut self.faces else { return Ok(FaceReport::default()) };
        if look == Look::Repeated {
            faces.lay_again(Size::of(&input), output);
            return Ok(faces.report());
        }
        let given = std::mem::take(&mut self.given);
        let given = self.takes_faces.then_some(&given[..]);
        let begins = match look {
            Look::First { .. } => true,
            Look::Alone => self.temporal.begins_scene(input, &controls.temporal),
            Look::Repeated | Look::Compared { .. } => false,
        };
        let flow = matches!(look, Look::Compared { .. }).then(|| self.temporal.flow()).flatten();
        let mut shown = controls.faces;
        shown.strength *= self.fade;
        let result = match faces.follow(input, flow, begins, given) {
            Ok(_) if controls.effort > Effort::Full => {
                faces.forget_restored();
                self.fade = 0.0;
                Ok(faces.report())
            }
            Ok(_) => {
                self.fade = (self.fade + 1.0 / FADING).min(1.0);
                let compared = matches!(look, Look::Compared { .. });
                let history = compared.then(|| self.temporal.history()).flatten();
                faces.restore(&BestKnown { input: Frame(input), history }, output, &shown)
            }
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.reset();
        }
        Ok(result?)
    }

    /// Tells the frames per second, which decide for how many frames a face that is not seen is waited for.
    pub fn set_frame_rate(&mut self, rate: f64) {
        if let Some(faces) = &mut self.faces {
            faces.set_frame_rate(rate);
        }
    }

    /// Names the faces of the next frame, for [`face::Source::Meta`].
    pub fn give_faces(&mut self, given: Vec<Detection>) {
        self.given = given;
    }

    /// Forgets the past. Call it wherever frames stop being neighbours. A cancelled run stays
    /// cancelled: the flush that asked for it says when it is over.
    pub fn reset(&mut self) {
        self.temporal.reset();
        if let Some(faces) = &mut self.faces {
            faces.reset();
        }
    }

    fn pass_alpha(&mut self, input: View<'_, S>, mut output: ViewMut<'_, S>) {
        if input.dim().2 != 4 || output.dim().2 != 4 {
            return;
        }
        let opaque = rows(input).all(|row| row.chunks_exact(4).all(|pixel| pixel[3] == S::MAX));
        let alpha = (!opaque).then(|| self.resampler.resize(input, Size::of(&output.view())));
        let mut alpha_rows = alpha.as_ref().map(|alpha| rows(alpha.view()));
        for row in rows_mut(&mut output) {
            let from = alpha_rows.as_mut().and_then(Iterator::next);
            match from {
                Some(from) => {
                    let pixels = row.chunks_exact_mut(4).zip(from.chunks_exact(4));
                    pixels.for_each(|(pixel, from)| pixel[3] = from[3]);
                }
                None => row.chunks_exact_mut(4).for_each(|pixel| pixel[3] = S::MAX),
            }
        }
    }
}

impl<S> Enhancer<S> {
    /// The faces that are followed.
    pub fn faces(&self) -> &[face::track::Track] {
        self.faces.as_ref().map_or(&[], Faces::tracks)
    }

    /// Something is done with faces.
    pub fn has_faces(&self) -> bool {
        self.faces.is_some()
    }

    /// What restores faces, or why nothing does.
    pub fn faces_done(&self) -> (Option<&str>, Option<&str>) {
        (self.faces.as_ref().and_then(Faces::restorer), self.faces_left.as_deref())
    }

    /// The networks that help to restore faces.
    pub fn face_helpers(&self) -> Option<&Helpers> {
        self.faces.as_ref().filter(|faces| faces.restorer().is_some()).map(Faces::helpers)
    }

    /// What stops a frame that is under way on another thread: one for each network that takes long.
    pub fn cancellers(&self) -> Vec<Arc<dyn Cancel>> {
        let upscaler = self.loaded.as_ref().map(|loaded| loaded.canceller.clone());
        let light = self.light.as_ref().map(|light| light.loaded.canceller.clone());
        let faces = self.faces.iter().flat_map(Faces::cancellers);
        upscaler.into_iter().chain(light).chain(faces).collect()
    }

    /// The network for frames that have no time for the other.
    pub fn light(&self) -> Option<&Loaded> {
        self.light.as_ref().map(|light| &light.loaded)
    }

    /// What upscales, `None` without a network.
    pub fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }
}

fn open_upscaler<S: TensorSample>(
    settings: &Settings,
    model: &str,
) -> Result<(Upscaler<S>, Loaded), EnhanceError> {
    let beside = settings.beside.as_deref();
    let path = registry::resolve(model, settings.factor, beside)?;
    let file = UpscalerFile::read(&path)?;
    let runtime = runtime::load(settings.runtime.as_deref(), beside)?;
    let network = OnnxNetwork::<S>::load(runtime, &file, &settings.options)?;
    let tiler = Tiler::new(limits(settings, &file));
    let (canceller, active, users) = (network.canceller(), network.active().clone(), network.users());
    let upscaler = Upscaler::new(Box::new(network), tiler);
    let loaded = Loaded { scale: upscaler.scale(), model: file.name, active, runtime, canceller, users };
    Ok((upscaler, loaded))
}

/// The face stage, if there is anything for it to do, else why there is not.
fn open_faces(settings: &Settings) -> Result<(Option<Faces>, Option<String>), EnhanceError> {
    let faces = face::Settings {
        options: settings.options.clone(),
        beside: settings.beside.clone(),
        ..settings.faces.clone()
    };
    match faces.plan()? {
        Plan::Nothing(reason) => Ok((None, reason)),
        plan => match runtime::load(settings.runtime.as_deref(), settings.beside.as_deref()) {
            Ok(runtime) => Ok((Faces::open(&faces, &plan, runtime)?, None)),
            // Whoever asked for nothing in particular can do without, where no other network runs either.
            Err(error) if settings.model.is_none() && faces.is_automatic() => {
                Ok((None, Some(format!("faces are left as they are: {error}"))))
            }
            Err(error) => Err(error.into()),
        },
    }
}

/// What the upscaler did.
#[derive(Default)]
struct Upscaled {
    tiles: usize,
    left_out: usize,
    /// Pixels of the input, context included, where not all were run.
    pixels: usize,
    time: Duration,
}

/// What may be made of outputs before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// Nobody asked.
    Off,
    /// Nothing, for this reason.
    Whole(Whole),
    /// Whatever the temporal stage says.
    Parts,
}

impl Reuse {
    fn controls(self, controls: &Controls) -> temporal::Controls {
        let mut temporal = controls.temporal;
        if self != Self::Parts {
            temporal.reuse.amount = 0.0;
        }
        temporal
    }

    fn report(
        self,
        look: Look,
        refresh: Option<(&Refresh, u32)>,
        upscaled: Option<&Upscaled>,
        small: Size,
    ) -> Option<Reused> {
        let all = |why| Some(Reused { area: 1.0, oldest: 0, whole: Some(why) });
        match (self, refresh) {
            (Self::Off, _) => None,
            (Self::Whole(why), _) => all(why),
            (Self::Parts, Some((Refresh::Parts(_), oldest))) if matches!(look, Look::Compared { .. }) => {
                let pixels = upscaled.map_or(0, |upscaled| upscaled.pixels);
                let area = pixels as f32 / (small.width * small.height) as f32;
                Some(Reused { area, oldest, whole: None })
            }
            (Self::Parts, _) if matches!(look, Look::Compared { .. }) => all(Whole::NearlyAll),
            (Self::Parts, _) => all(Whole::Begins),
        }
    }
}

/// Runs the network on what the temporal stage wants of a frame.
fn run_wanted<S: Sample>(
    upscaler: Option<&mut Upscaler<S>>,
    temporal: &Temporal<S>,
    input: View<'_, S>,
    output: ViewMut<'_, S>,
) -> Result<Upscaled, InferError> {
    let areas = match temporal.refresh() {
        Some((Refresh::Parts(areas), _)) => areas,
        _ => return run(upscaler, input, output),
    };
    let started = Instant::now();
    let Some(upscaler) = upscaler else { return Ok(Upscaled::default()) };
    let small = Size::of(&input);
    let done = upscaler.run_parts(input, output, areas)?;
    let seen = areas.iter().map(|area| temporal.window().around(*area, small).size);
    let pixels = seen.map(|size| size.width * size.height).sum();
    Ok(Upscaled { tiles: done.tiles, left_out: done.left_out, pixels, time: started.elapsed() })
}

/// The part of a picture that a rectangle covers, if any.
fn area_of(rect: &Rect, picture: Size) -> Option<Area> {
    // Casts saturate.
    let (left, top) = (rect.x as usize, rect.y as usize);
    let right = ((rect.x + rect.width).ceil() as usize).min(picture.width);
    let bottom = ((rect.y + rect.height).ceil() as usize).min(picture.height);
    (left < right && top < bottom).then(|| Area {
        x: left,
        y: top,
        size: Size::new(right - left, bottom - top),
    })
}

fn run<S: Sample>(
    upscaler: Option<&mut Upscaler<S>>,
    input: View<'_, S>,
    output: ViewMut<'_, S>,
) -> Result<Upscaled, InferError> {
    let started = Instant::now();
    let done = match upscaler {
        Some(upscaler) => upscaler.run(input, output)?,
        None => {
            copy(input, output);
            upscale::Done::default()
        }
    };
    Ok(Upscaled { tiles: done.tiles, left_out: done.left_out, pixels: 0, time: started.elapsed() })
}

/// Sides of the pictures that networks are timed on.
const TRIALS: [usize; 2] = [32, 64];

fn expected_time<S: TensorSample>(upscaler: &mut Upscaler<S>, input: Size, output: Size) -> Option<Duration> {
    let pixels = |size: Size| (size.width * size.height) as f64;
    let mut time = |side: usize| {
        let small = Picture::from_elem((side, side, 3), S::from_f32(S::WHITE / 2.0));
        let across = side * output.width / input.width;
        let mut large = Picture::from_elem((across, across, 3), S::zeroed());
        // The first run of a size is that of getting ready for it.
        upscaler.run(small.view(), large.view_mut()).ok()?;
        let started = Instant::now();
        upscaler.run(small.view(), large.view_mut()).ok()?;
        Some(started.elapsed())
    };
    let [least, most] = TRIALS;
    if input.width < most || input.height < most {
        return None;
    }
    // What a run takes besides, whatever the size, is the same for all.
    let more = time(most)?.saturating_sub(time(least)?);
    Some(more.mul_f64(pixels(input) / pixels(Size::new(most, most)) * 4.0 / 3.0))
}

fn limits(settings: &Settings, file: &UpscalerFile) -> Limits {
    let overlap = match settings.tile_overlap {
        0 => file.overlap,
        pixels => pixels,
    };
    match settings.tile_size {
        0 => Limits::by_memory(settings.memory_limit, file.memory_per_pixel, overlap),
        side => Limits { pixels: side * side, overlap },
    }
}
