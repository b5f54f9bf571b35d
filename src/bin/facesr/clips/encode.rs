//! Pictures as the bytes of a PNG or JPEG file.

use gstfacesr::image::{Picture, Size};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::enhance::parts::{join, make};
use crate::failure::{Failure, one_line};

/// Of 100: losses that cannot be seen at 100 %.
const JPEG_QUALITY: i32 = 95;

/// How long one picture may take to be encoded.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// Without loss.
pub fn png(picture: &Picture<u8>) -> Result<Vec<u8>, Failure> {
    encode(picture, &make("pngenc")?)
}

/// With losses that cannot be seen, for pictures that are large.
pub fn jpeg(picture: &Picture<u8>) -> Result<Vec<u8>, Failure> {
    let encoder = make("jpegenc")?;
    encoder.set_property("quality", JPEG_QUALITY);
    encode(picture, &encoder)
}

fn encode(picture: &Picture<u8>, encoder: &gst::Element) -> Result<Vec<u8>, Failure> {
    let size = Size::of(&picture.view());
    let failed = |why: &dyn std::fmt::Display| {
        Failure::Failed(format!("a picture of {size} cannot be encoded: {why}"))
    };
    let info =
        gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, size.width as u32, size.height as u32)
            .fps(gst::Fraction::new(1, 1))
            .build()
            .map_err(|err| failed(&err))?;
    let caps = info.to_caps().map_err(|err| failed(&err))?;
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
    let sink = gst_app::AppSink::builder().sync(false).build();
    let pipeline = gst::Pipeline::new();
    join(&pipeline, &[source.upcast_ref(), &make("videoconvert")?, encoder, sink.upcast_ref()])?;
    let _ = pipeline.set_state(gst::State::Playing);
    let mut buffer = gst::Buffer::from_mut_slice(padded(picture, &info));
    buffer.get_mut().expect("nobody else has it yet").set_pts(gst::ClockTime::ZERO);
    let sent = source.push_buffer(buffer).and_then(|_| source.end_of_stream());
    let coded = sent.ok().and_then(|_| sink.try_pull_sample(PATIENCE));
    let bytes =
        coded.as_ref().and_then(|sample| sample.buffer()).and_then(|buffer| buffer.map_readable().ok());
    let bytes = bytes.map(|bytes| bytes.to_vec());
    let complaint = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    let _ = pipeline.set_state(gst::State::Null);
    bytes.ok_or_else(|| match complaint.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => failed(&one_line(error.error().message())),
        _ => failed(&"the encoder gave nothing"),
    })
}

/// The samples with the padding that GStreamer wants after each row.
fn padded(picture: &Picture<u8>, info: &gst_video::VideoInfo) -> Vec<u8> {
    let mut bytes = vec![0; info.size()];
    let rows = bytes.chunks_mut(info.stride()[0] as usize);
    for (to, from) in rows.zip(gstfacesr::image::rows(picture.view())) {
        to[..from.len()].copy_from_slice(from);
    }
    bytes
}
