//! Where code was written, if what ran was made of something else.

use std::fmt;

/// Knows of scripts that were compiled or bundled what they were made of. The caller of the analysis has it: source
/// maps are files, and this crate reads none.
pub trait Sources: fmt::Debug + Send + Sync {
    /// Where the code at a place of a script was written. `script` is its path or URL as the snapshot has it, `line`
    /// and `column` (in UTF-16 units) count from 1, and `function` is what is called there, if that has a name.
    fn original(&self, script: &str, line: u32, column: u32, function: &str) -> Option<Original>;
}

/// A place in the source that a script was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Path or URL of the source.
    pub script: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What the function or class is called there, if that is known to be another name.
    pub function: Option<String>,
}

/// A place in the script that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Path or URL of the script, as the snapshot has it.
    pub script: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}
