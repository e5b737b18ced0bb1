//! The Summary: how many of each class, how large, and what they retain.

use rustc_hash::FxHashMap;
use twinheap_graph::BitSet;
use twinheap_snapshot::NodeIdx;

use crate::classes::{ClassId, ClassTable};
use crate::heap::Heap;

/// A row of the Summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassRow {
    /// The class.
    pub class: ClassId,
    /// Objects with a size.
    pub count: u64,
    /// Sum of their shallow sizes, in bytes.
    pub shallow_size: u64,
    /// What the class as a whole retains, in bytes: instances inside another instance's subtree count once.
    pub retained_size: u64,
    /// The least distance of an instance; negative if one is unreachable.
    pub distance: i32,
}

/// One row for each class with a node in `filter` (all nodes if `None`), largest retained size first.
///
/// Only nodes with a shallow size count. DevTools: `calculateClassesRetainedSize`. Where it loses a class because
/// another one has the same key, both are in one row here.
pub fn class_rows(heap: &Heap, filter: Option<&BitSet>) -> Vec<ClassRow> {
    class_rows_of(heap, &heap.classes, filter)
}

pub(crate) fn class_rows_of(heap: &Heap, classes: &ClassTable, filter: Option<&BitSet>) -> Vec<ClassRow> {
    let mut rows: Vec<ClassRow> = classes
        .iter()
        .map(|(class, _)| ClassRow { class, count: 0, shallow_size: 0, retained_size: 0, distance: i32::MAX })
        .collect();
    // Where the subtree of the outermost open instance of each class ends. Subtrees nest, so one number a class
    // does for the stack of DevTools.
    let mut open_until = vec![0u32; rows.len()];
    let tree = &heap.dominators;
    for (at, (&node, &size)) in tree.order().iter().zip(tree.sizes()).enumerate() {
        let node = NodeIdx(node);
        let shallow = heap.shallow_size(node);
        if shallow == 0 || filter.is_some_and(|f| !f.contains(node.index())) {
            continue;
        }
        let class = classes.of(node).index();
        let row = &mut rows[class];
        row.count += 1;
        row.shallow_size = row.shallow_size.saturating_add(shallow);
        row.distance = row.distance.min(heap.distance(node));
        if open_until[class] <= at as u32 {
            open_until[class] = at as u32 + size;
            row.retained_size = row.retained_size.saturating_add(heap.retained_size(node));
        }
    }
    rows.retain(|row| row.count > 0);
    rows.sort_by(|a, b| {
        let by_size = b.retained_size.cmp(&a.retained_size).then(b.shallow_size.cmp(&a.shallow_size));
        by_size
            .then_with(|| classes.get(a.class).name().cmp(classes.get(b.class).name()))
            .then(a.class.cmp(&b.class))
    });
    rows
}

/// The nodes DevTools lists below a row: those of the class with a size, largest retained first, then by id.
pub fn instances(heap: &Heap, class: ClassId, filter: Option<&BitSet>) -> Vec<NodeIdx> {
    let mut nodes: Vec<NodeIdx> = heap
        .snapshot
        .nodes()
        .filter(|&node| heap.class_of(node) == class && heap.shallow_size(node) > 0)
        .filter(|&node| filter.is_none_or(|f| f.contains(node.index())))
        .collect();
    nodes.sort_by_key(|&node| (std::cmp::Reverse(heap.retained_size(node)), heap.snapshot.id(node)));
    nodes
}

/// The classes of two tables by their keys, for a comparison.
pub(crate) fn by_key(classes: &ClassTable) -> FxHashMap<Vec<u8>, ClassId> {
    classes.iter().map(|(id, class)| (class.key(), id)).collect()
}
