//! From a path to an analysed heap.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use twinheap_jsheap::{Heap, Resources};
use twinheap_snapshot::{
    Damage, FileKind, NodeIdx, Options, ParseError, Parser, SamplingProfile, Section, Snapshot,
    parse_sampling_profile, sniff,
};

use crate::args::Global;
use crate::failure::{DAMAGED, Failure};
use crate::input::{Input, STDIN_NAME};
use crate::output::Output;
use crate::progress::Progress;

/// What a file turned out to be.
pub(crate) enum Loaded {
    Heap(Box<LoadedHeap>),
    Sampling(SamplingProfile, Notes),
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
    fn new(file: String, damage: &[Damage]) -> Self {
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

/// Runs two tasks on two threads.
pub(crate) fn threaded(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    std::thread::scope(|scope| {
        scope.spawn(b);
        a();
    });
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
    match load_any(path, global, progress)? {
        Loaded::Heap(loaded) => Ok(*loaded),
        Loaded::Sampling(_, notes) => Err(not_a_snapshot(&notes).into()),
    }
}

/// Reads and analyses whatever of V8's files it is.
///
/// # Errors
/// When the file can't be read, or is none of V8's.
pub(crate) fn load_any(path: &Path, global: &Global, progress: &Progress) -> anyhow::Result<Loaded> {
    Ok(match parse_any(path, global, progress)? {
        Parsed::Snapshot(snapshot, notes) => {
            let heap = Heap::new(*snapshot, resources(global, progress));
            Loaded::Heap(Box::new(LoadedHeap { heap, notes }))
        }
        Parsed::Sampling(profile, notes) => Loaded::Sampling(profile, notes),
    })
}

/// Reads a snapshot and leaves it at that.
///
/// # Errors
/// When the file can't be read, or is something else.
pub(crate) fn parse(path: &Path, global: &Global, progress: &Progress) -> anyhow::Result<(Snapshot, Notes)> {
    match parse_any(path, global, progress)? {
        Parsed::Snapshot(snapshot, notes) => Ok((*snapshot, notes)),
        Parsed::Sampling(_, notes) => Err(not_a_snapshot(&notes).into()),
    }
}

fn not_a_snapshot(notes: &Notes) -> Failure {
    Failure::new(format!("`{}` is a sampling heap profile, and this needs a heap snapshot", notes.file))
        .hint("`twinheap summary` shows sampling profiles")
}

/// A file in columns, before any analysis.
enum Parsed {
    Snapshot(Box<Snapshot>, Notes),
    Sampling(SamplingProfile, Notes),
}

fn parse_any(path: &Path, global: &Global, progress: &Progress) -> anyhow::Result<Parsed> {
    let input = Input::open(path)?;
    let name = input.name().to_owned();
    let (exact_size, size_hint) = (input.exact_size(), input.size_hint());
    let share = two_threads(global);
    let join: Option<&twinheap_snapshot::Join<'_>> = if share { Some(&threaded) } else { None };

    let began = Instant::now();
    let mut parser = Some(Parser::new(Options { join, size_hint }));
    // Small, and read as a whole: the sampling profile's tokens nest.
    let mut profile: Option<Vec<u8>> = None;
    let mut is_first = true;
    let mut taken = 0;
    let broken = input.read(share, &mut |chunk| {
        if std::mem::take(&mut is_first) && sniff(chunk) == FileKind::SamplingProfile {
            profile = Some(Vec::new());
        }
        taken += chunk.len() as u64;
        match (&mut profile, &mut parser) {
            (Some(text), _) => text.extend_from_slice(chunk),
            (None, Some(parser)) => parser.feed(chunk).map_err(|e| parse_failure(&name, &e))?,
            (None, None) => {}
        }
        progress.bytes(&name, taken, exact_size);
        Ok(())
    })?;
    let broken = broken.map(|what| Damage { section: Section::Top, offset: taken, what });

    if let Some(text) = profile {
        let mut profile = parse_sampling_profile(&text).map_err(|e| parse_failure(&name, &e))?;
        profile.damage.extend(broken);
        let notes = Notes::new(name, &profile.damage);
        return Ok(Parsed::Sampling(profile, notes));
    }
    let parser = parser.take().context("the parser is there until it is finished")?;
    let mut parsed = parser.finish().map_err(|e| parse_failure(&name, &e))?;
    progress.note_reading("reading and parsing", began.elapsed(), taken);
    // The reason comes first, then what it did to the file.
    parsed.damage.splice(0..0, broken);
    let notes = Notes::new(name, &parsed.damage);
    Ok(Parsed::Snapshot(Box::new(parsed.snapshot), notes))
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
