//! What the nodes and edges said about strings and nodes: a few bits each.

use rustc_hash::FxHashSet;

/// The string is a name and stays.
pub(super) const LABEL: u8 = 1;
/// The string is a value and is replaced.
pub(super) const VALUE: u8 = 2;
/// The string is the name of a node of type `code`: a function's or a script's.
pub(super) const CODE: u8 = 4;
/// The string is the name of an edge that leads to a value, whose text it may repeat.
pub(super) const LEADS_TO_VALUE: u8 = 8;

/// More regular expressions than this, and all keys of WeakMaps count as some.
const MOST_REGEXPS: usize = 1 << 17;

/// Everything that is remembered until the strings come.
#[derive(Default)]
pub(super) struct Marks {
    /// Four bits a string.
    strings: Vec<u8>,
    /// A bit a node: its name is a value.
    values: Vec<u64>,
    open_word: u64,
    pub(super) nodes: u64,
    /// Object ids of regular expressions: as keys of WeakMaps their sources are in names of edges.
    regexps: FxHashSet<u64>,
    too_many_regexps: bool,
}

impl Marks {
    /// Notes what a string is used for. The caller bounds `string`.
    #[inline(always)]
    pub(super) fn mark(&mut self, string: u64, bits: u8) {
        let at = (string / 2) as usize;
        let shift = (string & 1) * 4;
        match self.strings.get_mut(at) {
            Some(pair) => *pair |= bits << shift,
            None => self.mark_new(string, bits),
        }
    }

    #[cold]
    fn mark_new(&mut self, string: u64, bits: u8) {
        let at = (string / 2) as usize;
        self.strings.resize(at + 1, 0);
        self.strings[at] |= bits << ((string & 1) * 4);
    }

    /// What a string is used for.
    pub(super) fn of(&self, string: u64) -> u8 {
        let pair = self.strings.get((string / 2) as usize).copied().unwrap_or(0);
        pair >> ((string & 1) * 4) & 15
    }

    /// One more than the highest string that has a mark, give or take one.
    pub(super) fn marked_strings(&self) -> u64 {
        let pairs = self.strings.len() as u64;
        match self.strings.last() {
            Some(&last) if last >> 4 == 0 => 2 * pairs - 1,
            Some(_) => 2 * pairs,
            None => 0,
        }
    }

    /// The next node in the file's order.
    #[inline(always)]
    pub(super) fn push_node(&mut self, is_value: bool) {
        self.open_word |= u64::from(is_value) << (self.nodes & 63);
        self.nodes += 1;
        if self.nodes & 63 == 0 {
            self.values.push(std::mem::take(&mut self.open_word));
        }
    }

    /// To be called behind the last node.
    pub(super) fn end_nodes(&mut self) {
        self.values.push(std::mem::take(&mut self.open_word));
    }

    #[inline(always)]
    pub(super) fn is_value(&self, node: u64) -> bool {
        self.values.get((node / 64) as usize).is_some_and(|word| word >> (node & 63) & 1 == 1)
    }

    pub(super) fn push_regexp(&mut self, id: u64) {
        if self.regexps.len() < MOST_REGEXPS {
            self.regexps.insert(id);
        } else {
            self.too_many_regexps = true;
        }
    }

    pub(super) fn is_regexp(&self, id: u64) -> bool {
        self.too_many_regexps || self.regexps.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_add_up() {
        let mut marks = Marks::default();
        marks.mark(3, LABEL);
        marks.mark(2, VALUE);
        marks.mark(3, VALUE | CODE);
        assert_eq!([2, 3, 4, 9].map(|i| marks.of(i)), [VALUE, LABEL | VALUE | CODE, 0, 0]);
        assert_eq!(marks.marked_strings(), 4);
        marks.mark(4, LABEL);
        assert_eq!(marks.marked_strings(), 5);
    }

    #[test]
    fn nodes_keep_their_bit() {
        let mut marks = Marks::default();
        for node in 0..200 {
            marks.push_node(node % 3 == 0);
        }
        marks.end_nodes();
        assert!((0..200).all(|node| marks.is_value(node) == (node % 3 == 0)));
        assert!(!marks.is_value(200) && !marks.is_value(u64::MAX));
    }
}
