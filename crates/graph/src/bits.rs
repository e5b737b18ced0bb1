//! Sets of small numbers.

/// A set of indices below a fixed bound, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitSet {
    words: Vec<u64>,
    len: usize,
}

impl BitSet {
    /// The empty set over `0..len`.
    pub fn new(len: usize) -> Self {
        BitSet { words: vec![0; len.div_ceil(64)], len }
    }

    /// The bound: indices are below it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no index is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }

    /// Whether `index` is in the set.
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        self.words[index >> 6] >> (index & 63) & 1 != 0
    }

    /// Adds `index`.
    #[inline]
    pub fn insert(&mut self, index: usize) {
        self.words[index >> 6] |= 1 << (index & 63);
    }

    /// Adds `index`; true if it was not there.
    #[inline]
    pub fn insert_new(&mut self, index: usize) -> bool {
        let word = &mut self.words[index >> 6];
        let bit = 1 << (index & 63);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Takes `index` out.
    #[inline]
    pub fn remove(&mut self, index: usize) {
        self.words[index >> 6] &= !(1 << (index & 63));
    }

    /// Number of indices in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The indices in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_order() {
        let mut set = BitSet::new(200);
        for i in [199, 0, 64, 63, 64] {
            set.insert(i);
        }
        assert!(!set.insert_new(63));
        set.remove(0);
        assert_eq!(set.iter().collect::<Vec<_>>(), [63, 64, 199]);
        assert_eq!((set.count(), set.contains(199), set.contains(0)), (3, true, false));
    }
}
