//! A heap snapshot in memory: columns, one entry a node or an edge, in file order.

use crate::columns::WideColumn;
use crate::header::{EdgeType, NodeType};
use crate::ids::{EdgeIdx, NodeIdx, StringId};
use crate::records::{STATE_SHIFT, TYPE_BITS, WIDE_NAME};
use crate::strings::StringTable;
use crate::wtf8::Wtf8;

/// Who wrote the file, as far as its layout tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    /// The V8 versions that write such a layout, for people.
    pub v8_layout: &'static str,
    /// True if the file gives each node's detachedness.
    pub has_detachedness: bool,
}

/// Where a function or the class of an object stands in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The function or object.
    pub node: u32,
    /// V8's number of the script; means nothing in another process.
    pub script_id: u32,
    /// Line, from 0.
    pub line: u32,
    /// Column, from 0.
    pub column: u32,
}

/// A point of an allocation timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Microseconds since tracking began.
    pub timestamp_us: u64,
    /// The largest object id given out until then.
    pub last_assigned_id: u64,
}

/// A function in the allocation stacks of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceFunction {
    /// V8's number of the function.
    pub id: u32,
    /// Its name.
    pub name: StringId,
    /// Its script's name.
    pub script_name: StringId,
    /// V8's number of the script.
    pub script_id: u32,
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
}

/// A frame in the tree of allocation stacks of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceNode {
    /// The number nodes refer to it by.
    pub id: u32,
    /// Position in [`Snapshot::trace_functions`].
    pub function: u32,
    /// Objects allocated here since tracking began, dead ones too.
    pub count: u64,
    /// Their bytes.
    pub size: u64,
    /// Position of the caller in [`Snapshot::trace_nodes`].
    pub parent: Option<u32>,
}

/// A parsed `.heapsnapshot` or `.heaptimeline`.
///
/// Every accessor is a read of one or two columns. Indices of nodes and edges that the snapshot itself gives are
/// in range; the accessors panic for others, as slices do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Type in the low five bits, detachedness in the two above.
    pub(crate) kind: Vec<u8>,
    pub(crate) name: Vec<u32>,
    pub(crate) id: WideColumn,
    /// Bytes.
    pub(crate) self_size: WideColumn,
    /// The first edge of each node, and behind the last node the number of edges.
    pub(crate) first_edge: Vec<u32>,
    /// Empty, or a trace node id for each node; 0 is none.
    pub(crate) trace_node: Vec<u32>,
    /// Type in the low three bits, name or index above.
    pub(crate) edge_packed: Vec<u32>,
    pub(crate) edge_to: Vec<u32>,
    /// `(edge, name or index)` beyond 29 bits, ascending.
    pub(crate) edge_wide: Vec<(u32, u64)>,
    pub(crate) extra_node_types: Vec<String>,
    /// Ascending by node, one a node.
    pub(crate) locations: Vec<Location>,
    pub(crate) root: NodeIdx,
    /// All texts.
    pub strings: StringTable,
    /// Points of an allocation timeline; empty for an ordinary snapshot.
    pub samples: Vec<Sample>,
    /// Functions of the allocation stacks; entry 0 is the root.
    pub trace_functions: Vec<TraceFunction>,
    /// The tree of allocation stacks, parents before children.
    pub trace_nodes: Vec<TraceNode>,
    /// Bytes of native memory that belong to no node; `None` where V8 did not yet write it.
    pub extra_native_bytes: Option<u64>,
    /// Who wrote the file.
    pub producer: Producer,
}

impl Snapshot {
    /// Number of nodes.
    #[inline]
    pub fn node_count(&self) -> usize {
        self.kind.len()
    }

    /// Number of edges.
    #[inline]
    pub fn edge_count(&self) -> usize {
        self.edge_to.len()
    }

    /// The root, which is node 0 in every file V8 writes.
    #[inline]
    pub fn root(&self) -> NodeIdx {
        self.root
    }

    /// All nodes in file order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeIdx> + use<> {
        (0..self.node_count() as u32).map(NodeIdx)
    }

    /// What kind of thing a node is.
    #[inline]
    pub fn node_type(&self, node: NodeIdx) -> NodeType {
        NodeType(self.kind[node.index()] & TYPE_BITS)
    }

    /// The name of a node type as the file has it.
    pub fn type_name(&self, kind: NodeType) -> &str {
        match kind.known_name() {
            Some(name) => name,
            None => self.extra_node_types.get(usize::from(kind.0) - 16).map_or("unknown", String::as_str),
        }
    }

    /// 0 unknown, 1 attached, 2 detached: what the file says, before it is propagated.
    #[inline]
    pub fn detachedness(&self, node: NodeIdx) -> u8 {
        self.kind[node.index()] >> STATE_SHIFT
    }

    /// A node's name as the file has it.
    #[inline]
    pub fn raw_name(&self, node: NodeIdx) -> StringId {
        StringId(self.name[node.index()])
    }

    /// The text of [`Snapshot::raw_name`].
    #[inline]
    pub fn raw_name_text(&self, node: NodeIdx) -> &Wtf8 {
        self.strings.get(self.raw_name(node))
    }

    /// The object id, which DevTools shows as `@123`. Odd for V8's own objects, even for an embedder's.
    #[inline]
    pub fn id(&self, node: NodeIdx) -> u64 {
        self.id.get(node.index())
    }

    /// The ids of all nodes.
    pub fn ids(&self) -> &WideColumn {
        &self.id
    }

    /// The node with an object id. A linear search.
    pub fn node_by_id(&self, id: u64) -> Option<NodeIdx> {
        (0..self.id.len()).find(|&i| self.id.get(i) == id).map(|i| NodeIdx(i as u32))
    }

    /// The largest odd object id: what DevTools compares for "allocated between snapshots".
    pub fn max_js_object_id(&self) -> u64 {
        self.id.iter().filter(|id| id % 2 == 1).max().unwrap_or(0)
    }

    /// The node's own size in bytes, as the file has it.
    #[inline]
    pub fn self_size(&self, node: NodeIdx) -> u64 {
        self.self_size.get(node.index())
    }

    /// The own sizes of all nodes, in bytes.
    pub fn self_sizes(&self) -> &WideColumn {
        &self.self_size
    }

    /// The id of the allocation stack, in a timeline with stacks.
    pub fn trace_node(&self, node: NodeIdx) -> Option<u32> {
        self.trace_node.get(node.index()).copied().filter(|&id| id != 0)
    }

    /// The edges that leave a node.
    #[inline]
    pub fn edges(
        &self,
        node: NodeIdx,
    ) -> impl DoubleEndedIterator<Item = EdgeIdx> + ExactSizeIterator + Clone + use<> {
        let i = node.index();
        (self.first_edge[i]..self.first_edge[i + 1]).map(EdgeIdx)
    }

    /// Offsets of the nodes' edges: node `i` has the edges `offsets[i]..offsets[i + 1]`.
    #[inline]
    pub fn edge_offsets(&self) -> &[u32] {
        &self.first_edge
    }

    /// The node each edge leads to.
    #[inline]
    pub fn edge_targets(&self) -> &[u32] {
        &self.edge_to
    }

    /// The node an edge leads to.
    #[inline]
    pub fn edge_to(&self, edge: EdgeIdx) -> NodeIdx {
        NodeIdx(self.edge_to[edge.index()])
    }

    /// The node an edge comes from. A binary search.
    pub fn edge_from(&self, edge: EdgeIdx) -> NodeIdx {
        NodeIdx(self.first_edge.partition_point(|&first| first <= edge.0) as u32 - 1)
    }

    /// How an edge refers.
    #[inline]
    pub fn edge_type(&self, edge: EdgeIdx) -> EdgeType {
        EdgeType::from_bits(self.edge_packed[edge.index()])
    }

    /// The number of an element or hidden edge, the string's position of any other.
    #[inline]
    pub fn edge_name_or_index(&self, edge: EdgeIdx) -> u64 {
        let value = self.edge_packed[edge.index()] >> 3;
        if value != WIDE_NAME {
            return u64::from(value);
        }
        match self.edge_wide.binary_search_by_key(&edge.0, |&(e, _)| e) {
            Ok(at) => self.edge_wide[at].1,
            Err(_) => u64::from(WIDE_NAME),
        }
    }

    /// The name of an edge whose type has one.
    #[inline]
    pub fn edge_name(&self, edge: EdgeIdx) -> Option<StringId> {
        if self.edge_type(edge).is_numbered() {
            return None;
        }
        Some(StringId(u32::try_from(self.edge_name_or_index(edge)).unwrap_or(u32::MAX)))
    }

    /// The first edge of `node` with this type and name.
    pub fn find_edge(&self, node: NodeIdx, kind: EdgeType, name: &str) -> Option<EdgeIdx> {
        self.edges(node).find(|&edge| {
            self.edge_type(edge) == kind
                && self.edge_name(edge).is_some_and(|id| self.strings.get(id) == name)
        })
    }

    /// Where a function or an object's class stands in the source.
    pub fn location(&self, node: NodeIdx) -> Option<Location> {
        let at = self.locations.binary_search_by_key(&node.0, |l| l.node).ok()?;
        Some(self.locations[at])
    }

    /// All locations, ascending by node.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }
}
