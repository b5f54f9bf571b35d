//! What a frame allocates once a few were there: next to nothing.

use gstfacesr::image::{Picture, Size};
use gstfacesr::temporal::{Controls, Mode, Temporal};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Frames after which everything has its memory.
const FIRST: usize = 4;
/// Bytes that a frame may allocate in the mean, whatever its size: jobs of threads. A row of floats of the large picture has more.
const MOST: u64 = 10_000;
/// Where outputs are reused, for each tile: lists of what is due.
const MOST_OF_A_TILE: u64 = 64;

/// A picture that moves and changes a little from frame to frame.
fn frame(size: Size, at: usize) -> Picture<u8> {
    let level = |x: usize, y: usize, channel: usize| {
        let (x, y) = (x as f32 - 0.7 * at as f32, y as f32 + 0.3 * at as f32);
        120.0 + 60.0 * (0.11 * x + channel as f32).sin() + 40.0 * (0.17 * y - 0.05 * x).cos()
    };
    Picture::from_shape_fn((size.height, size.width, 3), |(y, x, channel)| level(x, y, channel) as u8)
}

#[test]
fn the_temporal_stage_allocates_next_to_nothing_after_its_first_frames() {
    let mut with_reuse = Controls::default();
    (with_reuse.reuse.amount, with_reuse.reuse.budget) = (0.5, 0.3);
    let mut found = Vec::new();
    for (mode, controls) in [
        (Mode::Fast, Controls::default()),
        (Mode::Balanced, Controls::default()),
        (Mode::Quality, Controls::default()),
        (Mode::Balanced, with_reuse),
    ] {
        let small = Size::new(1600, 128);
        let tiles = (1600 * 128 / (32 * 32)) as u64;
        let large = small.times(2);
        let frames: Vec<_> = (0..FIRST + 8).map(|at| (frame(small, at), frame(large, 2 * at))).collect();
        let mut temporal = Temporal::new(mode);
        let mut leaning = None;
        let mut run = |frames: &[(Picture<u8>, Picture<u8>)]| {
            for (input, output) in frames {
                let mut output = output.clone();
                let look = temporal.look(input.view(), large, &controls);
                temporal.lean(input.view(), 0.5, &mut leaning);
                temporal.steady(look, &mut output.view_mut());
            }
        };
        run(&frames[..FIRST]);
        let clones: u64 = frames[FIRST..].iter().map(|(_, output)| output.len() as u64).sum();
        let profiler = dhat::Profiler::builder().testing().build();
        run(&frames[FIRST..]);
        let allocated = dhat::HeapStats::get().total_bytes - clones;
        drop(profiler);
        let each = allocated / (frames.len() - FIRST) as u64;
        let most = MOST + if controls.reuse.amount > 0.0 { MOST_OF_A_TILE * tiles } else { 0 };
        found.push((mode, controls.reuse.amount, each, most));
    }
    let keeps = found.iter().all(|(.., each, most)| each <= most);
    assert!(keeps, "mode, reuse, bytes a frame and what they may be: {found:?}");
}
