//! `objects` and `object`.

use serde::Serialize;
use twinheap_jsheap::{Heap, Link};
use twinheap_snapshot::{EdgeType, NodeIdx};

use crate::describe::{Describer, EdgeJson, NodeJson, distance_words};
use crate::names::clean;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

#[derive(Serialize)]
struct ListDocument<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    /// Objects that fit the question, listed or not.
    total_count: usize,
    objects: Vec<NodeJson>,
    warnings: &'a [String],
}

/// A list of objects; `total` of them fit the question.
pub fn objects_json<'a>(
    describer: &Describer<'_>,
    file: &'a str,
    nodes: &[NodeIdx],
    total: usize,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    ListDocument {
        schema_version: SCHEMA_VERSION,
        kind: "js-objects",
        file,
        total_count: total,
        objects: nodes.iter().map(|&node| describer.node_json(node)).collect(),
        warnings,
    }
}

/// A list of objects in words.
pub fn objects_text(describer: &Describer<'_>, nodes: &[NodeIdx], total: usize, style: &Style) -> String {
    if total == 0 {
        return "No object fits.\n".to_owned();
    }
    let mut out = node_table(describer, nodes, style).render(style);
    if total > nodes.len() {
        let rest = style.count((total - nodes.len()) as u64);
        out.push_str(&style.dim(&format!("… {rest} more objects (--limit N)\n")));
    }
    out
}

pub(crate) fn node_table(describer: &Describer<'_>, nodes: &[NodeIdx], style: &Style) -> Table {
    let heap = describer.heap;
    let mut table = Table::new(&[
        ("id", Align::Right),
        ("object", Align::Left),
        ("class", Align::Left),
        ("distance", Align::Right),
        ("shallow", Align::Right),
        ("retained", Align::Right),
        ("", Align::Right),
    ]);
    for &node in nodes {
        let mut label = clean(&heap.node_label(node), style.width.saturating_sub(76).max(24));
        if let Some(place) = describer.place(node) {
            label.push_str("  ");
            label.push_str(&place);
        }
        table.row(vec![
            format!("@{}", heap.snapshot.id(node)),
            label,
            clean(&heap.class_name(node).to_string_lossy(), 30),
            distance_words(heap.distance(node)),
            style.size(heap.shallow_size(node)),
            style.size(heap.retained_size(node)),
            style.percent(heap.retained_size(node), heap.total_size()),
        ]);
    }
    table
}

/// What `object` shows.
pub struct ObjectView<'a> {
    /// The object.
    pub node: NodeIdx,
    /// What it refers to, largest retained size first.
    pub children: &'a [Link],
    /// Who holds it.
    pub retainers: &'a [Link],
}

#[derive(Serialize)]
struct ObjectDocument<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    object: NodeJson,
    /// The size in the file, before internals are counted with their owner.
    self_size: u64,
    dominator: NodeJson,
    dominated_count: u32,
    retainer_count: usize,
    edges: Vec<ChildJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct ChildJson {
    edge: EdgeJson,
    #[serde(flatten)]
    node: NodeJson,
}

/// One object with all it refers to.
pub fn object_json<'a>(
    describer: &Describer<'_>,
    file: &'a str,
    view: &ObjectView<'_>,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    let heap = describer.heap;
    ObjectDocument {
        schema_version: SCHEMA_VERSION,
        kind: "js-object",
        file,
        object: describer.node_json(view.node),
        self_size: heap.snapshot.self_size(view.node),
        dominator: describer.node_json(heap.dominator(view.node)),
        dominated_count: heap.dominated_count(view.node),
        retainer_count: view.retainers.len(),
        edges: view
            .children
            .iter()
            .map(|link| ChildJson {
                edge: describer.edge_json(link.edge),
                node: describer.node_json(link.node),
            })
            .collect(),
        warnings,
    }
}

/// One object in words: its sizes, who holds it (the nearest few), and what it refers to.
pub fn object_text(describer: &Describer<'_>, view: &ObjectView<'_>, style: &Style, most: usize) -> String {
    let heap = describer.heap;
    let node = view.node;
    let kind = heap.snapshot.type_name(heap.snapshot.node_type(node));
    let mut out = format!(
        "{}\n{kind}, class {}, distance {}{}\nshallow {}, retained {} ({} of the heap, {} objects)\ndominated by {}\n",
        style.bold(&describer.node_words(node, 200)),
        clean(&heap.class_name(node).to_string_lossy(), 80),
        distance_words(heap.distance(node)),
        if heap.is_detached(node) { ", detached" } else { "" },
        style.size(heap.shallow_size(node)),
        style.size(heap.retained_size(node)),
        style.percent(heap.retained_size(node), heap.total_size()),
        style.count(u64::from(heap.dominated_count(node)) + 1),
        describer.node_words(heap.dominator(node), 60),
    );
    let by_root = if is_held_by_root(heap, node) { " and by the root" } else { "" };
    out.push_str(&format!("\nheld by {} edges{by_root}\n", style.count(view.retainers.len() as u64)));
    out.push_str(&link_table(describer, view.retainers, style, 5, "of").render(style));
    out.push_str(&format!("\nrefers by {} edges\n", style.count(view.children.len() as u64)));
    out.push_str(&link_table(describer, view.children, style, most, "to").render(style));
    if let Some(rest) = view.children.len().checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("… {} more edges (--limit N)\n", style.count(rest as u64))));
    }
    out
}

/// The root is no retainer in the lists, as in DevTools, but its strong edges hold.
fn is_held_by_root(heap: &Heap, node: NodeIdx) -> bool {
    let snapshot = &heap.snapshot;
    snapshot.edges(snapshot.root()).any(|edge| {
        let is_strong = !matches!(snapshot.edge_type(edge), EdgeType::Weak | EdgeType::Invisible);
        is_strong && snapshot.edge_to(edge) == node
    })
}

pub(crate) fn link_table(
    describer: &Describer<'_>,
    links: &[Link],
    style: &Style,
    most: usize,
    other_end: &'static str,
) -> Table {
    let heap = describer.heap;
    let mut table = Table::new(&[
        ("as", Align::Left),
        (other_end, Align::Left),
        ("distance", Align::Right),
        ("shallow", Align::Right),
        ("retained", Align::Right),
    ]);
    for link in links.iter().take(most) {
        table.row(vec![
            describer.edge_words(link.edge, 40),
            describer.node_words(link.node, style.width.saturating_sub(80).max(30)),
            distance_words(heap.distance(link.node)),
            style.size(heap.shallow_size(link.node)),
            style.size(heap.retained_size(link.node)),
        ]);
    }
    table
}
