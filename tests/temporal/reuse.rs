//! Laws of outputs that are used again, on scenes whose truth is known. What a network would have made of the parts that are
//! to be inferred is copied into a frame of rubbish, so that whatever takes more than those shows.

use crate::scenes::{Scene, Shot, standard_error};
use gstfacesr::image::{Area, Picture, Sample, Size, Window};
use gstfacesr::temporal::reuse::Refresh;
use gstfacesr::temporal::{Controls, Look, Mode, Temporal};

const SMALL: Size = Size::new(150, 110);
const TILE: u32 = 16;

/// A frame as it came out, and what was inferred for it.
struct Made<S> {
    look: Look,
    picture: Picture<S>,
    refresh: Option<Refresh>,
    oldest: u32,
    stood_in: bool,
}

impl<S> Made<S> {
    /// Share of the picture that was inferred.
    fn area(&self) -> f32 {
        match &self.refresh {
            Some(Refresh::Parts(areas)) => {
                let pixels: usize = areas.iter().map(|area| area.size.width * area.size.height).sum();
                pixels as f32 / (SMALL.width * SMALL.height) as f32
            }
            _ => 1.0,
        }
    }
}

fn reusing(amount: f32) -> Controls {
    let mut controls = Controls::default();
    controls.reuse.amount = amount;
    controls.reuse.tile = TILE;
    controls
}

/// Copies areas, each with a pixel around it, out of what is twice as large.
fn copy_parts<S: Sample>(from: &Picture<S>, areas: &[Area], to: &mut Picture<S>) {
    let size = Size::of(&from.view());
    for area in areas {
        let rows = 2 * area.y.saturating_sub(1)..(2 * (area.y + area.size.height + 1)).min(size.height);
        let columns = 2 * area.x.saturating_sub(1)..(2 * (area.x + area.size.width + 1)).min(size.width);
        let part = ndarray::s![rows, columns, ..];
        to.slice_mut(part).assign(&from.slice(part));
    }
}

fn run<S: Sample>(
    mode: Mode,
    controls: &Controls,
    rubbish: S,
    watched: &[Area],
    shots: impl IntoIterator<Item = Shot>,
) -> Vec<Made<S>> {
    let mut temporal = Temporal::new(mode);
    temporal.set_window(Window { context: 4, most: usize::MAX });
    let frame = |shot: Shot| {
        let (input, network) = shot.frame::<S>();
        let size = Size::of(&network.view());
        temporal.watch(watched.to_vec());
        let look = temporal.look(input.view(), size, controls);
        let told = temporal.refresh().map(|(refresh, oldest)| (refresh.clone(), oldest));
        let (refresh, oldest) = told.map_or((None, 0), |(refresh, oldest)| (Some(refresh), oldest));
        let mut picture = match &refresh {
            Some(Refresh::Parts(areas)) => {
                let mut picture = Picture::from_elem(network.dim(), rubbish);
                copy_parts(&network, temporal.stand_ins(), &mut picture);
                copy_parts(&network, areas, &mut picture);
                picture
            }
            _ => network,
        };
        let stood_in = !temporal.stand_ins().is_empty();
        temporal.steady(look, &mut picture.view_mut());
        Made { look, picture, refresh, oldest, stood_in }
    };
    shots.into_iter().map(frame).collect()
}

/// A scene that moves so many pixels per frame, with noise.
fn moving(speed: (f32, f32), deviation: f32, count: usize) -> impl Iterator<Item = Shot> {
    (0..count).map(move |t| {
        let moved = (speed.0 * t as f32, speed.1 * t as f32);
        Shot::of(&Scene::Trees, SMALL, 2.0, moved).with_noise(deviation, t as u32)
    })
}

#[test]
fn without_reuse_nothing_is_told_and_every_frame_is_as_it_was() {
    let plain = run::<u8>(Mode::Balanced, &Controls::default(), 0, &[], moving((0.3, 0.1), 4.0, 8));
    assert!(plain.iter().all(|made| made.refresh.is_none()));
    // Whatever else is set.
    let mut set = Controls::default();
    set.reuse.max_age = 1;
    set.reuse.budget = 0.01;
    let other = run::<u8>(Mode::Balanced, &set, 0, &[], moving((0.3, 0.1), 4.0, 8));
    assert!(plain.iter().zip(&other).all(|(a, b)| a.picture == b.picture && a.look == b.look));
}

#[test]
fn what_was_not_inferred_is_never_seen() {
    for (mode, speed, deviation, amount) in [
        (Mode::Balanced, (0.0, 0.0), 0.6, 1.0),
        (Mode::Balanced, (0.2, -0.1), 0.6, 0.6),
        (Mode::Balanced, (0.0, 0.0), 5.0, 1.0),
        (Mode::Fast, (0.2, -0.1), 0.6, 1.0),
        (Mode::Quality, (0.2, -0.1), 0.6, 1.0),
    ] {
        let with = |rubbish| run::<u8>(mode, &reusing(amount), rubbish, &[], moving(speed, deviation, 10));
        let (black, white) = (with(0), with(255));
        assert!(black.iter().any(|made| made.area() < 1.0), "{mode:?} {speed:?}: nothing was left out");
        for (t, (black, white)) in black.iter().zip(&white).enumerate() {
            assert!(black.picture == white.picture, "{mode:?} {speed:?} {deviation} {amount}: frame {t}");
        }
    }
    let with = |rubbish| run::<u16>(Mode::Balanced, &reusing(1.0), rubbish, &[], moving((0.1, 0.0), 0.6, 10));
    let (black, white) = (with(0), with(u16::MAX));
    assert!(black.iter().zip(&white).all(|(black, white)| black.picture == white.picture));
}

#[test]
fn the_first_frame_a_cut_and_a_frame_after_a_reset_are_the_networks_bit_for_bit() {
    let shots = || {
        let before = moving((0.2, 0.0), 0.6, 6);
        before.chain((0..4).map(|t| Shot::of(&Scene::Rings, SMALL, 2.0, (0.0, 0.0)).with_noise(0.6, 90 + t)))
    };
    let made = run::<u8>(Mode::Balanced, &reusing(1.0), 7, &[], shots());
    for (t, (made, shot)) in made.iter().zip(shots()).enumerate() {
        let is_first = matches!(made.look, Look::First { .. });
        assert_eq!(is_first, t == 0 || t == 6, "frame {t}: {:?}", made.look);
        if is_first {
            assert_eq!(made.refresh, Some(Refresh::Whole));
            assert!(made.picture == shot.frame::<u8>().1, "frame {t}");
        }
    }
    let mut temporal = Temporal::<u8>::new(Mode::Balanced);
    for (t, shot) in moving((0.2, 0.0), 0.6, 6).enumerate() {
        if t == 4 {
            temporal.reset();
        }
        let (input, mut output) = shot.frame::<u8>();
        let size = Size::of(&output.view());
        let look = temporal.look(input.view(), size, &reusing(1.0));
        temporal.steady(look, &mut output.view_mut());
        if t == 4 {
            assert_eq!(temporal.refresh(), Some((&Refresh::Whole, 0)));
            assert!(output == shot.frame::<u8>().1);
        }
    }
}

#[test]
fn where_reuse_begins_in_the_midst_of_a_scene_the_first_frame_is_inferred_whole() {
    let mut temporal = Temporal::<u8>::new(Mode::Balanced);
    for (t, shot) in moving((0.0, 0.0), 0.6, 12).enumerate() {
        // Off from the fourth on, as where another network takes its place, and on again.
        let controls = if (4..8).contains(&t) { Controls::default() } else { reusing(1.0) };
        let (input, mut output) = shot.frame::<u8>();
        let size = Size::of(&output.view());
        let look = temporal.look(input.view(), size, &controls);
        let is_whole = temporal.refresh().map(|(refresh, _)| *refresh == Refresh::Whole);
        let expected = if (4..8).contains(&t) { None } else { Some(t == 0 || t == 8) };
        assert_eq!(is_whole, expected, "frame {t}");
        temporal.steady(look, &mut output.view_mut());
    }
}

#[test]
fn a_calm_scene_is_inferred_in_part_and_comes_out_as_if_it_were_in_full() {
    // Motion in pixels of the input, `reuse`, share of the frames' area that is inferred at most, and levels by which the
    // error may be more than with an inference for every frame.
    for (speed, amount, most, more) in [
        ((0.0, 0.0), 1.0, 0.2, 0.15),
        ((0.0, 0.0), 0.5, 0.3, 0.15),
        ((0.1, 0.0), 1.0, 0.2, 0.7),
        ((0.1, 0.0), 0.5, 0.4, 0.7),
    ] {
        let last = Shot::of(&Scene::Trees, SMALL, 2.0, (speed.0 * 39.0, 0.0));
        let made = run::<u8>(Mode::Balanced, &reusing(amount), 0, &[], moving(speed, 0.6, 40));
        let every = run::<u8>(Mode::Balanced, &Controls::default(), 0, &[], moving(speed, 0.6, 40));
        let area = made[1..].iter().map(Made::area).sum::<f32>() / 39.0;
        let errors = [&made, &every].map(|made| standard_error(&made[39].picture, &last));
        println!("{speed:?} {amount}: {area:.3} {errors:?}");
        assert!(area <= most, "{speed:?} {amount}: {area}");
        assert!(errors[0] <= errors[1] + more, "{speed:?} {amount}: {errors:?}");
    }
}

#[test]
fn no_part_becomes_older_than_it_may_whatever_the_budget() {
    for (max_age, budget) in [(1, 1.0), (3, 1.0), (10, 0.02), (64, 0.02), (64, 1.0)] {
        let mut controls = reusing(1.0);
        controls.reuse.max_age = max_age;
        controls.reuse.budget = budget;
        let made = run::<u8>(Mode::Balanced, &controls, 0, &[], moving((0.0, 0.0), 0.6, 80));
        let oldest = made.iter().map(|made| made.oldest).max().unwrap();
        assert!(oldest < max_age.max(1), "{max_age} {budget}: {oldest}");
    }
}

#[test]
fn a_budget_bounds_what_is_inferred_for_a_frame() {
    let mut controls = reusing(0.3);
    controls.reuse.max_age = 1000;
    for budget in [0.05, 0.125, 0.4] {
        controls.reuse.budget = budget;
        // Fast enough that all would be inferred.
        let made = run::<u8>(Mode::Balanced, &controls, 0, &[], moving((0.8, 0.3), 0.6, 24));
        let mut sum = 0.0;
        for (t, made) in made.iter().enumerate().skip(1) {
            // Tiles between those that are due come along where that is cheaper.
            assert!(made.area() <= 2.0 * budget + 0.02, "{budget}, frame {t}: {}", made.area());
            sum += made.area();
        }
        assert!(sum / 23.0 >= 0.8 * budget, "{budget} is not made use of: {}", sum / 23.0);
    }
}

#[test]
fn something_stands_in_where_the_past_is_doubted_and_the_budget_has_no_room() {
    // A square that moves faster than the budget follows, before what stands still.
    let shots = || {
        (0..16).map(|t| {
            let still = Shot::of(&Scene::Trees, SMALL, 2.0, (0.0, 0.0)).with_noise(0.6, t as u32);
            still.with_square(10.0 + 5.0 * t as f32, 40.0, 40.0, 250.0)
        })
    };
    let error = |stands_in: bool, budget: f32| {
        let mut controls = reusing(1.0);
        (controls.reuse.budget, controls.reuse.stands_in) = (budget, stands_in);
        let with = |rubbish| run::<u8>(Mode::Balanced, &controls, rubbish, &[], shots());
        let (black, white) = (with(0), with(255));
        assert!(black.iter().zip(&white).all(|(black, white)| black.picture == white.picture));
        let stood_in = black.iter().filter(|made| made.stood_in).count();
        assert_eq!(stood_in > 5, stands_in && budget < 1.0, "{stands_in} {budget}: {stood_in} of 16");
        let errors =
            black.iter().zip(shots()).skip(8).map(|(made, shot)| standard_error(&made.picture, &shot));
        errors.sum::<f32>() / 8.0
    };
    for budget in [0.02, 0.06] {
        let (alone, helped, all) = (error(false, budget), error(true, budget), error(true, 1.0));
        println!("{budget}: {alone} {helped} {all}");
        assert!(helped <= 0.8 * alone, "{budget}: {alone} {helped}");
        assert!(helped <= 1.5 * all, "{budget}: {helped} {all}");
    }
}

#[test]
fn what_comes_into_the_picture_is_inferred_at_once() {
    for (left, top) in [(40.0, 30.0), (0.0, 0.0), (130.0, 90.0)] {
        let shot = |t: usize| {
            let still = Shot::of(&Scene::Trees, SMALL, 2.0, (0.0, 0.0)).with_noise(0.6, t as u32);
            if t < 8 { still } else { still.with_square(left, top, 20.0, 250.0) }
        };
        let made = run::<u8>(Mode::Balanced, &reusing(1.0), 0, &[], (0..10).map(shot));
        let Some(Refresh::Parts(areas)) = &made[8].refresh else { panic!("{:?}", made[8].refresh) };
        let centre = ((left + 8.0).min(149.0) as usize, (top + 8.0).min(109.0) as usize);
        let is_in = |area: &Area| {
            (area.x..area.x + area.size.width).contains(&centre.0)
                && (area.y..area.y + area.size.height).contains(&centre.1)
        };
        assert!(areas.iter().any(is_in), "{left},{top}: {areas:?}");
        let network = shot(8).frame::<u8>().1;
        let at = (2 * centre.1, 2 * centre.0, 0);
        assert!(made[8].picture[at].abs_diff(network[at]) <= 3, "{left},{top}");
    }
}

#[test]
fn what_is_watched_is_inferred_at_half_the_debt_and_so_more_often() {
    let watched = [Area { x: 48, y: 32, size: Size::new(32, 32) }];
    let often = |watched: &[Area]| {
        let made = run::<u8>(Mode::Balanced, &reusing(1.0), 0, watched, moving((0.0, 0.0), 0.3, 100));
        let is_in = |area: &Area| {
            area.x <= 48 && area.x + area.size.width > 48 && area.y <= 32 && area.y + area.size.height > 32
        };
        made.iter()
            .skip(1)
            .filter(|made| matches!(&made.refresh, Some(Refresh::Parts(areas)) if areas.iter().any(is_in)))
            .count()
    };
    let (seldom, often) = (often(&[]), often(&watched));
    assert!(2 * often >= 3 * seldom, "{seldom} and {often} times");
}

#[test]
fn in_noise_new_samples_are_taken_more_often_unless_speed_is_asked_for() {
    let area = |amount: f32, deviation: f32| {
        let made = run::<u8>(Mode::Balanced, &reusing(amount), 0, &[], moving((0.0, 0.0), deviation, 30));
        made[6..].iter().map(Made::area).sum::<f32>() / 24.0
    };
    let (calm, noisy, fast) = (area(0.85, 0.6), area(0.85, 6.0), area(1.0, 6.0));
    println!("{calm} {noisy} {fast}");
    assert!(noisy > 2.0 * calm && noisy > 2.0 * fast, "{calm} {noisy} {fast}");
}
