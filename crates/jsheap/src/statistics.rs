//! The Statistics view: what kind of thing the bytes are.

use twinheap_graph::BitSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, Snapshot, WideColumn};

use crate::heap::Heap;
use crate::names::{Known, Names};

/// Bytes by kind. DevTools: `calculateStatistics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Everything.
    pub total: u64,
    /// Compiled code.
    pub code: u64,
    /// Strings of all kinds.
    pub strings: u64,
    /// Arrays and their elements.
    pub js_arrays: u64,
    /// Data of typed arrays and buffers outside V8's heap.
    pub typed_arrays: u64,
    /// V8's bookkeeping. 0 from V8 14.9 on, which has no such type.
    pub system: u64,
    /// The rest of V8's heap.
    pub other_js: u64,
    /// Native memory that is not typed arrays' data.
    pub other_native: u64,
}

/// The sizes of a heap by kind.
pub fn statistics(heap: &Heap) -> Statistics {
    let total = heap.total_size();
    let s = heap.kinds;
    let other_native = s.other_native.saturating_add(heap.extra_native_bytes());
    let known = [other_native, s.typed_arrays, s.code, s.strings, s.js_arrays, s.system];
    Statistics { total, other_native, other_js: known.into_iter().fold(total, u64::saturating_sub), ..s }
}

/// Sums the shallow sizes by kind: all but the total and what is left of it.
pub(crate) fn kinds(
    snapshot: &Snapshot,
    names: &Names,
    prefixed: &BitSet,
    shallow: &WideColumn,
) -> Statistics {
    let mut s = Statistics::default();
    let size_of = |node: NodeIdx| shallow.get(node.index());
    // `elements` arrays, counted with their Array if nothing else holds them.
    let mut elements = BitSet::new(snapshot.node_count());
    let mut elements_of: Vec<NodeIdx> = Vec::new();
    for node in snapshot.nodes() {
        let size = size_of(node);
        match snapshot.node_type(node) {
            NodeType::HIDDEN => add(&mut s.system, size),
            NodeType::NATIVE => {
                let is_buffer = names.of_node(snapshot, node) == Known::ArrayBufferData;
                if is_buffer && !prefixed.contains(node.index()) {
                    add(&mut s.typed_arrays, size);
                } else {
                    add(&mut s.other_native, size);
                }
            }
            NodeType::CODE => add(&mut s.code, size),
            kind if kind.is_string() => add(&mut s.strings, size),
            _ if names.of_node(snapshot, node) == Known::Array => {
                add(&mut s.js_arrays, size);
                let edge = snapshot.edges(node).find(|&edge| {
                    snapshot.edge_type(edge) == EdgeType::Internal
                        && snapshot.edge_name(edge).is_some_and(|n| names.known(n) == Known::Elements)
                });
                // With ownership the elements' bytes are in the Array's size already.
                if let Some(edge) = edge
                    && size_of(snapshot.edge_to(edge)) > 0
                {
                    elements.insert(snapshot.edge_to(edge).index());
                    elements_of.push(snapshot.edge_to(edge));
                }
            }
            _ => {}
        }
    }
    if !elements_of.is_empty() {
        let mut holders = vec![0u32; snapshot.node_count()];
        for &to in snapshot.edge_targets() {
            if elements.contains(to as usize) {
                holders[to as usize] += 1;
            }
        }
        for node in elements_of {
            if holders[node.index()] == 1 {
                add(&mut s.js_arrays, size_of(node));
            }
        }
    }
    s
}

/// Adds sizes; a file may claim any, so sums stop at `u64::MAX`.
fn add(sum: &mut u64, size: u64) {
    *sum = sum.saturating_add(size);
}
