//! The Node processes of this machine, as `/proc` has them.
//!
//! A process is Node if its executable is, whatever it calls itself: the main thread is named `node` (Node 18 to 22),
//! `MainThread` (24) or `node-MainThread` (26), and pm2, pkg and `process.title` choose names of their own.
//! Nothing here stops a process or changes anything in it.

mod proc;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::elf::Elf;
pub(crate) use proc::{Proc, Status, open};

/// How many characters of a command line are shown.
const MAX_COMMAND: usize = 200;
/// Names that Node 24 and later gives to threads that are no workers.
const OWN_THREADS: [&str; 10] = [
    "DelayedTaskSche",
    "InspectorIo",
    "MainThread",
    "SignalInspector",
    "TraceEventWorke",
    "V8Worker",
    "iou-sqp-",
    "libuv-worker",
    "node-MainThread",
    "node-V8Worker",
];

/// A Node process that we may look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeProcess {
    /// As we see it; inside a container it has another one, see `nspid`.
    pub pid: u32,
    /// Such as `v20.20.2`, from the executable; `None` if it has no such text.
    pub version: Option<String>,
    /// The command line for people: at most 200 characters, invalid UTF-8 and control characters replaced.
    pub command: String,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Threads of the operating system, with V8's and libuv's own.
    pub threads: u32,
    /// The user it runs as (the effective one).
    pub uid: u32,
    /// When it started, after the machine did; together with `pid` this names a process for good.
    pub started: Duration,
    /// Whether it has our network, so that its loopback is ours.
    pub is_same_net_ns: bool,
    /// Whether it sees our files under the same names.
    pub is_same_mount_ns: bool,
    /// Whether it numbers processes as we do.
    pub is_same_pid_ns: bool,
    /// The pid that it knows itself by.
    pub nspid: u32,
    /// Resident bytes of V8's pages: the heaps of all its isolates and compiled code.
    /// V8 asks the kernel to keep them out of forked children, which is how they are told.
    /// `None` if the kernel doesn't show the mappings.
    pub v8_bytes: Option<u64>,
    /// Names of its worker threads, cut by the kernel to 15 bytes; workers without a name are `WorkerThread`.
    /// Node names them since version 24, so older ones have none here. A named thread of an addon looks the same.
    pub workers: Vec<String>,
}

impl NodeProcess {
    /// The first number of the version.
    pub fn major(&self) -> Option<u32> {
        self.version.as_deref().and_then(major)
    }

    /// Whether this very process still runs: neither gone, nor a zombie, nor another one with its pid.
    pub fn is_alive(&self) -> bool {
        is_alive(self.pid, self.started)
    }
}

/// What a look at all processes found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// By pid.
    pub processes: Vec<NodeProcess>,
    /// Processes of other users whose name looks like Node's and whose executable we may not see.
    pub hidden: usize,
}

/// Why a process can't be looked into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// Nothing has this pid.
    #[error("there is no process {pid}")]
    NoSuchProcess {
        /// What was asked for.
        pid: u32,
    },
    /// The number of a thread, not of a process.
    #[error("{pid} is a thread of process {process}")]
    Thread {
        /// What was asked for.
        pid: u32,
        /// The process it belongs to.
        process: u32,
    },
    /// It has ended, and its parent hasn't taken notice yet.
    #[error("process {pid} has ended (it is a zombie until its parent takes notice)")]
    Zombie {
        /// What was asked for.
        pid: u32,
    },
    /// Something else than Node.
    #[error("process {pid} is not Node.js: it runs {exe}")]
    NotNode {
        /// What was asked for.
        pid: u32,
        /// Path of its executable, or words in its place.
        exe: String,
    },
    /// The kernel keeps it from us.
    #[error("process {pid} belongs to {owner}, and we may not look into it")]
    NotPermitted {
        /// What was asked for.
        pid: u32,
        /// Words for the user it runs as.
        owner: String,
    },
    /// `/proc` could not be read for another reason.
    #[error("process {pid} can't be read: {source}")]
    Unreadable {
        /// What was asked for.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
}

impl ProcessError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            ProcessError::NoSuchProcess { .. } => {
                "`twinheap ps` lists the Node.js processes; a container's own pids are not the ones seen from outside"
                    .into()
            }
            ProcessError::Thread { process, .. } => {
                format!("use {process}: a dump covers the process's worker threads too")
            }
            ProcessError::Zombie { .. } => "its memory is gone; look at the process that replaced it".into(),
            ProcessError::NotNode { .. } => {
                "`twinheap ps` lists the Node.js processes; a wrapper such as npm, sh or tini is not the server itself"
                    .into()
            }
            ProcessError::NotPermitted { .. } => "run as the same user, or as root".into(),
            ProcessError::Unreadable { .. } => "try again, or run as root".into(),
        }
    }

    fn from_io(pid: u32, source: io::Error) -> ProcessError {
        // A process that ends while it is read answers with ESRCH.
        const NO_SUCH_PROCESS: i32 = 3;
        match source.kind() {
            _ if source.raw_os_error() == Some(NO_SUCH_PROCESS) => ProcessError::NoSuchProcess { pid },
            io::ErrorKind::NotFound => ProcessError::NoSuchProcess { pid },
            _ => ProcessError::Unreadable { pid, source },
        }
    }
}

/// The first number of a version such as `v20.20.2`.
pub fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v').unwrap_or(version).split('.').next()?.parse().ok()
}

/// All Node processes that we may look into, by pid.
///
/// # Errors
/// If `/proc` can't be listed. A process that ends meanwhile or that is not ours is left out.
pub fn node_processes() -> io::Result<Listing> {
    list(&Proc::live())
}

/// One Node process.
///
/// # Errors
/// In words, with a hint, if there is no such process, it isn't Node, or it isn't ours.
pub fn inspect(pid: u32) -> Result<NodeProcess, ProcessError> {
    look(&Proc::live(), pid, &mut Known::default())
}

/// The address ranges that a process keeps out of its forked children: V8's pages.
/// Start and end (exclusive), ascending; neighbours are joined.
///
/// # Errors
/// If the process is gone, isn't ours, or the kernel has no `smaps`.
pub fn dont_fork_ranges(pid: u32) -> io::Result<Vec<(u64, u64)>> {
    Ok(proc::dont_fork(&Proc::live().text(pid, "smaps")?).0)
}

/// Whether the process that had `pid` and was `started` then still runs.
pub fn is_alive(pid: u32, started: Duration) -> bool {
    let proc = Proc::live();
    let runs = |status: Status| !matches!(status.state, 'Z' | 'X');
    proc.started(pid).is_ok_and(|now| now == started) && proc.status(pid).is_ok_and(runs)
}

/// What executables were found to be: by device, inode and time of change (seconds, nanoseconds).
type Known = FxHashMap<(u64, u64, i64, i64), Option<Node>>;

/// An executable or library that is Node.
#[derive(Clone)]
struct Node {
    version: Option<String>,
}

fn list(proc: &Proc) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut known = Known::default();
    for pid in proc.pids()? {
        match look(proc, pid, &mut known) {
            Ok(process) => listing.processes.push(process),
            Err(ProcessError::NotPermitted { .. }) => {
                let named_so = |status: Status| {
                    status.name.starts_with("node") || status.name == "MainThread" || status.name == "nodejs"
                };
                listing.hidden += usize::from(proc.status(pid).is_ok_and(named_so));
            }
            Err(_) => {}
        }
    }
    Ok(listing)
}

fn look(proc: &Proc, pid: u32, known: &mut Known) -> Result<NodeProcess, ProcessError> {
    let failed = |source| ProcessError::from_io(pid, source);
    let status = proc.status(pid).map_err(failed)?;
    if status.tgid != pid {
        return Err(ProcessError::Thread { pid, process: status.tgid });
    }
    if matches!(status.state, 'Z' | 'X') {
        return Err(ProcessError::Zombie { pid });
    }
    let denied = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ProcessError::NotPermitted { pid, owner: owner_in_words(status.uid) }
        }
        _ => failed(error),
    };
    let exe = match fs::read_link(proc.path(pid, "exe")) {
        Ok(exe) => exe,
        Err(error) if error.kind() == io::ErrorKind::NotFound && proc.path(pid, "status").exists() => {
            return Err(ProcessError::NotNode { pid, exe: "in the kernel".into() });
        }
        Err(error) => return Err(denied(error)),
    };
    // Through the link and not by its text: that works for a deleted file and for one in another mount namespace.
    let node = what_is(&proc.path(pid, "exe"), known).map_err(denied)?;
    let node = match node {
        Some(node) => node,
        None => {
            in_library(proc, pid, known).ok_or_else(|| ProcessError::NotNode { pid, exe: in_words(&exe) })?
        }
    };
    let smaps = proc.text(pid, "smaps").ok();
    let same_ns = |kind: &str| {
        let theirs = fs::read_link(proc.path(pid, "ns").join(kind));
        theirs.is_ok_and(|theirs| {
            fs::read_link(proc.self_path("ns").join(kind)).is_ok_and(|ours| ours == theirs)
        })
    };
    let mut process = NodeProcess {
        pid,
        version: node.version,
        command: shorten(&proc.bytes(pid, "cmdline").unwrap_or_default()),
        rss_bytes: status.rss_bytes,
        threads: status.threads,
        uid: status.uid,
        started: proc.started(pid).map_err(failed)?,
        is_same_net_ns: same_ns("net"),
        is_same_mount_ns: same_ns("mnt"),
        is_same_pid_ns: same_ns("pid"),
        nspid: status.nspid,
        v8_bytes: smaps.map(|smaps| proc::dont_fork(&smaps).1),
        workers: Vec::new(),
    };
    if process.command.is_empty() {
        process.command = status.name;
    }
    if process.major().is_none_or(|major| major >= 24) {
        process.workers = workers(proc, pid);
    }
    Ok(process)
}

/// Node in a library of its own, as Debian and Fedora build it: the executable is a few kB.
fn in_library(proc: &Proc, pid: u32, known: &mut Known) -> Option<Node> {
    let mapped = proc.mapped_files(pid).ok()?;
    let library = mapped.iter().find(|mapped| mapped.is_named("libnode.so"))?;
    // Found by its name, so a library that can't be opened only has no version.
    let node = what_is(&proc.inside(pid, &library.path), known).ok().flatten();
    Some(node.unwrap_or(Node { version: None }))
}

/// Node or not, each file looked at once.
fn what_is(path: &Path, known: &mut Known) -> io::Result<Option<Node>> {
    let file = proc::open(path)?;
    let meta = file.metadata()?;
    let key = (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec());
    if let Some(node) = known.get(&key) {
        return Ok(node.clone());
    }
    let node =
        Elf::open(&file).filter(is_node).map(|elf| Node { version: elf.node_version().ok().flatten() });
    known.insert(key, node.clone());
    Ok(node)
}

/// Bun exports Node-API too, without `node::Start`; Electron has both and symbols of its own beside them.
fn is_node(elf: &Elf<'_>) -> bool {
    elf.exports(&["napi_create_function", "_ZN4node5StartEiPPc"])
        && !elf.dynamic_names_contain("_ZN8electron")
}

fn workers(proc: &Proc, pid: u32) -> Vec<String> {
    let mut threads = proc.threads(pid).unwrap_or_default();
    threads.sort_unstable();
    let names = threads.into_iter().filter(|&thread| thread != pid).filter_map(|thread| {
        let name = proc.text(pid, &format!("task/{thread}/comm")).ok()?;
        Some(name.trim_end_matches('\n').to_owned())
    });
    let main = proc.text(pid, "comm").unwrap_or_default();
    let is_worker = |name: &String| {
        // A thread that an addon started has the main thread's name, unless it chose one.
        name != main.trim_end_matches('\n')
            && name != "node"
            && !OWN_THREADS.iter().any(|own| name.starts_with(own))
    };
    names.filter(is_worker).collect()
}

fn owner_in_words(uid: u32) -> String {
    if uid == rustix::process::geteuid().as_raw() {
        // The kernel guards files with capabilities and processes that asked for it, even from their own user.
        "this user, but is guarded by the kernel".into()
    } else if uid == 0 {
        "root".into()
    } else {
        format!("another user (uid {uid})")
    }
}

/// A command line in one line for people.
fn shorten(cmdline: &[u8]) -> String {
    let end = cmdline.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let arguments = cmdline[..end].split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let command = arguments.collect::<Vec<_>>().join(" ");
    let command: String = command.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match command.char_indices().nth(MAX_COMMAND) {
        None => command,
        Some(_) => command.chars().take(MAX_COMMAND - 1).chain(['…']).collect(),
    }
}

fn in_words(exe: &Path) -> String {
    // Another process may have chosen the name; it must not move our cursor.
    exe.to_string_lossy().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A file that a process has mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// Start of the first mapping of the file, and the file offset there, in bytes.
    pub(crate) start: u64,
    pub(crate) offset: u64,
    /// As the process sees it.
    pub(crate) path: PathBuf,
}

impl Mapped {
    /// Whether the file's own name starts with `prefix`.
    pub(crate) fn is_named(&self, prefix: &str) -> bool {
        self.path.file_name().map(OsStr::as_bytes).is_some_and(|name| name.starts_with(prefix.as_bytes()))
    }
}
