//! What there is to draw, in columns: any tree of calls with costs can be brought into this form.

use rustc_hash::FxHashMap;
use twinheap_native::{Cost, FrameView, NativeHeap, TopDown};

use crate::native::{kind, short_name};

/// What makes a box wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlameCost {
    /// Bytes alive at the peak.
    Peak,
    /// Bytes not freed.
    Leaked,
    /// Calls that allocate.
    Allocations,
    /// Calls whose block was freed at once.
    Temporary,
    /// Bytes allocated, whatever became of them.
    Bytes,
}

impl FlameCost {
    /// All of them, in the order of the columns.
    pub const ALL: [FlameCost; 5] =
        [FlameCost::Peak, FlameCost::Leaked, FlameCost::Allocations, FlameCost::Temporary, FlameCost::Bytes];

    /// The word for it in addresses and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            FlameCost::Peak => "peak",
            FlameCost::Leaked => "leaked",
            FlameCost::Allocations => "allocations",
            FlameCost::Temporary => "temporary",
            FlameCost::Bytes => "bytes",
        }
    }

    /// What it is, in a few words.
    pub fn label(self) -> &'static str {
        match self {
            FlameCost::Peak => "alive at the peak",
            FlameCost::Leaked => "not freed",
            FlameCost::Allocations => "calls",
            FlameCost::Temporary => "temporary blocks",
            FlameCost::Bytes => "allocated in all",
        }
    }

    /// True for bytes, false for a number of calls.
    pub fn is_bytes(self) -> bool {
        !matches!(self, FlameCost::Allocations | FlameCost::Temporary)
    }

    fn of(self, cost: &Cost) -> i64 {
        match self {
            FlameCost::Peak => cost.peak,
            FlameCost::Leaked => cost.leaked,
            FlameCost::Allocations => cost.allocations.cast_signed(),
            FlameCost::Temporary => cost.temporary.cast_signed(),
            FlameCost::Bytes => cost.bytes.min(i64::MAX as u64).cast_signed(),
        }
    }
}

/// What kind of code a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FlameKind {
    /// Machine code of a module.
    Native,
    /// JavaScript.
    Js,
    /// A part of V8 that runs JavaScript or stands in for it.
    Builtin,
    /// Code of which nothing is known.
    Unknown,
}

/// A function, wherever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    /// The whole name.
    pub(super) name: String,
    /// What fits into a box: without parameters and template arguments.
    pub(super) short: String,
    /// The executable or library, in [`FlameGraph::modules`].
    pub(super) module: u32,
    pub(super) kind: FlameKind,
}

/// A tree of calls with five costs each, a [`FlameCost`] a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlameGraph {
    pub(super) symbols: Vec<Symbol>,
    /// Names of modules; 0 is none.
    pub(super) modules: Vec<String>,
    /// Names of source files; 0 is none.
    pub(super) files: Vec<String>,
    /// By node: the number of the one that calls it plus one, which is never more than its own; 0 for an outermost one.
    pub(super) parents: Vec<u32>,
    /// By node: its function.
    pub(super) symbol: Vec<u32>,
    /// By node: its source file, or the first of several.
    pub(super) file: Vec<u32>,
    /// By node: the line in the file, from 1; 0 is unknown.
    pub(super) line: Vec<u32>,
    /// By node: whether the compiler put it into its caller.
    pub(super) inlined: Vec<bool>,
    /// By node: what it costs itself, without what it calls.
    pub(super) own: Vec<[u64; 5]>,
    /// What can't be drawn: the sum of the costs below zero, where a stretch of time frees older blocks.
    pub(super) below_zero: [u64; 5],
    /// The recording is a sample, and does not tell what was temporary.
    lacks_temporary: bool,
}

/// A name that is shared by many nodes.
#[derive(Default)]
struct Interned<'a> {
    known: FxHashMap<&'a [u8], u32>,
    texts: Vec<String>,
}

impl<'a> Interned<'a> {
    fn with_none() -> Self {
        let mut interned = Interned::default();
        interned.number(b"");
        interned
    }

    fn number(&mut self, text: &'a [u8]) -> u32 {
        *self.known.entry(text).or_insert_with(|| {
            self.texts.push(String::from_utf8_lossy(text).into_owned());
            self.texts.len() as u32 - 1
        })
    }
}

impl FlameGraph {
    /// Brings the calls of a recording into columns.
    pub fn of_native(heap: &NativeHeap, tree: &TopDown) -> FlameGraph {
        let mut graph = FlameGraph { lacks_temporary: !heap.has_temporary(), ..FlameGraph::default() };
        let (mut modules, mut files) = (Interned::with_none(), Interned::with_none());
        let mut known: FxHashMap<(&[u8], u32, bool), u32> = FxHashMap::default();
        for node in &tree.nodes {
            let frame = node.view(heap);
            let module = modules.number(frame.module);
            let key = (frame.function, module, node.ip.is_zero());
            let symbol = *known.entry(key).or_insert_with(|| {
                graph.symbols.push(symbol(&frame, module, node.ip.is_zero()));
                graph.symbols.len() as u32 - 1
            });
            graph.parents.push(node.caller.map_or(0, |caller| caller + 1));
            graph.symbol.push(symbol);
            graph.file.push(files.number(frame.file));
            graph.line.push(frame.line);
            graph.inlined.push(node.is_inlined);
            let own = FlameCost::ALL.map(|cost| cost.of(&node.own));
            graph.own.push(own.map(|value| value.max(0).unsigned_abs()));
            for (sum, value) in graph.below_zero.iter_mut().zip(own) {
                *sum = sum.saturating_add(value.min(0).unsigned_abs());
            }
        }
        (graph.modules, graph.files) = (modules.texts, files.texts);
        graph
    }

    /// The costs that the recording tells.
    pub(super) fn costs(&self) -> impl Iterator<Item = FlameCost> {
        let lacks_temporary = self.lacks_temporary;
        FlameCost::ALL.into_iter().filter(move |&cost| cost != FlameCost::Temporary || !lacks_temporary)
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// True without any node.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// The sum over all nodes.
    pub fn total(&self, by: FlameCost) -> u64 {
        self.own.iter().fold(0, |sum, own| sum.saturating_add(own[by as usize]))
    }

    /// Where a node is: module without its folder, file and line, as far as they are known.
    pub(super) fn place(&self, node: usize) -> String {
        let symbol = &self.symbols[self.symbol[node] as usize];
        let module = file_name(&self.modules[symbol.module as usize]);
        let file = &self.files[self.file[node] as usize];
        let file = match self.line[node] {
            0 => file.clone(),
            line => format!("{file}:{line}"),
        };
        let words = [module, file.as_str()];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("  ")
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn symbol(frame: &FrameView<'_>, module: u32, has_no_stack: bool) -> Symbol {
    let kind = match kind(frame) {
        "js" => FlameKind::Js,
        "builtin" => FlameKind::Builtin,
        "native" => FlameKind::Native,
        _ => FlameKind::Unknown,
    };
    let name = String::from_utf8_lossy(frame.function).into_owned();
    let (name, short) = if has_no_stack {
        ("(no stack)".to_owned(), None)
    } else if !name.is_empty() {
        let short = if kind == FlameKind::Js { short_js(&name) } else { short_name(&name) };
        (name, Some(short))
    } else if frame.module.is_empty() {
        ("(unknown code)".to_owned(), None)
    } else {
        let module = String::from_utf8_lossy(frame.module);
        (format!("(unknown in {})", file_name(&module)), None)
    };
    // A name that is nothing but parameters stays as it is.
    let short = short.filter(|short| !short.trim().is_empty()).unwrap_or_else(|| name.clone());
    Symbol { name, short, module, kind }
}

/// The function's name out of what V8 writes for `perf`: `JS:~tick timers:1:2`, `LazyCompile:*run app.js:3:4`.
fn short_js(name: &str) -> String {
    let rest = name.split_once(':').map_or(name, |(_, rest)| rest);
    // One mark for the tier that compiled it.
    let rest = rest.strip_prefix(['~', '^', '*', '+']).unwrap_or(rest);
    match rest.rsplit_once(' ') {
        Some(("", place)) => format!("(anonymous) {place}"),
        Some((function, place)) => format!("{function} {place}"),
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: &str, module: &str, expected: (&str, &str, FlameKind)) {
        let frame = FrameView {
            function: function.as_bytes(),
            module: module.as_bytes(),
            file: b"",
            line: 0,
            is_inlined: false,
            address: 0x7f10,
            kind: twinheap_trace::FrameKind::of_name(function.as_bytes()),
            ..FrameView::default()
        };
        let symbol = symbol(&frame, 0, false);
        assert_eq!((symbol.name.as_str(), symbol.short.as_str(), symbol.kind), expected);
    }

    #[test]
    fn boxes_have_short_names() {
        let start = "node::Start(int, char**)";
        check(start, "/bin/node", (start, "node::Start", FlameKind::Native));
        let tick = "JS:~tick timers:1:2";
        check(tick, "", (tick, "tick timers:1:2", FlameKind::Js));
        let closure = "JS:* /srv/app.js:3:4";
        check(closure, "", (closure, "(anonymous) /srv/app.js:3:4", FlameKind::Js));
        let builtin = "Builtins_JSEntry";
        check(builtin, "/bin/node", (builtin, builtin, FlameKind::Builtin));
        let unnamed = "(unknown in libc.so.6)";
        check("", "/lib/libc.so.6", (unnamed, unnamed, FlameKind::Native));
        check("", "", ("(unknown code)", "(unknown code)", FlameKind::Unknown));
        check("(int)", "", ("(int)", "(int)", FlameKind::Native));
    }
}
