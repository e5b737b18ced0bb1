//! What each thread costs.

use std::cmp::Reverse;
use std::ops::Range;

use rustc_hash::FxHashMap;
use twinheap_trace::{InfoIdx, Matching};

use crate::cost::{Cost, Costs, InfoCost, Measure};
use crate::estimate::Rounding;
use crate::heap::NativeHeap;

/// What a thread costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadCost {
    /// The recording's number of the thread.
    pub thread: u32,
    /// Calls and bytes are those of the thread. What is alive is counted here only if no other thread allocated
    /// blocks of the same size with the same stack: a free does not tell whose block it is.
    pub cost: Cost,
}

/// Costs by thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadCosts {
    /// Threads that allocate, what costs most first.
    pub threads: Vec<ThreadCost>,
    /// What is alive and may be of one thread or another; it has no calls.
    pub shared: Cost,
}

/// Adds up costs by thread. `runs` are positions of events, rising, from which on a thread is at work; `ms` is the
/// stretch of time that the costs are of.
pub fn thread_costs(
    heap: &NativeHeap,
    costs: &Costs,
    ms: Option<&Range<u64>>,
    runs: impl IntoIterator<Item = (u64, u32)>,
    by: Measure,
) -> ThreadCosts {
    let all = heap.trace.events.len();
    let events = ms.map_or(0..all, |ms| heap.trace.clock.events_between(ms.clone(), all));
    let mut count = Count::new(heap, costs);
    let mut runs = runs.into_iter().peekable();
    let (mut at, mut thread) = (0, 0);
    while at < events.end {
        while let Some((_, next)) = runs.next_if(|&(first, _)| first <= at) {
            thread = next;
        }
        let end = runs.peek().map_or(events.end, |&(next, _)| next.min(events.end));
        count.run(at.max(events.start)..end.max(events.start), thread);
        at = end;
    }
    count.finish(by)
}

/// Who allocated the blocks of an info.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    Thread(u32),
    Several,
}

struct Count<'a> {
    heap: &'a NativeHeap,
    costs: &'a Costs,
    owners: Vec<Owner>,
    /// Position of each thread in `threads`.
    known: FxHashMap<u32, usize>,
    threads: Vec<ThreadCost>,
    /// Calls of each of `threads` as estimated, if only a sample was recorded.
    estimated: Vec<f64>,
    /// The info of the latest allocation of any thread; 0 after a free, as in [`NativeHeap::costs`].
    latest: u32,
}

impl<'a> Count<'a> {
    fn new(heap: &'a NativeHeap, costs: &'a Costs) -> Self {
        let owners = vec![Owner::Nobody; costs.infos.len()];
        let known = FxHashMap::default();
        Count { heap, costs, owners, known, threads: Vec::new(), estimated: Vec::new(), latest: 0 }
    }

    fn run(&mut self, events: Range<u64>, thread: u32) {
        if events.is_empty() {
            return;
        }
        let trace = &self.heap.trace;
        let by_pointer = trace.matching == Matching::ByPointerInterpreted;
        let at = place_of(&mut self.threads, &mut self.known, thread);
        self.estimated.resize(self.threads.len(), 0.0);
        let (cost, estimated) = (&mut self.threads[at].cost, &mut self.estimated[at]);
        let (owners, latest) = (&mut self.owners, &mut self.latest);
        let (sizes, scale) = (self.heap.block_bytes(), self.heap.scale.as_ref());
        trace.events.replay(events, |_, run| {
            for event in run {
                let info = event.info();
                let before = std::mem::replace(latest, if event.is_free() { 0 } else { info.0 });
                // The filter left nothing of it.
                if self.costs.infos[info.index()] == InfoCost::default() {
                    continue;
                }
                if event.is_free() {
                    let exact = u64::from(event.frees_latest());
                    cost.temporary_exact += exact;
                    cost.temporary += if by_pointer { exact } else { u64::from(before == info.0) };
                    continue;
                }
                cost.allocations += 1;
                cost.bytes = cost.bytes.saturating_add(sizes[info.index()]);
                if let Some(scale) = scale {
                    *estimated += scale.weight(info);
                    cost.variance.allocations += scale.calls(info, 1);
                    cost.variance.bytes += scale.spread(info, 1);
                }
                let owner = &mut owners[info.index()];
                *owner = match *owner {
                    Owner::Nobody => Owner::Thread(thread),
                    Owner::Thread(other) if other == thread => continue,
                    _ => Owner::Several,
                };
            }
        });
    }

    fn finish(mut self, by: Measure) -> ThreadCosts {
        let mut shared = Cost::default();
        if !self.heap.has_temporary() {
            let mut calls = Rounding::default();
            for (thread, &estimated) in self.threads.iter_mut().zip(&self.estimated) {
                thread.cost.allocations = calls.count(estimated);
                (thread.cost.temporary, thread.cost.temporary_exact) = (0, 0);
            }
        }
        for (info, (owner, blocks)) in self.owners.iter().zip(&self.costs.infos).enumerate() {
            let size = self.heap.block_bytes()[info].cast_signed();
            let cost = match *owner {
                Owner::Thread(thread) => {
                    let at = place_of(&mut self.threads, &mut self.known, thread);
                    &mut self.threads[at].cost
                }
                Owner::Nobody | Owner::Several => &mut shared,
            };
            cost.leaked = cost.leaked.wrapping_add(size.wrapping_mul(blocks.leaked));
            cost.peak = cost.peak.wrapping_add(size.wrapping_mul(blocks.peak));
            if let Some(scale) = &self.heap.scale {
                let number = InfoIdx(info as u32);
                cost.variance.leaked += scale.spread(number, blocks.drawn.leaked);
                cost.variance.peak += scale.spread(number, blocks.drawn.peak);
            }
        }
        let mut threads = self.threads;
        threads.retain(|thread| thread.cost != Cost::default());
        threads.sort_by_key(|thread| (Reverse(by.of(&thread.cost).unsigned_abs()), thread.thread));
        ThreadCosts { threads, shared }
    }
}

/// Position of a thread in `threads`.
fn place_of(threads: &mut Vec<ThreadCost>, known: &mut FxHashMap<u32, usize>, thread: u32) -> usize {
    let at = *known.entry(thread).or_insert(threads.len());
    if at == threads.len() {
        threads.push(ThreadCost { thread, cost: Cost::default() });
    }
    at
}
