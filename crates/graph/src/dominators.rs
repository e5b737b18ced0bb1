//! Dominators by Semi-NCA.
//!
//! Georgiadis, Tarjan, Werneck: "Finding Dominators in Practice", JGAA 10(1), 2006. Semidominators are computed
//! with path compression as in the simple Lengauer-Tarjan algorithm; the immediate dominator of a node is then the
//! nearest common ancestor of its semidominator and its parent in the dominator tree built so far. Iterative
//! algorithms, which older heap tools used, need a sweep over the graph for each level of a deep chain and don't
//! finish on real heaps.
//!
//! What makes it fast here:
//! - all of it runs on depth-first preorder numbers, which put a node near its neighbours in memory and turn
//!   "is this node processed already" into a comparison;
//! - the depth-first search counts each node's predecessors as it goes and takes the tree edges, a quarter to a
//!   third of all, out of the edge set: the parent is known without a list;
//! - predecessor lists are filled in ascending order of both ends.

use crate::prefetch::prefetch;
use crate::{BitSet, Csr, DominatorTree};

/// Not visited, or no node.
const NONE: u32 = u32::MAX;

/// A depth-first search from a root, in as many steps as the caller needs, and then the dominator tree of what it
/// found.
///
/// Which edges count is decided while the search goes on: each edge of a reached node is asked for exactly once,
/// when the search first looks at it, so a caller may learn from one step what it needs to know for the next. An
/// edge that was refused does not exist.
pub struct Search<'a> {
    graph: Csr<'a>,
    root: u32,
    /// What is known of each node.
    slots: Vec<Slot>,
    /// The node of each preorder number.
    vertex: Vec<u32>,
    /// Number of the tree parent, by number.
    parent: Vec<u32>,
    /// Edges that count and are not tree edges.
    keep: BitSet,
    /// Nodes to which the root has an extra edge and that were reached from elsewhere.
    extra: Vec<u32>,
    stack: Vec<Open>,
}

/// A node of the graph, as far as the search knows it. Both halves are needed for every edge that leads there, so
/// they share a cache line.
#[derive(Clone, Copy)]
struct Slot {
    /// Its preorder number, [`NONE`] if not reached.
    number: u32,
    /// How many edges lead there, tree edges not counted; later where its predecessor list ends, then starts.
    list: u32,
}

/// A node whose edges are not all followed.
struct Open {
    /// The next edge, and the end of the node's edges.
    edge: u32,
    end: u32,
    /// The node's number.
    number: u32,
}

impl<'a> Search<'a> {
    /// A search that has reached the root, and looked at none of its edges.
    pub fn new(graph: Csr<'a>, root: u32) -> Self {
        let n = graph.node_count();
        let mut search = Search {
            graph,
            root,
            slots: vec![Slot { number: NONE, list: 0 }; n],
            vertex: Vec::with_capacity(n),
            parent: Vec::with_capacity(n),
            keep: BitSet::new(graph.edge_count()),
            extra: Vec::new(),
            stack: Vec::new(),
        };
        search.slots[root as usize].number = 0;
        search.vertex.push(root);
        search.parent.push(0);
        search
    }

    /// Whether a node was reached.
    #[inline]
    pub fn has_reached(&self, node: u32) -> bool {
        self.slots[node as usize].number != NONE
    }

    /// Follows one edge of the root, and from there everything that `counts` lets through: it gets the source and
    /// the edge.
    pub fn follow(&mut self, edge: usize, counts: impl FnMut(u32, usize) -> bool) {
        if self.enter(self.graph.to[edge]) {
            self.keep.insert(edge);
        }
        self.run(counts);
    }

    /// As [`Search::follow`], for an edge from the root that the graph does not have.
    pub fn follow_extra(&mut self, to: u32, counts: impl FnMut(u32, usize) -> bool) {
        if self.enter(to) {
            self.extra.push(to);
        }
        self.run(counts);
    }

    /// Takes an edge from the root to `to`. True if the node was reached before: then the edge belongs in its list.
    fn enter(&mut self, to: u32) -> bool {
        let slot = &mut self.slots[to as usize];
        match slot.number {
            NONE => self.reach(to, 0),
            // The root itself: nothing dominates it.
            0 => {}
            _ => {
                slot.list += 1;
                return true;
            }
        }
        false
    }

    fn reach(&mut self, node: u32, parent: u32) {
        let number = self.vertex.len() as u32;
        self.slots[node as usize].number = number;
        self.vertex.push(node);
        self.parent.push(parent);
        let edges = self.graph.edges(node);
        for &to in &self.graph.to[edges.clone()] {
            // The search will ask for each of them, and nearly always miss the cache.
            prefetch(&self.slots, to as usize);
            prefetch(self.graph.first, to as usize);
        }
        self.stack.push(Open { edge: edges.start as u32, end: edges.end as u32, number });
    }

    fn run(&mut self, mut counts: impl FnMut(u32, usize) -> bool) {
        while let Some(top) = self.stack.last_mut() {
            let Open { mut edge, end, number } = *top;
            let from = self.vertex[number as usize];
            let mut found = NONE;
            while edge < end {
                let e = edge as usize;
                edge += 1;
                if !counts(from, e) {
                    continue;
                }
                let to = self.graph.to[e];
                let slot = &mut self.slots[to as usize];
                if slot.number == NONE {
                    found = to;
                    break;
                }
                slot.list += 1;
                self.keep.insert(e);
            }
            top.edge = edge;
            if found == NONE {
                self.stack.pop();
            } else {
                self.reach(found, number);
            }
        }
    }

    /// The dominator tree of all that was reached. Other nodes become children of the root and influence nobody.
    ///
    /// Time is close to linear in the edges on every graph of practice; memory is at most 32 bytes a node and 4
    /// bytes an edge, on top of the graph.
    pub fn into_tree(self) -> DominatorTree {
        let (node_count, root) = (self.graph.node_count(), self.root);
        let (vertex, idom) = semi_nca(self);
        DominatorTree::new(node_count, root, &vertex, &idom)
    }
}

/// The dominator tree of the part of `graph` that `keep` leaves, from `root`; nodes in `extra_roots` are treated as
/// if the root had an edge to each of them.
pub fn dominator_tree(graph: Csr<'_>, root: u32, keep: &BitSet, extra_roots: &BitSet) -> DominatorTree {
    assert_eq!(keep.len(), graph.edge_count());
    assert_eq!(extra_roots.len(), graph.node_count());
    let mut search = Search::new(graph, root);
    for edge in graph.edges(root).filter(|&e| keep.contains(e)) {
        search.follow(edge, |_, e| keep.contains(e));
    }
    for node in extra_roots.iter() {
        search.follow_extra(node as u32, |_, e| keep.contains(e));
    }
    search.into_tree()
}

/// Predecessor lists by number, tree edges left out: `w` has `from[first[w]..first[w + 1]]`.
struct Predecessors {
    first: Vec<u32>,
    from: Vec<u32>,
}

/// How far ahead rows and their targets' slots are fetched.
const ROWS_AHEAD: usize = 32;
const TARGETS_AHEAD: usize = 12;

fn predecessors(search: &mut Search<'_>) -> Predecessors {
    let Search { graph, vertex, slots, keep, extra, .. } = search;
    let fetch_slot = |slots: &[Slot], at: usize| {
        if let Some(&ahead) = vertex.get(at) {
            prefetch(slots, ahead as usize);
        }
    };
    // Ends now; filling from the back turns each into a start.
    let mut sum = 0u32;
    for (at, &v) in vertex.iter().enumerate() {
        fetch_slot(slots, at + ROWS_AHEAD);
        let list = &mut slots[v as usize].list;
        sum += *list;
        *list = sum;
    }
    let mut from = vec![0u32; sum as usize];
    let mut add = |slot: &mut Slot, number: u32| {
        slot.list -= 1;
        from[slot.list as usize] = number;
    };
    for (number, &v) in vertex.iter().enumerate().rev() {
        if let Some(&ahead) = number.checked_sub(ROWS_AHEAD).and_then(|at| vertex.get(at)) {
            prefetch(graph.first, ahead as usize);
        }
        if let Some(&ahead) = number.checked_sub(TARGETS_AHEAD).and_then(|at| vertex.get(at)) {
            for &to in &graph.to[graph.edges(ahead)] {
                prefetch(slots, to as usize);
            }
        }
        for e in graph.edges(v) {
            if keep.contains(e) {
                add(&mut slots[graph.to[e] as usize], number as u32);
            }
        }
    }
    for &to in &*extra {
        add(&mut slots[to as usize], 0);
    }
    let mut first = Vec::with_capacity(vertex.len() + 1);
    for (at, &v) in vertex.iter().enumerate() {
        fetch_slot(slots, at + ROWS_AHEAD);
        first.push(slots[v as usize].list);
    }
    first.push(sum);
    Predecessors { first, from }
}

/// The reached nodes in preorder, and the number of the immediate dominator of each; that of the root is 0.
fn semi_nca(mut search: Search<'_>) -> (Vec<u32>, Vec<u32>) {
    let Predecessors { mut first, from } = predecessors(&mut search);
    let Search { vertex, parent, keep, slots, .. } = search;
    drop((keep, slots));
    let n = vertex.len();
    let mut forest: Vec<Link> = parent.iter().map(|&ancestor| Link { ancestor, label: 0 }).collect();
    let mut path = Vec::new();

    for w in (1..n as u32).rev() {
        let mut best = parent[w as usize];
        let list = first[w as usize] as usize..first[w as usize + 1] as usize;
        for &v in &from[list] {
            // Numbers up to `w` are not in the forest yet, so they stand for themselves.
            let candidate = if v <= w { v } else { evaluate(v, w, &mut forest, &mut path) };
            best = best.min(candidate);
        }
        // The end of this list is not needed any more: the semidominator of `w` takes its place.
        first[w as usize + 1] = best;
        forest[w as usize].label = best;
    }
    drop((from, forest));

    let mut idom = parent;
    for w in 1..n {
        let semi = first[w + 1];
        let mut d = idom[w];
        while d > semi {
            d = idom[d as usize];
        }
        idom[w] = d;
    }
    (vertex, idom)
}

/// A number's place in the forest of those that are done. Both halves are always needed together, so they share a
/// cache line.
#[derive(Clone, Copy)]
struct Link {
    /// The next number up the compressed path.
    ancestor: u32,
    /// The smallest semidominator on the path from here to the ancestor, which is not included.
    label: u32,
}

/// The smallest semidominator on the path from `v` up to, not including, the first number at or below `w`.
/// Afterwards everything on the path points to its end.
#[inline]
fn evaluate(v: u32, w: u32, forest: &mut [Link], path: &mut Vec<u32>) -> u32 {
    let mut top = v;
    let mut link = forest[top as usize];
    while link.ancestor > w {
        path.push(top);
        top = link.ancestor;
        link = forest[top as usize];
    }
    let end = link.ancestor;
    let mut best = link.label;
    while let Some(x) = path.pop() {
        let link = &mut forest[x as usize];
        best = best.min(link.label);
        *link = Link { ancestor: end, label: best };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Random, brute_force_dominators, lengauer_tarjan, random_graph};

    #[track_caller]
    fn check(first: &[u32], to: &[u32], root: u32, keep: &BitSet, extras: &BitSet) {
        let graph = Csr { first, to };
        let tree = dominator_tree(graph, root, keep, extras);
        let got: Vec<u32> = (0..graph.node_count() as u32).map(|v| tree.parent(v)).collect();
        assert_eq!(got, lengauer_tarjan(graph, root, keep, extras), "Lengauer-Tarjan differs");
        if graph.node_count() <= 64 {
            assert_eq!(got, brute_force_dominators(graph, root, keep, extras), "brute force differs");
        }
    }

    #[test]
    fn random_graphs_agree_with_brute_force_and_lengauer_tarjan() {
        let mut random = Random::new(7);
        for round in 0..3000 {
            let nodes = 1 + random.below(24);
            let edges = random.below(nodes * 4);
            let (first, to) = random_graph(&mut random, nodes, edges);
            let mut keep = BitSet::new(to.len());
            let mut extras = BitSet::new(nodes);
            for e in 0..to.len() {
                if random.below(8) != 0 {
                    keep.insert(e);
                }
            }
            if round % 2 == 1 {
                for v in 0..nodes {
                    if random.below(6) == 0 {
                        extras.insert(v);
                    }
                }
            }
            check(&first, &to, random.below(nodes) as u32, &keep, &extras);
        }
    }

    #[test]
    fn larger_graphs_agree_with_lengauer_tarjan() {
        let mut random = Random::new(11);
        for _ in 0..20 {
            let nodes = 2000 + random.below(3000);
            let edges = nodes + random.below(nodes * 4);
            let (first, to) = random_graph(&mut random, nodes, edges);
            let mut keep = BitSet::new(to.len());
            (0..to.len()).for_each(|e| keep.insert(e));
            check(&first, &to, 0, &keep, &BitSet::new(nodes));
        }
    }

    #[test]
    fn a_chain_of_a_million_nodes_with_back_edges() {
        // Each node leads to the next one and back to the one before: the shape that iterative algorithms and
        // recursion die of.
        let n = 1_000_000u32;
        let mut first = vec![0];
        let mut to = Vec::new();
        for v in 0..n {
            to.extend((v + 1 < n).then_some(v + 1));
            to.extend(v.checked_sub(1));
            first.push(to.len() as u32);
        }
        let mut keep = BitSet::new(to.len());
        (0..to.len()).for_each(|e| keep.insert(e));
        let tree = dominator_tree(Csr { first: &first, to: &to }, 0, &keep, &BitSet::new(n as usize));
        assert!((1..n).all(|v| tree.parent(v) == v - 1));
        assert_eq!(tree.retained(|_| 3)[0], 3_000_000);
    }
}
