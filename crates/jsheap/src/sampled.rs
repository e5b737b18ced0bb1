//! Sampling profiles: which functions allocated what is alive.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{SamplingNode, SamplingProfile, StringId};

/// A function of a sampling profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampledFunction {
    /// Its name; empty if anonymous.
    pub function: StringId,
    /// Its script; empty for V8's pseudo frames.
    pub url: StringId,
    /// Line from 1; 0 if unknown.
    pub line: u64,
    /// Column from 1; 0 if unknown.
    pub column: u64,
    /// Bytes it allocated itself that are alive, as V8 estimates.
    pub self_size: u64,
    /// Bytes it and what it called allocated; a recursion counts once.
    pub total_size: u64,
}

/// Functions by their own bytes, largest first.
pub fn sampled_functions(profile: &SamplingProfile) -> Vec<SampledFunction> {
    let key = |node: &SamplingNode| {
        let text = |id| profile.text(id).as_bytes();
        (text(node.function), text(node.url), node.line, node.column)
    };
    let mut number: FxHashMap<_, usize> = FxHashMap::default();
    let mut functions: Vec<SampledFunction> = Vec::new();
    let mut function_of: Vec<usize> = Vec::with_capacity(profile.nodes.len());
    for node in &profile.nodes {
        let at = *number.entry(key(node)).or_insert_with(|| {
            let from_one = |v: i64| u64::try_from(v.saturating_add(1)).unwrap_or(0);
            functions.push(SampledFunction {
                function: node.function,
                url: node.url,
                line: from_one(node.line),
                column: from_one(node.column),
                self_size: 0,
                total_size: 0,
            });
            functions.len() - 1
        });
        function_of.push(at);
        functions[at].self_size += node.self_size;
    }
    // Subtree sums; parents stand before their children.
    let mut subtree: Vec<u64> = profile.nodes.iter().map(|n| n.self_size).collect();
    for (at, node) in profile.nodes.iter().enumerate().rev() {
        if let Some(parent) = node.parent {
            subtree[parent as usize] += subtree[at];
        }
    }
    // The outermost frames of each function: walked in depth-first order, which is the order of the nodes.
    let mut depth: Vec<u32> = vec![0; profile.nodes.len()];
    let mut open: Vec<u32> = vec![0; functions.len()];
    let mut path: Vec<usize> = Vec::new();
    for (at, node) in profile.nodes.iter().enumerate() {
        depth[at] = node.parent.map_or(0, |p| depth[p as usize] + 1);
        while path.len() > depth[at] as usize {
            if let Some(left) = path.pop() {
                open[function_of[left]] -= 1;
            }
        }
        let function = function_of[at];
        if open[function] == 0 {
            functions[function].total_size += subtree[at];
        }
        open[function] += 1;
        path.push(at);
    }
    functions.sort_by_key(|f| (std::cmp::Reverse(f.self_size), std::cmp::Reverse(f.total_size)));
    functions
}
