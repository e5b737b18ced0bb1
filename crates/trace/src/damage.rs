//! What can be wrong with a file: errors that leave nothing to show, and damage that leaves a part.

use std::fmt;

/// Something wrong in a file that could still be read in part. One entry a kind, however often it occurs: a hostile
/// file must not fill the memory with complaints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Line of the first occurrence, from 1; 0 in a file that has no lines, which is our own.
    pub line: u64,
    /// Byte offset of that line, or of the segment, in the uncompressed file.
    pub offset: u64,
    /// How many lines or segments have it.
    pub count: u64,
    /// A sentence for a person, without a full stop.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, many) = if self.line == 0 { ("place", "places") } else { ("line", "lines") };
        write!(f, "{} (", self.what)?;
        if self.line > 0 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "byte {}", self.offset)?;
        match self.count {
            0 | 1 => f.write_str(")"),
            2 => write!(f, ", and in one {one} more)"),
            more => write!(f, ", and in {} {many} more)", more - 1),
        }
    }
}

/// The file can't be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// No byte at all.
    #[error("the file is empty (0 bytes): the process that wrote it was probably killed while it did")]
    Empty,
    /// No line is a record of heaptrack's.
    #[error("this is not a heaptrack data file: none of its {lines} lines is a record")]
    NotATrace {
        /// Lines looked at.
        lines: u64,
    },
    /// Written by a heaptrack that is newer than this reader.
    #[error(
        "the heaptrack data file has version {version} (line {line}, byte {offset}), and versions 0 to 3 can be read"
    )]
    TooNew {
        /// The file's version.
        version: u64,
        /// Line of the version record, from 1.
        line: u64,
        /// Byte offset of the version record.
        offset: u64,
    },
    /// The file does not begin as our own do.
    #[error("this is not a .heaptrace file: it does not begin as one (byte 0)")]
    NotAHeaptrace,
    /// Written by a twinheap that is newer than this reader, or its header is damaged.
    #[error("the .heaptrace file has version {version} (byte 8), and version 1 can be read")]
    HeaptraceTooNew {
        /// The file's version.
        version: u16,
    },
    /// The header contradicts itself.
    #[error("the header of the .heaptrace file is damaged: {what} (byte {offset})")]
    HeaptraceHeader {
        /// What is wrong, without a full stop.
        what: &'static str,
        /// Where.
        offset: u64,
    },
}
