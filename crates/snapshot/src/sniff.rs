//! Which of V8's formats a file is, from its first bytes.

/// A file format of V8's profilers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A heap snapshot or an allocation timeline: for [`crate::Parser`].
    Snapshot,
    /// A sampling heap profile: for [`crate::parse_sampling_profile`].
    SamplingProfile,
}

/// Tells the formats apart. `prefix` is the start of the uncompressed file, some hundred bytes of it.
///
/// A sampling profile begins with `head`, or (from Node 26's `v8.startHeapProfile`) with `samples` as a list of
/// objects, which a snapshot never has. Everything else is left to the snapshot parser and its messages.
pub fn sniff(prefix: &[u8]) -> FileKind {
    let compact: Vec<u8> = prefix.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(64).collect();
    let compact = compact.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&compact);
    let sampling: [&[u8]; 4] =
        [b"{\"head\":", b"{\"samples\":[{", b"{\"samples\":[],\"head\":", b"{\"profile\":{\"head\":"];
    if sampling.iter().any(|start| compact.starts_with(start)) {
        FileKind::SamplingProfile
    } else {
        FileKind::Snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_tells() {
        assert_eq!(sniff(b"{\"snapshot\":{"), FileKind::Snapshot);
        assert_eq!(sniff(b" { \"head\" : {"), FileKind::SamplingProfile);
        assert_eq!(sniff(b"{\"samples\":[{\"size\":1"), FileKind::SamplingProfile);
        assert_eq!(sniff(b"{\"samples\":[1,2],\"snapshot\""), FileKind::Snapshot);
        assert_eq!(sniff(b""), FileKind::Snapshot);
    }
}
