//! The collector: from a command to its recordings.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use twinheap_symbols::Options as SymbolOptions;
use twinheap_trace::heaptrace::{End, EndReason, Losses, Meta, Policy, Writer};
use twinheap_wire::{RING, policy, trouble};

use super::clock::Clock;
use super::error::RecordError;
use super::file_name::file_name;
use super::jit::JitCode;
use super::launch::{self, Folder};
use super::names::{Named, write_symbols};
use super::output::Output;
use super::pace::Pace;
use super::process::{Finished, Recording};
use super::ring::{Ring, Settings};
use crate::debug_files::{DebugFiles, debuginfod_cache};
use crate::part_file::PartFile;

/// Between two looks at the process's memory.
const SAMPLE: Duration = Duration::from_millis(20);
/// After so long everything that was read is in the file, whatever happens to us.
const FLUSH: Duration = Duration::from_secs(2);
/// Between two looks whether processes of others still live, and between two calls of the observer.
const LOOK: Duration = Duration::from_millis(100);

/// What to record, and where to.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// The file; see `%p` and `%h` in the help of `twinheap record`.
    pub output: PathBuf,
    /// Mean bytes between samples; `None` records every call.
    pub sample: Option<u64>,
    /// Blocks that live for less are only counted.
    pub min_lifetime: Option<Duration>,
    /// Leave out events, and count them, when the file can't be written fast enough. Otherwise the program waits.
    pub drop: bool,
    /// Record children too, each into its own file.
    pub follow: bool,
    /// Frames of a stack at most.
    pub frames: u32,
    /// Stop after this time; the program runs on.
    pub duration: Option<Duration>,
    /// Look, when the program exits, which of its blocks nothing points to.
    pub leak_check: bool,
    /// Have V8 tell the names of JavaScript functions.
    pub js_names: bool,
    /// zstd's level.
    pub level: i32,
    /// Folders with debug files.
    pub debug_paths: Vec<PathBuf>,
    /// The folder that is `/` for the program.
    pub sysroot: Option<PathBuf>,
}

/// What whoever asked for a recording wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    GoOn,
    /// Tell the program to end, by SIGTERM, and record its end.
    EndProgram,
    /// End the recording; the program runs on.
    Stop,
}

/// How a recording stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordProgress {
    /// Processes that are recorded.
    pub processes: usize,
    /// Calls that allocated so far.
    pub allocations: u64,
    /// Bytes that are allocated and not freed.
    pub live_bytes: u64,
    /// Since the start.
    pub elapsed: Duration,
    /// The program has ended, and its places get their names.
    pub is_naming: bool,
}

/// What came of a recorded program.
#[derive(Clone, Debug, Default)]
pub struct Recordings {
    /// The processes' recordings, that of the program itself first.
    pub all: Vec<Recorded>,
    /// Child processes that were not recorded, since they were not to be followed.
    pub bystanders: u32,
}

/// A finished recording.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The process.
    pub pid: u32,
    /// Its file.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// Calls that allocated.
    pub allocations: u64,
    /// What is missing.
    pub losses: Losses,
    /// Why nobody looked for lost blocks, although that was wanted.
    pub leak_check_failed: Option<String>,
    /// How many places have names.
    pub named: Named,
    /// A sentence on what `debuginfod` servers sent.
    pub fetched: Option<String>,
    /// Sentences on modules without names, and on servers that failed.
    pub problems: Vec<String>,
    /// How the process ended, if it was our child and did.
    pub status: Option<ExitStatus>,
}

/// Starts `command` and records it until it ends, until the time is over, or until `wish` says so. The program's own
/// recording comes first.
///
/// # Errors
/// If the program can't be started or was not recorded, or if a file can't be written. In the last case the program was
/// left to run by itself.
pub fn record(
    command: &[OsString],
    options: &RecordOptions,
    wish: &dyn Fn() -> Wish,
    watch: &mut dyn FnMut(RecordProgress),
) -> Result<Recordings, RecordError> {
    if !launch::is_supported() {
        return Err(RecordError::Unsupported);
    }
    let ring_error = |error| RecordError::Ring { folder: "/dev/shm".into(), error };
    check_file_limit()?;
    let folder = Folder::create().map_err(ring_error)?;
    let settings = Settings {
        policy: if options.drop { policy::DROP } else { policy::WAIT },
        follow: options.follow,
        names: options.js_names && !asks_for_log(command),
        frames: options.frames,
        sample: options.sample.unwrap_or(0),
        leak_check: options.leak_check,
    };
    let in_folder = |error| RecordError::Ring { folder: folder.path().to_owned(), error };
    let spare = Ring::create(&folder.ring(0), settings).map_err(in_folder)?;
    let preload = launch::write_preload(&folder).map_err(in_folder)?;
    let name = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let child = launch::start(command, &preload, &folder, options.js_names)
        .map_err(|error| RecordError::Start { program: name.clone(), error })?;
    let collector = Collector {
        options,
        command,
        settings,
        folder: &folder,
        spare: Some(spare),
        rings: 1,
        child,
        status: None,
        active: Vec::new(),
        done: Vec::new(),
        bystanders: 0,
        first_ring: None,
        is_told: false,
        start: Instant::now(),
    };
    let recordings = collector.run(wish, watch)?;
    if recordings.all.is_empty() {
        return Err(RecordError::NotRecorded { program: name, reason: "it loaded no recorder" });
    }
    Ok(recordings)
}

struct Collector<'a> {
    options: &'a RecordOptions,
    command: &'a [OsString],
    settings: Settings,
    folder: &'a Folder,
    /// A ring that waits for a process.
    spare: Option<Ring>,
    rings: u32,
    child: Child,
    status: Option<ExitStatus>,
    active: Vec<Active>,
    done: Vec<Recorded>,
    bystanders: u32,
    first_ring: Option<Ring>,
    /// The program was told to end.
    is_told: bool,
    start: Instant,
}

/// A process that is recorded.
struct Active {
    pid: u32,
    path: PathBuf,
    part: PartFile,
    handle: File,
    recording: Recording<File>,
    is_child: bool,
    ring_number: u32,
}

impl Collector<'_> {
    fn run(
        mut self,
        wish: &dyn Fn() -> Wish,
        watch: &mut dyn FnMut(RecordProgress),
    ) -> Result<Recordings, RecordError> {
        let (mut sampled, mut flushed, mut looked) = (self.start, self.start, self.start);
        let mut pace = Pace::new(&self.child);
        loop {
            self.adopt()?;
            let mut events = 0;
            for active in &mut self.active {
                events += active.recording.drain(false);
                // Without more memory the process waits for what it has, or drops.
                let _ = active.recording.ring.keep_ahead();
                active.recording.check_leaks();
            }
            if sampled.elapsed() >= SAMPLE {
                sampled = Instant::now();
                self.active.iter_mut().for_each(|active| active.recording.sample(resident(active.pid)));
            }
            if flushed.elapsed() >= FLUSH {
                flushed = Instant::now();
                self.folder.empty_waste();
                for active in &mut self.active {
                    // It fails for good, and `check` tells.
                    let _ = active.recording.flush();
                }
            }
            for active in &self.active {
                active
                    .recording
                    .check()
                    .map_err(|error| RecordError::Write { path: active.path.clone(), error })?;
            }
            let is_time = looked.elapsed() >= LOOK;
            if self.status.is_none() {
                self.status = self.child.try_wait().ok().flatten();
            }
            if self.status.is_some() || is_time {
                looked = Instant::now();
                self.finish_ended(watch)?;
                watch(self.progress(false));
            }
            let is_over = self.options.duration.is_some_and(|duration| self.start.elapsed() >= duration);
            let wish = wish();
            if wish == Wish::EndProgram && !self.is_told {
                self.is_told = true;
                self.end_program();
            }
            if is_over || wish == Wish::Stop {
                let reason = if is_over { EndReason::Duration } else { EndReason::Stopped };
                return self.stop(reason, watch);
            }
            if self.status.is_some() && self.active.is_empty() {
                // It may have begun and ended since the last look.
                self.adopt()?;
                if !self.active.is_empty() {
                    continue;
                }
                return Ok(self.into_recordings());
            }
            pace.wait(events, self.status.is_some());
        }
    }

    /// Takes in a process that has begun to record, and makes the next ring if children are followed.
    fn adopt(&mut self) -> Result<(), RecordError> {
        use twinheap_wire::status;
        let is_ready =
            |ring: &Ring| ring.is_claimed() && ring.header().status.load(Ordering::Acquire) != status::NEW;
        if !self.spare.as_ref().is_some_and(is_ready) {
            return Ok(());
        }
        let Some(ring) = self.spare.take() else { return Ok(()) };
        let ring_number = self.rings - 1;
        let next = self.folder.ring(self.rings);
        self.rings += 1;
        self.spare = Some(
            Ring::create(&next, self.settings)
                .map_err(|error| RecordError::Ring { folder: self.folder.path().to_owned(), error })?,
        );
        let pid = ring.header().pid.load(Ordering::Relaxed);
        let is_child = pid != self.child.id();
        let path = file_name(&self.options.output, pid, &hostname(), is_child);
        self.set_aside(pid, &path)?;
        let failed = |error| RecordError::Write { path: path.clone(), error };
        let (mut part, handle) = PartFile::create(&path).map_err(failed)?;
        // Whatever happens, what was recorded until then can be read.
        part.keep_part(true);
        let file = handle.try_clone().map_err(failed)?;
        let clock = Clock::new(ring.header());
        let meta = self.meta(pid, &clock);
        let writer = Writer::new(file, &meta, self.options.level).map_err(failed)?;
        let lifetime = self.options.min_lifetime.map(|lifetime| lifetime.as_nanos() as u64);
        let jit = if self.options.js_names { JitCode::of_process(pid) } else { JitCode::default() };
        let recording = Recording::new(ring, clock, Output::new(writer, lifetime), jit, pid);
        self.active.push(Active { pid, path, part, handle, recording, is_child, ring_number });
        Ok(())
    }

    /// Makes room for the recording of what a process became by `exec`: the recording of what it was before gets a name
    /// of its own, since the name that was asked for is for what it is now.
    fn set_aside(&mut self, pid: u32, path: &Path) -> Result<(), RecordError> {
        if let Some(at) = self.active.iter().position(|active| active.pid == pid) {
            let active = self.active.swap_remove(at);
            self.finish(active, EndReason::Exec, None)?;
        }
        let before = self.done.iter_mut().find(|recorded| recorded.pid == pid && recorded.path == path);
        let aside = (1..).map(|number| before_exec(path, number)).find(|aside| !aside.exists());
        if let (Some(before), Some(aside)) = (before, aside) {
            fs::rename(path, &aside).map_err(|error| RecordError::Write { path: aside.clone(), error })?;
            before.path = aside;
        }
        Ok(())
    }

    fn meta(&self, pid: u32, clock: &Clock) -> Meta {
        let cmdline = read_start(&format!("/proc/{pid}/cmdline"), 64 << 10);
        let argv = cmdline.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let mut argv: Vec<String> = argv.collect();
        argv.pop();
        if argv.is_empty() && pid == self.child.id() {
            // It ended before we could look.
            argv = self.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        }
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let info = rustix::system::sysinfo();
        let page_size = rustix::param::page_size() as u64;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Meta {
            recorder: format!("twinheap {}", env!("CARGO_PKG_VERSION")),
            argv,
            exe: exe.to_string_lossy().into_owned(),
            pid,
            ppid: if pid == self.child.id() { std::process::id() } else { 0 },
            hostname: hostname(),
            start_unix_ms: since.as_millis() as u64,
            page_size,
            physical_pages: info.totalram.saturating_mul(u64::from(info.mem_unit)) / page_size,
            clock: clock.name().to_owned(),
            sample_bytes: self.options.sample,
            min_lifetime_ns: self.options.min_lifetime.map(|lifetime| lifetime.as_nanos() as u64),
            policy: if self.options.drop { Policy::Drop } else { Policy::Block },
            ..Meta::default()
        }
    }

    /// Finishes the recordings of processes that are gone.
    fn finish_ended(&mut self, watch: &mut dyn FnMut(RecordProgress)) -> Result<(), RecordError> {
        let mut at = 0;
        while at < self.active.len() {
            let active = &self.active[at];
            let has_ended = match active.pid == self.child.id() {
                true => self.status.is_some(),
                false => !is_running(active.pid),
            };
            if !has_ended {
                at += 1;
                continue;
            }
            watch(self.progress(true));
            let active = self.active.swap_remove(at);
            let status = self.status.filter(|_| active.pid == self.child.id());
            let reason = match status {
                Some(status) if status.signal().is_some() => EndReason::Killed,
                _ => EndReason::Exited,
            };
            self.finish(active, reason, status)?;
        }
        Ok(())
    }

    /// Ends all recordings; processes run on.
    fn stop(
        mut self,
        reason: EndReason,
        watch: &mut dyn FnMut(RecordProgress),
    ) -> Result<Recordings, RecordError> {
        watch(self.progress(true));
        for active in &self.active {
            active.recording.ring.header().stop.store(1, Ordering::Relaxed);
        }
        while let Some(active) = self.active.pop() {
            self.finish(active, reason, None)?;
        }
        Ok(self.into_recordings())
    }

    /// Hands SIGTERM on.
    fn end_program(&self) {
        let is_there = self.status.is_none();
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).filter(|_| is_there) {
            // A program that may not be signalled, as one that is setuid, goes on.
            let _: rustix::io::Result<()> = kill_process(pid, Signal::TERM);
        }
    }

    fn into_recordings(self) -> Recordings {
        let bystanders = self.spare.map_or(0, |ring| ring.header().bystanders.load(Ordering::Relaxed));
        Recordings { all: self.done, bystanders: bystanders + self.bystanders }
    }

    fn finish(
        &mut self,
        mut active: Active,
        reason: EndReason,
        status: Option<ExitStatus>,
    ) -> Result<(), RecordError> {
        while active.recording.drain(true) > 0 {}
        active.recording.sample(None);
        let path = active.path;
        let failed = |error| RecordError::Write { path: path.clone(), error };
        let Finished { mut writer, places, jit, live, lost, unmatched, ring, allocations } =
            active.recording.finish();
        let header = ring.header();
        self.bystanders += header.bystanders.load(Ordering::Relaxed);
        match header.trouble.load(Ordering::Relaxed) {
            0 => {}
            what if allocations == 0 => {
                active.part.keep_part(false);
                let reason = trouble_text(what);
                return Err(RecordError::NotRecorded { program: path.display().to_string(), reason });
            }
            _ => {}
        }
        let options = SymbolOptions {
            sysroot: self.options.sysroot.clone(),
            debug_paths: self.options.debug_paths.clone(),
            debuginfod_cache: debuginfod_cache(),
        };
        let files = DebugFiles::with_servers();
        let (named, mut problems) = write_symbols(&places, &jit, &files, options, &mut writer);
        let (fetched, failures) = files.fetched();
        problems.splice(0..0, failures);
        writer.live(live);
        let lost = lost.or_else(|| {
            let was_wanted = self.options.leak_check;
            was_wanted.then(|| Err("it did not end by exit or by the end of main".to_owned()))
        });
        let leak_check_failed = match lost {
            Some(Ok(lost)) => {
                writer.lost(lost);
                None
            }
            Some(Err(reason)) => Some(reason),
            None => None,
        };
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let losses = Losses {
            dropped_allocations: count(&header.lost_allocations),
            dropped_bytes: count(&header.lost_bytes),
            dropped_frees: count(&header.lost_frees),
            waits: count(&header.waits),
            waited_ns: count(&header.waited),
            // Where blocks are sampled, all that tells a free from one that matters is the filter, which may be wrong.
            unmatched_frees: if self.options.sample.is_some() { 0 } else { unmatched },
            ..Losses::default()
        };
        let end = End {
            reason,
            exit_status: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            losses,
            leak_check_failed: leak_check_failed.clone(),
            ..End::default()
        };
        let mut file = writer.finish(&end).map_err(failed)?;
        file.flush().map_err(failed)?;
        let bytes = file.metadata().map_or(0, |about| about.len());
        active.part.finish(&active.handle).map_err(failed)?;
        if let Some(map) = jit.path() {
            // V8 made it for us; nobody else asked for it.
            let _ = fs::remove_file(map);
        }
        ring.retire(reason == EndReason::Exited || reason == EndReason::Killed);
        // The lock on the first ring says that we live, also when its process has become another program: without it
        // the next twinheap would take our folder for one that was left behind.
        if active.ring_number == 0 {
            self.first_ring = Some(ring);
        }
        let recorded = Recorded {
            pid: active.pid,
            path,
            bytes,
            allocations,
            losses,
            leak_check_failed,
            named,
            fetched,
            problems,
            status,
        };
        // The program itself comes first.
        let at = if active.is_child { self.done.len() } else { 0 };
        self.done.insert(at, recorded);
        Ok(())
    }

    fn progress(&self, is_naming: bool) -> RecordProgress {
        let mut progress = RecordProgress {
            processes: self.active.len() + self.done.len(),
            elapsed: self.start.elapsed(),
            is_naming,
            ..RecordProgress::default()
        };
        for active in &self.active {
            let (live, allocations) = active.recording.totals();
            progress.live_bytes += live;
            progress.allocations += allocations;
        }
        progress
    }
}

fn before_exec(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".before-exec-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Whether the user wants a log of V8's: `--prof`, `--log-gc` and the like.
fn asks_for_log(command: &[OsString]) -> bool {
    let options = std::env::var_os("NODE_OPTIONS").unwrap_or_default();
    let words = command.iter().map(|word| word.to_string_lossy().into_owned());
    let asks = |word: &str| ["--prof", "--log", "--trace-"].iter().any(|start| word.starts_with(start));
    words.chain(options.to_string_lossy().split(' ').map(str::to_owned)).any(|word| asks(&word))
}

fn trouble_text(what: u32) -> &'static str {
    match what {
        trouble::NO_WIPE_ON_FORK => "the kernel is older than 4.14",
        trouble::NO_MEMORY => "there was no memory for the recorder in it",
        _ => "it has no malloc that twinheap knows",
    }
}

/// Whether a ring's file may be as large as it is. The kernel would end us otherwise, by a signal that nobody expects.
fn check_file_limit() -> Result<(), RecordError> {
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

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Resident memory in bytes.
fn resident(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Whether a process is there and no zombie.
fn is_running(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn we_ourselves_run_in_some_memory() {
        assert!(is_running(std::process::id()));
        assert!(!is_running(u32::MAX));
        assert!(resident(std::process::id()) > Some(1 << 20));
        assert_eq!(resident(u32::MAX), None);
    }

    #[test]
    fn io_errors_name_the_file() {
        let error = RecordError::Write { path: "x".into(), error: io::Error::from_raw_os_error(28) };
        assert!(error.to_string().contains("`x`"), "{error}");
    }
}
