//! Folded stacks, the input of flame graph tools: `root;…;leaf NUMBER`, one stack a line.
//!
//! The form has no way to write a `;` or the end of a line within a name. We write them as `\x3b`, `\x0a` and `\x0d`,
//! and a backslash in front of an `x` as `\x5c`; other tools show that as it is.

use std::io::Write;

use rustc_hash::FxHashMap;

use super::lines::{Lines, Wrongs, cost, decimal};
use super::{ExportError, Failure, ReadProfile};
use crate::ids::{FrameId, StackId};
use crate::profile::{CostType, Profile, ProfileBuilder, ProfileFrame, kind_of_names};

const NO_NUMBER: &str = "a line does not end with a number";

/// What a stack without frames is called: a line needs a name.
const NO_STACK: &str = "(no stack)";

const ESCAPES: [(u8, &[u8]); 4] = [(b';', b"\\x3b"), (b'\n', b"\\x0a"), (b'\r', b"\\x0d"), (b'\\', b"\\x5c")];

pub(super) fn read(bytes: &[u8]) -> Result<ReadProfile, Failure> {
    let mut builder = ProfileBuilder::for_file(&[CostType::Weight], bytes.len());
    let mut wrongs = Wrongs::default();
    let mut frames = Vec::new();
    for line in Lines::new(bytes) {
        let text = line.text.trim_ascii_end();
        let Some((stack, weight)) = split(text) else {
            // Some tools put comments in front.
            if !text.is_empty() && text[0] != b'#' {
                wrongs.add(line, NO_NUMBER);
            }
            continue;
        };
        frames.clear();
        for name in stack.split(|&byte| byte == b';').filter(|name| !name.is_empty()) {
            let name = unescape(name);
            let kind = kind_of_names(&name, b"");
            frames.push(ProfileFrame { function: builder.string(&name), kind, ..ProfileFrame::default() });
        }
        frames.reverse();
        let stack = builder.stack(&frames)?;
        builder.sample(stack, 0, &[weight]);
    }
    Ok(ReadProfile { profile: builder.profile, damage: wrongs.finish(), notes: Vec::new() })
}

/// The stack and the number behind the last space.
pub(super) fn split(text: &[u8]) -> Option<(&[u8], i64)> {
    let at = memchr::memrchr(b' ', text)?;
    Some((text[..at].trim_ascii_end(), cost(decimal(&text[at + 1..])?)))
}

fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        match ESCAPES.iter().find(|(_, escape)| rest.starts_with(escape)) {
            Some((plain, escape)) => {
                out.push(*plain);
                rest = &rest[escape.len()..];
            }
            None => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    out
}

fn escape(name: &[u8], out: &mut Vec<u8>) {
    for (at, &byte) in name.iter().enumerate() {
        let escape = ESCAPES.iter().find(|(plain, _)| *plain == byte);
        match escape {
            Some((b'\\', _)) if name.get(at + 1) != Some(&b'x') => out.push(byte),
            Some((_, escape)) => out.extend_from_slice(escape),
            None => out.push(byte),
        }
    }
}

/// Writes one cost. What is inlined stands behind what it was inlined into, as if it had been called; stacks that
/// read the same are one line, and those that cost nothing or less are left out.
///
/// # Errors
/// If the cost was not counted, and those of `out`.
pub fn write_folded(profile: &Profile, by: CostType, out: &mut dyn Write) -> Result<(), ExportError> {
    let missing = ExportError::Missing { format: "folded", needed: by.word() };
    let column = profile.samples.column(by).ok_or(missing)?;
    let mut names: FxHashMap<FrameId, Vec<u8>> = FxHashMap::default();
    let mut place: FxHashMap<Vec<u8>, usize> = FxHashMap::default();
    let mut at_stack: FxHashMap<StackId, usize> = FxHashMap::default();
    let mut sums: Vec<i64> = Vec::new();
    for (&stack, &value) in profile.samples.stacks().iter().zip(column) {
        if value == 0 {
            continue;
        }
        let at = *at_stack.entry(stack).or_insert_with(|| {
            let mut frames: Vec<FrameId> = profile.stacks.frames(stack).collect();
            frames.reverse();
            let mut line = Vec::new();
            for frame in frames {
                if !line.is_empty() {
                    line.push(b';');
                }
                line.extend_from_slice(names.entry(frame).or_insert_with(|| {
                    let mut escaped = Vec::new();
                    escape(&frame_name(profile, profile.frames.get(frame)), &mut escaped);
                    escaped
                }));
            }
            if line.is_empty() {
                line.extend_from_slice(NO_STACK.as_bytes());
            }
            let next = place.len();
            *place.entry(line).or_insert(next)
        });
        if at == sums.len() {
            sums.push(0);
        }
        sums[at] = sums[at].saturating_add(value);
    }
    let mut lines: Vec<(Vec<u8>, usize)> = place.into_iter().collect();
    lines.sort_unstable_by_key(|&(_, at)| at);
    for (mut line, at) in lines.into_iter().filter(|&(_, at)| sums[at] > 0) {
        line.extend_from_slice(format!(" {}\n", sums[at]).as_bytes());
        out.write_all(&line)?;
    }
    Ok(())
}

/// What a frame is called where there is room for a name only: its function, or else its address and module.
pub(super) fn frame_name(profile: &Profile, frame: ProfileFrame) -> Vec<u8> {
    if !frame.function.is_zero() {
        return profile.strings.get(frame.function).to_vec();
    }
    let module = profile.strings.get(frame.module);
    let module = module.rsplit(|&byte| byte == b'/').next().unwrap_or(module);
    let mut name =
        if frame.address > 0 { format!("0x{:x}", frame.address) } else { "??".to_owned() }.into_bytes();
    if !module.is_empty() {
        name.extend_from_slice(b" [");
        name.extend_from_slice(module);
        name.push(b']');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were() {
        for name in ["main", "a;b", "a\nb\rc", "\\x3b", "\\\\x3b;", "C:\\x", "\\", "\\n", "\\x5c\\x"] {
            let mut escaped = Vec::new();
            escape(name.as_bytes(), &mut escaped);
            assert!(!escaped.contains(&b';') && !escaped.contains(&b'\n'), "{name:?}");
            assert_eq!(String::from_utf8_lossy(&unescape(&escaped)), name);
        }
    }
}
