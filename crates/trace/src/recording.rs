//! What our own recordings know beyond heaptrack's: modules, threads, mappings, what is alive, how long blocks live.

use std::collections::BTreeMap;

use crate::heaptrace::{End, Meta};
use crate::ids::{InfoIdx, StringId, ThreadNo, TraceId};
use crate::lifetimes::{Lifetimes, ReallocChains};
use crate::memory_look::MemoryLook;
use crate::thread_runs::ThreadRuns;

/// What a `.heaptrace` file has beside the columns that every recording has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// What it says about itself.
    pub meta: Meta,
    /// How it ended; absent if the file stops before that.
    pub end: Option<End>,
    /// Executables and libraries by [`ModuleNo`](crate::ModuleNo).
    pub modules: Vec<Module>,
    /// Module of each place by [`IpId`](crate::IpId), as a number of `modules`; `u32::MAX` is none.
    pub ip_modules: Vec<u32>,
    /// Threads that the file tells about.
    pub threads: BTreeMap<ThreadNo, Thread>,
    /// Which thread each event is of.
    pub thread_runs: ThreadRuns,
    /// How much memory the process had, in order of time.
    pub memory: Vec<MemorySample>,
    /// Calls of the mmap family, in order of time.
    pub maps: Vec<MapEvent>,
    /// What the process's resident memory was made of, in order of time.
    pub looks: Vec<MemoryLook>,
    /// Blocks that were alive at the end, if the file lists them.
    pub live: Option<Vec<LiveBlock>>,
    /// Those of them that nothing pointed to when the process exited, if somebody looked.
    pub lost: Option<Vec<LostBlock>>,
    /// Blocks that were left out because they lived too short, by info.
    pub culled: Vec<Culled>,
    /// How long blocks lived, if the parser [was asked](crate::heaptrace::Parser::with_lifetimes) to count that.
    pub lifetimes: Option<Lifetimes>,
    /// How often blocks were reallocated.
    pub realloc_chains: ReallocChains,
}

/// An executable or a library, as it was mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub path: StringId,
    /// The build id of its ELF notes; empty without one.
    pub build_id: Vec<u8>,
    /// What is added to an address of the file to get one of the process.
    pub base: u64,
    /// Its loaded segments.
    pub segments: Vec<LoadSegment>,
    /// When it was mapped: nanoseconds since the recording began.
    pub mapped_ns: u64,
    /// When it was unmapped, if it was.
    pub unmapped_ns: Option<u64>,
}

/// A loaded segment of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadSegment {
    /// Its address in the file: `p_vaddr`. The module's base is to be added.
    pub address: u64,
    /// Its bytes in memory: `p_memsz`.
    pub size: u64,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// The kernel's number.
    pub tid: u32,
    /// Its name; empty if it has none.
    pub name: Vec<u8>,
}

/// How much memory the process had at a moment. What was not measured is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySample {
    /// Nanoseconds since the recording began.
    pub ns: u64,
    /// Resident bytes.
    pub rss: Option<u64>,
    /// Bytes that the C library's heap has mapped.
    pub heap: Option<u64>,
    /// Bytes that V8's heap has mapped.
    pub v8: Option<u64>,
}

/// A call of the mmap family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEvent {
    /// Nanoseconds since the recording began.
    pub ns: u64,
    /// What was done.
    pub op: MapOp,
    /// Where the range begins.
    pub address: u64,
    /// Its bytes.
    pub len: u64,
    /// The stack of the call; 0 if it was not recorded.
    pub trace: TraceId,
}

/// What a call of the mmap family did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapOp {
    /// It mapped a range.
    Map(MapKind),
    /// It unmapped a range, or a part of one.
    Unmap,
}

/// What a mapping is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapKind {
    /// Memory without a file behind it.
    Anonymous,
    /// A file.
    File,
    /// A thread's stack.
    Stack,
    /// V8's heap, code or cage.
    V8,
    /// The recorder's own.
    Recorder,
    /// Nobody knows.
    #[default]
    Unknown,
}

/// A block that was alive at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveBlock {
    /// Number of its allocation, from 0.
    pub allocation: u64,
    /// Its size and stack.
    pub info: InfoIdx,
    /// Its address.
    pub address: u64,
}

/// A block that was alive at the process's exit, and that the process could not reach any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostBlock {
    /// Number of its allocation, from 0.
    pub allocation: u64,
    /// Its size and stack.
    pub info: InfoIdx,
    /// True if another lost block points to it: whoever frees that one properly frees this one too.
    pub is_indirect: bool,
}

/// Blocks that have no events since they lived too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culled {
    /// Their size and stack.
    pub info: InfoIdx,
    /// How many there were.
    pub allocations: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Recording {
    /// True if the file has its end.
    pub fn is_complete(&self) -> bool {
        self.end.is_some()
    }
}
