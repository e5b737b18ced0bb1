//! `twinheap demo`: a leaking sample server, a recording of its native heap and heap snapshots of it while it grows, and
//! (by the caller) the verdicts.
//!
//! Everything happens in one folder: the server's source, its addon, the recording, the snapshots, the server's stderr.
//! It is a private temporary folder unless the user asked to keep it. The server dies with us on every way out: ended
//! by a drop guard, and by itself when its stdin closes because we were killed.

mod addon;
mod http;
mod node;
mod process;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use twinheap_capture::{CaptureError, DumpOptions, Out, Session, Target};

use crate::live;

use self::node::{Node, Server};

const SERVER_SOURCE: &str = include_str!("../assets/demo/server.cjs");
const SERVER_NAME: &str = "server.cjs";
const RECORDING_NAME: &str = "demo.heaptrace";

/// Visits before each snapshot. The first thousand also fill every cache of the server, so that what grows from
/// then on is what leaks.
const VISITS_A_ROUND: u32 = 1000;

/// How long the server may take to open its inspector: it idles then.
const INSPECTOR_PATIENCE: Duration = Duration::from_secs(30);

/// Visits between two reports of progress.
const VISITS_A_REPORT: u32 = 50;

/// Start a small Node.js server that leaks, record its native heap, take heap snapshots while it grows, and find the
/// leaks.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The Node.js to run the server with, 18 or newer
    #[arg(long, value_name = "PATH", default_value = "node")]
    pub(crate) node: PathBuf,

    /// Keep the snapshots, the recording and the server's source in this new or empty folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,

    /// How many snapshots to take
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=20))]
    pub(crate) snapshots: u32,

    /// Show the files on a local web page in the end, and print its address
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub(crate) page: Page,
}

/// Whether there is a web page in the end, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Page {
    /// Until Ctrl-C; without a terminal, until nobody has looked at it for a minute
    Auto,
    /// Until Ctrl-C
    Always,
    /// No page: the demo ends with the verdicts
    Never,
}

/// What happened just now, for whoever shows progress.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// The server answers.
    Started {
        /// As `node --version` says it, with the `v`.
        node_version: &'a str,
        /// The server's process.
        pid: u32,
    },
    /// There is no compiler that could build the server's addon.
    NoAddon,
    /// The native heap can't be recorded here; why.
    NotRecorded(&'a anyhow::Error),
    /// So many visits of all were made.
    Visiting {
        /// Visits so far.
        done: u32,
        /// Visits until the last snapshot.
        total: u32,
    },
    /// A snapshot lies under its final name.
    Snapshot {
        /// Which one, from 1.
        number: u32,
        /// How many there will be.
        of: u32,
        /// Visits before it.
        visits: u32,
        /// The size of the file in bytes.
        bytes: u64,
    },
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { node_version, pid } => {
                write!(f, "Node.js {node_version} runs the sample server (pid {pid})")
            }
            Self::NoAddon => {
                write!(f, "no C compiler was found for the server's addon: it leaks Buffers instead")
            }
            Self::NotRecorded(why) => write!(f, "the native heap is not recorded: {why:#}"),
            Self::Visiting { done, total } => write!(f, "{done} of {total} visits"),
            Self::Snapshot { number, of, visits, bytes } => {
                let megabytes = *bytes as f64 / 1e6;
                write!(f, "snapshot {number} of {of} after {visits} visits: {megabytes:.1} MB")
            }
        }
    }
}

/// A failure that the user can do something about.
#[derive(Debug)]
pub(crate) struct DemoError {
    message: String,
    hint: String,
}

impl DemoError {
    /// What to do, for the line `hint: …`.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DemoError {}

/// The caller's stop flag was raised: the user pressed Ctrl-C.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A finished recording. The server is gone; its temporary folder goes when this is dropped.
#[derive(Debug)]
pub(crate) struct DemoRun {
    /// The heap snapshots, oldest first.
    pub(crate) snapshots: Vec<PathBuf>,
    /// The native heap, if it was recorded.
    pub(crate) native: Option<NativeRun>,
    /// As `node --version` says it, with the `v`.
    pub(crate) node_version: String,
    /// The source that the snapshots' locations point into.
    pub(crate) server_source: PathBuf,
    folder: Folder,
}

/// A recording of the server's native heap.
#[derive(Debug)]
pub(crate) struct NativeRun {
    /// The file.
    pub(crate) recording: PathBuf,
    /// When the snapshots were begun, in milliseconds since 1970. A file knows by the same clock when its recording
    /// began; when that was, nobody outside of the recorded process can tell better.
    pub(crate) moments: Vec<u64>,
}

impl DemoRun {
    /// The folder that stays, if the user asked for one.
    pub(crate) fn kept(&self) -> Option<&Path> {
        match &self.folder {
            Folder::Kept(path) => Some(path),
            Folder::Temporary(_) => None,
        }
    }
}

/// Runs the server, visits it and takes the snapshots.
///
/// `stop` is looked at several times a second; when it is true, this ends with [`Interrupted`] and leaves
/// neither a process nor a half-written file. Other failures with a remedy are a [`DemoError`].
pub(crate) fn record(
    args: &DemoArgs,
    stop: &'static AtomicBool,
    progress: &mut dyn FnMut(&Step<'_>),
) -> Result<DemoRun> {
    // First what can fail at once, then what leaves traces.
    let node = Node::find(&args.node)?;
    let folder = Folder::new(args.keep.as_deref())?;
    let server_source = folder.path().join(SERVER_NAME);
    fs::write(&server_source, SERVER_SOURCE)
        .with_context(|| format!("cannot write `{}`", server_source.display()))?;
    if !addon::build(folder.path(), stop)? {
        progress(&Step::NoAddon);
    }
    let (snapshots, native) = grow(&node, folder.path(), args.snapshots, stop, progress)?;
    Ok(DemoRun { snapshots, native, node_version: node.version, server_source, folder })
}

/// A thousand visits and a snapshot, `count` times.
fn grow(
    node: &Node,
    folder: &Path,
    count: u32,
    stop: &'static AtomicBool,
    progress: &mut dyn FnMut(&Step<'_>),
) -> Result<(Vec<PathBuf>, Option<NativeRun>)> {
    let recording = folder.join(RECORDING_NAME);
    let (mut server, mut is_recorded) = start(node, folder, &recording, stop, progress)?;
    progress(&Step::Started { node_version: &node.version, pid: server.pid() });
    let mut camera = Camera::new()?;
    let total = count * VISITS_A_ROUND;
    let (mut snapshots, mut moments) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let visits = number * VISITS_A_ROUND;
        for visit in visits - VISITS_A_ROUND + 1..=visits {
            server.visit()?;
            if visit % VISITS_A_REPORT == 0 {
                progress(&Step::Visiting { done: visit, total });
            }
        }
        moments.push(unix_ms());
        let path = folder.join(format!("demo-{number}.heapsnapshot"));
        let bytes = camera.take(server.pid(), &path, stop)?;
        progress(&Step::Snapshot { number, of: count, visits, bytes });
        snapshots.push(path);
    }
    camera.close();
    if let Some(why) = server.exit()?
        && is_recorded
    {
        is_recorded = false;
        progress(&Step::NotRecorded(&why));
    }
    Ok((snapshots, is_recorded.then_some(NativeRun { recording, moments })))
}

/// Now, in milliseconds since 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Starts the server under the recorder, or by itself where that doesn't work; whether it is recorded.
fn start<'a>(
    node: &Node,
    folder: &Path,
    recording: &Path,
    stop: &'a AtomicBool,
    progress: &mut dyn FnMut(&Step<'_>),
) -> Result<(Server<'a>, bool)> {
    match Server::start(node, folder, SERVER_NAME, Some(recording), stop) {
        Ok(server) => Ok((server, true)),
        Err(why) if why.is::<Interrupted>() => Err(why),
        Err(why) => {
            // Whether that is the recorder's doing shows now.
            let server = Server::start(node, folder, SERVER_NAME, None, stop)?;
            progress(&Step::NotRecorded(&why));
            Ok((server, false))
        }
    }
}

/// Takes the snapshots as `twinheap snapshot` does, all in one session, so that their ids can be compared.
struct Camera {
    runtime: tokio::runtime::Runtime,
    session: Option<Session>,
}

impl Camera {
    fn new() -> Result<Self> {
        Ok(Self { runtime: live::runtime()?, session: None })
    }

    /// Hangs up: a server that exits waits for its debuggers.
    fn close(&mut self) {
        if let Some(session) = self.session.take() {
            self.runtime.block_on(session.close());
        }
    }

    /// Takes a snapshot of the main isolate; the size of the file in bytes.
    fn take(&mut self, pid: u32, path: &Path, stop: &'static AtomicBool) -> Result<u64> {
        let Self { runtime, session } = self;
        let taken = runtime.block_on(async {
            if session.is_none() {
                let options = live::open_options(INSPECTOR_PATIENCE, false, stop);
                *session = Some(Session::open(&Target::Pid(pid), &options).await?);
            }
            let Some(session) = session else { return Ok(0) };
            // A session lists the main isolate first, and the server has no other.
            let isolates = session.isolates().await?;
            let mut out = || Out::File(path.to_owned());
            let dump = session.dump(&isolates[0], &DumpOptions::default(), &mut out, &mut |_| {}).await?;
            Ok(dump.written.bytes)
        });
        taken.map_err(
            |error: CaptureError| if error.is_interruption() { Interrupted.into() } else { error.into() },
        )
    }
}

/// Where the demo's files lie.
#[derive(Debug)]
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn new(keep: Option<&Path>) -> Result<Self> {
        let Some(path) = keep else {
            let mut builder = tempfile::Builder::new();
            builder.prefix("twinheap-demo-");
            // A snapshot is a copy of a process's memory, and the folder's other users may be anyone.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
            return Ok(Self::Temporary(builder.tempdir().context("cannot make a temporary folder")?));
        };
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder `{shown}`"))?;
        // Whatever is there belongs to the user, also the files of an earlier demo.
        if fs::read_dir(path).with_context(|| format!("cannot read the folder `{shown}`"))?.next().is_some() {
            return Err(DemoError {
                message: format!("cannot keep the demo in `{shown}`: the folder is not empty"),
                hint: "name a folder that doesn't exist yet".into(),
            }
            .into());
        }
        Ok(Self::Kept(path.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

/// Deletes a file of ours; one that is not there is fine, and a failure must not hide what went wrong before.
fn remove_quietly(path: &Path) {
    let _: io::Result<()> = fs::remove_file(path);
}

#[cfg(test)]
mod tests;
