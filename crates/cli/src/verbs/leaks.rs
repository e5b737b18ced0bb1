//! `twinheap leaks`.

mod native;

use std::path::{Path, PathBuf};

use clap::Args;
use twinheap_jsheap::leaks::{Findings, Known, Ladder, Verdict, compare};
use twinheap_jsheap::{Heap, Work};
use twinheap_report::{
    Describer, LeaksView, NativeLeaksView, leaks_json, leaks_text, native_leaks_json, native_leaks_text,
};

use crate::args::Global;
use crate::args::native::SelectArgs;
use crate::failure::{DAMAGED, FOUND, Failure};
use crate::load::{Loaded, LoadedHeap, load, load_any, resources};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::Query;
use crate::verbs::summary::refuse;

/// Moments of one native trace to compare, if nobody says how many.
pub(crate) const MOMENTS: u16 = 6;

/// Arguments of `leaks`.
#[derive(Debug, Args)]
pub(crate) struct LeaksArgs {
    /// Heap snapshots of one process, oldest first. One shows what is large; two what grew; three and more, some
    /// time apart, whether it goes on growing. Or native traces: one, or several, oldest first
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Snapshots of the program before a change, oldest first, with the same work between them: tells which leaks
    /// the change fixed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) before: Vec<PathBuf>,
    /// Leaks that are accepted: a signature a line, as `leaks` shows them
    #[arg(long, value_name = "FILE")]
    pub(crate) known: Option<PathBuf>,
    /// End with exit code 1 if there is a leak
    #[arg(long)]
    pub(crate) fail_on_leak: bool,
    /// Suspects to print; JSON has all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: usize,
    /// Several snapshots: also the classes that grow, with their numbers at each
    #[arg(long)]
    pub(crate) classes: bool,
    /// One native trace: moments to compare
    #[arg(long, value_name = "N", default_value_t = MOMENTS, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) steps: u16,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

pub(crate) fn run(args: &LeaksArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let ask = Ask {
        files: &args.files,
        before: &args.before,
        known: args.known.as_deref(),
        select: &args.select,
        limit: args.limit,
        steps: args.steps,
        fail_on_leak: args.fail_on_leak,
        classes: args.classes,
    };
    judge(&ask, global, output, &mut |found| match found {
        Found::Js(describer, view) if global.json => output.json(&leaks_json(describer, view)),
        Found::Js(describer, view) => output.text(&leaks_text(describer, view, &output.style, args.limit)),
        Found::Native(view) if global.json => output.json(&native_leaks_json(view)),
        Found::Native(view) => output.text(&native_leaks_text(view, &output.style)),
    })
}

/// What to judge, and how.
pub(crate) struct Ask<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) before: &'a [PathBuf],
    pub(crate) known: Option<&'a Path>,
    pub(crate) select: &'a SelectArgs,
    pub(crate) limit: usize,
    pub(crate) steps: u16,
    pub(crate) fail_on_leak: bool,
    pub(crate) classes: bool,
}

/// What was found.
pub(crate) enum Found<'a> {
    /// In heap snapshots.
    Js(&'a Describer<'a>, &'a LeaksView<'a>),
    /// In native traces.
    Native(&'a NativeLeaksView<'a>),
}

/// Reads and judges files of either heap, and hands on what was found; the exit code.
pub(crate) fn judge(
    ask: &Ask<'_>,
    global: &Global,
    output: &Output,
    show: &mut dyn FnMut(Found<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    let all = || ask.files.iter().chain(ask.before);
    if all().filter(|file| file.as_os_str() == "-").count() > 1 {
        let what = "can't read several dumps from standard input: it can be read only once";
        return Err(Failure::new(what).hint("give at most one of them as `-`").into());
    }
    // What is wrong with these is said before a large file is read.
    let query = Query::new(ask.select)?;
    let known = ask.known.map(read_known).transpose()?;
    let progress = Progress::new(global);
    let Some((first, others)) = ask.files.split_first() else {
        return Err(Failure::new("no dump was given").into());
    };
    let first = match load_any(first, global, &progress)? {
        Loaded::Native(trace, notes) => {
            let options = [
                (ask.known.is_some(), "--known"),
                (!ask.before.is_empty(), "--before"),
                (ask.classes, "--classes"),
            ];
            let given = options.iter().find(|(is_given, _)| *is_given).map(|(_, name)| *name);
            refuse(given, "heap snapshots", &notes, "a native trace")?;
            return native::judge((*trace, notes), others, &query, ask, (global, &progress, output), show);
        }
        loaded => loaded.snapshot()?,
    };
    refuse(ask.select.given(), "native traces", &first.notes, "a heap snapshot")?;
    let Climbed { mut findings, newest, notes } = climb(first, others, global, &progress, &mut |_| {})?;
    let before = match ask.before.split_first() {
        Some((first, others)) => {
            Some(climb(load(first, global, &progress)?, others, global, &progress, &mut |_| {})?)
        }
        None => None,
    };
    progress.finish(global, output)?;

    let accepted = known.map(|known| findings.accept(&known)).unwrap_or_default();
    let outcomes = before.as_ref().map(|before| compare(&before.findings, &findings));
    let both = [Some(&notes), before.as_ref().map(|before| &before.notes)];
    let warnings: Vec<String> = both
        .into_iter()
        .flatten()
        .flat_map(|notes| &notes.warnings)
        .chain(&findings.warnings)
        .chain(before.iter().flat_map(|before| &before.findings.warnings))
        .cloned()
        .collect();
    let view = LeaksView {
        findings: &findings,
        files: &notes.files,
        accepted: &accepted,
        outcomes: outcomes.as_deref(),
        classes: ask.classes,
        warnings: &warnings,
    };
    show(Found::Js(&Describer::new(&newest.heap), &view))?;
    for warning in &warnings {
        output.warning(warning);
    }
    Ok(match findings.verdict {
        _ if both.into_iter().flatten().any(|notes| notes.is_damaged) => DAMAGED,
        Verdict::Leak if ask.fail_on_leak => FOUND,
        _ => 0,
    })
}

/// Reads a list of accepted leaks.
///
/// # Errors
/// When the file can't be read or a line of it is no signature.
pub(crate) fn read_known(path: &Path) -> Result<Known, Failure> {
    const HINT: &str =
        "each line begins with a signature of 16 hexadecimal digits, as `twinheap leaks` shows it";
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("can't read the known leaks `{}`: {error}", path.display())).hint(HINT)
    })?;
    Known::parse(&text).map_err(|line| {
        Failure::new(format!("line {line} of `{}` is no known leak", path.display())).hint(HINT)
    })
}

/// A judged ladder.
pub(crate) struct Climbed {
    pub(crate) findings: Findings,
    pub(crate) newest: LoadedHeap,
    pub(crate) notes: LadderNotes,
}

/// What there is to say about the files of a ladder.
pub(crate) struct LadderNotes {
    pub(crate) files: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) is_damaged: bool,
}

/// Reads dumps, oldest first, and judges them. Of the heaps only the newest is kept; each of the others is reduced to
/// its sums before the next is read. `each` sees every heap.
pub(crate) fn climb(
    first: LoadedHeap,
    others: &[PathBuf],
    global: &Global,
    progress: &Progress,
    each: &mut dyn FnMut(&Heap),
) -> anyhow::Result<Climbed> {
    let mut notes = LadderNotes { files: Vec::new(), warnings: Vec::new(), is_damaged: false };
    let mut ladder = Ladder::new();
    let join = resources(global, progress).join;
    let mut newest = first;
    for file in others {
        notes.add(&newest);
        each(&newest.heap);
        progress.pass("paths and sums", work(&newest), || ladder.add(&newest.heap, join));
        // One heap goes before the next comes.
        drop(newest);
        newest = load(file, global, progress)?;
    }
    notes.add(&newest);
    each(&newest.heap);
    let findings = progress.pass("verdict", work(&newest), || ladder.finish(&newest.heap, join));
    Ok(Climbed { findings, newest, notes })
}

fn work(loaded: &LoadedHeap) -> Work {
    let (nodes, edges) = (loaded.heap.snapshot.node_count() as u64, loaded.heap.snapshot.edge_count() as u64);
    Work { nodes, edges, bytes: 4 * edges + 60 * nodes }
}

impl LadderNotes {
    fn add(&mut self, loaded: &LoadedHeap) {
        let notes = &loaded.notes;
        self.files.push(notes.file.clone());
        self.warnings.extend(notes.warnings.iter().map(|warning| format!("{}: {warning}", notes.file)));
        self.is_damaged |= notes.is_damaged;
    }
}
