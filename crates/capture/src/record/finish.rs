//! Puts recordings away whose processes are gone: what is left in the ring, the names of their places, the end of the
//! file, the disk.
//!
//! That may take seconds, where an executable is large or the disk busy. So a thread of its own does it, one recording
//! after the other: meanwhile other processes need somebody who reads what they record, and takes their children in.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use twinheap_symbols::Options as SymbolOptions;
use twinheap_trace::heaptrace::{End, EndReason, Losses};
use twinheap_wire::trouble;

use super::active::Active;
use super::answer::unhooked;
use super::error::RecordError;
use super::known_files::KnownFiles;
use super::names::write_symbols;
use super::options::{RecordOptions, Recorded};
use super::process::Finished;
use super::ring::Ring;
use crate::debug_files::{DebugFiles, debuginfod_cache};

/// Recordings that should wait at most: each has its files open and its memory. Others are as well off where they are.
const MANY: usize = 16;
/// With so many, whoever brings another one waits.
const MOST: usize = 64;

/// A recording that is over.
pub(super) struct Over {
    pub(super) active: Active,
    pub(super) reason: EndReason,
    /// How the process ended, if it was our child and did.
    pub(super) status: Option<ExitStatus>,
}

/// A recording whose file is whole.
pub(super) struct Done {
    /// `None` of a child process in which nothing could be recorded.
    pub(super) recorded: Option<Recorded>,
    pub(super) is_child: bool,
    pub(super) reason: EndReason,
    pub(super) ring: Ring,
    pub(super) ring_number: u32,
}

type Outcome = Result<Done, RecordError>;

/// Where recordings go that are over, and come from as files, in the same order.
pub(super) struct Finisher {
    /// Recordings that did not come back yet.
    pub(super) waiting: usize,
    options: RecordOptions,
    way: Option<Way>,
    /// Results of a worker without a thread.
    ready: VecDeque<Outcome>,
}

/// Who does it.
enum Way {
    Thread {
        jobs: SyncSender<Over>,
        results: Receiver<Outcome>,
    },
    /// There may be no more threads.
    Here(Worker),
}

impl Finisher {
    pub(super) fn new(options: &RecordOptions) -> Finisher {
        Finisher { waiting: 0, options: options.clone(), way: None, ready: VecDeque::new() }
    }

    /// Whether a recording that can wait elsewhere should.
    pub(super) fn is_busy(&self) -> bool {
        self.waiting >= MANY
    }

    /// Takes a recording that is over.
    pub(super) fn put(&mut self, over: Over) {
        self.waiting += 1;
        match self.way.get_or_insert_with(|| Way::new(&self.options)) {
            Way::Thread { jobs, .. } => {
                // It ends before us only if it panics, and then `wait` tells.
                let _ = jobs.send(over);
            }
            Way::Here(worker) => self.ready.push_back(worker.finish(over)),
        }
    }

    /// The next one that is done, if it is.
    pub(super) fn poll(&mut self) -> Option<Outcome> {
        let outcome = match &self.way {
            Some(Way::Thread { results, .. }) => results.try_recv().ok(),
            _ => self.ready.pop_front(),
        }?;
        self.waiting -= 1;
        Some(outcome)
    }

    /// The next one, for which is waited; `None` if there is none.
    pub(super) fn wait(&mut self) -> Option<Outcome> {
        if self.waiting == 0 {
            return None;
        }
        let outcome = match &self.way {
            Some(Way::Thread { results, .. }) => results.recv().expect("the thread ends behind us"),
            _ => self.ready.pop_front()?,
        };
        self.waiting -= 1;
        Some(outcome)
    }
}

impl Way {
    fn new(options: &RecordOptions) -> Way {
        let (jobs, todo) = sync_channel::<Over>(MOST);
        let (done, results) = channel();
        let its_options = options.clone();
        let work = move || {
            let mut worker = Worker::new(its_options);
            // Nobody wants the rest if the receiver is gone.
            while let Ok(over) = todo.recv()
                && done.send(worker.finish(over)).is_ok()
            {}
        };
        match thread::Builder::new().name("finisher".to_owned()).spawn(work) {
            Ok(_) => Way::Thread { jobs, results },
            Err(_) => Way::Here(Worker::new(options.clone())),
        }
    }
}

struct Worker {
    options: RecordOptions,
    known: KnownFiles,
}

impl Worker {
    fn new(options: RecordOptions) -> Worker {
        let known = KnownFiles::new(options.follow);
        Worker { options, known }
    }

    fn finish(&mut self, Over { mut active, reason, status }: Over) -> Outcome {
        while active.recording.drain(true) > 0 {}
        active.recording.sample(None);
        let Active { path, is_child, ring_number, .. } = active;
        let failed = |error| RecordError::Write { path: path.clone(), error };
        let Finished { mut writer, places, jit, js, live, lost, unmatched, ring, allocations } =
            active.recording.finish();
        let header = ring.header();
        match header.trouble.load(Ordering::Relaxed) {
            0 => {}
            what if allocations == 0 => {
                active.part.keep_part(false);
                if is_child {
                    return Ok(Done { recorded: None, is_child, reason, ring, ring_number });
                }
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
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
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
        let hooked: Vec<u64> = ring.plan().known.iter().map(count).collect();
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
        ring.retire(reason == EndReason::Exited || reason == EndReason::Killed);
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
        Ok(Done { recorded: Some(recorded), is_child, reason, ring, ring_number })
    }
}

fn trouble_text(what: u32) -> &'static str {
    match what {
        trouble::NO_WIPE_ON_FORK => "the kernel is older than 4.14",
        trouble::NO_MEMORY => "there was no memory for the recorder in it",
        _ => "it has no malloc that twinheap knows",
    }
}
