//! Views of one snapshot.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use twinheap_jsheap::{ClassId, ClassRow, Link, statistics};
use twinheap_snapshot::{EdgeType, NodeIdx};

use super::listing::{Key, Listing, PageJson, no_order};
use super::{Answer, App, Asked, FilePath, OfHeap, Shared, understood, work};
use crate::answer::Failure;
use crate::heap_view::{HeapView, Only};
use crate::lists::{self, Of, Order};
use crate::rows::{class_row, cut_bytes, link_row, node_row};

/// Most of a text that the inspector gets, in characters.
const MOST_TEXT: usize = 1 << 16;

/// The numbers of the file as a whole, with the words of `summary --json`.
pub(super) async fn info(State(app): Shared, FilePath { file }: FilePath) -> Answer {
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let heap = &view.heap;
        let s = statistics(heap);
        Ok(json!({
            "file": app.files.path(file),
            "has_user_roots": heap.has_user_roots(),
            "nodes": heap.snapshot.node_count(),
            "edges": heap.snapshot.edge_count(),
            "strings": heap.snapshot.strings.len(),
            "classes": view.rows.len(),
            "root_id": heap.snapshot.id(heap.snapshot.root()),
            "total_size": heap.total_size(),
            "extra_native_bytes": heap.extra_native_bytes(),
            "statistics": {
                "total": s.total,
                "code": s.code,
                "strings": s.strings,
                "js_arrays": s.js_arrays,
                "typed_arrays": s.typed_arrays,
                "system": s.system,
                "other_js": s.other_js,
                "other_native": s.other_native,
            },
        }))
    })
    .await
}

/// The Summary's rows.
pub(super) async fn classes(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<Listing>,
) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let selected = only(&query.only)?.map(|only| view.selected(only));
        let all = selected.as_ref().map_or(&view.rows, |selected| &selected.rows);
        let fits = query.fits();
        let name = |row: &ClassRow| view.heap.classes().get(row.class).name().to_string_lossy();
        let mut rows: Vec<&ClassRow> = all.iter().filter(|row| fits(&name(row))).collect();
        let keys: [Key<'_, &ClassRow>; 4] = [
            ("retained", &|row| row.retained_size.cast_signed()),
            ("shallow", &|row| row.shallow_size.cast_signed()),
            ("count", &|row| row.count.cast_signed()),
            // What can't be reached comes last, as far as anything.
            ("distance", &|row| i64::from(row.distance as u32)),
        ];
        query.arrange(&mut rows, "retained", &keys, |row| name(row).to_lowercase())?;
        let (mut count, mut shallow_size) = (0, 0);
        for row in &rows {
            count += row.count;
            shallow_size += row.shallow_size;
        }
        Ok(ClassesJson { count, shallow_size, page: query.page(&rows, |_, row| class_row(&view, row)) })
    })
    .await
}

#[derive(Serialize)]
struct ClassesJson<T> {
    /// Objects of all rows.
    count: u64,
    /// Their own bytes.
    shallow_size: u64,
    #[serde(flatten)]
    page: PageJson<T>,
}

fn only(name: &str) -> Result<Option<Only>, Failure> {
    if name.is_empty() {
        return Ok(None);
    }
    Only::from_name(name)
        .map(Some)
        .ok_or_else(|| Failure::bad(format!("there is no filter `{name}`"), "choose one from the list"))
}

/// A page of a list of nodes.
pub(super) async fn list(State(app): Shared, FilePath { file }: FilePath, query: Asked<Listing>) -> Answer {
    let query = understood(query)?;
    work(move || nodes(&app, file, &query)).await
}

fn nodes(app: &Arc<App>, file: usize, query: &Listing) -> Result<impl Serialize + use<>, Failure> {
    let view = OfHeap::get(app, file)?;
    let order = Order::from_name(&query.sort).ok_or_else(|| no_order(&query.sort))?;
    let of = match query.of.as_str() {
        "instances" => Of::Instances(class(&view, &query.class_id)?, only(&query.only)?),
        "children" => Of::Children(node(&view, &query.id)?),
        "retainers" => Of::Retainers(node(&view, &query.id)?),
        "dominated" => Of::Dominated(node(&view, &query.id)?),
        "copies" => Of::Copies(number(&query.class_id)?),
        "search" => match query.text.trim() {
            "" => {
                return Err(Failure::bad(
                    "there is nothing to search for",
                    "type a text, a class, or an @id",
                ));
            }
            text => match text.strip_prefix('@').and_then(|id| id.parse().ok()) {
                // One object, whatever the order.
                Some(id) => {
                    let node = view.heap.snapshot.node_by_id(id);
                    let found: Vec<NodeIdx> = node.into_iter().collect();
                    return Ok(query.page(&found, |_, &node| node_row(&view, node)));
                }
                None => Of::Search(text.to_owned()),
            },
        },
        other => {
            return Err(Failure::bad(format!("there is no list of `{other}`"), "choose one of the views"));
        }
    };
    let list = lists::list(&view, of, order, !query.ascending)?;
    Ok(query.page(&list.nodes, |at, &node| match &list.edges {
        Some(edges) => link_row(&view, Link { edge: edges[at], node }),
        None => node_row(&view, node),
    }))
}

fn number(text: &str) -> Result<usize, Failure> {
    text.parse().map_err(|_| Failure::bad(format!("`{text}` is no number"), "choose a row of a list"))
}

/// The node with an id, with or without `@`.
pub(super) fn node(view: &HeapView, id: &str) -> Result<NodeIdx, Failure> {
    let digits = id.strip_prefix('@').unwrap_or(id);
    let id: u64 =
        digits.parse().map_err(|_| Failure::bad(format!("`{id}` is no object id"), "ids look like @123"))?;
    view.heap.snapshot.node_by_id(id).ok_or_else(|| Failure::no_object(id))
}

pub(super) fn class(view: &HeapView, id: &str) -> Result<ClassId, Failure> {
    let id = number(id)?;
    if id < view.heap.classes().len() {
        return Ok(ClassId(id as u32));
    }
    Err(Failure::missing(format!("this snapshot has no class {id}"), "choose a class of the Summary"))
}

#[derive(Deserialize)]
pub(super) struct TilesQuery {
    /// `class` or `package`.
    #[serde(default)]
    by: String,
}

/// The treemap.
pub(super) async fn tiles(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<TilesQuery>,
) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let tiles = match query.by.as_str() {
            "package" => view.by_package(),
            _ => view.by_class(),
        };
        serde_json::to_value(tiles).map_err(|error| super::internal(&error))
    })
    .await
}

#[derive(Serialize)]
struct StringsJson {
    /// What one copy less of everything would save, in bytes.
    wasted: u64,
    #[serde(flatten)]
    page: PageJson<serde_json::Value>,
}

/// Texts that are there more than once.
pub(super) async fn strings(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<Listing>,
) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let groups = view.strings();
        let fits = query.fits();
        let fits = |&at: &usize| query.filter.is_empty() || fits(&String::from_utf8_lossy(&groups[at].text));
        let mut found: Vec<usize> = (0..groups.len()).filter(fits).collect();
        let keys: [Key<'_, usize>; 3] = [
            ("shallow", &|&at| groups[at].shallow_size.cast_signed()),
            ("count", &|&at| groups[at].nodes.len() as i64),
            ("wasted", &|&at| groups[at].wasted.cast_signed()),
        ];
        query.arrange(&mut found, "shallow", &keys, |&at| &groups[at].text)?;
        let wasted = found.iter().map(|&at| groups[at].wasted).sum();
        let page = query.page(&found, |_, &at| {
            let group = &groups[at];
            let (text, cut) = cut_bytes(&group.text, 240);
            json!({
                "group_id": at,
                "text": text,
                "cut": cut,
                "count": group.nodes.len(),
                "shallow_size": group.shallow_size,
                "wasted": group.wasted,
                "may_differ": group.may_differ,
                "example_id": group.nodes.first().map(|&node| view.heap.snapshot.id(node)),
            })
        });
        Ok(StringsJson { wasted, page })
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct ObjectQuery {
    id: String,
}

/// One object: what the inspector shows above its lists.
pub(super) async fn object(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<ObjectQuery>,
) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let heap = &view.heap;
        let node = node(&view, &query.id)?;
        let (text, text_cut) = cut_bytes(&view.full_name(node), MOST_TEXT);
        let held_by_root = heap.snapshot.edges(heap.snapshot.root()).any(|edge| {
            let kind = heap.snapshot.edge_type(edge);
            !matches!(kind, EdgeType::Weak | EdgeType::Invisible) && heap.snapshot.edge_to(edge) == node
        });
        Ok(json!({
            "object": node_row(&view, node),
            "text": text,
            "text_cut": text_cut,
            "self_size": heap.snapshot.self_size(node),
            "dominator": node_row(&view, heap.dominator(node)),
            "edge_count": heap.snapshot.edges(node).filter(|&e| heap.snapshot.edge_type(e) != EdgeType::Invisible).count(),
            "held_by_root": held_by_root,
        }))
    })
    .await
}
