//! Blocks that nothing pointed to when the process exited.

use std::cmp::Reverse;
use std::ops::AddAssign;

use rustc_hash::FxHashMap;
use twinheap_trace::TraceId;

use crate::cost::{Costs, InfoCost};
use crate::heap::NativeHeap;
use crate::suppressions::{NO_PATTERN, Suppressions};

/// Lost blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostCost {
    /// Blocks that nothing points to.
    pub direct_blocks: u64,
    /// Their bytes.
    pub direct_bytes: u64,
    /// Blocks that only other lost blocks point to. Two blocks that point to each other are both of this kind, as
    /// LeakSanitizer has it.
    pub indirect_blocks: u64,
    /// Their bytes.
    pub indirect_bytes: u64,
}

impl LostCost {
    /// All lost bytes.
    pub fn bytes(&self) -> u64 {
        self.direct_bytes.saturating_add(self.indirect_bytes)
    }

    /// All lost blocks.
    pub fn blocks(&self) -> u64 {
        self.direct_blocks + self.indirect_blocks
    }
}

impl AddAssign for LostCost {
    fn add_assign(&mut self, other: LostCost) {
        self.direct_blocks += other.direct_blocks;
        self.direct_bytes = self.direct_bytes.saturating_add(other.direct_bytes);
        self.indirect_blocks += other.indirect_blocks;
        self.indirect_bytes = self.indirect_bytes.saturating_add(other.indirect_bytes);
    }
}

/// A stack and what is lost of what it allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostStack {
    /// The stack.
    pub stack: TraceId,
    /// What is lost.
    pub cost: LostCost,
}

/// What a process had lost when it exited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// All together, without what is suppressed.
    pub total: LostCost,
    /// Lost bytes that are suppressed, and nowhere else in here.
    pub suppressed_bytes: u64,
    /// Stacks, what is lost directly and most first.
    pub stacks: Vec<LostStack>,
}

/// What is lost of the blocks that were alive at the end; `None` if nobody looked. Stacks that the filter of `costs` left
/// out are not counted.
pub fn lost(heap: &NativeHeap, costs: &Costs, suppressions: &Suppressions) -> Option<Lost> {
    let blocks = heap.trace.recording.as_ref()?.lost.as_ref()?;
    let patterns = suppressions.of_nodes(heap);
    let mut lost = Lost::default();
    let mut number_of: FxHashMap<TraceId, usize> = FxHashMap::default();
    for block in blocks {
        if costs.infos.get(block.info.index()).is_none_or(|cost| *cost == InfoCost::default()) {
            continue;
        }
        let (stack, bytes) = (heap.trace.infos.trace(block.info), heap.trace.infos.size(block.info));
        if patterns.as_ref().is_some_and(|of_node| of_node[stack.index()] != NO_PATTERN) {
            lost.suppressed_bytes = lost.suppressed_bytes.saturating_add(bytes);
            continue;
        }
        let cost = match block.is_indirect {
            true => LostCost { indirect_blocks: 1, indirect_bytes: bytes, ..LostCost::default() },
            false => LostCost { direct_blocks: 1, direct_bytes: bytes, ..LostCost::default() },
        };
        lost.total += cost;
        let at = *number_of.entry(stack).or_insert_with(|| {
            lost.stacks.push(LostStack { stack, cost: LostCost::default() });
            lost.stacks.len() - 1
        });
        lost.stacks[at].cost += cost;
    }
    lost.stacks.sort_by_key(|stack| Reverse((stack.cost.direct_bytes, stack.cost.bytes())));
    Some(lost)
}
