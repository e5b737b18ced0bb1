//! From objects to evidence: sums, the place that holds them all, and what functions are called.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use crate::leaks::{Evidence, LocationRole, Scene, Strength, naming};

/// What a detector says of some objects. The sums are worked out here.
pub(super) struct Finding {
    pub(super) detector: &'static str,
    /// The objects that are too many; at least one.
    pub(super) members: Vec<NodeIdx>,
    /// What they pile up in.
    pub(super) holder: NodeIdx,
    /// Names that are the same in another run; the detector's own is added.
    pub(super) key: String,
    pub(super) words: String,
    pub(super) advice: String,
    pub(super) strength: Strength,
    /// The function to look at, if it is known better than from where the objects are.
    pub(super) function: Option<NodeIdx>,
}

impl Finding {
    pub(super) fn evidence(self, scene: &Scene<'_>) -> Evidence {
        let heap = scene.heap;
        let mut members = self.members;
        let youngest = members.iter().copied().max_by_key(|&node| heap.snapshot.id(node));
        members.sort_unstable_by_key(|node| heap.dominators.position(node.0));
        members.dedup();
        let mut evidence = Evidence {
            detector: self.detector,
            holder: self.holder,
            example: youngest.unwrap_or(self.holder),
            count: members.len() as u64,
            shallow_size: 0,
            retained_size: 0,
            key: format!("{} {}", self.detector, self.key),
            words: self.words,
            advice: self.advice,
            strength: self.strength,
            function: self.function,
        };
        let mut open_until = 0;
        for node in members {
            evidence.shallow_size = evidence.shallow_size.saturating_add(heap.shallow_size(node));
            let at = heap.dominators.position(node.0);
            if at >= open_until {
                evidence.retained_size = evidence.retained_size.saturating_add(heap.retained_size(node));
                open_until = at + heap.dominators.subtree_size(node.0) as usize;
            }
        }
        evidence
    }
}

/// The program's object that all of `members` go through: their nearest common dominator, or if that is none of the
/// program's, what holds one of them.
pub(super) fn common_holder(scene: &Scene<'_>, members: &[NodeIdx]) -> NodeIdx {
    if let Some(owner) = owner_of_most(scene, members) {
        return owner;
    }
    let tree = &scene.heap.dominators;
    let positions = members.iter().map(|node| tree.position(node.0));
    let Some((first, last)) = positions.fold(None, |ends: Option<(usize, usize)>, at| {
        Some(ends.map_or((at, at), |(first, last)| (first.min(at), last.max(at))))
    }) else {
        return scene.heap.snapshot.root();
    };
    let mut at = tree.order()[first];
    while last >= tree.position(at) + tree.subtree_size(at) as usize {
        at = tree.parent(at);
    }
    let example = NodeIdx(tree.order()[last]);
    let mut at = NodeIdx(at);
    // A member may hold the others; what holds that one is asked for.
    while members.len() > 1 && members.contains(&at) && tree.parent(at.0) != at.0 {
        at = NodeIdx(tree.parent(at.0));
    }
    // The table belongs to a Map, the elements to an array.
    while scene.heap.snapshot.node_type(at) == NodeType::ARRAY && tree.parent(at.0) != at.0 {
        at = NodeIdx(tree.parent(at.0));
    }
    match scene.heap.snapshot.node_type(at) {
        NodeType::SYNTHETIC | NodeType::HIDDEN => {
            scene.holder(example).map_or(scene.heap.snapshot.root(), |(node, _)| node)
        }
        _ => at,
    }
}

/// Members that are asked for what holds them.
const SAMPLE: usize = 1000;

/// The object that holds most of `members` itself: they are in one collection, and a few are held elsewhere as well.
fn owner_of_most(scene: &Scene<'_>, members: &[NodeIdx]) -> Option<NodeIdx> {
    let mut owners: FxHashMap<NodeIdx, usize> = FxHashMap::default();
    let asked = members.len().min(SAMPLE);
    for (holder, _) in members.iter().take(SAMPLE).filter_map(|&member| scene.holder(member)) {
        *owners.entry(naming::owner(scene, holder)).or_default() += 1;
    }
    let (owner, count) =
        owners.into_iter().max_by_key(|&(owner, count)| (count, std::cmp::Reverse(owner)))?;
    let is_object = scene.heap.snapshot.node_type(owner) == NodeType::OBJECT;
    (is_object && count >= 2 && count * 2 > asked).then_some(owner)
}

/// A function for a sentence, `flush() at queue.js:12`, and for a key with its whole path.
pub(super) struct Named {
    pub(super) words: String,
    pub(super) key: String,
}

/// What a function, or the class of an object, is called.
pub(super) fn named(scene: &Scene<'_>, node: NodeIdx) -> Named {
    let words = scene.class_words(node);
    match scene.location(node, LocationRole::Function) {
        Some(place) => {
            let file = place.script.rsplit(['/', '\\']).next().unwrap_or_default();
            Named {
                words: format!("{words} at {file}:{}", place.line),
                key: format!("{words} {}:{}:{}", place.script, place.line, place.column),
            }
        }
        None => Named { key: words.clone(), words },
    }
}

/// Sorts nodes by the place of their function or class, and by name where there is no place. Largest group first.
pub(super) fn by_place(scene: &Scene<'_>, nodes: impl IntoIterator<Item = NodeIdx>) -> Vec<Vec<NodeIdx>> {
    let snapshot = &scene.heap.snapshot;
    let mut groups: FxHashMap<(u32, u32, u32, u32), Vec<NodeIdx>> = FxHashMap::default();
    for node in nodes {
        let at = if snapshot.node_type(node) == NodeType::CLOSURE { scene.unbound(node) } else { node };
        let key = match snapshot.location(at) {
            Some(place) => (place.script_id, place.line, place.column, u32::MAX),
            None => (0, 0, 0, snapshot.raw_name(at).0),
        };
        groups.entry(key).or_default().push(node);
    }
    let mut groups: Vec<Vec<NodeIdx>> = groups.into_values().collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group.first().copied()));
    groups
}

/// The elements of an array that are objects; numbers have no node.
pub(super) fn elements<'a>(scene: &Scene<'a>, array: NodeIdx) -> impl Iterator<Item = NodeIdx> + use<'a> {
    let snapshot = &scene.heap.snapshot;
    snapshot
        .edges(array)
        .filter(|&edge| snapshot.edge_type(edge) == EdgeType::Element)
        .map(|edge| snapshot.edge_to(edge))
}

/// Keys and values of a Map, members of a Set, as far as they are objects.
pub(super) fn entries<'a>(scene: &Scene<'a>, collection: NodeIdx) -> impl Iterator<Item = NodeIdx> + use<'a> {
    let heap = scene.heap;
    let snapshot = &heap.snapshot;
    let table = scene.internal(collection, "table");
    table.into_iter().flat_map(|table| snapshot.edges(table)).filter_map(move |edge| {
        let name = snapshot.edge_name(edge)?;
        let is_entry = snapshot.edge_type(edge) == EdgeType::Internal
            && snapshot.strings.get(name).as_bytes().first().is_some_and(u8::is_ascii_digit);
        let to = snapshot.edge_to(edge);
        // `undefined` and the like fill the table.
        (is_entry && !is_oddball(heap, to)).then_some(to)
    })
}

/// True for `undefined`, `null`, `true`, and what V8 fills its tables with.
pub(super) fn is_oddball(heap: &crate::heap::Heap, node: NodeIdx) -> bool {
    let snapshot = &heap.snapshot;
    if !matches!(snapshot.node_type(node), NodeType::HIDDEN | NodeType::NATIVE) {
        return false;
    }
    matches!(
        snapshot.raw_name_text(node).as_bytes(),
        b"system / Oddball"
            | b"system / Hole"
            | b"undefined"
            | b"null"
            | b"true"
            | b"false"
            | b"hole"
            | b"the_hole"
            | b"system / TheHole"
    )
}

/// A number of bytes for a sentence.
pub(super) fn bytes(size: u64) -> String {
    match size {
        0..1_000 => format!("{size} B"),
        1_000..1_000_000 => format!("{:.0} kB", size as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size as f64 / 1e6),
        _ => format!("{:.1} GB", size as f64 / 1e9),
    }
}
