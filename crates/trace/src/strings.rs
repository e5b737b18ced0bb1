//! All strings of a file in one block.

use crate::ids::StringId;

/// Names of modules, functions and files, as bytes: nobody promised UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    /// Where each string ends in `bytes`, in file order.
    ends: Vec<u64>,
}

impl Strings {
    /// Number of strings; the last one's [`StringId`].
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string, empty for "none" and for a number that the file does not define.
    pub fn get(&self, id: StringId) -> &[u8] {
        let Some(at) = id.index().checked_sub(1) else { return b"" };
        let Some(&end) = self.ends.get(at) else { return b"" };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// All strings with their ids, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (StringId, &[u8])> + '_ {
        (1..=self.len() as u32).map(|id| (StringId(id), self.get(StringId(id))))
    }

    pub(crate) fn push(&mut self, text: &[u8]) -> StringId {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u64);
        StringId(self.ends.len() as u32)
    }

    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}
