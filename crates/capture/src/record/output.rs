//! Events on their way to the file, held back if short-lived blocks are to be left out.

use std::collections::VecDeque;
use std::io::Write;

use rustc_hash::FxHashMap;
use twinheap_trace::heaptrace::{Batch, Writer};
use twinheap_trace::{InfoIdx, ThreadNo, TraceId};

use super::blocks::{Allocated, Block, Blocks};
use super::live::Table;
use super::places::Places;

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

/// Events as nearly all of them are, of one thread and before the next tick: a block comes where none is, or one that is
/// known goes. With what they need at hand they take two thirds of the time.
pub(super) struct Plain<'o> {
    places: &'o Places,
    table: Table<'o>,
    batch: Batch<'o>,
    allocations: &'o mut u64,
}

impl Plain<'_> {
    /// The pair of a stack and a size, if it was asked for lately.
    #[inline(always)]
    pub(super) fn info(&self, trace: TraceId, size: u64) -> Option<InfoIdx> {
        self.places.recent_info(trace, size)
    }

    /// A block was allocated. False if nothing was done, and it must be told to the [`Output`].
    #[inline(always)]
    pub(super) fn allocated(&mut self, address: u64, info: InfoIdx) -> bool {
        let allocation = self.batch.allocations();
        let is_new = !self.batch.is_full() && self.table.insert(address, Block { allocation, info });
        if is_new {
            self.batch.alloc(info);
            *self.allocations += 1;
        }
        is_new
    }

    /// A block was freed, and not by a realloc. False as above.
    #[inline(always)]
    pub(super) fn freed(&mut self, address: u64) -> bool {
        if self.batch.is_full() {
            return false;
        }
        let block = self.table.remove(address);
        if let Some(Block { allocation, info }) = block {
            self.batch.free(allocation, info);
        }
        block.is_some()
    }

    /// Soon there may be an event of this address.
    #[inline(always)]
    pub(super) fn soon(&self, address: u64) {
        self.table.fetch(address);
    }
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

/// Marks an allocation that has no number yet: it is held, under the number without this bit. It is the highest bit of a
/// number that the table of blocks keeps.
const IS_HELD: u64 = 1 << 51;

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

    /// Events in a row, if they are written as they come.
    #[inline]
    pub(super) fn plain<'o>(&'o mut self, blocks: &'o mut Blocks, places: &'o Places) -> Option<Plain<'o>> {
        if self.pending.is_some() || self.held.is_some() {
            return None;
        }
        let table = blocks.in_order()?;
        Some(Plain { places, table, batch: self.writer.batch(), allocations: &mut self.allocations })
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

#[cfg(test)]
mod tests {
    use rustc_hash::FxHashSet;
    use twinheap_trace::heaptrace::{End, Meta};

    use super::*;

    /// What is written of so many random events, of which of each hundred so many are taken as plain ones if they can be;
    /// allocations and unmatched frees, and how many were.
    fn written(events: u32, addresses: u64, plain: u32) -> (Vec<u8>, [u64; 2], u32) {
        let writer = Writer::new(Vec::new(), &Meta::default(), 1).unwrap();
        let (mut output, mut blocks) = (Output::new(writer, None), Blocks::default());
        let sizes: Vec<u64> = (0..50).map(|size| size * 8).collect();
        let infos: Vec<InfoIdx> = sizes.iter().map(|&size| output.writer.info(size, TraceId(0))).collect();
        let (places, mut alive, mut taken) = (Places::default(), FxHashSet::default(), 0);
        let mut random = 1u64;
        for event in 0..events {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (address, info) = ((random >> 33) % addresses * 16 + 16, infos[(random >> 40) as usize % 50]);
            // Few events come late: blocks where one is, and frees of none.
            let (is_late, is_realloc) = (random >> 50 & 0xFF == 0, random >> 60 == 0);
            let is_free = alive.contains(&address) != is_late;
            _ = if is_free { alive.remove(&address) } else { alive.insert(address) };
            let time = u64::from(event).saturating_sub(random >> 20 & 0xFF);
            if event % 100 == 0 {
                output.tick(u64::from(event) * 1_000, &mut blocks);
                output.thread(ThreadNo(random as u32 >> 30));
                blocks.forget_early(time);
            }
            if (event % 100 < plain && !(is_free && is_realloc))
                && let Some(mut plain) = output.plain(&mut blocks, &places)
                && if is_free { plain.freed(address) } else { plain.allocated(address, info) }
            {
                taken += 1;
            } else if is_free {
                output.free(address, time, is_realloc, &sizes, &mut blocks);
            } else {
                output.allocate(address, time, info, &sizes, &mut blocks);
            }
        }
        output.finish(&mut blocks);
        let counts = [output.allocations, blocks.unmatched];
        output.writer.live(blocks.into_live());
        (output.writer.finish(&End::default()).unwrap(), counts, taken)
    }

    #[test]
    fn plain_events_are_written_as_all_others() {
        // Also where the table grows, and with more than a segment.
        for (events, addresses) in [(20_000, 100), (700_000, 1 << 19)] {
            let (one_by_one, counts, _) = written(events, addresses, 0);
            let (file, others, taken) = written(events, addresses, 90);
            assert_eq!(others, counts);
            assert!(file == one_by_one, "{addresses} addresses");
            assert!(counts[1] > 0 && taken > events / 3, "{counts:?}, {taken} were plain");
        }
    }
}
