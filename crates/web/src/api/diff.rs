//! The Comparison of two loaded snapshots.

use axum::extract::State;
use serde::Serialize;
use twinheap_jsheap::DiffRow;
use twinheap_snapshot::Wtf8;

use super::listing::{Key, Listing, PageJson};
use super::{Answer, Asked, OfHeap, Shared, understood, work};
use crate::answer::Failure;
use crate::rows::cut_bytes;

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
pub(super) async fn diff(State(app): Shared, query: Asked<Listing>) -> Answer {
    let query = understood(query)?;
    let (Some(base), Some(new)) = (query.base, query.new) else {
        return Err(Failure::bad("two files are needed for a comparison", "choose an older file"));
    };
    work(move || {
        let (older, newer) = (OfHeap::get(&app, base)?, OfHeap::get(&app, new)?);
        let diff = newer.compared_with(base, &older.heap);
        let fits = query.fits();
        let name = |row: &DiffRow| row.class.name().to_string_lossy().into_owned();
        let mut rows: Vec<&DiffRow> = diff.rows.iter().filter(|row| fits(&name(row))).collect();
        let keys: [Key<'_, &DiffRow>; 6] = [
            ("added", &|row| row.added.cast_signed()),
            ("removed", &|row| row.removed.cast_signed()),
            ("delta", &|row| row.delta()),
            ("allocated", &|row| row.allocated_size.cast_signed()),
            ("freed", &|row| row.freed_size.cast_signed()),
            ("size_delta", &|row| row.size_delta()),
        ];
        query.arrange(&mut rows, "allocated", &keys, |row| name(row).to_lowercase())?;
        let (mut added, mut removed, mut size_delta) = (0, 0, 0);
        for row in &rows {
            added += row.added;
            removed += row.removed;
            size_delta += row.size_delta();
        }
        let page = query.page(&rows, |_, row| {
            let key = Wtf8::new(&row.class.key()).to_string_lossy().into_owned();
            let class_id = newer.heap.classes().find(&key).first().map(|class| class.0);
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
