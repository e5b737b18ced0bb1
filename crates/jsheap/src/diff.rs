//! The Comparison view: what came and went between two snapshots.

use std::cmp::Ordering;

use twinheap_snapshot::{Join, NodeIdx, Snapshot};

use crate::aggregates::by_key;
use crate::classes::{Class, ClassTable};
use crate::heap::Heap;
use crate::ids::{IdEvidence, IdSet};

/// A row of the Comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffRow {
    /// The class, by the newer snapshot's interfaces.
    pub class: Class,
    /// Objects only in the newer snapshot.
    pub added: u64,
    /// Objects only in the older one.
    pub removed: u64,
    /// Shallow bytes of the added objects.
    pub allocated_size: u64,
    /// Shallow bytes of the removed objects.
    pub freed_size: u64,
}

impl DiffRow {
    /// Added less removed objects.
    pub fn delta(&self) -> i64 {
        self.added as i64 - self.removed as i64
    }

    /// Allocated less freed bytes.
    pub fn size_delta(&self) -> i64 {
        (self.allocated_size as i64).wrapping_sub(self.freed_size as i64)
    }
}

/// Two snapshots compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// Classes with a change, most allocated bytes first.
    pub rows: Vec<DiffRow>,
    /// What the ids say about each other.
    pub ids: IdEvidence,
}

/// Compares `base` with the newer `new`. DevTools: `calculateDiffForClass`.
///
/// With comparable ids an object is the same if its id and class are. Otherwise ids say nothing, and each row
/// holds just the difference of the two counts and sizes. `by_id` overrides that judgement.
pub fn diff(base: &Heap, new: &Heap, by_id: Option<bool>, join: &Join<'_>) -> Diff {
    let mut base_classes = ClassTable::default();
    let (mut base_order, mut new_order) = (Vec::new(), Vec::new());
    let (mut base_ids, mut new_ids) = (IdSet::default(), IdSet::default());
    join(
        &mut || {
            base_classes = base.classes_under(&new.interfaces);
            base_order = by_object_id(base);
            base_ids = IdSet::new(base);
        },
        &mut || {
            new_order = by_object_id(new);
            new_ids = IdSet::new(new);
        },
    );
    let keys = by_key(&base_classes);
    // Rows are classes of the newer snapshot, then those only the older one has.
    let mut row_of_base = vec![usize::MAX; base_classes.len()];
    let mut rows: Vec<DiffRow> = Vec::new();
    for (id, class) in new.classes.iter() {
        if let Some(old) = keys.get(&class.key()) {
            row_of_base[old.index()] = id.index();
        }
        rows.push(row(class));
    }
    for (id, class) in base_classes.iter() {
        if row_of_base[id.index()] == usize::MAX {
            row_of_base[id.index()] = rows.len();
            rows.push(row(class));
        }
    }
    let row_of = |node: NodeIdx| row_of_base[base_classes.of(node).index()];

    let ids = base_ids.evidence(&new_ids);
    if by_id.unwrap_or(ids.comparable()) {
        merge(&base.snapshot, &base_order, &new.snapshot, &new_order, |old, now| {
            let old = old.filter(|&old| base.shallow_size(old) > 0);
            let now = now.filter(|&now| new.shallow_size(now) > 0);
            if let (Some(old), Some(now)) = (old, now)
                && row_of(old) == new.classes.of(now).index()
            {
                return;
            }
            // An object that changed its class goes from one and comes to the other, as in DevTools.
            if let Some(old) = old {
                let row = &mut rows[row_of(old)];
                row.removed += 1;
                row.freed_size = row.freed_size.saturating_add(base.shallow_size(old));
            }
            if let Some(now) = now {
                let row = &mut rows[new.classes.of(now).index()];
                row.added += 1;
                row.allocated_size = row.allocated_size.saturating_add(new.shallow_size(now));
            }
        });
    } else {
        by_counts(base, new, &mut rows, &row_of);
    }
    rows.retain(|row| row.added > 0 || row.removed > 0 || row.size_delta() != 0);
    rows.sort_by(|a, b| {
        let key = |r: &DiffRow| (r.allocated_size, r.size_delta(), r.added);
        key(b).cmp(&key(a)).then_with(|| a.class.key().cmp(&b.class.key()))
    });
    Diff { rows, ids }
}

fn row(class: &Class) -> DiffRow {
    DiffRow { class: class.clone(), added: 0, removed: 0, allocated_size: 0, freed_size: 0 }
}

/// All nodes by object id.
fn by_object_id(heap: &Heap) -> Vec<NodeIdx> {
    let mut order: Vec<NodeIdx> = heap.snapshot.nodes().collect();
    if !order.is_sorted_by_key(|&node| heap.snapshot.id(node)) {
        order.sort_by_key(|&node| heap.snapshot.id(node));
    }
    order
}

/// Walks two id-sorted lists; `visit` gets the nodes of each id on either side.
fn merge(
    base: &Snapshot,
    base_order: &[NodeIdx],
    new: &Snapshot,
    new_order: &[NodeIdx],
    mut visit: impl FnMut(Option<NodeIdx>, Option<NodeIdx>),
) {
    let (mut olds, mut news) = (base_order.iter().copied().peekable(), new_order.iter().copied().peekable());
    loop {
        let (old, now) = (olds.peek().copied(), news.peek().copied());
        let order = match (old, now) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(now)) => base.id(old).cmp(&new.id(now)),
        };
        let old = if order == Ordering::Greater { None } else { olds.next() };
        let now = if order == Ordering::Less { None } else { news.next() };
        visit(old, now);
    }
}

/// Differences of counts and sizes, for ids that mean nothing.
fn by_counts(base: &Heap, new: &Heap, rows: &mut [DiffRow], row_of: &impl Fn(NodeIdx) -> usize) {
    // Count, then size, of either side.
    let mut sums = vec![[0u64; 4]; rows.len()];
    for node in base.snapshot.nodes().filter(|&node| base.shallow_size(node) > 0) {
        let sum = &mut sums[row_of(node)];
        sum[0] += 1;
        sum[1] = sum[1].saturating_add(base.shallow_size(node));
    }
    for node in new.snapshot.nodes().filter(|&node| new.shallow_size(node) > 0) {
        let sum = &mut sums[new.classes.of(node).index()];
        sum[2] += 1;
        sum[3] = sum[3].saturating_add(new.shallow_size(node));
    }
    for (row, [old_count, old_size, new_count, new_size]) in rows.iter_mut().zip(sums) {
        row.added = new_count.saturating_sub(old_count);
        row.removed = old_count.saturating_sub(new_count);
        row.allocated_size = new_size.saturating_sub(old_size);
        row.freed_size = old_size.saturating_sub(new_size);
    }
}
