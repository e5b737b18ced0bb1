//! Listeners that are added and never removed: EventEmitter, EventTarget, diagnostics channels.

use rustc_hash::FxHashSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use super::findings::{Finding, by_place, elements, entries, named};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "event-listeners";

/// Node.js warns from 11 listeners on.
pub(super) const MANY: usize = 11;
/// So many of one function for one event are hardly wanted.
const TOO_MANY: usize = 100;
/// Listeners of one list that are looked at.
const MOST: usize = 1_000_000;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    emitters(scene, found);
    targets(scene, found);
    channels(scene, found);
}

/// `emitter._events[type]` is a function, or an array of functions.
fn emitters(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    for fact in scene.survey().edges(Word::Events) {
        if snapshot.node_type(fact.to) != NodeType::OBJECT {
            continue;
        }
        let lists = snapshot.edges(fact.to).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Property);
        for edge in lists {
            let list = snapshot.edge_to(edge);
            if snapshot.node_type(list) != NodeType::OBJECT || snapshot.edges(list).len() < MANY {
                continue;
            }
            let listeners: Vec<NodeIdx> = elements(scene, list).take(MOST).collect();
            let event = String::from_utf8_lossy(&scene.heap.edge_text(edge)).into_owned();
            report(scene, NAME, fact.from, list, &event, &listeners, found);
        }
    }
}

/// `target[kEvents]` is a Map from types to lists of Listener objects.
fn targets(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let signals: FxHashSet<NodeIdx> =
        scene.survey().edges(Word::Aborted).iter().map(|fact| fact.from).collect();
    // Those of AbortSignals are another detector's.
    for fact in scene.survey().edges(Word::TargetEvents).iter().filter(|f| !signals.contains(&f.from)) {
        for (event, list, listeners) in target_lists(scene, fact.to) {
            report(scene, NAME, fact.from, list, &event, &listeners, found);
        }
    }
}

/// Type, list and callbacks of the lists of an EventTarget that are long.
pub(super) fn target_lists(scene: &Scene<'_>, events: NodeIdx) -> Vec<(String, NodeIdx, Vec<NodeIdx>)> {
    let snapshot = &scene.heap.snapshot;
    let mut lists = Vec::new();
    let mut event = String::new();
    for entry in entries(scene, events) {
        if snapshot.node_type(entry).is_string() {
            event = String::from_utf8_lossy(&scene.heap.node_name(entry)).into_owned();
            continue;
        }
        let mut callbacks = Vec::new();
        let mut at = entry;
        while let Some(next) = scene.property(at, "next")
            && snapshot.node_type(next) == NodeType::OBJECT
            && callbacks.len() < MOST
        {
            callbacks.push(scene.property(next, "listener").unwrap_or(next));
            at = next;
        }
        if callbacks.len() >= MANY {
            lists.push((event.clone(), entry, callbacks));
        }
    }
    lists
}

/// `channel._subscribers` is an array of functions.
fn channels(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    for fact in scene.survey().edges(Word::Subscribers) {
        if snapshot.edges(fact.to).len() < MANY {
            continue;
        }
        let listeners: Vec<NodeIdx> = elements(scene, fact.to).take(MOST).collect();
        let name = scene.property(fact.from, "name").map(|name| scene.heap.node_name(name));
        let name = String::from_utf8_lossy(&name.unwrap_or_default()).into_owned();
        report(scene, NAME, fact.from, fact.to, &name, &listeners, found);
    }
}

/// One finding a list: the function that most of its listeners are made of.
pub(super) fn report(
    scene: &Scene<'_>,
    detector: &'static str,
    target: NodeIdx,
    list: NodeIdx,
    event: &str,
    listeners: &[NodeIdx],
    found: &mut Vec<Evidence>,
) {
    let total = listeners.len();
    let groups = by_place(scene, listeners.iter().map(|&listener| original(scene, listener)));
    let Some(most) = groups.into_iter().next().filter(|group| group.len() >= MANY) else { return };
    let example = most[0];
    let maker = named(scene, example);
    let class = scene.class_words(target);
    let count = most.len();
    let of_all = if count == total { String::new() } else { format!(" of {total}") };
    found.push(
        Finding {
            function: Some(example),
            detector,
            holder: list,
            key: format!("{class} {event} {}", maker.key),
            words: format!(
                "{count}{of_all} listeners for \"{event}\" of {class} are made of {}",
                maker.words
            ),
            advice:
                "Remove the listener when its work is done: off() or removeEventListener() with the same \
                     function, once(), or { once: true } or { signal } as an option"
                    .to_owned(),
            strength: if count >= TOO_MANY { Strength::Suspicious } else { Strength::Note },
            members: most,
        }
        .evidence(scene),
    );
}

/// The listener that `once()` wrapped.
fn original(scene: &Scene<'_>, listener: NodeIdx) -> NodeIdx {
    let wrapped = scene
        .internal(listener, "bound_this")
        .and_then(|state| scene.property(state, "listener"))
        .or_else(|| scene.property(listener, "listener"));
    wrapped.filter(|&node| scene.heap.snapshot.node_type(node) == NodeType::CLOSURE).unwrap_or(listener)
}
