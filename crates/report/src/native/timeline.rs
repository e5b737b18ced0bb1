//! `timeline` of a native trace.

use serde::Serialize;
use twinheap_native::{
    KindTimeline, OutsideKind, OutsideTimeline, SiteTimeline, Timeline, TimelineVariance, Variance,
};

use super::{FrameJson, NativeSource, SelectionJson, frame_words, place_json, seconds, signed};
use crate::names::clean;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the timeline shows.
pub struct TimelineView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// The numbers.
    pub timeline: &'a Timeline,
    /// Numbers instead of charts.
    pub is_table: bool,
}

/// Columns before a chart.
const LABEL: usize = 11;
/// Lines of the chart of live bytes.
const HEIGHT: usize = 8;

impl TimelineView<'_> {
    /// How many stretches of time fit the terminal as a chart.
    pub fn fitting(style: &Style) -> usize {
        style.width.saturating_sub(LABEL + 1).max(20)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    /// Where each stretch begins, in seconds.
    time: Vec<f64>,
    /// Where the last one ends.
    end: f64,
    live_bytes: &'a [i64],
    allocations: &'a [u64],
    /// Null of a sample.
    temporary: Option<&'a [u64]>,
    /// Only of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_95: Option<TimelineErrorJson>,
    rss: &'a [Option<u64>],
    /// What resident memory was made of; null if the recording doesn't know.
    outside_malloc: Option<OutsideTimelineJson<'a>>,
    sites: Vec<SiteJson<'a>>,
    warnings: &'a [String],
}

/// How far the numbers are off, at most, in 95 of 100 recordings.
#[derive(Serialize)]
struct TimelineErrorJson {
    live_bytes: Vec<u64>,
    allocations: Vec<u64>,
}

impl From<&TimelineVariance> for TimelineErrorJson {
    fn from(variance: &TimelineVariance) -> Self {
        let errors = |column: &[Variance]| column.iter().map(|variance| variance.error()).collect();
        TimelineErrorJson { live_bytes: errors(&variance.live), allocations: errors(&variance.allocations) }
    }
}

#[derive(Serialize)]
struct OutsideTimelineJson<'a> {
    /// Resident bytes outside of every heap whose calls are recorded; null where nobody looked.
    bytes: &'a [Option<u64>],
    parts: Vec<KindJson<'a>>,
}

#[derive(Serialize)]
struct KindJson<'a> {
    kind: &'static str,
    /// Calls show it too: it is not counted in `bytes` of all.
    recorded: bool,
    bytes: &'a [Option<u64>],
}

impl<'a> From<&'a OutsideTimeline> for OutsideTimelineJson<'a> {
    fn from(outside: &'a OutsideTimeline) -> Self {
        let part = |of: &'a KindTimeline| KindJson {
            kind: of.kind.word(),
            recorded: of.is_inside,
            bytes: &of.bytes,
        };
        OutsideTimelineJson { bytes: &outside.bytes, parts: outside.kinds.iter().map(part).collect() }
    }
}

#[derive(Serialize)]
struct SiteJson<'a> {
    frames: Vec<FrameJson>,
    live_bytes: &'a [i64],
}

/// The timeline in columns.
pub fn timeline_json<'a>(view: &TimelineView<'a>) -> impl Serialize + use<'a> {
    let (heap, timeline) = (view.source.heap, view.timeline);
    let site =
        |site: &'a SiteTimeline| SiteJson { frames: place_json(heap, site.ip), live_bytes: &site.live };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-timeline",
        file: view.source.file,
        selection: view.source.selection(),
        time: timeline.ms.iter().take(timeline.len()).map(|&ms| seconds(ms)).collect(),
        end: timeline.ms.last().map_or(0.0, |&ms| seconds(ms)),
        live_bytes: &timeline.live,
        allocations: &timeline.allocations,
        temporary: timeline.temporary.as_deref(),
        error_95: timeline.variance.as_ref().map(TimelineErrorJson::from),
        rss: &timeline.rss,
        outside_malloc: timeline.outside.as_ref().map(OutsideTimelineJson::from),
        sites: timeline.sites.iter().map(site).collect(),
        warnings: view.source.warnings,
    }
}

/// The timeline as charts, or as a table.
pub fn timeline_text(view: &TimelineView<'_>, style: &Style) -> String {
    // What is alive was allocated at any time: a stretch of time is no other question here.
    let mut out = NativeSource { ms: None, ..view.source }.heading(style);
    out.push('\n');
    if view.is_table {
        out.push_str(&table_text(view, style));
    } else {
        out.push_str(&charts_text(view, style));
    }
    if !view.timeline.sites.is_empty() {
        out.push_str(&sites_text(view, style));
    }
    out
}

fn table_text(view: &TimelineView<'_>, style: &Style) -> String {
    let timeline = view.timeline;
    let mut columns = vec![
        ("seconds", Align::Right),
        ("alive", Align::Right),
        ("", Align::Left),
        ("calls", Align::Right),
        ("temporary", Align::Right),
        ("RSS", Align::Right),
    ];
    if timeline.outside.is_some() {
        columns.push(("outside malloc", Align::Right));
    }
    let mut table = Table::new(&columns);
    let positive = |live: i64| live.max(0).cast_unsigned();
    let most = timeline.live.iter().map(|&live| positive(live)).max().unwrap_or(0);
    for at in 0..timeline.len() {
        let mut row = vec![
            format!("{:.3}", seconds(timeline.ms[at])),
            signed(style, timeline.live[at]),
            style.bar(positive(timeline.live[at]), most, 10),
            style.count(timeline.allocations[at]),
            timeline.temporary.as_ref().map_or_else(String::new, |temporary| style.count(temporary[at])),
            timeline.rss[at].map_or_else(String::new, |rss| style.size(rss)),
        ];
        row.extend(timeline.outside.as_ref().map(|outside| {
            outside.bytes.get(at).copied().flatten().map_or_else(String::new, |bytes| style.size(bytes))
        }));
        table.row(row);
    }
    table.render(style)
}

fn charts_text(view: &TimelineView<'_>, style: &Style) -> String {
    let timeline = view.timeline;
    let live: Vec<u64> = timeline.live.iter().map(|&live| live.max(0).cast_unsigned()).collect();
    let most = live.iter().copied().max().unwrap_or(0);
    let mut out = String::from("alive\n");
    for line in (0..HEIGHT).rev() {
        let label = match line {
            _ if line + 1 == HEIGHT => style.size(most),
            0 => style.size(0),
            _ if line == HEIGHT / 2 => style.size(most / 2),
            _ => String::new(),
        };
        let cells: String = live.iter().map(|&value| cell(value, most, line, HEIGHT)).collect();
        out.push_str(&chart_line(&label, &cells));
    }
    out.push_str(&axis(timeline));
    let counts = [("calls", Some(&timeline.allocations)), ("temporary", timeline.temporary.as_ref())];
    for (name, values) in counts {
        let Some(values) = values else { continue };
        let most = values.iter().copied().max().unwrap_or(0);
        out.push_str(&format!("\n{name}, at most {} in a column\n", style.count(most)));
        out.push_str(&chart_line("", &sparkline(values.iter().copied(), most)));
    }
    if let Some(most) = timeline.rss.iter().copied().flatten().max() {
        out.push_str(&format!("\nRSS, at most {}, with the recorder's own\n", style.size(most)));
        out.push_str(&chart_line("", &sparkline(held(&timeline.rss), most)));
    }
    if let Some(outside) = &timeline.outside {
        out.push_str(&outside_text(outside, style));
    }
    out
}

/// Samples as columns: between two of them there is no reason to think of less.
fn held(samples: &[Option<u64>]) -> impl Iterator<Item = u64> {
    let mut last = 0;
    samples.iter().map(move |sample| {
        last = sample.unwrap_or(last);
        last
    })
}

/// Kinds with less than this share of the most are not drawn.
const SMALL: u64 = 50;

/// Resident memory that malloc's calls don't show, and each kind of it, to one scale.
fn outside_text(outside: &OutsideTimeline, style: &Style) -> String {
    let Some(most) = outside.bytes.iter().copied().flatten().max() else { return String::new() };
    let mut out = format!("\nresident outside malloc, at most {}\n", style.size(most));
    out.push_str(&chart_line("all", &sparkline(held(&outside.bytes), most)));
    for of in outside.kinds.iter().filter(|of| !of.is_inside) {
        let largest = of.bytes.iter().copied().flatten().max().unwrap_or(0);
        if largest >= most.div_ceil(SMALL) {
            out.push_str(&chart_line(label(of.kind), &sparkline(held(&of.bytes), most)));
        }
    }
    out
}

/// A kind in the room before a chart.
fn label(kind: OutsideKind) -> &'static str {
    match kind {
        OutsideKind::Malloc => "malloc",
        OutsideKind::V8Heap => "V8's heap",
        OutsideKind::V8Code => "V8's code",
        OutsideKind::Wasm => "Wasm",
        OutsideKind::Stack => "stacks",
        OutsideKind::File => "files",
        OutsideKind::Module => "by mmap",
        OutsideKind::Named => "named",
        OutsideKind::Recorder => "recorder",
        OutsideKind::Unknown => "unknown",
    }
}

fn sites_text(view: &TimelineView<'_>, style: &Style) -> String {
    let timeline = view.timeline;
    let peak = (0..timeline.len()).rev().max_by_key(|&at| timeline.live[at]).unwrap_or(0);
    let whole = |at: usize| timeline.live[at].max(0).cast_unsigned();
    let mut out = String::from("\nshare of call sites in what is alive (a full column is all of it)\n");
    for site in &timeline.sites {
        let at_peak = site.live.get(peak).copied().unwrap_or(0);
        let words = match view.source.heap.frames(site.ip).next() {
            Some(frame) if !site.ip.is_zero() => frame_words(&frame, view.source.full_names),
            _ => "(no stack)".to_owned(),
        };
        out.push_str(&format!(
            "\n{}\n",
            clean(
                &format!(
                    "{}, {} at the peak: {words}",
                    signed(style, at_peak),
                    style.percent(at_peak.max(0).cast_unsigned(), whole(peak)),
                ),
                style.width
            )
        ));
        let cells: String = (0..timeline.len())
            .map(|at| cell(site.live[at].max(0).cast_unsigned(), whole(at), 0, 1))
            .collect();
        if !view.is_table {
            out.push_str(&chart_line("", &cells));
        }
    }
    out
}

fn chart_line(label: &str, cells: &str) -> String {
    let line = format!("{label:>width$} {cells}", width = LABEL - 1);
    format!("{}\n", line.trim_end())
}

/// The times at both ends of the charts.
fn axis(timeline: &Timeline) -> String {
    let time = |ms: Option<&u64>| format!("{:.2} s", ms.map_or(0.0, |&ms| seconds(ms)));
    let (start, end) = (time(timeline.ms.first()), time(timeline.ms.last()));
    let width = timeline.len().saturating_sub(start.len() + end.len()).max(1);
    chart_line("", &format!("{start}{}{end}", " ".repeat(width)))
}

fn sparkline(values: impl Iterator<Item = u64>, most: u64) -> String {
    values.map(|value| cell(value, most, 0, 1)).collect()
}

/// What a column fills of the line with this number, from the bottom, in a chart of so many lines.
fn cell(value: u64, most: u64, line: usize, lines: usize) -> char {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let share = if most == 0 { 0.0 } else { (value as f64 / most as f64).min(1.0) };
    let eighths = (share * (lines * 8) as f64).round() as usize;
    // What exists is seen, however small.
    let eighths = if value > 0 { eighths.max(1) } else { eighths };
    EIGHTHS[eighths.saturating_sub(line * 8).min(8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[u64], lines: usize, expected: &[&str]) {
        let most = values.iter().copied().max().unwrap_or(0);
        let drawn: Vec<String> = (0..lines)
            .rev()
            .map(|line| values.iter().map(|&value| cell(value, most, line, lines)).collect())
            .collect();
        assert_eq!(drawn, expected);
    }

    #[test]
    fn columns_are_drawn_in_eighths() {
        check(&[0, 1, 4, 8], 1, &[" ▁▄█"]);
        check(&[0, 1, 8, 12, 16], 2, &["   ▄█", " ▁███"]);
        check(&[1, 1_000_000], 1, &["▁█"]);
        check(&[0, 0], 2, &["  ", "  "]);
    }
}
