//! A heap with what the search for leaks needs of it, worked out once.

use std::cell::OnceCell;

use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType};

use crate::heap::Heap;
use crate::leaks::Evidence;
use crate::leaks::code::{Code, Function, Mentions, Origin};
use crate::leaks::detectors::survey::Survey;
use crate::leaks::detectors::{self, Doubles};
use crate::leaks::steps::Steps;
use crate::leaks::ways::Ways;
use crate::leaks::{Location, LocationRole};
use crate::retainers::Step;
use crate::sources::Compiled;

/// A heap, its code, and a good path to each object.
pub struct Scene<'a> {
    /// The heap.
    pub heap: &'a Heap,
    pub(crate) code: Code<'a>,
    pub(crate) ways: Ways,
    pub(crate) steps: Steps,
    functions: OnceCell<Vec<(Function, Mentions)>>,
    survey: OnceCell<Survey>,
    doubles: OnceCell<Doubles>,
    evidence: OnceCell<Vec<Evidence>>,
}

impl<'a> Scene<'a> {
    /// Finds the paths and merges them: three passes over the heap.
    pub fn new(heap: &'a Heap) -> Scene<'a> {
        let code = Code::new(heap);
        let ways = Ways::new(heap, &code);
        let steps = Steps::new(heap, &code, &ways);
        Scene {
            heap,
            code,
            ways,
            steps,
            functions: OnceCell::new(),
            survey: OnceCell::new(),
            doubles: OnceCell::new(),
            evidence: OnceCell::new(),
        }
    }

    /// The same with the texts that are there more than once, which another thread looked for.
    pub(crate) fn with_doubles(self, doubles: Doubles) -> Scene<'a> {
        Scene { doubles: doubles.into(), ..self }
    }

    /// A path to `node` from the root, through the program's own objects where there is one; empty if there is none.
    pub fn path(&self, node: NodeIdx) -> Vec<Step> {
        self.ways.to(self.heap, node)
    }

    /// The node before `node` on its path, and the edge between them.
    pub fn holder(&self, node: NodeIdx) -> Option<(NodeIdx, EdgeIdx)> {
        self.ways.holder(node)
    }

    /// Whose a function, or the class of an object, is; `None` if its source is unknown.
    pub fn origin_of(&self, node: NodeIdx) -> Option<Origin> {
        self.code.origin_of(node)
    }

    /// True for the variables of a function.
    pub fn is_context(&self, node: NodeIdx) -> bool {
        self.code.is_context(node)
    }

    /// The target of an internal edge, such as `table`, `context` or `bound_function`.
    pub fn internal(&self, node: NodeIdx, name: &str) -> Option<NodeIdx> {
        self.code.follow(node, name)
    }

    /// The value of a property. Numbers and `true`, `null` and the like have no node.
    pub fn property(&self, node: NodeIdx, name: &str) -> Option<NodeIdx> {
        let snapshot = &self.heap.snapshot;
        snapshot.find_edge(node, EdgeType::Property, name).map(|edge| snapshot.edge_to(edge))
    }

    /// Where a function stands, or the class of an object. A bound function is where its target is.
    pub fn location(&self, node: NodeIdx, role: LocationRole) -> Option<Location> {
        let snapshot = &self.heap.snapshot;
        let is_function = snapshot.node_type(node) == NodeType::CLOSURE;
        let node = if is_function { self.code.unbound(node) } else { node };
        let place = snapshot.location(node)?;
        let script = self.code.script_text(place.script_id)?;
        let name = snapshot.raw_name_text(node).to_string_lossy().into_owned();
        let (line, column) = (place.line.saturating_add(1), place.column.saturating_add(1));
        let sources = self.heap.sources.as_ref();
        let function = |name: String| Some(name).filter(|name| !name.is_empty());
        Some(match sources.and_then(|sources| sources.original(&script, line, column, &name)) {
            Some(original) => Location {
                script: original.script,
                line: original.line,
                column: original.column,
                function: original.function.or_else(|| function(name)),
                role,
                compiled: Some(Compiled { script, line, column }),
            },
            None => Location { script, line, column, function: function(name), role, compiled: None },
        })
    }

    /// Where the names stand that detectors begin with.
    pub(crate) fn survey(&self) -> &Survey {
        self.survey.get_or_init(|| Survey::new(self.heap))
    }

    /// Texts that are there more than once.
    pub(crate) fn doubles(&self) -> &Doubles {
        self.doubles.get_or_init(|| Doubles::new(self.heap))
    }

    /// What all detectors find.
    pub fn evidence(&self) -> &[Evidence] {
        self.evidence.get_or_init(|| {
            let mut found = Vec::new();
            detectors::ALL.iter().for_each(|detect| detect(self, &mut found));
            found
        })
    }

    /// The function that a bound function calls in the end; others are themselves.
    pub(crate) fn unbound(&self, closure: NodeIdx) -> NodeIdx {
        self.code.unbound(closure)
    }

    /// The functions of the program and its packages, and what they mention.
    pub(crate) fn functions(&self) -> &[(Function, Mentions)] {
        self.functions.get_or_init(|| {
            let functions = self.code.functions().into_iter();
            functions
                .map(|function| {
                    let mentions = self.code.mentions(&function);
                    (function, mentions)
                })
                .collect()
        })
    }

    /// The class of an object, or the name of a function, as people call it.
    pub fn class_words(&self, node: NodeIdx) -> String {
        let heap = self.heap;
        match heap.snapshot.node_type(node) {
            NodeType::CLOSURE => {
                let name = heap.snapshot.raw_name_text(self.code.unbound(node)).to_string_lossy();
                if name.is_empty() { "(anonymous function)".to_owned() } else { format!("{name}()") }
            }
            NodeType::HIDDEN => {
                let name = heap.snapshot.raw_name_text(node).to_string_lossy();
                name.strip_prefix("system / ").unwrap_or(&name).to_owned()
            }
            _ => heap.class_name(node).to_string_lossy().into_owned(),
        }
    }
}
