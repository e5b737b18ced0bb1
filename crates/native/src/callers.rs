//! What each function costs by itself and with all it calls, who calls it, and whom it calls.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::cost::{Cost, Costs, Measure};
use crate::frames::{FrameNo, FrameTable};

/// A function's costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCost {
    /// The function.
    pub frame: FrameNo,
    /// Stacks in which it calls the allocator.
    pub own: Cost,
    /// Stacks in which it occurs, each counted once however often it calls itself.
    pub inclusive: Cost,
}

/// A function that calls another. Stacks in which it does so are counted once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallEdge {
    /// Who calls.
    pub caller: FrameNo,
    /// Who is called.
    pub callee: FrameNo,
    /// What the stacks cost that have the call.
    pub cost: Cost,
}

/// All functions that occur in stacks which cost something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerCallee {
    /// What costs most with all it calls comes first; of equal ones, what costs most by itself.
    pub functions: Vec<FunctionCost>,
    /// By callee, and then what costs most.
    by_callee: Vec<CallEdge>,
    /// By caller, and then what costs most.
    by_caller: Vec<CallEdge>,
}

impl CallerCallee {
    /// Who calls the function; what costs most comes first.
    pub fn callers(&self, frame: FrameNo) -> &[CallEdge] {
        range(&self.by_callee, frame, |edge| edge.callee)
    }

    /// Whom the function calls; what costs most comes first.
    pub fn callees(&self, frame: FrameNo) -> &[CallEdge] {
        range(&self.by_caller, frame, |edge| edge.caller)
    }
}

fn range(edges: &[CallEdge], frame: FrameNo, end: impl Fn(&CallEdge) -> FrameNo) -> &[CallEdge] {
    let start = edges.partition_point(|edge| end(edge) < frame);
    let len = edges[start..].partition_point(|edge| end(edge) == frame);
    &edges[start..start + len]
}

/// Adds up costs by function.
pub fn caller_callee(table: &FrameTable<'_>, costs: &Costs, by: Measure) -> CallerCallee {
    let nothing =
        |frame| FunctionCost { frame: FrameNo(frame), own: Cost::default(), inclusive: Cost::default() };
    let mut functions: Vec<FunctionCost> = (0..table.len() as u32).map(nothing).collect();
    // The last stack, from 1, that was counted for the function or call: that makes recursion count once.
    let mut counted = vec![0_u32; table.len()];
    let mut edges: FxHashMap<(FrameNo, FrameNo), (u32, Cost)> = FxHashMap::default();
    let mut number = 0;
    for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
        number += 1;
        let mut callee: Option<FrameNo> = None;
        for frame in table.stack(stack.stack) {
            let function = &mut functions[frame.index()];
            if std::mem::replace(&mut counted[frame.index()], number) != number {
                function.inclusive += stack.cost;
            }
            if let Some(callee) = callee {
                let (last, cost) = edges.entry((frame, callee)).or_default();
                if std::mem::replace(last, number) != number {
                    *cost += stack.cost;
                }
            } else {
                function.own += stack.cost;
            }
            callee = Some(frame);
        }
    }
    functions.retain(|function| counted[function.frame.index()] > 0);
    let weight = |cost: &Cost| Reverse(by.of(cost).unsigned_abs());
    functions.sort_by_key(|f| (weight(&f.inclusive), weight(&f.own), f.frame));

    let edge = |((caller, callee), (_, cost))| CallEdge { caller, callee, cost };
    let mut by_callee: Vec<CallEdge> = edges.into_iter().map(edge).collect();
    let mut by_caller = by_callee.clone();
    by_callee.sort_unstable_by_key(|e| (e.callee, weight(&e.cost), e.caller));
    by_caller.sort_unstable_by_key(|e| (e.caller, weight(&e.cost), e.callee));
    CallerCallee { functions, by_callee, by_caller }
}
