//! The Comparison of two loaded snapshots.

use std::cmp::Reverse;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use twinheap_jsheap::{Diff, DiffRow};
use twinheap_snapshot::Wtf8;

use super::{Answer, Asked, OfHeap, Page, PageJson, Shared, understood, work};
use crate::answer::Failure;
use crate::rows::cut_bytes;

#[derive(Deserialize)]
pub(super) struct DiffQuery {
    base: usize,
    new: usize,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    ascending: bool,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct DiffJson {
    /// Whether ids mean the same objects; if not, each row is a difference of counts.
    comparable_ids: bool,
    /// Sums of all rows.
    added: u64,
    removed: u64,
    size_delta: i64,
    #[serde(flatten)]
    page: PageJson<RowJson>,
}

#[derive(Serialize)]
struct RowJson {
    name: String,
    key: String,
    /// The class in the newer snapshot, if it is still there.
    class_id: Option<u32>,
    added: u64,
    removed: u64,
    delta: i64,
    allocated_size: u64,
    freed_size: u64,
    size_delta: i64,
}

/// What changed from one snapshot to another, by class.
pub(super) async fn diff(State(app): Shared, query: Asked<DiffQuery>) -> Answer {
    let query = understood(query)?;
    work(move || {
        let (base, new) = (OfHeap::get(&app, query.base)?, OfHeap::get(&app, query.new)?);
        let diff = new.compared_with(query.base, &base.heap);
        let rows = rows(&diff, &query)?;
        let (mut added, mut removed, mut size_delta) = (0, 0, 0);
        for row in &rows {
            added += row.added;
            removed += row.removed;
            size_delta += row.size_delta();
        }
        let page = Page { offset: query.offset, limit: query.limit };
        let page = PageJson::new(page, &rows, |row| {
            let key = Wtf8::new(&row.class.key()).to_string_lossy().into_owned();
            let class_id = new.heap.classes().find(&key).first().map(|class| class.0);
            RowJson {
                name: cut_bytes(row.class.name().as_bytes(), 240).0,
                key,
                class_id,
                added: row.added,
                removed: row.removed,
                delta: row.delta(),
                allocated_size: row.allocated_size,
                freed_size: row.freed_size,
                size_delta: row.size_delta(),
            }
        });
        Ok(DiffJson { comparable_ids: diff.ids.comparable(), added, removed, size_delta, page })
    })
    .await
}

fn rows<'a>(diff: &'a Diff, query: &DiffQuery) -> Result<Vec<&'a DiffRow>, Failure> {
    let wanted = query.filter.to_lowercase();
    let name = |row: &DiffRow| row.class.name().to_string_lossy().to_lowercase();
    let mut rows: Vec<&DiffRow> =
        diff.rows.iter().filter(|row| wanted.is_empty() || name(row).contains(&wanted)).collect();
    let key: fn(&DiffRow) -> i64 = match query.sort.as_str() {
        // The usual order: most allocated bytes first.
        "" => {
            if query.ascending {
                rows.reverse();
            }
            return Ok(rows);
        }
        "name" => {
            rows.sort_by_cached_key(|row| name(row));
            if !query.ascending {
                rows.reverse();
            }
            return Ok(rows);
        }
        "added" => |row| row.added.cast_signed(),
        "removed" => |row| row.removed.cast_signed(),
        "delta" => DiffRow::delta,
        "allocated" => |row| row.allocated_size.cast_signed(),
        "freed" => |row| row.freed_size.cast_signed(),
        "size_delta" => DiffRow::size_delta,
        other => {
            return Err(Failure::bad(
                format!("there is no order by `{other}`"),
                "click on a column's heading",
            ));
        }
    };
    if query.ascending {
        rows.sort_by_key(|row| key(row));
    } else {
        rows.sort_by_key(|row| Reverse(key(row)));
    }
    Ok(rows)
}
