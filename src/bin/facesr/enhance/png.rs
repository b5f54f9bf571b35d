//! PNG files that GStreamer's reader takes for something else.
//!
//! Pictures of 16 bits a sample with colours or alpha come out of pngdec (1.22) one sample late: what is called alpha
//! is the sample before. Without alpha all colours are wrong; with it, the alpha alone lies a pixel too far to the right.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Up to the kind of the samples: the signature, then the header's length and name, width, height, depth, kind.
const HEAD: usize = 26;
const BEGIN: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";

/// What is wrong with how a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// All of it.
    Colours,
    /// What is transparent.
    Alpha,
}

/// What of the file would be read wrongly, if it is a PNG file at all.
pub fn misread(path: &Path) -> Option<Misread> {
    let mut head = [0; HEAD];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    judge(&head)
}

fn judge(head: &[u8; HEAD]) -> Option<Misread> {
    match (head.starts_with(BEGIN), head[24], head[25]) {
        // Colours; grey and alpha; colours and alpha.
        (true, 16, 2) => Some(Misread::Colours),
        (true, 16, 4 | 6) => Some(Misread::Alpha),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sixteen_bits_with_colours_or_alpha_are_misread() {
        for (depth, kind) in
            [1, 2, 4, 8, 16].into_iter().flat_map(|depth| [0, 2, 3, 4, 6].map(|kind| (depth, kind)))
        {
            let mut head = [0; HEAD];
            head[..BEGIN.len()].copy_from_slice(BEGIN);
            (head[24], head[25]) = (depth, kind);
            let expected = match kind {
                2 => Some(Misread::Colours),
                4 | 6 => Some(Misread::Alpha),
                _ => None,
            };
            assert_eq!(judge(&head), expected.filter(|_| depth == 16), "{depth}, {kind}");
            head[1] = b'J';
            assert_eq!(judge(&head), None);
        }
    }
}
