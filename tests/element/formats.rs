//! Every format of the element, at awkward sizes: the right pixels come out.

use std::collections::BTreeSet;

use crate::common::pool::{POISON, PoisonPool, padded, propose};
use crate::common::{Bench, Samples, components, formats, frame, info, noise, read, strike_out};
use gst_video::{VideoColorimetry, VideoFormat, VideoInfo};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;

/// Sizes that are odd, tiny, long and flat.
const SIZES: [(usize, usize); 13] = [
    (16, 16),
    (17, 19),
    (321, 33),
    (640, 8),
    (1, 1),
    (3, 1),
    (1, 5),
    (7, 64),
    (2, 2),
    (3, 2),
    (6, 3),
    (4, 4),
    (9, 4),
];

/// Up to 31 and back again, in 64 steps.
fn wave(at: usize) -> u32 {
    let at = at as u32 % 64;
    at.min(63 - at)
}

/// A picture that every format can hold without clipping: noise in everything of full
/// resolution, alpha and colour differences as waves so slow that a pixel hardly matters.
fn scene(info: &VideoInfo) -> impl Fn(usize, usize, usize) -> u32 + use<> {
    let parts = components(info);
    let is_yuv = info.is_yuv();
    move |c, x, y| {
        let most = parts[c].most();
        match (is_yuv, c) {
            (true, 0) => most / 4 + noise(c, x, y) % (most / 2),
            (true, 1 | 2) => most / 2 - most / 16 + wave(x + y) * most / 16 / 32,
            (_, 3) => most / 4 + wave(x + y) * most / 64,
            _ => noise(c, x, y) % (most + 1),
        }
    }
}

/// How far a component may be off, in its own levels.
fn tolerance(info: &VideoInfo, component: usize) -> u32 {
    let format = info.format_info();
    let is_subsampled = format.w_sub()[component] + format.h_sub()[component] > 0;
    match (info.is_yuv(), component) {
        // Alpha is resampled: on a slow wave that is half a step of the wave.
        (_, 3) => components(info)[3].most() / 64,
        // RGB and grey only change their depth, and that is exact.
        (false, _) => 0,
        // Twice as many colour differences as went in: half a step of their wave.
        (true, _) if is_subsampled => components(info)[component].most() / 64,
        // Rounding to the samples of RGB and back, each half a level.
        (true, _) => 1,
    }
}

/// The largest difference of every component to the input's pixels repeated.
fn worst(input: &VideoInfo, output: &VideoInfo, before: &[Samples], after: &[Samples]) -> Vec<u32> {
    let scale = output.width() as usize / input.width() as usize;
    let differences = before.iter().zip(after).map(|(before, after)| {
        let mut worst = 0;
        for y in 0..after.height() {
            for x in 0..after.width {
                // At an odd size the last colour difference reaches over the edge.
                let (from_x, from_y) =
                    ((x / scale).min(before.width - 1), (y / scale).min(before.height() - 1));
                worst = worst.max(before.at(from_x, from_y).abs_diff(after.at(x, y)));
            }
        }
        worst
    });
    differences.collect()
}

fn check(format: VideoFormat, sizes: &[(usize, usize)], pad: bool, colours: &str) {
    let mut bench = Bench::new("nearest-x2", &[]);
    for &(width, height) in sizes {
        let mut input = info(format, width, height);
        if !colours.is_empty() && input.is_yuv() {
            let colours = colours.parse::<VideoColorimetry>().unwrap();
            input = VideoInfo::builder(format, width as u32, height as u32)
                .colorimetry(&colours)
                .build()
                .unwrap();
        }
        let picture = scene(&input);
        bench.info(&input);
        // Another frame before, to see that nothing of it stays.
        bench.frame(frame(&input, |c, _, _| components(&input)[c].most() / 2));
        let sent = if pad { padded(&input, 0xee, &picture) } else { frame(&input, &picture) };
        let before = read(&input, &sent);
        let made = bench.frame(sent);
        let output = bench.made();
        let double = (format, 2 * input.width(), 2 * input.height());
        assert_eq!((output.format(), output.width(), output.height()), double);
        let worst = worst(&input, &output, &before, &read(&output, &made));
        let allowed: Vec<u32> = (0..worst.len()).map(|c| tolerance(&input, c)).collect();
        let fits = worst.iter().zip(&allowed).all(|(worst, allowed)| worst <= allowed);
        assert!(fits, "{format:?} {width}x{height} {colours}: off by {worst:?}, allowed {allowed:?}");
    }
}

#[test]
fn every_format_gives_its_pixels_repeated_at_every_size() {
    for format in formats() {
        check(format, &SIZES, false, "");
    }
}

#[test]
fn colours_stay_what_they_are_in_every_matrix_and_range() {
    for format in formats() {
        for colours in ["bt601", "bt709", "bt2020", "bt2100-pq", "1:4:16:4", "1:3:5:1", "smpte240m"] {
            check(format, &[(35, 17)], false, colours);
        }
    }
}

#[test]
fn rows_and_planes_may_lie_anywhere_and_their_padding_is_never_read() {
    for format in formats() {
        check(format, &[(17, 19), (33, 8), (1, 1)], true, "");
    }
}

/// A frame whose rows somebody laid in another way: so many bytes before them, so many from one to the next, down or up,
/// in a picture that is described as larger by so many pixels.
fn laid(
    input: &VideoInfo,
    picture: &gst::Buffer,
    (before, padding, is_upwards, more): (usize, usize, bool, u32),
) -> gst::Buffer {
    let pixel = input.comp_pstride(0) as usize;
    let (rows, row) = (input.height() as usize, input.width() as usize * pixel);
    let stride = row + more as usize * pixel + padding;
    let mut bytes = vec![0xee; before + stride * (rows + more as usize)];
    let map = picture.map_readable().unwrap();
    for y in 0..rows {
        let at = before + stride * if is_upwards { rows - 1 - y } else { y };
        bytes[at..at + row].copy_from_slice(&map[y * input.stride()[0] as usize..][..row]);
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let (first, stride) = match is_upwards {
        true => (before + stride * (rows - 1), -(stride as i32)),
        false => (before, stride as i32),
    };
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        input.format(),
        input.width() + more,
        input.height() + more,
        &[first],
        &[stride],
    )
    .unwrap();
    buffer
}

#[test]
fn formats_that_are_not_converted_may_be_laid_as_those_that_are() {
    crate::common::init();
    for (format, alike) in [
        (VideoFormat::Rgb, VideoFormat::Bgr),
        (VideoFormat::Rgba, VideoFormat::Bgra),
        (VideoFormat::Rgba64Le, VideoFormat::Bgra64Le),
    ] {
        for format in [format, alike] {
            let input = info(format, 33, 24);
            let mut bench = Bench::new("nearest-x2", &[("temporal-mode", "off"), ("face-mode", "off")]);
            bench.info(&input);
            let picture = frame(&input, scene(&input));
            let expected = bench.frame(picture.clone());
            let expected: Vec<_> = read(&bench.made(), &expected).into_iter().map(|c| c.values).collect();
            for (is_upwards, more) in [(false, 0), (true, 0), (false, 16)] {
                for (before, padding) in [(0, 0), (0, 4), (8, 8), (1, 0), (0, 1), (3, 5), (2, 6)] {
                    let sent = laid(&input, &picture, (before, padding, is_upwards, more));
                    let made = bench.frame(sent);
                    let made: Vec<_> = read(&bench.made(), &made).into_iter().map(|c| c.values).collect();
                    assert!(
                        made == expected,
                        "{format:?}, {before} before, {padding} between, upwards {is_upwards}, {more} more"
                    );
                }
            }
            // What comes next as it should is taken as it lies.
            let next = bench.frame(picture);
            let next: Vec<_> = read(&bench.made(), &next).into_iter().map(|c| c.values).collect();
            assert!(next == expected, "{format:?}");
        }
    }
}

#[test]
fn padding_of_the_output_is_never_written() {
    for format in formats() {
        for (width, height) in [(17, 19), (33, 8)] {
            let (input, output) = (info(format, width, height), info(format, 2 * width, 2 * height));
            let mut bench = Bench::new("nearest-x2", &[]);
            let pool = PoisonPool::new(&output);
            let expected = padded(&output, POISON, |_, _, _| 0);
            propose(&bench.element.static_pad("src").unwrap(), &pool, expected.size());
            bench.info(&input);
            let picture = scene(&input);
            let sent = frame(&input, &picture);
            let before = read(&input, &sent);
            let made = bench.frame(sent);
            assert_eq!(made.size(), expected.size(), "{format:?}: not from the pool of downstream");
            let worst = worst(&input, &output, &before, &read(&output, &made));
            assert!(
                worst.iter().enumerate().all(|(c, &worst)| worst <= tolerance(&input, c)),
                "{format:?}: {worst:?}"
            );
            // With its samples struck out, only poison is left.
            let (mut made, mut expected) = (made.copy_deep().unwrap(), expected);
            strike_out(&output, made.make_mut());
            strike_out(&output, expected.make_mut());
            let poison = made.map_readable().unwrap();
            let untouched = expected.map_readable().unwrap();
            let written = poison.iter().zip(untouched.iter()).filter(|(a, b)| a != b).count();
            assert_eq!(written, 0, "{format:?} {width}x{height}: {written} bytes of padding");
        }
    }
}

#[test]
fn deep_formats_keep_every_one_of_their_levels() {
    for format in formats() {
        let input = info(format, 512, 128);
        let parts = components(&input);
        if parts[0].depth == 8 {
            continue;
        }
        let black = 16 << (parts[0].depth - 8);
        let legal = black..=235 << (parts[0].depth - 8);
        for (range, colours) in [(0..=parts[0].most(), "1:3:5:1"), (legal, "bt709")] {
            let mut builder = VideoInfo::builder(format, 512, 128);
            let colours = colours.parse::<VideoColorimetry>().unwrap();
            if input.is_yuv() {
                builder = builder.colorimetry(&colours);
            }
            let input = builder.build().unwrap();
            let levels: Vec<u32> = range.collect();
            let middle = parts[0].most() / 2 + 1;
            // Grey in YUV, the same level in all three of RGB.
            let picture = |c: usize, x: usize, y: usize| match c {
                0 => levels[(y * 512 + x) % levels.len()],
                3 => parts[3].most(),
                _ if input.is_yuv() => middle,
                _ => levels[(y * 512 + x) % levels.len()],
            };
            let mut bench = Bench::new("nearest-x2", &[]);
            bench.info(&input);
            let made = bench.frame(frame(&input, picture));
            let made = read(&bench.made(), &made);
            let seen: BTreeSet<u32> = made[0].values.iter().copied().collect();
            assert_eq!(seen.len(), levels.len(), "{format:?}: {} levels", seen.len());
            assert_eq!((seen.first(), seen.last()), (levels.first(), levels.last()), "{format:?}");
            for (at, &sample) in made[0].values.iter().enumerate() {
                assert_eq!(sample, picture(0, at % 1024 / 2, at / 1024 / 2), "{format:?} at {at}");
            }
        }
    }
}

#[test]
fn alpha_is_passed_on_straight_and_never_moves_the_colours() {
    for format in formats() {
        let input = info(format, 24, 16);
        let parts = components(&input);
        if parts.len() < 4 {
            continue;
        }
        // Transparent to the left, opaque to the right, and half-way a column in between.
        let alpha = |x: usize| [0, parts[3].most() / 2, parts[3].most()][x / 8];
        let colours = scene(&input);
        let mut bench = Bench::new("nearest-x2", &[]);
        bench.info(&input);
        let sent = frame(&input, |c, x, y| if c == 3 { alpha(x) } else { colours(c, x, y) });
        let before = read(&input, &sent);
        let made = bench.frame(sent);
        let output = bench.made();
        let after = read(&output, &made);
        // The resampler rings for three pixels around an edge: these are in the middle.
        for x in [8, 24, 40] {
            let expected = alpha(x / 2);
            let off = (0..32).map(|y| after[3].at(x, y).abs_diff(expected)).max().unwrap();
            assert!(off <= parts[3].most() / 100, "{format:?} at {x}: off by {off}");
        }
        let worst = worst(&input, &output, &before, &after);
        assert!((0..3).all(|c| worst[c] <= tolerance(&input, c)), "{format:?}: {worst:?}");
    }
}
