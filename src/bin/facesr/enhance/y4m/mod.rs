//! Uncompressed pictures one after the other, as pipes between programs carry them: YUV4MPEG2, read from standard input or
//! a file and written to standard output or a file. Only the picture: no sound, and one frame rate.
//!
//! GStreamer 1.22's own elements for it hold 8 bits alone.

pub mod read;
pub mod write;

use std::path::Path;

use gstreamer_video::{VideoChromaSite, VideoFormat};
use y4m::Colorspace;

/// What the command line calls standard input and output.
pub fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// How IN is called in messages.
pub fn shown_input(path: &Path) -> String {
    if is_standard(path) { "standard input".into() } else { path.display().to_string() }
}

/// How OUT is called in messages.
pub fn shown_output(path: &Path) -> String {
    if is_standard(path) { "standard output".into() } else { path.display().to_string() }
}

/// The formats that both sides know. Only 4:2:0 of 8 bits tells where its chroma lies.
const FORMATS: [(VideoFormat, Colorspace); 10] = [
    (VideoFormat::I420, Colorspace::C420jpeg),
    (VideoFormat::Y42b, Colorspace::C422),
    (VideoFormat::Y444, Colorspace::C444),
    (VideoFormat::I42010le, Colorspace::C420p10),
    (VideoFormat::I42210le, Colorspace::C422p10),
    (VideoFormat::Y44410le, Colorspace::C444p10),
    (VideoFormat::I42012le, Colorspace::C420p12),
    (VideoFormat::I42212le, Colorspace::C422p12),
    (VideoFormat::Y44412le, Colorspace::C444p12),
    (VideoFormat::Gray8, Colorspace::Cmono),
];

/// What GStreamer calls a colour space, and where chroma lies where that is told.
fn format_of(space: Colorspace) -> Option<(VideoFormat, Option<VideoChromaSite>)> {
    let site = match space {
        Colorspace::C420 | Colorspace::C420jpeg => VideoChromaSite::JPEG,
        Colorspace::C420mpeg2 => VideoChromaSite::MPEG2,
        Colorspace::C420paldv => VideoChromaSite::DV,
        _ => {
            let format = FORMATS.iter().find(|(_, known)| name(*known) == name(space));
            return format.map(|(format, _)| (*format, None));
        }
    };
    Some((VideoFormat::I420, Some(site)))
}

/// The colour space that holds a format.
fn space_of(format: VideoFormat, site: VideoChromaSite) -> Option<Colorspace> {
    if format != VideoFormat::I420 {
        return FORMATS.iter().find(|(known, _)| *known == format).map(|(_, space)| *space);
    }
    Some(if site == VideoChromaSite::MPEG2 {
        Colorspace::C420mpeg2
    } else if site == VideoChromaSite::DV {
        Colorspace::C420paldv
    } else {
        Colorspace::C420jpeg
    })
}

/// As in a header: the crate's colour spaces cannot be compared.
fn name(space: Colorspace) -> String {
    format!("{space:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_comes_back_from_its_colour_space() {
        for (format, _) in FORMATS {
            for site in [VideoChromaSite::JPEG, VideoChromaSite::MPEG2, VideoChromaSite::DV] {
                let space = space_of(format, site).unwrap();
                let (back, told) = format_of(space).unwrap();
                assert_eq!(back, format, "{space:?}");
                assert!(told.is_none_or(|told| told == site), "{space:?}");
                assert_eq!(told.is_some(), format == VideoFormat::I420, "{space:?}");
            }
        }
    }

    #[test]
    fn what_has_no_format_is_not_taken_for_another() {
        assert!(format_of(Colorspace::Cmono12).is_none());
        assert!(space_of(VideoFormat::Rgb, VideoChromaSite::NONE).is_none());
    }
}
