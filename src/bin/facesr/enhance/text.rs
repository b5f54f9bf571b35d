//! Subtitles between containers that write the same text differently.

use gstreamer as gst;
use gstreamer::prelude::*;

/// The element that calls any text plain, which it is once rewritten.
pub const PLAIN: &str = "capssetter join=false replace=true caps=text/x-raw,format=(string)utf8";

/// How the text of a stream is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    from: Dialect,
    keeps_markup: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `<i>` and entities.
    Markup,
    /// Comma-separated fields before the text, `{\i1}` in it.
    Ass,
}

impl Text {
    /// The rewriting for a stream of `caps`, if it is text at all.
    pub fn from(caps: &gst::Caps, keeps_markup: bool) -> Option<Text> {
        let from = match caps.structure(0)?.name().as_str() {
            "text/x-raw" => Dialect::Markup,
            "application/x-ass" | "application/x-ssa" => Dialect::Ass,
            _ => return None,
        };
        Some(Text { from, keeps_markup })
    }

    /// Whether styles are lost with it.
    pub fn loses_styles(self) -> bool {
        self.from == Dialect::Ass
    }

    /// The text of one subtitle for a muxer that takes plain UTF-8.
    pub fn rewrite(self, text: &str) -> String {
        match self.from {
            Dialect::Markup if self.keeps_markup => unescape(text),
            Dialect::Markup => unescape(&without(text, '<', '>')),
            Dialect::Ass => {
                // ReadOrder, Layer, Style, Name, three margins, Effect, Text.
                let text = text.splitn(9, ',').last().unwrap_or_default();
                without(text, '{', '}').replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
            }
        }
    }

    /// Rewrites whatever passes `pad`. The caps are for the element behind it to
    /// change, see [`PLAIN`].
    pub fn attach(self, pad: &gst::Pad) {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
                *buffer = self.rewritten(buffer);
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn rewritten(self, buffer: &gst::Buffer) -> gst::Buffer {
        let text = match buffer.map_readable() {
            Ok(map) => self.rewrite(&String::from_utf8_lossy(&map)),
            Err(_) => String::new(),
        };
        let mut new = gst::Buffer::from_slice(text.into_bytes());
        if let Some(new) = new.get_mut() {
            // Times and flags; the text itself is not copied. Nothing else can fail.
            let _ = buffer.copy_into(new, gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS, ..);
        }
        new
    }
}

/// `text` less everything from `open` to `close`.
fn without(text: &str, open: char, close: char) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let Some((_, after)) = after.split_once(close) else { break };
        kept.push_str(before);
        rest = after;
    }
    kept + rest
}

/// The five entities of XML; the ampersand last, or `&amp;lt;` would become `<`.
fn unescape(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(media: &str, keeps_markup: bool, text: &str, expected: &str) {
        gst::init().unwrap();
        let caps = gst::Caps::new_empty_simple(media);
        assert_eq!(Text::from(&caps, keeps_markup).unwrap().rewrite(text), expected);
    }

    #[test]
    fn markup_becomes_plain_where_the_container_has_none() {
        check("text/x-raw", false, "<i>5 &lt; 6</i> &amp;amp;", "5 < 6 &amp;");
        check("text/x-raw", true, "<i>Tom &amp; Ann</i>", "<i>Tom & Ann</i>");
        check("text/x-raw", false, "a < b", "a < b");
    }

    #[test]
    fn ass_keeps_its_words_and_lines() {
        check("application/x-ass", false, "0,0,Default,,0,0,0,,{\\i1}Well, yes{\\i0}\\Nno", "Well, yes\nno");
        check("application/x-ass", false, "", "");
    }
}
