//! The process we serve, looked at from outside: nothing here touches its event loop.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use twinheap_capture::process::{self, NodeProcess};
use twinheap_capture::{CaptureError, Target};

/// An inspector accepts at once, on a thread of its own.
const CONNECT: Duration = Duration::from_secs(1);

/// What we serve.
pub(crate) struct Watched {
    pub(crate) target: Target,
    /// Its pid, and when it started: a pid alone may be somebody else's tomorrow.
    process: Mutex<Option<(u32, Duration)>>,
}

impl Watched {
    /// # Errors
    /// If the target is a pid and no process of Node that we may look into.
    pub(crate) fn new(target: Target) -> Result<Watched, CaptureError> {
        let process = match &target {
            Target::Pid(pid) => Some(process::inspect(*pid)?),
            _ => None,
        };
        let process = process.map(|p| (p.pid, p.started));
        Ok(Watched { target, process: Mutex::new(process) })
    }

    /// Behind an address there is this process now. With a pid for a target there is only the first one.
    pub(crate) fn found(&self, process: Option<&NodeProcess>) {
        if !matches!(self.target, Target::Pid(_)) {
            *self.process.lock().unwrap_or_else(PoisonError::into_inner) =
                process.map(|p| (p.pid, p.started));
        }
    }

    fn process(&self) -> Option<(u32, Duration)> {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if it has ended for good: no other process can be it.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.target, Target::Pid(_)) && !self.is_known_alive()
    }

    fn is_known_alive(&self) -> bool {
        self.process().is_some_and(|(pid, started)| process::is_alive(pid, started))
    }

    pub(crate) async fn is_up(&self) -> bool {
        if self.is_known_alive() {
            return true;
        }
        let (Target::Inspector(address) | Target::WebSocket { address, .. }) = &self.target else {
            return false;
        };
        matches!(tokio::time::timeout(CONNECT, TcpStream::connect(address)).await, Ok(Ok(_)))
    }

    /// Resident memory in bytes, if it is a process of this machine.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        let (pid, started) = self.process()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = field.split_whitespace().next()?.parse().ok()?;
        process::is_alive(pid, started).then_some(kilobytes * 1024)
    }
}
