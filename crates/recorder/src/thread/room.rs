//! Room for records in a thread's chunk of the ring, and their clock.

use core::sync::atomic::{AtomicU64, Ordering};

use twinheap_wire::{CHUNK, CHUNK_FULL, record};

use super::Thread;
use crate::session::{self, Session};

/// A position in no chunk, of a thread that got none. What is reserved from here on fails, and touches nothing.
const NOWHERE: u64 = !(CHUNK as u64 - 1);

impl Thread {
    /// Takes words of room. `None` if there is none: what is lost is the caller's to count.
    ///
    /// One instruction takes it, so that a handler that interrupts us before or behind it gets room of its own.
    #[inline(always)]
    pub(super) fn reserve(&mut self, words: usize) -> Option<*mut u64> {
        let position = self.advance(words);
        if !is_behind_end(position) {
            return Some(position as *mut u64);
        }
        self.next_chunk(position, words).then(|| self.reserve_again(words))?
    }

    /// The position, which so many words are taken from.
    #[inline(always)]
    pub(super) fn advance(&mut self, words: usize) -> u64 {
        let position: u64;
        // SAFETY: adds to our own position.
        unsafe {
            core::arch::asm!("xadd qword ptr [{at}], {n}", at = in(reg) self.position.get(),
                n = inout(reg) words as u64 * 8 => position, options(nostack));
        }
        position
    }

    /// As [`Thread::reserve`], for an event; and its time, which is that of the chunk's start if one has just begun.
    #[inline(always)]
    pub(super) fn reserve_event(&mut self, words: usize, ticks: u64) -> Option<(*mut u64, u64)> {
        let base = self.base;
        let at = self.reserve(words)?;
        Some((at, if self.base == base { ticks } else { 0 }))
    }

    #[cold]
    pub(super) fn reserve_again(&mut self, words: usize) -> Option<*mut u64> {
        let position = self.advance(words);
        (!is_behind_end(position)).then_some(position as *mut u64)
    }

    /// Ends the chunk at a position that was reserved behind its last record, and takes the next one.
    #[cold]
    #[inline(never)]
    pub(super) fn next_chunk(&mut self, position: u64, words: usize) -> bool {
        let offset = position as usize & (CHUNK - 1);
        // Handlers that come here too write their ends behind ours; the first one in the chunk is the one that counts.
        if offset <= CHUNK - 16 && position < NOWHERE {
            // SAFETY: reserved room at the chunk's end, which nobody else writes to.
            unsafe { publish(position as *mut u64, record::number(record::END, 0)) };
        }
        if self.is_changing.swap(1, Ordering::Relaxed) != 0 {
            // We are a handler, and whom we interrupted waits for us. What we took goes back, lest one handler after the
            // other moves the position out of the chunk and into somebody else's.
            // SAFETY: our own position.
            unsafe {
                core::arch::asm!("sub qword ptr [{at}], {n}", at = in(reg) self.position.get(),
                    n = in(reg) words as u64 * 8, options(nostack));
            }
            return false;
        }
        // SAFETY: handlers leave the position alone while `is_changing` is set.
        let now = unsafe { *self.position.get() };
        if session::current().is_none() {
            self.is_live = 0;
            return false;
        }
        let is_done = now & !(CHUNK as u64 - 1) != position & !(CHUNK as u64 - 1);
        let mut has_room = is_done;
        if !is_done && let Some(session) = session::current() {
            self.sequence += 1;
            match session.chunk(self.number, self.sequence) {
                Some(position) => {
                    // SAFETY: as above.
                    unsafe { *self.position.get() = position };
                    self.synchronise(session.now());
                    has_room = true;
                }
                None => {
                    // The end stands where it stands, and the chunk goes back to the collector. The next event asks anew.
                    self.sequence -= 1;
                    // SAFETY: as above.
                    unsafe { *self.position.get() = NOWHERE | CHUNK_FULL as u64 };
                }
            }
        }
        self.is_changing.store(0, Ordering::Relaxed);
        has_room
    }

    /// Tells the clock; times count from here.
    #[cold]
    #[inline(never)]
    pub(super) fn synchronise(&mut self, now: u64) {
        self.base = now;
        if let Some(at) = self.reserve(1) {
            // SAFETY: reserved.
            unsafe { publish(at, record::number(record::SYNC, now)) };
        }
    }

    /// The time of an event that happens now.
    #[inline(always)]
    pub(super) fn ticks(&mut self, session: &Session) -> u64 {
        let now = session.time(self.mark, self.base);
        let ticks = now.wrapping_sub(self.base) >> record::TICK;
        if ticks > 0xffff {
            self.synchronise(now);
            return 0;
        }
        ticks
    }

    /// Writes a record of one word.
    #[inline(always)]
    pub(super) fn write(&mut self, word: u64) -> bool {
        let at = self.reserve(1);
        if let Some(at) = at {
            // SAFETY: reserved.
            unsafe { publish(at, word) };
        }
        at.is_some()
    }
}

/// Whether a position that was taken is one at which nothing may be written any more.
#[inline(always)]
pub(super) fn is_behind_end(position: u64) -> bool {
    (position as usize & (CHUNK - 1)) >= CHUNK_FULL
}

/// Makes a record visible: everything written before it is.
///
/// # Safety
/// The word is reserved room in a chunk.
#[inline(always)]
pub(super) unsafe fn publish(at: *mut u64, word: u64) {
    // SAFETY: by the contract; words are aligned.
    unsafe { AtomicU64::from_ptr(at).store(word, Ordering::Release) };
}
