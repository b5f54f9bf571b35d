//! The GStreamer element `facesr`. The only module that names GStreamer.

mod element;
mod face_stats;
pub mod frame;
mod messages;
mod stages;

use std::path::PathBuf;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use once_cell::sync::Lazy;

use element::FaceSr;

/// What `GST_DEBUG=facesr:5` shows, and with 6 what ONNX Runtime has to say besides.
pub(crate) static CAT: Lazy<gst::DebugCategory> = Lazy::new(|| {
    gst::DebugCategory::new("facesr", gst::DebugColorFlags::empty(), Some("Video super-resolution"))
});

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    crate::infer::runtime::set_listener(|warning, text| match warning {
        true => gst::warning!(CAT, "ONNX Runtime: {text}"),
        false => gst::log!(CAT, "ONNX Runtime: {text}"),
    });
    gst::Element::register(Some(plugin), "facesr", gst::Rank::NONE, FaceSr::static_type())
}

/// The folder of the loaded plugin or, when it is linked into a program, of that program.
fn folder() -> Option<PathBuf> {
    let registry = gst::Registry::get();
    let plugin = registry.find_plugin("facesr").and_then(|plugin| plugin.filename());
    let file = plugin.or_else(|| std::env::current_exe().ok())?;
    file.parent().map(Into::into)
}

gst::plugin_define!(
    facesr,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "Unknown package origin",
    env!("BUILD_REL_DATE")
);
