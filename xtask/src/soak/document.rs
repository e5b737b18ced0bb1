//! The section about pause-free snapshots in BENCHMARKS.md.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use super::figures::{Dumps, Stretch, Trial, quantile, worst};
use crate::sections::with_section;

/// The section's first line.
pub(crate) const HEADING: &str = "## Pause-free snapshots of a busy server\n";

/// Replaces the section in the document, or adds it at the end.
pub(super) fn write(path: &Path, section: &str) -> Result<()> {
    let text = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, with_section(&text, HEADING, section))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// The section's text.
pub(super) fn render(trials: &[Trial]) -> String {
    let mut text = format!(
        "{HEADING}\n\
         Written by `cargo xtask soak`, which leaves the rest of this file alone.\n\
         A server answers requests at a steady rate, stores and reads keys of a LevelDB, starts child processes, and \
         has two worker threads that allocate. twinheap takes pause-free snapshots of it, one after the other, and at \
         the end ordinary ones. Every answer is checked, and after the last dump: descriptors, threads, children, one \
         SIGCHLD for each child process, every key of the reopened database, and the exit code.\n\n\
         All times are in milliseconds unless they say s. *Lag* is the worst delay of the main thread's event loop during a dump, by \
         the server's own timer; a pause-free dump is noticed by the lag beside *quiet*, where nothing was dumped. \
         Latencies are the clients', from when a request was due. *Pause* is what twinheap reports.\n\n\
         With 400 MB the server stalls by itself when it collects its whole heap: 210 ms in 90 s without any dump on \
         Node 20 (`--quiet 90`). A dump of half a minute meets such a collection now and then, and that is its worst \
         lag.\n"
    );
    let mut heaps: BTreeMap<u32, Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        heaps.entry(trial.heap_mb).or_default().push(trial);
    }
    for (heap, trials) in heaps {
        heap_tables(&mut text, heap, &trials);
    }
    text
}

fn heap_tables(text: &mut String, heap: u32, trials: &[&Trial]) {
    let _ = write!(
        text,
        "\n### {heap} MB of lasting objects\n\n\
         | Node | pause-free: main, worker | copies for one | failed | answers | wrong | children | keys | classes as in the ordinary one | server's cores | load average |\n\
         | --- | ---: | --- | --- | ---: | ---: | ---: | ---: | --- | ---: | --- |\n"
    );
    for trial in trials {
        let wrong =
            if trial.wrong_answers == 0 { "none".to_owned() } else { trial.wrong_answers.to_string() };
        let _ = writeln!(
            text,
            "| {} | {}, {} | {} | {} | {} | {wrong} | {} | {} | {} | {:.2} | {} to {} |",
            trial.version,
            trial.main.taken,
            trial.worker.taken,
            attempts(trial),
            failures(trial),
            trial.requests,
            trial.spawned,
            trial.keys,
            classes(trial),
            trial.cores,
            trial.load_average[0],
            trial.load_average[1],
        );
    }
    text.push_str(
        "\n| Node | | dump | pause: median | worst | lag: median of dumps | worst | latency: median | p99 | worst | child process |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for trial in trials {
        quiet_row(text, &trial.version, "quiet", &trial.quiet);
        dump_row(text, "pause-free, main", &trial.main);
        dump_row(text, "pause-free, worker", &trial.worker);
        quiet_row(text, "", "quiet, after those", &trial.quiet_after);
        dump_row(text, "ordinary, main", &trial.ordinary);
        quiet_row(text, "", "quiet, after those", &trial.quiet_at_end);
    }
}

fn quiet_row(text: &mut String, version: &str, what: &str, stretch: &Stretch) {
    if stretch.lags.is_empty() {
        return;
    }
    let _ = writeln!(text, "| {version} | {what} | | | | {} |", noticed(stretch));
}

fn dump_row(text: &mut String, what: &str, dumps: &Dumps) {
    if dumps.taken == 0 {
        return;
    }
    let _ = writeln!(
        text,
        "| | {what} | {:.1} s | {:.1} | {:.1} | {} |",
        quantile(&dumps.took_seconds, 0.5),
        quantile(&dumps.pauses, 0.5),
        worst(&dumps.pauses),
        noticed(&dumps.during)
    );
}

fn noticed(stretch: &Stretch) -> String {
    format!(
        "{:.0} | {:.0} | {:.1} | {:.0} | {:.0} | {:.1}",
        quantile(&stretch.lags, 0.5),
        worst(&stretch.lags),
        stretch.latency_p50,
        stretch.latency_p99,
        stretch.latency_worst,
        stretch.spawn_p50
    )
}

/// `1: 97, 2: 3`: 97 dumps took one copy, 3 took two.
fn attempts(trial: &Trial) -> String {
    let mut all: BTreeMap<u32, u32> = BTreeMap::new();
    for (copies, count) in trial.main.attempts.iter().chain(&trial.worker.attempts) {
        *all.entry(*copies).or_default() += count;
    }
    listed(all.iter().map(|(copies, count)| format!("{copies}: {count}")))
}

/// `5 of 12; (system) 1850, 1957`: the class that differs most has so many objects in one and in the other.
fn classes(trial: &Trial) -> String {
    let [equal, compared] = trial.equal_classes;
    let different = trial.most_different.as_ref();
    let different = different.map(|(name, ours, theirs)| format!("; {name} {ours}, {theirs}"));
    format!("{equal} of {compared}{}", different.unwrap_or_default()).replace('|', "\\|")
}

fn failures(trial: &Trial) -> String {
    let dumps = [&trial.main, &trial.worker, &trial.ordinary].into_iter();
    listed(dumps.flat_map(|dumps| &dumps.failures).map(|(reason, count)| format!("{count} × {reason}")))
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    let text = parts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text.replace('|', "\\|") }
}

/// A trial in a line, for the terminal.
pub(super) fn line(trial: &Trial) -> String {
    let lags = |dumps: &Dumps| (quantile(&dumps.during.lags, 0.5), worst(&dumps.during.lags));
    let (main, worker, ordinary) = (lags(&trial.main), lags(&trial.worker), lags(&trial.ordinary));
    format!(
        "node {}: {} of main and {} of the worker (copies {}; failed {}), pause {:.1} ms (worst {:.1}), lag {:.0} ms \
         (worst {:.0}), of a worker's dump {:.0} ({:.0}), ordinary {:.0} ({:.0}), quiet {:.0}; {} answers, {} wrong, \
         {} children, {} keys, {:.2} cores; classes {}; load {}",
        trial.major,
        trial.main.taken,
        trial.worker.taken,
        attempts(trial),
        failures(trial),
        quantile(&trial.main.pauses, 0.5),
        worst(&trial.main.pauses),
        main.0,
        main.1,
        worker.0,
        worker.1,
        ordinary.0,
        ordinary.1,
        worst(&trial.quiet.lags),
        trial.requests,
        trial.wrong_answers,
        trial.spawned,
        trial.keys,
        trial.cores,
        classes(trial),
        trial.load_average.join(" to "),
    )
}
