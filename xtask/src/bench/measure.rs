//! Running a program and asking the kernel what it took.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    mem::MaybeUninit,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// After this time a program counts as failed.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// How often the anonymous memory of a program is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(4);

/// What one run took.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// From just before the start to the end, in seconds.
    pub(super) wall_s: f64,
    /// Time on processors, user and system, all threads, in seconds.
    pub(super) cpu_s: f64,
    /// `ru_maxrss` in bytes: the most that was in memory at once, pages of mapped files included.
    pub(super) peak_rss_bytes: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak_mb = self.peak_rss_bytes as f64 / 1e6;
        write!(f, "{:>8.3} s wall {:>8.3} s cpu {peak_mb:>8.1} MB", self.wall_s, self.cpu_s)
    }
}

/// A program that can't do the job is a result too, not the end of the benchmark.
pub(super) enum Outcome<T> {
    Finished(T),
    /// Why, in a few words.
    Failed(String),
}

impl<T> Outcome<T> {
    pub(super) fn is_finished(&self) -> bool {
        matches!(self, Outcome::Finished(_))
    }
}

/// Runs a command to its end with its standard output in `answer`.
pub(super) fn run(command: Command, answer: &Path) -> Result<Outcome<Run>> {
    let (outcome, _) = supervise(command, answer, None)?;
    Ok(outcome)
}

/// As [`run`], and gives the highest anonymous memory seen by looking every few milliseconds. The looking takes
/// processor time from the program, so this run's times are not for the tables.
pub(super) fn run_sampled(command: Command, answer: &Path) -> Result<Outcome<(Run, u64)>> {
    let (outcome, anonymous_bytes) = supervise(command, answer, Some(SAMPLE_EVERY))?;
    Ok(match outcome {
        Outcome::Finished(run) => Outcome::Finished((run, anonymous_bytes)),
        Outcome::Failed(why) => Outcome::Failed(why),
    })
}

fn supervise(mut command: Command, answer: &Path, sample: Option<Duration>) -> Result<(Outcome<Run>, u64)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut errors = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(File::create(answer)?).stderr(errors.try_clone()?);
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    let pid = child.id();
    let (stop, stopped) = mpsc::channel::<()>();
    let watcher = thread::spawn(move || watch(pid, sample, &stopped));
    await_exit(pid)?;
    let wall_s = start.elapsed().as_secs_f64();
    // The child is a zombie until `reap`, so the watcher can't hit another process with its pid.
    drop(stop);
    let watched = watcher.join().unwrap_or_default();
    let (status, usage) = reap(pid)?;
    if !status.success() {
        let why = if watched.timed_out { "no result in half an hour".to_owned() } else { status.to_string() };
        return Ok((Outcome::Failed(format!("{why}{}", last_words(&mut errors)?)), 0));
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let run = Run {
        wall_s,
        cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_rss_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
    };
    Ok((Outcome::Finished(run), watched.anonymous_bytes))
}

#[derive(Default)]
struct Watched {
    anonymous_bytes: u64,
    timed_out: bool,
}

/// Samples the child's memory, and kills it after [`TIMEOUT`], until `stopped` hangs up.
fn watch(pid: u32, sample: Option<Duration>, stopped: &mpsc::Receiver<()>) -> Watched {
    let start = Instant::now();
    let mut watched = Watched::default();
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(sample.unwrap_or(TIMEOUT)) {
        if sample.is_some() {
            watched.anonymous_bytes = watched.anonymous_bytes.max(anonymous_bytes(pid).unwrap_or(0));
        }
        if start.elapsed() >= TIMEOUT && !watched.timed_out {
            watched.timed_out = true;
            kill(pid);
        }
    }
    watched
}

/// `RssAnon` of a process, in bytes: private memory without mapped files.
fn anonymous_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The last line a failed program wrote to its standard error.
fn last_words(errors: &mut File) -> io::Result<String> {
    errors.seek(SeekFrom::Start(0))?;
    let mut text = Vec::new();
    errors.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    Ok(line.map(|line| format!(": {}", line.trim())).unwrap_or_default())
}

/// Waits for a child's end and leaves it as a zombie.
#[expect(unsafe_code, reason = "std has no wait that keeps the zombie")]
fn await_exit(pid: u32) -> Result<()> {
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is writable memory of the right type; the kernel fills it or leaves it zero.
        let result =
            unsafe { libc::waitid(libc::P_PID, pid, info.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT) };
        match result {
            0 => return Ok(()),
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return Err(io::Error::last_os_error()).context("cannot wait for a program"),
        }
    }
}

/// Takes a zombie's status and resource usage.
#[expect(unsafe_code, reason = "std does not report resource usage")]
fn reap(pid: u32) -> Result<(ExitStatus, libc::rusage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to writable memory of the right type. `rusage` is integers, for which zero is a
    // valid value should the call fail.
    let (result, usage) = unsafe {
        (libc::wait4(pid.cast_signed(), &raw mut status, 0, usage.as_mut_ptr()), usage.assume_init())
    };
    if result < 0 {
        return Err(io::Error::last_os_error()).context("cannot take a program's resource usage");
    }
    Ok((ExitStatus::from_raw(status), usage))
}

/// Kills a child that has not been reaped yet.
#[expect(unsafe_code, reason = "the `Child` belongs to another thread")]
fn kill(pid: u32) {
    // SAFETY: no memory is involved, and the pid is a child's, running or zombie, so nobody else's.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
}
