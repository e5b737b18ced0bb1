//! Nodes, edges and classes as the page gets them.
//!
//! Names are text and stay text: whatever a dump contains, JSON's strings carry it, and the page puts it into text
//! nodes. They are cut, since a name may be a string of megabytes; `object` has the whole.

use serde::Serialize;
use twinheap_jsheap::{ClassRow, Compiled, Link, SourceLocation};
use twinheap_snapshot::{EdgeType, NodeIdx, Wtf8};

use crate::heap_view::HeapView;

/// Longest name in a row, in characters.
const NAME: usize = 240;

/// A place in the source; lines and columns from 1.
#[derive(Debug, Serialize)]
pub(crate) struct LocationJson {
    pub(crate) script: Option<String>,
    pub(crate) script_id: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// The same place in the script that ran; absent if that is this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compiled: Option<CompiledJson>,
}

/// A place in a script that was made of other sources.
#[derive(Debug, Serialize)]
pub(crate) struct CompiledJson {
    pub(crate) script: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl From<Compiled> for CompiledJson {
    fn from(Compiled { script, line, column }: Compiled) -> Self {
        CompiledJson { script, line, column }
    }
}

impl From<SourceLocation> for LocationJson {
    fn from(location: SourceLocation) -> Self {
        let SourceLocation { script, script_id, line, column, compiled } = location;
        LocationJson { script, script_id, line, column, compiled: compiled.map(CompiledJson::from) }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct EdgeJson {
    r#type: &'static str,
    name: String,
}

/// A node, or an edge with the node at its other end.
#[derive(Debug, Serialize)]
pub(crate) struct NodeJson {
    id: u64,
    name: String,
    /// True if the name goes on.
    cut: bool,
    class: String,
    class_id: u32,
    r#type: String,
    shallow_size: u64,
    retained_size: u64,
    distance: i32,
    detached: bool,
    /// Whether it refers to anything.
    has_edges: bool,
    /// Nodes that it dominates, itself not counted.
    dominated_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<EdgeJson>,
}

/// A row of the Summary.
#[derive(Debug, Serialize)]
pub(crate) struct ClassJson {
    /// For `instances`, in this file only.
    class_id: u32,
    name: String,
    /// DevTools' key, as `summary --json` has it.
    key: String,
    count: u64,
    shallow_size: u64,
    retained_size: u64,
    distance: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
}

/// At most so many characters, and whether there were more.
pub(crate) fn cut(name: &str, most: usize) -> (String, bool) {
    match name.char_indices().nth(most) {
        Some((end, _)) => (name[..end].to_owned(), true),
        None => (name.to_owned(), false),
    }
}

/// The start of a WTF-8 name. Only so much of it is looked at: it may have megabytes.
pub(crate) fn cut_bytes(name: &[u8], most: usize) -> (String, bool) {
    // A character has at most four bytes; what the end cuts through is cut away again below.
    let start = &name[..name.len().min(most * 4 + 4)];
    let (text, is_cut) = cut(&Wtf8::new(start).to_string_lossy(), most);
    (text, is_cut || start.len() < name.len())
}

pub(crate) fn node_row(view: &HeapView, node: NodeIdx) -> NodeJson {
    let heap = &view.heap;
    let (name, cut) = cut_bytes(&heap.node_name(node), NAME);
    let class = heap.class_of(node);
    NodeJson {
        id: heap.snapshot.id(node),
        name,
        cut,
        class: view.class_label(class, NAME),
        class_id: class.0,
        r#type: heap.snapshot.type_name(heap.snapshot.node_type(node)).to_owned(),
        shallow_size: heap.shallow_size(node),
        retained_size: heap.retained_size(node),
        distance: heap.distance(node),
        detached: heap.is_detached(node),
        has_edges: heap.snapshot.edges(node).any(|edge| heap.snapshot.edge_type(edge) != EdgeType::Invisible),
        dominated_count: heap.dominated_count(node),
        location: view.location(node),
        edge: None,
    }
}

pub(crate) fn link_row(view: &HeapView, link: Link) -> NodeJson {
    let (name, _) = cut_bytes(&view.heap.edge_text(link.edge), NAME);
    let edge = EdgeJson { r#type: view.heap.snapshot.edge_type(link.edge).name(), name };
    NodeJson { edge: Some(edge), ..node_row(view, link.node) }
}

pub(crate) fn class_row(view: &HeapView, row: &ClassRow) -> ClassJson {
    let class = view.heap.classes().get(row.class);
    ClassJson {
        class_id: row.class.0,
        name: view.class_label(row.class, NAME),
        key: Wtf8::new(&class.key()).to_string_lossy().into_owned(),
        count: row.count,
        shallow_size: row.shallow_size,
        retained_size: row.retained_size,
        distance: row.distance,
        location: class.location.map(|at| view.place(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(cut("añb", 2), ("añ".to_owned(), true));
        assert_eq!(cut("añ", 2), ("añ".to_owned(), false));
        assert_eq!(cut_bytes("😀".repeat(9).as_bytes(), 2), ("😀😀".to_owned(), true));
        assert_eq!(cut_bytes(b"a", 2), ("a".to_owned(), false));
    }
}
