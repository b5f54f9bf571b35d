//! `facesr measure` and `facesr compare` from outside: clips of known content in, figures, pages
//! and sheets out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use serde_json::Value;
use tempfile::TempDir;

const WIDTH: usize = 48;
const HEIGHT: usize = 32;

// ---------------------------------------------------------------- clips

fn folder() -> TempDir {
    gst::init().unwrap();
    tempfile::tempdir().unwrap()
}

/// A lossless clip of grey pixels: the luma of frame, column and row.
fn clip(
    path: &Path,
    (width, height, frames): (usize, usize, usize),
    luma: impl Fn(usize, usize, usize) -> u8,
) {
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in format=time caps=video/x-raw,format=RGB,width={width},height={height},framerate=25/1 \
         ! videoconvert ! avenc_ffv1 ! matroskamux ! filesink location={}",
        path.display()
    ))
    .unwrap();
    let source = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("in").unwrap();
    let source = source.downcast::<gst_app::AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let stride = (width * 3).next_multiple_of(4);
    for frame in 0..frames {
        let mut bytes = vec![0; stride * height];
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            bytes[y * stride + 3 * x..][..3].fill(luma(frame, x, y));
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let times = buffer.get_mut().unwrap();
        times.set_pts(gst::ClockTime::from_mseconds(40 * frame as u64));
        times.set_duration(gst::ClockTime::from_mseconds(40));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &kinds);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(matches!(message.unwrap().view(), gst::MessageView::Eos(_)), "{}", path.display());
}

/// Ten frames of a texture, changed by `change`.
fn texture(path: &Path, change: impl Fn(usize, u8) -> u8) {
    clip(path, (WIDTH, HEIGHT, 10), |frame, x, y| change(frame, (60 + (x * 7 + y * 13) % 120) as u8));
}

/// Numbers without a pattern, from -8 to 7.
fn noise(frame: usize, value: u8) -> i16 {
    let hash = (frame as u32 * 7919 + u32::from(value) * 104_729).wrapping_mul(2_654_435_761);
    i16::from((hash >> 28) as u8) - 8
}

struct Clips {
    _folder: TempDir,
    reference: PathBuf,
    same: PathBuf,
    brighter: PathBuf,
    flickering: PathBuf,
    noisy: PathBuf,
    out: PathBuf,
}

fn clips() -> Clips {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (reference, same, brighter) = (at("reference.mkv"), at("same.mkv"), at("brighter.mkv"));
    let (flickering, noisy, out) = (at("flickering.mkv"), at("noisy.mkv"), at("out.html"));
    texture(&reference, |_, value| value);
    texture(&same, |_, value| value);
    texture(&brighter, |_, value| value + 10);
    texture(&flickering, |frame, value| value + 10 * (frame % 2) as u8);
    texture(&noisy, |frame, value| (i16::from(value) + noise(frame, value)) as u8);
    Clips { _folder: folder, reference, same, brighter, flickering, noisy, out }
}

// ---------------------------------------------------------------- the program

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_facesr"));
    command.stdin(Stdio::null()).args(arguments).output().expect("the program starts")
}

#[track_caller]
fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    assert!(said.is_empty(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A run that must fail with `code`, one line that has `words`, and write nothing.
#[track_caller]
fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty());
    let lines = said.trim_end().lines().count();
    // Usage errors of the argument parser have a few lines more.
    assert!(lines == 1 || code == 2 && said.starts_with("error:"), "{said}");
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn measured(reference: &Path, test: &Path, more: &[&str]) -> Value {
    let arguments =
        [&["measure", "--reference", text(reference), "--test", text(test), "--json"], more].concat();
    serde_json::from_str(&done(&arguments)).unwrap()
}

#[track_caller]
fn close(found: &Value, expected: f64, off: f64) {
    let found = found.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() <= off, "{found} is not {expected}");
}

// ---------------------------------------------------------------- measure

#[test]
fn a_clip_is_as_good_as_can_be_against_itself() {
    let clips = clips();
    let all = measured(&clips.reference, &clips.same, &[]);
    assert_eq!((&all["frames"], &all["width"], &all["height"]), (&10.into(), &48.into(), &32.into()));
    let metrics = &all["metrics"];
    assert!(metrics["psnr"]["value"].as_f64().is_none_or(|psnr| psnr >= 100.0), "{}", metrics["psnr"]);
    close(&metrics["ssim"]["value"], 1.0, 1e-6);
    close(&metrics["tde"]["value"], 0.0, 1e-6);
    close(&metrics["sstd"]["value"], 0.0, 1e-3);
    close(&metrics["warping-error"]["value"], 0.0, 1e-6);
    close(&metrics["sharpness"]["value"], 1.0, 1e-6);
    assert!(
        done(&["measure", "--reference", text(&clips.reference), "--test", text(&clips.same)])
            .contains("psnr")
    );
}

#[test]
fn known_changes_give_known_figures() {
    let clips = clips();
    // Ten levels everywhere: 10 log10(255^2 / 10^2).
    let brighter = measured(&clips.reference, &clips.brighter, &[]);
    close(&brighter["metrics"]["psnr"]["value"], 28.1308, 0.001);
    close(&brighter["metrics"]["tde"]["value"], 0.0, 1e-4);
    // Every other frame: each frame differs from the last by ten levels, and stands out by five.
    let flickering = measured(&clips.reference, &clips.flickering, &["--metrics", "tde,sstd"]);
    close(&flickering["metrics"]["tde"]["value"], 10.0, 1e-3);
    close(&flickering["metrics"]["sstd"]["value"], 5.0, 1e-3);
    assert!(flickering["metrics"].get("psnr").is_none());
    // The ground truth stands still, so that is also the change along its motion.
    let warped = measured(&clips.reference, &clips.flickering, &["--metrics", "warping-error"]);
    close(&warped["metrics"]["warping-error"]["value"], (10.0_f64 / 255.0).powi(2), 1e-6);
    // The same numbers as above, added: luma of grey is the grey itself.
    let noisy = measured(&clips.reference, &clips.noisy, &[]);
    let squares: f64 = (0..10)
        .map(|frame| {
            let values = (0..WIDTH * HEIGHT).map(|at| (60 + (at % WIDTH * 7 + at / WIDTH * 13) % 120) as u8);
            let error = values.map(|value| f64::from(noise(frame, value)).powi(2)).sum::<f64>();
            10.0 * (255.0 * 255.0 / (error / (WIDTH * HEIGHT) as f64)).log10()
        })
        .sum();
    close(&noisy["metrics"]["psnr"]["value"], squares / 10.0, 0.001);
}

#[test]
fn a_shifted_clip_is_measured_as_that() {
    let clips = clips();
    let shifted = clips.out.with_file_name("shifted.mkv");
    let wave = |x: usize, y: usize| 128 + ((x * 5) % 64) as u8 + (y % 8) as u8;
    let reference = clips.out.with_file_name("moving.mkv");
    clip(&reference, (WIDTH, HEIGHT, 10), |frame, x, y| wave(x + frame, y));
    clip(&shifted, (WIDTH, HEIGHT, 10), |frame, x, y| wave(x + frame + 1, y));
    let all = measured(&reference, &shifted, &["--metrics", "psnr,ssim,sharpness"]);
    assert!(all["metrics"]["psnr"]["value"].as_f64().unwrap() < 30.0, "{}", all["metrics"]["psnr"]["value"]);
    assert!(all["metrics"]["ssim"]["value"].as_f64().unwrap() < 0.9);
    close(&all["metrics"]["sharpness"]["value"], 1.0, 0.05);
}

#[test]
fn the_object_tells_everything_that_a_program_may_want() {
    let clips = clips();
    let baseline = ["--baseline", text(&clips.flickering), "--cuts", "5"];
    let all = measured(&clips.reference, &clips.noisy, &baseline);
    assert_eq!(all["cuts"], serde_json::json!({ "source": "given", "frames": [5] }));
    assert_eq!(all["test"].as_str(), Some(text(&clips.noisy)));
    let psnr = &all["metrics"]["psnr"];
    assert_eq!((psnr["unit"].as_str(), psnr["better"].as_str()), (Some("dB"), Some("higher")));
    let series: Vec<(usize, f64)> = serde_json::from_value(psnr["series"].clone()).unwrap();
    assert_eq!(series.iter().map(|(frame, _)| *frame).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    let least = series.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(psnr["worst_frame"], least.0);
    // Nothing looks back from the first frame, nor across the cut.
    let tde: Vec<(usize, f64)> = serde_json::from_value(all["metrics"]["tde"]["series"].clone()).unwrap();
    assert_eq!(tde.iter().map(|(frame, _)| *frame).collect::<Vec<_>>(), [1, 2, 3, 4, 6, 7, 8, 9]);
    assert!(all["baseline_metrics"]["tde"]["value"].is_number());
    assert!(all["metrics"]["sharpness-per-frame"]["value"].is_number());
    assert!(all["metrics"].get("ghost").is_some());
    // Whatever has no figure has a reason.
    for metric in gstfacesr::metrics::METRICS {
        let found = all["metrics"].get(metric.name).is_some();
        let excused = all["not_measured"][metric.name].as_str().is_some_and(|reason| !reason.is_empty());
        assert!(found != excused, "{}", metric.name);
    }
    let alone = measured(&clips.reference, &clips.noisy, &[]);
    assert!(alone["not_measured"]["ghost"].is_string() && alone["baseline_metrics"].is_null());
    assert_eq!(alone["cuts"], serde_json::json!({ "source": "detected", "frames": [] }));
}

#[test]
fn raw_pictures_of_every_depth_are_measured() {
    let folder = folder();
    let raw = |name: &str, space: &str, bytes: usize, peak: u16, off: u16| {
        let path = folder.path().join(name);
        let mut stream = format!("YUV4MPEG2 W48 H32 F25:1 C{space}\n").into_bytes();
        for _ in 0..3 {
            stream.extend(b"FRAME\n");
            let luma = (0..48 * 32).map(|at| peak / 8 * (2 + at % 5) + off);
            let chroma = (0..2 * 48 * 32).map(|_| peak / 2);
            stream.extend(luma.chain(chroma).flat_map(|value| value.to_le_bytes().into_iter().take(bytes)));
        }
        std::fs::write(&path, stream).unwrap();
        path
    };
    for (space, bytes, peak) in [("444", 1, 256), ("444p10", 2, 1024), ("444p12", 2, 4096)] {
        let reference = raw("reference.y4m", space, bytes, peak, 0);
        // A level of 8 bits brighter, in limited range.
        let brighter = raw("brighter.y4m", space, bytes, peak, peak / 256);
        let found = measured(&reference, &reference, &[]);
        assert_eq!(
            (&found["frames"], &found["metrics"]["ssim"]["value"]),
            (&3.into(), &1.0.into()),
            "{space}"
        );
        let found = measured(&reference, &brighter, &["--metrics", "psnr"]);
        let expected = 20.0 * (255.0_f64 / (255.0 / 219.0)).log10();
        close(&found["metrics"]["psnr"]["value"], expected, 1.5);
    }
}

#[test]
fn cuts_that_nobody_gave_are_found_in_the_ground_truth() {
    let clips = clips();
    let (cut, out) = (clips.out.with_file_name("cut.mkv"), text(&clips.out));
    // A texture of 6 frames, then another one.
    clip(&cut, (WIDTH, HEIGHT, 12), |frame, x, y| {
        let (x, y) = (x as u32 / 3, y as u32 / 3 + 100 * u32::from(frame >= 6));
        let bits = x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77);
        ((bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D) >> 24) as u8
    });
    let over_time = ["--metrics", "tde"];
    let frames = |all: &Value| {
        let series: Vec<(usize, f64)> =
            serde_json::from_value(all["metrics"]["tde"]["series"].clone()).unwrap();
        series.into_iter().map(|(frame, _)| frame).collect::<Vec<_>>()
    };
    let all = measured(&cut, &cut, &[&over_time[..], &["--report", out]].concat());
    assert_eq!(all["cuts"], serde_json::json!({ "source": "detected", "frames": [6] }));
    assert_eq!(frames(&all), [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
    let data = page(&clips.out);
    assert_eq!(
        (&data["cuts"], &data["cuts_told"]),
        (&serde_json::json!([6]), &"a cut found at frame 6".into())
    );
    for none in ["none", ""] {
        let all = measured(&cut, &cut, &[&over_time[..], &["--cuts", none]].concat());
        assert_eq!(all["cuts"], serde_json::json!({ "source": "given", "frames": [] }));
        assert_eq!(frames(&all).len(), 11);
    }
}

#[test]
fn a_metric_over_time_of_a_single_frame_has_no_value() {
    let clips = clips();
    let one = clips.out.with_file_name("one.mkv");
    clip(&one, (WIDTH, HEIGHT, 1), |_, x, y| (x + y) as u8);
    let all = measured(&one, &one, &[]);
    assert!(all["metrics"]["tde"]["value"].is_null() && all["metrics"]["tde"]["worst_frame"].is_null());
    done(&["measure", "--reference", text(&one), "--test", text(&one), "--report", text(&clips.out)]);
}

#[test]
fn a_signal_stops_the_measuring_soon() {
    let folder = folder();
    let long = folder.path().join("long.avi");
    let pipeline = format!(
        "videotestsrc num-buffers=1500 ! video/x-raw,width=640,height=480 ! jpegenc ! avimux ! filesink location={}",
        text(&long)
    );
    let pipeline = gst::parse::launch(&pipeline).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Eos]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(end.is_some());
    for (command, more) in [
        ("measure", &["--reference", text(&long), "--test", text(&long)][..]),
        (
            "compare",
            &[
                text(&long),
                text(&long),
                "-o",
                text(&folder.path().join("page.html")),
                "--reference",
                text(&long),
            ],
        ),
    ] {
        let mut running = Command::new(env!("CARGO_BIN_EXE_facesr"));
        let running =
            running.arg(command).args(more).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        let asked = Instant::now();
        assert!(
            Command::new("kill").args(["-s", "TERM", &running.id().to_string()]).status().unwrap().success()
        );
        let done = running.wait_with_output().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(8), "{command}: {:?}", asked.elapsed());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0), "{command}: {said}");
        assert!(said.contains("interrupted:"), "{command}: {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn what_cannot_be_measured_is_refused_in_one_line() {
    let clips = clips();
    let (reference, out) = (text(&clips.reference), text(&clips.out));
    let other = |name: &str| clips.out.with_file_name(name);
    let (short, small, tiny, broken) =
        (other("short.mkv"), other("small.mkv"), other("tiny.mkv"), other("broken.mkv"));
    clip(&short, (WIDTH, HEIGHT, 7), |_, x, _| x as u8);
    clip(&small, (WIDTH / 2, HEIGHT / 2, 10), |_, x, _| x as u8);
    clip(&tiny, (8, 8, 10), |_, x, _| x as u8);
    std::fs::write(&broken, "not a video").unwrap();
    let measure = |test: &Path, more: &[&str], code, words: &[&str]| {
        let arguments = [&["measure", "--reference", reference, "--test", text(test)], more].concat();
        refused(&arguments, code, words);
    };
    measure(&short, &[], 3, &["short.mkv has 7", "reference.mkv has 10"]);
    measure(&small, &[], 3, &["24x16", "48x32"]);
    measure(&broken, &[], 3, &["broken.mkv"]);
    measure(&other("absent.mkv"), &[], 3, &["no such file"]);
    measure(&clips.same, &["--cuts", "10"], 2, &["--cuts", "no frame 10"]);
    measure(&clips.same, &["--cuts", "five"], 2, &["five"]);
    measure(&clips.same, &["--metrics", "beauty"], 2, &["beauty", "psnr"]);
    measure(&clips.same, &["--report", reference], 2, &["overwritten"]);
    measure(&clips.same, &["--embedding", text(&broken)], 4, &["broken", "not an ONNX model"]);
    measure(
        &clips.same,
        &["--embedding", text(&other("absent.onnx"))],
        4,
        &["absent.onnx", "does not exist"],
    );
    refused(&["measure", "--reference", text(&tiny), "--test", text(&tiny)], 3, &["ssim", "8x8"]);
    std::fs::write(&clips.out, "mine").unwrap();
    measure(&clips.same, &["--report", out], 2, &["exists already"]);
    assert_eq!(std::fs::read_to_string(&clips.out).unwrap(), "mine");
    measure(&clips.same, &["--report", "/nowhere/report.html"], 1, &["no such directory"]);
}

// ---------------------------------------------------------------- compare

/// Width and height in the header of a PNG.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn a_sheet_shows_both_at_full_size() {
    let clips = clips();
    let (a, b, sheet) = (text(&clips.noisy), text(&clips.reference), clips.out.with_extension("png"));
    let size = |frames: &[&str]| {
        done(&[&["compare", a, b, "-f", "-o", text(&sheet)], frames].concat());
        png_size(&std::fs::read(&sheet).unwrap())
    };
    let (width, three) = size(&[]);
    let (_, one) = size(&["--frames", "4"]);
    let (_, two) = size(&["--frames", "9,0"]);
    assert!((2 * WIDTH..3 * WIDTH).contains(&(width as usize)), "{width}");
    assert_eq!(three - two, two - one);
    assert!((two - one) as usize >= HEIGHT);
}

#[test]
fn the_smaller_one_is_enlarged_and_has_to_come_first() {
    let clips = clips();
    let small = clips.out.with_file_name("small.mkv");
    clip(&small, (WIDTH / 2, HEIGHT / 2, 10), |_, x, _| 4 * x as u8);
    for out in ["sheet.png", "page.html"] {
        let out = clips.out.with_file_name(out);
        refused(
            &["compare", text(&clips.reference), text(&small), "-o", text(&out)],
            3,
            &["smaller one first"],
        );
        assert!(!out.exists());
        done(&["compare", text(&small), text(&clips.reference), "-o", text(&out)]);
    }
    let (width, _) = png_size(&std::fs::read(clips.out.with_file_name("sheet.png")).unwrap());
    assert!(width as usize >= 2 * WIDTH);
    let plots = clips.out.with_file_name("plots.html");
    let inputs = ["compare", text(&small), text(&clips.same), "--reference", text(&clips.reference)];
    done(&[inputs.as_slice(), &["-o", text(&plots)]].concat());
    assert!(std::fs::read_to_string(plots).unwrap().contains("\"psnr\""));
}

#[test]
fn a_baseline_is_shown_between_and_measured_against() {
    let clips = clips();
    let small = clips.out.with_file_name("small.mkv");
    clip(&small, (WIDTH / 2, HEIGHT / 2, 10), |_, x, _| 4 * x as u8);
    let (sheet, out) = (clips.out.with_extension("png"), text(&clips.out));
    let inputs = ["compare", text(&small), text(&clips.same), "--baseline", text(&clips.flickering)];
    let width_of = |inputs: &[&str]| {
        done(&[inputs, &["-f", "-o", text(&sheet)]].concat());
        png_size(&std::fs::read(&sheet).unwrap()).0 as usize
    };
    assert!(width_of(&inputs) > width_of(&inputs[..3]) + WIDTH);
    done(&[&inputs[..], &["--reference", text(&clips.reference), "-o", out]].concat());
    let data = page(&clips.out);
    let sides = ["reference", "A", "per frame", "B"];
    assert_eq!(
        data["sides"].as_array().unwrap().iter().map(|side| &side["label"]).collect::<Vec<_>>(),
        sides
    );
    assert_eq!(data["left"], 2);
    let series = |metric: &Value| {
        let all = metric["series"].as_array().unwrap();
        all.iter().map(|series| series["label"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for metric in data["metrics"].as_array().unwrap() {
        let alone = ["sharpness-per-frame", "ghost"].contains(&metric["name"].as_str().unwrap());
        assert_eq!(series(metric), if alone { &["B"][..] } else { &["B", "per frame", "A"] }, "{metric}");
    }
    let ratio = |metric: &&Value| metric["name"] == "sharpness-per-frame";
    let found = data["metrics"].as_array().unwrap().iter().find(ratio).unwrap();
    close(&found["series"][0]["value"], 1.0, 0.02);
    // Without a ground truth, only shown.
    done(&[&inputs[..], &["-f", "-o", out]].concat());
    assert_eq!(page(&clips.out)["sides"].as_array().unwrap().len(), 3);
    refused(&[&inputs[..4], &["absent.mkv", "-f", "-o", out]].concat(), 3, &["no such file"]);
    refused(&[&inputs[..], &["-f", "-o", text(&clips.flickering)]].concat(), 2, &["overwritten"]);
}

#[test]
fn what_cannot_be_compared_is_refused_in_one_line() {
    let clips = clips();
    let (a, b) = (text(&clips.noisy), text(&clips.reference));
    refused(&["compare", a, b, "-o", "x.gif"], 2, &[".html or .png"]);
    refused(&["compare", a, b, "-o", "x.png", "--reference", b], 2, &[".html"]);
    refused(&["compare", a, b, "-o", "x.html", "--frames", "3,10"], 2, &["no frame 10"]);
    refused(&["compare", a, b, "-o", "x.html", "--cuts", "3"], 2, &["--reference"]);
    refused(&["compare", a, "absent.mkv", "-o", "x.png"], 3, &["no such file"]);
    assert!(!Path::new("x.html").exists() && !Path::new("x.png").exists());
}

// ---------------------------------------------------------------- pages

/// The data of a page, after a look at what is around it.
#[track_caller]
fn page(path: &Path) -> Value {
    let html = std::fs::read_to_string(path).unwrap();
    let start = html.find("<script id=\"data\" type=\"application/json\">").unwrap();
    let data = html[start..].split_once('>').unwrap().1.split_once("</script>").unwrap().0;
    let around = html.replace(data, "").replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "@import", "url(", "src=\""] {
        assert!(!around.contains(outside), "{outside}");
    }
    serde_json::from_str(data).unwrap()
}

#[test]
fn a_page_holds_all_that_it_shows() {
    let clips = clips();
    let (reference, noisy, out) = (text(&clips.reference), text(&clips.noisy), text(&clips.out));
    let arguments =
        ["compare", text(&clips.flickering), noisy, "--reference", reference, "--cuts", "5", "-o", out];
    done(&[arguments.as_slice(), &["--frames", "2,7"]].concat());
    let data = page(&clips.out);
    assert_eq!((&data["count"], &data["cuts"]), (&10.into(), &serde_json::json!([5])));
    assert_eq!(data["sides"].as_array().unwrap().len(), 3);
    let frames: Vec<_> = data["pairs"].as_array().unwrap().iter().map(|pair| pair["frame"].clone()).collect();
    assert!(frames.contains(&2.into()) && frames.contains(&7.into()), "{frames:?}");
    for metric in data["metrics"].as_array().unwrap() {
        assert!(metric["worst"].is_null() || frames.contains(&metric["worst"]), "{metric}");
        assert_eq!(metric["series"].as_array().unwrap().len(), 2);
    }
    for picture in
        data["pairs"].as_array().unwrap().iter().flat_map(|pair| pair["pictures"].as_array().unwrap())
    {
        assert!(picture.as_str().unwrap().starts_with("data:image/png;base64,iVBOR"));
    }
}

#[test]
fn names_of_files_do_not_end_the_script_of_a_page() {
    let clips = clips();
    let odd = clips.out.with_file_name("<!--<script>&amp;{{data}}.mkv");
    std::fs::copy(&clips.noisy, &odd).unwrap();
    done(&["compare", text(&odd), text(&clips.reference), "-o", text(&clips.out)]);
    let html = std::fs::read_to_string(&clips.out).unwrap();
    assert!(html.contains("<title>&lt;!--&lt;script&gt;&amp;amp;{{data}}.mkv and reference.mkv</title>"));
    assert_eq!((html.matches("<script").count(), html.matches("</script>").count()), (2, 2));
    assert!(page(&clips.out)["sides"][0]["file"].as_str().unwrap().starts_with("<!--<script>&amp;{{data}}"));
}

#[test]
fn a_page_draws_itself_in_a_browser_without_complaint() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    }) else {
        eprintln!("NOT TESTED: no chromium is installed, so no page was opened in a browser");
        return;
    };
    let clips = clips();
    let arguments = ["measure", "--reference", text(&clips.reference), "--test", text(&clips.noisy)];
    let more = ["--baseline", text(&clips.flickering), "--cuts", "5", "--report", text(&clips.out)];
    done(&[arguments.as_slice(), &more].concat());
    // Errors of the script become the title, where the dumped page shows them.
    let html = std::fs::read_to_string(&clips.out).unwrap();
    let listener = "<script>addEventListener('error', (event) => { document.title = 'FAILED ' + event.message; });</script>";
    std::fs::write(&clips.out, html.replacen("<script id=", &format!("{listener}<script id="), 1)).unwrap();
    let profile = folder();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--dump-dom",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=3000", "--window-size=900,1200"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", text(&clips.out)))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!shown.contains("<title>FAILED"), "{}", shown.split("</title>").next().unwrap());
    assert!(shown.contains("aria-pressed=\"true\""), "{said}");
    let plots = shown.matches("<svg").count();
    assert!(plots >= 5 && shown.matches("class=\"cut\"").count() == plots, "{plots}");
    assert!(shown.matches("<path").count() > plots, "both clips have a line");
}

// ---------------------------------------------------------------- faces

#[test]
fn identity_is_measured_where_there_are_faces_and_an_embedding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let clip = root.join("../shared/media/pairs/carphone.gt.mkv");
    if !clip.is_file() {
        return println!("{} is not there and was not measured", clip.display());
    }
    let network = root.join("models/tiny/embedding.onnx");
    let more = ["--metrics", "identity", "--embedding", text(&network)];
    let result = measured(&clip, &clip, &more);
    let identity = &result["metrics"]["identity"];
    assert!((identity["value"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{result}");
    // One talking head, in nearly every frame.
    assert!(identity["series"].as_array().unwrap().len() > 60, "{result}");
}
