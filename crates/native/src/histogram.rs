//! How many blocks of which size.

use std::ops::RangeInclusive;

use twinheap_trace::{InfoIdx, IpId};

use crate::cost::{Costs, InfoCost, Measure};
use crate::estimate::{Rounding, Variance, Variances};
use crate::heap::NativeHeap;

/// Calls that asked for so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeCount {
    /// Bytes asked for.
    pub size: u64,
    /// Calls.
    pub allocations: u64,
}

/// The sizes that were asked for, smallest first.
pub fn histogram(heap: &NativeHeap, costs: &Costs) -> Vec<SizeCount> {
    let mut calls = Rounding::default();
    let count = |(info, cost): (usize, &InfoCost)| {
        let info = InfoIdx(info as u32);
        let allocations = calls.count(cost.allocations as f64 * heap.weight(info));
        SizeCount { size: heap.trace.infos.size(info), allocations }
    };
    let is_any = |(_, cost): &(usize, &InfoCost)| cost.allocations > 0;
    let mut all: Vec<SizeCount> = costs.infos.iter().enumerate().filter(is_any).map(count).collect();
    all.sort_unstable_by_key(|entry| entry.size);
    all.dedup_by(|next, kept| {
        let is_same = next.size == kept.size;
        if is_same {
            kept.allocations += next.allocations;
        }
        is_same
    });
    all
}

/// How sizes are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Each for itself.
    Exact,
    /// Up to 8 bytes, up to 16, and so on in powers of two. heaptrack's window does so up to 1024 and no further.
    PowersOfTwo,
}

/// What blocks of some sizes cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeCost {
    /// Calls.
    pub allocations: u64,
    /// Bytes allocated, whatever became of them. It stops at the largest number.
    pub bytes: u64,
    /// Bytes not freed, without suppressed ones.
    pub leaked: i64,
    /// Bytes alive at the peak.
    pub peak: i64,
    /// How exact these numbers are, if they are estimates.
    pub variance: Variances,
}

/// Blocks of some sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeBucket {
    /// Their sizes in bytes.
    pub sizes: RangeInclusive<u64>,
    /// What they cost.
    pub cost: SizeCost,
    /// The call site that costs most of it; `None` in an empty bucket.
    pub top: Option<TopSite>,
}

/// The call site that costs most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopSite {
    /// A place with its text; 0 if its stacks have no place.
    pub ip: IpId,
    /// What it costs with blocks of these sizes.
    pub cost: SizeCost,
}

impl SizeCost {
    const NONE: SizeCost = SizeCost {
        allocations: 0,
        bytes: 0,
        leaked: 0,
        peak: 0,
        variance: Variances {
            allocations: Variance(0.0),
            bytes: Variance(0.0),
            leaked: Variance(0.0),
            peak: Variance(0.0),
        },
    };

    fn new(heap: &NativeHeap, number: InfoIdx, info: &InfoCost, calls: &mut Rounding) -> Self {
        let size = heap.block_bytes()[number.index()];
        let bytes = |blocks: i64| size.cast_signed().wrapping_mul(blocks);
        let variance = heap.scale.as_ref().map_or_else(Variances::default, |scale| Variances {
            allocations: scale.calls(number, info.allocations),
            bytes: scale.spread(number, info.allocations),
            leaked: scale.spread(number, info.drawn.leaked),
            peak: scale.spread(number, info.drawn.peak),
        });
        SizeCost {
            allocations: calls.count(info.allocations as f64 * heap.weight(number)),
            bytes: size.saturating_mul(info.allocations),
            leaked: bytes(info.leaked),
            peak: bytes(info.peak),
            variance,
        }
    }

    fn add(&mut self, other: SizeCost) {
        self.allocations += other.allocations;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.leaked = self.leaked.wrapping_add(other.leaked);
        self.peak = self.peak.wrapping_add(other.peak);
        self.variance += other.variance;
    }

    /// The number; temporary blocks are not counted by size, and calls stand for them.
    pub fn of(&self, by: Measure) -> i64 {
        match by {
            Measure::Peak => self.peak,
            Measure::Leaked => self.leaked,
            Measure::Allocations | Measure::Temporary => self.allocations.cast_signed(),
        }
    }
}

/// Blocks by their sizes, smallest first. `by` decides which call site is a bucket's top. Of the powers of two, empty
/// ones are there too, up to the largest block.
pub fn size_buckets(heap: &NativeHeap, costs: &Costs, sizes: Sizes, by: Measure) -> Vec<SizeBucket> {
    let mut all: Vec<(u64, u32, u32)> = Vec::new();
    let asked = heap.trace.infos.sizes();
    for (info, _) in costs.infos.iter().enumerate().filter(|(_, cost)| **cost != InfoCost::default()) {
        let key = match sizes {
            Sizes::Exact => asked[info],
            Sizes::PowersOfTwo => power_of(asked[info]),
        };
        let stack = heap.trace.infos.trace(InfoIdx(info as u32));
        let site = heap.site(heap.ip(heap.visible(stack))).0;
        all.push((key, site, info as u32));
    }
    all.sort_unstable();

    let mut calls = Rounding::default();
    let mut buckets = Vec::new();
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let key = group[0].0;
        let sizes = match sizes {
            Sizes::Exact => key..=key,
            Sizes::PowersOfTwo => {
                while (buckets.len() as u64) < key {
                    let sizes = sizes_of(buckets.len() as u64);
                    buckets.push(SizeBucket { sizes, cost: SizeCost::NONE, top: None });
                }
                sizes_of(key)
            }
        };
        let mut bucket = SizeBucket { sizes, cost: SizeCost::NONE, top: None };
        for site in group.chunk_by(|a, b| a.1 == b.1) {
            let mut cost = SizeCost::NONE;
            for &(_, _, info) in site {
                let number = InfoIdx(info);
                cost.add(SizeCost::new(heap, number, &costs.infos[number.index()], &mut calls));
            }
            bucket.cost.add(cost);
            let weight = |cost: &SizeCost| cost.of(by).unsigned_abs();
            if bucket.top.is_none_or(|top| weight(&top.cost) < weight(&cost)) {
                let stack = heap.trace.infos.trace(InfoIdx(site[0].2));
                bucket.top = Some(TopSite { ip: heap.ip(heap.visible(stack)), cost });
            }
        }
        buckets.push(bucket);
    }
    buckets
}

/// 0 for up to 8 bytes, 1 for up to 16, and so on.
fn power_of(size: u64) -> u64 {
    u64::from(u64::BITS - size.saturating_sub(1).leading_zeros()).saturating_sub(3)
}

/// The sizes of the bucket with this number.
fn sizes_of(power: u64) -> RangeInclusive<u64> {
    let end = |power: u64| 8_u64.saturating_mul(2_u64.saturating_pow(power as u32));
    match power {
        0 => 0..=8,
        power => end(power - 1) + 1..=end(power),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(size: u64, expected: RangeInclusive<u64>) {
        let sizes = sizes_of(power_of(size));
        assert_eq!(sizes, expected);
        assert!(sizes.contains(&size));
    }

    #[test]
    fn sizes_fall_between_powers_of_two() {
        check(0, 0..=8);
        check(8, 0..=8);
        check(9, 9..=16);
        check(16, 9..=16);
        check(17, 17..=32);
        check(1024, 513..=1024);
        check(1 << 40, (1 << 39) + 1..=1 << 40);
        check(1 << 63, (1 << 62) + 1..=1 << 63);
        check(u64::MAX, (1 << 63) + 1..=u64::MAX);
    }
}
