//! The filters of the Summary view.

use rustc_hash::FxHashMap;
use twinheap_graph::BitSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use crate::edges::is_strong;
use crate::heap::Heap;
use crate::retainers::held_only_by;
use crate::texts::duplicated_string_nodes;

/// Which nodes the Summary counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Ids above the first and up to the second: what was allocated between two snapshots of one process.
    Allocated {
        /// Ids up to this one are left out.
        after: u64,
        /// Ids above this one are left out.
        until: u64,
    },
    /// Strings whose text is there more than once.
    DuplicatedStrings,
    /// What only detached nodes hold.
    RetainedByDetached,
    /// What only function contexts (closures' variables) hold.
    RetainedByContexts,
    /// What only the DevTools console holds.
    RetainedByConsole,
    /// What only event handlers hold.
    RetainedByEventHandlers,
    /// What belongs to one native context (a realm: a `vm` context or frame), by its node.
    NativeContext(NodeIdx),
    /// What several native contexts share.
    SharedBetweenContexts,
    /// What belongs to no native context.
    Unattributed,
}

/// The nodes a filter lets through.
pub fn filtered(heap: &Heap, filter: Filter) -> BitSet {
    let snapshot = &heap.snapshot;
    let select = |passes: &dyn Fn(NodeIdx) -> bool| {
        let mut nodes = BitSet::new(snapshot.node_count());
        snapshot.nodes().filter(|&node| passes(node)).for_each(|node| nodes.insert(node.index()));
        nodes
    };
    match filter {
        Filter::Allocated { after, until } => select(&|node| {
            let id = snapshot.id(node);
            after < id && id <= until
        }),
        Filter::DuplicatedStrings => duplicated_string_nodes(heap),
        Filter::RetainedByDetached => held_only_by(heap, |_, edge| heap.is_detached(snapshot.edge_to(edge))),
        Filter::RetainedByContexts => held_only_by(heap, |_, edge| {
            let to = snapshot.edge_to(edge);
            let name = snapshot.raw_name_text(to).as_bytes();
            (name == b"system / Context" || name.starts_with(b"system / Context / "))
                && !heap.detached.prefixed.contains(to.index())
        }),
        Filter::RetainedByConsole => held_only_by(heap, |from, edge| {
            snapshot.node_type(NodeIdx(from)) == NodeType::SYNTHETIC
                && snapshot.edge_name(edge).is_some_and(|name| {
                    snapshot.strings.get(name).as_bytes().ends_with(b" / DevTools console")
                })
        }),
        Filter::RetainedByEventHandlers => {
            let handlers = event_handlers(heap);
            held_only_by(heap, |_, edge| handlers.contains(snapshot.edge_to(edge).index()))
        }
        Filter::NativeContext(context) => {
            let owners = context_owners(heap);
            select(&|node| owners[node.index()] == context.0)
        }
        Filter::SharedBetweenContexts => {
            let owners = context_owners(heap);
            select(&|node| owners[node.index()] == SHARED)
        }
        Filter::Unattributed => {
            let owners = context_owners(heap);
            select(&|node| owners[node.index()] == NOBODY)
        }
    }
}

/// Functions that handle events: behind each `V8EventListener` the callback, or what it wraps that has code.
fn event_handlers(heap: &Heap) -> BitSet {
    let snapshot = &heap.snapshot;
    // By name alone, whatever the edge's type.
    let has_code = |node| snapshot.edges(node).any(|edge| heap.edge_text(edge) == b"code");
    let mut handlers = BitSet::new(snapshot.node_count());
    for node in snapshot.nodes() {
        if snapshot.raw_name_text(node) != "V8EventListener" || heap.detached.prefixed.contains(node.index())
        {
            continue;
        }
        let callback = snapshot.edges(node).find(|&edge| heap.edge_text(edge) == b"1");
        let Some(callback) = callback.map(|edge| snapshot.edge_to(edge)) else { continue };
        let handler = if has_code(callback) {
            callback
        } else {
            let mut wrapped = snapshot.edges(callback).map(|edge| snapshot.edge_to(edge));
            wrapped.find(|&inner| has_code(inner)).unwrap_or(callback)
        };
        handlers.insert(handler.index());
    }
    handlers
}

/// No native context reaches the node.
const NOBODY: u32 = u32::MAX;
/// Several do.
const SHARED: u32 = u32::MAX - 1;

/// A native context and what belongs to it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeContext {
    /// The context's node.
    pub node: NodeIdx,
    /// Nodes that belong to it.
    pub count: u64,
    /// Their shallow sizes, in bytes.
    pub shallow_size: u64,
}

/// The native contexts of a snapshot, largest first.
pub fn native_contexts(heap: &Heap) -> Vec<NativeContext> {
    let mut contexts: FxHashMap<u32, NativeContext> = FxHashMap::default();
    for (node, &owner) in context_owners(heap).iter().enumerate() {
        if owner < SHARED {
            let empty = NativeContext { node: NodeIdx(owner), count: 0, shallow_size: 0 };
            let context = contexts.entry(owner).or_insert(empty);
            context.count += 1;
            context.shallow_size =
                context.shallow_size.saturating_add(heap.shallow_size(NodeIdx(node as u32)));
        }
    }
    let mut list: Vec<NativeContext> = contexts.into_values().collect();
    list.sort_by_key(|c| (std::cmp::Reverse(c.shallow_size), c.node));
    list
}

/// The native context each node belongs to. An object's map names it (through the map's own map); everything else
/// belongs to whoever reaches it.
fn context_owners(heap: &Heap) -> Vec<u32> {
    let snapshot = &heap.snapshot;
    let mut owner = vec![NOBODY; snapshot.node_count()];
    let mut fixed = BitSet::new(snapshot.node_count());
    let mut of_map: FxHashMap<NodeIdx, Option<NodeIdx>> = FxHashMap::default();
    let follow = |node, name| snapshot.find_edge(node, EdgeType::Internal, name).map(|e| snapshot.edge_to(e));
    let mut work: Vec<u32> = Vec::new();
    let context_of = |meta_map| {
        let named = snapshot.edges(meta_map).filter(|&edge| {
            snapshot.edge_type(edge) == EdgeType::Internal && heap.edge_text(edge) == b"native_context"
        });
        named.map(|edge| snapshot.edge_to(edge)).find(|&to| is_native_context(heap, to))
    };
    for node in snapshot.nodes() {
        let context = if is_native_context(heap, node) {
            Some(node)
        } else {
            let Some(map) = follow(node, "map") else { continue };
            *of_map.entry(map).or_insert_with(|| follow(map, "map").and_then(context_of))
        };
        if let Some(context) = context {
            owner[node.index()] = context.0;
            fixed.insert(node.index());
            work.push(node.0);
        }
    }
    while let Some(node) = work.pop() {
        let of = owner[node as usize];
        for edge in snapshot.edges(NodeIdx(node)) {
            let to = snapshot.edge_to(edge).index();
            if fixed.contains(to) || !spreads(snapshot.edge_type(edge)) {
                continue;
            }
            let joined = match owner[to] {
                NOBODY => of,
                same if same == of => continue,
                SHARED => continue,
                _ => SHARED,
            };
            owner[to] = joined;
            work.push(to as u32);
        }
    }
    owner
}

fn is_native_context(heap: &Heap, node: NodeIdx) -> bool {
    let name = heap.snapshot.raw_name_text(node).as_bytes();
    let name = name.strip_prefix(b"Detached ").unwrap_or(name);
    name == b"system / NativeContext" || name.starts_with(b"system / NativeContext / ")
}

fn spreads(kind: EdgeType) -> bool {
    is_strong(kind) && kind != EdgeType::Shortcut
}
