//! Metas whose numbers are places in the picture: they move with its size.

use gstreamer as gst;
use gstreamer_video as gst_video;

use gst_video::video_meta::VideoMetaTransformScale;
use gst_video::{
    VideoBarMeta, VideoInfo, VideoOverlayComposition, VideoOverlayCompositionMeta, VideoRegionOfInterestMeta,
};

/// Detections as GStreamer 1.24 and later have them. By name, because a plugin that was built for 1.22 meets them, too.
const ANALYTICS: &str = "GstAnalyticsRelationMetaAPI";

/// Carries a meta to a picture of another size, if it holds places; `None` leaves it to the base classes. An error is what
/// cannot change its size.
pub fn carry(
    meta: &gst::MetaRef<'_, gst::Meta>,
    outbuf: &mut gst::BufferRef,
    from: &VideoInfo,
    to: &VideoInfo,
) -> Option<Result<(), gst::glib::BoolError>> {
    let across = f64::from(to.width()) / f64::from(from.width());
    let down = f64::from(to.height()) / f64::from(from.height());
    if let Some(bar) = meta.downcast_ref::<VideoBarMeta>() {
        let factor = if bar.is_letterbox() { down } else { across };
        let (first, second) = bars((bar.bar_data1(), bar.bar_data2()), factor);
        VideoBarMeta::add(outbuf, bar.field(), bar.is_letterbox(), first, second);
        return Some(Ok(()));
    }
    if let Some(overlay) = meta.downcast_ref::<VideoOverlayCompositionMeta>() {
        return Some(enlarged(&overlay.overlay_owned(), across, down).map(|larger| {
            VideoOverlayCompositionMeta::add(outbuf, &larger);
        }));
    }
    let is_detections = meta.api().name() == ANALYTICS;
    if !is_detections && !meta.tags().iter().any(|tag| tag == "size") {
        return None;
    }
    let done = meta.transform(outbuf, &VideoMetaTransformScale::new(from, to));
    if done.is_ok()
        && let Some(region) = meta.downcast_ref::<VideoRegionOfInterestMeta>()
        && let Some(mut moved) = outbuf.iter_meta_mut::<VideoRegionOfInterestMeta>().last()
    {
        // GStreamer moves the rectangle and drops what is known of it.
        region.params().for_each(|param| moved.add_param(param.to_owned()));
    }
    Some(done)
}

/// The last line, or column, of the first bar and the first of the second, counted from 1 as CTA-708 does; 0 is no bar.
fn bars((first, second): (u32, u32), factor: f64) -> (u32, u32) {
    let scaled = |lines: u32| (f64::from(lines) * factor).round() as u32;
    (scaled(first), second.checked_sub(1).map_or(0, |before| scaled(before) + 1))
}

/// The same pictures, to be drawn larger.
fn enlarged(
    overlay: &VideoOverlayComposition,
    across: f64,
    down: f64,
) -> Result<VideoOverlayComposition, gst::glib::BoolError> {
    let larger = overlay.iter().map(|rectangle| {
        let mut rectangle = rectangle.copy();
        let (x, y, width, height) = rectangle.render_rectangle();
        let place = |at: i32, factor: f64| (f64::from(at) * factor).round() as i32;
        let side = |length: u32, factor: f64| (f64::from(length) * factor).round().max(1.0) as u32;
        rectangle.make_mut().set_render_rectangle(
            place(x, across),
            place(y, down),
            side(width, across),
            side(height, down),
        );
        rectangle
    });
    let larger: Vec<_> = larger.collect();
    VideoOverlayComposition::new(&larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_cover_the_same_share_of_a_picture_of_any_size() {
        for height in [480_u32, 486, 576] {
            for bar in [0, 1, 36, 60] {
                for factor in [1.0, 1.5, 2.0, 4.0, 8.0] {
                    let (first, second) = bars((bar, height - bar + 1), factor);
                    let larger = (f64::from(height) * factor).round() as u32;
                    assert!((f64::from(first) - f64::from(bar) * factor).abs() <= 0.5);
                    let lower = f64::from(larger + 1 - second);
                    assert!((lower - f64::from(bar) * factor).abs() <= 1.0, "{height}, {bar}, {factor}");
                }
            }
        }
        assert_eq!(bars((0, 0), 4.0), (0, 0), "no bars stay none");
    }
}
