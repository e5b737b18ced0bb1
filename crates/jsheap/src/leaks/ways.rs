//! Short paths that a person would choose: through the program's objects rather than through V8's bookkeeping.
//!
//! The shortest path to a session may lead over a hidden class, a feedback cell or a timer list of Node.js. So edges
//! have costs here, and the cheapest path counts. What holds memory is decided by the same predicate as everywhere:
//! weak edges lead nowhere, and the value of a WeakMap entry is reached when both its key and its table are.

use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType, StringId};

use crate::distance::DistanceFilter;
use crate::edges::{is_strong, is_user_root};
use crate::heap::Heap;
use crate::leaks::code::Code;
use crate::names::Known;
use crate::retainers::Step;

/// More than any single edge costs; the width of the ring of buckets.
const RING: usize = 128;
/// Where the root starts. What only the system holds is reached from there, and what the program holds too if its
/// own path is longer than this.
const ROOT_COST: u32 = 40;
/// What leaving a root costs that holds things while they are worked on. A function or its variables explain why
/// something is held there, other objects don't, so those cost more still.
const ACCIDENTAL: u32 = 45;
/// No edge, no cost yet.
const NONE: u32 = u32::MAX;

/// The cheapest path from the roots to every node, as a tree.
pub(crate) struct Ways {
    /// The edge by which each node is reached; [`NONE`] for roots and what nothing reaches.
    by_edge: Vec<u32>,
    /// The node that edge comes from; [`NONE`] likewise. Edges know only their target, and the search knows both.
    holder: Vec<u32>,
    /// Nodes in the order they were reached, holders before what they hold.
    order: Vec<u32>,
}

impl Ways {
    /// Searches from the user roots and the root (Dial's variant of Dijkstra's algorithm: costs are small numbers).
    /// Functions of Node.js itself are a detour.
    pub(crate) fn new(heap: &Heap, code: &Code<'_>) -> Ways {
        let snapshot = &heap.snapshot;
        let n = snapshot.node_count();
        let mut search = Search {
            ways: Ways { by_edge: vec![NONE; n], holder: vec![NONE; n], order: Vec::with_capacity(n) },
            cost: vec![NONE; n],
            ring: vec![Vec::new(); RING],
            name_costs: vec![0; snapshot.strings.len()],
            waiting: 0,
        };
        let root = snapshot.root();
        for edge in snapshot.edges(root) {
            let to = snapshot.edge_to(edge);
            if is_user_root(snapshot, &heap.names, to) && is_strong(snapshot.edge_type(edge)) {
                search.reach(to, 0, NONE, NONE);
            }
        }
        search.reach(root, if search.waiting == 0 { 0 } else { ROOT_COST }, NONE, NONE);
        search.run(heap, code);
        search.ways
    }

    /// The node before `node` on its path, and the edge between them; `None` for roots and what nothing reaches.
    pub(crate) fn holder(&self, node: NodeIdx) -> Option<(NodeIdx, EdgeIdx)> {
        let holder = self.holder[node.index()];
        (holder != NONE).then(|| (NodeIdx(holder), EdgeIdx(self.by_edge[node.index()])))
    }

    /// All nodes that a path leads to, holders before what they hold.
    pub(crate) fn order(&self) -> impl Iterator<Item = NodeIdx> + '_ {
        self.order.iter().map(|&node| NodeIdx(node))
    }

    /// The path to `node`, from the snapshot's root; empty if there is none.
    pub(crate) fn to(&self, heap: &Heap, node: NodeIdx) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut at = node;
        while let Some((holder, edge)) = self.holder(at) {
            steps.push(Step { node: at, edge: Some(edge) });
            at = holder;
        }
        let root = heap.snapshot.root();
        if at != root {
            let edge = heap.snapshot.edges(root).find(|&edge| heap.snapshot.edge_to(edge) == at);
            if edge.is_none() {
                return Vec::new();
            }
            steps.push(Step { node: at, edge });
        }
        steps.push(Step { node: root, edge: None });
        steps.reverse();
        steps
    }
}

struct Search {
    ways: Ways,
    /// The cheapest path's cost so far.
    cost: Vec<u32>,
    /// Nodes to look at, by cost modulo [`RING`]. A node stands there once for each time it became cheaper.
    ring: Vec<Vec<u32>>,
    /// By string: what an edge of this name costs on top, plus 1; 0 if not looked up yet.
    name_costs: Vec<u8>,
    waiting: usize,
}

impl Search {
    fn reach(&mut self, node: NodeIdx, cost: u32, edge: u32, from: u32) {
        let best = &mut self.cost[node.index()];
        if cost >= *best {
            return;
        }
        *best = cost;
        self.ways.by_edge[node.index()] = edge;
        self.ways.holder[node.index()] = from;
        self.ring[cost as usize % RING].push(node.0);
        self.waiting += 1;
    }

    fn run(&mut self, heap: &Heap, code: &Code<'_>) {
        let snapshot = &heap.snapshot;
        let mut filter = DistanceFilter::new(&heap.names);
        let mut settled = twinheap_graph::BitSet::new(snapshot.node_count());
        let mut at = 0u32;
        while self.waiting > 0 {
            let mut level = std::mem::take(&mut self.ring[at as usize % RING]);
            self.waiting -= level.len();
            // Edges that cost nothing don't exist, so nothing joins the level while it is worked on.
            for &node in &level {
                let node = NodeIdx(node);
                if self.cost[node.index()] != at || !settled.insert_new(node.index()) {
                    continue;
                }
                self.ways.order.push(node.0);
                let leaving = leaving_cost(heap, node);
                for edge in snapshot.edges(node) {
                    let to = snapshot.edge_to(edge);
                    if settled.contains(to.index())
                        || !is_strong(snapshot.edge_type(edge))
                        || (snapshot.edge_type(edge) == EdgeType::Shortcut && node != snapshot.root())
                        || !filter.passes(snapshot, &heap.names, node, edge)
                    {
                        continue;
                    }
                    let mut cost = 1 + leaving + self.name_cost(heap, edge);
                    if snapshot.node_type(to) == NodeType::CLOSURE && code.runtime.contains(&to.0) {
                        cost += 3;
                    }
                    if leaving >= ACCIDENTAL
                        && snapshot.node_type(to) != NodeType::CLOSURE
                        && !code.is_context(to)
                    {
                        cost += 15;
                    }
                    self.reach(to, at + cost, edge.0, node.0);
                }
            }
            level.clear();
            self.ring[at as usize % RING] = level;
            at += 1;
        }
    }

    fn name_cost(&mut self, heap: &Heap, edge: EdgeIdx) -> u32 {
        let Some(name) = heap.snapshot.edge_name(edge) else { return 0 };
        let Some(known) = self.name_costs.get_mut(name.index()) else { return 0 };
        if *known == 0 {
            *known = 1 + cost_of_name(heap, name);
        }
        u32::from(*known - 1)
    }
}

/// What a path pays for going through a node of this kind.
fn leaving_cost(heap: &Heap, node: NodeIdx) -> u32 {
    let snapshot = &heap.snapshot;
    match snapshot.node_type(node) {
        NodeType::CODE | NodeType::OBJECT_SHAPE => 12,
        NodeType::SYNTHETIC => match snapshot.raw_name_text(node).as_bytes() {
            // Here today, gone tomorrow: what runs while the dump is taken.
            b"(Stack roots)" | b"(Handle scope)" | b"(Identity map)" => ACCIDENTAL,
            // Holds every property name, and says nothing of any.
            b"(Internalized strings)" | b"(String table)" => 60,
            _ => 4,
        },
        NodeType::NATIVE => 3,
        NodeType::HIDDEN if heap.names.of_node(snapshot, node) == Known::NativeContext => 20,
        NodeType::HIDDEN => 1,
        _ => 0,
    }
}

/// What a path pays for an edge of this name: V8's bookkeeping explains nothing to a person.
fn cost_of_name(heap: &Heap, name: StringId) -> u8 {
    match heap.snapshot.strings.get(name).as_bytes() {
        b"map" | b"code" | b"feedback_cell" | b"native_context" | b"scope_info" | b"dependent_code" => 20,
        b"shared" | b"__proto__" | b"initial_map" | b"prototype_or_initial_map" => 12,
        b"constructor" => 6,
        b"prototype" | b"previous" => 2,
        // What the snapshot's own bookkeeping holds.
        name if name.ends_with(b"IdentityMapBase") => ACCIDENTAL as u8,
        _ => 0,
    }
}
