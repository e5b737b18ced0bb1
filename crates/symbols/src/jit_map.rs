//! The map of generated code that V8 writes for `perf` (`--perf-basic-prof`: `/tmp/perf-PID.map`).
//!
//! A line a piece of code, `START SIZE NAME`, both numbers hexadecimal. Memory of code that was thrown away is used
//! again, so the order of the lines is the order of time, and the last one that covers an address is right.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault};

use rustc_hash::{FxHashMap, FxHasher};

use crate::js_name::JsName;

/// Longer lines are left out, in bytes; V8 cuts names at 4096.
const MAX_LINE: usize = 1 << 16;

/// A name of the map, from 0 in the order of first appearance. Pieces of code with the same name have the same number:
/// each thread that begins has V8 tell the same thousands of builtins and functions again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryNo(pub u32);

/// The generated code of one process, as far as its map has been fed.
#[derive(Clone, Debug, Default)]
pub struct JitMap {
    /// Code that is there now: start to end and entry. They don't overlap.
    live: BTreeMap<u64, (u64, EntryNo)>,
    /// All names, one after the other.
    names: String,
    /// Where each name ends in `names`.
    ends: Vec<u64>,
    /// Names by their hashes. Of two with the same hash the second is not remembered, and stored each time.
    known: FxHashMap<u64, EntryNo>,
    /// The start of a line whose end has not come yet.
    half: Vec<u8>,
    /// Whether the current line was too long.
    is_skipping: bool,
    bad_lines: u64,
}

impl JitMap {
    /// An empty one.
    pub fn new() -> JitMap {
        JitMap::default()
    }

    /// Adds the next bytes of the map, cut anywhere. A line counts when its end is there: the last one of a process
    /// that was killed may be half of one.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, next) = (&rest[..at], &rest[at + 1..]);
            self.line_ends(line);
            rest = next;
        }
        self.keep_half(rest);
    }

    /// The code that was last said to be at `address`, which must be that of a call: a return address less one.
    pub fn lookup(&self, address: u64) -> Option<EntryNo> {
        let (_, &(end, entry)) = self.live.range(..=address).next_back()?;
        (address < end).then_some(entry)
    }

    /// An entry's name, taken apart. An entry stays when its code has gone.
    pub fn entry(&self, entry: EntryNo) -> JsName<'_> {
        JsName::parse(self.raw_name(entry))
    }

    /// An entry's name as V8 wrote it; empty for a number that there isn't.
    pub fn raw_name(&self, entry: EntryNo) -> &str {
        let at = entry.0 as usize;
        let Some(&end) = self.ends.get(at) else { return "" };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start as usize..end as usize]
    }

    /// Number of names so far, also of code that has gone.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without names.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Lines that could not be read.
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// The number of a name, which is stored if it is new.
    fn intern(&mut self, name: &str) -> EntryNo {
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(name);
        let known = self.known.get(&hash).copied();
        if let Some(entry) = known.filter(|&entry| self.raw_name(entry) == name) {
            return entry;
        }
        let entry = EntryNo(self.ends.len() as u32);
        self.names.push_str(name);
        self.ends.push(self.names.len() as u64);
        self.known.entry(hash).or_insert(entry);
        entry
    }

    fn line_ends(&mut self, end: &[u8]) {
        if self.is_skipping || self.half.len() + end.len() > MAX_LINE {
            self.bad_lines += 1;
            self.is_skipping = false;
            self.half.clear();
        } else if self.half.is_empty() {
            self.line(end);
        } else {
            let mut line = std::mem::take(&mut self.half);
            line.extend_from_slice(end);
            self.line(&line);
            line.clear();
            self.half = line;
        }
    }

    fn keep_half(&mut self, start: &[u8]) {
        if self.half.len() + start.len() > MAX_LINE {
            self.is_skipping = true;
            self.half.clear();
        }
        if !self.is_skipping {
            self.half.extend_from_slice(start);
        }
    }

    fn line(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let Some((start, end, name)) = fields(line).filter(|_| self.ends.len() < u32::MAX as usize) else {
            self.bad_lines += 1;
            return;
        };
        let entry = self.intern(&String::from_utf8_lossy(name));
        // What the new code overlaps is gone, and not only where it overlaps.
        while let Some((&old, &(old_end, _))) = self.live.range(..end).next_back() {
            if old_end <= start {
                break;
            }
            self.live.remove(&old);
        }
        self.live.insert(start, (end, entry));
    }
}

/// Start, end and name.
fn fields(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut fields = line.splitn(3, |&byte| byte == b' ');
    let start = number(fields.next()?)?;
    let size = number(fields.next()?).filter(|&size| size > 0)?;
    Some((start, start.checked_add(size)?, fields.next()?))
}

fn number(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    // `from_str_radix` takes a sign, too.
    let text = str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(map: &[u8], expected: &[(u64, Option<&str>)]) {
        for size in [usize::MAX, 1, 2, 3, 7] {
            let mut jit = JitMap::new();
            map.chunks(size.min(map.len().max(1))).for_each(|chunk| jit.feed(chunk));
            for &(address, name) in expected {
                assert_eq!(jit.lookup(address).map(|entry| jit.raw_name(entry)), name, "{address:x}");
            }
        }
    }

    #[test]
    fn an_address_has_the_code_around_it() {
        let map = b"1000 20 JS:~a /x.js:1:1\n1020 8 Builtin:B\n0x2000 0x10 c d\n";
        check(
            map,
            &[
                (0xfff, None),
                (0x1000, Some("JS:~a /x.js:1:1")),
                (0x101f, Some("JS:~a /x.js:1:1")),
                (0x1020, Some("Builtin:B")),
                (0x1028, None),
                (0x200f, Some("c d")),
                (u64::MAX, None),
            ],
        );
    }

    #[test]
    fn later_code_replaces_what_it_overlaps() {
        check(
            b"100 10 a\n200 10 b\n108 100 c\n",
            &[(0x100, None), (0x108, Some("c")), (0x205, Some("c")), (0x208, None)],
        );
        check(b"100 100 a\n140 8 b\n", &[(0x100, None), (0x140, Some("b")), (0x150, None)]);
        check(b"100 10 a\n100 10 b\n", &[(0x100, Some("b"))]);
        check(b"100 10 a\n110 10 b\n", &[(0x10f, Some("a")), (0x110, Some("b"))]);
    }

    #[test]
    fn a_lookup_between_two_chunks_sees_the_code_of_that_time() {
        let mut jit = JitMap::new();
        jit.feed(b"100 10 a\n100 10");
        let before = jit.lookup(0x100).unwrap();
        jit.feed(b" b\n");
        let after = jit.lookup(0x100).unwrap();
        assert_eq!((jit.raw_name(before), jit.raw_name(after)), ("a", "b"));
    }

    #[test]
    fn lines_that_say_nothing_are_counted() {
        let mut jit = JitMap::new();
        jit.feed(b"100\n100 10\nxyz 10 a\n100 0 a\n+10 10 a\nffffffffffffffff 1 a\n10000000000000000 1 a\n\n300 1 \xff\n");
        assert_eq!((jit.bad_lines(), jit.len()), (7, 1));
        assert_eq!(jit.raw_name(EntryNo(0)), "\u{fffd}");
        assert_eq!(jit.raw_name(EntryNo(1)), "");
    }

    #[test]
    fn a_name_is_stored_once_however_often_it_is_told() {
        let mut jit = JitMap::new();
        for round in 0..1000_u64 {
            jit.feed(
                format!("{:x} 10 Builtin:Abort\n{:x} 10 JS:~f /x.js:1:1\n", round << 12, round << 12 | 16)
                    .as_bytes(),
            );
        }
        assert_eq!((jit.len(), jit.names.as_str()), (2, "Builtin:AbortJS:~f /x.js:1:1"));
        assert_eq!(jit.lookup(5 << 12 | 17), Some(EntryNo(1)));
        assert_eq!(jit.lookup(999 << 12 | 3).map(|entry| jit.raw_name(entry)), Some("Builtin:Abort"));
    }

    #[test]
    fn a_line_without_end_is_skipped_and_not_kept() {
        let mut jit = JitMap::new();
        jit.feed(b"100 10 a\n200 10 ");
        for _ in 0..100 {
            jit.feed(&[b'x'; 10_000]);
        }
        assert!(jit.half.capacity() <= 2 * MAX_LINE);
        jit.feed(b"\n300 10 b\n");
        assert_eq!((jit.bad_lines(), jit.len()), (1, 2));
        assert_eq!(jit.lookup(0x300), Some(EntryNo(1)));
    }
}
