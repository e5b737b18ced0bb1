//! The strings: two for each, one as a name and one as a value.

use memchr::memchr2;

use super::RedactStats;
use super::labels::{self, is_script_file, is_script_name, is_word_of_v8};
use super::layout::Layout;
use super::marks::{CODE, LABEL, Marks, VALUE};
use super::mask::{LongText, Masker};
use super::numbers::Stop;
use crate::string_section::StringReader;
use crate::strings::StringTable;
use crate::wtf8::Wtf8;

/// Longer texts are not kept as a whole. V8 cuts them at 1024 units, unless it is told otherwise.
const LONGEST: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In front of the first string, or the end.
    First,
    /// In front of a string, behind a comma.
    Next,
    Inside,
    /// Inside, behind a backslash.
    Escape,
    /// Behind a string.
    After,
}

/// The section between two chunks.
pub(super) struct Texts {
    state: State,
    /// The string under way as it stands in the file, without quotes.
    raw: Vec<u8>,
    /// The string under way, as soon as it is too long for `raw`.
    long: Option<LongText>,
    index: u64,
}

/// What is needed to write a string.
pub(super) struct Context<'a> {
    pub(super) layout: &'a Layout,
    pub(super) marks: &'a Marks,
    pub(super) masker: &'a Masker,
    pub(super) stats: &'a mut RedactStats,
}

impl Texts {
    pub(super) fn new() -> Self {
        Texts { state: State::First, raw: Vec::new(), long: None, index: 0 }
    }

    /// Strings read so far.
    pub(super) fn count(&self) -> u64 {
        self.index
    }

    pub(super) fn read(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> (usize, Stop) {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            let is_space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
            match self.state {
                State::First | State::Next if byte == b'"' => {
                    at += 1;
                    // Most strings lie in one chunk as a whole and have no escapes.
                    let rest = &input[at..];
                    if let Some(end) = memchr2(b'"', b'\\', &rest[..rest.len().min(LONGEST)])
                        && rest[end] == b'"'
                    {
                        self.write(&rest[..end], context, out);
                        at += end + 1;
                        self.state = State::After;
                        continue;
                    }
                    self.state = State::Inside;
                    continue;
                }
                State::First | State::After if byte == b']' => {
                    out.push(byte);
                    return (at + 1, Stop::End);
                }
                State::After if byte == b',' => {
                    self.state = State::Next;
                    out.push(byte);
                }
                State::First | State::Next | State::After if is_space => out.push(byte),
                State::First | State::Next => {
                    return (
                        at,
                        Stop::Bad(format!("found {}, a string was expected", super::describe(byte))),
                    );
                }
                State::After => {
                    return (at, Stop::Bad(format!("found {}, a comma was expected", super::describe(byte))));
                }
                State::Inside => {
                    let rest = &input[at..];
                    let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    self.push(&rest[..plain], context);
                    at += plain;
                    match rest.get(plain) {
                        Some(b'"') => self.close(context, out),
                        Some(escape) => {
                            self.push(&[*escape], context);
                            self.state = State::Escape;
                        }
                        None => return (at, Stop::NeedInput),
                    }
                }
                State::Escape => {
                    self.push(&[byte], context);
                    self.state = State::Inside;
                }
            }
            at += 1;
        }
        (at, Stop::NeedInput)
    }

    /// More of the string under way.
    fn push(&mut self, mut bytes: &[u8], context: &Context<'_>) {
        // Cut at places that depend on the text only, not on the chunks.
        while self.raw.len() + bytes.len() > LONGEST {
            let (now, later) = bytes.split_at(LONGEST - self.raw.len());
            self.raw.extend_from_slice(now);
            bytes = later;
            let cut = last_whole(&self.raw);
            let text = decoded(&self.raw[..cut]);
            self.long.get_or_insert_with(|| context.masker.long_text()).push(&text);
            self.raw.drain(..cut);
        }
        self.raw.extend_from_slice(bytes);
    }

    fn close(&mut self, context: &mut Context<'_>, out: &mut Vec<u8>) {
        let raw = std::mem::take(&mut self.raw);
        match self.long.take() {
            None => self.write(&raw, context, out),
            Some(mut long) => {
                long.push(&decoded(&raw));
                self.write_long(&long, context, out);
            }
        }
        self.raw = raw;
        self.raw.clear();
        self.state = State::After;
    }

    /// Writes both forms of a string.
    fn write(&mut self, raw: &[u8], context: &mut Context<'_>, out: &mut Vec<u8>) {
        let bits = context.marks.of(self.index);
        // Nothing refers to `<dummy>`, which stands in front in every file.
        let is_label = bits & LABEL != 0 || self.index == 0;
        context.stats.strings += 1;
        self.index += 1;
        let buffer;
        let text = if raw.is_ascii() && !raw.contains(&b'\\') {
            raw
        } else {
            buffer = decoded(raw);
            &buffer
        };
        out.push(b'"');
        let label_start = out.len();
        if is_label {
            match labels::masked(text, bits, context.marks, context.masker) {
                Some(masked) => {
                    push_json(&masked, out);
                    context.stats.labels_masked += 1;
                }
                None => {
                    out.extend_from_slice(raw);
                    context.stats.labels_kept += 1;
                }
            }
        }
        let label = label_start..out.len();
        out.extend_from_slice(b"\",\"");
        if bits & VALUE != 0 {
            self.write_value(text, bits, label, context, out);
        }
        out.push(b'"');
    }

    fn write_value(
        &self,
        text: &[u8],
        bits: u8,
        label: std::ops::Range<usize>,
        context: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) {
        // The name of a script is a string like any other; without it nobody knows where a function stands.
        let is_script = if bits & CODE != 0 {
            is_script_name(text)
        } else {
            context.layout.scripts_have_prefix && is_script_file(text)
        };
        if is_word_of_v8(text) || text.is_empty() {
            out.extend_from_slice(text);
        } else if is_script && bits & LABEL != 0 {
            out.extend_from_within(label);
            context.stats.script_names_kept += 1;
        } else if is_script {
            match labels::masked(text, 0, context.marks, context.masker) {
                Some(masked) => push_json(&masked, out),
                None => push_json(text, out),
            }
            context.stats.script_names_kept += 1;
        } else {
            context.masker.replace(text, out);
            context.stats.values_replaced += 1;
        }
    }

    /// A text of more than a megabyte is nobody's name, whatever refers to it.
    fn write_long(&mut self, text: &LongText, context: &mut Context<'_>, out: &mut Vec<u8>) {
        let bits = context.marks.of(self.index);
        context.stats.strings += 1;
        self.index += 1;
        out.push(b'"');
        if bits & LABEL != 0 {
            context.masker.replace_long(text, out);
            context.stats.labels_masked += 1;
        }
        out.extend_from_slice(b"\",\"");
        if bits & VALUE != 0 {
            context.masker.replace_long(text, out);
            context.stats.values_replaced += 1;
        }
        out.push(b'"');
    }
}

/// A JSON string without its quotes, in WTF-8, as the parser reads it.
fn decoded(raw: &[u8]) -> Vec<u8> {
    let mut table = StringTable::default();
    let mut reader = StringReader::new();
    for part in [b"\"", raw, b"\""] {
        reader.read(part, &mut table);
    }
    std::mem::take(table.buffer())
}

/// Appends a text in WTF-8 as JSON, without quotes.
fn push_json(text: &[u8], out: &mut Vec<u8>) {
    let json = Wtf8::new(text).to_json();
    out.extend_from_slice(&json.as_bytes()[1..json.len() - 1]);
}

/// Bytes of `raw` that end neither in an escape nor in a character.
fn last_whole(raw: &[u8]) -> usize {
    let mut at = 0;
    while let Some(escape) = memchr::memchr(b'\\', &raw[at..]).map(|found| at + found) {
        let len = if raw.get(escape + 1) == Some(&b'u') { 6 } else { 2 };
        if escape + len > raw.len() {
            return escape;
        }
        at = escape + len;
    }
    let tail = raw[at..].iter().rev().take(3).take_while(|b| **b & 0xC0 == 0x80).count();
    let lead = raw.len() - tail - 1;
    if lead >= at && raw[lead] >= 0xC0 { lead } else { raw.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        for (raw, want) in [
            (&b"abc"[..], 3),
            (b"ab\\", 2),
            (b"ab\\n", 4),
            (b"ab\\u00e", 2),
            (b"ab\\\\", 4),
            ("abé".as_bytes(), 2),
            ("abé".as_bytes().split_last().unwrap().1, 2),
            ("é😀".as_bytes().split_last().unwrap().1, 2),
        ] {
            assert_eq!(last_whole(raw), want, "{raw:?}");
        }
    }
}
