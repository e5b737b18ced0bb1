//! Distances from the roots, as DevTools counts them: `calculateDistances`.

use twinheap_graph::{BitSet, prefetch};
use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType, Snapshot};

use crate::edges::{is_strong, is_user_root};
use crate::names::{Known, Names};

/// The distance of a node that no strong edge reaches.
pub const UNREACHABLE: i32 = -5;

/// The root's distance if there are user roots: what only the system reaches sorts behind everything else.
pub const SYSTEM_DISTANCE: i32 = 100_000_000;

/// Edges that DevTools does not follow although they are strong.
pub(crate) struct DistanceFilter {
    /// Tails of WeakMap edges that were met once. The value of an entry is held by key *and* table, so it gets
    /// the larger distance of the two plus one: the first sighting is refused, the second passes.
    pending: BitSet,
}

impl DistanceFilter {
    pub(crate) fn new(names: &Names) -> Self {
        DistanceFilter { pending: BitSet::new(names.tails) }
    }

    /// Whether a strong edge from `from` to an undecided node may be followed. Changes with every WeakMap edge.
    pub(crate) fn passes(
        &mut self,
        snapshot: &Snapshot,
        names: &Names,
        from: NodeIdx,
        edge: EdgeIdx,
    ) -> bool {
        let kind = snapshot.node_type(from);
        if kind == NodeType::HIDDEN
            && names.of_node(snapshot, from) == Known::NativeContext
            && snapshot.edge_name(edge).is_some_and(|name| names.known(name) == Known::SloppyFunctionMap)
        {
            return false;
        }
        if kind == NodeType::ARRAY && names.of_node(snapshot, from) == Known::MapDescriptors {
            // Descriptors come in threes; the second of each refers to things the map does not own.
            return match leading_number(snapshot, edge) {
                Some(index) => index < 2 || index % 3 != 1,
                None => true,
            };
        }
        if snapshot.edge_type(edge) == EdgeType::Internal
            && let Some(entry) = snapshot.edge_name(edge).and_then(|name| names.ephemeron(name))
        {
            let tail = entry.tail as usize;
            if self.pending.contains(tail) {
                self.pending.remove(tail);
                return true;
            }
            self.pending.insert(tail);
            return false;
        }
        true
    }
}

/// An edge's number, or the number its name starts with, as JavaScript's `parseInt`.
fn leading_number(snapshot: &Snapshot, edge: EdgeIdx) -> Option<u64> {
    let Some(name) = snapshot.edge_name(edge) else { return Some(snapshot.edge_name_or_index(edge)) };
    let text = snapshot.strings.get(name).to_string_lossy();
    let text = text.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

/// Nodes of a level whose row is looked up ahead, and nodes whose edges are.
const FAR_AHEAD: usize = 16;
const NEAR_AHEAD: usize = 8;

/// A breadth-first search with DevTools' rules. `visit` is told of every step: the source, the edge, and the new
/// node's distance.
pub(crate) struct Search<'a> {
    snapshot: &'a Snapshot,
    names: &'a Names,
    filter: DistanceFilter,
    /// Nodes whose distance is decided.
    decided: BitSet,
    /// True for edges that must not be followed on top of the rules.
    refuse: &'a dyn Fn(NodeIdx, EdgeIdx) -> bool,
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        names: &'a Names,
        refuse: &'a dyn Fn(NodeIdx, EdgeIdx) -> bool,
    ) -> Self {
        let decided = BitSet::new(snapshot.node_count());
        Search { snapshot, names, filter: DistanceFilter::new(names), decided, refuse }
    }

    /// Runs the search: from the user roots at distance 1, then from the root for what is left.
    pub(crate) fn run(&mut self, mut visit: impl FnMut(Option<(NodeIdx, EdgeIdx)>, NodeIdx, i32)) {
        let snapshot = self.snapshot;
        let roots = snapshot.edges(snapshot.root()).filter(|&edge| {
            is_user_root(snapshot, self.names, snapshot.edge_to(edge))
                && !(self.refuse)(snapshot.root(), edge)
        });
        let roots: Vec<NodeIdx> = roots.map(|edge| snapshot.edge_to(edge)).collect();
        for &node in &roots {
            self.decided.insert(node.index());
            visit(None, node, 1);
        }
        let has_roots = !roots.is_empty();
        self.levels(roots, 1, &mut visit);
        let root = snapshot.root();
        let distance = if has_roots { SYSTEM_DISTANCE } else { 0 };
        self.decided.insert(root.index());
        visit(None, root, distance);
        self.levels(vec![root], distance, &mut visit);
    }

    fn levels(
        &mut self,
        mut level: Vec<NodeIdx>,
        mut distance: i32,
        visit: &mut impl FnMut(Option<(NodeIdx, EdgeIdx)>, NodeIdx, i32),
    ) {
        let mut next = Vec::new();
        while !level.is_empty() {
            distance += 1;
            for (at, &node) in level.iter().enumerate() {
                // The level is known ahead, its nodes are all over the file.
                if let Some(&ahead) = level.get(at + FAR_AHEAD) {
                    prefetch(self.snapshot.edge_offsets(), ahead.index());
                }
                if let Some(&ahead) = level.get(at + NEAR_AHEAD) {
                    prefetch(
                        self.snapshot.edge_targets(),
                        self.snapshot.edge_offsets()[ahead.index()] as usize,
                    );
                }
                for edge in self.snapshot.edges(node) {
                    let to = self.snapshot.edge_to(edge);
                    if !self.decided.contains(to.index())
                        && is_strong(self.snapshot.edge_type(edge))
                        && !(self.refuse)(node, edge)
                        && self.filter.passes(self.snapshot, self.names, node, edge)
                    {
                        self.decided.insert(to.index());
                        visit(Some((node, edge)), to, distance);
                        next.push(to);
                    }
                }
            }
            level.clear();
            std::mem::swap(&mut level, &mut next);
        }
    }
}

/// The distance of every node.
pub(crate) fn distances(snapshot: &Snapshot, names: &Names) -> Vec<i32> {
    let mut distance = vec![UNREACHABLE; snapshot.node_count()];
    Search::new(snapshot, names, &|_, _| false).run(|_, node, d| distance[node.index()] = d);
    distance
}
