//! Letters for captions, three dots wide and five high.

use gstfacesr::image::Picture;

/// Dots of a letter across and down.
const WIDTH: usize = 3;
const HEIGHT: usize = 5;

/// How large letters are: pixels of the side of a dot.
#[derive(Clone, Copy, Debug)]
pub struct Dots(pub usize);

impl Dots {
    /// Pixels from the top to the bottom of a letter.
    pub fn tall(self) -> usize {
        HEIGHT * self.0
    }

    /// Letters that fit into a line of `pixels`.
    pub fn letters(self, pixels: usize) -> usize {
        pixels / self.advance()
    }

    /// Pixels from one letter to the next.
    fn advance(self) -> usize {
        (WIDTH + 1) * self.0
    }
}

/// A letter, and its rows from the top: one octal digit each, the left dot is 4.
type Letter = (char, u16);

// A table is read by columns, not one letter a line.
#[rustfmt::skip]
const LETTERS: &[Letter] = &[
    ('0', 0o75557), ('1', 0o26227), ('2', 0o71747), ('3', 0o71717), ('4', 0o55711),
    ('5', 0o74717), ('6', 0o74757), ('7', 0o71122), ('8', 0o75757), ('9', 0o75717),
    ('A', 0o25755), ('B', 0o65656), ('C', 0o34443), ('D', 0o65556), ('E', 0o74647),
    ('F', 0o74644), ('G', 0o34553), ('H', 0o55755), ('I', 0o72227), ('J', 0o11152),
    ('K', 0o55655), ('L', 0o44447), ('M', 0o57755), ('N', 0o65555), ('O', 0o25552),
    ('P', 0o65644), ('Q', 0o25573), ('R', 0o65655), ('S', 0o34216), ('T', 0o72222),
    ('U', 0o55557), ('V', 0o55552), ('W', 0o55775), ('X', 0o55255), ('Y', 0o55222),
    ('Z', 0o71247), (' ', 0o00000), ('.', 0o00002), ('-', 0o00700), ('_', 0o00007),
    (':', 0o02020), ('/', 0o11244), ('+', 0o02720), ('(', 0o12221), (')', 0o42224),
];

/// What stands for a letter that is not there: a frame.
const UNKNOWN: u16 = 0o75557;

/// Writes a line with its upper left corner at `(left, top)`, capitals only.
pub fn write(picture: &mut Picture<u8>, text: &str, (left, top): (usize, usize), size: Dots, ink: [u8; 3]) {
    for (number, letter) in text.chars().enumerate() {
        let left = left + number * size.advance();
        let letter = letter.to_ascii_uppercase();
        let dots = LETTERS.iter().find(|(known, _)| *known == letter).map_or(UNKNOWN, |(_, dots)| *dots);
        for (y, x) in (0..size.tall()).flat_map(|y| (0..WIDTH * size.0).map(move |x| (y, x))) {
            let bit = (HEIGHT - 1 - y / size.0) * WIDTH + (WIDTH - 1 - x / size.0);
            if dots >> bit & 1 == 0 {
                continue;
            }
            for (channel, ink) in ink.into_iter().enumerate() {
                if let Some(sample) = picture.get_mut((top + y, left + x, channel)) {
                    *sample = ink;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_is_there_once_and_none_but_zero_looks_like_an_unknown_one() {
        for known in ('A'..='Z').chain('0'..='9') {
            assert_eq!(LETTERS.iter().filter(|(letter, _)| *letter == known).count(), 1, "{known}");
        }
        let frames = LETTERS.iter().filter(|(_, dots)| *dots == UNKNOWN).count();
        assert_eq!(frames, 1);
    }

    #[test]
    fn letters_that_fit_stay_between_their_borders() {
        for size in [Dots(1), Dots(2), Dots(3)] {
            let mut picture = Picture::<u8>::zeros((20, 200, 3));
            let text = "8".repeat(size.letters(90));
            write(&mut picture, &text, (10, 2), size, [9; 3]);
            for ((y, x, _), value) in picture.indexed_iter() {
                assert!(*value == 0 || (10..100).contains(&x) && (2..2 + size.tall()).contains(&y));
            }
            assert!(picture.iter().any(|value| *value == 9));
        }
    }
}
