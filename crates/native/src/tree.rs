//! Stacks merged from their leaves: who allocates, who calls that, and so on up to `main`.

use rustc_hash::FxHashMap;
use twinheap_trace::IpId;

use crate::cost::{Cost, Costs};
use crate::heap::NativeHeap;

/// A call in the merged tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeNode {
    /// The node that it calls, nearer to the allocator; `None` for one that calls the allocator itself.
    pub callee: Option<u32>,
    /// A place with the node's text.
    pub ip: IpId,
    /// What the stacks through the node cost.
    pub cost: Cost,
}

/// The merged tree. A node stands behind the one that it calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTree {
    /// All nodes.
    pub nodes: Vec<TreeNode>,
}

/// Merges all stacks that cost something from their leaves on, by module, function, file and line.
pub fn bottom_up(heap: &NativeHeap, costs: &Costs) -> CallTree {
    const ROOT: u32 = u32::MAX;
    let mut tree = CallTree::default();
    let mut known: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
        let mut callee = ROOT;
        for ip in heap.places(stack.stack) {
            let next = tree.nodes.len() as u32;
            let at = *known.entry((callee, heap.site(ip).0)).or_insert(next);
            if at == next {
                let callee = (callee != ROOT).then_some(callee);
                tree.nodes.push(TreeNode { callee, ip, cost: Cost::default() });
            }
            tree.nodes[at as usize].cost += stack.cost;
            callee = at;
        }
    }
    tree
}
