//! Views of one snapshot.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use twinheap_jsheap::{ClassId, ClassRow, Link, statistics};
use twinheap_snapshot::{EdgeType, NodeIdx};

use super::{Answer, App, Asked, FilePath, OfHeap, Page, PageJson, Shared, understood, work};
use crate::answer::Failure;
use crate::heap_view::{HeapView, Only, Selected};
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

#[derive(Deserialize)]
pub(super) struct ClassesQuery {
    /// Names that contain this text.
    #[serde(default)]
    filter: String,
    /// One of DevTools' filters.
    #[serde(default)]
    only: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    ascending: bool,
    #[serde(flatten)]
    page: PageText,
}

/// [`Page`] inside of another query: what is flattened comes as text.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PageText {
    #[serde(default)]
    offset: String,
    #[serde(default)]
    limit: String,
}

impl PageText {
    fn page(&self) -> Result<Page, Failure> {
        let number = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad(format!("`{text}` is no position in a list"), "positions are numbers from 0")
            }),
        };
        Ok(Page { offset: number(&self.offset)?.unwrap_or(0), limit: number(&self.limit)? })
    }
}

/// The Summary's rows.
pub(super) async fn classes(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<ClassesQuery>,
) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let page = query.page.page()?;
        let selected = only(&query.only)?.map(|only| view.selected(only));
        let rows = filtered_rows(&view, selected.as_deref(), &query)?;
        let (mut count, mut shallow_size) = (0, 0);
        for row in &rows {
            count += row.count;
            shallow_size += row.shallow_size;
        }
        let page = PageJson::new(page, &rows, |row| class_row(&view, row));
        Ok(ClassesJson { count, shallow_size, page })
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

fn filtered_rows(
    view: &HeapView,
    selected: Option<&Selected>,
    query: &ClassesQuery,
) -> Result<Vec<ClassRow>, Failure> {
    let wanted = query.filter.to_lowercase();
    let name = |row: &ClassRow| view.heap.classes().get(row.class).name().to_string_lossy();
    let mut rows: Vec<ClassRow> = selected.map_or(&view.rows, |selected| &selected.rows).clone();
    if !wanted.is_empty() {
        rows.retain(|row| name(row).to_lowercase().contains(&wanted));
    }
    // They come largest retained size first, and equal ones stay as they are.
    let flip = |key: u64| if query.ascending { key } else { u64::MAX - key };
    match query.sort.as_str() {
        "" | "retained" if !query.ascending => {}
        "" | "retained" => rows.sort_by_key(|row| row.retained_size),
        "shallow" => rows.sort_by_key(|row| flip(row.shallow_size)),
        "count" => rows.sort_by_key(|row| flip(row.count)),
        "distance" => rows.sort_by_key(|row| flip(u64::from(row.distance as u32))),
        "name" => {
            rows.sort_by_cached_key(|row| name(row).to_lowercase());
            if !query.ascending {
                rows.reverse();
            }
        }
        other => return Err(no_order(other)),
    }
    Ok(rows)
}

fn no_order(name: &str) -> Failure {
    Failure::bad(format!("there is no order by `{name}`"), "click on a column's heading")
}

fn only(name: &str) -> Result<Option<Only>, Failure> {
    if name.is_empty() {
        return Ok(None);
    }
    Only::from_name(name)
        .map(Some)
        .ok_or_else(|| Failure::bad(format!("there is no filter `{name}`"), "choose one from the list"))
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    /// `instances`, `children`, `retainers`, `dominated`, `search` or `copies`.
    of: String,
    /// The object, for all but instances and search.
    #[serde(default)]
    id: String,
    /// The class or group of strings.
    #[serde(default)]
    class_id: String,
    #[serde(default)]
    only: String,
    /// The text to search for.
    #[serde(default)]
    text: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    ascending: bool,
    #[serde(flatten)]
    page: PageText,
}

/// A page of a list of nodes.
pub(super) async fn list(State(app): Shared, FilePath { file }: FilePath, query: Asked<ListQuery>) -> Answer {
    let query = understood(query)?;
    work(move || nodes(&app, file, &query)).await
}

fn nodes(app: &Arc<App>, file: usize, query: &ListQuery) -> Result<impl Serialize + use<>, Failure> {
    let view = OfHeap::get(app, file)?;
    let page = query.page.page()?;
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
                    return Ok(PageJson::new(page, &found, |&node| node_row(&view, node)));
                }
                None => Of::Search(text.to_owned()),
            },
        },
        other => {
            return Err(Failure::bad(format!("there is no list of `{other}`"), "choose one of the views"));
        }
    };
    let list = lists::list(&view, of, order, !query.ascending)?;
    let positions = page.offset.min(list.nodes.len())..;
    let rows = page.of(&list.nodes).iter().zip(positions.clone()).map(|(&node, at)| match &list.edges {
        Some(edges) => link_row(&view, Link { edge: edges[at], node }),
        None => node_row(&view, node),
    });
    Ok(PageJson { total: list.nodes.len(), offset: positions.start, rows: rows.collect() })
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

#[derive(Deserialize)]
pub(super) struct StringsQuery {
    #[serde(default)]
    filter: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    ascending: bool,
    #[serde(flatten)]
    page: PageText,
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
    query: Asked<StringsQuery>,
) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let page = query.page.page()?;
        let groups = view.strings();
        let wanted = query.filter.to_lowercase();
        let fits =
            |text: &[u8]| wanted.is_empty() || String::from_utf8_lossy(text).to_lowercase().contains(&wanted);
        let mut found: Vec<usize> = (0..groups.len()).filter(|&at| fits(&groups[at].text)).collect();
        let flip = |key: u64| if query.ascending { key } else { u64::MAX - key };
        match query.sort.as_str() {
            "" | "shallow" if !query.ascending => {}
            "" | "shallow" => found.sort_by_key(|&at| groups[at].shallow_size),
            "count" => found.sort_by_key(|&at| flip(groups[at].nodes.len() as u64)),
            "wasted" => found.sort_by_key(|&at| flip(groups[at].wasted)),
            "name" => {
                found.sort_by(|&a, &b| groups[a].text.cmp(&groups[b].text));
                if !query.ascending {
                    found.reverse();
                }
            }
            other => return Err(no_order(other)),
        }
        let wasted = found.iter().map(|&at| groups[at].wasted).sum();
        let page = PageJson::new(page, &found, |&at| {
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
