//! Decides what becomes of each stream of IN, before anything runs.

use gstreamer as gst;
use gstreamer_video::VideoInfo;

use super::container::{Container, Content};
use super::input::{Input, Stream};
use super::png;
use super::text::Text;

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Decoded, enhanced, encoded: the first video.
    Enhance,
    /// Passed on as it is, through this parser if one has to reframe it.
    Copy(Option<&'static str>),
    /// Sound in a form that the container cannot hold.
    Encode,
    /// Subtitles whose text has to be rewritten.
    Text(Text),
}

/// A stream that goes into OUT.
#[derive(Debug)]
pub struct Track {
    /// The stream.
    pub stream: Stream,
    /// The muxer's pad template.
    pub pad: &'static str,
    /// What is done to it.
    pub handling: Handling,
}

/// All tracks of OUT, and what the user should know about the other streams.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order of IN, the enhanced video first.
    pub tracks: Vec<Track>,
    /// One line per stream that is changed or lost on the way.
    pub notes: Vec<String>,
}

impl Plan {
    /// The plan for `input` into `container`.
    pub fn new(input: &Input, container: &Container) -> Plan {
        let mut plan = Plan::default();
        let enhanced = input.streams.iter().position(Stream::is_video);
        for (number, stream) in input.streams.iter().enumerate() {
            if Some(number) == enhanced {
                let track = Track { stream: stream.clone(), pad: "video_%u", handling: Handling::Enhance };
                plan.tracks.insert(0, track);
            } else if container.content == Content::Film {
                plan.add(number, stream, container);
            }
        }
        if input.is_still && container.content == Content::Still {
            plan.notes.extend(lost_of_still(input, container));
        }
        if input.has_chapters && !container.has_chapters {
            plan.notes.push(format!(
                "the chapters are dropped: {} cannot take them here; .mkv can",
                ending(container)
            ));
        }
        plan
    }

    fn add(&mut self, number: usize, stream: &Stream, container: &Container) {
        let media = stream.media();
        let dropped = |why: &str| format!("stream {number} ({media}) is dropped: {why}");
        let chosen = if container.is_raw {
            Err(dropped("y4m holds the picture alone"))
        } else if stream.is_audio() {
            let (caps, parser) = reframed(stream);
            if container.takes("audio_%u", &caps) {
                Ok(("audio_%u", Handling::Copy(parser)))
            } else {
                let codec = container.audio_codec;
                let end = ending(container);
                self.notes.push(format!(
                    "stream {number} ({media}) is encoded anew as {codec}: {end} cannot hold it as it is"
                ));
                Ok(("audio_%u", Handling::Encode))
            }
        } else if stream.is_video() {
            Err(dropped("only the first video stream is enhanced"))
        } else if media.starts_with("closedcaption/") && container.takes("caption_%u", &stream.caps) {
            Ok(("caption_%u", Handling::Copy(None)))
        } else if container.takes("subtitle_%u", &stream.caps) {
            Ok(("subtitle_%u", Handling::Copy(None)))
        } else if let Some(text) = Text::from(&stream.caps, container.has_markup) {
            if text.loses_styles() {
                let end = ending(container);
                self.notes
                    .push(format!("stream {number} ({media}) loses its styles: {end} cannot hold them"));
            }
            Ok(("subtitle_%u", Handling::Text(text)))
        } else {
            Err(dropped(&format!("{} cannot hold it", ending(container))))
        };
        match chosen {
            Ok((pad, handling)) => self.tracks.push(Track { stream: stream.clone(), pad, handling }),
            Err(note) => self.notes.push(note),
        }
    }
}

/// What a muxer will see of the stream, and the parser that makes it so: AAC
/// from broadcast streams comes with a header per frame that files do without.
fn reframed(stream: &Stream) -> (gst::Caps, Option<&'static str>) {
    let mut caps = stream.caps.clone();
    let is_framed_aac = caps.structure(0).is_some_and(|structure| {
        structure.has_name("audio/mpeg")
            && matches!(structure.get::<i32>("mpegversion"), Ok(2 | 4))
            && structure.get::<&str>("stream-format") != Ok("raw")
    });
    if !is_framed_aac {
        return (caps, None);
    }
    caps.make_mut().set("stream-format", "raw");
    (caps, Some("aacparse"))
}

/// What a picture loses on the way into a picture file.
fn lost_of_still(input: &Input, container: &Container) -> Vec<String> {
    let mut notes = Vec::new();
    let is_grey = VideoInfo::from_caps(&input.picture).is_ok_and(|info| info.is_gray());
    let depth = input.depth();
    let holds = if is_grey { container.grey_depth } else { 8 };
    if depth > holds {
        let kind = if is_grey { "" } else { " of pictures with colours or alpha" };
        notes.push(format!(
            "the picture has {depth} bits a sample: {} is written with {holds}{kind}",
            ending(container)
        ));
    }
    if png::misread(&input.path) == Some(png::Misread::Alpha) {
        notes.push("GStreamer reads the alpha of PNG files of 16 bits a pixel too far to the right".into());
    }
    notes
}

fn ending(container: &Container) -> String {
    format!(".{}", container.extensions[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::str::FromStr;

    /// The handling of `caps` as a second stream beside a video.
    fn handling(out: &str, caps: &str) -> Option<Handling> {
        gst::init().unwrap();
        let stream =
            |id: &str, caps: &str| Stream { id: id.into(), caps: gst::Caps::from_str(caps).unwrap() };
        let input = Input {
            path: PathBuf::from("in.mkv"),
            streams: vec![stream("a", "video/x-h264"), stream("b", caps)],
            picture: gst::Caps::new_empty(),
            turn: None,
            has_wrong_colour: false,
            duration: None,
            has_chapters: false,
            is_still: false,
        };
        let plan = Plan::new(&input, Container::of(Path::new(out)).unwrap());
        assert_eq!(plan.tracks[0].handling, Handling::Enhance);
        let handling = plan.tracks.get(1).map(|track| track.handling);
        // Whoever loses or changes a stream says so.
        assert_eq!(
            plan.notes.is_empty(),
            !matches!(handling, None | Some(Handling::Encode))
                && !matches!(handling, Some(Handling::Text(text)) if text.loses_styles()),
            "{:?}",
            plan.notes
        );
        handling
    }

    const AAC: &str = "audio/mpeg,mpegversion=4,stream-format=raw,channels=2,rate=48000";
    const ADTS: &str = "audio/mpeg,mpegversion=4,stream-format=adts,channels=2,rate=48000";

    #[test]
    fn sound_that_fits_is_never_encoded_anew() {
        for out in ["a.mp4", "a.mov", "a.mkv"] {
            assert_eq!(handling(out, AAC), Some(Handling::Copy(None)), "{out}");
            assert_eq!(handling(out, ADTS), Some(Handling::Copy(Some("aacparse"))), "{out}");
        }
        assert_eq!(handling("a.webm", "audio/x-opus,channels=2,rate=48000"), Some(Handling::Copy(None)));
        assert_eq!(handling("a.mkv", "audio/x-flac,channels=2,rate=48000"), Some(Handling::Copy(None)));
    }

    #[test]
    fn sound_that_does_not_fit_is_encoded() {
        assert_eq!(handling("a.webm", AAC), Some(Handling::Encode));
        assert_eq!(handling("a.mp4", "audio/x-vorbis,channels=2,rate=48000"), Some(Handling::Encode));
    }

    #[test]
    fn subtitles_go_along_where_they_can() {
        assert_eq!(handling("a.mkv", "application/x-ass"), Some(Handling::Copy(None)));
        assert!(matches!(handling("a.mp4", "application/x-ass"), Some(Handling::Text(_))));
        assert!(matches!(handling("a.mp4", "text/x-raw,format=pango-markup"), Some(Handling::Text(_))));
        assert_eq!(handling("a.mp4", "text/x-raw,format=utf8"), Some(Handling::Copy(None)));
        assert_eq!(handling("a.mp4", "subpicture/x-pgs"), None);
        assert_eq!(handling("a.mkv", "meta/x-klv"), None);
    }
}
