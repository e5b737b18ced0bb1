//! Lines of a text with their places, and what is wrong with them.

use crate::damage::Damage;

/// A line without its end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// Byte offset.
    pub(super) offset: usize,
    /// From 1.
    pub(super) number: u64,
}

/// The lines of a text; one without an end at the end of the text counts.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
    number: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Lines { bytes, offset: 0, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.number += 1;
        let text = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let line = Line { text, offset: self.offset, number: self.number };
        self.offset += end + 1;
        Some(line)
    }
}

/// What was wrong so far, one entry a kind.
#[derive(Default)]
pub(super) struct Wrongs(Vec<Damage>);

impl Wrongs {
    pub(super) fn add(&mut self, line: Line<'_>, what: &str) {
        match self.0.iter_mut().find(|damage| damage.what == what) {
            Some(damage) => damage.count += 1,
            None => self.0.push(Damage {
                line: line.number,
                offset: line.offset as u64,
                count: 1,
                what: what.to_owned(),
            }),
        }
    }

    pub(super) fn finish(self) -> Vec<Damage> {
        self.0
    }
}

/// A decimal number of 64 bits.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// A hexadecimal number of 64 bits, with or without `0x`.
pub(super) fn hexadecimal(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |value, &digit| Some(value << 4 | u64::from(char::from(digit).to_digit(16)?)))
}

/// The number of bytes or blocks as a column has it: it stops at the largest.
pub(super) fn cost(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Words between spaces and tabs.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_places() {
        let lines: Vec<_> = Lines::new(b"a\r\n\nbc").map(|l| (l.text.to_vec(), l.offset, l.number)).collect();
        assert_eq!(lines, [(b"a".to_vec(), 0, 1), (b"".to_vec(), 3, 2), (b"bc".to_vec(), 4, 3)]);
        assert_eq!(Lines::new(b"").count(), 0);
    }

    #[test]
    fn numbers_are_whole() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!((decimal(b""), decimal(b"-1"), decimal(b"1a")), (None, None, None));
        assert_eq!(hexadecimal(b"0xFf"), Some(255));
        assert_eq!(
            (hexadecimal(b"0x"), hexadecimal(b"g"), hexadecimal(b"12345678901234567")),
            (None, None, None)
        );
    }
}
