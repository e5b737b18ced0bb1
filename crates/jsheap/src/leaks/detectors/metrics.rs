//! Metrics whose labels have too many values: a time series for each.

use rustc_hash::{FxHashMap, FxHashSet};
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use super::findings::Finding;
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "metric-labels";

/// Time series of one metric.
const MANY: usize = 200;
const TOO_MANY: usize = 1000;

/// A metric of prom-client has its time series in `hashMap`, by their labels; each has `labels` and a value.
pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    for fact in scene.survey().edges(Word::HashMap) {
        let keyed = snapshot.edges(fact.to).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Property);
        let keyed = keyed.map(|edge| snapshot.edge_to(edge));
        let series = keyed.chain(super::findings::entries(scene, fact.to));
        let series: Vec<(NodeIdx, NodeIdx)> = series
            .filter(|&to| snapshot.node_type(to) == NodeType::OBJECT)
            .filter_map(|entry| Some((entry, scene.property(entry, "labels")?)))
            .collect();
        if series.len() < MANY {
            continue;
        }
        let mut values: FxHashMap<Vec<u8>, FxHashSet<u32>> = FxHashMap::default();
        for &(_, labels) in &series {
            for edge in snapshot.edges(labels).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Property)
            {
                let to = snapshot.edge_to(edge);
                if snapshot.node_type(to).is_string() {
                    // Texts in pieces have no name of their own; each counts as another.
                    let text = match snapshot.node_type(to) {
                        NodeType::STRING => snapshot.raw_name(to).0,
                        _ => to.0 | 1 << 31,
                    };
                    values.entry(scene.heap.edge_text(edge)).or_default().insert(text);
                }
            }
        }
        let widest = values.iter().max_by_key(|(name, values)| (values.len(), std::cmp::Reverse(*name)));
        let label = widest.map_or(String::new(), |(name, values)| {
            let name = String::from_utf8_lossy(name);
            format!("; the label \"{name}\" has {} values", values.len())
        });
        let metric = scene.property(fact.from, "name").map(|name| scene.heap.node_name(name));
        let metric = String::from_utf8_lossy(&metric.unwrap_or_default()).into_owned();
        let count = series.len();
        found.push(
            Finding {
            function: None,
                detector: NAME,
                members: series.into_iter().map(|(entry, _)| entry).collect(),
                holder: fact.to,
                key: metric.clone(),
                words: format!("the metric {metric} has {count} time series{label}"),
                advice: "Labels are for few values: a route instead of a path, a status instead of a message, never \
                         the id of a user or a request"
                    .to_owned(),
                strength: if count >= TOO_MANY { Strength::Suspicious } else { Strength::Note },
            }
            .evidence(scene),
        );
    }
}
