//! How long blocks lived.

use std::ops::RangeInclusive;

use twinheap_trace::{InfoIdx, IpId};

use crate::cost::{Costs, InfoCost};
use crate::estimate::{Rounding, Variance};
use crate::heap::NativeHeap;

/// Freed blocks of a lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifetimeBucket {
    /// Their lifetimes in nanoseconds. The clock does not tell two moments between its ticks apart: 0 are blocks that
    /// did not see one.
    pub ns: RangeInclusive<u64>,
    /// How many they are.
    pub blocks: u64,
    /// Their bytes. It stops at the largest number.
    pub bytes: u64,
    /// How exact the number of blocks is, if it is an estimate.
    pub variance: Variance,
    /// A place of the call site that allocated most of them, and how many; absent in an empty bucket.
    pub top: Option<(IpId, u64)>,
}

/// Blocks by how long they lived, in powers of two of a nanosecond, shortest first and with empty ones between, but
/// for those below the shortest that the clock can tell.
///
/// `freed` are rows of an info, the power (0 for 0 ns, `b` for `2^(b-1)` up to `2^b - 1`), and blocks. Rows whose
/// stacks the filter left out are not counted.
pub fn lifetime_buckets(
    heap: &NativeHeap,
    costs: &Costs,
    freed: impl IntoIterator<Item = (InfoIdx, u8, u64)>,
) -> Vec<LifetimeBucket> {
    let is_kept =
        |info: InfoIdx| costs.infos.get(info.index()).is_some_and(|cost| *cost != InfoCost::default());
    let place = |info: InfoIdx| heap.ip(heap.visible(heap.trace.infos.trace(info)));
    let mut rows: Vec<(u8, u32, InfoIdx, u64)> = freed
        .into_iter()
        .filter(|&(info, _, blocks)| is_kept(info) && blocks > 0)
        .map(|(info, power, blocks)| (power.min(64), heap.site(place(info)).0, info, blocks))
        .collect();
    rows.sort_unstable();
    let bucket = |power| LifetimeBucket {
        ns: lifetimes_of(power),
        blocks: 0,
        bytes: 0,
        variance: Variance::default(),
        top: None,
    };
    let mut count = Rounding::default();
    let mut buckets: Vec<LifetimeBucket> = Vec::new();
    for power in rows.chunk_by(|a, b| a.0 == b.0) {
        // Nothing is between no tick of the clock and the first.
        while let Some(last) = buckets.last().map(|last| power_of(*last.ns.end()))
            && last > 0
            && last + 1 < power[0].0
        {
            buckets.push(bucket(last + 1));
        }
        let mut bucket = bucket(power[0].0);
        for site in power.chunk_by(|a, b| a.1 == b.1) {
            let mut exact = 0.0;
            for &(_, _, info, blocks) in site {
                let bytes = heap.block_bytes()[info.index()].saturating_mul(blocks);
                bucket.bytes = bucket.bytes.saturating_add(bytes);
                exact += blocks as f64 * heap.weight(info);
                if let Some(scale) = &heap.scale {
                    bucket.variance += scale.calls(info, blocks);
                }
            }
            let blocks = count.count(exact);
            bucket.blocks += blocks;
            if bucket.top.is_none_or(|(_, most)| most < blocks) {
                bucket.top = Some((place(site[0].2), blocks));
            }
        }
        buckets.push(bucket);
    }
    buckets
}

fn power_of(ns: u64) -> u8 {
    (u64::BITS - ns.leading_zeros()) as u8
}

fn lifetimes_of(power: u8) -> RangeInclusive<u64> {
    match power {
        0 => 0..=0,
        power => 1 << (power - 1)..=u64::MAX >> (64 - power.min(64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ns: u64, expected: RangeInclusive<u64>) {
        assert_eq!(lifetimes_of(power_of(ns)), expected);
    }

    #[test]
    fn lifetimes_fall_between_powers_of_two() {
        check(0, 0..=0);
        check(1, 1..=1);
        check(3, 2..=3);
        check(1000, 512..=1023);
        check(u64::MAX, 1 << 63..=u64::MAX);
    }
}
