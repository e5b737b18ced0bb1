//! Strings: which are large, and which are there more than once.

use rustc_hash::FxHashMap;
use twinheap_graph::BitSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, StringTable};

use crate::heap::Heap;
use crate::names::Known;

/// Strings with the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringGroup {
    /// The text as far as the snapshot has it, in WTF-8.
    pub text: Vec<u8>,
    /// The strings, largest first, then by id.
    pub nodes: Vec<NodeIdx>,
    /// Their shallow sizes, in bytes.
    pub shallow_size: u64,
    /// What one copy less of each but the largest would save, in bytes.
    pub wasted: u64,
    /// True if the snapshot holds only the start of the text, so that the strings may differ behind it.
    pub may_differ: bool,
}

/// V8 cuts texts at this many UTF-16 units.
const CUT_AT: usize = 1024;

/// Texts that stand in the heap at least twice, most bytes first. DevTools: the filter "Duplicated strings".
///
/// Flat and concatenated strings with a size count; a concatenated string that was flattened since, and parts of
/// other strings, do not. From V8 14.9 on, a text that was cut is compared by its full length and hash too; before,
/// strings that agree in their first 1024 units are taken for equal, which [`StringGroup::may_differ`] says.
pub fn duplicate_strings(heap: &Heap) -> Vec<StringGroup> {
    let snapshot = &heap.snapshot;
    let strings = &snapshot.strings;
    let canonical = canonical_ids(strings);
    // By text, and for texts that were cut also by what else V8 tells of them.
    let mut whole: FxHashMap<Vec<u8>, Vec<NodeIdx>> = FxHashMap::default();
    let mut cut: FxHashMap<(Vec<u8>, Vec<u8>), Vec<NodeIdx>> = FxHashMap::default();
    // Most strings are flat, whole and alone with their text: count first, and look at texts only where needed.
    let mut flat: Vec<NodeIdx> = Vec::new();
    let mut copies = vec![0u32; strings.len()];
    // The nodes of a rope share a text from some length on: put it together once.
    let mut ropes: FxHashMap<NodeIdx, Vec<NodeIdx>> = FxHashMap::default();
    for node in snapshot.nodes().filter(|&node| counts(heap, node)) {
        let exact = full_identity(heap, node);
        let name = snapshot.raw_name(node).index();
        if !exact.is_empty() {
            cut.entry((heap.node_name(node), exact)).or_default().push(node);
        } else if snapshot.node_type(node) == NodeType::CONCATENATED_STRING {
            ropes.entry(heap.ropes().base(node)).or_default().push(node);
        } else if name < canonical.len() {
            flat.push(node);
            copies[canonical[name] as usize] += 1;
        }
    }
    for (base, nodes) in ropes {
        whole.entry(heap.node_name(base)).or_default().extend(nodes);
    }
    for node in flat {
        let name = snapshot.raw_name(node);
        let text = strings.get(name).as_bytes();
        if let Some(nodes) = whole.get_mut(text) {
            nodes.push(node);
        } else if copies[canonical[name.index()] as usize] > 1 {
            whole.insert(text.to_vec(), vec![node]);
        }
    }
    let whole = whole.into_iter().map(|(text, nodes)| (text, true, nodes));
    let cut = cut.into_iter().map(|((text, _), nodes)| (text, false, nodes));
    let mut list: Vec<StringGroup> = whole
        .chain(cut)
        .filter(|(_, _, nodes)| nodes.len() > 1)
        .map(|(text, inexact, nodes)| group(heap, text, inexact, nodes))
        .collect();
    list.sort_by(|a, b| b.shallow_size.cmp(&a.shallow_size).then_with(|| a.text.cmp(&b.text)));
    list
}

/// For each string the first one with the same text. V8 keeps its table free of doubles, but before it replaces
/// what UTF-8 can't hold: different lone surrogates all become `???`.
fn canonical_ids(strings: &StringTable) -> Vec<u32> {
    let mut first: FxHashMap<&[u8], u32> = FxHashMap::default();
    first.reserve(strings.len());
    strings.iter().enumerate().map(|(id, text)| *first.entry(text.as_bytes()).or_insert(id as u32)).collect()
}

fn group(heap: &Heap, text: Vec<u8>, inexact: bool, mut nodes: Vec<NodeIdx>) -> StringGroup {
    nodes.sort_by_key(|&node| (std::cmp::Reverse(heap.shallow_size(node)), heap.snapshot.id(node)));
    let shallow_size = nodes.iter().map(|&node| heap.shallow_size(node)).fold(0, u64::saturating_add);
    let largest = nodes.first().map_or(0, |&node| heap.shallow_size(node));
    let may_differ = inexact && twinheap_snapshot::Wtf8::new(&text).utf16_len() >= CUT_AT;
    StringGroup { text, nodes, shallow_size, wasted: shallow_size - largest, may_differ }
}

/// The nodes of all groups: DevTools' filter.
pub fn duplicated_string_nodes(heap: &Heap) -> BitSet {
    let mut nodes = BitSet::new(heap.snapshot.node_count());
    for group in duplicate_strings(heap) {
        group.nodes.iter().for_each(|node| nodes.insert(node.index()));
    }
    nodes
}

/// The strings with the largest shallow size, of all three kinds.
pub fn largest_strings(heap: &Heap, most: usize) -> Vec<NodeIdx> {
    let mut nodes: Vec<NodeIdx> = heap
        .snapshot
        .nodes()
        .filter(|&node| heap.snapshot.node_type(node).is_string() && heap.shallow_size(node) > 0)
        .collect();
    let key = |node: &NodeIdx| (std::cmp::Reverse(heap.shallow_size(*node)), heap.snapshot.id(*node));
    if nodes.len() > most && most > 0 {
        nodes.select_nth_unstable_by_key(most - 1, key);
    }
    nodes.truncate(most);
    nodes.sort_by_key(key);
    nodes
}

fn counts(heap: &Heap, node: NodeIdx) -> bool {
    let kind = heap.snapshot.node_type(node);
    if heap.shallow_size(node) == 0 {
        return false;
    }
    kind == NodeType::STRING || kind == NodeType::CONCATENATED_STRING && !is_flattened(heap, node)
}

/// A concatenated string that was flattened holds its text in one part, and the other is empty.
fn is_flattened(heap: &Heap, node: NodeIdx) -> bool {
    let snapshot = &heap.snapshot;
    snapshot.edges(node).any(|edge| {
        snapshot.edge_type(edge) == EdgeType::Internal
            && snapshot
                .edge_name(edge)
                .is_some_and(|name| matches!(heap.names.known(name), Known::First | Known::Second))
            && heap.ropes().units(snapshot, snapshot.edge_to(edge)) == 0
    })
}

/// Length and hash of a text that was cut, where V8 tells them; else nothing.
fn full_identity(heap: &Heap, node: NodeIdx) -> Vec<u8> {
    let snapshot = &heap.snapshot;
    // A quick look before the search by text: most strings have one edge, to their map.
    let may_be_cut = snapshot
        .edges(node)
        .any(|edge| snapshot.edge_name(edge).is_some_and(|name| heap.names.known(name) == Known::Truncated));
    let follow = |from, name| snapshot.find_edge(from, EdgeType::Internal, name).map(|e| snapshot.edge_to(e));
    let value_of = |field| {
        let value = follow(follow(node, field)?, "value")?;
        Some(snapshot.raw_name_text(value).as_bytes())
    };
    if !may_be_cut || value_of("truncated") != Some(b"true") {
        return Vec::new();
    }
    [value_of("length").unwrap_or_default(), b"/", value_of("hash").unwrap_or_default()].concat()
}
