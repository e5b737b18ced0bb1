//! The smallest memory limit under which a program still works.
//!
//! Peak residency flatters a program that could do with less, and one that maps its input. A limit asks directly.
//! The limit is `RLIMIT_DATA`, set by util-linux's `prlimit`: private writable memory, touched or not, without
//! mapped files.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{
    measure::{self, Outcome},
    peers::Contestant,
    work_dir,
};

/// So many runs in a row have to succeed.
const RUNS: usize = 3;

/// The search ends when the bounds are this close.
const PRECISION: f64 = 0.03;

/// The smallest limit in bytes, within 3 %; nothing if even 64 GB is too little or `prlimit` is missing.
pub(super) fn smallest(contestant: &Contestant, file: &Path) -> Result<Option<u64>> {
    let mut enough: u64 = 64_000_000_000;
    let mut too_little: u64 = 1_000_000;
    if !works_with(contestant, file, enough)? {
        return Ok(None);
    }
    // Bisect the logarithm: the answer may be 10 MB or 10 GB.
    while too_little as f64 * (1.0 + PRECISION) < enough as f64 {
        let middle = (too_little as f64 * enough as f64).sqrt() as u64;
        if works_with(contestant, file, middle)? {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    println!("  {:<22} works with {:.1} MB of data", contestant.label, enough as f64 / 1e6);
    Ok(Some(enough))
}

fn works_with(contestant: &Contestant, file: &Path, bytes: u64) -> Result<bool> {
    let inner = contestant.command(file);
    for _ in 0..RUNS {
        let mut command = Command::new("prlimit");
        command.arg(format!("--data={bytes}:{bytes}")).arg("--");
        command.arg(inner.get_program()).args(inner.get_args());
        match measure::run(command, &work_dir().join("answer-limited.json"))? {
            Outcome::Finished(_) => {}
            Outcome::Failed(_) => return Ok(false),
        }
    }
    Ok(true)
}
