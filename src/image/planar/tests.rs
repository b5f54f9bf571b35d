//! Laws of planes that are sampled eight pixels at a time, beside the cubic a tap at a time.

use super::*;

const SIZES: [(usize, usize); 6] = [(1, 1), (2, 5), (7, 3), (8, 8), (16, 16), (37, 21)];

fn level(x: usize, y: usize, plane: usize) -> f32 {
    ((x * 7 + y * 13 + plane * 5) as f32 * 0.7).sin() * 100.0 + 100.0
}

/// Every sample that is not written or extended is no number.
fn written<const PLANES: usize>(size: Size) -> Planar<PLANES> {
    let mut picture = Planar::new(size);
    picture.samples.fill(f32::NAN);
    picture.fill_with(|x, y| std::array::from_fn(|plane| level(x, y, plane)));
    picture
}

/// The cubic of Catmull and Rom, in the form of Keys 1981 with a = -1/2.
fn keys(distance: f64) -> f64 {
    let d = distance.abs();
    if d < 1.0 {
        1.5 * d.powi(3) - 2.5 * d.powi(2) + 1.0
    } else if d < 2.0 {
        -0.5 * d.powi(3) + 2.5 * d.powi(2) - 4.0 * d + 2.0
    } else {
        0.0
    }
}

fn tent(distance: f64) -> f64 {
    (1.0 - distance.abs()).max(0.0)
}

/// The sample of a plane at a position, as the documentation has it.
fn expected(size: Size, plane: usize, (x, y): (f64, f64), kernel: impl Fn(f64) -> f64) -> f64 {
    // NaN is far out, before the first.
    let limited = |at: f64, length: usize| at.max(-1.0).min(length as f64);
    let (x, y) = (limited(x, size.width), limited(y, size.height));
    let mut sum = 0.0;
    for row in y.floor() as isize - 2..=y.floor() as isize + 3 {
        for column in x.floor() as isize - 2..=x.floor() as isize + 3 {
            let inside = |at: isize, length: usize| at.clamp(0, length as isize - 1) as usize;
            let value = level(inside(column, size.width), inside(row, size.height), plane);
            sum += f64::from(value) * kernel(x - column as f64) * kernel(y - row as f64);
        }
    }
    sum
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

/// All eight samples at every place, of every motion, and where the figures of each are to be found.
fn for_each_sample<const PLANES: usize>(
    mut check: impl FnMut(Size, &Planar<PLANES>, &Spots, [Lanes; 2], (usize, usize)),
) {
    for (width, height) in SIZES {
        let size = Size::new(width, height);
        let picture = written(size);
        for motion in MOTIONS {
            for (x, y) in (0..height).flat_map(|y| (0..width).step_by(LANES).map(move |x| (x, y))) {
                let at = |lane: usize| motion(x + lane, y);
                let [u, v] = [std::array::from_fn(|k| at(k).0), std::array::from_fn(|k| at(k).1)];
                let motion = [Lanes(u), Lanes(v)];
                check(size, &picture, &picture.locate((x, y), motion), motion, (x, y));
            }
        }
    }
}

fn check_samples<const PLANES: usize>() {
    for_each_sample::<PLANES>(|size, picture, spots, [u, v], (x, y)| {
        let (cubic, linear) = (picture.sample(spots), picture.linear(PLANES - 1, spots));
        for lane in 0..LANES.min(size.width - x) {
            let place = ((x + lane) as f64 + f64::from(u.0[lane]), y as f64 + f64::from(v.0[lane]));
            for (plane, found) in cubic.iter().enumerate() {
                let wanted = expected(size, plane, place, keys);
                assert!((f64::from(found.0[lane]) - wanted).abs() < 2e-3, "{size} {plane} at {place:?}");
            }
            let wanted = expected(size, PLANES - 1, place, tent);
            assert!((f64::from(linear.0[lane]) - wanted).abs() < 2e-3, "{size} at {place:?}");
        }
    });
}

#[test]
fn a_sample_is_the_cubic_of_its_surroundings_and_that_of_one_plane_may_be_linear() {
    check_samples::<3>();
    check_samples::<4>();
}

#[test]
fn eight_samples_have_the_same_bits_wherever_they_are() {
    for_each_sample::<4>(|size, picture, spots, motion, (x, y)| {
        let counted = |at: usize| Lanes::splat(at as f32);
        let across = Taps::inside(counted(x) + SIDE_BY_SIDE + motion[0], size.width);
        let down = Taps::inside(counted(y) + motion[1], size.height);
        let alone = picture.one_by_one(&Taps::new(across), &Taps::new(down));
        assert_eq!(picture.sample(spots), alone, "{size} {x},{y}");
        let apart = Spots { across, down, start: 0, kind: Kind::Apart };
        assert_eq!(picture.linear(3, spots), picture.linear(3, &apart), "{size} {x},{y}");
    });
}

#[test]
fn what_does_not_move_is_sampled_bit_for_bit() {
    for_each_sample::<4>(|size, picture, spots, [u, v], (x, y)| {
        if (u, v) == (Lanes::ZERO, Lanes::ZERO) {
            let found = picture.sample(spots).into_iter().chain([picture.linear(3, spots)]);
            for (plane, found) in found.enumerate() {
                let count = LANES.min(size.width - x);
                assert_eq!(found.0[..count], picture.plane(plane, y)[x..x + count], "{size} {x},{y}");
            }
        }
    });
}

/// Every row goes in and out again; what lies beside the colours stays.
fn there_and_back<S: Sample>(size: Size, channels: usize) {
    let sample = |x: usize, y: usize, channel: usize| {
        S::from_low_bits((x * 9173 + y * 421 + channel * 77) as u32 & (S::WHITE as u32))
    };
    let mut picture = Planar::<COLOURS>::new(size);
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
fn bands_cover_every_row_once() {
    for (width, height) in SIZES {
        for count in [1, 2, 5, 16, 100] {
            let mut picture = Planar::<4>::new(Size::new(width, height));
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
        fn sum / sum_plain(picture: &Planar<COLOURS>, motion: [Lanes; 2], to: &mut [f32; LANES]) {
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
