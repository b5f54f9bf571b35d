//! The sheet: a row per frame, before on the left and after on the right, what is between them between them,
//! pixel by pixel.

use gstfacesr::image::{Picture, Size, copy, crop_mut};

use super::letters::{Dots, write};

/// Pixels around everything and between the pictures.
const GAP: usize = 8;
/// Pixels of width from which on letters are larger.
const WIDE: usize = 640;

const PAPER: [u8; 3] = [24; 3];
const INK: [u8; 3] = [220; 3];

/// Draws a row for each frame: its pictures, which are all of one size and at least one, each under its name.
pub fn draw(rows: &[(usize, Vec<Picture<u8>>)], names: &[String]) -> Picture<u8> {
    let first = rows.first().and_then(|(_, pictures)| pictures.first());
    let size = first.map_or(Size::new(0, 0), |picture| Size::of(&picture.view()));
    let dots = Dots(if size.width < WIDE { 2 } else { 3 });
    let caption_height = dots.tall() + 2 * GAP;
    let step = caption_height + size.height;
    let whole = Size::new(names.len() * (size.width + GAP) + GAP, rows.len() * step + GAP);
    let mut sheet = Picture::from_shape_fn((whole.height, whole.width, 3), |(_, _, channel)| PAPER[channel]);
    for (number, (frame, pictures)) in rows.iter().enumerate() {
        for (side, (picture, name)) in pictures.iter().zip(names).enumerate() {
            let (left, top) = (GAP + side * (size.width + GAP), number * step);
            let caption = caption(*frame, name, dots.letters(size.width));
            write(&mut sheet, &caption, (left, top + GAP), dots, INK);
            copy(picture.view(), crop_mut(sheet.view_mut(), left, top + caption_height, size));
        }
    }
    sheet
}

/// The frame and the name in at most `most` letters. Of a long name the end is kept, in which
/// names of one clip differ.
fn caption(frame: usize, name: &str, most: usize) -> String {
    let frame = frame.to_string();
    let excess = (frame.len() + 1 + name.chars().count()).saturating_sub(most);
    let name: String = name.chars().skip(excess).collect();
    format!("{frame} {name}").chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pictures_are_there_pixel_by_pixel() {
        let noise = |seed: usize| {
            Picture::<u8>::from_shape_fn((11, 17, 3), |(y, x, c)| (y * 31 + x * 7 + c + seed) as u8)
        };
        for count in [1, 2, 3] {
            let row = |frame| (frame, (0..count).map(|side| noise(frame + side)).collect::<Vec<_>>());
            let rows = [row(0), row(7)];
            let sheet = draw(&rows, &vec!["a".to_owned(); count]);
            let caption = Dots(2).tall() + 2 * GAP;
            assert_eq!(sheet.dim(), (2 * (caption + 11) + GAP, count * (17 + GAP) + GAP, 3));
            for (number, (_, pictures)) in rows.iter().enumerate() {
                for (side, picture) in pictures.iter().enumerate() {
                    for ((y, x, c), value) in picture.indexed_iter() {
                        let row = caption + number * (caption + 11) + y;
                        assert_eq!(sheet[(row, GAP + side * (17 + GAP) + x, c)], *value);
                    }
                }
            }
        }
    }

    #[test]
    fn a_caption_fits_and_keeps_the_end_of_a_name() {
        assert_eq!(caption(10, "clip.mkv", 20), "10 clip.mkv");
        assert_eq!(caption(10, "clip.before", 9), "10 before");
        assert_eq!(caption(123, "clip", 2), "12");
        assert_eq!(caption(1, "", 0), "");
    }
}
