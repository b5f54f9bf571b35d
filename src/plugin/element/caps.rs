//! Negotiation: which sizes come out for which go in.

use gstreamer as gst;
use gstreamer_video as gst_video;

use gst::{Caps, Fraction, PadDirection, StructureRef};

use crate::plugin::frame::FORMATS;

/// The longest side that comes out, in pixels: twice 8K, for the tallest scans there are.
pub const LONGEST_SIDE: i32 = 16_384;

/// Caps of both pads. Interlaced ones are taken so that they can be refused with a reason.
pub fn template() -> Caps {
    gst_video::VideoCapsBuilder::new().format_list(FORMATS.iter().copied()).build()
}

/// What may stand on the other side of `caps`. With a factor, sizes are tied to each other;
/// without one, any size can be made of any.
pub fn transform(caps: &Caps, direction: PadDirection, factor: Option<f64>) -> Caps {
    let mut other = Caps::new_empty();
    for (structure, features) in caps.iter_with_features() {
        let mut structure = structure.to_owned();
        match factor {
            Some(factor) => {
                let ratio = if direction == PadDirection::Sink { factor } else { 1.0 / factor };
                for side in ["width", "height"] {
                    scale_side(&mut structure, side, ratio);
                }
            }
            None => {
                for side in ["width", "height"] {
                    structure.set(side, gst::IntRange::new(1, i32::MAX));
                }
                if structure.has_field("pixel-aspect-ratio") {
                    let any = gst::FractionRange::new(Fraction::new(1, i32::MAX), Fraction::new(i32::MAX, 1));
                    structure.set("pixel-aspect-ratio", any);
                }
            }
        }
        other.merge_structure_full(structure, Some(features.to_owned()));
    }
    other
}

/// Multiplies a side by a ratio; ranges stay ranges, one pixel wider on the way back, where
/// several sizes are rounded to the same.
fn scale_side(structure: &mut StructureRef, side: &str, ratio: f64) {
    let times = |length: i32, round: fn(f64) -> f64| {
        // Far beyond the longest side, this only has to stay a number.
        round(f64::from(length) * ratio).clamp(1.0, f64::from(i32::MAX)) as i32
    };
    if let Ok(length) = structure.get::<i32>(side) {
        if ratio >= 1.0 {
            structure.set(side, times(length, f64::round));
        } else {
            let (least, most) = (times(length - 1, f64::floor), times(length + 1, f64::ceil));
            structure.set(side, gst::IntRange::new(least, most.max(least + 1)));
        }
    } else {
        let (least, most) = match structure.get::<gst::IntRange<i32>>(side) {
            Ok(range) => (times(range.min(), f64::floor), times(range.max(), f64::ceil)),
            // No field or a list: any size, the set caps are checked anyway.
            Err(_) => (1, i32::MAX),
        };
        structure.set(side, gst::IntRange::new(least, most.max(least.saturating_add(1))));
    }
}

/// Chooses a size among `other` for fixed caps. `model_scale` is what the network makes when
/// nothing else is asked for. A side that is left open follows the other and the shape that
/// pixels may have, so that the picture keeps its own; where both are fixed, the pixels
/// change theirs if that is allowed.
pub fn fixate(fixed: &Caps, direction: PadDirection, other: Caps, model_scale: f64) -> Caps {
    let mut other = other;
    other.truncate();
    let (Some(from), Some(structure)) = (fixed.structure(0), other.make_mut().structure_mut(0)) else {
        return other;
    };
    let length = |side| from.get::<i32>(side).ok();
    if let (Some(width), Some(height)) = (length("width"), length("height")) {
        let ratio = if direction == PadDirection::Sink { model_scale } else { 1.0 / model_scale };
        let par = from.get("pixel-aspect-ratio").unwrap_or(SQUARE);
        let nearest = nearest_shape(structure, par);
        // As wide as the picture is in pixels of the shape that they may have.
        let seen = f64::from(width) * of(par) / of(nearest);
        let is_open = !has_size(structure);
        fixate_size(structure, seen, f64::from(height), ratio);
        let kept = if is_open && keeps_shape(structure, seen, f64::from(height)) {
            nearest
        } else {
            shape_of_pixels(structure, par, width, height)
        };
        if structure.has_field("pixel-aspect-ratio") {
            structure.fixate_field_nearest_fraction("pixel-aspect-ratio", kept);
        } else if kept != SQUARE {
            // Nobody said a word of it, which means square.
            structure.set("pixel-aspect-ratio", kept);
        }
    }
    other.fixate();
    other
}

/// What pixels are where nothing is said of it.
const SQUARE: Fraction = Fraction::new_raw(1, 1);

fn of(shape: Fraction) -> f64 {
    f64::from(shape.numer()) / f64::from(shape.denom())
}

/// The shape nearest to `par` that pixels may have.
fn nearest_shape(structure: &StructureRef, par: Fraction) -> Fraction {
    if !structure.has_field("pixel-aspect-ratio") {
        return par;
    }
    let mut chosen = structure.to_owned();
    chosen.fixate_field_nearest_fraction("pixel-aspect-ratio", par);
    chosen.get("pixel-aspect-ratio").unwrap_or(par)
}

fn has_size(structure: &StructureRef) -> bool {
    ["width", "height"].into_iter().all(|side| structure.get::<i32>(side).is_ok())
}

/// Whether a picture of this size keeps its shape. Rounding a side to whole pixels is no change.
fn keeps_shape(structure: &StructureRef, width: f64, height: f64) -> bool {
    let (Ok(to_width), Ok(to_height)) = (structure.get::<i32>("width"), structure.get::<i32>("height"))
    else {
        return true;
    };
    (f64::from(to_width) / width * height - f64::from(to_height)).abs() <= 1.0
}

fn fixate_size(structure: &mut StructureRef, width: f64, height: f64, ratio: f64) {
    let near = |length: f64| (length.round() as i32).max(1);
    let open = |structure: &StructureRef, side: &str| structure.get::<i32>(side).ok();
    match (open(structure, "width"), open(structure, "height")) {
        (Some(_), Some(_)) => {}
        (Some(fixed), None) => {
            structure.fixate_field_nearest_int("height", near(f64::from(fixed) / width * height));
        }
        (None, Some(fixed)) => {
            structure.fixate_field_nearest_int("width", near(f64::from(fixed) / height * width));
        }
        (None, None) => {
            let widths = structure.value("width").map(|widths| widths.to_owned());
            structure.fixate_field_nearest_int("width", near(width * ratio));
            let made = structure.get::<i32>("width").unwrap_or(near(width * ratio));
            // A side that had to give way takes the other along.
            let ratio = if made == near(width * ratio) { ratio } else { f64::from(made) / width };
            structure.fixate_field_nearest_int("height", near(height * ratio));
            let made = structure.get::<i32>("height").unwrap_or(near(height * ratio));
            if let (Ok(widths), true) = (widths, made != near(height * ratio)) {
                structure.set_value("width", widths);
                structure.fixate_field_nearest_int("width", near(f64::from(made) / height * width));
            }
        }
    }
}

/// The pixel aspect ratio that keeps the shape of the picture at its new size.
fn shape_of_pixels(structure: &StructureRef, par: Fraction, width: i32, height: i32) -> Fraction {
    let (Ok(to_width), Ok(to_height)) = (structure.get::<i32>("width"), structure.get::<i32>("height"))
    else {
        return par;
    };
    if keeps_shape(structure, f64::from(width), f64::from(height)) {
        return par;
    }
    let reduced = |a: i64, b: i64| {
        let (mut x, mut y) = (a, b);
        while y != 0 {
            (x, y) = (y, x % y);
        }
        (a / x.max(1), b / x.max(1))
    };
    let (across, down) =
        reduced(i64::from(width) * i64::from(to_height), i64::from(height) * i64::from(to_width));
    let (numer, denom) = reduced(across * i64::from(par.numer()), down * i64::from(par.denom()));
    match (i32::try_from(numer), i32::try_from(denom)) {
        (Ok(numer), Ok(denom)) if numer > 0 && denom > 0 => Fraction::new(numer, denom),
        _ => par,
    }
}
