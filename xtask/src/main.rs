//! Developer commands: `cargo xtask <command>`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool that talks to a terminal or a log"
)]

mod bench;
mod sections;
mod setup;
mod soak;
mod test;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;

/// Developer commands of twinheap.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Install what the tests need: npm packages and checking tools, inside the repository.
    Setup,
    /// Run every check that a commit must pass; CI runs exactly this.
    Test {
        /// Skip the setup.
        #[arg(long)]
        fast: bool,
    },
    /// Take many pause-free snapshots of a busy server on every Node version, and see whether it takes harm.
    Soak(soak::SoakArgs),
    /// Measure twinheap and its peers, and write BENCHMARKS.md.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Xtask::parse() {
        Xtask::Setup => setup::run(),
        Xtask::Test { fast } => test::run(fast),
        Xtask::Soak(args) => soak::run(&args),
        Xtask::Bench(bench) => bench::run(&bench),
    }
}

/// The repository's top folder, wherever the command was called from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder of everything built.
fn target_dir() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
