//! Many paths as one tree: how the instances of a class are held.

use rustc_hash::FxHashMap;
use twinheap_graph::BitSet;
use twinheap_snapshot::{EdgeType, NodeIdx, StringId};

use crate::classes::ClassId;
use crate::heap::Heap;
use crate::retainers::Paths;

/// What the edges into a merged step have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// The root itself, which nothing leads to.
    Root,
    /// A name of this kind; the string's position.
    Named(EdgeType, u32),
    /// Any number: the elements of an array are one step, and so are the entries of a Map, whose edges V8 names by
    /// number.
    Numbered(EdgeType),
    /// An entry of a WeakMap, whichever.
    WeakMapEntry,
}

/// A step of the merged tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedStep {
    /// The step above; `None` for the root.
    pub parent: Option<usize>,
    /// How it is reached.
    pub via: Via,
    /// The class of the objects here.
    pub class: ClassId,
    /// Objects of this step on the way to an instance.
    pub objects: u64,
    /// Instances at or below this step.
    pub instances: u64,
    /// Their shallow sizes, in bytes.
    pub shallow_size: u64,
    /// What they retain, in bytes; an instance inside another one's subtree counts once.
    pub retained_size: u64,
}

/// A node that has no step.
const NO_STEP: u32 = u32::MAX;

/// The shortest paths to all of `targets` as one tree. Parents come before children; the first step is the root.
///
/// Steps are merged if they have the same parent, the same edge name and the same class.
pub fn merged_paths(heap: &Heap, paths: &Paths<'_>, targets: &[NodeIdx]) -> Vec<MergedStep> {
    let n = heap.snapshot.node_count();
    let mut is_target = BitSet::new(n);
    targets.iter().for_each(|t| is_target.insert(t.index()));

    let outer = outermost(heap, &is_target);
    // Which objects are on a path at all: from the ends of the paths up, stopping where another path was.
    let mut on_path = BitSet::new(n);
    for &target in targets {
        let mut at = Some(target);
        while let Some(node) = at {
            if !on_path.insert_new(node.index()) {
                break;
            }
            at = paths.holder(node).map(|(holder, _)| holder);
        }
    }

    let root = heap.snapshot.root();
    let step = |parent, via, node| MergedStep {
        parent,
        via,
        class: heap.class_of(node),
        objects: 0,
        instances: 0,
        shallow_size: 0,
        retained_size: 0,
    };
    let mut steps = vec![step(None, Via::Root, root)];
    // By node, since nearly all of them may be on a path.
    let mut step_of = vec![NO_STEP; n];
    step_of[root.index()] = 0;
    let mut by_key: FxHashMap<(usize, Via, ClassId), usize> = FxHashMap::default();
    for &node in paths.order().iter().filter(|node| on_path.contains(node.index())) {
        let at = match paths.holder(node) {
            None => 0,
            Some((holder, edge)) => {
                let parent = match step_of[holder.index()] {
                    NO_STEP => continue,
                    parent => parent as usize,
                };
                let kind = heap.snapshot.edge_type(edge);
                let via = match heap.snapshot.edge_name(edge) {
                    Some(name) if heap.names.ephemeron(name).is_some() => Via::WeakMapEntry,
                    Some(name) if kind == EdgeType::Internal && is_number(heap, name) => Via::Numbered(kind),
                    Some(name) => Via::Named(kind, name.0),
                    None => Via::Numbered(kind),
                };
                *by_key.entry((parent, via, heap.class_of(node))).or_insert_with(|| {
                    steps.push(step(Some(parent), via, node));
                    steps.len() - 1
                })
            }
        };
        step_of[node.index()] = at as u32;
        let here = &mut steps[at];
        here.objects += 1;
        if is_target.contains(node.index()) {
            here.instances += 1;
            here.shallow_size = here.shallow_size.saturating_add(heap.shallow_size(node));
            if outer.contains(node.index()) {
                here.retained_size = here.retained_size.saturating_add(heap.retained_size(node));
            }
        }
    }
    for at in (1..steps.len()).rev() {
        let (instances, shallow, retained) =
            (steps[at].instances, steps[at].shallow_size, steps[at].retained_size);
        if let Some(parent) = steps[at].parent {
            steps[parent].instances += instances;
            steps[parent].shallow_size = steps[parent].shallow_size.saturating_add(shallow);
            steps[parent].retained_size = steps[parent].retained_size.saturating_add(retained);
        }
    }
    steps
}

fn is_number(heap: &Heap, name: StringId) -> bool {
    let text = heap.snapshot.strings.get(name).as_bytes();
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// The targets that no other target dominates. One pass over the tree's preorder, in which a subtree is a range.
fn outermost(heap: &Heap, targets: &BitSet) -> BitSet {
    let mut outer = BitSet::new(heap.snapshot.node_count());
    let mut open_until = 0;
    for (at, (&node, &size)) in heap.dominators.order().iter().zip(heap.dominators.sizes()).enumerate() {
        if targets.contains(node as usize) && at >= open_until {
            outer.insert(node as usize);
            open_until = at + size as usize;
        }
    }
    outer
}
