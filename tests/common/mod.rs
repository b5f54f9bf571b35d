//! What the tests of the element share: elements on a bench, frames written and read sample by
//! sample without any converter, and child processes.
//!
//! Any critical message of GLib ends the process, so every test is also a test for those.
#![allow(dead_code, reason = "every test program uses a part of it")]

pub mod pool;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Once;

use gst::glib;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoInfo};
use gstreamer as gst;
use gstreamer_check as gst_check;
use gstreamer_video as gst_video;

/// Registers the element; criticals end the process from here on.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstfacesr::plugin_register_static().unwrap();
        glib::log_set_default_handler(|domain, level, text| {
            eprintln!("{} {level:?}: {text}", domain.unwrap_or_default());
            let is_critical = matches!(level, glib::LogLevel::Critical | glib::LogLevel::Error);
            // A test that fails leaves its pipeline running, which is no news.
            if is_critical && !std::thread::panicking() {
                std::process::abort();
            }
        });
    });
}

/// The path of a file of the source tree.
pub fn tree(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_string_lossy().into_owned()
}

/// The path of a network of `models/tiny`.
pub fn tiny(name: &str) -> String {
    tree(&format!("models/tiny/{name}.onnx"))
}

/// An element on the processor with a tiny network and further properties.
pub fn element(network: &str, properties: &[(&str, &str)]) -> gst::Element {
    init();
    let element = gst::ElementFactory::make("facesr").build().unwrap();
    element.set_property_from_str("execution-provider", "cpu");
    if !network.is_empty() {
        element.set_property("model", tiny(network));
    }
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    element
}

/// An element that frames are pushed through by hand.
pub struct Bench {
    pub element: gst::Element,
    pub harness: Harness,
    pub bus: gst::Bus,
}

impl Bench {
    pub fn new(network: &str, properties: &[(&str, &str)]) -> Self {
        let element = element(network, properties);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        // For frames of live video less is done where the machine is busy, as it is with tests.
        harness.set_live(false);
        Self { element, harness, bus }
    }

    /// What downstream takes; nothing is fixed without this call.
    pub fn downstream(mut self, caps: &str) -> Self {
        self.harness.set_sink_caps_str(caps);
        self
    }

    /// Sends caps that are formatted like `format=RGB,width=2,height=2`.
    pub fn caps(&mut self, fields: &str) {
        self.harness.set_src_caps_str(&format!("video/x-raw,{fields}"));
    }

    pub fn info(&mut self, info: &VideoInfo) {
        self.harness.set_src_caps(info.to_caps().unwrap());
    }

    /// One frame in, one out, and no complaint.
    pub fn frame(&mut self, buffer: gst::Buffer) -> gst::Buffer {
        let flow = self.harness.push(buffer);
        assert_eq!(flow, Ok(gst::FlowSuccess::Ok), "{:?}", self.complaints());
        self.harness.try_pull().expect("a frame comes out for each that goes in")
    }

    /// The format that comes out.
    pub fn made(&self) -> VideoInfo {
        VideoInfo::from_caps(&self.made_caps()).unwrap()
    }

    pub fn made_caps(&self) -> gst::Caps {
        self.harness.sinkpad().unwrap().current_caps().expect("caps have come out")
    }

    /// Errors and warnings since the last call.
    pub fn complaints(&self) -> Vec<String> {
        messages(&self.bus)
    }

    pub fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }

    pub fn count(&self, field: &str) -> u64 {
        self.stats().get(field).unwrap()
    }
}

/// Errors and warnings that wait on a bus, as `error: text` and `warning: text`.
pub fn messages(bus: &gst::Bus) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning]) {
        match message.view() {
            gst::MessageView::Error(err) => texts.push(format!("error: {}", err.error())),
            gst::MessageView::Warning(err) => texts.push(format!("warning: {}", err.error())),
            _ => {}
        }
    }
    texts
}

/// The formats that the element takes.
pub fn formats() -> Vec<VideoFormat> {
    init();
    let factory = gst::ElementFactory::find("facesr").unwrap();
    let template = factory.static_pad_templates().iter().next().unwrap().caps();
    let list = template.structure(0).unwrap().get::<gst::List>("format").unwrap();
    list.iter().map(|name| VideoFormat::from_string(name.get().unwrap())).collect()
}

/// A format of 25 frames per second.
pub fn info(format: VideoFormat, width: usize, height: usize) -> VideoInfo {
    let fps = gst::Fraction::new(25, 1);
    VideoInfo::builder(format, width as u32, height as u32).fps(fps).build().unwrap()
}

/// Where a component lies, read off the description of the format.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    pub plane: u32,
    offset: usize,
    step: usize,
    shift: u32,
    pub depth: u32,
    pub width: usize,
    pub height: usize,
}

impl Component {
    /// The largest sample.
    pub fn most(self) -> u32 {
        (1 << self.depth) - 1
    }
}

/// Components in the order of the format's description: R, G, B or Y, U, V, then alpha.
pub fn components(info: &VideoInfo) -> Vec<Component> {
    let format = info.format_info();
    let component = |c: usize| Component {
        plane: format.plane()[c],
        // The description counts V of P010 in samples.
        offset: format.poffset()[c] as usize * if format.format() == VideoFormat::P01010le { 2 } else { 1 },
        step: format.pixel_stride()[c] as usize,
        shift: format.shift()[c],
        depth: format.depth()[c],
        width: format.scale_width(c as u8, info.width()) as usize,
        height: format.scale_height(c as u8, info.height()) as usize,
    };
    (0..info.n_components() as usize).map(component).collect()
}

/// Writes a frame sample by sample; everything that is no sample gets `poison`.
pub fn fill(
    info: &VideoInfo,
    buffer: &mut gst::BufferRef,
    poison: u8,
    sample: impl Fn(usize, usize, usize) -> u32,
) {
    buffer.map_writable().unwrap().fill(poison);
    write(info, buffer, sample);
}

/// Sets every sample of a frame to zero, and the fourth byte of a pixel that has three.
pub fn strike_out(info: &VideoInfo, buffer: &mut gst::BufferRef) {
    write(info, buffer, |_, _, _| 0);
    let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info).unwrap();
    let (stride, width) = (frame.plane_stride()[0] as usize, info.width() as usize);
    if info.is_rgb() && info.n_components() == 3 && info.format_info().pixel_stride()[0] == 4 {
        let rows = frame.plane_data_mut(0).unwrap().chunks_mut(stride);
        rows.take(info.height() as usize).for_each(|row| row[..4 * width].fill(0));
    }
}

fn write(info: &VideoInfo, buffer: &mut gst::BufferRef, sample: impl Fn(usize, usize, usize) -> u32) {
    let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info).unwrap();
    for (c, at) in components(info).into_iter().enumerate() {
        let stride = frame.plane_stride()[at.plane as usize] as usize;
        let data = frame.plane_data_mut(at.plane).unwrap();
        for y in 0..at.height {
            for x in 0..at.width {
                let place = y * stride + x * at.step + at.offset;
                let value = sample(c, x, y);
                assert!(value <= at.most(), "{value} in {} bits", at.depth);
                if at.depth > 8 {
                    let bytes = ((value << at.shift) as u16).to_le_bytes();
                    data[place..place + 2].copy_from_slice(&bytes);
                } else {
                    data[place] = value as u8;
                }
            }
        }
    }
}

/// A frame as GStreamer lays it out.
pub fn frame(info: &VideoInfo, sample: impl Fn(usize, usize, usize) -> u32) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    fill(info, buffer.get_mut().unwrap(), 0xa5, sample);
    buffer
}

/// The samples of one component, row by row.
pub struct Samples {
    pub width: usize,
    pub values: Vec<u32>,
}

impl Samples {
    pub fn at(&self, x: usize, y: usize) -> u32 {
        self.values[y * self.width + x]
    }

    pub fn height(&self) -> usize {
        self.values.len() / self.width
    }
}

/// Reads a frame sample by sample, through its `VideoMeta` if it has one.
pub fn read(info: &VideoInfo, buffer: &gst::Buffer) -> Vec<Samples> {
    let frame = VideoFrame::from_buffer_readable(buffer.clone(), info).expect("a whole frame");
    let component = |at: Component| {
        let stride = frame.plane_stride()[at.plane as usize] as usize;
        let data = frame.plane_data(at.plane).unwrap();
        let mut values = Vec::with_capacity(at.width * at.height);
        for y in 0..at.height {
            for x in 0..at.width {
                let place = y * stride + x * at.step + at.offset;
                values.push(if at.depth > 8 {
                    u32::from(u16::from_le_bytes([data[place], data[place + 1]])) >> at.shift & at.most()
                } else {
                    u32::from(data[place])
                });
            }
        }
        Samples { width: at.width, values }
    };
    components(info).into_iter().map(component).collect()
}

/// A number that looks random and depends on all of its arguments.
pub fn noise(c: usize, x: usize, y: usize) -> u32 {
    let mut seed = (c as u32 + 1).wrapping_mul(0x9e37_79b9) ^ (x as u32) << 16 ^ y as u32;
    for _ in 0..2 {
        seed = (seed ^ seed >> 16).wrapping_mul(0x045d_9f3b);
    }
    seed ^ seed >> 16
}

/// Runs a test of this program, the only one with such a name, in a process of its own: the body there, `None` where it
/// was run; `Some` with what the process said, in the test that called.
pub fn child(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> Option<Output> {
    const MARK: &str = "FACESR_TEST_CHILD";
    if std::env::var(MARK).as_deref() == Ok(test) {
        body();
        return None;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--nocapture", "--test-threads=1"])
        .env(MARK, test)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Some(output)
}

/// What a child process said.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
