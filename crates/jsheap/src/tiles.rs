//! A heap cut into parts that don't overlap, for a treemap: by who dominates whom, and by the script that made it.
//!
//! The Summary's retained sizes overlap (a Map and the objects in it both retain the objects), so they can't lie
//! beside each other in one picture. These parts can: each level's sizes add up to the level above.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{NodeIdx, NodeType};

use crate::classes::ClassId;
use crate::heap::Heap;

/// Nodes of one class at one place of the dominator tree, merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The tile around it, by its position; `None` for the root.
    pub parent: Option<usize>,
    /// Their class.
    pub class: ClassId,
    /// How many they are.
    pub count: u64,
    /// Their own bytes.
    pub shallow_size: u64,
    /// What they retain together: they don't dominate each other, so nothing counts twice.
    pub retained_size: u64,
}

/// The dominator tree with siblings of one class merged, down to `depth` levels below the root, without tiles of
/// less than `least` bytes. The first tile is the root; parents come before children, and siblings largest first.
///
/// It visits each node of these levels once.
pub fn dominated_tiles(heap: &Heap, depth: usize, least: u64) -> Vec<Tile> {
    let root = heap.snapshot.root();
    let whole = Tile {
        parent: None,
        class: heap.class_of(root),
        count: 1,
        shallow_size: heap.shallow_size(root),
        retained_size: heap.retained_size(root),
    };
    let mut tiles = vec![whole];
    let mut level: Vec<(usize, Vec<NodeIdx>)> = vec![(0, vec![root])];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (parent, nodes) in level {
            for (tile, members) in tiles_below(heap, parent, &nodes, least) {
                next.push((tiles.len(), members));
                tiles.push(tile);
            }
        }
        level = next;
    }
    tiles
}

/// The tiles right below some nodes, with their members.
fn tiles_below(heap: &Heap, parent: usize, nodes: &[NodeIdx], least: u64) -> Vec<(Tile, Vec<NodeIdx>)> {
    let mut by_class: FxHashMap<ClassId, (Tile, Vec<NodeIdx>)> = FxHashMap::default();
    for child in nodes.iter().flat_map(|node| heap.dominators.children(node.0)).map(NodeIdx) {
        let class = heap.class_of(child);
        let (tile, members) = by_class.entry(class).or_insert_with(|| {
            let empty = Tile { parent: Some(parent), class, count: 0, shallow_size: 0, retained_size: 0 };
            (empty, Vec::new())
        });
        tile.count += 1;
        tile.shallow_size = tile.shallow_size.saturating_add(heap.shallow_size(child));
        tile.retained_size = tile.retained_size.saturating_add(heap.retained_size(child));
        members.push(child);
    }
    let mut list: Vec<_> = by_class.into_values().filter(|(tile, _)| tile.retained_size >= least).collect();
    list.sort_by_key(|(tile, _)| (std::cmp::Reverse(tile.retained_size), tile.class));
    list
}

/// Bytes that belong to one script's code and objects, of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptShare {
    /// V8's number of the script; `None` where no dominator has a place in the source.
    pub script_id: Option<u32>,
    /// The class of the nodes.
    pub class: ClassId,
    /// How many they are.
    pub count: u64,
    /// Their own bytes.
    pub shallow_size: u64,
}

/// Every node's bytes, given to the script of the nearest node that dominates it and has a place in the source: the
/// node itself, or the object or function without which it would be gone. Largest first; the sizes add up to all.
pub fn script_shares(heap: &Heap) -> Vec<ScriptShare> {
    let mut own: FxHashMap<u32, u32> = FxHashMap::default();
    for location in heap.snapshot.locations() {
        own.insert(location.node, location.script_id);
    }
    const NOBODY: u32 = u32::MAX;
    let mut owner = vec![NOBODY; heap.snapshot.node_count()];
    let mut shares: FxHashMap<(u32, ClassId), ScriptShare> = FxHashMap::default();
    // Dominators come first in the tree's order.
    for &node in heap.dominators.order() {
        let script = own.get(&node).copied().unwrap_or(owner[heap.dominators.parent(node) as usize]);
        owner[node as usize] = script;
        let (node, class) = (NodeIdx(node), heap.class_of(NodeIdx(node)));
        if heap.snapshot.node_type(node) == NodeType::SYNTHETIC || heap.shallow_size(node) == 0 {
            continue;
        }
        let share = shares.entry((script, class)).or_insert(ScriptShare {
            script_id: (script != NOBODY).then_some(script),
            class,
            count: 0,
            shallow_size: 0,
        });
        share.count += 1;
        share.shallow_size = share.shallow_size.saturating_add(heap.shallow_size(node));
    }
    let mut shares: Vec<ScriptShare> = shares.into_values().collect();
    shares.sort_by_key(|share| (std::cmp::Reverse(share.shallow_size), share.script_id, share.class));
    shares
}
