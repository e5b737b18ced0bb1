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

/// Blocks that came out of reallocations, in order of info and with each info once. Blocks that never were reallocated
/// are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReallocChains(Vec<ReallocChain>);

impl ReallocChains {
    /// The rows.
    pub fn rows(&self) -> &[ReallocChain] {
        &self.0
    }
}

/// Reallocations one after the other, from a block that something else allocated to one that was freed, or was alive
/// when the recording ended: all that ended with blocks of one size and stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReallocChain {
    /// Size and stack of the last block.
    pub info: InfoIdx,
    /// How many such chains there were.
    pub chains: u64,
    /// Reallocations in all of them.
    pub reallocations: u64,
    /// Reallocations in the longest one.
    pub longest: u32,
    /// Bytes of the first blocks.
    pub first_bytes: u64,
    /// Bytes that were copied, if each reallocation moved its block: the smaller of old and new size.
    pub copied_bytes: u64,
}

/// Lifetimes, counted.
#[derive(Default)]
pub(crate) struct LifetimeCounts {
    /// Blocks that did not see a tick: most of them, so they have a place of their own.
    short: Vec<u64>,
    /// Of the others, keys that were counted lately, and how often since they are here. Most counts go to a few keys, and
    /// these are found without a search.
    recent: Recent,
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
                let key = info << 6 | u32::from(bucket - 1);
                let slot = &mut self.recent.0[Recent::slot(key)];
                if slot.0 != key || slot.1 == u32::MAX {
                    let (before, count) = std::mem::replace(slot, (key, 0));
                    add(&mut self.longer, &mut self.wide, before, count);
                }
                slot.1 += 1;
            }
            bucket => *self.wide.entry((info, bucket)).or_insert(0) += 1,
        }
    }

    pub(crate) fn finish(mut self) -> Lifetimes {
        for &(key, count) in self.recent.0.iter() {
            add(&mut self.longer, &mut self.wide, key, count);
        }
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

/// Adds to the count of a key of info and bucket.
fn add(longer: &mut FxHashMap<u32, u32>, wide: &mut FxHashMap<(u32, u8), u64>, key: u32, more: u32) {
    if more == 0 {
        return;
    }
    let count = longer.entry(key).or_insert(0);
    match count.checked_add(more) {
        Some(sum) => *count = sum,
        None => *wide.entry((key >> 6, (key & 63) as u8 + 1)).or_insert(0) += u64::from(more),
    }
}

/// Keys and counts, a place for each key that it shares with others.
struct Recent(Box<[(u32, u32); Recent::SLOTS]>);

impl Recent {
    const SLOTS: usize = 1 << 11;

    #[inline]
    fn slot(key: u32) -> usize {
        (key.wrapping_mul(0x9E37_79B9) >> (32 - 11)) as usize
    }
}

impl Default for Recent {
    fn default() -> Self {
        Recent(Box::new([(0, 0); Self::SLOTS]))
    }
}

/// A chain that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    length: u32,
    /// Bytes of its first block and of its latest.
    first: u64,
    latest: u64,
    copied: u64,
}

impl Chain {
    /// One that begins with a block of `size` bytes.
    pub(crate) fn of(size: u64) -> Self {
        Chain { length: 0, first: size, latest: size, copied: 0 }
    }

    /// The chain with one more block.
    pub(crate) fn and(self, size: u64) -> Self {
        let copied = self.copied.saturating_add(self.latest.min(size));
        Chain { length: self.length.saturating_add(1), latest: size, copied, ..self }
    }
}

/// Chains of reallocations, counted.
#[derive(Default)]
pub(crate) struct ChainCounts {
    /// The chain that led to a live block, by the number of its allocation.
    live: FxHashMap<u64, Chain>,
    /// Chains that ended, by info of the last block.
    ended: FxHashMap<InfoIdx, ReallocChain>,
}

impl ChainCounts {
    /// A block that came out of reallocations.
    pub(crate) fn begin(&mut self, allocation: u64, chain: Chain) {
        self.live.insert(allocation, chain);
    }

    /// The chain that led to a block which is freed, if there is one.
    pub(crate) fn take(&mut self, allocation: u64) -> Option<Chain> {
        self.live.remove(&allocation)
    }

    /// A chain whose last block is gone.
    pub(crate) fn end_with(&mut self, info: InfoIdx, chain: Chain) {
        let row = self.ended.entry(info).or_insert(ReallocChain { info, ..ReallocChain::default() });
        row.chains += 1;
        row.reallocations += u64::from(chain.length);
        row.longest = row.longest.max(chain.length);
        row.first_bytes = row.first_bytes.saturating_add(chain.first);
        row.copied_bytes = row.copied_bytes.saturating_add(chain.copied);
    }

    /// Ends the chains of what is alive; `info_of` knows the info of a live block.
    pub(crate) fn finish(mut self, info_of: impl Fn(u64) -> Option<u32>) -> ReallocChains {
        for (allocation, chain) in std::mem::take(&mut self.live) {
            if let Some(info) = info_of(allocation) {
                self.end_with(InfoIdx(info), chain);
            }
        }
        let mut rows: Vec<ReallocChain> = self.ended.into_values().collect();
        rows.sort_unstable_by_key(|row| row.info);
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
        assert_eq!(rows(0), [(0, 1), (1, u64::from(u32::MAX) + 3)]);
        assert_eq!(rows(1), []);
        assert_eq!(rows(2), [(0, 1), (3, 2), (10, 1), (64, 1)]);
        assert_eq!(rows(3), []);
        assert_eq!(rows(u32::MAX), []);
    }

    #[test]
    fn counts_of_many_are_those_of_a_map() {
        let (mut counts, mut expected) = (LifetimeCounts::default(), std::collections::BTreeMap::new());
        let infos = 5_000;
        counts.resize(infos);
        let mut random = 1u64;
        for _ in 0..200_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (info, ns) = ((random >> 40) as usize % infos, 1 << (random >> 33 & 7));
            counts.count(info as u32, ns);
            *expected.entry((info, Lifetimes::bucket(ns))).or_insert(0) += 1;
        }
        let lifetimes = counts.finish();
        let rows = (0..infos).flat_map(|info| {
            lifetimes.of(InfoIdx(info as u32)).map(move |(bucket, blocks)| ((info, bucket), blocks))
        });
        assert_eq!(rows.collect::<std::collections::BTreeMap<_, _>>(), expected);
    }

    #[test]
    fn a_chain_counts_when_its_last_block_is_gone() {
        let mut chains = ChainCounts::default();
        chains.begin(7, Chain::of(10).and(20).and(40).and(5));
        chains.begin(9, Chain::of(8).and(16));
        assert_eq!(chains.take(8), None);
        let chain = chains.take(7).expect("it began");
        chains.end_with(InfoIdx(4), chain);
        chains.end_with(InfoIdx(4), Chain::of(1).and(2));
        let alive = |allocation| (allocation == 9).then_some(2);
        let row = |info, chains, reallocations, longest, first_bytes, copied_bytes| ReallocChain {
            info: InfoIdx(info),
            chains,
            reallocations,
            longest,
            first_bytes,
            copied_bytes,
        };
        assert_eq!(chains.finish(alive).rows(), [row(2, 1, 1, 1, 8, 8), row(4, 2, 4, 3, 11, 36)]);
    }
}
