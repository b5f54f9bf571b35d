//! Frames in the formats that GStreamer negotiates, as the pictures that the enhancer takes.
//!
//! Formats of up to 8 bits become RGB or RGBA of 8 bits, deeper ones of 16 bits. GStreamer's
//! `VideoConverter` unpacks every layout and resamples the chroma; the matrix is ours, because
//! its own has coefficients of eight bits and moves colours (see [`crate::image::convert`]).
//! RGB in the right order is used where it lies, if rows go down and start where samples do; else it is copied.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer_video as gst_video;

use gst_video::prelude::*;
use gst_video::video_frame::Writable;
use gst_video::{VideoFormat, VideoFrame, VideoFrameRef, VideoInfo};

use crate::enhance::Threads;
use crate::image::convert::{Coding, round_for_cutting};
use crate::image::{Picture, Sample, Size, View, ViewMut, view, view_mut};

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

/// Bits of the samples that frames of a format are enhanced in, 8 or 16.
pub fn working_bits(info: &VideoInfo) -> u32 {
    let deepest = info.format_info().depth().iter().copied().max().unwrap_or(8);
    if deepest > 8 { 16 } else { 8 }
}

/// The format that `VideoConverter` unpacks to: the same colour coding in one plane.
fn working_format(info: &VideoInfo) -> VideoFormat {
    match (working_bits(info), info.is_rgb(), info.has_alpha()) {
        (16, true, _) => VideoFormat::Rgba64Le,
        (16, false, _) => VideoFormat::Ayuv64,
        (_, true, true) => VideoFormat::Rgba,
        (_, true, false) => VideoFormat::Rgb,
        (_, false, _) => VideoFormat::Ayuv,
    }
}

/// How a format codes colours, `None` for RGB.
fn coding(info: &VideoInfo) -> Option<Coding> {
    use gst_video::VideoColorMatrix as Matrix;
    if info.is_rgb() {
        return None;
    }
    let (red, blue) = match info.colorimetry().matrix() {
        Matrix::Fcc => (0.30, 0.11),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Smpte240m => (0.212, 0.087),
        Matrix::Bt2020 => (0.2627, 0.0593),
        // What GStreamer takes an unknown matrix for.
        _ => (0.299, 0.114),
    };
    let full_range = info.colorimetry().range() == gst_video::VideoColorRange::Range0_255;
    Some(Coding { red, blue, full_range, depth: info.comp_depth(0) })
}

/// What the rows of working frames are aligned to, in bytes: the widest vectors there are.
const ROW_ALIGNMENT: u32 = 64;

/// Converts frames of one negotiated format to pictures, or back.
pub struct Conversion<S> {
    info: VideoInfo,
    direction: Direction,
    threads: Arc<Threads>,
    /// Frames are pictures where they lie, if they lie well.
    is_picture: bool,
    /// `None` until a frame comes that is no picture.
    working: Option<Working<S>>,
}

struct Working<S> {
    info: VideoInfo,
    converter: gst_video::VideoConverter,
    direction: Direction,
    threads: Arc<Threads>,
    frame: VideoFrame<Writable>,
    coding: Option<Coding>,
    /// Used where the frame is not RGB.
    picture: Picture<S>,
}

/// Which way a conversion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the negotiated format.
    In,
    /// To the negotiated format.
    Out,
}

impl<S: Sample> Conversion<S> {
    /// A conversion for frames of a format of [`working_bits`] as many as `S` has.
    ///
    /// # Errors
    /// If GStreamer has no converter for it.
    pub fn new(
        info: &VideoInfo,
        direction: Direction,
        threads: &Arc<Threads>,
    ) -> Result<Self, gst::glib::BoolError> {
        let (info, threads) = (info.clone(), threads.clone());
        let is_picture = info.is_rgb() && info.format() == working_format(&info);
        let working = if is_picture { None } else { Some(Working::new(&info, direction, &threads)?) };
        Ok(Self { info, direction, threads, is_picture, working })
    }

    /// The picture of a frame.
    pub fn read<'a>(&'a mut self, frame: &'a VideoFrameRef<&gst::BufferRef>) -> Option<View<'a, S>> {
        self.check(frame.info(), frame.buffer().size())?;
        if self.is_picture {
            let (data, stride) = (frame.plane_data(0), frame.plane_stride()[0]);
            if let Some(picture) = data.ok().and_then(|data| plane(data, stride, &self.info)) {
                return Some(picture);
            }
        }
        let working = self.working()?;
        working.forget_last_frame().ok()?;
        working.converter.frame_ref(frame, &mut working.frame.as_mut_video_frame_ref());
        let unpacked = &working.frame;
        let unpacked = plane(unpacked.plane_data(0).ok()?, unpacked.plane_stride()[0], unpacked.info())?;
        match &working.coding {
            None => Some(unpacked),
            Some(coding) => {
                working.threads.run(|| coding.decode(unpacked, working.picture.view_mut()));
                Some(working.picture.view())
            }
        }
    }

    /// Lets `draw` fill the picture of a frame, then converts it.
    pub fn write<T>(
        &mut self,
        frame: &mut VideoFrameRef<&mut gst::BufferRef>,
        draw: impl FnOnce(ViewMut<'_, S>) -> T,
    ) -> Option<T> {
        self.check(frame.info(), frame.buffer().size())?;
        if self.is_picture {
            let stride = frame.plane_stride()[0];
            let data = frame.plane_data_mut(0);
            if let Some(picture) = data.ok().and_then(|data| plane_mut(data, stride, &self.info)) {
                return Some(draw(picture));
            }
        }
        let depth = self.info.comp_depth(0);
        let working = self.working()?;
        let (stride, info) = (working.frame.plane_stride()[0], working.frame.info().clone());
        let mut target = plane_mut(working.frame.plane_data_mut(0).ok()?, stride, &info)?;
        let done = match &working.coding {
            Some(coding) => {
                let done = draw(working.picture.view_mut());
                working.threads.run(|| coding.encode(working.picture.view(), target));
                done
            }
            None => {
                let done = draw(target.view_mut());
                working.threads.run(|| round_for_cutting(target, depth));
                done
            }
        };
        working.forget_last_frame().ok()?;
        working.converter.frame_ref(&working.frame.as_video_frame_ref(), frame);
        Some(done)
    }
}

impl<S: Sample> Conversion<S> {
    /// Whether the picture can be within a frame of so many bytes, as somebody else described it. Of planes that are
    /// converted, GStreamer's maps are trusted.
    fn check(&self, described: &VideoInfo, bytes: usize) -> Option<()> {
        // The upper left part of a larger frame is the picture.
        let covers = described.width() >= self.info.width() && described.height() >= self.info.height();
        (covers && (!self.is_picture || lies_within(described, bytes, &self.info))).then_some(())
    }

    /// What a frame goes by that is no picture where it lies.
    fn working(&mut self) -> Option<&mut Working<S>> {
        if self.working.is_none() {
            self.working = Some(Working::new(&self.info, self.direction, &self.threads).ok()?);
        }
        self.working.as_mut()
    }
}

/// Whether rows in one plane lie apart from each other and within so many bytes, as somebody else described it.
fn lies_within(described: &VideoInfo, bytes: usize, info: &VideoInfo) -> bool {
    let numbers = (i64::try_from(described.offset()[0]), i64::try_from(bytes));
    let (Ok(first), Ok(bytes)) = numbers else { return false };
    let stride = i64::from(described.stride()[0]);
    let row = i64::from(info.width()) * i64::from(info.comp_pstride(0));
    let last = first + stride * (i64::from(info.height()) - 1);
    stride.abs() >= row && first.min(last) >= 0 && first.max(last) + row <= bytes
}

impl<S: Sample> Working<S> {
    fn new(
        info: &VideoInfo,
        direction: Direction,
        threads: &Arc<Threads>,
    ) -> Result<Self, gst::glib::BoolError> {
        // With the same colours on both sides, the converter only moves samples.
        let mut unpacked = VideoInfo::builder(working_format(info), info.width(), info.height())
            .fps(info.fps())
            .par(info.par())
            .colorimetry(&info.colorimetry())
            .build()?;
        // Its vector code for UYVY crashes on rows that start anywhere else.
        unpacked.align(&mut gst_video::VideoAlignment::new(0, 0, 0, 0, &[ROW_ALIGNMENT - 1; 4]))?;
        let converter = converter(info, &unpacked, direction, threads)?;
        let buffer = gst::Buffer::with_size(unpacked.size())?;
        let frame = VideoFrame::from_buffer_writable(buffer, &unpacked)
            .map_err(|_| gst::glib::bool_error!("cannot map a frame of {unpacked:?}"))?;
        let coding = coding(info);
        let size = if coding.is_some() { size(info) } else { Size::new(0, 0) };
        let channels = if info.has_alpha() { 4 } else { 3 };
        let picture = Picture::from_elem((size.height, size.width, channels), S::zeroed());
        let (info, threads) = (info.clone(), threads.clone());
        Ok(Self { info, converter, direction, threads, frame, coding, picture })
    }

    /// A converter keeps the last rows that it has unpacked. Of a frame of one or two rows it
    /// takes them for those of the next frame, so that each needs a converter of its own.
    fn forget_last_frame(&mut self) -> Result<(), gst::glib::BoolError> {
        if self.info.height() <= 2 {
            self.converter = converter(&self.info, self.frame.info(), self.direction, &self.threads)?;
        }
        Ok(())
    }
}

/// A converter that moves samples and changes nothing but their depth.
fn converter(
    info: &VideoInfo,
    unpacked: &VideoInfo,
    direction: Direction,
    threads: &Threads,
) -> Result<gst_video::VideoConverter, gst::glib::BoolError> {
    let mut config = gst_video::VideoConverterConfig::new();
    config.set_threads(u32::try_from(threads.count()).unwrap_or(u32::MAX));
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    config.set_matrix_mode(gst_video::VideoMatrixMode::None);
    match direction {
        Direction::In => gst_video::VideoConverter::new(info, unpacked, Some(config)),
        Direction::Out => gst_video::VideoConverter::new(unpacked, info, Some(config)),
    }
}

/// Width and height of a format.
pub fn size(info: &VideoInfo) -> Size {
    Size::new(info.width() as usize, info.height() as usize)
}

/// The first plane of a frame as a picture, `None` if its memory is not: rows go up, or start between two samples.
fn plane<'a, S: Sample>(data: &'a [u8], stride: i32, info: &VideoInfo) -> Option<View<'a, S>> {
    let stride = whole_samples::<S>(stride)?;
    let whole = data.len() / size_of::<S>() * size_of::<S>();
    view(bytemuck::try_cast_slice(&data[..whole]).ok()?, size(info), info.n_components() as usize, stride)
}

/// Bytes in samples.
fn whole_samples<S>(bytes: i32) -> Option<usize> {
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| bytes.is_multiple_of(size_of::<S>()))
        .map(|bytes| bytes / size_of::<S>())
}

/// As [`plane`], to write.
fn plane_mut<'a, S: Sample>(data: &'a mut [u8], stride: i32, info: &VideoInfo) -> Option<ViewMut<'a, S>> {
    let stride = whole_samples::<S>(stride)?;
    let whole = data.len() / size_of::<S>() * size_of::<S>();
    let samples = bytemuck::try_cast_slice_mut(&mut data[..whole]).ok()?;
    view_mut(samples, size(info), info.n_components() as usize, stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass<S: Sample>(
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) {
        let threads = Arc::default();
        let mut there = Conversion::<S>::new(input.info(), Direction::In, &threads).unwrap();
        let mut back = Conversion::<S>::new(input.info(), Direction::Out, &threads).unwrap();
        let picture = there.read(input).unwrap();
        back.write(output, |out| crate::image::copy(picture, out)).unwrap();
    }

    /// The largest difference, in steps of the format's own samples, between 4:4:4 frames of
    /// legal colours and what comes back from the working format.
    fn round_trip(format: VideoFormat, colorimetry: &str) -> u32 {
        gst::init().unwrap();
        let (width, height) = (64, 64);
        let colours: gst_video::VideoColorimetry = colorimetry.parse().unwrap();
        let info = VideoInfo::builder(format, width, height).colorimetry(&colours).build().unwrap();
        let depth = info.comp_depth(0);
        let unit = 1_u32 << (depth - 8);
        let mut worst = 0;
        for luma in (56..=196).step_by(4) {
            let mut frame =
                VideoFrame::from_buffer_writable(gst::Buffer::with_size(info.size()).unwrap(), &info)
                    .unwrap();
            // Colours near grey, which are legal at every luma: chroma from 112 to 144.
            let sample = |plane: usize, x: usize, y: usize| match plane {
                0 => luma * unit + (x as u32 % unit),
                1 => (112 + x as u32 / 2) * unit,
                _ => (112 + y as u32 / 2) * unit,
            };
            for plane in 0..3 {
                let stride = info.stride()[plane] as usize;
                let data = frame.plane_data_mut(plane as u32).unwrap();
                for (y, x) in (0..64).flat_map(|y| (0..64).map(move |x| (y, x))) {
                    let value = sample(plane, x, y);
                    if depth == 8 {
                        data[y * stride + x] = value as u8;
                    } else {
                        data[y * stride + 2 * x..][..2].copy_from_slice(&(value as u16).to_le_bytes());
                    }
                }
            }
            let input = frame.into_buffer();
            let input = VideoFrameRef::from_buffer_ref_readable(input.as_ref(), &info).unwrap();
            let mut made = gst::Buffer::with_size(info.size()).unwrap();
            {
                let mut output =
                    VideoFrameRef::from_buffer_ref_writable(made.get_mut().unwrap(), &info).unwrap();
                match depth {
                    8 => pass::<u8>(&input, &mut output),
                    _ => pass::<u16>(&input, &mut output),
                }
            }
            let output = VideoFrameRef::from_buffer_ref_readable(made.as_ref(), &info).unwrap();
            for plane in 0..3 {
                let stride = info.stride()[plane] as usize;
                let data = output.plane_data(plane as u32).unwrap();
                for (y, x) in (0..64).flat_map(|y| (0..64).map(move |x| (y, x))) {
                    let value = if depth == 8 {
                        u32::from(data[y * stride + x])
                    } else {
                        let at = y * stride + 2 * x;
                        u32::from(u16::from_le_bytes([data[at], data[at + 1]]))
                    };
                    worst = worst.max(value.abs_diff(sample(plane, x, y)));
                }
            }
        }
        worst
    }

    #[test]
    fn pictures_are_written_however_the_rows_of_an_output_lie_and_nothing_between_them() {
        const POISON: u8 = 0x5a;
        gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::Rgba64Le, 5, 4).build().unwrap();
        let row = 40_i32;
        let layouts =
            [(0, row), (0, row + 8), (1, row), (0, row + 1), (3, row + 6), (3 * 44, -44), (121, -row)];
        for (first, stride) in layouts {
            let mut buffer = gst::Buffer::from_mut_slice(vec![POISON; 400]);
            let writable = buffer.get_mut().unwrap();
            let flags = gst_video::VideoFrameFlags::empty();
            let format = info.format();
            gst_video::VideoMeta::add_full(writable, flags, format, 5, 4, &[first], &[stride]).unwrap();
            let mut frame = VideoFrameRef::from_buffer_ref_writable(writable, &info).unwrap();
            let mut back = Conversion::<u16>::new(&info, Direction::Out, &Arc::default()).unwrap();
            let draw = |mut out: ViewMut<'_, u16>| {
                out.indexed_iter_mut().for_each(|((y, x, c), sample)| *sample = number(y, x, c))
            };
            back.write(&mut frame, draw).unwrap();
            drop(frame);
            let mut bytes = buffer.map_readable().unwrap().to_vec();
            for (y, x, c) in (0..4).flat_map(|y| (0..5).flat_map(move |x| (0..4).map(move |c| (y, x, c)))) {
                let at = (first as i32 + stride * y as i32) as usize + 8 * x + 2 * c;
                let sample = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
                assert_eq!(sample, number(y, x, c), "{first}, {stride}: {y} {x} {c}");
                bytes[at..at + 2].fill(POISON);
            }
            assert!(bytes.iter().all(|&byte| byte == POISON), "{first}, {stride}");
        }
    }

    #[test]
    fn rows_that_overlap_or_leave_their_memory_are_no_picture() {
        gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::Rgba, 5, 4).build().unwrap();
        let row = 20;
        for (first, stride, bytes, fits) in [
            (0, row, 80, true),
            (0, row, 79, false),
            (1, row, 80, false),
            // The last row needs nothing behind it.
            (0, 24, 92, true),
            (0, 24, 91, false),
            (0, 19, 80, false),
            (0, 0, 80, false),
            (60, -row, 80, true),
            (59, -row, 80, false),
            (61, -row, 80, false),
            (72, -24, 92, true),
            (60, -19, 80, false),
        ] {
            let described = VideoInfo::builder(VideoFormat::Rgba, 5, 4);
            let described = described.offset(&[first]).stride(&[stride]).build().unwrap();
            assert_eq!(lies_within(&described, bytes, &info), fits, "{first}, {stride} in {bytes}");
        }
    }

    fn number(y: usize, x: usize, c: usize) -> u16 {
        (10_000 * y + 1_000 * x + 10 * c) as u16
    }

    #[test]
    fn colours_survive_the_way_to_rgb_and_back_within_one_step_of_their_format() {
        for colorimetry in ["bt601", "bt709", "bt2020", "1:4:0:0", "1:3:5:1"] {
            for format in [VideoFormat::Y444, VideoFormat::Y44410le, VideoFormat::Y44412le] {
                let worst = round_trip(format, colorimetry);
                assert!(worst <= 1, "{format} {colorimetry}: {worst}");
            }
        }
    }
}
