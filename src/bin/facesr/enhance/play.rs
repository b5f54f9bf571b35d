//! Runs a pipeline to its end, whatever that is.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::input::Input;
use super::missing::Missing;
use super::pipeline::Graph;
use super::progress::Progress;
use super::stats::Summary;
use crate::failure::{Failure, one_line};
use crate::interrupt;

/// How often the progress is drawn and Ctrl-C looked at.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// How long a frame that is under way may hold up the end. Past it the program
/// leaves without it.
const PATIENCE: Duration = Duration::from_millis(800);

/// How much of the announced duration may be absent before the file counts as
/// cut off: containers round, and a last packet may be shorter than the rest.
const TOLERATED_GAP: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// How much sooner than the file the picture may end: sound is often a little longer.
const TOLERATED_REST: gst::ClockTime = gst::ClockTime::from_mseconds(300);

/// Plays until the end of IN, an error, or Ctrl-C.
pub fn play(graph: Graph, input: &Input, progress: &mut Progress) -> Result<Summary, Failure> {
    let started = Instant::now();
    let result = watch(&graph, input, progress);
    let seconds = started.elapsed().as_secs_f64();
    // Read while the element still has its network.
    let summary = result.map(|warnings| Summary::new(&graph, seconds, warnings));
    stop(&graph.pipeline);
    summary
}

fn watch(graph: &Graph, input: &Input, progress: &mut Progress) -> Result<Vec<String>, Failure> {
    let bus = graph.pipeline.bus().ok_or_else(|| Failure::Failed("a pipeline without a bus".into()))?;
    let mut missing = Missing::default();
    let mut damage: Option<String> = None;
    let mut warnings = Vec::new();
    let mut complaints = Complaints::default();
    // A failed start is told in full by the error message that follows it.
    let _ = graph.pipeline.set_state(gst::State::Playing);
    loop {
        if interrupt::asked() {
            let written = if graph.is_piped { "and handed on" } else { "nothing was written" };
            let frames = graph.counts.enhanced();
            return Err(Failure::Interrupted(format!("{frames} frames were done, {written}")));
        }
        progress.tick(&graph.counts);
        let Some(message) = bus.timed_pop(TICK) else { continue };
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Element(_) => missing.note(&message),
            gst::MessageView::Warning(warning)
                if [&graph.enhancer, &graph.sink]
                    .iter()
                    .any(|who| message.src() == Some(who.upcast_ref())) =>
            {
                warnings.push(one_line(warning.error().message()));
            }
            gst::MessageView::Warning(warning) => complaints.note(graph, warning),
            gst::MessageView::Error(error) => match judge(graph, input, error) {
                // The rest of a damaged file is lost, but not what came before.
                Err(Failure::Input(line)) if graph.counts.decoded() > 0 => {
                    if damage.is_none() {
                        drain(graph);
                    }
                    damage.get_or_insert(line);
                }
                Err(failure) => return Err(missing.or(&input.path, failure)),
                Ok(()) => {}
            },
            _ => {}
        }
    }
    progress.tick(&graph.counts);
    warnings.extend(complaints.sentence(input));
    warnings.extend(holes(graph, input));
    warnings.extend(conclude(graph, input, damage)?);
    Ok(warnings)
}

/// What readers said of damage that they went on from.
#[derive(Default)]
struct Complaints {
    first: Option<String>,
    count: usize,
}

impl Complaints {
    fn note(&mut self, graph: &Graph, warning: &gst::message::Warning) {
        let is_reader = |source: &gst::Object| {
            graph.readers.iter().any(|reader| source == reader || source.has_as_ancestor(reader))
        };
        let cause = warning.error();
        let is_damage = cause.matches(gst::StreamError::Decode)
            || cause.matches(gst::StreamError::Demux)
            || cause.matches(gst::ResourceError::Read);
        if is_damage && warning.src().is_some_and(is_reader) {
            self.first.get_or_insert_with(|| one_line(cause.message()));
            self.count += 1;
        }
    }

    fn sentence(self, input: &Input) -> Option<String> {
        let times = if self.count == 1 { "once".into() } else { format!("{} times", self.count) };
        let first = self.first?;
        Some(format!("{}: may be damaged: its reader complained {times}: {first}", input.path.display()))
    }
}

/// Pictures that are missing in the middle.
fn holes(graph: &Graph, input: &Input) -> Option<String> {
    let missing = graph.counts.missing()?;
    let places = if missing.places == 1 { String::new() } else { format!(" in {} places", missing.places) };
    Some(format!(
        "{}: may be damaged: pictures for {:.1} s are missing{places}, from {:.1} s on",
        input.path.display(),
        seconds(missing.length),
        seconds(missing.from)
    ))
}

/// Whose fault an error is.
fn judge(graph: &Graph, input: &Input, error: &gst::message::Error) -> Result<(), Failure> {
    let Some(source) = error.src() else { return Err(Failure::Failed(one_line(error.error().message()))) };
    let within = |element: &gst::Element| source == element || source.has_as_ancestor(element);
    if within(&graph.enhancer) {
        return Err(Failure::from_element(error));
    }
    let details = error.debug().map(|text| text.to_string()).unwrap_or_default();
    let cause = error.error();
    if details.contains("not-negotiated") {
        return Err(Failure::Failed(format!(
            "{}: the picture changes its size or format at frame {}, which OUT cannot follow; cut the file there",
            input.path.display(),
            graph.counts.decoded()
        )));
    }
    if graph.readers.iter().any(within) {
        return Err(Failure::Input(format!(
            "{}: cannot be read: {}",
            input.path.display(),
            one_line(cause.message())
        )));
    }
    if cause.matches(gst::ResourceError::NoSpaceLeft) {
        return Err(Failure::Failed("no space left on the disk that OUT is on; nothing was written".into()));
    }
    if within(&graph.sink) && graph.sink.is::<gst_app::AppSink>() {
        // Our own words.
        return Err(Failure::Failed(one_line(cause.message())));
    }
    let name = source.downcast_ref::<gst::Element>().and_then(|element| element.factory());
    let name = name.map_or_else(|| source.name().to_string(), |factory| factory.name().to_string());
    Err(Failure::Failed(format!("{name}: {}", one_line(cause.message()))))
}

/// Ends every track by hand, so that the muxer completes the file.
fn drain(graph: &Graph) {
    for pad in graph.drains.clone() {
        // Each waits for whatever its own thread still does.
        std::thread::spawn(move || pad.send_event(gst::event::Eos::new()));
    }
}

/// What to warn of after a run that came to its end.
fn conclude(graph: &Graph, input: &Input, damage: Option<String>) -> Result<Option<String>, Failure> {
    let shown = input.path.display();
    let (decoded, enhanced) = (graph.counts.decoded(), graph.counts.enhanced());
    if enhanced == 0 {
        return Err(Failure::Input(format!("{shown}: holds no frame that can be decoded")));
    }
    if decoded != enhanced {
        return Err(Failure::Failed(format!(
            "{decoded} frames went in and {enhanced} came out; nothing was written"
        )));
    }
    let end = graph.counts.end();
    if let Some(damage) = damage {
        return Ok(Some(format!(
            "{damage}; what came before is kept: {enhanced} frames, {:.1} s",
            seconds(end)
        )));
    }
    let Some(announced) = input.duration.filter(|_| !input.is_still) else { return Ok(None) };
    if end + TOLERATED_GAP < announced {
        return Ok(Some(format!(
            "{shown}: is cut off: {:.1} s of {:.1} s could be read, {enhanced} frames, and are kept",
            seconds(end),
            seconds(announced)
        )));
    }
    let end = graph.counts.picture_end().filter(|end| *end + TOLERATED_REST < announced);
    Ok(end.map(|end| {
        format!("{shown}: its picture ends at {:.1} s of {:.1} s", seconds(end), seconds(announced))
    }))
}

fn seconds(time: gst::ClockTime) -> f64 {
    time.nseconds() as f64 / 1e9
}

/// Stops the pipeline, but does not wait for a frame that takes long: the
/// hidden file is removed in any case, and leaving ends the thread.
fn stop(pipeline: &gst::Pipeline) {
    let (done, wait) = mpsc::channel();
    let pipeline = pipeline.clone();
    std::thread::spawn(move || {
        let _ = pipeline.set_state(gst::State::Null);
        // Nobody listens any more when patience has run out.
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(PATIENCE);
}
