//! How a photograph has to be turned to stand upright, by the Exif data in a JPEG file.
//!
//! Of GStreamer's elements only jpegparse reads them, and that refuses pictures that are cut off, which
//! the decoder shows as far as they go.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;

use exif::{In, Reader, Tag};

/// What turns a picture of each orientation upright, from 1 on, in the words of videoflip.
const TURNS: [Option<&str>; 8] =
    [None, Some("horiz"), Some("180"), Some("vert"), Some("ul-lr"), Some("90r"), Some("ur-ll"), Some("90l")];

/// How a JPEG file begins. GStreamer turns what others hold by itself, or cannot read them.
const JPEG: &[u8] = &[0xff, 0xd8];

/// What turns the picture in a file upright, where it is a JPEG file that asks for it.
pub fn turn(path: &Path) -> Option<&'static str> {
    let orientation = orientation(BufReader::new(File::open(path).ok()?))?;
    *TURNS.get(usize::try_from(orientation).ok()?.checked_sub(1)?)?
}

fn orientation(mut file: impl BufRead + Seek) -> Option<u32> {
    if !file.fill_buf().ok()?.starts_with(JPEG) {
        return None;
    }
    let found = Reader::new().read_from_container(&mut file).ok()?;
    found.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// The beginning of a JPEG file with two fields, of which the second is the orientation.
    fn head(orientation: u16, is_big: bool) -> Vec<u8> {
        let short = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut data = b"Exif\0\0".to_vec();
        data.extend(if is_big { b"MM\0*" } else { b"II*\0" });
        data.extend(long(8));
        data.extend(short(2));
        for (tag, value) in [(0x0100, 77), (0x0112, orientation)] {
            data.extend([short(tag), short(3)].concat());
            data.extend(long(1));
            data.extend([short(value), short(0)].concat());
        }
        data.extend(long(0));
        let mut file = b"\xff\xd8\xff\xe0\0\x05JFI\xff\xe1".to_vec();
        file.extend((data.len() as u16 + 2).to_be_bytes());
        file.extend(data);
        file
    }

    fn found(file: &[u8]) -> Option<u32> {
        orientation(Cursor::new(file))
    }

    #[test]
    fn the_orientation_is_read_in_either_order_of_bytes_of_pictures_that_are_cut_off_too() {
        for value in 0..=20 {
            for is_big in [false, true] {
                assert_eq!(found(&head(value, is_big)), Some(value.into()), "{value}, {is_big}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_has_no_such_data_has_no_orientation() {
        for is_big in [false, true] {
            let whole = head(6, is_big);
            for length in 0..whole.len() {
                assert_eq!(found(&whole[..length]), None, "{length}");
            }
            // Whatever a byte becomes, reading comes to an end.
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[at] = value;
                    let _ = found(&damaged);
                }
            }
        }
        assert_eq!(found(b"\xff\xd8\xff\xda\0\x02"), None);
        assert_eq!(found(b"\x89PNG"), None);
    }
}
