//! Nodes and edges in JSON and in words.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_jsheap::{Compiled, Heap, Scripts, SourceLocation};
use twinheap_snapshot::{EdgeIdx, NodeIdx, Wtf8};

use crate::names::{clean, json, json_bytes};

/// Describes nodes of one heap. Finding the scripts takes a look at every function, so do it once.
pub struct Describer<'a> {
    /// The heap.
    pub heap: &'a Heap,
    scripts: Scripts,
}

/// A place in the source.
#[derive(Serialize)]
pub(crate) struct LocationJson {
    script: Option<String>,
    script_id: u32,
    /// From 1.
    line: u32,
    /// From 1.
    column: u32,
    /// Where that is in the script that ran; absent if the place is in that script.
    #[serde(skip_serializing_if = "Option::is_none")]
    compiled: Option<CompiledJson>,
}

/// A place in a script that was made of other sources.
#[derive(Serialize)]
pub(crate) struct CompiledJson {
    script: String,
    /// From 1.
    line: u32,
    /// From 1.
    column: u32,
}

impl From<Compiled> for CompiledJson {
    fn from(Compiled { script, line, column }: Compiled) -> Self {
        CompiledJson { script, line, column }
    }
}

/// A node.
#[derive(Serialize)]
pub(crate) struct NodeJson {
    id: u64,
    name: Box<RawValue>,
    class: Box<RawValue>,
    r#type: String,
    shallow_size: u64,
    retained_size: u64,
    distance: i32,
    detached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
}

/// An edge.
#[derive(Serialize)]
pub(crate) struct EdgeJson {
    r#type: &'static str,
    name: Box<RawValue>,
}

impl<'a> Describer<'a> {
    /// A describer for `heap`.
    pub fn new(heap: &'a Heap) -> Self {
        Describer { heap, scripts: Scripts::new(heap) }
    }

    pub(crate) fn node_json(&self, node: NodeIdx) -> NodeJson {
        let heap = self.heap;
        NodeJson {
            id: heap.snapshot.id(node),
            name: self.name_json(node),
            class: self.class_json(node),
            r#type: heap.snapshot.type_name(heap.snapshot.node_type(node)).to_owned(),
            shallow_size: heap.shallow_size(node),
            retained_size: heap.retained_size(node),
            distance: heap.distance(node),
            detached: heap.is_detached(node),
            location: self.location_json(node),
        }
    }

    pub(crate) fn name_json(&self, node: NodeIdx) -> Box<RawValue> {
        json_bytes(&self.heap.node_name(node))
    }

    pub(crate) fn class_json(&self, node: NodeIdx) -> Box<RawValue> {
        json(self.heap.class_name(node))
    }

    pub(crate) fn location_json(&self, node: NodeIdx) -> Option<LocationJson> {
        let location = self.scripts.locate(self.heap, node)?;
        Some(LocationJson {
            script: location.script,
            script_id: location.script_id,
            line: location.line,
            column: location.column,
            compiled: location.compiled.map(CompiledJson::from),
        })
    }

    pub(crate) fn edge_json(&self, edge: EdgeIdx) -> EdgeJson {
        EdgeJson {
            r#type: self.heap.snapshot.edge_type(edge).name(),
            name: json_bytes(&self.heap.edge_text(edge)),
        }
    }

    /// `label @id`, with the class where the label does not tell it, and the place in the source.
    pub(crate) fn node_words(&self, node: NodeIdx, most: usize) -> String {
        let heap = self.heap;
        let label = heap.node_label(node);
        let label = if node == heap.snapshot.root() {
            "(root)".to_owned()
        } else if label.is_empty() {
            format!("({})", heap.snapshot.type_name(heap.snapshot.node_type(node)))
        } else {
            label
        };
        let mut words = format!("{} @{}", clean(&label, most), heap.snapshot.id(node));
        if let Some(place) = self.place(node) {
            words.push_str("  ");
            words.push_str(&place);
        }
        words
    }

    /// `script:line:column` of a function or an object's class.
    pub(crate) fn place(&self, node: NodeIdx) -> Option<String> {
        self.scripts.locate(self.heap, node).map(|location| place_words(&location))
    }

    /// Where a function, or the constructor of an object's class, stands: `script:line:column`.
    pub fn source_of(&self, node: NodeIdx) -> Option<String> {
        self.place(node)
    }

    /// Where a class's constructor stands, from the class's script id and its 0-based line and column.
    pub(crate) fn class_place(&self, location: (u32, u32, u32)) -> Option<String> {
        let place = self.scripts.at(self.heap, location);
        place.script.is_some().then(|| place_words(&place))
    }

    /// `.name`, `[0]`, or the name in angle brackets for links that JavaScript can't see.
    pub(crate) fn edge_words(&self, edge: EdgeIdx, most: usize) -> String {
        use twinheap_snapshot::EdgeType;
        let text = self.heap.edge_text(edge);
        let text = clean(&Wtf8::new(&text).to_string_lossy(), most);
        match self.heap.snapshot.edge_type(edge) {
            EdgeType::Property => format!(".{text}"),
            EdgeType::Element => format!("[{text}]"),
            EdgeType::Context => format!("variable {text}"),
            EdgeType::Weak => format!("<{text}> (weak)"),
            _ => format!("<{text}>"),
        }
    }
}

/// `script:line:column`.
fn place_words(location: &SourceLocation) -> String {
    let script = match &location.script {
        Some(script) => clean(script, 80),
        None => format!("(script {})", location.script_id),
    };
    format!("{script}:{}:{}", location.line, location.column)
}

/// A distance as DevTools prints it: a dash where it says nothing.
pub(crate) fn distance_words(distance: i32) -> String {
    if (0..twinheap_jsheap::SYSTEM_DISTANCE).contains(&distance) {
        distance.to_string()
    } else {
        "–".to_owned()
    }
}
