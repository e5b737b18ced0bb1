//! Numbers and sizes that writer and reader agree on.

/// The first bytes of a file. The highest bit is set, so that it is no text; the line feed tells a transfer that
/// changed line ends.
pub(super) const MAGIC: [u8; 8] = *b"\x89HTRACE\n";
/// The version that is written, and the newest that is understood.
pub(super) const VERSION: u16 = 1;
/// Reads as `0xFFFE` where the bytes of numbers were swapped.
pub(super) const ENDIAN: u16 = 0xFEFF;
/// Magic, version, mark of endianness, length of what follows of the header.
pub(super) const FILE_HEADER: usize = 16;

/// Kind, flags, two bytes reserved, raw length, stored length, checksum.
pub(super) const SEGMENT_HEADER: usize = 16;
/// The part of a segment's header that its checksum covers, together with the stored bytes.
pub(super) const CHECKED_HEADER: usize = 12;
/// Flag: the stored bytes are the raw ones, not a zstd frame.
pub(super) const STORED_RAW: u8 = 1;

/// The most raw bytes of a segment: what a lying header can make the reader reserve.
pub(super) const MAX_RAW: usize = 64 << 20;
/// The most stored bytes of a segment. Bytes that don't compress grow a little.
pub(super) const MAX_STORED: usize = MAX_RAW + (MAX_RAW >> 6);
/// The most events of a segment. A bit each is what an event takes at least, and memory must stay in proportion.
pub(super) const MAX_EVENTS: u64 = 1 << 22;
/// The most bytes of one string; the longest real ones are names of C++ templates.
pub(super) const MAX_STRING: usize = 1 << 20;

/// Kinds of segments.
pub(super) mod kind {
    pub(in super::super) const META: u8 = 1;
    pub(in super::super) const DEFS: u8 = 2;
    pub(in super::super) const EVENTS: u8 = 3;
    pub(in super::super) const SAMPLES: u8 = 4;
    pub(in super::super) const SYMBOLS: u8 = 5;
    pub(in super::super) const SUPPRESSIONS: u8 = 6;
    pub(in super::super) const LIVE: u8 = 7;
    pub(in super::super) const CULLED: u8 = 8;
    pub(in super::super) const END: u8 = 9;
    pub(in super::super) const INDEX: u8 = 10;
    pub(in super::super) const THREADS: u8 = 11;
    pub(in super::super) const MAPS: u8 = 12;
    pub(in super::super) const LOST: u8 = 16;
    pub(in super::super) const TAIL: u8 = 0x7F;
}

/// Groups of a DEFS segment.
pub(super) mod group {
    pub(in super::super) const STRINGS: u8 = 1;
    pub(in super::super) const MODULES: u8 = 2;
    pub(in super::super) const IPS: u8 = 3;
    pub(in super::super) const NODES: u8 = 4;
    pub(in super::super) const INFOS: u8 = 5;
    pub(in super::super) const UNMAPPED: u8 = 6;
}

/// Columns of an EVENTS segment.
pub(super) mod column {
    /// A bit an event, from the lowest on: 0 allocates, 1 frees.
    pub(in super::super) const OPS: u8 = 1;
    /// The info of each allocation.
    pub(in super::super) const INFOS: u8 = 2;
    /// For each free, how many allocations came between it and its own, or [`NEAR`](super::NEAR) for as many or
    /// more: a byte each.
    pub(in super::super) const NEAR: u8 = 3;
    /// For each of those how far its allocation is from the one that the free of this kind before it had.
    pub(in super::super) const FAR: u8 = 4;
    /// The differences that are [`WIDE`](super::WIDE) in the other column.
    pub(in super::super) const WIDE: u8 = 8;
    /// Ticks: events since the last, nanoseconds since the last.
    pub(in super::super) const TICKS: u8 = 5;
    /// Changes of thread: events since the last, thread.
    pub(in super::super) const THREADS: u8 = 6;
    /// Frees that are the first half of a realloc: events since the last.
    pub(in super::super) const REALLOCS: u8 = 7;
}

/// So many allocations between a free and its own are not near. Below, what repeats are the distances; beyond, what
/// repeats are the steps from one freed block to the next.
pub(super) const NEAR: u8 = 64;
/// A step that has its place in the column of 64-bit steps.
pub(super) const WIDE: u32 = u32::MAX;

/// The checksum of a segment.
pub(super) fn checksum(header: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(stored);
    hasher.finalize()
}
