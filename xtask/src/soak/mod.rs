//! `cargo xtask soak`: pause-free snapshots of a busy server, one after the other, and whether it takes harm. With
//! `--record`, the same of a recording of its native heap.
//!
//! The server (`tests/soak`) answers requests, stores keys in a native database, starts child processes and has
//! worker threads. Every answer is checked, and everything that a forked copy or a recorder could disturb is counted.
//! Times are reported and never judged.

mod actor;
pub(crate) mod document;
mod figures;
mod held;
pub(crate) mod recording;
mod scene;
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

use serde::{Serialize, de::DeserializeOwned};

use crate::{root, target_dir};
use figures::Trial;
use recording::Mode;
use scene::Play;
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
    /// Requests a second [default: 300; of recordings 25, or what the machine can do].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Seconds without a dump, before and after. A server with a large heap stalls now and then by itself: as long as
    /// the dumps take together is a fair measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    quiet: u64,
    /// Record the server's native heap instead: twelve minutes on each version.
    #[arg(long, conflicts_with_all = ["count", "quiet"])]
    record: bool,
    /// Minutes of recording on each version.
    #[arg(long, default_value_t = 12, requires = "record", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// What `cargo xtask test` runs: three snapshots of each version, or a short recording; nothing written.
    #[arg(long, conflicts_with_all = ["count", "node", "heap", "rate", "quiet", "minutes"])]
    short: bool,
    /// This twinheap instead of a fresh release build.
    #[arg(long)]
    twinheap: Option<PathBuf>,
}

/// Entry point of `cargo xtask soak`.
pub(crate) fn run(args: &SoakArgs) -> Result<()> {
    if args.short {
        let twinheap = args.twinheap.as_deref();
        return if args.record { short_recording(twinheap) } else { short(twinheap) };
    }
    let twinheap = match &args.twinheap {
        Some(path) => path.clone(),
        None => build(&["--release"], "release")?,
    };
    let versions = if args.node.is_empty() { &VERSIONS[..] } else { &args.node };
    if args.record {
        return record(args, versions, &twinheap);
    }
    let plan = |major| Plan {
        play: Play {
            major,
            heap_mb: args.heap,
            rate: args.rate.unwrap_or(300),
            is_busy: false,
            warm_up: Duration::from_secs(5),
        },
        count: args.count,
        ordinary: if args.heap < LARGE_MB { 3 } else { 1 },
        quiet: Duration::from_secs(args.quiet),
        twinheap: twinheap.clone(),
    };
    let results = Results::new("soak")?;
    let outcome = all(versions.iter().map(|&major| plan(major)), |trial| {
        results.keep(&format!("{}mb-node{}", trial.heap_mb, trial.major), trial)
    });
    let mut trials: Vec<Trial> = results.all()?;
    trials.sort_by_key(|trial| (trial.heap_mb, trial.major));
    document::write(&root().join("BENCHMARKS.md"), &document::render(&trials))?;
    outcome
}

/// Of the time of a version, what each mode gets, in hundredths.
const SHARES: [u32; 3] = [40, 25, 35];

fn record(args: &SoakArgs, versions: &[u32], twinheap: &Path) -> Result<()> {
    let results = Results::new("soak-record")?;
    let time = Duration::from_secs(60 * args.minutes);
    let plans = versions.iter().flat_map(|&major| {
        Mode::ALL.into_iter().zip(SHARES).map(move |(mode, share)| recording::Plan {
            play: Play {
                major,
                heap_mb: args.heap,
                rate: args.rate.unwrap_or(25),
                is_busy: true,
                warm_up: Duration::from_secs(5),
            },
            mode,
            duration: time * share / 100,
            twinheap: twinheap.to_owned(),
        })
    });
    let outcome = all_recordings(plans, |trial| {
        results.keep(&format!("node{}-{}", trial.major, trial.mode.name()), trial)
    });
    let mut trials: Vec<recording::Trial> = results.all()?;
    trials.sort_by_key(|trial| (trial.major, trial.mode));
    recording::write(&root().join("BENCHMARKS.md"), &trials)?;
    outcome
}

/// The short form of `--record`: each version in one mode, and the newest in all.
pub(crate) fn short_recording(twinheap: Option<&Path>) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        println!("skipped: recordings are for Linux on x86-64 with glibc");
        return Ok(());
    }
    let twinheap = twinheap.map_or_else(|| build(&[], "debug"), |path| Ok(path.to_owned()))?;
    // All modes, the oldest and the newest Node; each takes its time to find the names of functions.
    let plays = [(18, Mode::Full), (22, Mode::Follow), (26, Mode::Sample)];
    let plan = |(major, mode)| recording::Plan {
        play: Play { major, heap_mb: 5, rate: 15, is_busy: true, warm_up: Duration::from_millis(500) },
        mode,
        duration: Duration::from_secs(2),
        twinheap: twinheap.clone(),
    };
    all_recordings(plays.into_iter().map(plan), |_| Ok(()))
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
        play: Play { major, heap_mb: 15, rate: 100, is_busy: false, warm_up: Duration::from_secs(1) },
        count: 3,
        ordinary: 1,
        quiet: Duration::from_secs(2),
        twinheap: twinheap.clone(),
    };
    all(VERSIONS.into_iter().map(plan), |_| Ok(()))
}

fn all(plans: impl Iterator<Item = Plan>, keep: impl Fn(&Trial) -> Result<()>) -> Result<()> {
    each(
        plans,
        |plan| plan.play.major,
        trial::run,
        |trial| {
            println!("{}", document::line(trial));
            keep(trial)
        },
    )
    .context("pause-free snapshots failed or did harm")
}

fn all_recordings(
    plans: impl Iterator<Item = recording::Plan>,
    keep: impl Fn(&recording::Trial) -> Result<()>,
) -> Result<()> {
    each(
        plans,
        |plan| plan.play.major,
        recording::run,
        |trial| {
            println!("{}", recording::line(trial));
            keep(trial)
        },
    )
    .context("recordings failed or did harm")
}

/// Runs each plan, whatever became of the ones before.
fn each<P, T>(
    plans: impl Iterator<Item = P>,
    major: impl Fn(&P) -> u32,
    run: impl Fn(&P) -> Result<(T, Vec<String>)>,
    keep: impl Fn(&T) -> Result<()>,
) -> Result<()> {
    let mut failed = Vec::new();
    for plan in plans {
        let major = major(&plan).to_string();
        match run(&plan) {
            Ok((trial, harm)) => {
                keep(&trial)?;
                if !harm.is_empty() {
                    println!("node {major}: harm was done:\n- {}", harm.join("\n- "));
                    failed.push(major);
                }
            }
            Err(error) => {
                println!("{error:#}");
                failed.push(major);
            }
        }
    }
    if !failed.is_empty() {
        bail!("on node {}", failed.join(", "));
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

/// Results of all runs, in a folder of `target`: a document shows also what was measured at other times.
struct Results(PathBuf);

impl Results {
    fn new(folder: &str) -> Result<Results> {
        let path = target_dir().join(folder);
        fs::create_dir_all(&path)?;
        Ok(Results(path))
    }

    fn keep(&self, name: &str, trial: &impl Serialize) -> Result<()> {
        let path = self.0.join(format!("{name}.json"));
        fs::write(&path, serde_json::to_string_pretty(trial)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// What was measured at any time.
    fn all<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let mut trials = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            trials.push(serde_json::from_str(&fs::read_to_string(entry?.path())?)?);
        }
        Ok(trials)
    }
}

/// The three load averages, as text.
fn load_average() -> String {
    let text = fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
