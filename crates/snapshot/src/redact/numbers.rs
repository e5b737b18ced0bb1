//! Sections of numbers: copied as they stand, but for the numbers of strings.
//!
//! String `i` becomes string `2i` where it is a name and `2i + 1` where it is a value; each entry of the strings is
//! written twice. The fast path never turns such a number into digits again: it doubles the digits themselves, eight
//! at once.

use super::layout::{EdgeRole, Layout, NodeRole, Shape};
use super::marks::{CODE, LABEL, LEADS_TO_VALUE, Marks, VALUE};

/// Bytes of input that the fast path wants ahead: more than any record that it takes.
const AHEAD: usize = 1024;
/// More bytes than a field may have that the fast path takes, its separators included.
const LONGEST_FIELD: usize = 28;
/// Input that is worked off at once, so that room for the output is made a few times only.
const STRETCH: usize = 1 << 16;

/// Highest number of a string: twice as much must still be a number of 32 bits.
const MOST_STRINGS: u64 = 1 << 31;
/// A file of so many bytes can't hold references to more different strings than it has bytes; but only from here on
/// that matters to anybody's memory.
const ALWAYS_ALLOWED: u64 = 1 << 24;

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    NeedInput,
    /// The closing bracket, consumed.
    End,
    /// Something does not fit, at the place reached.
    Bad(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The first number, or the end.
    First,
    Number,
    /// A comma, or the end.
    Separator,
    /// More digits, or what ends a number.
    Digit,
}

/// One section between two chunks.
pub(super) struct Numbers {
    shape: Shape,
    expect: Expect,
    /// The field that comes, or is under way.
    field: usize,
    value: u64,
    is_negative: bool,
    has_digits: bool,
    /// Of the record under way.
    kind: u64,
    name: u64,
    /// A node's id, an edge's target.
    other: u64,
}

impl Numbers {
    pub(super) fn new(shape: Shape) -> Self {
        Numbers {
            shape,
            expect: Expect::First,
            field: 0,
            value: 0,
            is_negative: false,
            has_digits: false,
            kind: 0,
            name: 0,
            other: 0,
        }
    }

    /// Reads the start of `input`, which stands at byte `offset`; returns the bytes used.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        offset: u64,
        layout: &Layout,
        marks: &mut Marks,
        out: &mut Vec<u8>,
    ) -> (usize, Stop) {
        let mut at = 0;
        while at < input.len() {
            let at_record = self.field == 0 && self.expect == Expect::Number;
            if at_record && input.len() - at > AHEAD && self.shape.is_usual() {
                let end = input.len().min(at + STRETCH);
                let limit = ALWAYS_ALLOWED.saturating_add(offset);
                at += match self.shape {
                    Shape::Nodes { .. } => nodes(&input[at..end], limit, layout, marks, out),
                    _ => edges(&input[at..end], limit, layout, marks, out),
                };
            }
            // Some bytes at least, then the fast path may try again.
            let until = (at + 64).min(input.len());
            while at < until {
                match self.step(input[at], offset + at as u64, layout, marks, out) {
                    Stop::NeedInput => at += 1,
                    Stop::End => return (at + 1, Stop::End),
                    bad @ Stop::Bad(_) => return (at, bad),
                }
                if self.field == 0 && self.expect == Expect::Number {
                    break;
                }
            }
        }
        (at, Stop::NeedInput)
    }

    fn step(&mut self, byte: u8, offset: u64, layout: &Layout, marks: &mut Marks, out: &mut Vec<u8>) -> Stop {
        let is_reference = self.is_reference(layout);
        if byte.is_ascii_digit() && self.expect != Expect::Separator {
            self.expect = Expect::Digit;
            self.has_digits = true;
            let digit = u64::from(byte - b'0');
            self.value = self.value.saturating_mul(10).saturating_add(digit);
            if !is_reference {
                out.push(byte);
            }
            return Stop::NeedInput;
        }
        if byte == b'-' && matches!(self.expect, Expect::First | Expect::Number) && !is_reference {
            // Up to Node 26 the numbers of elements beyond 2³¹ have a sign.
            self.expect = Expect::Digit;
            self.is_negative = true;
            out.push(byte);
            return Stop::NeedInput;
        }
        let is_space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        if !is_space && !matches!(byte, b',' | b']') {
            return Stop::Bad(format!("found {}, a number was expected", super::describe(byte)));
        }
        if self.expect == Expect::Digit {
            if !self.has_digits {
                return Stop::Bad("a sign has no number".to_owned());
            }
            if let Err(what) = self.end_number(is_reference, offset, layout, marks, out) {
                return Stop::Bad(what);
            }
            self.expect = Expect::Separator;
        }
        match (byte, self.expect) {
            (b',', Expect::Separator) => self.expect = Expect::Number,
            (b',', _) => return Stop::Bad("found `,`, a number was expected".to_owned()),
            (b']', Expect::Number) => return Stop::Bad("found `]`, a number was expected".to_owned()),
            (b']', _) if self.field != 0 => return Stop::Bad("the last record is incomplete".to_owned()),
            (b']', _) => {
                out.push(byte);
                return Stop::End;
            }
            _ => {}
        }
        out.push(byte);
        Stop::NeedInput
    }

    /// Whether the number under way is that of a string.
    fn is_reference(&self, layout: &Layout) -> bool {
        match self.shape {
            Shape::Nodes { name, .. } => self.field == name,
            Shape::Edges { name, .. } => {
                self.field == name && layout.edge_role(self.kind) != Some(EdgeRole::Numbered)
            }
            Shape::Labels { names, .. } => names >> self.field & 1 == 1,
        }
    }

    fn end_number(
        &mut self,
        is_reference: bool,
        offset: u64,
        layout: &Layout,
        marks: &mut Marks,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let value = self.value;
        if is_reference && (value >= MOST_STRINGS || value > ALWAYS_ALLOWED.saturating_add(offset)) {
            return Err(format!("{value} can't be the number of a string"));
        }
        let mut second = 0;
        let stride = match self.shape {
            Shape::Nodes { stride, kind, name, id, .. } => {
                if self.field == kind {
                    layout.node_role(value).ok_or_else(|| unknown_type(value))?;
                    self.kind = value;
                }
                if self.field == name {
                    self.name = value;
                    second = u64::from(layout.node_role(self.kind).is_some_and(NodeRole::is_value));
                }
                if self.field == id {
                    self.other = value;
                }
                stride
            }
            Shape::Edges { stride, kind, name, to, .. } => {
                if self.field == kind {
                    layout.edge_role(value).ok_or_else(|| unknown_type(value))?;
                    self.kind = value;
                }
                if self.field == name {
                    self.name = value;
                }
                if self.field == to {
                    self.other = value;
                }
                stride
            }
            Shape::Labels { stride, .. } => {
                if is_reference {
                    marks.mark(value, LABEL);
                }
                stride
            }
        };
        if is_reference {
            out.extend_from_slice((2 * value + second).to_string().as_bytes());
        }
        (self.value, self.is_negative, self.has_digits) = (0, false, false);
        self.field += 1;
        if self.field == stride {
            self.field = 0;
            self.end_record(layout, marks);
        }
        Ok(())
    }

    fn end_record(&mut self, layout: &Layout, marks: &mut Marks) {
        match self.shape {
            Shape::Nodes { .. } => {
                let role = layout.node_role(self.kind).unwrap_or(NodeRole::Label);
                if role == NodeRole::Regexp {
                    marks.push_regexp(self.other);
                }
                marks.push_node(role.is_value());
                marks.mark(self.name, role.bits());
            }
            Shape::Edges { .. } => match layout.edge_role(self.kind) {
                Some(EdgeRole::Numbered) | None => {}
                Some(role) => marks.mark(self.name, edge_bits(role, self.other, layout, marks)),
            },
            Shape::Labels { .. } => {}
        }
    }
}

impl NodeRole {
    fn is_value(self) -> bool {
        matches!(self, NodeRole::Value | NodeRole::Regexp)
    }

    fn bits(self) -> u8 {
        match self {
            NodeRole::Label => LABEL,
            NodeRole::Code => LABEL | CODE,
            NodeRole::Value | NodeRole::Regexp => VALUE,
        }
    }
}

#[inline(always)]
fn edge_bits(role: EdgeRole, to: u64, layout: &Layout, marks: &Marks) -> u8 {
    if role == EdgeRole::Internal && marks.is_value(layout.node_of(to)) {
        LABEL | LEADS_TO_VALUE
    } else {
        LABEL
    }
}

fn unknown_type(value: u64) -> String {
    format!("the header lists no type {value}")
}

/// Eight bytes, the first in the lowest byte.
#[inline(always)]
fn load(input: &[u8], at: usize) -> u64 {
    match input[at..].first_chunk::<8>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    }
}

/// The upper bit of each byte that is no digit.
#[inline(always)]
fn no_digits(bytes: u64) -> u64 {
    const UPPER: u64 = 0x8080_8080_8080_8080;
    let x = bytes ^ 0x3030_3030_3030_3030;
    ((x & !UPPER).wrapping_add(0x7676_7676_7676_7676) | x) & UPPER
}

/// Digits at the start of `bytes`; 8 may mean more.
#[inline(always)]
fn digits(bytes: u64) -> usize {
    no_digits(bytes).trailing_zeros() as usize / 8
}

/// The first `len` bytes (1 to 8) as the last digits of eight, with zeros in front.
#[inline(always)]
fn aligned(bytes: u64, len: usize) -> u64 {
    (bytes & 0x0F0F_0F0F_0F0F_0F0F) << (64 - 8 * len as u32)
}

/// Eight digits, the first in the lowest byte, to a number.
#[inline(always)]
fn number(digits: u64) -> u64 {
    let v = (digits.wrapping_mul(2561) >> 8) & 0x00FF_00FF_00FF_00FF;
    let v = (v.wrapping_mul(6_553_601) >> 16) & 0x0000_FFFF_0000_FFFF;
    v.wrapping_mul(42_949_672_960_001) >> 32
}

/// Writes twice the number, plus `second` (0 or 1); returns the bytes written, at most 9.
#[inline(always)]
fn write_doubled(aligned: u64, len: usize, second: u64, out: &mut [u8]) -> usize {
    const FIVE_OR_MORE: u64 = 0x0101_0101_0101_0101;
    let carries = ((aligned + 0x0303_0303_0303_0303) >> 3) & FIVE_OR_MORE;
    let doubled = 2 * aligned - 10 * carries + (carries >> 8) + (second << 56) + 0x3030_3030_3030_3030;
    let first = 64 - 8 * len as u32;
    let carry = (carries >> first & 1) as usize;
    out[0] = b'1';
    out[carry..carry + 8].copy_from_slice(&(doubled >> first).to_le_bytes());
    carry + len
}

/// Where a field of digits ends that starts at `at`; `None` if it is none, or too long.
#[inline(always)]
fn field_end(input: &[u8], at: usize) -> Option<usize> {
    let len = digits(load(input, at));
    if len == 0 {
        return None;
    }
    if len < 8 {
        return Some(at + len);
    }
    long_field_end(input, at)
}

fn long_field_end(input: &[u8], at: usize) -> Option<usize> {
    let len = input[at..].iter().take(LONGEST_FIELD).take_while(|b| b.is_ascii_digit()).count();
    (len < LONGEST_FIELD - 2).then_some(at + len)
}

/// Behind the separator of two records: a comma, or a line break and a comma up to Node 22.
#[inline(always)]
fn next_record(input: &[u8], at: usize) -> Option<usize> {
    match input[at..] {
        [b',', ..] => Some(at + 1),
        [b'\n', b',', ..] => Some(at + 2),
        _ => None,
    }
}

/// The number of a string as it stands at `at`: its digits, how many, and its value.
#[inline(always)]
fn reference(input: &[u8], at: usize) -> Option<(u64, usize, u64)> {
    let bytes = load(input, at);
    let len = digits(bytes);
    // A number of 8 digits may have more; one that starts with 0 is written differently by the slow path.
    if len == 0 || len == 8 || (bytes & 0xFF == u64::from(b'0') && len > 1) || input[at + len] != b',' {
        return None;
    }
    let digits = aligned(bytes, len);
    Some((digits, len, number(digits)))
}

#[inline(always)]
fn copy_16(out: &mut [u8], to: usize, input: &[u8], from: usize) {
    out[to..to + 16].copy_from_slice(&input[from..from + 16]);
}

/// Whole nodes at the start of `input`, as long as nothing is unusual; returns the bytes used.
fn nodes(input: &[u8], limit: u64, layout: &Layout, marks: &mut Marks, out: &mut Vec<u8>) -> usize {
    let fields = layout.node_fields();
    let mut at = 0;
    let start = out.len();
    // A record grows by two bytes at most, and has at least two bytes a field.
    out.resize(start + input.len() * 3 / 2 + AHEAD, 0);
    let mut to = start;
    while at + AHEAD <= input.len() {
        let Some(kind_end) = field_end(input, at) else { break };
        let Some(role) = (kind_end <= at + 2 && input[kind_end] == b',')
            .then(|| layout.node_role(number(aligned(load(input, at), kind_end - at))))
            .flatten()
        else {
            break;
        };
        let Some((digits, len, name)) = reference(input, kind_end + 1) else { break };
        let tail = kind_end + 1 + len;
        let mut end = Some(tail);
        for _ in 2..fields {
            end = end.filter(|&end| input[end] == b',').and_then(|end| field_end(input, end + 1));
        }
        let Some(next) = end.and_then(|end| next_record(input, end)) else { break };
        if role == NodeRole::Regexp || name > limit {
            break;
        }
        copy_16(out, to, input, at);
        to += kind_end + 1 - at;
        to += write_doubled(digits, len, u64::from(role.is_value()), &mut out[to..]);
        let mut from = tail;
        while from < next {
            copy_16(out, to + from - tail, input, from);
            from += 16;
        }
        to += next - tail;
        marks.push_node(role.is_value());
        marks.mark(name, role.bits());
        at = next;
    }
    out.truncate(to);
    at
}

/// Whole edges at the start of `input`, as long as nothing is unusual; returns the bytes used.
fn edges(input: &[u8], limit: u64, layout: &Layout, marks: &mut Marks, out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    let start = out.len();
    out.resize(start + input.len() * 3 / 2 + AHEAD, 0);
    let mut to = start;
    while at + AHEAD <= input.len() {
        // One digit: there are seven types.
        if !input[at].is_ascii_digit() || input[at + 1] != b',' {
            break;
        }
        let Some(role) = layout.edge_role(u64::from(input[at] - b'0')) else { break };
        let Some((digits, len, name)) = reference(input, at + 2) else { break };
        let target = at + 2 + len + 1;
        let Some(end) = field_end(input, target) else { break };
        let Some(next) = next_record(input, end) else { break };
        if end > target + 8 {
            break;
        }
        let tail = target - 1;
        copy_16(out, to, input, at);
        if role == EdgeRole::Numbered {
            to += tail - at;
        } else {
            if name > limit {
                break;
            }
            to += 2;
            to += write_doubled(digits, len, 0, &mut out[to..]);
            let node = number(aligned(load(input, target), end - target));
            marks.mark(name, edge_bits(role, node, layout, marks));
        }
        // At most a comma, eight digits and a separator of two bytes.
        copy_16(out, to, input, tail);
        to += next - tail;
        at = next;
    }
    out.truncate(to);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_doubled_in_place() {
        let numbers = (0..10_000u64).chain([12_345, 99_999, 500_000, 4_999_999, 9_999_999]);
        for value in numbers {
            for second in [0, 1] {
                let text = format!("{value},1234567,");
                let (digits, len, read) = reference(text.as_bytes(), 0).unwrap();
                assert_eq!(read, value);
                let mut out = [0; 16];
                let written = write_doubled(digits, len, second, &mut out);
                assert_eq!(std::str::from_utf8(&out[..written]).unwrap(), (2 * value + second).to_string());
            }
        }
    }

    #[test]
    fn every_byte_is_a_digit_or_not() {
        for byte in 0..=255u8 {
            for at in 0..8 {
                let mut bytes = *b"01894567";
                bytes[at] = byte;
                let want = if byte.is_ascii_digit() { 8 } else { at };
                assert_eq!(digits(u64::from_le_bytes(bytes)), want, "{byte} at {at}");
            }
        }
    }
}
