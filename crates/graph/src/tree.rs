//! The dominator tree, laid out so that a subtree is a range.

/// Not in the reachable part.
const NONE: u32 = u32::MAX;

/// A dominator tree over the nodes of a graph.
///
/// Nodes are kept in a preorder of the *tree*: the subtree of the node at position `p` is `p..p + size(p)`, its
/// first child stands at `p + 1`, and a child's next sibling behind the child's subtree. "Does a dominate b" is
/// two comparisons, and sums over subtrees are sums over ranges. 16 bytes a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DominatorTree {
    root: u32,
    /// Node to immediate dominator; the root's is the root.
    parent: Vec<u32>,
    /// Position to node.
    order: Vec<u32>,
    /// Node to position.
    position: Vec<u32>,
    /// Position to the size of the subtree there, in nodes.
    size: Vec<u32>,
}

impl DominatorTree {
    /// Builds the layout. `vertex` are the reachable nodes in an order with dominators first, `idom` the place in
    /// `vertex` of each one's immediate dominator. All other nodes of the graph become children of the root.
    pub(crate) fn new(node_count: usize, root: u32, vertex: &[u32], idom: &[u32]) -> Self {
        let reached = vertex.len();
        let mut size = vec![1u32; reached];
        for w in (1..reached).rev() {
            size[idom[w] as usize] += size[w];
        }
        // The next free position inside each subtree, starting behind its top. A node's own position is given by
        // its dominator's counter, so one pass in the order of `vertex` places everything.
        let mut next = vec![0u32; reached];
        let mut parent = vec![root; node_count];
        let mut order = vec![NONE; node_count];
        let mut position = vec![NONE; node_count];
        let mut sizes = vec![1u32; node_count];
        for w in 0..reached {
            let at = if w == 0 {
                0
            } else {
                let d = idom[w] as usize;
                parent[vertex[w] as usize] = vertex[d];
                let at = next[d];
                next[d] += size[w];
                at
            };
            next[w] = at + 1;
            order[at as usize] = vertex[w];
            position[vertex[w] as usize] = at;
            sizes[at as usize] = size[w];
        }
        let mut at = reached as u32;
        for node in 0..node_count as u32 {
            if position[node as usize] == NONE {
                position[node as usize] = at;
                order[at as usize] = node;
                at += 1;
            }
        }
        if let Some(top) = sizes.first_mut() {
            *top = node_count as u32;
        }
        DominatorTree { root, parent, order, position, size: sizes }
    }

    /// The root.
    pub fn root(&self) -> u32 {
        self.root
    }

    /// The immediate dominator; the root's is the root itself.
    #[inline]
    pub fn parent(&self, node: u32) -> u32 {
        self.parent[node as usize]
    }

    /// All nodes in the tree's preorder, the root first.
    #[inline]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Nodes of the subtree at each position of [`DominatorTree::order`].
    #[inline]
    pub fn sizes(&self) -> &[u32] {
        &self.size
    }

    /// Where a node stands in [`DominatorTree::order`].
    #[inline]
    pub fn position(&self, node: u32) -> usize {
        self.position[node as usize] as usize
    }

    /// Number of nodes `node` dominates, itself included.
    pub fn subtree_size(&self, node: u32) -> u32 {
        self.size[self.position(node)]
    }

    /// The nodes `node` dominates, itself first, in preorder.
    pub fn subtree(&self, node: u32) -> &[u32] {
        let at = self.position(node);
        &self.order[at..at + self.size[at] as usize]
    }

    /// True if every path from the root to `below` goes through `above`; a node dominates itself.
    pub fn dominates(&self, above: u32, below: u32) -> bool {
        let top = self.position(above);
        (top..top + self.size[top] as usize).contains(&self.position(below))
    }

    /// The nodes whose immediate dominator is `node`.
    pub fn children(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let top = self.position(node);
        let end = top + self.size[top] as usize;
        let mut at = top + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let child = self.order[at];
                at += self.size[at] as usize;
                child
            })
        })
    }

    /// The sum of `own_size` over each node's subtree, in node order: its retained size, in bytes. Sums stop
    /// at `u64::MAX`, which only made-up sizes reach.
    pub fn retained(&self, own_size: impl Fn(usize) -> u64) -> Vec<u64> {
        let mut retained: Vec<u64> = (0..self.parent.len()).map(own_size).collect();
        for &node in self.order.iter().skip(1).rev() {
            let size = retained[node as usize];
            let sum = &mut retained[self.parent[node as usize] as usize];
            *sum = sum.saturating_add(size);
        }
        retained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees_are_ranges() {
        // 2 -> {0 -> {3}, 4}; 1 is unreachable.
        let tree = DominatorTree::new(5, 2, &[2, 0, 4, 3], &[0, 0, 0, 1]);
        assert_eq!(tree.order(), [2, 0, 3, 4, 1]);
        assert_eq!(tree.children(2).collect::<Vec<_>>(), [0, 4, 1]);
        assert_eq!(tree.children(0).collect::<Vec<_>>(), [3]);
        assert_eq!(tree.subtree(0), [0, 3]);
        assert!(tree.dominates(0, 3) && tree.dominates(3, 3) && !tree.dominates(4, 3));
        assert_eq!(tree.retained(|i| 1 << i), [0b01001, 0b00010, 0b11111, 0b01000, 0b10000]);
        assert_eq!((tree.parent(2), tree.parent(1), tree.subtree_size(2)), (2, 2, 5));
    }
}
