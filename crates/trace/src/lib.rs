//! Reads recordings of a process's calls to malloc and free into struct-of-arrays columns.
//!
//! These are our own `.heaptrace` files, which [`heaptrace`] describes, writes and reads, and heaptrack's data files,
//! versions 0 to 3: the *interpreted* form, which its tools keep as `.zst` or `.gz`, and the *raw* form that its
//! library writes, in which addresses have no names yet.
//!
//! Other profilers count while they record, and keep what each stack cost instead of the calls: massif, DHAT,
//! gperftools, jemalloc, pprof, folded stacks. [`read_profile`] makes a [`Profile`] of such a file, and the `write_…`
//! functions make files of a profile, or of a [`Trace`] where the format holds calls.
//!
//! The crate opens no file and starts no thread. A caller pushes chunks of bytes, of whatever size it has, into a
//! [`Parser`] or a [`heaptrace::Parser`] and gets a [`Trace`] back; a profile is small, and read as a whole.
//!
//! What this crate never does: count. What is leaked, temporary or alive at the peak, and which frames are worth
//! showing, lives in `twinheap-native`. Matching a `free` with its `malloc` does belong here, since some forms of
//! the file have done it already and some have not.
//!
//! Damage is not an error: a file cut short gives what could be read, and a list of [`Damage`] with line and byte.

mod damage;
mod events;
mod fields;
mod formats;
pub mod heaptrace;
mod ids;
mod lifetimes;
mod parser;
mod profile;
mod raw;
mod recording;
mod sniff;
mod strings;
mod thread_runs;
mod trace;

pub use damage::{Damage, ParseError};
pub use events::{Event, Events};
pub use formats::{
    ExportError, ExportFormat, MASSIF_THRESHOLD, ProfileError, ProfileFormat, ReadProfile, heaptrack_losses,
    read_profile, sniff_profile, write_dhat, write_folded, write_heaptrack, write_massif, write_pprof,
    write_speedscope,
};
pub use heaptrace::is_heaptrace;
pub use ids::{FrameId, InfoIdx, IpId, ModuleNo, StackId, StringId, ThreadNo, TraceId};
pub use lifetimes::{Lifetimes, ReallocChain, ReallocChains};
pub use parser::{Parsed, Parser};
pub use profile::{
    CostType, Detail, Frames, Mapping, Profile, ProfileBuilder, ProfileClock, ProfileFrame, ProfileMeta,
    Samples, Snapshot, Stacks, TooLarge,
};
pub use recording::{
    Culled, LiveBlock, LoadSegment, LostBlock, MapEvent, MapKind, MapOp, MemorySample, Module, Recording,
    Thread,
};
pub use sniff::is_heaptrack;
pub use strings::Strings;
pub use thread_runs::ThreadRuns;
pub use trace::{
    Clock, EmbeddedSuppression, Frame, FrameKind, Infos, Ips, Matching, RssSample, Stamp, Trace, TraceTree,
};
