//! The element: negotiation and the way of a buffer. What it does with a frame is
//! `enhance::Enhancer`.

#[cfg(feature = "v1_24")]
mod analytics;
mod caps;
mod flight;
mod imp;
mod ladder;
mod lane;
mod live;
mod metas;
mod regions;
mod settings;

use gstreamer::glib;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

glib::wrapper! {
    /// The element `facesr`.
    pub struct FaceSr(ObjectSubclass<imp::FaceSr>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gstreamer::Element, gstreamer::Object,
        @implements gstreamer::Preset;
}
