//! Frames from a pipeline into a pipe or file.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use gst_video::prelude::*;
use gstreamer_video::{VideoCapsBuilder, VideoColorRange, VideoInfo};

use super::{FORMATS, space_of};
use crate::enhance::counts::Counts;

/// Counts what is written.
struct Counted<W>(W, Arc<Counts>);

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.wrote(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Not buffered: a frame is a few large pieces, and whoever reads wants it whole.
type Target = Counted<Box<dyn Write + Send>>;

/// Writes frames as they come; the header goes before the first.
struct Writer {
    target: Option<Target>,
    encoder: Option<y4m::Encoder<Target>>,
    shown: String,
    frames: u64,
    start: Option<gst::ClockTime>,
    has_warned: bool,
}

/// What the film asks of a format that counts frames instead of telling their times.
const TIMES_LOST: &str = "has one frame rate, and the times of the film do not fit it: sound will be out of step; name a .mkv or .mp4";

/// An element that writes what it gets to `target`, which messages call `shown`.
pub fn element(target: Box<dyn Write + Send>, shown: String, counts: Arc<Counts>) -> gst_app::AppSink {
    let formats = FORMATS.map(|(format, _)| format);
    // Fields are refused or made frames of before; asked for frames alone, the element that makes them offers nothing.
    let caps = VideoCapsBuilder::new().format_list(formats).build();
    let sink = gst_app::AppSink::builder().sync(false).async_(false).max_buffers(2).caps(&caps).build();
    let target = Some(Counted(target, counts));
    let mut writer = Writer { target, encoder: None, shown, frames: 0, start: None, has_warned: false };
    let take = move |sink: &gst_app::AppSink| {
        // None at the end, and when the pipeline stops.
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        writer.take(&sample, sink)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(take).build());
    sink
}

impl Writer {
    fn take(
        &mut self,
        sample: &gst::Sample,
        sink: &gst_app::AppSink,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let done = self.write(sample);
        if self.loses_times(sample) && !std::mem::replace(&mut self.has_warned, true) {
            gst::element_warning!(sink, gst::StreamError::Format, ("{}: {TIMES_LOST}", self.shown));
        }
        self.frames += 1;
        done.map(|()| gst::FlowSuccess::Ok).map_err(|err| {
            let (shown, frames) = (&self.shown, self.frames - 1);
            match &err {
                y4m::Error::IoError(err) if err.kind() == ErrorKind::BrokenPipe => gst::element_error!(
                    sink,
                    gst::ResourceError::Write,
                    ("{shown}: nobody reads it any more, after {frames} frames")
                ),
                y4m::Error::IoError(err) if err.kind() == ErrorKind::StorageFull => {
                    gst::element_error!(sink, gst::ResourceError::NoSpaceLeft, ("{shown}: no space left"));
                }
                err => gst::element_error!(
                    sink,
                    gst::ResourceError::Write,
                    ("{shown}: cannot be written: {err}")
                ),
            }
            gst::FlowError::Error
        })
    }

    fn write(&mut self, sample: &gst::Sample) -> Result<(), y4m::Error> {
        let info =
            sample.caps().and_then(|caps| VideoInfo::from_caps(caps).ok()).ok_or(y4m::Error::BadInput)?;
        let buffer = sample.buffer().ok_or(y4m::Error::BadInput)?;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
            .map_err(|_| y4m::Error::BadInput)?;
        if let Some(target) = self.target.take() {
            self.encoder = Some(header(&info)?.write_header(target)?);
        }
        let planes: Vec<Vec<u8>> = (0..3).map(|plane| packed(&frame, &info, plane)).collect();
        let planes = [&planes[0][..], &planes[1][..], &planes[2][..]];
        // Set above, unless the header could not be written.
        let encoder = self.encoder.as_mut().ok_or(y4m::Error::BadInput)?;
        encoder.write_frame(&y4m::Frame::new(planes, None))
    }

    /// Whether this frame is shown a frame or more away from where readers will put it.
    fn loses_times(&mut self, sample: &gst::Sample) -> bool {
        let time = sample.buffer().and_then(gst::BufferRef::pts);
        let rate = sample.caps().and_then(|caps| VideoInfo::from_caps(caps).ok()).map(|info| info.fps());
        let (Some(time), Some(rate)) = (time, rate) else { return false };
        let start = *self.start.get_or_insert(time);
        let told = time.saturating_sub(start).seconds_f64();
        let read = self.frames as f64 * f64::from(rate.denom()) / f64::from(rate.numer().max(1));
        (told - read).abs() * f64::from(rate.numer()) >= f64::from(rate.denom())
    }
}

fn header(info: &VideoInfo) -> Result<y4m::EncoderBuilder, y4m::Error> {
    let ratio =
        |fraction: gst::Fraction| y4m::Ratio::new(fraction.numer() as usize, fraction.denom() as usize);
    let space = space_of(info.format(), info.chroma_site()).ok_or(y4m::Error::UnknownColorspace)?;
    // Films without a rate have times of their own, of which the user is warned.
    let rate = if info.fps().numer() > 0 { info.fps() } else { gst::Fraction::new(25, 1) };
    let range = match info.colorimetry().range() {
        VideoColorRange::Range0_255 => "COLORRANGE=FULL",
        _ => "COLORRANGE=LIMITED",
    };
    let range = y4m::VendorExtensionString::new(range.as_bytes().to_vec())?;
    Ok(y4m::encode(info.width() as usize, info.height() as usize, ratio(rate))
        .with_colorspace(space)
        .with_pixel_aspect(ratio(info.par()))
        .append_vendor_extension(range))
}

/// A plane without what lies between its rows; empty where there is none.
fn packed(frame: &gst_video::VideoFrameRef<&gst::BufferRef>, info: &VideoInfo, plane: u32) -> Vec<u8> {
    if plane >= info.n_planes() {
        return Vec::new();
    }
    let bytes = info.comp_width(plane as u8) as usize * info.comp_pstride(plane as u8) as usize;
    let rows = info.comp_height(plane as u8) as usize;
    let stride = frame.plane_stride()[plane as usize] as usize;
    let data = frame.plane_data(plane).unwrap_or_default();
    data.chunks(stride).take(rows).flat_map(|row| &row[..bytes]).copied().collect()
}
