//! Stacks that read the same, as one.

use rustc_hash::FxHashMap;
use twinheap_trace::{IpId, TraceId};

use crate::cost::{Cost, Costs, Measure};
use crate::heap::NativeHeap;

/// Stacks with the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedStack {
    /// One of them, the first in the recording.
    pub stack: TraceId,
    /// Their sum.
    pub cost: Cost,
}

/// All stacks that cost something, those with equal places as one. Places are equal if their module, functions, files and
/// lines are; where no function is known, the address has to be equal too.
#[derive(Clone, Debug)]
pub struct MergedStacks(Vec<MergedStack>);

impl MergedStacks {
    /// Merges the stacks of these costs.
    pub fn new(heap: &NativeHeap, costs: &Costs) -> MergedStacks {
        let names = same_names(heap);
        let mut merged: Vec<MergedStack> = Vec::new();
        let mut number_of: FxHashMap<u32, usize> = FxHashMap::default();
        for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
            let name = names[heap.visible(stack.stack).index()];
            let at = *number_of.entry(name).or_insert_with(|| {
                merged.push(MergedStack { stack: stack.stack, cost: Cost::default() });
                merged.len() - 1
            });
            merged[at].cost += stack.cost;
        }
        MergedStacks(merged)
    }

    /// The `most` that cost most, and how many there are in all. Those that cost nothing by this measure are left out.
    pub fn top(&self, by: Measure, most: usize) -> (Vec<MergedStack>, usize) {
        let mut top: Vec<MergedStack> =
            self.0.iter().filter(|stack| by.of(&stack.cost) != 0).copied().collect();
        top.sort_by_key(|stack| std::cmp::Reverse(by.of(&stack.cost).unsigned_abs()));
        let all = top.len();
        top.truncate(most);
        (top, all)
    }
}

/// For each node of the tree a number that is the same for nodes whose stacks read the same.
fn same_names(heap: &NativeHeap) -> Vec<u32> {
    let place_of = same_places(heap);
    let mut known: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    // Most nodes have names of their own.
    known.reserve(heap.trace.tree.len());
    let mut names = vec![0; heap.trace.tree.len()];
    for node in (1..heap.trace.tree.len() as u32).map(TraceId) {
        if heap.visible(node) != node {
            continue;
        }
        let next = known.len() as u32 + 1;
        let outer = names[heap.caller(node).index()];
        names[node.index()] = *known.entry((outer, place_of[heap.ip(node).index()])).or_insert(next);
    }
    names
}

/// For each place a number that is the same for equal ones.
fn same_places(heap: &NativeHeap) -> Vec<u32> {
    let ips = &heap.trace.ips;
    let mut known = FxHashMap::default();
    (0..ips.len() as u32)
        .map(IpId)
        .map(|ip| {
            let frames = ips.frames(ip);
            let address = if ips.frame(ip).function.is_zero() { ips.address(ip) } else { 0 };
            let next = known.len() as u32;
            *known.entry((ips.module(ip), frames, address)).or_insert(next)
        })
        .collect()
}
