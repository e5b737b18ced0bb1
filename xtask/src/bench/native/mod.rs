//! `cargo xtask bench native`: recording the native heap and reading the recording, beside heaptrack in the same run.
//!
//! All peers take turns within a repeat, so that a busy machine hits all of them. Times are the best of the repeats,
//! throughput and memory the median; servers are compared round by round.

mod document;
mod hammer;
mod reading;
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::Args;

pub(super) use document::HEADING;

use super::{check, machine, output_of};
use crate::{root, sections, target_dir};

/// Options of `cargo xtask bench native`.
#[derive(Args)]
pub(crate) struct NativeArgs {
    /// Runs of each program, in turn. Slow phases of a machine that others share last for seconds: of few runs all may
    /// fall into one.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Calls of malloc of each thread; there are as many of free.
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pairs: u64,
    /// Sets of servers, one after the other. Of two processes of one program one may be faster by a tenth for good, by
    /// how V8 happened to compile it: few sets tell of those processes, and not of the recorder.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    sets: u32,
    /// Seconds of load on each recorded server of a set, in turns.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only these parts, separated by commas; writes no BENCHMARKS.md.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// This twinheap instead of a fresh release build.
    #[arg(long)]
    twinheap: Option<PathBuf>,
    /// The Node that runs the server; by default version 22 of `tests/oracle`.
    #[arg(long)]
    node: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The loop of malloc and free.
    Loop,
    /// The Node server.
    Server,
    /// Reading what the first two left; without the loop, nothing.
    Reading,
}

/// Programs that are measured with or used for it.
struct Tools {
    twinheap: PathBuf,
    node: PathBuf,
    /// Where programs and recordings go.
    folder: PathBuf,
}

/// Who records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorder {
    Nobody,
    Twinheap,
    TwinheapNoNames,
    TwinheapSampled,
    Heaptrack,
}

impl Recorder {
    fn label(self) -> &'static str {
        match self {
            Recorder::Nobody => "not recorded",
            Recorder::Twinheap => "twinheap",
            Recorder::TwinheapNoNames => "twinheap --no-js-names",
            Recorder::TwinheapSampled => "twinheap --sample 512K",
            Recorder::Heaptrack => "heaptrack",
        }
    }

    /// The command that runs `program` under this recorder, and the recording that it leaves. A former one is removed.
    fn command(self, tools: &Tools, name: &str, program: &[String]) -> Result<(Command, Option<PathBuf>)> {
        let options: &[&str] = match self {
            Recorder::Nobody => {
                let mut command = Command::new(&program[0]);
                command.args(&program[1..]);
                return Ok((command, None));
            }
            Recorder::Heaptrack => {
                // heaptrack adds the compressor's ending.
                let stem = tools.folder.join(format!("{name}.heaptrack"));
                let file = tools.folder.join(format!("{name}.heaptrack.zst"));
                remove(&file)?;
                let mut command = Command::new("heaptrack");
                command.arg("-o").arg(stem).args(program);
                return Ok((command, Some(file)));
            }
            Recorder::Twinheap => &[],
            Recorder::TwinheapNoNames => &["--no-js-names"],
            Recorder::TwinheapSampled => &["--sample", "512K"],
        };
        let file = tools.folder.join(format!("{name}{}.heaptrace", options.join("")));
        remove(&file)?;
        let mut command = Command::new(&tools.twinheap);
        command.arg("record").args(options).arg("-o").arg(&file).arg("--").args(program);
        Ok((command, Some(file)))
    }
}

/// Entry point.
pub(super) fn run(args: &NativeArgs) -> Result<()> {
    let load_before = machine::load_average();
    let tools = prepare(args)?;
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    let loops = if wants(Part::Loop) { hammer::measure(&tools, args)? } else { Vec::new() };
    let server = if wants(Part::Server) { Some(server::measure(&tools, args)?) } else { None };
    let reading = if wants(Part::Reading) {
        reading::measure(&tools, &loops, server.as_ref(), args)?
    } else {
        Vec::new()
    };
    let results = document::Results { loops: &loops, server: server.as_ref(), reading: &reading };
    let section = document::render(&results, args, &versions(&tools), &load_before);
    let path = root().join("BENCHMARKS.md");
    if !args.only.is_empty() {
        println!("\n{section}");
        return Ok(());
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    fs::write(&path, sections::with_section(&text, HEADING, &section))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

fn prepare(args: &NativeArgs) -> Result<Tools> {
    let folder = super::work_dir().join("native");
    fs::create_dir_all(&folder)?;
    output_of(Command::new("heaptrack").arg("--version")).context("heaptrack is not installed")?;
    let twinheap = match &args.twinheap {
        Some(path) => path.clone(),
        None => {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            check(
                Command::new(cargo).args(["build", "--release", "--quiet", "--locked"]).current_dir(root()),
            )?;
            target_dir().join("release/twinheap")
        }
    };
    let installed = root().join("tests/oracle/node_modules/node22/bin/node");
    let node = args.node.clone().unwrap_or(installed);
    Ok(Tools { twinheap, node, folder })
}

fn versions(tools: &Tools) -> Vec<(String, String)> {
    let first_line = |program: &Path| {
        let text = output_of(Command::new(program).arg("--version")).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    };
    vec![
        ("Node".to_owned(), first_line(&tools.node)),
        ("heaptrack".to_owned(), first_line(Path::new("heaptrack"))),
        ("C compiler".to_owned(), first_line(Path::new("cc"))),
    ]
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn best(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

/// The middle value; of an even number of values the lower middle one.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
