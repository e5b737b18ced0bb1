//! Reads V8's heap files into struct-of-arrays columns.
//!
//! Three formats: `.heapsnapshot`, `.heaptimeline` (the same JSON with allocation stacks and samples) and
//! `.heapprofile` (the sampling profiler).
//!
//! The crate does no I/O and starts no thread. A caller pushes chunks of bytes, of whatever size it has, into a
//! [`Parser`] and gets a [`Snapshot`] back; a memory-mapped file is one big chunk, a decompressor's output many
//! small ones. Where the caller lends a [`Join`], big integer sections are decoded by two threads with the same
//! result.
//!
//! What this crate never does: interpret the graph. Which edges hold memory, what a class is, and every other
//! rule of DevTools lives in `twinheap-jsheap`.
//!
//! Damage is not an error: a file cut short gives what could be read, and a list of [`Damage`] with the section
//! and the byte offset.

mod columns;
mod damage;
mod header;
mod ids;
mod ints;
mod json;
mod parser;
mod records;
mod redact;
mod sampling;
mod snapshot;
mod sniff;
mod string_section;
mod strings;
mod trace;
mod wtf8;

pub use columns::{WideColumn, WideWriter};
pub use damage::{Damage, ParseError, Section};
pub use header::{EdgeType, NodeType};
pub use ids::{EdgeIdx, NodeIdx, StringId};
pub use parser::{Join, Options, Parsed, Parser, sequential};
pub use redact::{RedactError, RedactStats, Redactor};
pub use sampling::{SamplingNode, SamplingProfile, parse_sampling_profile};
pub use snapshot::{Location, Producer, Sample, Snapshot, TraceFunction, TraceNode};
pub use sniff::{FileKind, sniff};
pub use strings::StringTable;
pub use wtf8::Wtf8;
