//! `cargo xtask bench js`: twinheap beside its peers, on snapshots of a real Node program; and [`leaks`], [`native`].
//!
//! Nothing here asserts a time. The command measures, compares the answers and writes BENCHMARKS.md; people read
//! it. Sizes are in bytes and times in seconds unless a name says otherwise.

mod agree;
mod document;
mod heaps;
mod leaks;
mod limit;
mod machine;
mod measure;
mod memory;
mod native;
mod passes;
mod peers;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::{root, sections::section_of, soak};
use agree::Agreement;
use heaps::Heap;
use measure::{Outcome, Run};
use memory::Ceilings;
use passes::PassTable;
use peers::{Contestant, Peer, Tools};

/// The section that `npm run speed -- --write` in `ui/` writes.
const PAGE: &str = "## The page\n";

/// A peer that is slower than this is not run again: the ratio is clear, and the other runs would wait for it.
const SLOW_S: f64 = 120.0;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// JS heap snapshots: file to class table, against the DevTools engine, memlab and v8-heap-parser.
    Js(JsArgs),
    /// The verdict over three snapshots, against the time to load them.
    Leaks(leaks::LeaksArgs),
    /// The native heap: recording and reading, against heaptrack.
    Native(native::NativeArgs),
}

/// Options of `cargo xtask bench js`.
#[derive(Args)]
pub(crate) struct JsArgs {
    /// A 20 MB file only, for a fast check; writes no BENCHMARKS.md.
    #[arg(long)]
    quick: bool,
    /// The 2 GB file too. Needs 16 GB of memory and a quarter of an hour.
    #[arg(long, conflicts_with = "quick")]
    huge: bool,
    /// Only these programs, separated by commas; writes no BENCHMARKS.md.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Peer>,
    /// Measure with this snapshot instead of the generated ones; writes no BENCHMARKS.md.
    #[arg(long, conflicts_with_all = ["quick", "huge"])]
    file: Vec<PathBuf>,
    /// Timed runs of each program, in turn; one untimed run goes before them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Also search the smallest memory limit at which three runs in a row succeed (slow).
    #[arg(long)]
    min_memory: bool,
    /// This twinheap instead of a fresh release build.
    #[arg(long)]
    twinheap: Option<PathBuf>,
    /// The Node that runs the peers and writes the snapshots; by default version 24 from npm.
    #[arg(long)]
    node: Option<PathBuf>,
}

/// Everything measured with one snapshot.
struct HeapResult {
    heap: Heap,
    /// In the order of [`Peer`].
    rows: Vec<Row>,
    /// twinheap's table against the DevTools engine's, if both produced one.
    agreement: Option<Agreement>,
    passes: Option<PassTable>,
    /// What the machine's memory allows for arrays of this heap's size.
    ceilings: Option<Ceilings>,
}

/// One program's runs with one snapshot.
struct Row {
    contestant: Contestant,
    outcome: Outcome<Vec<Run>>,
    /// Highest sampled anonymous memory, in bytes: without pages of mapped files.
    anonymous_bytes: u64,
    /// The smallest data limit in bytes, if it was searched.
    limit_bytes: Option<u64>,
}

/// Entry point of `cargo xtask bench`.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Js(args) => js(args),
        Bench::Leaks(args) => leaks::run(args),
        Bench::Native(args) => native::run(args),
    }
}

fn js(args: &JsArgs) -> Result<()> {
    fs::create_dir_all(work_dir())?;
    let load_before = machine::load_average();
    let tools = Tools::prepare(args.node.as_deref())?;
    let wanted = if args.only.is_empty() { Peer::ALL.to_vec() } else { args.only.clone() };
    let contestants = tools.contestants(&wanted, args.twinheap.as_deref())?;
    let heaps = heaps(args, &tools)?;
    let mut results = Vec::new();
    for heap in heaps {
        results.push(measure_heap(heap, &contestants, args)?);
    }
    // Last: a child's peak memory as the kernel reports it starts at what its parent held when it forked, so
    // this process stays small until the children are through.
    for result in &mut results {
        result.ceilings = Some(Ceilings::measure(result.heap.nodes));
    }
    let text = document::render(&results, &tools, args, &load_before);
    let whole = !args.quick && args.only.is_empty() && args.file.is_empty();
    let path = if whole { root().join("BENCHMARKS.md") } else { work_dir().join("partial.md") };
    // What another command wrote into the document stays.
    let old = fs::read_to_string(&path).unwrap_or_default();
    let others = [leaks::HEADING, native::HEADING, PAGE, soak::document::HEADING, soak::recording::HEADING]
        .map(|heading| section_of(&old, heading).trim_end());
    let text = others
        .into_iter()
        .filter(|section| !section.is_empty())
        .fold(text, |text, section| format!("{}\n\n{section}\n", text.trim_end()));
    fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    if !whole {
        println!("{text}");
    }
    println!("wrote {}", path.display());
    Ok(())
}

fn heaps(args: &JsArgs, tools: &Tools) -> Result<Vec<Heap>> {
    if !args.file.is_empty() {
        return args.file.iter().map(|file| Heap::of_file(file)).collect();
    }
    let mut specs =
        if args.quick { vec![heaps::QUICK] } else { vec![heaps::SMALL, heaps::LARGE, heaps::CHAIN] };
    if args.huge {
        specs.push(heaps::HUGE);
    }
    specs.iter().map(|spec| spec.generate(tools)).collect()
}

fn measure_heap(heap: Heap, contestants: &[Contestant], args: &JsArgs) -> Result<HeapResult> {
    println!("\n{}: {:.0} MB, {} nodes, {} edges", heap.name, heap.megabytes(), heap.nodes, heap.edges);
    warm_page_cache(&heap.path)?;
    let first = contestants.iter().map(|contestant| untimed_run(&heap, contestant));
    let mut rows = first.collect::<Result<Vec<Row>>>()?;
    for _ in 0..args.runs {
        for row in &mut rows {
            timed_run(&heap, row)?;
        }
    }
    if args.min_memory {
        for row in rows.iter_mut().filter(|row| row.outcome.is_finished()) {
            row.limit_bytes = limit::smallest(&row.contestant, &heap.path)?;
        }
    }
    let finished = |peer| rows.iter().find(|row| row.contestant.peer == peer && row.outcome.is_finished());
    let agreement = match (finished(Peer::Twinheap), finished(Peer::Devtools)) {
        (Some(_), Some(_)) => {
            let [ours, theirs] = [Peer::Twinheap, Peer::Devtools].map(|peer| output_path(&heap, peer));
            Some(Agreement::compare(&ours, &theirs)?)
        }
        _ => None,
    };
    let passes = match finished(Peer::Twinheap) {
        Some(row) => PassTable::measure(&row.contestant.program, &heap.path)?,
        None => None,
    };
    Ok(HeapResult { heap, rows, agreement, passes, ceilings: None })
}

/// The first run of a program: tells whether it works at all, and samples its memory.
fn untimed_run(heap: &Heap, contestant: &Contestant) -> Result<Row> {
    let answer = output_path(heap, contestant.peer);
    let (outcome, anonymous_bytes) = match measure::run_sampled(contestant.command(&heap.path), &answer)? {
        Outcome::Finished(_) if !agree::has_classes(&answer) => {
            println!("  {:<22} prints no class table", contestant.label);
            (Outcome::Failed("prints no class table".to_owned()), 0)
        }
        Outcome::Finished((run, anonymous_bytes)) => {
            println!("  {:<22} {run}  (untimed)", contestant.label);
            // A program too slow to run again keeps the only run it has.
            (Outcome::Finished(Vec::from_iter((run.wall_s > SLOW_S).then_some(run))), anonymous_bytes)
        }
        Outcome::Failed(why) => {
            println!("  {:<22} fails: {why}", contestant.label);
            (Outcome::Failed(why), 0)
        }
    };
    Ok(Row { contestant: contestant.clone(), outcome, anonymous_bytes, limit_bytes: None })
}

/// One more run of a program, unless it failed before or is too slow.
fn timed_run(heap: &Heap, row: &mut Row) -> Result<()> {
    let Outcome::Finished(runs) = &mut row.outcome else { return Ok(()) };
    if runs.iter().any(|run| run.wall_s > SLOW_S) {
        return Ok(());
    }
    let contestant = &row.contestant;
    match measure::run(contestant.command(&heap.path), &output_path(heap, contestant.peer))? {
        Outcome::Finished(run) => {
            println!("  {:<22} {run}", contestant.label);
            runs.push(run);
        }
        Outcome::Failed(why) => row.outcome = Outcome::Failed(why),
    }
    Ok(())
}

/// Where a program's answer goes; the last run's stays.
fn output_path(heap: &Heap, peer: Peer) -> PathBuf {
    work_dir().join(format!("answer-{}-{}.json", heap.name, peer.id()))
}

/// Reads a file to its end, so that no program pays for the disk.
fn warm_page_cache(path: &Path) -> Result<()> {
    let mut file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    std::io::copy(&mut file, &mut std::io::sink())?;
    Ok(())
}

/// Caches, programs and answers of the benchmark: `target/bench`.
fn work_dir() -> PathBuf {
    crate::target_dir().join("bench")
}

/// Runs a command with its output shown; an error names the command.
fn check(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program}` failed: {status}");
    }
    Ok(())
}

/// A command's standard output, or nothing if it does not work.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
