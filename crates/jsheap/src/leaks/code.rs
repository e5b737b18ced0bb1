//! The program's code as a snapshot has it: scripts, functions, and what functions mention.
//!
//! A snapshot has no line of the statement that put an object somewhere. But it has each function's constant pool
//! (the names of properties and outer variables the function uses) and its feedback (the hidden classes it met), and
//! the chain of contexts it can see. Together they tell which function fills a collection.

use std::cell::OnceCell;

use rustc_hash::{FxHashMap, FxHashSet};
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, StringId};

use crate::display::Scripts;
use crate::heap::Heap;
use crate::npm::package_of;

/// Whose code a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The program's own.
    Program,
    /// An npm package's.
    Package,
    /// Node.js itself.
    Runtime,
}

impl Origin {
    /// Tells by a script's name.
    pub fn of(script: &str) -> Origin {
        let is_path = script.contains(['/', '\\']);
        if script.starts_with("node:") || script.is_empty() || (!is_path && script.ends_with(".js")) {
            // Before Node 16 its own scripts were called `events.js`; a program's has a path.
            return Origin::Runtime;
        }
        if script.starts_with("internal/") {
            return Origin::Runtime;
        }
        if package_of(script).is_some() { Origin::Package } else { Origin::Program }
    }
}

/// Functions and scripts of a heap.
pub(crate) struct Code<'a> {
    pub(crate) heap: &'a Heap,
    scripts: Scripts,
    origins: FxHashMap<u32, Origin>,
    /// By string: whether it is the name of a context.
    context_names: FxHashSet<u32>,
    /// Closures of Node.js itself.
    pub(crate) runtime: FxHashSet<u32>,
    /// Code of the functions that closures are made of.
    living: OnceCell<FxHashSet<NodeIdx>>,
}

impl<'a> Code<'a> {
    pub(crate) fn new(heap: &'a Heap) -> Code<'a> {
        let scripts = Scripts::new(heap);
        let mut origins: FxHashMap<u32, Origin> = FxHashMap::default();
        let mut runtime = FxHashSet::default();
        for location in heap.snapshot.locations() {
            let origin = *origins.entry(location.script_id).or_insert_with(|| {
                scripts.name(location.script_id).map_or(Origin::Runtime, |name| {
                    Origin::of(&heap.snapshot.strings.get(name).to_string_lossy())
                })
            });
            if origin == Origin::Runtime
                && heap.snapshot.node_type(NodeIdx(location.node)) == NodeType::CLOSURE
            {
                runtime.insert(location.node);
            }
        }
        let names = heap.snapshot.strings.iter().enumerate();
        let context_names = names
            .filter(|(_, name)| {
                let name = name.as_bytes();
                name == b"system / Context" || name.starts_with(b"system / Context / ")
            })
            .map(|(id, _)| id as u32)
            .collect();
        Code { heap, scripts, origins, context_names, runtime, living: OnceCell::new() }
    }

    /// A script's name.
    pub(crate) fn script_name(&self, script_id: u32) -> Option<StringId> {
        self.scripts.name(script_id)
    }

    /// A script's name as text.
    pub(crate) fn script_text(&self, script_id: u32) -> Option<String> {
        let name = self.scripts.name(script_id)?;
        Some(self.heap.snapshot.strings.get(name).to_string_lossy().into_owned())
    }

    /// Whose script it is.
    pub(crate) fn origin(&self, script_id: u32) -> Origin {
        self.origins.get(&script_id).copied().unwrap_or(Origin::Runtime)
    }

    /// Whose a function, or the class of an object, is; `None` without a location.
    pub(crate) fn origin_of(&self, node: NodeIdx) -> Option<Origin> {
        self.heap.snapshot.location(node).map(|location| self.origin(location.script_id))
    }

    /// True for the variables of a function.
    pub(crate) fn is_context(&self, node: NodeIdx) -> bool {
        self.context_names.contains(&self.heap.snapshot.raw_name(node).0)
    }

    /// Follows an internal edge.
    pub(crate) fn follow(&self, node: NodeIdx, name: &str) -> Option<NodeIdx> {
        let snapshot = &self.heap.snapshot;
        snapshot.find_edge(node, EdgeType::Internal, name).map(|edge| snapshot.edge_to(edge))
    }

    /// The function that a bound function calls in the end; others are themselves.
    pub(crate) fn unbound(&self, closure: NodeIdx) -> NodeIdx {
        let mut at = closure;
        for _ in 0..8 {
            match self.follow(at, "bound_function") {
                Some(target) if self.heap.snapshot.node_type(target) == NodeType::CLOSURE => at = target,
                _ => break,
            }
        }
        at
    }

    fn living(&self) -> &FxHashSet<NodeIdx> {
        self.living.get_or_init(|| {
            let snapshot = &self.heap.snapshot;
            let nodes = snapshot.locations().iter().map(|location| NodeIdx(location.node));
            let closures = nodes.filter(|&node| snapshot.node_type(node) == NodeType::CLOSURE);
            closures.filter_map(|closure| self.follow(closure, "shared")).collect()
        })
    }

    /// The program's functions, one for each place in the source, with the contexts of some of their closures.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let snapshot = &self.heap.snapshot;
        let mut by_place: FxHashMap<(u32, u32, u32), usize> = FxHashMap::default();
        let mut functions: Vec<Function> = Vec::new();
        for location in snapshot.locations() {
            let node = NodeIdx(location.node);
            if snapshot.node_type(node) != NodeType::CLOSURE
                || self.origin(location.script_id) == Origin::Runtime
            {
                continue;
            }
            let place = (location.script_id, location.line, location.column);
            let at = *by_place.entry(place).or_insert_with(|| {
                functions.push(Function { closure: node, place, contexts: Vec::new() });
                functions.len() - 1
            });
            let function = &mut functions[at];
            if function.contexts.len() < MOST_CONTEXTS
                && let Some(context) = self.follow(node, "context")
                && !function.contexts.contains(&context)
            {
                function.contexts.push(context);
            }
        }
        functions
    }

    /// What a function mentions, with what the functions inside it mention of which no closure is left: they ran while
    /// it did, and can't be found by themselves.
    pub(crate) fn mentions(&self, function: &Function) -> Mentions {
        let snapshot = &self.heap.snapshot;
        let mut mentions = Mentions::default();
        let mut seen: FxHashSet<NodeIdx> = FxHashSet::default();
        let mut work: Vec<(NodeIdx, u32)> = Vec::new();
        if let Some(shared) = self.follow(function.closure, "shared") {
            for field in ["function_data", "trusted_function_data"] {
                work.extend(self.follow(shared, field).map(|data| (data, 0)));
            }
        }
        if let Some(cell) = self.follow(function.closure, "feedback_cell")
            && let Some(vector) = self.follow(cell, "value")
        {
            mentions.ran_often = snapshot.raw_name_text(vector) == "system / FeedbackVector";
            for edge in snapshot.edges(vector) {
                let to = snapshot.edge_to(edge);
                // Hidden classes are weakly held: they are what the function met, not what it keeps.
                if matches!(snapshot.node_type(to), NodeType::OBJECT_SHAPE | NodeType::HIDDEN) {
                    mentions.shapes.insert(to);
                }
            }
        }
        while let Some((node, depth)) = work.pop() {
            // Lists of dependent code are weak, and lead to the code of others.
            let strong = snapshot.edges(node).filter(|&edge| snapshot.edge_type(edge) != EdgeType::Weak);
            for edge in strong {
                let to = snapshot.edge_to(edge);
                if snapshot.node_type(to).is_string() {
                    mentions.names.insert(snapshot.raw_name(to));
                    continue;
                }
                let is_other_function = snapshot.edge_name(edge).is_some_and(|name| {
                    matches!(snapshot.strings.get(name).as_bytes(), b"map" | b"shared" | b"dependent_code")
                });
                if is_other_function {
                    continue;
                }
                if self.follow(to, "name_or_scope_info").is_some() {
                    // An inner function with closures is another one, and has names of its own.
                    if !self.living().contains(&to) {
                        let data =
                            ["function_data", "trusted_function_data"].map(|field| self.follow(to, field));
                        work.extend(
                            data.into_iter()
                                .flatten()
                                .filter(|&data| seen.insert(data))
                                .map(|data| (data, 0)),
                        );
                    }
                    continue;
                }
                if depth < MOST_DEPTH
                    && matches!(snapshot.node_type(to), NodeType::CODE | NodeType::ARRAY | NodeType::HIDDEN)
                    && seen.len() < MOST_PARTS
                    && seen.insert(to)
                {
                    work.push((to, depth + 1));
                }
            }
        }
        mentions
    }

    /// True if `context` is one that the function can see.
    pub(crate) fn can_see(&self, function: &Function, context: NodeIdx) -> bool {
        function.contexts.iter().any(|&start| {
            let mut at = start;
            for _ in 0..MOST_SCOPES {
                if at == context {
                    return true;
                }
                match self.follow(at, "previous") {
                    Some(outer) => at = outer,
                    None => return false,
                }
            }
            false
        })
    }
}

/// Closures of one function whose contexts are looked at.
const MOST_CONTEXTS: usize = 64;
/// Scopes around a function that are looked at.
const MOST_SCOPES: usize = 32;
/// Steps from a function's data to its constants: code, bytecode, constant pool, a literal's description.
const MOST_DEPTH: u32 = 5;
/// Parts of a function's code that are looked at.
const MOST_PARTS: usize = 2000;

/// A function of the program.
pub(crate) struct Function {
    /// A closure made of it.
    pub(crate) closure: NodeIdx,
    /// Script id, and line and column from 0.
    pub(crate) place: (u32, u32, u32),
    contexts: Vec<NodeIdx>,
}

/// Names and hidden classes that a function has to do with.
#[derive(Default)]
pub(crate) struct Mentions {
    pub(crate) names: FxHashSet<StringId>,
    pub(crate) shapes: FxHashSet<NodeIdx>,
    /// True if V8 noted what the function meets, which it begins after some calls or turns of a loop.
    pub(crate) ran_often: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, origin: Origin) {
        assert_eq!(Origin::of(script), origin, "{script}");
    }

    #[test]
    fn scripts_belong_to_somebody() {
        check("/srv/app/server.js", Origin::Program);
        check("file:///srv/app/server.mjs", Origin::Program);
        check("C:\\app\\server.js", Origin::Program);
        check("[eval]", Origin::Program);
        check("evalmachine.<anonymous>", Origin::Program);
        check("node:internal/timers", Origin::Runtime);
        check("node:events", Origin::Runtime);
        check("internal/timers.js", Origin::Runtime);
        check("events.js", Origin::Runtime);
        check("/a/node_modules/lru-cache/index.js", Origin::Package);
        check("/a/node_modules/@scope/pkg/x.js", Origin::Package);
        check("C:\\a\\node_modules\\pkg\\x.js", Origin::Package);
        check("/a/node_modules/.pnpm/b@1.0.0/node_modules/b/x.js", Origin::Package);
        check("/a/node_modules/outer/node_modules/.cache/x.js", Origin::Package);
        check("/a/node_modules/x.js", Origin::Program);
    }
}
