//! One pass over the heap for all detectors: where the few names stand that they ask for.
//!
//! A detector begins with a name that Node.js or V8 gives (`_events`, `reactions_or_result`) and then looks at the
//! neighbours of what it finds. Searching for its names itself, each would read all edges of the heap.

use rustc_hash::{FxHashMap, FxHashSet};
use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType, Snapshot, StringId};

use crate::heap::Heap;

/// A name that some detector begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Word {
    // Names of edges.
    Events,
    TargetEvents,
    Subscribers,
    Aborted,
    Composite,
    Dependants,
    OnTimeout,
    Reactions,
    Registers,
    ResourceStore,
    ContextFrame,
    Flag,
    Status,
    Handle,
    Buffered,
    HashMap,
    Parent,
    Table,
    Buffer,
    Filename,
    // Names of objects.
    Array,
    Context,
    WeakRef,
    WeakCell,
    Registry,
    Frame,
    Oddball,
    Nothing,
}

const WORDS: usize = Word::Nothing as usize;

/// What edges are called. Several names may mean the same.
const EDGES: &[(&str, Word)] = &[
    ("_events", Word::Events),
    ("<symbol kEvents>", Word::TargetEvents),
    ("_subscribers", Word::Subscribers),
    ("<symbol kAborted>", Word::Aborted),
    ("<symbol kComposite>", Word::Composite),
    ("<symbol kDependantSignals>", Word::Dependants),
    ("_onTimeout", Word::OnTimeout),
    ("reactions_or_result", Word::Reactions),
    ("parameters_and_registers", Word::Registers),
    ("<symbol kResourceStore>", Word::ResourceStore),
    ("<symbol context_frame>", Word::ContextFrame),
    ("<symbol kAsyncContextFrame>", Word::ContextFrame),
    ("destroyed", Word::Flag),
    ("_destroyed", Word::Flag),
    ("isDestroyed", Word::Flag),
    ("closed", Word::Flag),
    ("_closed", Word::Flag),
    ("isClosed", Word::Flag),
    ("ended", Word::Flag),
    ("isEnded", Word::Flag),
    ("finished", Word::Flag),
    ("isFinished", Word::Flag),
    ("terminated", Word::Flag),
    ("disposed", Word::Flag),
    ("_disposed", Word::Flag),
    ("isDisposed", Word::Flag),
    ("status", Word::Status),
    ("_status", Word::Status),
    ("state", Word::Status),
    ("_state", Word::Status),
    ("readyState", Word::Status),
    ("_handle", Word::Handle),
    ("<symbol kBufferedValue>", Word::Buffered),
    ("buffered", Word::Buffered),
    ("hashMap", Word::HashMap),
    ("parent", Word::Parent),
    ("table", Word::Table),
    ("buffer", Word::Buffer),
    ("filename", Word::Filename),
];

/// What objects are called.
const OBJECTS: &[(&str, Word)] = &[
    ("Array", Word::Array),
    ("system / Context", Word::Context),
    ("WeakRef", Word::WeakRef),
    ("system / WeakCell", Word::WeakCell),
    ("FinalizationRegistry", Word::Registry),
    ("AsyncContextFrame", Word::Frame),
    ("system / Oddball", Word::Oddball),
    ("true", Word::Oddball),
    ("null", Word::Oddball),
];

/// An edge with one of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) from: NodeIdx,
    pub(crate) to: NodeIdx,
}

/// Where the names stand.
pub(crate) struct Survey {
    /// By word, in file order.
    edges: Vec<Vec<Fact>>,
    /// By word, in file order.
    objects: Vec<Vec<NodeIdx>>,
    /// Nodes that are `true` and `null`.
    truths: FxHashSet<NodeIdx>,
    nulls: FxHashSet<NodeIdx>,
    /// Objects with many edges: collections and dictionaries.
    pub(crate) broad: Vec<NodeIdx>,
    /// Ropes of text that are no part of another one.
    pub(crate) ropes: Vec<NodeIdx>,
    /// Sliced strings and their parents.
    pub(crate) slices: Vec<Fact>,
}

/// An object with this many edges is worth the question whether it is a collection.
const BROAD: usize = 100;

impl Survey {
    pub(crate) fn new(heap: &Heap) -> Survey {
        let snapshot = &heap.snapshot;
        let edge_words = Lexicon::new(snapshot, EDGES);
        let object_words = Lexicon::new(snapshot, OBJECTS);
        let mut survey = Survey {
            edges: vec![Vec::new(); WORDS],
            objects: vec![Vec::new(); WORDS],
            truths: FxHashSet::default(),
            nulls: FxHashSet::default(),
            broad: Vec::new(),
            ropes: Vec::new(),
            slices: Vec::new(),
        };
        let mut parts_of_ropes: FxHashSet<NodeIdx> = FxHashSet::default();
        for node in snapshot.nodes() {
            let edges = snapshot.edges(node);
            match snapshot.node_type(node) {
                NodeType::OBJECT => {
                    if let Some(word) = object_words.get(snapshot.raw_name(node)) {
                        survey.objects[word as usize].push(node);
                    }
                    if edges.len() >= BROAD {
                        survey.broad.push(node);
                    }
                    for edge in edges {
                        if matches!(snapshot.edge_type(edge), EdgeType::Property | EdgeType::Internal)
                            && let Some(word) = snapshot.edge_name(edge).and_then(|name| edge_words.get(name))
                        {
                            survey.edges[word as usize].push(Fact { from: node, to: snapshot.edge_to(edge) });
                        }
                    }
                }
                NodeType::SLICED_STRING => {
                    let is_parent = |edge: &EdgeIdx| {
                        snapshot.edge_name(*edge).and_then(|name| edge_words.get(name)) == Some(Word::Parent)
                    };
                    let parent = edges.clone().find(is_parent).map(|edge| snapshot.edge_to(edge));
                    survey.slices.extend(parent.map(|to| Fact { from: node, to }));
                }
                NodeType::CONCATENATED_STRING => {
                    survey.ropes.push(node);
                    let parts = edges.map(|edge| snapshot.edge_to(edge));
                    parts_of_ropes
                        .extend(parts.filter(|&p| snapshot.node_type(p) == NodeType::CONCATENATED_STRING));
                }
                NodeType::HIDDEN | NodeType::NATIVE => match object_words.get(snapshot.raw_name(node)) {
                    Some(Word::WeakCell) => survey.objects[Word::WeakCell as usize].push(node),
                    Some(Word::Oddball) => survey.note_oddball(snapshot, node),
                    _ => {}
                },
                _ => {}
            }
        }
        survey.ropes.retain(|rope| !parts_of_ropes.contains(rope));
        survey
    }

    /// Up to Node.js 22 `true` is called `system / Oddball`, and its text hangs below it.
    fn note_oddball(&mut self, snapshot: &Snapshot, node: NodeIdx) {
        let below = snapshot.edges(node).map(|edge| snapshot.edge_to(edge));
        let texts =
            below.filter(|&to| snapshot.node_type(to).is_string()).map(|to| snapshot.raw_name_text(to));
        for text in texts.chain([snapshot.raw_name_text(node)]) {
            match text.as_bytes() {
                b"true" => self.truths.insert(node),
                b"null" => self.nulls.insert(node),
                _ => continue,
            };
        }
    }

    /// All edges that leave an object and are called so.
    pub(crate) fn edges(&self, word: Word) -> &[Fact] {
        &self.edges[word as usize]
    }

    /// All objects that are called so.
    pub(crate) fn objects(&self, word: Word) -> &[NodeIdx] {
        &self.objects[word as usize]
    }

    /// True for JavaScript's `true`.
    pub(crate) fn is_true(&self, node: NodeIdx) -> bool {
        self.truths.contains(&node)
    }

    /// True for JavaScript's `null`.
    pub(crate) fn is_null(&self, node: NodeIdx) -> bool {
        self.nulls.contains(&node)
    }
}

/// The word of each string of the file; one byte a string.
struct Lexicon {
    words: Vec<Word>,
}

impl Lexicon {
    fn new(snapshot: &Snapshot, list: &[(&str, Word)]) -> Lexicon {
        let list: FxHashMap<&[u8], Word> = list.iter().map(|&(text, word)| (text.as_bytes(), word)).collect();
        let longest = list.keys().map(|text| text.len()).max().unwrap_or(0);
        let word = |text: &[u8]| if text.len() <= longest { list.get(text).copied() } else { None };
        // From V8 14.9 on the contexts of each scope have a name of their own.
        let scope = |text: &[u8]| text.starts_with(b"system / Context / ").then_some(Word::Context);
        let words = snapshot.strings.iter().map(|text| {
            let text = text.as_bytes();
            word(text).or_else(|| scope(text)).unwrap_or(Word::Nothing)
        });
        Lexicon { words: words.collect() }
    }

    #[inline]
    fn get(&self, name: StringId) -> Option<Word> {
        self.words.get(name.index()).copied().filter(|&word| word != Word::Nothing)
    }
}
