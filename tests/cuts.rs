//! What is a cut, and what is not: laws on pictures made for them.

use gstfacesr::temporal::cut::{CutDetector, Look, THRESHOLD};
use ndarray::{Array2, s};

type Picture = Array2<f32>;

/// Width and height in pixels.
type Size = (usize, usize);

const USUAL: Size = (320, 180);
/// Odd, small, wide, high.
const SIZES: &[Size] = &[USUAL, (321, 181), (160, 96), (97, 131), (64, 36), (719, 300), (24, 16)];

/// Numbers of 0 to 1 without a pattern.
fn random(x: i64, y: i64, seed: u64) -> f32 {
    let mut bits = (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (y as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
        ^ seed;
    for _ in 0..3 {
        bits = (bits ^ (bits >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
    (bits >> 40) as f32 / (1_u64 << 24) as f32
}

/// A scene: blotches of four sizes around a middle grey, at a point in shares of the picture's width.
fn scene(seed: u64, x: f32, y: f32) -> f32 {
    let octave = |cells: f32, strength: f32| {
        let (x, y) = (x * cells, y * cells);
        let (left, top) = (x.floor(), y.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (across, down) = (ease(x - left), ease(y - top));
        let at = |dx: i64, dy: i64| random(left as i64 + dx, top as i64 + dy, seed + cells as u64);
        let row = |dy: i64| at(0, dy) + across * (at(1, dy) - at(0, dy));
        strength * (row(0) + down * (row(1) - row(0)) - 0.5)
    };
    120.0 + octave(4.0, 80.0) + octave(9.0, 80.0) + octave(20.0, 60.0) + octave(45.0, 50.0)
}

/// A picture of a function of points in shares of the width.
fn picture((width, height): Size, value: impl Fn(f32, f32) -> f32) -> Picture {
    let share = |at: usize| (at as f32 + 0.5) / width as f32;
    Array2::from_shape_fn((height, width), |(y, x)| value(share(x), share(y)).clamp(0.0, 255.0).round())
}

fn still(size: Size, seed: u64) -> Picture {
    picture(size, |x, y| scene(seed, x, y))
}

/// What is seen at the second of two pictures.
fn look(first: &Picture, second: &Picture) -> Look {
    let mut detector = CutDetector::new(THRESHOLD);
    let look = detector.look(first.view());
    assert_eq!(look, Look { cut: false, a: 0.0, b: 0.0 }, "the first picture");
    detector.look(second.view())
}

/// Whether the second of two pictures, and of the same two the other way round, is a cut.
#[track_caller]
fn check(what: &str, first: &Picture, second: &Picture, expected: bool) {
    for (first, second) in [(first, second), (second, first)] {
        let look = look(first, second);
        assert!(look.a.is_finite() && look.b.is_finite(), "{what}: {look:?}");
        assert_eq!(look.cut, expected, "{what}: {look:?}");
        assert_eq!(look.cut, look.a > THRESHOLD && look.b > THRESHOLD);
    }
}

#[test]
fn another_scene_is_a_cut_at_every_size() {
    for &size in SIZES {
        for seed in 0..12 {
            check(&format!("{size:?}, {seed}"), &still(size, seed), &still(size, seed + 100), true);
        }
    }
}

#[test]
fn grain_on_next_to_nothing_is_no_cut() {
    let grain = |size: Size, seed: u64, sigma: f32, base: &dyn Fn(f32, f32) -> f32| {
        let mut picture = picture(size, base);
        for ((y, x), sample) in picture.indexed_iter_mut() {
            // Nearly a normal distribution.
            let sum: f32 = (0..12).map(|number| random(x as i64, y as i64, seed * 12 + number)).sum();
            *sample = (*sample + sigma * (sum - 6.0)).clamp(0.0, 255.0).round();
        }
        picture
    };
    let pans = [("a wall", 0.0), ("a pale scene", 0.1), ("a scene", 1.0)];
    for &size in SIZES.iter().chain(&[(176, 144), (128, 96)]) {
        // Of a picture smaller than what pictures are compared in, grain is as coarse as anything else.
        let sigmas: &[f32] = match size.0 {
            160.. => &[2.0, 6.0, 9.0],
            128.. => &[2.0, 6.0],
            _ => &[2.0],
        };
        for (sigma, (name, contrast)) in sigmas.iter().flat_map(|sigma| pans.map(|pan| (*sigma, pan))) {
            let base = |x: f32, y: f32| 60.0 + contrast * (scene(1, x, y) - 120.0);
            let what = format!("{name}, {size:?}, sigma {sigma}");
            for seed in 0..4 {
                check(&what, &grain(size, seed, sigma, &base), &grain(size, seed + 10, sigma, &base), false);
            }
            if contrast == 1.0 {
                let other = |x: f32, y: f32| scene(2, x, y);
                check(&what, &grain(size, 1, sigma, &base), &grain(size, 2, sigma, &other), true);
            }
        }
    }
}

#[test]
fn the_same_scene_is_none_at_every_size_and_beyond_its_padding() {
    for &size in SIZES {
        let first = still(size, 7);
        let look = look(&first, &first);
        assert!(!look.cut && look.a.abs() < 0.02 && look.b.abs() < 0.02, "{size:?}: {look:?}");
        let mut wide = Array2::from_elem((size.1 + 3, size.0 + 5), f32::NAN);
        wide.slice_mut(s![1..=size.1, 2..size.0 + 2]).assign(&first);
        let mut detector = CutDetector::new(THRESHOLD);
        detector.look(first.view());
        assert_eq!(detector.look(wide.slice(s![1..=size.1, 2..size.0 + 2])), look, "{size:?}");
    }
}

#[test]
fn light_that_changes_is_no_cut() {
    for seed in 0..8 {
        let first = still(USUAL, seed);
        for (gain, offset) in
            [(1.0, 60.0), (1.0, 110.0), (1.0, -60.0), (1.5, 0.0), (0.4, 0.0), (0.3, 170.0), (2.0, 40.0)]
        {
            let lit = first.mapv(|level| (gain * level + offset).clamp(0.0, 255.0).round());
            check(&format!("{seed}: times {gain} and {offset}"), &first, &lit, false);
        }
    }
}

#[test]
fn noise_is_no_cut() {
    for (size, strength) in [(USUAL, 20.0), ((640, 360), 40.0), ((176, 144), 15.0)] {
        for seed in 0..6 {
            let noisy = |seed: u64, other: u64| {
                let mut picture = still(size, seed);
                for ((y, x), level) in picture.indexed_iter_mut() {
                    // Four uniform numbers are nearly normal; their sum has a deviation of 0.577.
                    let sum: f32 = (0..4).map(|n| random(x as i64, y as i64, other + n) - 0.5).sum();
                    *level = (*level + strength / 0.577 * sum).clamp(0.0, 255.0).round();
                }
                picture
            };
            check(&format!("{size:?}, {seed}"), &noisy(seed, 1000), &noisy(seed, 2000), false);
            check(
                &format!("{size:?}, {seed}, other scene"),
                &noisy(seed, 1000),
                &noisy(seed + 50, 2000),
                true,
            );
        }
    }
}

#[test]
fn no_step_of_a_dissolve_or_a_fade_is_a_cut() {
    for steps in [8, 12, 25] {
        for seed in 0..4 {
            let (from, to) = (still(USUAL, seed), still(USUAL, seed + 100));
            let black = Array2::zeros(from.dim());
            for (what, from, to) in
                [("dissolve", &from, &to), ("fade", &from, &black), ("fade", &black, &from)]
            {
                let mut detector = CutDetector::new(THRESHOLD);
                for step in 0..=steps {
                    let share = step as f32 / steps as f32;
                    let mixed = (from * (1.0 - share) + to * share).mapv(f32::round);
                    let look = detector.look(mixed.view());
                    assert!(!look.cut, "{what} in {steps}, {seed}, step {step}: {look:?}");
                }
            }
        }
    }
}

#[test]
fn pans_up_to_a_tenth_of_the_width_and_zooms_are_no_cut() {
    for seed in 0..8 {
        let first = still(USUAL, seed);
        for (u, v) in [(0.01, 0.0), (0.05, 0.02), (0.1, 0.0), (-0.1, 0.0), (0.0, 0.05), (-0.07, -0.05)] {
            let moved = picture(USUAL, |x, y| scene(seed, x + u, y + v));
            check(&format!("{seed}: {u}, {v}"), &first, &moved, false);
        }
        for zoom in [1.05, 1.1] {
            let zoomed = picture(USUAL, |x, y| scene(seed, 0.5 + (x - 0.5) / zoom, 0.28 + (y - 0.28) / zoom));
            check(&format!("{seed}: zoom {zoom}"), &first, &zoomed, false);
        }
    }
}

#[test]
fn whatever_jumps_across_a_third_of_the_picture_is_no_cut() {
    for seed in 0..8 {
        let with = |left: f32| {
            picture(USUAL, |x, y| {
                let inside = (left..left + 0.33).contains(&x);
                if inside { 255.0 - scene(seed + 50, 2.0 * x, y) } else { scene(seed, x, y) }
            })
        };
        let free = still(USUAL, seed);
        check(&format!("{seed}: comes"), &free, &with(0.2), false);
        check(&format!("{seed}: jumps"), &with(0.0), &with(0.15), false);
    }
}

#[test]
fn a_cut_into_a_flash_is_a_cut() {
    for seed in 0..8 {
        let (first, second) = (still(USUAL, seed), still(USUAL, seed + 100));
        for (gain, offset) in [(1.0, 90.0), (1.6, 0.0), (0.4, 140.0)] {
            let flash = second.mapv(|level: f32| (gain * level + offset).clamp(0.0, 255.0).round());
            check(&format!("{seed}: times {gain} and {offset}"), &first, &flash, true);
            check(&format!("{seed}: in the light"), &flash, &second, false);
        }
    }
}

#[test]
fn black_bars_are_nothing_that_scenes_have_in_common() {
    let barred = |seed: u64, across: f32, down: f32, bar: f32| {
        picture(USUAL, |x, y| {
            let high = 180.0 / 320.0;
            let lit = (across..1.0 - across).contains(&x) && (down * high..(1.0 - down) * high).contains(&y);
            if lit { 60.0 + 0.8 * scene(seed, x, y) } else { bar }
        })
    };
    for seed in 0..12 {
        for (across, down) in [(0.125, 0.0), (0.25, 0.0), (0.0, 0.12)] {
            for bar in [0.0, 16.0] {
                let what = format!("{seed}: bars of {bar}, {across} {down}");
                let of = |seed| barred(seed, across, down, bar);
                check(&what, &of(seed), &of(seed + 100), true);
                check(&what, &of(seed), &of(seed), false);
                check(&format!("{what}, gone"), &of(seed), &still(USUAL, seed + 100), true);
            }
        }
    }
}

#[test]
fn pictures_without_texture_are_all_one_scene() {
    for &size in SIZES {
        let flat = |level: f32| Array2::from_elem((size.1, size.0), level);
        let ramp = picture(size, |x, _| 60.0 * x);
        for (first, second) in
            [(flat(0.0), flat(0.0)), (flat(0.0), flat(255.0)), (flat(90.0), flat(91.0)), (flat(30.0), ramp)]
        {
            check(&format!("{size:?}"), &first, &second, false);
        }
        for level in [0.0, 128.0, 255.0] {
            check(&format!("{size:?}: {level}"), &flat(level), &still(size, 3), true);
        }
    }
}

#[test]
fn no_picture_has_a_difference_that_is_not_a_number() {
    let extremes = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, 255.0];
    for (width, height) in [(1, 1), (1, 200), (300, 1), (2, 3), (17, 5)] {
        let wild = |seed: usize| {
            Array2::from_shape_fn((height, width), |(y, x)| extremes[(y * width + x + seed) % extremes.len()])
        };
        let mut detector = CutDetector::new(THRESHOLD);
        for seed in 0..7 {
            for picture in [wild(seed), still((width, height), seed as u64)] {
                let look = detector.look(picture.view());
                assert!(look.a.is_finite() && look.b.is_finite(), "{width}x{height}: {look:?}");
                assert!((0.0..=2.0).contains(&look.a) && (0.0..=2.0).contains(&look.b), "{look:?}");
            }
        }
    }
}

#[test]
fn the_past_ends_at_a_reset_and_sizes_may_change_without_one() {
    let (first, second) = (still(USUAL, 1), still(USUAL, 101));
    let mut detector = CutDetector::new(THRESHOLD);
    let expected = look(&first, &second);
    for _ in 0..3 {
        assert!(!detector.look(first.view()).cut, "the first picture after a reset");
        assert_eq!(detector.look(second.view()), expected, "whatever was before the reset");
        detector.reset();
    }
    detector.look(first.view());
    assert!(!detector.look(still((641, 359), 1).view()).cut, "the same scene in another size");
    assert!(detector.look(still((99, 55), 101).view()).cut, "another scene in another size");
}

#[test]
fn the_threshold_holds_from_the_next_picture_on() {
    let (first, second) = (still(USUAL, 1), still(USUAL, 101));
    let mut detector = CutDetector::new(2.0);
    detector.look(first.view());
    assert!(!detector.look(second.view()).cut, "nothing is above 2");
    detector.set_threshold(THRESHOLD);
    let look = detector.look(first.view());
    assert!(look.cut);
    // Both differences have to be above it, whichever is the smaller one.
    let mut smaller = [false; 2];
    for seed in 0..12 {
        let (first, second) = (still(USUAL, seed), still(USUAL, seed + 100));
        let seen = self::look(&first, &second);
        smaller[usize::from(seen.a < seen.b)] = true;
        let (least, most) = (seen.a.min(seen.b), seen.a.max(seen.b));
        for (threshold, cut) in [(least - 0.01, true), (least, false), (most, false)] {
            let mut detector = CutDetector::new(threshold);
            detector.look(first.view());
            assert_eq!(detector.look(second.view()).cut, cut, "{threshold}: {seen:?}");
        }
    }
    assert_eq!(smaller, [true; 2], "each is the smaller one somewhere");
}
