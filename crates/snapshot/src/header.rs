//! The `snapshot` object: which fields a record has, in which order, and how many records to expect.
//!
//! No field position, type number or multiplier is ever assumed: V8 changed all of them between Node 12 and 26,
//! and inserted a location field in the middle in V8 14.9.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What kind of thing a node is. Numbers are ours; a file's numbers are mapped through its `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeType(pub u8);

/// Names in the order of our numbers, which is also V8's.
const NODE_TYPES: [&str; 16] = [
    "hidden",
    "array",
    "string",
    "object",
    "code",
    "closure",
    "regexp",
    "number",
    "native",
    "synthetic",
    "concatenated string",
    "sliced string",
    "symbol",
    "bigint",
    "object shape",
    "wasm object",
];

/// Node types are packed with the detachedness into a byte, so a file may bring this many, known or not.
pub(crate) const MAX_NODE_TYPES: usize = 32;

impl NodeType {
    /// V8's own bookkeeping.
    pub const HIDDEN: NodeType = NodeType(0);
    /// A FixedArray or its like.
    pub const ARRAY: NodeType = NodeType(1);
    /// A flat string.
    pub const STRING: NodeType = NodeType(2);
    /// A JavaScript object.
    pub const OBJECT: NodeType = NodeType(3);
    /// Compiled code and what belongs to it.
    pub const CODE: NodeType = NodeType(4);
    /// A function.
    pub const CLOSURE: NodeType = NodeType(5);
    /// A regular expression.
    pub const REGEXP: NodeType = NodeType(6);
    /// A number that lives on the heap.
    pub const NUMBER: NodeType = NodeType(7);
    /// Something outside V8's heap.
    pub const NATIVE: NodeType = NodeType(8);
    /// Made up by the snapshot, such as the roots.
    pub const SYNTHETIC: NodeType = NodeType(9);
    /// A string that is the concatenation of two others.
    pub const CONCATENATED_STRING: NodeType = NodeType(10);
    /// A string that is a part of another.
    pub const SLICED_STRING: NodeType = NodeType(11);
    /// A symbol.
    pub const SYMBOL: NodeType = NodeType(12);
    /// A BigInt.
    pub const BIGINT: NodeType = NodeType(13);
    /// A hidden class and what belongs to it.
    pub const OBJECT_SHAPE: NodeType = NodeType(14);

    /// True for the three kinds of JavaScript strings.
    pub fn is_string(self) -> bool {
        matches!(self, NodeType::STRING | NodeType::CONCATENATED_STRING | NodeType::SLICED_STRING)
    }

    /// The name of a type that this version knows.
    pub fn known_name(self) -> Option<&'static str> {
        NODE_TYPES.get(usize::from(self.0)).copied()
    }
}

/// How one node refers to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EdgeType {
    /// A variable in a function's context.
    Context = 0,
    /// An array element; its name is a number.
    Element = 1,
    /// A named property.
    Property = 2,
    /// A link that JavaScript can't see.
    Internal = 3,
    /// As internal, but numbered.
    Hidden = 4,
    /// A convenience link that retains nothing, except from the root.
    Shortcut = 5,
    /// A link that retains nothing.
    Weak = 6,
    /// Stands for an edge of a damaged file that leads nowhere. V8 never writes it.
    Invisible = 7,
}

impl EdgeType {
    const ALL: [EdgeType; 8] = [
        EdgeType::Context,
        EdgeType::Element,
        EdgeType::Property,
        EdgeType::Internal,
        EdgeType::Hidden,
        EdgeType::Shortcut,
        EdgeType::Weak,
        EdgeType::Invisible,
    ];

    /// From the three bits an edge is stored with.
    #[inline]
    pub(crate) fn from_bits(bits: u32) -> EdgeType {
        EdgeType::ALL[(bits & 7) as usize]
    }

    /// The name in the file's `meta`.
    pub fn name(self) -> &'static str {
        match self {
            EdgeType::Context => "context",
            EdgeType::Element => "element",
            EdgeType::Property => "property",
            EdgeType::Internal => "internal",
            EdgeType::Hidden => "hidden",
            EdgeType::Shortcut => "shortcut",
            EdgeType::Weak => "weak",
            EdgeType::Invisible => "invisible",
        }
    }

    /// True if the edge's name is a number and no string.
    #[inline]
    pub fn is_numbered(self) -> bool {
        matches!(self, EdgeType::Element | EdgeType::Hidden)
    }
}

/// Positions of a node's fields in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeLayout {
    pub(crate) stride: usize,
    pub(crate) kind: usize,
    pub(crate) name: usize,
    pub(crate) id: usize,
    pub(crate) self_size: usize,
    pub(crate) edge_count: usize,
    pub(crate) trace_node: Option<usize>,
    pub(crate) detachedness: Option<usize>,
}

/// Positions of an edge's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EdgeLayout {
    pub(crate) stride: usize,
    pub(crate) kind: usize,
    pub(crate) name: usize,
    pub(crate) to: usize,
}

/// Positions of a location's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocationLayout {
    pub(crate) stride: usize,
    pub(crate) object: usize,
    pub(crate) script: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The header, checked and turned into positions.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) node: NodeLayout,
    pub(crate) edge: EdgeLayout,
    pub(crate) location: Option<LocationLayout>,
    pub(crate) trace_function_fields: Vec<String>,
    pub(crate) trace_node_fields: Vec<String>,
    pub(crate) sample_fields: usize,
    /// The file's node type number to ours.
    pub(crate) node_types: Vec<u8>,
    /// Names of types this version does not know; the first has our number 16.
    pub(crate) extra_node_types: Vec<String>,
    /// The file's edge type number to our bits.
    pub(crate) edge_types: Vec<u8>,
    pub(crate) node_count: u64,
    pub(crate) edge_count: u64,
    pub(crate) extra_native_bytes: Option<u64>,
    /// Byte offset of the root in the flat node array, divided by the record size: its ordinal.
    pub(crate) root_index: u64,
    /// Which V8 writes such a header, in words.
    pub(crate) v8_layout: &'static str,
}

#[derive(Deserialize)]
struct RawHeader {
    meta: RawMeta,
    #[serde(default, deserialize_with = "count")]
    node_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    edge_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    extra_native_bytes: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    root_index: Option<u64>,
}

/// Counts are hints: one that makes no sense, not even as a number of 64 bits, must not cost the file.
fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(<&RawValue>::deserialize(deserializer)?.get().parse().ok())
}

#[derive(Deserialize)]
struct RawMeta {
    node_fields: Vec<String>,
    node_types: Vec<TypeSpec>,
    edge_fields: Vec<String>,
    edge_types: Vec<TypeSpec>,
    #[serde(default)]
    trace_function_info_fields: Vec<String>,
    #[serde(default)]
    trace_node_fields: Vec<String>,
    #[serde(default)]
    sample_fields: Vec<String>,
    #[serde(default)]
    location_fields: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TypeSpec {
    List(Vec<String>),
    One(#[expect(dead_code, reason = "only lists matter, but the word must be accepted")] String),
}

/// More fields than any V8 has had; a bound against files that ask for absurd record sizes.
pub(crate) const MAX_FIELDS: usize = 32;

impl Header {
    /// Reads the JSON object behind the key `snapshot`. The error is a reason for a person.
    pub(crate) fn parse(json: &[u8]) -> Result<Header, String> {
        let raw: RawHeader = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let meta = raw.meta;
        let node = node_layout(&meta.node_fields)?;
        let edge = edge_layout(&meta.edge_fields)?;
        let (node_types, extra_node_types) =
            node_type_map(type_list(&meta.node_types, node.kind, "node_types")?)?;
        let edge_types = type_list(&meta.edge_types, edge.kind, "edge_types")?
            .iter()
            .map(|name| {
                let known = EdgeType::ALL.iter().position(|t| t.name() == name && *t != EdgeType::Invisible);
                // A strong link is the safe guess for a kind that is not invented yet: it hides no leak.
                known.unwrap_or(EdgeType::Internal as usize) as u8
            })
            .collect();
        let location = location_layout(&meta.location_fields);
        let v8_layout = v8_layout(&meta, &node, raw.extra_native_bytes.is_some());
        Ok(Header {
            node,
            edge,
            location,
            trace_function_fields: bounded(meta.trace_function_info_fields, "trace_function_info_fields")?,
            trace_node_fields: bounded(meta.trace_node_fields, "trace_node_fields")?,
            sample_fields: bounded(meta.sample_fields, "sample_fields")?.len(),
            node_types,
            extra_node_types,
            edge_types,
            node_count: raw.node_count.unwrap_or(0),
            edge_count: raw.edge_count.unwrap_or(0),
            extra_native_bytes: raw.extra_native_bytes,
            root_index: raw.root_index.unwrap_or(0) / node.stride as u64,
            v8_layout,
        })
    }
}

/// Names the V8 versions that write this header, by what each of them added or dropped.
fn v8_layout(meta: &RawMeta, node: &NodeLayout, has_extra_native: bool) -> &'static str {
    let has_type = |name: &str| match meta.node_types.get(node.kind) {
        Some(TypeSpec::List(list)) => list.iter().any(|t| t == name),
        _ => false,
    };
    if meta.location_fields.len() > 4 {
        "V8 14.9 or newer (Chrome 149, Deno 2.9)"
    } else if has_extra_native && node.trace_node.is_some() {
        "V8 13.6 to 14.8 (Node 24 to 26) with allocation stacks"
    } else if has_extra_native && meta.node_types.len() > meta.node_fields.len() {
        "V8 13.6 (Node 24)"
    } else if has_extra_native {
        "V8 14.6 (Node 26)"
    } else if node.detachedness.is_none() {
        "V8 7.8 to 8.4 (Node 12 to 14)"
    } else if has_type("wasm object") {
        "V8 11.3 (Node 20)"
    } else if has_type("object shape") {
        "V8 12.4 (Node 22)"
    } else {
        "V8 9.4 to 10.2 (Node 16 to 18)"
    }
}

fn bounded(fields: Vec<String>, what: &str) -> Result<Vec<String>, String> {
    if fields.len() > MAX_FIELDS {
        return Err(format!("`{what}` lists {} fields, and no V8 has more than {MAX_FIELDS}", fields.len()));
    }
    Ok(fields)
}

fn position(fields: &[String], what: &str, name: &str) -> Result<usize, String> {
    fields.iter().position(|f| f == name).ok_or_else(|| format!("`{what}` has no field `{name}`"))
}

fn node_layout(fields: &[String]) -> Result<NodeLayout, String> {
    if fields.len() > MAX_FIELDS {
        return Err(format!(
            "`node_fields` lists {} fields, and no V8 has more than {MAX_FIELDS}",
            fields.len()
        ));
    }
    let at = |name| position(fields, "node_fields", name);
    let optional = |name: &str| fields.iter().position(|f| f == name);
    Ok(NodeLayout {
        stride: fields.len(),
        kind: at("type")?,
        name: at("name")?,
        id: at("id")?,
        self_size: at("self_size")?,
        edge_count: at("edge_count")?,
        trace_node: optional("trace_node_id"),
        detachedness: optional("detachedness"),
    })
}

fn edge_layout(fields: &[String]) -> Result<EdgeLayout, String> {
    if fields.len() > MAX_FIELDS {
        return Err(format!(
            "`edge_fields` lists {} fields, and no V8 has more than {MAX_FIELDS}",
            fields.len()
        ));
    }
    let at = |name| position(fields, "edge_fields", name);
    Ok(EdgeLayout { stride: fields.len(), kind: at("type")?, name: at("name_or_index")?, to: at("to_node")? })
}

fn location_layout(fields: &[String]) -> Option<LocationLayout> {
    let at = |name: &str| fields.iter().position(|f| f == name);
    if fields.len() > MAX_FIELDS {
        return None;
    }
    Some(LocationLayout {
        stride: fields.len(),
        object: at("object_index")?,
        script: at("script_id")?,
        line: at("line")?,
        column: at("column")?,
    })
}

fn type_list<'a>(types: &'a [TypeSpec], at: usize, what: &str) -> Result<&'a [String], String> {
    match types.get(at) {
        Some(TypeSpec::List(list)) => Ok(list),
        _ => Err(format!("`{what}` has no list at the place of the field `type`")),
    }
}

fn node_type_map(names: &[String]) -> Result<(Vec<u8>, Vec<String>), String> {
    let mut extra: Vec<String> = Vec::new();
    let mut map = Vec::with_capacity(names.len());
    for name in names {
        let ours = match NODE_TYPES.iter().position(|known| known == name) {
            Some(known) => known,
            None => {
                extra.push(presentable(name));
                NODE_TYPES.len() + extra.len() - 1
            }
        };
        if ours >= MAX_NODE_TYPES {
            return Err(format!(
                "`node_types` brings more than {} types that are not known",
                MAX_NODE_TYPES - 16
            ));
        }
        map.push(ours as u8);
    }
    Ok((map, extra))
}

/// An unknown type's name as it can be shown and stand in a table: short, and without control characters.
fn presentable(name: &str) -> String {
    const MOST_CHARS: usize = 64;
    name.chars().take(MOST_CHARS).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE24: &str = r#"{"meta":{"node_fields":["type","name","id","self_size","edge_count","detachedness"],
        "node_types":[["hidden","array","string","tomorrow"],"string","number","number","number","number","number"],
        "edge_fields":["type","name_or_index","to_node"],
        "edge_types":[["context","element","property"],"string_or_number","node"],
        "location_fields":["object_index","script_id","script_object_index","line","column"]},
        "node_count":3,"edge_count":4,"trace_function_count":0,"extra_native_bytes":7}"#;

    #[test]
    fn positions_come_from_the_file() {
        let header = Header::parse(NODE24.as_bytes()).unwrap();
        assert_eq!(
            (header.node.stride, header.node.trace_node, header.node.detachedness),
            (6, None, Some(5))
        );
        assert_eq!(header.node_types, [0, 1, 2, 16]);
        assert_eq!(header.extra_node_types, ["tomorrow"]);
        assert_eq!(header.location.unwrap().line, 3);
        assert_eq!(header.extra_native_bytes, Some(7));
    }

    #[test]
    fn unknown_type_names_can_be_shown() {
        let odd = NODE24.replace("tomorrow", &format!("a\\tb\\n\\u001b[31m{}", "x".repeat(100)));
        let header = Header::parse(odd.as_bytes()).unwrap();
        assert_eq!(header.node_types, [0, 1, 2, 16]);
        let name = &header.extra_node_types[0];
        assert!(name.starts_with("a\u{FFFD}b\u{FFFD}\u{FFFD}[31mx"), "{name}");
        assert_eq!(name.chars().count(), 64);
    }

    #[test]
    fn a_missing_field_is_named() {
        let broken = NODE24.replace("\"self_size\",", "");
        assert_eq!(Header::parse(broken.as_bytes()).unwrap_err(), "`node_fields` has no field `self_size`");
    }
}
