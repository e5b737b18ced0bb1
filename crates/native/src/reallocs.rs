//! Call sites that make blocks grow by reallocating them.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use twinheap_trace::{IpId, ReallocChain};

use crate::cost::{Costs, InfoCost};
use crate::heap::NativeHeap;

/// A call site that reallocates, by the chains of reallocations that ended there: the site of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReallocSite {
    /// A place with its text; 0 if its stacks have no place.
    pub ip: IpId,
    /// Chains: blocks that were reallocated, each counted once, however often it was.
    pub chains: u64,
    /// Reallocations.
    pub reallocations: u64,
    /// Reallocations in the longest chain.
    pub longest: u32,
    /// Bytes of the first blocks of all chains.
    pub first_bytes: u64,
    /// Bytes of the last ones.
    pub last_bytes: u64,
    /// Bytes that were copied, if no block could grow in place.
    pub copied_bytes: u64,
}

/// Chains by call site, what may have copied most first. Rows whose stacks the filter left out are not counted.
pub fn realloc_sites(heap: &NativeHeap, costs: &Costs, chains: &[ReallocChain]) -> Vec<ReallocSite> {
    let mut sites: Vec<ReallocSite> = Vec::new();
    let mut number_of: FxHashMap<u32, usize> = FxHashMap::default();
    let is_kept = |chain: &&ReallocChain| {
        costs.infos.get(chain.info.index()).is_some_and(|c| *c != InfoCost::default())
    };
    for chain in chains.iter().filter(is_kept) {
        let ip = heap.ip(heap.visible(heap.trace.infos.trace(chain.info)));
        let at = *number_of.entry(heap.site(ip).0).or_insert(sites.len());
        if at == sites.len() {
            sites.push(ReallocSite {
                ip,
                chains: 0,
                reallocations: 0,
                longest: 0,
                first_bytes: 0,
                last_bytes: 0,
                copied_bytes: 0,
            });
        }
        let site = &mut sites[at];
        site.chains += chain.chains;
        site.reallocations += chain.reallocations;
        site.longest = site.longest.max(chain.longest);
        site.first_bytes = site.first_bytes.saturating_add(chain.first_bytes);
        let last = heap.trace.infos.size(chain.info).saturating_mul(chain.chains);
        site.last_bytes = site.last_bytes.saturating_add(last);
        site.copied_bytes = site.copied_bytes.saturating_add(chain.copied_bytes);
    }
    // Ties in the order of first appearance.
    sites.sort_by_key(|site| Reverse((site.copied_bytes, site.reallocations)));
    sites
}
