//! Frames from a pipe or file into a pipeline.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use gst_video::prelude::*;
use gstreamer_video::{VideoColorRange, VideoColorimetry, VideoFieldOrder, VideoInfo, VideoInterlaceMode};

use super::{format_of, is_standard, shown_input};
use crate::enhance::input::{Input, Stream};
use crate::failure::Failure;

/// What a file of it begins with.
const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// How others make one of anything, and of what cannot be taken.
const ADVICE: &str = "pipe what `ffmpeg -i FILE -pix_fmt yuv420p -f yuv4mpegpipe -` writes, or name the file";

/// The pictures of IN, whose header has been read.
pub struct Reader {
    decoder: y4m::Decoder<Counted>,
    read: Arc<AtomicU64>,
    info: VideoInfo,
    shown: String,
}

/// Counts what is read, which tells an end between frames from one within a frame.
struct Counted(Box<dyn Read + Send>, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What came of asking for a frame.
enum Next {
    Frame(gst::Buffer),
    End,
    Damage(String),
}

impl Reader {
    /// Reads the header of standard input, or of a file that is one of these; `None` where it is another one.
    pub fn open(path: &Path) -> Result<Option<Reader>, Failure> {
        let source: Box<dyn Read + Send> = if is_standard(path) {
            if std::io::stdin().is_terminal() {
                return Err(Failure::Usage(format!("standard input is a terminal: {ADVICE}")));
            }
            Box::new(std::io::stdin())
        } else if begins_as_one(path) {
            let cannot = |err| Failure::Input(format!("{}: cannot be read: {err}", path.display()));
            Box::new(File::open(path).map_err(cannot)?)
        } else {
            return Ok(None);
        };
        Reader::new(source, shown_input(path)).map(Some)
    }

    fn new(source: Box<dyn Read + Send>, shown: String) -> Result<Reader, Failure> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted(Box::new(BufReader::with_capacity(1 << 18, source)), read.clone());
        let decoder = y4m::decode(counted).map_err(|err| match err {
            y4m::Error::EOF if read.load(Ordering::Relaxed) == 0 => {
                Failure::Input(format!("{shown}: is empty (0 bytes): {ADVICE}"))
            }
            y4m::Error::UnknownColorspace => Failure::Input(format!(
                "{shown}: holds pictures of a format that is not taken; 8, 10 and 12 bits of 4:2:0, 4:2:2 and 4:4:4 are, and grey of 8: {ADVICE}"
            )),
            y4m::Error::IoError(err) => Failure::Input(format!("{shown}: cannot be read: {err}")),
            y4m::Error::OutOfMemory => Failure::Input(format!("{shown}: has pictures of more than 1 GiB")),
            _ => Failure::Input(format!("{shown}: does not begin as YUV4MPEG2 does: {ADVICE}")),
        })?;
        let info = info(&decoder).map_err(|why| Failure::Input(format!("{shown}: {why}")))?;
        Ok(Reader { decoder, read, info, shown })
    }

    /// What there is to know of it before a frame is read.
    pub fn input(&self, path: &Path) -> Result<Input, Failure> {
        let caps = self.info.to_caps().map_err(|err| Failure::Input(format!("{}: {err}", self.shown)))?;
        Ok(Input {
            path: if is_standard(path) { self.shown.clone().into() } else { path.to_owned() },
            streams: vec![Stream { id: "picture".into(), caps: caps.clone() }],
            picture: caps,
            turn: None,
            has_wrong_colour: false,
            duration: None,
            has_chapters: false,
            is_still: false,
        })
    }

    /// An element that gives the frames, read as they are asked for.
    pub fn element(mut self) -> Result<gst_app::AppSrc, Failure> {
        let caps = self.info.to_caps().map_err(|err| Failure::Failed(err.to_string()))?;
        let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
        let mut frames = 0;
        let mut is_over = false;
        let give = move |source: &gst_app::AppSrc, _| {
            // Asked again after the end, there is nothing more to say.
            if std::mem::replace(&mut is_over, true) {
                return;
            }
            match self.next(frames) {
                Next::Frame(frame) => {
                    frames += 1;
                    is_over = source.push_buffer(frame).is_err();
                }
                Next::End => drop(source.end_of_stream()),
                Next::Damage(text) => gst::element_error!(source, gst::StreamError::Decode, ("{text}")),
            }
        };
        source.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(give).build());
        Ok(source)
    }

    fn next(&mut self, number: u64) -> Next {
        let before = self.read.load(Ordering::Relaxed);
        let result = self.decoder.read_frame();
        let frame = match result {
            Ok(frame) => frame,
            Err(y4m::Error::EOF) if self.read.load(Ordering::Relaxed) == before => return Next::End,
            Err(y4m::Error::EOF) => return Next::Damage(format!("it ends within frame {number}")),
            Err(y4m::Error::IoError(err)) => return Next::Damage(err.to_string()),
            Err(_) => return Next::Damage(format!("frame {number} does not begin as a frame does")),
        };
        let planes = [frame.get_y_plane(), frame.get_u_plane(), frame.get_v_plane()];
        match picture(&self.info, planes, number) {
            Some(buffer) => Next::Frame(buffer),
            None => Next::Damage(format!("there is no memory for frame {number}")),
        }
    }
}

fn begins_as_one(path: &Path) -> bool {
    let mut begin = [0; MAGIC.len()];
    // What cannot be read is told by who reads it.
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok()
        && begin == MAGIC
}

/// A frame whose rows lie as GStreamer wants them.
fn picture(info: &VideoInfo, planes: [&[u8]; 3], number: u64) -> Option<gst::Buffer> {
    let mut buffer = gst::Buffer::with_size(info.size()).ok()?;
    {
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer.get_mut()?, info).ok()?;
        for plane in 0..info.n_planes() {
            let stride = frame.plane_stride()[plane as usize] as usize;
            let bytes = info.comp_width(plane as u8) as usize * info.comp_pstride(plane as u8) as usize;
            let rows = frame.plane_data_mut(plane).ok()?.chunks_mut(stride);
            let from = planes[plane as usize].chunks_exact(bytes);
            rows.zip(from).for_each(|(row, from)| row[..bytes].copy_from_slice(from));
        }
    }
    let rate = info.fps();
    let (numer, denom) = (rate.numer() as u64, rate.denom() as u64);
    let time = |frame: u64| gst::ClockTime::SECOND.mul_div_floor(frame * denom, numer);
    let (start, end) = (time(number)?, time(number + 1)?);
    let writable = buffer.get_mut()?;
    writable.set_pts(start);
    writable.set_duration(end - start);
    if info.interlace_mode() == VideoInterlaceMode::Interleaved {
        writable.set_video_flags(if info.field_order() == VideoFieldOrder::TopFieldFirst {
            gst_video::VideoBufferFlags::INTERLACED | gst_video::VideoBufferFlags::TFF
        } else {
            gst_video::VideoBufferFlags::INTERLACED
        });
    }
    Some(buffer)
}

/// What a header says, or what about it cannot be taken.
fn info<R: Read>(decoder: &y4m::Decoder<R>) -> Result<VideoInfo, String> {
    let whole = |number: usize| i32::try_from(number).ok().filter(|number| *number > 0);
    let fraction = |ratio: y4m::Ratio| Some(gst::Fraction::new(whole(ratio.num)?, whole(ratio.den)?));
    let (width, height) = (decoder.get_width(), decoder.get_height());
    let space = decoder.get_colorspace();
    let (format, site) =
        format_of(space).ok_or_else(|| format!("pictures of format {space:?} are not taken: {ADVICE}"))?;
    let rate = fraction(decoder.get_framerate()).ok_or_else(|| {
        format!("has no frame rate (F{}); write for example F25:1", decoder.get_framerate())
    })?;
    // 0:0 is how writers say that they do not know.
    let shape = fraction(decoder.get_pixel_aspect()).unwrap_or(gst::Fraction::new(1, 1));
    let (width, height) = (whole(width).unwrap_or(0) as u32, whole(height).unwrap_or(0) as u32);
    let mut builder = VideoInfo::builder(format, width, height).fps(rate).par(shape);
    if let Some(site) = &site {
        builder = builder.chroma_site(*site);
    }
    for word in decoder.get_raw_params().split(|byte| *byte == b' ') {
        match word {
            b"It" => {
                builder = builder
                    .interlace_mode(VideoInterlaceMode::Interleaved)
                    .field_order(VideoFieldOrder::TopFieldFirst);
            }
            b"Ib" => {
                builder = builder
                    .interlace_mode(VideoInterlaceMode::Interleaved)
                    .field_order(VideoFieldOrder::BottomFieldFirst);
            }
            b"Im" => {
                return Err(
                    "mixes fields and frames; make frames of all before, for example with ffmpeg's bwdif"
                        .into(),
                );
            }
            _ => {}
        }
    }
    let info = builder.build().map_err(|err| format!("its header makes no picture: {err}"))?;
    let says = |word: &[u8]| decoder.get_raw_params().split(|byte| *byte == b' ').any(|found| found == word);
    let range = match (says(b"XCOLORRANGE=FULL"), says(b"XCOLORRANGE=LIMITED")) {
        (true, _) => VideoColorRange::Range0_255,
        (_, true) => VideoColorRange::Range16_235,
        _ => return Ok(info),
    };
    let colour = info.colorimetry();
    let told = VideoColorimetry::new(range, colour.matrix(), colour.transfer(), colour.primaries());
    let mut caps = info.to_caps().map_err(|err| err.to_string())?;
    caps.make_mut().set("colorimetry", told.to_string());
    VideoInfo::from_caps(&caps).map_err(|err| format!("its header makes no picture: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Result<Reader, Failure> {
        gst::init().unwrap();
        Reader::new(Box::new(std::io::Cursor::new(bytes.to_vec())), "here".into())
    }

    #[track_caller]
    fn caps(header: &str) -> gst::Caps {
        reader(header.as_bytes()).map_err(|err| err.to_string()).unwrap().info.to_caps().unwrap()
    }

    #[test]
    fn a_header_says_what_the_pictures_are_like() {
        let small = "YUV4MPEG2 W33 H17 F30000:1001 Ip A4:3";
        for (words, field, value) in [
            (" C420jpeg", "chroma-site", "jpeg"),
            (" C420mpeg2", "chroma-site", "mpeg2"),
            (" C420jpeg XCOLORRANGE=FULL", "colorimetry", "1:4:16:4"),
            (" C420jpeg XCOLORRANGE=LIMITED", "colorimetry", "bt601"),
            (" C422p10 XYSCSS=422P10", "format", "I422_10LE"),
            (" Cmono", "format", "GRAY8"),
            ("", "format", "I420"),
            ("", "interlace-mode", "progressive"),
        ] {
            let caps = caps(&format!("{small}{words}\n"));
            assert_eq!(caps.structure(0).unwrap().get::<&str>(field), Ok(value), "{words}: {caps}");
        }
        let caps = caps(&format!("{small}\n"));
        let found = caps.structure(0).unwrap();
        assert_eq!(found.get("framerate"), Ok(gst::Fraction::new(30000, 1001)));
        assert_eq!(found.get("pixel-aspect-ratio"), Ok(gst::Fraction::new(4, 3)));
        assert_eq!((found.get("width"), found.get("height")), (Ok(33), Ok(17)));
    }

    #[test]
    fn fields_are_told() {
        for (word, order) in [("It", "top-field-first"), ("Ib", "bottom-field-first")] {
            let caps = caps(&format!("YUV4MPEG2 W64 H48 F25:1 {word}\n"));
            let found = caps.structure(0).unwrap();
            assert_eq!(found.get("interlace-mode"), Ok("interleaved"));
            assert_eq!(found.get("field-order"), Ok(order));
        }
    }

    #[test]
    fn what_cannot_be_taken_is_said_in_one_line() {
        for (bytes, said) in [
            ("", "empty"),
            ("\x1aE\u{1}", "does not begin as YUV4MPEG2"),
            ("YUV4MPEG2 W64 H48 F25:1 C420p16\n", "12 bits"),
            ("YUV4MPEG2 W64 H48 F25:1 Cmono12\n", "Cmono12"),
            ("YUV4MPEG2 W64 H48 F0:0\n", "frame rate"),
            ("YUV4MPEG2 W64 H48 F25:1 Im\n", "mixes"),
            ("YUV4MPEG2 W0 H48 F25:1\n", "does not begin"),
            ("YUV4MPEG2 W99999999999 H99999999999 F25:1\n", ""),
        ] {
            let error = match reader(bytes.as_bytes()) {
                Ok(_) => panic!("{bytes} was taken"),
                Err(error) => error.to_string(),
            };
            assert!(error.starts_with("here: ") && error.contains(said), "{bytes}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    #[test]
    fn rows_of_every_format_lie_where_gstreamer_looks_for_them() {
        for (format, bytes, planes) in
            [("420", 1, 3), ("422", 1, 3), ("444", 1, 3), ("420p10", 2, 3), ("444p12", 2, 3), ("mono", 1, 1)]
        {
            let (width, height) = (7, 5);
            let mut stream = format!("YUV4MPEG2 W{width} H{height} F25:1 C{format}\nFRAME\n").into_bytes();
            let info = reader(&stream).unwrap().info;
            let mut value = 0;
            for plane in 0..planes {
                let side = |of: u32| of as usize;
                let row = side(info.comp_width(plane)) * bytes;
                stream.extend((0..row * side(info.comp_height(plane))).map(|_| {
                    value = (value + 1) % 251;
                    value as u8
                }));
            }
            let mut reader = reader(&stream).unwrap();
            let Next::Frame(buffer) = reader.next(3) else { panic!("{format}: no frame") };
            assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(120)));
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
            let mut expected = 0;
            for plane in 0..planes {
                let stride = frame.plane_stride()[plane as usize] as usize;
                for row in frame.plane_data(plane.into()).unwrap().chunks(stride) {
                    for &found in &row[..info.comp_width(plane) as usize * bytes] {
                        expected = (expected + 1) % 251;
                        assert_eq!(found, expected as u8, "{format}, plane {plane}");
                    }
                }
            }
            assert!(matches!(reader.next(4), Next::End), "{format}");
        }
    }

    #[test]
    fn an_end_within_a_frame_is_no_end() {
        let stream = b"YUV4MPEG2 W4 H2 F25:1 Cmono\nFRAME\n12345678FRAME\n1234";
        let mut reader = reader(stream).unwrap();
        assert!(matches!(reader.next(0), Next::Frame(_)));
        assert!(matches!(reader.next(1), Next::Damage(text) if text.contains("within frame 1")));
        let mut other = self::reader(b"YUV4MPEG2 W4 H2 F25:1 Cmono\nFRUME\n12345678").unwrap();
        assert!(matches!(other.next(0), Next::Damage(text) if text.contains("does not begin")));
    }
}
