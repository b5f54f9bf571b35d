//! Frames of a file, in RGB.

use std::error::Error;
use std::path::Path;

use gstfacesr::image::{Picture, Size, rows, rows_mut, view};
use gstreamer_app as gst_app;
use gstreamer_app::gst;
use gstreamer_app::gst::prelude::*;

/// A file that is read frame by frame.
pub struct Clip {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
}

impl Clip {
    /// Begins to read.
    pub fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        gst::init()?;
        let text = "filesrc name=file ! decodebin ! videoconvert ! video/x-raw,format=RGB ! appsink name=sink sync=false max-buffers=2";
        let pipeline = gst::parse::launch(text)?.downcast::<gst::Pipeline>().expect("it is a pipeline");
        let by_name = |name| pipeline.by_name(name).expect("it was named above");
        by_name("file").set_property("location", path.to_str().ok_or("the path is no text")?);
        let sink = by_name("sink").downcast().expect("it is a sink");
        pipeline.set_state(gst::State::Playing)?;
        Ok(Self { pipeline, sink })
    }
}

impl Iterator for Clip {
    type Item = Picture<u8>;

    fn next(&mut self) -> Option<Picture<u8>> {
        let sample = self.sink.pull_sample().ok()?;
        let caps = sample.caps()?.structure(0)?.to_owned();
        let side = |name| caps.get::<i32>(name).ok().map(|side| side as usize);
        let size = Size::new(side("width")?, side("height")?);
        let map = sample.buffer()?.map_readable().ok()?;
        let from = view(map.as_slice(), size, 3, (3 * size.width).next_multiple_of(4))?;
        let mut picture = Picture::zeros((size.height, size.width, 3));
        rows(from).zip(rows_mut(&mut picture.view_mut())).for_each(|(from, to)| to.copy_from_slice(from));
        Some(picture)
    }
}

impl Drop for Clip {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Writes a PNG.
pub fn save(picture: &Picture<u8>, path: &Path) -> Result<(), Box<dyn Error>> {
    let (height, width, _) = picture.dim();
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(picture.as_slice().expect("an owned picture is contiguous"))?;
    Ok(())
}
