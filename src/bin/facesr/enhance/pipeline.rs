//! The pipeline that a plan asks for.
//!
//! ```text
//! filesrc - parsebin - multiqueue - decodebin - queue - [deinterlace] [videoflip] videoconvert
//!                          |                              - facesr - queue - videoconvert - encoder - muxer - filesink
//!                          `- sound, subtitles, untouched --------------------------------------------'
//! ```
//!
//! Raw pictures have a source instead of everything before the first queue, or a sink instead of the encoder and everything behind.

use std::path::Path;
use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::container::Container;
use super::counts::Counts;
use super::deinterlace;
use super::input::Input;
use super::parts::{
    bin, cannot_join, converter, even_size, filter, hold, join, link, make, no_pad, parser, queue, scaler,
    sink_pad, src_pad,
};
use super::streams::{Handling, Plan, Track};
use super::{Arguments, colour, duration, text, y4m};
use crate::failure::Failure;

/// The factory that does the work.
pub const ENHANCER: &str = "facesr";

/// Coded data that the multiqueue holds per stream, in bytes. Sound has to wait
/// there for the frames that the element and the encoder's lookahead hold, and
/// for as much as the file is interleaved badly: this is half an hour of it.
const QUEUED_BYTES: u32 = 64 << 20;

/// Decoded pictures that wait on either side of the element: enough for the
/// decoder and the encoder to work while the network does, and no more, since
/// each is a full picture.
const PICTURES: u32 = 2;

/// Least ticks per second of an MP4 track. A multiple of the nominal rate not
/// below this holds a constant rate exactly and any other to 6 microseconds.
const LEAST_TIMESCALE: u32 = 90_000;

/// Parsers for encoders whose output the muxer does not take as it comes.
const PARSERS: &[(&str, &str)] = &[
    ("video/x-h264", "h264parse"),
    ("video/x-h265", "h265parse"),
    ("video/x-av1", "av1parse"),
    ("video/x-vp9", "vp9parse"),
];

/// A pipeline ready to play.
pub struct Graph {
    /// All of it.
    pub pipeline: gst::Pipeline,
    /// The element `facesr`.
    pub enhancer: gst::Element,
    /// What has passed so far.
    pub counts: Arc<Counts>,
    /// Elements that read IN; what fails in them is IN's fault.
    pub readers: Vec<gst::Element>,
    /// Where what is made goes.
    pub sink: gst::Element,
    /// What was written cannot be taken back.
    pub is_piped: bool,
    /// Where an end of stream, put in by hand, reaches every track's muxer pad.
    pub drains: Vec<gst::Pad>,
}

/// Both ends of a pipeline.
pub struct Ends {
    /// IN, where it is raw pictures; a file that GStreamer reads else.
    pub frames: Option<y4m::read::Reader>,
    /// OUT.
    pub sink: gst::Element,
}

/// Writes what it gets into a file.
pub fn file_sink(path: &Path) -> Result<gst::Element, Failure> {
    let sink = make("filesink")?;
    sink.set_property("location", path);
    sink.set_property("sync", false);
    // Nothing waits for a first frame: were IN's damage found before it, the pipeline would stay half started.
    sink.set_property("async", false);
    Ok(sink)
}

impl Graph {
    /// Builds everything from IN to OUT.
    pub fn build(
        input: &Input,
        plan: &Plan,
        container: &Container,
        arguments: &Arguments,
        ends: Ends,
        counts: Arc<Counts>,
    ) -> Result<Graph, Failure> {
        let enhancer = make(ENHANCER)?;
        // Nobody waits for the single frame of a file.
        enhancer.set_property("frames-in-flight", 1u32);
        arguments.element.apply(&enhancer)?;
        let Ends { frames, sink } = ends;
        let pipeline = gst::Pipeline::new();
        // Nothing is shown, so nothing has to wait for a clock.
        pipeline.use_clock(None::<&gst::Clock>);
        pipeline.add(&sink).map_err(cannot_join)?;
        let end = match container.muxer {
            Some(muxer) => {
                let muxer = make(muxer)?;
                if muxer.has_property("movie-timescale") {
                    muxer.set_property("movie-timescale", LEAST_TIMESCALE);
                }
                pipeline.add(&muxer).map_err(cannot_join)?;
                muxer.link(&sink).map_err(cannot_join)?;
                muxer
            }
            None => sink.clone(),
        };
        let mut graph = Graph {
            pipeline,
            enhancer,
            counts,
            readers: Vec::new(),
            sink,
            is_piped: y4m::is_standard(&arguments.output),
            drains: Vec::new(),
        };
        match frames {
            Some(frames) => graph.add_frames(frames, (input, container, arguments), &end)?,
            None => graph.add_file(input, plan, container, arguments, &end)?,
        }
        Ok(graph)
    }

    /// Raw pictures.
    fn add_frames(
        &mut self,
        frames: y4m::read::Reader,
        (input, container, arguments): (&Input, &Container, &Arguments),
        end: &gst::Element,
    ) -> Result<(), Failure> {
        let source: gst::Element = frames.element()?.upcast();
        let queue = queue(PICTURES)?;
        join(&self.pipeline, &[&source, &queue])?;
        Counts::watch_end(&self.counts, &src_pad(&source)?);
        self.readers.push(source);
        self.drains.push(sink_pad(&queue)?);
        let goal = goal(("video_%u", Handling::Enhance), container, input, end)?;
        let tail = self.enhanced(&queue, input, container, arguments)?;
        finish(&tail, &goal, container, arguments)
    }

    /// A file with its tracks.
    fn add_file(
        &mut self,
        input: &Input,
        plan: &Plan,
        container: &Container,
        arguments: &Arguments,
        end: &gst::Element,
    ) -> Result<(), Failure> {
        let source = make("filesrc")?;
        source.set_property("location", &input.path);
        let parse = parser()?;
        let queue = make("multiqueue")?;
        queue.set_property("max-size-buffers", 0u32);
        queue.set_property("max-size-bytes", QUEUED_BYTES);
        queue.set_property("max-size-time", 0u64);
        join(&self.pipeline, &[&source, &parse])?;
        self.pipeline.add(&queue).map_err(cannot_join)?;
        self.readers.extend([source, parse.clone()]);
        let mut entries = Vec::new();
        for track in &plan.tracks {
            let entry = queue.request_pad_simple("sink_%u").ok_or_else(no_pad)?;
            let exit = queue.static_pad(&entry.name().replace("sink", "src")).ok_or_else(no_pad)?;
            if track.handling == Handling::Enhance && input.has_wrong_colour {
                colour::forget(&exit);
            }
            Counts::watch_end(&self.counts, &exit);
            let goal = goal((track.pad, track.handling), container, input, end)?;
            self.add_track(track, &entry, &exit, &goal, (input, container, arguments))?;
            entries.push((track.stream.id.clone(), entry));
        }
        parse.connect_pad_added(move |_, pad| {
            let id = pad.stream_id();
            let entry = entries.iter().find(|(stream, _)| Some(stream.as_str()) == id.as_deref());
            if let Some((_, entry)) = entry {
                // Linked without a look at the caps: what does not fit fails
                // with an error, where a track that stays away would be waited
                // for. A pad left alone is a stream that the plan drops.
                let _ = pad.link_full(entry, gst::PadLinkCheck::empty());
            }
        });
        Ok(())
    }

    fn add_track(
        &mut self,
        track: &Track,
        entry: &gst::Pad,
        exit: &gst::Pad,
        goal: &gst::Pad,
        (input, container, arguments): (&Input, &Container, &Arguments),
    ) -> Result<(), Failure> {
        match track.handling {
            Handling::Copy(None) => {
                self.drains.push(entry.clone());
                link(exit, goal)
            }
            Handling::Copy(Some(parser)) => {
                self.drains.push(entry.clone());
                let parser = make(parser)?;
                self.pipeline.add(&parser).map_err(cannot_join)?;
                link(exit, &sink_pad(&parser)?)?;
                link(&src_pad(&parser)?, goal)
            }
            Handling::Text(text) => {
                self.drains.push(entry.clone());
                text.attach(exit);
                let plain = bin(text::PLAIN)?;
                join(&self.pipeline, &[&plain])?;
                link(exit, &sink_pad(&plain)?)?;
                link(&src_pad(&plain)?, goal)
            }
            Handling::Encode => {
                let encoder = bin(container.audio_encoder)?;
                let head = self.decoded(exit, 0)?;
                join(&self.pipeline, &[&encoder])?;
                head.link(&encoder).map_err(cannot_join)?;
                link(&src_pad(&encoder)?, goal)
            }
            Handling::Enhance => {
                let head = self.decoded(exit, PICTURES)?;
                let tail = self.enhanced(&head, input, container, arguments)?;
                finish(&tail, goal, container, arguments)
            }
        }
    }

    /// A decoder behind `exit`, and the queue that holds what it makes:
    /// `buffers`, or as usual when 0.
    fn decoded(&mut self, exit: &gst::Pad, buffers: u32) -> Result<gst::Element, Failure> {
        let decoder = make("decodebin")?;
        let queue = queue(buffers)?;
        self.pipeline.add_many([&decoder, &queue]).map_err(cannot_join)?;
        link(exit, &sink_pad(&decoder)?)?;
        let entry = sink_pad(&queue)?;
        self.drains.push(entry.clone());
        self.readers.push(decoder.clone());
        decoder.connect_pad_added(move |_, pad| {
            // One stream goes in, so one comes out.
            let _ = pad.link(&entry);
        });
        Ok(queue)
    }

    /// Everything between the decoded picture and the muxer. Answers the last
    /// element.
    fn enhanced(
        &self,
        head: &gst::Element,
        input: &Input,
        container: &Container,
        arguments: &Arguments,
    ) -> Result<gst::Element, Failure> {
        let mut chain = vec![head.clone()];
        if let Some(rate) = arguments.deinterlace {
            chain.push(converter()?);
            chain.push(filter(deinterlace::FORMATS)?);
            chain.push(rate.element()?);
        }
        if let Some(turn) = input.turn {
            // Formats that videoflip does not know are converted, but only for
            // pictures that need turning.
            chain.push(converter()?);
            let flip = make("videoflip")?;
            flip.set_property_from_str("video-direction", turn);
            chain.push(flip);
        }
        chain.push(converter()?);
        chain.push(self.enhancer.clone());
        chain.push(queue(PICTURES)?);
        chain.push(scaler()?);
        chain.push(converter()?);
        let description = container.video_encoder(arguments.encoder.as_deref(), arguments.lossless)?;
        let encoder = match arguments.encoder {
            Some(_) => {
                bin(description).map_err(|err| Failure::Usage(format!("--encoder {description}: {err}")))?
            }
            None => {
                chain.push(filter(if arguments.lossless { "video/x-raw" } else { container.raw })?);
                if container.needs_even_size && !arguments.lossless {
                    chain.push(even_size()?);
                }
                bin(description)?
            }
        };
        chain.push(hold()?);
        chain.push(encoder.clone());
        let coded = src_pad(&encoder)?.query_caps(None);
        if container.muxer.is_some() && !container.takes("video_%u", &coded) {
            let parser = PARSERS.iter().find(|(media, _)| coded.iter().any(|caps| caps.name() == media));
            let (_, parser) = parser.ok_or_else(|| unfit(description, container))?;
            chain.push(make(parser)?);
        }
        for element in &chain {
            // A frame that comes late is still wanted.
            if element.has_property("qos") {
                element.set_property("qos", false);
            }
        }
        let elements: Vec<_> = chain.iter().collect();
        self.pipeline.add_many(&elements[1..]).map_err(cannot_join)?;
        gst::Element::link_many(elements).map_err(cannot_join)?;
        duration::complete(&src_pad(&self.enhancer)?);
        Counts::watch_frames(&self.counts, &sink_pad(&self.enhancer)?, &src_pad(&self.enhancer)?);
        chain.pop().ok_or_else(no_pad)
    }
}

/// Links the enhanced pictures to where they go. Only an encoder of the user's may not fit.
fn finish(
    tail: &gst::Element,
    goal: &gst::Pad,
    container: &Container,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let linked = link(&src_pad(tail)?, goal);
    match &arguments.encoder {
        Some(encoder) => linked.map_err(|_| unfit(encoder, container)),
        None => linked,
    }
}

fn unfit(encoder: &str, container: &Container) -> Failure {
    Failure::Usage(format!("--encoder {encoder}: .{} cannot hold what it makes", container.extensions[0]))
}

/// The pad that a finished track is linked to.
fn goal(
    (template, handling): (&str, Handling),
    container: &Container,
    input: &Input,
    end: &gst::Element,
) -> Result<gst::Pad, Failure> {
    if container.muxer.is_none() {
        return sink_pad(end);
    }
    let pad = end.request_pad_simple(template).ok_or_else(no_pad)?;
    if handling == Handling::Enhance && container.has_timescale && pad.has_property("trak-timescale") {
        let rate = input.frame_rate().map_or(1, |rate| rate.numer().unsigned_abs());
        pad.set_property("trak-timescale", timescale(rate));
    }
    Ok(pad)
}

/// The smallest multiple of `rate` that is fine enough.
fn timescale(rate: u32) -> u32 {
    rate.saturating_mul(LEAST_TIMESCALE.div_ceil(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timescale_holds_the_nominal_rate_exactly() {
        for rate in [1, 10, 24, 25, 2997, 24_000, 30_000, 60_000, 90_000, 120_000, 1_000_000] {
            let scale = timescale(rate);
            assert!(scale.is_multiple_of(rate) && scale >= LEAST_TIMESCALE, "{rate}: {scale}");
            assert!(scale < LEAST_TIMESCALE + rate.max(LEAST_TIMESCALE), "{rate}: {scale}");
        }
    }
}
