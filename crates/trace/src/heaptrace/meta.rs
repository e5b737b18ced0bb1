//! What a recording says about itself, at its start and at its end: JSON, so that fields can be added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is known when a recording begins. A field that a file does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The recorder and its version, such as `twinheap 0.2.0`.
    pub recorder: String,
    /// The command line with its arguments. What is not UTF-8 in it was replaced.
    pub argv: Vec<String>,
    /// Path of the executable.
    pub exe: String,
    /// The process.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// The machine, as `uname` calls it.
    pub hostname: String,
    /// When the recording began: milliseconds since 1970. All other times count from here.
    pub start_unix_ms: u64,
    /// Bytes of a page of memory.
    pub page_size: u64,
    /// The machine's memory in pages.
    pub physical_pages: u64,
    /// Where times come from, such as `tsc`.
    pub clock: String,
    /// True if the recorder was attached to a running process, so that older blocks are unknown.
    pub attached: bool,
    /// If allocations were sampled: bytes between two samples on average.
    pub sample_bytes: Option<u64>,
    /// If short-lived blocks were left out: nanoseconds that a block had to live to have events of its own.
    pub min_lifetime_ns: Option<u64>,
    /// What happened when the recorder could not keep up.
    pub policy: Policy,
    /// Version of Node.js, if the process is one.
    pub node_version: Option<String>,
    /// More versions by name, such as V8's or the C library's.
    pub versions: BTreeMap<String, String>,
}

/// What happens when the recorder can't keep up with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The process waits.
    #[default]
    Block,
    /// Events are left out and counted.
    Drop,
    /// A policy that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What is known when a recording ends. A field that a file does not have is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Why it ended.
    pub reason: EndReason,
    /// Exit status, if the process ended by itself.
    pub exit_status: Option<i32>,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
    /// What is missing.
    pub losses: Losses,
    /// Bytes that the process had written for the recorder, and that could not be read as events.
    pub leftover_bytes: u64,
    /// Why nobody looked for lost blocks, although that was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_check_failed: Option<String>,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The process exited.
    Exited,
    /// A signal ended the process.
    Killed,
    /// The time was over that the user gave.
    Duration,
    /// The recorder was asked to stop.
    Stopped,
    /// The process became another program.
    Exec,
    /// A reason that this version does not know, or none.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What a recording lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Losses {
    /// Allocations that were left out because the recorder could not keep up.
    pub dropped_allocations: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Frees that were left out for the same reason.
    pub dropped_frees: u64,
    /// Calls from within the recorder's own hooks or from signal handlers that interrupted one.
    pub nested: u64,
    /// How often the process waited for the recorder.
    pub waits: u64,
    /// How long it waited, all threads together, in nanoseconds.
    pub waited_ns: u64,
    /// Frees of blocks that the recording does not know.
    pub unmatched_frees: u64,
    /// Stacks that were cut because they were too deep.
    pub truncated_stacks: u64,
}

impl Losses {
    /// True if events are missing, so that counts are too low.
    pub fn has_dropped(&self) -> bool {
        self.dropped_allocations != 0 || self.dropped_frees != 0
    }
}
