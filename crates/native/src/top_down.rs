//! Stacks merged from `main` on: who calls whom, down to the call sites, with inlined functions as calls of their own.
//!
//! Calls are merged as heaptrack's views merge them: by function and module, wherever in the function they are.

use rustc_hash::FxHashMap;
use twinheap_trace::{IpId, StringId, TraceId};

use crate::cost::{Cost, Costs};
use crate::heap::{FrameView, NativeHeap};

/// A function in the merged tree, called by the same functions all the way from the outermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallNode {
    /// The node that calls it; `None` for an outermost function. It stands before this one.
    pub caller: Option<u32>,
    /// The first place in the recording that was merged into the node; 0 for allocations without a stack.
    pub ip: IpId,
    /// Which of the place's [`NativeHeap::frames`] the node is.
    pub frame: u32,
    /// True if the compiler put the function into its caller, everywhere that this node stands for.
    pub is_inlined: bool,
    /// What the function itself allocates.
    pub own: Cost,
    /// What it allocates together with all that it calls.
    pub cost: Cost,
}

/// The merged tree. A caller stands before what it calls; otherwise the order is that of the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopDown {
    /// All nodes.
    pub nodes: Vec<CallNode>,
}

impl CallNode {
    /// The function with its module, and the source line of the first place that was merged into the node.
    pub fn view<'a>(&self, heap: &'a NativeHeap) -> FrameView<'a> {
        let mut frames = heap.frames(self.ip);
        let first = frames.next();
        let frame = if self.frame == 0 { first } else { frames.nth(self.frame as usize - 1) };
        // A place has a frame in any case, and `frame` counts them.
        frame.or(first).unwrap_or_default()
    }
}

/// No node: the caller of an outermost function.
const NONE: u32 = u32::MAX;

/// Merges all stacks that cost something from their outermost callers on, by function and module. The functions of a
/// module that have no name count as one.
///
/// `operator new` is left out, and so is what is around `main`. Stacks without any place become one node of their
/// own, so that the outermost nodes always add up to all there is.
pub fn top_down(heap: &NativeHeap, costs: &Costs) -> TopDown {
    let stacks = || costs.stacks.iter().filter(|stack| stack.cost != Cost::default());
    let mut builder = Builder { heap, tree: TopDown::default(), known: FxHashMap::default() };
    let node_of = builder.add_calls(&needed(heap, stacks().map(|stack| stack.stack)));
    for stack in stacks() {
        let mut at = node_of[heap.visible(stack.stack).index()];
        if at == NONE {
            at = builder.add(NONE, IpId(0), 0);
        }
        builder.tree.nodes[at as usize].own += stack.cost;
    }
    let mut tree = builder.tree;
    for at in (0..tree.nodes.len()).rev() {
        let own = tree.nodes[at].own;
        tree.nodes[at].cost += own;
        if let Some(caller) = tree.nodes[at].caller {
            let cost = tree.nodes[at].cost;
            tree.nodes[caller as usize].cost += cost;
        }
    }
    tree
}

/// For each call of the recording whether one of these stacks goes through it.
fn needed(heap: &NativeHeap, stacks: impl Iterator<Item = TraceId>) -> Vec<bool> {
    let mut needed = vec![false; heap.trace.tree.len()];
    for stack in stacks {
        let mut node = heap.visible(stack);
        while !heap.ip(node).is_zero() && !std::mem::replace(&mut needed[node.index()], true) {
            node = heap.caller(node);
        }
    }
    needed
}

struct Builder<'a> {
    heap: &'a NativeHeap,
    tree: TopDown,
    /// Nodes by caller, function and module.
    known: FxHashMap<(u32, StringId, StringId), u32>,
}

impl Builder<'_> {
    /// Adds the needed calls of the recording, each once; the node of each. A caller stands before what it calls
    /// there too, so that one pass does.
    fn add_calls(&mut self, needed: &[bool]) -> Vec<u32> {
        let mut node_of = vec![NONE; needed.len()];
        for call in (0..needed.len() as u32).map(TraceId) {
            if !needed[call.index()] {
                continue;
            }
            let ip = self.heap.ip(call);
            let mut at = node_of[self.heap.caller(call).index()];
            // The function that really has the address calls what was inlined into it.
            for frame in (0..self.heap.trace.ips.frames(ip).len().max(1) as u32).rev() {
                at = self.add(at, ip, frame);
            }
            node_of[call.index()] = at;
        }
        node_of
    }

    /// The node of a frame below `caller`, made if there is none yet.
    fn add(&mut self, caller: u32, ip: IpId, frame: u32) -> u32 {
        let ips = &self.heap.trace.ips;
        let frames = ips.frames(ip);
        let function = frames.get(frame as usize).map_or(StringId(0), |frame| frame.function);
        let is_inlined = frame as usize + 1 < frames.len();
        let next = self.tree.nodes.len() as u32;
        let at = *self.known.entry((caller, function, ips.module(ip))).or_insert(next);
        if at == next {
            let caller = (caller != NONE).then_some(caller);
            let (own, cost) = (Cost::default(), Cost::default());
            self.tree.nodes.push(CallNode { caller, ip, frame, is_inlined, own, cost });
        }
        self.tree.nodes[at as usize].is_inlined &= is_inlined;
        at
    }
}
