//! Why there is no recording.

use std::io;
use std::path::PathBuf;

/// Why there is no recording, or only a part of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// This twinheap can't record on this system.
    #[error("recording a native heap works on Linux with glibc on x86-64 only")]
    Unsupported,
    /// The program can't be started.
    #[error("can't start `{program}`: {error}")]
    Start {
        /// What was to be started.
        program: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// No folder has room for the memory that the program and twinheap share.
    #[error("can't make shared memory in {}: {error}", .folder.display())]
    Ring {
        /// The folder that was tried last.
        folder: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Files may not become as large as the shared memory is.
    #[error("can't make shared memory: it takes {needed} bytes, and the limit on files' sizes is {limit}")]
    FileLimit {
        /// `RLIMIT_FSIZE` in bytes.
        limit: u64,
        /// Bytes of a ring's file, most of which never get memory.
        needed: u64,
    },
    /// The recording can't be written. The program was left to run on by itself.
    #[error("can't write `{}`: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The program ran, but nothing in it was recorded.
    #[error("`{program}` was not recorded: {reason}")]
    NotRecorded {
        /// What was started.
        program: String,
        /// Why.
        reason: &'static str,
    },
}

/// What to do when there is no room for another process or thread.
pub const TOO_MANY: &str =
    "there are too many processes or threads: see `ulimit -u`, and the container's limit";

impl RecordError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            RecordError::Unsupported => "record on such a machine, and look at the file here",
            RecordError::Start { error, .. } if error.kind() == io::ErrorKind::WouldBlock => TOO_MANY,
            RecordError::Start { .. } => "check the command behind `--`; it is looked for in PATH",
            RecordError::Ring { .. } => {
                "free space in /dev/shm or /tmp, or set TMPDIR to a folder that has some"
            }
            RecordError::FileLimit { .. } => "raise the limit, as with `ulimit -f unlimited`",
            RecordError::Write { .. } => {
                "free space or choose another folder with -o; what was written before stays readable as FILE.part"
            }
            RecordError::NotRecorded { .. } => {
                "a statically linked or setuid program does not load other objects: there is nothing to hook"
            }
        }
    }
}
