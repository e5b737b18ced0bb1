//! What a person sees of a node.

use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType, StringId, Wtf8};

use crate::heap::Heap;
use crate::names::Known;
use crate::ropes::Ropes;

/// Longest name of a plain object, in UTF-16 units.
const MOST_OF_OBJECT: usize = 100;

/// A place in the source. Lines and columns count from 1, as editors do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The script's name or URL; `None` if the snapshot does not tell.
    pub script: Option<StringId>,
    /// V8's number of the script.
    pub script_id: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Scripts of a snapshot by V8's number, found through its functions.
#[derive(Debug, Default)]
pub struct Scripts {
    by_id: rustc_hash::FxHashMap<u32, StringId>,
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
        Some(SourceLocation {
            script: self.name(location.script_id),
            script_id: location.script_id,
            line: location.line.saturating_add(1),
            column: location.column.saturating_add(1),
        })
    }
}

/// Closure, its SharedFunctionInfo, the Script, its name.
fn script_name(heap: &Heap, closure: NodeIdx) -> Option<StringId> {
    let snapshot = &heap.snapshot;
    let follow = |node, name| snapshot.find_edge(node, EdgeType::Internal, name).map(|e| snapshot.edge_to(e));
    let shared = follow(closure, "shared")?;
    // The field was called `script_or_debug_info` up to Node 22.
    let script = follow(shared, "script").or_else(|| follow(shared, "script_or_debug_info"))?;
    let name = follow(script, "name")?;
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
    /// each name of the file once.
    pub fn name_search(&self, text: &str) -> impl FnMut(NodeIdx) -> bool + '_ {
        let wanted = text.to_lowercase();
        let contains = move |name: &[u8]| String::from_utf8_lossy(name).to_lowercase().contains(&wanted);
        let mut known: Vec<Option<bool>> = vec![None; self.snapshot.strings.len()];
        let mut ropes: rustc_hash::FxHashMap<NodeIdx, bool> = rustc_hash::FxHashMap::default();
        move |node| {
            let kind = self.snapshot.node_type(node);
            let name = self.snapshot.raw_name(node);
            let is_raw = kind != NodeType::CONCATENATED_STRING
                && self.names.known(name) != Known::Object
                && !self.detached.prefixed.contains(node.index());
            match known.get_mut(name.index()) {
                Some(answer) if is_raw => {
                    *answer.get_or_insert_with(|| contains(self.snapshot.strings.get(name).as_bytes()))
                }
                _ if kind == NodeType::CONCATENATED_STRING => {
                    let base = self.ropes().base(node);
                    *ropes.entry(base).or_insert_with(|| contains(&self.node_name(base)))
                }
                _ => contains(&self.node_name(node)),
            }
        }
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
