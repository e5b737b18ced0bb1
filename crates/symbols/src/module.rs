//! What a recording says about a loaded file.

use std::path::PathBuf;

/// A module by the order in which it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleNo(pub u32);

/// A stretch of a file that is loaded: a `PT_LOAD` entry of its program headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// Address in the file's own terms, before the [`bias`](Module::bias).
    pub vaddr: u64,
    /// Bytes in memory.
    pub memsz: u64,
}

/// An executable or a shared object that the process had loaded.
///
/// Build id and segments also say whether the file that lies there today is the one that was loaded. With neither, any
/// file at the path is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// As the process saw it, also with the ` (deleted)` that the kernel appends.
    pub path: PathBuf,
    /// The note `NT_GNU_BUILD_ID`; `None` if the file had none or nobody recorded it.
    pub build_id: Option<Vec<u8>>,
    /// What the loader added to the file's addresses: 0 for an executable that can't be moved.
    pub bias: u64,
    /// What was loaded; empty if unknown.
    pub segments: Vec<Segment>,
}

impl Module {
    /// Whether the process's address `address` is in one of the segments.
    pub fn contains(&self, address: u64) -> bool {
        let address = address.wrapping_sub(self.bias);
        self.segments.iter().any(|segment| address.wrapping_sub(segment.vaddr) < segment.memsz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_contains_its_segments_and_not_the_gaps() {
        let segments = vec![Segment { vaddr: 0, memsz: 0x10 }, Segment { vaddr: 0x1000, memsz: 0x20 }];
        let module = Module { bias: 0x7000, segments, ..Module::default() };
        let inside = |address| module.contains(address);
        assert_eq!([0x7000, 0x700f, 0x8000, 0x801f].map(inside), [true; 4]);
        assert_eq!([0, 0x6fff, 0x7010, 0x8020, u64::MAX].map(inside), [false; 5]);
    }
}
