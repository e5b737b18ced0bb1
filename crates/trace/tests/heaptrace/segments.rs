//! Files taken apart to segments, and put together from segments that no writer would write.

use twinheap_trace::heaptrace::{End, Meta, Writer};

/// Kinds and columns, as the format's description numbers them.
pub(crate) const DEFS: u8 = 2;
pub(crate) const EVENTS: u8 = 3;
pub(crate) const INDEX: u8 = 10;
pub(crate) const TAIL: u8 = 127;

const HEADER: usize = 16;

/// The file's header.
pub(crate) fn header() -> Vec<u8> {
    let file = Writer::new(Vec::new(), &Meta::default(), 1).and_then(|writer| writer.finish(&End::default()));
    file.expect("memory takes everything")[..HEADER].to_vec()
}

/// Kind, where it begins in the file, and its raw bytes, of each segment.
pub(crate) fn split(file: &[u8]) -> Vec<(u8, usize, Vec<u8>)> {
    let mut segments = Vec::new();
    let mut at = HEADER;
    while at < file.len() {
        let header = &file[at..at + HEADER];
        let len = |field: usize| {
            let bytes = header[field..].first_chunk().expect("a whole header");
            u32::from_le_bytes(*bytes) as usize
        };
        let stored = &file[at + HEADER..at + HEADER + len(8)];
        let raw = if header[1] == 0 {
            zstd::bulk::decompress(stored, len(4)).expect("a sound frame")
        } else {
            stored.to_vec()
        };
        segments.push((header[0], at, raw));
        at += HEADER + stored.len();
    }
    segments
}

/// Appends a segment whose checksum is right.
pub(crate) fn put(file: &mut Vec<u8>, kind: u8, raw: &[u8]) {
    put_with(file, kind, 1, raw.len() as u32, raw);
}

/// The same with flags and a raw length of choice.
pub(crate) fn put_with(file: &mut Vec<u8>, kind: u8, flags: u8, raw_len: u32, stored: &[u8]) {
    let mut head = vec![kind, flags, 0, 0];
    head.extend(raw_len.to_le_bytes());
    head.extend((stored.len() as u32).to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head);
    sum.update(stored);
    head.extend(sum.finalize().to_le_bytes());
    file.extend(head);
    file.extend(stored);
}

/// A file of these segments.
pub(crate) fn join(segments: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Vec<u8> {
    let mut file = header();
    segments.into_iter().for_each(|(kind, raw)| put(&mut file, kind, &raw));
    file
}
