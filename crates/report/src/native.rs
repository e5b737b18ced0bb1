//! `summary` of a native trace, and what the other verbs for native traces share.

mod callers;
mod diff;
mod groups;
mod histogram;
mod leaks;
mod lifetimes;
mod threads;
mod timeline;
mod tree;

pub use callers::{CallersView, callers_json, callers_text};
pub use diff::{NativeDiffView, native_diff_json, native_diff_text};
pub use groups::{GroupsView, groups_json, groups_text};
pub use histogram::{HistogramView, histogram_json, histogram_text};
pub use leaks::{NativeLeaksView, StepLabel, native_leaks_json, native_leaks_text};
pub use lifetimes::{LifetimesView, lifetimes_json, lifetimes_text};
pub use threads::{ThreadName, ThreadsView, threads_json, threads_text};
pub use timeline::{TimelineView, timeline_json, timeline_text};
pub use tree::{TreeView, tree_json, tree_text};

use std::ops::Range;

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{
    CallSite, CallSites, Cost, CostDelta, Costs, FrameView, Measure, NativeHeap, call_sites, merged_stacks,
};
use twinheap_trace::{FrameKind, IpId, Trace, TraceId};

use crate::names::{clean, json_bytes};
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
    temporary: u64,
    /// Null where the file has no pointers.
    temporary_exact: Option<u64>,
    peak_bytes: i64,
    /// Seconds since the recording began.
    peak_time: f64,
    leaked_bytes: i64,
    suppressed_bytes: i64,
    peak_rss: Option<u64>,
    attached: bool,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    suppressions: Vec<SuppressionJson>,
    stacks: StacksJson,
    warnings: &'a [String],
}

/// What of a recording was asked for.
#[derive(Serialize)]
struct SelectionJson<'a> {
    /// Seconds; null is the start.
    from: Option<f64>,
    /// Seconds; null is the end.
    to: Option<f64>,
    /// The costs of the stacks that pass through the function, if that was asked.
    filter: Option<FilterJson<'a>>,
}

#[derive(Serialize)]
struct FilterJson<'a> {
    function: &'a str,
    #[serde(flatten)]
    cost: CostJson,
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
    temporary: Vec<StackJson>,
}

#[derive(Serialize)]
struct StackJson {
    #[serde(flatten)]
    cost: CostJson,
    frames: Vec<FrameJson>,
}

#[derive(Serialize)]
struct CostJson {
    /// All that was ever allocated.
    bytes: u64,
    allocations: u64,
    temporary: u64,
    peak: i64,
    leaked: i64,
}

impl From<&Cost> for CostJson {
    fn from(cost: &Cost) -> Self {
        let Cost { allocations, temporary, bytes, leaked, peak, .. } = *cost;
        CostJson { bytes, allocations, temporary, peak, leaked }
    }
}

#[derive(Serialize)]
struct FrameJson {
    function: Option<Box<RawValue>>,
    module: Option<Box<RawValue>>,
    file: Option<Box<RawValue>>,
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
    let stacks = |by| {
        let (stacks, _) = merged_stacks(heap, costs, by, view.most);
        stacks.iter().map(|stack| stack_json(heap, stack.stack, &stack.cost)).collect()
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
        temporary: total.cost.temporary,
        temporary_exact: heap.has_exact_temporary().then_some(total.cost.temporary_exact),
        peak_bytes: total.cost.peak,
        peak_time: seconds(total.peak_ms),
        leaked_bytes: total.cost.leaked,
        suppressed_bytes: total.suppressed,
        peak_rss: total.peak_rss,
        attached: heap.trace.is_attached,
        selection: source.selection(),
        suppressions: suppressions.collect(),
        stacks: StacksJson {
            peak: stacks(Measure::Peak),
            leaked: stacks(Measure::Leaked),
            allocations: stacks(Measure::Allocations),
            temporary: stacks(Measure::Temporary),
        },
        warnings: source.warnings,
    }
}

impl<'a> NativeSource<'a> {
    fn selection(&self) -> SelectionJson<'a> {
        SelectionJson {
            from: self.ms.map(|ms| seconds(ms.start)),
            to: self.ms.filter(|ms| ms.end < u64::MAX).map(|ms| seconds(ms.end)),
            filter: self
                .function
                .map(|function| FilterJson { function, cost: CostJson::from(&self.costs.sum()) }),
        }
    }

    /// The file, and what of it is shown.
    fn heading(&self, style: &Style) -> String {
        let mut out = style.bold(&clean(self.file, 200));
        if let Some(ms) = self.ms {
            let from = format!("from {} s", seconds(ms.start));
            let to = if ms.end < u64::MAX { format!(" to {} s", seconds(ms.end)) } else { String::new() };
            out.push_str(&format!("\n{from}{to}: growth since then, and calls in between"));
        }
        if let Some(function) = self.function {
            out.push_str(&format!(
                "\nonly stacks through functions with `{}` in their name",
                clean(function, 80)
            ));
        }
        out.push('\n');
        out
    }

    /// What everything together costs, by a measure, whatever its sign.
    fn whole(&self, by: Measure) -> u64 {
        by.of(&self.costs.total.cost).unsigned_abs()
    }
}

fn stack_json(heap: &NativeHeap, stack: TraceId, cost: &Cost) -> StackJson {
    StackJson { cost: CostJson::from(cost), frames: frames_json(heap, stack) }
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
    let name = |text: &[u8]| (!text.is_empty()).then(|| json_bytes(text));
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

/// The word for a kind of code. What has no name, but lies in a module, is that module's machine code.
pub(crate) fn kind(frame: &FrameView<'_>) -> &'static str {
    match frame.kind {
        FrameKind::Builtin => "builtin",
        FrameKind::Js => "js",
        FrameKind::Unknown if frame.module.is_empty() => "unknown",
        FrameKind::Unknown | FrameKind::Native => "native",
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
        totals_text(source, style),
    );
    let lists: [(&str, Measure); 4] = [
        ("Alive at the peak:", Measure::Peak),
        ("Not freed:", Measure::Leaked),
        ("Most calls:", Measure::Allocations),
        ("Most temporary blocks:", Measure::Temporary),
    ];
    for (heading, by) in lists {
        let list = if view.is_merged { sites_text(view, style, by) } else { stacks_text(view, style, by) };
        if let Some(list) = list {
            out.push_str(&format!("\n{heading}\n{list}"));
        }
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

fn totals_text(source: &NativeSource<'_>, style: &Style) -> String {
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
    let mut leaked = String::new();
    if total.suppressed != 0 {
        leaked = format!("and {} of known leaks, suppressed", signed(style, total.suppressed));
    }
    let rate = if runtime > 0.0 { total.cost.allocations as f64 / runtime } else { 0.0 };
    let rows = [
        ("runtime", format!("{runtime:.2} s"), String::new()),
        ("calls", style.count(total.cost.allocations), format!("{} a second", style.count(rate as u64))),
        ("allocated", style.size(total.cost.bytes), String::new()),
        ("temporary", style.count(total.cost.temporary), temporary),
        ("peak", signed(style, total.cost.peak), format!("after {:.2} s", seconds(total.peak_ms))),
        ("not freed", signed(style, total.cost.leaked), leaked),
    ];
    let mut table = Table::new(&[("total", Align::Left), ("", Align::Right), ("", Align::Left)]);
    for (name, value, more) in rows {
        table.row(vec![name.to_owned(), value, more]);
    }
    if let Some(rss) = total.peak_rss {
        table.row(vec!["peak RSS".to_owned(), style.size(rss), "with the recorder's own".to_owned()]);
    }
    table.render(style)
}

/// The call sites that cost most; nothing if none costs anything.
fn sites_text(view: &NativeView<'_>, style: &Style, by: Measure) -> Option<String> {
    let source = &view.source;
    let all = call_sites(source.heap, source.costs, by);
    let shown = |site: &&CallSite| by.of(&site.cost) != 0;
    all.sites.first().filter(shown)?;
    let mut table = Table::new(&[
        (if is_bytes(by) { "bytes" } else { "count" }, Align::Right),
        ("", Align::Right),
        ("calls", Align::Right),
        ("stacks", Align::Right),
        ("call site ← callers of its largest stack", Align::Left),
    ]);
    let room = style.width.saturating_sub(40).max(40);
    let row = |cost: &Cost, stacks: String, words: &str| {
        vec![
            number(style, by, by.of(cost)),
            style.percent(by.of(cost).unsigned_abs(), source.whole(by)),
            style.count(cost.allocations),
            stacks,
            clean(words, room),
        ]
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
fn stacks_text(view: &NativeView<'_>, style: &Style, by: Measure) -> Option<String> {
    let source = &view.source;
    let (stacks, all) = merged_stacks(source.heap, source.costs, by, view.most);
    if all == 0 {
        return None;
    }
    let mut out = String::new();
    for stack in &stacks {
        let value = by.of(&stack.cost);
        out.push_str(&format!(
            "{} ({}) in {} calls from\n",
            style.bold(&number(style, by, value)),
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

/// The site with its place, then the names of the functions around it.
fn site_words(source: &NativeSource<'_>, all: &CallSites, site: &CallSite) -> String {
    let stack = all.stacks[site.stacks.start].stack;
    let Some(first) = source.heap.places(stack).flat_map(|ip| source.heap.frames(ip)).next() else {
        return "(no stack)".to_owned();
    };
    let own = own_words(source, stack, 4);
    if own.is_empty() || source.full_names {
        return format!("{}{}", frame_words(&first, source.full_names), callers_words(source, stack, 4));
    }
    // The line that tells where to look must not be cut off for the namespaces of one that doesn't.
    let name = function_name(&first, false);
    let short = name.rsplit("::").next().unwrap_or(&name);
    format!("{short} ← …{own}")
}

/// The program's own JavaScript functions in a stack. What Node and V8 do between them and the allocator is the same for
/// every program.
fn own_words(source: &NativeSource<'_>, stack: TraceId, most: usize) -> String {
    source
        .heap
        .places(stack)
        .flat_map(|ip| source.heap.frames(ip))
        .skip(1)
        .filter(|frame| {
            frame.kind == FrameKind::Js && !frame.file.is_empty() && !frame.file.starts_with(b"node:")
        })
        .take(most)
        .map(|frame| format!(" ← {}", frame_words(&frame, false)))
        .collect()
}

/// The functions around a call site, all of them.
fn stack_words(source: &NativeSource<'_>, stack: TraceId) -> String {
    let words = callers_words(source, stack, usize::MAX);
    if words.is_empty() { "(nothing around it)".to_owned() } else { words.trim_start().to_owned() }
}

fn callers_words(source: &NativeSource<'_>, stack: TraceId, most: usize) -> String {
    let callers = source.heap.places(stack).flat_map(|ip| source.heap.frames(ip)).skip(1).take(most);
    callers.map(|caller| format!(" ← {}", function_name(&caller, source.full_names))).collect()
}

/// A function with its place.
fn frame_words(frame: &FrameView<'_>, full_names: bool) -> String {
    let place = match frame.line {
        0 => file_name(if frame.file.is_empty() { frame.module } else { frame.file }),
        line => format!("{}:{line}", file_name(frame.file)),
    };
    let name = function_name(frame, full_names);
    if place.is_empty() { name } else { format!("{name}  {place}") }
}

fn function_name(frame: &FrameView<'_>, full_names: bool) -> String {
    if frame.function.is_empty() {
        return format!("{:#x}", frame.address);
    }
    let name = String::from_utf8_lossy(frame.function);
    if full_names { name.into_owned() } else { short_name(&name) }
}

/// A C++ name without parameters and template arguments: they fill lines and tell little.
pub(crate) fn short_name(name: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    for (at, c) in name.char_indices() {
        let is_operator = out.trim_end_matches(['<', '>', '-']).ends_with("operator");
        match c {
            '<' | '>' if is_operator && depth == 0 => out.push(c),
            '<' => {
                if depth == 0 {
                    out.push_str("<>");
                }
                depth += 1;
            }
            '>' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '(' if at > 0 && !name[at..].starts_with("(anonymous") && !out.ends_with("operator") => break,
            _ => out.push(c),
        }
    }
    out
}

pub(crate) fn file_name(path: &[u8]) -> String {
    String::from_utf8_lossy(path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: &str, module: &str, expected_name: &str, expected_kind: &str) {
        let frame = FrameView {
            function: function.as_bytes(),
            module: module.as_bytes(),
            file: b"",
            line: 0,
            column: 0,
            kind: FrameKind::of_name(function.as_bytes()),
            is_inlined: false,
            address: 0x7f10,
        };
        assert_eq!((function_name(&frame, false).as_str(), kind(&frame)), (expected_name, expected_kind));
    }

    #[test]
    fn frames_are_named_and_told_apart() {
        check("node::Start(int, char**)", "/bin/node", "node::Start", "native");
        check("std::vector<int>::push_back(int&&)", "/bin/node", "std::vector<>::push_back", "native");
        check("operator<<(int)", "/bin/node", "operator<<", "native");
        check("f<g<h>(int)>::operator()(int)", "/bin/node", "f<>::operator()", "native");
        check(
            "v8::(anonymous namespace)::Invoke(v8::Isolate*)",
            "/bin/node",
            "v8::(anonymous namespace)::Invoke",
            "native",
        );
        check("(anonymous namespace)::f()", "/bin/node", "(anonymous namespace)::f", "native");
        check(
            "Builtins_InterpreterEntryTrampoline",
            "/bin/node",
            "Builtins_InterpreterEntryTrampoline",
            "builtin",
        );
        check("JS:~tick timers:1:2", "", "JS:~tick timers:1:2", "js");
        check("", "/lib/libc.so.6", "0x7f10", "native");
        check("", "", "0x7f10", "unknown");
    }
}
