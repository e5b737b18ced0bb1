//! What can be wrong with a file: errors that leave nothing to show, and damage that leaves a part.

use std::fmt;

/// A part of a heap snapshot file, as its top-level key names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Section {
    /// Outside every section: the object's own braces, keys and commas.
    Top,
    /// `snapshot`: the meta data and counts.
    Header,
    /// `nodes`
    Nodes,
    /// `edges`
    Edges,
    /// `trace_function_infos`
    TraceFunctionInfos,
    /// `trace_tree`
    TraceTree,
    /// `samples`
    Samples,
    /// `locations`
    Locations,
    /// `strings`
    Strings,
    /// A key this version does not know; it is skipped.
    Unknown,
}

impl Section {
    /// The key in the file, or a description for the two that have none.
    pub const fn name(self) -> &'static str {
        match self {
            Section::Top => "top level",
            Section::Header => "snapshot",
            Section::Nodes => "nodes",
            Section::Edges => "edges",
            Section::TraceFunctionInfos => "trace_function_infos",
            Section::TraceTree => "trace_tree",
            Section::Samples => "samples",
            Section::Locations => "locations",
            Section::Strings => "strings",
            Section::Unknown => "unknown section",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something wrong in a file that could still be read in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file's structure.
    pub section: Section,
    /// Byte offset in the uncompressed file, as near to the cause as is known.
    pub offset: u64,
    /// A sentence for a person, without a full stop.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (section `{}`, byte {})", self.what, self.section, self.offset)
    }
}

impl Section {
    /// The section behind a key of the file.
    pub(crate) fn of_key(key: &[u8]) -> Section {
        match key {
            b"snapshot" => Section::Header,
            b"nodes" => Section::Nodes,
            b"edges" => Section::Edges,
            b"trace_function_infos" => Section::TraceFunctionInfos,
            b"trace_tree" => Section::TraceTree,
            b"samples" => Section::Samples,
            b"locations" => Section::Locations,
            b"strings" => Section::Strings,
            _ => Section::Unknown,
        }
    }
}

/// A byte in words.
pub(crate) fn describe(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("`{}`", byte as char) } else { format!("byte 0x{byte:02X}") }
}

/// The file can't be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// No byte at all.
    #[error("the file is empty (0 bytes): the process that wrote it was probably killed while it did")]
    Empty,
    /// The bytes are no heap snapshot.
    #[error("this is not a V8 heap snapshot: {what} at byte {offset}")]
    NotASnapshot {
        /// Byte offset of the first thing that does not fit.
        offset: u64,
        /// What was found, and what was expected.
        what: String,
    },
    /// The header is there but unusable, or it never came.
    #[error("the header of the snapshot can't be used: {what} (section `snapshot`, byte {offset})")]
    BadHeader {
        /// Byte offset of the header, or of the end of the file.
        offset: u64,
        /// Why.
        what: String,
    },
    /// More records than 32-bit indices can name.
    #[error("the snapshot is too large: more than {limit} records in section `{section}` at byte {offset}")]
    TooLarge {
        /// The section that overflows.
        section: Section,
        /// Byte offset reached.
        offset: u64,
        /// The largest number of records supported.
        limit: u64,
    },
    /// The JSON of a sampling profile is broken before its first node.
    #[error("this is not a V8 sampling heap profile: {what} at byte {offset}")]
    NotAProfile {
        /// Byte offset of the first thing that does not fit.
        offset: u64,
        /// What was found.
        what: String,
    },
}
