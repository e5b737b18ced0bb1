//! What a process's resident memory is made of, beside what malloc's calls tell.

use crate::ids::{StringId, TraceId};

/// The process's resident memory at a moment, by who asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLook {
    /// Nanoseconds since the recording began.
    pub ns: u64,
    /// Resident bytes as the kernel counts them. The parts' sum comes close: pages are not counted at the same moment.
    pub rss: u64,
    /// The parts, each owner once.
    pub parts: Vec<MemoryPart>,
}

/// The memory of one owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPart {
    /// Who asked for it.
    pub owner: MemoryOwner,
    /// Its resident bytes.
    pub resident: u64,
    /// Its bytes of address space that may be used; reservations are not counted.
    pub mapped: u64,
    /// Ranges of addresses that it is in.
    pub ranges: u32,
    /// Blocks whose allocations were recorded lie in it.
    pub has_blocks: bool,
}

/// Who asked for memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryOwner {
    /// The C library's malloc.
    Malloc,
    /// A thread, as its stack.
    Stack,
    /// A file is mapped there: code, constants, data.
    File(StringId),
    /// A call of mmap with this stack.
    Mapped(TraceId),
    /// The kernel has a name for it.
    Named(StringId),
    /// The recorder.
    Recorder,
    /// Nobody who called a function that is recorded.
    #[default]
    Unknown,
}
