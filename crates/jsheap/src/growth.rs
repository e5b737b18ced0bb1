//! What grows from snapshot to snapshot of one process.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{NodeIdx, NodeType};

use crate::heap::Heap;

/// A group of objects that are made by the same piece of code, over several snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The class, or for functions the function's name, in WTF-8.
    pub name: Vec<u8>,
    /// True if the group is closures made of one function.
    pub is_function: bool,
    /// Script id, line and column of the function or constructor, if the file tells.
    pub location: Option<(u32, u32, u32)>,
    /// Objects in each snapshot.
    pub counts: Vec<u64>,
    /// Their shallow sizes in each snapshot, in bytes.
    pub shallow_sizes: Vec<u64>,
    /// What they retain in each snapshot, in bytes; objects inside each other count once.
    pub retained_sizes: Vec<u64>,
    /// A node of the last snapshot: the one allocated last.
    pub example: NodeIdx,
}

impl Growth {
    /// Bytes retained more at the end than at the start.
    pub fn retained_growth(&self) -> i64 {
        match (self.retained_sizes.first(), self.retained_sizes.last()) {
            (Some(&first), Some(&last)) => last as i64 - first as i64,
            _ => 0,
        }
    }
}

/// A group's identity: class name, and the place in the source if it is known.
type Key = (bool, Vec<u8>, Option<(u32, u32, u32)>);

/// Groups whose count rises with every snapshot, most growth of retained bytes first.
///
/// Groups are objects of a class and closures of a function; V8's own kinds (strings, arrays, code, …) belong to
/// somebody and are left out. The snapshots must be of one process, oldest first.
pub fn steady_growth(heaps: &[&Heap]) -> Vec<Growth> {
    let mut groups: FxHashMap<Key, Growth> = FxHashMap::default();
    for (at, heap) in heaps.iter().enumerate() {
        for (key, sums) in sums_by_group(heap) {
            let (is_function, name, location) = &key;
            let empty = || Growth {
                name: name.clone(),
                is_function: *is_function,
                location: *location,
                counts: vec![0; heaps.len()],
                shallow_sizes: vec![0; heaps.len()],
                retained_sizes: vec![0; heaps.len()],
                example: sums.newest,
            };
            let group = groups.entry(key.clone()).or_insert_with(empty);
            group.counts[at] = sums.count;
            group.shallow_sizes[at] = sums.shallow_size;
            group.retained_sizes[at] = sums.retained_size;
            group.example = sums.newest;
        }
    }
    let mut list: Vec<Growth> =
        groups.into_values().filter(|g| g.counts.is_sorted_by(|a, b| a < b) && g.counts.len() > 1).collect();
    list.sort_by(|a, b| b.retained_growth().cmp(&a.retained_growth()).then_with(|| a.name.cmp(&b.name)));
    list
}

/// Those of `growth` (in its order) that are not inside another one: a leaking session drags its cart along, and
/// only the session is news. A group is inside another if an object of that one dominates its example.
pub fn independent<'a>(last: &Heap, growth: &'a [Growth]) -> Vec<&'a Growth> {
    let mut picked: Vec<&Growth> = Vec::new();
    for candidate in growth {
        let chain = crate::dominated::dominator_chain(last, candidate.example);
        let is_inside =
            chain.iter().skip(1).filter_map(|&above| key_of(last, above)).any(|key| {
                picked.iter().any(|p| (p.is_function, &p.name, p.location) == (key.0, &key.1, key.2))
            });
        if !is_inside {
            picked.push(candidate);
        }
    }
    picked
}

struct Sums {
    count: u64,
    shallow_size: u64,
    retained_size: u64,
    newest: NodeIdx,
    /// Position behind the subtree of the last outermost instance.
    open_until: usize,
}

fn sums_by_group(heap: &Heap) -> FxHashMap<Key, Sums> {
    let mut groups: FxHashMap<Key, Sums> = FxHashMap::default();
    for (at, (&node, &size)) in heap.dominators.order().iter().zip(heap.dominators.sizes()).enumerate() {
        let node = NodeIdx(node);
        let shallow = heap.shallow_size(node);
        let Some(key) = key_of(heap, node) else { continue };
        if shallow == 0 {
            continue;
        }
        let sums = groups.entry(key).or_insert(Sums {
            count: 0,
            shallow_size: 0,
            retained_size: 0,
            newest: node,
            open_until: 0,
        });
        sums.count += 1;
        sums.shallow_size = sums.shallow_size.saturating_add(shallow);
        if heap.snapshot.id(node) > heap.snapshot.id(sums.newest) {
            sums.newest = node;
        }
        if at >= sums.open_until {
            sums.retained_size = sums.retained_size.saturating_add(heap.retained_size(node));
            sums.open_until = at + size as usize;
        }
    }
    groups
}

fn key_of(heap: &Heap, node: NodeIdx) -> Option<Key> {
    match heap.snapshot.node_type(node) {
        NodeType::CLOSURE => {
            let l = heap.snapshot.location(node)?;
            let name = heap.snapshot.raw_name_text(node).as_bytes().to_vec();
            Some((true, name, Some((l.script_id, l.line, l.column))))
        }
        // A context belongs to the closures made in it, a map to its objects.
        NodeType::OBJECT if heap.snapshot.raw_name_text(node).as_bytes().starts_with(b"system / ") => None,
        NodeType::OBJECT => {
            let class = heap.classes.get(heap.class_of(node));
            Some((false, class.name().as_bytes().to_vec(), class.location))
        }
        _ => None,
    }
}
