//! Looking at the dominator tree: who retains the bytes.

use rustc_hash::FxHashMap;
use twinheap_snapshot::NodeIdx;

use crate::aggregates::largest_first;
use crate::classes::ClassId;
use crate::heap::Heap;

/// What a node dominates directly, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DominatedClass {
    /// The class.
    pub class: ClassId,
    /// Nodes of it right below.
    pub count: u64,
    /// Their shallow sizes, in bytes.
    pub shallow_size: u64,
    /// Their retained sizes, in bytes; their subtrees are disjoint.
    pub retained_size: u64,
}

/// The nodes right below `node` in the dominator tree, largest retained size first, then by id.
pub fn dominated(heap: &Heap, node: NodeIdx) -> Vec<NodeIdx> {
    let mut nodes: Vec<NodeIdx> = heap.dominators.children(node.0).map(NodeIdx).collect();
    largest_first(heap, &mut nodes);
    nodes
}

/// The nodes right below `node`, grouped by class, largest retained size first.
pub fn dominated_by_class(heap: &Heap, node: NodeIdx) -> Vec<DominatedClass> {
    let mut rows: FxHashMap<ClassId, DominatedClass> = FxHashMap::default();
    for child in heap.dominators.children(node.0).map(NodeIdx) {
        let class = heap.class_of(child);
        let row = rows.entry(class).or_insert(DominatedClass {
            class,
            count: 0,
            shallow_size: 0,
            retained_size: 0,
        });
        row.count += 1;
        row.shallow_size = row.shallow_size.saturating_add(heap.shallow_size(child));
        row.retained_size = row.retained_size.saturating_add(heap.retained_size(child));
    }
    let mut rows: Vec<DominatedClass> = rows.into_values().collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.retained_size), row.class));
    rows
}

/// Nodes that dominate `node`, itself first, the root last.
pub fn dominator_chain(heap: &Heap, node: NodeIdx) -> Vec<NodeIdx> {
    let mut chain = vec![node];
    let mut at = node;
    while heap.dominator(at) != at {
        at = heap.dominator(at);
        chain.push(at);
    }
    chain
}
