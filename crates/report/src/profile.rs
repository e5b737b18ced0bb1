//! `summary` of another profiler's file: what stacks cost, without the calls themselves.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{ProfileStack, profile_stacks};
use twinheap_trace::{CostType, Detail, FrameKind, Profile, ProfileFrame, Snapshot};

use crate::names::{clean, json_bytes};
use crate::native::{file_name, short_name, signed};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the summary of a profile shows.
pub struct ProfileView<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// The file's name, for the heading.
    pub file: &'a str,
    /// Sentences on what is wrong with the file, or left out.
    pub warnings: &'a [String],
    /// Stacks to show of each kind.
    pub most: usize,
}

/// A profile; null is what the profiler did not count.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    format: Option<&'static str>,
    command: Option<Box<RawValue>>,
    pid: Option<u64>,
    /// Seconds; null also where the profiler's time is something else, such as instructions.
    runtime: Option<f64>,
    /// Bytes between two samples; 1 if every allocation was counted.
    sampling_period: Option<u64>,
    allocations: Option<i64>,
    allocated_bytes: Option<i64>,
    temporary: Option<i64>,
    peak_bytes: Option<i64>,
    /// Seconds.
    peak_time: Option<f64>,
    leaked_bytes: Option<i64>,
    leaked_blocks: Option<i64>,
    /// The sum of numbers that the file does not explain, as in folded stacks.
    weight: Option<i64>,
    stacks: StacksJson<'a>,
    time_unit: Option<Box<RawValue>>,
    snapshots: Vec<SnapshotJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct StacksJson<'a> {
    peak: Option<Vec<StackJson<'a>>>,
    leaked: Option<Vec<StackJson<'a>>>,
    allocations: Option<Vec<StackJson<'a>>>,
    temporary: Option<Vec<StackJson<'a>>>,
    weight: Option<Vec<StackJson<'a>>>,
}

#[derive(Serialize)]
struct StackJson<'a> {
    /// All that the stack ever allocated.
    bytes: Option<i64>,
    allocations: Option<i64>,
    temporary: Option<i64>,
    peak: Option<i64>,
    leaked: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<i64>,
    frames: Vec<FrameJson<'a>>,
}

#[derive(Serialize)]
struct FrameJson<'a> {
    function: Option<Box<RawValue>>,
    module: Option<Box<RawValue>>,
    file: Option<Box<RawValue>>,
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    inlined: bool,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u64>,
}

#[derive(Serialize)]
struct SnapshotJson {
    /// In `time_unit`.
    time: f64,
    heap_bytes: u64,
    extra_bytes: u64,
    stack_bytes: u64,
    peak: bool,
}

/// The document of the contract.
pub fn profile_json<'a>(view: &ProfileView<'a>) -> impl Serialize + use<'a> {
    let profile = view.profile;
    let (meta, samples) = (&profile.meta, &profile.samples);
    let clock = meta.clock.as_ref();
    let name = |text: &[u8]| (!text.is_empty()).then(|| json_bytes(text));
    let stacks = |by| {
        let (stacks, _) = profile_stacks(profile, by, view.most)?;
        Some(stacks.iter().map(|stack| stack_json(profile, stack)).collect())
    };
    let snapshot = |snapshot: &Snapshot| SnapshotJson {
        time: snapshot.time,
        heap_bytes: snapshot.heap_bytes,
        extra_bytes: snapshot.extra_bytes,
        stack_bytes: snapshot.stack_bytes,
        peak: snapshot.detail == Detail::Peak,
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-profile",
        file: view.file,
        format: meta.format.map(twinheap_trace::ProfileFormat::name),
        command: name(&meta.command),
        pid: meta.pid,
        runtime: clock.and_then(|clock| clock.seconds(clock.end)),
        sampling_period: meta.sampling_period,
        allocations: samples.total(CostType::Allocations),
        allocated_bytes: samples.total(CostType::AllocatedBytes),
        temporary: samples.total(CostType::Temporary),
        peak_bytes: samples.total(CostType::PeakBytes),
        peak_time: clock.and_then(|clock| clock.seconds(clock.peak?)),
        leaked_bytes: samples.total(CostType::LiveBytes),
        leaked_blocks: samples.total(CostType::LiveBlocks),
        weight: samples.total(CostType::Weight),
        stacks: StacksJson {
            peak: stacks(CostType::PeakBytes),
            leaked: stacks(CostType::LiveBytes),
            allocations: stacks(CostType::Allocations),
            temporary: stacks(CostType::Temporary),
            weight: stacks(CostType::Weight),
        },
        time_unit: clock.and_then(|clock| name(&clock.unit)),
        snapshots: profile.snapshots.iter().map(snapshot).collect(),
        warnings: view.warnings,
    }
}

fn frames<'a>(profile: &'a Profile, stack: &ProfileStack) -> impl Iterator<Item = ProfileFrame> + use<'a> {
    profile.stacks.frames(stack.stack).map(|frame| profile.frames.get(frame))
}

fn stack_json<'a>(profile: &'a Profile, stack: &ProfileStack) -> StackJson<'a> {
    let name = |id: twinheap_trace::StringId| (!id.is_zero()).then(|| json_bytes(profile.strings.get(id)));
    let frame = |frame: ProfileFrame| FrameJson {
        function: name(frame.function),
        module: name(frame.module),
        file: name(frame.file),
        line: (frame.line > 0).then_some(frame.line),
        column: (frame.column > 0).then_some(frame.column),
        inlined: frame.is_inlined,
        kind: kind_word(frame.kind),
        // The only thing there is to say about a frame without a name.
        address: (frame.function.is_zero() && frame.address > 0).then_some(frame.address),
    };
    StackJson {
        bytes: stack.cost(CostType::AllocatedBytes),
        allocations: stack.cost(CostType::Allocations),
        temporary: stack.cost(CostType::Temporary),
        peak: stack.cost(CostType::PeakBytes),
        leaked: stack.cost(CostType::LiveBytes),
        weight: stack.cost(CostType::Weight),
        frames: frames(profile, stack).map(frame).collect(),
    }
}

fn kind_word(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Native => "native",
        FrameKind::Js => "js",
        FrameKind::Builtin => "builtin",
        FrameKind::Unknown => "unknown",
    }
}

/// The summary in words: totals, and the stacks that cost most.
pub fn profile_text(view: &ProfileView<'_>, style: &Style) -> String {
    let meta = &view.profile.meta;
    let format = meta.format.map_or("profile", twinheap_trace::ProfileFormat::name);
    let mut out = format!("{}\n{format}", style.bold(&clean(view.file, 200)));
    if !meta.command.is_empty() {
        out.push_str(&format!(": {}", clean(&String::from_utf8_lossy(&meta.command), 200)));
    }
    out.push_str("\n\n");
    out.push_str(&totals_text(view.profile, style));
    let lists = [
        ("Alive at the peak:", CostType::PeakBytes),
        ("Not freed:", CostType::LiveBytes),
        ("Most calls:", CostType::Allocations),
        ("Most temporary blocks:", CostType::Temporary),
        ("Heaviest stacks, of a number that the file does not explain:", CostType::Weight),
    ];
    for (heading, by) in lists {
        let Some((stacks, all)) = profile_stacks(view.profile, by, view.most) else { continue };
        if all > 0 {
            out.push_str(&format!("\n{heading}\n{}", stacks_text(view.profile, style, &stacks, all, by)));
        }
    }
    out
}

fn totals_text(profile: &Profile, style: &Style) -> String {
    let meta = &profile.meta;
    let mut table = Table::new(&[("total", Align::Left), ("", Align::Right), ("", Align::Left)]);
    let clock = meta.clock.as_ref();
    if let Some(seconds) = clock.and_then(|clock| clock.seconds(clock.end)) {
        table.row(vec!["runtime".to_owned(), format!("{seconds:.2} s"), String::new()]);
    }
    let rows = [
        ("calls", CostType::Allocations),
        ("allocated", CostType::AllocatedBytes),
        ("temporary", CostType::Temporary),
        ("peak", CostType::PeakBytes),
        ("not freed", CostType::LiveBytes),
        ("blocks not freed", CostType::LiveBlocks),
        ("weight", CostType::Weight),
    ];
    for (name, cost) in rows {
        let Some(total) = profile.samples.total(cost) else { continue };
        let mut more = String::new();
        if cost == CostType::PeakBytes
            && let Some(seconds) = clock.and_then(|clock| clock.seconds(clock.peak?))
        {
            more = format!("after {seconds:.2} s");
        }
        table.row(vec![name.to_owned(), number(style, cost, total), more]);
    }
    if let Some(period) = meta.sampling_period.filter(|&period| period > 1) {
        let more = "between two samples: the numbers are estimates".to_owned();
        table.row(vec!["sampled".to_owned(), style.size(period), more]);
    }
    if !profile.snapshots.is_empty() {
        let count = style.count(profile.snapshots.len() as u64);
        table.row(vec!["snapshots".to_owned(), count, "over time".to_owned()]);
    }
    table.render(style)
}

fn number(style: &Style, cost: CostType, value: i64) -> String {
    if cost.is_bytes() { signed(style, value) } else { style.count(value.unsigned_abs()) }
}

fn stacks_text(
    profile: &Profile,
    style: &Style,
    stacks: &[ProfileStack],
    all: usize,
    by: CostType,
) -> String {
    let whole = profile.samples.total(by).unwrap_or(0).unsigned_abs();
    let mut table = Table::new(&[
        (if by.is_bytes() { "bytes" } else { "count" }, Align::Right),
        ("", Align::Right),
        ("calls", Align::Right),
        ("call site ← callers", Align::Left),
    ]);
    for stack in stacks {
        let value = stack.cost(by).unwrap_or(0);
        let calls = stack.cost(CostType::Allocations);
        table.row(vec![
            number(style, by, value),
            style.percent(value.unsigned_abs(), whole),
            calls.map_or_else(|| "–".to_owned(), |calls| style.count(calls.unsigned_abs())),
            clean(&words(profile, stack), style.width.saturating_sub(30).max(40)),
        ]);
    }
    let mut out = table.render(style);
    let rest = all - stacks.len();
    if rest > 0 {
        out.push_str(&style.dim(&format!("… {} more stacks (--limit N)\n", style.count(rest as u64))));
    }
    out
}

/// The leaf with its place, then the names of the functions around it.
fn words(profile: &Profile, stack: &ProfileStack) -> String {
    let text = |id| profile.strings.get(id);
    let function = |frame: &ProfileFrame| {
        if frame.function.is_zero() {
            return format!("{:#x}", frame.address);
        }
        short_name(&String::from_utf8_lossy(text(frame.function)))
    };
    let mut frames = frames(profile, stack);
    let Some(first) = frames.next() else { return "(no stack)".to_owned() };
    let mut words = function(&first);
    let place = if first.file.is_zero() { first.module } else { first.file };
    if !place.is_zero() {
        words.push_str(&format!("  {}", file_name(text(place))));
    }
    if first.line > 0 {
        words.push_str(&format!(":{}", first.line));
    }
    for caller in frames.take(4) {
        words.push_str(&format!(" ← {}", function(&caller)));
    }
    words
}
