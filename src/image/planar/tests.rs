//! Laws of planes that are sampled eight pixels at a time, beside pixels that are sampled one by one.

use super::super::quads;
use super::*;

const SIZES: [(usize, usize); 6] = [(1, 1), (2, 5), (7, 3), (8, 8), (16, 16), (37, 21)];

fn level(x: usize, y: usize, colour: usize) -> f32 {
    ((x * 7 + y * 13 + colour * 5) as f32 * 0.7).sin() * 100.0 + 100.0
}

fn written(size: Size) -> Planar {
    let mut picture = Planar::new(size);
    picture.samples.fill(f32::NAN);
    picture.bands_mut(5).for_each(|mut band| {
        let first = band.rows().start;
        for (y, mut rows) in (first..).zip(band.rows_mut()) {
            for (colour, row) in rows.lanes().into_iter().enumerate() {
                for (x, sample) in row.as_flattened_mut()[..size.width].iter_mut().enumerate() {
                    *sample = level(x, y, colour);
                }
            }
            rows.extend();
        }
    });
    picture.extend();
    picture
}

/// The same picture in pixels of four figures.
fn in_quads(size: Size) -> Quads {
    let mut picture = Quads::new(size);
    for y in 0..size.height {
        for (x, pixel) in picture.row_mut(y).iter_mut().enumerate() {
            *pixel = [level(x, y, 0), level(x, y, 1), level(x, y, 2), 0.0];
        }
    }
    picture.extend();
    picture
}

type Motion = fn(usize, usize) -> (f32, f32);

/// Motion of a pixel: everywhere the same, slowly more, a step, and whatever there is, NaN too.
const MOTIONS: [Motion; 8] = [
    |_, _| (0.0, 0.0),
    |_, _| (1.25, -0.75),
    |x, y| (0.02 * x as f32 - 0.1, 0.03 * y as f32 - 0.05 * x as f32),
    |x, y| (if (x + y) % 2 == 0 { 0.01 } else { -0.01 }, 0.0),
    |x, y| (0.0, if (x * 3 + y) % 5 < 2 { 1e-3 } else { -1e-3 }),
    |x, y| (if x % 3 == 0 { 0.4 } else { -0.4 }, if (x + y) % 7 < 3 { 0.3 } else { -0.3 }),
    |x, _| if x < 13 { (0.5, 0.5) } else { (-6.0, 3.0) },
    |x, y| {
        let kinds = [0.0, 0.5, -0.25, 1.0, -3.0, 0.999, -0.001, 2.75, 40.0, -1e6, 7.125, f32::NAN];
        (kinds[(x + y) % kinds.len()], kinds[(x * 5 + y) % kinds.len()])
    },
];

#[test]
fn pixels_of_four_figures_become_planes_and_again_what_they_were() {
    for (width, height) in SIZES {
        let size = Size::new(width, height);
        let planar = Planar::of(&in_quads(size));
        assert_eq!(planar.row(height - 1), written(size).row(height - 1), "{size}");
        let again = planar.in_quads();
        (0..height).for_each(|y| assert_eq!(again.row(y), in_quads(size).row(y), "{size}, row {y}"));
    }
}

#[test]
fn eight_samples_are_those_of_pixels_of_four_figures_wherever_they_are() {
    for (width, height) in SIZES {
        let size = Size::new(width, height);
        let (planar, quads) = (written(size), in_quads(size));
        let mut taps = quads::Taps::new(width);
        let mut expected = vec![[0.0; 4]; width];
        for (kind, motion) in MOTIONS.into_iter().enumerate() {
            for y in 0..height {
                let (u, v): (Vec<_>, Vec<_>) = (0..width).map(|x| motion(x, y)).unzip();
                quads::locate(&quads, y, [&u, &v], &mut taps);
                quads::sample(&quads, &taps, &mut expected);
                for x in (0..width).step_by(LANES) {
                    let at = |lane: usize| motion(x + lane, y);
                    let (u, v) = (std::array::from_fn(|k| at(k).0), std::array::from_fn(|k| at(k).1));
                    let found = planar.sample(&planar.locate((x, y), [Lanes(u), Lanes(v)]));
                    for (lane, expected) in expected[x..].iter().take(LANES).enumerate() {
                        let found = found.map(|colour| colour.0[lane]);
                        assert_eq!(found[..], expected[..3], "{size}, motion {kind}, {},{y}", x + lane);
                    }
                }
            }
        }
    }
}

/// Every row goes in and out again; what lies beside the colours stays.
fn there_and_back<S: Sample>(size: Size, channels: usize) {
    let sample = |x: usize, y: usize, channel: usize| {
        S::from_low_bits((x * 9173 + y * 421 + channel * 77) as u32 & (S::WHITE as u32))
    };
    let mut picture = Planar::new(size);
    picture.samples.fill(f32::NAN);
    picture.bands_mut(3).for_each(|mut band| {
        let first = band.rows().start;
        for (y, mut rows) in (first..).zip(band.rows_mut()) {
            let from: Vec<S> = (0..size.width * channels)
                .map(|index| sample(index / channels, y, index % channels))
                .collect();
            rows.load(&from, channels);
            let mut to = vec![S::MAX; size.width * channels];
            rows.store(channels, &mut to);
            for (index, (from, to)) in from.iter().zip(&to).enumerate() {
                let expected = if index % channels < COLOURS { *from } else { S::MAX };
                assert_eq!(*to, expected, "{size}, {channels} channels, {index},{y}");
            }
        }
    });
}

#[test]
fn colours_go_in_and_out_at_every_width_and_the_fourth_channel_is_left_alone() {
    for width in 1..40 {
        for channels in [3, 4] {
            there_and_back::<u8>(Size::new(width, 7), channels);
            there_and_back::<u16>(Size::new(width, 4), channels);
        }
    }
}

#[test]
fn what_is_stored_is_rounded_to_the_nearest_and_limited_and_nan_is_black() {
    fn check<S: Sample>(values: impl Iterator<Item = f32>) {
        for value in values {
            let stored = rounded::<S>(value).to_f32();
            let off = (stored - value.clamp(0.0, S::WHITE)).abs();
            assert!(off <= 0.5 || (value.is_nan() && stored == 0.0), "{value} became {stored}");
        }
    }
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e9, 1e9, -0.4];
    check::<u8>((-40..2200).map(|step| step as f32 / 8.0).chain(odd));
    check::<u16>((-40..280_000).map(|step| step as f32 / 4.0).chain(odd));
}

#[test]
fn bands_cover_every_row_once() {
    for (width, height) in SIZES {
        for count in [1, 2, 5, 16, 100] {
            let mut picture = Planar::new(Size::new(width, height));
            picture.bands_mut(count).for_each(|mut band| {
                let first = band.rows().start;
                for (y, mut rows) in band.rows_mut().enumerate() {
                    let lanes = rows.lanes().into_iter().flatten().flatten();
                    lanes.for_each(|sample| *sample += (first + y + 1) as f32);
                }
            });
            for y in 0..height {
                let mut row = picture.row(y).into_iter().flatten().flatten();
                assert!(row.all(|sample| *sample == (y + 1) as f32), "row {y}");
            }
        }
    }
}

#[test]
fn samples_have_the_same_bits_on_every_processor() {
    let size = Size::new(61, 17);
    let picture = written(size);
    crate::image::lanes::dispatched! {
        fn sum / sum_plain(picture: &Planar, motion: [Lanes; 2], to: &mut [f32; LANES]) {
            let [red, green, blue] = picture.sample(&picture.locate((16, 8), motion));
            *to = (red + green * Lanes::splat(3.0) + blue * Lanes::splat(7.0)).0;
        }
    }
    for motion in MOTIONS {
        let at = |lane: usize| motion(16 + lane, 8);
        let motion = [std::array::from_fn(|k| at(k).0), std::array::from_fn(|k| at(k).1)].map(Lanes);
        let (mut fast, mut plain) = ([0.0; LANES], [1.0; LANES]);
        sum(&picture, motion, &mut fast);
        sum_plain(&picture, motion, &mut plain);
        assert_eq!(fast.map(f32::to_bits), plain.map(f32::to_bits));
    }
}
