//! How long blocks lived, and how often they were reallocated.

use rustc_hash::FxHashMap;

use crate::ids::InfoIdx;

/// How long freed blocks lived, by info and in powers of two. Blocks that were never freed are not in it.
///
/// A lifetime is known as exactly as the clock ticks: from the tick before the allocation to the tick before the free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// Where each info's rows begin in the columns, with one more entry for the end of the last.
    first: Vec<u32>,
    bucket: Vec<u8>,
    blocks: Vec<u64>,
}

impl Lifetimes {
    /// The bucket of a lifetime in nanoseconds: 0 for blocks that did not see a tick of the clock, `b` for
    /// `2^(b-1)` up to, but not including, `2^b` nanoseconds.
    #[inline]
    pub const fn bucket(ns: u64) -> u8 {
        (u64::BITS - ns.leading_zeros()) as u8
    }

    /// The shortest lifetime of a bucket, in nanoseconds.
    pub const fn shortest(bucket: u8) -> u64 {
        match bucket {
            0 => 0,
            1..=64 => 1 << (bucket - 1),
            _ => u64::MAX,
        }
    }

    /// Buckets and how many freed blocks each has, in order of the buckets and without empty ones.
    pub fn of(&self, info: InfoIdx) -> impl Iterator<Item = (u8, u64)> + '_ {
        let at = |info: usize| self.first.get(info).map_or(self.bucket.len(), |&at| at as usize);
        let rows = at(info.index())..at(info.index().saturating_add(1));
        self.bucket[rows.clone()].iter().copied().zip(self.blocks[rows].iter().copied())
    }
}

/// How often blocks were reallocated, one after the other, before they were freed or the recording ended: rows of
/// the last block's info, reallocations, and how many such chains there were. Blocks that never were are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReallocChains(Vec<(InfoIdx, u32, u64)>);

impl ReallocChains {
    /// The rows, in order of info and reallocations.
    pub fn rows(&self) -> &[(InfoIdx, u32, u64)] {
        &self.0
    }
}

/// Lifetimes, counted.
#[derive(Default)]
pub(crate) struct LifetimeCounts {
    /// Blocks that did not see a tick: most of them, so they have a place of their own.
    short: Vec<u64>,
    /// The others by info and bucket, in as few bytes as possible: the map is most of a reader's memory that is not
    /// events, and what is small is found fast.
    longer: FxHashMap<u32, u32>,
    /// Those that need wider numbers.
    wide: FxHashMap<(u32, u8), u64>,
}

/// Infos beyond these have wide keys.
const NARROW_INFOS: u32 = 1 << 26;

impl LifetimeCounts {
    /// Makes room for infos up to this number.
    pub(crate) fn resize(&mut self, infos: usize) {
        if self.short.len() < infos {
            self.short.resize(infos, 0);
        }
    }

    #[inline]
    pub(crate) fn count_short(&mut self, info: u32) {
        if let Some(count) = self.short.get_mut(info as usize) {
            *count += 1;
        }
    }

    #[inline]
    pub(crate) fn count(&mut self, info: u32, ns: u64) {
        match Lifetimes::bucket(ns) {
            0 => self.count_short(info),
            bucket if info < NARROW_INFOS => {
                let count = self.longer.entry(info << 6 | u32::from(bucket - 1)).or_insert(0);
                *count += 1;
                if *count == u32::MAX {
                    *self.wide.entry((info, bucket)).or_insert(0) += u64::from(std::mem::take(count));
                }
            }
            bucket => *self.wide.entry((info, bucket)).or_insert(0) += 1,
        }
    }

    pub(crate) fn finish(self) -> Lifetimes {
        let mut wide = self.wide;
        let mut longer: Vec<(u32, u8, u64)> = Vec::with_capacity(self.longer.len() + wide.len());
        for (key, blocks) in self.longer {
            let (info, bucket) = (key >> 6, (key & 63) as u8 + 1);
            longer.push((info, bucket, u64::from(blocks) + wide.remove(&(info, bucket)).unwrap_or(0)));
        }
        longer.extend(wide.into_iter().map(|((info, bucket), blocks)| (info, bucket, blocks)));
        longer.sort_unstable();
        let mut longer = longer.into_iter().peekable();
        let mut columns = Lifetimes::default();
        for (info, &short) in self.short.iter().enumerate() {
            columns.first.push(columns.bucket.len() as u32);
            let mut row = |bucket, blocks| {
                columns.bucket.push(bucket);
                columns.blocks.push(blocks);
            };
            if short > 0 {
                row(0, short);
            }
            while let Some((_, bucket, blocks)) = longer.next_if(|&(of, ..)| of as usize == info) {
                row(bucket, blocks);
            }
        }
        columns.first.push(columns.bucket.len() as u32);
        columns
    }
}

/// Chains of reallocations, counted.
#[derive(Default)]
pub(crate) struct ChainCounts {
    /// How many reallocations led to a live block, by the number of its allocation.
    live: FxHashMap<u64, u32>,
    /// Chains that ended, by info of the last block and length.
    ended: FxHashMap<(InfoIdx, u32), u64>,
}

impl ChainCounts {
    /// A block that came out of as many reallocations.
    pub(crate) fn begin(&mut self, allocation: u64, length: u32) {
        self.live.insert(allocation, length);
    }

    /// How many led to a block that a realloc frees.
    pub(crate) fn take(&mut self, allocation: u64) -> u32 {
        self.live.remove(&allocation).unwrap_or(0)
    }

    /// A chain whose block is gone.
    pub(crate) fn end_with(&mut self, info: InfoIdx, length: u32) {
        if length > 0 {
            *self.ended.entry((info, length)).or_insert(0) += 1;
        }
    }

    /// Ends the chains of what is alive; `info_of` knows the info of a live block.
    pub(crate) fn finish(mut self, info_of: impl Fn(u64) -> Option<u32>) -> ReallocChains {
        for (allocation, length) in std::mem::take(&mut self.live) {
            if let Some(info) = info_of(allocation) {
                self.end_with(InfoIdx(info), length);
            }
        }
        let mut rows: Vec<(InfoIdx, u32, u64)> =
            self.ended.into_iter().map(|((info, length), chains)| (info, length, chains)).collect();
        rows.sort_unstable();
        ReallocChains(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        for (ns, bucket) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1023, 10), (1024, 11), (u64::MAX, 64)] {
            assert_eq!(Lifetimes::bucket(ns), bucket, "{ns}");
            assert!(Lifetimes::shortest(bucket) <= ns);
            assert!(bucket == 64 || ns < Lifetimes::shortest(bucket + 1));
        }
    }

    #[test]
    fn counts_become_rows() {
        let mut counts = LifetimeCounts::default();
        counts.resize(3);
        for (info, ns) in [(2, 5), (0, 0), (2, 4), (2, 1_000), (0, 1), (2, 0), (2, u64::MAX)] {
            counts.count(info, ns);
        }
        counts.longer.insert(0, u32::MAX - 1);
        [1, 1, 1].into_iter().for_each(|ns| counts.count(0, ns));
        let lifetimes = counts.finish();
        let rows = |info| lifetimes.of(InfoIdx(info)).collect::<Vec<_>>();
        assert_eq!(rows(0), [(0, 1), (1, u64::from(u32::MAX) + 2)]);
        assert_eq!(rows(1), []);
        assert_eq!(rows(2), [(0, 1), (3, 2), (10, 1), (64, 1)]);
        assert_eq!(rows(3), []);
        assert_eq!(rows(u32::MAX), []);
    }

    #[test]
    fn a_chain_counts_when_its_last_block_is_gone() {
        let mut chains = ChainCounts::default();
        chains.begin(7, 3);
        chains.begin(9, 1);
        for freed in [7, 8] {
            let length = chains.take(freed);
            chains.end_with(InfoIdx(4), length);
        }
        let alive = |allocation| (allocation == 9).then_some(2);
        assert_eq!(chains.finish(alive).rows(), [(InfoIdx(2), 1, 1), (InfoIdx(4), 3, 1)]);
    }
}
