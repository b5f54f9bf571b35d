//! Laws of all meters over the table, and values computed by hand.

use ndarray::Array2;

use super::measurement::{Measured, Measurement};
use super::motion::{Field, Motion};
use super::*;
use crate::image::{Picture, view};

/// The pictures of a clip, as a function of frame number, row and column.
type Scene = fn(usize, usize, usize) -> f32;

/// A clip to measure. What is not said here is as in [`CLIP`].
#[derive(Clone, Copy)]
struct Clip {
    size: Size,
    frames: usize,
    test: Scene,
    truth: Scene,
    per_frame: Scene,
    /// Motion to the frame before, and from there: the same for each pixel but a step of `tear`
    /// to the right in the right half.
    motion: (f32, f32),
    tear: f32,
    cuts: &'static [usize],
}

const FLAT: Scene = |_, _, _| 100.0;
const TEXTURE: Scene = |_, y, x| ((x * 37 + y * 61 + x * y * 11) % 200) as f32;
const CLIP: Clip = Clip {
    size: Size::new(24, 20),
    frames: 20,
    test: TEXTURE,
    truth: TEXTURE,
    per_frame: TEXTURE,
    motion: (0.0, 0.0),
    tear: 0.0,
    cuts: &[],
};

fn picture(scene: Scene, frame: usize, size: Size) -> Picture<f32> {
    Picture::from_shape_fn((size.height, size.width, 1), |(y, x, _)| scene(frame, y, x))
}

/// Measures everything that needs no network, on rows with `padding` that is no number.
fn measure_padded(clip: Clip, padding: usize) -> Vec<Measured> {
    let Clip { size, motion: (u, v), tear, .. } = clip;
    let given = Given { truth: true, per_frame: true, motion: true, ..Given::default() };
    let mut measurement = Measurement::new(METRICS, &given).unwrap();
    let flow = |u: f32, tear: f32| {
        let torn = move |x: usize| if x >= size.width / 2 { tear } else { 0.0 };
        Array2::from_shape_fn((size.height, size.width), |(_, x)| u + torn(x))
    };
    let [back_u, back_v, forth_u, forth_v] = [flow(u, tear), flow(v, 0.0), flow(-u, -tear), flow(-v, 0.0)];
    let motion = Motion::new(
        Field { u: back_u.view(), v: back_v.view() },
        Field { u: forth_u.view(), v: forth_v.view() },
    );
    for number in 0..clip.frames {
        let stride = size.width + padding;
        let samples = [clip.test, clip.truth, clip.per_frame].map(|scene| {
            let mut samples = vec![f32::NAN; stride * size.height];
            for (y, row) in samples.chunks_mut(stride).enumerate() {
                let pixels = row[..size.width].iter_mut().enumerate();
                pixels.for_each(|(x, sample)| *sample = scene(number, y, x));
            }
            samples
        });
        let [test, truth, per_frame] = [0, 1, 2].map(|at| view(&samples[at], size, 1, stride).unwrap());
        let frame = Frame::new(number, test).with_cut(clip.cuts.contains(&number));
        let frame = frame.with_truth(truth).unwrap().with_per_frame(per_frame).unwrap();
        measurement.push(&frame.with_motion(&motion).unwrap()).unwrap();
    }
    measurement.finish()
}

fn measure(clip: Clip) -> Vec<Measured> {
    measure_padded(clip, 0)
}

fn outcome(clip: Clip, name: &str) -> Outcome {
    let measured = measure(clip).into_iter().find(|(metric, _)| metric.name == name).unwrap();
    measured.1.unwrap_or_else(|err| panic!("{name}: {err}"))
}

/// The figure of a clip, and that its frames' figures are as they should be, too.
fn check(clip: Clip, name: &str, expected: f64) {
    let found = outcome(clip, name);
    let value = found.value.unwrap_or_else(|| panic!("{name}: no value"));
    let allowed = 2e-5 * expected.abs().max(1e-3);
    assert!((value - expected).abs() <= allowed, "{name}: {value}, not {expected}");
    assert!(found.series.windows(2).all(|pair| pair[0].0 < pair[1].0), "{name}: frames in order");
    assert!(found.series.iter().all(|(number, value)| *number < clip.frames && value.is_finite()), "{name}");
}

/// Rows that need no network, with the figure of a static clip that is the same as its truth.
const PERFECT: &[(&str, f64)] = &[
    ("psnr", psnr::MOST),
    ("ssim", 1.0),
    ("warping-error", 0.0),
    ("tde", 0.0),
    ("sstd", 0.0),
    ("sharpness", 1.0),
    ("sharpness-per-frame", 1.0),
    ("ghost", 0.0),
];

#[test]
fn every_row_has_a_name_of_its_own_and_says_what_it_means() {
    for (at, row) in METRICS.iter().enumerate() {
        assert_eq!(metric(row.name).unwrap().name, row.name);
        assert!(METRICS[..at].iter().all(|other| other.name != row.name), "{}", row.name);
        assert!(!row.meaning.is_empty() && !row.meaning.contains('\n') && !row.meaning.ends_with('.'));
        let networked = row.needs.contains(&Need::Runtime);
        assert_eq!(networked, !PERFECT.iter().any(|(name, _)| *name == row.name), "{} is untested", row.name);
    }
}

#[test]
fn what_is_not_at_hand_is_not_measured_and_said_so() {
    let measured = Measurement::new(METRICS, &Given::default()).unwrap().finish();
    assert_eq!(measured.len(), METRICS.len());
    for ((metric, result), row) in measured.iter().zip(METRICS) {
        let text = result.as_ref().unwrap_err().to_string();
        assert!(text.starts_with("not measured: no ") && metric.name == row.name, "{text}");
    }
    let (_, identity) = measured.iter().find(|(metric, _)| metric.name == "identity").unwrap();
    let reason = identity.as_ref().unwrap_err().to_string();
    assert_eq!(reason, "not measured: no faces located: the detector yunet is not there, run `make setup`");
}

#[test]
fn a_static_clip_that_is_its_own_truth_is_perfect() {
    for (name, perfect) in PERFECT {
        // With a tear, there are places to look for ghosts at.
        let tear = if *name == "ghost" { 3.0 } else { 0.0 };
        check(Clip { tear, ..CLIP }, name, *perfect);
    }
}

#[test]
fn padding_and_odd_sizes_change_nothing() {
    let shaky: Scene = |t, y, x| TEXTURE(t, y, x) + (t * 31 + x * 17 + y * 5) as f32 % 9.0;
    for size in [Size::new(11, 11), Size::new(33, 12), Size::new(12, 31)] {
        let clip = Clip { size, test: shaky, tear: 3.0, ..CLIP };
        let plain = measure(clip);
        for padding in [1, 7] {
            for ((metric, plain), (_, padded)) in plain.iter().zip(measure_padded(clip, padding)) {
                let name = metric.name;
                assert_eq!(plain.as_ref().ok(), padded.as_ref().ok(), "{name} of {size}, {padding} padding");
            }
        }
    }
}

#[test]
fn values_are_those_computed_by_hand() {
    // PSNR: an error of 5 everywhere is 10 log10(255^2 / 25).
    check(Clip { test: |_, _, _| 105.0, truth: FLAT, ..CLIP }, "psnr", 34.151_401);
    // The mean over frames, not the figure of the mean error: 48.1308 and 28.1308 in turn.
    let alternating: Scene = |t, _, _| if t % 2 == 0 { 101.0 } else { 110.0 };
    check(Clip { test: alternating, truth: FLAT, ..CLIP }, "psnr", 38.130_804);
    // SSIM: no variance, so (2 * 100 * 120 + C1) / (100^2 + 120^2 + C1) with C1 = 6.5025.
    check(Clip { test: |_, _, _| 120.0, truth: FLAT, ..CLIP }, "ssim", 24_006.502_5 / 24_406.502_5);
    // TDE: the test jumps by 6, the truth does not.
    let flicker: Scene = |t, y, x| TEXTURE(t, y, x) + if t % 2 == 0 { 3.0 } else { -3.0 };
    check(Clip { test: flicker, ..CLIP }, "tde", 6.0);
    // Static deviation: 3 to either side.
    check(Clip { test: flicker, ..CLIP }, "sstd", 3.0);
    // Warping error: 6^2 / 255^2.
    check(Clip { test: flicker, ..CLIP }, "warping-error", 36.0 / 65_025.0);
    // Sharpness: every edge half as strong.
    check(Clip { test: |t, y, x| 0.5 * TEXTURE(t, y, x), ..CLIP }, "sharpness", 0.5);
    check(Clip { per_frame: |t, y, x| 0.5 * TEXTURE(t, y, x), ..CLIP }, "sharpness-per-frame", 2.0);
    // Ghost: an error of 2 where the picture without temporal stage has 5.
    let off: Scene = |t, y, x| TEXTURE(t, y, x) + 2.0;
    let further: Scene = |t, y, x| TEXTURE(t, y, x) - 5.0;
    check(Clip { test: off, per_frame: further, tear: 3.0, ..CLIP }, "ghost", -3.0);
}

#[test]
fn the_gradient_is_sobels_with_mirrored_borders() {
    // A ramp of 2 levels a pixel: 8 * 2 inside, 0 in the first and last column.
    let ramp = picture(|_, _, x| 2.0 * x as f32, 0, Size::new(8, 5));
    assert!((sharpness::edges(ramp.view()) - 16.0 * 6.0 / 8.0).abs() < 1e-6);
    let single = picture(FLAT, 0, Size::new(1, 1));
    assert_eq!(sharpness::edges(single.view()), 0.0);
}

#[test]
fn the_warp_follows_motion_between_pixels_and_leaves_out_what_is_outside() {
    // The picture moves by (1.5, 0.5); a slope is exact under bilinear sampling.
    let moving: Scene = |t, y, x| 3.0 * (x as f32 + 1.5 * t as f32) + 5.0 * (y as f32 + 0.5 * t as f32);
    let clip = Clip { test: moving, frames: 4, motion: (1.5, 0.5), ..CLIP };
    check(clip, "warping-error", 0.0);
    // Only the last column and row are outside, and they do not count.
    let wrong: Scene = |t, y, x| {
        let slope = 3.0 * (x as f32 + t as f32) + 5.0 * y as f32;
        slope + if x == 23 && t % 2 == 0 { 50.0 } else { 0.0 }
    };
    // The 50 at even frames is at x = 23; of x = 22, whose counterpart it is, it spoils the odd ones.
    let found = outcome(Clip { test: wrong, frames: 4, motion: (1.0, 0.0), ..CLIP }, "warping-error");
    assert_eq!(found.series[1], (2, 0.0));
    let spoiled = 2500.0 / 23.0 / 65_025.0;
    assert!((found.series[0].1 - spoiled).abs() < 1e-9 && (found.series[2].1 - spoiled).abs() < 1e-9);
}

#[test]
fn boundaries_of_motion_and_occlusions_do_not_count_as_flicker_but_as_places_for_ghosts() {
    let size = Size::new(30, 12);
    // Motion tears by 3 between columns 14 and 15: forward differences put it at 14.
    let at_tear: Scene = |t, _, x| if x == 14 && t % 2 == 0 { 200.0 } else { 100.0 };
    let clip = Clip { size, test: at_tear, truth: FLAT, per_frame: FLAT, tear: 3.0, ..CLIP };
    check(clip, "warping-error", 0.0);
    // Outside beyond column 26, torn at 14; with 4 pixels of margin: 10 to 18 and 23 to 29.
    // One column in 16 is wrong by 100 in every second frame.
    let found = outcome(Clip { frames: 3, ..clip }, "ghost").series;
    assert_eq!(found, [(1, 0.0), (2, 100.0 / 16.0)]);
}

#[test]
fn a_small_step_in_a_fast_motion_is_no_boundary() {
    // The step of 0.5 is squared 0.25; 0.01 * 10^2 + 0.002 is allowed, 0.01 * 1^2 + 0.002 is not.
    let at_step: Scene = |t, _, x| if x == 29 && t == 1 { 200.0 } else { 100.0 };
    let clip = Clip { size: Size::new(60, 12), frames: 2, test: at_step, tear: 0.5, ..CLIP };
    // Of the fast one, columns 0 to 48 are inside.
    check(Clip { motion: (10.0, 0.0), ..clip }, "warping-error", 100.0 * 100.0 / 49.0 / 65_025.0);
    check(Clip { motion: (1.0, 0.0), ..clip }, "warping-error", 0.0);
}

#[test]
fn errors_count_the_same_from_either_side() {
    let other: Scene = |t, y, x| ((x * 13 + y * 29 + t * 7) % 210) as f32;
    for name in ["psnr", "ssim", "tde"] {
        let one = outcome(Clip { test: other, ..CLIP }, name).value.unwrap();
        let two = outcome(Clip { truth: other, ..CLIP }, name).value.unwrap();
        assert!((one - two).abs() < 1e-9 * one.abs(), "{name}: {one} {two}");
    }
    let forth = outcome(Clip { test: other, tear: 3.0, ..CLIP }, "ghost").value.unwrap();
    let back = outcome(Clip { per_frame: other, tear: 3.0, ..CLIP }, "ghost").value.unwrap();
    assert!(forth > 1.0 && (forth + back).abs() < 1e-9, "{forth} {back}");
    let over: f64 = outcome(Clip { test: other, ..CLIP }, "sharpness").value.unwrap();
    let under = outcome(Clip { truth: other, ..CLIP }, "sharpness").value.unwrap();
    assert!((over * under - 1.0).abs() < 1e-9);
}

#[test]
fn noise_costs_more_the_more_there_is_of_it_and_blur_softens() {
    let noisy: [Scene; 3] = [
        |t, y, x| TEXTURE(t, y, x) + ((t * 31 + x * 17 + y * 5) % 3) as f32,
        |t, y, x| TEXTURE(t, y, x) + ((t * 31 + x * 17 + y * 5) % 3) as f32 * 4.0,
        |t, y, x| TEXTURE(t, y, x) + ((t * 31 + x * 17 + y * 5) % 3) as f32 * 16.0,
    ];
    for name in ["psnr", "ssim", "warping-error", "tde", "sstd"] {
        let better = metric(name).unwrap().better;
        let values = noisy.map(|test| outcome(Clip { test, ..CLIP }, name).value.unwrap());
        let falling = values.windows(2).all(|pair| (pair[0] > pair[1]) == (better == Better::Higher));
        assert!(falling, "{name}: {values:?}");
    }
    let blurred: [Scene; 3] = [
        TEXTURE,
        |t, y, x| (TEXTURE(t, y, x) + TEXTURE(t, y, x + 1)) / 2.0,
        |t, y, x| (0..4).map(|at| TEXTURE(t, y + at % 2, x + at)).sum::<f32>() / 4.0,
    ];
    let sharpness = blurred.map(|test| outcome(Clip { test, ..CLIP }, "sharpness").value.unwrap());
    assert!(sharpness.windows(2).all(|pair| pair[0] > pair[1]), "{sharpness:?}");
}

#[test]
fn temporal_metrics_do_not_look_across_a_cut() {
    // Two still scenes; the second begins at frame 9.
    let scenes: Scene = |t, y, x| if t < 9 { TEXTURE(t, y, x) } else { 255.0 - TEXTURE(t, x, y) };
    let clip = Clip { test: scenes, ..CLIP };
    for name in ["warping-error", "tde", "sstd"] {
        assert!(outcome(clip, name).value.unwrap() > 1e-3, "{name} sees the cut");
        let cut = outcome(Clip { cuts: &[9], ..clip }, name);
        assert_eq!(cut.value, Some(0.0), "{name}");
    }
    for name in ["warping-error", "tde", "ghost"] {
        let frames: Vec<usize> = outcome(Clip { cuts: &[9], tear: 3.0, ..clip }, name)
            .series
            .iter()
            .map(|&(number, _)| number)
            .collect();
        assert_eq!(frames, (1..20).filter(|&number| number != 9).collect::<Vec<_>>(), "{name}");
    }
    // Windows of 8 frames, every 4, anew at the cut: frames 0 to 7 and 9 to 16.
    let windows = outcome(Clip { cuts: &[9], ..clip }, "sstd").series;
    assert_eq!(windows, [(7, 0.0), (16, 0.0)]);
    let uncut = outcome(clip, "sstd").series;
    assert_eq!(uncut.iter().map(|&(number, _)| number).collect::<Vec<_>>(), [7, 11, 15, 19]);
    // What is measured frame by frame counts every frame.
    assert_eq!(outcome(Clip { cuts: &[9], ..clip }, "psnr").series.len(), 20);
}

#[test]
fn static_deviation_looks_where_the_truth_stands_still() {
    // The truth varies by 5 levels in the left half, by 4 in the right; the test flickers on the left.
    let truth: Scene = |t, _, x| 100.0 + (t % 2) as f32 * if x < 12 { 5.0 } else { 4.0 };
    let left: Scene = |t, _, x| if x < 12 { 100.0 + (t % 2) as f32 * 50.0 } else { 100.0 };
    check(Clip { test: left, truth, ..CLIP }, "sstd", 0.0);
    // Nothing stands still: no figure.
    let restless: Scene = |t, _, _| 40.0 * (t % 3) as f32;
    assert_eq!(outcome(Clip { truth: restless, ..CLIP }, "sstd"), Outcome::default());
}

#[test]
fn clips_too_short_for_a_figure_have_none() {
    for name in ["warping-error", "tde", "sstd", "ghost"] {
        assert_eq!(outcome(Clip { frames: 1, ..CLIP }, name), Outcome::default(), "{name}");
    }
    assert_eq!(outcome(Clip { frames: 7, ..CLIP }, "sstd").value, None);
    // Without edges in the reference there is nothing to be in shares of.
    assert_eq!(outcome(Clip { truth: FLAT, ..CLIP }, "sharpness").value, None);
}

#[test]
fn sizes_that_differ_are_an_error_that_names_them() {
    let (large, small) = (picture(FLAT, 0, Size::new(16, 12)), picture(FLAT, 0, Size::new(16, 11)));
    let frame = || Frame::new(3, large.view());
    let planar = |picture: &Picture<f32>| plane::planar(picture.mapv(|sample| sample as u8).view());
    let colours = Colours { test: planar(&large), truth: planar(&small) };
    let still = Array2::zeros((11, 16));
    let field = Field { u: still.view(), v: still.view() };
    let motion = Motion::new(field, field);
    for wrong in [
        frame().with_truth(small.view()).err(),
        frame().with_per_frame(small.view()).err(),
        frame().with_motion(&motion).err(),
        frame().with_colours(&colours).err(),
    ] {
        let text = wrong.unwrap().to_string();
        assert!(text.contains("frame 3") && text.contains("16x11") && text.contains("16x12"), "{text}");
    }
    // From frame to frame, too, unless a cut says that they are no neighbours.
    let given = Given { truth: true, ..Given::default() };
    for name in ["tde", "sstd"] {
        for (cut, fine) in [(true, true), (false, false)] {
            let mut meter = metric(name).unwrap().start(&given).unwrap();
            meter.push(&Frame::new(0, large.view()).with_truth(large.view()).unwrap()).unwrap();
            let next = Frame::new(1, small.view()).with_cut(cut).with_truth(small.view()).unwrap();
            assert_eq!(meter.push(&next).is_ok(), fine, "{name}");
        }
    }
}

#[test]
fn what_was_promised_and_did_not_come_is_an_error() {
    let given = Given { truth: true, per_frame: true, motion: true, ..Given::default() };
    let flat = picture(FLAT, 0, Size::new(16, 16));
    for (name, _) in PERFECT {
        let mut meter = metric(name).unwrap().start(&given).unwrap();
        let first = meter.push(&Frame::new(0, flat.view()));
        let text = first.and_then(|()| meter.push(&Frame::new(1, flat.view()))).unwrap_err().to_string();
        assert!(text.contains("came without its"), "{name}: {text}");
    }
    let tiny = picture(FLAT, 0, Size::new(10, 40));
    let frame = Frame::new(0, tiny.view()).with_truth(tiny.view()).unwrap();
    let mut ssim = metric("ssim").unwrap().start(&given).unwrap();
    assert!(ssim.push(&frame).unwrap_err().to_string().contains("11x11"));
}
