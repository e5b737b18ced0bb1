//! Small parts that keep something large: slices of Buffers, slices of strings, and texts in pieces.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{NodeIdx, NodeType};

use super::collections::place_words;
use super::findings::{Finding, bytes};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength, naming};

pub(crate) const BUFFERS: &str = "buffer-slices";
pub(crate) const STRINGS: &str = "sliced-strings";
pub(crate) const ROPES: &str = "string-ropes";

/// Bytes that a place must hold by slices.
const WORTH: u64 = 200_000;
const MUCH: u64 = 5_000_000;
/// Slices and Buffers that are looked at: the ones with the largest parents.
const MOST: usize = 100_000;
/// Node.js cuts small Buffers from pools of this size: since version 24, and before.
const POOLS: [u64; 2] = [65_536, 8_192];
/// Each part of a text in pieces is a string of this many bytes at least.
const PIECES: u32 = 200;

/// Buffers whose memory is kept by one view only.
///
/// How long a view is does not stand in a snapshot, so a slice of a Buffer can't be told from the whole. But many
/// views in one place with large memory each, or views into Node.js's pools that are the last of their pool, are
/// worth the question.
pub(crate) fn buffers(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let heap = scene.heap;
    let views = scene.survey().edges(Word::Buffer).iter();
    let views = views.filter(|fact| heap.snapshot.raw_name_text(fact.to).as_bytes() == b"ArrayBuffer");
    // Only what would be freed with its view.
    let pinned = views.filter(|fact| heap.dominator(fact.to) == fact.from).filter_map(|fact| {
        let data = scene.internal(fact.to, "backing_store")?;
        Some((fact.from, heap.shallow_size(data)))
    });
    let pinned: Vec<(NodeIdx, u64)> = pinned.filter(|&(_, size)| size >= 1024).collect();
    for (holder, views, size) in by_owner(scene, pinned) {
        let count = views.len();
        let place = place_words(scene, holder);
        let each = size / count as u64;
        let from_pool = POOLS.contains(&each);
        let pool = if from_pool { ", each of them a whole pool of Node.js" } else { "" };
        found.push(
            Finding {
                function: None,
                detector: BUFFERS,
                holder,
                key: place.clone(),
                words: format!("{count} Buffers in {place} keep {} of memory{pool}", bytes(size)),
                advice:
                    "If these are parts of larger Buffers (subarray, slice), copy them before they are kept: \
                         Buffer.from(part), or Buffer.allocUnsafeSlow(n) for small ones that live long"
                        .to_owned(),
                strength: if from_pool && size >= MUCH { Strength::Suspicious } else { Strength::Note },
                members: views,
            }
            .evidence(scene),
        );
    }
}

/// A slice of a string refers to the whole.
pub(crate) fn strings(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let heap = scene.heap;
    let slices = scene.survey().slices.iter();
    let pinned = slices.filter(|fact| heap.dominator(fact.to) == fact.from);
    let pinned = pinned.map(|fact| (fact.from, heap.retained_size(fact.to)));
    let pinned: Vec<(NodeIdx, u64)> = pinned.filter(|&(_, size)| size >= 256).collect();
    for (holder, slices, size) in by_owner(scene, pinned) {
        let count = slices.len();
        let place = place_words(scene, holder);
        found.push(
            Finding {
            function: None,
                detector: STRINGS,
                holder,
                key: place.clone(),
                words: format!(
                    "{count} strings in {place} are slices of larger texts that nothing else holds, {} in all",
                    bytes(size)
                ),
                advice: "Copy a part before it is kept: Buffer.from(part).toString(), or JSON.parse(JSON.stringify(part)); \
                         slice(), substring(), split() and match() of 13 and more characters refer to the whole text"
                    .to_owned(),
                strength: if size >= MUCH { Strength::Suspicious } else { Strength::Note },
                members: slices,
            }
            .evidence(scene),
        );
    }
}

/// `text += more` makes a tree of pieces, each a string with 32 bytes of its own, until somebody reads the text.
pub(crate) fn ropes(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let heap = scene.heap;
    let mut ropes: Vec<NodeIdx> =
        scene.survey().ropes.iter().copied().filter(|&rope| heap.dominated_count(rope) >= PIECES).collect();
    ropes.sort_by_key(|&rope| (std::cmp::Reverse(heap.retained_size(rope)), rope));
    for rope in ropes.into_iter().take(20) {
        let tree = heap.dominators.subtree(rope.0).iter().map(|&node| NodeIdx(node));
        let pieces: Vec<NodeIdx> =
            tree.filter(|&node| heap.snapshot.node_type(node) == NodeType::CONCATENATED_STRING).collect();
        let own: u64 = pieces.iter().map(|&piece| heap.shallow_size(piece)).fold(0, u64::saturating_add);
        let place = place_words(scene, rope);
        let size = heap.retained_size(rope);
        found.push(
            Finding {
            function: None,
                detector: ROPES,
                holder: scene.holder(rope).map_or(rope, |(holder, _)| naming::owner(scene, holder)),
                key: place.clone(),
                words: format!(
                    "the text in {place} is in {} pieces, {} of which {} are for the pieces themselves",
                    pieces.len(),
                    bytes(size),
                    bytes(own)
                ),
                advice: "Write a log out instead of adding to one text, or start a new one when it is long; pieces \
                         become one text when it is read, for example by Buffer.byteLength(text)"
                    .to_owned(),
                strength: if size >= MUCH { Strength::Suspicious } else { Strength::Note },
                members: pieces,
            }
            .evidence(scene),
        );
    }
}

/// Sorts what is pinned by the program's object that holds it; places that hold enough, most bytes first.
fn by_owner(scene: &Scene<'_>, mut pinned: Vec<(NodeIdx, u64)>) -> Vec<(NodeIdx, Vec<NodeIdx>, u64)> {
    if pinned.len() > MOST {
        pinned.select_nth_unstable_by_key(MOST, |&(_, size)| std::cmp::Reverse(size));
        pinned.truncate(MOST);
    }
    let mut owners: FxHashMap<NodeIdx, (Vec<NodeIdx>, u64)> = FxHashMap::default();
    for (node, size) in pinned {
        let Some((holder, _)) = scene.holder(node) else { continue };
        let mut owner = naming::owner(scene, holder);
        // What an entry of a collection holds is counted with the collection.
        for _ in 0..2 {
            match scene.holder(owner) {
                Some((above, _)) if !is_collection(scene, owner) && scene.heap.dominator(owner) == above => {
                    owner = naming::owner(scene, above);
                }
                _ => break,
            }
        }
        let entry = owners.entry(owner).or_default();
        entry.0.push(node);
        entry.1 = entry.1.saturating_add(size);
    }
    let mut owners: Vec<_> = owners
        .into_iter()
        .filter(|(_, (nodes, size))| *size >= WORTH && nodes.len() >= 10)
        .map(|(owner, (nodes, size))| (owner, nodes, size))
        .collect();
    owners.sort_by_key(|(owner, _, size)| (std::cmp::Reverse(*size), *owner));
    owners.truncate(20);
    owners
}

fn is_collection(scene: &Scene<'_>, node: NodeIdx) -> bool {
    let snapshot = &scene.heap.snapshot;
    snapshot.edges(node).len() > 30
        || snapshot.raw_name_text(node).as_bytes() == b"Array"
        || scene.internal(node, "table").is_some()
}
