//! The collector: from a command to its recordings.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustc_hash::FxHashSet;
use rustix::process::{Pid, Signal, kill_process};
use twinheap_symbols::v8::Layout;
use twinheap_trace::heaptrace::{EndReason, Meta, Policy, Writer};
use twinheap_wire::policy;

use super::active::Active;
use super::clock::Clock;
use super::error::RecordError;
use super::file_name::{before_exec, file_name};
use super::finish::{Done, Finisher, Over};
use super::jit::JitCode;
use super::js::{self, JsFrames};
use super::kernel::{check_file_limit, hostname, is_running, read_start};
use super::launch::{self, Folder};
use super::looks::Looks;
use super::options::{JsNames, RecordOptions, RecordProgress, Recorded, Recordings, Wish};
use super::output::Output;
use super::pace::Pace;
use super::plain_files::PlainFiles;
use super::process::Recording;
use super::ring::{Lobby, Ring, Settings};
use crate::part_file::PartFile;

/// Between two looks at the process's memory.
const SAMPLE: Duration = Duration::from_millis(20);
/// After so long everything that was read is in the file, whatever happens to us.
const FLUSH: Duration = Duration::from_secs(2);
/// How long a program may take until it loads the recorder.
const LOADING: Duration = Duration::from_secs(2);
/// With more recordings than these, those that are over don't wait here for being finished.
const MOST_ACTIVE: usize = 128;
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
    let lobby = spare.lobby().map_err(in_folder)?;
    lobby.announce(1);
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
        taken: FxHashSet::default(),
        finisher: Finisher::new(options),
        plain: PlainFiles::default(),
        lobby,
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
    /// Paths of recordings that are over.
    taken: FxHashSet<PathBuf>,
    finisher: Finisher,
    plain: PlainFiles,
    lobby: Lobby,
    /// The lock on the first ring says that we live, also when its process has become another program: without it the
    /// next twinheap would take our folder for one that was left behind.
    first_ring: Option<Ring>,
    /// The program was told to end.
    is_told: bool,
    start: Instant,
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
            while let Some(done) = self.finisher.poll() {
                self.take(done?);
            }
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
            self.active.iter_mut().for_each(|active| active.answer(&mut self.plain));
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
                self.finish_ended();
                watch(self.progress(false));
            }
            // A program that is still being loaded is waited for.
            let has_begun = self.processes() > 0;
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
            if self.status.is_some() && self.active.is_empty() && self.close() {
                return self.into_recordings(watch);
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
        // For a child process, of which there may be many.
        self.settings.starts_small = self.settings.policy == policy::WAIT;
        self.spare = Some(
            Ring::create(&next, self.settings, self.layout.as_ref())
                .map_err(|error| RecordError::Ring { folder: self.folder.path().to_owned(), error })?,
        );
        self.rings += 1;
        self.lobby.announce(self.rings);
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
    /// of its own, since the name that was asked for is for what it is now. A file of this name that an earlier twinheap
    /// left is replaced, as the one that was asked for is.
    fn set_aside(&mut self, pid: u32, path: &Path) -> Result<(), RecordError> {
        let aside = || {
            let names = (1..).map(|number| before_exec(path, number));
            names.into_iter().find(|aside| !self.taken.contains(aside)).unwrap_or_default()
        };
        if let Some(at) = self.active.iter().position(|active| active.pid == pid) {
            let aside = aside();
            let mut active = self.active.swap_remove(at);
            let renamed = active.part.rename(aside.file_name().unwrap_or_default());
            let failed = |error| RecordError::Write { path: aside.clone(), error };
            let renamed = renamed.map_err(failed)?;
            active.path = match renamed {
                // As the user calls the folder, unless the name was a link into another one.
                Some(renamed) if folder_of(&renamed) == folder_of(&aside) => aside,
                Some(renamed) => renamed,
                None => active.path,
            };
            self.put_away(active, EndReason::Exec, None);
        } else if self.taken.contains(path) && path.is_file() {
            // Numbers of processes come again.
            let aside = aside();
            while let Some(done) = self.finisher.wait() {
                self.take(done?);
            }
            fs::rename(path, &aside).map_err(|error| RecordError::Write { path: aside.clone(), error })?;
            if let Some(before) = self.done.iter_mut().find(|recorded| recorded.path == *path) {
                before.path.clone_from(&aside);
            }
            self.taken.insert(aside);
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

    /// Puts the recordings of processes away that are gone.
    fn finish_ended(&mut self) {
        let mut at = 0;
        // On a slow disk some wait, so that nobody waits for us; but each has its ring in memory.
        let may_wait = self.active.len() <= MOST_ACTIVE;
        while at < self.active.len() && !(may_wait && self.finisher.is_busy()) {
            let active = &self.active[at];
            let has_ended = match active.pid == self.child.id() {
                true => self.status.is_some(),
                false => !is_running(active.pid),
            };
            if !has_ended {
                at += 1;
                continue;
            }
            let active = self.active.swap_remove(at);
            let status = self.status.filter(|_| active.pid == self.child.id());
            let reason = match status {
                Some(status) if status.signal().is_some() => EndReason::Killed,
                _ => EndReason::Exited,
            };
            self.put_away(active, reason, status);
        }
    }

    /// Ends all recordings; processes run on.
    fn stop(
        mut self,
        reason: EndReason,
        watch: &mut dyn FnMut(RecordProgress),
    ) -> Result<Recordings, RecordError> {
        // One that is on its way finds nobody any more.
        self.close();
        self.lobby.close();
        for active in &self.active {
            active.recording.ring.header().stop.store(1, Ordering::Relaxed);
        }
        while let Some(mut active) = self.active.pop() {
            active.recording.drain(false);
            active.look();
            self.put_away(active, reason, None);
        }
        self.into_recordings(watch)
    }

    /// Has a recording finished that is over.
    fn put_away(&mut self, mut active: Active, reason: EndReason, status: Option<ExitStatus>) {
        // What it does next is no part of this recording.
        active.answer(&mut self.plain);
        active.recording.close_jit();
        self.taken.insert(active.path.clone());
        self.finisher.put(Over { active, reason, status });
    }

    /// Takes a recording that is finished.
    fn take(&mut self, done: Done) {
        let Done { recorded, is_child, reason, ring, ring_number } = done;
        let is_gone = matches!(reason, EndReason::Exited | EndReason::Killed | EndReason::Exec);
        if ring_number == 0 {
            self.first_ring = Some(ring);
        } else if self.options.follow && is_gone {
            // Nobody looks for it any more: processes begin with the newest one.
            let _: std::io::Result<()> = fs::remove_file(self.folder.ring(ring_number));
        }
        if let Some(recorded) = recorded {
            // The program itself comes first.
            self.done.insert(if is_child { self.done.len() } else { 0 }, recorded);
        }
    }

    /// Takes no more processes in; false if one is on its way.
    fn close(&mut self) -> bool {
        let is_closed = self.spare.as_ref().is_none_or(|ring| ring.close(is_running));
        if is_closed {
            self.lobby.close();
            self.spare = None;
        }
        is_closed
    }

    /// Hands SIGTERM on.
    fn end_program(&self) {
        let is_there = self.status.is_none();
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).filter(|_| is_there) {
            // A program that may not be signalled, as one that is setuid, goes on.
            let _: rustix::io::Result<()> = kill_process(pid, Signal::TERM);
        }
    }

    fn into_recordings(mut self, watch: &mut dyn FnMut(RecordProgress)) -> Result<Recordings, RecordError> {
        watch(self.progress(true));
        while let Some(done) = self.finisher.wait() {
            self.take(done?);
        }
        Ok(Recordings { all: self.done, bystanders: self.lobby.bystanders(), missed: self.lobby.missed() })
    }

    /// Processes that are or were recorded.
    fn processes(&self) -> usize {
        self.active.len() + self.finisher.waiting + self.done.len()
    }

    fn progress(&self, is_naming: bool) -> RecordProgress {
        let mut progress = RecordProgress {
            processes: self.processes(),
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

/// The folder of a file that is there, or could be.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()
}

/// Whether the user wants a log of V8's: `--prof`, `--log-gc` and the like.
fn asks_for_log(command: &[OsString]) -> bool {
    let options = std::env::var_os("NODE_OPTIONS").unwrap_or_default();
    let words = command.iter().map(|word| word.to_string_lossy().into_owned());
    let asks = |word: &str| ["--prof", "--log", "--trace-"].iter().any(|start| word.starts_with(start));
    words.chain(options.to_string_lossy().split(' ').map(str::to_owned)).any(|word| asks(&word))
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
