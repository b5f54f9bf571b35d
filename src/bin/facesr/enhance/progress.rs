//! Tells how far the work is: a bar for people, lines of JSON for programs.
//!
//! Each line on standard output is one JSON object with the field `event`:
//!
//! | event | further fields |
//! |---|---|
//! | `start` | `input`, `output`, `duration_s`, `frames_expected` |
//! | `note` | `text`: a stream that is dropped or encoded anew |
//! | `warning` | `text`: damage in IN |
//! | `progress` | `frames`, `frames_expected`, `position_s`, `duration_s`, `fps`, `eta_s` |
//! | `done` | `output`, `bytes`, and all that `--stats` writes |
//!
//! `duration_s`, `frames_expected` and `eta_s` are null where the file does not
//! tell how long it lasts.

use std::io::{ErrorKind, IsTerminal};
use std::time::{Duration, Instant};

use gstreamer as gst;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::counts::Counts;
use super::input::Input;
use super::stats::Summary;
use crate::say;

/// Least time between two lines of JSON.
const LINE_EVERY: Duration = Duration::from_millis(500);

/// What `--progress` takes.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A bar on a terminal, otherwise only a line at the end
    Auto,
    /// A bar in any case
    Bar,
    /// One JSON object per line on standard output
    Json,
    /// Nothing but warnings and errors
    None,
}

/// The same after a look at the terminal.
enum Shown {
    Bar(ProgressBar),
    Line,
    Json,
    Nothing,
}

/// Where progress goes.
pub struct Progress {
    shown: Shown,
    input: String,
    duration: Option<gst::ClockTime>,
    frames_expected: Option<u64>,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Progress on `input`.
    pub fn new(style: Style, input: &Input) -> Progress {
        let duration = input.duration.filter(|duration| !input.is_still && !duration.is_zero());
        let frames_expected = duration.zip(input.frame_rate()).map(|(duration, rate)| {
            (seconds(duration) * f64::from(rate.numer()) / f64::from(rate.denom())).round() as u64
        });
        let shown = match style {
            Style::Auto if std::io::stderr().is_terminal() => Shown::Bar(bar(duration)),
            Style::Auto => Shown::Line,
            Style::Bar => Shown::Bar(bar(duration)),
            Style::Json => Shown::Json,
            Style::None => Shown::Nothing,
        };
        let now = Instant::now();
        Progress {
            shown,
            input: input.path.display().to_string(),
            duration,
            frames_expected,
            started: now,
            last_line: now,
        }
    }

    /// The work begins.
    pub fn start(&mut self, output: &str) {
        self.started = Instant::now();
        if let Shown::Json = self.shown {
            self.line(&json!({
                "event": "start",
                "input": self.input,
                "output": output,
                "duration_s": self.duration.map(seconds),
                "frames_expected": self.frames_expected,
            }));
        }
    }

    /// Something the user should know, which is no reason to stop.
    pub fn note(&mut self, text: &str) {
        self.tell("note", text);
    }

    fn tell(&mut self, event: &str, text: &str) {
        match &self.shown {
            Shown::Json => self.line(&json!({ "event": event, "text": text })),
            Shown::Bar(bar) => bar.suspend(|| tell!("facesr: {event}: {text}")),
            Shown::Line | Shown::Nothing => tell!("facesr: {event}: {text}"),
        }
    }

    /// Somebody who closes the pipe stops reading, not the work; nor does a full disk, but of that the user is told.
    fn line(&mut self, value: &Value) {
        let Err(err) = say::line(format_args!("{value}")) else { return };
        self.shown = Shown::Nothing;
        if err.kind() != ErrorKind::BrokenPipe {
            self.tell("warning", &format!("{}; no more is told there", say::unwritable(&err)));
        }
    }

    /// Draws what there is to see, if it is time.
    pub fn tick(&mut self, counts: &Counts) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let fps = counts.enhanced() as f64 / elapsed.max(1e-3);
        let position = counts.position();
        let remaining = self
            .duration
            .filter(|_| !position.is_zero())
            .map(|duration| elapsed * seconds(duration.saturating_sub(position)) / seconds(position));
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(position.mseconds());
                let left = remaining.map_or("--:--".into(), clock);
                bar.set_message(format!("{} frames, {fps:.1} fps, {left} left", counts.enhanced()));
            }
            Shown::Json if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                self.line(&json!({
                    "event": "progress",
                    "frames": counts.enhanced(),
                    "frames_expected": self.frames_expected,
                    "position_s": seconds(position),
                    "duration_s": self.duration.map(seconds),
                    "fps": fps,
                    "eta_s": remaining,
                }));
            }
            _ => {}
        }
    }

    /// OUT is there.
    pub fn done(&mut self, summary: &Summary, output: &str, bytes: u64) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
        for warning in &summary.warnings {
            self.tell("warning", warning);
        }
        match &self.shown {
            Shown::Json => {
                let mut last = json!({ "event": "done", "output": output, "bytes": bytes });
                if let (Value::Object(last), Value::Object(rest)) = (&mut last, summary.to_json()) {
                    last.extend(rest);
                }
                self.line(&last);
            }
            Shown::Nothing => {}
            Shown::Bar(_) | Shown::Line => tell!("facesr: {output}: {}", summary.sentence()),
        }
    }
}

fn bar(duration: Option<gst::ClockTime>) -> ProgressBar {
    let (bar, look) = match duration {
        Some(duration) => (ProgressBar::new(duration.mseconds()), "{percent:>3}% [{wide_bar}] {msg}"),
        None => (ProgressBar::no_length(), "{spinner} {msg}"),
    };
    // The templates above are right, so the plain style never shows.
    bar.with_style(ProgressStyle::with_template(look).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn seconds(time: gst::ClockTime) -> f64 {
    time.nseconds() as f64 / 1e9
}

/// Hours only when there are any.
fn clock(seconds: f64) -> String {
    let whole = seconds.min(3.6e8).round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_reads_like_a_clock() {
        assert_eq!(clock(0.4), "0:00");
        assert_eq!(clock(61.0), "1:01");
        assert_eq!(clock(36_061.0), "10:01:01");
        assert_eq!(clock(f64::INFINITY), "100000:00:00");
    }
}
