//! Laws of the temporal stage, on scenes whose truth is known at every size.

mod reuse;
#[path = "../scenes/mod.rs"]
mod scenes;

use gstfacesr::image::{Picture, Sample, Size};
use gstfacesr::temporal::{Controls, Look, Mode, Temporal};
use rayon::prelude::*;
use scenes::{Scene, Shot, noise, sharpness, standard_error};

const MODES: [Mode; 3] = [Mode::Fast, Mode::Balanced, Mode::Quality];
const SMALL: Size = Size::new(96, 64);

/// Runs a stage over inputs and what a network made of each alone, and gives what comes out.
fn steady<S: Sample>(
    mode: Mode,
    controls: &Controls,
    frames: impl IntoIterator<Item = (Picture<S>, Picture<S>)>,
) -> Vec<(Look, Picture<S>)> {
    let mut temporal = Temporal::new(mode);
    let run = |(input, mut output): (Picture<S>, Picture<S>)| {
        let size = Size::of(&output.view());
        let repeated = temporal.is_repeated(input.view(), size, controls);
        let look = if repeated { Look::Repeated } else { temporal.look(input.view(), size, controls) };
        temporal.steady(look, &mut output.view_mut());
        (look, output)
    };
    frames.into_iter().map(run).collect()
}

fn balanced(shots: &[Shot]) -> Vec<(Look, Picture<u8>)> {
    steady(Mode::Balanced, &Controls::default(), shots.iter().map(Shot::frame::<u8>))
}

/// Frames of a scene that moves, with noise in the input that a network enlarges.
fn moving(speed: (f32, f32), deviation: f32, count: usize) -> Vec<Shot> {
    (0..count)
        .map(|t| {
            let moved = (speed.0 * t as f32, speed.1 * t as f32);
            Shot::of(&Scene::Trees, SMALL, 2.0, moved).with_noise(deviation, t as u32)
        })
        .collect()
}

#[test]
fn noise_over_a_scene_that_stands_still_or_moves_is_taken_away() {
    // Speed in pixels of the input per frame, noise, and what may be left of the error.
    for (speed, deviation, left) in [
        ((0.0, 0.0), 6.0, 0.50),
        ((0.0, 0.0), 14.0, 0.50),
        ((0.4, 0.0), 6.0, 0.60),
        ((0.0, -1.0), 6.0, 0.70),
        ((2.5, 1.5), 6.0, 0.85),
        ((-6.0, 0.0), 6.0, 0.97),
    ] {
        let shots = moving(speed, deviation, 24);
        for mode in MODES {
            let made = steady(mode, &Controls::default(), shots.iter().map(Shot::frame::<u8>));
            let last = shots.len() - 1;
            let before = standard_error(&shots[last].frame::<u8>().1, &shots[last]);
            let after = standard_error(&made[last].1, &shots[last]);
            println!("{speed:?} {deviation} {mode:?}: {:.3}", after / before);
            assert!(after <= left * before, "{speed:?} {deviation} {mode:?}: {before} -> {after}");
        }
    }
}

#[test]
fn a_clean_scene_that_stands_still_stays_as_it_is() {
    let shot = Shot::of(&Scene::Trees, SMALL, 2.0, (0.0, 0.0));
    // Not the same samples twice, which would be a repetition.
    let blinking = |t: usize| {
        let (mut input, output) = shot.frame::<u8>();
        input[(0, 0, 0)] ^= (t % 2) as u8;
        (input, output)
    };
    for mode in MODES {
        for (look, made) in steady(mode, &Controls::default(), (0..20).map(blinking)) {
            assert!(!matches!(look, Look::Repeated | Look::Alone));
            let worst = made.iter().zip(&shot.frame::<u8>().1).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{mode:?} {worst:?}");
        }
    }
}

#[test]
fn strength_zero_mode_off_tiny_pictures_and_first_frames_are_left_as_they_are_bit_for_bit() {
    let shots = moving((0.7, 0.2), 8.0, 6);
    let none = Controls { strength: 0.0, ..Controls::default() };
    for (mode, controls) in [(Mode::Off, Controls::default()), (Mode::Balanced, none), (Mode::Quality, none)]
    {
        for ((look, made), shot) in
            steady(mode, &controls, shots.iter().map(Shot::frame::<u8>)).into_iter().zip(&shots)
        {
            assert_eq!((look, made), (Look::Alone, shot.frame::<u8>().1));
        }
    }
    for mode in MODES {
        let made = steady(mode, &Controls::default(), shots[..1].iter().map(Shot::frame::<u8>));
        assert_eq!(made[0], (Look::First { cut: false }, shots[0].frame::<u8>().1));
        for size in [Size::new(15, 64), Size::new(64, 15), Size::new(1, 1)] {
            let tiny = |t| Shot::of(&Scene::Trees, size, 2.0, (0.0, 0.0)).with_noise(9.0, t).frame::<u8>();
            for (t, (look, made)) in
                steady(mode, &Controls::default(), (0..3).map(tiny)).into_iter().enumerate()
            {
                assert_eq!((look, made), (Look::Alone, tiny(t as u32).1));
            }
        }
    }
}

#[test]
fn after_a_reset_nothing_of_the_past_is_left() {
    let shots = moving((0.3, 0.0), 8.0, 12);
    for mode in MODES {
        let mut temporal = Temporal::<u8>::new(mode);
        for (t, shot) in shots.iter().enumerate() {
            let (input, mut output) = shot.frame::<u8>();
            if t == 7 {
                temporal.reset();
            }
            let size = Size::of(&output.view());
            let look = temporal.look(input.view(), size, &Controls::default());
            temporal.steady(look, &mut output.view_mut());
            let alone = output == shot.frame::<u8>().1;
            assert_eq!(alone, t == 0 || t == 7, "{mode:?} frame {t}");
        }
    }
}

#[test]
fn a_cut_shows_the_new_scene_at_once_and_is_reported() {
    let mut shots = moving((0.3, 0.0), 6.0, 8);
    let cut = shots.len();
    shots.extend((0..4).map(|t| Shot::of(&Scene::Rings, SMALL, 2.0, (0.0, 0.0)).with_noise(6.0, 90 + t)));
    for mode in MODES {
        let made = steady(mode, &Controls::default(), shots.iter().map(Shot::frame::<u8>));
        for (t, (look, made)) in made.iter().enumerate() {
            assert_eq!(*look == Look::First { cut: true }, t == cut, "{mode:?} frame {t}: {look:?}");
            assert!(t != cut || *made == shots[t].frame::<u8>().1);
        }
    }
}

#[test]
fn a_cut_that_is_missed_leaves_next_to_nothing_of_the_scene_before() {
    let deaf = Controls { cut_threshold: 2.0, ..Controls::default() };
    let mut shots = moving((0.3, 0.0), 6.0, 8);
    let cut = shots.len();
    shots.extend((0..6).map(|t| Shot::of(&Scene::Rings, SMALL, 2.0, (0.0, 0.0)).with_noise(6.0, 90 + t)));
    for mode in MODES {
        let made = steady(mode, &deaf, shots.iter().map(Shot::frame::<u8>));
        for t in cut..cut + 3 {
            assert!(matches!(made[t].0, Look::Compared { .. }));
            let alone = standard_error(&shots[t].frame::<u8>().1, &shots[t]);
            let error = standard_error(&made[t].1, &shots[t]);
            println!("{mode:?} {t}: {alone:.2} {error:.2}");
            assert!(error <= alone + 1.0, "{mode:?} frame {t}: {alone} -> {error}");
        }
    }
}

#[test]
fn what_moves_in_front_leaves_no_trail() {
    let shots: Vec<_> = (0..20)
        .map(|t| {
            Shot::of(&Scene::Trees, SMALL, 2.0, (0.0, 0.0))
                .with_square(5.0 + 3.0 * t as f32, 20.0, 18.0, 235.0)
                .with_noise(3.0, t)
        })
        .collect();
    for mode in MODES {
        let made = steady(mode, &Controls::default(), shots.iter().map(Shot::frame::<u8>));
        for t in 1..shots.len() {
            // What the square has just left, and a little beyond.
            let left = (5 + 3 * (t - 1)) * 2 - 2..(5 + 3 * t) * 2 - 2;
            let mut worst = 0.0_f32;
            let truth = shots[t].truth();
            for y in 42..74 {
                for x in left.clone() {
                    worst = worst.max((f32::from(made[t].1[(y, x, 1)]) - truth[(y, x, 1)]).abs());
                }
            }
            assert!(worst < 25.0, "{mode:?} frame {t}: {worst} levels of the square are left");
        }
    }
}

#[test]
fn a_flash_leaves_no_glow() {
    let shots: Vec<_> = (0..12)
        .map(|t| {
            let light = if t == 6 { 60.0 } else { 0.0 };
            Shot::of(&Scene::Trees, SMALL, 2.0, (0.0, 0.0)).with_light(light).with_noise(3.0, t)
        })
        .collect();
    for mode in MODES {
        let made = steady(mode, &Controls::default(), shots.iter().map(Shot::frame::<u8>));
        for t in 6..12 {
            let alone = standard_error(&shots[t].frame::<u8>().1, &shots[t]);
            let error = standard_error(&made[t].1, &shots[t]);
            assert!(error <= alone + 0.5, "{mode:?} frame {t}: {alone} -> {error}");
        }
    }
}

#[test]
fn a_colour_that_changes_without_its_luma_changes_at_once() {
    let shots: Vec<_> = (0..10)
        .map(|t| {
            // A lamp of 12x12 pixels goes from red to green of the same luma.
            let lamp = if t < 6 { [220.0, 60.0, 60.0] } else { [60.0, 141.5, 60.0] };
            Shot::of(&Scene::Trees, SMALL, 2.0, (0.0, 0.0))
                .with_lamp(40.0, 20.0, 12.0, lamp)
                .with_noise(2.0, t)
        })
        .collect();
    for mode in MODES {
        let made = steady(mode, &Controls::default(), shots.iter().map(Shot::frame::<u8>));
        let middle = |t: usize| made[t].1[(52, 92, 0)];
        assert!(middle(5) > 200 && middle(6) < 75, "{mode:?}: {} then {}", middle(5), middle(6));
    }
}

#[test]
fn bars_stay_black_and_do_not_pass_for_a_picture_without_noise() {
    let noise_seen = |bars: usize| {
        let shots = (0..12).map(|t| {
            Shot::of(&Scene::Trees, SMALL, 2.0, (0.3, 0.0)).with_noise(8.0, t).with_bars(bars).frame::<u8>()
        });
        let made = steady(Mode::Balanced, &Controls::default(), shots);
        let (look, last) = made.last().unwrap();
        // The row at the picture may take part in its motion.
        for y in 0..(2 * bars).saturating_sub(1) {
            assert!(last.row(y).iter().all(|&sample| sample == 0), "row {y}");
        }
        let Look::Compared { noise, .. } = look else { panic!("{look:?}") };
        *noise
    };
    let (without, with) = (noise_seen(0), noise_seen(24));
    assert!((with / without - 1.0).abs() < 0.2, "noise {without} without bars, {with} with them");
}

trait RowOf {
    fn row(&self, y: usize) -> ndarray::ArrayView2<'_, u8>;
}

impl RowOf for Picture<u8> {
    fn row(&self, y: usize) -> ndarray::ArrayView2<'_, u8> {
        self.index_axis(ndarray::Axis(0), y)
    }
}

#[test]
fn an_input_that_comes_again_gives_the_output_again() {
    let shots = moving((0.5, 0.0), 8.0, 5);
    // Three-two pulldown of film: every other frame comes three times.
    let order = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4];
    for mode in MODES {
        let made = steady(mode, &Controls::default(), order.map(|t| shots[t].frame::<u8>()));
        let once = steady(mode, &Controls::default(), shots.iter().map(Shot::frame::<u8>));
        for (at, &t) in order.iter().enumerate() {
            let again = at > 0 && order[at - 1] == t;
            assert_eq!(made[at].0 == Look::Repeated, again, "{mode:?} frame {at}");
            assert_eq!(made[at].1, once[t].1, "{mode:?} frame {at}");
        }
    }
}

#[test]
fn every_size_ratio_and_depth_works_and_the_fourth_channel_is_left_alone() {
    for (small, ratio) in [
        (Size::new(64, 48), 1.0),
        (Size::new(37, 21), 2.0),
        (Size::new(33, 47), 1.5),
        (Size::new(40, 23), 3.7),
    ] {
        for mode in MODES {
            let shot =
                |t: u32| Shot::of(&Scene::Trees, small, ratio, (0.2 * t as f32, 0.0)).with_noise(8.0, t);
            let frames = (0..10).map(|t| shot(t).frame::<u16>());
            // In a picture that is smaller than the detector's own, this much noise passes for a new scene.
            let deaf = Controls { cut_threshold: 2.0, ..Controls::default() };
            let deep = steady(mode, &deaf, frames);
            let truth = shot(9).truth();
            let error = |picture: &Picture<u16>| {
                let sum: f32 =
                    picture.iter().zip(&truth).map(|(a, b)| (f32::from(*a) / 257.0 - b).powi(2)).sum();
                (sum / truth.len() as f32).sqrt()
            };
            let (before, after) = (error(&shot(9).frame::<u16>().1), error(&deep[9].1));
            assert!(after < 0.9 * before, "{small} x{ratio} {mode:?}: {before} -> {after}");
            // More than eight bits come out.
            assert!(deep[9].1.iter().any(|sample| sample % 257 != 0));
            with_alpha(small, mode, shot);
        }
    }
}

fn with_alpha(small: Size, mode: Mode, shot: impl Fn(u32) -> Shot) {
    let four = |picture: Picture<u8>, alpha: u8| {
        let (height, width, _) = picture.dim();
        Picture::from_shape_fn(
            (height, width, 4),
            |(y, x, c)| if c == 3 { alpha } else { picture[(y, x, c)] },
        )
    };
    let frames = |t: u32| {
        let (input, output) = shot(t).frame::<u8>();
        (four(input, 10 * t as u8), four(output, 7 * t as u8))
    };
    let colours = steady(mode, &Controls::default(), (0..5).map(|t| shot(t).frame::<u8>()));
    let all = steady(mode, &Controls::default(), (0..5).map(frames));
    for (t, (with, without)) in all.iter().zip(&colours).enumerate() {
        for ((y, x, c), &sample) in with.1.indexed_iter() {
            let wanted = if c == 3 { 7 * t as u8 } else { without.1[(y, x, c)] };
            assert_eq!(sample, wanted, "{small} {mode:?} {t}");
        }
    }
}

#[test]
fn the_output_has_the_same_bits_with_any_number_of_threads() {
    let shots = moving((1.3, -0.4), 8.0, 6);
    for mode in MODES {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| steady(mode, &Controls::default(), shots.iter().map(Shot::frame::<u16>)))
        };
        let one = on(1);
        assert!((2..=7).into_par_iter().all(|threads| on(threads) == one), "{mode:?}");
    }
}

/// Frames of run-up after which a part of a clip comes out as in the whole, as ARCHITECTURE.md promises.
const RUN_UP: usize = 32;

#[test]
fn after_the_promised_run_up_a_part_of_a_clip_is_as_in_the_whole() {
    for (speed, deviation) in [((0.0, 0.0), 4.0), ((0.0, 0.0), 12.0), ((0.4, 0.1), 8.0), ((1.5, 0.0), 8.0)] {
        let shots = moving(speed, deviation, 40 + RUN_UP + 8);
        let whole = balanced(&shots);
        let part = balanced(&shots[40..]);
        for t in 40 + RUN_UP..shots.len() {
            let pairs = whole[t].1.iter().zip(&part[t - 40].1);
            let apart: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = apart.iter().map(|&levels| f64::from(levels)).sum::<f64>() / apart.len() as f64;
            // Where the motion is ambiguous, a hair's breadth decides which way a patch goes.
            let far = apart.iter().filter(|&&levels| levels > 1).count() as f64 / apart.len() as f64;
            assert!(
                mean < 0.3 && far < 0.01,
                "{speed:?} {deviation}, frame {t}: {mean} levels, {far} of them far"
            );
        }
    }
}

#[test]
fn more_strength_history_or_tolerance_makes_a_clip_calmer() {
    let shots = moving((0.0, 0.0), 8.0, 20);
    let restless = |controls: Controls| {
        let made = steady(Mode::Balanced, &controls, shots.iter().map(Shot::frame::<u8>));
        let steps = made.windows(2).skip(10).map(|pair| {
            let sum: u64 = pair[0].1.iter().zip(&pair[1].1).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            sum as f64 / pair[0].1.len() as f64
        });
        steps.sum::<f64>()
    };
    let with = |change: &dyn Fn(&mut Controls)| {
        let mut controls = Controls::default();
        change(&mut controls);
        restless(controls)
    };
    let falls = |values: &[f64], margin: f64| values.windows(2).all(|pair| pair[1] < margin * pair[0]);
    let strengths: Vec<_> = [0.0, 0.3, 0.6, 1.0].map(|s| with(&|c| c.strength = s)).to_vec();
    assert!(falls(&strengths, 0.9), "strength {strengths:?}");
    let histories: Vec<_> = [1, 3, 8, 24].map(|n| with(&|c| c.max_history = n)).to_vec();
    assert!(falls(&histories, 0.9), "history {histories:?}");
    let tolerances: Vec<_> = [0.0, 3.0, 10.0].map(|t| with(&|c| c.tolerance = t)).to_vec();
    assert!(falls(&tolerances, 0.999), "tolerance {tolerances:?}");
}

#[test]
fn an_input_that_leans_on_the_past_has_less_noise() {
    let shots = moving((0.3, 0.0), 10.0, 16);
    let mut temporal = Temporal::<u8>::new(Mode::Balanced);
    for shot in &shots {
        let (input, mut output) = shot.frame::<u8>();
        let look = temporal.look(input.view(), Size::of(&output.view()), &Controls::default());
        temporal.steady(look, &mut output.view_mut());
    }
    let last = shots.last().unwrap();
    let input = last.frame::<u8>().0;
    let mut leaning = None;
    let errors = [0.5, 1.0, 0.0].map(|share| {
        temporal.lean(input.view(), share, &mut leaning);
        let leaning = leaning.as_ref().unwrap();
        let sum: f32 =
            leaning.iter().zip(&last.small_truth()).map(|(a, b)| (f32::from(*a) - b).powi(2)).sum();
        (sum / leaning.len() as f32).sqrt()
    });
    assert_eq!(leaning.unwrap(), input, "nothing is left of what was written over");
    let [half, all, none] = errors;
    assert!(half < 0.8 * none && all < 0.8 * half, "{errors:?}");
}

#[test]
fn no_blur_builds_up_over_300_frames_of_a_chart_or_of_a_slow_pan_over_a_zone_plate() {
    let size = Size::new(128, 96);
    for (scene, speed) in [
        (Scene::Chart, (0.0, 0.0)),
        (Scene::Rings, (0.23, 0.11)),
        (Scene::Rings, (0.0, 0.0)),
        (Scene::Chart, (-0.4, 0.0)),
    ] {
        for mode in MODES {
            let mut temporal = Temporal::<u8>::new(mode);
            let mut worst = f32::MAX;
            for t in 0..300 {
                let shot = Shot::of(&scene, size, 2.0, (speed.0 * t as f32, speed.1 * t as f32));
                let (mut input, mut output) = shot.frame::<u8>();
                // So that a chart that stands still is not taken for a repetition.
                input[(0, 0, 0)] ^= (t % 2) as u8;
                let alone = sharpness(&output);
                let look = temporal.look(input.view(), Size::of(&output.view()), &Controls::default());
                temporal.steady(look, &mut output.view_mut());
                worst = worst.min(sharpness(&output) / alone);
            }
            println!("{scene:?} {speed:?} {mode:?}: {worst:.3}");
            assert!(worst >= 0.9, "{scene:?} at {speed:?}, {mode:?}: {worst} of the sharpness is left");
        }
    }
}

#[test]
fn whatever_comes_in_the_stage_goes_on() {
    // Frames without any relation, flat ones, extremes.
    let size = Size::new(40, 24);
    for mode in MODES {
        let frames = (0..24_u32).map(|t| {
            let level = move |c: u32| match t % 6 {
                0 => 0,
                1 => 255,
                2 => (noise(t * 7 + c) * 255.0) as u8,
                3 => 128,
                _ => {
                    if c.is_multiple_of(2) {
                        0
                    } else {
                        255
                    }
                }
            };
            let picture = |size: Size| {
                Picture::from_shape_fn((size.height, size.width, 3), |(y, x, c)| {
                    level((y * 977 + x * 31 + c) as u32)
                })
            };
            (picture(size), picture(size.times(2)))
        });
        for (look, _) in steady(mode, &Controls::default(), frames) {
            if let Look::Compared { noise, share } = look {
                assert!((0.0..=20.0).contains(&noise) && (0.0..=1.0).contains(&share), "{look:?}");
            }
        }
    }
}
