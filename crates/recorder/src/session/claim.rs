//! How a process comes to its ring.

use core::sync::atomic::Ordering;

use twinheap_wire::{CHUNK, HEADER, Header, MAGIC, RING, policy};

use super::{RING_NUMBER, open_ring, open_session};
use crate::sys;

/// How long a process waits for a ring that rather goes without its events than wait for the collector, in nanoseconds.
const PATIENCE: u64 = 1_000_000_000;
/// Between two looks whether the collector lives, in nanoseconds.
const LOOK: u64 = 500_000_000;

/// Takes the first ring that nobody has, if there is one for us: the first is for the program itself, further ones are
/// for what it becomes by `exec`, and for its children if they are followed. The collector always makes the next one. It
/// may be busy: then we wait for it, as for room in the ring.
pub(super) fn claim() -> bool {
    let Some(lobby) = Lobby::open() else { return false };
    let process = sys::process();
    let follows = lobby.header.follow.load(Ordering::Relaxed) != 0;
    let (mut number, mut was_us, mut waiting) = (0, false, Waiting::default());
    loop {
        let made = lobby.header.rings.load(Ordering::Acquire);
        if follows {
            // All of those before have their processes, or had: a server may have started many thousands.
            number = number.max(made.saturating_sub(1));
        }
        if number >= made {
            if !follows && !was_us {
                lobby.count_bystander();
                return false;
            }
            if !lobby.wait(made, &mut waiting) {
                return false;
            }
            continue;
        }
        let Some(ring) = open_ring(number).and_then(|file| map(&file)) else {
            // It may have been taken, used and removed in the meantime.
            if lobby.header.rings.load(Ordering::Acquire) != made {
                continue;
            }
            lobby.miss();
            return false;
        };
        // SAFETY: the header lies at the ring's start.
        let header = unsafe { &*(ring as *const Header) };
        let is_for_us = number == 0 || was_us || follows;
        if is_for_us && header.pid.compare_exchange(0, process, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            RING_NUMBER.store(number, Ordering::Relaxed);
            return open_session(header, process, ring);
        }
        let owner = header.pid.load(Ordering::Relaxed);
        was_us |= owner == process;
        // SAFETY: our own mapping.
        unsafe { sys::unmap(ring as *mut u8, RING) };
        if owner == 0 {
            lobby.count_bystander();
            return false;
        }
        number += 1;
    }
}

/// Maps a ring at a multiple of a chunk's size.
fn map(file: &sys::Descriptor) -> Option<usize> {
    let reserved = sys::reserve(RING + CHUNK)? as usize;
    let start = reserved.next_multiple_of(CHUNK);
    // SAFETY: the parts of the reservation that the ring doesn't need.
    unsafe {
        if start > reserved {
            sys::unmap(reserved as *mut u8, start - reserved);
        }
        let end = start + RING;
        if reserved + RING + CHUNK > end {
            sys::unmap(end as *mut u8, reserved + RING + CHUNK - end);
        }
    }
    file.map_shared(start, RING).map(|ring| ring as usize)
}

/// The first ring's header, where processes learn of the others.
struct Lobby {
    header: &'static Header,
    file: sys::Descriptor,
}

/// Since when a process waits, and how often it looked whether that has a point.
#[derive(Default)]
struct Waiting {
    began: Option<u64>,
    looks: u64,
}

impl Lobby {
    /// `None` if there is no collector, or one of another version.
    fn open() -> Option<Lobby> {
        let file = open_ring(0)?;
        let header = file.map_shared(0, HEADER)?;
        // SAFETY: the mapping is a header's, and stays until this is dropped.
        let lobby = Lobby { header: unsafe { &*header.cast::<Header>() }, file };
        (lobby.header.magic.load(Ordering::Acquire) == MAGIC).then_some(lobby)
    }

    /// Waits for a ring behind the ones that were made; false if there won't be one for us.
    fn wait(&self, made: u32, waiting: &mut Waiting) -> bool {
        let header = self.header;
        if header.is_closed.load(Ordering::Acquire) != 0 {
            return false;
        }
        let now = sys::monotonic();
        let waited = now.saturating_sub(*waiting.began.get_or_insert(now));
        if waited / LOOK >= waiting.looks {
            waiting.looks = waited / LOOK + 1;
            if !self.file.is_locked() {
                return false;
            }
        }
        if header.policy.load(Ordering::Relaxed) == policy::DROP && waited > PATIENCE {
            self.miss();
            return false;
        }
        sys::wait(&header.rings, made, 10_000_000);
        true
    }

    /// Counts us as a process that is not to be recorded.
    fn count_bystander(&self) {
        self.header.bystanders.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts us as a process that should have been recorded.
    fn miss(&self) {
        self.header.missed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference to the header that outlives this.
        unsafe { sys::unmap(core::ptr::from_ref::<Header>(self.header) as *mut u8, HEADER) };
    }
}
