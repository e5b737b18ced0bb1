//! How many blocks of which size.

use crate::cost::Costs;
use crate::heap::NativeHeap;

/// Calls that asked for so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeCount {
    /// Bytes asked for.
    pub size: u64,
    /// Calls.
    pub allocations: u64,
}

/// The sizes that were asked for, smallest first.
pub fn histogram(heap: &NativeHeap, costs: &Costs) -> Vec<SizeCount> {
    let sizes = heap.trace.infos.sizes().iter().copied();
    let mut all: Vec<SizeCount> = sizes
        .zip(costs.allocations.iter().copied())
        .filter(|&(_, allocations)| allocations > 0)
        .map(|(size, allocations)| SizeCount { size, allocations })
        .collect();
    all.sort_unstable_by_key(|entry| entry.size);
    all.dedup_by(|next, kept| {
        let is_same = next.size == kept.size;
        if is_same {
            kept.allocations += next.allocations;
        }
        is_same
    });
    all
}
