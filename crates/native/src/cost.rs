//! Costs of stacks over any stretch of time, from a replay of its events.

use std::ops::{AddAssign, Range};
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use twinheap_trace::{InfoIdx, Matching, TraceId};

use crate::estimate::{Rounding, Variance, Variances};
use crate::heap::NativeHeap;
use crate::replay::{Counted, Replay};
use crate::suppressions::{NO_PATTERN, SuppressionHits, Suppressions};

/// What a stack, a call site or all of them together cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Calls that allocate.
    pub allocations: u64,
    /// Calls whose block was freed before the next call, as heaptrack counts them: a free counts if its size and
    /// stack are those of the latest allocation, with no other free between. 0 unless
    /// [`NativeHeap::has_temporary`].
    pub temporary: u64,
    /// The same by the block's address. Meaningless unless [`NativeHeap::has_exact_temporary`].
    pub temporary_exact: u64,
    /// Bytes allocated, whatever became of them. It stops at the largest number.
    pub bytes: u64,
    /// Bytes not freed at the end. Negative if a stretch of time frees what was allocated before it.
    pub leaked: i64,
    /// Bytes alive at the moment when all stacks together had the most: not this stack's own maximum.
    pub peak: i64,
    /// How exact these numbers are, if they are estimates.
    pub variance: Variances,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.allocations += other.allocations;
        self.temporary += other.temporary;
        self.temporary_exact += other.temporary_exact;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.leaked = self.leaked.wrapping_add(other.leaked);
        self.peak = self.peak.wrapping_add(other.peak);
        self.variance += other.variance;
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

    /// How exact the number is; nothing is known of temporary blocks, which are not estimated.
    pub fn variance_of(self, cost: &Cost) -> Variance {
        match self {
            Measure::Peak => cost.variance.peak,
            Measure::Leaked => cost.variance.leaked,
            Measure::Allocations => cost.variance.allocations,
            Measure::Temporary => Variance::default(),
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
    /// Blocks that were drawn, each by itself, to make up `leaked` and `peak`: what is allocated and freed within a
    /// stretch is in neither, what was freed and allocated before it makes one less and is in it.
    pub(crate) drawn: Drawn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) leaked: u64,
    pub(crate) peak: u64,
}

impl Drawn {
    /// Blocks behind a number of blocks more than before, `live` of which there were at the start and `freed` of which
    /// were freed since. Those that were freed are taken for the oldest.
    fn behind(more: i64, live: i64, freed: u64) -> u64 {
        let old = u64::try_from(live).unwrap_or(0).min(freed);
        more.saturating_add_unsigned(old.saturating_mul(2)).max(0).cast_unsigned()
    }
}

impl NativeHeap {
    /// What a stretch of time cost, in milliseconds since the recording began; `None` is all of it.
    ///
    /// In a stretch, blocks count as allocated and freed within it, as in heaptrack's time filter: its peak and its
    /// leaks are growth since its start.
    pub fn costs(&self, ms: Option<&Range<u64>>, suppressions: &Suppressions) -> Costs {
        // Half the work needs no events, and is done beside; here, if there may be no more threads.
        let nodes = || {
            self.names();
            suppressions.of_nodes(self)
        };
        let (counted, beside) = thread::scope(|scope| {
            let beside = thread::Builder::new().spawn_scoped(scope, nodes);
            (self.count(self.events_in(ms)), beside.map(ScopedJoinHandle::join))
        });
        let suppressed = match beside {
            Ok(joined) => joined.unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => nodes(),
        };
        self.costs_of(ms, &counted, suppressions, suppressed)
    }

    /// What was counted within these events.
    fn count(&self, events: Range<u64>) -> Counted {
        let peak = self.peak(events.clone());
        let mut replay = Replay::new(self);
        let behind_peak = peak.behind(&events);
        replay.run(events.start..behind_peak);
        let at_peak = replay.counts.clone();
        replay.run(behind_peak..events.end);
        let before = self.scale.as_ref().filter(|_| events.start > 0).map(|_| {
            let mut before = Replay::new(self);
            before.run(0..events.start);
            before.counts
        });
        Counted { peak, at_peak, at_end: replay.counts, before }
    }

    /// The events of a stretch of time.
    pub(crate) fn events_in(&self, ms: Option<&Range<u64>>) -> Range<u64> {
        let all = self.trace.events.len();
        ms.map_or(0..all, |ms| self.trace.clock.events_between(ms.clone(), all))
    }

    /// Costs by what was counted; `suppressed` are the suppressions' [nodes](Suppressions::of_nodes).
    pub(crate) fn costs_of(
        &self,
        ms: Option<&Range<u64>>,
        counted: &Counted,
        suppressions: &Suppressions,
        suppressed: Option<Vec<u32>>,
    ) -> Costs {
        let trace = &self.trace;
        let live_before = |info: usize| counted.before.as_ref().map_or(0, |counts| counts[info].live);
        let sizes = self.block_bytes();
        let mut calls = Rounding::default();
        let mut stacks: Vec<StackCost> =
            self.stacks.iter().map(|&stack| StackCost { stack, cost: Cost::default() }).collect();
        // Version 0 has addresses, and heaptrack counts by them.
        let is_by_pointer = trace.matching == Matching::ByPointerInterpreted;
        let mut infos = Vec::with_capacity(counted.at_end.len());
        for (info, (count, at_peak)) in counted.at_end.iter().zip(&counted.at_peak).enumerate() {
            let peak = at_peak.live;
            let number = InfoIdx(info as u32);
            let bytes = |blocks: i64| sizes[info].cast_signed().wrapping_mul(blocks);
            let mut cost = Cost {
                allocations: count.allocations,
                temporary: u64::from(if is_by_pointer { count.temporary_exact } else { count.temporary }),
                temporary_exact: u64::from(count.temporary_exact),
                bytes: sizes[info].saturating_mul(count.allocations),
                leaked: bytes(count.live),
                peak: bytes(peak),
                variance: Variances::default(),
            };
            let mut drawn = Drawn::default();
            if let Some(scale) = &self.scale {
                let freed = |allocations: u64, live: i64| allocations.saturating_add_signed(-live);
                let live = live_before(info);
                drawn.leaked = Drawn::behind(count.live, live, freed(count.allocations, count.live));
                drawn.peak = Drawn::behind(peak, live, freed(at_peak.allocations, peak));
                cost.allocations = calls.count(count.allocations as f64 * scale.weight(number));
                (cost.temporary, cost.temporary_exact) = (0, 0);
                cost.variance = Variances {
                    allocations: scale.calls(number, count.allocations),
                    bytes: scale.spread(number, count.allocations),
                    leaked: scale.spread(number, drawn.leaked),
                    peak: scale.spread(number, drawn.peak),
                };
            }
            infos.push(InfoCost { allocations: count.allocations, leaked: count.live, peak, drawn });
            stacks[self.stack_of_info[info] as usize].cost += cost;
        }
        let mut total = Totals {
            peak_ms: counted.peak.event.map_or(0, |event| trace.clock.at(event)),
            runtime_ms: trace.clock.runtime_ms(),
            peak_rss: self.peak_rss(ms),
            ..Totals::default()
        };
        stacks.iter().for_each(|stack| total.cost += stack.cost);
        total.cost.peak = counted.peak.live;
        let mut costs = Costs { total, stacks, suppressions: Vec::new(), infos };
        if let Some(of_node) = suppressed {
            self.suppress(&mut costs, suppressions, &of_node);
        }
        costs
    }

    fn peak_rss(&self, ms: Option<&Range<u64>>) -> Option<u64> {
        let samples = self.trace.rss.iter().filter(|sample| ms.is_none_or(|ms| ms.contains(&sample.ms)));
        let pages = samples.map(|sample| sample.pages).max()?;
        Some(pages.saturating_mul(self.trace.page_size?))
    }

    /// Takes suppressed leaks off; their other costs stay.
    fn suppress(&self, costs: &mut Costs, suppressions: &Suppressions, of_node: &[u32]) {
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
            stack.cost.variance.leaked = Variance::default();
            let hits = &mut all[pattern as usize];
            hits.stacks += 1;
            hits.leaked = hits.leaked.wrapping_add(leaked);
            costs.total.suppressed = costs.total.suppressed.wrapping_add(leaked);
        }
        costs.total.cost.leaked = costs.total.cost.leaked.wrapping_sub(costs.total.suppressed);
        costs.total.cost.variance.leaked = costs.sum().variance.leaked;
        all.retain(|hits| hits.stacks > 0);
        costs.suppressions = all;
        for (info, cost) in costs.infos.iter_mut().enumerate() {
            if is_suppressed[self.stack_of_info[info] as usize] {
                cost.leaked = 0;
                cost.drawn.leaked = 0;
            }
        }
    }
}
