//! A table of the blocks that are alive, by address.
//!
//! Each event of a recording looks an address up, and a large heap's table is in no cache: open addressing with linear
//! probing finds a block with one miss where a general map takes two, and small heaps need fewer instructions too.
//! Removal moves later entries back (Knuth, TAOCP 6.4, algorithm R), so that no marks of removed ones pile up.

use twinheap_trace::InfoIdx;

use super::blocks::Block;
use super::ring::fetch;

/// Blocks by address.
#[derive(Default)]
pub(super) struct Live {
    /// A power of two of them, or none.
    slots: Vec<Slot>,
    len: usize,
    /// So many may be in use.
    most: usize,
    /// What leaves so many bits of a hash as a slot's number has.
    shift: u32,
}

/// A block in 16 bytes, so that four share a cache line: 44 bits of the address, which counts in eights, 52 of the
/// allocation's number, and the info.
#[derive(Clone, Copy)]
struct Slot {
    /// Address and the upper 20 bits of the number; 0 in an empty slot.
    high: u64,
    /// The lower 32 bits of the number, and the info.
    low: u64,
}

const EMPTY: Slot = Slot { high: 0, low: 0 };
const FIRST_SLOTS: usize = 1 << 12;
/// Tables up to here stay in the processor's cache, and have room to be emptier.
const SMALL_SLOTS: usize = 1 << 15;
/// The golden ratio (Knuth, TAOCP 6.4).
const HASH: u64 = 0x9E37_79B9_7F4A_7C15;

/// The table while nobody else uses it: many lookups in a row find it faster than one by one.
pub(super) struct Table<'l> {
    slots: &'l mut [Slot],
    shift: u32,
    len: &'l mut usize,
    most: usize,
}

impl Slot {
    #[inline]
    fn new(address: u64, block: Block) -> Slot {
        let Block { allocation, info } = block;
        let high = address >> 3 << 20 | allocation >> 32 & 0xF_FFFF;
        Slot { high, low: allocation << 32 | u64::from(info.0) }
    }

    #[inline]
    fn address(self) -> u64 {
        self.high >> 20 << 3
    }

    #[inline]
    fn block(self) -> Block {
        let allocation = (self.high & 0xF_FFFF) << 32 | self.low >> 32;
        Block { allocation, info: InfoIdx(self.low as u32) }
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.high >> 20 == 0
    }
}

impl Table<'_> {
    /// Puts a block at an address, which is a multiple of 8 and not 0, if there is none; and if there is room, which is
    /// made where the table is asked for.
    #[inline]
    pub(super) fn insert(&mut self, address: u64, block: Block) -> bool {
        *self.len < self.most && self.put(address, block).is_none()
    }

    /// Takes the block at an address away.
    #[inline]
    pub(super) fn remove(&mut self, address: u64) -> Option<Block> {
        let mut hole = self.find(address)?;
        let block = self.slots[hole].block();
        let mut at = hole;
        loop {
            at = self.next(at);
            let slot = self.slots[at];
            if slot.is_empty() {
                break;
            }
            // An entry may move to the hole if its search begins there or before.
            let mask = self.slots.len() - 1;
            if at.wrapping_sub(self.home(slot.address())) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        *self.len -= 1;
        Some(block)
    }

    /// Gets the place of an address into the processor's cache, so that nobody waits for it later.
    #[inline]
    pub(super) fn fetch(&self, address: u64) {
        if let Some(slot) = self.slots.get(self.home(address)) {
            fetch(slot);
        }
    }

    /// Puts a block at an address, or finds the slot of the one that is there, which stays.
    #[inline]
    fn put(&mut self, address: u64, block: Block) -> Option<usize> {
        let mut at = self.home(address);
        loop {
            let slot = &mut self.slots[at];
            if slot.is_empty() {
                *slot = Slot::new(address, block);
                *self.len += 1;
                return None;
            }
            if slot.address() == address {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    #[inline]
    fn find(&self, address: u64) -> Option<usize> {
        let mut at = self.home(address);
        loop {
            let slot = self.slots[at];
            if slot.is_empty() {
                return None;
            }
            if slot.address() == address {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    #[inline]
    fn home(&self, address: u64) -> usize {
        (address.wrapping_mul(HASH) >> self.shift) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

impl Live {
    /// The table, with room for one block at least.
    #[inline]
    pub(super) fn table(&mut self) -> Table<'_> {
        if self.len >= self.most {
            self.grow();
        }
        Table { slots: &mut self.slots, shift: self.shift, len: &mut self.len, most: self.most }
    }

    /// Puts a block at an address, which is a multiple of 8 and not 0; the one that was there.
    #[inline]
    pub(super) fn insert(&mut self, address: u64, block: Block) -> Option<Block> {
        let mut table = self.table();
        let taken = table.put(address, block)?;
        Some(std::mem::replace(&mut table.slots[taken], Slot::new(address, block)).block())
    }

    /// Takes the block at an address away.
    #[inline]
    pub(super) fn remove(&mut self, address: u64) -> Option<Block> {
        self.table().remove(address)
    }

    /// The block at an address.
    pub(super) fn get(&mut self, address: u64) -> Option<Block> {
        let table = self.table();
        table.find(address).map(|at| table.slots[at].block())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Addresses and blocks, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Block)> {
        self.slots.iter().filter(|slot| !slot.is_empty()).map(|slot| (slot.address(), slot.block()))
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(FIRST_SLOTS);
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
        self.shift = 64 - size.trailing_zeros();
        self.most = if size <= SMALL_SLOTS { size / 4 } else { size / 8 * 5 };
        self.len = 0;
        for slot in old.into_iter().filter(|slot| !slot.is_empty()) {
            self.insert(slot.address(), slot.block());
        }
    }
}

#[cfg(test)]
mod tests {
    use rustc_hash::FxHashMap;

    use super::*;

    /// Random inserts and removals of so many addresses, `step` apart, against a map of the standard library.
    #[track_caller]
    fn check(addresses: u64, step: u64, rounds: u64) {
        let (mut live, mut map) = (Live::default(), FxHashMap::default());
        let mut random = 1u64;
        for round in 0..rounds {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let address = (random >> 33) % addresses * step + 0x5555_5555_0010;
            if random >> 32 & 1 == 0 {
                // Numbers of up to 52 bits.
                let allocation = (round << (round & 31) | (round & 1) << 51) & ((1 << 52) - 1);
                let block = Block { allocation, info: InfoIdx(round as u32 | 1 << 31) };
                assert_eq!(live.insert(address, block), map.insert(address, block));
                assert_eq!(live.get(address), Some(block));
            } else {
                assert_eq!(live.remove(address), map.remove(&address));
                assert_eq!(live.get(address), None);
            }
        }
        let mut left: Vec<_> = live.iter().map(|(address, block)| (address, block.allocation)).collect();
        let mut expected: Vec<_> = map.iter().map(|(&address, block)| (address, block.allocation)).collect();
        left.sort_unstable();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn it_is_a_map() {
        check(10, 16, 1_000);
        check(500, 32, 20_000);
        check(10_000, 16, 100_000);
        // Addresses of large blocks end alike.
        check(5_000, 1 << 21, 50_000);
    }

    #[test]
    fn a_table_takes_what_there_is_room_for() {
        let (mut live, block) = (Live::default(), Block { allocation: 1, info: InfoIdx(2) });
        let mut table = live.table();
        assert!(table.insert(16, block) && !table.insert(16, block));
        let others = (2..).take_while(|at| table.insert(at * 16, block)).count();
        assert_eq!(others + 1, FIRST_SLOTS / 4);
        assert!(live.table().insert(8, block));
    }

    #[test]
    fn an_empty_one_knows_nothing() {
        let mut live = Live::default();
        assert_eq!(live.remove(16), None);
        assert_eq!(live.get(16), None);
        assert_eq!(live.iter().count(), 0);
    }
}
