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
    /// `None` once it is read to its end, or if there is none.
    path: Option<PathBuf>,
    file: Option<File>,
    /// Room for a piece, kept since most looks find nothing.
    piece: Vec<u8>,
    pub(super) map: JitMap,
}

impl JitCode {
    /// The map that V8 writes for a process, once it exists.
    pub(super) fn of_process(pid: u32) -> JitCode {
        let path = Some(PathBuf::from(format!("/tmp/perf-{pid}.map")));
        JitCode { path, file: None, piece: Vec::new(), map: JitMap::new() }
    }

    /// Reads what was added.
    pub(super) fn update(&mut self) {
        if self.file.is_none() {
            self.file = self.path.as_ref().and_then(|path| File::open(path).ok());
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

    /// Reads the rest and deletes the file: V8 made it for us, and nobody else asked for it. Another program in the same
    /// process makes another one of the same name.
    pub(super) fn close(&mut self) {
        self.update();
        if let (Some(path), Some(_)) = (self.path.take(), self.file.take()) {
            // Whoever deleted it before us is welcome.
            let _: std::io::Result<()> = std::fs::remove_file(path);
        }
    }
}
