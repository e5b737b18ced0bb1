//! What weak references leave behind: empty WeakRefs in collections, registrations that can never be called.

use rustc_hash::{FxHashMap, FxHashSet};
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use super::findings::{Finding, common_holder};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength, naming};

pub(crate) const NAME: &str = "weak-references";

const MANY: usize = 50;
const TOO_MANY: usize = 200;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    references(scene, found);
    registries(scene, found);
}

/// True if the target of a WeakRef is gone.
pub(super) fn is_empty(scene: &Scene<'_>, reference: NodeIdx) -> bool {
    target(scene, reference).is_none()
}

fn target(scene: &Scene<'_>, reference: NodeIdx) -> Option<NodeIdx> {
    let snapshot = &scene.heap.snapshot;
    let weak = snapshot.edges(reference).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Weak);
    let mut targets = weak.map(|edge| snapshot.edge_to(edge));
    targets.find(|&to| {
        !matches!(snapshot.node_type(to), NodeType::HIDDEN | NodeType::OBJECT_SHAPE | NodeType::CODE)
    })
}

/// Counts WeakRefs by the collection they are in.
fn references(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let mut places: FxHashMap<NodeIdx, (usize, Vec<NodeIdx>)> = FxHashMap::default();
    let all = scene.survey().objects(Word::WeakRef);
    if all.len() < MANY {
        return;
    }
    for &reference in all {
        // The collection's own object, not an entry of it: two steps up at most.
        let Some((holder, _)) = scene.holder(reference) else { continue };
        let place = naming::owner(scene, holder);
        let place = places.entry(place).or_default();
        place.0 += 1;
        if is_empty(scene, reference) {
            place.1.push(reference);
        }
    }
    let mut places: Vec<(NodeIdx, (usize, Vec<NodeIdx>))> =
        places.into_iter().filter(|(_, (_, empty))| empty.len() >= MANY).collect();
    places.sort_by_key(|(node, (_, empty))| (std::cmp::Reverse(empty.len()), *node));
    for (holder, (total, empty)) in places {
        let count = empty.len();
        let place = super::collections::place_words(scene, holder);
        found.push(
            Finding {
            function: None,
                detector: NAME,
                holder,
                key: format!("empty {place}"),
                words: format!("{count} of {total} WeakRefs in {place} are empty"),
                advice: "Take an entry out when its object is gone: by a FinalizationRegistry that deletes the key, \
                         or by a sweep now and then"
                    .to_owned(),
                strength: if count >= TOO_MANY && count * 2 >= total { Strength::Suspicious } else { Strength::Note },
                members: empty,
            }
            .evidence(scene),
        );
    }
}

/// A registration whose held value holds the target is never called, and neither of both is freed.
fn registries(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let heap = scene.heap;
    let survey = scene.survey();
    let registries: FxHashSet<NodeIdx> = survey.objects(Word::Registry).iter().copied().collect();
    let mut trapped: FxHashMap<NodeIdx, (usize, Vec<NodeIdx>)> = FxHashMap::default();
    for &cell in survey.objects(Word::WeakCell) {
        let fields = heap.snapshot.edges(cell).filter(|&e| heap.snapshot.edge_type(e) == EdgeType::Hidden);
        let fields: Vec<NodeIdx> = fields.map(|edge| heap.snapshot.edge_to(edge)).collect();
        let Some(&registry) = fields.iter().find(|field| registries.contains(field)) else { continue };
        let of_registry = trapped.entry(registry).or_default();
        of_registry.0 += 1;
        // What is neither the registry nor a neighbour in its list is the held value.
        let held = fields.iter().find(|&&field| field != registry && !is_cell(scene, field));
        if let (Some(&held), Some(target)) = (held, target(scene, cell))
            && heap.dominators.dominates(held.0, target.0)
        {
            of_registry.1.push(target);
        }
    }
    let mut trapped: Vec<(NodeIdx, (usize, Vec<NodeIdx>))> =
        trapped.into_iter().filter(|(_, (_, targets))| targets.len() >= MANY).collect();
    trapped.sort_by_key(|(registry, _)| *registry);
    for (registry, (total, targets)) in trapped {
        let count = targets.len();
        let place = super::collections::place_words(scene, registry);
        found.push(
            Finding {
            function: None,
                detector: NAME,
                holder: common_holder(scene, &targets),
                key: format!("trapped {place}"),
                words: format!(
                    "{count} of {total} objects registered with {place} are held by their own registration, so they \
                     are never finalised"
                ),
                advice: "Register a held value that does not refer to the object: an id, a path, a handle".to_owned(),
                strength: Strength::Suspicious,
                members: targets,
            }
            .evidence(scene),
        );
    }
}

fn is_cell(scene: &Scene<'_>, node: NodeIdx) -> bool {
    scene.heap.snapshot.raw_name_text(node).as_bytes() == b"system / WeakCell"
}
