//! Takes heap snapshots of live Node.js processes.
//!
//! From a [`Target`] to a file: find the process ([`process`]), open its inspector ([`signal_door`]), foresee what
//! a dump takes ([`safety`]), talk to its isolates ([`Session`]), and store what they write ([`Sink`]) checked,
//! redacted and compressed, under its name only when it is whole.
//!
//! The crate takes and stores; it never looks at what a snapshot says.

mod agent;
mod cdp;
mod complete;
mod debug_files;
mod debuginfod;
mod dump;
mod elf;
mod error;
mod http;
mod lodestar;
#[cfg(test)]
mod node_under_test;
mod part_file;
mod pause;
mod pause_free;
pub mod process;
pub mod record;
pub mod safety;
mod session;
pub mod signal_door;
mod sink;
mod target;
mod thread_names;

pub use cdp::CdpError;
pub use debug_files::{DebugFiles, debuginfod_cache};
pub use dump::{Dump, DumpOptions, Method, Progress, SnapshotOptions, Watch};
pub use error::CaptureError;
pub use http::HttpError;
pub use lodestar::{LodestarError, follow, lodestar_dump};
pub use part_file::{PartFile, remove_unfinished};
pub use session::{Facts, Heap, Isolate, OpenOptions, Session};
pub use sink::{Out, Sink, SinkError, Written};
pub use target::{Target, TargetError};
