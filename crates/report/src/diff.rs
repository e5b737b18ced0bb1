//! `diff` of two heap snapshots.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_jsheap::Diff;

use crate::names::{clean, json, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    base: &'a str,
    file: &'a str,
    comparable_ids: bool,
    classes: Vec<RowJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct RowJson {
    name: Box<RawValue>,
    key: Box<RawValue>,
    added: u64,
    removed: u64,
    delta: i64,
    allocated_size: u64,
    freed_size: u64,
    size_delta: i64,
}

/// The document of the contract: classes with a change, most allocated bytes first.
pub fn diff_json<'a>(
    diff: &Diff,
    base: &'a str,
    new: &'a str,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    let classes = diff.rows.iter().map(|row| RowJson {
        name: json(row.class.name()),
        key: json_bytes(&row.class.key()),
        added: row.added,
        removed: row.removed,
        delta: row.delta(),
        allocated_size: row.allocated_size,
        freed_size: row.freed_size,
        size_delta: row.size_delta(),
    });
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "js-diff",
        base,
        file: new,
        comparable_ids: diff.ids.comparable(),
        classes: classes.collect(),
        warnings,
    }
}

/// The comparison in words: the `most` rows that grew most, by net bytes.
pub fn diff_text(diff: &Diff, base: &str, new: &str, style: &Style, most: usize) -> String {
    let mut rows: Vec<_> = diff.rows.iter().collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.size_delta()), std::cmp::Reverse(row.allocated_size)));
    let grown: i64 = rows.iter().map(|row| row.size_delta()).sum();
    let largest = rows.iter().map(|row| row.size_delta()).max().unwrap_or(0).max(0) as u64;
    let mut out = format!(
        "{}\n{}\n\n",
        style.bold(&format!("{} → {}", clean(base, 100), clean(new, 100))),
        format_args!("{} in {} classes", style.signed_size(grown), style.count(rows.len() as u64)),
    );
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("new", Align::Right),
        ("deleted", Align::Right),
        ("delta", Align::Right),
        ("allocated", Align::Right),
        ("freed", Align::Right),
        ("size delta", Align::Right),
        ("", Align::Left),
    ]);
    for row in rows.iter().take(most) {
        table.row(vec![
            clean(&row.class.name().to_string_lossy(), style.width.saturating_sub(76).max(24)),
            style.count(row.added),
            style.count(row.removed),
            style.signed_count(row.delta()),
            style.size(row.allocated_size),
            style.size(row.freed_size),
            style.signed_size(row.size_delta()),
            style.bar(row.size_delta().max(0) as u64, largest, 10),
        ]);
    }
    if table.is_empty() {
        out.push_str("Nothing changed.\n");
        return out;
    }
    out.push_str(&table.render(style));
    if let Some(rest) = rows.len().checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(
            &style.dim(&format!(
                "… {} more classes (--limit N, or --json for all)\n",
                style.count(rest as u64)
            )),
        );
    }
    out
}
