//! AbortSignals: listeners on a signal that outlives the work, and signals composed with `AbortSignal.any()`.

use twinheap_snapshot::{NodeIdx, NodeType};

use super::findings::{Finding, by_place, common_holder, entries, named};
use super::listeners::{self, MANY};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "abort-signals";

/// So many composed signals are more than a server has requests in flight.
const TOO_MANY: usize = 100;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let survey = scene.survey();
    // A signal has its listeners where every EventTarget has them.
    let mut signals: Vec<NodeIdx> = survey.edges(Word::Aborted).iter().map(|fact| fact.from).collect();
    signals.sort_unstable();
    for fact in survey.edges(Word::TargetEvents) {
        if signals.binary_search(&fact.from).is_ok() {
            for (event, list, callbacks) in listeners::target_lists(scene, fact.to) {
                listeners::report(scene, NAME, fact.from, list, &event, &callbacks, found);
            }
        }
    }
    composed(scene, found);
    dependants(scene, found);
}

/// A composed signal with a listener is kept by Node.js until one of its sources is aborted.
fn composed(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let survey = scene.survey();
    let composed: Vec<NodeIdx> = survey
        .edges(Word::Composite)
        .iter()
        .filter(|fact| survey.is_true(fact.to))
        .map(|fact| fact.from)
        .collect();
    if composed.len() < MANY {
        return;
    }
    // Who listens is who composed them.
    let callbacks: Vec<NodeIdx> =
        composed.iter().filter_map(|&signal| first_callback(scene, signal)).collect();
    let composer = by_place(scene, callbacks).into_iter().next().and_then(|group| group.first().copied());
    let maker = composer.map(|closure| named(scene, closure));
    let whose =
        maker.as_ref().map_or(String::new(), |maker| format!(", with listeners made of {}", maker.words));
    let count = composed.len();
    found.push(
        Finding {
            function: composer,
            detector: NAME,
            holder: common_holder(scene, &composed),
            key: format!("composed {}", maker.map_or(String::new(), |maker| maker.key)),
            words: format!("{count} signals composed with AbortSignal.any() wait for their sources{whose}"),
            advice: "A composed signal with a listener lives as long as its sources: remove the listener when the \
                     work is done, or abort the controller that was made for it"
                .to_owned(),
            strength: if count >= TOO_MANY { Strength::Suspicious } else { Strength::Note },
            members: composed,
        }
        .evidence(scene),
    );
}

fn first_callback(scene: &Scene<'_>, signal: NodeIdx) -> Option<NodeIdx> {
    let events = scene.property(signal, "<symbol kEvents>")?;
    let is_object = |&node: &NodeIdx| scene.heap.snapshot.node_type(node) == NodeType::OBJECT;
    let list = entries(scene, events).find(is_object)?;
    scene.property(scene.property(list, "next")?, "listener")
}

/// The signals that depend on one, as weak references. Node.js up to 22 never removed the empty ones.
fn dependants(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    for fact in scene.survey().edges(Word::Dependants) {
        let references: Vec<NodeIdx> = entries(scene, fact.to).collect();
        if references.len() < TOO_MANY {
            continue;
        }
        let empty = references.iter().filter(|&&node| super::weak_references::is_empty(scene, node)).count();
        let count = references.len();
        found.push(
            Finding {
            function: None,
                detector: NAME,
                members: references,
                holder: fact.to,
                key: "dependants".to_owned(),
                words: format!("{count} signals depend on one AbortSignal; {empty} of them are gone already"),
                advice: "Compose signals of short life from others of short life, and abort them when the work is \
                         done; a newer Node.js forgets composed signals that nobody listens to"
                    .to_owned(),
                strength: Strength::Suspicious,
            }
            .evidence(scene),
        );
    }
}
