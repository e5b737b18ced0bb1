//! `summary` of a native trace, and what the other verbs for native traces share.

mod callers;
mod cost;
mod diff;
mod groups;
mod histogram;
mod leaks;
mod lifetimes;
mod lost;
mod outside;
mod reallocs;
mod threads;
mod timeline;
mod tree;
mod words;

pub use callers::{CallersView, callers_json, callers_text};
pub use diff::{NativeDiffView, native_diff_json, native_diff_text};
pub use groups::{GroupsView, groups_json, groups_text};
pub use histogram::{HistogramView, histogram_json, histogram_text};
pub use leaks::{
    NativeLeaksView, StepLabel, native_leaks_brief, native_leaks_json, native_leaks_picture,
    native_leaks_text,
};
pub use lifetimes::{LifetimesView, lifetimes_json, lifetimes_text};
pub use reallocs::{ReallocsView, reallocs_json, reallocs_text};
pub use threads::{ThreadName, ThreadsView, threads_json, threads_text};
pub use timeline::{TimelineView, timeline_json, timeline_text};
pub use tree::{TreeView, tree_json, tree_text};

use std::ops::Range;

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{
    CallSite, Cost, CostDelta, Costs, FrameView, Lost, Measure, MergedStacks, NativeHeap, call_sites,
    outside_malloc,
};
use twinheap_trace::{IpId, Trace, TraceId};

use self::cost::{CostJson, ErrorJson, SelectionJson, TotalErrorJson};
use self::lost::{LostJson, lost_json, lost_text, lost_words};
use self::words::{callers_words, function_name, site_words, stack_words};
pub(crate) use self::words::{file_name, frame_words, kind, short_name};
use crate::names::{NameJson, clean, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// A recording and what of it was asked for: the part that all verbs for native traces have in common.
#[derive(Clone, Copy)]
pub struct NativeSource<'a> {
    /// The recording.
    pub heap: &'a NativeHeap,
    /// Its costs, of the stretch and the stacks below.
    pub costs: &'a Costs,
    /// The file's name, for the heading.
    pub file: &'a str,
    /// Sentences on what is wrong with the file.
    pub warnings: &'a [String],
    /// The stretch of time in milliseconds, if not all of it.
    pub ms: Option<&'a Range<u64>>,
    /// A part of a function's name that the stacks have to pass through.
    pub function: Option<&'a str>,
    /// Names of functions with their parameters and template arguments.
    pub full_names: bool,
}

/// What the summary of a native trace shows.
pub struct NativeView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// Call sites or stacks to show of each kind.
    pub most: usize,
    /// Stacks to print below each call site.
    pub stacks_of_site: usize,
    /// Group stacks by call site in the text.
    pub is_merged: bool,
    /// List the patterns that suppressed something.
    pub show_suppressions: bool,
    /// What nothing pointed to at the exit, if somebody looked and the whole recording is asked for.
    pub lost: Option<&'a Lost>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    command: Box<RawValue>,
    /// Seconds.
    runtime: f64,
    allocations: u64,
    allocated_bytes: u64,
    /// Null of a sample.
    temporary: Option<u64>,
    /// Null where the file has no pointers, too.
    temporary_exact: Option<u64>,
    peak_bytes: i64,
    /// Seconds since the recording began.
    peak_time: f64,
    leaked_bytes: i64,
    suppressed_bytes: i64,
    /// Only if somebody looked, as is `lost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<LostJson>,
    /// Blocks that were left out, and are in no other number; only if some were to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    culled: Option<CulledJson>,
    peak_rss: Option<u64>,
    attached: bool,
    /// Only of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_95: Option<TotalErrorJson>,
    /// Null where the file doesn't know.
    outside_malloc: Option<outside::OutsideJson>,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    suppressions: Vec<SuppressionJson>,
    stacks: StacksJson,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct CulledJson {
    allocations: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SuppressionJson {
    pattern: Box<RawValue>,
    stacks: u64,
    leaked_bytes: i64,
}

#[derive(Serialize)]
struct StacksJson {
    peak: Vec<StackJson>,
    leaked: Vec<StackJson>,
    allocations: Vec<StackJson>,
    /// Null of a sample.
    temporary: Option<Vec<StackJson>>,
}

#[derive(Serialize)]
struct StackJson {
    #[serde(flatten)]
    cost: CostJson,
    frames: Vec<FrameJson>,
}

#[derive(Serialize)]
struct FrameJson {
    function: Option<NameJson>,
    module: Option<NameJson>,
    file: Option<NameJson>,
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    inlined: bool,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u64>,
}

/// The document of the contract.
pub fn native_json<'a>(view: &NativeView<'a>) -> impl Serialize + use<'a> {
    let source = view.source;
    let (heap, costs) = (source.heap, source.costs);
    let total = &costs.total;
    let merged = MergedStacks::new(heap, costs);
    let stacks = |by| {
        let (stacks, _) = merged.top(by, view.most);
        stacks.iter().map(|stack| stack_json(&source, stack.stack, &stack.cost)).collect()
    };
    let suppressions = costs.suppressions.iter().map(|hits| SuppressionJson {
        pattern: json_bytes(&hits.pattern),
        stacks: hits.stacks,
        leaked_bytes: hits.leaked,
    });
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-trace",
        file: source.file,
        command: json_bytes(&heap.trace.command),
        runtime: seconds(total.runtime_ms),
        allocations: total.cost.allocations,
        allocated_bytes: total.cost.bytes,
        temporary: heap.has_temporary().then_some(total.cost.temporary),
        temporary_exact: heap.has_exact_temporary().then_some(total.cost.temporary_exact),
        peak_bytes: total.cost.peak,
        peak_time: seconds(total.peak_ms),
        leaked_bytes: total.cost.leaked,
        suppressed_bytes: total.suppressed,
        lost_bytes: view.lost.map(|lost| lost.total.bytes()),
        lost: view.lost.map(|lost| lost_json(&source, lost, view.most)),
        culled: heap.trace.culled().map(|(allocations, bytes)| CulledJson { allocations, bytes }),
        peak_rss: total.peak_rss,
        attached: heap.trace.is_attached,
        error_95: source.is_estimated().then(|| TotalErrorJson::from(&total.cost.variance)),
        outside_malloc: outside_malloc(heap)
            .map(|outside| outside::outside_json(&outside, outside::allocators(&heap.trace))),
        selection: source.selection(),
        suppressions: suppressions.collect(),
        stacks: StacksJson {
            peak: stacks(Measure::Peak),
            leaked: stacks(Measure::Leaked),
            allocations: stacks(Measure::Allocations),
            temporary: heap.has_temporary().then(|| stacks(Measure::Temporary)),
        },
        warnings: source.warnings,
    }
}

fn stack_json(source: &NativeSource<'_>, stack: TraceId, cost: &Cost) -> StackJson {
    StackJson { cost: source.cost_json(cost), frames: frames_json(source.heap, stack) }
}

/// The lines of a stack, leaf first.
fn frames_json(heap: &NativeHeap, stack: TraceId) -> Vec<FrameJson> {
    heap.places(stack).flat_map(|ip| heap.frames(ip)).map(|frame| frame_json(&frame)).collect()
}

/// The lines of a place; none for place 0.
fn place_json(heap: &NativeHeap, ip: IpId) -> Vec<FrameJson> {
    if ip.is_zero() { Vec::new() } else { heap.frames(ip).map(|frame| frame_json(&frame)).collect() }
}

fn frame_json(frame: &FrameView<'_>) -> FrameJson {
    let name = |text: &[u8]| (!text.is_empty()).then(|| NameJson::new(text));
    FrameJson {
        function: name(frame.function),
        module: name(frame.module),
        file: name(frame.file),
        line: (frame.line > 0).then_some(frame.line),
        column: (frame.column > 0).then_some(frame.column),
        inlined: frame.is_inlined,
        kind: kind(frame),
        // The only thing there is to say about a frame without a name.
        address: frame.function.is_empty().then_some(frame.address),
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

/// The word for what a measure counts.
fn measure_word(by: Measure) -> &'static str {
    match by {
        Measure::Peak => "peak",
        Measure::Leaked => "leaked",
        Measure::Allocations => "allocations",
        Measure::Temporary => "temporary",
    }
}

fn is_bytes(by: Measure) -> bool {
    matches!(by, Measure::Peak | Measure::Leaked)
}

/// A number in the measure's unit.
fn number(style: &Style, by: Measure, number: i64) -> String {
    if is_bytes(by) { signed(style, number) } else { style.count(number.unsigned_abs()) }
}

/// The summary in words: totals, and the call sites that cost most.
pub fn native_text(view: &NativeView<'_>, style: &Style) -> String {
    let source = &view.source;
    let trace = &source.heap.trace;
    let mut out = format!(
        "{}native trace of {}: {}\n\n{}",
        source.heading(style),
        recorder(trace),
        clean(&String::from_utf8_lossy(&trace.command), 200),
        totals_text(view, style),
    );
    if let Some(outside) = outside_malloc(source.heap) {
        out.push_str(&outside::outside_text(&outside, style));
        out.push_str(&outside::allocators_text(outside::allocators(trace), style));
    }
    let lists: [(&str, Measure); 4] = [
        ("Alive at the peak:", Measure::Peak),
        ("Not freed:", Measure::Leaked),
        ("Most calls:", Measure::Allocations),
        ("Most temporary blocks:", Measure::Temporary),
    ];
    let merged = (!view.is_merged).then(|| MergedStacks::new(source.heap, source.costs));
    for (heading, by) in lists {
        if by == Measure::Temporary && !source.heap.has_temporary() {
            continue;
        }
        let list = match &merged {
            None => sites_text(view, style, by),
            Some(merged) => stacks_text(view, style, merged, by),
        };
        if let Some(list) = list {
            out.push_str(&format!("\n{heading}\n{list}"));
        }
    }
    if let Some(list) = view.lost.and_then(|lost| lost_text(source, lost, view.most, style)) {
        out.push_str(&format!("\nLost, nothing pointed to it at the exit:\n{list}"));
    }
    if view.show_suppressions {
        out.push_str(&suppressions_text(source.costs, style));
    }
    out
}

/// The program that recorded a trace.
fn recorder(trace: &Trace) -> String {
    if let Some(recording) = &trace.recording {
        return clean(&recording.meta.recorder, 60);
    }
    let version = trace.heaptrack_version;
    let raw = if trace.is_raw { ", raw" } else { "" };
    format!("heaptrack {}.{}.{}{raw}", version >> 16, version >> 8 & 0xFF, version & 0xFF)
}

fn totals_text(view: &NativeView<'_>, style: &Style) -> String {
    let source = &view.source;
    let total = &source.costs.total;
    let runtime = match source.ms {
        Some(ms) => ms.end.min(total.runtime_ms).saturating_sub(ms.start),
        None => total.runtime_ms,
    };
    let runtime = seconds(runtime);
    let mut temporary =
        format!("{} of the calls", style.percent(total.cost.temporary, total.cost.allocations));
    if source.heap.has_exact_temporary() {
        temporary.push_str(&format!(", {} by address", style.count(total.cost.temporary_exact)));
    }
    let mut leaked = source.error(style, Measure::Leaked, &total.cost);
    if total.suppressed != 0 {
        let suppressed = format!("and {} of known leaks, suppressed", signed(style, total.suppressed));
        leaked = joined(&leaked, suppressed);
    }
    let rate = if runtime > 0.0 { total.cost.allocations as f64 / runtime } else { 0.0 };
    let calls = format!("{} a second", style.count(rate as u64));
    let calls = joined(&source.error(style, Measure::Allocations, &total.cost), calls);
    let peak = format!("after {:.2} s", seconds(total.peak_ms));
    let peak = joined(&source.error(style, Measure::Peak, &total.cost), peak);
    let mut rows = vec![
        ("runtime", format!("{runtime:.2} s"), String::new()),
        ("calls", style.count(total.cost.allocations), calls),
        ("allocated", style.size(total.cost.bytes), source.bytes_error(style, &total.cost)),
        ("temporary", style.count(total.cost.temporary), temporary),
        ("peak", signed(style, total.cost.peak), peak),
        ("not freed", signed(style, total.cost.leaked), leaked),
    ];
    if let Some((blocks, bytes)) = source.heap.trace.culled() {
        let more = format!("in {} short-lived blocks, in no other number", style.count(blocks));
        rows.push(("left out", style.size(bytes), more));
    }
    if let Some(lost) = view.lost {
        rows.push(("lost", style.size(lost.total.bytes()), lost_words(lost, style)));
    }
    if !source.heap.has_temporary() {
        rows.retain(|(name, ..)| *name != "temporary");
    }
    let mut table = Table::new(&[("total", Align::Left), ("", Align::Right), ("", Align::Left)]);
    for (name, value, more) in rows {
        table.row(vec![name.to_owned(), value, more]);
    }
    if let Some(rss) = total.peak_rss {
        table.row(vec!["peak RSS".to_owned(), style.size(rss), "with the recorder's own".to_owned()]);
    }
    table.render(style)
}

/// Two remarks, of which the first may be missing.
fn joined(first: &str, second: String) -> String {
    if first.is_empty() { second } else { format!("{first}, {second}") }
}

/// A number with its error, if it has one.
fn joined_number(number: &str, error: &str) -> String {
    if error.is_empty() { number.to_owned() } else { format!("{number} {error}") }
}

/// The call sites that cost most; nothing if none costs anything.
fn sites_text(view: &NativeView<'_>, style: &Style, by: Measure) -> Option<String> {
    let source = &view.source;
    let all = call_sites(source.heap, source.costs, by);
    let shown = |site: &&CallSite| by.of(&site.cost) != 0;
    all.sites.first().filter(shown)?;
    let mut columns = vec![
        (if is_bytes(by) { "bytes" } else { "count" }, Align::Right),
        ("", Align::Right),
        ("calls", Align::Right),
        ("stacks", Align::Right),
        ("call site ← callers of its largest stack", Align::Left),
    ];
    let has_error = source.is_estimated();
    if has_error {
        columns.insert(1, ("", Align::Right));
    }
    let mut table = Table::new(&columns);
    let room = style.width.saturating_sub(if has_error { 52 } else { 40 }).max(40);
    let row = |cost: &Cost, stacks: String, words: &str| {
        let mut cells = vec![
            number(style, by, by.of(cost)),
            style.percent(by.of(cost).unsigned_abs(), source.whole(by)),
            style.count(cost.allocations),
            stacks,
            clean(words, room),
        ];
        if has_error {
            cells.insert(1, source.error(style, by, cost));
        }
        cells
    };
    for site in all.sites.iter().filter(shown).take(view.most) {
        let stacks = &all.stacks[site.stacks.clone()];
        table.row(row(&site.cost, style.count(stacks.len() as u64), &site_words(source, &all, site)));
        for stack in stacks.iter().filter(|stack| by.of(&stack.cost) != 0).take(view.stacks_of_site) {
            table.row(row(&stack.cost, String::new(), &format!("  {}", stack_words(source, stack.stack))));
        }
    }
    let mut out = table.render(style);
    let rest = all.sites.iter().filter(shown).count().saturating_sub(view.most);
    if rest > 0 {
        out.push_str(&style.dim(&format!("… {} more call sites (--limit N)\n", style.count(rest as u64))));
    }
    Some(out)
}

/// The stacks that cost most, line by line.
fn stacks_text(view: &NativeView<'_>, style: &Style, merged: &MergedStacks, by: Measure) -> Option<String> {
    let source = &view.source;
    let (stacks, all) = merged.top(by, view.most);
    if all == 0 {
        return None;
    }
    let mut out = String::new();
    for stack in &stacks {
        let value = by.of(&stack.cost);
        out.push_str(&format!(
            "{} ({}) in {} calls from\n",
            style.bold(&joined_number(&number(style, by, value), &source.error(style, by, &stack.cost))),
            style.percent(value.unsigned_abs(), source.whole(by)),
            style.count(stack.cost.allocations),
        ));
        for frame in source.heap.places(stack.stack).flat_map(|ip| source.heap.frames(ip)) {
            out.push_str(&format!(
                "    {}\n",
                clean(&frame_words(&frame, source.full_names), style.width - 4)
            ));
        }
    }
    if all > stacks.len() {
        let rest = style.count((all - stacks.len()) as u64);
        out.push_str(&style.dim(&format!("… {rest} more stacks (--limit N)\n")));
    }
    Some(out)
}

fn suppressions_text(costs: &Costs, style: &Style) -> String {
    if costs.suppressions.is_empty() {
        return "\nNothing was suppressed.\n".to_owned();
    }
    let mut table =
        Table::new(&[("suppressed", Align::Right), ("stacks", Align::Right), ("pattern", Align::Left)]);
    for hits in &costs.suppressions {
        table.row(vec![
            signed(style, hits.leaked),
            style.count(hits.stacks),
            clean(&String::from_utf8_lossy(&hits.pattern), style.width.saturating_sub(24).max(20)),
        ]);
    }
    format!("\n{}", table.render(style))
}

/// A size that may be negative, as where a stretch of time frees what was there before.
pub(crate) fn signed(style: &Style, bytes: i64) -> String {
    if bytes < 0 { style.signed_size(bytes) } else { style.size(bytes.unsigned_abs()) }
}

/// A difference in the measure's unit.
fn delta_number(style: &Style, by: Measure, delta: &CostDelta) -> String {
    let delta = delta.of(by);
    if is_bytes(by) { style.signed_size(delta) } else { style.signed_count(delta) }
}
