//! What a person sees of a node.

use std::rc::Rc;

use rustc_hash::FxHashMap;
use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType, StringId, Wtf8};

use crate::heap::Heap;
use crate::names::Known;
use crate::ropes::Ropes;
use crate::shapes::Shapes;
use crate::sources::Compiled;

/// Longest name of a plain object, in UTF-16 units.
const MOST_OF_OBJECT: usize = 100;

/// A place in the source. Lines and columns count from 1, as editors do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// Path or URL of the script, or of the source it was made of; `None` if the snapshot does not tell.
    pub script: Option<String>,
    /// V8's number of the script.
    pub script_id: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The place in the script that ran, if that was made of this source.
    pub compiled: Option<Compiled>,
}

/// Scripts of a snapshot by V8's number, found through its functions.
#[derive(Debug, Default)]
pub struct Scripts {
    by_id: FxHashMap<u32, StringId>,
}

impl Scripts {
    /// Looks up the script of one function for each script id.
    pub fn new(heap: &Heap) -> Scripts {
        let mut scripts = Scripts::default();
        for location in heap.snapshot.locations() {
            let node = NodeIdx(location.node);
            if heap.snapshot.node_type(node) == NodeType::CLOSURE
                && !scripts.by_id.contains_key(&location.script_id)
                && let Some(name) = script_name(heap, node)
            {
                scripts.by_id.insert(location.script_id, name);
            }
        }
        scripts
    }

    /// The name of a script.
    pub fn name(&self, script_id: u32) -> Option<StringId> {
        self.by_id.get(&script_id).copied()
    }

    /// Where a function, or the class of an object, stands in the source.
    pub fn locate(&self, heap: &Heap, node: NodeIdx) -> Option<SourceLocation> {
        let location = heap.snapshot.location(node)?;
        Some(self.at(heap, (location.script_id, location.line, location.column)))
    }

    /// The place in the source of a script id and a line and column that count from 0.
    pub fn at(&self, heap: &Heap, (script_id, line, column): (u32, u32, u32)) -> SourceLocation {
        let script =
            self.name(script_id).map(|name| heap.snapshot.strings.get(name).to_string_lossy().into_owned());
        let (line, column) = (line.saturating_add(1), column.saturating_add(1));
        let sources = heap.sources.as_ref().zip(script.as_deref());
        match sources.and_then(|(sources, script)| sources.original(script, line, column, "")) {
            Some(original) => SourceLocation {
                compiled: script.map(|script| Compiled { script, line, column }),
                script: Some(original.script),
                script_id,
                line: original.line,
                column: original.column,
            },
            None => SourceLocation { script, script_id, line, column, compiled: None },
        }
    }
}

/// Closure, its SharedFunctionInfo, the Script, its name.
fn script_name(heap: &Heap, closure: NodeIdx) -> Option<StringId> {
    let snapshot = &heap.snapshot;
    let follow = |node, name| snapshot.find_edge(node, EdgeType::Internal, name).map(|e| snapshot.edge_to(e));
    let shared = follow(closure, "shared")?;
    // The field was called `script_or_debug_info` up to Node 22.
    let script = follow(shared, "script").or_else(|| follow(shared, "script_or_debug_info"))?;
    let mut name = follow(script, "name")?;
    // A snapshot has no text of a slice. Node.js cuts paths out of addresses: the whole says where the script is, too.
    if snapshot.node_type(name) == NodeType::SLICED_STRING
        && let Some(whole) = follow(name, "parent")
        && snapshot.raw_name_text(whole).as_bytes().starts_with(b"file://")
    {
        name = whole;
    }
    snapshot.node_type(name).is_string().then(|| snapshot.raw_name(name))
}

impl Heap {
    /// The node's name in DevTools, in WTF-8: the file's own, but flattened for concatenated strings, made of the
    /// properties for plain objects, and with "Detached " in front where that was found out.
    pub fn node_name(&self, node: NodeIdx) -> Vec<u8> {
        let snapshot = &self.snapshot;
        match snapshot.node_type(node) {
            NodeType::CONCATENATED_STRING => self.ropes().text(snapshot, &self.names, node),
            NodeType::OBJECT if self.names.of_node(snapshot, node) == Known::Object => self.object_name(node),
            NodeType::NATIVE if self.detached.prefixed.contains(node.index()) => {
                [b"Detached ", snapshot.raw_name_text(node).as_bytes()].concat()
            }
            _ => snapshot.raw_name_text(node).as_bytes().to_vec(),
        }
    }

    /// The node as a list shows it: strings quoted, functions with parentheses, arrays with brackets.
    pub fn node_label(&self, node: NodeIdx) -> String {
        let name = self.node_name(node);
        let name = Wtf8::new(&name);
        match self.snapshot.node_type(node) {
            kind if kind.is_string() => format!("\"{name}\""),
            NodeType::CLOSURE => format!("{name}()"),
            NodeType::ARRAY => format!("{name}[]"),
            NodeType::REGEXP => format!("/{name}/"),
            _ => name.to_string_lossy().into_owned(),
        }
    }

    /// Whether a node's name contains a text, in upper or lower case: a search through many nodes, which looks at
    /// each name of the file once, and at the name of a plain object once for each list of properties.
    pub fn name_search(&self, text: &str) -> impl FnMut(NodeIdx) -> bool + '_ {
        let finder = Rc::new(Finder::new(text));
        let of_object = Rc::clone(&finder);
        let mut object_fits = self.shapes().ask(move |node| of_object.is_in(&self.node_name(node)));
        let mut known: Vec<Option<bool>> = vec![None; self.snapshot.strings.len()];
        let mut ropes: FxHashMap<NodeIdx, bool> = FxHashMap::default();
        move |node| {
            if self.is_plain_object(node) {
                return object_fits(node);
            }
            if self.snapshot.node_type(node) == NodeType::CONCATENATED_STRING {
                let base = self.ropes().base(node);
                return *ropes.entry(base).or_insert_with(|| finder.is_in(&self.node_name(base)));
            }
            let name = self.snapshot.raw_name(node);
            match known.get_mut(name.index()) {
                Some(answer) if !self.detached.prefixed.contains(node.index()) => {
                    *answer.get_or_insert_with(|| finder.is_in(self.snapshot.strings.get(name).as_bytes()))
                }
                _ => finder.is_in(&self.node_name(node)),
            }
        }
    }

    /// Works out what a search needs, so that the first one is as quick as the others.
    pub fn prepare_search(&self) {
        self.shapes();
    }

    fn shapes(&self) -> &Shapes {
        self.shapes.get_or_init(|| Shapes::new(self))
    }

    /// Whether a node is called after its properties.
    pub(crate) fn is_plain_object(&self, node: NodeIdx) -> bool {
        self.snapshot.node_type(node) == NodeType::OBJECT
            && self.names.known(self.snapshot.raw_name(node)) == Known::Object
    }

    /// Names of a plain object's properties, in the order of the file: what its own name is made of.
    pub(crate) fn properties(&self, node: NodeIdx) -> impl Iterator<Item = StringId> + '_ {
        let snapshot = &self.snapshot;
        let edges = snapshot.edges(node).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Property);
        edges.filter_map(|edge| snapshot.edge_name(edge))
    }

    /// The name of the node's class.
    pub fn class_name(&self, node: NodeIdx) -> &Wtf8 {
        self.classes.get(self.class_of(node)).name()
    }

    /// An edge's name or number as text, in WTF-8.
    pub fn edge_text(&self, edge: EdgeIdx) -> Vec<u8> {
        match self.snapshot.edge_name(edge) {
            Some(name) => self.snapshot.strings.get(name).as_bytes().to_vec(),
            None => self.snapshot.edge_name_or_index(edge).to_string().into_bytes(),
        }
    }

    /// What the heap's concatenated strings have in common; worked out when it is first needed.
    pub(crate) fn ropes(&self) -> &Ropes {
        self.ropes.get_or_init(|| Ropes::new(&self.snapshot, &self.names))
    }

    /// `{a, b, …, y, z}`: properties from the front and the back in turn while they fit.
    fn object_name(&self, node: NodeIdx) -> Vec<u8> {
        let snapshot = &self.snapshot;
        let is_listed = |edge: &EdgeIdx| {
            snapshot.edge_type(*edge) == EdgeType::Property
                && snapshot.edge_name(*edge).is_some_and(|name| self.names.known(name) != Known::Proto)
        };
        let mut edges = snapshot.edges(node);
        let mut front: Vec<Vec<u8>> = Vec::new();
        let mut back: Vec<Vec<u8>> = Vec::new();
        // Units so far: both braces, the names, and the separators between names of one side.
        let (mut front_len, mut back_len) = (1, 1);
        let mut from_back = false;
        let mut some_left = false;
        loop {
            let mut candidates = edges.clone();
            let next = if from_back { candidates.rfind(is_listed) } else { candidates.find(is_listed) };
            let Some(edge) = next else { break };
            let name = snapshot
                .edge_name(edge)
                .map(|id| property_text(snapshot.strings.get(id)))
                .unwrap_or_default();
            let len = Wtf8::new(&name).utf16_len();
            if front_len > 1 && front_len + back_len + len > MOST_OF_OBJECT {
                some_left = true;
                break;
            }
            edges = candidates;
            let (side, side_len) =
                if from_back { (&mut back, &mut back_len) } else { (&mut front, &mut front_len) };
            *side_len += len + if *side_len > 1 { 2 } else { 0 };
            side.push(name);
            from_back = !from_back;
        }
        back.reverse();
        if some_left {
            front.push("…".as_bytes().to_vec());
        }
        front.extend(back);
        [&b"{"[..], &front.join(&b", "[..]), b"}"].concat()
    }
}

fn property_text(name: &Wtf8) -> Vec<u8> {
    crate::interfaces::formatted(name)
}

/// Looks for a text in many others, in upper or lower case.
struct Finder {
    /// In lower case.
    wanted: String,
    /// Position of the byte of `wanted` that other texts have least often, if it is all ASCII.
    rare: Option<usize>,
}

/// Letters from the most to the least frequent in English text and code; whatever is not here is rarer still.
const FREQUENT: &[u8] = b"etaoinsrlcdupmhgfbyvkwxjqz ";

impl Finder {
    fn new(text: &str) -> Finder {
        let wanted = text.to_lowercase();
        let rank = |byte: &u8| FREQUENT.iter().position(|c| c == byte).unwrap_or(FREQUENT.len());
        let rarest = wanted.bytes().enumerate().max_by_key(|(_, byte)| rank(byte)).map(|(at, _)| at);
        let rare = if wanted.is_ascii() { rarest } else { None };
        Finder { wanted, rare }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        // Letters outside of ASCII may have others, or several, as their lower case.
        if !text.is_ascii() {
            return String::from_utf8_lossy(text).to_lowercase().contains(&self.wanted);
        }
        let Some(rare) = self.rare else { return self.wanted.is_empty() };
        let wanted = self.wanted.as_bytes();
        let byte = wanted[rare];
        memchr::memchr2_iter(byte, byte.to_ascii_uppercase(), text).any(|at| {
            let start = at.checked_sub(rare);
            let found = start.and_then(|start| text.get(start..start + wanted.len()));
            found.is_some_and(|found| found.eq_ignore_ascii_case(wanted))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, text: &str) {
        let simple = text.to_lowercase().contains(&wanted.to_lowercase());
        assert_eq!(Finder::new(wanted).is_in(text.as_bytes()), simple, "{wanted:?} in {text:?}");
    }

    #[test]
    fn a_search_finds_what_lower_case_finds() {
        let texts = [
            "",
            "a",
            "Socket",
            "xSOCKETx",
            "sockesocket",
            "sock",
            "SOC\u{212a}ET",
            "straße",
            "ÄÖ",
            "0:1",
            "zz",
        ];
        for wanted in ["", "a", "socket", "SOCKET", "k", "t", "ä", "ß", ":", "zzz", "ckes", "\u{212a}"] {
            for text in texts {
                check(wanted, text);
            }
        }
    }
}
