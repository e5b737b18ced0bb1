//! Costs of stacks over any stretch of time, from a replay of its events.

use std::ops::{AddAssign, Range};

use twinheap_trace::{Event, Matching, TraceId};

use crate::heap::NativeHeap;
use crate::suppressions::{NO_PATTERN, SuppressionHits, Suppressions};

/// What a stack, a call site or all of them together cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Calls that allocate.
    pub allocations: u64,
    /// Calls whose block was freed before the next call, as heaptrack counts them: a free counts if its size and
    /// stack are those of the latest allocation, with no other free between.
    pub temporary: u64,
    /// The same by the block's address. Meaningless unless [`NativeHeap::has_exact_temporary`].
    pub temporary_exact: u64,
    /// Bytes allocated, whatever became of them. It stops at the largest number.
    pub bytes: u64,
    /// Bytes not freed at the end. Negative if a stretch of time frees what was allocated before it.
    pub leaked: i64,
    /// Bytes alive at the moment when all stacks together had the most: not this stack's own maximum.
    pub peak: i64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.allocations += other.allocations;
        self.temporary += other.temporary;
        self.temporary_exact += other.temporary_exact;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.leaked = self.leaked.wrapping_add(other.leaked);
        self.peak = self.peak.wrapping_add(other.peak);
    }
}

/// One of the numbers of a [`Cost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Bytes alive at the peak.
    Peak,
    /// Bytes not freed.
    Leaked,
    /// Calls.
    Allocations,
    /// Calls whose block was freed at once, as heaptrack counts.
    Temporary,
}

impl Measure {
    /// The number.
    pub fn of(self, cost: &Cost) -> i64 {
        match self {
            Measure::Peak => cost.peak,
            Measure::Leaked => cost.leaked,
            Measure::Allocations => cost.allocations.cast_signed(),
            Measure::Temporary => cost.temporary.cast_signed(),
        }
    }
}

/// A stack and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackCost {
    /// The stack.
    pub stack: TraceId,
    /// What it cost.
    pub cost: Cost,
}

/// Numbers of the recording as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All stacks together; `leaked` is without what is suppressed.
    pub cost: Cost,
    /// When the peak was reached: milliseconds since the recording began.
    pub peak_ms: u64,
    /// Milliseconds of the whole recording.
    pub runtime_ms: u64,
    /// Bytes not freed whose stacks are suppressed.
    pub suppressed: i64,
    /// The most resident memory, the recorder's own included, in bytes. Absent if the file has no samples or no
    /// page size.
    pub peak_rss: Option<u64>,
}

/// What a stretch of time cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// All together.
    pub total: Totals,
    /// Every stack that the recording has, in order of first appearance; some cost nothing in the stretch.
    pub stacks: Vec<StackCost>,
    /// Patterns that suppressed something.
    pub suppressions: Vec<SuppressionHits>,
    /// What happened to each info, for a histogram.
    pub(crate) infos: Vec<InfoCost>,
}

/// What happened to the blocks of one info: calls, and blocks alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InfoCost {
    pub(crate) allocations: u64,
    /// Blocks not freed at the end; 0 if the stack is suppressed.
    pub(crate) leaked: i64,
    /// Blocks alive at the peak.
    pub(crate) peak: i64,
}

/// What happened to one info. One cache line holds three of them: a replay touches one at random for each event.
#[derive(Clone, Copy, Default)]
struct Count {
    allocations: u64,
    live: i64,
    temporary: u32,
    temporary_exact: u32,
}

struct Replay<'a> {
    counts: Vec<Count>,
    /// The info of the latest allocation; 0 after a free. That is heaptrack's rule: a free of info 0 after another
    /// free counts as temporary.
    latest: u32,
    heap: &'a NativeHeap,
}

impl Replay<'_> {
    fn run(&mut self, events: Range<u64>) {
        let (counts, mut latest) = (&mut self.counts[..], self.latest);
        // No branch: whether an event allocates or frees can't be guessed.
        self.heap.trace.events.replay(events, |_, run| {
            for event in run {
                let info = event.info().0;
                let freed = u32::from(event.is_free());
                let count = &mut counts[info as usize];
                count.allocations += u64::from(1 - freed);
                count.live += 1 - 2 * i64::from(freed);
                count.temporary += freed & u32::from(latest == info);
                count.temporary_exact += u32::from(event.frees_latest());
                latest = info * (1 - freed);
            }
        });
        self.latest = latest;
    }
}

impl NativeHeap {
    /// True if the recording has addresses, so that [`Cost::temporary_exact`] means something.
    pub fn has_exact_temporary(&self) -> bool {
        self.trace.matching != Matching::ByInfo
    }

    /// What a stretch of time cost, in milliseconds since the recording began; `None` is all of it.
    ///
    /// In a stretch, blocks count as allocated and freed within it, as in heaptrack's time filter: its peak and its
    /// leaks are growth since its start.
    pub fn costs(&self, ms: Option<&Range<u64>>, suppressions: &Suppressions) -> Costs {
        let trace = &self.trace;
        let all = trace.events.len();
        let events = ms.map_or(0..all, |ms| trace.clock.events_between(ms.clone(), all));
        let (peak, peak_event) = self.peak_event(events.clone());

        let mut replay = Replay { counts: vec![Count::default(); trace.infos.len()], latest: 0, heap: self };
        let at_peak = peak_event.map_or(events.start, |event| event + 1);
        replay.run(events.start..at_peak);
        let live_at_peak: Vec<i64> = replay.counts.iter().map(|count| count.live).collect();
        replay.run(at_peak..events.end);

        let mut stacks: Vec<StackCost> =
            self.stacks.iter().map(|&stack| StackCost { stack, cost: Cost::default() }).collect();
        // Version 0 has addresses, and heaptrack counts by them.
        let is_by_pointer = trace.matching == Matching::ByPointerInterpreted;
        let mut infos = Vec::with_capacity(replay.counts.len());
        for (info, count) in replay.counts.iter().enumerate() {
            let peak = if peak_event.is_some() { live_at_peak[info] } else { 0 };
            infos.push(InfoCost { allocations: count.allocations, leaked: count.live, peak });
            let size = trace.infos.sizes()[info];
            let bytes = |blocks: i64| size.cast_signed().wrapping_mul(blocks);
            stacks[self.stack_of_info[info] as usize].cost += Cost {
                allocations: count.allocations,
                temporary: u64::from(if is_by_pointer { count.temporary_exact } else { count.temporary }),
                temporary_exact: u64::from(count.temporary_exact),
                bytes: size.saturating_mul(count.allocations),
                leaked: bytes(count.live),
                peak: bytes(peak),
            };
        }
        let mut total = Totals {
            peak_ms: peak_event.map_or(0, |event| trace.clock.at(event)),
            runtime_ms: trace.clock.runtime_ms(),
            peak_rss: self.peak_rss(ms),
            ..Totals::default()
        };
        stacks.iter().for_each(|stack| total.cost += stack.cost);
        total.cost.peak = peak;
        let mut costs = Costs { total, stacks, suppressions: Vec::new(), infos };
        self.suppress(&mut costs, suppressions);
        costs
    }

    /// The most bytes alive, and the event that reached them first.
    fn peak_event(&self, events: Range<u64>) -> (i64, Option<u64>) {
        let sizes = self.trace.infos.sizes();
        let (mut live, mut peak, mut at) = (0_i64, 0_i64, None);
        self.trace.events.replay(events, |first, run| {
            let before = peak;
            let change = |event: &Event| {
                let size = sizes[event.info().index()].cast_signed();
                if event.is_free() { size.wrapping_neg() } else { size }
            };
            let start = live;
            for event in run {
                live = live.wrapping_add(change(event));
                peak = peak.max(live);
            }
            if peak > before {
                // Which event it was is asked again only in the runs that raise the peak.
                let mut live = start;
                let offset = run.iter().position(|event| {
                    live = live.wrapping_add(change(event));
                    live == peak
                });
                at = offset.map(|offset| first + offset as u64);
            }
        });
        (peak, at)
    }

    fn peak_rss(&self, ms: Option<&Range<u64>>) -> Option<u64> {
        let samples = self.trace.rss.iter().filter(|sample| ms.is_none_or(|ms| ms.contains(&sample.ms)));
        let pages = samples.map(|sample| sample.pages).max()?;
        Some(pages.saturating_mul(self.trace.page_size?))
    }

    /// Takes suppressed leaks off; their other costs stay.
    fn suppress(&self, costs: &mut Costs, suppressions: &Suppressions) {
        let Some(of_node) = suppressions.of_nodes(self) else { return };
        let hits = |pattern: &Vec<u8>| SuppressionHits { pattern: pattern.clone(), stacks: 0, leaked: 0 };
        let mut all: Vec<SuppressionHits> = suppressions.patterns().iter().map(hits).collect();
        let mut is_suppressed = vec![false; costs.stacks.len()];
        for (at, stack) in costs.stacks.iter_mut().enumerate() {
            let pattern = of_node[stack.stack.index()];
            if pattern == NO_PATTERN {
                continue;
            }
            is_suppressed[at] = true;
            let leaked = std::mem::take(&mut stack.cost.leaked);
            let hits = &mut all[pattern as usize];
            hits.stacks += 1;
            hits.leaked = hits.leaked.wrapping_add(leaked);
            costs.total.suppressed = costs.total.suppressed.wrapping_add(leaked);
        }
        costs.total.cost.leaked = costs.total.cost.leaked.wrapping_sub(costs.total.suppressed);
        all.retain(|hits| hits.stacks > 0);
        costs.suppressions = all;
        for (info, cost) in costs.infos.iter_mut().enumerate() {
            if is_suppressed[self.stack_of_info[info] as usize] {
                cost.leaked = 0;
            }
        }
    }
}
