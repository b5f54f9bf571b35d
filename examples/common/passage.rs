//! A pipeline around the element, for examples that time it: frames are pushed in and pulled out.

use std::error::Error;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use gstfacesr::image::Size;

/// Milliseconds from one frame to the next.
const FRAME: u64 = 40;

/// The pipeline, which plays until it is dropped.
pub struct Passage {
    pipeline: gst::Pipeline,
    /// Where frames go in.
    pub source: gst_app::AppSrc,
    /// Where they come out.
    pub sink: gst_app::AppSink,
    /// The element.
    pub facesr: gst::Element,
    /// The format that goes in.
    pub info: gst_video::VideoInfo,
}

impl Passage {
    /// For frames of a format and size. Properties are as on the command line.
    pub fn start(
        format: gst_video::VideoFormat,
        size: Size,
        (of_source, of_element): (&str, &str),
    ) -> Result<Self, Box<dyn Error>> {
        let text = format!(
            "appsrc name=source format=time {of_source} ! facesr name=facesr {of_element} ! appsink name=sink sync=false"
        );
        let pipeline = gst::parse::launch(&text)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let part = |name: &str| pipeline.by_name(name).ok_or("an element is missing");
        let source = part("source")?.downcast::<gst_app::AppSrc>().map_err(|_| "no source")?;
        let sink = part("sink")?.downcast::<gst_app::AppSink>().map_err(|_| "no sink")?;
        let facesr = part("facesr")?;
        let rate = gst::Fraction::new(1000 / FRAME as i32, 1);
        let info =
            gst_video::VideoInfo::builder(format, size.width as u32, size.height as u32).fps(rate).build()?;
        source.set_caps(Some(&info.to_caps()?));
        if pipeline.set_state(gst::State::Playing).is_err() {
            let message = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
            let text = match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => error.error().to_string(),
                _ => "the pipeline does not start".into(),
            };
            return Err(text.into());
        }
        Ok(Self { pipeline, source, sink, facesr, info })
    }

    /// A frame of samples that lie without gaps, plane by plane, laid out as the format wants them.
    pub fn frame(&self, samples: &[u8], number: usize) -> Result<gst::Buffer, Box<dyn Error>> {
        let mut frame = gst_video::VideoFrame::from_buffer_writable(
            gst::Buffer::with_size(self.info.size())?,
            &self.info,
        )
        .map_err(|_| "a new buffer cannot be written")?;
        let mut from = samples;
        for plane in 0..self.info.n_planes() {
            let width = self.info.comp_width(plane as u8) * self.info.comp_pstride(plane as u8) as u32;
            let stride = self.info.stride()[plane as usize] as usize;
            let rows = frame.plane_data_mut(plane)?.chunks_mut(stride);
            for to in rows.take(self.info.comp_height(plane as u8) as usize) {
                let (row, rest) = from.split_at_checked(width as usize).ok_or("a frame is too short")?;
                to[..row.len()].copy_from_slice(row);
                from = rest;
            }
        }
        let mut buffer = frame.into_buffer();
        let writable = buffer.get_mut().ok_or("a new buffer is shared")?;
        writable.set_pts(gst::ClockTime::from_mseconds(FRAME * number as u64));
        writable.set_duration(gst::ClockTime::from_mseconds(FRAME));
        Ok(buffer)
    }

    /// Its statistics.
    pub fn stats(&self) -> gst::Structure {
        self.facesr.property("stats")
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
