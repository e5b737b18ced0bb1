//! `tree` of a native trace.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{
    Cost, Cut, Direction, FrameNo, FrameNode, FrameTable, FrameTree, Hidden, Identity, Measure,
};
use twinheap_trace::FrameKind;

use super::{CostJson, NativeSource, SelectionJson, file_name, function_name, kind, measure_word, number};
use crate::names::{clean, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What a tree shows.
pub struct TreeView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// What the tree's numbers of lines mean.
    pub table: &'a FrameTable<'a>,
    /// The tree.
    pub tree: &'a FrameTree,
    /// Where it begins.
    pub direction: Direction,
    /// What makes two lines the same.
    pub identity: Identity,
    /// How it was cut.
    pub cut: Cut,
    /// Lines to print; JSON has all.
    pub most: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    direction: &'static str,
    by: &'static str,
    /// The tree's parts with less of `by` are left out.
    least: u64,
    depth: u32,
    total: CostJson,
    /// Preorder.
    nodes: Vec<NodeJson>,
    hidden: HiddenJson,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct NodeJson {
    depth: u32,
    /// Position in `nodes`.
    parent: Option<usize>,
    #[serde(flatten)]
    line: LineJson,
    #[serde(flatten)]
    cost: CostJson,
    hidden: HiddenJson,
}

/// Children that were left out.
#[derive(Serialize)]
struct HiddenJson {
    nodes: u64,
    #[serde(flatten)]
    cost: CostJson,
}

impl HiddenJson {
    fn new(source: &NativeSource<'_>, hidden: &Hidden) -> Self {
        HiddenJson { nodes: hidden.nodes, cost: source.cost_json(&hidden.cost) }
    }
}

/// A line that stands for many.
#[derive(Serialize)]
pub(super) struct LineJson {
    function: Option<Box<RawValue>>,
    module: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    kind: &'static str,
}

/// What all occurrences of a line have in common.
pub(super) fn line_json(table: &FrameTable<'_>, frame: FrameNo, identity: Identity) -> LineJson {
    let Some(view) = table.view(frame) else {
        return LineJson { function: None, module: None, file: None, line: None, kind: "unknown" };
    };
    let name = |text: &[u8]| (!text.is_empty()).then(|| json_bytes(text));
    let has_line = identity == Identity::Line || view.kind == FrameKind::Js;
    LineJson {
        function: name(view.function),
        module: name(view.module),
        file: if has_line { name(view.file) } else { None },
        line: (has_line && view.line > 0).then_some(view.line),
        kind: kind(&view),
    }
}

/// The same in words.
pub(super) fn line_words(
    table: &FrameTable<'_>,
    frame: FrameNo,
    identity: Identity,
    full_names: bool,
) -> String {
    let Some(view) = table.view(frame) else { return "(unknown)".to_owned() };
    if view.function.is_empty() {
        let module = if view.module.is_empty() { "unknown code".into() } else { file_name(view.module) };
        return format!("(no symbol)  {module}");
    }
    let name = function_name(&view, full_names);
    match identity {
        _ if view.kind == FrameKind::Js && view.line > 0 => {
            format!("{name}  {}:{}:{}", file_name(view.file), view.line, view.column)
        }
        Identity::Line if view.line > 0 => format!("{name}  {}:{}", file_name(view.file), view.line),
        Identity::Line if !view.file.is_empty() => format!("{name}  {}", file_name(view.file)),
        _ if view.module.is_empty() => name,
        _ => format!("{name}  {}", file_name(view.module)),
    }
}

/// The tree as a list of nodes in preorder.
pub fn tree_json<'a>(view: &TreeView<'a>) -> impl Serialize + use<'a> {
    let mut path: Vec<usize> = Vec::new();
    let mut nodes = Vec::with_capacity(view.tree.nodes.len());
    for (at, node) in view.tree.nodes.iter().enumerate() {
        path.truncate(node.depth as usize);
        nodes.push(NodeJson {
            depth: node.depth,
            parent: path.last().copied(),
            line: line_json(view.table, node.frame, view.identity),
            cost: view.source.cost_json(&node.cost),
            hidden: HiddenJson::new(&view.source, &node.hidden),
        });
        path.push(at);
    }
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-tree",
        file: view.source.file,
        selection: view.source.selection(),
        direction: match view.direction {
            Direction::BottomUp => "bottom-up",
            Direction::TopDown => "top-down",
        },
        by: measure_word(view.cut.by),
        least: view.cut.least,
        depth: view.cut.depth,
        total: view.source.cost_json(&view.source.costs.total.cost),
        nodes,
        hidden: HiddenJson::new(&view.source, &view.tree.hidden),
        warnings: view.source.warnings,
    }
}

/// The tree as indented lines. A function without siblings stands right under the one before it, so that only forks
/// move to the right.
pub fn tree_text(view: &TreeView<'_>, style: &Style) -> String {
    let (source, by) = (&view.source, view.cut.by);
    let whole = source.whole(by);
    let (words, arrow) = match view.direction {
        Direction::BottomUp => ("bottom-up: below a function stand its callers", "← "),
        Direction::TopDown => ("top-down: below a function stand those it calls", "→ "),
    };
    let total = number(style, by, by.of(&source.costs.total.cost));
    let mut out = format!("{}{words}; {total} {} in all\n\n", source.heading(style), total_word(by));
    if view.tree.nodes.is_empty() {
        out.push_str("Nothing to show.\n");
        return out;
    }
    let bar = if style.width >= 100 { 10 } else { 0 };
    let mut table = Table::new(&[
        (measure_word(by), Align::Right),
        ("", Align::Right),
        ("", Align::Left),
        ("calls", Align::Right),
        ("function", Align::Left),
    ]);
    let room = style.width.saturating_sub(34 + bar).max(30);
    let row = |cost: &Cost, text: &str| {
        let value = by.of(cost);
        vec![
            number(style, by, value),
            style.percent(value.unsigned_abs(), whole),
            style.bar(value.unsigned_abs(), whole, bar),
            style.count(cost.allocations),
            clean(text, room),
        ]
    };
    // Numbers are told once for lines that have the same.
    let repeated = |text: &str| {
        let mut cells = vec![String::new(); 4];
        cells.push(clean(text, room));
        cells
    };
    // For each open level: how far it is moved in, and what was left out of it.
    let mut levels: Vec<(usize, Hidden)> = vec![(0, view.tree.hidden)];
    let mut printed = 0;
    let is_shown = |hidden: &Hidden| by.of(&hidden.cost).unsigned_abs() >= view.cut.least.max(1);
    let close = |levels: &mut Vec<(usize, Hidden)>, depth: usize, table: &mut Table| {
        while levels.len() > depth {
            let Some((indent, hidden)) = levels.pop() else { break };
            if is_shown(&hidden) {
                let arrow = if levels.is_empty() { "" } else { arrow };
                let words = format!("{}{arrow}… {} more", "  ".repeat(indent), style.count(hidden.nodes));
                table.row(row(&hidden.cost, &words));
            }
        }
    };
    let children = children(view.tree);
    let nodes = &view.tree.nodes;
    let (mut at, mut last_cost) = (0, Cost::default());
    while at < nodes.len() && printed < view.most {
        let node = &nodes[at];
        close(&mut levels, node.depth as usize + 1, &mut table);
        let indent = levels.last().map_or(0, |level| level.0);
        let arrow = if node.depth == 0 { "" } else { arrow };
        let words = line_words(view.table, node.frame, view.identity, source.full_names);
        let repeats = repeats(nodes, &children, at);
        let times = if repeats > 1 { format!("  ×{repeats}") } else { String::new() };
        // Deep forks stay on the screen.
        let text = format!("{}{arrow}{words}{times}", "  ".repeat(indent.min(room / 4)));
        // All the stacks of the line before go on here.
        let is_same = node.depth > 0 && nodes[at - 1].depth < node.depth && last_cost == node.cost;
        last_cost = node.cost;
        table.row(if is_same { repeated(&text) } else { row(&node.cost, &text) });
        printed += 1;
        for (folded, children) in nodes[at..at + repeats].iter().zip(&children[at..]) {
            let forks = children + u64::from(is_shown(&folded.hidden)) > 1 || folded.depth == 0;
            let indent = levels.last().map_or(0, |level| level.0);
            levels.push((indent + usize::from(forks), folded.hidden));
        }
        at += repeats;
    }
    if at == nodes.len() {
        close(&mut levels, 0, &mut table);
    }
    out.push_str(&table.render(style));
    let rest = nodes.len() - at;
    if rest > 0 {
        let rest = style.count(rest as u64);
        out.push_str(&style.dim(&format!("… {rest} more lines (--limit N, or --json for all)\n")));
    }
    out
}

/// How often the same line follows itself, as only children do of a function that calls itself. Code without names, such
/// as what V8 compiles, looks like that too, fifty levels deep.
fn repeats(nodes: &[FrameNode], children: &[u64], at: usize) -> usize {
    let follows = |next: usize| {
        let (node, child) = (&nodes[next - 1], &nodes[next]);
        children[next - 1] == 1 && child.depth == node.depth + 1 && child.frame == node.frame
    };
    (at + 1..nodes.len()).take_while(|&next| follows(next)).count() + 1
}

/// For each node how many children it has in the tree.
fn children(tree: &FrameTree) -> Vec<u64> {
    let mut children = vec![0; tree.nodes.len()];
    let mut path: Vec<usize> = Vec::new();
    for (at, node) in tree.nodes.iter().enumerate() {
        path.truncate(node.depth as usize);
        if let Some(&parent) = path.last() {
            children[parent] += 1;
        }
        path.push(at);
    }
    children
}

/// Completes "12 MB … in all".
pub(super) fn total_word(by: Measure) -> &'static str {
    match by {
        Measure::Peak => "alive at the peak",
        Measure::Leaked => "not freed",
        Measure::Allocations => "calls",
        Measure::Temporary => "temporary blocks",
    }
}
