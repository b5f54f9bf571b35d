//! What kinds of file OUT can be.

use std::path::Path;

use gstreamer as gst;

use super::y4m;
use crate::failure::Failure;

/// x264 by quality. `qual` takes `bitrate` as a ceiling unless the buffer that
/// enforces it is off, and its default is two megabit per second: hence the
/// zero. 17 is what archives use; the lookahead is shorter than the preset's 40
/// frames because each is a full upscaled picture in memory.
const X264: &str = "x264enc pass=qual quantizer=17 qp-min=0 vbv-buf-capacity=0 bitrate=2048000 speed-preset=medium rc-lookahead=25";

/// VP9 by quality, again with the ceiling out of the way. The time base is
/// explicit because the default, the nominal frame rate, merges frames of a
/// variable-rate stream.
const VP9: &str = "vp9enc end-usage=cq cq-level=18 min-quantizer=0 max-quantizer=45 target-bitrate=400000000 \
    deadline=1000000 cpu-used=3 row-mt=true threads=8 tile-columns=2 lag-in-frames=16 auto-alt-ref=true \
    keyframe-max-dist=240 timebase=1/90000";

/// Independent frames with checksums, in slices so that all cores work.
const FFV1: &str = "avenc_ffv1 gop-size=1 slices=4 threads=auto slicecrc=true coder=range_tab";

/// 4:2:0 of the enlarged picture has at least the chroma resolution that any
/// source had before doubling, and is what every player decodes.
const PLAYABLE: &str = "video/x-raw,format=(string){I420,I420_10LE}";

const AAC: &str = "audioconvert ! audioresample ! avenc_aac bitrate=256000 ! aacparse";
const OPUS: &str = "audioconvert ! audioresample ! opusenc bitrate=192000 ! opusparse";

/// What is in OUT besides the enhanced pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One picture and nothing else.
    Still,
    /// Video, with sound, subtitles and the rest.
    Film,
}

/// A row of [`CONTAINERS`].
#[derive(Debug)]
pub struct Container {
    /// What OUT's name ends in.
    pub extensions: &'static [&'static str],
    /// Stills or films.
    pub content: Content,
    /// Pictures as they are, without an encoder, which pipes can carry; only these have no other tracks.
    pub is_raw: bool,
    /// Factory of the muxer; a still picture has none, nor have raw pictures.
    pub muxer: Option<&'static str>,
    /// Raw video that the encoder is given.
    pub raw: &'static str,
    /// Whether the encoder cannot code an odd number of rows or columns.
    pub needs_even_size: bool,
    /// Pipeline description of the video encoder.
    pub encoder: &'static str,
    /// The same without loss, where the container can hold it.
    pub lossless: Option<&'static str>,
    /// Pipeline description for sound that the container cannot hold as it is.
    pub audio_encoder: &'static str,
    /// How that sound is called.
    pub audio_codec: &'static str,
    /// Whether times are counted in a scale of our choice, not in milliseconds.
    pub has_timescale: bool,
    /// Whether the muxer writes chapters.
    pub has_chapters: bool,
    /// Whether subtitles may carry markup such as `<i>`.
    pub has_markup: bool,
    /// Of picture files, bits that a sample of a grey one may have. Those with colours or alpha have 8: the encoders
    /// take no more.
    pub grey_depth: u32,
}

/// Every kind of OUT. To add one: a row.
pub static CONTAINERS: &[Container] = &[
    Container {
        extensions: &["mp4", "m4v"],
        content: Content::Film,
        is_raw: false,
        muxer: Some("mp4mux"),
        raw: PLAYABLE,
        needs_even_size: true,
        encoder: X264,
        lossless: None,
        audio_encoder: AAC,
        audio_codec: "AAC",
        has_timescale: true,
        has_chapters: false,
        has_markup: false,
        grey_depth: 8,
    },
    Container {
        extensions: &["mov"],
        content: Content::Film,
        is_raw: false,
        muxer: Some("qtmux"),
        raw: PLAYABLE,
        needs_even_size: true,
        encoder: X264,
        lossless: None,
        audio_encoder: AAC,
        audio_codec: "AAC",
        has_timescale: true,
        has_chapters: false,
        has_markup: false,
        grey_depth: 8,
    },
    Container {
        extensions: &["mkv"],
        content: Content::Film,
        is_raw: false,
        muxer: Some("matroskamux"),
        raw: PLAYABLE,
        needs_even_size: true,
        encoder: X264,
        lossless: Some(FFV1),
        audio_encoder: AAC,
        audio_codec: "AAC",
        has_timescale: false,
        has_chapters: true,
        has_markup: true,
        grey_depth: 8,
    },
    Container {
        extensions: &["webm"],
        content: Content::Film,
        is_raw: false,
        muxer: Some("webmmux"),
        raw: PLAYABLE,
        needs_even_size: false,
        encoder: VP9,
        lossless: None,
        audio_encoder: OPUS,
        audio_codec: "Opus",
        has_timescale: false,
        has_chapters: true,
        has_markup: true,
        grey_depth: 8,
    },
    Container {
        extensions: &["y4m"],
        content: Content::Film,
        is_raw: true,
        muxer: None,
        raw: "video/x-raw",
        needs_even_size: false,
        encoder: "identity",
        lossless: Some("identity"),
        audio_encoder: "",
        audio_codec: "",
        has_timescale: false,
        has_chapters: false,
        has_markup: false,
        grey_depth: 8,
    },
    Container {
        extensions: &["png"],
        content: Content::Still,
        is_raw: false,
        muxer: None,
        raw: "video/x-raw",
        needs_even_size: false,
        encoder: "pngenc",
        lossless: Some("pngenc"),
        audio_encoder: "",
        audio_codec: "",
        has_timescale: false,
        has_chapters: false,
        has_markup: false,
        grey_depth: 16,
    },
    Container {
        extensions: &["jpg", "jpeg"],
        content: Content::Still,
        is_raw: false,
        muxer: None,
        raw: "video/x-raw",
        needs_even_size: false,
        encoder: "jpegenc quality=95",
        lossless: None,
        audio_encoder: "",
        audio_codec: "",
        has_timescale: false,
        has_chapters: false,
        has_markup: false,
        grey_depth: 8,
    },
];

impl Container {
    /// The kind of file that `out` names; what standard output takes is raw.
    pub fn of(out: &Path) -> Result<&'static Container, Failure> {
        let extension = match y4m::is_standard(out) {
            true => "y4m".into(),
            false => out.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default(),
        };
        CONTAINERS.iter().find(|container| container.extensions.contains(&extension.as_str())).ok_or_else(
            || {
                Failure::Usage(format!(
                    "{}: OUT must end in one of {}, or be - for YUV4MPEG2 on standard output",
                    out.display(),
                    all_extensions(|_| true)
                ))
            },
        )
    }

    /// The video encoder to use: the user's own, the one without loss, or the
    /// container's usual one.
    pub fn video_encoder<'a>(&'a self, own: Option<&'a str>, lossless: bool) -> Result<&'a str, Failure> {
        match (own, lossless) {
            (Some(own), _) if self.is_raw => Err(Failure::Usage(format!(
                "--encoder {own}: .y4m and standard output hold pictures that are not encoded; name a .mkv or .mp4"
            ))),
            (Some(own), _) => Ok(own),
            (None, false) => Ok(self.encoder),
            (None, true) => self.lossless.ok_or_else(|| {
                let able = all_extensions(|container| {
                    container.content == self.content && container.lossless.is_some()
                });
                Failure::Usage(format!("--lossless needs an OUT that ends in {able}"))
            }),
        }
    }

    /// Whether the muxer takes `caps` on a pad of the template `pad` (`audio_%u` ...).
    pub fn takes(&self, pad: &str, caps: &gst::Caps) -> bool {
        self.muxer.and_then(gst::ElementFactory::find).is_some_and(|factory| {
            factory
                .static_pad_templates()
                .iter()
                .any(|template| template.name_template() == pad && template.caps().can_intersect(caps))
        })
    }
}

fn all_extensions(wanted: impl Fn(&Container) -> bool) -> String {
    let all: Vec<_> = CONTAINERS
        .iter()
        .filter(|container| wanted(container))
        .flat_map(|container| container.extensions)
        .map(|extension| format!(".{extension}"))
        .collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_finds_its_own_row() {
        for container in CONTAINERS {
            for extension in container.extensions {
                let out = format!("some.dir/A.b.{}", extension.to_uppercase());
                assert!(std::ptr::eq(Container::of(Path::new(&out)).unwrap(), container), "{out}");
            }
        }
    }

    #[test]
    fn every_description_names_elements_that_can_be_made() {
        gst::init().unwrap();
        for container in CONTAINERS {
            let descriptions =
                [Some(container.encoder), container.lossless, Some(container.audio_encoder), container.muxer];
            for description in descriptions.into_iter().flatten().filter(|text| !text.is_empty()) {
                gst::parse::bin_from_description(description, false)
                    .unwrap_or_else(|err| panic!("{description}: {err}"));
            }
        }
    }
}
