//! Graph algorithms for heaps: dominators, retained sizes, reachability.
//!
//! Graphs are in compressed sparse row form with 32-bit indices and come as borrowed slices ([`Csr`]); which edges
//! count is a [`BitSet`]. Nothing here knows what a node stands for, and nothing here knows V8.
//!
//! No pass recurses and no pass allocates per node: heaps have chains of millions of nodes.

mod bits;
mod dominators;
mod prefetch;
mod reach;
mod tree;

#[cfg(test)]
mod oracle;

pub use bits::BitSet;
pub use dominators::{Search, dominator_tree};
pub use prefetch::prefetch;
pub use reach::reachable;
pub use tree::DominatorTree;

/// A directed graph: node `v` has the edges `first[v]..first[v + 1]`, and edge `e` leads to `to[e]`.
///
/// `first` has one entry more than there are nodes, ascends, and ends with the length of `to`; all of `to` are
/// nodes. Functions panic on graphs that break these rules.
#[derive(Clone, Copy, Debug)]
pub struct Csr<'a> {
    /// Offsets into `to`.
    pub first: &'a [u32],
    /// Targets.
    pub to: &'a [u32],
}

impl<'a> Csr<'a> {
    /// Number of nodes.
    #[inline]
    pub fn node_count(&self) -> usize {
        self.first.len() - 1
    }

    /// Number of edges.
    #[inline]
    pub fn edge_count(&self) -> usize {
        self.to.len()
    }

    /// The edges of `node`.
    #[inline]
    pub fn edges(&self, node: u32) -> std::ops::Range<usize> {
        self.first[node as usize] as usize..self.first[node as usize + 1] as usize
    }
}
