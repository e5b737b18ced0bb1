//! `twinheap record` on tiny programs and on real ones: the built binary, and compilers that the machine has.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

#[path = "record/allocators.rs"]
mod allocators;
#[path = "record/debuginfod.rs"]
mod debuginfod;
#[path = "record/ends.rs"]
mod ends;
#[path = "record/files.rs"]
mod files;
#[path = "record/frames.rs"]
mod frames;
#[path = "record/javascript.rs"]
mod javascript;
#[path = "record/kernels.rs"]
mod kernels;
#[path = "record/lab.rs"]
mod lab;
#[path = "record/lost.rs"]
mod lost;
#[path = "record/modes.rs"]
mod modes;
#[path = "record/outside.rs"]
mod outside;
#[path = "record/peers.rs"]
mod peers;
#[path = "record/processes.rs"]
mod processes;
#[path = "record/real.rs"]
mod real;
#[path = "record/threads.rs"]
mod threads;
