//! Frames in the formats that GStreamer negotiates, as the pictures that the enhancer takes.
//!
//! Formats of up to 8 bits become RGB or RGBA of 8 bits, deeper ones RGBA of 16 bits, by
//! GStreamer's own `VideoConverter`, which knows every matrix, range and chroma site. RGB of
//! the right order is used where it lies.

use gstreamer as gst;
use gstreamer_video as gst_video;

use gst_video::prelude::*;
use gst_video::{VideoColorimetry, VideoFormat, VideoFrame, VideoFrameRef, VideoInfo};

use crate::image::{Sample, Size, View, ViewMut, view, view_mut};

/// Formats that go in and come out, the ones that need least conversion first.
pub const FORMATS: &[VideoFormat] = &[
    VideoFormat::Rgb,
    VideoFormat::Rgba,
    VideoFormat::Rgba64Le,
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::I42010le,
    VideoFormat::P01010le,
    VideoFormat::Yv12,
    VideoFormat::Nv21,
    VideoFormat::Y42b,
    VideoFormat::I42210le,
    VideoFormat::I42212le,
    VideoFormat::I42012le,
    VideoFormat::Yuy2,
    VideoFormat::Uyvy,
    VideoFormat::Y444,
    VideoFormat::Y44410le,
    VideoFormat::Y44412le,
    VideoFormat::Gbr,
    VideoFormat::Gbr10le,
    VideoFormat::Gbr12le,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Ayuv,
    VideoFormat::A420,
    VideoFormat::A42010le,
    VideoFormat::Gbra,
    VideoFormat::Argb64Le,
    VideoFormat::Bgra64Le,
    VideoFormat::Gray8,
    VideoFormat::Gray16Le,
];

/// The format that frames of a format are enhanced in.
pub fn working_format(info: &VideoInfo) -> VideoFormat {
    let deepest = info.format_info().depth().iter().copied().max().unwrap_or(8);
    match (deepest > 8, info.has_alpha()) {
        (true, _) => VideoFormat::Rgba64Le,
        (false, true) => VideoFormat::Rgba,
        (false, false) => VideoFormat::Rgb,
    }
}

/// Bits of the samples that frames of a format are enhanced in, 8 or 16.
pub fn working_bits(info: &VideoInfo) -> u32 {
    if working_format(info) == VideoFormat::Rgba64Le { 16 } else { 8 }
}

/// The working format at the size of `info`, with its primaries and transfer, so that nothing
/// but matrix and range changes on the way.
fn working_info(info: &VideoInfo) -> Result<VideoInfo, gst::glib::BoolError> {
    let colours = info.colorimetry();
    let full = VideoColorimetry::new(
        gst_video::VideoColorRange::Range0_255,
        gst_video::VideoColorMatrix::Rgb,
        colours.transfer(),
        colours.primaries(),
    );
    let builder = VideoInfo::builder(working_format(info), info.width(), info.height());
    builder.fps(info.fps()).par(info.par()).colorimetry(&full).build()
}

/// Converts frames of one negotiated format to the working format, or back.
pub struct Conversion {
    info: VideoInfo,
    /// `None` where frames are in the working format as they come.
    converter: Option<(gst_video::VideoConverter, Option<VideoFrame<gst_video::video_frame::Writable>>)>,
}

/// Which way a conversion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the negotiated format.
    In,
    /// To the negotiated format.
    Out,
}

impl Conversion {
    /// A conversion for frames of a format.
    ///
    /// # Errors
    /// If GStreamer has no converter for it.
    pub fn new(info: &VideoInfo, direction: Direction) -> Result<Self, gst::glib::BoolError> {
        let info = info.clone();
        if info.format() == working_format(&info) {
            return Ok(Self { info, converter: None });
        }
        let working = working_info(&info)?;
        let mut config = gst_video::VideoConverterConfig::new();
        config.set_threads(0);
        let converter = match direction {
            Direction::In => gst_video::VideoConverter::new(&info, &working, Some(config)),
            Direction::Out => gst_video::VideoConverter::new(&working, &info, Some(config)),
        }?;
        let buffer = gst::Buffer::with_size(working.size())?;
        let frame = VideoFrame::from_buffer_writable(buffer, &working);
        let frame = frame.map_err(|_| gst::glib::bool_error!("cannot map a frame of {working:?}"))?;
        Ok(Self { info, converter: Some((converter, Some(frame))) })
    }

    /// The picture of a frame.
    pub fn read<'a, S: Sample>(
        &'a mut self,
        frame: &'a VideoFrameRef<&gst::BufferRef>,
    ) -> Option<View<'a, S>> {
        let size = size(&self.info);
        let Some((converter, working)) = &mut self.converter else {
            return plane(frame.plane_data(0).ok()?, frame.plane_stride()[0], size, frame.info());
        };
        let working = working.as_mut()?;
        converter.frame_ref(frame, &mut working.as_mut_video_frame_ref());
        plane(working.plane_data(0).ok()?, working.plane_stride()[0], size, working.info())
    }

    /// Lets `draw` fill the picture of a frame, then converts it.
    pub fn write<S: Sample, T>(
        &mut self,
        frame: &mut VideoFrameRef<&mut gst::BufferRef>,
        draw: impl FnOnce(ViewMut<'_, S>) -> T,
    ) -> Option<T> {
        let size = size(&self.info);
        let Some((converter, working)) = &mut self.converter else {
            let (stride, info) = (frame.plane_stride()[0], frame.info().clone());
            return Some(draw(plane_mut(frame.plane_data_mut(0).ok()?, stride, size, &info)?));
        };
        let working = working.as_mut()?;
        let (stride, info) = (working.plane_stride()[0], working.info().clone());
        let done = draw(plane_mut(working.plane_data_mut(0).ok()?, stride, size, &info)?);
        converter.frame_ref(&working.as_video_frame_ref(), frame);
        Some(done)
    }
}

/// Width and height of a format.
pub fn size(info: &VideoInfo) -> Size {
    Size::new(info.width() as usize, info.height() as usize)
}

fn channels(info: &VideoInfo) -> usize {
    info.n_components() as usize
}

/// `None` if the memory is no picture of that size, which maps of GStreamer do not give.
fn plane<'a, S: Sample>(data: &'a [u8], stride: i32, size: Size, info: &VideoInfo) -> Option<View<'a, S>> {
    let stride = usize::try_from(stride).ok()? / size_of::<S>();
    let whole = data.len() / size_of::<S>() * size_of::<S>();
    view(bytemuck::try_cast_slice(&data[..whole]).ok()?, size, channels(info), stride)
}

fn plane_mut<'a, S: Sample>(
    data: &'a mut [u8],
    stride: i32,
    size: Size,
    info: &VideoInfo,
) -> Option<ViewMut<'a, S>> {
    let stride = usize::try_from(stride).ok()? / size_of::<S>();
    let whole = data.len() / size_of::<S>() * size_of::<S>();
    view_mut(bytemuck::try_cast_slice_mut(&mut data[..whole]).ok()?, size, channels(info), stride)
}
