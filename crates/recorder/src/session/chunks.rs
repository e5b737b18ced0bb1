//! How threads get room in the ring.

use core::sync::atomic::Ordering;

use twinheap_wire::{CHUNK, CHUNKS_AT, MAX_CHUNKS, policy};

use super::{ON, STATE, Session, call_collector, is_collector_alive, stop};
use crate::sys;

/// So many chunks before there is no memory for another, the collector is called: it may have thought that all is calm,
/// and be gone for longer than the threads of a burst take for them.
const FEW_LEFT: u32 = 96;

impl Session {
    /// A thread's first chunk: where it begins. A thread that has none is served before those that want another.
    pub(crate) fn first_chunk(&self, thread: u32) -> Option<(u64, u32)> {
        self.chunk_within(thread, 0, MAX_CHUNKS as u32).map(|position| (position, 0))
    }

    /// A thread's next chunk: where it begins. `None` if nothing is to be recorded any more, or if the policy is to
    /// drop what there is no room for.
    pub(crate) fn chunk(&self, thread: u32, sequence: u32) -> Option<u64> {
        let header = self.header;
        // Each thread may sit on a chunk for as long as it does nothing: those are no backlog.
        let sitting = header.threads.load(Ordering::Relaxed);
        self.chunk_within(thread, sequence, header.limit.load(Ordering::Relaxed).saturating_add(sitting))
    }

    fn chunk_within(&self, thread: u32, sequence: u32, limit: u32) -> Option<u64> {
        let header = self.header;
        let mut began = 0;
        let mut rounds = 0u32;
        let chunk = loop {
            if header.stop.load(Ordering::Relaxed) != 0 || STATE.load(Ordering::Relaxed) != ON {
                stop(header);
                return None;
            }
            let given_back = header.given_back.load(Ordering::Acquire);
            if let Some(chunk) = self.free_chunk().or_else(|| self.fresh_chunk(limit)) {
                break chunk;
            }
            if header.policy.load(Ordering::Relaxed) == policy::DROP {
                return None;
            }
            if began == 0 {
                began = sys::monotonic();
                header.waits.fetch_add(1, Ordering::Relaxed);
                call_collector(header);
            }
            rounds += 1;
            // Once in half a second: does anybody read at all?
            if rounds.is_multiple_of(50) && !is_collector_alive() {
                stop(header);
                return None;
            }
            header.waiting.fetch_add(1, Ordering::SeqCst);
            sys::wait(&header.given_back, given_back, 10_000_000);
            header.waiting.fetch_sub(1, Ordering::SeqCst);
        };
        if began != 0 {
            header.waited.fetch_add(sys::monotonic().wrapping_sub(began), Ordering::Relaxed);
        }
        header.in_flight.fetch_add(1, Ordering::Relaxed);
        let descriptor = self.descriptor(chunk);
        descriptor.sequence.store(sequence, Ordering::Relaxed);
        descriptor.thread.store(thread + 1, Ordering::Release);
        Some((self.ring + CHUNKS_AT + chunk as usize * CHUNK) as u64)
    }

    /// A chunk that was used before.
    fn free_chunk(&self) -> Option<u32> {
        let free = &self.header.free;
        let mut head = free.load(Ordering::Acquire);
        loop {
            let chunk = (head as u32).checked_sub(1).filter(|chunk| *chunk < MAX_CHUNKS as u32)?;
            let next = self.descriptor(chunk).next.load(Ordering::Relaxed);
            let after = (head >> 32).wrapping_add(1) << 32 | u64::from(next);
            match free.compare_exchange_weak(head, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(chunk),
                Err(now) => head = now,
            }
        }
    }

    /// A chunk that nobody had yet.
    fn fresh_chunk(&self, limit: u32) -> Option<u32> {
        let header = self.header;
        let backed = header.backed.load(Ordering::Acquire).min(MAX_CHUNKS as u32);
        let mut used = header.used.load(Ordering::Relaxed);
        loop {
            if used >= backed || header.in_flight.load(Ordering::Relaxed) >= limit {
                return None;
            }
            match header.used.compare_exchange_weak(used, used + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    if backed - used == FEW_LEFT {
                        call_collector(header);
                    }
                    return Some(used);
                }
                Err(now) => used = now,
            }
        }
    }
}
