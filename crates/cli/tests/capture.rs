//! `twinheap snapshot` and `twinheap ps` on live processes: the real binary, and Node of every version.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]
#![expect(clippy::disallowed_methods, reason = "snapshots of a few megabytes are read as a whole")]

#[path = "capture/disk.rs"]
mod disk;
#[path = "capture/door.rs"]
mod door;
#[path = "capture/ends.rs"]
mod ends;
#[path = "capture/interrupts.rs"]
mod interrupts;
#[path = "capture/lab.rs"]
mod lab;
#[path = "capture/lodestar.rs"]
mod lodestar;
#[path = "capture/memory.rs"]
mod memory;
#[path = "capture/namespaces.rs"]
mod namespaces;
#[path = "capture/pause_free.rs"]
mod pause_free;
#[path = "capture/processes.rs"]
mod processes;
#[path = "capture/redaction.rs"]
mod redaction;
#[path = "capture/safety.rs"]
mod safety;
#[path = "capture/series.rs"]
mod series;
#[path = "capture/targets.rs"]
mod targets;
#[path = "capture/versions.rs"]
mod versions;
