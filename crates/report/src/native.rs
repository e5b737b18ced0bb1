//! `summary` of a native trace.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{
    CallSite, CallSites, Cost, Costs, FrameView, Measure, NativeHeap, call_sites, merged_stacks,
};
use twinheap_trace::TraceId;

use crate::names::{clean, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the summary of a native trace shows.
pub struct NativeView<'a> {
    /// The recording.
    pub heap: &'a NativeHeap,
    /// Its costs.
    pub costs: &'a Costs,
    /// The file's name, for the heading.
    pub file: &'a str,
    /// Sentences on what is wrong with the file.
    pub warnings: &'a [String],
    /// Call sites or stacks to show of each kind.
    pub most: usize,
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
    stacks: StacksJson<'a>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct StacksJson<'a> {
    peak: Vec<StackJson<'a>>,
    leaked: Vec<StackJson<'a>>,
    allocations: Vec<StackJson<'a>>,
    temporary: Vec<StackJson<'a>>,
}

#[derive(Serialize)]
struct StackJson<'a> {
    /// All that the stack ever allocated.
    bytes: u64,
    allocations: u64,
    temporary: u64,
    peak: i64,
    leaked: i64,
    frames: Vec<FrameJson<'a>>,
}

#[derive(Serialize)]
struct FrameJson<'a> {
    function: Option<Box<RawValue>>,
    module: Option<Box<RawValue>>,
    file: Option<Box<RawValue>>,
    line: Option<u32>,
    inlined: bool,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u64>,
}

/// The document of the contract.
pub fn native_json<'a>(view: &NativeView<'a>) -> impl Serialize + use<'a> {
    let total = &view.costs.total;
    let stacks = |by| {
        let (stacks, _) = merged_stacks(view.heap, view.costs, by, view.most);
        stacks.iter().map(|stack| stack_json(view.heap, stack.stack, &stack.cost)).collect()
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-trace",
        file: view.file,
        command: json_bytes(&view.heap.trace.command),
        runtime: seconds(total.runtime_ms),
        allocations: total.cost.allocations,
        allocated_bytes: total.cost.bytes,
        temporary: total.cost.temporary,
        temporary_exact: view.heap.has_exact_temporary().then_some(total.cost.temporary_exact),
        peak_bytes: total.cost.peak,
        peak_time: seconds(total.peak_ms),
        leaked_bytes: total.cost.leaked,
        suppressed_bytes: total.suppressed,
        peak_rss: total.peak_rss,
        attached: view.heap.trace.is_attached,
        stacks: StacksJson {
            peak: stacks(Measure::Peak),
            leaked: stacks(Measure::Leaked),
            allocations: stacks(Measure::Allocations),
            temporary: stacks(Measure::Temporary),
        },
        warnings: view.warnings,
    }
}

fn stack_json<'a>(heap: &NativeHeap, stack: TraceId, cost: &Cost) -> StackJson<'a> {
    let name = |text: &[u8]| (!text.is_empty()).then(|| json_bytes(text));
    let frame = |frame: FrameView<'_>| FrameJson {
        function: name(frame.function),
        module: name(frame.module),
        file: name(frame.file),
        line: (frame.line > 0).then_some(frame.line),
        inlined: frame.is_inlined,
        kind: kind(&frame),
        // The only thing there is to say about a frame without a name.
        address: frame.function.is_empty().then_some(frame.address),
    };
    StackJson {
        bytes: cost.bytes,
        allocations: cost.allocations,
        temporary: cost.temporary,
        peak: cost.peak,
        leaked: cost.leaked,
        frames: heap.places(stack).flat_map(|ip| heap.frames(ip)).map(frame).collect(),
    }
}

/// What kind of code a frame is, as far as its names tell.
fn kind(frame: &FrameView<'_>) -> &'static str {
    // `--perf-basic-prof` names compiled and interpreted functions so.
    const JS: [&[u8]; 4] = [b"JS:", b"LazyCompile:", b"Function:", b"Script:"];
    if frame.function.starts_with(b"Builtins_") || frame.function.starts_with(b"Builtin:") {
        "builtin"
    } else if JS.iter().any(|start| frame.function.starts_with(start)) {
        "js"
    } else if frame.function.is_empty() && frame.module.is_empty() {
        "unknown"
    } else {
        "native"
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

/// The summary in words: totals, and the call sites that cost most.
pub fn native_text(view: &NativeView<'_>, style: &Style) -> String {
    let trace = &view.heap.trace;
    let version = trace.heaptrack_version;
    let mut out = format!(
        "{}\nnative trace of heaptrack {}.{}.{}{}: {}\n\n{}",
        style.bold(&clean(view.file, 200)),
        version >> 16,
        version >> 8 & 0xFF,
        version & 0xFF,
        if trace.is_raw { ", raw" } else { "" },
        clean(&String::from_utf8_lossy(&trace.command), 200),
        totals_text(view, style),
    );
    let total = &view.costs.total.cost;
    let lists: [(&str, Measure, u64); 4] = [
        ("Alive at the peak:", Measure::Peak, total.peak.unsigned_abs()),
        ("Not freed:", Measure::Leaked, total.leaked.unsigned_abs()),
        ("Most calls:", Measure::Allocations, total.allocations),
        ("Most temporary blocks:", Measure::Temporary, total.temporary),
    ];
    for (heading, by, whole) in lists {
        let sites = call_sites(view.heap, view.costs, by);
        if sites.sites.first().is_some_and(|site| by.of(&site.cost) != 0) {
            out.push_str(&format!("\n{heading}\n{}", sites_text(view, style, &sites, by, whole)));
        }
    }
    out
}

fn totals_text(view: &NativeView<'_>, style: &Style) -> String {
    let total = &view.costs.total;
    let runtime = seconds(total.runtime_ms);
    let mut temporary =
        format!("{} of the calls", style.percent(total.cost.temporary, total.cost.allocations));
    if view.heap.has_exact_temporary() {
        temporary.push_str(&format!(", {} by address", style.count(total.cost.temporary_exact)));
    }
    let mut leaked = String::new();
    if total.suppressed != 0 {
        leaked = format!("and {} of known leaks, suppressed", signed(style, total.suppressed));
    }
    let rows = [
        ("runtime", format!("{runtime:.2} s"), String::new()),
        (
            "calls",
            style.count(total.cost.allocations),
            format!("{} a second", style.count((total.cost.allocations as f64 / runtime) as u64)),
        ),
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

fn sites_text(view: &NativeView<'_>, style: &Style, all: &CallSites, by: Measure, whole: u64) -> String {
    let is_bytes = matches!(by, Measure::Peak | Measure::Leaked);
    let mut table = Table::new(&[
        (if is_bytes { "bytes" } else { "count" }, Align::Right),
        ("", Align::Right),
        ("calls", Align::Right),
        ("stacks", Align::Right),
        ("call site ← callers of its largest stack", Align::Left),
    ]);
    let shown = |site: &&CallSite| by.of(&site.cost) != 0;
    for site in all.sites.iter().filter(shown).take(view.most) {
        let number = by.of(&site.cost);
        table.row(vec![
            if is_bytes { signed(style, number) } else { style.count(number.unsigned_abs()) },
            style.percent(number.unsigned_abs(), whole),
            style.count(site.cost.allocations),
            style.count(site.stacks.len() as u64),
            clean(&site_words(view.heap, all, site), style.width.saturating_sub(40).max(40)),
        ]);
    }
    let mut out = table.render(style);
    let rest = all.sites.iter().filter(shown).count().saturating_sub(view.most);
    if rest > 0 {
        out.push_str(&style.dim(&format!("… {} more call sites (--limit N)\n", style.count(rest as u64))));
    }
    out
}

/// The site with its place, then the names of the functions around it.
fn site_words(heap: &NativeHeap, all: &CallSites, site: &CallSite) -> String {
    let mut frames = heap.places(all.stacks[site.stacks.start].stack).flat_map(|ip| heap.frames(ip));
    let Some(first) = frames.next() else { return "(no stack)".to_owned() };
    let place = match first.line {
        0 => file_name(if first.file.is_empty() { first.module } else { first.file }),
        line => format!("{}:{line}", file_name(first.file)),
    };
    let mut words = format!("{}  {place}", function_name(&first));
    for caller in frames.take(4) {
        words.push_str(&format!(" ← {}", function_name(&caller)));
    }
    words
}

fn function_name(frame: &FrameView<'_>) -> String {
    if frame.function.is_empty() {
        return format!("{:#x}", frame.address);
    }
    short_name(&String::from_utf8_lossy(frame.function))
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
            is_inlined: false,
            address: 0x7f10,
        };
        assert_eq!((function_name(&frame).as_str(), kind(&frame)), (expected_name, expected_kind));
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
