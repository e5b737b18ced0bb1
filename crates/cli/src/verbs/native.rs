//! What the verbs for native traces have in common: reading, suppressions, the stretch of time, the filter.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use twinheap_jsheap::Work;
use twinheap_native::{Costs, FrameView, Measure, NativeHeap, Suppressions};
use twinheap_report::{NativeSource, ThreadName};
use twinheap_trace::{InfoIdx, Thread, ThreadNo, Trace};

use crate::args::Global;
use crate::args::native::SelectArgs;
use crate::failure::Failure;
use crate::load::{Notes, load_native, load_native_with_lifetimes};
use crate::progress::Progress;

/// A suppression file beyond this is none.
const MAX_RULES: u64 = 64 << 20;

/// What the user wants to know of a native trace. Checked, so that nothing is read in vain.
pub(crate) struct Query<'a> {
    args: &'a SelectArgs,
    ms: Option<Range<u64>>,
    rules: Suppressions,
}

/// A recording with its costs.
pub(crate) struct Recording {
    pub(crate) heap: NativeHeap,
    pub(crate) costs: Costs,
    pub(crate) notes: Notes,
    /// Leaks that don't count.
    pub(crate) rules: Suppressions,
}

impl<'a> Query<'a> {
    /// # Errors
    /// When a suppression file can't be read, or there is nothing between the times.
    pub(crate) fn new(args: &'a SelectArgs) -> anyhow::Result<Self> {
        let ms = args.ms();
        if let Some(ms) = ms.as_ref().filter(|ms| ms.start >= ms.end) {
            let seconds = |ms: u64| ms as f64 / 1e3;
            let what =
                format!("nothing is between --from {} s and --to {} s", seconds(ms.start), seconds(ms.end));
            return Err(Failure::new(what).hint("--from has to be less than --to").into());
        }
        let mut rules =
            if args.no_builtin_suppressions { Suppressions::none() } else { Suppressions::built_in() };
        for path in &args.suppressions {
            rules = rules.file(&read_rules(path)?);
        }
        Ok(Query { args, ms, rules })
    }

    /// Reads a native trace and counts.
    ///
    /// # Errors
    /// When the file can't be read, or is something else.
    pub(crate) fn open(
        &self,
        path: &Path,
        global: &Global,
        progress: &Progress,
    ) -> anyhow::Result<Recording> {
        let (trace, notes) = load_native(path, global, progress)?;
        Ok(self.count(trace, notes, progress))
    }

    /// As [`Query::open`], for who wants to know how long blocks lived.
    ///
    /// # Errors
    /// When the file can't be read, or is something else.
    pub(crate) fn open_with_lifetimes(
        &self,
        path: &Path,
        global: &Global,
        progress: &Progress,
    ) -> anyhow::Result<Recording> {
        let (trace, notes) = load_native_with_lifetimes(path, global, progress)?;
        Ok(self.count(trace, notes, progress))
    }

    /// Counts what a recording costs.
    pub(crate) fn count(&self, trace: Trace, mut notes: Notes, progress: &Progress) -> Recording {
        let (events, size) = (trace.events.len(), trace.events.size());
        let heap = progress.pass("stacks", work(0, size), || NativeHeap::new(trace));
        let mut rules = self.rules.clone();
        for line in std::mem::take(&mut rules.invalid) {
            let line = String::from_utf8_lossy(&line);
            notes.warnings.push(format!("the line `{line}` of a suppression file is no suppression"));
        }
        if !self.args.no_embedded_suppressions {
            rules = rules.embedded(&heap.trace, false);
        }
        for line in &rules.invalid {
            let line = String::from_utf8_lossy(line);
            notes.warnings.push(format!("the program's own suppression `{line}` is none and was left out"));
        }
        // The events are gone through twice: to the peak, and for the costs.
        let mut costs =
            progress.pass("costs", work(events, 2 * size), || heap.costs(self.ms.as_ref(), &rules));
        let runtime = costs.total.runtime_ms;
        if self.ms.as_ref().is_some_and(|ms| ms.start >= runtime) {
            let seconds = runtime as f64 / 1e3;
            notes.warnings.push(format!("the recording ended before --from: it lasted {seconds:.2} s"));
        }
        if let Some(part) = self.function() {
            heap.keep_function(&mut costs, part.as_bytes());
        }
        Recording { heap, costs, notes, rules }
    }

    /// What a report has to know.
    pub(crate) fn source<'b>(&'b self, recording: &'b Recording) -> NativeSource<'b> {
        NativeSource {
            heap: &recording.heap,
            costs: &recording.costs,
            file: &recording.notes.file,
            warnings: &recording.notes.warnings,
            ms: self.ms.as_ref(),
            function: self.function(),
            full_names: self.has_full_names(),
        }
    }

    /// What a recording costs from its beginning until a moment, in milliseconds since then.
    pub(crate) fn costs_until(&self, recording: &Recording, ms: u64) -> Costs {
        let mut rules = self.rules.clone();
        if !self.args.no_embedded_suppressions {
            rules = rules.embedded(&recording.heap.trace, false);
        }
        let mut costs = recording.heap.costs(Some(&(0..ms)), &rules);
        if let Some(part) = self.function() {
            recording.heap.keep_function(&mut costs, part.as_bytes());
        }
        costs
    }

    /// Whether functions keep their parameters and template arguments.
    pub(crate) fn has_full_names(&self) -> bool {
        self.args.shorten_templates == Some(false)
    }

    /// The stretch of time in milliseconds, if not all of it.
    pub(crate) fn ms(&self) -> Option<&Range<u64>> {
        self.ms.as_ref()
    }

    /// A part of a function's name that stacks have to pass through.
    pub(crate) fn function(&self) -> Option<&str> {
        self.args.filter_function.as_deref().filter(|part| !part.is_empty())
    }
}

/// What a sample does not tell is not answered with a number.
pub(crate) fn check_measure(by: Measure, heap: &NativeHeap, file: &str) -> Result<(), Failure> {
    if by != Measure::Temporary || heap.has_temporary() {
        return Ok(());
    }
    let what =
        format!("`{file}` is a sample, and does not tell which blocks were freed before the next call");
    Err(Failure::new(what).hint("choose another cost with --by, or record without --sample"))
}

/// Work of a pass over so many events and bytes.
pub(crate) fn work(events: u64, bytes: u64) -> Work {
    Work { nodes: events, edges: 0, bytes }
}

fn read_rules(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_RULES).read_to_end(&mut text)) {
        Ok(_) => Ok(text),
        Err(error) => {
            let what = format!("can't read the suppressions `{}`: {error}", path.display());
            Err(Failure::new(what).hint("a suppression file has lines such as `leak:PATTERN`"))
        }
    }
}

/// Who was at work when, and what the threads are called.
pub(crate) struct Threads {
    /// Positions of events from which on a thread, by its number, is at work.
    pub(crate) runs: Vec<(u64, u32)>,
    pub(crate) names: Vec<ThreadName>,
}

/// What a recording knows of threads. heaptrack's know nothing.
pub(crate) fn threads(trace: &Trace) -> Option<Threads> {
    let recording = trace.recording.as_ref()?;
    let name = |(number, thread): (&ThreadNo, &Thread)| ThreadName {
        thread: number.0,
        tid: thread.tid,
        name: thread.name.clone(),
    };
    Some(Threads {
        runs: recording.thread_runs.iter().map(|(event, thread)| (event, thread.0)).collect(),
        names: recording.threads.iter().map(name).collect(),
    })
}

/// Freed blocks by info and lifetime, as [`twinheap_native::lifetime_buckets`] wants them, if the recording knows.
/// heaptrack's don't say which of several blocks alike a free is of. [`Query::open_with_lifetimes`] has them counted.
pub(crate) fn lifetimes(trace: &Trace) -> Option<Vec<(InfoIdx, u8, u64)>> {
    let lifetimes = trace.recording.as_ref()?.lifetimes.as_ref()?;
    let rows = |info| lifetimes.of(info).map(move |(power, blocks)| (info, power, blocks));
    Some((0..trace.infos.len() as u32).map(InfoIdx).flat_map(rows).collect())
}

/// The npm package that an addon or a script belongs to. Node itself may come as a package; it owns nothing.
pub(crate) fn package_of(frame: &FrameView<'_>) -> Option<Vec<u8>> {
    let owner = |path| std::str::from_utf8(path).ok().and_then(twinheap_jsheap::leaks::package_of);
    let addon = if frame.module.ends_with(b"/node") { None } else { owner(frame.module) };
    addon.or_else(|| owner(frame.file)).map(String::into_bytes)
}
