//! All that the program prints, and what becomes of it where nobody takes it.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

use crate::enhance::output::plain;

/// A line on standard output, which is the result of the command: it ends where nobody takes that.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::result(format_args!($($text)*)) };
}

/// A line on standard error, of what goes on beside.
macro_rules! tell {
    ($($text:tt)*) => { $crate::say::aside(format_args!($($text)*)) };
}

/// Prints a line on standard output. Whoever reads it may stop early, as `head` does; that ends the
/// program, with success. Where it cannot be written, that is a failure.
pub fn result(text: Arguments<'_>) {
    match line(text) {
        Ok(()) => {}
        Err(err) if err.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(err) => {
            tell!("facesr: {}", unwritable(&err));
            std::process::exit(1);
        }
    }
}

/// Prints a line on standard output, or answers why that cannot be.
pub fn line(text: Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Prints a line on standard error. Where that cannot be, there is nowhere left to tell it.
pub fn aside(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// In words.
pub fn unwritable(err: &io::Error) -> String {
    format!("standard output: cannot be written: {}", plain(err))
}
