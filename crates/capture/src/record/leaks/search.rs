//! The search itself: from roots over blocks to blocks.

use std::ops::Range;

/// Words of memory.
pub(super) trait Words {
    /// Hands over the words of a range, as far as they can be read.
    ///
    /// # Errors
    /// When there is no time left.
    fn words(&mut self, range: Range<u64>, each: &mut dyn FnMut(u64)) -> Result<(), String>;
}

/// A block that nothing reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) struct Lost {
    pub(in crate::record) address: u64,
    /// Another lost block points to it.
    pub(in crate::record) is_indirect: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Reached,
    Indirect,
}

/// What is known about the blocks.
pub(super) struct Search {
    /// Addresses and sizes, in order of the addresses.
    blocks: Vec<(u64, u64)>,
    states: Vec<State>,
    /// Blocks that are reached and not searched yet.
    queue: Vec<u32>,
    near: Near,
}

/// Tells most numbers that are in no block from those that may be.
struct Near {
    bounds: Range<u64>,
    /// A bit for each hash of the upper part of an address in a block.
    bits: Vec<u64>,
}

/// Address bits that [`Near`] does not look at.
const GRANULE: u32 = 16;
/// Bits of its hashes.
const HASH: u32 = 20;

impl Near {
    fn new(blocks: &[(u64, u64)]) -> Near {
        let start = blocks.first().map_or(0, |block| block.0);
        let end = blocks.iter().map(|&(address, size)| address.saturating_add(size.max(1))).max();
        let mut near = Near { bounds: start..end.unwrap_or(0), bits: vec![0; 1 << HASH >> 6] };
        for &(address, size) in blocks {
            // What is larger than all hashes fills them anyway.
            let last = address.saturating_add(size.max(1) - 1) >> GRANULE;
            for granule in (address >> GRANULE..=last).take(1 << HASH) {
                let (at, bit) = Near::place(granule);
                near.bits[at] |= bit;
            }
        }
        near
    }

    fn place(granule: u64) -> (usize, u64) {
        let hash = granule.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - HASH);
        (hash as usize >> 6, 1 << (hash & 63))
    }

    #[inline]
    fn may_have(&self, word: u64) -> bool {
        let (at, bit) = Near::place(word >> GRANULE);
        self.bounds.contains(&word) && self.bits[at] & bit != 0
    }
}

impl Search {
    /// Blocks of which nothing is known.
    pub(super) fn new(mut blocks: Vec<(u64, u64)>) -> Search {
        blocks.sort_unstable();
        let near = Near::new(&blocks);
        Search { states: vec![State::Unknown; blocks.len()], blocks, queue: Vec::new(), near }
    }

    /// Addresses and sizes, in order of the addresses.
    pub(super) fn blocks(&self) -> &[(u64, u64)] {
        &self.blocks
    }

    /// The block that a word points into. A block of no bytes has one address.
    #[inline]
    fn find(&self, word: u64) -> Option<u32> {
        if !self.near.may_have(word) {
            return None;
        }
        let at = self.blocks.partition_point(|block| block.0 <= word).checked_sub(1)?;
        let (address, size) = self.blocks[at];
        (word - address < size.max(1)).then_some(at as u32)
    }

    /// A word that the process has.
    pub(super) fn reach(&mut self, word: u64) {
        if let Some(block) = self.find(word) {
            let state = &mut self.states[block as usize];
            if *state == State::Unknown {
                *state = State::Reached;
                self.queue.push(block);
            }
        }
    }

    /// Memory that the process has, and that is in no block.
    ///
    /// # Errors
    /// When there is no time left.
    pub(super) fn root(&mut self, range: Range<u64>, memory: &mut impl Words) -> Result<(), String> {
        memory.words(range, &mut |word| self.reach(word))
    }

    /// Searches what is reached, until all of it is; what was not reached, in order of addresses.
    ///
    /// # Errors
    /// When there is no time left.
    pub(super) fn finish(mut self, memory: &mut impl Words) -> Result<Vec<Lost>, String> {
        while !self.queue.is_empty() {
            // In order of addresses, so that neighbours are read at once.
            let mut now = std::mem::take(&mut self.queue);
            now.sort_unstable();
            for block in now {
                memory.words(self.content(block), &mut |word| self.reach(word))?;
            }
        }
        // LeakSanitizer's rule: what another lost block points to is indirect; pointers to oneself don't count.
        for block in 0..self.blocks.len() as u32 {
            if self.states[block as usize] == State::Reached {
                continue;
            }
            memory.words(self.content(block), &mut |word| {
                if let Some(other) = self.find(word)
                    && other != block
                    && self.states[other as usize] == State::Unknown
                {
                    self.states[other as usize] = State::Indirect;
                }
            })?;
        }
        let lost = self.blocks.iter().zip(&self.states).filter(|(_, state)| **state != State::Reached);
        Ok(lost
            .map(|(&(address, _), &state)| Lost { address, is_indirect: state == State::Indirect })
            .collect())
    }

    fn content(&self, block: u32) -> Range<u64> {
        let (address, size) = self.blocks[block as usize];
        address..address.saturating_add(size)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Words by address.
    struct Model(BTreeMap<u64, u64>);

    impl Words for Model {
        fn words(&mut self, range: Range<u64>, each: &mut dyn FnMut(u64)) -> Result<(), String> {
            self.0.range(range).for_each(|(_, &word)| each(word));
            Ok(())
        }
    }

    /// Blocks of 64 bytes at 1000, 2000, …; words that lie somewhere, and what is lost, negative if indirectly. What
    /// lies below 1000 is a root.
    #[track_caller]
    fn check(count: u64, words: &[(u64, u64)], lost: &[i64]) {
        let mut memory = Model(words.iter().copied().collect());
        let mut search = Search::new((1..=count).rev().map(|number| (number * 1000, 64)).collect());
        search.root(0..1000, &mut memory).expect("it has time");
        let found = search.finish(&mut memory).expect("it has time");
        let sign = |lost: &Lost| lost.address as i64 / 1000 * if lost.is_indirect { -1 } else { 1 };
        assert_eq!(found.iter().map(sign).collect::<Vec<_>>(), lost);
    }

    #[test]
    fn pointers_reach_blocks() {
        check(0, &[(8, 1000)], &[]);
        check(2, &[], &[1, 2]);
        check(2, &[(8, 1000)], &[2]);
        // From one to the next, into the middle and to the last byte, but not behind it.
        check(4, &[(8, 1000), (1008, 2032), (2056, 3063), (3000, 4064)], &[4]);
        // A lost one with what hangs on it.
        check(3, &[(1000, 2000), (2000, 3000)], &[1, -2, -3]);
        // One that points to itself, and two that point to each other.
        check(3, &[(1000, 1000), (2000, 3000), (3000, 2000)], &[1, -2, -3]);
        // What is lost does not reach what is not; what is reached stays so.
        check(2, &[(8, 2000), (1000, 2000)], &[1]);
        // Numbers that are no pointers.
        check(1, &[(8, 999), (16, 1064), (24, u64::MAX), (32, 0)], &[1]);
    }

    #[test]
    fn blocks_of_all_sizes_are_found() {
        let blocks = vec![(1 << 40, 0), (1 << 41, 1 << 33), (u64::MAX - 10, 11)];
        let search = Search::new(blocks);
        assert_eq!(search.find(1 << 40), Some(0));
        assert_eq!(search.find((1 << 40) + 1), None);
        assert_eq!(search.find((1 << 41) + (1 << 33) - 1), Some(1));
        assert_eq!(search.find((1 << 41) + (1 << 33)), None);
        assert_eq!(search.find(u64::MAX - 1), Some(2));
    }

    #[test]
    fn a_graph_is_searched_as_by_hand() {
        let mut random = 7_u64;
        let mut next = |limit: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        for _ in 0..200 {
            let count = 1 + next(30);
            let edges: Vec<(u64, u64)> = (0..next(60)).map(|_| (next(count + 1), 1 + next(count))).collect();
            // Word `n` of block `a` points to `b`; 0 is the root.
            let words: Vec<(u64, u64)> = edges
                .iter()
                .enumerate()
                .filter(|(n, _)| *n < 60)
                .map(|(n, &(a, b))| (a * 1000 + n as u64 % 60, b * 1000 + n as u64 % 64))
                .collect();
            let mut reached = vec![false; count as usize + 1];
            reached[0] = true;
            for _ in 0..count {
                for &(a, b) in &edges {
                    reached[b as usize] |= reached[a as usize];
                }
            }
            let lost: Vec<i64> = (1..=count)
                .filter(|&block| !reached[block as usize])
                .map(|block| {
                    let from = |&(a, b): &(u64, u64)| b == block && a != block && !reached[a as usize];
                    block as i64 * if edges.iter().any(from) { -1 } else { 1 }
                })
                .collect();
            check(count, &words, &lost);
        }
    }
}
