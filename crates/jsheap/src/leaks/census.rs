//! What is kept of an earlier dump when the next one is read: sums for each step, and ids.

use rustc_hash::FxHashMap;

use crate::heap::Heap;
use crate::ids::IdSet;
use crate::leaks::classes::{ClassSums, class_sums};
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
    /// The classes by name.
    pub(crate) classes: FxHashMap<Vec<u8>, ClassSums>,
}

/// What is looked for on a second thread, since it needs no paths: only other dumps are compared with it.
#[derive(Default)]
pub(crate) struct Beside {
    ids: IdSet,
    classes: FxHashMap<Vec<u8>, ClassSums>,
}

impl Beside {
    pub(crate) fn new(heap: &Heap) -> Beside {
        Beside { ids: IdSet::new(heap), classes: class_sums(heap) }
    }
}

impl Census {
    /// Adds up.
    pub(crate) fn new(scene: &Scene<'_>, beside: Beside) -> Census {
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
        for one in scene.evidence() {
            let sums = evidence.entry(one.key.clone()).or_default();
            sums.objects += one.count;
            sums.shallow_size = sums.shallow_size.saturating_add(one.shallow_size);
            sums.retained_size = sums.retained_size.saturating_add(one.retained_size);
        }
        Census {
            total_size: heap.total_size(),
            v8_layout: heap.snapshot.producer.v8_layout,
            ids: beside.ids,
            max_id: heap.snapshot.max_js_object_id(),
            steps,
            evidence,
            classes: beside.classes,
        }
    }
}

/// How old the objects of a step are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ages {
    /// Objects that the first dump had already.
    pub(crate) old: u64,
    /// Objects that the dump before the newest had not.
    pub(crate) fresh: u64,
}

/// The ages of the objects of `steps`, by the largest ids of the first dump and of the one before the newest. Ids of
/// V8's own objects are odd and ascend; others tell nothing. One pass over all nodes.
pub(crate) fn ages(scene: &Scene<'_>, steps: &[u32], first_max: u64, last_max: u64) -> Vec<Ages> {
    let snapshot = &scene.heap.snapshot;
    let mut ages = vec![Ages::default(); steps.len()];
    let places: FxHashMap<u32, usize> = steps.iter().enumerate().map(|(at, &step)| (step, at)).collect();
    for node in snapshot.nodes() {
        let id = snapshot.id(node);
        if id % 2 == 1
            && (id <= first_max || id > last_max)
            && let Some(&at) = places.get(&scene.steps.of(node))
        {
            ages[at].old += u64::from(id <= first_max);
            ages[at].fresh += u64::from(id > last_max);
        }
    }
    ages
}
