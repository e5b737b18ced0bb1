//! The section about recordings in BENCHMARKS.md.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use super::{Mode, SAMPLE, Trial};
use crate::sections::with_section;

/// The section's first line.
pub(crate) const HEADING: &str = "## Recordings of a busy server\n";

/// Replaces the section in the document, or adds it at the end.
pub(crate) fn write(path: &Path, trials: &[Trial]) -> Result<()> {
    let text = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, with_section(&text, HEADING, &render(trials)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

fn render(trials: &[Trial]) -> String {
    let minutes = trials.iter().map(|trial| trial.seconds).sum::<f64>() / 60.0;
    let mut text = format!(
        "{HEADING}\n\
         Written by `cargo xtask soak --record`, which leaves the rest of this file alone.\n\
         A server runs under `twinheap record` for {minutes:.0} minutes in all: HTTP, a LevelDB, pictures (sharp), \
         compression, ciphers and keys, WebAssembly that traps, errors thrown in C++ and JavaScript, buffers, two worker \
         threads that stay and others that come and go (by their own end, by an error, by `terminate`), child processes \
         and among them Node itself. Recorded are all calls (*full*), a sample (`--sample {SAMPLE}`), or the child \
         processes too (`--follow`). Every answer is checked, and at the end: descriptors, threads, children, one SIGCHLD \
         for each child process, every key of the reopened database, the exit code, that nothing is left in `/dev/shm`, \
         and that each recording opens without a word of damage and has as many allocations as were recorded.\n\n\
         *Alive* is what the recording says of a moment of rest. It must be more than the server's ArrayBuffers, which \
         Node counts itself, and can't be more than the anonymous memory that can be written to; *touched* is what of that \
         the kernel has given out, V8's heaps with it. *Collector* is the memory of the `record` process: its own at the \
         beginning and at the end, and at the worst, with the ring and the files that it maps to look names up. \
         heaptrack_print counts the allocations of the converted recording.\n\n\
         | Node | recorded | time | answers | wrong | latency: median, p99 | worst lag | children | keys | allocations | \
         heaptrack_print | alive | ArrayBuffers | touched, mapped | file | of children | collector | load average |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
    );
    for trial in trials {
        let wrong = if trial.wrong_answers == 0 { "none".into() } else { trial.wrong_answers.to_string() };
        let peer = match (trial.mode, trial.equal_to_peer) {
            (Mode::Sample, _) => "",
            (_, Some(true)) => "the same",
            (_, Some(false)) => "another",
            (_, None) => "not there",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} s | {} | {wrong} | {:.1}, {:.0} ms | {:.0} ms | {} | {} | {} | {peer} | {:.1} MB | {:.1} MB | \
             {:.0}, {:.0} MB | {:.1} MB | {} | {:.0}, {:.0}, {:.0} MB | {} to {} |",
            trial.version,
            trial.mode.name(),
            trial.seconds,
            trial.requests,
            trial.latency_p50,
            trial.latency_p99,
            trial.lag_worst,
            trial.spawned,
            trial.keys,
            trial.allocations,
            trial.live as f64 / 1e6,
            megabytes(trial.array_buffers),
            megabytes(trial.mapped.resident),
            megabytes(trial.mapped.writable),
            megabytes(trial.file),
            trial.files_of_children,
            megabytes(trial.collector.early),
            megabytes(trial.collector.late),
            megabytes(trial.collector.peak),
            trial.load_average[0],
            trial.load_average[1],
        );
    }
    text
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A trial in a line, for the terminal.
pub(crate) fn line(trial: &Trial) -> String {
    format!(
        "node {}, {}: {:.0} s, {} answers, {} wrong, {} children, {} keys; {} allocations, {:.1} MB alive (buffers {:.1}, \
         touched {:.0} MB), file {:.1} MB and {} of children, collector {:.0} MB (peak {:.0})",
        trial.major,
        trial.mode.name(),
        trial.seconds,
        trial.requests,
        trial.wrong_answers,
        trial.spawned,
        trial.keys,
        trial.allocations,
        trial.live as f64 / 1e6,
        megabytes(trial.array_buffers),
        megabytes(trial.mapped.resident),
        megabytes(trial.file),
        trial.files_of_children,
        megabytes(trial.collector.late),
        megabytes(trial.collector.peak),
    )
}
