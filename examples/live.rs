//! Live video, measured in real time: what becomes of it under a load that comes and goes, and what ten streams cost that
//! share a network.
//!
//! ```text
//! cargo run --release --example live [network]
//! ```

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer_app::gst;

/// Frames a second, and how late one may be.
const RATE: u64 = 25;
const MOST_LATE: f64 = 0.2;
/// Seconds before the load, with it, and after it.
const PHASES: [u64; 3] = [5, 8, 8];
const STREAMS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstfacesr::plugin_register_static()?;
    let network = std::env::args().nth(1).unwrap_or_else(|| "span-x2".into());
    ladder(&network)?;
    println!();
    throughput(&network)?;
    memory()
}

fn launch(line: &str) -> Result<gst::Pipeline, Box<dyn Error>> {
    gst::parse::launch(line)?.downcast().map_err(|_| "not a pipeline".into())
}

/// What was seen of a frame when it came out.
struct Seen {
    at: f64,
    late: f64,
    effort: String,
}

/// Another stream has the network for longer than a frame lasts, then ends.
fn ladder(network: &str) -> Result<(), Box<dyn Error>> {
    let live = launch(&format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=64,height=40,framerate={RATE}/1
         ! facesr name=f model={network} execution-provider=cpu face-mode=off ! queue ! fakesink sync=true"
    ))?;
    let load = launch(&format!(
        "videotestsrc pattern=ball ! video/x-raw,format=I420,width=160,height=96
         ! facesr model={network} execution-provider=cpu face-mode=off temporal-mode=off ! fakesink sync=false"
    ))?;
    let element = live.by_name("f").ok_or("no element")?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (list, watched) = (seen.clone(), element.clone());
    let pad = element.static_pad("src").ok_or("no pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let (Some(buffer), Some(now)) = (info.buffer(), watched.current_running_time()) {
            let due = buffer.pts().unwrap_or_default();
            let effort = watched.property::<gst::Structure>("stats").get("effort").unwrap_or_default();
            let late = now.seconds_f64() - due.seconds_f64();
            list.lock().unwrap().push(Seen { at: now.seconds_f64(), late, effort });
        }
        gst::PadProbeReturn::Ok
    });
    live.set_state(gst::State::Playing)?;
    std::thread::sleep(Duration::from_secs(PHASES[0]));
    load.set_state(gst::State::Playing)?;
    std::thread::sleep(Duration::from_secs(PHASES[1]));
    load.set_state(gst::State::Null)?;
    std::thread::sleep(Duration::from_secs(PHASES[2]));
    let bus = live.bus().ok_or("no bus")?;
    let messages = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Qos])).count();
    live.set_state(gst::State::Null)?;

    let seen = seen.lock().unwrap();
    println!(
        "{network}, {RATE} frames a second live, another stream on the same network from {} s to {} s",
        PHASES[0],
        PHASES[0] + PHASES[1]
    );
    println!("{:>4} {:>7} {:>12}  efforts", "s", "frames", "latest, ms");
    let end = PHASES.iter().sum::<u64>();
    for second in 0..end {
        let now: Vec<&Seen> = seen.iter().filter(|seen| seen.at as u64 == second).collect();
        let latest = now.iter().map(|seen| seen.late).fold(0.0, f64::max);
        let mut efforts: Vec<(&str, usize)> = Vec::new();
        for frame in &now {
            match efforts.iter_mut().find(|(name, _)| *name == frame.effort) {
                Some((_, count)) => *count += 1,
                None => efforts.push((&frame.effort, 1)),
            }
        }
        let efforts: Vec<String> = efforts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        println!("{second:>4} {:>7} {:>12.0}  {}", now.len(), 1000.0 * latest, efforts.join(", "));
    }
    let first = seen.first().map_or(0.0, |seen| seen.late);
    let latest = seen.iter().skip(1).map(|seen| seen.late).fold(0.0, f64::max);
    let calm = (PHASES[0] + PHASES[1]) as f64;
    let degraded = seen.iter().filter(|seen| seen.at > calm && seen.effort != "full").map(|seen| seen.at);
    let back = degraded.fold(calm, f64::max) - calm;
    let rate = seen.len() as f64 / end as f64;
    println!(
        "{rate:.1} frames a second; the first frame {:.0} ms late, the latest of the others {:.0} ms (at most {:.0}); {messages} QoS messages; all is done again {back:.1} s after the load (at most 3)",
        1000.0 * first,
        1000.0 * latest,
        1000.0 * MOST_LATE
    );
    Ok(())
}

/// Seconds that so many streams take for so many frames each.
fn run(network: &str, streams: usize, frames: usize) -> Result<f64, Box<dyn Error>> {
    let line = format!(
        "videotestsrc num-buffers={frames} pattern=ball ! video/x-raw,format=I420,width=160,height=96
         ! facesr model={network} execution-provider=cpu face-mode=off temporal-mode=fast ! fakesink sync=false"
    );
    let pipelines = (0..streams).map(|_| launch(&line)).collect::<Result<Vec<_>, _>>()?;
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Paused)?;
        pipeline.state(gst::ClockTime::NONE).0?;
    }
    let started = Instant::now();
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Playing)?;
    }
    for pipeline in &pipelines {
        let bus = pipeline.bus().ok_or("no bus")?;
        bus.timed_pop_filtered(gst::ClockTime::NONE, &[gst::MessageType::Eos, gst::MessageType::Error]);
    }
    let time = started.elapsed().as_secs_f64();
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Null)?;
    }
    Ok(time)
}

/// One stream and ten take turns, so that both see the same machine.
fn throughput(network: &str) -> Result<(), Box<dyn Error>> {
    let (frames, rounds) = (20 * STREAMS, 3);
    let mut shares = Vec::new();
    for _ in 0..rounds {
        // The frame of the preroll is not timed.
        let one = (frames - 1) as f64 / run(network, 1, frames)?;
        let ten = (frames - STREAMS) as f64 / run(network, STREAMS, frames / STREAMS)?;
        println!("{network}: one stream {one:.1} frames a second, {STREAMS} streams {ten:.1} in all");
        shares.push(ten / one);
    }
    shares.sort_by(f64::total_cmp);
    println!("{STREAMS} streams have {:.2} of the throughput of one (at least 0.95)", shares[rounds / 2]);
    Ok(())
}

/// Resident memory of this process, in MiB.
fn resident() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// What one stream of a large network takes, and what nine more do.
fn memory() -> Result<(), Box<dyn Error>> {
    let network = "realesrgan-x4plus";
    let line = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=I420,width=16,height=16
         ! facesr model={network} execution-provider=cpu face-mode=off ! fakesink sync=false"
    );
    let before = resident()?;
    let mut pipelines = Vec::new();
    let mut sizes = Vec::new();
    for _ in 0..STREAMS {
        let pipeline = launch(&line)?;
        pipeline.set_state(gst::State::Paused)?;
        pipeline.state(gst::ClockTime::NONE).0?;
        pipelines.push(pipeline);
        sizes.push(resident()?);
    }
    let (first, all) = (sizes[0] - before, sizes[STREAMS - 1] - sizes[0]);
    println!(
        "{network}: the first stream takes {first:.0} MiB, {} more {all:.0} MiB in all (less than one copy)",
        STREAMS - 1
    );
    for pipeline in pipelines {
        pipeline.set_state(gst::State::Null)?;
    }
    Ok(())
}
