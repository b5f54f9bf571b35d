//! Outputs used again, for scripts: answers every line on the standard input, `WIDTH HEIGHT MODEL AMOUNT FACES INPUTS OUTPUTS`,
//! with a line of JSON.
//!
//! INPUTS is a file of frames of three bytes per pixel; OUTPUTS.frame, OUTPUTS.every and OUTPUTS.reuse become those frames
//! enlarged by two by MODEL: each on its own, steadied with an inference for every frame, and with `reuse` at AMOUNT. FACES is
//! `off` or `auto`, for the last two. Networks run on one thread, frame by frame in turn, and the JSON tells the milliseconds
//! of a frame in the mean of each (the first does not count), the share of the picture that was inferred, frames that were
//! inferred whole, and the oldest that a part of one became.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::time::{Duration, Instant};

use gstfacesr::enhance::{Controls, Enhancer, Settings};
use gstfacesr::face;
use gstfacesr::image::{Size, view, view_mut};
use gstfacesr::infer::onnx::Options;
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::temporal::Mode;

struct Way {
    enhancer: Enhancer<u8>,
    controls: Controls,
    file: BufWriter<File>,
    time: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [width, height, model, amount, faces, inputs, outputs] =
            line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            return Err(format!("not seven words: `{line}`").into());
        };
        let small = Size::new(width.parse()?, height.parse()?);
        let large = small.times(2);
        let faces = if faces == "off" { face::Mode::Off } else { face::Mode::Auto };
        let way = |name: &str, temporal, faces, amount| -> Result<Way, Box<dyn Error>> {
            let settings = settings(model, temporal, faces);
            let mut controls = Controls::default();
            controls.temporal.reuse.amount = amount;
            controls.faces.reuse = amount;
            let file = BufWriter::new(File::create(format!("{outputs}.{name}"))?);
            Ok(Way { enhancer: Enhancer::open(&settings)?, controls, file, time: Duration::ZERO })
        };
        let mut ways = [
            way("frame", Mode::Off, face::Mode::Off, 0.0)?,
            way("every", Mode::Balanced, faces, 0.0)?,
            way("reuse", Mode::Balanced, faces, amount.parse()?)?,
        ];
        let from = std::fs::read(inputs)?;
        let mut made = vec![0; large.width * large.height * 3];
        let (mut frames, mut area, mut oldest, mut whole, mut restored) = (0, 0.0, 0, 0, 0);
        let mut times = vec![];
        for from in from.chunks_exact(small.width * small.height * 3) {
            let input = view(from, small, 3, small.width * 3).ok_or("a frame is too short")?;
            for way in &mut ways {
                let output = view_mut(&mut made, large, 3, large.width * 3).ok_or("a frame is too short")?;
                let started = Instant::now();
                let report = way.enhancer.process(input, output, &way.controls)?;
                if frames > 0 {
                    way.time += started.elapsed();
                }
                way.file.write_all(&made)?;
                if let Some(reused) = report.reused {
                    area += reused.area;
                    oldest = oldest.max(reused.oldest);
                    whole += u32::from(reused.whole.is_some());
                    restored += report.faces.restored;
                    times.push([report.looking, report.upscale, report.blending]);
                }
            }
            frames += 1;
        }
        for way in &mut ways {
            way.file.flush()?;
        }
        let [frame, every, reuse] =
            ways.map(|way| way.time.as_secs_f64() * 1e3 / f64::from((frames - 1).max(1)));
        let stage =
            |k: usize| times.iter().map(|times: &[Duration; 3]| times[k].as_secs_f64() * 1e3).sum::<f64>();
        let [look, upscale, blend] = [0, 1, 2].map(|k| stage(k) / f64::from(frames.max(1)));
        println!(
            "{{\"frames\": {frames}, \"frame\": {frame}, \"every\": {every}, \"reuse\": {reuse}, \"area\": {}, \"whole\": {whole}, \"oldest\": {oldest}, \"restored\": {restored}, \"look\": {look}, \"upscale\": {upscale}, \"blend\": {blend}}}",
            area / frames as f32
        );
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn settings(model: &str, temporal: Mode, faces: face::Mode) -> Settings {
    Settings {
        model: Some(model.into()),
        factor: Some(2.0),
        options: Options { choice: Choice::Only(Provider::Cpu), threads: 1, ..Options::default() },
        temporal,
        faces: face::Settings { mode: faces, ..face::Settings::default() },
        ..Settings::default()
    }
}
