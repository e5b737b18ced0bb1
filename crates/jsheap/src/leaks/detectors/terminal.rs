//! Objects that are over and still held: destroyed sockets, closed connections, finished responses.
//!
//! Booleans have a node each (numbers have none), so `closed: true` can be seen, and so can a status like
//! `"closed"`. The flags of Node.js's streams are bits of a number and can't; a socket without a handle can.

use rustc_hash::FxHashMap;
use twinheap_snapshot::NodeIdx;

use super::findings::{Finding, common_holder};
use super::survey::Word;
use crate::classes::ClassId;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "terminal-state";

const MANY: usize = 20;
const TOO_MANY: usize = 100;

/// Texts of a status from which nothing comes any more.
const OVER: &[&str] =
    &["closed", "destroyed", "ended", "terminated", "disposed", "disconnected", "dead", "CLOSED"];

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    let survey = scene.survey();
    let flags = survey.edges(Word::Flag).iter().map(|fact| (fact, survey.is_true(fact.to)));
    let texts = survey.edges(Word::Status).iter().filter(|fact| snapshot.node_type(fact.to).is_string());
    let texts = texts.map(|fact| {
        let text = snapshot.raw_name_text(fact.to).as_bytes();
        (fact, OVER.iter().any(|over| over.as_bytes() == text))
    });
    let sockets = survey.edges(Word::Handle).iter().map(|fact| (fact, survey.is_null(fact.to)));
    let mut classes: FxHashMap<ClassId, Class> = FxHashMap::default();
    for (fact, is_over) in flags.chain(texts).chain(sockets) {
        let class = classes.entry(scene.heap.class_of(fact.from)).or_default();
        class.all.push(fact.from);
        if is_over {
            class.over.push(fact.from);
        }
    }
    let mut classes: Vec<(ClassId, Class)> = classes.into_iter().collect();
    for (_, class) in &mut classes {
        // An object may say so twice.
        for list in [&mut class.all, &mut class.over] {
            list.sort_unstable();
            list.dedup();
        }
    }
    classes.retain(|(_, class)| class.over.len() >= MANY && class.over.len() * 2 >= class.all.len());
    classes.sort_by_key(|(id, class)| (std::cmp::Reverse(class.over.len()), *id));
    for (_, Class { all, over }) in classes {
        let (count, total) = (over.len(), all.len());
        let what = scene.class_words(over[0]);
        found.push(
            Finding {
            function: None,
                detector: NAME,
                holder: common_holder(scene, &over),
                key: what.clone(),
                words: format!("{count} of {total} {what} are closed, ended or destroyed, and still held"),
                advice: "Take an object out of lists, maps and listeners when it closes: in its 'close' event, or in \
                         `finally`"
                    .to_owned(),
                strength: if count >= TOO_MANY && count * 10 >= total * 8 {
                    Strength::Suspicious
                } else {
                    Strength::Note
                },
                members: over,
            }
            .evidence(scene),
        );
    }
}

/// Objects of a class that have a state, and those whose state is final.
#[derive(Default)]
struct Class {
    all: Vec<NodeIdx>,
    over: Vec<NodeIdx>,
}
