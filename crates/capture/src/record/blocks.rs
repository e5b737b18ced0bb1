//! Blocks that are alive, by address: which allocation a free belongs to.

use rustc_hash::FxHashMap;
use twinheap_trace::InfoIdx;

use super::live::{Live, Table};

/// A block that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The allocation's number in the trace.
    pub(super) allocation: u64,
    pub(super) info: InfoIdx,
}

/// What is to be done about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allocated {
    /// Nothing else.
    New,
    /// The block at this address was freed before, though its free has not come yet.
    After(Block),
    /// The block's free came before it.
    ThenFreed,
}

/// Matches frees with allocations.
///
/// Threads' events are put in order of time, but a thread may be interrupted between looking at the clock and writing
/// its record. So an event can come late, and the address tells: an address that is allocated while it is alive was
/// freed in between, and a free of an unknown block may have come before its allocation.
#[derive(Default)]
pub(super) struct Blocks {
    live: Live,
    /// Addresses that were allocated again before their free came: how many frees are still to come, and the time of
    /// the latest such allocation.
    owed: FxHashMap<u64, (u32, u64)>,
    /// Frees that found no block, with their time.
    early: FxHashMap<u64, u64>,
    /// Frees whose blocks nobody knows: from before the recording, or lost.
    pub(super) unmatched: u64,
}

impl Blocks {
    /// A block was allocated.
    #[inline]
    pub(super) fn allocate(&mut self, address: u64, time: u64, block: Block) -> Allocated {
        if !self.early.is_empty() && self.early.get(&address).is_some_and(|&freed| freed >= time) {
            self.early.remove(&address);
            self.unmatched -= 1;
            return Allocated::ThenFreed;
        }
        match self.live.insert(address, block) {
            None => Allocated::New,
            Some(old) => {
                let owed = self.owed.entry(address).or_default();
                *owed = (owed.0 + 1, time);
                Allocated::After(old)
            }
        }
    }

    /// A block was freed. `None` if it is not known, or if its free was noticed before.
    #[inline]
    pub(super) fn free(&mut self, address: u64, time: u64) -> Option<Block> {
        if !self.owed.is_empty()
            && let Some((owed, _)) = self.owed.get_mut(&address)
        {
            *owed -= 1;
            if *owed == 0 {
                self.owed.remove(&address);
            }
            return None;
        }
        let block = self.live.remove(address);
        if block.is_none() {
            self.unmatched += 1;
            self.early.insert(address, time);
        }
        block
    }

    /// Gets ready what the block at an address will be looked up in.
    #[inline]
    pub(super) fn fetch(&mut self, address: u64) {
        self.live.table().fetch(address);
    }

    /// The blocks alone, while no event came late.
    #[inline]
    pub(super) fn in_order(&mut self) -> Option<Table<'_>> {
        (self.owed.is_empty() && self.early.is_empty()).then(|| self.live.table())
    }

    /// Gives the block at an address another number, if there is one, and if it has the number `before`.
    pub(super) fn renumber(&mut self, address: u64, before: u64, allocation: u64) -> bool {
        let block = self.live.get(address).filter(|block| block.allocation == before);
        if let Some(block) = block {
            self.live.insert(address, Block { allocation, ..block });
        }
        block.is_some()
    }

    /// Gives up waiting for the allocations of frees up to a time, and for the frees of what was allocated until then.
    pub(super) fn forget_early(&mut self, before: u64) {
        if !self.owed.is_empty() {
            self.owed.retain(|_, (_, time)| *time >= before);
        }
        if !self.early.is_empty() {
            self.early.retain(|_, time| *time >= before);
        }
    }

    /// Addresses and blocks of what is alive, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Block)> {
        self.live.iter()
    }

    /// Addresses of blocks that are alive: about `most` of them, from all over the table, if there are more.
    pub(super) fn addresses(&self, most: usize) -> impl Iterator<Item = u64> {
        let step = self.live.len().div_ceil(most.max(1)).max(1);
        self.live.iter().step_by(step).map(|(address, _)| address)
    }

    /// Allocations and addresses of what is alive, in the order of allocation.
    pub(super) fn into_live(self) -> Vec<(u64, u64)> {
        let mut live: Vec<(u64, u64)> =
            self.live.iter().map(|(address, block)| (block.allocation, address)).collect();
        live.sort_unstable();
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(allocation: u64) -> Block {
        Block { allocation, info: InfoIdx(0) }
    }

    #[test]
    fn events_in_order_match() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.allocate(16, 1, block(0)), Allocated::New);
        assert_eq!(blocks.allocate(32, 2, block(1)), Allocated::New);
        assert_eq!(blocks.free(16, 3), Some(block(0)));
        assert_eq!(blocks.free(48, 4), None);
        assert_eq!(blocks.unmatched, 1);
        assert_eq!(blocks.into_live(), [(1, 32)]);
    }

    #[test]
    fn a_free_that_comes_after_the_next_allocation_is_taken_off_once() {
        let mut blocks = Blocks::default();
        blocks.allocate(16, 1, block(0));
        assert_eq!(blocks.allocate(16, 3, block(1)), Allocated::After(block(0)));
        assert_eq!(blocks.free(16, 2), None);
        assert_eq!(blocks.free(16, 4), Some(block(1)));
        assert_eq!(blocks.unmatched, 0);
    }

    #[test]
    fn a_free_that_never_comes_is_not_waited_for_long() {
        let mut blocks = Blocks::default();
        blocks.allocate(16, 1, block(0));
        assert_eq!(blocks.allocate(16, 3, block(1)), Allocated::After(block(0)));
        blocks.forget_early(3);
        blocks.forget_early(4);
        assert_eq!(blocks.free(16, 5), Some(block(1)));
        assert_eq!(blocks.unmatched, 0);
    }

    #[test]
    fn a_free_that_comes_before_its_allocation_is_kept_for_it() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.free(16, 5), None);
        assert_eq!(blocks.allocate(16, 4, block(0)), Allocated::ThenFreed);
        assert_eq!(blocks.unmatched, 0);
        // But a block of before the recording has nothing to do with what is allocated at its address later.
        assert_eq!(blocks.free(32, 5), None);
        assert_eq!(blocks.allocate(32, 6, block(1)), Allocated::New);
        assert_eq!(blocks.unmatched, 1);
        blocks.forget_early(100);
        assert_eq!(blocks.allocate(48, 1, block(2)), Allocated::New);
    }
}
