//! What a thread knows of its stacks: where they end, and their numbers.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

/// The mapping that a thread's stack is in, and its own stack's, to which it comes back from others.
///
/// A signal handler may change both at any time. What is read is then either the one or the other, never a mixture.
pub(crate) struct Bounds {
    low: AtomicU64,
    high: AtomicU64,
    home_low: AtomicU64,
    home_high: AtomicU64,
}

impl Bounds {
    /// The end of the stack, if the address lies in it.
    #[inline(always)]
    pub(crate) fn end_of(&self, sp: u64) -> Option<u64> {
        end_in(&self.low, &self.high, sp)
    }

    /// The end of the thread's own stack, if the address lies in it; then that is the one that is looked at from now on.
    pub(crate) fn come_home(&self, sp: u64) -> Option<u64> {
        let high = end_in(&self.home_low, &self.home_high, sp)?;
        self.set(self.home_low.load(Ordering::Relaxed), high);
        Some(high)
    }

    /// The stack that is looked at.
    pub(crate) fn set(&self, low: u64, high: u64) {
        put(&self.low, &self.high, low, high);
    }

    /// The thread's own stack.
    pub(crate) fn set_home(&self, low: u64, high: u64) {
        put(&self.home_low, &self.home_high, low, high);
    }

    /// Knows nothing.
    pub(crate) fn forget(&self) {
        self.set(0, 0);
        self.set_home(0, 0);
    }
}

#[inline(always)]
fn end_in(low: &AtomicU64, high: &AtomicU64, sp: u64) -> Option<u64> {
    loop {
        let before = low.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let end = high.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        // A handler that came in between left another stack's, which begins elsewhere.
        if low.load(Ordering::Relaxed) == before {
            return (before <= sp && sp < end).then_some(end);
        }
    }
}

fn put(low: &AtomicU64, high: &AtomicU64, new_low: u64, new_high: u64) {
    // Nothing lies in what ends at 0.
    high.store(0, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    low.store(new_low, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    high.store(new_high, Ordering::Relaxed);
}

/// Stacks by their hash: a set for each hash, of a few words that hold the rest of the hash and the stack's number. A
/// word is read and written at once, so that a signal handler finds nothing unfinished.
pub(crate) struct Known {
    sets: [[AtomicU64; WAYS]; 1 << SET_BITS],
}

const SET_BITS: u32 = 12;
const WAYS: usize = 4;
/// Bits of a stack's number.
const NUMBER_BITS: u32 = 24;
const LARGEST: u64 = (1 << NUMBER_BITS) - 1;

/// A thread's numbers for stacks: as many as it remembers and a few more, used again and again. So whoever reads them
/// needs no more room, however long the thread runs.
pub(crate) struct Numbers {
    given: AtomicU32,
    /// One that was given back; 0 if there is none.
    spare: AtomicU32,
}

impl Numbers {
    /// One that means nothing any more.
    pub(crate) fn take(&self) -> u32 {
        match self.spare.swap(0, Ordering::Relaxed) {
            0 => self.given.fetch_add(1, Ordering::Relaxed) % LARGEST as u32 + 1,
            spare => spare,
        }
    }

    /// Nothing that comes later will mean this one; 0 is none.
    pub(crate) fn give_back(&self, number: u32) {
        if number != 0 {
            self.spare.store(number, Ordering::Relaxed);
        }
    }

    /// All of them mean nothing any more.
    pub(crate) fn reset(&self) {
        self.spare.store(0, Ordering::Relaxed);
        self.given.store(0, Ordering::Relaxed);
    }
}

impl Known {
    #[inline(always)]
    fn set(&self, hash: u64) -> &[AtomicU64; WAYS] {
        // SAFETY: the number of a set has that many bits.
        unsafe { self.sets.get_unchecked((hash >> (64 - SET_BITS)) as usize) }
    }

    /// The number of the stack with this hash.
    #[inline(always)]
    pub(crate) fn get(&self, hash: u64) -> Option<u32> {
        let tag = hash << NUMBER_BITS;
        let [first, rest @ ..] = self.set(hash);
        let number = first.load(Ordering::Relaxed) ^ tag;
        if number.wrapping_sub(1) < LARGEST {
            return Some(number as u32);
        }
        let mut numbers = rest.iter().map(|way| way.load(Ordering::Relaxed) ^ tag);
        numbers.find(|number| number.wrapping_sub(1) < LARGEST).map(|number| number as u32)
    }

    /// Remembers a stack's number, in place of the one that was put here first: the number of that, or 0 if there was
    /// none.
    pub(crate) fn put(&self, hash: u64, number: u32) -> u32 {
        let mut word = hash << NUMBER_BITS | u64::from(number);
        for way in self.set(hash) {
            word = way.swap(word, Ordering::Relaxed);
        }
        word as u32 & LARGEST as u32
    }

    pub(crate) fn clear(&self) {
        self.sets.iter().flatten().for_each(|way| way.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_stack_that_was_set_last_or_at_home() {
        let zero = || AtomicU64::new(0);
        let bounds = Bounds { low: zero(), high: zero(), home_low: zero(), home_high: zero() };
        assert_eq!(bounds.end_of(100), None);
        bounds.set_home(100, 200);
        bounds.set(100, 200);
        assert_eq!((bounds.end_of(99), bounds.end_of(100), bounds.end_of(200)), (None, Some(200), None));
        bounds.set(1000, 2000);
        assert_eq!((bounds.end_of(150), bounds.end_of(1500)), (None, Some(2000)));
        assert_eq!((bounds.come_home(1500), bounds.come_home(150)), (None, Some(200)));
        assert_eq!(bounds.end_of(150), Some(200));
    }

    #[test]
    fn numbers_are_used_again() {
        // SAFETY: zeros are empty words.
        let known: Box<Known> = unsafe { Box::new_zeroed().assume_init() };
        let numbers = Numbers { given: AtomicU32::new(0), spare: AtomicU32::new(0) };
        let mut largest = 0;
        for at in 0..1_000_000u64 {
            let (hash, number) = (at.wrapping_mul(0x9E37_79B9_7F4A_7C15), numbers.take());
            largest = largest.max(number);
            // Some are not remembered.
            let unused = if at % 5 == 0 { number } else { known.put(hash, number) };
            numbers.give_back(unused);
            assert!(at % 5 == 0 || known.get(hash) == Some(number));
        }
        assert!(largest as usize <= (WAYS << SET_BITS) + 1, "{largest}");
        numbers.reset();
        assert_eq!(numbers.take(), 1);
    }

    #[test]
    fn a_set_remembers_its_latest_stacks() {
        // SAFETY: zeros are empty words.
        let known: Box<Known> = unsafe { Box::new_zeroed().assume_init() };
        let hash = |rest: u64| 5 << (64 - SET_BITS) | rest;
        assert_eq!(known.get(hash(0)), None);
        let evicted: Vec<_> = (0..6).map(|rest| known.put(hash(rest), 100 + rest as u32)).collect();
        assert_eq!(evicted, [0, 0, 0, 0, 100, 101]);
        let found: Vec<_> = (0..7).map(|rest| known.get(hash(rest))).collect();
        assert_eq!(found, [None, None, Some(102), Some(103), Some(104), Some(105), None]);
        assert_eq!(known.get(hash(2) ^ 1 << 63), None);
        known.clear();
        assert_eq!(known.get(hash(5)), None);
    }
}
