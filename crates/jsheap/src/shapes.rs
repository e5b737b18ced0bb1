//! Plain objects by their lists of properties: what their names are made of, so that a search looks at each list once.

use std::hash::Hasher as _;

use rustc_hash::{FxHashMap, FxHasher};
use twinheap_snapshot::NodeIdx;

use crate::heap::Heap;

/// The plain objects of a heap. 8 bytes for each of them.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// In the order of the file.
    nodes: Vec<NodeIdx>,
    /// By position in `nodes`: the number of its list of properties.
    shape: Vec<u32>,
    /// By number: the first object with this list.
    examples: Vec<NodeIdx>,
}

impl Shapes {
    pub(crate) fn new(heap: &Heap) -> Shapes {
        let mut shapes = Shapes::default();
        let mut known: FxHashMap<u64, u32> = FxHashMap::default();
        for node in heap.snapshot.nodes().filter(|&node| heap.is_plain_object(node)) {
            let mut hasher = FxHasher::default();
            heap.properties(node).for_each(|name| hasher.write_u32(name.0));
            let mut hash = hasher.finish();
            let shape = loop {
                let next = shapes.examples.len() as u32;
                let shape = *known.entry(hash).or_insert(next);
                if shape == next {
                    shapes.examples.push(node);
                    break shape;
                }
                if heap.properties(node).eq(heap.properties(shapes.examples[shape as usize])) {
                    break shape;
                }
                // Two lists of properties may have the same hash.
                hash = hash.wrapping_add(1);
            };
            shapes.nodes.push(node);
            shapes.shape.push(shape);
        }
        shapes
    }

    /// Answers a question about the names of plain objects; quickest for nodes in the order of the file.
    pub(crate) fn ask<'a>(
        &'a self,
        mut fits: impl FnMut(NodeIdx) -> bool + 'a,
    ) -> impl FnMut(NodeIdx) -> bool + 'a {
        let mut known: Vec<Option<bool>> = vec![None; self.examples.len()];
        let mut next = 0;
        move |node| {
            if self.nodes.get(next) != Some(&node) {
                let Ok(at) = self.nodes.binary_search(&node) else { return fits(node) };
                next = at;
            }
            let shape = self.shape[next] as usize;
            next += 1;
            *known[shape].get_or_insert_with(|| fits(self.examples[shape]))
        }
    }
}
