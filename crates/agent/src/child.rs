//! What the child does before it goes back to JavaScript.
//!
//! No allocation, no lock and no libc until the stand-ins are in place: other threads may have been anywhere.

use std::{
    ffi::CStr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::{codes, malloc, slots::Slots, sys};

/// The descriptor that the snapshot goes to.
const OUTPUT: i32 = 3;
/// Between the process's own priority and the lowest.
const NICER: isize = 10;
/// In what `oom_score_adj` counts: the first to go when memory runs out.
const FIRST_TO_GO: &[u8] = b"1000";

static IN_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether this process is such a child.
pub(crate) fn is_child() -> bool {
    IN_CHILD.load(Relaxed)
}

/// Makes the child of `parent` a process that harms nobody and can run V8 on its one thread.
///
/// Signals must be blocked since before the fork, so that no handler of the parent's runs here.
pub(crate) fn become_writer(parent: i32, output: i32, seconds: u64, slots: &Slots) {
    IN_CHILD.store(true, Relaxed);
    die_with(parent);
    sys::reset_signals();
    sys::block_signals(0);
    keep_only(output);
    yield_to_the_parent();
    sys::alarm(seconds);
    sys::set_name(c"twinheap-dump");
    if !malloc::reserve() || !slots.write() {
        sys::exit_group(codes::SETUP);
    }
}

/// Ends this process when its parent ends.
fn die_with(parent: i32) {
    sys::control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize);
    if sys::parent_id() != parent {
        // It ended before the kernel was asked.
        sys::exit_group(codes::SETUP);
    }
}

/// Keeps no descriptor of the parent's: a connection or a port lives as long as anybody has it open.
///
/// libuv wakes its loop with a write into an event descriptor, or a pipe on old kernels, and aborts when it can't.
/// So the numbers of these stay taken, by something that swallows what is written; closed, such a number could
/// also become the snapshot file's, and the wake-ups would land in it.
fn keep_only(output: i32) {
    if sys::duplicate(output, OUTPUT) < 0 {
        sys::exit_group(codes::SETUP);
    }
    let null = match sys::open(c"/dev/null", libc::O_RDWR | libc::O_CLOEXEC) {
        // There may be no /dev. This swallows wake-ups as well, and messages it refuses.
        none if none < 0 => sys::counter(),
        null => null,
    } as i32;
    for standard in 0..OUTPUT {
        sys::duplicate(null, standard);
    }
    sys::for_each_descriptor(|fd, target| {
        if fd <= OUTPUT || fd == null {
            return;
        }
        if target == b"anon_inode:[eventfd]" || target.starts_with(b"pipe:") {
            sys::duplicate(null, fd);
        } else {
            sys::close(fd);
        }
    });
    if null > OUTPUT {
        sys::close(null);
    }
}

/// Memory and processor time are the parent's when they are short, and a crash here is nobody's business.
fn yield_to_the_parent() {
    write_file(c"/proc/self/oom_score_adj", FIRST_TO_GO);
    sys::be_nicer(NICER);
    sys::forbid_core();
    // The limit alone doesn't keep a program that collects cores from being started. After `oom_score_adj`, which
    // root owns from here on.
    sys::control(libc::PR_SET_DUMPABLE, 0);
}

/// Best effort: containers may forbid it.
fn write_file(path: &CStr, text: &[u8]) {
    let fd = sys::open(path, libc::O_WRONLY | libc::O_CLOEXEC);
    if fd >= 0 {
        sys::write(fd as i32, text);
        sys::close(fd as i32);
    }
}
