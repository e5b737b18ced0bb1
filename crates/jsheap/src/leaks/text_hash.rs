//! Hashes of texts that are the same in every run and on every machine.

use twinheap_snapshot::StringId;

use crate::heap::Heap;

/// The start of a chain of hashes.
pub(crate) const START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over 64 bits, continued from `hash`. Not for keys that an attacker chooses to collide: a collision here
/// merges two rows of a report.
pub(crate) fn hash_bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash ^ START, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Hashes of a snapshot's strings; each is worked out once.
pub(crate) struct TextHash<'a> {
    heap: &'a Heap,
    /// 0 if not worked out yet.
    known: Vec<u64>,
}

impl<'a> TextHash<'a> {
    pub(crate) fn new(heap: &'a Heap) -> Self {
        TextHash { heap, known: vec![0; heap.snapshot.strings.len()] }
    }

    pub(crate) fn of(&mut self, text: StringId) -> u64 {
        match self.known.get_mut(text.index()) {
            Some(0) | None => {
                let hash = hash_bytes(0, self.heap.snapshot.strings.get(text).as_bytes()).max(1);
                if let Some(known) = self.known.get_mut(text.index()) {
                    *known = hash;
                }
                hash
            }
            Some(known) => *known,
        }
    }
}
