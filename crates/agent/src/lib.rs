//! The shared object that twinheap loads into a live Node.js process.
//!
//! It does one thing: it forks, so that a child can write a V8 heap snapshot while the process goes on.
//! JavaScript loads it with `process.dlopen` and calls `exports`; what those do in the process is in `fork`,
//! what happens in the child is in `child`.
//!
//! A forked child of a process with many threads has one thread, and whatever the others held stays held.
//! So the child gets its own malloc (`heap`) and stand-ins for everything that waits for another thread
//! (`stand_ins`), by replacing the addresses through which the loaded objects call those functions (`slots`).
//! No symbol of V8 or libuv is used: one binary serves every Node.js.
#![cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![expect(unsafe_code, reason = "a guest in a foreign process: N-API, raw system calls, patched memory")]

mod child;
mod children;
mod exports;
mod fork;
mod heap;
mod malloc;
mod maps;
mod napi;
mod reaper;
mod slots;
mod stand_ins;
mod sys;

/// What a child's exit code means. Other codes belong to the script that runs in the child.
pub mod codes {
    /// The snapshot is written.
    pub const DONE: i32 = 0;
    /// The child had to wait for a thread that it doesn't have: fork again a little later.
    pub const LONELY: i32 = 81;
    /// JavaScript threw an exception. The script in the child chooses this code.
    pub const EXCEPTION: i32 = 82;
    /// The time was up, and the child was killed.
    pub const TIMEOUT: i32 = 83;
    /// The child called `abort`: V8 found its heap inconsistent, or memory ran out.
    pub const ABORT: i32 = 84;
    /// The child could not be set up: a signal, descriptor or page of code could not be changed.
    pub const SETUP: i32 = 85;
}
