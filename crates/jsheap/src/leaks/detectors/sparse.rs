//! Arrays with more room than members.

use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use super::collections::place_words;
use super::findings::{Finding, bytes};
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "sparse-collections";

/// Bytes of an array's room from which it is looked at.
const ROOM: u64 = 2048;
/// Waste of one array that is worth a suspicion.
const MUCH: u64 = 1_000_000;
/// Members of an array with holes.
const MANY: usize = 50;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let mut arrays: Vec<(u64, Evidence)> = Vec::new();
    for &array in &scene.survey().broad {
        arrays.extend(with_holes(scene, array));
    }
    for &array in scene.survey().objects(super::survey::Word::Array) {
        arrays.extend(too_long(scene, array));
    }
    arrays.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.holder.cmp(&b.1.holder)));
    found.extend(arrays.into_iter().take(20).map(|(_, evidence)| evidence));
}

/// Indices far apart: V8 keeps such an array as a hash table, with three words and more for each member.
fn with_holes(scene: &Scene<'_>, array: NodeIdx) -> Option<(u64, Evidence)> {
    let snapshot = &scene.heap.snapshot;
    let is_element = |edge: &_| snapshot.edge_type(*edge) == EdgeType::Element;
    let indices = snapshot.edges(array).filter(is_element).map(|edge| snapshot.edge_name_or_index(edge));
    let (count, last) = indices.fold((0usize, 0u64), |(count, last), at| (count + 1, last.max(at)));
    if count < MANY || last < 1024 || last / 8 < count as u64 {
        return None;
    }
    let place = place_words(scene, array);
    let size = room(scene, array).unwrap_or(0);
    let members: Vec<NodeIdx> = super::findings::elements(scene, array).collect();
    let evidence = Finding {
        function: None,
        detector: NAME,
        members,
        holder: array,
        key: format!("holes {place}"),
        words: format!(
            "{place} has {count} objects at indices up to {last}; V8 keeps such an array as a hash table, {} large",
            bytes(size)
        ),
        advice:
            "Use a Map from numbers to objects, and delete what is done; an array is for indices without gaps"
                .to_owned(),
        strength: Strength::Note,
    };
    Some((size, evidence.evidence(scene)))
}

/// Much room and few objects in it. An array of numbers looks as if it were empty, so one object at least.
fn too_long(scene: &Scene<'_>, array: NodeIdx) -> Option<(u64, Evidence)> {
    let size = room(scene, array).filter(|&size| size >= ROOM)?;
    let snapshot = &scene.heap.snapshot;
    let places = size / 8;
    let count =
        snapshot.edges(array).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Element).count() as u64;
    if count == 0 || count * 8 > places {
        return None;
    }
    let wasted = (places - count) * 8;
    let place = place_words(scene, array);
    let members: Vec<NodeIdx> = super::findings::elements(scene, array).collect();
    let evidence = Finding {
            function: None,
        detector: NAME,
        members,
        holder: array,
        key: format!("room {place}"),
        words: format!("{place} has room for {places} and holds {count} objects; {} are unused", bytes(wasted)),
        advice: "Make arrays as long as they have to be: `new Array(n)` takes the room at once, and removing members \
                 keeps it"
            .to_owned(),
        strength: if wasted >= MUCH { Strength::Suspicious } else { Strength::Note },
    };
    Some((wasted, evidence.evidence(scene)))
}

/// Bytes of the array's elements.
fn room(scene: &Scene<'_>, array: NodeIdx) -> Option<u64> {
    let elements = scene.internal(array, "elements")?;
    // Empty arrays share one.
    (scene.heap.snapshot.node_type(elements) == NodeType::ARRAY)
        .then(|| scene.heap.snapshot.self_size(elements))
}
