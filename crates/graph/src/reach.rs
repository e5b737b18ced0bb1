//! Reachability along chosen edges.

use crate::{BitSet, Csr};

/// The nodes that can be reached from `starts` (which are part of the answer) over edges that `passes` lets through.
///
/// `passes` gets the source and the edge, and is asked only while the target is not reached yet. The order in
/// which nodes are visited is not specified.
pub fn reachable(
    graph: Csr<'_>,
    starts: impl IntoIterator<Item = u32>,
    mut passes: impl FnMut(u32, usize) -> bool,
) -> BitSet {
    let mut reached = BitSet::new(graph.node_count());
    let mut work: Vec<u32> = starts.into_iter().filter(|&s| reached.insert_new(s as usize)).collect();
    while let Some(node) = work.pop() {
        for edge in graph.edges(node) {
            let to = graph.to[edge];
            if !reached.contains(to as usize) && passes(node, edge) {
                reached.insert(to as usize);
                work.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_edges_are_not_followed() {
        let graph = Csr { first: &[0, 2, 3, 3, 4], to: &[1, 2, 3, 0] };
        assert_eq!(reachable(graph, [0], |_, _| true).count(), 4);
        assert_eq!(reachable(graph, [0], |_, e| e != 2).iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(reachable(graph, [0, 3], |from, _| from == 3).iter().collect::<Vec<_>>(), [0, 3]);
    }
}
