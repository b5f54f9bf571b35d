//! Ctrl-C, SIGTERM and SIGHUP, as a question that long work asks now and then.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on a signal to stop no longer kills the program.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(|| ASKED.store(true, Ordering::Relaxed))
        .map_err(|err| Failure::Failed(format!("cannot listen for Ctrl-C: {err}")))
}

/// Whether somebody asked the program to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
