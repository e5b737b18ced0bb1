//! `diff` of two native traces.

use serde::Serialize;
use twinheap_native::{Cost, CostDelta, FrameView, Measure, StackDiff};

use super::{
    ErrorJson, FrameJson, NativeSource, TotalErrorJson, delta_number, frame_words, frames_json,
    function_name, measure_word, seconds,
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
    /// True if one of the files is a sample.
    estimated: bool,
    /// Bytes between two samples on average; null if all was recorded.
    sample_interval: IntervalJson,
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
struct IntervalJson {
    a: Option<u64>,
    b: Option<u64>,
}

#[derive(Serialize)]
struct TotalsJson {
    /// Seconds.
    runtime: PairJson<f64, f64>,
    allocations: PairJson<u64, i64>,
    allocated_bytes: PairJson<u64, i64>,
    /// Null if one of the files is a sample.
    temporary: Option<PairJson<u64, i64>>,
    peak_bytes: PairJson<i64, i64>,
    leaked_bytes: PairJson<i64, i64>,
    suppressed_bytes: PairJson<i64, i64>,
    peak_rss: PairJson<Option<u64>, Option<i64>>,
    /// How far the differences are off, at most, in 95 of 100 pairs of recordings; only of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_95: Option<TotalErrorJson>,
}

#[derive(Serialize)]
struct RowJson {
    bytes: i64,
    allocations: i64,
    /// Null if one of the files is a sample.
    temporary: Option<i64>,
    peak: i64,
    leaked: i64,
    /// Only of samples, as is `significant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_95: Option<ErrorJson>,
    /// False if chance alone can make the difference in what the rows are ordered by.
    #[serde(skip_serializing_if = "Option::is_none")]
    significant: Option<bool>,
    in_a: bool,
    in_b: bool,
    frames: Vec<FrameJson>,
}

impl NativeDiffView<'_> {
    /// True if one of the recordings is a sample.
    fn is_estimated(&self) -> bool {
        self.base.is_estimated() || self.new.is_estimated()
    }

    fn has_temporary(&self) -> bool {
        self.base.heap.has_temporary() && self.new.heap.has_temporary()
    }

    /// All stacks together.
    fn total(&self) -> StackDiff {
        let (base_cost, new_cost) = (self.base.costs.total.cost, self.new.costs.total.cost);
        StackDiff { new: None, base: None, base_cost, new_cost }
    }

    /// How far a difference is off, and whether chance alone can make it; nothing if it was counted.
    fn error(&self, style: &Style, by: Measure, row: &StackDiff) -> String {
        if !self.is_estimated() {
            return String::new();
        }
        let error = i64::try_from(row.variance(by).error()).unwrap_or(i64::MAX);
        let chance = if row.is_significant(by) { "" } else { ", not significant" };
        format!("± {}{chance}", super::number(style, by, error))
    }
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
        RowJson {
            bytes,
            allocations,
            temporary: view.has_temporary().then_some(temporary),
            peak,
            leaked,
            error_95: view.is_estimated().then(|| ErrorJson::from(&row.variances())),
            significant: view.is_estimated().then(|| row.is_significant(view.by)),
            in_a: row.base.is_some(),
            in_b: row.new.is_some(),
            frames: row_frames(view, row),
        }
    };
    let selection = view.new.selection();
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-diff",
        base: view.base.file,
        file: view.new.file,
        from: selection.from,
        to: selection.to,
        estimated: view.is_estimated(),
        sample_interval: IntervalJson {
            a: view.base.heap.sample_interval(),
            b: view.new.heap.sample_interval(),
        },
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
            temporary: view.has_temporary().then(|| counts(a.cost.temporary, b.cost.temporary)),
            peak_bytes: sizes(a.cost.peak, b.cost.peak),
            leaked_bytes: sizes(a.cost.leaked, b.cost.leaked),
            suppressed_bytes: sizes(a.suppressed, b.suppressed),
            peak_rss: PairJson { a: a.peak_rss, b: b.peak_rss, delta: rss },
            error_95: view.is_estimated().then(|| TotalErrorJson::from(&view.total().variances())),
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
        NativeSource { file: &files, ..if view.new.is_estimated() { view.new } else { view.base } }
            .heading(style),
        totals_text(view, style),
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
        let error = view.error(style, view.by, row);
        let space = if presence.is_empty() || error.is_empty() { "" } else { " " };
        table.row(vec![
            delta_number(style, view.by, &delta),
            style.signed_count(delta.allocations),
            format!("{error}{space}{presence}"),
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

fn totals_text(view: &NativeDiffView<'_>, style: &Style) -> String {
    let (a, b) = (&view.base.costs.total, &view.new.costs.total);
    let mut table = Table::new(&[
        ("total", Align::Left),
        ("before", Align::Right),
        ("after", Align::Right),
        ("change", Align::Right),
        ("", Align::Left),
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
        if by == Measure::Temporary && !view.has_temporary() {
            continue;
        }
        table.row(vec![
            name.to_owned(),
            cell(by, &a.cost),
            cell(by, &b.cost),
            delta_number(style, by, &delta),
            view.error(style, by, &view.total()),
        ]);
    }
    let runtime = |ms: u64| format!("{:.2} s", seconds(ms));
    let change = (i128::from(b.runtime_ms) - i128::from(a.runtime_ms)) as f64 / 1e3;
    let change = format!("{}{:.2} s", if change < 0.0 { "−" } else { "+" }, change.abs());
    table.row(vec![
        "runtime".to_owned(),
        runtime(a.runtime_ms),
        runtime(b.runtime_ms),
        change,
        String::new(),
    ]);
    if let (Some(a), Some(b)) = (a.peak_rss, b.peak_rss) {
        let change = style.signed_size(b.wrapping_sub(a).cast_signed());
        table.row(vec!["peak RSS".to_owned(), style.size(a), style.size(b), change, String::new()]);
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
