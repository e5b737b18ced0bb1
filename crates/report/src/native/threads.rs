//! `tree --per thread` of a native trace.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{Cost, Measure, ThreadCost, ThreadCosts};

use super::tree::total_word;
use super::{CostJson, NativeSource, SelectionJson, measure_word, number};
use crate::names::{clean, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What a recording knows of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadName {
    /// The recording's number of it.
    pub thread: u32,
    /// The kernel's number.
    pub tid: u32,
    /// Its name; empty if it has none.
    pub name: Vec<u8>,
}

/// What the list of threads shows.
pub struct ThreadsView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// The threads.
    pub threads: &'a ThreadCosts,
    /// What they are called, as far as that is known.
    pub names: &'a [ThreadName],
    /// The number that counts.
    pub by: Measure,
    /// Threads to print; JSON has all.
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
    threads: Vec<ThreadJson>,
    shared: SharedJson,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct ThreadJson {
    thread: u32,
    tid: Option<u32>,
    name: Option<Box<RawValue>>,
    #[serde(flatten)]
    cost: CostJson,
}

/// What is alive and may be of one thread or another.
#[derive(Serialize)]
struct SharedJson {
    peak: i64,
    leaked: i64,
    /// Only of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_95: Option<SharedErrorJson>,
}

#[derive(Serialize)]
struct SharedErrorJson {
    peak: u64,
    leaked: u64,
}

impl ThreadsView<'_> {
    fn name(&self, thread: u32) -> Option<&ThreadName> {
        self.names.iter().find(|name| name.thread == thread)
    }
}

/// All threads.
pub fn threads_json<'a>(view: &ThreadsView<'a>) -> impl Serialize + use<'a> {
    let thread = |thread: &ThreadCost| {
        let name = view.name(thread.thread);
        ThreadJson {
            thread: thread.thread,
            tid: name.map(|name| name.tid),
            name: name.filter(|name| !name.name.is_empty()).map(|name| json_bytes(&name.name)),
            cost: view.source.cost_json(&thread.cost),
        }
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-threads",
        file: view.source.file,
        selection: view.source.selection(),
        by: measure_word(view.by),
        total: view.source.cost_json(&view.source.costs.total.cost),
        threads: view.threads.threads.iter().map(thread).collect(),
        shared: SharedJson {
            peak: view.threads.shared.peak,
            leaked: view.threads.shared.leaked,
            error_95: view.source.is_estimated().then(|| SharedErrorJson {
                peak: view.threads.shared.variance.peak.error(),
                leaked: view.threads.shared.variance.leaked.error(),
            }),
        },
        warnings: view.source.warnings,
    }
}

/// The threads that cost most.
pub fn threads_text(view: &ThreadsView<'_>, style: &Style) -> String {
    let (source, by) = (&view.source, view.by);
    let whole = source.whole(by);
    let total = number(style, by, by.of(&source.costs.total.cost));
    let mut out = format!("{}{total} {} in all\n\n", source.heading(style), total_word(by));
    let mut table = Table::new(&[
        (measure_word(by), Align::Right),
        ("", Align::Right),
        ("", Align::Left),
        ("calls", Align::Right),
        ("allocated", Align::Right),
        ("thread", Align::Left),
    ]);
    let mut row = |cost: &Cost, words: &str| {
        let value = by.of(cost);
        table.row(vec![
            number(style, by, value),
            style.percent(value.unsigned_abs(), whole),
            style.bar(value.unsigned_abs(), whole, 10),
            style.count(cost.allocations),
            style.size(cost.bytes),
            clean(words, style.width.saturating_sub(52).max(24)),
        ]);
    };
    for thread in view.threads.threads.iter().take(view.most) {
        let words = match view.name(thread.thread) {
            Some(name) => format!("{}  {}", name.tid, String::from_utf8_lossy(&name.name)),
            None => format!("number {}", thread.thread),
        };
        row(&thread.cost, words.trim_end());
    }
    if by.of(&view.threads.shared) != 0 {
        row(&view.threads.shared, "(one thread or another: same sizes, same stacks)");
    }
    if table.is_empty() {
        out.push_str("Nothing to show.\n");
        return out;
    }
    out.push_str(&table.render(style));
    if let Some(rest) = view.threads.threads.len().checked_sub(view.most).filter(|&rest| rest > 0) {
        let rest = style.count(rest as u64);
        out.push_str(&style.dim(&format!("… {rest} more threads (--limit N, or --json for all)\n")));
    }
    out
}
