//! The memory of the `record` process, from its start to its end.

use std::{
    fs,
    thread::{self, JoinHandle},
    time::Duration,
};

const EVERY: Duration = Duration::from_millis(50);

/// Looks again and again how much memory a process has had.
pub(super) struct Watch(JoinHandle<u64>);

impl Watch {
    pub(super) fn start(pid: u32) -> Watch {
        Watch(thread::spawn(move || {
            let mut peak = 0;
            // A process that has ended has no memory, and one that is gone has no file.
            while let Some(now) = field(pid, "VmHWM:") {
                peak = now;
                thread::sleep(EVERY);
            }
            peak
        }))
    }

    /// The most it had, in bytes, once it has ended.
    pub(super) fn peak(self) -> u64 {
        // The thread does nothing that panics.
        self.0.join().unwrap_or(0)
    }
}

/// What is a process's own now, in bytes: neither files nor shared memory.
pub(super) fn own_memory(pid: u32) -> u64 {
    field(pid, "RssAnon:").unwrap_or(0)
}

fn field(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(kilobytes.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}
