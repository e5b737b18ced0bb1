//! Why a module's functions have no names.

use std::fmt;
use std::path::PathBuf;

use crate::module::ModuleNo;

/// A file that could not be used. Its module's addresses are unknown, or have less than they could: no lines, no
/// inlined functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The module that wanted the file. Others with the same path and build id have the same problem.
    pub module: ModuleNo,
    /// The file: the module's own, or one with debug information for it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Not there, or not readable.
    #[error("can't be opened")]
    Missing,
    /// Removed or replaced while the process had it loaded, and there is no build id to tell which.
    #[error("was removed or replaced while the process ran")]
    Deleted,
    /// Another version lies in its place.
    #[error(
        "isn't the file that was loaded: its build id is {}, that of the recording {}",
        .found.as_deref().map_or("absent".to_owned(), hex), hex(.recorded)
    )]
    OtherBuild {
        /// The build id of the recording.
        recorded: Vec<u8>,
        /// The file's, if it has one.
        found: Option<Vec<u8>>,
    },
    /// Another version lies in its place: it would be loaded in other segments.
    #[error("isn't the file that was loaded: its segments have other addresses or sizes")]
    OtherLayout,
    /// A debug file whose checksum isn't the one in `.gnu_debuglink`.
    #[error(
        "isn't the debug file that was asked for: its checksum is {found:08x}, that asked for {wanted:08x}"
    )]
    OtherChecksum {
        /// The checksum in `.gnu_debuglink`.
        wanted: u32,
        /// The file's.
        found: u32,
    },
    /// No 64-bit ELF file, or one cut short.
    #[error("can't be read as a 64-bit ELF file: {0}")]
    NotElf(String),
    /// Symbols are there, lines and inlined functions not.
    #[error("has debug information that can't be read: {0}")]
    BadDebugInfo(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path.display(), self.why)
    }
}

/// Two lower-case digits a byte, as build ids are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_sentence() {
        let why = Why::OtherBuild { recorded: vec![0xab, 1], found: None };
        let problem = Problem { module: ModuleNo(0), path: PathBuf::from("/lib/a.so"), why };
        assert_eq!(
            problem.to_string(),
            "`/lib/a.so` isn't the file that was loaded: its build id is absent, that of the recording ab01"
        );
    }
}
