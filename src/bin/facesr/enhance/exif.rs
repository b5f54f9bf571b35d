//! How a photograph has to be turned to stand upright, by the Exif data in a JPEG file (Exif 2.32, 4.6.4).
//!
//! Of GStreamer's elements only jpegparse reads them, and that refuses pictures that are cut off, which
//! the decoder shows as far as they go.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes in which the data must lie: a block of them has 64 KiB at most, and little comes before it.
const LOOKED_THROUGH: u64 = 256 << 10;

/// The number of the field, and of the only type that it has: whole numbers of 16 bits.
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// What turns a picture of each orientation upright, from 1 on, in the words of videoflip.
const TURNS: [Option<&str>; 8] =
    [None, Some("horiz"), Some("180"), Some("vert"), Some("ul-lr"), Some("90r"), Some("ur-ll"), Some("90l")];

/// What turns the picture in a file upright, where it is a JPEG file that asks for it.
pub fn turn(path: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(LOOKED_THROUGH).read_to_end(&mut head).ok()?;
    let orientation = orientation(exif(&head)?)?;
    *TURNS.get(usize::from(orientation).checked_sub(1)?)?
}

/// The block of Exif data among those before the picture.
fn exif(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let &[0xff, kind, high, low, ..] = rest else { return None };
        // The picture itself, or its end.
        if matches!(kind, 0xda | 0xd9) {
            return None;
        }
        // The length counts itself.
        let block = rest.get(4..2 + usize::from(u16::from_be_bytes([high, low])))?;
        if let (0xe1, Some(found)) = (kind, block.strip_prefix(b"Exif\0\0")) {
            return Some(found);
        }
        rest = &rest[4 + block.len()..];
    }
}

/// The orientation among the fields of the first directory, which is laid out as in TIFF.
fn orientation(exif: &[u8]) -> Option<u16> {
    let is_big = match exif.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let start = exif.get(4..8)?.try_into().ok()?;
    let start = if is_big { u32::from_be_bytes(start) } else { u32::from_le_bytes(start) } as usize;
    let fields = (0..usize::from(short(start)?)).map(|number| start + 2 + 12 * number);
    let mut fields = fields.take_while(|field| *field < exif.len());
    let field = fields.find(|&field| short(field) == Some(ORIENTATION))?;
    (short(field + 2)? == SHORT).then(|| short(field + 8))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a JPEG file with two fields, of which the second is the orientation.
    fn head(orientation: u16, is_big: bool) -> Vec<u8> {
        let short = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut data = b"Exif\0\0".to_vec();
        data.extend(if is_big { b"MM\0*" } else { b"II*\0" });
        data.extend(long(8));
        data.extend(short(2));
        for (tag, value) in [(0x0100, 77), (ORIENTATION, orientation)] {
            data.extend([short(tag), short(SHORT)].concat());
            data.extend(long(1));
            data.extend([short(value), short(0)].concat());
        }
        let mut file = b"\xff\xd8\xff\xe0\0\x05JFI\xff\xe1".to_vec();
        file.extend((data.len() as u16 + 2).to_be_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn the_orientation_is_read_in_either_order_of_bytes() {
        for value in 0..=20 {
            for is_big in [false, true] {
                let file = head(value, is_big);
                assert_eq!(exif(&file).and_then(orientation), Some(value), "{value}, {is_big}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_has_no_such_data_has_no_orientation() {
        for is_big in [false, true] {
            let whole = head(6, is_big);
            for length in 0..whole.len() {
                assert_eq!(exif(&whole[..length]).and_then(orientation), None, "{length}");
            }
            // Whatever a byte becomes, reading comes to an end.
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[at] = value;
                    let _ = exif(&damaged).and_then(orientation);
                }
            }
        }
        assert_eq!(exif(b"\xff\xd8\xff\xda\0\x02"), None);
        assert_eq!(exif(b"\x89PNG"), None);
    }
}
