//! The temporal stage on its own, for scripts: answers every line on the standard input,
//! `WIDTH HEIGHT SCALE INPUTS OUTPUTS`, with the milliseconds that a frame took in the mean.
//!
//! INPUTS and OUTPUTS are files of frames of three bytes per pixel, the second `SCALE` times as large; OUTPUTS is
//! overwritten with what comes of it. The first frame, which has no past, does not count.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use gstfacesr::image::{Size, view, view_mut};
use gstfacesr::temporal::{Controls, Mode, Temporal};

fn main() -> Result<(), Box<dyn Error>> {
    // One for all lines, which has its memory from the second on, as in a stream.
    let mut temporal = Temporal::new(Mode::Balanced);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [width, height, scale, inputs, outputs] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("not five words: `{line}`").into());
        };
        let small = Size::new(width.parse()?, height.parse()?);
        let large = small.times(scale.parse()?);
        let from = std::fs::read(inputs)?;
        let mut to = std::fs::read(outputs)?;
        let length = |size: Size| size.width * size.height * 3;
        temporal.reset();
        let (mut taken, mut frames) = (Duration::ZERO, 0);
        for (from, to) in from.chunks_exact(length(small)).zip(to.chunks_exact_mut(length(large))) {
            let input = view(from, small, 3, small.width * 3).ok_or("a frame is too short")?;
            let mut output = view_mut(to, large, 3, large.width * 3).ok_or("a frame is too short")?;
            let started = Instant::now();
            let look = temporal.look(input, large, &Controls::default());
            temporal.steady(look, &mut output);
            if frames > 0 {
                taken += started.elapsed();
            }
            frames += 1;
        }
        std::fs::write(outputs, to)?;
        println!("{}", taken.as_secs_f64() * 1e3 / f64::from((frames - 1).max(1)));
        std::io::stdout().flush()?;
    }
    Ok(())
}
