//! Text as V8 writes it: UTF-8 that may hold lone surrogates.

use std::fmt;
use std::io;

/// A string in [WTF-8](https://simonsapin.github.io/wtf-8/): UTF-8 in which a lone UTF-16 surrogate stands as its
/// three-byte generalisation.
///
/// V8 writes the low 16 bits of characters above U+FFFF, so `\uD800` occurs in real snapshots where a script only
/// ever used legal text. `str` can't hold it, and replacing it would merge names that DevTools tells apart.
#[repr(transparent)]
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wtf8([u8]);

impl Wtf8 {
    /// Views bytes that a string table decoded, or any UTF-8.
    #[expect(unsafe_code, reason = "a slice cast between a type and its transparent wrapper")]
    pub fn new(bytes: &[u8]) -> &Wtf8 {
        // SAFETY: `Wtf8` is `repr(transparent)` over `[u8]`, so the pointer and its length mean the same; nothing
        // relies on the content being well-formed.
        unsafe { &*(std::ptr::from_ref(bytes) as *const Wtf8) }
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the empty string.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length JavaScript would give, in UTF-16 code units.
    pub fn utf16_len(&self) -> usize {
        self.0.iter().map(|&b| usize::from(b & 0xC0 != 0x80) + usize::from(b >= 0xF0)).sum()
    }

    /// The text, with lone surrogates replaced by U+FFFD.
    pub fn to_string_lossy(&self) -> std::borrow::Cow<'_, str> {
        // Three bytes of a surrogate are three errors to the standard library; one replacement character is what
        // browsers show.
        match std::str::from_utf8(&self.0) {
            Ok(text) => std::borrow::Cow::Borrowed(text),
            Err(_) => {
                let mut out = String::with_capacity(self.0.len());
                for unit in self.chars() {
                    out.push(unit.unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                std::borrow::Cow::Owned(out)
            }
        }
    }

    /// Code points; `Err` holds a lone surrogate.
    pub fn chars(&self) -> impl Iterator<Item = Result<char, u16>> + '_ {
        let mut rest = &self.0;
        std::iter::from_fn(move || {
            let (unit, len) = decode_first(rest)?;
            rest = &rest[len..];
            Some(unit)
        })
    }

    /// True if the text holds a lone surrogate, so that `str` can't.
    pub fn has_lone_surrogate(&self) -> bool {
        std::str::from_utf8(&self.0).is_err()
    }

    /// Writes the text as a JSON string, lone surrogates as `\udXXX`, exactly as JavaScript's `JSON.stringify`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(b"\"")?;
        let mut plain = 0;
        let bytes = &self.0;
        let mut at = 0;
        while at < bytes.len() {
            let b = bytes[at];
            let surrogate = b == 0xED && bytes.get(at + 1).is_some_and(|&c| c >= 0xA0);
            if b >= 0x20 && b != b'"' && b != b'\\' && !surrogate {
                at += 1;
                continue;
            }
            out.write_all(&bytes[plain..at])?;
            match b {
                b'"' => out.write_all(b"\\\"")?,
                b'\\' => out.write_all(b"\\\\")?,
                0x08 => out.write_all(b"\\b")?,
                0x0C => out.write_all(b"\\f")?,
                b'\n' => out.write_all(b"\\n")?,
                b'\r' => out.write_all(b"\\r")?,
                b'\t' => out.write_all(b"\\t")?,
                _ if surrogate => {
                    let unit = match decode_first(&bytes[at..]) {
                        Some((Err(unit), _)) => unit,
                        _ => 0xFFFD,
                    };
                    write!(out, "\\u{unit:04x}")?;
                    at = (at + 2).min(bytes.len() - 1);
                }
                _ => write!(out, "\\u{b:04x}")?,
            }
            at += 1;
            plain = at;
        }
        out.write_all(&bytes[plain..])?;
        out.write_all(b"\"")
    }

    /// [`Wtf8::write_json`] into a string.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(self.0.len() + 2);
        // A Vec never fails, and JSON escapes leave no byte that is not UTF-8.
        let written = self.write_json(&mut out);
        debug_assert!(written.is_ok());
        String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

impl fmt::Display for Wtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_string_lossy())
    }
}

impl fmt::Debug for Wtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string_lossy(), f)
    }
}

impl PartialEq<str> for Wtf8 {
    fn eq(&self, other: &str) -> bool {
        &self.0 == other.as_bytes()
    }
}

impl<'a> From<&'a str> for &'a Wtf8 {
    fn from(text: &'a str) -> Self {
        Wtf8::new(text.as_bytes())
    }
}

/// The first code point of `bytes` and its length; bytes that are no WTF-8 count as U+FFFD each.
pub(crate) fn decode_first(bytes: &[u8]) -> Option<(Result<char, u16>, usize)> {
    let &b0 = bytes.first()?;
    let replacement = Some((Ok(char::REPLACEMENT_CHARACTER), 1));
    let next = |i: usize| bytes.get(i).filter(|&&b| b & 0xC0 == 0x80).map(|&b| u32::from(b & 0x3F));
    let (code, len, least) = match b0 {
        0..0x80 => return Some((Ok(b0 as char), 1)),
        0xC2..0xE0 => match next(1) {
            Some(b1) => (u32::from(b0 & 0x1F) << 6 | b1, 2, 0x80),
            None => return replacement,
        },
        0xE0..0xF0 => match (next(1), next(2)) {
            (Some(b1), Some(b2)) => (u32::from(b0 & 0x0F) << 12 | b1 << 6 | b2, 3, 0x800),
            _ => return replacement,
        },
        0xF0..0xF5 => match (next(1), next(2), next(3)) {
            (Some(b1), Some(b2), Some(b3)) => {
                (u32::from(b0 & 0x07) << 18 | b1 << 12 | b2 << 6 | b3, 4, 0x1_0000)
            }
            _ => return replacement,
        },
        _ => return replacement,
    };
    if code < least {
        return replacement;
    }
    match char::from_u32(code) {
        Some(c) => Some((Ok(c), len)),
        None if len == 3 => Some((Err(code as u16), 3)),
        None => replacement,
    }
}

/// Appends one UTF-16 code unit, joining it with a high surrogate that `out` ends with (not before `from`).
pub(crate) fn push_utf16_unit(out: &mut Vec<u8>, from: usize, unit: u16) {
    let code = u32::from(unit);
    if (0xDC00..0xE000).contains(&unit) && out.len() >= from + 3 {
        let tail = &out[out.len() - 3..];
        if let Some((Err(high @ 0xD800..0xDC00), 3)) = decode_first(tail) {
            let joined = 0x1_0000 + ((u32::from(high) - 0xD800) << 10) + (code - 0xDC00);
            out.truncate(out.len() - 3);
            let mut buffer = [0; 4];
            let c = char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            return;
        }
    }
    match unit {
        0..0x80 => out.push(unit as u8),
        0x80..0x800 => out.extend([0xC0 | (unit >> 6) as u8, 0x80 | (unit & 0x3F) as u8]),
        _ => out.extend([
            0xE0 | (unit >> 12) as u8,
            0x80 | (unit >> 6 & 0x3F) as u8,
            0x80 | (unit & 0x3F) as u8,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(units: &[u16], json: &str, shown: &str, len: usize) {
        let mut bytes = Vec::new();
        for &unit in units {
            push_utf16_unit(&mut bytes, 0, unit);
        }
        let text = Wtf8::new(&bytes);
        assert_eq!(text.to_json(), json);
        assert_eq!(text.to_string_lossy(), shown);
        assert_eq!(text.utf16_len(), len);
    }

    #[test]
    fn text_survives_what_utf8_can_not_hold() {
        check(&[], "\"\"", "", 0);
        check(&[0x61, 0x22, 0x0A, 0x01], "\"a\\\"\\n\\u0001\"", "a\"\n\u{1}", 4);
        check(&[0xD800], "\"\\ud800\"", "\u{FFFD}", 1);
        check(&[0xDC00, 0xD800, 0x7A], "\"\\udc00\\ud800z\"", "\u{FFFD}\u{FFFD}z", 3);
        check(&[0xD83D, 0xDE00], "\"\u{1F600}\"", "\u{1F600}", 2);
        check(&[0xE9, 0x20AC], "\"é€\"", "é€", 2);
    }

    #[test]
    fn broken_bytes_become_replacement_characters() {
        let text = Wtf8::new(b"a\xFFb\xE2\x82");
        assert_eq!(text.to_string_lossy(), "a\u{FFFD}b\u{FFFD}\u{FFFD}");
    }
}
