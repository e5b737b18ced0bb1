//! Inferred interfaces: classes for objects that have none.
//!
//! Plain objects are grouped by the properties they share. DevTools: `inferInterfaceDefinitions` and
//! `applyInterfaceDefinitions`.

use rustc_hash::{FxHashMap, FxHashSet};
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, Snapshot, StringId, Wtf8};

use crate::names::{Known, Names};

/// Longest name of an interface in UTF-16 units, not counting the braces of its last property.
const MAX_NAME: usize = 120;

/// The interfaces of a snapshot, most frequent first. They are texts, so that another snapshot's objects can be
/// sorted into them for a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    list: Vec<Interface>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    /// `{a, b}`, in WTF-8.
    name: Vec<u8>,
    /// Its properties, in WTF-8. Two symbols with the same description are a property twice.
    properties: Vec<Box<[u8]>>,
}

impl Interfaces {
    /// Number of interfaces.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True without interfaces.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn name(&self, at: usize) -> &Wtf8 {
        Wtf8::new(&self.list[at].name)
    }
}

/// True for objects that have no class of their own.
fn is_plain(snapshot: &Snapshot, names: &Names, node: NodeIdx) -> bool {
    snapshot.node_type(node) == NodeType::OBJECT && names.of_node(snapshot, node) == Known::Object
}

/// The properties of an object in the order of its edges, `__proto__` left out.
fn properties<'a>(
    snapshot: &'a Snapshot,
    names: &'a Names,
    node: NodeIdx,
) -> impl Iterator<Item = StringId> + 'a {
    snapshot
        .edges(node)
        .filter(|&edge| snapshot.edge_type(edge) == EdgeType::Property)
        .filter_map(|edge| snapshot.edge_name(edge))
        .filter(|&name| names.known(name) != Known::Proto)
}

/// A property as it stands in an interface's name: quoted if it could be taken for something else.
pub(crate) fn formatted(name: &Wtf8) -> Vec<u8> {
    if name.as_bytes().iter().any(|b| b",'\"{}".contains(b)) {
        name.to_json().into_bytes()
    } else {
        name.as_bytes().to_vec()
    }
}

/// Finds the property lists that enough plain objects begin with.
pub(crate) fn infer(snapshot: &Snapshot, names: &Names) -> Interfaces {
    /// How many objects begin with these properties, and when the first was met.
    struct Candidate {
        count: usize,
        first_seen: usize,
    }
    let mut candidates: FxHashMap<Box<[u32]>, Candidate> = FxHashMap::default();
    // Length of each property's formatted name, in UTF-16 units, and the first string with the same text.
    let mut known: FxHashMap<StringId, (usize, StringId)> = FxHashMap::default();
    let mut first_with: FxHashMap<&[u8], StringId> = FxHashMap::default();
    let mut plain_objects = 0usize;
    let mut prefix: Vec<u32> = Vec::new();
    for node in snapshot.nodes() {
        if !is_plain(snapshot, names, node) {
            continue;
        }
        plain_objects += 1;
        prefix.clear();
        // The opening brace.
        let mut length = 1;
        for name in properties(snapshot, names, node) {
            let (own, name) = *known.entry(name).or_insert_with(|| {
                let text = snapshot.strings.get(name);
                let first = *first_with.entry(text.as_bytes()).or_insert(name);
                (Wtf8::new(&formatted(text)).utf16_len(), first)
            });
            if length > 1 && length + own > MAX_NAME {
                break;
            }
            // A name can be empty; then the next one still counts as the first, as in DevTools.
            length += own + if length > 1 { ", ".len() } else { 0 };
            prefix.push(name.0);
        }
        if prefix.is_empty() {
            continue;
        }
        match candidates.get_mut(&prefix[..]) {
            Some(candidate) => candidate.count += 1,
            None => {
                let first_seen = candidates.len();
                candidates.insert(prefix.as_slice().into(), Candidate { count: 1, first_seen });
            }
        }
    }
    let mut sorted: Vec<(Box<[u32]>, Candidate)> = candidates
        .into_iter()
        // A thousandth of the objects, and two at least.
        .filter(|(_, c)| c.count >= 2 && c.count * 1000 >= plain_objects)
        .collect();
    sorted.sort_unstable_by_key(|(_, c)| (std::cmp::Reverse(c.count), c.first_seen));
    let list = sorted.into_iter().map(|(ids, _)| interface(snapshot, &ids)).collect();
    Interfaces { list }
}

fn interface(snapshot: &Snapshot, ids: &[u32]) -> Interface {
    let mut name = b"{".to_vec();
    let mut properties: Vec<Box<[u8]>> = Vec::new();
    for &id in ids {
        let text = snapshot.strings.get(StringId(id));
        if name.len() > 1 {
            name.extend_from_slice(b", ");
        }
        name.extend_from_slice(&formatted(text));
        properties.push(text.as_bytes().into());
    }
    name.push(b'}');
    Interface { name, properties }
}

/// Finds the best interface for objects of one snapshot.
pub(crate) struct Matcher<'a> {
    snapshot: &'a Snapshot,
    names: &'a Names,
    interfaces: &'a Interfaces,
    /// Properties of each interface in this snapshot's strings, ascending; `None` if one of them does not occur.
    properties: Vec<Option<Vec<u32>>>,
    /// By property: interfaces that have it as their rarest one, best first. An object can only match an
    /// interface whose rarest property it has, so few of a thousand are looked at.
    by_rarest: FxHashMap<u32, Vec<u32>>,
    /// Strings with the text of another one that interfaces mention, to that one. Nearly always empty.
    aliases: FxHashMap<u32, u32>,
    /// Objects with the same properties match the same interface.
    memo: FxHashMap<Box<[u32]>, u32>,
    scratch: Vec<u32>,
    scratch_sorted: Vec<u32>,
}

/// No interface matches.
const NO_MATCH: u32 = u32::MAX;

/// Shapes with more properties than this are dictionaries; no two are alike, and remembering them is a waste.
const MOST_TO_REMEMBER: usize = 64;

impl<'a> Matcher<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, names: &'a Names, interfaces: &'a Interfaces) -> Self {
        let wanted: FxHashSet<&[u8]> =
            interfaces.list.iter().flat_map(|i| &i.properties).map(|p| &**p).collect();
        let mut ids: FxHashMap<&[u8], u32> = FxHashMap::default();
        let mut aliases: FxHashMap<u32, u32> = FxHashMap::default();
        if !wanted.is_empty() {
            for (id, text) in snapshot.strings.iter().enumerate() {
                if wanted.contains(text.as_bytes()) {
                    let first = *ids.entry(text.as_bytes()).or_insert(id as u32);
                    if first != id as u32 {
                        aliases.insert(id as u32, first);
                    }
                }
            }
        }
        let properties: Vec<Option<Vec<u32>>> = interfaces
            .list
            .iter()
            .map(|i| {
                let own: Option<Vec<u32>> = i.properties.iter().map(|p| ids.get(&**p).copied()).collect();
                own.map(|mut own| {
                    own.sort_unstable();
                    own
                })
            })
            .collect();
        let mut uses: FxHashMap<u32, u32> = FxHashMap::default();
        for &property in properties.iter().flatten().flatten() {
            *uses.entry(property).or_default() += 1;
        }
        let mut by_rarest: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (at, list) in properties.iter().enumerate() {
            if let Some(&rarest) = list.iter().flatten().min_by_key(|&&p| uses[&p]) {
                by_rarest.entry(rarest).or_default().push(at as u32);
            }
        }
        Matcher {
            snapshot,
            names,
            interfaces,
            properties,
            by_rarest,
            aliases,
            memo: FxHashMap::default(),
            scratch: Vec::new(),
            scratch_sorted: Vec::new(),
        }
    }

    pub(crate) fn interfaces(&self) -> &'a Interfaces {
        self.interfaces
    }

    /// The interface of a plain object: of all whose properties it has, the one with the most, and among those the
    /// most frequent.
    pub(crate) fn best(&mut self, node: NodeIdx) -> Option<usize> {
        if self.by_rarest.is_empty() {
            return None;
        }
        let mut own = std::mem::take(&mut self.scratch);
        own.clear();
        own.extend(properties(self.snapshot, self.names, node).map(|id| id.0));
        if !self.aliases.is_empty() {
            for id in &mut own {
                *id = self.aliases.get(id).copied().unwrap_or(*id);
            }
        }
        let found = match self.memo.get(&own[..]) {
            Some(&known) => known,
            None => {
                let found = self.search(&own);
                if own.len() <= MOST_TO_REMEMBER {
                    self.memo.insert(own.as_slice().into(), found);
                }
                found
            }
        };
        self.scratch = own;
        (found != NO_MATCH).then_some(found as usize)
    }

    fn search(&mut self, own: &[u32]) -> u32 {
        let sorted = &mut self.scratch_sorted;
        sorted.clear();
        sorted.extend(own);
        sorted.sort_unstable();
        let mut best = (0usize, NO_MATCH);
        for (at, property) in sorted.iter().enumerate() {
            if at > 0 && sorted[at - 1] == *property {
                continue;
            }
            for &at in self.by_rarest.get(property).map_or(&[][..], |list| list) {
                let Some(wanted) = &self.properties[at as usize] else { continue };
                let better = wanted.len() > best.0 || wanted.len() == best.0 && at < best.1;
                if better && is_sublist(wanted, sorted) {
                    best = (wanted.len(), at);
                }
            }
        }
        best.1
    }
}

/// Whether all of `wanted` are in `all`, as often as they are in `wanted`; both ascend.
fn is_sublist(wanted: &[u32], all: &[u32]) -> bool {
    let mut rest = all;
    wanted.iter().all(|w| {
        let at = rest.partition_point(|x| x < w);
        let found = rest.get(at) == Some(w);
        rest = &rest[(at + 1).min(rest.len())..];
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_twice_is_wanted_twice() {
        assert!(is_sublist(&[1, 3], &[0, 1, 2, 3]));
        assert!(is_sublist(&[], &[]));
        assert!(is_sublist(&[2, 2], &[1, 2, 2]));
        assert!(!is_sublist(&[2, 2], &[1, 2, 3]));
        assert!(!is_sublist(&[4], &[1, 2, 3]));
    }
}
