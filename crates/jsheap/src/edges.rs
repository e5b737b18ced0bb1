//! Which edges hold memory: the one predicate every pass uses.

use twinheap_graph::{BitSet, Csr, DominatorTree, Search};
use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType, Snapshot};

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
    snapshot.node_type(node) != NodeType::SYNTHETIC
        || names.of_node(snapshot, node) == Known::DocumentDomTrees
}

/// The user roots in the order of the root's edges; a node stands as often as the root refers to it.
pub(crate) fn user_roots(snapshot: &Snapshot, names: &Names) -> Vec<NodeIdx> {
    let targets = snapshot.edges(snapshot.root()).map(|edge| snapshot.edge_to(edge));
    targets.filter(|&node| is_user_root(snapshot, names, node)).collect()
}

/// The dominator tree over the essential edges, which alone count for retained sizes.
///
/// DevTools: `markPageOwnedNodes`, `isEssentialEdge`, `buildDominatorTree`. Not essential are
/// - the edge from a WeakMap's table to a value: the key holds the value;
/// - weak edges, and edges from a node to itself;
/// - shortcuts, except the root's;
/// - edges from outside the page's objects to one of them, except the root's. The page's objects are what the
///   global objects reach, on Node the program's.
///
/// A node that no essential edge leads to hangs below the root.
pub(crate) fn dominators(snapshot: &Snapshot, names: &Names) -> DominatorTree {
    let root = snapshot.root();
    let graph = graph(snapshot);
    let mut search = Search::new(graph, root.0);
    let is_essential =
        |from: u32, edge: usize| is_essential(snapshot, names, NodeIdx(from), EdgeIdx(edge as u32));
    let (page_edges, other_edges): (Vec<EdgeIdx>, Vec<EdgeIdx>) = snapshot
        .edges(root)
        .filter(|&edge| is_essential(root.0, edge.index()))
        .partition(|&edge| leads_to_page(snapshot, names, edge));

    // First from the global objects. All that is met on this way is the page's, so the last rule can't apply yet,
    // and what essential edges don't lead to, the few others do.
    let mut others: Vec<u32> = Vec::new();
    for edge in page_edges {
        search.follow(edge.index(), |from, edge| {
            let counts = is_essential(from, edge);
            if !counts && is_strong(snapshot.edge_type(EdgeIdx(edge as u32))) {
                others.push(graph.to[edge]);
            }
            counts
        });
    }
    let page = page_objects(snapshot, &search, others);

    // Then from the system's roots.
    let counts = |from: u32, edge: usize| {
        is_essential(from, edge) && (page.contains(from as usize) || !page.contains(graph.to[edge] as usize))
    };
    for edge in other_edges {
        search.follow(edge.index(), counts);
    }
    // What is left hangs below the root: directly, if no essential edge leads there.
    let is_left = |node: NodeIdx, search: &Search<'_>| !search.has_reached(node.0);
    let left: Vec<NodeIdx> = snapshot.nodes().filter(|&node| is_left(node, &search)).collect();
    let mut held = BitSet::new(snapshot.node_count());
    for &node in &left {
        for edge in snapshot.edges(node).filter(|edge| counts(node.0, edge.index())) {
            held.insert(snapshot.edge_to(edge).index());
        }
    }
    for node in left.into_iter().filter(|node| !held.contains(node.index())) {
        search.follow_extra(node.0, counts);
    }
    search.into_tree()
}

/// The rules that need to know no more than the edge. Asked once for every edge of the heap.
#[inline(always)]
fn is_essential(snapshot: &Snapshot, names: &Names, from: NodeIdx, edge: EdgeIdx) -> bool {
    let holds = match snapshot.edge_type(edge) {
        EdgeType::Weak | EdgeType::Invisible => false,
        EdgeType::Shortcut => from == snapshot.root(),
        EdgeType::Internal => match snapshot.edge_name(edge).and_then(|name| names.ephemeron(name)) {
            Some(entry) => snapshot.id(from) != entry.table,
            None => true,
        },
        _ => true,
    };
    holds && snapshot.edge_to(edge) != from
}

/// True for the root's edges to the global objects: its shortcuts, and the one to the trees of a document.
fn leads_to_page(snapshot: &Snapshot, names: &Names, edge: EdgeIdx) -> bool {
    let to = snapshot.edge_to(edge);
    match snapshot.edge_type(edge) {
        EdgeType::Shortcut => true,
        EdgeType::Element => {
            snapshot.node_type(to) == NodeType::SYNTHETIC
                && names.of_node(snapshot, to) == Known::DocumentDomTrees
        }
        _ => false,
    }
}

/// The page's objects: what the search has reached, and what the `others` lead to over strong edges.
fn page_objects(snapshot: &Snapshot, search: &Search<'_>, others: Vec<u32>) -> BitSet {
    let mut page = BitSet::new(snapshot.node_count());
    for node in snapshot.nodes().filter(|node| *node != snapshot.root() && search.has_reached(node.0)) {
        page.insert(node.index());
    }
    let mut work = others;
    while let Some(node) = work.pop() {
        if !page.insert_new(node as usize) {
            continue;
        }
        for edge in snapshot.edges(NodeIdx(node)) {
            let to = snapshot.edge_to(edge);
            if is_strong(snapshot.edge_type(edge)) && !page.contains(to.index()) {
                work.push(to.0);
            }
        }
    }
    page
}
