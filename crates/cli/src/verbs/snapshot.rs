//! `twinheap snapshot`.

mod lodestar;
mod names;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use twinheap_capture::safety::Refusal;
use twinheap_capture::{
    CaptureError, Dump, DumpOptions, Isolate, Method, Out, Progress as Step, Session, SnapshotOptions, Target,
};
use twinheap_report::{SCHEMA_VERSION, Style};

use self::names::{Names, Place};
use crate::args::{Global, SnapshotArgs};
use crate::failure::Failure;
use crate::interrupt::STOP;
use crate::live::{block_on, close, open_options};
use crate::output::Output;
use crate::progress::Progress;

/// The oldest version whose `v8.writeHeapSnapshot` knows options.
const FIRST_WITH_OPTIONS: u32 = 20;
/// A pause from this length on is worth a word before it happens.
const LONG_PAUSE: f64 = 1.0;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    target: String,
    node_version: Option<&'a str>,
    files: Vec<Entry>,
    warnings: &'a [String],
}

#[derive(Clone, Debug, Serialize)]
struct Entry {
    thread: String,
    /// Absent for standard output.
    file: Option<PathBuf>,
    /// Size of the file.
    bytes: u64,
    /// Size of the JSON in it.
    json_bytes: u64,
    /// `ordinary`, `pause-free` or `lodestar`.
    method: &'static str,
    /// Forks until one succeeded.
    attempts: Option<u32>,
    /// Why earlier forks gave up.
    retries: Vec<&'static str>,
    /// How long the thread stood still; absent if only the target knows.
    pause_seconds: Option<f64>,
    /// The span that was foreseen.
    predicted_pause_seconds: Option<[f64; 2]>,
    took_seconds: f64,
    redacted: bool,
}

pub(crate) fn run(args: &SnapshotArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    if let Target::Lodestar { .. } = args.target {
        return block_on(lodestar::run(args, global, output, &progress));
    }
    if args.dirpath.is_some() {
        let what = format!("--dirpath is for Lodestar, and {} is none", args.target);
        return Err(Failure::new(what).hint("--output names a file or folder of this machine").into());
    }
    let names = Names::new(args)?;
    block_on(async {
        let options = open_options(args.timeout, args.force, &STOP);
        let mut session = Session::open(&args.target, &options).await?;
        let result = take(&mut session, args, names, output, &progress).await;
        progress.clear();
        // The door is shut whatever happened inside.
        let version = session.facts.version.clone();
        close(session, output).await;
        let Taken { files, warnings } = result?;
        finish(args, &files, Some(&version), &warnings, global, output)
    })
}

/// What a run brought.
#[derive(Default)]
struct Taken {
    files: Vec<Entry>,
    warnings: Vec<String>,
}

/// One snapshot of each chosen isolate, or a series of them.
async fn take(
    session: &mut Session,
    args: &SnapshotArgs,
    mut names: Names,
    output: &Output,
    progress: &Progress,
) -> anyhow::Result<Taken> {
    let options = dump_options(args)?;
    let mut taken = Taken::default();
    let is_old = session.facts.major().is_some_and(|major| major < FIRST_WITH_OPTIONS);
    if is_old && args.pause_free && options.snapshot != SnapshotOptions::default() {
        taken.warnings.push(format!(
            "Node.js {} writes pause-free snapshots without internals and numbers",
            session.facts.version
        ));
    }
    if args.pause_free && args.count.is_some() {
        taken.warnings.push(
            "ids of pause-free snapshots can't be compared with each other: each copy counts by itself"
                .to_owned(),
        );
    }
    let count = args.count.unwrap_or(1);
    let mut next = Instant::now();
    for number in 1..=count {
        session.idle_until(next).await?;
        next += args.every.unwrap_or_default();
        session.refresh_facts().await?;
        let isolates = choose(session, args).await?;
        forewarn(session, &isolates, args, &options, &names, output)?;
        names.begin_round(&args.target, number, count, isolates.len());
        for isolate in &isolates {
            match dump(session, isolate, &options, &names, progress).await {
                Ok(entry) => {
                    progress.clear();
                    let (entry, warnings) = entry;
                    taken.warnings.extend(warnings);
                    output.note(&said(&entry, &output.style));
                    taken.files.push(entry);
                }
                // A worker may end at any time; the others are still there.
                Err(error) if error.is_thread_end() && !isolate.is_main() && isolates.len() > 1 => {
                    taken.warnings.push(format!("{}: {error}", isolate.thread));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(taken)
}

fn dump_options(args: &SnapshotArgs) -> anyhow::Result<DumpOptions> {
    let salt = if args.redact { Some(super::redact::salt(args.salt.as_deref())?) } else { None };
    Ok(DumpOptions {
        snapshot: SnapshotOptions {
            expose_internals: args.expose_internals,
            numeric_values: args.numeric_values,
        },
        pause_free: args.pause_free,
        fallback: args.fallback,
        salt,
        max_pause_seconds: args.max_pause.map(|t| t.as_secs_f64()),
        force: args.force,
    })
}

/// The isolates that were asked for, small ones first: if memory runs out, most of the dumps exist by then.
async fn choose(session: &mut Session, args: &SnapshotArgs) -> Result<Vec<Isolate>, CaptureError> {
    let mut isolates = session.isolates().await?;
    let mut wanted = args.thread.clone();
    if wanted.is_empty() && Names::is_stdout(args) {
        wanted.push("main".to_owned());
    }
    for name in &wanted {
        if !isolates.iter().any(|i| is_called(i, name)) {
            return Err(CaptureError::NoSuchThread {
                target: args.target.to_string(),
                name: name.clone(),
                threads: isolates.iter().map(|i| i.thread.clone()).collect(),
            });
        }
    }
    if !wanted.is_empty() {
        isolates.retain(|i| wanted.iter().any(|name| is_called(i, name)));
    }
    isolates.sort_by_key(|i| i.heap.map_or(0, |h| h.used_bytes));
    Ok(isolates)
}

fn is_called(isolate: &Isolate, name: &str) -> bool {
    isolate.thread == name || isolate.title == name
}

/// Says what is going to happen before the first isolate stands still, and refuses before any file is there.
fn forewarn(
    session: &Session,
    isolates: &[Isolate],
    args: &SnapshotArgs,
    options: &DumpOptions,
    names: &Names,
    output: &Output,
) -> Result<(), CaptureError> {
    let style = &output.style;
    for isolate in isolates {
        let (folder, compressed) = names.folder();
        let (prediction, refusals) = session.forecast(isolate, options, folder, compressed);
        let pause = prediction.pause_seconds;
        if pause.high >= LONG_PAUSE {
            let heap = isolate.heap.map_or(0, |h| h.used_bytes);
            output.note(&format!(
                "{}: a heap of {} will stand still for {pause} and take {} of memory",
                isolate.thread,
                style.size(heap),
                prediction.extra_memory_bytes
            ));
            if !args.pause_free {
                output.note("(--pause-free lets a forked copy write it while the process goes on)");
            }
        }
        let (refused, worries): (Vec<Refusal>, Vec<Refusal>) =
            refusals.into_iter().partition(|r| r.level() == twinheap_capture::safety::Level::Refuse);
        if !options.force && !refused.is_empty() {
            return Err(CaptureError::Refused { thread: isolate.thread.clone(), refusals: refused });
        }
        for worry in worries.iter().chain(&refused) {
            output.warning(&format!("{}: {worry}", isolate.thread));
        }
    }
    Ok(())
}

async fn dump(
    session: &mut Session,
    isolate: &Isolate,
    options: &DumpOptions,
    names: &Names,
    progress: &Progress,
) -> Result<(Entry, Vec<String>), CaptureError> {
    let thread = &isolate.thread;
    let place = names.of(thread, isolate.is_main());
    let file = match &place {
        Place::File(path) => Some(path.clone()),
        Place::Stdout => None,
    };
    let mut out = || match &place {
        Place::File(path) => Out::File(path.clone()),
        Place::Stdout => Out::Stream { writer: Box::new(std::io::stdout()), is_compressed: false },
    };
    let mut watch = |step: Step| match step {
        Step::Walking { done, total } => progress.part(&format!("{thread}: objects"), done, total, false),
        Step::Writing { bytes, expected } => progress.part(thread, bytes, expected, true),
        Step::Again { attempt, .. } => progress.part(&format!("{thread}: attempt {attempt}"), 0, 1, true),
    };
    let dump = session.dump(isolate, options, &mut out, &mut watch).await?;
    Ok(entry(dump, file, options.salt.is_some()))
}

fn entry(dump: Dump, file: Option<PathBuf>, redacted: bool) -> (Entry, Vec<String>) {
    let (method, attempts) = match dump.method {
        Method::Ordinary => ("ordinary", None),
        Method::PauseFree { attempts } => ("pause-free", Some(attempts)),
    };
    let predicted = dump.prediction.pause_seconds;
    let warnings = dump.warnings.iter().map(|w| format!("{}: {w}", dump.thread)).collect();
    let entry = Entry {
        thread: dump.thread,
        file,
        bytes: dump.written.bytes,
        json_bytes: dump.written.json_bytes,
        method,
        attempts,
        retries: dump.retries,
        pause_seconds: Some(dump.pause.as_secs_f64()),
        predicted_pause_seconds: Some([predicted.low, predicted.high]),
        took_seconds: dump.took.as_secs_f64(),
        redacted,
    };
    (entry, warnings)
}

/// A finished snapshot in words.
fn said(entry: &Entry, style: &Style) -> String {
    let pause = match entry.pause_seconds {
        Some(seconds) if seconds < 1.0 => format!(", stood still for {:.0} ms", seconds * 1e3),
        Some(seconds) => format!(", stood still for {seconds:.1} s"),
        None => String::new(),
    };
    let attempts = match entry.attempts {
        Some(attempts) if attempts > 1 => format!(" ({attempts} copies)"),
        _ => String::new(),
    };
    format!(
        "{}: {} in {:.1} s{pause}{attempts}",
        entry.thread,
        style.size(entry.json_bytes),
        entry.took_seconds
    )
}

/// Prints the files; warnings come last, where they are seen.
fn finish(
    args: &SnapshotArgs,
    files: &[Entry],
    version: Option<&str>,
    warnings: &[String],
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    if global.json && !Names::is_stdout(args) {
        output.json(&Document {
            schema_version: SCHEMA_VERSION,
            kind: "captured-snapshots",
            target: args.target.to_string(),
            node_version: version,
            files: files.to_vec(),
            warnings,
        })?;
    } else {
        // One path a line: what a script wants to have.
        let paths: String =
            files.iter().filter_map(|f| f.file.as_ref()).map(|p| format!("{}\n", p.display())).collect();
        output.text(&paths)?;
    }
    for warning in warnings {
        output.warning(warning);
    }
    Ok(0)
}
