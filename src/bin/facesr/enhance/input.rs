//! Looks at IN before anything is built for it: which streams there are, what
//! the first decoded picture is like, how long it lasts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video::VideoInfo;

use super::missing::Missing;
use super::parts::{join, make, parser};
use super::rest::Rest;
use super::{colour, exif, first_picture, png};
use crate::failure::{Failure, one_line};
use crate::interrupt;

/// What there is to know about IN.
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Every stream in it, in its order.
    pub streams: Vec<Stream>,
    /// The picture as it comes from the decoder.
    pub picture: gst::Caps,
    /// What turns the picture upright, where a tag says that it lies on its side or stands on its head:
    /// a direction in the words of videoflip.
    pub turn: Option<&'static str>,
    /// The coded video says that it uses the full range of values and the
    /// container says otherwise. Readers of MP4 overlook that flag, so the video
    /// is right; to believe the container would stretch its contrast.
    pub has_wrong_colour: bool,
    /// What the container says, where it does.
    pub duration: Option<gst::ClockTime>,
    /// It has chapters.
    pub has_chapters: bool,
    /// It is a picture file, not a film of one frame.
    pub is_still: bool,
}

/// One stream of IN.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The same each time the file is opened.
    pub id: String,
    /// What it holds, still coded.
    pub caps: gst::Caps,
}

impl Stream {
    fn of(stream: &gst::Stream) -> Option<Stream> {
        let caps = stream.caps().unwrap_or_else(gst::Caps::new_empty);
        Some(Stream { id: stream.stream_id()?.to_string(), caps })
    }

    /// The media type, `video/x-h264`.
    pub fn media(&self) -> &str {
        self.caps.structure(0).map_or("", |structure| structure.name().as_str())
    }

    /// Coded pictures.
    pub fn is_video(&self) -> bool {
        self.media().starts_with("video/") || self.media().starts_with("image/")
    }

    /// Coded or raw sound.
    pub fn is_audio(&self) -> bool {
        self.media().starts_with("audio/")
    }
}

impl Input {
    /// Whether the picture consists of fields, or may.
    pub fn is_interlaced(&self) -> bool {
        self.picture
            .structure(0)
            .and_then(|structure| structure.get::<&str>("interlace-mode").ok())
            .is_some_and(|mode| mode != "progressive")
    }

    /// Bits of a sample.
    pub fn depth(&self) -> u32 {
        VideoInfo::from_caps(&self.picture)
            .map_or(8, |info| info.format_info().depth().iter().copied().max().unwrap_or(8))
    }

    /// Nominal frames per second, where there is such a number.
    pub fn frame_rate(&self) -> Option<gst::Fraction> {
        self.picture
            .structure(0)
            .and_then(|structure| structure.get::<gst::Fraction>("framerate").ok())
            .filter(|rate| rate.numer() > 0)
    }

    /// Opens the file and reads until one picture is decoded.
    pub fn open(path: &Path) -> Result<Input, Failure> {
        check_file(path)?;
        let pipeline = gst::Pipeline::new();
        let result = watch(path, &pipeline);
        // A probe pipeline holds nothing back: this returns at once, and its
        // result tells nothing that matters here.
        let _ = pipeline.set_state(gst::State::Null);
        result
    }
}

/// What the file system already knows.
fn check_file(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let about = std::fs::metadata(path).map_err(|err| match err.kind() {
        std::io::ErrorKind::NotFound => Failure::Input(format!("{shown}: there is no such file")),
        _ => Failure::Input(format!("{shown}: cannot be read: {err}")),
    })?;
    if about.is_dir() {
        return Err(Failure::Input(format!("{shown}: is a directory; name one video file or picture")));
    }
    // A pipe may be silent for ever, and can be read but once.
    if !about.is_file() {
        return Err(Failure::Input(format!(
            "{shown}: is a pipe or device; name a file (`facesr enhance - OUT` takes YUV4MPEG2 from a pipe)"
        )));
    }
    if about.len() == 0 {
        return Err(Failure::Input(format!("{shown}: is empty (0 bytes); copy it again from its source")));
    }
    std::fs::File::open(path)
        .map(drop)
        .map_err(|err| Failure::Input(format!("{shown}: cannot be read: {err}")))?;
    if png::misread(path) == Some(png::Misread::Colours) {
        return Err(Failure::Input(format!(
            "{shown}: is a PNG of 16 bits a colour, whose colours GStreamer reads wrongly; make it one of 8 bits, for example with `ffmpeg -i FILE -pix_fmt rgb24 NEW.png`"
        )));
    }
    Ok(())
}

fn watch(path: &Path, pipeline: &gst::Pipeline) -> Result<Input, Failure> {
    let parse = build(path, pipeline)?;
    let bus = pipeline.bus().ok_or_else(|| Failure::Failed("a pipeline without a bus".into()))?;
    let mut input = Input {
        path: path.to_owned(),
        streams: Vec::new(),
        picture: gst::Caps::new_empty(),
        turn: None,
        has_wrong_colour: false,
        duration: None,
        has_chapters: false,
        is_still: false,
    };
    let (mut missing, mut rest) = (Missing::default(), Rest::default());
    // A failed start is told in full by the error message that follows it.
    let _ = pipeline.set_state(gst::State::Playing);
    loop {
        if interrupt::asked() {
            return Err(Failure::Interrupted("nothing was written".into()));
        }
        let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(50)) else {
            if rest.is_final(pipeline) {
                return Err(missing.or(path, silent(path)));
            }
            continue;
        };
        match message.view() {
            gst::MessageView::Toc(_) => input.has_chapters = true,
            gst::MessageView::Element(_) => missing.note(&message),
            gst::MessageView::StreamCollection(found) if message.src() == Some(parse.upcast_ref()) => {
                input.streams =
                    found.stream_collection().iter().filter_map(|stream| Stream::of(&stream)).collect();
                if !input.streams.iter().any(Stream::is_video) {
                    let shown = path.display();
                    return Err(missing.or(
                        path,
                        Failure::Input(format!("{shown}: holds no video, only {}", names(&input.streams))),
                    ));
                }
            }
            gst::MessageView::Error(error) => return Err(missing.or(path, unreadable(path, error))),
            gst::MessageView::Eos(_) => {
                return Err(missing.or(
                    path,
                    Failure::Input(format!("{}: holds no frame that can be decoded", path.display())),
                ));
            }
            gst::MessageView::Application(note) => match note.structure() {
                Some(note) if note.has_name("first-picture") => {
                    input.picture = note.get("caps").unwrap_or_else(|_| gst::Caps::new_empty());
                    input.duration = pipeline.query_duration();
                    input.is_still = is_picture_file(&parse);
                    // Its tag passes videoflip, too.
                    let is_tagged = note.get("turned").unwrap_or(false);
                    input.turn = if is_tagged { Some("auto") } else { exif::turn(path) };
                    input.has_wrong_colour =
                        colour::is_full_range(&input.picture) && note.get("limited").unwrap_or(false);
                }
                _ => {}
            },
            _ => {}
        }
        // The two come in either order.
        if !input.streams.is_empty() && !input.picture.is_empty() {
            return Ok(input);
        }
    }
}

/// `filesrc ! parsebin`, with a decoder on the first video and nothing on the rest.
fn build(path: &Path, pipeline: &gst::Pipeline) -> Result<gst::Element, Failure> {
    let source = make("filesrc")?;
    source.set_property("location", path);
    let parse = parser()?;
    join(pipeline, &[&source, &parse])?;

    let weak = pipeline.downgrade();
    let has_video = AtomicBool::new(false);
    parse.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        let is_video =
            pad.stream().is_some_and(|stream| stream.stream_type().contains(gst::StreamType::VIDEO));
        if is_video && !has_video.swap(true, Ordering::Relaxed) {
            let limited = colour::forget(pad);
            first_picture::decode(&pipeline, pad, limited);
        } else {
            // Not a sink: it would wait for the video to start, and the video
            // for the reader that it holds up.
            pad.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Drop);
        }
    });
    Ok(parse)
}

/// Whether the file as a whole, not one of its streams, is a picture.
fn is_picture_file(parse: &gst::Element) -> bool {
    parse
        .downcast_ref::<gst::Bin>()
        .and_then(|bin| bin.by_name("typefind"))
        .and_then(|typefind| typefind.property::<Option<gst::Caps>>("caps"))
        .is_some_and(|caps| caps.structure(0).is_some_and(|found| found.name().starts_with("image/")))
}

fn names(streams: &[Stream]) -> String {
    let names: Vec<_> = streams.iter().map(Stream::media).collect();
    if names.is_empty() { "data of unknown type".into() } else { names.join(", ") }
}

/// What it means that a reader stopped without a word.
fn silent(path: &Path) -> Failure {
    Failure::Input(format!(
        "{}: cannot be read: it ends or is damaged before its first frame; copy it again from its source",
        path.display()
    ))
}

/// What a reader's error means to somebody who has only the file.
fn unreadable(path: &Path, error: &gst::message::Error) -> Failure {
    let shown = path.display();
    let cause = error.error();
    let details = error.debug().map(|text| text.to_string()).unwrap_or_default();
    Failure::Input(
        if cause.matches(gst::StreamError::TypeNotFound) || cause.matches(gst::StreamError::WrongType) {
            format!("{shown}: is not a video or picture that GStreamer knows")
        } else if details.contains("moov")
            || ["incomplete", "no playable streams"].iter().any(|text| cause.message().contains(text))
        {
            format!(
                "{shown}: holds no index of its frames: it is probably cut off; copy it again, or rebuild the index with a repair tool"
            )
        } else {
            format!("{shown}: cannot be read: {}", one_line(cause.message()))
        },
    )
}
