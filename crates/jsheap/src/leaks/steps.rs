//! The heap as a tree of merged paths: "the values of the Map `items` of the SessionStore" is one step, however
//! many sessions there are.
//!
//! Steps of two dumps of one program are the same if the edges and classes on the way are, so they can be compared
//! without object ids. Chains are folded: a list of a million nodes is one step, since an object of a class that was
//! met on the way, by an edge of the same name, is taken back to that step.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType, StringId};

use crate::heap::Heap;
use crate::leaks::code::Code;
use crate::leaks::keys::is_key;
use crate::leaks::text_hash::{TextHash, hash_bytes};
use crate::leaks::ways::Ways;

/// How a step's objects are referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    /// Nothing refers to it: a root.
    Root,
    /// By a name.
    Named(EdgeType, StringId),
    /// By any number: elements, entries of a Map, handles.
    Numbered,
    /// By a property whose name is a key, of an object that is used as a dictionary.
    Keyed,
}

/// What a step's objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Label {
    /// A kind of V8's own, or of values without a class.
    Kind(NodeType),
    /// A context, whatever its scope.
    Context,
    /// Something of V8's own with a name: a promise's reaction, a cell.
    Inner(StringId),
    /// An object of a class, by its name.
    Named(StringId),
    /// A function, by name and place: script id, line, column.
    Function(StringId, Option<(u32, u32, u32)>),
}

/// A step. Sizes are bytes.
#[derive(Clone, Debug)]
pub(crate) struct StepRow {
    /// The step above; the first step, which stands for all roots, is its own.
    pub(crate) parent: u32,
    /// Objects here.
    pub(crate) objects: u64,
    /// Their shallow sizes.
    pub(crate) shallow_size: u64,
    /// What they retain; those inside each other once.
    pub(crate) retained_size: u64,
    /// Shallow sizes of all objects whose path goes through here, these included.
    pub(crate) below: u64,
    /// The object here with the largest id: the youngest.
    pub(crate) example: NodeIdx,
    /// Names along the path, hashed: the same in other dumps. The path counts from the nearest function, scope or
    /// instance of a class above, since how those are reached changes with every small thing.
    pub(crate) hash: u64,
    /// What the hashes of the steps below go on from.
    base: u64,
    /// Objects here that another object of the step leads to: links of a chain.
    pub(crate) folded: u64,
}

/// All steps of a heap. Parents come before children.
pub(crate) struct Steps {
    pub(crate) rows: Vec<StepRow>,
    /// Link and label of each step.
    kinds: Vec<(Link, Label)>,
    /// Each node's step; [`NO_STEP`] for what no path leads to.
    of_node: Vec<u32>,
    children: Children,
}

/// No step.
pub(crate) const NO_STEP: u32 = u32::MAX;

/// A hostile heap may have a step for each object; beyond this many all is counted with the step above.
const MOST_STEPS: usize = 4_000_000;
/// How far up a step is looked for that a chain can be folded into.
const LOOK_BACK: usize = 12;
/// An object with more properties than this is a dictionary, whatever its keys are.
const MOST_PROPERTIES: usize = 100;

impl Steps {
    pub(crate) fn new(heap: &Heap, code: &Code<'_>, ways: &Ways) -> Steps {
        let mut builder = Builder::new(heap, code);
        let mut of_node = vec![NO_STEP; heap.snapshot.node_count()];
        for node in ways.order() {
            let (above, step) = match ways.holder(node) {
                None if node == heap.snapshot.root() => (0, 0),
                None => (0, builder.child(0, Link::Root, node)),
                Some((holder, edge)) => {
                    let (above, link) = (of_node[holder.index()], builder.link(holder, edge));
                    (above, builder.child(above, link, node))
                }
            };
            of_node[node.index()] = step;
            let row = &mut builder.rows[step as usize];
            row.objects += 1;
            row.folded += u64::from(row.parent != above);
            row.shallow_size = row.shallow_size.saturating_add(heap.shallow_size(node));
            if heap.snapshot.id(node) > heap.snapshot.id(row.example) {
                row.example = node;
            }
        }
        let (mut rows, kinds) = (builder.rows, builder.kinds);
        add_retained(heap, &of_node, &mut rows);
        for at in (1..rows.len()).rev() {
            let (parent, below) =
                (rows[at].parent as usize, rows[at].below.saturating_add(rows[at].shallow_size));
            rows[at].below = below;
            rows[parent].below = rows[parent].below.saturating_add(below);
        }
        let children = Children::new(&rows);
        Steps { rows, kinds, of_node, children }
    }

    pub(crate) fn of(&self, node: NodeIdx) -> u32 {
        self.of_node[node.index()]
    }

    /// What a step's objects are.
    pub(crate) fn label(&self, step: u32) -> Label {
        self.kinds[step as usize].1
    }

    /// The steps right below one.
    pub(crate) fn children(&self, step: u32) -> &[u32] {
        self.children.of(step)
    }
}

/// Retained sizes of the steps: one pass over the dominator tree, in which a subtree is a range.
fn add_retained(heap: &Heap, of_node: &[u32], rows: &mut [StepRow]) {
    let mut open_until = vec![0u32; rows.len()];
    for (at, (&node, &size)) in heap.dominators.order().iter().zip(heap.dominators.sizes()).enumerate() {
        let step = of_node[node as usize];
        if step == NO_STEP || (at as u32) < open_until[step as usize] {
            continue;
        }
        open_until[step as usize] = at as u32 + size;
        let row = &mut rows[step as usize];
        row.retained_size = row.retained_size.saturating_add(heap.retained_size(NodeIdx(node)));
    }
}

/// Children of each step, as compressed rows.
struct Children {
    first: Vec<u32>,
    steps: Vec<u32>,
}

impl Children {
    fn new(rows: &[StepRow]) -> Children {
        let mut first = vec![0u32; rows.len() + 1];
        for row in rows.iter().skip(1) {
            first[row.parent as usize + 1] += 1;
        }
        for at in 1..first.len() {
            first[at] += first[at - 1];
        }
        let mut next = first.clone();
        let mut steps = vec![0; rows.len().saturating_sub(1)];
        for (at, row) in rows.iter().enumerate().skip(1) {
            let slot = &mut next[row.parent as usize];
            steps[*slot as usize] = at as u32;
            *slot += 1;
        }
        Children { first, steps }
    }

    fn of(&self, step: u32) -> &[u32] {
        &self.steps[self.first[step as usize] as usize..self.first[step as usize + 1] as usize]
    }
}

/// Names of objects that say nothing of what they are for.
fn is_plain(name: &[u8]) -> bool {
    matches!(name, b"Object" | b"Array" | b"Map" | b"Set" | b"Promise" | b"Buffer" | b"Uint8Array" | b"")
}

struct Builder<'a> {
    heap: &'a Heap,
    code: &'a Code<'a>,
    rows: Vec<StepRow>,
    /// Link and label of each step, for folding.
    kinds: Vec<(Link, Label)>,
    by_key: FxHashMap<(u32, Link, Label), u32>,
    /// The last answer: neighbours are mostly alike.
    last: Option<((u32, Link, Label), u32)>,
    /// What a property name is: 0 not looked at, 1 a name, 2 a key, 3 a number.
    names: Vec<u8>,
    texts: TextHash<'a>,
    /// The last object whose properties were counted, and whether it is a dictionary.
    wide: (NodeIdx, bool),
}

impl<'a> Builder<'a> {
    fn new(heap: &'a Heap, code: &'a Code<'a>) -> Self {
        let root = heap.snapshot.root();
        let row = StepRow {
            parent: 0,
            objects: 0,
            shallow_size: 0,
            retained_size: 0,
            below: 0,
            example: root,
            hash: 0,
            base: 0,
            folded: 0,
        };
        Builder {
            heap,
            code,
            rows: vec![row],
            kinds: vec![(Link::Root, Label::Kind(NodeType::SYNTHETIC))],
            by_key: FxHashMap::default(),
            last: None,
            names: vec![0; heap.snapshot.strings.len()],
            texts: TextHash::new(heap),
            wide: (root, false),
        }
    }

    fn link(&mut self, holder: NodeIdx, edge: EdgeIdx) -> Link {
        let kind = self.heap.snapshot.edge_type(edge);
        let Some(name) = self.heap.snapshot.edge_name(edge) else { return Link::Numbered };
        if self.heap.names.ephemeron(name).is_some() {
            return Link::Numbered;
        }
        match self.name_kind(name) {
            3 if kind != EdgeType::Property => Link::Numbered,
            2 | 3 if kind == EdgeType::Property => Link::Keyed,
            _ if kind == EdgeType::Property && self.is_dictionary(holder) => Link::Keyed,
            _ => Link::Named(kind, name),
        }
    }

    fn name_kind(&mut self, name: StringId) -> u8 {
        let Some(known) = self.names.get_mut(name.index()) else { return 1 };
        if *known == 0 {
            let text = self.heap.snapshot.strings.get(name).as_bytes();
            let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
            // Handles are called `17 / what for`.
            let is_number = digits > 0 && (digits == text.len() || text[digits..].starts_with(b" / "));
            *known = if is_number { 3 } else { 1 + u8::from(is_key(text)) };
        }
        *known
    }

    fn is_dictionary(&mut self, holder: NodeIdx) -> bool {
        if self.wide.0 != holder {
            let snapshot = &self.heap.snapshot;
            let is_wide = snapshot.node_type(holder) == NodeType::OBJECT
                && snapshot.edges(holder).len() > MOST_PROPERTIES
                // The globals and functions' prototypes are wide, and their names mean something.
                && self.heap.distance(holder) > 2
                && self.heap.snapshot.location(holder).is_none();
            self.wide = (holder, is_wide);
        }
        self.wide.1
    }

    fn label(&self, node: NodeIdx) -> Label {
        let snapshot = &self.heap.snapshot;
        match snapshot.node_type(node) {
            NodeType::CLOSURE => {
                let place = snapshot.location(node).map(|l| (l.script_id, l.line, l.column));
                Label::Function(snapshot.raw_name(node), place)
            }
            NodeType::OBJECT | NodeType::HIDDEN | NodeType::NATIVE if self.code.is_context(node) => {
                Label::Context
            }
            NodeType::OBJECT | NodeType::NATIVE | NodeType::SYNTHETIC => {
                Label::Named(snapshot.raw_name(node))
            }
            NodeType::HIDDEN => Label::Inner(snapshot.raw_name(node)),
            // A text becomes flat, or a part of another, as V8 likes.
            kind if kind.is_string() => Label::Kind(NodeType::STRING),
            kind => Label::Kind(kind),
        }
    }

    fn child(&mut self, parent: u32, link: Link, node: NodeIdx) -> u32 {
        let label = self.label(node);
        let key = (parent, link, label);
        if let Some((last, step)) = self.last
            && last == key
        {
            return step;
        }
        let step = match self.by_key.get(&key) {
            Some(&step) => step,
            None => {
                let step =
                    self.folded(parent, link, label).unwrap_or_else(|| self.add(parent, link, label, node));
                self.by_key.insert(key, step);
                step
            }
        };
        self.last = Some((key, step));
        step
    }

    /// The step above that this one repeats.
    fn folded(&self, parent: u32, link: Link, label: Label) -> Option<u32> {
        if self.rows.len() >= MOST_STEPS {
            return Some(parent);
        }
        // Of what has no class of its own, only an unbroken chain of one name is one: an object in an object in a Map
        // is another thing than the one around it.
        let look_back = match label {
            Label::Function(..) | Label::Inner(_) => LOOK_BACK,
            Label::Named(name) if !is_plain(self.heap.snapshot.strings.get(name).as_bytes()) => LOOK_BACK,
            Label::Named(_) | Label::Kind(NodeType::STRING) if matches!(link, Link::Named(..)) => 1,
            _ => return None,
        };
        let mut at = parent;
        for _ in 0..look_back {
            if self.kinds[at as usize] == (link, label) {
                return Some(at);
            }
            if at == 0 {
                break;
            }
            at = self.rows[at as usize].parent;
        }
        None
    }

    /// For what has an identity of its own: a hash of that.
    fn base(&mut self, node: NodeIdx, label: Label, label_hash: u64) -> Option<u64> {
        let snapshot = &self.heap.snapshot;
        match label {
            Label::Function(_, Some(_)) => Some(label_hash),
            // A scope is known by its variables.
            Label::Context => {
                let edges =
                    snapshot.edges(node).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Context);
                let names = edges.filter_map(|edge| snapshot.edge_name(edge));
                Some(names.fold(label_hash, |hash, name| hash.rotate_left(5) ^ self.texts.of(name)))
            }
            Label::Named(_) if snapshot.location(node).is_some() => Some(label_hash),
            _ => None,
        }
    }

    fn add(&mut self, parent: u32, link: Link, label: Label, node: NodeIdx) -> u32 {
        let above = self.rows[parent as usize].base;
        let link_hash = match link {
            Link::Root => 1,
            Link::Named(kind, name) => self.texts.of(name) ^ ((kind as u64) << 56),
            Link::Numbered => 2,
            Link::Keyed => 3,
        };
        let label_hash = match label {
            Label::Kind(kind) => 16 + u64::from(kind.0),
            Label::Context => 15,
            Label::Named(name) | Label::Inner(name) => self.texts.of(name),
            Label::Function(name, place) => {
                let place = place.map(|(script, line, column)| {
                    let script = self.code.script_name(script).map_or(0, |name| self.texts.of(name));
                    (script, line, column)
                });
                let (script, line, column) = place.unwrap_or_default();
                hash_bytes(
                    self.texts.of(name) ^ script.rotate_left(17),
                    &[line.to_le_bytes(), column.to_le_bytes()].concat(),
                )
            }
        };
        let hash = hash_bytes(above, &[link_hash.to_le_bytes(), label_hash.to_le_bytes()].concat());
        let base = self.base(node, label, label_hash).unwrap_or(hash);
        self.rows.push(StepRow {
            parent,
            objects: 0,
            shallow_size: 0,
            retained_size: 0,
            below: 0,
            example: node,
            hash,
            base,
            folded: 0,
        });
        self.kinds.push((link, label));
        (self.rows.len() - 1) as u32
    }
}
