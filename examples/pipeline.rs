//! A pipeline around the element, in a program of one's own: decodes a file, enlarges it and
//! hands every frame to the program.
//!
//!     cargo run --release --example pipeline -- CLIP.mp4 [MODEL]
//!
//! The element is linked in, so no plugin has to be installed; ONNX Runtime and the networks
//! come from the cache that `make setup` fills.

use std::error::Error;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let clip = arguments.next().ok_or("usage: pipeline CLIP [MODEL]")?;
    let model = arguments.next().unwrap_or_else(|| "auto".into());

    gst::init()?;
    gstfacesr::plugin_register_static()?;

    let source = gst::ElementFactory::make("filesrc").property("location", &clip).build()?;
    let decoder = gst::ElementFactory::make("decodebin").build()?;
    let enhance = gst::ElementFactory::make("facesr").property("model", &model).build()?;
    let sink = gst_app::AppSink::builder().sync(false).max_buffers(2).build();

    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &decoder, &enhance, sink.upcast_ref()])?;
    source.link(&decoder)?;
    enhance.link(&sink)?;

    // The decoder's pads come when it knows the file; sound has no place here.
    let input = enhance.static_pad("sink").ok_or("facesr has no sink pad")?;
    decoder.connect_pad_added(move |_, pad| {
        let is_video = pad.current_caps().is_some_and(|caps| caps.to_string().starts_with("video/x-raw"));
        if is_video
            && !input.is_linked()
            && let Err(error) = pad.link(&input)
        {
            eprintln!("cannot link the video: {error}");
        }
    });

    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(|sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let info = sample.caps().and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
                let (info, buffer) = info.zip(sample.buffer()).ok_or(gst::FlowError::NotNegotiated)?;
                let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
                    .map_err(|_| gst::FlowError::Error)?;
                let luma = frame.plane_data(0).map_err(|_| gst::FlowError::Error)?;
                let mean =
                    luma.iter().map(|&sample| u64::from(sample)).sum::<u64>() / luma.len().max(1) as u64;
                let time = buffer.pts().unwrap_or_default();
                println!(
                    "{time} {}x{} {}, mean of the first plane {mean}",
                    info.width(),
                    info.height(),
                    info.format()
                );
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );

    pipeline.set_state(gst::State::Playing)?;
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    let mut failed = None;
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => {
                failed = Some(error.error().to_string());
                break;
            }
            _ => {}
        }
    }
    println!("ran on {}", enhance.property::<String>("active-provider"));
    pipeline.set_state(gst::State::Null)?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}
