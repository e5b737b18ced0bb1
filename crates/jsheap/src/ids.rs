//! Whether object ids of two snapshots mean the same objects.

use twinheap_snapshot::{NodeIdx, NodeType, WideColumn};

use crate::heap::Heap;

/// Whether an id means the same object in both snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdEvidence {
    /// Ids of V8's own objects that occur in both.
    pub common: u64,
    /// Those with the same type and name in both.
    pub agreeing: u64,
    /// Objects of the smaller snapshot that could have been in both.
    pub possible: u64,
}

impl IdEvidence {
    /// Ids are comparable within one process as long as its heap profiler kept running. Where they are not, ids
    /// are handed out again, and the same id on both sides is a different thing.
    pub fn comparable(&self) -> bool {
        // Names do change now and then (a string is flattened, a class is set up); reissued ids agree by chance.
        // And a process keeps its built-in functions: without any object in common it is not the same one.
        self.agreeing * 10 >= self.common * 9 && self.common * 100 >= self.possible
    }
}

/// The ids of a heap that prove something, with a mark of what each is: eight bytes an object. It outlives its heap,
/// so that a ladder of dumps needs only one of them in memory.
#[derive(Debug, Default)]
pub(crate) struct IdSet {
    /// Ascending.
    ids: WideColumn,
    /// By position: a hash of type and name.
    marks: Vec<u32>,
}

impl IdSet {
    /// The ids of V8's own objects. The roots have the same ids everywhere and prove nothing, and neither do embedder
    /// ids, which some versions make up anew for each snapshot.
    pub(crate) fn new(heap: &Heap) -> IdSet {
        let snapshot = &heap.snapshot;
        let proves =
            |&node: &NodeIdx| snapshot.id(node) % 2 == 1 && snapshot.node_type(node) != NodeType::SYNTHETIC;
        let mut order: Vec<NodeIdx> = snapshot.nodes().filter(proves).collect();
        if !order.is_sorted_by_key(|&node| snapshot.id(node)) {
            order.sort_unstable_by_key(|&node| (snapshot.id(node), node));
        }
        // Two texts are mostly told apart by their hash; a few that are not change nothing.
        let hashes: Vec<u32> = snapshot.strings.iter().map(|text| hash(text.as_bytes())).collect();
        let mut ids = WideColumn::zeroed(order.len());
        let mut marks = Vec::with_capacity(order.len());
        for (at, &node) in order.iter().enumerate() {
            ids.set(at, snapshot.id(node));
            let name = hashes.get(snapshot.raw_name(node).index()).copied().unwrap_or_default();
            marks.push(name ^ (u32::from(snapshot.node_type(node).0) << 27));
        }
        IdSet { ids, marks }
    }

    /// Compares what the ids that both sides have stand for.
    pub(crate) fn evidence(&self, newer: &IdSet) -> IdEvidence {
        let possible = self.marks.len().min(newer.marks.len()) as u64;
        let mut evidence = IdEvidence { common: 0, agreeing: 0, possible };
        let (mut at, mut other) = (0, 0);
        while at < self.marks.len() && other < newer.marks.len() {
            match self.ids.get(at).cmp(&newer.ids.get(other)) {
                std::cmp::Ordering::Less => at += 1,
                std::cmp::Ordering::Greater => other += 1,
                std::cmp::Ordering::Equal => {
                    evidence.common += 1;
                    evidence.agreeing += u64::from(self.marks[at] == newer.marks[other]);
                    at += 1;
                    other += 1;
                }
            }
        }
        evidence
    }
}

/// A quick hash of a text: its length, and up to 64 bytes of its start and end.
fn hash(text: &[u8]) -> u32 {
    let seed = (text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (head, tail) = (&text[..text.len().min(32)], &text[text.len().saturating_sub(32)..]);
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = tail.iter().fold(head.iter().fold(seed, mix), mix);
    (hash ^ (hash >> 32)) as u32
}
