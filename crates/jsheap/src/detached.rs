//! Which nodes are detached from the page or the environment they belong to.
//!
//! DevTools: `propagateDOMState` in HeapSnapshot.ts.

use twinheap_graph::BitSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, Snapshot};

/// Detachedness of nodes after it was spread.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Detached {
    /// Nodes that are detached, natives all.
    pub(crate) nodes: BitSet,
    /// Those of them whose name DevTools shows with "Detached " in front.
    pub(crate) prefixed: BitSet,
}

/// A node's state as V8 writes it.
const ATTACHED: u8 = 1;
const DETACHED: u8 = 2;

/// Spreads the states that are known over native nodes: first from attached ones, then from detached ones.
pub(crate) fn spread(snapshot: &Snapshot) -> Detached {
    let n = snapshot.node_count();
    let mut detached = Detached { nodes: BitSet::new(n), prefixed: BitSet::new(n) };
    if !snapshot.producer.has_detachedness {
        // Before Node 16 the name carried the state.
        for node in snapshot.nodes() {
            if snapshot.node_type(node) == NodeType::NATIVE
                && snapshot.raw_name_text(node).as_bytes().starts_with(b"Detached ")
            {
                detached.nodes.insert(node.index());
            }
        }
        return detached;
    }
    let mut decided = BitSet::new(n);
    // Work lists of the two states, last in first out.
    let mut work: [Vec<NodeIdx>; 2] = [Vec::new(), Vec::new()];
    for node in snapshot.nodes() {
        let state = snapshot.detachedness(node);
        if state != 0 {
            decide(snapshot, node, state, &mut decided, &mut detached, &mut work);
        }
    }
    for state in [ATTACHED, DETACHED] {
        while let Some(node) = work[usize::from(state) - 1].pop() {
            for edge in snapshot.edges(node) {
                if !matches!(
                    snapshot.edge_type(edge),
                    EdgeType::Hidden | EdgeType::Invisible | EdgeType::Weak
                ) {
                    decide(snapshot, snapshot.edge_to(edge), state, &mut decided, &mut detached, &mut work);
                }
            }
        }
    }
    detached
}

fn decide(
    snapshot: &Snapshot,
    node: NodeIdx,
    state: u8,
    decided: &mut BitSet,
    detached: &mut Detached,
    work: &mut [Vec<NodeIdx>; 2],
) {
    // A node is decided once, by whichever state reaches it first; only natives hand it on.
    if !decided.insert_new(node.index()) || snapshot.node_type(node) != NodeType::NATIVE {
        return;
    }
    if state == DETACHED {
        detached.nodes.insert(node.index());
        detached.prefixed.insert(node.index());
    }
    if let Some(list) = work.get_mut(usize::from(state) - 1) {
        list.push(node);
    }
}
