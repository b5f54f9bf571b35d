//! Upscales video with ONNX networks, frame by frame.
//!
//! The crate is read in this order: what a picture is ([`image`]), what a network's file says
//! ([`model`]), how a network is run ([`infer`]), how a picture gets the size asked for
//! ([`upscale`]), the path of a frame ([`enhance`]), and the GStreamer element around it
//! (`plugin`, with the feature of that name). How good the result is, [`metrics`] say. Where the pixels of one
//! picture are in another, [`flow`] finds; what of the past is still true, [`temporal`] says; faces are found, followed
//! and restored by [`face`].

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod enhance;
pub mod face;
pub mod flow;
pub mod image;
pub mod infer;
pub mod metrics;
pub mod model;
pub mod temporal;
pub mod upscale;

#[cfg(feature = "plugin")]
mod plugin;

#[cfg(feature = "plugin")]
pub use plugin::frame;

/// Registers the element `facesr` with the GStreamer of this process, for programs that link
/// the crate. Call it after `gstreamer::init()`; calling it again does nothing.
///
/// # Errors
/// If GStreamer refuses the element.
#[cfg(feature = "plugin")]
pub fn plugin_register_static() -> Result<(), gstreamer::glib::BoolError> {
    plugin::plugin_register_static()
}
