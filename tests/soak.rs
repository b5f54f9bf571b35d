//! A day of a media server in a minute: twenty thousand small frames with changes of caps, flushes, seeks, restarts, networks that
//! fail, late frames and settings that change, by chance and yet the same each time.

mod common;

use common::{Bench, child, frame, info, said, tiny};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use gstreamer as gst;
use gstreamer_video as gst_video;

const FRAMES: u64 = 20_000;
const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
const NETWORKS: [&str; 4] = ["bilinear-x2", "nearest-x2", "luma-x2", "nan-x2"];
const FORMATS: [VideoFormat; 5] =
    [VideoFormat::I420, VideoFormat::Rgb, VideoFormat::Rgba, VideoFormat::I42010le, VideoFormat::Gray8];

/// Numbers by chance, the same in every run (Marsaglia, "Xorshift RNGs", 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What has happened.
#[derive(Debug, Default)]
struct Counts {
    frames: u64,
    caps: u64,
    refused: u64,
    flushes: u64,
    seeks: u64,
    gaps: u64,
    restarts: u64,
    failures: u64,
    late: u64,
    settings: u64,
}

struct Soak {
    bench: Bench,
    chance: Chance,
    info: VideoInfo,
    pts: gst::ClockTime,
    counts: Counts,
}

impl Soak {
    fn new(seed: u64) -> Self {
        let mut bench = Bench::new(NETWORKS[0], &[("face-mode", "off"), ("stats-interval", "1")]);
        let info = info(VideoFormat::I420, 16, 16);
        bench.info(&info);
        let (pts, counts) = (gst::ClockTime::ZERO, Counts::default());
        Self { bench, chance: Chance(seed), info, pts, counts }
    }

    fn new_format(&mut self) -> VideoInfo {
        let chance = &mut self.chance;
        let format = FORMATS[chance.below(FORMATS.len() as u64) as usize];
        let (width, height) = (1 + chance.below(40) as u32, 1 + chance.below(40) as u32);
        let fps = gst::Fraction::new([0, 25, 30, 50][chance.below(4) as usize], 1);
        VideoInfo::builder(format, width, height).fps(fps).build().unwrap()
    }

    fn send_segment(&mut self) {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(self.pts);
        segment.set_time(self.pts);
        segment.set_base(FRAME * self.counts.frames);
        assert!(self.bench.harness.push_event(gst::event::Segment::new(&segment)));
    }

    /// As a stream begins.
    fn begin(&mut self) {
        assert!(self.bench.harness.push_event(gst::event::StreamStart::new("soak")));
        let caps = self.info.to_caps().unwrap();
        assert!(self.bench.harness.push_event(gst::event::Caps::new(&caps)));
        self.send_segment();
    }

    /// Something happens, or nothing.
    fn happen(&mut self) {
        match self.chance.below(300) {
            0..4 => {
                self.info = self.new_format();
                let info = self.info.clone();
                self.bench.info(&info);
                self.counts.caps += 1;
            }
            4 => {
                let caps = "interlace-mode=mixed,format=I420,width=16,height=16,framerate=25/1";
                let caps = format!("video/x-raw,{caps}").parse::<gst::Caps>().unwrap();
                self.bench.harness.push_event(gst::event::Caps::new(&caps));
                let flow = self.bench.harness.push(gst::Buffer::with_size(384).unwrap());
                assert_eq!(flow, Err(gst::FlowError::NotNegotiated));
                // The base class stays unnegotiated for caps that it had before: the application starts anew.
                self.bench.element.set_state(gst::State::Null).unwrap();
                self.bench.element.set_state(gst::State::Playing).unwrap();
                self.begin();
                self.counts.refused += 1;
            }
            5 => {
                assert!(self.bench.harness.push_event(gst::event::FlushStart::new()));
                assert!(self.bench.harness.push_event(gst::event::FlushStop::new(true)));
                self.send_segment();
                self.counts.flushes += 1;
            }
            6 => {
                self.pts = FRAME * self.chance.below(100_000);
                self.send_segment();
                self.counts.seeks += 1;
            }
            7 => {
                let gap = gst::event::Gap::builder(self.pts).duration(FRAME).build();
                assert!(self.bench.harness.push_event(gap));
                self.pts += FRAME;
                self.counts.gaps += 1;
            }
            8 => {
                let network = NETWORKS[self.chance.below(NETWORKS.len() as u64) as usize];
                let failed = self.chance.below(2) == 0;
                let element = self.bench.element.clone();
                element.set_state(gst::State::Null).unwrap();
                if failed {
                    element.set_property("model", "/no/such/model.onnx");
                    assert!(element.set_state(gst::State::Playing).is_err());
                    element.set_state(gst::State::Null).unwrap();
                    self.counts.failures += 1;
                }
                element.set_property("model", tiny(network));
                element.set_state(gst::State::Playing).unwrap();
                self.begin();
                self.counts.restarts += 1;
            }
            9 => {
                let late = gst::ClockTime::from_mseconds(self.chance.below(600));
                let now = self.bench.harness.testclock().unwrap().time();
                self.bench.harness.set_time(now + late).unwrap();
                self.counts.late += 1;
            }
            10 => {
                let share = self.chance.below(101) as f64 / 100.0;
                self.bench.element.set_property("temporal-strength", share);
                self.bench.element.set_property("input-denoise", 1.0 - share);
                self.counts.settings += 1;
            }
            _ => {}
        }
    }

    /// A frame in, and the same one out.
    fn frame(&mut self) {
        let level = 40 + self.counts.frames as u32 % 60;
        let depth = self.info.comp_depth(0);
        let mut buffer =
            frame(&self.info, |c, x, y| (level + (5 * x + 3 * y + 9 * c) as u32 % 90) << (depth - 8));
        buffer.get_mut().unwrap().set_pts(self.pts);
        let made = self.bench.frame(buffer);
        assert_eq!(made.pts(), Some(self.pts), "{:?}", self.counts);
        assert!(self.bench.harness.try_pull().is_none());
        let now = self.bench.harness.testclock().unwrap().time();
        self.bench.harness.set_time(now + FRAME).unwrap();
        // A bus that nobody reads keeps everything.
        self.bench.bus.set_flushing(true);
        self.bench.bus.set_flushing(false);
        // Events that came out wait, too.
        while self.bench.harness.try_pull_event().is_some() {}
        self.pts += FRAME;
        self.counts.frames += 1;
    }
}

/// Memory of this process that is in use, KiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// An allocator that gives every larger piece back at once, so that what grows is what is kept.
const GIVES_BACK: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

#[test]
fn twenty_thousand_frames_of_everything_lose_no_frame_and_keep_no_memory() {
    /// What the second half may have more than the first, in the mean, KiB: a tenth of a KiB a frame shows.
    const GROWTH: f64 = 1024.0;
    let output =
        child("twenty_thousand_frames_of_everything_lose_no_frame_and_keep_no_memory", &GIVES_BACK, || {
            let mut soak = Soak::new(20_261_125);
            let mut sizes = Vec::new();
            for number in 0..FRAMES {
                soak.happen();
                soak.frame();
                if number >= FRAMES / 10 && number % 50 == 0 {
                    sizes.push(resident());
                }
            }
            let (first, second) = sizes.split_at(sizes.len() / 2);
            let mean = |sizes: &[f64]| sizes.iter().sum::<f64>() / sizes.len() as f64;
            let (first, second) = (mean(first), mean(second));
            println!("{:?}; {first:.0} KiB in the first half, {second:.0} KiB in the second", soak.counts);
            let Counts { frames, caps, refused, flushes, seeks, gaps, restarts, failures, late, settings } =
                soak.counts;
            assert_eq!(frames, FRAMES);
            let happened = [caps, refused, flushes, seeks, gaps, restarts, failures, late, settings];
            assert!(happened.iter().all(|&times| times >= 10), "{happened:?}");
            assert!(second < first + GROWTH, "{first} KiB became {second} KiB");
        });
    let Some(output) = output else { return };
    assert!(output.status.success(), "{}", said(&output));
    print!("{}", said(&output));
}

#[test]
fn no_object_is_left_of_a_thousand_frames_of_everything() {
    let trace = [
        ("GST_TRACERS", "leaks(check-refs=true)"),
        ("GST_DEBUG", "GST_TRACER:7"),
        ("GST_DEBUG_NO_COLOR", "1"),
    ];
    let output = child("no_object_is_left_of_a_thousand_frames_of_everything", &trace, || {
        let mut soak = Soak::new(7);
        for _ in 0..1000 {
            soak.happen();
            soak.frame();
        }
        // What its end is told by waits on the bus and holds the element, which holds the bus.
        let bus = soak.bench.bus.clone();
        drop(soak);
        bus.set_flushing(true);
        drop(bus);
        // SAFETY: nothing of GStreamer is used after this.
        unsafe { gst::deinit() };
        println!("lived");
    });
    let Some(output) = output else { return };
    let said = said(&output);
    assert!(output.status.success() && said.contains("lived"), "{said}");
    let left: Vec<&str> =
        said.lines().filter(|line| line.contains("object-alive,") && !line.contains("new format")).collect();
    assert!(left.is_empty(), "{}", left.join("\n"));
}
