//! The Summary: how many of each class, how large, and what they retain.

use std::ops::Range;

use rustc_hash::FxHashMap;
use twinheap_graph::BitSet;
use twinheap_snapshot::{Join, NodeIdx};

use crate::classes::{ClassId, ClassTable};
use crate::dominated::dominator_chain;
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
pub fn class_rows(heap: &Heap, filter: Option<&BitSet>, join: &Join<'_>) -> Vec<ClassRow> {
    let half = heap.dominators.order().len() / 2;
    let (mut rows, mut more) = (Vec::new(), Vec::new());
    join(&mut || rows = rows_of_part(heap, filter, 0..half), &mut || {
        more = rows_of_part(heap, filter, half..heap.dominators.order().len());
    });
    for (row, other) in rows.iter_mut().zip(more) {
        row.count += other.count;
        row.shallow_size = row.shallow_size.saturating_add(other.shallow_size);
        row.retained_size = row.retained_size.saturating_add(other.retained_size);
        row.distance = row.distance.min(other.distance);
    }
    rows.retain(|row| row.count > 0);
    let name = |row: &ClassRow| heap.classes.get(row.class).name();
    rows.sort_by(|a, b| {
        let by_size = b.retained_size.cmp(&a.retained_size).then(b.shallow_size.cmp(&a.shallow_size));
        by_size.then_with(|| name(a).cmp(name(b))).then(a.class.cmp(&b.class))
    });
    rows
}

/// One row for each class, for the nodes at some positions of the dominator tree's order.
fn rows_of_part(heap: &Heap, filter: Option<&BitSet>, positions: Range<usize>) -> Vec<ClassRow> {
    let mut rows: Vec<ClassRow> = heap
        .classes
        .iter()
        .map(|(class, _)| ClassRow { class, count: 0, shallow_size: 0, retained_size: 0, distance: i32::MAX })
        .collect();
    let tree = &heap.dominators;
    let counts =
        |node: NodeIdx| heap.shallow_size(node) > 0 && filter.is_none_or(|f| f.contains(node.index()));
    // Where the subtree of the outermost open instance of each class ends. Subtrees nest, so one number a class
    // does for the stack of DevTools.
    let mut open_until = vec![0u32; rows.len()];
    // What is open where the part begins: the nodes that dominate its first.
    if let Some(&first) = tree.order().get(positions.start) {
        for node in dominator_chain(heap, NodeIdx(first)).into_iter().skip(1).filter(|&node| counts(node)) {
            let end = tree.position(node.0) as u32 + tree.subtree_size(node.0);
            let open = &mut open_until[heap.classes.of(node).index()];
            *open = end.max(*open);
        }
    }
    for at in positions {
        let node = NodeIdx(tree.order()[at]);
        if !counts(node) {
            continue;
        }
        let class = heap.classes.of(node).index();
        let row = &mut rows[class];
        row.count += 1;
        row.shallow_size = row.shallow_size.saturating_add(heap.shallow_size(node));
        row.distance = row.distance.min(heap.distance(node));
        if open_until[class] <= at as u32 {
            open_until[class] = at as u32 + tree.sizes()[at];
            row.retained_size = row.retained_size.saturating_add(heap.retained_size(node));
        }
    }
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
    largest_first(heap, &mut nodes);
    nodes
}

/// Sorts nodes as all lists have them: largest retained size first, then by id.
pub fn largest_first(heap: &Heap, nodes: &mut [NodeIdx]) {
    // A node's size and id lie far apart: they are looked up once, not at each comparison.
    let key = |&node: &NodeIdx| (std::cmp::Reverse(heap.retained_size(node)), heap.snapshot.id(node), node);
    let mut keyed: Vec<_> = nodes.iter().map(key).collect();
    keyed.sort_unstable();
    for (place, (_, _, node)) in nodes.iter_mut().zip(keyed) {
        *place = node;
    }
}

/// The classes of two tables by their keys, for a comparison.
pub(crate) fn by_key(classes: &ClassTable) -> FxHashMap<Vec<u8>, ClassId> {
    classes.iter().map(|(id, class)| (class.key(), id)).collect()
}
