//! Records calls to malloc, free and their kin from inside a process.
//!
//! This is what the preloaded object (`preload/`) is made of. Its exports are small stubs that hand the caller's
//! registers to [`hooks`]; those call the real function and write a record into the ring that the collector made.
//!
//! ```text
//! stub -> hooks -> real function
//!             \--> thread (its state) -> walk (stack) -> ring
//!                                          \- rules <- modules <- /proc/self/maps, .eh_frame
//! ```
//!
//! A guest in a foreign process has no rights: no lock, no allocation, no function of libc beyond those that it
//! stands in for, nothing that touches `errno`, and no panic. Where it can't do its work it counts what it lost.
//! `no_std` keeps it so.
#![cfg_attr(not(test), no_std)]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(
    unsafe_code,
    reason = "stands in for malloc in a foreign process: registers, raw memory, system calls"
)]

mod boot;
mod cfi;
mod exit;
mod expression;
pub mod hooks;
mod maps;
mod modules;
mod real;
mod rules;
mod session;
mod stacks;
mod sys;
mod thread;
mod trail;
mod walk;

pub use exit::exiting;
pub use session::{library_loaded, real_function};
