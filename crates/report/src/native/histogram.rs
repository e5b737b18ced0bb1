//! `histogram` of a native trace.

use serde::Serialize;
use twinheap_native::{Measure, SizeBucket, SizeCost};
use twinheap_trace::IpId;

use super::{
    ErrorJson, FrameJson, NativeSource, SelectionJson, frame_words, measure_word, place_json, signed,
};
use crate::names::clean;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the histogram shows.
pub struct HistogramView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// Blocks by size.
    pub buckets: &'a [SizeBucket],
    /// Each size stands for itself.
    pub is_exact: bool,
    /// The number that the bars show.
    pub by: Measure,
    /// Sizes to print; JSON has all.
    pub most: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    exact: bool,
    by: &'static str,
    buckets: Vec<BucketJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct BucketJson {
    min_size: u64,
    max_size: u64,
    #[serde(flatten)]
    cost: SizeCostJson,
    top_site: Option<TopSiteJson>,
}

#[derive(Serialize)]
struct SizeCostJson {
    bytes: u64,
    allocations: u64,
    peak: i64,
    leaked: i64,
    /// Only of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_95: Option<ErrorJson>,
}

#[derive(Serialize)]
struct TopSiteJson {
    #[serde(flatten)]
    cost: SizeCostJson,
    frames: Vec<FrameJson>,
}

impl SizeCostJson {
    fn new(source: &NativeSource<'_>, cost: &SizeCost) -> Self {
        let SizeCost { allocations, bytes, leaked, peak, .. } = *cost;
        let error_95 = source.is_estimated().then(|| ErrorJson::from(&cost.variance));
        SizeCostJson { bytes, allocations, peak, leaked, error_95 }
    }
}

/// All sizes.
pub fn histogram_json<'a>(view: &HistogramView<'a>) -> impl Serialize + use<'a> {
    let heap = view.source.heap;
    let bucket = |bucket: &SizeBucket| BucketJson {
        min_size: *bucket.sizes.start(),
        max_size: *bucket.sizes.end(),
        cost: SizeCostJson::new(&view.source, &bucket.cost),
        top_site: bucket.top.as_ref().map(|top| TopSiteJson {
            cost: SizeCostJson::new(&view.source, &top.cost),
            frames: place_json(heap, top.ip),
        }),
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-histogram",
        file: view.source.file,
        selection: view.source.selection(),
        exact: view.is_exact,
        by: measure_word(view.by),
        buckets: view.buckets.iter().map(bucket).collect(),
        warnings: view.source.warnings,
    }
}

/// The sizes as bars.
pub fn histogram_text(view: &HistogramView<'_>, style: &Style) -> String {
    let source = &view.source;
    let mut out = format!("{}\n", source.heading(style));
    if view.buckets.is_empty() {
        out.push_str("Nothing was allocated.\n");
        return out;
    }
    let weight = |bucket: &SizeBucket| bucket.cost.of(view.by).unsigned_abs();
    let largest = view.buckets.iter().map(weight).max().unwrap_or(0);
    let mut table = Table::new(&[
        ("size", Align::Right),
        ("calls", Align::Right),
        (bar_head(view.by), Align::Left),
        ("allocated", Align::Right),
        ("not freed", Align::Right),
        ("at the peak", Align::Right),
        ("largest call site", Align::Left),
    ]);
    let bar = if style.width >= 120 { 20 } else { 10 };
    let room = style.width.saturating_sub(68 + bar).max(24);
    let chosen = chosen(view);
    for &at in &chosen {
        let bucket = &view.buckets[at];
        let site = bucket.top.as_ref().map_or_else(String::new, |top| site_words(source, top.ip));
        table.row(vec![
            sizes_words(style, bucket),
            style.count(bucket.cost.allocations),
            style.bar(weight(bucket), largest, bar),
            style.size(bucket.cost.bytes),
            signed(style, bucket.cost.leaked),
            signed(style, bucket.cost.peak),
            clean(&site, room),
        ]);
    }
    out.push_str(&table.render(style));
    let rest = view.buckets.len() - chosen.len();
    if rest > 0 {
        let rest = style.count(rest as u64);
        out.push_str(&style.dim(&format!("… {rest} more sizes (--limit N, or --json for all)\n")));
    }
    out
}

fn bar_head(by: Measure) -> &'static str {
    match by {
        Measure::Allocations | Measure::Temporary => "",
        Measure::Leaked => "not freed",
        Measure::Peak => "peak",
    }
}

/// Positions of the buckets to print: the largest, in order of size.
fn chosen(view: &HistogramView<'_>) -> Vec<usize> {
    let mut all: Vec<usize> = (0..view.buckets.len()).collect();
    if all.len() > view.most {
        let cost = |at: usize| &view.buckets[at].cost;
        all.sort_by_key(|&at| std::cmp::Reverse((cost(at).of(view.by).unsigned_abs(), cost(at).bytes)));
        all.truncate(view.most);
        all.sort_unstable();
    }
    all
}

fn sizes_words(style: &Style, bucket: &SizeBucket) -> String {
    let (start, end) = (*bucket.sizes.start(), *bucket.sizes.end());
    if start == end {
        return format!("{} B", style.count(start));
    }
    // Powers of two are known by their binary names.
    let mut value = end;
    let mut unit = 0;
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    while value >= 1024 && value.is_multiple_of(1024) && unit < UNITS.len() - 1 {
        value /= 1024;
        unit += 1;
    }
    if style.exact_bytes || end == u64::MAX {
        format!("≤ {end} B")
    } else {
        format!("≤ {value} {}", UNITS[unit])
    }
}

pub(super) fn site_words(source: &NativeSource<'_>, ip: IpId) -> String {
    match source.heap.frames(ip).next() {
        Some(frame) if !ip.is_zero() => frame_words(&frame, source.full_names),
        _ => "(no stack)".to_owned(),
    }
}
