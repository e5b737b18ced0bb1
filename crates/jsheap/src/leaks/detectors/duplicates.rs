//! The same text, or the same object, many times.

use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use super::findings::{Finding, bytes, common_holder};
use crate::heap::Heap;
use crate::leaks::{Evidence, Scene, Strength};
use crate::texts::{StringGroup, duplicate_strings};

pub(crate) const STRINGS: &str = "duplicate-strings";
pub(crate) const OBJECTS: &str = "duplicate-objects";

/// Bytes that copies must waste; and from how many on, of all bytes, it is worth to be told without being asked.
const WORTH: u64 = 20_000;
const MANY: usize = 100;
const PART: u64 = 50;
/// Findings of one heap.
const MOST: usize = 10;
/// Characters of a text that are shown.
const SHOWN: usize = 40;

/// Texts of which so many copies are there that it is worth to say it, most wasteful first.
///
/// All strings are looked at for it, and nothing but the heap is needed: so a second thread can do it.
pub(crate) struct Doubles(Vec<StringGroup>);

impl Doubles {
    pub(crate) fn new(heap: &Heap) -> Doubles {
        let mut groups = duplicate_strings(heap);
        // A text in pieces begins like each of its pieces: these are no copies.
        let is_piece =
            |node: NodeIdx| heap.snapshot.node_type(heap.dominator(node)) == NodeType::CONCATENATED_STRING;
        for group in &mut groups {
            let before = group.nodes.len();
            group.nodes.retain(|&node| !is_piece(node));
            if group.nodes.len() < before {
                let size = group.nodes.iter().skip(1).map(|&node| heap.shallow_size(node));
                group.wasted = size.fold(0, u64::saturating_add);
            }
        }
        groups.retain(|group| group.wasted >= WORTH && group.nodes.len() >= MANY);
        groups.sort_by(|a, b| b.wasted.cmp(&a.wasted).then_with(|| a.text.cmp(&b.text)));
        groups.truncate(MOST);
        Doubles(groups)
    }
}

pub(crate) fn strings(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let heap = scene.heap;
    for group in &scene.doubles().0 {
        let text = String::from_utf8_lossy(&group.text);
        let shown: String = text.chars().take(SHOWN).collect();
        let dots = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
        let perhaps = if group.may_differ { " (by its first 1024 characters)" } else { "" };
        found.push(
            Finding {
            function: None,
                detector: STRINGS,
                holder: common_holder(scene, &group.nodes),
                key: shown.clone(),
                words: format!(
                    "the text \"{shown}{dots}\" is there {} times{perhaps}; one copy would save {}",
                    group.nodes.len(),
                    bytes(group.wasted)
                ),
                advice: "Share equal texts: look each one up in a Map of texts before it is kept. What JSON.parse, \
                         a database or a network gives is new each time"
                    .to_owned(),
                strength: if group.wasted >= heap.total_size() / PART {
                    Strength::Suspicious
                } else {
                    Strength::Note
                },
                members: group.nodes.clone(),
            }
            .evidence(scene),
        );
    }
}

/// Plain objects with the same hidden class and the same values. Numbers have no node, so only objects all of whose
/// properties can be seen are compared.
pub(crate) fn objects(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let heap = scene.heap;
    let snapshot = &heap.snapshot;
    let mut groups: FxHashMap<u64, (NodeIdx, Vec<NodeIdx>)> = FxHashMap::default();
    let mut properties_of: FxHashMap<NodeIdx, usize> = FxHashMap::default();
    for node in snapshot.nodes().filter(|&node| snapshot.node_type(node) == NodeType::OBJECT) {
        if snapshot.raw_name_text(node).as_bytes() != b"Object" || heap.shallow_size(node) == 0 {
            continue;
        }
        let mut shape = None;
        let mut visible = 0;
        let mut is_plain = true;
        let mut content = FxHasher::default();
        for edge in snapshot.edges(node) {
            let to = snapshot.edge_to(edge);
            match snapshot.edge_type(edge) {
                EdgeType::Property => {
                    visible += 1;
                    content.write_u32(snapshot.edge_name(edge).map_or(0, |name| name.0));
                    // Equal texts are equal, whichever copy.
                    match snapshot.node_type(to) {
                        NodeType::STRING => content.write_u32(snapshot.raw_name(to).0),
                        _ => content.write_u64(u64::from(to.0) | 1 << 40),
                    }
                }
                EdgeType::Internal if is_named(scene, edge, b"map") => shape = Some(to),
                EdgeType::Internal => is_plain = false,
                EdgeType::Element => is_plain = false,
                _ => {}
            }
        }
        let Some(shape) = shape.filter(|_| is_plain && visible > 1) else { continue };
        let properties = *properties_of.entry(shape).or_insert_with(|| count_properties(scene, shape));
        // `__proto__` is among the edges and not among the hidden class's properties.
        if visible != properties + 1 {
            continue;
        }
        content.write_u32(shape.0);
        groups.entry(content.finish()).or_insert_with(|| (shape, Vec::new())).1.push(node);
    }
    let mut groups: Vec<(u64, Vec<NodeIdx>)> = groups
        .into_values()
        .filter(|(_, nodes)| nodes.len() >= MANY)
        .map(|(_, nodes)| {
            let size =
                nodes.iter().skip(1).map(|&node| heap.retained_size(node)).fold(0, u64::saturating_add);
            (size, nodes)
        })
        .filter(|(wasted, _)| *wasted >= WORTH)
        .collect();
    groups.sort_by_key(|(wasted, nodes)| (std::cmp::Reverse(*wasted), nodes[0]));
    for (wasted, nodes) in groups.into_iter().take(MOST) {
        let shape = String::from_utf8_lossy(&heap.node_name(nodes[0])).into_owned();
        found.push(
            Finding {
                function: None,
                detector: OBJECTS,
                holder: common_holder(scene, &nodes),
                key: shape.clone(),
                words: format!(
                    "{} objects {shape} have the same content; one would do and save {}",
                    nodes.len(),
                    bytes(wasted)
                ),
                advice: "Make one object and share it, frozen if nobody may change it".to_owned(),
                strength: if wasted >= heap.total_size() / PART {
                    Strength::Suspicious
                } else {
                    Strength::Note
                },
                members: nodes,
            }
            .evidence(scene),
        );
    }
}

fn is_named(scene: &Scene<'_>, edge: twinheap_snapshot::EdgeIdx, name: &[u8]) -> bool {
    let snapshot = &scene.heap.snapshot;
    snapshot.edge_name(edge).is_some_and(|id| snapshot.strings.get(id).as_bytes() == name)
}

/// Names in a hidden class's list of properties. Hidden classes of one family share a list, so it may be longer than
/// the object; then the object is left out.
fn count_properties(scene: &Scene<'_>, shape: NodeIdx) -> usize {
    let snapshot = &scene.heap.snapshot;
    let Some(list) = scene.internal(shape, "descriptors") else { return usize::MAX - 1 };
    let names = snapshot.edges(list).map(|edge| snapshot.edge_to(edge));
    names
        .filter(|&to| snapshot.node_type(to).is_string() || snapshot.node_type(to) == NodeType::SYMBOL)
        .count()
}
