//! Measures raw frames with the library, without GStreamer.
//!
//!     cargo run --release --example metrics -- WIDTH HEIGHT FOLDER [CUT...]
//!
//! FOLDER holds luma from 0 to 255 as 32-bit floats, little-endian, frame after frame: `test`, and
//! what there is of `truth`, `per-frame`, and the motion of the truth, `back` (from each frame to
//! the one before) and `forth` (from there to the frame), each first all of `u`, then all of
//! `v`, beginning with the second frame. Each CUT is the number of a frame that begins a scene.
//! Prints a line for every metric: its name, its figure and the figures of the frames, or why
//! there are none, with tabs.

use std::error::Error;
use std::path::Path;

use gstfacesr::image::{Size, view};
use gstfacesr::metrics::measurement::Measurement;
use gstfacesr::metrics::motion::{Field, Motion};
use gstfacesr::metrics::{Frame, Given, METRICS};
use ndarray::ArrayView2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [width, height, folder, cuts @ ..] = arguments.as_slice() else {
        return Err("usage: metrics WIDTH HEIGHT FOLDER [CUT...]".into());
    };
    let size = Size::new(width.parse()?, height.parse()?);
    let cuts = cuts.iter().map(|cut| cut.parse()).collect::<Result<Vec<usize>, _>>()?;
    let frames = |name: &str| read(&Path::new(folder).join(name), size);
    let (test, truth, per_frame) = (frames("test")?, frames("truth")?, frames("per-frame")?);
    let (back, forth) = (frames("back")?, frames("forth")?);

    let given = Given {
        truth: !truth.is_empty(),
        per_frame: !per_frame.is_empty(),
        motion: !back.is_empty() && !forth.is_empty(),
        ..Given::default()
    };
    let mut measurement = Measurement::new(METRICS, &given)?;
    let picture = |samples| view(samples, size, 1, size.width).ok_or("a picture has pixels");
    let plane = |samples| ArrayView2::from_shape((size.height, size.width), samples);
    for (number, samples) in test.iter().enumerate() {
        let mut frame = Frame::new(number, picture(samples)?).with_cut(cuts.contains(&number));
        if let Some(truth) = truth.get(number) {
            frame = frame.with_truth(picture(truth)?)?;
        }
        if let Some(per_frame) = per_frame.get(number) {
            frame = frame.with_per_frame(picture(per_frame)?)?;
        }
        // Two planes a frame, of which the first has none.
        let motion = match (planes_of(&back, number), planes_of(&forth, number)) {
            (Some([u, v]), Some([u_forth, v_forth])) => Some(Motion::new(
                Field { u: plane(u)?, v: plane(v)? },
                Field { u: plane(u_forth)?, v: plane(v_forth)? },
            )),
            _ => None,
        };
        if let Some(motion) = &motion {
            frame = frame.with_motion(motion)?;
        }
        measurement.push(&frame)?;
    }

    for (metric, measured) in measurement.finish() {
        match measured {
            Ok(outcome) => {
                let value = outcome.value.map_or("none".into(), |value| value.to_string());
                let series: Vec<String> =
                    outcome.series.iter().map(|(number, value)| format!("{number}:{value}")).collect();
                println!("{}\t{value}\t{}", metric.name, series.join(" "));
            }
            Err(absence) => println!("{}\t{absence}", metric.name),
        }
    }
    Ok(())
}

/// Both planes of the motion of a frame.
fn planes_of(file: &[Vec<f32>], number: usize) -> Option<&[Vec<f32>]> {
    let first = 2 * number.checked_sub(1)?;
    file.get(first..first + 2)
}

/// The planes of a file; none if there is no such file.
fn read(path: &Path, size: Size) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(path)?;
    let samples: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    Ok(samples.chunks_exact(size.width * size.height).map(<[f32]>::to_vec).collect())
}
