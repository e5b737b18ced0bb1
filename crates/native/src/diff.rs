//! Two recordings compared: what the same stacks cost in one and in the other.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use twinheap_trace::{IpId, TraceId};

use crate::cost::{Cost, Costs, Measure};
use crate::estimate::{Variance, Variances};
use crate::heap::{FrameView, NativeHeap};

/// A cost less another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostDelta {
    /// Calls that allocate.
    pub allocations: i64,
    /// Calls whose block was freed at once, as heaptrack counts.
    pub temporary: i64,
    /// Bytes allocated, whatever became of them.
    pub bytes: i64,
    /// Bytes not freed.
    pub leaked: i64,
    /// Bytes alive at the peak.
    pub peak: i64,
}

impl CostDelta {
    /// What `new` costs more than `base`.
    pub fn between(base: &Cost, new: &Cost) -> Self {
        let less = |new: u64, base: u64| new.wrapping_sub(base).cast_signed();
        CostDelta {
            allocations: less(new.allocations, base.allocations),
            temporary: less(new.temporary, base.temporary),
            bytes: less(new.bytes, base.bytes),
            leaked: new.leaked.wrapping_sub(base.leaked),
            peak: new.peak.wrapping_sub(base.peak),
        }
    }

    /// The number.
    pub fn of(&self, by: Measure) -> i64 {
        match by {
            Measure::Peak => self.peak,
            Measure::Leaked => self.leaked,
            Measure::Allocations => self.allocations,
            Measure::Temporary => self.temporary,
        }
    }
}

/// A recording with its costs.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The recording.
    pub heap: &'a NativeHeap,
    /// Its costs.
    pub costs: &'a Costs,
}

/// A stack whose costs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackDiff {
    /// The stack in the newer recording, if it is there.
    pub new: Option<TraceId>,
    /// The stack in the older recording, if it is there.
    pub base: Option<TraceId>,
    /// What it costs in the older recording.
    pub base_cost: Cost,
    /// What it costs in the newer recording.
    pub new_cost: Cost,
}

impl StackDiff {
    /// What the newer recording costs more.
    pub fn delta(&self) -> CostDelta {
        CostDelta::between(&self.base_cost, &self.new_cost)
    }

    /// How exact the difference is, if one of the recordings is a sample.
    pub fn variance(&self, by: Measure) -> Variance {
        by.variance_of(&self.base_cost).and(by.variance_of(&self.new_cost))
    }

    /// How exact all differences are.
    pub fn variances(&self) -> Variances {
        let mut sum = self.base_cost.variance;
        sum += self.new_cost.variance;
        sum
    }

    /// False if the difference is no larger than its error: chance alone can make it.
    pub fn is_significant(&self, by: Measure) -> bool {
        self.delta().of(by).unsigned_abs() > self.variance(by).error()
    }
}

/// Compares two recordings stack by stack and gives those whose costs differ, the largest difference by `by` first.
///
/// Stacks are the same if their lines are, by module, function, file and line, from the root on. A function that is
/// inlined is a line like any other: two builds that inline differently still have the same lines. Addresses don't
/// count, since they differ between any two runs.
pub fn stack_diffs(base: Side<'_>, new: Side<'_>, by: Measure) -> Vec<StackDiff> {
    let mut names = Names::default();
    let mut rows: Vec<StackDiff> = Vec::new();
    let mut row_of: FxHashMap<u32, usize> = FxHashMap::default();
    for (side, is_new) in [(base, false), (new, true)] {
        let name_of = names.of_calls(side.heap);
        for stack in side.costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
            let name = name_of[side.heap.visible(stack.stack).index()];
            let at = *row_of.entry(name).or_insert_with(|| {
                let none = Cost::default();
                rows.push(StackDiff { new: None, base: None, base_cost: none, new_cost: none });
                rows.len() - 1
            });
            let row = &mut rows[at];
            let (example, cost) =
                if is_new { (&mut row.new, &mut row.new_cost) } else { (&mut row.base, &mut row.base_cost) };
            example.get_or_insert(stack.stack);
            *cost += stack.cost;
        }
    }
    rows.retain(|row| row.delta() != CostDelta::default());
    // Ties by the order of first appearance; rows came in that order, and the sort is stable.
    let weight = |row: &StackDiff| {
        let delta = row.delta();
        (delta.of(by).unsigned_abs(), delta.bytes.unsigned_abs())
    };
    rows.sort_by_key(|row| Reverse(weight(row)));
    rows
}

/// Numbers for lines and stacks that are the same in both recordings.
#[derive(Default)]
struct Names {
    texts: FxHashMap<Vec<u8>, u32>,
    lines: FxHashMap<[u32; 4], u32>,
    /// Stacks by the stack around and their innermost line; 0 is the stack without lines.
    stacks: FxHashMap<(u32, u32), u32>,
}

impl Names {
    fn text(&mut self, text: &[u8]) -> u32 {
        match self.texts.get(text) {
            Some(&number) => number,
            None => {
                let number = self.texts.len() as u32;
                self.texts.insert(text.to_vec(), number);
                number
            }
        }
    }

    fn line(&mut self, frame: &FrameView<'_>) -> u32 {
        let key = [self.text(frame.module), self.text(frame.function), self.text(frame.file), frame.line];
        let next = self.lines.len() as u32;
        *self.lines.entry(key).or_insert(next)
    }

    /// For each call of the recording's tree that a stack can begin with, the number of its stack.
    fn of_calls(&mut self, heap: &NativeHeap) -> Vec<u32> {
        // The lines of all places, outermost first.
        let (mut first, mut lines) = (Vec::with_capacity(heap.trace.ips.len() + 1), Vec::new());
        for ip in (0..heap.trace.ips.len() as u32).map(IpId) {
            first.push(lines.len());
            let start = lines.len();
            if !ip.is_zero() {
                lines.extend(heap.frames(ip).map(|frame| self.line(&frame)));
            }
            lines[start..].reverse();
        }
        first.push(lines.len());

        let mut of_call = vec![0_u32; heap.trace.tree.len()];
        for call in (1..heap.trace.tree.len() as u32).map(TraceId) {
            let ip = heap.ip(call);
            if heap.visible(call) != call || ip.is_zero() {
                continue;
            }
            let outer = of_call[heap.caller(call).index()];
            of_call[call.index()] =
                lines[first[ip.index()]..first[ip.index() + 1]].iter().fold(outer, |outer, &line| {
                    let next = self.stacks.len() as u32 + 1;
                    *self.stacks.entry((outer, line)).or_insert(next)
                });
        }
        of_call
    }
}
