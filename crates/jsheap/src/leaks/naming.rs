//! What a place is called: owner and property, as the program calls them.

use twinheap_snapshot::{EdgeIdx, EdgeType, NodeIdx, NodeType};

use crate::leaks::scene::Scene;
use crate::leaks::{Accumulation, AccumulationKind};

/// Plain objects and unnamed things between a place and the owner whose name means something.
const MOST_PARTS: usize = 5;

/// The object that a part of it belongs to: the Map of a table, the array of its elements.
pub(crate) fn owner(scene: &Scene<'_>, node: NodeIdx) -> NodeIdx {
    let mut at = node;
    while is_part(scene, at) {
        match scene.holder(at) {
            Some((holder, _)) => at = holder,
            None => break,
        }
    }
    at
}

/// True for what a program can't see: tables, elements, cells.
pub(crate) fn is_part(scene: &Scene<'_>, node: NodeIdx) -> bool {
    match scene.heap.snapshot.node_type(node) {
        NodeType::ARRAY | NodeType::OBJECT_SHAPE => true,
        NodeType::HIDDEN | NodeType::CODE => !scene.is_context(node),
        _ => false,
    }
}

/// Describes the place `node`, whose children are reached by edges like `entry`.
pub(crate) fn accumulation(
    scene: &Scene<'_>,
    node: NodeIdx,
    entry: Option<EdgeIdx>,
    is_list: bool,
) -> Accumulation {
    let kind = match kind_of(scene, node, entry) {
        AccumulationKind::Listeners => AccumulationKind::Listeners,
        _ if is_list => AccumulationKind::LinkedList,
        kind => kind,
    };
    let mut names = Names { text: String::new(), property: None };
    if is_list && let Some(edge) = entry {
        names.push_front(scene, edge);
    }
    let mut at = node;
    for _ in 0..MOST_PARTS {
        if let Some(owner) = owner_name(scene, at) {
            if names.text.is_empty() {
                names.text = owner;
            } else {
                names.text = format!("{owner}{}", names.text);
            }
            break;
        }
        let Some((holder, edge)) = scene.holder(at) else { break };
        names.push_front(scene, edge);
        at = holder;
    }
    let text = names.text.trim_start_matches('.').to_owned();
    let text = if text.is_empty() { scene.class_words(node) } else { text };
    Accumulation { node, id: scene.heap.snapshot.id(node), name: text, kind, property: names.property }
}

struct Names {
    text: String,
    property: Option<String>,
}

impl Names {
    fn push_front(&mut self, scene: &Scene<'_>, edge: EdgeIdx) {
        let text = scene.heap.edge_text(edge);
        let text = String::from_utf8_lossy(&text).into_owned();
        let part = match scene.heap.snapshot.edge_type(edge) {
            EdgeType::Property | EdgeType::Context => {
                self.property.get_or_insert_with(|| plain_name(&text));
                match text.strip_prefix("<symbol ") {
                    Some(symbol) => format!("[{}]", symbol.trim_end_matches('>')),
                    None => format!(".{text}"),
                }
            }
            EdgeType::Element => "[…]".to_owned(),
            EdgeType::Internal if text.bytes().all(|b| b.is_ascii_digit()) => "[…]".to_owned(),
            _ => return,
        };
        // `[…]` twice in a row says no more than once.
        if !(part == "[…]" && self.text.starts_with("[…]")) {
            self.text = format!("{part}{}", self.text);
        }
    }
}

fn plain_name(text: &str) -> String {
    text.strip_prefix("<symbol ").map_or(text, |symbol| symbol.trim_end_matches('>')).to_owned()
}

/// The name of something that names what it holds: an instance of a class, a function, the global object.
fn owner_name(scene: &Scene<'_>, node: NodeIdx) -> Option<String> {
    let heap = scene.heap;
    let name = || heap.snapshot.raw_name_text(node).to_string_lossy().into_owned();
    match heap.snapshot.node_type(node) {
        NodeType::CLOSURE => Some(name()).filter(|name| !name.is_empty()),
        // A variable is named by itself.
        _ if scene.is_context(node) => Some(String::new()),
        NodeType::OBJECT => {
            let name = name();
            let is_plain = matches!(
                name.as_str(),
                "Object" | "Array" | "Map" | "Set" | "WeakMap" | "WeakSet" | "" | "SafeMap" | "SafeSet"
            );
            (!is_plain).then(|| name.split(" / ").next().unwrap_or_default().to_owned())
        }
        NodeType::SYNTHETIC => Some(name()),
        NodeType::NATIVE => Some(name().trim_start_matches("Node / ").to_owned()),
        _ => None,
    }
}

fn kind_of(scene: &Scene<'_>, node: NodeIdx, entry: Option<EdgeIdx>) -> AccumulationKind {
    let heap = scene.heap;
    let snapshot = &heap.snapshot;
    match snapshot.node_type(node) {
        _ if scene.is_context(node) => return AccumulationKind::Context,
        NodeType::SYNTHETIC => return AccumulationKind::Handles,
        NodeType::OBJECT => {}
        _ => return AccumulationKind::Object,
    }
    if is_listeners(scene, node) {
        return AccumulationKind::Listeners;
    }
    if scene.internal(node, "table").is_some() {
        return match base_class(scene, node).as_str() {
            "Set" => AccumulationKind::Set,
            "WeakMap" | "WeakSet" => AccumulationKind::WeakMap,
            _ => AccumulationKind::Map,
        };
    }
    let by_name = entry.is_some_and(|edge| {
        snapshot.edge_type(edge) == EdgeType::Property && snapshot.edge_from(edge) == node
    });
    match snapshot.raw_name_text(node).as_bytes() {
        b"Array" => AccumulationKind::Array,
        _ if by_name => AccumulationKind::Dictionary,
        _ => match entry.map(|edge| snapshot.edge_type(edge)) {
            Some(EdgeType::Element) => AccumulationKind::Array,
            Some(EdgeType::Internal) if scene.internal(node, "elements").is_some() => AccumulationKind::Array,
            _ => AccumulationKind::Object,
        },
    }
}

/// The collection that an object is, also if its class is derived from it.
fn base_class(scene: &Scene<'_>, node: NodeIdx) -> String {
    let mut at = node;
    for _ in 0..6 {
        let name = scene.heap.snapshot.raw_name_text(at).to_string_lossy();
        if matches!(&*name, "Map" | "Set" | "WeakMap" | "WeakSet" | "Array") {
            return name.into_owned();
        }
        match scene.property(at, "__proto__") {
            Some(above) => at = above,
            None => break,
        }
    }
    String::new()
}

/// True for an emitter's listeners: the object of lists, or one list of it; and those of an EventTarget.
fn is_listeners(scene: &Scene<'_>, node: NodeIdx) -> bool {
    let mut at = node;
    for _ in 0..4 {
        let Some((holder, edge)) = scene.holder(at) else { return false };
        let name = scene.heap.edge_text(edge);
        if name == b"_events" || name == b"<symbol kEvents>" || name == b"<symbol events>" {
            return true;
        }
        at = holder;
    }
    false
}
