//! `/proc/self/maps`, line by line, without allocating.

use crate::sys::{self, Descriptor};

/// One mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_executable: bool,
    pub(crate) is_readable: bool,
    /// Offset in the file.
    pub(crate) offset: u64,
    /// Path of the file, or a word in brackets; empty for anonymous memory.
    pub(crate) path: &'a [u8],
}

/// The lines of the file.
pub(crate) struct Lines<'a> {
    file: Descriptor,
    buffer: &'a mut [u8],
    /// The part of the buffer that is read and not yet used.
    from: usize,
    to: usize,
}

impl<'a> Lines<'a> {
    /// Opens the file. A line has up to 4,200 bytes; the buffer has to have room for one.
    pub(crate) fn open(buffer: &'a mut [u8]) -> Option<Self> {
        let file = sys::open(c"/proc/self/maps", libc::O_RDONLY)?;
        Some(Lines { file, buffer, from: 0, to: 0 })
    }

    /// The next mapping; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Mapping<'_>> {
        loop {
            let unused = self.buffer.get(self.from..self.to)?;
            if let Some(length) = unused.iter().position(|&byte| byte == b'\n') {
                let from = self.from;
                self.from += length + 1;
                // Asked for a second time, since the borrow checker gives up on the loop otherwise.
                match parse(self.buffer.get(from..from + length)?) {
                    Some(_) => return parse(self.buffer.get(from..from + length)?),
                    None => continue,
                }
            }
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
            let read = self.file.read(self.buffer.get_mut(self.to..)?);
            if read == 0 {
                return None;
            }
            self.to += read;
        }
    }
}

/// Reads a line such as `7f1c0000-7f1c1000 r-xp 00001000 08:01 123   /usr/lib/libc.so.6`.
fn parse(line: &[u8]) -> Option<Mapping<'_>> {
    let (start, rest) = hex(line)?;
    let (end, rest) = hex(rest.strip_prefix(b"-")?)?;
    let rest = rest.strip_prefix(b" ")?;
    let (flags, rest) = rest.split_at_checked(4)?;
    let (offset, rest) = hex(rest.strip_prefix(b" ")?)?;
    // The device and the inode, then spaces.
    let rest = rest.strip_prefix(b" ")?;
    let rest = rest.get(rest.iter().position(|&byte| byte == b' ')? + 1..)?;
    let inode = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let path = rest.get(inode..)?.trim_ascii_start();
    Some(Mapping { start, end, is_executable: flags[2] == b'x', is_readable: flags[0] == b'r', offset, path })
}

fn hex(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut length = 0;
    while let Some(&byte) = text.get(length) {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => break,
        };
        value = value << 4 | u64::from(digit);
        length += 1;
    }
    (length > 0).then(|| (value, &text[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line =
            b"55e0c000-55e0d000 r-xp 00002000 fd:01 1234                       /opt/a b/libx.so (deleted)";
        let mapping = parse(line).expect("a line");
        assert_eq!((mapping.start, mapping.end, mapping.offset), (0x55e0_c000, 0x55e0_d000, 0x2000));
        assert!(mapping.is_executable && mapping.is_readable);
        assert_eq!(mapping.path, b"/opt/a b/libx.so (deleted)");
        let anonymous = parse(b"7f00-7f10 ---p 00000000 00:00 0 ").expect("a line");
        assert_eq!((anonymous.path, anonymous.is_readable), (&b""[..], false));
        assert_eq!(parse(b"nonsense"), None);
        assert_eq!(parse(b"7f00-"), None);
    }

    #[test]
    fn our_own_mappings_hold_our_own_code() {
        for size in [4200, 64 << 10] {
            let mut buffer = vec![0; size];
            let mut lines = Lines::open(&mut buffer).expect("/proc is there");
            let here = our_own_mappings_hold_our_own_code as fn() as usize as u64;
            let (mut found, mut last) = (false, 0);
            while let Some(mapping) = lines.next() {
                assert!(mapping.start >= last && mapping.end > mapping.start);
                last = mapping.end;
                found |= mapping.is_executable && (mapping.start..mapping.end).contains(&here);
            }
            assert!(found);
        }
    }
}
