//! One dump: what is large, and where it piles up. It can't show that anything grows.

use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use crate::leaks::census::Sums;
use crate::leaks::code::Origin;
use crate::leaks::findings::{Draft, draft_evidence};
use crate::leaks::ladder::is_behind_code;
use crate::leaks::naming::owner;
use crate::leaks::scene::Scene;
use crate::leaks::{Confidence, Verdict};

/// The share of the heap, in percent, from which a place is outsized.
const SHARE: u64 = 10;
/// Bytes from which it is, whatever the heap.
const BYTES: u64 = 1 << 20;
/// Objects that pile up in one place: fewer are a structure, not a heap of things.
const MANY: u64 = 100;

/// Places that hold an outsized share.
pub(crate) fn suspects(scene: &Scene<'_>) -> Vec<Draft> {
    let mut drafts = draft_large(scene);
    drafts.extend(draft_evidence(scene, &[]));
    drafts
}

/// Walks down the merged paths: a place is where few objects have many below, and most of the bytes.
fn draft_large(scene: &Scene<'_>) -> Vec<Draft> {
    let steps = &scene.steps;
    let total = scene.heap.total_size();
    let is_outsized = |bytes: u64| bytes >= BYTES && bytes.saturating_mul(100) >= total.saturating_mul(SHARE);
    let mut drafts = Vec::new();
    let mut work = vec![0u32];
    while let Some(step) = work.pop() {
        for &child in steps.children(step) {
            let row = &steps.rows[child as usize];
            if !is_outsized(row.below) {
                continue;
            }
            let above = steps.rows[step as usize].objects.max(1);
            let is_spread = row.objects >= MANY && row.objects >= MANY * above;
            if !is_spread {
                work.push(child);
                continue;
            }
            let Some((holder, entry)) = scene.holder(row.example) else { continue };
            let place = owner(scene, holder);
            if is_behind_code(scene, place) || is_runtimes(scene, place, row.example) {
                continue;
            }
            let sums = Sums {
                objects: row.objects,
                shallow_size: row.shallow_size,
                retained_size: row.retained_size,
                below: row.below,
            };
            let mut draft = Draft::new(scene, "large", place, Some(entry), false, row.example, &[sums]);
            let share = row.below.saturating_mul(100) / total.max(1);
            draft.verdict = Verdict::Suspect;
            draft.confidence = if share >= 50 { Confidence::Medium } else { Confidence::Low };
            draft.evidence.push(format!("{share} % of the heap hangs on it"));
            drafts.push(draft);
        }
    }
    drafts
}

/// True for what Node.js keeps for itself, and for the table of modules.
fn is_runtimes(scene: &Scene<'_>, place: NodeIdx, example: NodeIdx) -> bool {
    if scene.origin_of(example).is_some_and(|origin| origin != Origin::Runtime) {
        return false;
    }
    let snapshot = &scene.heap.snapshot;
    let mut at = place;
    loop {
        match scene.origin_of(at) {
            Some(Origin::Runtime) => return true,
            Some(_) => return false,
            None => {}
        }
        let Some((holder, edge)) = scene.holder(at) else { return false };
        let is_module_table = snapshot.edge_type(edge) == EdgeType::Property
            && matches!(&*scene.heap.edge_text(edge), b"_cache" | b"_pathCache" | b"cache")
            && snapshot.node_type(holder) == NodeType::CLOSURE;
        if is_module_table {
            return true;
        }
        at = holder;
    }
}
