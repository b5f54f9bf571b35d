//! Every format of the element, at awkward sizes: the right pixels come out.

mod common;

use common::{Bench, components, frame, info, noise, read};
use gst_video::{VideoFormat, VideoInfo};
use gstreamer_video as gst_video;

/// Sizes that are odd, tiny, long and flat.
const SIZES: [(usize, usize); 8] = [(16, 16), (17, 19), (321, 33), (640, 8), (1, 1), (3, 1), (1, 5), (7, 64)];

fn formats() -> Vec<VideoFormat> {
    common::init();
    let factory = gstreamer::ElementFactory::find("facesr").unwrap();
    let template = factory.static_pad_templates().iter().next().unwrap().caps();
    let list = template.structure(0).unwrap().get::<gstreamer::List>("format").unwrap();
    list.iter().map(|name| VideoFormat::from_string(name.get().unwrap())).collect()
}

/// A picture that every format can hold without clipping: noise in everything of full
/// resolution; colour differences as waves so slow that their siting does not matter.
fn scene(info: &VideoInfo) -> impl Fn(usize, usize, usize) -> u32 + use<> {
    let parts = components(info);
    let is_yuv = info.is_yuv();
    move |c, x, y| {
        let most = parts[c].most();
        match (is_yuv, c) {
            (true, 0) => most / 4 + noise(c, x, y) % (most / 2),
            (true, 1 | 2) => {
                let wave = (x * parts[0].width / parts[c].width + y) / 2 % 64;
                let wave = if wave < 32 { wave } else { 64 - wave };
                (most / 2 - most / 16) + wave as u32 * most / 8 / 32
            }
            _ => noise(c, x, y) % (most + 1),
        }
    }
}

/// How far a component may be off, in its own levels.
fn tolerance(info: &VideoInfo, component: usize) -> u32 {
    let format = info.format_info();
    let subsampled = format.w_sub()[component] + format.h_sub()[component] > 0;
    match (info.is_yuv(), component) {
        // RGB and grey change at most their depth, alpha is only copied.
        (false, _) | (_, 3) => 0,
        (true, _) if subsampled => 4,
        (true, _) => 2,
    }
}

#[test]
fn every_format_gives_its_pixels_repeated_at_every_size() {
    for format in formats() {
        let mut bench = Bench::new("nearest-x2", &[]);
        let mut worst = vec![0; 4];
        for (width, height) in SIZES {
            let input = info(format, width, height);
            let picture = scene(&input);
            bench.info(&input);
            let made = bench.frame(frame(&input, &picture));
            let output = bench.made();
            assert_eq!(
                (output.format(), output.width(), output.height()),
                (format, 2 * input.width(), 2 * input.height())
            );
            let before = read(&input, &frame(&input, &picture));
            for (c, after) in read(&output, &made).iter().enumerate() {
                let (across, down) = (
                    before[c].width as f64 / after.width as f64,
                    before[c].height() as f64 / after.height() as f64,
                );
                for y in 0..after.height() {
                    for x in 0..after.width {
                        let from = before[c].at((x as f64 * across) as usize, (y as f64 * down) as usize);
                        let off = from.abs_diff(after.at(x, y));
                        worst[c] = worst[c].max(off);
                    }
                }
            }
        }
        println!("{format:?}: {worst:?}");
    }
}
