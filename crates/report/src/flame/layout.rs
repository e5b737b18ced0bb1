//! The tree of one cost, from `main` on or from the allocators on, and where its boxes lie.

use rustc_hash::FxHashMap;

use super::graph::{FlameCost, FlameGraph};

/// A box that is not placed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) symbol: u32,
    /// A node of the graph with its place in the source.
    pub(super) example: u32,
    /// True if all nodes of the graph that it stands for are inlined.
    pub(super) is_inlined: bool,
    /// The cost with all that lies below it; never 0.
    pub(super) total: u64,
    /// Its own part of it.
    pub(super) own: u64,
}

/// Nodes that cost something, and those below each. From the allocators on, a node's own part is that of stacks that
/// end there: of outermost callers.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Number of the node above plus one; 0 for a root.
    parents: Vec<u32>,
    /// Nodes ordered by parent, and where each parent's begin: `first[parent]..first[parent + 1]`, roots at 0.
    order: Vec<u32>,
    first: Vec<u32>,
}

impl Tree {
    pub(super) fn new(graph: &FlameGraph, by: FlameCost, bottom_up: bool) -> Tree {
        let mut tree = if bottom_up { from_leaves(graph, by) } else { from_roots(graph, by) };
        tree.link();
        tree
    }

    /// The nodes below a node, the largest first; those at the top for `None`.
    pub(super) fn below(&self, node: Option<u32>) -> &[u32] {
        let at = node.map_or(0, |node| node as usize + 1);
        &self.order[self.first[at] as usize..self.first[at + 1] as usize]
    }

    /// Number of the node above plus one; 0 for a root.
    pub(super) fn parent(&self, node: u32) -> usize {
        self.parents[node as usize] as usize
    }

    fn push(&mut self, parent: u32, graph: &FlameGraph, example: usize) -> u32 {
        let symbol = graph.symbol[example];
        let is_inlined = graph.inlined[example];
        self.nodes.push(Node { symbol, example: example as u32, is_inlined, total: 0, own: 0 });
        self.parents.push(parent);
        self.nodes.len() as u32 - 1
    }

    /// Sorts by parent, then by cost. Equal costs keep the order of the graph, so that the picture is always the same.
    fn link(&mut self) {
        let count = self.nodes.len();
        self.first = vec![0; count + 2];
        for &parent in &self.parents {
            self.first[parent as usize + 1] += 1;
        }
        for at in 0..=count {
            self.first[at + 1] += self.first[at];
        }
        self.order = (0..count as u32).collect();
        let (parents, nodes) = (&self.parents, &self.nodes);
        self.order
            .sort_by_key(|&node| (parents[node as usize], std::cmp::Reverse(nodes[node as usize].total)));
    }
}

fn from_roots(graph: &FlameGraph, by: FlameCost) -> Tree {
    let own = |node: usize| graph.own[node][by as usize];
    let mut totals = vec![0_u64; graph.len()];
    for node in (0..graph.len()).rev() {
        totals[node] = totals[node].saturating_add(own(node));
        if let Some(parent) = (graph.parents[node] as usize).checked_sub(1) {
            totals[parent] = totals[parent].saturating_add(totals[node]);
        }
    }
    let mut tree = Tree::default();
    let mut number_of = vec![0; graph.len() + 1];
    for node in (0..graph.len()).filter(|&node| totals[node] > 0) {
        let at = tree.push(number_of[graph.parents[node] as usize], graph, node);
        tree.nodes[at as usize].total = totals[node];
        tree.nodes[at as usize].own = own(node);
        number_of[node + 1] = at + 1;
    }
    tree
}

fn from_leaves(graph: &FlameGraph, by: FlameCost) -> Tree {
    let mut tree = Tree::default();
    let mut known: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    for leaf in 0..graph.len() {
        let cost = graph.own[leaf][by as usize];
        if cost == 0 {
            continue;
        }
        let (mut node, mut below) = (Some(leaf), 0);
        while let Some(from) = node {
            let at =
                *known.entry((below, graph.symbol[from])).or_insert_with(|| tree.push(below, graph, from));
            let merged = &mut tree.nodes[at as usize];
            merged.total = merged.total.saturating_add(cost);
            merged.is_inlined &= graph.inlined[from];
            below = at + 1;
            node = (graph.parents[from] as usize).checked_sub(1);
            if node.is_none() {
                merged.own = merged.own.saturating_add(cost);
            }
        }
    }
    tree
}

/// A box on the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) node: u32,
    /// Rows from the top.
    pub(super) row: u32,
    /// From the left, in the unit of the width.
    pub(super) x: f64,
    pub(super) width: f64,
}

/// Boxes that are wide enough, in order: a box stands before those below it.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) boxes: Vec<Placed>,
    pub(super) rows: u32,
}

impl Layout {
    /// Places the tree into `width`; boxes narrower than `least` are left out, with all below them.
    pub(super) fn new(tree: &Tree, width: f64, least: f64) -> Layout {
        let mut layout = Layout::default();
        let whole: f64 = tree.below(None).iter().map(|&node| tree.nodes[node as usize].total as f64).sum();
        let scale = width / whole.max(1.0);
        // Stacks may be deeper than ours.
        let mut waiting: Vec<(Option<u32>, u32, f64)> = vec![(None, 0, 0.0)];
        while let Some((parent, row, mut x)) = waiting.pop() {
            for &node in tree.below(parent) {
                let width = tree.nodes[node as usize].total as f64 * scale;
                if width < least {
                    // The rest is smaller still.
                    break;
                }
                layout.boxes.push(Placed { node, row, x, width });
                layout.rows = layout.rows.max(row + 1);
                waiting.push((Some(node), row + 1, x));
                x += width;
            }
        }
        layout
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::graph::{FlameKind, Symbol};
    use super::*;

    /// A graph of nodes (parent below it, symbol, own cost).
    fn graph(nodes: &[(u32, u32, u64)]) -> FlameGraph {
        let mut graph =
            FlameGraph { modules: vec![String::new()], files: vec![String::new()], ..FlameGraph::default() };
        for symbol in 0..4 {
            let name = format!("f{symbol}");
            graph.symbols.push(Symbol { short: name.clone(), name, module: 0, kind: FlameKind::Native });
        }
        for (at, &(parent, symbol, own)) in nodes.iter().enumerate() {
            graph.parents.push(parent % (at as u32 + 1));
            graph.symbol.push(symbol);
            graph.file.push(0);
            graph.line.push(0);
            graph.inlined.push(false);
            graph.own.push([own; 5]);
        }
        graph
    }

    /// All boxes as `path total own`, path from the top.
    fn lines(tree: &Tree) -> Vec<String> {
        let mut lines: Vec<String> = (0..tree.nodes.len() as u32)
            .map(|node| {
                let mut path = Vec::new();
                let mut at = node + 1;
                while at > 0 {
                    path.push(format!("f{}", tree.nodes[at as usize - 1].symbol));
                    at = tree.parents[at as usize - 1];
                }
                path.reverse();
                let Node { total, own, .. } = tree.nodes[node as usize];
                format!("{} {total} {own}", path.join("/"))
            })
            .collect();
        lines.sort();
        lines
    }

    #[track_caller]
    fn check(nodes: &[(u32, u32, u64)], bottom_up: bool, expected: &[&str]) {
        assert_eq!(lines(&Tree::new(&graph(nodes), FlameCost::Peak, bottom_up)), expected);
    }

    #[test]
    fn a_tree_is_turned_around() {
        // f0 calls f1 and f2, both call f3; f3 calls nothing that costs.
        let nodes = [(0, 0, 0), (1, 1, 5), (1, 2, 0), (2, 3, 10), (3, 3, 7), (4, 0, 0)];
        check(&nodes, false, &["f0 22 0", "f0/f1 15 5", "f0/f1/f3 10 10", "f0/f2 7 0", "f0/f2/f3 7 7"]);
        let bottom_up =
            ["f1 5 0", "f1/f0 5 5", "f3 17 0", "f3/f1 10 0", "f3/f1/f0 10 10", "f3/f2 7 0", "f3/f2/f0 7 7"];
        check(&nodes, true, &bottom_up);
        check(&[], false, &[]);
        check(&[(0, 1, 0)], true, &[]);
    }

    proptest! {
        #[test]
        fn boxes_lie_within_the_one_above_and_do_not_overlap(
            nodes in prop::collection::vec((any::<u32>(), 0..4_u32, 0..20_u64), 0..60),
            bottom_up in any::<bool>(),
        ) {
            let graph = graph(&nodes);
            let tree = Tree::new(&graph, FlameCost::Peak, bottom_up);
            let whole: u64 = nodes.iter().map(|node| node.2).sum();
            let sum = |nodes: &[u32]| nodes.iter().map(|&node| tree.nodes[node as usize].total).sum::<u64>();
            prop_assert_eq!(sum(tree.below(None)), whole);
            for (node, about) in tree.nodes.iter().enumerate() {
                prop_assert_eq!(about.total, about.own + sum(tree.below(Some(node as u32))));
                prop_assert!(about.total > 0);
            }
            let layout = Layout::new(&tree, 1000.0, 0.0);
            prop_assert_eq!(layout.boxes.len(), tree.nodes.len());
            let mut place = vec![(0.0, 1000.0, 0); tree.nodes.len() + 1];
            let mut reached = vec![0.0; tree.nodes.len() + 1];
            for at in &layout.boxes {
                let parent = tree.parents[at.node as usize] as usize;
                place[at.node as usize + 1] = (at.x, at.x + at.width, at.row + 1);
                let (left, right, row) = place[parent];
                prop_assert_eq!(at.row, row);
                prop_assert!(at.x >= left - 1e-6 && at.x + at.width <= right + 1e-6);
                // The next box of the same parent begins where this one ends.
                prop_assert!(at.x >= reached[parent] - 1e-6);
                reached[parent] = at.x + at.width;
            }
            let some = Layout::new(&tree, 1000.0, 50.0);
            prop_assert!(some.boxes.iter().all(|at| at.width >= 50.0));
            prop_assert_eq!(some.boxes.len(), layout.boxes.iter().filter(|at| at.width >= 50.0).count());
        }
    }
}
