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

pub mod plan;
pub mod record;

use core::sync::atomic::{AtomicU32, AtomicU64};

/// The first word of a ring, "TWHRING" and the layout's version. Written last: a ring without it is not ready.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TWHRING\x03");

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

/// Slots of a coarser filter that is looked into first, and mostly alone: its 4 KiB stay in the first-level cache of a
/// program that frees now and then, where those of the other are missed nearly every time.
pub const COARSE_FILTER: usize = 2 << 10;

/// Bytes that the [`Header`] has for itself.
pub const HEADER: usize = 4096;
/// Offset of the [`Descriptor`]s in the ring.
pub const DESCRIPTORS_AT: usize = HEADER;
/// Offset of the filter, [`FILTER`] counters of 16 bits.
pub const FILTER_AT: usize = DESCRIPTORS_AT + MAX_CHUNKS * size_of::<Descriptor>();
/// Offset of the coarser filter, [`COARSE_FILTER`] counters of 16 bits.
pub const COARSE_FILTER_AT: usize = FILTER_AT + FILTER * 2;
/// Offset of the [`plan::Plan`].
pub const PLAN_AT: usize = COARSE_FILTER_AT + COARSE_FILTER * 2;
/// Offset of the first chunk.
pub const CHUNKS_AT: usize = (PLAN_AT + size_of::<plan::Plan>()).next_multiple_of(CHUNK);
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
    /// Who need not look at the clock, and the time for its events, see [`lease`].
    pub lease: AtomicU64,

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

    /// What the process wants to know of the collector, see [`request`]. A futex.
    pub request: AtomicU32,

    /// Changed and woken by whoever wants the collector to look now, since it waits for it. A futex.
    pub bell: AtomicU32,

    /// Numbers given to threads.
    pub threads: AtomicU32,

    /// In the first ring: how many rings were made so far, the last of which waits for its process. A futex for those
    /// that wait for the next one.
    pub rings: AtomicU32,
    /// In the first ring: nonzero if no more processes are taken in.
    pub is_closed: AtomicU32,
    /// In the first ring: processes that were not to be recorded.
    pub bystanders: AtomicU32,
    /// In the first ring: processes that should have been recorded, and got no ring.
    pub missed: AtomicU32,

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

    /// How frames of JavaScript are told.
    pub v8: V8,
}

/// How a module's frames of JavaScript are told, as far as the collector knows. Addresses are those of the file.
#[repr(C)]
pub struct V8 {
    /// [`fingerprint`] of the module's build id. Written last, and once; 0 until then.
    pub module: AtomicU64,
    /// Start and end of the interpreter's entry.
    pub interpreter: [AtomicU64; 2],
    /// Starts and ends of functions that collect garbage.
    pub collectors: [[AtomicU64; 2]; V8_RANGES],
    /// Starts and ends of those that move and free old objects.
    pub major_collectors: [[AtomicU64; 2]; V8_RANGES],
    /// Offset of a function's `SharedFunctionInfo`, in bytes.
    pub function_shared: AtomicU32,
    /// Nonzero: what was read made no sense, and frames are no longer looked at.
    pub refused: AtomicU32,
    /// Functions that the recorder told of for the first time.
    pub functions_told: AtomicU32,
    /// Those of them that the collector has looked at. Threads that are about to give memory back wait for it, as a
    /// futex.
    pub functions_read: AtomicU32,
    /// Threads that wait.
    pub waiting: AtomicU32,
}

/// Ranges of each kind in [`V8`]; those that are not used are zeros.
pub const V8_RANGES: usize = 4;

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

/// What a process asks of the collector. It asks one thing at a time and waits, but not for long: an answer that comes
/// too late finds [`GIVEN_UP`](request::GIVEN_UP), and nothing is asked again.
pub mod request {
    /// Nothing is asked.
    pub const NONE: u32 = 0;
    /// The process ends: what is its memory made of?
    pub const LOOK: u32 = 1;
    /// A module was loaded: which of its functions allocate? See [`crate::plan`].
    pub const PLAN: u32 = 2;
    /// The collector has answered.
    pub const ANSWERED: u32 = 3;
    /// The process waited too long.
    pub const GIVEN_UP: u32 = 4;
    /// A thread of the process writes its question.
    pub const PREPARED: u32 = 5;
}

/// How events are timed.
pub mod clock {
    /// The processor's time stamp counter.
    pub const TSC: u32 = 1;
    /// `CLOCK_MONOTONIC` in nanoseconds, where the counter can't be trusted.
    pub const MONOTONIC: u32 = 2;
}

/// A thread that need not look at the clock: the only one that recorded lately. Where nobody else records, events need no
/// time to be put in order, and to the reader a few milliseconds are the same moment; but to look at the clock is a tenth
/// of a record's cost or more.
///
/// The collector gives the lease when it looks, with the time. Any other thread that records takes it back before it does
/// so. What it then does to a block the first thread knows of before it sees that block, and so finds the lease gone; but
/// for the moment in which a lease is given, and events that are late in this way are told by their addresses.
pub mod lease {
    /// Nobody has it.
    pub const NONE: u64 = 0;
    /// A mark that is no thread's.
    pub const NO_MARK: u64 = HOLDER + 1;

    /// Bits that tell who has the lease: those that records leave out of times.
    const HOLDER: u64 = (1 << crate::record::TICK) - 1;

    /// A thread's mark; [`NO_MARK`] if its number is too large to have a lease.
    #[inline]
    pub const fn mark(thread: u32) -> u64 {
        if (thread as u64) < HOLDER { thread as u64 + 1 } else { NO_MARK }
    }

    /// A lease of the thread with this mark, given at this time of the clock.
    #[inline]
    pub const fn new(time: u64, mark: u64) -> u64 {
        if mark == NO_MARK { NONE } else { time & !HOLDER | mark }
    }

    /// The time of an event of the thread with this mark, if it has the lease.
    #[inline(always)]
    pub const fn time(lease: u64, mark: u64) -> Option<u64> {
        if lease & HOLDER == mark { Some(lease & !HOLDER) } else { None }
    }
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

/// A number for a build id; never 0 (FNV-1a).
pub const fn fingerprint(build_id: &[u8]) -> u64 {
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325u64, 0);
    while at < build_id.len() {
        hash = (hash ^ build_id[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash | 1
}

/// Offsets of the two counters of an address in the filters of sampled blocks, the coarser one first. If either is 0, no
/// block there is sampled.
#[inline]
pub const fn filter_counters(address: u64) -> [usize; 2] {
    let slot = ((address >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - 15)) as usize;
    [COARSE_FILTER_AT + 2 * (slot / (FILTER / COARSE_FILTER)), FILTER_AT + 2 * slot]
}

const _: () = assert!(size_of::<Header>() <= DESCRIPTORS_AT);
const _: () = assert!(FILTER == 1 << 15);
const _: () = assert!(record::STACK_HEAD + 8 * MAX_FRAMES + 2048 <= CHUNK - CHUNK_FULL);

#[cfg(test)]
mod tests {
    use super::lease;

    #[test]
    fn a_lease_is_its_holders_alone() {
        for (thread, time) in [(0, 0x1234_5678_9abc_def0), (5, 64), (62, u64::MAX)] {
            let word = lease::new(time, lease::mark(thread));
            assert_eq!(lease::time(word, lease::mark(thread)), Some(time & !63));
            for other in (0..200).filter(|other| *other != thread) {
                assert_eq!(lease::time(word, lease::mark(other)), None);
            }
        }
        // A thread that can't have one has none, whoever has.
        let none = lease::new(640, lease::mark(63));
        assert_eq!(none, lease::NONE);
        for thread in 0..200 {
            assert_eq!(lease::time(none, lease::mark(thread)), None);
        }
    }
}
