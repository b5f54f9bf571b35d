//! Decodes a stream until its first picture, and tells what that is like.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::parts::{join, make};

/// A decoder on `pad` that tells about its first picture. If it cannot be
/// built the stream stays unread, and the missing picture is what gets told.
pub fn decode(pipeline: &gst::Pipeline, pad: &gst::Pad, limited: Arc<AtomicBool>) {
    // Behind a queue, since decodebin would otherwise try to read the file
    // itself, past the parser, when the file is a bare picture.
    let (Ok(queue), Ok(decoder)) = (make("queue"), make("decodebin")) else { return };
    let weak = pipeline.downgrade();
    decoder.connect_pad_added(move |_, pad| {
        let (Some(pipeline), Ok(sink)) = (weak.upgrade(), make("fakesink")) else { return };
        sink.set_property("sync", false);
        let (weak, limited) = (pipeline.downgrade(), limited.clone());
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
            if let Some(pipeline) = weak.upgrade() {
                let note = gst::Structure::builder("first-picture")
                    .field("turned", is_turned(pad))
                    .field("limited", limited.load(Ordering::Relaxed))
                    .field_if_some("caps", pad.current_caps())
                    .build();
                tell(&pipeline, note);
            }
            gst::PadProbeReturn::Remove
        });
        attach(&pipeline, pad, &[&sink]);
    });
    attach(pipeline, pad, &[&queue, &decoder]);
}

/// Continues `pad` with fresh elements in a running pipeline.
fn attach(pipeline: &gst::Pipeline, pad: &gst::Pad, elements: &[&gst::Element]) {
    if join(pipeline, elements).is_err() {
        return;
    }
    // From the end to the start, so that data finds everything awake.
    for element in elements.iter().rev() {
        let _ = element.sync_state_with_parent();
    }
    if let Some(sink) = elements[0].static_pad("sink") {
        let _ = pad.link(&sink);
    }
}

fn tell(pipeline: &gst::Pipeline, note: gst::Structure) {
    // Fails only when the bus is being flushed, when nobody listens any more.
    let _ = pipeline.post_message(gst::message::Application::new(note));
}

fn is_turned(pad: &gst::Pad) -> bool {
    let mut turned = false;
    pad.sticky_events_foreach(|event| {
        if let gst::EventView::Tag(tag) = event.view()
            && let Some(orientation) = tag.tag().get::<gst::tags::ImageOrientation>()
        {
            turned = orientation.get() != "rotate-0";
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    turned
}
