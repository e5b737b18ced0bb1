//! Slow and simple answers to check the fast ones against.

use crate::{BitSet, Csr};

/// A small random number generator (xorshift64*), so that failures repeat.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % bound.max(1)
    }
}

/// A graph with parallel edges, self edges and unreachable parts.
pub(crate) fn random_graph(random: &mut Random, nodes: usize, edges: usize) -> (Vec<u32>, Vec<u32>) {
    let mut rows = vec![Vec::new(); nodes];
    for _ in 0..edges {
        let from = random.below(nodes);
        rows[from].push(random.below(nodes) as u32);
    }
    let mut first = vec![0];
    let mut to = Vec::new();
    for row in rows {
        to.extend(row);
        first.push(to.len() as u32);
    }
    (first, to)
}

/// Successors with the made-up edges of the root.
fn successors(graph: Csr<'_>, root: u32, keep: &BitSet, extras: &BitSet) -> Vec<Vec<u32>> {
    let mut rows: Vec<Vec<u32>> = (0..graph.node_count() as u32)
        .map(|v| graph.edges(v).filter(|&e| keep.contains(e)).map(|e| graph.to[e]).collect())
        .collect();
    rows[root as usize].extend(extras.iter().map(|v| v as u32));
    rows
}

fn reached_without(rows: &[Vec<u32>], root: u32, removed: Option<u32>) -> Vec<bool> {
    let mut seen = vec![false; rows.len()];
    let mut work = Vec::new();
    if removed != Some(root) {
        seen[root as usize] = true;
        work.push(root);
    }
    while let Some(v) = work.pop() {
        for &w in &rows[v as usize] {
            if Some(w) != removed && !seen[w as usize] {
                seen[w as usize] = true;
                work.push(w);
            }
        }
    }
    seen
}

/// By definition: `d` dominates `v` if `v` is unreachable without `d`; the immediate dominator is the one that
/// all the others dominate.
pub(crate) fn brute_force_dominators(graph: Csr<'_>, root: u32, keep: &BitSet, extras: &BitSet) -> Vec<u32> {
    let rows = successors(graph, root, keep, extras);
    let n = graph.node_count();
    let reachable = reached_without(&rows, root, None);
    let without: Vec<Vec<bool>> = (0..n as u32).map(|d| reached_without(&rows, root, Some(d))).collect();
    let dominates = |d: usize, v: usize| reachable[v] && (d == v || !without[d][v]);
    (0..n)
        .map(|v| {
            if v == root as usize || !reachable[v] {
                return root;
            }
            let strict: Vec<usize> = (0..n).filter(|&d| d != v && reachable[d] && dominates(d, v)).collect();
            let nearest = strict.iter().find(|&&d| strict.iter().all(|&other| dominates(other, d)));
            *nearest.expect("the dominators of a node form a chain") as u32
        })
        .collect()
}

/// Simple Lengauer-Tarjan with buckets ("A Fast Algorithm for Finding Dominators in a Flowgraph", TOPLAS 1979):
/// another algorithm for the same answer.
pub(crate) fn lengauer_tarjan(graph: Csr<'_>, root: u32, keep: &BitSet, extras: &BitSet) -> Vec<u32> {
    let rows = successors(graph, root, keep, extras);
    let n = rows.len();
    let mut number = vec![usize::MAX; n];
    let mut vertex = vec![root as usize];
    let mut parent = vec![0usize; n];
    number[root as usize] = 0;
    let mut stack = vec![(root as usize, 0usize)];
    while let Some((v, at)) = stack.last_mut() {
        let Some(&w) = rows[*v].get(*at) else {
            stack.pop();
            continue;
        };
        *at += 1;
        let (v, w) = (*v, w as usize);
        if number[w] == usize::MAX {
            number[w] = vertex.len();
            parent[number[w]] = number[v];
            vertex.push(w);
            stack.push((w, 0));
        }
    }
    let reached = vertex.len();
    let mut preds = vec![Vec::new(); reached];
    for (v, row) in rows.iter().enumerate() {
        for &w in row {
            if number[v] != usize::MAX {
                preds[number[w as usize]].push(number[v]);
            }
        }
    }
    let mut semi: Vec<usize> = (0..reached).collect();
    let mut label = semi.clone();
    let mut ancestor = vec![usize::MAX; reached];
    let mut idom = vec![0usize; reached];
    let mut bucket = vec![Vec::new(); reached];
    let eval = |v: usize, ancestor: &[usize], label: &[usize], semi: &[usize]| {
        // Without compression: this is the slow and simple one.
        let (mut best, mut x) = (label[v], v);
        while ancestor[x] != usize::MAX {
            if semi[label[x]] < semi[best] {
                best = label[x];
            }
            x = ancestor[x];
        }
        best
    };
    for w in (1..reached).rev() {
        for &v in &preds[w] {
            let u = if ancestor[v] == usize::MAX { v } else { eval(v, &ancestor, &label, &semi) };
            semi[w] = semi[w].min(semi[u]);
        }
        let of_semi = semi[w];
        bucket[of_semi].push(w);
        ancestor[w] = parent[w];
        for v in std::mem::take(&mut bucket[parent[w]]) {
            let u = eval(v, &ancestor, &label, &semi);
            idom[v] = if semi[u] < semi[v] { u } else { parent[w] };
        }
        label[w] = w;
    }
    for w in 1..reached {
        if idom[w] != semi[w] {
            idom[w] = idom[idom[w]];
        }
    }
    (0..n).map(|v| if number[v] == usize::MAX { root } else { vertex[idom[number[v]]] as u32 }).collect()
}
