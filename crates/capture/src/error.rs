//! What can go wrong between a target and a file.

use std::io;

use crate::cdp::CdpError;
use crate::http::HttpError;
use crate::lodestar::LodestarError;
use crate::process::ProcessError;
use crate::safety::Refusal;
use crate::signal_door::DoorError;
use crate::sink::SinkError;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The process can't be looked into.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its inspector can't be opened.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// An address doesn't answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The inspector doesn't do what it is asked for.
    #[error(transparent)]
    Cdp(#[from] CdpError),
    /// The snapshot can't be stored.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Lodestar doesn't do what it is asked for.
    #[error(transparent)]
    Lodestar(#[from] LodestarError),
    /// Something answers, but no inspector of Node.js.
    #[error("{address} is no inspector of Node.js: {reason}")]
    NotAnInspector {
        /// Host and port.
        address: String,
        /// What it does instead.
        reason: String,
    },
    /// It would be dangerous.
    #[error("the dump of {thread} is refused: {}", list(.refusals))]
    Refused {
        /// The thread's name.
        thread: String,
        /// Why; at least one.
        refusals: Vec<Refusal>,
    },
    /// No thread has the name.
    #[error("{target} has no thread `{name}`: it has {}", .threads.join(", "))]
    NoSuchThread {
        /// The target.
        target: String,
        /// What was asked for.
        name: String,
        /// What there is.
        threads: Vec<String>,
    },
    /// A snapshot without a pause can't be had from this target.
    #[error("no pause-free snapshot of {thread}: {reason}")]
    PauseFree {
        /// The thread's name.
        thread: String,
        /// Why.
        reason: String,
    },
    /// Copies of the process were killed, and it would go the same way itself.
    #[error(
        "no pause-free snapshot of {thread}: the copies of the process were killed, as the kernel does when memory runs out"
    )]
    CopyKilled {
        /// The thread's name.
        thread: String,
    },
    /// The system refuses something.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

impl CaptureError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            CaptureError::Process(error) => error.hint(),
            CaptureError::Door(error) => error.hint(),
            CaptureError::Http(_) | CaptureError::NotAnInspector { .. } => {
                "check host and port; `twinheap ps` lists the Node.js processes of this machine".into()
            }
            CaptureError::Cdp(CdpError::Timeout { .. }) => {
                "the thread is busy in a long piece of JavaScript or native code; try again".into()
            }
            CaptureError::Cdp(_) => "look whether the process still runs, and try again".into(),
            CaptureError::Sink(SinkError::Io { .. }) => {
                "free space or choose another folder with -o; nothing half-written was left".into()
            }
            CaptureError::Sink(_) => "look whether the process still runs, and try again".into(),
            CaptureError::Lodestar(error) => error.hint(),
            CaptureError::Refused { refusals, .. } => {
                refusals.first().map(Refusal::hint).unwrap_or_default()
            }
            CaptureError::NoSuchThread { .. } => "use one of these names with --thread".into(),
            CaptureError::PauseFree { .. } => {
                "without --pause-free the process stands still, but the snapshot is as good; --fallback does that by itself"
                    .into()
            }
            CaptureError::CopyKilled { .. } => {
                "the process is unharmed; an ordinary snapshot would take as much memory and could get it killed: raise \
                 the limit of its container or service first"
                    .into()
            }
            CaptureError::Io { .. } => "see the system's message".into(),
        }
    }

    /// True if the user stopped it.
    pub fn is_interruption(&self) -> bool {
        matches!(self, CaptureError::Cdp(CdpError::Interrupted))
    }

    /// True if the thread ended before its snapshot was done, as workers may at any time.
    pub fn is_thread_end(&self) -> bool {
        matches!(self, CaptureError::Cdp(CdpError::ThreadEnded))
    }
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ")
}
