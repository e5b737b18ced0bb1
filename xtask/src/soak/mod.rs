//! `cargo xtask soak`: pause-free snapshots of a busy server, one after the other, and whether it takes harm.
//!
//! The server (`tests/soak`) answers requests, stores keys in a native database, starts child processes and has
//! worker threads. Every answer is checked, and everything that a forked copy could disturb is counted. Times are
//! reported and never judged.

mod actor;
pub(crate) mod document;
mod figures;
mod held;
mod shots;
mod trial;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{root, target_dir};
use figures::Trial;
use trial::Plan;

/// The major versions that `tests/oracle` installs.
const VERSIONS: [u32; 5] = [18, 20, 22, 24, 26];
/// Heaps from here on are so slow to dump the ordinary way that once is enough.
const LARGE_MB: u32 = 200;

/// Options of `cargo xtask soak`.
#[derive(Args)]
pub(crate) struct SoakArgs {
    /// Pause-free snapshots of each version.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Only these major versions of Node, separated by commas.
    #[arg(long, value_delimiter = ',')]
    node: Vec<u32>,
    /// What stays in the server's heap, in MB.
    #[arg(long, default_value_t = 15)]
    heap: u32,
    /// Requests a second.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds without a dump, before and after. A server with a large heap stalls now and then by itself: as long as
    /// the dumps take together is a fair measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    quiet: u64,
    /// What `cargo xtask test` runs: three snapshots of each version, nothing written.
    #[arg(long, conflicts_with_all = ["count", "node", "heap", "rate", "quiet"])]
    short: bool,
    /// This twinheap instead of a fresh release build.
    #[arg(long)]
    twinheap: Option<PathBuf>,
}

/// Entry point of `cargo xtask soak`.
pub(crate) fn run(args: &SoakArgs) -> Result<()> {
    if args.short {
        return short(args.twinheap.as_deref());
    }
    let twinheap = match &args.twinheap {
        Some(path) => path.clone(),
        None => build(&["--release"], "release")?,
    };
    let plan = |major| Plan {
        major,
        count: args.count,
        ordinary: if args.heap < LARGE_MB { 3 } else { 1 },
        heap_mb: args.heap,
        rate: args.rate,
        warm_up: Duration::from_secs(5),
        quiet: Duration::from_secs(args.quiet),
        twinheap: twinheap.clone(),
    };
    fs::create_dir_all(results_dir())?;
    let versions = if args.node.is_empty() { &VERSIONS[..] } else { &args.node };
    let outcome = all(versions.iter().map(|&major| plan(major)), |trial| {
        let path = results_dir().join(format!("{}mb-node{}.json", trial.heap_mb, trial.major));
        fs::write(&path, serde_json::to_string_pretty(trial)?)
            .with_context(|| format!("cannot write {}", path.display()))
    });
    let trials = results()?;
    document::write(&root().join("BENCHMARKS.md"), &document::render(&trials))?;
    outcome
}

/// The short form for `cargo xtask test`; by default with the binary that the tests have built.
pub(crate) fn short(twinheap: Option<&Path>) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("skipped: pause-free snapshots are for Linux");
        return Ok(());
    }
    let twinheap = match twinheap {
        Some(path) => path.to_owned(),
        None => build(&[], "debug")?,
    };
    let plan = |major| Plan {
        major,
        count: 3,
        ordinary: 1,
        heap_mb: 15,
        rate: 100,
        warm_up: Duration::from_secs(1),
        quiet: Duration::from_secs(2),
        twinheap: twinheap.clone(),
    };
    all(VERSIONS.into_iter().map(plan), |_| Ok(()))
}

/// Runs each plan, whatever became of the ones before.
fn all(plans: impl Iterator<Item = Plan>, keep: impl Fn(&Trial) -> Result<()>) -> Result<()> {
    let mut failed = Vec::new();
    for plan in plans {
        match trial::run(&plan) {
            Ok((trial, harm)) => {
                println!("{}", document::line(&trial));
                keep(&trial)?;
                if !harm.is_empty() {
                    println!("node {}: harm was done:\n- {}", plan.major, harm.join("\n- "));
                    failed.push(plan.major.to_string());
                }
            }
            Err(error) => {
                println!("{error:#}");
                failed.push(plan.major.to_string());
            }
        }
    }
    if !failed.is_empty() {
        bail!("pause-free snapshots failed or did harm on node {}", failed.join(", "));
    }
    Ok(())
}

/// Builds twinheap and says where it is.
fn build(options: &[&str], profile: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--bin", "twinheap"]).args(options).current_dir(root());
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("twinheap can't be built: {status}");
    }
    Ok(target_dir().join(profile).join("twinheap"))
}

/// What was measured at any time, of all versions and heaps, in this order: the document shows all of it.
fn results() -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for entry in fs::read_dir(results_dir())? {
        let text = fs::read_to_string(entry?.path())?;
        trials.push(serde_json::from_str::<Trial>(&text)?);
    }
    trials.sort_by_key(|trial| (trial.heap_mb, trial.major));
    Ok(trials)
}

/// Results of all runs: `target/soak`.
fn results_dir() -> PathBuf {
    target_dir().join("soak")
}

/// The three load averages, as text.
fn load_average() -> String {
    let text = fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
