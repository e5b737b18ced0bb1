//! The blocks that are alive, by the number of their allocation.
//!
//! Most blocks die young, so the latest allocations lie in a ring, where a block is found by its number. What
//! outlives the ring moves to a map: a recording of an hour then takes no memory for the millions that are gone.

use rustc_hash::FxHashMap;

/// What is known of a live block: its info, and whether it came out of a realloc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u32);

impl Entry {
    const FREED: u32 = 1 << 31;
    const CHAIN: u32 = 1 << 30;
    /// A block that was freed, or never was.
    pub(super) const NONE: Entry = Entry(Self::FREED);

    #[inline]
    pub(super) const fn new(info: u32) -> Self {
        Entry(info)
    }

    /// The same, as the new block of a realloc.
    pub(super) const fn in_chain(self) -> Self {
        Entry(self.0 | Self::CHAIN)
    }

    /// Its info; an [`Event`](crate::Event) has no room for a larger one either.
    #[inline]
    pub(super) const fn info(self) -> u32 {
        self.0 & (Self::CHAIN - 1)
    }

    pub(super) const fn is_freed(self) -> bool {
        self.0 & Self::FREED != 0
    }

    pub(super) const fn is_in_chain(self) -> bool {
        self.0 & Self::CHAIN != 0
    }

    /// A block that was freed, or the new one of a realloc.
    #[inline]
    pub(super) const fn is_rare(self) -> bool {
        self.0 & (Self::FREED | Self::CHAIN) != 0
    }
}

/// Entries of the ring at the start: they fit the second-level cache.
const SMALLEST: usize = 1 << 16;
/// The ring grows up to this; 128 MB.
const LARGEST: usize = 1 << 25;
/// If fewer than one of so many in the oldest part of the ring are alive, a map holds them in less memory.
const SPARSE: usize = 4;

/// Blocks that are alive.
pub(super) struct LiveSet {
    /// Entries by the lowest bits of the number.
    pub(super) ring: Vec<Entry>,
    /// The oldest allocation that has its place in the ring.
    pub(super) base: u64,
    /// The number of the next allocation.
    pub(super) next: u64,
    old: FxHashMap<u64, Entry>,
}

impl Default for LiveSet {
    fn default() -> Self {
        LiveSet { ring: vec![Entry::NONE; SMALLEST], base: 0, next: 0, old: FxHashMap::default() }
    }
}

impl LiveSet {
    /// Makes room in the ring for so many allocations, at most a quarter of [`SMALLEST`].
    pub(super) fn reserve(&mut self, allocations: usize) {
        debug_assert!(allocations <= SMALLEST / 4, "one part of the ring is enough");
        if (self.next - self.base) as usize + allocations > self.ring.len() {
            self.make_room();
        }
    }

    #[cold]
    fn make_room(&mut self) {
        let part = self.ring.len() / 4;
        let mask = self.ring.len() as u64 - 1;
        let oldest = self.base..self.base + part as u64;
        let place = |number: u64| (number & mask) as usize;
        let alive = oldest.clone().filter(|&number| !self.ring[place(number)].is_freed()).count();
        if alive * SPARSE >= part && self.ring.len() < LARGEST {
            let mut larger = vec![Entry::NONE; self.ring.len() * 2];
            let larger_mask = larger.len() as u64 - 1;
            for number in self.base..self.next {
                larger[(number & larger_mask) as usize] = self.ring[place(number)];
            }
            self.ring = larger;
            return;
        }
        for number in oldest {
            let entry = std::mem::replace(&mut self.ring[place(number)], Entry::NONE);
            if !entry.is_freed() {
                self.old.insert(number, entry);
            }
        }
        self.base += part as u64;
        // A peak is over: give its memory back.
        if self.old.capacity() > 1 << 16 && self.old.len() < self.old.capacity() / 8 {
            self.old.shrink_to_fit();
        }
    }

    /// The block of an allocation, if it is alive.
    pub(super) fn get(&self, number: u64) -> Option<Entry> {
        if number >= self.next {
            return None;
        }
        if number < self.base {
            return self.old.get(&number).copied();
        }
        let entry = self.ring[(number & (self.ring.len() as u64 - 1)) as usize];
        (!entry.is_freed()).then_some(entry)
    }

    /// Takes a block out, if it is alive.
    pub(super) fn take(&mut self, number: u64) -> Option<Entry> {
        let entry = self.get(number)?;
        if number < self.base {
            self.old.remove(&number);
        } else {
            let place = (number & (self.ring.len() as u64 - 1)) as usize;
            self.ring[place] = Entry::NONE;
        }
        Some(entry)
    }

    /// Adds a block; there must be room.
    pub(super) fn push(&mut self, entry: Entry) {
        let place = (self.next & (self.ring.len() as u64 - 1)) as usize;
        self.ring[place] = entry;
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Allocates and frees as `lifetime` says, and compares with a map.
    #[track_caller]
    fn check(allocations: u64, lifetime: impl Fn(u64) -> Option<u64>) -> LiveSet {
        let mut set = LiveSet::default();
        let mut expected = BTreeMap::new();
        let mut dies: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for number in 0..allocations {
            let entry = Entry::new(number as u32);
            set.reserve(1);
            set.push(entry);
            expected.insert(number, entry);
            if let Some(lifetime) = lifetime(number) {
                dies.entry(number + lifetime).or_default().push(number);
            }
            for dead in dies.remove(&number).unwrap_or_default() {
                assert_eq!(set.take(dead), expected.remove(&dead));
                assert_eq!(set.take(dead), None, "twice");
            }
        }
        for number in (0..allocations + 9).step_by(7).chain(expected.keys().copied()) {
            assert_eq!(set.get(number), expected.get(&number).copied(), "{number}");
        }
        set
    }

    #[test]
    fn blocks_are_found_while_they_live() {
        let mixed = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        check(200_000, |_| Some(0));
        check(200_000, |_| Some(80_000));
        check(200_000, |n| (n % 100 > 0).then_some(3));
        check(200_000, |n| Some(mixed(n) % 100_000));
        assert!(check(200_000, |_| None).old.is_empty(), "a ring is smaller than a map");
        let sparse = check(400_000, |n| (n % 64 > 0).then_some(mixed(n) % 50));
        assert_eq!(sparse.ring.len(), SMALLEST);
        assert!(sparse.old.len() > 4000, "what is old moved to the map");
    }
}
