//! V8's map of generated code, read while it is written.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use twinheap_symbols::{EntryNo, JitMap};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// The map of one process. Without a file there is no code in it.
#[derive(Default)]
pub(super) struct JitCode {
    path: PathBuf,
    file: Option<File>,
    /// Room for a piece, kept since most looks find nothing.
    piece: Vec<u8>,
    pub(super) map: JitMap,
}

impl JitCode {
    /// The map that V8 writes for a process, once it exists.
    pub(super) fn of_process(pid: u32) -> JitCode {
        let path = PathBuf::from(format!("/tmp/perf-{pid}.map"));
        JitCode { path, file: None, piece: Vec::new(), map: JitMap::new() }
    }

    /// Reads what was added.
    pub(super) fn update(&mut self) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return };
        self.piece.resize(PIECE, 0);
        while let Ok(read @ 1..) = file.read(&mut self.piece) {
            self.map.feed(&self.piece[..read]);
        }
    }

    /// The piece of code at an address, as it is now.
    pub(super) fn lookup(&self, address: u64) -> Option<u32> {
        self.map.lookup(address).map(|EntryNo(number)| number)
    }

    /// The file, to delete it.
    pub(super) fn path(&self) -> Option<&std::path::Path> {
        self.file.is_some().then_some(&self.path)
    }
}
