//! What a file is, from its first bytes.

use super::protobuf::{Fields, Value};
use super::{ProfileFormat, folded, gperftools, jemalloc};

/// Bytes that are looked at.
const PREFIX: usize = 1 << 16;
/// Lines of folded stacks that are looked at.
const LINES: usize = 20;

/// Tells the format of a profile by the start of the uncompressed file; `None` for anything else. heaptrack's files are
/// told by [`is_heaptrack`](crate::is_heaptrack), which is to be asked first.
pub fn sniff_profile(prefix: &[u8]) -> Option<ProfileFormat> {
    let is_whole = prefix.len() < PREFIX;
    let prefix = &prefix[..prefix.len().min(PREFIX)];
    if is_massif(prefix) {
        Some(ProfileFormat::Massif)
    } else if prefix.starts_with(gperftools::START) {
        Some(ProfileFormat::Gperftools)
    } else if prefix.starts_with(jemalloc::START) {
        Some(ProfileFormat::Jemalloc)
    } else if prefix.trim_ascii_start().starts_with(b"{") {
        let is_dhat = memchr::memmem::find(prefix, b"\"dhatFileVersion\"").is_some();
        is_dhat.then_some(ProfileFormat::Dhat)
    } else if is_pprof(prefix, is_whole) {
        Some(ProfileFormat::Pprof)
    } else if is_folded(prefix, is_whole) {
        Some(ProfileFormat::Folded)
    } else {
        None
    }
}

/// heaptrack 1.4 writes the header of its massif files behind the snapshots.
fn is_massif(prefix: &[u8]) -> bool {
    prefix.starts_with(b"desc:") || prefix.starts_with(b"#-----------\nsnapshot=")
}

/// A message whose fields have the numbers and types of `Profile`, with a sample type among them.
fn is_pprof(prefix: &[u8], is_whole: bool) -> bool {
    let mut has_type = false;
    for field in Fields::new(prefix, 0) {
        match field {
            // The prefix may end within a field.
            Err(_) => return has_type && !is_whole,
            Ok(field) => match (field.number, field.value) {
                (1, Value::Bytes(bytes, _)) => {
                    let is_pair = Fields::new(bytes, 0).all(|field| {
                        field.is_ok_and(|f| f.number <= 2 && matches!(f.value, Value::Varint(_)))
                    });
                    if !is_pair || bytes.is_empty() {
                        return false;
                    }
                    has_type = true;
                }
                (2..=6 | 11, Value::Bytes(..)) | (13, _) => {}
                (7..=10 | 12 | 14 | 15, Value::Varint(_)) => {}
                _ => return false,
            },
        }
    }
    has_type
}

/// The first lines are names and a number, at least one of them with a caller.
fn is_folded(prefix: &[u8], is_whole: bool) -> bool {
    let mut has_caller = false;
    let mut lines = 0;
    let mut all = prefix.split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = all.next() {
        let is_cut = all.peek().is_none() && !is_whole && lines > 0;
        let line = line.trim_ascii();
        if line.is_empty() || is_cut || line[0] == b'#' {
            continue;
        }
        let Some((stack, _)) = folded::split(line) else { return false };
        if stack.iter().any(u8::is_ascii_control) {
            return false;
        }
        has_caller |= stack.contains(&b';');
        lines += 1;
        if lines == LINES {
            break;
        }
    }
    has_caller
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &[u8], expected: Option<ProfileFormat>) {
        assert_eq!(sniff_profile(prefix), expected, "{}", String::from_utf8_lossy(prefix));
    }

    #[test]
    fn the_first_bytes_tell() {
        check(b"desc: (none)\ncmd: ./shop\ntime_unit: i\n", Some(ProfileFormat::Massif));
        check(b"#-----------\nsnapshot=0\n", Some(ProfileFormat::Massif));
        check(b"{\"dhatFileVersion\":2,\"mode\":\"heap\"", Some(ProfileFormat::Dhat));
        check(b"heap profile:      1:   2 [ 1: 2] @ heapprofile\n", Some(ProfileFormat::Gperftools));
        check(b"heap_v2/524288\n", Some(ProfileFormat::Jemalloc));
        check(b"\x0a\x04\x08\x01\x10\x02\x12\x06\x0a\x01\x01\x12\x01\x05", Some(ProfileFormat::Pprof));
        check(b"main;f;g 12\nmain 3\n", Some(ProfileFormat::Folded));
        check(b"main;f(int, char*);g; 12", Some(ProfileFormat::Folded));
        for other in [
            &b""[..],
            b"\n",
            b"{\"snapshot\":{}}",
            b"{\"head\":{}}",
            b"hello world 12\n",
            b"a;b\n",
            b"\x0a\x04abcd",
            b"\x0a\x00",
            b"\x89PNG\r\n\x1a\n",
            b"a;b 12\nsome text\n",
        ] {
            check(other, None);
        }
    }
}
