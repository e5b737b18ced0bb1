//! Frames as valgrind's tools write them: `0x10919B: make (shop.c:4)`, `0x48F2: malloc (in /lib/x.so)`.

use super::lines::{decimal, hexadecimal};
use crate::profile::{Profile, ProfileBuilder, ProfileFrame};

/// What stands for a function without a name.
const UNKNOWN: &[u8] = b"???";

/// Reads a frame. What follows no pattern is the function's name.
pub(super) fn parse(text: &[u8], builder: &mut ProfileBuilder) -> ProfileFrame {
    let mut frame = ProfileFrame::default();
    let mut rest = text;
    if let Some((address, behind)) = split_address(text) {
        frame.address = address;
        rest = behind;
    }
    if let Some((function, place)) = split_place(rest) {
        if let Some(module) = place.strip_prefix(b"in ") {
            frame.module = builder.string(module);
            rest = function;
        } else if let Some((file, line, column)) = split_numbers(place) {
            frame.file = builder.string(file);
            (frame.line, frame.column) = (line, column);
            rest = function;
        }
    }
    if rest != UNKNOWN {
        frame.function = builder.string(rest);
    }
    frame.kind = builder.kind(frame.function, frame.module);
    frame
}

/// `0xADDRESS: REST`.
fn split_address(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.strip_prefix(b"0x")?;
    let end = memchr::memchr(b':', &digits[..digits.len().min(17)])?;
    let rest = digits[end + 1..].strip_prefix(b" ")?;
    Some((hexadecimal(&digits[..end])?, rest))
}

/// `FUNCTION (PLACE)`.
fn split_place(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_suffix(b")")?;
    let at = memchr::memmem::rfind(inner, b" (")?;
    Some((&inner[..at], &inner[at + 2..]))
}

/// `FILE:LINE` or `FILE:LINE:COLUMN`.
fn split_numbers(place: &[u8]) -> Option<(&[u8], u32, u32)> {
    let (rest, last) = split_number(place)?;
    match split_number(rest) {
        Some((file, line)) => Some((file, line, last)),
        None => Some((rest, last, 0)),
    }
}

fn split_number(text: &[u8]) -> Option<(&[u8], u32)> {
    let at = memchr::memrchr(b':', text).filter(|&at| at > 0)?;
    Some((&text[..at], u32::try_from(decimal(&text[at + 1..])?).ok()?))
}

/// Writes a frame; a control character would end the line, so it becomes a space.
pub(super) fn write(profile: &Profile, frame: ProfileFrame, with_column: bool) -> Vec<u8> {
    let text = |id| profile.strings.get(id);
    let mut out = Vec::new();
    if frame.address != 0 {
        out.extend_from_slice(format!("0x{:X}: ", frame.address).as_bytes());
    }
    out.extend_from_slice(if frame.function.is_zero() { UNKNOWN } else { text(frame.function) });
    if !frame.file.is_zero() {
        out.extend_from_slice(b" (");
        out.extend_from_slice(text(frame.file));
        out.extend_from_slice(format!(":{}", frame.line).as_bytes());
        if with_column && frame.column > 0 {
            out.extend_from_slice(format!(":{}", frame.column).as_bytes());
        }
        out.push(b')');
    } else if !frame.module.is_zero() {
        out.extend_from_slice(b" (in ");
        out.extend_from_slice(text(frame.module));
        out.push(b')');
    }
    out.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b' ');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Address, function, module, file, line and column of a text; and the same text comes back.
    #[track_caller]
    fn check(text: &str, address: u64, names: [&str; 3], line: u32, column: u32) {
        let mut builder = ProfileBuilder::new(&[]);
        let frame = parse(text.as_bytes(), &mut builder);
        let name = |id| String::from_utf8_lossy(builder.profile.strings.get(id)).into_owned();
        assert_eq!(frame.address, address, "{text}");
        assert_eq!([name(frame.function), name(frame.module), name(frame.file)], names, "{text}");
        assert_eq!((frame.line, frame.column), (line, column), "{text}");
        assert_eq!(String::from_utf8_lossy(&write(&builder.profile, frame, true)), text);
    }

    #[test]
    fn frames_are_taken_apart_and_put_together() {
        check("0x10919B: make (shop.c:4)", 0x10919B, ["make", "", "shop.c"], 4, 0);
        check("0x48F2: malloc (in /lib/x y.so)", 0x48F2, ["malloc", "/lib/x y.so", ""], 0, 0);
        check("0x48F2: ???", 0x48F2, ["", "", ""], 0, 0);
        check("0x48F2: ??? (in /lib/x.so)", 0x48F2, ["", "/lib/x.so", ""], 0, 0);
        check(
            "0x1: a::b<c (d)>::e(int) (src/a:b.rs:84:9)",
            1,
            ["a::b<c (d)>::e(int)", "", "src/a:b.rs"],
            84,
            9,
        );
        check("0x1: (anonymous namespace)::f()", 1, ["(anonymous namespace)::f()", "", ""], 0, 0);
        check(
            "in 20 places, all below massif's threshold (1.00%)",
            0,
            ["in 20 places, all below massif's threshold (1.00%)", "", ""],
            0,
            0,
        );
        check("main", 0, ["main", "", ""], 0, 0);
        check("0xfg: main", 0, ["0xfg: main", "", ""], 0, 0);
        check("f (g)", 0, ["f (g)", "", ""], 0, 0);
    }
}
