//! The program from outside: files in, files out, exit codes and what is said.
//!
//! Every clip is made here. The network is the smallest there is, so that these
//! tests are about files and not about speed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tempfile::TempDir;

// ---------------------------------------------------------------- the program

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_facesr"));
    command.stdin(Stdio::null());
    command
}

/// `facesr enhance` with the tiny network that doubles.
fn enhance(input: &Path, output: &Path, options: &[&str]) -> Output {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let mut command = program();
    command.arg("enhance").arg(input).arg(output).args(["--model", model, "--execution-provider", "cpu"]);
    command.args(options).output().expect("the program starts")
}

/// The same, which must succeed; answers what was said.
#[track_caller]
fn enhanced(input: &Path, output: &Path, options: &[&str]) -> String {
    let done = enhance(input, output, options);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{}: {said}", input.display());
    assert_no_leftovers(output.parent().unwrap());
    said
}

/// A run that must fail with `code`, one line that has `words`, and no OUT.
#[track_caller]
fn refused(input: &Path, output: &Path, options: &[&str], code: i32, words: &[&str]) {
    let existed = output.exists();
    let done = enhance(input, output, options);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(done.stdout.is_empty(), "{}", String::from_utf8_lossy(&done.stdout));
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert_eq!(output.exists(), existed, "{said}");
    assert_no_leftovers(output.parent().unwrap());
}

#[track_caller]
fn assert_no_leftovers(folder: &Path) {
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(!name.ends_with(".part"), "{name} was left behind");
    }
}

fn folder() -> TempDir {
    gst::init().unwrap();
    tempfile::tempdir().unwrap()
}

// ---------------------------------------------------------------- making clips

/// Runs a pipeline description to its end.
#[track_caller]
fn launch(description: &str) {
    let pipeline = gst::parse::launch(description).unwrap_or_else(|err| panic!("{description}: {err}"));
    finish(&pipeline, description);
}

#[track_caller]
fn finish(pipeline: &gst::Element, what: &str) {
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &kinds);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => {}
        Some(gst::MessageView::Error(err)) => panic!("{what}: {} ({:?})", err.error(), err.debug()),
        _ => panic!("{what}: did not end"),
    }
}

const H264: &str = "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=10";
const SMALL: &str = "video/x-raw,width=64,height=48,framerate=25/1";

/// A second of video with a tone, `video` and `audio` being more elements.
fn clip(path: &Path, muxer: &str, video: &str, audio: &str) {
    launch(&format!(
        "videotestsrc num-buffers=25 ! {SMALL} ! {video} ! queue ! {muxer} name=mux ! filesink location={} \
         audiotestsrc num-buffers=43 samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=2 ! {audio} ! queue ! mux.",
        path.display()
    ));
}

fn mp4(path: &Path) {
    clip(path, "mp4mux", H264, "avenc_aac");
}

/// Says in the header of the first track that it is to be shown turned by 90
/// degrees to the right, as phones do.
fn turn(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = bytes.windows(4).position(|name| name == b"tkhd").unwrap();
    let matrix: [u32; 9] = [0, 0x1_0000, 0, 0xffff_0000, 0, 0, 48 << 16, 0, 0x4000_0000];
    for (number, value) in matrix.into_iter().enumerate() {
        let at = header + 44 + number * 4;
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

/// Frames with irregular times: 40 ms apart, but every fifth is 130 ms late.
const IRREGULAR: fn(u64) -> u64 = |frame| frame * 40 + (frame / 5) * 130;

/// A clip with irregular times.
fn irregular(path: &Path, muxer: &str, framerate: &str) {
    timed(path, muxer, framerate, 30, IRREGULAR);
}

/// A clip of as many frames with `times` of its own, in milliseconds.
fn timed(path: &Path, muxer: &str, framerate: &str, frames: u64, times: fn(u64) -> u64) {
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers={frames} ! {SMALL},format=I420 ! identity name=here \
         ! capssetter replace=false caps=video/x-raw,framerate={framerate} ! {H264} ! {muxer} ! filesink location={}",
        path.display()
    ))
    .unwrap();
    let here = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("here").unwrap();
    let frame = Mutex::new(0);
    here.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let mut frame = frame.lock().unwrap();
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
            let buffer = buffer.make_mut();
            buffer.set_pts(gst::ClockTime::from_mseconds(times(*frame)));
            buffer.set_duration(gst::ClockTime::from_mseconds(times(*frame + 1) - times(*frame)));
        }
        *frame += 1;
        gst::PadProbeReturn::Ok
    });
    finish(&pipeline, "irregular");
}

// ---------------------------------------------------------------- reading clips

/// A stream as a player sees it.
#[derive(Clone, Debug, Default)]
struct Seen {
    caps: String,
    /// Running times of what comes out, in nanoseconds, sorted.
    times: Vec<u64>,
    end: u64,
    texts: Vec<String>,
    tags: String,
}

impl Seen {
    fn field<'a, T: gst::glib::value::FromValue<'a>>(caps: &'a gst::Caps, name: &str) -> T {
        caps.structure(0).unwrap().get(name).unwrap()
    }

    fn caps(&self) -> gst::Caps {
        self.caps.parse().unwrap()
    }

    fn size(&self) -> (i32, i32) {
        let caps = self.caps();
        (Seen::field(&caps, "width"), Seen::field(&caps, "height"))
    }

    fn text(&self, name: &str) -> String {
        Seen::field(&self.caps(), name)
    }
}

#[derive(Debug, Default)]
struct File {
    streams: Vec<Seen>,
    duration: u64,
    chapters: Vec<String>,
}

impl File {
    fn of(&self, media: &str) -> Vec<&Seen> {
        self.streams.iter().filter(|stream| stream.caps.starts_with(media)).collect()
    }

    #[track_caller]
    fn video(&self) -> &Seen {
        self.of("video/").first().unwrap_or_else(|| panic!("no video in {self:?}"))
    }
}

/// What is in a file: coded (`parsebin`) or decoded (`decodebin`).
#[track_caller]
fn read(path: &Path, with: &str) -> File {
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("filesrc").property("location", path).build().unwrap();
    let demux = gst::ElementFactory::make(with).build().unwrap();
    pipeline.add_many([&source, &demux]).unwrap();
    source.link(&demux).unwrap();
    let seen: Arc<Mutex<Vec<(String, Seen)>>> = Arc::default();
    let shared = seen.clone();
    let weak = pipeline.downgrade();
    demux.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        let queue = gst::ElementFactory::make("queue")
            .property("max-size-buffers", 0u32)
            .property("max-size-bytes", 0u32)
            .property("max-size-time", 0u64)
            .build()
            .unwrap();
        let sink = gst::ElementFactory::make("fakesink").property("sync", false).property("async", false);
        let sink = sink.build().unwrap();
        pipeline.add_many([&queue, &sink]).unwrap();
        queue.link(&sink).unwrap();
        pad.link(&queue.static_pad("sink").unwrap()).unwrap();
        let id = pad.stream_id().unwrap().to_string();
        let shared = shared.clone();
        pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
            let mut all = shared.lock().unwrap();
            let number = all.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                all.push((id.clone(), Seen::default()));
                all.len() - 1
            });
            let stream = &mut all[number].1;
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    stream.caps = pad.current_caps().unwrap().to_string();
                    let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap();
                    let segment = segment.segment().downcast_ref::<gst::ClockTime>().unwrap().clone();
                    if let Some(time) = segment.to_running_time(buffer.pts()) {
                        stream.times.push(time.nseconds());
                        let end = time + buffer.duration().unwrap_or_default();
                        stream.end = stream.end.max(end.nseconds());
                    }
                    if stream.caps.starts_with("text/") {
                        stream
                            .texts
                            .push(String::from_utf8_lossy(&buffer.map_readable().unwrap()).into_owned());
                    }
                }
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Tag(tag) = event.view() {
                        stream.tags += &tag.tag().to_string();
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        queue.sync_state_with_parent().unwrap();
        sink.sync_state_with_parent().unwrap();
    });
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut file = File::default();
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_seconds(30)).expect("reading ends");
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(err) => panic!("{}: {} ({:?})", path.display(), err.error(), err.debug()),
            gst::MessageView::Toc(toc) => file.chapters = titles(&toc.toc().0.entries()),
            _ => {}
        }
    }
    file.duration = pipeline.query_duration::<gst::ClockTime>().map_or(0, |duration| duration.nseconds());
    pipeline.set_state(gst::State::Null).unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_by(|(one, _), (other, _)| one.cmp(other));
    file.streams = seen.into_iter().map(|(_, stream)| stream).collect();
    for stream in &mut file.streams {
        stream.times.sort_unstable();
    }
    file
}

fn titles(entries: &[gst::TocEntry]) -> Vec<String> {
    let mut all = Vec::new();
    for entry in entries {
        let title =
            entry.tags().and_then(|tags| tags.get::<gst::tags::Title>().map(|title| title.get().to_owned()));
        all.extend(title);
        all.extend(titles(&entry.sub_entries()));
    }
    all
}

/// The same frames at the same times, within `tolerance` nanoseconds, counted
/// from the first; sound as far from the picture as it was; the same end.
#[track_caller]
fn assert_same_times(input: &Path, output: &Path, tolerance: u64) {
    let (before, after) = (read(input, "decodebin"), read(output, "decodebin"));
    let (old, new) = (&before.video().times, &after.video().times);
    let shown = output.display();
    assert_eq!(old.len(), new.len(), "{shown}: frames");
    for (frame, (old_time, new_time)) in old.iter().zip(new).enumerate() {
        let (old_time, new_time) = (old_time - old[0], new_time - new[0]);
        assert!(
            old_time.abs_diff(new_time) <= tolerance,
            "{shown}: frame {frame}: {old_time} became {new_time}"
        );
    }
    let length = |file: &File| file.video().end - file.video().times[0];
    let slack = tolerance + 1_000_000;
    // Some readers give the last frame a nanosecond, or nothing.
    if length(&before) > old[old.len() - 1] - old[0] + 1000 {
        let (old_length, new_length) = (length(&before), length(&after));
        assert!(old_length.abs_diff(new_length) <= slack, "{shown}: length {old_length} became {new_length}");
    }
    let (coded_before, coded_after) = (read(input, "parsebin"), read(output, "parsebin"));
    let (old_sound, new_sound) = (coded_before.of("audio/"), coded_after.of("audio/"));
    assert_eq!(old_sound.len(), new_sound.len(), "{shown}: sound");
    for (old_sound, new_sound) in old_sound.iter().zip(&new_sound) {
        if old_sound.caps.split(',').next() != new_sound.caps.split(',').next() {
            continue;
        }
        assert_eq!(old_sound.times.len(), new_sound.times.len(), "{shown}: packets of sound");
        let offset = |sound: &Seen, video: &[u64]| sound.times[0] as i64 - video[0] as i64;
        let (old_offset, new_offset) = (offset(old_sound, old), offset(new_sound, new));
        let moved = old_offset.abs_diff(new_offset);
        assert!(moved <= slack, "{shown}: sound moved by {moved} ns from {old_offset}");
    }
}

/// A tick of the finest MP4 time scale, and Matroska's millisecond.
const TICK: u64 = 1_000_000_000 / 90_000 + 1;
const MILLISECOND: u64 = 1_000_000;

// ---------------------------------------------------------------- films

#[test]
fn a_film_is_doubled_and_keeps_its_sound_and_every_frame_time() {
    let folder = folder();
    let input = folder.path().join("in.mp4");
    mp4(&input);
    for (out, tolerance) in [("a.mp4", TICK), ("a.m4v", TICK), ("a.mov", TICK), ("a.mkv", MILLISECOND)] {
        let output = folder.path().join(out);
        let said = enhanced(&input, &output, &[]);
        assert!(said.contains("25 frames") && said.contains("nearest-x2"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let file = read(&output, "decodebin");
        assert_eq!(file.video().size(), (128, 96));
        assert!(read(&output, "parsebin").of("audio/mpeg").len() == 1, "sound is not copied into {out}");
        assert_same_times(&input, &output, tolerance);
    }
}

#[test]
fn sound_that_webm_cannot_hold_is_encoded_anew_and_said() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.webm"));
    mp4(&input);
    let said = enhanced(&input, &output, &[]);
    assert!(said.contains("encoded anew as Opus"), "{said}");
    assert_eq!(read(&output, "parsebin").of("audio/x-opus").len(), 1);
    assert_same_times(&input, &output, MILLISECOND);
}

#[test]
fn irregular_frame_times_survive_every_container() {
    let folder = folder();
    for (muxer, framerate) in [("mp4mux", "25/1"), ("matroskamux", "0/1"), ("mp4mux", "0/1")] {
        let input = folder.path().join(format!("in.{muxer}"));
        irregular(&input, muxer, framerate);
        for (out, tolerance) in [("a.mp4", TICK), ("a.mkv", MILLISECOND), ("a.webm", MILLISECOND)] {
            let output = folder.path().join(out);
            enhanced(&input, &output, &["--overwrite"]);
            assert_same_times(&input, &output, tolerance);
        }
        let output = folder.path().join("lossless.mkv");
        enhanced(&input, &output, &["--overwrite", "--lossless"]);
        assert_same_times(&input, &output, MILLISECOND);
    }
}

#[test]
fn a_pause_does_not_make_a_film_longer() {
    let folder = folder();
    let input = folder.path().join("in.mkv");
    // The frame before the last three is shown for twenty seconds.
    timed(&input, "matroskamux", "0/1", 30, |frame| frame * 40 + if frame < 27 { 0 } else { 20_000 });
    let end = 21_160 * MILLISECOND;
    let of = |path: &Path| read(path, "parsebin").duration;
    assert!(of(&input).abs_diff(end) < 100 * MILLISECOND, "the clip lasts {}", of(&input));
    for out in ["out.mkv", "out.webm", "out.mp4"] {
        let output = folder.path().join(out);
        enhanced(&input, &output, &[]);
        assert!(of(&output).abs_diff(end) < 100 * MILLISECOND, "{out}: {}", of(&output));
        assert_same_times(&input, &output, MILLISECOND);
    }
}

#[test]
fn sound_that_starts_late_or_early_stays_in_step() {
    let folder = folder();
    for (video_start, audio_start) in [(0, 300), (300, 0), (500, 700)] {
        let input = folder.path().join("in.mkv");
        launch(&format!(
            "videotestsrc num-buffers=25 timestamp-offset={video_start}000000 ! {SMALL} ! {H264} ! queue \
             ! matroskamux name=mux ! filesink location={} \
             audiotestsrc num-buffers=43 samplesperbuffer=1024 timestamp-offset={audio_start}000000 \
             ! audio/x-raw,rate=44100 ! avenc_aac ! queue ! mux.",
            input.display()
        ));
        for out in ["a.mp4", "a.mkv"] {
            let output = folder.path().join(out);
            enhanced(&input, &output, &["--overwrite"]);
            assert_same_times(&input, &output, MILLISECOND);
            // And once more, now from edit lists.
            let again = folder.path().join(format!("again.{out}"));
            enhanced(&output, &again, &["--overwrite"]);
            assert_same_times(&input, &again, 2 * MILLISECOND);
        }
    }
}

#[test]
fn every_sound_and_subtitle_track_goes_along_with_its_language() {
    let folder = folder();
    let subtitles = folder.path().join("in.srt");
    let text =
        "1\n00:00:00,100 --> 00:00:00,400\n<i>Tom &amp; Ann</i>\n\n2\n00:00:00,500 --> 00:00:00,900\nbye\n\n";
    std::fs::write(&subtitles, text).unwrap();
    let input = folder.path().join("in.mkv");
    launch(&format!(
        "videotestsrc num-buffers=25 ! {SMALL} ! {H264} ! queue ! matroskamux name=mux ! filesink location={} \
         audiotestsrc num-buffers=43 ! taginject tags=\"language-code=(string)de\" ! avenc_aac ! queue ! mux. \
         audiotestsrc num-buffers=43 ! taginject tags=\"language-code=(string)fr\" ! avenc_aac ! queue ! mux. \
         filesrc location={} ! subparse ! text/x-raw,format=pango-markup ! capssetter replace=true caps=text/x-raw,format=utf8 ! queue ! mux.",
        input.display(),
        subtitles.display()
    ));
    for (out, first) in [("a.mkv", "<i>Tom"), ("a.mp4", "Tom & Ann"), ("a.mov", "Tom & Ann")] {
        let output = folder.path().join(out);
        let said = enhanced(&input, &output, &[]);
        assert_eq!(said.lines().count(), 1, "{said}");
        let file = read(&output, "parsebin");
        let sound = file.of("audio/mpeg");
        assert_eq!(sound.len(), 2, "{out}");
        assert!(sound[0].tags.contains("de") && sound[1].tags.contains("fr"), "{out}: {sound:?}");
        let texts = &file.of("text/")[0].texts;
        // Readers escape plain text.
        assert!(texts[0].replace("&amp;", "&").contains(first), "{out}: {texts:?}");
        assert!(texts.iter().any(|text| text.contains("bye")), "{out}: {texts:?}");
    }
}

fn holds(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|found| found == words.as_bytes())
}

#[test]
fn subtitles_with_styles_keep_them_where_they_can_and_their_words_elsewhere() {
    let folder = folder();
    let input = folder.path().join("in.mkv");
    let styles = "[Script Info]\n[V4+ Styles]\nStyle: Loud,Sans,48\n";
    let text = "0,0,Loud,,0,0,0,,{\\i1}Well, yes{\\i0}\\Nno";
    let header: String = styles.bytes().map(|byte| format!("{byte:02x}")).collect();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=25 ! {SMALL} ! {H264} ! queue ! matroskamux name=mux ! filesink location={} \
         appsrc name=here format=time caps=\"application/x-ass,codec_data=(buffer){header}\" ! queue ! mux.subtitle_%u",
        input.display()
    ))
    .unwrap();
    let here = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("here").unwrap();
    let here = here.downcast::<gst_app::AppSrc>().unwrap();
    let mut line = gst::Buffer::from_slice(text);
    let times = line.get_mut().unwrap();
    times.set_pts(gst::ClockTime::from_mseconds(200));
    times.set_duration(gst::ClockTime::from_mseconds(400));
    pipeline.set_state(gst::State::Paused).unwrap();
    here.push_buffer(line).unwrap();
    here.end_of_stream().unwrap();
    finish(&pipeline, "styles");
    let output = folder.path().join("out.mkv");
    let said = enhanced(&input, &output, &[]);
    assert_eq!(said.lines().count(), 1, "{said}");
    let bytes = std::fs::read(&output).unwrap();
    assert!(holds(&bytes, "S_TEXT/ASS") && holds(&bytes, styles) && holds(&bytes, &text[2..]));
    let output = folder.path().join("out.mp4");
    let said = enhanced(&input, &output, &[]);
    assert!(said.contains("loses its styles"), "{said}");
    assert_eq!(read(&output, "parsebin").of("text/")[0].texts[0], "Well, yes\nno");
}

#[test]
fn titles_and_chapters_go_along() {
    let folder = folder();
    let input = folder.path().join("in.mkv");
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=25 ! {SMALL} ! taginject tags=\"title=(string)Reel,artist=(string)Nobody\" \
         ! {H264} ! matroskamux name=mux ! filesink location={}",
        input.display()
    ))
    .unwrap();
    let mut toc = gst::Toc::new(gst::TocScope::Global);
    let mut edition = gst::TocEntry::new(gst::TocEntryType::Edition, "1");
    for (number, title) in ["One", "Two"].into_iter().enumerate() {
        let mut chapter = gst::TocEntry::new(gst::TocEntryType::Chapter, &format!("{}", 10 + number));
        let chapter_ref = chapter.get_mut().unwrap();
        chapter_ref.set_start_stop_times(number as i64 * 500_000_000, (number as i64 + 1) * 500_000_000);
        let mut tags = gst::TagList::new();
        tags.get_mut().unwrap().add::<gst::tags::Title>(&title, gst::TagMergeMode::Append);
        chapter_ref.set_tags(tags);
        edition.get_mut().unwrap().append_sub_entry(chapter);
    }
    toc.get_mut().unwrap().append_entry(edition);
    let mux = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("mux").unwrap();
    mux.dynamic_cast_ref::<gst::TocSetter>().unwrap().set_toc(Some(&toc));
    finish(&pipeline, "chapters");
    assert_eq!(read(&input, "parsebin").chapters, ["One", "Two"], "the clip has chapters");
    for (out, has_chapters) in [("a.mkv", true), ("a.mp4", false)] {
        let output = folder.path().join(out);
        let said = enhanced(&input, &output, &[]);
        let file = read(&output, "parsebin");
        let tags = &file.video().tags;
        assert!(tags.contains("Reel") && tags.contains("Nobody"), "{out}: {tags}");
        assert_eq!(file.chapters.is_empty(), !has_chapters, "{out}");
        assert_eq!(said.contains("chapters are dropped"), !has_chapters, "{said}");
    }
}

#[test]
fn ten_bits_stay_ten_bits() {
    let folder = folder();
    let input = folder.path().join("in.mkv");
    launch(&format!(
        "videotestsrc num-buffers=5 ! {SMALL},format=I420_10LE ! {H264} ! matroskamux ! filesink location={}",
        input.display()
    ));
    for (out, options) in [("a.mp4", &[][..]), ("a.mkv", &[]), ("a.webm", &[]), ("b.mkv", &["--lossless"])] {
        let output = folder.path().join(out);
        enhanced(&input, &output, options);
        assert_eq!(read(&output, "decodebin").video().text("format"), "I420_10LE", "{out}");
    }
}

#[test]
fn pixel_shape_colours_and_odd_sizes_are_kept() {
    let folder = folder();
    let input = folder.path().join("in.mkv");
    for colorimetry in ["bt601", "bt709", "bt2020", "1:4:5:1"] {
        launch(&format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=63,height=47,framerate=30000/1001,\
             pixel-aspect-ratio=16/15,colorimetry=(string){colorimetry} ! avenc_ffv1 ! matroskamux ! filesink location={}",
            input.display()
        ));
        let before = read(&input, "decodebin");
        let shape = Seen::field::<gst::Fraction>(&before.video().caps(), "pixel-aspect-ratio");
        let expected = before.video().text("colorimetry");
        assert_eq!(expected, colorimetry, "the clip has these colours");
        for out in ["a.mp4", "a.mkv", "a.webm"] {
            let output = folder.path().join(out);
            enhanced(&input, &output, &["--overwrite"]);
            let file = read(&output, "decodebin");
            assert_eq!(file.video().size(), (126, 94), "{out}");
            if out != "a.mp4" || !colorimetry.starts_with("1:") {
                assert_eq!(file.video().text("colorimetry"), expected, "{out}");
            }
            let caps = file.video().caps();
            assert_eq!(Seen::field::<gst::Fraction>(&caps, "pixel-aspect-ratio"), shape, "{out}");
        }
    }
    // The reader of MP4 overlooks the flag of full range in the header; the video
    // has it, and the program believes the video.
    let again = folder.path().join("again.mkv");
    enhanced(&folder.path().join("a.mp4"), &again, &[]);
    assert_eq!(read(&again, "decodebin").video().text("colorimetry"), "1:4:5:1");
    // Three times an odd size is odd, which H.264 cannot code.
    let triple = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x3.onnx");
    for (out, size) in [("b.mp4", (188, 140)), ("b.webm", (189, 141))] {
        let output = folder.path().join(out);
        let done =
            program().arg("enhance").arg(&input).arg(&output).args(["--model", triple]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(read(&output, "decodebin").video().size(), size, "{out}");
    }
}

#[test]
fn a_film_from_a_turned_phone_comes_out_upright_and_only_once() {
    let folder = folder();
    let input = folder.path().join("in.mp4");
    mp4(&input);
    turn(&input);
    assert!(read(&input, "decodebin").video().tags.contains("rotate-90"), "the clip is turned");
    for out in ["a.mp4", "a.mov", "a.mkv"] {
        let output = folder.path().join(out);
        enhanced(&input, &output, &[]);
        let file = read(&output, "decodebin");
        assert_eq!(file.video().size(), (96, 128), "{out}");
        assert!(!file.video().tags.contains("rotate-90"), "{out}: {}", file.video().tags);
    }
}

#[test]
fn lossless_is_exact_and_only_for_matroska() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mkv"));
    // In grey, or the finer colour of the enlarged picture changes its luma.
    launch(&format!(
        "videotestsrc num-buffers=5 pattern=ball ! {SMALL},format=I420 ! {H264} ! mp4mux ! filesink location={}",
        input.display()
    ));
    enhanced(&input, &output, &["--lossless"]);
    assert_eq!(read(&output, "parsebin").of("video/x-ffv").len(), 1);
    let raw = |from: &Path, more: &str, to: &Path| {
        let to = to.display();
        launch(&format!("filesrc location={} ! decodebin ! {more} ! filesink location={to}", from.display()));
        std::fs::read(to.to_string()).unwrap()
    };
    let twice = raw(&output, "videoconvert ! video/x-raw,format=I420", &folder.path().join("a.raw"));
    let once = raw(&input, "videoconvert ! video/x-raw,format=I420", &folder.path().join("b.raw"));
    // Every luma sample of the first frame is there four times, in a square.
    let sharp = (0..48).all(|y| {
        (0..64).all(|x| {
            let left = twice[2 * y * 128 + 2 * x];
            let close = left.abs_diff(once[y * 64 + x]) <= 1;
            close && [1, 128, 129].iter().all(|step| twice[2 * y * 128 + 2 * x + step] == left)
        })
    });
    assert!(sharp);
    refused(&input, &folder.path().join("out.mp4"), &["--lossless"], 2, &["--lossless", ".mkv"]);
}

#[test]
fn another_encoder_can_be_asked_for() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mkv"));
    mp4(&input);
    enhanced(&input, &output, &["--encoder", "x265enc speed-preset=ultrafast"]);
    assert_eq!(read(&output, "parsebin").of("video/x-h265").len(), 1);
    let other = folder.path().join("other.mkv");
    refused(&input, &other, &["--encoder", "no_such_encoder"], 2, &["no_such_encoder"]);
    refused(&input, &other, &["--encoder", "x264enc nonsense=1"], 2, &["nonsense"]);
    // No encoder at all, and one of another container's.
    let other = folder.path().join("other.mp4");
    let raw = folder.path().join("in.y4m");
    std::fs::write(&raw, raw_stream("C420jpeg", 33 * 17 + 2 * 17 * 9, false, 5)).unwrap();
    for encoder in ["identity", "theoraenc"] {
        for input in [&input, &raw] {
            refused(input, &other, &["--encoder", encoder], 2, &["--encoder", encoder, ".mp4 cannot hold"]);
        }
    }
}

#[test]
fn a_still_picture_becomes_a_still_picture() {
    let folder = folder();
    for (name, encoder) in [("in.png", "pngenc"), ("in.jpg", "jpegenc")] {
        let input = folder.path().join(name);
        launch(&format!(
            "videotestsrc num-buffers=1 ! video/x-raw,width=33,height=25 ! {encoder} ! filesink location={}",
            input.display()
        ));
        for out in ["a.png", "a.jpg", "a.jpeg"] {
            let output = folder.path().join(out);
            let said = enhanced(&input, &output, &["--overwrite"]);
            assert!(said.contains("1 frame in"), "{said}");
            assert_eq!(read(&output, "decodebin").video().size(), (66, 50), "{name} to {out}");
        }
        refused(&input, &folder.path().join("a.mp4"), &[], 2, &["still picture", ".png"]);
    }
    let film = folder.path().join("film.mp4");
    mp4(&film);
    refused(&film, &folder.path().join("b.png"), &[], 2, &["is a video", ".mp4"]);
}

/// A PNG file of 8x4 pixels alike, without compression. The kinds are 0 grey, 2 colours, 4 and 6 with alpha.
fn deep_png(path: &Path, kind: u8, pixel: &[u16]) {
    let mut data = Vec::new();
    for _ in 0..4 {
        data.push(0);
        data.extend((0..8).flat_map(|_| pixel.iter().flat_map(|sample| sample.to_be_bytes())));
    }
    let sums = data.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (a + b) % 65521)
    });
    let length = data.len() as u16;
    let mut packed = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    packed.extend(data);
    packed.extend((sums.1 << 16 | sums.0).to_be_bytes());
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in
        [(b"IHDR", vec![0, 0, 0, 8, 0, 0, 0, 4, 16, kind, 0, 0, 0]), (b"IDAT", packed), (b"IEND", vec![])]
    {
        let sum = name.iter().chain(&data).fold(!0u32, |sum, byte| {
            (0..8)
                .fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
        });
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(data);
        file.extend((!sum).to_be_bytes());
    }
    std::fs::write(path, file).unwrap();
}

#[test]
fn a_picture_of_sixteen_bits_is_kept_noted_or_refused() {
    let folder = folder();
    let input = folder.path().join("in.png");
    let path = |out: &str| folder.path().join(out);
    let options = ["--overwrite", "--face-mode", "off"];
    deep_png(&input, 2, &[0x1122, 0x5566, 0x99aa]);
    refused(&input, &path("a.png"), &options, 3, &["16 bits", "8 bits", "ffmpeg"]);
    deep_png(&input, 0, &[0x1122]);
    assert!(!enhanced(&input, &path("a.png"), &options).contains("note"));
    assert_eq!(read(&path("a.png"), "decodebin").video().text("format"), "GRAY16_BE");
    assert!(enhanced(&input, &path("a.jpg"), &options).contains("16 bits a sample: .jpg is written with 8"));
    for (kind, pixel) in [(4, &[0x1122, 0xffff][..]), (6, &[0x1122, 0x5566, 0x99aa, 0xffff])] {
        deep_png(&input, kind, pixel);
        let said = enhanced(&input, &path("a.png"), &options);
        assert!(said.contains("16 bits a sample: .png is written with 8"), "{said}");
        assert!(said.contains("reads the alpha"), "{said}");
    }
}

/// A JPEG file of 48x32 whose quarters have these greys, with this orientation in its Exif data.
fn photograph(path: &Path, quarters: [u8; 4], orientation: u8) {
    let raw = path.with_extension("raw");
    let grey = |x: usize, y: usize| quarters[2 * (y / 16) + x / 24];
    let pixels: Vec<u8> =
        (0..32).flat_map(|y| (0..48).map(move |x| (x, y))).map(|(x, y)| grey(x, y)).collect();
    std::fs::write(&raw, pixels).unwrap();
    launch(&format!(
        "filesrc location={} blocksize=1536 ! rawvideoparse format=gray8 width=48 height=32 ! jpegenc quality=100 \
         ! filesink location={}",
        raw.display(),
        path.display()
    ));
    let mut bytes = std::fs::read(path).unwrap();
    let mut exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    bytes.splice(2..2, exif);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_photograph_comes_out_upright_whichever_way_it_was_taken() {
    let folder = folder();
    let (input, raw) = (folder.path().join("in.jpg"), folder.path().join("out.raw"));
    let [a, b, c, d] = [30, 90, 150, 220];
    for (orientation, upright) in [
        (0, [a, b, c, d]),
        (1, [a, b, c, d]),
        (2, [b, a, d, c]),
        (3, [d, c, b, a]),
        (4, [c, d, a, b]),
        (5, [a, c, b, d]),
        (6, [c, a, d, b]),
        (7, [d, b, c, a]),
        (8, [b, d, a, c]),
        (9, [a, b, c, d]),
    ] {
        photograph(&input, [a, b, c, d], orientation);
        for out in ["out.png", "out.jpg"] {
            let output = folder.path().join(out);
            enhanced(&input, &output, &["--overwrite", "--face-mode", "off"]);
            let (width, height) = read(&output, "decodebin").video().size();
            let is_turned = (5..=8).contains(&orientation);
            assert_eq!(
                (width, height),
                if is_turned { (64, 96) } else { (96, 64) },
                "{orientation} to {out}"
            );
            launch(&format!(
                "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=RGBA ! filesink location={}",
                output.display(),
                raw.display()
            ));
            let pixels = std::fs::read(&raw).unwrap();
            let (width, height) = (width as usize, height as usize);
            for (quarter, grey) in upright.into_iter().enumerate() {
                let (x, y) = (width / 4 + quarter % 2 * width / 2, height / 4 + quarter / 2 * height / 2);
                let found = pixels[4 * (y * width + x)];
                assert!(
                    found.abs_diff(grey) <= 6,
                    "{orientation} to {out}: {found}, not {grey} in {quarter}"
                );
            }
        }
    }
}

#[test]
fn a_film_that_changes_its_size_is_fitted_to_its_first_frame() {
    let folder = folder();
    let mut joined = Vec::new();
    for (number, size) in [(0, "width=64,height=48"), (1, "width=48,height=64")] {
        let part = folder.path().join(format!("{number}.ts"));
        launch(&format!(
            "videotestsrc num-buffers=20 timestamp-offset={} ! video/x-raw,{size},framerate=25/1 \
             ! x264enc bframes=0 speed-preset=ultrafast ! mpegtsmux ! filesink location={}",
            number * 800_000_000_u64,
            part.display()
        ));
        joined.extend(std::fs::read(part).unwrap());
    }
    let input = folder.path().join("in.ts");
    std::fs::write(&input, joined).unwrap();
    for (out, options) in
        [("out.mkv", &[][..]), ("out.mp4", &["--scale", "3"]), ("lossless.mkv", &["--lossless"])]
    {
        let output = folder.path().join(out);
        enhanced(&input, &output, options);
        let file = read(&output, "decodebin");
        assert_eq!(file.video().times.len(), 40, "{out}");
        let scale = if options.contains(&"3") { 3 } else { 2 };
        assert_eq!(file.video().size(), (64 * scale, 48 * scale), "{out}");
    }
}

#[test]
fn interlaced_film_is_refused_until_deinterlaced() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    launch(&format!(
        "videotestsrc num-buffers=50 ! video/x-raw,width=64,height=48,framerate=50/1 ! interlace field-pattern=1:1 \
         ! x264enc interlaced=true speed-preset=ultrafast ! matroskamux ! filesink location={}",
        input.display()
    ));
    let frames = read(&input, "decodebin").video().times.len();
    refused(&input, &output, &[], 3, &["interlaced", "--deinterlace"]);
    enhanced(&input, &output, &["--deinterlace"]);
    let file = read(&output, "decodebin");
    assert_eq!(file.video().times.len(), frames);
    assert_eq!(file.video().text("interlace-mode"), "progressive");
    enhanced(&input, &output, &["--deinterlace=fields", "--overwrite"]);
    assert!(read(&output, "decodebin").video().times.len().abs_diff(2 * frames) <= 2);
    // And as raw pictures.
    let raw = folder.path().join("out.y4m");
    for (option, rate, count) in
        [("--deinterlace", "F25:1", frames), ("--deinterlace=fields", "F50:1", 2 * frames)]
    {
        enhanced(&input, &raw, &[option, "--overwrite"]);
        let bytes = std::fs::read(&raw).unwrap();
        let header = bytes.split(|byte| *byte == b'\n').next().unwrap();
        assert!(String::from_utf8_lossy(header).split(' ').any(|word| word == rate), "{option}: {header:?}");
        let found = bytes.windows(6).filter(|word| word == b"FRAME\n").count();
        assert!(found.abs_diff(count) <= 2, "{option}: {found} frames");
    }
}

// ---------------------------------------------------------------- accounts

/// `facesr enhance` with pipes on both sides.
fn piped(given: &[u8], input: &str, output: &str, options: &[&str]) -> Output {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let mut command = program();
    command.args(["enhance", input, output, "--model", model, "--execution-provider", "cpu"]).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("the program starts");
    let mut stdin = running.stdin.take().unwrap();
    let given = given.to_vec();
    // Whoever refuses IN does not read it.
    let feeder = std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, &given)));
    let done = running.wait_with_output().unwrap();
    feeder.join().unwrap();
    done
}

/// Frames of 33x17 in a raw stream, each of one value, as wide samples where `wide`.
fn raw_stream(words: &str, samples: usize, wide: bool, frames: u16) -> Vec<u8> {
    let mut stream = format!("YUV4MPEG2 W33 H17 F30000:1001 A4:3 {words}\n").into_bytes();
    for frame in 0..frames {
        stream.extend(b"FRAME\n");
        let value = 110 + 10 * (frame % 5);
        let sample = if wide { (4 * value).to_le_bytes().to_vec() } else { vec![value as u8] };
        stream.extend(sample.iter().cycle().take(samples * sample.len()));
    }
    stream
}

#[test]
fn raw_pictures_go_through_pipes_in_every_format_with_rate_shape_and_range() {
    let full = 33 * 17;
    let (half, quarter) = (17 * 17, 17 * 9);
    let large = 66 * 34;
    for (words, samples, larger, wide, tag) in [
        ("C420jpeg", full + 2 * quarter, large + 2 * 33 * 17, false, "C420jpeg"),
        ("C420mpeg2 XYSCSS=420MPEG2", full + 2 * quarter, large + 2 * 33 * 17, false, "C420mpeg2"),
        ("C422 XCOLORRANGE=FULL", full + 2 * half, large + 2 * 33 * 34, false, "C422"),
        ("C444", 3 * full, 3 * large, false, "C444"),
        ("C420p10 XYSCSS=420P10", full + 2 * quarter, large + 2 * 33 * 17, true, "C420p10"),
        ("C422p10", full + 2 * half, large + 2 * 33 * 34, true, "C422p10"),
        ("C444p10 XCOLORRANGE=FULL", 3 * full, 3 * large, true, "C444p10"),
        ("Cmono XCOLORRANGE=FULL", full, large, false, "Cmono"),
    ] {
        let done = piped(&raw_stream(words, samples, wide, 5), "-", "-", &["--temporal-mode", "off"]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{words}: {said}");
        assert!(said.contains("standard output: 5 frames"), "{words}: {said}");
        let end = done.stdout.iter().position(|&byte| byte == b'\n').unwrap();
        let header = String::from_utf8_lossy(&done.stdout[..end]).into_owned();
        let range = if words.contains("FULL") { "XCOLORRANGE=FULL" } else { "XCOLORRANGE=LIMITED" };
        for word in ["YUV4MPEG2", "W66", "H34", "F30000:1001", "A4:3", range, tag] {
            assert!(header.split(' ').any(|found| found == word), "{words}: no {word} in {header}");
        }
        let frame = 6 + larger * if wide { 2 } else { 1 };
        assert_eq!(done.stdout.len() - end - 1, 5 * frame, "{words}");
        for (number, frame) in done.stdout[end + 1..].chunks(frame).enumerate() {
            assert_eq!(&frame[..6], b"FRAME\n", "{words}");
            let value = 110 + 10 * number as i32;
            let (found, wanted) = if wide {
                (i32::from(u16::from_le_bytes([frame[6], frame[7]])), 4 * value)
            } else {
                (i32::from(frame[6]), value)
            };
            assert!((found - wanted).abs() <= 1, "{words}: {found} instead of {wanted} in frame {number}");
        }
    }
}

#[test]
fn films_go_out_through_a_pipe_and_come_in_through_one() {
    let folder = folder();
    let (film, doubled, raw) =
        (folder.path().join("in.mp4"), folder.path().join("out.mkv"), folder.path().join("out.y4m"));
    mp4(&film);
    let out = piped(b"", film.to_str().unwrap(), "-", &[]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains("dropped: y4m holds the picture alone"), "{said}");
    assert!(
        out.stdout.starts_with(b"YUV4MPEG2 W128 H96 F25:1 XCOLORRANGE=LIMITED C444p10\n"),
        "{:?}",
        &out.stdout[..64]
    );
    // The same in a file, byte for byte.
    enhanced(&film, &raw, &["--lossless"]);
    assert!(std::fs::read(&raw).unwrap() == out.stdout, "the file is another one");
    // And in again, from either.
    let back = piped(&out.stdout, "-", doubled.to_str().unwrap(), &[]);
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    let from_pipe = read(&doubled, "decodebin");
    enhanced(&raw, &doubled, &["--overwrite"]);
    for found in [from_pipe, read(&doubled, "decodebin")] {
        assert_eq!((found.video().size(), found.video().times.len()), ((256, 192), 25));
    }
}

#[test]
fn pipes_that_hold_something_else_are_refused_in_one_line() {
    let folder = folder();
    let out = folder.path().join("out.mkv");
    let out = out.to_str().unwrap();
    for (given, output, options, code, words) in [
        (&b""[..], out, &[][..], 3, "is empty"),
        (b"\0\0\0 ftypisom", out, &[], 3, "ffmpeg -i FILE"),
        (b"YUV4MPEG2 W8 H8 F25:1 C420p16\n", "-", &[], 3, "12 bits"),
        (b"YUV4MPEG2 W8 H8 F25:1 It Cmono\nFRAME\n", "-", &[], 3, "--deinterlace"),
        (b"YUV4MPEG2 W8 H8 F25:1 Cmono\n", "-", &[], 3, "no frame"),
        (b"YUV4MPEG2 W8 H8 F25:1 Cmono\n", "-", &["--progress", "json"], 2, "--stats"),
        (b"YUV4MPEG2 W8 H8 F25:1 Cmono\n", "-", &["--encoder", "x264enc"], 2, ".mkv"),
        (b"YUV4MPEG2 W8 H8 F25:1 Cmono\n", "out.png", &[], 2, "is a video"),
    ] {
        let done = piped(given, "-", output, options);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), said.lines().count()), (Some(code), 1), "{said}");
        assert!(said.contains(words), "no `{words}` in: {said}");
        assert!(done.stdout.is_empty(), "{said}");
    }
    assert_no_leftovers(folder.path());
}

#[test]
fn a_pipe_that_breaks_off_keeps_what_came_before() {
    let folder = folder();
    let out = folder.path().join("out.mkv");
    let mut given = raw_stream("Cmono", 33 * 17, false, 5);
    given.truncate(given.len() - 100);
    let done = piped(&given, "-", out.to_str().unwrap(), &[]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("ends within frame 4") && said.contains("is kept: 4 frames"), "{said}");
    assert_eq!(read(&out, "decodebin").video().times.len(), 4);
}

#[test]
fn a_reader_that_goes_ends_the_work_in_one_line() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let folder = folder();
    let given = folder.path().join("in.y4m");
    std::fs::write(&given, raw_stream("C444", 3 * 33 * 17, false, 15)).unwrap();
    let mut command = program();
    command.arg("enhance").arg(&given).args(["-", "--scale", "8", "--model", model]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(running.stdout.take());
    let done = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!((done.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("nobody reads it any more"), "{said}");
}

#[test]
fn times_that_a_raw_stream_cannot_hold_are_warned_of() {
    let folder = folder();
    let (film, raw) = (folder.path().join("in.mkv"), folder.path().join("out.y4m"));
    irregular(&film, "matroskamux", "25/1");
    let said = enhanced(&film, &raw, &[]);
    assert_eq!(said.matches("do not fit it").count(), 1, "{said}");
    mp4(&film);
    assert!(!enhanced(&film, &raw, &["--overwrite"]).contains("do not fit"));
}

#[test]
fn statistics_and_json_lines_tell_what_ran() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
    mp4(&input);
    let stats = folder.path().join("stats.json");
    let done = enhance(&input, &output, &["--progress", "json", "--stats", stats.to_str().unwrap()]);
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&done.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.first().unwrap()["event"], "start");
    // From the length of the whole film, whose sound may be a little longer.
    assert!((25..28).contains(&lines.first().unwrap()["frames_expected"].as_u64().unwrap()));
    assert_eq!(lines.last().unwrap()["event"], "done");
    let stats: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
    for account in [&stats, lines.last().unwrap()] {
        assert_eq!(account["frames"], 25);
        assert!(account["fps"].as_f64().unwrap() > 0.0);
        assert!(account["provider"].as_str().unwrap().to_lowercase().contains("cpu"), "{account}");
        assert!(account["models"][0].as_str().unwrap().contains("nearest-x2"), "{account}");
        assert!(account["fallbacks"].is_array());
    }
    assert_no_leftovers(folder.path());
}

#[test]
fn without_progress_a_good_run_is_silent() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
    mp4(&input);
    let done = enhance(&input, &output, &["--progress", "none"]);
    assert!(done.status.success() && done.stderr.is_empty() && done.stdout.is_empty());
}

/// Standard output that nobody reads, and one that nothing can be written to.
fn unheard() -> [(&'static str, Stdio); 2] {
    let (_, gone) = std::io::pipe().unwrap();
    [("gone", gone.into()), ("full", full())]
}

fn full() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn a_reader_that_goes_ends_a_listing_quietly_and_a_full_disk_fails_it() {
    let folder = folder();
    let film = folder.path().join("in.mp4");
    mp4(&film);
    let film = film.to_str().unwrap();
    let measure = ["measure", "--reference", film, "--test", film];
    for arguments in [
        &["models"][..],
        &["models", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &measure,
        &[&measure[..], &["--json"]].concat(),
    ] {
        for (kind, stdout) in unheard() {
            let done = program().args(arguments).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
            let done = done.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            let (code, lines) = if kind == "gone" { (0, 0) } else { (1, 1) };
            assert_eq!(
                (done.status.code(), said.lines().count()),
                (Some(code), lines),
                "{arguments:?}: {said}"
            );
            assert!(lines == 0 || said.contains("no space left"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn work_goes_on_where_nobody_hears_of_it() {
    let folder = folder();
    let (film, out) = (folder.path().join("in.mp4"), folder.path().join("out.mkv"));
    mp4(&film);
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let enhance = |options: &[&str], stdout: Stdio, stderr: Stdio| {
        let mut command = program();
        command.args(["enhance".as_ref(), film.as_os_str(), out.as_os_str()]).args(["-f", "--model", model]);
        let done = command.args(options).stdout(stdout).stderr(stderr).spawn().unwrap();
        let done = done.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        assert_eq!(read(&out, "decodebin").video().times.len(), 25);
        said
    };
    let [(_, gone), (_, full_disk)] = unheard();
    assert_eq!(enhance(&["--progress", "json"], gone, Stdio::piped()), "");
    let said = enhance(&["--progress", "json"], full_disk, Stdio::piped());
    assert!(said.lines().count() == 1 && said.contains("warning: standard output"), "{said}");
    enhance(&[], Stdio::null(), full());
}

// ---------------------------------------------------------------- bad input

#[test]
fn what_is_no_video_is_refused_in_one_line() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let out = path("out.mp4");
    std::fs::write(path("empty.mp4"), b"").unwrap();
    std::fs::write(path("text.mp4"), "Dear diary, nothing happened today.\n".repeat(50)).unwrap();
    let noise: Vec<u8> = (0..100_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(path("noise.mp4"), noise).unwrap();
    launch(&format!(
        "audiotestsrc num-buffers=20 ! vorbisenc ! oggmux ! filesink location={}",
        path("sound.ogg").display()
    ));
    refused(&path("absent.mp4"), &out, &[], 3, &["absent.mp4", "no such file"]);
    refused(folder.path(), &out, &[], 3, &["directory"]);
    refused(&path("empty.mp4"), &out, &[], 3, &["empty"]);
    refused(&path("text.mp4"), &out, &[], 3, &["not a video"]);
    refused(&path("noise.mp4"), &out, &[], 3, &["not a video"]);
    refused(&path("sound.ogg"), &out, &[], 3, &["no video"]);
}

/// What the reader says of it may get lost while the pipeline is still being built, once in some twenty runs.
#[test]
fn a_film_that_ends_before_its_first_frame_is_refused_every_time() {
    let folder = folder();
    let (whole, cut) = (folder.path().join("whole.flv"), folder.path().join("cut.flv"));
    clip(&whole, "flvmux", H264, "avenc_aac");
    std::fs::write(&cut, &std::fs::read(&whole).unwrap()[..300]).unwrap();
    for _ in 0..80 {
        let asked = Instant::now();
        refused(&cut, &folder.path().join("out.mkv"), &[], 3, &["cut.flv: cannot be read"]);
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    }
}

#[test]
fn a_film_that_is_cut_off_keeps_what_can_be_read_and_says_so() {
    let folder = folder();
    let (whole, cut) = (folder.path().join("whole.mkv"), folder.path().join("cut.mkv"));
    clip(&whole, "matroskamux", &H264.replace("ultrafast", "ultrafast bitrate=8000"), "avenc_aac");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 3]).unwrap();
    let output = folder.path().join("out.mkv");
    let said = enhanced(&cut, &output, &[]);
    assert!(said.contains("warning") && said.contains("cut off"), "{said}");
    let frames = read(&output, "decodebin").video().times.len();
    assert!((2..25).contains(&frames), "{frames}");

    // Index first, as for streaming: everything up to the cut is there.
    let (whole, cut) = (folder.path().join("whole.mp4"), folder.path().join("cut.mp4"));
    clip(&whole, "mp4mux faststart=true", &H264.replace("ultrafast", "ultrafast bitrate=8000"), "avenc_aac");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let output = folder.path().join("out.mp4");
    let said = enhanced(&cut, &output, &[]);
    assert!(said.contains("warning"), "{said}");
    let frames = read(&output, "decodebin").video().times.len();
    assert!((2..25).contains(&frames), "{frames}");

    // Index last: it is gone with the end.
    let (whole, cut) = (folder.path().join("last.mp4"), folder.path().join("lost.mp4"));
    mp4(&whole);
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    refused(&cut, &folder.path().join("none.mp4"), &[], 3, &["cut off", "no index"]);
}

#[test]
fn pictures_that_are_missing_are_warned_of() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    timed(&input, "matroskamux", "25/1", 30, |frame| frame * 40 + if frame < 15 { 0 } else { 400 });
    let said = enhanced(&input, &output, &[]);
    assert!(
        said.contains("warning") && said.contains("pictures for 0.4 s are missing, from 0.6 s on"),
        "{said}"
    );
    // The sound goes on.
    launch(&format!(
        "videotestsrc num-buffers=25 ! {SMALL} ! {H264} ! queue ! matroskamux name=mux ! filesink location={} \
         audiotestsrc num-buffers=130 samplesperbuffer=1024 ! audio/x-raw,rate=44100 ! avenc_aac ! queue ! mux.",
        input.display()
    ));
    let said = enhanced(&input, &output, &["--overwrite"]);
    assert!(said.contains("its picture ends at 1.0 s of 3.0 s"), "{said}");
}

#[test]
fn an_absent_decoder_is_named_with_its_package() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
    mp4(&input);
    let hidden =
        "avdec_h264:NONE,openh264dec:NONE,vaapih264dec:NONE,nvh264dec:NONE,vah264dec:NONE,v4l2h264dec:NONE";
    let done = program()
        .args(["enhance".as_ref(), input.as_os_str(), output.as_os_str()])
        .env("GST_PLUGIN_FEATURE_RANK", hidden)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(said.contains("H.264") && said.contains("apt install gstreamer1.0-libav"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

#[test]
fn an_absent_network_is_exit_code_four() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
    mp4(&input);
    let done = program()
        .args(["enhance".as_ref(), input.as_os_str(), output.as_os_str()])
        .args(["--model", "/nowhere/absent.onnx"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("absent.onnx"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!output.exists());
    assert_no_leftovers(folder.path());
}

#[test]
fn options_out_of_range_are_wrong_usage() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
    mp4(&input);
    refused(&input, &output, &["--scale", "9"], 2, &["--scale 9", "from 0 to 8"]);
    for scale in ["0.01", "0.5", "0.999"] {
        refused(&input, &output, &["--scale", scale], 2, &["--scale 0.", "0 or a number from 1 to 8"]);
    }
    refused(&input, &output, &["--tile-size", "99999"], 2, &["--tile-size"]);
    refused(&input, &folder.path().join("out.avi"), &[], 2, &[".mp4", ".mkv"]);
    let done = program().args(["enhance".as_ref(), input.as_os_str()]).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    let done = program()
        .args(["enhance".as_ref(), input.as_os_str(), output.as_os_str()])
        .args(["--execution-provider", "abacus"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("cuda"), "{said}");
}

// ---------------------------------------------------------------- bad output

#[test]
fn nothing_of_the_users_is_overwritten_unasked() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
    mp4(&input);
    std::fs::write(&output, "precious").unwrap();
    refused(&input, &output, &[], 2, &["exists", "--overwrite"]);
    refused(&input, &input, &["--overwrite"], 2, &["IN itself"]);
    let link = folder.path().join("link.mp4");
    std::os::unix::fs::symlink(&input, &link).unwrap();
    refused(&input, &link, &["--overwrite"], 2, &["IN itself"]);
    let here = input.to_str().unwrap();
    refused(&input, &folder.path().join("new.mp4"), &["--stats", here], 2, &["IN itself", "--stats"]);
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    // A run that fails leaves the old file, too.
    let broken = folder.path().join("broken.mp4");
    std::fs::write(&broken, "no film").unwrap();
    refused(&broken, &output, &["--overwrite"], 3, &[]);
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    enhanced(&input, &output, &["--overwrite"]);
    assert_eq!(read(&output, "decodebin").video().size(), (128, 96));
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn pipes_and_devices_are_neither_read_nor_replaced() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (film, out) = (path("in.mp4"), path("out.mp4"));
    mp4(&film);
    make_pipe(&path("pipe.mp4"));
    // Nobody ever writes to it.
    refused(&path("pipe.mp4"), &out, &[], 3, &["pipe.mp4: is a pipe", "YUV4MPEG2"]);
    refused(Path::new("/dev/null"), &out, &[], 3, &["/dev/null: is a pipe or device"]);
    // Standard input by its other name.
    let done = piped(&raw_stream("Cmono", 33 * 17, false, 2), "/dev/stdin", out.to_str().unwrap(), &[]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!((done.status.code(), said.lines().count()), (Some(3), 1), "{said}");
    assert!(said.contains("is a pipe") && !out.exists(), "{said}");
    for options in [&[][..], &["--overwrite"]] {
        refused(&film, &path("pipe.mp4"), options, 2, &["pipe.mp4: is a pipe"]);
        let about = std::fs::metadata(path("pipe.mp4")).unwrap();
        assert!(!about.is_file(), "the pipe was replaced");
    }
    refused(&film, &out, &["--stats", path("pipe.mp4").to_str().unwrap()], 2, &["pipe.mp4: is a pipe"]);
}

#[test]
fn a_link_that_leads_nowhere_is_replaced_only_when_asked() {
    let folder = folder();
    let (film, link) = (folder.path().join("in.mp4"), folder.path().join("link.mp4"));
    mp4(&film);
    std::os::unix::fs::symlink(folder.path().join("gone.mp4"), &link).unwrap();
    refused(&film, &link, &[], 2, &["link.mp4: exists", "--overwrite"]);
    assert!(link.is_symlink());
    enhanced(&film, &link, &["--overwrite"]);
    assert_eq!(read(&link, "decodebin").video().size(), (128, 96));
}

#[test]
fn a_name_may_be_as_long_as_the_file_system_allows() {
    let folder = folder();
    let film = folder.path().join("in.mp4");
    mp4(&film);
    for letter in ["a", "ž", "映"] {
        let name = format!("{}.mp4", letter.repeat(251 / letter.len()));
        enhanced(&film, &folder.path().join(name), &[]);
    }
    refused(&film, &folder.path().join(format!("{}.mp4", "a".repeat(252))), &[], 2, &["too long"]);
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let folder = folder();
    let input = folder.path().join("in.mp4");
    mp4(&input);
    refused(&input, &folder.path().join("nowhere/out.mp4"), &[], 1, &["nowhere", "no such directory"]);
}

#[test]
fn a_full_disk_fails_and_leaves_nothing() {
    let folder = folder();
    let input = folder.path().join("in.mp4");
    mp4(&input);
    // A limit on the size of files acts like a full disk, without a disk.
    let output = folder.path().join("out.mkv");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
    let done = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_facesr"), "enhance"])
        .args([input.as_os_str(), output.as_os_str()])
        .args(["--lossless", "--model", model])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!output.exists());
    assert_no_leftovers(folder.path());
}

#[test]
fn a_signal_stops_the_work_soon_and_leaves_nothing() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mkv"));
    launch(&format!(
        "videotestsrc num-buffers=3000 ! video/x-raw,width=640,height=480 ! jpegenc ! matroskamux ! filesink location={}",
        input.display()
    ));
    for signal in ["INT", "TERM"] {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/nearest-x2.onnx");
        let child = program()
            .args(["enhance".as_ref(), input.as_os_str(), output.as_os_str()])
            .args(["--model", model, "--execution-provider", "cpu"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(700));
        let asked = Instant::now();
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let done = child.wait_with_output().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{signal}: {said}");
        assert!(said.contains("interrupted:"), "{said}");
        assert!(!output.exists());
        assert_no_leftovers(folder.path());
    }
}

// ---------------------------------------------------------------- real clips

/// Every real clip there is, through as many containers in turn.
fn real_clips(containers: usize) {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media/videos");
    let folder = folder();
    let mut clips: Vec<PathBuf> = [shared.clone(), shared.join("intel_asl")]
        .iter()
        .flat_map(std::fs::read_dir)
        .flatten()
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.is_file())
        .collect();
    clips.sort();
    if clips.is_empty() {
        println!("there are no real clips in {}; only generated ones were tried", shared.display());
    }
    // This is about times; how good the picture is costs minutes.
    let encoder = "x264enc speed-preset=ultrafast pass=quant quantizer=30";
    for (number, input) in clips.iter().enumerate() {
        let (mode, faces) = if number == 0 { ("balanced", "detect") } else { ("off", "off") };
        let options = ["--overwrite", "--encoder", encoder, "--temporal-mode", mode, "--face-mode", faces];
        let outs = [("out.mp4", TICK), ("out.mkv", MILLISECOND), ("out.mov", TICK)];
        for (out, tolerance) in outs.iter().cycle().skip(number).take(containers) {
            let output = folder.path().join(out);
            enhanced(input, &output, &options);
            assert_same_times(input, &output, *tolerance);
        }
    }
}

/// One container for each clip in turn; `FACESR_CONTAINERS=3` tries all three for each.
#[test]
fn every_real_clip_keeps_every_frame_time_and_its_sound() {
    let containers = std::env::var("FACESR_CONTAINERS").ok().and_then(|number| number.parse().ok());
    real_clips(containers.unwrap_or(1));
}
