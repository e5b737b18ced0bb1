//! Promises that don't settle: what waits for them, and the calls that are suspended at an `await` or `yield`.

use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use super::findings::{Finding, by_place, common_holder, named};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "pending-promises";

/// Reactions of one promise: a few are common, each `await` is one.
const MANY_REACTIONS: usize = 50;
const TOO_MANY_REACTIONS: usize = 1000;
/// Calls of one function that are suspended.
const MANY_FRAMES: usize = 50;
const TOO_MANY_FRAMES: usize = 1000;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    reactions(scene, found);
    frames(scene, found);
}

/// A pending promise has a list of what to do when it settles. `Promise.race` adds to each list, and only settling
/// takes away.
fn reactions(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let mut lists: Vec<(NodeIdx, Vec<NodeIdx>)> = Vec::new();
    for fact in scene.survey().edges(Word::Reactions).iter().filter(|fact| is_reaction(scene, fact.to)) {
        let mut list = vec![fact.to];
        let mut at = fact.to;
        while let Some(next) = next_reaction(scene, at)
            && list.len() < 10_000_000
        {
            list.push(next);
            at = next;
        }
        if list.len() >= MANY_REACTIONS {
            lists.push((fact.from, list));
        }
    }
    lists.sort_by_key(|(_, list)| std::cmp::Reverse(list.len()));
    for (promise, list) in lists.into_iter().take(20) {
        let count = list.len();
        let place = super::collections::place_words(scene, promise);
        found.push(
            Finding {
            function: None,
                detector: NAME,
                members: list,
                holder: promise,
                key: format!("reactions {place}"),
                words: format!("{count} reactions wait for one promise that has not settled, {place}"),
                advice: "Don't wait for a promise of long life again and again: Promise.race() and then() leave a \
                         reaction on it each time, until it settles. Wait once and keep the answer, or use an \
                         AbortSignal whose listener is removed"
                    .to_owned(),
                strength: if count >= TOO_MANY_REACTIONS { Strength::Suspicious } else { Strength::Note },
            }
            .evidence(scene),
        );
    }
}

fn is_reaction(scene: &Scene<'_>, node: NodeIdx) -> bool {
    let snapshot = &scene.heap.snapshot;
    matches!(snapshot.node_type(node), NodeType::HIDDEN | NodeType::NATIVE)
        && snapshot.raw_name_text(node).as_bytes() == b"system / PromiseReaction"
}

fn next_reaction(scene: &Scene<'_>, reaction: NodeIdx) -> Option<NodeIdx> {
    let snapshot = &scene.heap.snapshot;
    let is_strong = |kind| !matches!(kind, EdgeType::Weak | EdgeType::Shortcut | EdgeType::Invisible);
    let edges = snapshot.edges(reaction).filter(|&edge| is_strong(snapshot.edge_type(edge)));
    edges.map(|edge| snapshot.edge_to(edge)).find(|&to| to != reaction && is_reaction(scene, to))
}

/// A suspended call keeps its variables in `parameters_and_registers` of a generator object.
fn frames(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    let frames = scene.survey().edges(Word::Registers).iter().map(|fact| fact.from);
    for group in by_place(scene, frames) {
        if group.len() < MANY_FRAMES {
            break;
        }
        let example = group[0];
        let function = scene.internal(example, "function").unwrap_or(example);
        let is_async = snapshot.raw_name_text(example).as_bytes() == b"Generator";
        let (at, advice) = if is_async {
            (
                "at an await",
                "Find out what they wait for: a lock that is not released when the work fails, an answer that got \
                 lost. Settle it in `finally`, and give up after a time (AbortSignal.timeout)",
            )
        } else {
            (
                "at a yield",
                "Read a generator to its end, leave it by `break` in for…of, or call its return(), before it is \
                 forgotten in a collection",
            )
        };
        let name = named(scene, function);
        let count = group.len();
        found.push(
            Finding {
                function: None,
                detector: NAME,
                holder: common_holder(scene, &group),
                key: format!("frames {}", name.key),
                words: format!("{count} calls of {} are suspended {at}", name.words),
                advice: advice.to_owned(),
                strength: if count >= TOO_MANY_FRAMES { Strength::Suspicious } else { Strength::Note },
                members: group,
            }
            .evidence(scene),
        );
    }
}
