//! Snapshots without the stop: the agent in the target forks, and the copy writes while the original goes on.
//!
//! The copy writes into a pipe, whose other end we take from the target's table of files; nothing touches a disk
//! that we did not compress, or redact, before. A copy has only the thread that forked. Whenever it needs another
//! one, because a garbage collection was under way at the fork, it ends, and we fork again a little later.

use std::fs::{self, File};
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use crate::agent::{self, GET, PLACE};
use crate::cdp::{Address, Cdp, CdpError, Incoming, unless_stopped};
use crate::dump::{DumpOptions, Method, Progress, Watch};
use crate::error::CaptureError;
use crate::process;
use crate::session::{Isolate, Session};
use crate::sink::{Out, Sink, SinkError, Written};

/// Forks before we give up.
const ATTEMPTS: u32 = 12;
/// The pause before the second fork; each further one is longer by as much. A garbage collection takes
/// milliseconds.
const BETWEEN: Duration = Duration::from_millis(25);
/// A copy that neither writes nor computes for this long waits for something that will not come.
const STUCK: Duration = Duration::from_secs(20);
/// How often a waiting reader looks around.
const POLL: Duration = Duration::from_millis(200);
/// Requests to the agent take milliseconds, but the event loop may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time a copy gets; the agent ends it then, whatever became of us.
const LONGEST: Duration = Duration::from_secs(3600);
/// Bytes read at once: what a pipe holds.
const PIECE: usize = 64 << 10;

/// Why an attempt failed, and whether another one may succeed.
enum Failed {
    Again(&'static str),
    /// By the kernel, or by somebody who looked for a process to kill.
    Killed,
    For(CaptureError),
}

impl<E: Into<CaptureError>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed::For(error.into())
    }
}

impl Session {
    /// Takes the snapshot by a forked copy.
    pub(crate) async fn dump_by_copy(
        &mut self,
        isolate: &Isolate,
        options: &DumpOptions,
        expected: u64,
        out: &mut (dyn FnMut() -> Out + Send),
        watch: Watch<'_>,
    ) -> Result<(Written, Duration, Method), CaptureError> {
        let impossible = |reason: String| CaptureError::PauseFree { thread: isolate.thread.clone(), reason };
        let Some(pid) = self.process.as_ref().map(|p| p.pid) else {
            return Err(impossible("the process does not run on this machine".to_owned()));
        };
        agent::load(&mut self.cdp, &isolate.address).await?.map_err(impossible)?;
        let mut longest_pause = Duration::ZERO;
        let mut last = "";
        let mut was_killed = false;
        for attempt in 1..=ATTEMPTS {
            if attempt > 1 {
                watch(Progress::Again { attempt, reason: last });
                tokio::time::sleep(BETWEEN * (attempt - 1)).await;
            }
            let sink = Sink::open(out(), options.salt.as_deref())?;
            match self.fork_once(pid, isolate, options, expected, sink, watch, &mut longest_pause).await {
                Ok(written) => {
                    return Ok((written, longest_pause, Method::PauseFree { attempts: attempt }));
                }
                Err(Failed::Again(reason)) => last = reason,
                // Once may be bad luck; more often only makes the memory scarcer for everybody.
                Err(Failed::Killed) if was_killed => {
                    return Err(CaptureError::CopyKilled { thread: isolate.thread.clone() });
                }
                Err(Failed::Killed) => (was_killed, last) = (true, "it was killed"),
                Err(Failed::For(error)) => return Err(error),
            }
        }
        Err(impossible(format!("{ATTEMPTS} copies failed, the last one because {last}")))
    }

    /// One fork, from the request to the finished file.
    #[expect(clippy::too_many_arguments, reason = "what an attempt needs is what a dump has")]
    async fn fork_once(
        &mut self,
        pid: u32,
        isolate: &Isolate,
        options: &DumpOptions,
        expected: u64,
        sink: Sink,
        watch: Watch<'_>,
        longest_pause: &mut Duration,
    ) -> Result<Written, Failed> {
        let expression = fork_expression(pid, options);
        let copy = match self.cdp.evaluate(&isolate.address, &expression, PATIENCE).await {
            Ok(value) => Copy::from(&value)?,
            Err(CdpError::Thrown(reason)) => {
                let thread = isolate.thread.clone();
                return Err(Failed::For(CaptureError::PauseFree { thread, reason }));
            }
            Err(error) => return Err(error.into()),
        };
        *longest_pause = (*longest_pause).max(copy.pause);
        let pipe = open_pipe(pid, copy.pipe);
        let local = find_child(pid, copy.pid);
        let closed = format!("{PLACE}.closed({})", copy.pid);
        // The agent lets go of its end by itself after a while, if it doesn't hear this.
        let told = self.cdp.evaluate(&isolate.address, &closed, PATIENCE).await;
        let pipe = match (pipe, told) {
            (Ok(pipe), Ok(_)) => pipe,
            (pipe, told) => {
                kill(local);
                told?;
                return Err(Failed::For(match pipe {
                    Err(error) => unreadable(error),
                    Ok(_) => CdpError::ThreadEnded.into(),
                }));
            }
        };
        let drained = self.drain(pipe, local, isolate, sink, expected, watch).await;
        if drained.is_err() {
            kill(local);
        }
        let sink = match drained {
            Ok(sink) => sink,
            Err(Drained::Stuck) => return Err(Failed::Again("it waited for a thread that a copy hasn't")),
            Err(Drained::Pipe(error)) => return Err(Failed::For(unreadable(error))),
            Err(Drained::For(error)) => return Err(Failed::For(error)),
        };
        match status(&mut self.cdp, isolate, copy.pid).await? {
            Ended { code: Some(0), .. } => {}
            Ended { code: Some(81), .. } => {
                return Err(Failed::Again("it waited for a thread that a copy hasn't"));
            }
            Ended { code: Some(82), .. } => {
                let reason = "v8.writeHeapSnapshot fails in it".to_owned();
                return Err(Failed::For(CaptureError::PauseFree { thread: isolate.thread.clone(), reason }));
            }
            Ended { code: Some(83), .. } => return Err(Failed::Again("its time was up")),
            Ended { code: Some(84), .. } => {
                return Err(Failed::Again("V8 gave up in it, as when memory runs out"));
            }
            Ended { signal: Some(9), .. } => return Err(Failed::Killed),
            Ended { .. } => return Err(Failed::Again("it crashed")),
        }
        match unless_stopped(self.cdp.stop(), sink.finish()).await? {
            Ok(written) => Ok(written),
            Err(SinkError::Incomplete { .. }) => Err(Failed::Again("what it wrote broke off")),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the pipe into the sink until the copy closes it.
    ///
    /// Meanwhile the process is listened to: one that wants to exit waits until we hang up.
    async fn drain(
        &mut self,
        mut pipe: Receiver,
        copy: Option<u32>,
        isolate: &Isolate,
        mut sink: Sink,
        expected: u64,
        watch: Watch<'_>,
    ) -> Result<Sink, Drained> {
        let mut bytes = 0;
        let mut last_progress = Instant::now();
        let mut last_work = work(copy);
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            tokio::select! {
                read = pipe.read_buf(&mut piece) => match read {
                    Ok(0) => return Ok(sink),
                    Ok(read) => bytes += read as u64,
                    Err(error) => return Err(Drained::Pipe(error)),
                },
                listened = self.listen(isolate) => {
                    listened?;
                    let now = work(copy);
                    if now != last_work {
                        (last_work, last_progress) = (now, Instant::now());
                    } else if last_progress.elapsed() > STUCK {
                        return Err(Drained::Stuck);
                    }
                    continue;
                }
            }
            {
                // A writer that is behind makes us wait, and the copy too.
                let mut sent = std::pin::pin!(sink.send(piece));
                loop {
                    tokio::select! {
                        sent = &mut sent => break sent?,
                        listened = self.listen(isolate) => listened?,
                    }
                }
            }
            last_progress = Instant::now();
            watch(Progress::Writing { bytes, expected });
        }
    }

    /// Hears what the process has to say for a moment.
    async fn listen(&mut self, isolate: &Isolate) -> Result<(), CaptureError> {
        match self.cdp.next_until(Instant::now() + POLL).await? {
            Some(Incoming::Detached { session }) if isolate.address == Address::Worker(session.clone()) => {
                self.note(Incoming::Detached { session });
                Err(CdpError::ThreadEnded.into())
            }
            Some(event) => {
                self.note(event);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// JavaScript that forks. In the copy it does not return.
fn fork_expression(pid: u32, options: &DumpOptions) -> String {
    // V8 keeps its pages out of forked copies. The agent lifts that for the moment, and restores what we saw.
    let ranges = process::dont_fork_ranges(pid).unwrap_or_default();
    let ranges: Vec<String> = ranges.iter().map(|(start, end)| format!("{start:x}-{end:x}")).collect();
    let seconds = LONGEST.as_secs();
    let snapshot = options.snapshot;
    format!(
        "((agent, v8) => {{ \
           const copy = agent.fork('{}', {seconds}); \
           if (copy) return copy; \
           try {{ v8.writeHeapSnapshot('/proc/self/fd/3', {{ exposeInternals: {}, exposeNumericValues: {} }}); \
             agent.exit(0); }} \
           catch {{ agent.exit(82); }} \
         }})({PLACE}, {GET}('v8'))",
        ranges.join(","),
        snapshot.expose_internals,
        snapshot.numeric_values,
    )
}

/// A copy at work, as the agent describes it.
struct Copy {
    /// As the target sees it.
    pid: u32,
    /// The pipe's number in the target's table of files.
    pipe: u32,
    /// How long the thread stood still.
    pause: Duration,
}

impl Copy {
    fn from(value: &Value) -> Result<Copy, CdpError> {
        let number = |name: &str| value[name].as_u64().and_then(|n| u32::try_from(n).ok());
        match (number("pid"), number("fd"), value["seconds"].as_f64()) {
            (Some(pid), Some(pipe), Some(seconds)) => {
                Ok(Copy { pid, pipe, pause: Duration::try_from_secs_f64(seconds).unwrap_or_default() })
            }
            _ => Err(CdpError::Protocol(format!("asked to fork, the agent says {value}"))),
        }
    }
}

/// Opens the target's end of the pipe for ourselves.
fn open_pipe(pid: u32, number: u32) -> io::Result<Receiver> {
    let path = format!("/proc/{pid}/fd/{number}");
    // If the agent gave up on us, the number may be another file's by now.
    if !fs::read_link(&path)?.to_string_lossy().starts_with("pipe:") {
        return Err(io::Error::other("the process took it back"));
    }
    Receiver::from_file(File::open(path)?)
}

/// How a copy ended.
struct Ended {
    code: Option<u64>,
    signal: Option<u64>,
}

/// Waits until the agent has seen the copy end, which the closed pipe announced.
async fn status(cdp: &mut Cdp, isolate: &Isolate, pid: u32) -> Result<Ended, CdpError> {
    let expression = format!("{PLACE}.status({pid})");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = cdp.evaluate(&isolate.address, &expression, PATIENCE).await?;
        if !value.is_null() {
            return Ok(Ended { code: value["code"].as_u64(), signal: value["signal"].as_u64() });
        }
        if Instant::now() >= deadline {
            return Err(CdpError::Timeout { method: "the copy's end".to_owned(), patience: PATIENCE });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Why the pipe was not read to its end.
enum Drained {
    Stuck,
    Pipe(io::Error),
    For(CaptureError),
}

impl<E: Into<CaptureError>> From<E> for Drained {
    fn from(error: E) -> Drained {
        Drained::For(error.into())
    }
}

fn unreadable(error: io::Error) -> CaptureError {
    CaptureError::Io { what: "can't read from the copy of the process".to_owned(), error }
}

/// The copy's processor time, in ticks: it grows as long as the copy computes.
fn work(copy: Option<u32>) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", copy?)).ok()?;
    // The name in brackets may hold anything, so the numbers are counted from the last bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The pid under which we know the child that `parent` knows as `inner`.
fn find_child(parent: u32, inner: u32) -> Option<u32> {
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        let is_child = field("PPid:").and_then(|p| p.parse().ok()) == Some(parent);
        // Without namespaces in the kernel there is only one pid.
        let own = field("NSpid:").and_then(|p| p.split_whitespace().last()).or_else(|| field("Pid:"));
        if is_child && own.and_then(|p| p.parse().ok()) == Some(inner) {
            return Some(pid);
        }
    }
    None
}

/// Ends a copy. It has the target's pid for a parent, so it can't be another process until the agent reaped it.
fn kill(copy: Option<u32>) {
    if let Some(pid) = copy.and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _: Result<(), _> = kill_process(pid, Signal::KILL);
    }
}
