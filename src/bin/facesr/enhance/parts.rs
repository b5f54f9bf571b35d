//! Elements and links, made or else explained.

use gstreamer as gst;
use gstreamer::prelude::*;

use super::missing::package;
use crate::failure::{Failure, one_line};

/// An element, or the package that has it.
pub fn make(factory: &str) -> Result<gst::Element, Failure> {
    gst::ElementFactory::make(factory).build().map_err(|_| {
        Failure::Failed(format!(
            "the element {factory} is not installed; try: apt install {}",
            package(factory)
        ))
    })
}

/// Subtitles that carry their styles along.
const STYLED: [&str; 2] = ["application/x-ass", "application/x-ssa"];

/// What finds the streams of a file. It leaves subtitles with styles as they are, of which it would keep the text alone.
pub fn parser() -> Result<gst::Element, Failure> {
    let parser = make("parsebin")?;
    parser.connect("autoplug-continue", false, |values| {
        let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
        let is_styled =
            caps.is_some_and(|caps| caps.iter().any(|caps| STYLED.contains(&caps.name().as_str())));
        Some((!is_styled).to_value())
    });
    Ok(parser)
}

/// Puts elements into the pipeline, one behind the other.
pub fn join(pipeline: &gst::Pipeline, elements: &[&gst::Element]) -> Result<(), Failure> {
    pipeline.add_many(elements).map_err(cannot_join)?;
    gst::Element::link_many(elements).map_err(cannot_join)
}

/// A converter of raw video that uses every core.
pub fn converter() -> Result<gst::Element, Failure> {
    let converter = make("videoconvert")?;
    // 0 is one thread per core.
    converter.set_property("n-threads", 0u32);
    Ok(converter)
}

/// Lets nothing but `caps` pass.
pub fn filter(caps: &str) -> Result<gst::Element, Failure> {
    let filter = make("capsfilter")?;
    filter.set_property_from_str("caps", caps);
    Ok(filter)
}

/// Cuts off the last column or row where there is an odd number of them.
pub fn even_size() -> Result<gst::Element, Failure> {
    let crop = make("videocrop")?;
    let weak = crop.downgrade();
    sink_pad(&crop)?.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let (Some(gst::PadProbeData::Event(event)), Some(crop)) = (&info.data, weak.upgrade())
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(caps) = caps.caps().structure(0)
        {
            crop.set_property("right", caps.get::<i32>("width").unwrap_or(0) % 2);
            crop.set_property("bottom", caps.get::<i32>("height").unwrap_or(0) % 2);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(crop)
}

/// What scaling and conversion can bring back to what the first frame had.
const HELD: [&str; 5] = ["format", "width", "height", "pixel-aspect-ratio", "colorimetry"];

/// Keeps later frames at the size, format and colours of the first, for files whose picture
/// changes: encoders and containers cannot follow. `scaler` and a converter stand before it.
pub fn hold() -> Result<gst::Element, Failure> {
    let filter = make("capsfilter")?;
    let weak = filter.downgrade();
    // Not the first caps: those change again while elements before find out what to do.
    sink_pad(&filter)?.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        if let (Some(filter), Some(mut first)) = (weak.upgrade(), pad.current_caps()) {
            for structure in first.make_mut().iter_mut() {
                let fields: Vec<_> = structure.fields().map(|field| field.to_string()).collect();
                let others = fields.iter().filter(|field| !HELD.contains(&field.as_str()));
                structure.remove_fields(others.map(String::as_str));
            }
            filter.set_property("caps", first);
        }
        gst::PadProbeReturn::Remove
    });
    Ok(filter)
}

/// Fits frames of another size to the one that [`hold`] keeps, with bars where the shape
/// differs; others pass untouched.
pub fn scaler() -> Result<gst::Element, Failure> {
    let scaler = make("videoscale")?;
    scaler.set_property_from_str("method", "lanczos");
    scaler.set_property("add-borders", true);
    Ok(scaler)
}

/// A thread boundary that holds `buffers`, or as much as usual when 0.
pub fn queue(buffers: u32) -> Result<gst::Element, Failure> {
    let queue = make("queue")?;
    if buffers > 0 {
        queue.set_property("max-size-buffers", buffers);
        queue.set_property("max-size-bytes", 0u32);
        queue.set_property("max-size-time", 0u64);
    }
    Ok(queue)
}

/// Elements from a description, or the package that has the missing one.
pub fn bin(description: &str) -> Result<gst::Element, Failure> {
    match gst::parse::bin_from_description(description, true) {
        Ok(bin) => Ok(bin.upcast()),
        Err(err) if err.matches(gst::ParseError::NoSuchElement) => {
            let missing = description.split_whitespace().find(|word| {
                word.starts_with(|first: char| first.is_ascii_alphabetic())
                    && !word.contains(['=', '/'])
                    && gst::ElementFactory::find(word).is_none()
            });
            let missing = missing.unwrap_or(description);
            Err(Failure::Failed(format!(
                "the element {missing} is not installed; try: apt install {}",
                package(missing)
            )))
        }
        Err(err) => Err(Failure::Failed(one_line(err.message()))),
    }
}

/// Links two pads.
pub fn link(from: &gst::Pad, to: &gst::Pad) -> Result<(), Failure> {
    from.link(to)
        .map(drop)
        .map_err(|err| Failure::Failed(format!("cannot connect {} to {}: {err}", from.name(), to.name())))
}

/// The only way in.
pub fn sink_pad(element: &gst::Element) -> Result<gst::Pad, Failure> {
    element.static_pad("sink").ok_or_else(no_pad)
}

/// The only way out.
pub fn src_pad(element: &gst::Element) -> Result<gst::Pad, Failure> {
    element.static_pad("src").ok_or_else(no_pad)
}

/// What should not happen with the elements used here.
pub fn no_pad() -> Failure {
    Failure::Failed("an element of the pipeline lacks a pad that it should have".into())
}

/// Elements that do not go together.
pub fn cannot_join(err: gst::glib::BoolError) -> Failure {
    Failure::Failed(format!("cannot build the pipeline: {}", one_line(&err.message)))
}
