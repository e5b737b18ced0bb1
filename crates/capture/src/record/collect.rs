//! The collector: from a command to its recordings.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use twinheap_symbols::Options as SymbolOptions;
use twinheap_symbols::v8::Layout;
use twinheap_trace::heaptrace::{EmbeddedAllocator, End, EndReason, Losses, Meta, Policy, Writer};
use twinheap_wire::plan::outcome;
use twinheap_wire::{policy, request, trouble};

use super::answer::{answer_plan, unhooked};
use super::clock::Clock;
use super::error::RecordError;
use super::file_name::{before_exec, file_name};
use super::jit::JitCode;
use super::js::{self, JsFrames};
use super::kernel::{check_file_limit, hostname, is_running, read_start, resident};
use super::known_files::KnownFiles;
use super::launch::{self, Folder};
use super::looks::Looks;
use super::names::write_symbols;
use super::options::{JsNames, RecordOptions, RecordProgress, Recorded, Recordings, Wish};
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
/// How long a program may take until it loads the recorder.
const LOADING: Duration = Duration::from_secs(2);
/// After so long nothing is left to settle of what a process has done.
const SETTLE: Duration = Duration::from_micros(300);
/// Between two looks whether processes of others still live, and between two calls of the observer.
const LOOK: Duration = Duration::from_millis(100);

/// Starts `command` and records it until it ends, until the time is over, or until `wish` says so. The program's own
/// recording comes first. `started` gets the process as soon as it runs, for the other ends of its pipes.
///
/// # Errors
/// If the program can't be started or was not recorded, or if a file can't be written. In the last case the program was
/// left to run by itself.
pub fn record(
    mut command: Command,
    options: &RecordOptions,
    started: &mut dyn FnMut(&mut Child),
    wish: &dyn Fn() -> Wish,
    watch: &mut dyn FnMut(RecordProgress),
) -> Result<Recordings, RecordError> {
    if !launch::is_supported() {
        return Err(RecordError::Unsupported);
    }
    let ring_error = |error| RecordError::Ring { folder: "/dev/shm".into(), error };
    check_file_limit()?;
    let folder = Folder::create().map_err(ring_error)?;
    let words: Vec<OsString> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsString::from).collect();
    let reads_frames = matches!(options.js_names, JsNames::Auto | JsNames::Frames);
    let layout = if reads_frames { js::layout_of_command(&words) } else { None };
    let asks_v8 = match options.js_names {
        JsNames::Auto => layout.is_none(),
        JsNames::Options => true,
        JsNames::Frames | JsNames::None => false,
    };
    let settings = Settings {
        policy: if options.drop { policy::DROP } else { policy::WAIT },
        follow: options.follow,
        names: asks_v8 && !asks_for_log(&words),
        frames: options.frames,
        sample: options.sample.unwrap_or(0),
        leak_check: options.leak_check,
        starts_small: false,
    };
    let in_folder = |error| RecordError::Ring { folder: folder.path().to_owned(), error };
    let spare = Ring::create(&folder.ring(0), settings, layout.as_ref()).map_err(in_folder)?;
    let preload = launch::write_preload(&folder).map_err(in_folder)?;
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = launch::start(&mut command, &preload, &folder, asks_v8)
        .map_err(|error| RecordError::Start { program: name.clone(), error })?;
    started(&mut child);
    let collector = Collector {
        options,
        words: &words,
        settings,
        layout,
        asks_v8,
        folder: &folder,
        spare: Some(spare),
        rings: 1,
        child,
        status: None,
        active: Vec::new(),
        done: Vec::new(),
        known: KnownFiles::new(options.follow),
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
    /// The command.
    words: &'a [OsString],
    settings: Settings,
    /// What is known of the program's V8.
    layout: Option<Layout>,
    /// V8 was asked for names.
    asks_v8: bool,
    folder: &'a Folder,
    /// A ring that waits for a process.
    spare: Option<Ring>,
    rings: u32,
    child: Child,
    status: Option<ExitStatus>,
    active: Vec<Active>,
    done: Vec<Recorded>,
    known: KnownFiles,
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
    looks: Looks,
    /// Where our own files are that the process maps.
    own_folder: String,
    /// Allocators inside of its modules.
    allocators: Vec<EmbeddedAllocator>,
    /// Those of the latest plan.
    planned: Range<usize>,
}

impl Active {
    /// Notes how much memory the process has, and what it is made of if that is due.
    fn sample(&mut self) {
        let rss = resident(self.pid);
        self.recording.sample(rss);
        if let Some(rss) = rss {
            self.looks.look_if_due(rss, || self.recording.look(rss, &self.own_folder));
        }
    }

    /// Looks at the process's memory, whether it is due or not.
    fn look(&mut self) {
        if let Some(rss) = resident(self.pid) {
            self.recording.look(rss, &self.own_folder);
        }
    }

    /// Answers what the process asks.
    fn answer(&mut self, known: &mut KnownFiles) {
        if self.recording.ring.plan().outcome.swap(outcome::NONE, Ordering::Acquire) == outcome::LEFT {
            for allocator in self.allocators.get_mut(self.planned.clone()).into_iter().flatten() {
                allocator.hooked.clear();
                allocator.reason.get_or_insert_with(|| {
                    "the process could not change the module's code in time".to_owned()
                });
            }
        }
        if self.recording.ring.asked() == request::LOOK {
            // What the process has done right before it asked.
            thread::sleep(SETTLE);
            self.recording.drain(false);
            self.look();
            self.recording.ring.answer(request::LOOK);
        } else if self.recording.ring.asked() == request::PLAN {
            let found = answer_plan(&self.recording.ring, self.pid, known);
            self.allocators.retain(|known| found.iter().all(|found| found.module != known.module));
            self.planned = self.allocators.len()..self.allocators.len() + found.len();
            self.allocators.extend(found);
            self.recording.ring.answer(request::PLAN);
        }
    }
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
            self.rings().for_each(Ring::listen);
            self.adopt()?;
            let mut events = 0;
            for active in &mut self.active {
                events += active.recording.drain(false);
                // Without more memory the process waits for what it has, or drops.
                let _ = active.recording.ring.keep_ahead();
                active.recording.check_leaks();
            }
            let is_calm = pace.looked(events);
            self.active.iter_mut().for_each(|active| active.recording.lease(!is_calm));
            if sampled.elapsed() >= SAMPLE {
                sampled = Instant::now();
                self.active.iter_mut().for_each(Active::sample);
            }
            self.active.iter_mut().for_each(|active| active.answer(&mut self.known));
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
            // A program that is still being loaded is waited for.
            let has_begun = !self.active.is_empty() || !self.done.is_empty();
            let is_over = self.options.duration.is_some_and(|duration| {
                self.start.elapsed() >= if has_begun { duration } else { duration + LOADING }
            });
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
            pace.wait(events, self.rings().map(Ring::bell));
        }
    }

    /// Rings whose processes are recorded, and the one that waits for the next.
    fn rings(&self) -> impl Iterator<Item = &Ring> {
        self.spare.iter().chain(self.active.iter().map(|active| &active.recording.ring))
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
        // For a child process, of which there may be many.
        self.settings.starts_small = self.settings.policy == policy::WAIT;
        self.spare = Some(
            Ring::create(&next, self.settings, self.layout.as_ref())
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
        let jit = if self.asks_v8 { JitCode::of_process(pid) } else { JitCode::default() };
        let js = match self.options.js_names {
            JsNames::Auto | JsNames::Frames => JsFrames::of_process(pid, self.layout.clone()),
            JsNames::Options | JsNames::None => JsFrames::nothing(),
        };
        let own_folder = self.folder.path().to_string_lossy().into_owned();
        let recording = Recording::new(ring, clock, Output::new(writer, lifetime), jit, js, pid);
        self.active.push(Active {
            pid,
            path,
            part,
            handle,
            recording,
            is_child,
            ring_number,
            looks: Looks::new(),
            own_folder,
            allocators: Vec::new(),
            planned: 0..0,
        });
        Ok(())
    }

    /// Makes room for the recording of what a process became by `exec`: the recording of what it was before gets a name
    /// of its own, since the name that was asked for is for what it is now.
    fn set_aside(&mut self, pid: u32, path: &Path) -> Result<(), RecordError> {
        if let Some(at) = self.active.iter().position(|active| active.pid == pid) {
            let active = self.active.swap_remove(at);
            self.finish(active, EndReason::Exec, None)?;
        }
        // A file of this name that an earlier recording left is replaced, as the one that was asked for is.
        let is_ours = |aside: &PathBuf| self.done.iter().any(|recorded| recorded.path == *aside);
        let aside = (1..).map(|number| before_exec(path, number)).find(|aside| !is_ours(aside));
        let before = self.done.iter_mut().find(|recorded| recorded.pid == pid && recorded.path == path);
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
            argv = self.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        }
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let info = rustix::system::sysinfo();
        let page_size = rustix::param::page_size() as u64;
        // It began when the process loaded the recorder, which may be a while ago.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = since.saturating_sub(Duration::from_nanos(clock.nanoseconds(clock.now())));
        Meta {
            recorder: format!("twinheap {}", env!("CARGO_PKG_VERSION")),
            argv,
            exe: exe.to_string_lossy().into_owned(),
            pid,
            ppid: if pid == self.child.id() { std::process::id() } else { 0 },
            hostname: hostname(),
            start_unix_ms: began.as_millis() as u64,
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
        while let Some(mut active) = self.active.pop() {
            active.recording.drain(false);
            active.look();
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
        active.answer(&mut self.known);
        active.recording.sample(None);
        let path = active.path;
        let failed = |error| RecordError::Write { path: path.clone(), error };
        let Finished { mut writer, places, jit, js, live, lost, unmatched, ring, allocations } =
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
        let known = &mut self.known;
        let (named, mut problems) = write_symbols(&places, &jit, &js, &files, options, known, &mut writer);
        let (fetched, failures) = files.fetched();
        problems.splice(0..0, failures);
        writer.live(live);
        let not_by_exit = || Err("it did not end by exit or by the end of main".to_owned());
        let lost = lost.or_else(|| self.options.leak_check.then(not_by_exit));
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
        let mut allocators = active.allocators;
        let hooked: Vec<u64> = ring.plan().known.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        allocators.extend(unhooked(&places.modules, &allocators, &hooked, &mut self.known));
        let end = End {
            reason,
            allocators: allocators.clone(),
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
            allocators,
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn io_errors_name_the_file() {
        let error = RecordError::Write { path: "x".into(), error: io::Error::from_raw_os_error(28) };
        assert!(error.to_string().contains("`x`"), "{error}");
    }
}
