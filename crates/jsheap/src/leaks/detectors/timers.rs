//! Timers and intervals that are never cleared.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{NodeIdx, NodeType};

use super::findings::{Finding, by_place, common_holder, named};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "timers";

const MANY: usize = 20;
const TOO_MANY: usize = 100;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    // A timer that has fired or was cleared has no function any more.
    let waiting = scene.survey().edges(Word::OnTimeout).iter();
    let waiting = waiting.filter(|fact| snapshot.node_type(fact.to) == NodeType::CLOSURE);
    let mut timers_of: FxHashMap<NodeIdx, Vec<NodeIdx>> = FxHashMap::default();
    for fact in waiting {
        timers_of.entry(fact.to).or_default().push(fact.from);
    }
    let mut functions: Vec<NodeIdx> = timers_of.keys().copied().collect();
    functions.sort_unstable();
    for group in by_place(scene, functions) {
        let timers: Vec<NodeIdx> = group.iter().flat_map(|function| &timers_of[function]).copied().collect();
        if timers.len() < MANY {
            continue;
        }
        let Some(&example) = timers.first() else { continue };
        // `_repeat` is null for setTimeout, and a number, which has no node, for setInterval.
        let is_once = scene.property(example, "_repeat").is_some_and(|value| scene.survey().is_null(value));
        let (call, clear) =
            if is_once { ("setTimeout()", "clearTimeout()") } else { ("setInterval()", "clearInterval()") };
        let function = named(scene, group[0]);
        let count = timers.len();
        found.push(
            Finding {
            function: Some(group[0]),
                detector: NAME,
                holder: common_holder(scene, &timers),
                key: format!("{call} {}", function.key),
                words: format!("{count} timers of {call} wait to call {}", function.words),
                advice: format!(
                    "Keep what {call} returns and hand it to {clear} when the work is done or the object is closed"
                ),
                strength: if count >= TOO_MANY { Strength::Suspicious } else { Strength::Note },
                members: timers,
            }
            .evidence(scene),
        );
    }
}
