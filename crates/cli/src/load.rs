//! From a path to an analysed heap.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinheap_jsheap::{Heap, Resources};
use twinheap_snapshot::{
    Damage, FileKind, NodeIdx, Options, ParseError, Parser, SamplingProfile, Section, Snapshot,
    parse_sampling_profile, sniff,
};
use twinheap_trace::{
    Profile, ProfileFormat, Trace, heaptrace, is_heaptrace, is_heaptrack, read_profile, sniff_profile,
};

use crate::args::Global;
use crate::failure::{DAMAGED, Failure};
use crate::input::{Input, STDIN_NAME};
use crate::output::Output;
use crate::progress::Progress;
use crate::source_maps::SourceMaps;

/// What a file turned out to be.
pub(crate) enum Loaded {
    Heap(Box<LoadedHeap>),
    Sampling(SamplingProfile, Notes),
    Native(Box<Trace>, Notes),
    Profile(Box<Profile>, Notes),
}

/// An analysed snapshot.
pub(crate) struct LoadedHeap {
    pub(crate) heap: Heap,
    pub(crate) notes: Notes,
}

/// What there is to say about a file besides the answer.
pub(crate) struct Notes {
    /// The file's name.
    pub(crate) file: String,
    /// Sentences for people and for the `warnings` of JSON.
    pub(crate) warnings: Vec<String>,
    /// True if the file is damaged, so that the answer is partial.
    pub(crate) is_damaged: bool,
}

impl Notes {
    fn new<D: std::fmt::Display>(file: String, damage: &[D]) -> Self {
        let warnings = damage.iter().map(|d| format!("damaged file: {d}; the result is partial")).collect();
        Notes { file, warnings, is_damaged: !damage.is_empty() }
    }

    /// Prints the warnings; the exit code that they ask for.
    pub(crate) fn conclude(&self, output: &Output) -> u8 {
        for warning in &self.warnings {
            output.warning(&format!("{}: {warning}", self.file));
        }
        if self.is_damaged { DAMAGED } else { 0 }
    }
}

/// Runs two tasks on two threads; one after the other if there may be no more threads.
pub(crate) fn threaded(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    let is_beside = std::thread::scope(|scope| {
        let beside = std::thread::Builder::new().spawn_scoped(scope, &mut *b);
        a();
        beside.is_ok()
    });
    if !is_beside {
        b();
    }
}

/// Whether to use a second thread.
pub(crate) fn two_threads(global: &Global) -> bool {
    match global.threads {
        Some(threads) => threads > 1,
        None => std::thread::available_parallelism().is_ok_and(|n| n.get() > 1),
    }
}

/// The resources that the user allows.
pub(crate) fn resources<'a>(global: &Global, progress: &'a Progress) -> Resources<'a> {
    if two_threads(global) {
        Resources { join: &threaded, watch: progress }
    } else {
        Resources { join: &twinheap_snapshot::sequential, watch: progress }
    }
}

/// Reads and analyses a snapshot.
///
/// # Errors
/// When the file can't be read, or is something else.
pub(crate) fn load(path: &Path, global: &Global, progress: &Progress) -> anyhow::Result<LoadedHeap> {
    Ok(load_any(path, global, progress)?.snapshot()?)
}

impl Loaded {
    /// The snapshot.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn snapshot(self) -> Result<LoadedHeap, Failure> {
        match self {
            Loaded::Heap(loaded) => Ok(*loaded),
            Loaded::Sampling(_, notes) => Err(not_a_snapshot(&notes, A_PROFILE)),
            Loaded::Native(_, notes) => Err(not_a_snapshot(&notes, A_TRACE)),
            Loaded::Profile(_, notes) => Err(not_a_snapshot(&notes, A_HEAP_PROFILE)),
        }
    }
}

/// Reads and analyses whatever of V8's files it is.
///
/// # Errors
/// When the file can't be read, or is none of V8's.
pub(crate) fn load_any(path: &Path, global: &Global, progress: &Progress) -> anyhow::Result<Loaded> {
    Ok(match parse_any(path, global, progress)? {
        Parsed::Snapshot(snapshot, notes) => {
            let mut heap = Heap::new(*snapshot, resources(global, progress));
            heap.set_sources(Arc::new(SourceMaps::new(global.source_root.clone())));
            Loaded::Heap(Box::new(LoadedHeap { heap, notes }))
        }
        Parsed::Sampling(profile, notes) => Loaded::Sampling(profile, notes),
        Parsed::Native(trace, notes) => Loaded::Native(trace, notes),
        Parsed::Profile(profile, notes) => Loaded::Profile(profile, notes),
    })
}

/// Reads a snapshot and leaves it at that.
///
/// # Errors
/// When the file can't be read, or is something else.
pub(crate) fn parse(path: &Path, global: &Global, progress: &Progress) -> anyhow::Result<(Snapshot, Notes)> {
    match parse_any(path, global, progress)? {
        Parsed::Snapshot(snapshot, notes) => Ok((*snapshot, notes)),
        Parsed::Sampling(_, notes) => Err(not_a_snapshot(&notes, A_PROFILE).into()),
        Parsed::Native(_, notes) => Err(not_a_snapshot(&notes, A_TRACE).into()),
        Parsed::Profile(_, notes) => Err(not_a_snapshot(&notes, A_HEAP_PROFILE).into()),
    }
}

/// Reads a native trace.
///
/// # Errors
/// When the file can't be read, or is something else.
pub(crate) fn load_native(
    path: &Path,
    global: &Global,
    progress: &Progress,
) -> anyhow::Result<(Trace, Notes)> {
    native_only(parse_any(path, global, progress)?)
}

/// As [`load_native`], with the lifetimes of blocks.
///
/// # Errors
/// When the file can't be read, or is something else.
pub(crate) fn load_native_with_lifetimes(
    path: &Path,
    global: &Global,
    progress: &Progress,
) -> anyhow::Result<(Trace, Notes)> {
    native_only(parse_with(path, global, progress, || heaptrace::Parser::new().with_lifetimes())?)
}

fn native_only(parsed: Parsed) -> anyhow::Result<(Trace, Notes)> {
    match parsed {
        Parsed::Native(trace, notes) => Ok((*trace, notes)),
        Parsed::Snapshot(_, notes) => Err(not_a_trace(&notes, "a JS heap snapshot").into()),
        Parsed::Sampling(_, notes) => Err(not_a_trace(&notes, A_PROFILE).into()),
        Parsed::Profile(_, notes) => Err(not_a_trace(&notes, A_HEAP_PROFILE).into()),
    }
}

fn not_a_trace(notes: &Notes, what: &str) -> Failure {
    Failure::new(format!("`{}` is {what}, and this needs a native trace", notes.file))
        .hint("`twinheap record` and heaptrack record native traces; `twinheap summary` shows what is in a snapshot")
}

const A_PROFILE: &str = "a sampling heap profile";
const A_TRACE: &str = "a recording of native allocations";
const A_HEAP_PROFILE: &str = "a profile of native allocations";

fn not_a_snapshot(notes: &Notes, what: &str) -> Failure {
    Failure::new(format!("`{}` is {what}, and this needs a heap snapshot", notes.file))
        .hint("`twinheap summary` shows what is in it")
}

/// A file in columns, before any analysis.
enum Parsed {
    Snapshot(Box<Snapshot>, Notes),
    Sampling(SamplingProfile, Notes),
    Native(Box<Trace>, Notes),
    Profile(Box<Profile>, Notes),
}

/// What takes the bytes, once the first of them told what they are.
enum Reader<'a> {
    Snapshot(Box<Parser<'a>>),
    /// Small, and read as a whole: the sampling profile's tokens nest.
    Sampling(Vec<u8>),
    Heaptrack(Box<twinheap_trace::Parser>),
    Heaptrace(Box<heaptrace::Parser>),
    /// Small too: one line or record a stack.
    Profile(ProfileFormat, Vec<u8>),
}

impl Reader<'_> {
    fn feed(&mut self, chunk: &[u8], name: &str) -> anyhow::Result<()> {
        match self {
            Reader::Snapshot(parser) => parser.feed(chunk).map_err(|e| parse_failure(name, &e))?,
            Reader::Sampling(text) => text.extend_from_slice(chunk),
            Reader::Heaptrack(parser) => parser.feed(chunk).map_err(|e| trace_failure(name, &e))?,
            Reader::Heaptrace(parser) => parser.feed(chunk).map_err(|e| trace_failure(name, &e))?,
            Reader::Profile(_, bytes) => bytes.extend_from_slice(chunk),
        }
        Ok(())
    }
}

fn parse_any(path: &Path, global: &Global, progress: &Progress) -> anyhow::Result<Parsed> {
    parse_with(path, global, progress, heaptrace::Parser::new)
}

/// Parses whatever it is; `heaptrace` makes the parser for our own recordings.
fn parse_with(
    path: &Path,
    global: &Global,
    progress: &Progress,
    heaptrace: impl Fn() -> heaptrace::Parser,
) -> anyhow::Result<Parsed> {
    let input = Input::open(path)?;
    let name = input.name().to_owned();
    let (exact_size, size_hint) = (input.exact_size(), input.size_hint());
    let share = two_threads(global);
    let join: Option<&twinheap_snapshot::Join<'_>> = if share { Some(&threaded) } else { None };

    let began = Instant::now();
    let mut reader = Reader::Snapshot(Box::new(Parser::new(Options { join, size_hint })));
    let mut taken = 0;
    let broken = input.read(share, &mut |chunk| {
        if taken == 0 && is_heaptrack(chunk) {
            reader = Reader::Heaptrack(Box::default());
        } else if taken == 0 && is_heaptrace(chunk) {
            reader = Reader::Heaptrace(Box::new(heaptrace()));
        } else if taken == 0 && sniff(chunk) == FileKind::SamplingProfile {
            reader = Reader::Sampling(Vec::new());
        } else if taken == 0
            && let Some(format) = sniff_profile(chunk)
        {
            reader = Reader::Profile(format, Vec::new());
        }
        taken += chunk.len() as u64;
        reader.feed(chunk, &name)?;
        progress.bytes(&name, taken, exact_size);
        Ok(())
    })?;

    match reader {
        Reader::Snapshot(parser) => {
            let mut parsed = parser.finish().map_err(|e| parse_failure(&name, &e))?;
            progress.note_reading("reading and parsing", began.elapsed(), taken);
            // The reason comes first, then what it did to the file.
            let broken = broken.map(|what| Damage { section: Section::Top, offset: taken, what });
            parsed.damage.splice(0..0, broken);
            let notes = Notes::new(name, &parsed.damage);
            Ok(Parsed::Snapshot(Box::new(parsed.snapshot), notes))
        }
        Reader::Sampling(text) => {
            let mut profile = parse_sampling_profile(&text).map_err(|e| parse_failure(&name, &e))?;
            profile.damage.extend(broken.map(|what| Damage { section: Section::Top, offset: taken, what }));
            let notes = Notes::new(name, &profile.damage);
            Ok(Parsed::Sampling(profile, notes))
        }
        Reader::Heaptrack(parser) => {
            let parsed = parser.finish().map_err(|e| trace_failure(&name, &e))?;
            progress.note_reading("reading and parsing", began.elapsed(), taken);
            Ok(native(name, parsed, broken.map(|what| format!("{what} (byte {taken})"))))
        }
        Reader::Heaptrace(parser) => {
            let parsed = parser.finish().map_err(|e| trace_failure(&name, &e))?;
            progress.note_reading("reading and parsing", began.elapsed(), taken);
            Ok(native(name, parsed, broken.map(|what| format!("{what} (byte {taken})"))))
        }
        Reader::Profile(format, bytes) => {
            let read = read_profile(format, &bytes).map_err(|error| {
                let what = format!("can't read `{name}`: {error}");
                match &broken {
                    Some(broken) => Failure::new(format!("{what}; {broken}")),
                    None => Failure::new(what),
                }
            })?;
            progress.note_reading("reading and parsing", began.elapsed(), taken);
            let broken = broken.map(|what| format!("{what} (byte {taken})"));
            let damage: Vec<String> =
                broken.into_iter().chain(read.damage.iter().map(ToString::to_string)).collect();
            let mut notes = Notes::new(name, &damage);
            notes.warnings.extend(read.notes);
            Ok(Parsed::Profile(Box::new(read.profile), notes))
        }
    }
}

/// A native trace with what there is to say about it; `broken` is the reason if its compressed data was broken.
fn native(name: String, parsed: twinheap_trace::Parsed, broken: Option<String>) -> Parsed {
    let damage: Vec<String> =
        broken.into_iter().chain(parsed.damage.iter().map(ToString::to_string)).collect();
    let mut notes = Notes::new(name, &damage);
    notes.warnings.extend(parsed.notes);
    notes.warnings.extend(lacks(&parsed.trace));
    Parsed::Native(Box::new(parsed.trace), notes)
}

/// What a recording lacks by intention or by need: numbers of a part must not pass for the whole.
fn lacks(trace: &Trace) -> Vec<String> {
    let mut lacks = Vec::new();
    if let Some(bytes) = trace.sample_bytes.filter(|&bytes| bytes > 0) {
        lacks.push(format!(
            "only a sample was recorded, one allocation in {bytes} bytes on average; all numbers are estimates, and \
             which blocks were temporary is not known"
        ));
    }
    let Some(recording) = &trace.recording else { return lacks };
    if let Some((ns, (count, bytes))) = recording.meta.min_lifetime_ns.zip(trace.culled()) {
        let lifetime = humantime::format_duration(Duration::from_nanos(ns));
        let about = if trace.sample_bytes.is_some() { "about " } else { "" };
        lacks.push(format!(
            "{about}{count} blocks of {bytes} bytes that lived for less than {lifetime} were left out"
        ));
    }
    if let Some(reason) = recording.end.as_ref().and_then(|end| end.leak_check_failed.as_ref()) {
        lacks.push(format!("nobody looked for lost blocks: {reason}"));
    }
    if let Some(end) = recording.end.as_ref().filter(|end| end.losses.has_dropped()) {
        let losses = &end.losses;
        let of = if trace.sample_bytes.is_some() { " of the sample" } else { "" };
        lacks.push(format!(
            "{} allocations{of} of {} bytes and {} frees are missing: there was no room to record them",
            losses.dropped_allocations, losses.dropped_bytes, losses.dropped_frees
        ));
    }
    lacks
}

fn trace_failure(name: &str, error: &twinheap_trace::ParseError) -> Failure {
    let failure = Failure::new(format!("can't read `{name}`: {error}"));
    match error {
        twinheap_trace::ParseError::TooNew { .. } => {
            failure.hint("a newer twinheap may read it; heaptrack's own tools of that version do")
        }
        twinheap_trace::ParseError::HeaptraceTooNew { .. } => {
            failure.hint("the twinheap that recorded it reads it, and so do newer ones")
        }
        twinheap_trace::ParseError::HeaptraceHeader { .. } => {
            failure.hint("the file was changed after it was written; copy it again, in binary mode")
        }
        _ => failure,
    }
}

fn parse_failure(name: &str, error: &ParseError) -> Failure {
    let failure = Failure::new(format!("can't read `{name}`: {error}"));
    match error {
        ParseError::Empty if name == "standard input" => {
            failure.hint("nothing came through the pipe; look at the command in front of it")
        }
        ParseError::Empty if name == STDIN_NAME => {
            failure.hint("nothing came through the pipe; check the command in front of it")
        }
        ParseError::Empty => {
            failure.hint("take the snapshot again; its writer needs memory and disk to finish")
        }
        ParseError::NotASnapshot { .. } => failure.hint(
            "heap snapshots come from v8.writeHeapSnapshot(), Chrome DevTools or --heapsnapshot-signal",
        ),
        ParseError::BadHeader { .. } => {
            failure.hint("the file is cut short or was written by something else; take the snapshot again")
        }
        ParseError::TooLarge { .. } => {
            failure.hint("please report the size and the program that wrote the file")
        }
        _ => failure,
    }
}

/// The node with an object id.
///
/// # Errors
/// When there is none.
pub(crate) fn node_by_id(heap: &Heap, id: u64) -> anyhow::Result<NodeIdx> {
    heap.snapshot.node_by_id(id).ok_or_else(|| {
        let what = format!("there is no object @{id} in the snapshot");
        Failure::new(what).hint("`twinheap objects FILE --class NAME` lists ids").into()
    })
}

/// Two files that can't be compared.
pub(crate) fn not_comparable(base: &Loaded, new: &Loaded) -> Failure {
    let describe = |loaded: &Loaded| match loaded {
        Loaded::Heap(loaded) => format!("`{}` is a heap snapshot", loaded.notes.file),
        Loaded::Sampling(_, notes) => format!("`{}` is {A_PROFILE}", notes.file),
        Loaded::Native(_, notes) => format!("`{}` is {A_TRACE}", notes.file),
        Loaded::Profile(_, notes) => format!("`{}` is {A_HEAP_PROFILE}", notes.file),
    };
    Failure::new(format!("can't compare these: {}, and {}", describe(base), describe(new)))
        .hint("give two heap snapshots or two native traces")
}
