//! The Statistics view: what kind of thing the bytes are.

use twinheap_graph::BitSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use crate::heap::Heap;
use crate::names::Known;

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

/// Sums the shallow sizes by kind.
pub fn statistics(heap: &Heap) -> Statistics {
    let snapshot = &heap.snapshot;
    let mut s = Statistics { total: heap.total_size(), ..Statistics::default() };
    let mut native = heap.extra_native_bytes();
    // `elements` arrays, counted with their Array if nothing else holds them.
    let mut elements = BitSet::new(snapshot.node_count());
    let mut elements_of: Vec<NodeIdx> = Vec::new();
    for node in snapshot.nodes() {
        let size = heap.shallow_size(node);
        match snapshot.node_type(node) {
            NodeType::HIDDEN => add(&mut s.system, size),
            NodeType::NATIVE => {
                add(&mut native, size);
                if heap.names.of_node(snapshot, node) == Known::ArrayBufferData
                    && !heap.detached.prefixed.contains(node.index())
                {
                    add(&mut s.typed_arrays, size);
                }
            }
            NodeType::CODE => add(&mut s.code, size),
            kind if kind.is_string() => add(&mut s.strings, size),
            _ if heap.names.of_node(snapshot, node) == Known::Array => {
                add(&mut s.js_arrays, size);
                let edge = snapshot.edges(node).find(|&edge| {
                    snapshot.edge_type(edge) == EdgeType::Internal
                        && snapshot.edge_name(edge).is_some_and(|n| heap.names.known(n) == Known::Elements)
                });
                // With ownership the elements' bytes are in the Array's size already.
                if let Some(edge) = edge
                    && heap.shallow_size(snapshot.edge_to(edge)) > 0
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
                add(&mut s.js_arrays, heap.shallow_size(node));
            }
        }
    }
    s.other_native = native.saturating_sub(s.typed_arrays);
    let v8 = s.total.saturating_sub(native);
    let known = [s.code, s.strings, s.js_arrays, s.system];
    s.other_js = known.into_iter().fold(v8, u64::saturating_sub);
    s
}

/// Adds sizes; a file may claim any, so sums stop at `u64::MAX`.
fn add(sum: &mut u64, size: u64) {
    *sum = sum.saturating_add(size);
}
