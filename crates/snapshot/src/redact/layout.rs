//! What the header says about records, as far as redaction needs it.

use crate::damage::Section;
use crate::header::{EdgeType, Header, NodeType};
use crate::records::TraceFunctionLayout;

/// What a node's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeRole {
    Label,
    /// A name, perhaps a script's.
    Code,
    Value,
    /// A value, and the only one that can be the key of a WeakMap.
    Regexp,
}

/// What an edge's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EdgeRole {
    /// No name, but a number.
    Numbered,
    Named,
    /// A name that V8 made up, perhaps out of values.
    Internal,
}

/// The fields of a section that matter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Nodes {
        stride: usize,
        kind: usize,
        name: usize,
        id: usize,
    },
    Edges {
        stride: usize,
        kind: usize,
        name: usize,
        to: usize,
    },
    /// Records with names of scripts and functions: a bit for each field that is a string's number.
    Labels {
        stride: usize,
        names: u32,
    },
}

impl Shape {
    /// True for the order of fields that every V8 has written so far, which the fast path is made for.
    pub(super) fn is_usual(self) -> bool {
        match self {
            Shape::Nodes { kind, name, .. } => kind == 0 && name == 1,
            Shape::Edges { stride, kind, name, to } => (stride, kind, name, to) == (3, 0, 1, 2),
            Shape::Labels { .. } => false,
        }
    }
}

/// The header in the form that is needed.
pub(super) struct Layout {
    nodes: Shape,
    edges: Shape,
    node_roles: Vec<NodeRole>,
    edge_roles: Vec<EdgeRole>,
    node_stride: u64,
    trace_functions: Option<Shape>,
    context_variables: Shape,
    /// From V8 14.9 on nodes of scripts are not called like the script.
    pub(super) scripts_have_prefix: bool,
}

impl Layout {
    /// From the JSON behind `snapshot`. The error is a reason for a person.
    pub(super) fn new(json: &[u8]) -> Result<Layout, String> {
        let header = Header::parse(json)?;
        let (node, edge) = (header.node, header.edge);
        if node.kind > node.name || edge.kind > edge.name {
            return Err("a record's type stands behind its name, and whether a name is a value must be \
                        known before it is written"
                .to_owned());
        }
        let extra = &header.extra_node_types;
        let node_role = |&ours: &u8| match NodeType(ours) {
            NodeType::CODE => NodeRole::Code,
            NodeType::REGEXP => NodeRole::Regexp,
            NodeType::BIGINT => NodeRole::Value,
            kind if kind.is_string() => NodeRole::Value,
            // A kind of string that is not invented yet.
            NodeType(new) => match extra.get(usize::from(new).wrapping_sub(16)) {
                Some(name) if name.contains("string") => NodeRole::Value,
                _ => NodeRole::Label,
            },
        };
        let edge_role = |&bits: &u8| match EdgeType::from_bits(u32::from(bits)) {
            kind if kind.is_numbered() => EdgeRole::Numbered,
            EdgeType::Internal => EdgeRole::Internal,
            _ => EdgeRole::Named,
        };
        let fields = &header.trace_function_fields;
        let names =
            fields.iter().enumerate().filter(|(_, field)| *field == "name" || *field == "script_name");
        Ok(Layout {
            nodes: Shape::Nodes { stride: node.stride, kind: node.kind, name: node.name, id: node.id },
            edges: Shape::Edges { stride: edge.stride, kind: edge.kind, name: edge.name, to: edge.to },
            node_roles: header.node_types.iter().map(node_role).collect(),
            edge_roles: header.edge_types.iter().map(edge_role).collect(),
            node_stride: node.stride as u64,
            trace_functions: TraceFunctionLayout::new(fields).map(|_| Shape::Labels {
                stride: fields.len(),
                names: names.fold(0, |names, (at, _)| names | 1 << at),
            }),
            // The header's `scope_context_var_fields` has had one field since it exists.
            context_variables: Shape::Labels { stride: 1, names: 1 },
            scripts_have_prefix: header.location.is_some_and(|location| location.stride > 4),
        })
    }

    /// The shape of a section with numbers of strings; `None` if the header does not describe it.
    pub(super) fn shape(&self, section: Section, key: &[u8]) -> Option<Shape> {
        match section {
            Section::Nodes => Some(self.nodes),
            Section::Edges => Some(self.edges),
            Section::TraceFunctionInfos => self.trace_functions,
            _ if key == b"scope_context_vars" => Some(self.context_variables),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn node_role(&self, kind: u64) -> Option<NodeRole> {
        self.node_roles.get(kind as usize).copied()
    }

    #[inline(always)]
    pub(super) fn edge_role(&self, kind: u64) -> Option<EdgeRole> {
        self.edge_roles.get(kind as usize).copied()
    }

    pub(super) fn node_fields(&self) -> usize {
        self.node_stride as usize
    }

    /// The node that an edge's `to_node` means.
    #[inline(always)]
    pub(super) fn node_of(&self, to: u64) -> u64 {
        // The usual strides are worth a division by a constant.
        match self.node_stride {
            6 => to / 6,
            7 => to / 7,
            other => to / other.max(1),
        }
    }
}
