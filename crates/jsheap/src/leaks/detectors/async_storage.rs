//! Stores of AsyncLocalStorage that outlive their request.

use rustc_hash::{FxHashMap, FxHashSet};
use twinheap_snapshot::{NodeIdx, NodeType};

use super::findings::{Finding, common_holder, entries, is_oddball};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "async-local-storage";

/// Different stores; a busy server has as many as requests in flight.
const MANY: usize = 50;
const TOO_MANY: usize = 500;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    let survey = scene.survey();
    // Up to Node.js 22 each resource has its stores itself, since 24 it has a frame, a Map from storages to stores.
    let own = survey.edges(Word::ResourceStore).iter().map(|fact| (fact.from, fact.to));
    let framed = survey.edges(Word::ContextFrame).iter().flat_map(|fact| {
        let stores = entries(scene, fact.to);
        stores.filter(|&to| !is_storage(scene, to)).map(|store| (fact.from, store))
    });
    // By class of what keeps the store: who outlives the request.
    let mut keepers: FxHashMap<&[u8], Vec<(NodeIdx, NodeIdx)>> = FxHashMap::default();
    for (keeper, store) in own.chain(framed) {
        if !is_oddball(scene.heap, store) && snapshot.node_type(store) != NodeType::NUMBER {
            keepers.entry(snapshot.raw_name_text(keeper).as_bytes()).or_default().push((keeper, store));
        }
    }
    let mut keepers: Vec<_> = keepers.into_iter().collect();
    keepers.sort_by_key(|(name, pairs)| (std::cmp::Reverse(pairs.len()), *name));
    for (name, pairs) in keepers {
        let stores: FxHashSet<NodeIdx> = pairs.iter().map(|&(_, store)| store).collect();
        if stores.len() < MANY {
            continue;
        }
        let keepers: Vec<NodeIdx> = pairs.iter().map(|&(keeper, _)| keeper).collect();
        let mut stores: Vec<NodeIdx> = stores.into_iter().collect();
        stores.sort_unstable();
        let name = String::from_utf8_lossy(name).into_owned();
        let store = scene.class_words(stores[0]);
        found.push(
            Finding {
            function: None,
                detector: NAME,
                holder: common_holder(scene, &keepers),
                key: format!("{name} {store}"),
                words: format!(
                    "{} stores of AsyncLocalStorage ({store}) are kept by {} {name}, which were made inside run() or \
                     after enterWith()",
                    stores.len(),
                    keepers.len()
                ),
                advice: "Make what outlives a request (pooled connections, timers, caches) outside of it, in \
                         AsyncLocalStorage.exit() or before the first run(); keep stores small"
                    .to_owned(),
                strength: if stores.len() >= TOO_MANY { Strength::Suspicious } else { Strength::Note },
                members: stores,
            }
            .evidence(scene),
        );
    }
}

fn is_storage(scene: &Scene<'_>, node: NodeIdx) -> bool {
    scene.heap.snapshot.raw_name_text(node).as_bytes() == b"AsyncLocalStorage"
}
