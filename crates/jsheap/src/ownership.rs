//! Shallow sizes: internals are counted with the object they belong to.
//!
//! The table of a Map, the elements of an Array or the text of an external string are nodes of their own in the
//! file. DevTools adds their size to the one object that owns them, directly or through other such nodes.
//! DevTools: `calculateShallowSizes`.

use twinheap_graph::BitSet;
use twinheap_snapshot::{NodeIdx, NodeType, Snapshot, WideColumn};

use crate::edges::is_strong;
use crate::names::{Known, Names};

/// No owner was found yet.
const NONE: u32 = u32::MAX;
/// There are at least two owners.
const SEVERAL: u32 = u32::MAX - 1;

/// The sizes DevTools shows as shallow. Without user roots (a snapshot with internals exposed) they are the sizes
/// in the file.
pub(crate) fn shallow_sizes(
    snapshot: &Snapshot,
    names: &Names,
    prefixed: &BitSet,
    has_user_roots: bool,
) -> WideColumn {
    let mut sizes = snapshot.self_sizes().clone();
    if !has_user_roots {
        return sizes;
    }
    let ownable = ownable_nodes(snapshot, names, prefixed);
    let owner = owners(snapshot, &ownable);
    for node in ownable.iter() {
        let of = owner[node];
        if of >= SEVERAL || of == snapshot.root().0 || snapshot.node_type(NodeIdx(of)) == NodeType::SYNTHETIC
        {
            continue;
        }
        let size = snapshot.self_size(NodeIdx(node as u32));
        if size > 0 {
            let total = sizes.get(of as usize).saturating_add(size);
            sizes.set(of as usize, total);
            sizes.set(node, 0);
        }
    }
    sizes
}

fn ownable_nodes(snapshot: &Snapshot, names: &Names, prefixed: &BitSet) -> BitSet {
    let mut ownable = BitSet::new(snapshot.node_count());
    for node in snapshot.nodes() {
        let is_ownable = match snapshot.node_type(node) {
            NodeType::HIDDEN | NodeType::ARRAY => true,
            // A detached one has another name.
            NodeType::NATIVE => {
                names.of_node(snapshot, node) == Known::ExternalStringData && !prefixed.contains(node.index())
            }
            _ => false,
        };
        if is_ownable {
            ownable.insert(node.index());
        }
    }
    ownable
}

/// For each ownable node its only owner, [`NONE`] or [`SEVERAL`].
///
/// A fixpoint over the lattice none < one < several, so the order of the work does not matter: all edges of owners
/// first, in file order, then whatever that changed among the ownable nodes.
fn owners(snapshot: &Snapshot, ownable: &BitSet) -> Vec<u32> {
    let mut owner = vec![NONE; snapshot.node_count()];
    let mut work: Vec<u32> = Vec::new();
    for node in snapshot.nodes() {
        if ownable.contains(node.index()) {
            continue;
        }
        for edge in snapshot.edges(node) {
            let to = snapshot.edge_to(edge);
            if ownable.contains(to.index()) && is_strong(snapshot.edge_type(edge)) {
                raise(&mut owner, to.0, node.0, &mut work);
            }
        }
    }
    while let Some(node) = work.pop() {
        let of = owner[node as usize];
        for edge in snapshot.edges(NodeIdx(node)) {
            let to = snapshot.edge_to(edge);
            if ownable.contains(to.index()) && is_strong(snapshot.edge_type(edge)) {
                raise(&mut owner, to.0, of, &mut work);
            }
        }
    }
    owner
}

#[inline]
fn raise(owner: &mut [u32], node: u32, by: u32, work: &mut Vec<u32>) {
    let slot = &mut owner[node as usize];
    let raised = match *slot {
        NONE => by,
        SEVERAL => return,
        same if same == by => return,
        _ => SEVERAL,
    };
    *slot = raised;
    work.push(node);
}
