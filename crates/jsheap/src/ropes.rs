//! Concatenated strings: texts that V8 has not put together yet.
//!
//! `s += x` in a loop makes a rope as deep as the loop is long, and each of its nodes is a string of the heap. To
//! walk down from every one of them would take the square of that, so what the nodes have in common is worked out
//! once, from the leaves up.

use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, Snapshot};

use crate::names::{Known, Names};

/// DevTools puts a rope together until its text has this many UTF-16 units.
pub(crate) const MOST_UNITS: u16 = 1024;

const UNSET: u16 = u16::MAX;
/// The node is on the work list: met again below itself, it is part of a ring, in a damaged file.
const OPEN: u16 = u16::MAX - 1;

/// What is known of each concatenated string. 6 bytes a node of the heap.
#[derive(Debug)]
pub(crate) struct Ropes {
    /// UTF-16 units of the text, at most [`MOST_UNITS`].
    units: Vec<u16>,
    /// The deepest node on the left side with the same (cut) text.
    base: Vec<u32>,
}

impl Ropes {
    pub(crate) fn new(snapshot: &Snapshot, names: &Names) -> Ropes {
        let n = snapshot.node_count();
        let mut ropes = Ropes { units: vec![UNSET; n], base: vec![0; n] };
        let mut work: Vec<NodeIdx> = Vec::new();
        for node in snapshot.nodes().filter(|&node| is_rope(snapshot, node)) {
            if ropes.units[node.index()] != UNSET {
                continue;
            }
            ropes.units[node.index()] = OPEN;
            work.push(node);
            while let Some(&top) = work.last() {
                let (first, second) = parts(snapshot, names, top);
                let is_open = |part: &NodeIdx| is_rope(snapshot, *part) && ropes.units[part.index()] == UNSET;
                if let Some(part) = first.filter(is_open).or(second.filter(is_open)) {
                    ropes.units[part.index()] = OPEN;
                    work.push(part);
                    continue;
                }
                let units = |part: Option<NodeIdx>| part.map_or(0, |part| ropes.units(snapshot, part));
                let (left, right) = (units(first), units(second));
                let base = match first {
                    Some(first) if left >= MOST_UNITS && is_rope(snapshot, first) => {
                        ropes.base[first.index()]
                    }
                    _ => top.0,
                };
                ropes.units[top.index()] = (left + right).min(MOST_UNITS);
                ropes.base[top.index()] = base;
                work.pop();
            }
        }
        ropes
    }

    /// UTF-16 units of a node's text, at most [`MOST_UNITS`].
    pub(crate) fn units(&self, snapshot: &Snapshot, node: NodeIdx) -> u16 {
        if is_rope(snapshot, node) {
            return match self.units[node.index()] {
                UNSET | OPEN => 0,
                units => units,
            };
        }
        snapshot.raw_name_text(node).utf16_len().min(usize::from(MOST_UNITS)) as u16
    }

    /// A rope with the same text that is not deeper than it must be.
    pub(crate) fn base(&self, rope: NodeIdx) -> NodeIdx {
        NodeIdx(self.base[rope.index()])
    }

    /// The text, in WTF-8: parts from left to right until it is long enough.
    pub(crate) fn text(&self, snapshot: &Snapshot, names: &Names, rope: NodeIdx) -> Vec<u8> {
        let mut text = Vec::new();
        let mut units = 0;
        let mut open = vec![self.base(rope)];
        // Parts have at least a character in any file V8 writes; elsewhere a rope may hold nothing and be a ring.
        let mut steps = 0;
        while let Some(part) = open.pop() {
            steps += 1;
            if units >= usize::from(MOST_UNITS) || steps > 64 * usize::from(MOST_UNITS) {
                break;
            }
            if is_rope(snapshot, part) {
                let (first, second) = parts(snapshot, names, part);
                open.extend(second);
                open.extend(first);
                continue;
            }
            let part = snapshot.raw_name_text(part);
            text.extend_from_slice(part.as_bytes());
            units += part.utf16_len();
        }
        text
    }
}

fn is_rope(snapshot: &Snapshot, node: NodeIdx) -> bool {
    snapshot.node_type(node) == NodeType::CONCATENATED_STRING
}

/// The two parts of a rope.
fn parts(snapshot: &Snapshot, names: &Names, rope: NodeIdx) -> (Option<NodeIdx>, Option<NodeIdx>) {
    let mut found = (None, None);
    for edge in snapshot.edges(rope).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Internal) {
        let slot = match snapshot.edge_name(edge).map(|name| names.known(name)) {
            Some(Known::First) => &mut found.0,
            Some(Known::Second) => &mut found.1,
            _ => continue,
        };
        slot.get_or_insert(snapshot.edge_to(edge));
    }
    found
}
