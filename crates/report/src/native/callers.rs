//! `tree --caller-callee` of a native trace.

use serde::Serialize;
use twinheap_native::{CallEdge, CallerCallee, FrameNo, FrameTable, FunctionCost, Identity, Measure};

use super::tree::{LineJson, line_json, line_words, total_word};
use super::{CostJson, NativeSource, SelectionJson, measure_word, number};
use crate::names::clean;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the list of functions shows.
pub struct CallersView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// What the numbers of functions mean.
    pub table: &'a FrameTable<'a>,
    /// The functions.
    pub callers: &'a CallerCallee,
    /// What makes two functions the same.
    pub identity: Identity,
    /// The number that counts.
    pub by: Measure,
    /// Functions with less are not printed.
    pub least: u64,
    /// Functions to print; JSON has all.
    pub most: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    by: &'static str,
    total: CostJson,
    functions: Vec<FunctionJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct FunctionJson {
    #[serde(flatten)]
    line: LineJson,
    #[serde(rename = "self")]
    own: CostJson,
    inclusive: CostJson,
    callers: Vec<CallJson>,
    callees: Vec<CallJson>,
}

#[derive(Serialize)]
struct CallJson {
    /// Position in `functions`.
    function: usize,
    #[serde(flatten)]
    cost: CostJson,
}

/// All functions with their callers and callees.
pub fn callers_json<'a>(view: &CallersView<'a>) -> impl Serialize + use<'a> {
    let mut position = vec![0; view.table.len()];
    for (at, function) in view.callers.functions.iter().enumerate() {
        position[function.frame.index()] = at;
    }
    let calls = |edges: &[CallEdge], end: fn(&CallEdge) -> FrameNo| {
        let call = |edge: &CallEdge| CallJson {
            function: position[end(edge).index()],
            cost: view.source.cost_json(&edge.cost),
        };
        edges.iter().map(call).collect()
    };
    let function = |function: &FunctionCost| FunctionJson {
        line: line_json(view.table, function.frame, view.identity),
        own: view.source.cost_json(&function.own),
        inclusive: view.source.cost_json(&function.inclusive),
        callers: calls(view.callers.callers(function.frame), |edge| edge.caller),
        callees: calls(view.callers.callees(function.frame), |edge| edge.callee),
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-callers",
        file: view.source.file,
        selection: view.source.selection(),
        by: measure_word(view.by),
        total: view.source.cost_json(&view.source.costs.total.cost),
        functions: view.callers.functions.iter().map(function).collect(),
        warnings: view.source.warnings,
    }
}

/// Callers and callees to print of a function.
const CALLS: usize = 3;

/// The functions that cost most, each with its largest callers and callees.
pub fn callers_text(view: &CallersView<'_>, style: &Style) -> String {
    let (source, by) = (&view.source, view.by);
    let whole = source.whole(by);
    let total = number(style, by, by.of(&source.costs.total.cost));
    let mut out = format!("{}{total} {} in all\n\n", source.heading(style), total_word(by));
    let mut table = Table::new(&[
        ("self", Align::Right),
        ("inclusive", Align::Right),
        ("", Align::Right),
        ("calls", Align::Right),
        ("function ← callers → callees", Align::Left),
    ]);
    let room = style.width.saturating_sub(42).max(30);
    let words = |frame| line_words(view.table, frame, view.identity, source.full_names);
    let shown = |function: &&FunctionCost| by.of(&function.inclusive).unsigned_abs() >= view.least.max(1);
    let functions: Vec<&FunctionCost> = view.callers.functions.iter().filter(shown).collect();
    for function in functions.iter().take(view.most) {
        let value = by.of(&function.inclusive);
        table.row(vec![
            number(style, by, by.of(&function.own)),
            number(style, by, value),
            style.percent(value.unsigned_abs(), whole),
            style.count(function.inclusive.allocations),
            clean(&words(function.frame), room),
        ]);
        let mut calls = |edges: &[CallEdge], arrow: &str, end: fn(&CallEdge) -> FrameNo| {
            let costs_something = |edge: &&CallEdge| by.of(&edge.cost) != 0;
            for edge in edges.iter().filter(costs_something).take(CALLS) {
                let value = by.of(&edge.cost);
                table.row(vec![
                    String::new(),
                    number(style, by, value),
                    style.percent(value.unsigned_abs(), whole),
                    style.count(edge.cost.allocations),
                    clean(&format!("   {arrow} {}", words(end(edge))), room),
                ]);
            }
        };
        calls(view.callers.callers(function.frame), "←", |edge| edge.caller);
        calls(view.callers.callees(function.frame), "→", |edge| edge.callee);
    }
    if table.is_empty() {
        out.push_str("Nothing to show.\n");
        return out;
    }
    out.push_str(&table.render(style));
    if let Some(rest) = functions.len().checked_sub(view.most).filter(|&rest| rest > 0) {
        let rest = style.count(rest as u64);
        out.push_str(&style.dim(&format!("… {rest} more functions (--limit N, or --json for all)\n")));
    }
    out
}
