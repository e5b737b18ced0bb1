//! Which edges hold memory: the one predicate every pass uses.

use twinheap_graph::{BitSet, Csr, reachable};
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, Snapshot};

use crate::names::{Known, Names};

/// The snapshot's edges as a graph.
pub(crate) fn graph(snapshot: &Snapshot) -> Csr<'_> {
    Csr { first: snapshot.edge_offsets(), to: snapshot.edge_targets() }
}

/// True for an edge that keeps its target alive, if its source lives: neither weak nor made up.
#[inline]
pub(crate) fn is_strong(kind: EdgeType) -> bool {
    !matches!(kind, EdgeType::Weak | EdgeType::Invisible)
}

/// True for what DevTools calls a user root when the root refers to it: distances start there.
pub(crate) fn is_user_root(snapshot: &Snapshot, names: &Names, node: NodeIdx) -> bool {
    snapshot.node_type(node) != NodeType::SYNTHETIC || names.of_node(snapshot, node) == Known::DocumentDomTrees
}

/// The user roots in the order of the root's edges; a node stands as often as the root refers to it.
pub(crate) fn user_roots(snapshot: &Snapshot, names: &Names) -> Vec<NodeIdx> {
    let targets = snapshot.edges(snapshot.root()).map(|edge| snapshot.edge_to(edge));
    targets.filter(|&node| is_user_root(snapshot, names, node)).collect()
}

/// Objects of the page or program: what the root's shortcuts (the global objects) reach.
///
/// DevTools: `markPageOwnedNodes`.
pub(crate) fn page_objects(snapshot: &Snapshot, names: &Names) -> BitSet {
    let starts = snapshot.edges(snapshot.root()).filter_map(|edge| {
        let to = snapshot.edge_to(edge);
        let is_start = match snapshot.edge_type(edge) {
            EdgeType::Shortcut => true,
            EdgeType::Element => {
                snapshot.node_type(to) == NodeType::SYNTHETIC
                    && names.of_node(snapshot, to) == Known::DocumentDomTrees
            }
            _ => false,
        };
        is_start.then_some(to.0)
    });
    let starts: Vec<u32> = starts.collect();
    reachable(graph(snapshot), starts, |_, edge| {
        is_strong(snapshot.edge_type(twinheap_snapshot::EdgeIdx(edge as u32)))
    })
}

/// The essential edges, which alone count for dominators and retained sizes, and the nodes none of them leads to.
pub(crate) struct Essential {
    pub(crate) edges: BitSet,
    /// Nodes without an essential edge to them, the root excepted.
    pub(crate) unheld: BitSet,
}

/// DevTools: `isEssentialEdge`. Not essential are
/// - the edge from a WeakMap's table to a value: the key holds the value;
/// - weak edges, and edges from a node to itself;
/// - shortcuts, except the root's;
/// - edges from outside the page's objects to one of them, except the root's.
pub(crate) fn essential(snapshot: &Snapshot, names: &Names, page: &BitSet) -> Essential {
    let n = snapshot.node_count();
    let mut edges = BitSet::new(snapshot.edge_count());
    let mut unheld = BitSet::new(n);
    (0..n).for_each(|node| unheld.insert(node));
    unheld.remove(snapshot.root().index());
    for node in snapshot.nodes() {
        let is_root = node == snapshot.root();
        let is_page = page.contains(node.index());
        for edge in snapshot.edges(node) {
            let to = snapshot.edge_to(edge);
            let kind = snapshot.edge_type(edge);
            let holds = match kind {
                EdgeType::Weak | EdgeType::Invisible => false,
                EdgeType::Shortcut => is_root,
                EdgeType::Internal => match snapshot.edge_name(edge).and_then(|name| names.ephemeron(name)) {
                    Some(entry) => snapshot.id(node) != entry.table,
                    None => true,
                },
                _ => true,
            };
            if holds && to != node && (is_root || is_page || !page.contains(to.index())) {
                edges.insert(edge.index());
                unheld.remove(to.index());
            }
        }
    }
    Essential { edges, unheld }
}
