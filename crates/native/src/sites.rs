//! Call sites: stacks grouped by the place that calls the allocator, as heaptrack's merged view has them.

use std::ops::Range;

use twinheap_trace::IpId;

use crate::cost::{Cost, Costs, Measure, StackCost};
use crate::heap::NativeHeap;

/// A place that allocates: module, function, file and line, whatever the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// A place with this text, the first in the recording; 0 if a stack has no place at all.
    pub ip: IpId,
    /// The sum over its stacks.
    pub cost: Cost,
    /// Its stacks in [`CallSites::stacks`].
    pub stacks: Range<usize>,
}

/// All call sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSites {
    /// What costs most comes first.
    pub sites: Vec<CallSite>,
    /// The stacks, site by site; what costs most comes first within a site.
    pub stacks: Vec<StackCost>,
}

/// Groups costs by call site; stacks that cost nothing are left out. Without functions and files known, all places of a module are one site, since the
/// address is not looked at.
pub fn call_sites(heap: &NativeHeap, costs: &Costs, by: Measure) -> CallSites {
    let leaf = |stack: &StackCost| heap.ip(heap.visible(stack.stack));
    let mut ip_of_site = vec![None; heap.site_count()];
    let mut order: Vec<(u32, u32)> = Vec::with_capacity(costs.stacks.len());
    for (at, stack) in costs.stacks.iter().enumerate() {
        if stack.cost == Cost::default() {
            continue;
        }
        let ip = leaf(stack);
        let site = heap.site(ip).0;
        ip_of_site[site as usize].get_or_insert(ip);
        order.push((site, at as u32));
    }
    // Ties stay in order of first appearance, so that the answer is always the same.
    let weight = |cost: &Cost| std::cmp::Reverse(by.of(cost).unsigned_abs());
    order.sort_by_key(|&(site, at)| (site, weight(&costs.stacks[at as usize].cost), at));

    let mut all = CallSites { sites: Vec::new(), stacks: Vec::with_capacity(order.len()) };
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        let start = all.stacks.len();
        all.stacks.extend(group.iter().map(|&(_, at)| costs.stacks[at as usize]));
        let mut cost = Cost::default();
        all.stacks[start..].iter().for_each(|stack| cost += stack.cost);
        let ip = ip_of_site[group[0].0 as usize].unwrap_or_default();
        all.sites.push(CallSite { ip, cost, stacks: start..all.stacks.len() });
    }
    all.sites.sort_by_key(|site| weight(&site.cost));
    all
}
