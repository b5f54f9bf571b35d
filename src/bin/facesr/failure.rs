//! Why the program stopped early, and the exit code that says so to scripts.

use std::process::ExitCode;

use gstreamer as gst;

/// The one line that is printed. Each variant is an exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something went wrong on the way: 1.
    #[error("{0}")]
    Failed(String),
    /// Somebody pressed Ctrl-C: 1.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// The command line cannot be obeyed: 2.
    #[error("{0}")]
    Usage(String),
    /// IN cannot be read, or is not something that can be enhanced: 3.
    #[error("{0}")]
    Input(String),
    /// The network or what should run it is not there: 4.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    /// What the shell gets to see.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed(_) | Failure::Interrupted(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Input(_) => 3,
            Failure::Unavailable(_) => 4,
        })
    }

    /// The failure that goes with an exit code of the element's own choice.
    fn with_code(code: i32, line: String) -> Self {
        match code {
            2 => Failure::Usage(line),
            3 => Failure::Input(line),
            4 => Failure::Unavailable(line),
            _ => Failure::Failed(line),
        }
    }

    /// Reads the element's error message, which is already one line that says
    /// what to do; `exit-code` among its details says whose fault it is.
    pub fn from_element(message: &gst::message::Error) -> Self {
        let line = one_line(message.error().message());
        let code = message.details().and_then(|details| details.get::<i32>("exit-code").ok());
        match code {
            Some(code) => Failure::with_code(code, line),
            None if message.error().matches(gst::StreamError::CodecNotFound)
                || message.error().matches(gst::ResourceError::NotFound)
                || message.error().matches(gst::LibraryError::Init) =>
            {
                Failure::Unavailable(line)
            }
            None if message.error().matches(gst::StreamError::Format)
                || message.error().matches(gst::StreamError::WrongType) =>
            {
                Failure::Input(line)
            }
            None => Failure::Failed(line),
        }
    }
}

/// GStreamer's texts as one line without a full stop.
pub fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').to_owned()
}
