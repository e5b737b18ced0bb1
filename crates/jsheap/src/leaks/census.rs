//! What is kept of an earlier dump when the next one is read: sums for each step, and ids.

use rustc_hash::FxHashMap;
use twinheap_snapshot::NodeIdx;

use crate::ids::IdSet;
use crate::leaks::detectors;
use crate::leaks::scene::Scene;

/// Sums of one step. Sizes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) objects: u64,
    pub(crate) shallow_size: u64,
    pub(crate) retained_size: u64,
    pub(crate) below: u64,
}

/// A dump reduced to what a later one is compared with: tens of bytes for each merged step and eight for each
/// object, where the heap itself takes a hundred.
pub(crate) struct Census {
    pub(crate) total_size: u64,
    /// The V8 versions that write such a file.
    pub(crate) v8_layout: &'static str,
    pub(crate) ids: IdSet,
    /// The largest id of V8's own objects: what has a larger one is younger.
    pub(crate) max_id: u64,
    /// By the hash of the names along the path.
    pub(crate) steps: FxHashMap<u64, Sums>,
    /// What the detectors found: count, shallow and retained size by key.
    pub(crate) evidence: FxHashMap<String, Sums>,
}

impl Census {
    pub(crate) fn new(scene: &Scene<'_>) -> Census {
        let heap = scene.heap;
        let mut steps: FxHashMap<u64, Sums> = FxHashMap::default();
        steps.reserve(scene.steps.rows.len());
        for row in &scene.steps.rows {
            let sums = steps.entry(row.hash).or_default();
            sums.objects += row.objects;
            sums.shallow_size = sums.shallow_size.saturating_add(row.shallow_size);
            sums.retained_size = sums.retained_size.saturating_add(row.retained_size);
            sums.below = sums.below.saturating_add(row.below);
        }
        let mut evidence: FxHashMap<String, Sums> = FxHashMap::default();
        let mut found = Vec::new();
        detectors::ALL.iter().for_each(|detect| detect(scene, &mut found));
        for one in found {
            let sums = evidence.entry(one.key).or_default();
            sums.objects += one.count;
            sums.shallow_size = sums.shallow_size.saturating_add(one.shallow_size);
            sums.retained_size = sums.retained_size.saturating_add(one.retained_size);
        }
        Census {
            total_size: heap.total_size(),
            v8_layout: heap.snapshot.producer.v8_layout,
            ids: IdSet::new(heap),
            max_id: heap.snapshot.max_js_object_id(),
            steps,
            evidence,
        }
    }
}

/// Of `nodes`, how many are older than the dump whose largest id is `max_id`. Ids of V8's own objects are odd.
pub(crate) fn older_than(scene: &Scene<'_>, nodes: &[NodeIdx], max_id: u64) -> u64 {
    let ids = nodes.iter().map(|&node| scene.heap.snapshot.id(node));
    ids.filter(|&id| id % 2 == 1 && id <= max_id).count() as u64
}
