//! `diff` of two native traces.

use serde::Serialize;
use twinheap_native::{Cost, CostDelta, FrameView, Measure, StackDiff, Totals};

use super::{
    FrameJson, NativeSource, delta_number, frame_words, frames_json, function_name, measure_word, seconds,
};
use crate::names::clean;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What a comparison of two native traces shows.
pub struct NativeDiffView<'a> {
    /// The older recording.
    pub base: NativeSource<'a>,
    /// The newer recording. What was asked for is the same of both.
    pub new: NativeSource<'a>,
    /// Stacks whose costs differ.
    pub stacks: &'a [StackDiff],
    /// The number that counts.
    pub by: Measure,
    /// Sentences on what is wrong with the files.
    pub warnings: &'a [String],
    /// Stacks to show.
    pub most: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    base: &'a str,
    file: &'a str,
    /// Seconds; null is the start.
    from: Option<f64>,
    /// Seconds; null is the end.
    to: Option<f64>,
    /// A part of a function's name that all of `stacks` pass through.
    filter_function: Option<&'a str>,
    by: &'static str,
    totals: TotalsJson,
    /// How many stacks differ, of which `stacks` has the first.
    stack_count: usize,
    stacks: Vec<RowJson>,
    warnings: &'a [String],
}

/// A number of both recordings.
#[derive(Serialize)]
struct PairJson<T, D> {
    a: T,
    b: T,
    delta: D,
}

#[derive(Serialize)]
struct TotalsJson {
    /// Seconds.
    runtime: PairJson<f64, f64>,
    allocations: PairJson<u64, i64>,
    allocated_bytes: PairJson<u64, i64>,
    temporary: PairJson<u64, i64>,
    peak_bytes: PairJson<i64, i64>,
    leaked_bytes: PairJson<i64, i64>,
    suppressed_bytes: PairJson<i64, i64>,
    peak_rss: PairJson<Option<u64>, Option<i64>>,
}

#[derive(Serialize)]
struct RowJson {
    bytes: i64,
    allocations: i64,
    temporary: i64,
    peak: i64,
    leaked: i64,
    in_a: bool,
    in_b: bool,
    frames: Vec<FrameJson>,
}

fn counts(a: u64, b: u64) -> PairJson<u64, i64> {
    PairJson { a, b, delta: b.wrapping_sub(a).cast_signed() }
}

fn sizes(a: i64, b: i64) -> PairJson<i64, i64> {
    PairJson { a, b, delta: b.wrapping_sub(a) }
}

/// The stacks that differ most, and the totals.
pub fn native_diff_json<'a>(view: &NativeDiffView<'a>) -> impl Serialize + use<'a> {
    let (a, b) = (&view.base.costs.total, &view.new.costs.total);
    let rss = a.peak_rss.zip(b.peak_rss).map(|(a, b)| b.wrapping_sub(a).cast_signed());
    let row = |row: &StackDiff| {
        let CostDelta { allocations, temporary, bytes, leaked, peak } = row.delta();
        let (in_a, in_b) = (row.base.is_some(), row.new.is_some());
        RowJson { bytes, allocations, temporary, peak, leaked, in_a, in_b, frames: row_frames(view, row) }
    };
    let selection = view.new.selection();
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-diff",
        base: view.base.file,
        file: view.new.file,
        from: selection.from,
        to: selection.to,
        filter_function: view.new.function,
        by: measure_word(view.by),
        totals: TotalsJson {
            runtime: PairJson {
                a: seconds(a.runtime_ms),
                b: seconds(b.runtime_ms),
                delta: (i128::from(b.runtime_ms) - i128::from(a.runtime_ms)) as f64 / 1e3,
            },
            allocations: counts(a.cost.allocations, b.cost.allocations),
            allocated_bytes: counts(a.cost.bytes, b.cost.bytes),
            temporary: counts(a.cost.temporary, b.cost.temporary),
            peak_bytes: sizes(a.cost.peak, b.cost.peak),
            leaked_bytes: sizes(a.cost.leaked, b.cost.leaked),
            suppressed_bytes: sizes(a.suppressed, b.suppressed),
            peak_rss: PairJson { a: a.peak_rss, b: b.peak_rss, delta: rss },
        },
        stack_count: view.stacks.len(),
        stacks: view.stacks.iter().take(view.most).map(row).collect(),
        warnings: view.warnings,
    }
}

fn row_frames(view: &NativeDiffView<'_>, row: &StackDiff) -> Vec<FrameJson> {
    match (row.new, row.base) {
        (Some(stack), _) => frames_json(view.new.heap, stack),
        (None, Some(stack)) => frames_json(view.base.heap, stack),
        (None, None) => Vec::new(),
    }
}

/// The totals, and the stacks that differ most.
pub fn native_diff_text(view: &NativeDiffView<'_>, style: &Style) -> String {
    let files = format!("{} → {}", clean(view.base.file, 100), clean(view.new.file, 100));
    let mut out = format!(
        "{}\n{}\n",
        NativeSource { file: &files, ..view.new }.heading(style),
        totals_text(&view.base.costs.total, &view.new.costs.total, style),
    );
    if view.stacks.is_empty() {
        out.push_str("No stack costs more or less.\n");
        return out;
    }
    let mut table = Table::new(&[
        (measure_word(view.by), Align::Right),
        ("calls", Align::Right),
        ("", Align::Left),
        ("call site ← callers", Align::Left),
    ]);
    let room = style.width.saturating_sub(34).max(40);
    for row in view.stacks.iter().take(view.most) {
        let delta = row.delta();
        let presence = match (row.base, row.new) {
            (None, _) => "new",
            (_, None) => "gone",
            _ => "",
        };
        table.row(vec![
            delta_number(style, view.by, &delta),
            style.signed_count(delta.allocations),
            presence.to_owned(),
            clean(&row_words(view, row), room),
        ]);
    }
    out.push_str(&table.render(style));
    if let Some(rest) = view.stacks.len().checked_sub(view.most).filter(|&rest| rest > 0) {
        let rest = style.count(rest as u64);
        out.push_str(&style.dim(&format!("… {rest} more stacks (--limit N)\n")));
    }
    out
}

fn totals_text(a: &Totals, b: &Totals, style: &Style) -> String {
    let mut table = Table::new(&[
        ("total", Align::Left),
        ("before", Align::Right),
        ("after", Align::Right),
        ("change", Align::Right),
    ]);
    let delta = CostDelta::between(&a.cost, &b.cost);
    let measures = [
        ("calls", Measure::Allocations),
        ("temporary", Measure::Temporary),
        ("peak", Measure::Peak),
        ("not freed", Measure::Leaked),
    ];
    let cell = |by: Measure, cost: &Cost| super::number(style, by, by.of(cost));
    for (name, by) in measures {
        table.row(vec![
            name.to_owned(),
            cell(by, &a.cost),
            cell(by, &b.cost),
            delta_number(style, by, &delta),
        ]);
    }
    let runtime = |ms: u64| format!("{:.2} s", seconds(ms));
    let change = (i128::from(b.runtime_ms) - i128::from(a.runtime_ms)) as f64 / 1e3;
    let change = format!("{}{:.2} s", if change < 0.0 { "−" } else { "+" }, change.abs());
    table.row(vec!["runtime".to_owned(), runtime(a.runtime_ms), runtime(b.runtime_ms), change]);
    if let (Some(a), Some(b)) = (a.peak_rss, b.peak_rss) {
        let change = style.signed_size(b.wrapping_sub(a).cast_signed());
        table.row(vec!["peak RSS".to_owned(), style.size(a), style.size(b), change]);
    }
    table.render(style)
}

fn row_words(view: &NativeDiffView<'_>, row: &StackDiff) -> String {
    let (heap, stack) = match (row.new, row.base) {
        (Some(stack), _) => (view.new.heap, stack),
        (None, Some(stack)) => (view.base.heap, stack),
        (None, None) => return String::new(),
    };
    let mut frames = heap.places(stack).flat_map(|ip| heap.frames(ip));
    let Some(first) = frames.next() else { return "(no stack)".to_owned() };
    let caller = |frame: FrameView<'_>| format!(" ← {}", function_name(&frame, view.new.full_names));
    let callers: String = frames.take(6).map(caller).collect();
    format!("{}{callers}", frame_words(&first, view.new.full_names))
}
