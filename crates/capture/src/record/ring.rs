//! The collector's side of the shared memory: it makes the ring, keeps memory ahead of the process, and clears what it
//! has read.
#![expect(unsafe_code, reason = "memory that another process writes to while we read it")]

use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, fcntl_lock};
use rustix::thread::futex;
use twinheap_symbols::v8::Layout;
use twinheap_wire::{
    CHUNK, CHUNKS_AT, DESCRIPTORS_AT, Descriptor, HEADER, Header, MAGIC, MAX_CHUNKS, PLAN_AT, RING,
    filter_counters, leak_check, plan::Plan, request, status,
};

/// Chunks that have memory ahead of those in use: 12 MiB, more than comes together between two looks.
const AHEAD: u32 = 192;
/// As many at first, 1 MiB: most child processes that are followed need no more, and a page costs what a page costs.
const FEW: u32 = 16;
/// Memory is added in steps of at most this many chunks: 8 MiB.
const STEP: u32 = 128;
/// Chunks in flight from which on a thread has to wait for its next one: 32 MiB, a tenth of a second of the busiest
/// program.
const LIMIT: u32 = 512;

/// What a recorder is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) policy: u32,
    pub(super) follow: bool,
    pub(super) names: bool,
    pub(super) frames: u32,
    pub(super) sample: u64,
    pub(super) leak_check: bool,
    /// Memory comes as it is needed. What waits for it must not be dropped.
    pub(super) starts_small: bool,
}

/// One process's ring. Its file goes with the folder that it is in.
pub(super) struct Ring {
    map: MmapRaw,
    /// Holds the lock by which the recorder sees that we live.
    file: File,
    heard: AtomicU32,
    starts_small: bool,
}

impl Ring {
    /// Makes a ring that waits for a process. It gets its name when it is locked and whole.
    /// `layout` is what is known of V8 in it.
    pub(super) fn create(path: &Path, settings: Settings, layout: Option<&Layout>) -> io::Result<Ring> {
        let unfinished = path.with_extension("new");
        let file = File::options().read(true).write(true).create_new(true).open(&unfinished)?;
        file.set_len(RING as u64)?;
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let map = MmapOptions::new().len(RING).map_raw(&file)?;
        let ring = Ring { map, file, heard: AtomicU32::new(0), starts_small: settings.starts_small };
        fallocate(&ring.file, FallocateFlags::empty(), 0, CHUNKS_AT as u64)?;
        let header = ring.header();
        header.policy.store(settings.policy, Ordering::Relaxed);
        header.follow.store(u32::from(settings.follow), Ordering::Relaxed);
        header.names.store(u32::from(settings.names), Ordering::Relaxed);
        header.frames.store(settings.frames, Ordering::Relaxed);
        header.sample.store(settings.sample, Ordering::Relaxed);
        let check = if settings.leak_check { leak_check::WANTED } else { leak_check::OFF };
        header.leak_check.store(check, Ordering::Relaxed);
        header.limit.store(LIMIT, Ordering::Relaxed);
        if let Some(layout) = layout {
            super::js::tell(&header.v8, layout);
        }
        ring.keep_ahead()?;
        header.magic.store(MAGIC, Ordering::Release);
        std::fs::rename(unfinished, path)?;
        Ok(ring)
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: the mapping begins with a header, aligned to a page; all its fields are atomic.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }

    /// What processes learn of the other rings, if this is the first one.
    pub(super) fn lobby(&self) -> io::Result<Lobby> {
        // No other descriptor of the file: to close it would give up the lock.
        Ok(Lobby { map: MmapOptions::new().len(HEADER).map_raw(&self.file)? })
    }

    /// Takes the ring from those that may come; false if a process has it and recorded something, or will.
    pub(super) fn close(&self, is_running: impl Fn(u32) -> bool) -> bool {
        let header = self.header();
        match header.pid.compare_exchange(0, u32::MAX, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            // It may have begun and ended since we looked.
            Err(_) if header.status.load(Ordering::Acquire) != status::NEW => false,
            Err(pid) => header.trouble.load(Ordering::Relaxed) != 0 || !is_running(pid),
        }
    }

    /// The process has recorded something here, or will.
    pub(super) fn is_claimed(&self) -> bool {
        self.header().pid.load(Ordering::Acquire) != 0
    }

    /// True if the process exits and waits for a look at its memory: from now on it is stopped for that.
    pub(super) fn begin_leak_check(&self) -> bool {
        let (waiting, looking) = (leak_check::WAITING, leak_check::LOOKING);
        let word = &self.header().leak_check;
        word.compare_exchange(waiting, looking, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Where the recorder's own memory is: the first piece, bytes of each, and the offset in it of the next one's address.
    pub(super) fn states(&self) -> (u64, u64, u64) {
        let header = self.header();
        let value = |word: &AtomicU64| word.load(Ordering::Relaxed);
        (value(&header.states), value(&header.state_size), value(&header.state_next))
    }

    /// The process may go on.
    pub(super) fn end_leak_check(&self) {
        let word = &self.header().leak_check;
        word.store(leak_check::DONE, Ordering::Release);
        // It looks by itself too.
        let _: rustix::io::Result<usize> = futex::wake(word, futex::Flags::empty(), 1);
    }

    /// Gives or takes a [`lease`](twinheap_wire::lease).
    pub(super) fn lease(&self, lease: u64) {
        self.header().lease.store(lease, Ordering::Relaxed);
    }

    /// Chunks that were ever in use.
    pub(super) fn used(&self) -> u32 {
        self.header().used.load(Ordering::Acquire).min(MAX_CHUNKS as u32)
    }

    pub(super) fn descriptor(&self, chunk: u32) -> &Descriptor {
        assert!((chunk as usize) < MAX_CHUNKS);
        // SAFETY: within the mapping; all fields are atomic.
        unsafe { &*self.map.as_ptr().add(DESCRIPTORS_AT).cast::<Descriptor>().add(chunk as usize) }
    }

    /// A chunk's words.
    pub(super) fn chunk(&self, chunk: u32) -> Chunk<'_> {
        assert!((chunk as usize) < MAX_CHUNKS);
        // SAFETY: within the mapping, which lives as long as the borrow, and aligned.
        let words = unsafe {
            NonNull::new_unchecked(
                self.map.as_mut_ptr().add(CHUNKS_AT + chunk as usize * CHUNK).cast::<u64>(),
            )
        };
        Chunk { words, ring: std::marker::PhantomData }
    }

    /// Gives a chunk back to the process's threads, of which so many words were read.
    pub(super) fn give_back(&self, chunk: u32, read: usize) {
        self.chunk(chunk).clear(read);
        let header = self.header();
        let descriptor = self.descriptor(chunk);
        descriptor.thread.store(0, Ordering::Relaxed);
        let mut head = header.free.load(Ordering::Relaxed);
        loop {
            descriptor.next.store(head as u32, Ordering::Relaxed);
            let after = (head >> 32).wrapping_add(1) << 32 | u64::from(chunk + 1);
            match header.free.compare_exchange_weak(head, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        header.in_flight.fetch_sub(1, Ordering::Relaxed);
        header.given_back.fetch_add(1, Ordering::SeqCst);
        if header.waiting.load(Ordering::SeqCst) != 0 {
            // Nobody to wake is no error.
            let _ = futex::wake(&header.given_back, futex::Flags::empty(), u32::MAX >> 1);
        }
    }

    /// Gives the file memory before the process needs it: a process that writes where there is none is killed.
    pub(super) fn keep_ahead(&self) -> io::Result<()> {
        let header = self.header();
        let mut backed = header.backed.load(Ordering::Relaxed);
        // A process that wants more than there is waits, and calls us.
        let least = if self.starts_small { FEW } else { AHEAD };
        let ahead = |used: u32| (4 * used).clamp(least, AHEAD);
        while backed < MAX_CHUNKS as u32 && backed < self.used() + ahead(self.used()) {
            let more = backed.clamp(least.min(STEP), STEP).min(MAX_CHUNKS as u32 - backed);
            let at = CHUNKS_AT as u64 + u64::from(backed) * CHUNK as u64;
            fallocate(&self.file, FallocateFlags::empty(), at, u64::from(more) * CHUNK as u64)?;
            backed += more;
            header.backed.store(backed, Ordering::Release);
        }
        Ok(())
    }

    /// The bell, and what it showed at the latest [`Ring::listen`].
    pub(super) fn bell(&self) -> (&AtomicU32, u32) {
        (&self.header().bell, self.heard.load(Ordering::Relaxed))
    }

    /// What the bell shows now will be looked after.
    pub(super) fn listen(&self) {
        self.heard.store(self.header().bell.load(Ordering::Acquire), Ordering::Relaxed);
    }

    /// What the process asks, one of [`request`]'s numbers.
    pub(super) fn asked(&self) -> u32 {
        self.header().request.load(Ordering::Acquire)
    }

    /// Tells the process that what it asked is answered, if it still waits.
    pub(super) fn answer(&self, what: u32) {
        let asked = &self.header().request;
        if asked.compare_exchange(what, request::ANSWERED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // Nobody to wake is no error.
            let _ = futex::wake(asked, futex::Flags::empty(), 1);
        }
    }

    /// The place for questions about modules.
    pub(super) fn plan(&self) -> &Plan {
        // SAFETY: within the mapping, aligned; all its fields are atomic.
        unsafe { &*self.map.as_ptr().add(PLAN_AT).cast::<Plan>() }
    }

    /// A sampled block was freed.
    pub(super) fn unmark_sampled(&self, address: u64) {
        for at in filter_counters(address) {
            // SAFETY: within the mapping, aligned.
            unsafe { &*self.map.as_ptr().add(at).cast::<AtomicU16>() }.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Ring {
    /// Gives the memory back. The file and its header stay, since processes that are not followed look through rings in
    /// order of their numbers. A process that goes on under the same number, after an `exec`, finds that the ring was its own.
    pub(super) fn retire(&self, has_ended: bool) {
        let header = self.header();
        header.stop.store(1, Ordering::Relaxed);
        if has_ended {
            header.pid.store(u32::MAX, Ordering::Relaxed);
        }
        // Nobody writes behind the header any more: threads of the process are gone, or take no chunk after `stop`.
        let _ = fallocate(
            &self.file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            CHUNKS_AT as u64,
            (RING - CHUNKS_AT) as u64,
        );
    }
}

/// The first ring's header, where processes learn of the other rings: it is needed for longer than that ring.
pub(super) struct Lobby {
    map: MmapRaw,
}

impl Lobby {
    fn header(&self) -> &Header {
        // SAFETY: the mapping is a header; all its fields are atomic.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }

    /// So many rings were made; the last one waits for a process, and perhaps a process for it.
    pub(super) fn announce(&self, rings: u32) {
        let word = &self.header().rings;
        word.store(rings, Ordering::Release);
        // Nobody to wake is no error.
        let _ = futex::wake(word, futex::Flags::empty(), u32::MAX >> 1);
    }

    /// No more processes are taken in.
    pub(super) fn close(&self) {
        let header = self.header();
        header.is_closed.store(1, Ordering::Release);
        let _ = futex::wake(&header.rings, futex::Flags::empty(), u32::MAX >> 1);
    }

    /// Processes that were not to be recorded.
    pub(super) fn bystanders(&self) -> u32 {
        self.header().bystanders.load(Ordering::Relaxed)
    }

    /// Processes that should have been recorded, and got no ring.
    pub(super) fn missed(&self) -> u32 {
        self.header().missed.load(Ordering::Relaxed)
    }
}

impl Drop for Lobby {
    /// However the recording ended, nobody needs to find out that there won't be another ring.
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The process need not wait to find out that nobody reads any more.
        self.header().stop.store(1, Ordering::Relaxed);
    }
}

/// Gets the line where a value begins into the processor's cache.
#[inline(always)]
pub(super) fn fetch<T>(value: &T) {
    // SAFETY: reads nothing and changes nothing that anybody sees.
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) std::ptr::from_ref(value), options(nostack, preserves_flags));
    }
}

/// The words of a chunk.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'r> {
    words: NonNull<u64>,
    ring: std::marker::PhantomData<&'r Ring>,
}

impl Chunk<'_> {
    /// Words of a chunk.
    pub(super) const WORDS: usize = CHUNK / 8;

    /// A record's first word: what it says is written, the words behind it too.
    #[inline(always)]
    pub(super) fn first(self, at: usize) -> u64 {
        self.load(at, Ordering::Acquire)
    }

    /// A further word of a record.
    #[inline(always)]
    pub(super) fn word(self, at: usize) -> u64 {
        self.load(at, Ordering::Relaxed)
    }

    /// A word, or one at the start of the chunk in its place: where it does not matter much which it is.
    #[inline(always)]
    pub(super) fn about(self, at: usize) -> u64 {
        self.load(at % Self::WORDS, Ordering::Relaxed)
    }

    #[inline(always)]
    fn load(self, at: usize, order: Ordering) -> u64 {
        if at >= Self::WORDS {
            return 0;
        }
        // SAFETY: within the chunk; the process writes words as atomics too.
        unsafe { AtomicU64::from_ptr(self.words.as_ptr().add(at)) }.load(order)
    }

    /// Bytes of a record behind its first word.
    pub(super) fn bytes(self, at: usize, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).flat_map(|word| self.word(at + word).to_ne_bytes());
        words.take(length).collect()
    }

    /// Gets the line with a word ready to be read and cleared: it comes from the other processor's cache, and in one go
    /// only if we say that we will write to it.
    #[inline(always)]
    pub(super) fn fetch(self, at: usize) {
        // SAFETY: fetches nothing if there is no such memory.
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) self.words.as_ptr().wrapping_add(at),
                options(nostack, preserves_flags));
        }
    }

    /// Clears a chunk of which so many words were read. Behind those lies nothing but the ends that signal handlers
    /// wrote, if there were any: to look is cheaper than to write, since nobody else has to be told.
    fn clear(self, read: usize) {
        let words = self.words;
        let read = read.min(Self::WORDS);
        // SAFETY: the first words of the chunk, which nobody writes to between its end and its next use.
        unsafe { words.as_ptr().write_bytes(0, read) };
        for at in read..Self::WORDS {
            if self.load(at, Ordering::Relaxed) != 0 {
                // SAFETY: within the chunk, and nobody writes to it, as above.
                unsafe { AtomicU64::from_ptr(words.as_ptr().add(at)) }.store(0, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_closed_only_if_nobody_comes() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            policy: twinheap_wire::policy::WAIT,
            follow: true,
            names: false,
            frames: 64,
            sample: 0,
            leak_check: false,
            starts_small: true,
        };
        let check = |pid, status, trouble, is_running, expected| {
            let path = folder.path().join("ring");
            let ring = Ring::create(&path, settings, None).unwrap();
            let header = ring.header();
            header.pid.store(pid, Ordering::Relaxed);
            header.status.store(status, Ordering::Relaxed);
            header.trouble.store(trouble, Ordering::Relaxed);
            let case = (pid, status, trouble, is_running);
            assert_eq!(ring.close(|asked| asked == pid && is_running), expected, "{case:?}");
            assert!(ring.is_claimed(), "{case:?}");
            std::fs::remove_file(path).unwrap();
        };
        check(0, status::NEW, 0, false, true);
        check(7, status::NEW, 0, true, false);
        check(7, status::NEW, 0, false, true);
        check(7, status::NEW, twinheap_wire::trouble::NO_MEMORY, true, true);
        // It was so fast that it is gone.
        check(7, status::RECORDING, 0, false, false);
        check(7, status::STOPPED, 0, false, false);
    }
}
