//! The fields of a line: lower-case hexadecimal numbers and strings, with one space between them.

/// Value of each hexadecimal digit; 255 for every other byte.
static DIGITS: [u8; 256] = digits();

const fn digits() -> [u8; 256] {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    table
}

/// The part of a line that was not read yet.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next number; `None` at the end, or if there is none of at most 64 bits.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let len = memchr::memchr(b' ', self.0).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(len);
        if digits.is_empty() || digits.len() > 16 {
            return None;
        }
        let mut value = 0_u64;
        for &digit in digits {
            let digit = DIGITS[usize::from(digit)];
            if digit > 15 {
                return None;
            }
            value = value << 4 | u64::from(digit);
        }
        self.0 = rest.get(1..).unwrap_or_default();
        Some(value)
    }

    /// The next number, if it fits 32 bits.
    pub(crate) fn short(&mut self) -> Option<u32> {
        self.number().and_then(|value| u32::try_from(value).ok())
    }

    /// The next string that says its length in bytes first.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let text = self.0.get(..len)?;
        self.0 = self.0.get(len + 1..).unwrap_or_default();
        Some(text)
    }

    /// The next string up to a space.
    pub(crate) fn word(&mut self) -> Option<&'a [u8]> {
        let len = memchr::memchr(b' ', self.0).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(len);
        self.0 = rest.get(1..).unwrap_or_default();
        (!word.is_empty()).then_some(word)
    }
}

/// Reads `+ 1a2b\n` or `- 1a2b\n` at the start of `text`: whether it is a free, the number, the bytes taken.
///
/// Nine of ten lines are of this kind, of three to six digits, and a loop over digits makes the processor guess each
/// line's length. So the number is taken out of one 64-bit word without a branch. `None` leaves the line to the
/// careful way: it is near the end of the chunk, longer than seven digits, or no such line.
#[inline]
pub(crate) fn indexed_event(text: &[u8]) -> Option<(bool, u32, usize)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let head: &[u8; 10] = text.first_chunk()?;
    let is_free = head[0] == b'-';
    if (head[0] != b'+' && !is_free) || head[1] != b' ' {
        return None;
    }
    let &[_, _, digits @ ..] = head;
    let word = u64::from_le_bytes(digits);
    let newlines = word ^ (ONES * u64::from(b'\n'));
    let found = newlines.wrapping_sub(ONES) & !newlines & (ONES << 7);
    let bits = found.trailing_zeros() & !7;
    if bits == 0 || bits == 64 {
        return None;
    }
    // The first digit moves up, so that the last stands in the highest byte and zeros fill the rest.
    let text = word << (64 - bits);
    let letters = text >> 6 & ONES;
    let values = (text & (ONES * 15)).wrapping_add(letters * 9);
    // Written back as digits they must give what was there: that is the check of all bytes at once.
    let over_nine = (values.wrapping_add(ONES * 6) >> 4) & ONES;
    let written = values.wrapping_add(ONES * u64::from(b'0')).wrapping_add(over_nine * 0x27);
    let used = u64::MAX << (64 - bits);
    if (written ^ text) & used != 0 || values & (ONES * 0xF0) != 0 {
        return None;
    }
    let mut number = values.swap_bytes();
    number = (number | number >> 4) & 0x00FF_00FF_00FF_00FF;
    number = (number | number >> 8) & 0x0000_FFFF_0000_FFFF;
    number |= number >> 16;
    Some((is_free, number as u32, 3 + bits as usize / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(bool, u32, usize)>) {
        let padded = format!("{text}          ");
        assert_eq!(indexed_event(padded.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn a_word_gives_the_number_of_an_event() {
        check("+ 0\n", Some((false, 0, 4)));
        check("- f\n", Some((true, 15, 4)));
        check("+ 1a2b\n", Some((false, 0x1A2B, 7)));
        check("- 0abcdef\n", Some((true, 0x0AB_CDEF, 10)));
        check("+ 1a2b\n+ 3c\n", Some((false, 0x1A2B, 7)));
    }

    #[test]
    fn other_lines_are_left_to_the_careful_way() {
        for text in [
            "+ \n",
            "+\n1",
            "+ 1A\n",
            "+ 1g\n",
            "+ :1\n",
            "+ 1 2\n",
            "+ 12345678\n",
            "a 1\n",
            "+ /\n",
            "+ \x01\n",
        ] {
            check(text, None);
        }
        assert_eq!(indexed_event(b"+ 1\n"), None, "too near to the end of the chunk");
    }

    #[test]
    fn every_number_of_seven_digits_is_read_as_the_careful_way_reads_it() {
        for number in (0..1_u32 << 28).step_by(7919) {
            let digits = format!("{number:x}");
            assert_eq!(Fields(digits.as_bytes()).short(), Some(number));
            check(&format!("+ {digits}\n"), Some((false, number, digits.len() + 3)));
        }
    }

    #[test]
    fn fields_end_where_the_line_ends() {
        let mut fields = Fields(b"5 a b c 1f word  2 xy");
        assert_eq!(fields.sized(), Some(&b"a b c"[..]));
        assert_eq!(fields.number(), Some(31));
        assert_eq!(fields.word(), Some(&b"word"[..]));
        assert_eq!(fields.word(), None);
        assert_eq!(fields.sized(), Some(&b"xy"[..]));
        assert_eq!(fields.number(), None);
        assert_eq!(Fields(b"9 short").sized(), None);
        assert_eq!(Fields(b"12345678901234567").number(), None);
        assert_eq!(Fields(b"100000000").short(), None);
    }
}
