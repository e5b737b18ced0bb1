//! The fork, in the parent.

use std::time::{Duration, Instant};

use crate::{
    child, children,
    maps::{self, Addresses},
    reaper, slots, sys,
};

/// Room in the pipe: the child stops less often for a reader that has other work.
const PIPE_BYTES: usize = 1 << 20;

/// What the parent gets to know.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) pid: i32,
    /// The pipe's read end in this process.
    pub(crate) output: i32,
    /// How long this thread stood still.
    pub(crate) time: Duration,
}

/// Forks. `None` in the child, which has the pipe's write end as its descriptor 3.
///
/// V8 tells the kernel to leave its pages out of forks. They are included for this one, and of `left_out`, what was
/// left out before, those that are mappings still are left out again: a process that starts others would copy page
/// tables for nothing.
pub(crate) fn fork(left_out: &[Addresses], timeout: Duration) -> Result<Option<Forked>, String> {
    let start = Instant::now();
    if child::is_child() {
        return Err("can't fork: this is a forked child itself".into());
    }
    if !children::has_room() {
        return Err("can't fork: too many children are running".into());
    }
    slots::with_collected(|slots| {
        let mappings = maps::anonymous().map_err(|error| format!("can't read /proc/self/maps: {error}"))?;
        let [output, input] = sys::pipe().map_err(|error| failed("open a pipe", error))?;
        sys::set_pipe_size(input, PIPE_BYTES);
        let parent = sys::process_id();
        for mapping in &mappings {
            advise(mapping, libc::MADV_DOFORK);
        }
        let blocked = sys::block_signals(u64::MAX);
        // SAFETY: the child touches nothing that other threads work on before `become_writer` made that safe.
        let pid = unsafe { sys::fork_unseen() };
        if pid == 0 {
            child::become_writer(parent, input, timeout.as_secs().max(1), slots);
            // Its memory is never given back; what is left to drop goes to the child's own `free`.
            return Ok(None);
        }
        let watched =
            if pid > 0 { watch(pid as i32, output, timeout) } else { Err(failed("fork", -pid as i32)) };
        sys::block_signals(blocked);
        for mapping in maps::unchanged(left_out, &mappings) {
            advise(mapping, libc::MADV_DONTFORK);
        }
        sys::close(input);
        if let Err(error) = watched {
            sys::close(output);
            return Err(error);
        }
        Ok(Some(Forked { pid: pid as i32, output, time: start.elapsed() }))
    })
}

/// Hands the child to a thread that waits for it. Without one it is ended: nobody else would wait for it.
fn watch(pid: i32, output: i32, timeout: Duration) -> Result<(), String> {
    children::add(pid, output);
    reaper::start(pid, output, timeout).map_err(|error| {
        sys::kill(pid, libc::SIGKILL);
        let _ = sys::wait(pid, 0);
        children::forget(pid);
        failed("start a thread that waits for the child", error)
    })
}

fn advise(mapping: &Addresses, advice: i32) {
    // SAFETY: whether a fork copies a mapping changes nothing in this process. Some kinds refuse; they were not
    // left out.
    unsafe { sys::advise(mapping.start, mapping.len(), advice) };
}

fn failed(what: &str, error: i32) -> String {
    format!("can't {what}: {}", std::io::Error::from_raw_os_error(error))
}
