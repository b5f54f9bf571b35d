//! One video file or picture, decoded as fast as its frames are asked for.
//!
//! ```text
//! filesrc - parsebin - decodebin - queue - [videoflip] videoconvert - appsink
//! ```
//! Raw pictures (YUV4MPEG2) have a source of our own before the queue: GStreamer's reads 8 bits alone.
//! Frames keep the format that the decoder gives wherever the enhancer knows it, and become RGB by
//! the same conversion as there, so that nothing is measured that GStreamer's converter did.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstfacesr::frame::{Conversion, Direction, FORMATS, working_bits};
use gstfacesr::image::Size;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::Still;
use crate::enhance::colour;
use crate::enhance::input::{Input, Stream};
use crate::enhance::missing::Missing;
use crate::enhance::parts::{cannot_join, converter, join, link, make, queue, sink_pad, src_pad};
use crate::enhance::y4m;
use crate::failure::{Failure, one_line};
use crate::interrupt;

/// Decoded pictures that wait to be asked for, twice: in the queue and in the sink.
const PICTURES: u32 = 2;

/// How often Ctrl-C and errors are looked at.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// A file and how far it has been read.
pub struct Clip {
    input: Input,
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    missing: Missing,
    reader: Option<Reader>,
    size: Option<Size>,
    frames: usize,
}

impl Clip {
    /// Looks at the file and starts to decode it.
    pub fn open(path: &Path) -> Result<Clip, Failure> {
        // Standard input can be read but once, and clips are read as often as it takes.
        let frames = if y4m::is_standard(path) { None } else { y4m::read::Reader::open(path)? };
        let input = match &frames {
            Some(frames) => frames.input(path)?,
            None => Input::open(path)?,
        };
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(PICTURES).caps(&formats()).build();
        sink.set_property("enable-last-sample", false);
        let pipeline = build(&input, frames, &sink)?;
        // A failed start is told in full by the error message that follows it.
        let _ = pipeline.set_state(gst::State::Playing);
        let (missing, reader, size) = (Missing::default(), None, None);
        Ok(Clip { input, pipeline, sink, missing, reader, size, frames: 0 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.input.path
    }

    /// How many frames were read.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The next picture, none at the end.
    pub fn next(&mut self) -> Result<Option<Still>, Failure> {
        let Some(sample) = self.sample()? else { return Ok(None) };
        let shown = self.input.path.display();
        let broken =
            || Failure::Input(format!("{shown}: frame {} cannot be read as a picture", self.frames - 1));
        let info =
            sample.caps().and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok()).ok_or_else(broken)?;
        let size = gstfacesr::frame::size(&info);
        if let Some(before) = self.size.filter(|before| *before != size) {
            return Err(Failure::Input(format!(
                "{shown}: the picture changes from {before} to {size} at frame {}; cut the file there",
                self.frames - 1
            )));
        }
        self.size = Some(size);
        let reader = match self.reader.take() {
            Some(reader) if reader.info == info => reader,
            _ => Reader::new(info).map_err(|_| broken())?,
        };
        let reader = self.reader.insert(reader);
        let still = sample.buffer().and_then(|buffer| reader.read(buffer));
        still.map(Some).ok_or_else(|| {
            Failure::Input(format!("{shown}: frame {} cannot be read as a picture", self.frames - 1))
        })
    }

    /// Reads over the next picture; answers whether there was one.
    pub fn skip(&mut self) -> Result<bool, Failure> {
        Ok(self.sample()?.is_some())
    }

    fn sample(&mut self) -> Result<Option<gst::Sample>, Failure> {
        loop {
            // Before the sample: while one frame is measured the next gets ready.
            if interrupt::asked() {
                return Err(Failure::Interrupted("nothing was written".into()));
            }
            if let Some(sample) = self.sink.try_pull_sample(TICK) {
                self.frames += 1;
                return Ok(Some(sample));
            }
            self.complaint()?;
            if self.sink.is_eos() {
                return Ok(None);
            }
        }
    }

    /// What the pipeline has complained of since the last look. The frames before it have
    /// been taken by then.
    fn complaint(&mut self) -> Result<(), Failure> {
        let bus = self.pipeline.bus().ok_or_else(|| Failure::Failed("a pipeline without a bus".into()))?;
        while let Some(message) = bus.pop() {
            match message.view() {
                gst::MessageView::Element(_) => self.missing.note(&message),
                gst::MessageView::Error(error) => {
                    let (path, cause) = (&self.input.path, one_line(error.error().message()));
                    let line =
                        format!("{}: cannot be read past frame {}: {cause}", path.display(), self.frames);
                    return Err(self.missing.or(path, Failure::Input(line)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Clip {
    fn drop(&mut self) {
        // Only reads, so it has nothing to lose and stops at once.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Raw video in any format that [`Conversion`] takes.
fn formats() -> gst::Caps {
    gst_video::VideoCapsBuilder::new().format_list(FORMATS.iter().copied()).build()
}

fn build(
    input: &Input,
    frames: Option<y4m::read::Reader>,
    sink: &gst_app::AppSink,
) -> Result<gst::Pipeline, Failure> {
    let pipeline = gst::Pipeline::new();
    let queue = queue(PICTURES)?;
    let mut chain = vec![queue.clone()];
    if let Some(turn) = input.turn {
        chain.push(converter()?);
        let flip = make("videoflip")?;
        flip.set_property_from_str("video-direction", turn);
        chain.push(flip);
    }
    chain.push(converter()?);
    chain.push(sink.clone().upcast());
    join(&pipeline, &chain.iter().collect::<Vec<_>>())?;
    let entry = sink_pad(&queue)?;
    match frames {
        Some(frames) => {
            let source = frames.element()?;
            pipeline.add(&source).map_err(cannot_join)?;
            link(&src_pad(source.upcast_ref())?, &entry)?;
        }
        None => decode(input, &pipeline, entry)?,
    }
    Ok(pipeline)
}

/// The first video of a file, decoded into `entry`.
fn decode(input: &Input, pipeline: &gst::Pipeline, entry: gst::Pad) -> Result<(), Failure> {
    let (source, parse) = (make("filesrc")?, make("parsebin")?);
    source.set_property("location", &input.path);
    join(pipeline, &[&source, &parse])?;
    let decoder = make("decodebin")?;
    pipeline.add(&decoder).map_err(cannot_join)?;
    decoder.connect_pad_added(move |_, pad| {
        // One stream goes in, so one comes out.
        let _ = pad.link(&entry);
    });
    let entry = sink_pad(&decoder)?;
    let video =
        input.streams.iter().find(|stream| stream.is_video()).map(|stream: &Stream| stream.id.clone());
    let (forget, taken) = (input.has_wrong_colour, AtomicBool::new(false));
    parse.connect_pad_added(move |_, pad| {
        let wanted = pad.stream_id().as_deref() == video.as_deref();
        if wanted && !taken.swap(true, Ordering::Relaxed) {
            if forget {
                colour::forget(pad);
            }
            // Without a decoder, decodebin says so itself.
            let _ = link(pad, &entry);
        } else {
            pad.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Drop);
        }
    });
    Ok(())
}

/// Reads frames of one format.
struct Reader {
    info: gst_video::VideoInfo,
    conversion: Depth,
}

enum Depth {
    Eight(Conversion<u8>),
    Sixteen(Conversion<u16>),
}

impl Reader {
    fn new(info: gst_video::VideoInfo) -> Result<Reader, gst::glib::BoolError> {
        let conversion = match working_bits(&info) {
            8 => Depth::Eight(Conversion::new(&info, Direction::In, &Arc::default())?),
            _ => Depth::Sixteen(Conversion::new(&info, Direction::In, &Arc::default())?),
        };
        Ok(Reader { info, conversion })
    }

    fn read(&mut self, buffer: &gst::BufferRef) -> Option<Still> {
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &self.info).ok()?;
        match &mut self.conversion {
            Depth::Eight(conversion) => {
                conversion.read(&frame).map(|picture| Still::Eight(picture.to_owned()))
            }
            Depth::Sixteen(conversion) => {
                conversion.read(&frame).map(|picture| Still::Sixteen(picture.to_owned()))
            }
        }
    }
}
