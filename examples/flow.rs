//! Flow between pictures, for scripts: answers every line on the standard input,
//! `PRESET WIDTH HEIGHT FROM TO FLOW`, with the milliseconds that the estimate took.
//!
//! FROM and TO are files of one byte of luma per pixel; FLOW is written as u of every pixel, then v, as
//! little-endian floats.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use gstfacesr::flow::{Estimator, PRESETS};
use ndarray::Array2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut estimators: Vec<(&str, Estimator)> =
        PRESETS.iter().map(|(name, settings)| (*name, Estimator::new(*settings))).collect();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [preset, width, height, from, to, flow] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("not six words: `{line}`").into());
        };
        let dim = (height.parse()?, width.parse()?);
        let read = |path| -> Result<Array2<f32>, Box<dyn Error>> {
            Ok(Array2::from_shape_vec(dim, std::fs::read(path)?.into_iter().map(f32::from).collect())?)
        };
        let (from, to) = (read(from)?, read(to)?);
        let known = estimators.iter_mut().find(|(name, _)| *name == preset);
        let (_, estimator) = known.ok_or_else(|| format!("no preset `{preset}`"))?;
        let start = Instant::now();
        let found = estimator.estimate(from.view(), to.view())?;
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let bytes = found.u.iter().chain(&found.v).flat_map(|value| value.to_le_bytes());
        std::fs::write(flow, bytes.collect::<Vec<u8>>())?;
        println!("{milliseconds}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
