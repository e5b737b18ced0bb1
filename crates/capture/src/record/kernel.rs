//! What the kernel tells of the machine and of processes.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use twinheap_wire::RING;

use super::error::RecordError;

/// Whether a ring's file may be as large as it is. The kernel would end us otherwise, by a signal that nobody expects.
pub(super) fn check_file_limit() -> Result<(), RecordError> {
    let needed = RING as u64;
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < needed => Err(RecordError::FileLimit { limit, needed }),
        _ => Ok(()),
    }
}

/// The first bytes of a small file of the kernel's; none if it can't be read.
pub(super) fn read_start(path: &str, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error is all there is.
        let _ = file.take(most).read_to_end(&mut bytes);
    }
    bytes
}

/// The machine's name, as `uname` tells it.
pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Resident memory in bytes.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Whether a process is there and no zombie. One whose first thread has ended looks like a zombie, but has others.
pub(super) fn is_running(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    match fields.next() {
        None | Some("X") => false,
        // The 20th field is the number of threads, the state the 3rd.
        Some("Z") => fields.nth(16).and_then(|threads| threads.parse::<u64>().ok()) > Some(1),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_ourselves_run_in_some_memory() {
        assert!(is_running(std::process::id()));
        assert!(!is_running(u32::MAX));
        assert!(resident(std::process::id()) > Some(1 << 20));
        assert_eq!(resident(u32::MAX), None);
    }
}
