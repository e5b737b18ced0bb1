//! Our own file format, `.heaptrace`: [`Writer`] and [`Parser`].
//!
//! # The file
//!
//! All numbers are little-endian. *Number* below is LEB128 of at most 64 bits; a *difference* is the number of a
//! signed value, small ones of either sign short, to the same value of the row before, which is 0 at the start of a
//! segment. *Bytes* have their length in front, as a number.
//!
//! | header | |
//! |---|---|
//! | 8 bytes | `\x89HTRACE\n` |
//! | u16 | version, 1 |
//! | u16 | `0xFEFF` |
//! | u32 | bytes of the header that follow, 0 |
//!
//! Then come segments, up to the end of the file.
//!
//! | segment | |
//! |---|---|
//! | u8 | kind |
//! | u8 | flags: 1 if the bytes are stored as they are |
//! | u16 | 0 |
//! | u32 | raw length: at most 64 MiB |
//! | u32 | stored length |
//! | u32 | CRC-32 of the twelve bytes before and the stored bytes |
//! | … | stored bytes: one zstd frame |
//!
//! A segment needs no other to be decompressed, and what it refers to was defined before it. A segment of an unknown
//! kind is passed over. Nothing is ever changed once it is written, so a file that was cut short is readable up to
//! there; what its recorder had not flushed is missing.
//!
//! | kind | holds |
//! |---|---|
//! | 1 META | JSON: [`Meta`] |
//! | 2 DEFS | groups of definitions: u8 group, number of the first, how many, first column, second column (both bytes) |
//! | 3 EVENTS | numbers: first event, first allocation, nanoseconds, thread, events, allocations; then columns: u8 column, bytes |
//! | 4 SAMPLES | difference of nanoseconds, how many values, for each u8 whether it is known and its difference: resident bytes, heap, V8 |
//! | 5 SYMBOLS | difference of place, how many frames, for each u8 kind, difference of function, of file, line, column |
//! | 6 SUPPRESSIONS | bytes of each line |
//! | 7 LIVE | difference of allocation, difference of address |
//! | 8 CULLED | difference of info, allocations, bytes in all |
//! | 9 END | JSON: [`End`] |
//! | 10 INDEX | of each EVENTS segment the differences of offset, first event, nanoseconds and live bytes at its start |
//! | 11 THREADS | thread, kernel's number, bytes of its name |
//! | 12 MAPS | u8 operation, difference of nanoseconds, of address, length, stack |
//! | 13 LOOKS | difference of nanoseconds, resident bytes, how many parts, for each u8 owner, its number, resident bytes, mapped bytes, ranges, u8 whether recorded blocks lie there |
//! | 16 LOST | of each live block that nothing points to: difference of allocation, u8: 1 if only other lost blocks point to it |
//! | 127 TAIL | stored as it is: u64 offset of the INDEX segment |
//!
//! | group of DEFS | first column | second column |
//! |---|---|---|
//! | 1 strings, from 1 | length | text |
//! | 2 modules, from 0 | string of the path, base, nanoseconds, how many segments, for each address and size | bytes of the build id |
//! | 3 places, from 1 | difference of address | module + 1, or 0 |
//! | 4 nodes, from 1 | difference of place | own number - parent |
//! | 5 infos, from 0 | size | difference of stack |
//! | 6 unmapped modules | module | nanoseconds |
//!
//! | column of EVENTS | |
//! |---|---|
//! | 1 | a bit an event, from the lowest on: 0 allocates, 1 frees |
//! | 2 | info of each allocation: u8 width, then so many bytes for each |
//! | 3 | u8 for each free: the number of allocations between it and its own, 64 for as many or more |
//! | 4 | for each free of the latter kind the difference of the allocation's number, at first to the segment's first: u8 width, then the lowest byte of each, the next byte of each, … |
//! | 8 | numbers: the differences that stand as `0xFFFFFFFF` in column 4 |
//! | 5 | ticks of the clock: events since the last one, nanoseconds since the last one |
//! | 6 | changes of thread: events since the last one, thread |
//! | 7 | frees that are the first half of a realloc: events since the last one |
//!
//! A free names its allocation, so that nothing about the block is lost: how long it lived, and which of several
//! equal ones it was.

mod columns;
mod layout;
mod meta;
mod numbers;
mod parser;
mod rows;
mod writer;

pub use meta::{EmbeddedAllocator, End, EndReason, Losses, Meta, Policy, RefusedHook};
pub use parser::Parser;
pub use writer::{Batch, NewModule, Writer};

/// Tells a `.heaptrace` file by its first bytes, of which there must be eight.
pub fn is_heaptrace(prefix: &[u8]) -> bool {
    prefix.starts_with(&layout::MAGIC)
}
