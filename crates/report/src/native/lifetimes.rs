//! `histogram --lifetime` of a native trace.

use serde::Serialize;
use twinheap_native::LifetimeBucket;

use super::histogram::site_words;
use super::{FrameJson, NativeSource, SelectionJson, place_json, signed};
use crate::names::clean;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the histogram of lifetimes shows.
pub struct LifetimesView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// Freed blocks by how long they lived.
    pub buckets: &'a [LifetimeBucket],
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    buckets: Vec<BucketJson>,
    /// Bytes that were never freed, without suppressed ones.
    leaked_bytes: i64,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct BucketJson {
    /// Seconds.
    min_lifetime: f64,
    max_lifetime: f64,
    blocks: u64,
    /// How far the number of blocks is off, at most, in 95 of 100 recordings; only of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_error_95: Option<u64>,
    bytes: u64,
    top_site: Option<TopSiteJson>,
}

#[derive(Serialize)]
struct TopSiteJson {
    blocks: u64,
    frames: Vec<FrameJson>,
}

/// All lifetimes.
pub fn lifetimes_json<'a>(view: &LifetimesView<'a>) -> impl Serialize + use<'a> {
    let bucket = |bucket: &LifetimeBucket| BucketJson {
        min_lifetime: *bucket.ns.start() as f64 / 1e9,
        max_lifetime: *bucket.ns.end() as f64 / 1e9,
        blocks: bucket.blocks,
        blocks_error_95: view.source.is_estimated().then(|| bucket.variance.error()),
        bytes: bucket.bytes,
        top_site: bucket
            .top
            .map(|(ip, blocks)| TopSiteJson { blocks, frames: place_json(view.source.heap, ip) }),
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-lifetimes",
        file: view.source.file,
        selection: view.source.selection(),
        buckets: view.buckets.iter().map(bucket).collect(),
        leaked_bytes: view.source.costs.sum().leaked,
        warnings: view.source.warnings,
    }
}

/// The lifetimes as bars.
pub fn lifetimes_text(view: &LifetimesView<'_>, style: &Style) -> String {
    let source = &view.source;
    let mut out = format!("{}\n", source.heading(style));
    if view.buckets.is_empty() {
        out.push_str("Nothing was freed.\n");
    } else {
        let most = view.buckets.iter().map(|bucket| bucket.blocks).max().unwrap_or(0);
        let mut table = Table::new(&[
            ("lived", Align::Right),
            ("blocks", Align::Right),
            ("", Align::Left),
            ("bytes", Align::Right),
            ("largest call site", Align::Left),
        ]);
        let room = style.width.saturating_sub(56).max(24);
        for bucket in view.buckets {
            let site = bucket.top.map_or_else(String::new, |(ip, _)| site_words(source, ip));
            let lived = match *bucket.ns.end() {
                0 => "no tick".to_owned(),
                end => format!("< {}", duration(end.saturating_add(1))),
            };
            table.row(vec![
                lived,
                style.count(bucket.blocks),
                style.bar(bucket.blocks, most, 20),
                style.size(bucket.bytes),
                clean(&site, room),
            ]);
        }
        out.push_str(&table.render(style));
    }
    out.push_str(&format!("\n{} never freed\n", signed(style, source.costs.sum().leaked)));
    out
}

/// Nanoseconds with three digits.
fn duration(ns: u64) -> String {
    const UNITS: [(&str, f64); 5] = [("ns", 1e3), ("µs", 1e3), ("ms", 1e3), ("s", 60.0), ("min", 60.0)];
    let mut value = ns as f64;
    for (unit, next) in UNITS {
        if value < next {
            let digits = if value >= 99.95 || unit == "ns" { 0 } else { 1 };
            return format!("{value:.digits$} {unit}");
        }
        value /= next;
    }
    format!("{value:.1} h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_fits() {
        let shown = [1, 512, 1024, 131_072, 1 << 30, 1 << 36, 1 << 43].map(duration);
        assert_eq!(shown, ["1 ns", "512 ns", "1.0 µs", "131 µs", "1.1 s", "1.1 min", "2.4 h"]);
    }
}
