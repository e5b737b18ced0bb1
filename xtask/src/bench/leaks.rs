//! `cargo xtask bench leaks`: the verdict over three dumps of one process, beside the time to load them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{
    check, heaps, machine,
    measure::{self, Outcome, Run},
    output_of, warm_page_cache, work_dir,
};
use crate::{root, sections, target_dir};

/// The section's first line.
pub(super) const HEADING: &str = "## The verdict of `leaks`\n";

/// Requests to the server of `heaps.cjs` before its last dump: some 450 MB.
const REQUESTS: u64 = 22_200;
/// How many times as long as loading its dumps the verdict may take.
const GOAL: f64 = 2.5;

/// Options of `cargo xtask bench leaks`.
#[derive(Args)]
pub(crate) struct LeaksArgs {
    /// Runs of each command, in turn; the best counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// These dumps of one process, oldest first, instead of generated ones; writes no BENCHMARKS.md.
    #[arg(long, num_args = 2..)]
    file: Vec<PathBuf>,
    /// This twinheap instead of a fresh release build.
    #[arg(long)]
    twinheap: Option<PathBuf>,
    /// The Node that writes the dumps; by default version 24 of `tests/oracle`.
    #[arg(long)]
    node: Option<PathBuf>,
}

/// A command with its runs.
struct Row {
    label: String,
    verb: &'static str,
    files: Vec<PathBuf>,
    runs: Vec<Run>,
}

impl Row {
    fn best_s(&self) -> f64 {
        self.runs.iter().map(|run| run.wall_s).fold(f64::INFINITY, f64::min)
    }

    fn peak_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.peak_rss_bytes).max().unwrap_or(0)
    }
}

/// Entry point.
pub(super) fn run(args: &LeaksArgs) -> Result<()> {
    fs::create_dir_all(work_dir())?;
    let load_before = machine::load_average();
    let oracle = root().join("tests/oracle/node_modules/node24/bin/node");
    let node = args.node.clone().unwrap_or(oracle);
    let dumps = if args.file.is_empty() { ladder(&node)? } else { args.file.clone() };
    let twinheap = match &args.twinheap {
        Some(twinheap) => twinheap.clone(),
        None => {
            check(Command::new("cargo").args(["build", "--release", "--quiet"]).current_dir(root()))?;
            target_dir().join("release/twinheap")
        }
    };
    let row =
        |label: String, verb, files: &[PathBuf]| Row { label, verb, files: files.to_vec(), runs: Vec::new() };
    let mut rows: Vec<Row> = dumps
        .iter()
        .enumerate()
        .map(|(at, dump)| row(format!("`summary` of dump {}", at + 1), "summary", std::slice::from_ref(dump)))
        .collect();
    rows.push(row("`leaks`, the last dump".to_owned(), "leaks", &dumps[dumps.len() - 1..]));
    rows.push(row(format!("`leaks`, all {}", dumps.len()), "leaks", &dumps));
    for dump in &dumps {
        warm_page_cache(dump)?;
    }
    for _ in 0..args.runs {
        for row in &mut rows {
            measure_one(&twinheap, row)?;
        }
    }
    let section = render(&rows, &dumps, &load_before)?;
    println!("\n{section}");
    if args.file.is_empty() {
        let path = root().join("BENCHMARKS.md");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, sections::with_section(&text, HEADING, &section))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn measure_one(twinheap: &Path, row: &mut Row) -> Result<()> {
    let mut command = Command::new(twinheap);
    command.arg(row.verb).args(&row.files).args(["--json", "--quiet"]);
    match measure::run(command, &work_dir().join("answer-leaks.json"))? {
        Outcome::Finished(run) => {
            println!("  {:<26} {run}", row.label);
            row.runs.push(run);
            Ok(())
        }
        Outcome::Failed(why) => bail!("{} fails: {why}", row.label),
    }
}

/// Three dumps of one server, written if the generator or Node changed since the last time.
fn ladder(node: &Path) -> Result<Vec<PathBuf>> {
    let script = root().join("xtask/bench/heaps.cjs");
    let version = output_of(Command::new(node).arg("--version"))
        .with_context(|| format!("`{} --version` does not work; try --node", node.display()))?;
    let recipe = format!("{}\0{version}\0{REQUESTS}", fs::read_to_string(&script)?);
    let stem = format!("ladder-{:016x}", heaps::fnv1a(recipe.as_bytes()));
    let dumps: Vec<PathBuf> =
        [".1", ".2", ""].map(|rung| work_dir().join(format!("{stem}{rung}.heapsnapshot"))).into();
    if !dumps.iter().all(|dump| dump.exists()) {
        heaps::remove_older("ladder")?;
        println!("writing three dumps after {REQUESTS} requests");
        let mut command = Command::new(node);
        command.arg("--max-old-space-size=12000").arg(&script).arg(format!("--requests={REQUESTS}"));
        check(command.args(["--ladder", "--out"]).arg(&dumps[2]))?;
    }
    Ok(dumps)
}

fn render(rows: &[Row], dumps: &[PathBuf], load_before: &str) -> Result<String> {
    let loading: f64 = rows[..dumps.len()].iter().map(Row::best_s).sum();
    let (one, all) = (&rows[dumps.len()], &rows[dumps.len() + 1]);
    let last = rows[dumps.len() - 1].best_s();
    let sizes: Vec<String> = dumps
        .iter()
        .map(|dump| Ok(format!("{:.0}", fs::metadata(dump)?.len() as f64 / 1e6)))
        .collect::<Result<_>>()?;
    let mut text = format!(
        "{HEADING}\n\
         Written by `cargo xtask bench leaks`, which leaves the rest of this file alone. {} dumps of one server \
         ({} MB), a hundredth of its requests apart; the commands in turn, best of {} runs.\n\n\
         | Command | Wall | Peak memory | ÷ loading the same |\n| --- | ---: | ---: | ---: |\n",
        dumps.len(),
        sizes.join(", "),
        all.runs.len(),
    );
    for row in rows {
        let ratio = match row.verb {
            "summary" => "1".to_owned(),
            _ if row.files.len() == 1 => format!("{:.2}", one.best_s() / last),
            _ => format!("**{:.2}** (goal: within {GOAL})", all.best_s() / loading),
        };
        let peak = row.peak_bytes() as f64 / 1e6;
        writeln!(text, "| {} | {:.2} s | {peak:.0} MB | {ratio} |", row.label, row.best_s())?;
    }
    text.push_str("\nLoading is `summary`: it reads and analyses a dump and prints its classes.\n\n| | |\n| --- | --- |\n");
    for (name, value) in machine::describe() {
        writeln!(text, "| {name} | {} |", value.replace('|', "\\|"))?;
    }
    writeln!(text, "| Load average | {load_before} before, {} after |", machine::load_average())?;
    Ok(text)
}
