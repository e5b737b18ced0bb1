//! What is to be recorded, and what came of it.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use twinheap_trace::heaptrace::{EmbeddedAllocator, Losses};

use super::names::Named;

/// What to record, and where to.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// The file; see `%p` and `%h` in the help of `twinheap record`.
    pub output: PathBuf,
    /// Mean bytes between samples; `None` records every call.
    pub sample: Option<u64>,
    /// Blocks that live for less are only counted.
    pub min_lifetime: Option<Duration>,
    /// Leave out events, and count them, when the file can't be written fast enough. Otherwise the program waits.
    pub drop: bool,
    /// Record children too, each into its own file.
    pub follow: bool,
    /// Frames of a stack at most.
    pub frames: u32,
    /// Stop after this time; the program runs on.
    pub duration: Option<Duration>,
    /// Look, when the program exits, which of its blocks nothing points to.
    pub leak_check: bool,
    /// Where the names of JavaScript functions come from.
    pub js_names: JsNames,
    /// zstd's level.
    pub level: i32,
    /// Folders with debug files.
    pub debug_paths: Vec<PathBuf>,
    /// The folder that is `/` for the program.
    pub sysroot: Option<PathBuf>,
}

/// Where the names of JavaScript functions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsNames {
    /// From their frames if the program is one whose frames can be read, and from V8 otherwise.
    Auto,
    /// From their frames, which costs the program nothing but what recording costs anyway.
    Frames,
    /// From V8, which is asked for them by options and tells them at some cost.
    Options,
    /// They have none.
    None,
}

/// What whoever asked for a recording wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    GoOn,
    /// Tell the program to end, by SIGTERM, and record its end.
    EndProgram,
    /// End the recording; the program runs on.
    Stop,
}

/// How a recording stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordProgress {
    /// Processes that are recorded.
    pub processes: usize,
    /// Calls that allocated so far.
    pub allocations: u64,
    /// Bytes that are allocated and not freed.
    pub live_bytes: u64,
    /// Since the start.
    pub elapsed: Duration,
    /// The program has ended, and its places get their names.
    pub is_naming: bool,
}

/// What came of a recorded program.
#[derive(Clone, Debug, Default)]
pub struct Recordings {
    /// The processes' recordings, that of the program itself first.
    pub all: Vec<Recorded>,
    /// Child processes that were not recorded, since they were not to be followed.
    pub bystanders: u32,
    /// Processes that were to be recorded, and could not be: twinheap was too busy, with
    /// [`drop`](RecordOptions::drop), or their address space had no room for the recorder.
    pub missed: u32,
}

/// A finished recording.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The process.
    pub pid: u32,
    /// Its file.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// Calls that allocated.
    pub allocations: u64,
    /// What is missing.
    pub losses: Losses,
    /// Why nobody looked for lost blocks, although that was wanted.
    pub leak_check_failed: Option<String>,
    /// How many places have names.
    pub named: Named,
    /// A sentence on what `debuginfod` servers sent.
    pub fetched: Option<String>,
    /// Sentences on modules without names, and on servers that failed.
    pub problems: Vec<String>,
    /// Allocators inside of its modules.
    pub allocators: Vec<EmbeddedAllocator>,
    /// How the process ended, if it was our child and did.
    pub status: Option<ExitStatus>,
}
