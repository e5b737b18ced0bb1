//! The `strings` section: JSON strings to the string table, across chunk borders.

use memchr::memchr2;

use crate::strings::StringTable;
use crate::wtf8::{decode_first, push_utf16_unit};

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringStop {
    /// All input is used.
    NeedInput,
    /// The closing bracket, consumed.
    End,
    /// A byte that does not belong here, not consumed.
    Unexpected(u8),
    /// More strings than 32 bits can name.
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between strings.
    Outside,
    /// Inside a string.
    Inside,
    /// Behind a backslash.
    Escape,
    /// Inside `\uXXXX`: value so far and digits missing.
    Unicode(u16, u8),
}

/// State of the section between two chunks.
pub(crate) struct StringReader {
    state: State,
    /// The string under construction holds raw bytes above 0x7F, which must be checked.
    raw_high: bool,
    strings: u64,
    commas: u64,
    /// Escapes that JSON does not know; they are kept as they stand.
    pub(crate) bad_escapes: u64,
}

impl StringReader {
    pub(crate) fn new() -> Self {
        StringReader { state: State::Outside, raw_high: false, strings: 0, commas: 0, bad_escapes: 0 }
    }

    /// True if strings and commas alternate as they should, judged at the end of the section.
    pub(crate) fn is_balanced(&self) -> bool {
        self.commas == self.strings.saturating_sub(1)
    }

    /// True if the last chunk ended inside a string.
    pub(crate) fn in_string(&self) -> bool {
        self.state != State::Outside
    }

    pub(crate) fn read(&mut self, input: &[u8], table: &mut StringTable) -> (usize, StringStop) {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            match self.state {
                State::Outside => {
                    match byte {
                        b'"' => {
                            if self.strings == u64::from(u32::MAX) {
                                return (at, StringStop::TooMany);
                            }
                            self.state = State::Inside;
                            self.raw_high = false;
                        }
                        b',' => self.commas += 1,
                        b' ' | b'\n' | b'\r' | b'\t' => {}
                        b']' => return (at + 1, StringStop::End),
                        other => return (at, StringStop::Unexpected(other)),
                    }
                    at += 1;
                }
                State::Inside => {
                    let rest = &input[at..];
                    let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    self.raw_high |= !rest[..plain].is_ascii();
                    table.buffer().extend_from_slice(&rest[..plain]);
                    at += plain;
                    match rest.get(plain) {
                        Some(b'"') => {
                            self.close(table);
                            at += 1;
                        }
                        Some(_) => {
                            self.state = State::Escape;
                            at += 1;
                        }
                        None => {}
                    }
                }
                State::Escape => {
                    self.state = State::Inside;
                    at += 1;
                    let plain = match byte {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 0x08,
                        b'f' => 0x0C,
                        b'"' | b'\\' | b'/' => byte,
                        b'u' => {
                            self.state = State::Unicode(0, 4);
                            continue;
                        }
                        other => {
                            self.bad_escapes += 1;
                            self.raw_high |= !other.is_ascii();
                            table.buffer().push(b'\\');
                            other
                        }
                    };
                    table.buffer().push(plain);
                }
                State::Unicode(value, missing) => {
                    let Some(digit) = (byte as char).to_digit(16) else {
                        // Whatever this is, it is not part of the escape; a quote here still ends the string.
                        self.bad_escapes += 1;
                        table.buffer().extend_from_slice("\u{FFFD}".as_bytes());
                        self.state = State::Inside;
                        continue;
                    };
                    at += 1;
                    let value = value << 4 | digit as u16;
                    if missing == 1 {
                        let from = table.open_at();
                        push_utf16_unit(table.buffer(), from, value);
                        self.state = State::Inside;
                    } else {
                        self.state = State::Unicode(value, missing - 1);
                    }
                }
            }
        }
        (at, StringStop::NeedInput)
    }

    fn close(&mut self, table: &mut StringTable) {
        if self.raw_high {
            replace_broken_bytes(table);
        }
        table.end_string();
        self.strings += 1;
        self.state = State::Outside;
    }
}

/// Bytes that are not valid UTF-8 become U+FFFD, as a browser reading the file would have it.
fn replace_broken_bytes(table: &mut StringTable) {
    let from = table.open_at();
    let text = &table.buffer()[from..];
    if std::str::from_utf8(text).is_ok() {
        return;
    }
    let mut fixed = Vec::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some((unit, len)) = decode_first(rest) {
        match unit {
            Ok(c) => fixed.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(surrogate) => push_utf16_unit(&mut fixed, 0, surrogate),
        }
        rest = &rest[len..];
    }
    let buffer = table.buffer();
    buffer.truncate(from);
    buffer.extend_from_slice(&fixed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StringId;

    #[track_caller]
    fn check(json: &[u8], want: &[&str], stop: StringStop, balanced: bool) {
        for chunk in [1, 2, 3, 5, 1000] {
            let mut table = StringTable::default();
            let mut reader = StringReader::new();
            let mut at = 0;
            let mut last = StringStop::NeedInput;
            while at < json.len() && last == StringStop::NeedInput {
                let end = (at + chunk).min(json.len());
                let (used, stopped) = reader.read(&json[at..end], &mut table);
                at += used;
                last = stopped;
            }
            let got: Vec<String> =
                (0..table.len()).map(|i| table.get(StringId(i as u32)).to_json()).collect();
            assert_eq!(got, want, "chunk {chunk}");
            assert_eq!(last, stop, "chunk {chunk}");
            assert_eq!(reader.is_balanced(), balanced, "chunk {chunk}");
        }
    }

    #[test]
    fn v8s_escapes() {
        check(br#""a","b\"c\\\n\u0000\/"]"#, &[r#""a""#, r#""b\"c\\\n\u0000/""#], StringStop::End, true);
        check(
            br#""\uD83D\uDE00" , "x\uD800", "\uDC00\uD83D"]"#,
            &["\"😀\"", r#""x\ud800""#, r#""\udc00\ud83d""#],
            StringStop::End,
            true,
        );
        check(br#""\uD83D","\uDE00"]"#, &[r#""\ud83d""#, r#""\ude00""#], StringStop::End, true);
    }

    #[test]
    fn other_producers_and_damage() {
        check("\"é😀\"]".as_bytes(), &["\"é😀\""], StringStop::End, true);
        check(b"\"a\xFF\xE2\x82b\"]", &["\"a\u{FFFD}\u{FFFD}\u{FFFD}b\""], StringStop::End, true);
        check(br#""\u12"]"#, &["\"\u{FFFD}\""], StringStop::End, true);
        check(br#""a","#, &["\"a\""], StringStop::NeedInput, false);
        check(br#""a",7"#, &["\"a\""], StringStop::Unexpected(b'7'), false);
        check(br#""a""b"]"#, &["\"a\"", "\"b\""], StringStop::End, false);
    }
}
