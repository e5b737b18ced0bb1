//! Stacks merged into a tree, from their leaves or from their roots, cut down to what is worth reading.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use twinheap_trace::TraceId;

use crate::cost::{Cost, Costs, Measure};
use crate::frames::{FrameNo, FrameTable};

/// Where a tree begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// With the functions that call the allocator; below a function stand its callers.
    BottomUp,
    /// With `main`; below a function stand its callees.
    TopDown,
}

/// What of a tree is left out. What costs nothing by the measure is never there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number that counts, and that siblings are ordered by.
    pub by: Measure,
    /// Nodes with less, whatever the sign, are left out with all below them.
    pub least: u64,
    /// Levels.
    pub depth: u32,
}

/// A line of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameNode {
    /// The line of the stacks.
    pub frame: FrameNo,
    /// The level, from 0.
    pub depth: u32,
    /// What the stacks through this node cost.
    pub cost: Cost,
    /// Its children that were left out.
    pub hidden: Hidden,
}

/// Siblings that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// How many, without what is below them.
    pub nodes: u64,
    /// What they cost.
    pub cost: Cost,
}

/// A tree in its preorder; of siblings, what costs most comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameTree {
    /// All nodes.
    pub nodes: Vec<FrameNode>,
    /// What was left out of the first level.
    pub hidden: Hidden,
}

/// Merges all stacks that cost something, line by line.
pub fn frame_tree(table: &FrameTable<'_>, costs: &Costs, direction: Direction, cut: &Cut) -> FrameTree {
    match direction {
        Direction::BottomUp => {
            let source = Leaves { table, costs };
            let cursor = |at: usize| Cursor { stack: at as u32, node: source.leaf(at), at: 0 };
            let is_any = |at: &usize| costs.stacks[*at].cost != Cost::default();
            let all = (0..costs.stacks.len()).filter(is_any).map(cursor).collect();
            grow(&source, &all, cut)
        }
        Direction::TopDown => grow(&Trie::new(table, costs), &ROOT, cut),
    }
}

/// Something that knows its children.
trait Source {
    type Node;

    fn children(&self, node: &Self::Node) -> Vec<Child<Self::Node>>;
}

struct Child<N> {
    frame: FrameNo,
    cost: Cost,
    node: N,
}

/// Opens what is worth it. What is left out is never opened, so a tree of millions of lines costs nothing.
fn grow<S: Source>(source: &S, root: &S::Node, cut: &Cut) -> FrameTree {
    let mut tree = FrameTree::default();
    let mut open: Vec<(u32, Child<S::Node>)> = Vec::new();
    tree.hidden = split(source.children(root), 0, cut, &mut open);
    while let Some((depth, child)) = open.pop() {
        let hidden = split(source.children(&child.node), depth + 1, cut, &mut open);
        tree.nodes.push(FrameNode { frame: child.frame, depth, cost: child.cost, hidden });
    }
    tree
}

/// Lays the children that stay on the heap of open nodes, the first on top; the sum of the others.
fn split<N>(mut children: Vec<Child<N>>, depth: u32, cut: &Cut, open: &mut Vec<(u32, Child<N>)>) -> Hidden {
    let weight = |child: &Child<N>| cut.by.of(&child.cost).unsigned_abs();
    let mut hidden = Hidden::default();
    children.retain(|child| {
        let stays = depth < cut.depth && weight(child) >= cut.least.max(1);
        if !stays && weight(child) > 0 {
            hidden.nodes += 1;
            hidden.cost += child.cost;
        }
        stays
    });
    // Ties by the order of first appearance, so that the answer is always the same.
    children.sort_by_key(|child| (Reverse(weight(child)), child.frame));
    open.extend(children.into_iter().rev().map(|child| (depth, child)));
    hidden
}

/// Stacks from their leaves on: a node is the stacks that have the same lines so far.
struct Leaves<'a> {
    table: &'a FrameTable<'a>,
    costs: &'a Costs,
}

/// How far a stack was followed.
#[derive(Clone, Copy)]
struct Cursor {
    /// Position in the costs.
    stack: u32,
    node: TraceId,
    /// The next line of the node's place.
    at: u32,
}

impl Leaves<'_> {
    fn leaf(&self, stack: usize) -> TraceId {
        self.table.heap().visible(self.costs.stacks[stack].stack)
    }

    /// The next line, and the cursor behind it.
    fn step(&self, cursor: Cursor) -> Option<(FrameNo, Cursor)> {
        let heap = self.table.heap();
        let lines = self.table.place(heap.ip(cursor.node));
        let &frame = lines.get(cursor.at as usize)?;
        let is_last = cursor.at as usize + 1 == lines.len();
        let next = if is_last {
            Cursor { node: heap.caller(cursor.node), at: 0, ..cursor }
        } else {
            Cursor { at: cursor.at + 1, ..cursor }
        };
        Some((frame, next))
    }
}

impl Source for Leaves<'_> {
    type Node = Vec<Cursor>;

    fn children(&self, node: &Vec<Cursor>) -> Vec<Child<Vec<Cursor>>> {
        let mut steps: Vec<(FrameNo, Cursor)> = node.iter().filter_map(|&cursor| self.step(cursor)).collect();
        steps.sort_by_key(|(frame, cursor)| (*frame, cursor.stack));
        let child = |group: &[(FrameNo, Cursor)]| {
            let mut cost = Cost::default();
            group.iter().for_each(|(_, cursor)| cost += self.costs.stacks[cursor.stack as usize].cost);
            Child { frame: group[0].0, cost, node: group.iter().map(|&(_, cursor)| cursor).collect() }
        };
        steps.chunk_by(|a, b| a.0 == b.0).map(child).collect()
    }
}

/// The node around all others.
const ROOT: u32 = 0;

/// All lines from the roots on. Calls share their outer lines already, so this is no larger than the recording.
struct Trie {
    frame: Vec<FrameNo>,
    cost: Vec<Cost>,
    /// Where each node's children begin in `children`, with one more entry for the end of the last.
    first: Vec<u32>,
    children: Vec<u32>,
}

impl Trie {
    fn new(table: &FrameTable<'_>, costs: &Costs) -> Trie {
        let paths = Paths::new(table);
        let mut cost = vec![Cost::default(); paths.parent.len()];
        for stack in &costs.stacks {
            cost[paths.of(table, stack.stack) as usize] += stack.cost;
        }
        // Parents stand before their children, and get theirs behind them.
        for node in (1..cost.len()).rev() {
            let own = cost[node];
            cost[paths.parent[node] as usize] += own;
        }
        let mut first = vec![0; cost.len() + 1];
        paths.parent[1..].iter().for_each(|&parent| first[parent as usize + 1] += 1);
        for node in 0..cost.len() {
            first[node + 1] += first[node];
        }
        let mut next = first.clone();
        let mut children = vec![0; cost.len() - 1];
        for node in 1..cost.len() {
            let at = &mut next[paths.parent[node] as usize];
            children[*at as usize] = node as u32;
            *at += 1;
        }
        Trie { frame: paths.frame, cost, first, children }
    }
}

impl Source for Trie {
    type Node = u32;

    fn children(&self, &node: &u32) -> Vec<Child<u32>> {
        let range = self.first[node as usize] as usize..self.first[node as usize + 1] as usize;
        let child =
            |&node: &u32| Child { frame: self.frame[node as usize], cost: self.cost[node as usize], node };
        self.children[range].iter().map(child).collect()
    }
}

/// What each call's stack reads from the root on.
struct Paths {
    parent: Vec<u32>,
    frame: Vec<FrameNo>,
    /// For each node of the recording's tree that a stack can have.
    of_call: Vec<u32>,
}

impl Paths {
    fn new(table: &FrameTable<'_>) -> Paths {
        let heap = table.heap();
        let mut paths = Paths {
            parent: vec![ROOT],
            frame: vec![FrameNo(u32::MAX)],
            of_call: vec![ROOT; heap.trace.tree.len()],
        };
        let mut known: FxHashMap<(u32, FrameNo), u32> = FxHashMap::default();
        for call in (1..heap.trace.tree.len() as u32).map(TraceId) {
            // A stack ends where no place is known, on the way from its leaf.
            if heap.visible(call) != call || heap.ip(call).is_zero() {
                continue;
            }
            let mut at = paths.of_call[heap.caller(call).index()];
            for &frame in table.place(heap.ip(call)).iter().rev() {
                let next = paths.parent.len() as u32;
                let node = *known.entry((at, frame)).or_insert(next);
                if node == next {
                    paths.parent.push(at);
                    paths.frame.push(frame);
                }
                at = node;
            }
            paths.of_call[call.index()] = at;
        }
        paths
    }

    fn of(&self, table: &FrameTable<'_>, stack: TraceId) -> u32 {
        self.of_call[table.heap().visible(stack).index()]
    }
}
