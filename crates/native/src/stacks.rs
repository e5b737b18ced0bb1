//! Stacks that read the same, as one.

use std::cmp::Reverse;

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
        let names = heap.names();
        let mut merged: Vec<MergedStack> = Vec::new();
        let mut number_of = vec![u32::MAX; names.len()];
        for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
            let name = names[heap.visible(stack.stack).index()];
            let number = &mut number_of[name as usize];
            if *number == u32::MAX {
                *number = merged.len() as u32;
                merged.push(MergedStack { stack: stack.stack, cost: Cost::default() });
            }
            merged[*number as usize].cost += stack.cost;
        }
        MergedStacks(merged)
    }

    /// The `most` that cost most, and how many there are in all. Those that cost nothing by this measure are left out.
    pub fn top(&self, by: Measure, most: usize) -> (Vec<MergedStack>, usize) {
        // The stacks are large beside their places in the list; among equals the first in the list comes first.
        let cost = |stack: &MergedStack| by.of(&stack.cost).unsigned_abs();
        let mut top: Vec<(Reverse<u64>, u32)> = self
            .0
            .iter()
            .zip(0..)
            .filter(|(stack, _)| cost(stack) != 0)
            .map(|(stack, at)| (Reverse(cost(stack)), at))
            .collect();
        let all = top.len();
        if most < all {
            top.select_nth_unstable(most);
            top.truncate(most);
        }
        top.sort_unstable();
        (top.iter().map(|&(_, at)| self.0[at as usize]).collect(), all)
    }
}

/// [`NativeHeap::names`], from the root on: the children of nodes that read the same are put together by their places.
/// No table of all nodes is looked into, which would have most of what it is asked for in no cache.
pub(crate) fn same_names(heap: &NativeHeap) -> Vec<u32> {
    let place_of = same_places(heap);
    let children = Children::of(heap);
    let mut names = vec![0; heap.trace.tree.len()];
    let mut last = 0;
    // Nodes that read the same stand together; where those begin that were not opened yet.
    let mut nodes = vec![TraceId(0)];
    let mut open = vec![0];
    let mut found: Vec<(u32, TraceId)> = Vec::new();
    while let Some(start) = open.pop() {
        for node in nodes.drain(start..) {
            let place = |node| place_of[heap.ip(node).index()];
            found.extend(children.below(node).iter().map(|&node| (place(node), node)));
        }
        found.sort_unstable_by_key(|(place, node)| (*place, node.0));
        for same in found.chunk_by(|(place, _), (other, _)| place == other) {
            last += 1;
            open.push(nodes.len());
            for (_, node) in same {
                names[node.index()] = last;
                nodes.push(*node);
            }
        }
        found.clear();
    }
    names
}

/// The calls that each visible call makes: lists, one behind the other.
struct Children {
    ends: Vec<u32>,
    all: Vec<TraceId>,
}

impl Children {
    fn of(heap: &NativeHeap) -> Children {
        let nodes = || {
            let all = (1..heap.trace.tree.len() as u32).map(TraceId);
            all.filter(|node| heap.visible(*node) == *node)
        };
        let mut ends = vec![0u32; heap.trace.tree.len()];
        nodes().for_each(|node| ends[heap.caller(node).index()] += 1);
        let mut start = 0;
        for count in &mut ends {
            start += std::mem::replace(count, start);
        }
        let mut all = vec![TraceId(0); start as usize];
        for node in nodes() {
            // What begins as the list's start is its end when the list is full.
            let at = &mut ends[heap.caller(node).index()];
            all[*at as usize] = node;
            *at += 1;
        }
        Children { ends, all }
    }

    fn below(&self, node: TraceId) -> &[TraceId] {
        let start = node.index().checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start as usize..self.ends[node.index()] as usize]
    }
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
