//! Events on their way to the file, held back if short-lived blocks are to be left out.

use std::collections::VecDeque;
use std::io::Write;

use rustc_hash::FxHashMap;
use twinheap_trace::heaptrace::Writer;
use twinheap_trace::{InfoIdx, ThreadNo};

use super::blocks::{Allocated, Block, Blocks};

/// The file, and what is not yet in it.
pub(super) struct Output<W: Write> {
    pub(super) writer: Writer<W>,
    /// Allocations so far, also those that were left out.
    pub(super) allocations: u64,
    held: Option<Held>,
    thread: ThreadNo,
    /// The free within a realloc, while it is not known whether the new block comes next.
    pending: Option<(u64, InfoIdx)>,
}

/// Events that wait until it is known which of their blocks live long enough.
struct Held {
    /// Nanoseconds that a block has to live.
    lifetime: u64,
    now: u64,
    thread: ThreadNo,
    events: VecDeque<HeldEvent>,
    /// Number of the first of `events`.
    first: u64,
    culled: FxHashMap<InfoIdx, (u64, u64)>,
}

struct HeldEvent {
    ns: u64,
    thread: ThreadNo,
    what: What,
}

enum What {
    Alloc {
        address: u64,
        info: InfoIdx,
    },
    Free {
        allocation: u64,
        info: InfoIdx,
        is_realloc: bool,
    },
    /// A block that did not live long enough, or its free.
    Nothing,
}

/// Marks an allocation that has no number yet: it is held, under the number without this bit.
const IS_HELD: u64 = 1 << 63;

impl<W: Write> Output<W> {
    /// With `lifetime`, blocks that live for fewer nanoseconds are only counted.
    pub(super) fn new(writer: Writer<W>, lifetime: Option<u64>) -> Self {
        let held = lifetime.map(|lifetime| Held {
            lifetime,
            now: 0,
            thread: ThreadNo(0),
            events: VecDeque::new(),
            first: 0,
            culled: FxHashMap::default(),
        });
        Output { writer, allocations: 0, held, thread: ThreadNo(0), pending: None }
    }

    /// Whether it matters to a millisecond how long a block lived.
    pub(super) fn is_culling(&self) -> bool {
        self.held.is_some()
    }

    /// The time of the events that follow.
    pub(super) fn tick(&mut self, ns: u64, blocks: &mut Blocks) {
        match &mut self.held {
            None => self.writer.tick(ns),
            Some(held) => {
                held.now = ns;
                self.release(ns.saturating_sub(self.held.as_ref().map_or(0, |held| held.lifetime)), blocks);
            }
        }
    }

    /// The thread of the events that follow.
    #[inline]
    pub(super) fn thread(&mut self, thread: ThreadNo) {
        if self.pending.is_some() && thread != self.thread {
            self.settle(false);
        }
        self.thread = thread;
        match &mut self.held {
            None => self.writer.thread(thread),
            Some(held) => held.thread = thread,
        }
    }

    /// A block was allocated. True if a block was freed by that: one at the same address, or this one.
    #[inline]
    pub(super) fn allocate(
        &mut self,
        address: u64,
        time: u64,
        info: InfoIdx,
        sizes: &[u64],
        blocks: &mut Blocks,
    ) -> bool {
        self.allocations += 1;
        if self.pending.is_some() {
            self.settle(true);
        }
        let allocation = match &self.held {
            None => self.writer.allocations(),
            Some(held) => (held.first + held.events.len() as u64) | IS_HELD,
        };
        let outcome = blocks.allocate(address, time, Block { allocation, info });
        if let Allocated::After(old) = outcome {
            self.freed(old, false, sizes);
            // The free of the old block took a number before this allocation did.
            if let Some(held) = &self.held {
                blocks.renumber(address, allocation, (held.first + held.events.len() as u64) | IS_HELD);
            }
        }
        match &mut self.held {
            None => {
                self.writer.alloc(info);
            }
            Some(held) => {
                let (ns, thread) = (held.now, held.thread);
                held.events.push_back(HeldEvent { ns, thread, what: What::Alloc { address, info } });
            }
        }
        if outcome == Allocated::ThenFreed {
            self.freed(Block { allocation, info }, false, sizes);
        }
        outcome != Allocated::New
    }

    /// A block was freed. False if it is not known.
    #[inline]
    pub(super) fn free(
        &mut self,
        address: u64,
        time: u64,
        is_realloc: bool,
        sizes: &[u64],
        blocks: &mut Blocks,
    ) -> bool {
        let Some(block) = blocks.free(address, time) else { return false };
        self.freed(block, is_realloc, sizes);
        true
    }

    #[inline]
    fn freed(&mut self, block: Block, is_realloc: bool, sizes: &[u64]) {
        let Block { allocation, info } = block;
        if self.pending.is_some() {
            self.settle(false);
        }
        match &mut self.held {
            None if is_realloc => self.pending = Some((allocation, info)),
            None => self.writer.free(allocation, info),
            Some(held) => held.freed(allocation, info, is_realloc, sizes),
        }
    }

    /// Writes the free within a realloc, now that it is known whether the new block follows: else the file would take the
    /// block that some other thread allocates next for it.
    #[cold]
    fn settle(&mut self, goes_on: bool) {
        match self.pending.take() {
            Some((allocation, info)) if goes_on => self.writer.realloc_free(allocation, info),
            Some((allocation, info)) => self.writer.free(allocation, info),
            None => {}
        }
    }

    /// Writes held events up to a time.
    fn release(&mut self, until: u64, blocks: &mut Blocks) {
        let Some(held) = &mut self.held else { return };
        while held.events.front().is_some_and(|event| event.ns <= until) {
            let Some(event) = held.events.pop_front() else { break };
            let number = held.first | IS_HELD;
            held.first += 1;
            if matches!(event.what, What::Nothing) {
                continue;
            }
            self.writer.tick(event.ns);
            self.writer.thread(event.thread);
            match event.what {
                What::Alloc { address, info } => {
                    let allocation = self.writer.alloc(info);
                    if !blocks.renumber(address, number, allocation) {
                        // Freed meanwhile by an event that is held too, and that knows it by its old number.
                        held.settle(number, allocation);
                    }
                }
                What::Free { allocation, info, is_realloc } => {
                    // The new block of a realloc may have been left out; whatever comes next is another one then.
                    let goes_on = held.events.front().is_some_and(|next| {
                        next.thread == event.thread && matches!(next.what, What::Alloc { .. })
                    });
                    if is_realloc && goes_on {
                        self.writer.realloc_free(allocation, info);
                    } else {
                        self.writer.free(allocation, info);
                    }
                }
                What::Nothing => {}
            }
        }
    }

    /// Writes all that is held, and what was left out.
    pub(super) fn finish(&mut self, blocks: &mut Blocks) {
        self.settle(false);
        self.release(u64::MAX, blocks);
        if let Some(held) = &mut self.held {
            let mut culled: Vec<_> = held.culled.drain().collect();
            culled.sort_unstable();
            for (info, (allocations, bytes)) in culled {
                self.writer.culled(info, allocations, bytes);
            }
        }
    }
}

impl Held {
    fn freed(&mut self, allocation: u64, info: InfoIdx, is_realloc: bool, sizes: &[u64]) {
        if allocation & IS_HELD != 0
            && let Some(at) = (allocation & !IS_HELD).checked_sub(self.first)
            && let Some(event) = self.events.get_mut(at as usize)
            && self.now.saturating_sub(event.ns) < self.lifetime
        {
            event.what = What::Nothing;
            let (count, bytes) = self.culled.entry(info).or_default();
            *count += 1;
            *bytes += sizes.get(info.index()).copied().unwrap_or(0);
            return;
        }
        let (ns, thread) = (self.now, self.thread);
        self.events.push_back(HeldEvent { ns, thread, what: What::Free { allocation, info, is_realloc } });
    }

    /// Gives a held free the number that its allocation got.
    fn settle(&mut self, number: u64, settled: u64) {
        for event in &mut self.events {
            if let What::Free { allocation, .. } = &mut event.what
                && *allocation == number
            {
                *allocation = settled;
                return;
            }
        }
    }
}
