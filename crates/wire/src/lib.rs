//! The shared memory through which a recorded process hands its events to the collector.
//!
//! The collector makes a file, the *ring*, and owns it, so that nothing is lost when the process is killed. The
//! recorder inside the process maps it. It has a [`Header`], a table of [`Descriptor`]s, the [`FILTER`] of sampled
//! addresses, and chunks of [`CHUNK`] bytes. A thread takes a chunk for itself, fills it with [`record`]s and takes
//! the next; the collector reads behind it, clears what it has read and gives the chunk back.
//!
//! Nothing here waits and nothing locks. A record's first word is written last, and a word of zero is one that is not
//! written yet: that is all the synchronisation between a writer and the reader. A thread reserves room with one
//! instruction, so that a signal handler that allocates in the middle of a hook gets room of its own.
#![no_std]

pub mod record;

use core::sync::atomic::{AtomicU32, AtomicU64};

/// The first word of a ring, "TWHRING" and the layout's version. Written last: a ring without it is not ready.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TWHRING\x02");

/// The environment variable that names the ring; children of a process that is followed look for theirs beside it.
pub const VARIABLE: &str = "TWINHEAP_RING";

/// V8's options by which it tells the names of its code: without the second, interpreted functions share theirs. They
/// stand first in `NODE_OPTIONS`, and a process that is not recorded takes them away again.
pub const NODE_OPTIONS: &str = "--perf-basic-prof --interpreted-frames-native-stack";

/// Bytes of a chunk. Chunks are aligned to it within the mapping, which is aligned to it too.
pub const CHUNK: usize = 64 << 10;

/// A record may begin below this offset in its chunk. What is above holds the end of the last one, and the positions
/// that signal handlers reserved in vain.
pub const CHUNK_FULL: usize = CHUNK - (12 << 10);

/// Chunks that a ring can have. Those that were never used take no memory.
pub const MAX_CHUNKS: usize = 4096;

/// Frames of a stack at most; the longest record must fit behind [`CHUNK_FULL`].
pub const MAX_FRAMES: usize = 1024;

/// Slots of the filter that tells which addresses may be sampled blocks. Each free looks into it: 64 KiB are no burden
/// for the second-level cache, and a heap of 100 MB with a sample every 512 KB fills less than one slot of a hundred.
pub const FILTER: usize = 32 << 10;

/// Offset of the [`Descriptor`]s in the ring.
pub const DESCRIPTORS_AT: usize = 4096;
/// Offset of the filter, [`FILTER`] counters of 16 bits.
pub const FILTER_AT: usize = DESCRIPTORS_AT + MAX_CHUNKS * size_of::<Descriptor>();
/// Offset of the first chunk.
pub const CHUNKS_AT: usize = (FILTER_AT + FILTER * 2).next_multiple_of(CHUNK);
/// Bytes of a ring's address space.
pub const RING: usize = CHUNKS_AT + MAX_CHUNKS * CHUNK;

/// What both sides know of each other.
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`].
    pub magic: AtomicU64,
    /// The process that records here, as a number of its own namespace; 0 while nobody does.
    pub pid: AtomicU32,
    /// Where the process stands, see [`status`].
    pub status: AtomicU32,
    /// The collector wants the recorder to stop.
    pub stop: AtomicU32,
    /// What a thread does when there is no chunk for it, see [`policy`].
    pub policy: AtomicU32,
    /// Nonzero if children are recorded too, each in a ring of its own.
    pub follow: AtomicU32,
    /// Nonzero if V8 was asked for names, and by us alone: what else it writes on that occasion is for nobody.
    pub names: AtomicU32,
    /// Frames to take of a stack, at most [`MAX_FRAMES`].
    pub frames: AtomicU32,
    /// Mean bytes between samples; 0 records every call.
    pub sample: AtomicU64,
    /// How events are timed, see [`clock`].
    pub clock: AtomicU32,
    /// Nonzero: the recorder could not do something, see [`trouble`].
    pub trouble: AtomicU32,
    /// Whether the process's memory is looked at when it exits, see [`leak_check`]; a futex.
    pub leak_check: AtomicU32,
    /// Where the recorder keeps what it knows of the first thread, for that look: pointers in there are no program's.
    pub states: AtomicU64,
    /// Bytes of that, for each thread.
    pub state_size: AtomicU64,
    /// Offset in it of the next thread's address; 0 ends the list.
    pub state_next: AtomicU64,
    /// The clock's value when recording began.
    pub clock_start: AtomicU64,
    /// `CLOCK_MONOTONIC` at the same moment, in nanoseconds.
    pub monotonic_start: AtomicU64,

    /// Chunks that were in use and are free again: a stack through [`Descriptor::next`]. The low half is a chunk's
    /// number plus one, the high half counts changes, so that a stale head is noticed.
    pub free: AtomicU64,
    /// Chunks that were ever taken: those from this number on are untouched.
    pub used: AtomicU32,
    /// Chunks that have memory. The collector keeps it ahead of `used`, since only it can be told that there is none.
    pub backed: AtomicU32,
    /// Chunks in the hands of threads or waiting to be read.
    pub in_flight: AtomicU32,
    /// A thread that has a chunk gets another only while fewer are in flight.
    pub limit: AtomicU32,
    /// Counts chunks given back; threads that wait for one wait for a change of it, as a futex.
    pub given_back: AtomicU32,
    /// Threads that wait.
    pub waiting: AtomicU32,

    /// Processes that found the ring taken, and are not recorded.
    pub bystanders: AtomicU32,
    /// Numbers given to threads.
    pub threads: AtomicU32,
    /// Numbers given to stacks.
    pub stacks: AtomicU32,

    /// Allocations that were not recorded, for want of room or since a signal came while a chunk was changed.
    pub lost_allocations: AtomicU64,
    /// Their bytes.
    pub lost_bytes: AtomicU64,
    /// Frees that were not recorded.
    pub lost_frees: AtomicU64,
    /// Times that a thread had to wait for room.
    pub waits: AtomicU64,
    /// Nanoseconds that threads waited.
    pub waited: AtomicU64,
}

/// A chunk's state. Chunks and descriptors have the same numbers.
#[repr(C, align(32))]
pub struct Descriptor {
    /// Number of the thread that fills it, plus one; 0 while it is free.
    pub thread: AtomicU32,
    /// Position among the chunks of its thread, from 0.
    pub sequence: AtomicU32,
    /// The next free chunk plus one; 0 at the end.
    pub next: AtomicU32,
    reserved: AtomicU32,
}

/// Where the recorded process stands.
pub mod status {
    /// Nobody recorded here yet.
    pub const NEW: u32 = 0;
    /// Hooks record.
    pub const RECORDING: u32 = 1;
    /// The recorder stopped, since the collector asked for it or is gone.
    pub const STOPPED: u32 = 2;
}

/// What happens when the collector can't keep up.
pub mod policy {
    /// Threads wait.
    pub const WAIT: u32 = 0;
    /// Events are counted instead of recorded.
    pub const DROP: u32 = 1;
}

/// How the look at the process's memory stands, by which lost blocks are found.
pub mod leak_check {
    /// Nobody wants it.
    pub const OFF: u32 = 0;
    /// The collector wants it.
    pub const WANTED: u32 = 1;
    /// The process exits, and waits for the collector.
    pub const WAITING: u32 = 2;
    /// The collector looks.
    pub const LOOKING: u32 = 3;
    /// It has been done, or given up.
    pub const DONE: u32 = 4;
}

/// How events are timed.
pub mod clock {
    /// The processor's time stamp counter.
    pub const TSC: u32 = 1;
    /// `CLOCK_MONOTONIC` in nanoseconds, where the counter can't be trusted.
    pub const MONOTONIC: u32 = 2;
}

/// What the recorder could not do.
pub mod trouble {
    /// The kernel has no `MADV_WIPEONFORK` (Linux 4.14), by which a forked child knows what it is.
    pub const NO_WIPE_ON_FORK: u32 = 1;
    /// There was no memory for a thread's state.
    pub const NO_MEMORY: u32 = 2;
    /// The process has no malloc that could be called: no libc that the recorder knows.
    pub const NO_MALLOC: u32 = 3;
}

/// The slot of an address in the filter of sampled blocks.
#[inline]
pub const fn filter_slot(address: u64) -> usize {
    ((address >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - 15)) as usize
}

const _: () = assert!(size_of::<Header>() <= DESCRIPTORS_AT);
const _: () = assert!(FILTER == 1 << 15);
const _: () = assert!(record::STACK_HEAD + 8 * MAX_FRAMES + 2048 <= CHUNK - CHUNK_FULL);
