//! `summary` of a heap snapshot.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_jsheap::{AllocationSite, ClassRow, Heap, Interval, Statistics};

use crate::describe::{Describer, distance_words};
use crate::names::{clean, json, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What a summary shows.
pub struct SummaryView<'a> {
    /// The heap.
    pub heap: &'a Heap,
    /// The file's name, for the heading.
    pub file: &'a str,
    /// Rows, largest retained size first.
    pub rows: &'a [ClassRow],
    /// Bytes by kind.
    pub statistics: Statistics,
    /// Words for the filter, if one is set.
    pub filter: Option<&'a str>,
    /// Live bytes by interval, for an allocation timeline.
    pub intervals: &'a [Interval],
    /// Functions by what they allocated, for a timeline with stacks.
    pub sites: &'a [AllocationSite],
    /// Sentences on what is wrong with the file or how the numbers are limited.
    pub warnings: &'a [String],
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    producer: ProducerJson,
    nodes: usize,
    edges: usize,
    total_size: u64,
    extra_native_bytes: u64,
    statistics: StatisticsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    classes: Vec<ClassJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<TimelineJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct ProducerJson {
    v8_layout: &'static str,
    has_user_roots: bool,
}

#[derive(Serialize)]
struct StatisticsJson {
    total: u64,
    code: u64,
    strings: u64,
    js_arrays: u64,
    typed_arrays: u64,
    system: u64,
    other_js: u64,
    other_native: u64,
}

#[derive(Serialize)]
struct ClassJson {
    name: Box<RawValue>,
    key: Box<RawValue>,
    count: u64,
    shallow_size: u64,
    retained_size: u64,
    distance: i32,
}

#[derive(Serialize)]
struct TimelineJson {
    intervals: Vec<IntervalJson>,
    allocation_sites: Vec<SiteJson>,
}

#[derive(Serialize)]
struct IntervalJson {
    /// Seconds since tracking began.
    end: f64,
    last_assigned_id: u64,
    live_count: u64,
    live_size: u64,
}

#[derive(Serialize)]
struct SiteJson {
    function: Box<RawValue>,
    script: Box<RawValue>,
    line: u32,
    column: u32,
    allocated_count: u64,
    allocated_size: u64,
    live_count: u64,
    live_size: u64,
}

/// The document of the contract: all classes, largest retained size first.
pub fn summary_json(view: &SummaryView<'_>) -> impl Serialize {
    let heap = view.heap;
    let strings = &heap.snapshot.strings;
    let s = view.statistics;
    let timeline = (!view.intervals.is_empty() || !view.sites.is_empty()).then(|| TimelineJson {
        intervals: view
            .intervals
            .iter()
            .map(|i| IntervalJson {
                end: i.timestamp_us as f64 / 1e6,
                last_assigned_id: i.last_assigned_id,
                live_count: i.count,
                live_size: i.size,
            })
            .collect(),
        allocation_sites: view
            .sites
            .iter()
            .map(|site| SiteJson {
                function: json(strings.get(site.function.name)),
                script: json(strings.get(site.function.script_name)),
                line: site.function.line,
                column: site.function.column,
                allocated_count: site.allocated_count,
                allocated_size: site.allocated_size,
                live_count: site.live_count,
                live_size: site.live_size,
            })
            .collect(),
    });
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "js-snapshot",
        file: view.file,
        producer: ProducerJson {
            v8_layout: heap.snapshot.producer.v8_layout,
            has_user_roots: heap.has_user_roots(),
        },
        nodes: heap.snapshot.node_count(),
        edges: heap.snapshot.edge_count(),
        total_size: heap.total_size(),
        extra_native_bytes: heap.extra_native_bytes(),
        statistics: StatisticsJson {
            total: s.total,
            code: s.code,
            strings: s.strings,
            js_arrays: s.js_arrays,
            typed_arrays: s.typed_arrays,
            system: s.system,
            other_js: s.other_js,
            other_native: s.other_native,
        },
        filter: view.filter,
        classes: view.rows.iter().map(|row| class_json(heap, row)).collect(),
        timeline,
        warnings: view.warnings,
    }
}

fn class_json(heap: &Heap, row: &ClassRow) -> ClassJson {
    let class = heap.classes().get(row.class);
    ClassJson {
        name: json(class.name()),
        key: json_bytes(&class.key()),
        count: row.count,
        shallow_size: row.shallow_size,
        retained_size: row.retained_size,
        distance: row.distance,
    }
}

/// The summary in words: what the bytes are, and the `most` largest classes.
pub fn summary_text(view: &SummaryView<'_>, style: &Style, most: usize) -> String {
    let heap = view.heap;
    let mut out = format!(
        "{}\n{}: {} nodes, {} edges, {}\n\n",
        style.bold(&clean(view.file, 200)),
        heap.snapshot.producer.v8_layout,
        style.count(heap.snapshot.node_count() as u64),
        style.count(heap.snapshot.edge_count() as u64),
        style.size(heap.total_size()),
    );
    out.push_str(&statistics_text(&view.statistics, style));
    out.push('\n');
    if let Some(filter) = view.filter {
        out.push_str(&format!("Only {filter}.\n\n"));
    }
    out.push_str(&classes_text(view, style, most));
    if !view.intervals.is_empty() {
        out.push('\n');
        out.push_str(&timeline_text(view, style));
    }
    if !view.sites.is_empty() {
        out.push('\n');
        out.push_str(&sites_text(view, style, most));
    }
    out
}

fn statistics_text(s: &Statistics, style: &Style) -> String {
    let parts = [
        ("Code", s.code),
        ("Strings", s.strings),
        ("JS arrays", s.js_arrays),
        ("Typed arrays", s.typed_arrays),
        ("System objects", s.system),
        ("Other JS objects", s.other_js),
        ("Other non-JS", s.other_native),
    ];
    let mut table =
        Table::new(&[("kind", Align::Left), ("size", Align::Right), ("", Align::Right), ("", Align::Left)]);
    for (name, bytes) in parts {
        table.row(vec![
            name.to_owned(),
            style.size(bytes),
            style.percent(bytes, s.total),
            style.bar(bytes, s.total, 24),
        ]);
    }
    table.render(style)
}

fn classes_text(view: &SummaryView<'_>, style: &Style, most: usize) -> String {
    let heap = view.heap;
    let total = heap.total_size();
    let describer = Describer::new(heap);
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("distance", Align::Right),
        ("count", Align::Right),
        ("shallow", Align::Right),
        ("", Align::Right),
        ("retained", Align::Right),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    for row in view.rows.iter().take(most) {
        let class = heap.classes().get(row.class);
        let mut name = clean(&class.name().to_string_lossy(), style.width.saturating_sub(70).max(24));
        if let Some(place) = class.location.and_then(|at| describer.class_place(at)) {
            let room = style.width.saturating_sub(72 + name.chars().count()).max(20);
            name = format!("{name}  {}", keep_end(&place, room));
        }
        table.row(vec![
            name,
            distance_words(row.distance),
            style.count(row.count),
            style.size(row.shallow_size),
            style.percent(row.shallow_size, total),
            style.size(row.retained_size),
            style.percent(row.retained_size, total),
            style.bar(row.retained_size, total, 10),
        ]);
    }
    let mut out = table.render(style);
    if let Some(rest) = view.rows.len().checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(
            &style.dim(&format!(
                "… {} more classes (--limit N, or --json for all)\n",
                style.count(rest as u64)
            )),
        );
    }
    out
}

/// The end of a path says more than its start.
fn keep_end(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let tail: String = text.chars().skip(count - most + 1).collect();
    format!("…{tail}")
}

fn timeline_text(view: &SummaryView<'_>, style: &Style) -> String {
    let largest = view.intervals.iter().map(|i| i.size).max().unwrap_or(0);
    // At most this many lines: neighbouring intervals are added up.
    let lines = 20;
    let per_line = view.intervals.len().div_ceil(lines).max(1);
    let mut table = Table::new(&[
        ("until", Align::Right),
        ("alive", Align::Right),
        ("objects", Align::Right),
        ("", Align::Left),
    ]);
    let sums: Vec<(u64, u64, u64)> = view
        .intervals
        .chunks(per_line)
        .map(|c| {
            let end = c.last().map_or(0, |i| i.timestamp_us);
            (end, c.iter().map(|i| i.size).sum(), c.iter().map(|i| i.count).sum())
        })
        .collect();
    let largest = sums.iter().map(|s| s.1).max().unwrap_or(largest);
    for (end, size, count) in sums {
        table.row(vec![
            format!("{:.2} s", end as f64 / 1e6),
            style.size(size),
            style.count(count),
            style.bar(size, largest, 40),
        ]);
    }
    format!("Allocated while tracking and still alive:\n{}", table.render(style))
}

fn sites_text(view: &SummaryView<'_>, style: &Style, most: usize) -> String {
    let strings = &view.heap.snapshot.strings;
    let mut table = Table::new(&[
        ("allocated by", Align::Left),
        ("alive", Align::Right),
        ("objects", Align::Right),
        ("of all", Align::Right),
        ("objects", Align::Right),
    ]);
    for site in view.sites.iter().take(most) {
        let f = site.function;
        let name = strings.get(f.name).to_string_lossy();
        let script = strings.get(f.script_name).to_string_lossy();
        let name = if name.is_empty() { "(anonymous)" } else { &name };
        let place =
            if script.is_empty() { String::new() } else { format!("  {script}:{}:{}", f.line, f.column) };
        table.row(vec![
            clean(&format!("{name}{place}"), style.width.saturating_sub(48).max(30)),
            style.size(site.live_size),
            style.count(site.live_count),
            style.size(site.allocated_size),
            style.count(site.allocated_count),
        ]);
    }
    table.render(style)
}
