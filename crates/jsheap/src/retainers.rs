//! Neighbours of a node: who holds it, and what it holds.

use std::borrow::Cow;

use twinheap_graph::BitSet;
use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx};

use crate::distance::{Search, UNREACHABLE};
use crate::edges::is_strong;
use crate::heap::Heap;

/// One edge of a node, seen from it: as a retainer or as a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The edge.
    pub edge: EdgeIdx,
    /// The node at its other end.
    pub node: NodeIdx,
}

/// Who holds `node`: all edges to it but weak ones and the root's, nearest to the roots first, then by name.
/// One pass over all edges.
pub fn retainers(heap: &Heap, node: NodeIdx) -> Vec<Link> {
    let snapshot = &heap.snapshot;
    let mut links: Vec<Link> = snapshot
        .edge_targets()
        .iter()
        .enumerate()
        .filter(|&(_, &to)| to == node.0)
        .map(|(edge, _)| EdgeIdx(edge as u32))
        .filter(|&edge| is_strong(snapshot.edge_type(edge)))
        .map(|edge| Link { edge, node: snapshot.edge_from(edge) })
        .filter(|link| link.node != snapshot.root())
        .collect();
    links.sort_by_cached_key(|link| {
        (sort_distance(heap, link.node), name_order(heap, link.edge), link.edge.0)
    });
    links
}

/// Unreachable retainers come last: nothing is learnt from them.
fn sort_distance(heap: &Heap, node: NodeIdx) -> u32 {
    match heap.distance(node) {
        UNREACHABLE => u32::MAX,
        distance => distance as u32,
    }
}

/// Names before numbers, `__proto__` last, then as text: "10" stands before "9", as in DevTools.
fn name_order(heap: &Heap, edge: EdgeIdx) -> (bool, bool, Vec<u8>) {
    let name = heap.edge_text(edge);
    (name == b"__proto__", heap.snapshot.edge_name(edge).is_none(), name)
}

/// What `node` refers to: all its edges but those of a damaged file, largest retained size first.
pub fn children(heap: &Heap, node: NodeIdx) -> Vec<Link> {
    let snapshot = &heap.snapshot;
    let mut links: Vec<Link> = snapshot
        .edges(node)
        .filter(|&edge| snapshot.edge_type(edge) != EdgeType::Invisible)
        .map(|edge| Link { edge, node: snapshot.edge_to(edge) })
        .collect();
    links.sort_by_key(|link| (std::cmp::Reverse(heap.retained_size(link.node)), link.edge.0));
    links
}

/// Shortest paths from the roots to every node, as one breadth-first tree.
///
/// The search has the rules of the distances: it starts at the user roots where there are any, follows no weak
/// edge, and gives the value of a WeakMap entry the longer of the two ways that hold it.
pub struct Paths<'a> {
    heap: &'a Heap,
    tree: Cow<'a, PathTree>,
}

/// The tree of [`Paths`] without the heap, for whoever keeps both.
#[derive(Clone, Debug)]
pub struct PathTree {
    /// The edge by which each node was reached, [`NO_EDGE`] for roots and what is unreachable.
    by_edge: Vec<u32>,
    reached: BitSet,
    /// Nodes in the order they were reached.
    order: Vec<NodeIdx>,
}

const NO_EDGE: u32 = u32::MAX;

/// A node of a path with the edge that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The node.
    pub node: NodeIdx,
    /// The edge from the step before; `None` for the first.
    pub edge: Option<EdgeIdx>,
}

impl<'a> Paths<'a> {
    /// Searches from the roots, through no node of `ignored`: "ignore this retainer".
    pub fn new(heap: &'a Heap, ignored: &[NodeIdx]) -> Self {
        let n = heap.snapshot.node_count();
        let mut blocked = BitSet::new(n);
        ignored.iter().for_each(|node| blocked.insert(node.index()));
        let mut by_edge = vec![NO_EDGE; n];
        let mut reached = BitSet::new(n);
        let mut order = Vec::with_capacity(n);
        let snapshot = &heap.snapshot;
        let refuse = |_, edge| !ignored.is_empty() && blocked.contains(snapshot.edge_to(edge).index());
        Search::new(snapshot, &heap.names, &refuse).run(|step, node, _| {
            if let Some((_, edge)) = step {
                by_edge[node.index()] = edge.0;
            }
            if reached.insert_new(node.index()) {
                order.push(node);
            }
        });
        Paths { heap, tree: Cow::Owned(PathTree { by_edge, reached, order }) }
    }

    /// Paths of a search that was made before, in the same heap.
    pub fn of_tree(heap: &'a Heap, tree: &'a PathTree) -> Self {
        Paths { heap, tree: Cow::Borrowed(tree) }
    }

    /// What the search found, to be kept beside the heap.
    pub fn into_tree(self) -> PathTree {
        self.tree.into_owned()
    }

    /// The shortest path to `node`, from the root; `None` if no strong path leads there.
    ///
    /// The first step is always the snapshot's root, the second, where there are user roots, one of them.
    pub fn to(&self, node: NodeIdx) -> Option<Vec<Step>> {
        if !self.tree.reached.contains(node.index()) {
            return None;
        }
        let mut steps = Vec::new();
        let mut at = node;
        loop {
            let edge = self.edge_to(at);
            steps.push(Step { node: at, edge });
            match edge {
                Some(edge) => at = self.heap.snapshot.edge_from(edge),
                None => break,
            }
        }
        steps.reverse();
        Some(steps)
    }

    /// The edge a node was reached by; a user root is held by the root itself.
    fn edge_to(&self, node: NodeIdx) -> Option<EdgeIdx> {
        let snapshot = &self.heap.snapshot;
        match self.tree.by_edge[node.index()] {
            _ if node == snapshot.root() => None,
            NO_EDGE => snapshot.edges(snapshot.root()).find(|&edge| snapshot.edge_to(edge) == node),
            edge => Some(EdgeIdx(edge)),
        }
    }

    /// Nodes in the order they were reached, holders before what they hold. The root comes behind what the user
    /// roots reach.
    pub(crate) fn order(&self) -> &[NodeIdx] {
        &self.tree.order
    }

    /// The node before `node` on its path, and the edge between them.
    pub(crate) fn holder(&self, node: NodeIdx) -> Option<(NodeIdx, EdgeIdx)> {
        self.edge_to(node).map(|edge| (self.heap.snapshot.edge_from(edge), edge))
    }
}

/// The nodes a search from the root does not reach if it refuses some edges, though it reaches them otherwise:
/// "objects retained by …". All strong edges count, without the exceptions that distances make.
pub(crate) fn held_only_by(heap: &Heap, refuse: impl Fn(u32, EdgeIdx) -> bool) -> BitSet {
    let snapshot = &heap.snapshot;
    let graph = crate::edges::graph(snapshot);
    let reached = twinheap_graph::reachable(graph, [snapshot.root().0], |from, edge| {
        let edge = EdgeIdx(edge as u32);
        is_strong(snapshot.edge_type(edge)) && !refuse(from, edge)
    });
    let mut held = BitSet::new(snapshot.node_count());
    for node in snapshot.nodes() {
        if !reached.contains(node.index()) && heap.distance(node) != UNREACHABLE {
            held.insert(node.index());
        }
    }
    held
}
