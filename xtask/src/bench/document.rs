//! BENCHMARKS.md.

use std::fmt::Write as _;

use super::{
    HeapResult, JsArgs, Row,
    agree::Agreement,
    machine,
    measure::{Outcome, Run},
    memory::{Ceilings, Rate},
    passes::{Pass, PassTable},
    peers::{Peer, Tools},
};

/// What the project wants to reach: which figure of which peer, and how many times twinheap's.
const GOALS: [(&str, Peer, Figure, f64); 3] = [
    ("time of the DevTools engine", Peer::Devtools, Figure::Wall, 10.0),
    ("time of v8-heap-parser", Peer::V8HeapParser, Figure::Wall, 3.0),
    ("peak memory of the DevTools engine", Peer::Devtools, Figure::Rss, 3.0),
];

/// Differing classes that are listed before the rest is only counted.
const LISTED_DIFFERENCES: usize = 10;

/// A figure of a program that is compared with twinheap's.
#[derive(Clone, Copy)]
enum Figure {
    /// Best wall time, in seconds.
    Wall,
    /// Median peak residency, in bytes.
    Rss,
    /// Highest sampled anonymous memory, in bytes.
    Anonymous,
}

impl Figure {
    fn of(self, row: &Row) -> Option<f64> {
        let Outcome::Finished(runs) = &row.outcome else { return None };
        match self {
            Figure::Wall => runs.iter().map(|run| run.wall_s).min_by(f64::total_cmp),
            Figure::Rss => median(runs, |run| run.peak_rss_bytes as f64),
            Figure::Anonymous => Some(row.anonymous_bytes as f64),
        }
    }
}

/// The document's text.
pub(super) fn render(results: &[HeapResult], tools: &Tools, args: &JsArgs, load_before: &str) -> String {
    let mut text = String::from(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench js`; don't edit it, run it. Times depend on the machine and on what else it \
         does: the ratios are what counts.\n\n\
         The job: from a snapshot file to the table of all classes with count, shallow size and exact retained size.\n",
    );
    goals(&mut text, results);
    for result in results {
        heap(&mut text, result);
    }
    text.push_str("\n## Where twinheap's time goes\n");
    passes_intro(&mut text, results);
    for result in results {
        passes(&mut text, result);
    }
    method(&mut text, results, args);
    machine_and_versions(&mut text, tools, load_before);
    text
}

fn goals(text: &mut String, results: &[HeapResult]) {
    text.push_str("\n## Goals\n\n| How many times twinheap's | goal |");
    for result in results {
        let _ = write!(text, " {} |", result.heap.name);
    }
    let _ = write!(text, "\n| --- | ---: |{}\n", " ---: |".repeat(results.len()));
    for (what, peer, figure, goal) in GOALS {
        let _ = write!(text, "| {what} | {goal:.0} |");
        for result in results {
            let ratio = result.row(peer).and_then(|row| result.ratio(row, figure));
            match ratio {
                Some(ratio) if ratio < goal => {
                    let _ = write!(text, " {ratio:.1} (missed) |");
                }
                _ => {
                    let _ = write!(text, " {} |", times(ratio));
                }
            }
        }
        text.push('\n');
    }
}

impl HeapResult {
    fn row(&self, peer: Peer) -> Option<&Row> {
        self.rows.iter().find(|row| row.contestant.peer == peer)
    }

    /// A program's figure divided by twinheap's.
    fn ratio(&self, row: &Row, figure: Figure) -> Option<f64> {
        Some(figure.of(row)? / figure.of(self.row(Peer::Twinheap)?)?)
    }
}

fn heap(text: &mut String, result: &HeapResult) {
    let heap = &result.heap;
    let _ = write!(
        text,
        "\n## {}\n\n{}: {:.1} MB, {} nodes, {} edges.\n\n",
        heap.name,
        capitalised(&heap.about),
        heap.megabytes(),
        thousands(heap.nodes),
        thousands(heap.edges)
    );
    let limits = result.rows.iter().any(|row| row.limit_bytes.is_some());
    let (head, rule) = if limits { (" works with |", " ---: |") } else { ("", "") };
    let _ = writeln!(
        text,
        "| program | best time | median | CPU time | peak memory | of it anonymous | time ÷ ours | peak ÷ ours | anonymous ÷ ours |{head}\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |{rule}",
    );
    for row in &result.rows {
        let label = row.contestant.label;
        let Outcome::Finished(runs) = &row.outcome else {
            if let Outcome::Failed(why) = &row.outcome {
                let _ = writeln!(text, "| {label} | fails: {} ||||||||", one_cell(why));
            }
            continue;
        };
        let _ = write!(
            text,
            "| {label} | {} | {} | {} | {} | {} | {} | {} | {} |",
            seconds(Figure::Wall.of(row)),
            seconds(median(runs, |run| run.wall_s)),
            seconds(median(runs, |run| run.cpu_s)),
            megabytes(Figure::Rss.of(row)),
            megabytes(Figure::Anonymous.of(row)),
            times(result.ratio(row, Figure::Wall)),
            times(result.ratio(row, Figure::Rss)),
            times(result.ratio(row, Figure::Anonymous)),
        );
        if limits {
            let _ = write!(text, " {} |", megabytes(row.limit_bytes.map(|bytes| bytes as f64)));
        }
        text.push('\n');
    }
    if let Some(agreement) = &result.agreement {
        agrees(text, agreement);
    }
}

fn agrees(text: &mut String, agreement: &Agreement) {
    let differing = agreement.differences.len();
    if differing == 0 {
        let _ = writeln!(
            text,
            "\ntwinheap and the DevTools engine give the same table: {} classes, all figures equal.",
            thousands(agreement.classes as u64)
        );
        return;
    }
    let _ = writeln!(
        text,
        "\n**Warning:** {differing} of {} classes differ between twinheap and the DevTools engine:\n",
        thousands(agreement.classes as u64)
    );
    for difference in agreement.differences.iter().take(LISTED_DIFFERENCES) {
        let _ = writeln!(text, "- {difference}");
    }
    if differing > LISTED_DIFFERENCES {
        let _ = writeln!(text, "- and {} more", differing - LISTED_DIFFERENCES);
    }
}

fn passes_intro(text: &mut String, results: &[HeapResult]) {
    if results.iter().all(|result| result.passes.is_none()) {
        text.push_str("\nThis twinheap does not say: it has no `summary --timings`.\n");
        return;
    }
    text.push_str(
        "\nEach pass beside what this machine's memory allows on one thread. *Of the bandwidth*: the bytes that the \
         pass must read and write, by its own model, against sequential reading. *Of the gathers*, for passes that \
         follow edges: edges against independent reads at random places of an array with one `u32` for each node. \
         A pass that follows pointers can't reach the first, and one that depends on its own reads (*hops*) not the \
         second either; a pass that calculates (parsing) is bound by neither.\n",
    );
}

fn passes(text: &mut String, result: &HeapResult) {
    let (Some(table), Some(ceilings)) = (&result.passes, &result.ceilings) else { return };
    let _ = writeln!(text, "\n### {}\n", result.heap.name);
    memory(text, ceilings);
    text.push_str(
        "\n| pass | items | seconds, one thread | items/s | GB/s | of the bandwidth | of the gathers | seconds, all threads |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for pass in &table.one_thread {
        pass_row(text, pass, table, ceilings);
    }
    let sum = |passes: &[Pass]| passes.iter().map(|pass| pass.seconds).sum::<f64>();
    let _ = writeln!(
        text,
        "| **sum** | | {:.3} | | | | | {:.3} |\n\nOn several threads passes overlap: their sum is no wall time.",
        sum(&table.one_thread),
        sum(&table.all_threads)
    );
}

fn pass_row(text: &mut String, pass: &Pass, table: &PassTable, ceilings: &Ceilings) {
    let per_second = |amount: u64| amount as f64 / pass.seconds.max(1e-9);
    let gathers = if pass.unit == "edges" {
        percent(per_second(pass.items) / ceilings.gathers.one)
    } else {
        "–".to_owned()
    };
    let _ = writeln!(
        text,
        "| {} | {} {} | {:.3} | {:.1} M | {:.2} | {} | {gathers} | {} |",
        pass.pass,
        thousands(pass.items),
        pass.unit,
        pass.seconds,
        per_second(pass.items) / 1e6,
        per_second(pass.bytes) / 1e9,
        percent(per_second(pass.bytes) / ceilings.read.one),
        table.seconds_on_all(&pass.pass).map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.3}")),
    );
}

fn memory(text: &mut String, ceilings: &Ceilings) {
    let _ = writeln!(
        text,
        "| memory, with arrays for {} nodes | one thread | {} threads |\n| --- | ---: | ---: |",
        thousands(ceilings.nodes as u64),
        ceilings.threads
    );
    let mut row = |name: &str, rate: Rate, unit: &str, scale: f64| {
        let _ =
            writeln!(text, "| {name} | {:.1} {unit} | {:.1} {unit} |", rate.one / scale, rate.all / scale);
    };
    row("sequential reading", ceilings.read, "GB/s", 1e9);
    row("copying, read and written bytes", ceilings.copy, "GB/s", 1e9);
    row("first touch of fresh memory", ceilings.first_touch, "GB/s", 1e9);
    row("gathers: independent random 4-byte reads", ceilings.gathers, "M/s", 1e6);
    row("hops: random 4-byte reads, each finding the next", ceilings.hops, "M/s", 1e6);
}

fn method(text: &mut String, results: &[HeapResult], args: &JsArgs) {
    let _ = write!(
        text,
        "\n## Method\n\n\
         - The snapshots come from `xtask/bench/heaps.cjs`, a Node server that fills its state through real requests: \
         merkle trees that share nodes, a fork choice, caches, sessions with listeners, promises and timers, buffers, \
         class instances of many kinds. The one named *chain* also holds a long linked list, on which dominator \
         algorithms that iterate to a fixed point take quadratic time; the others keep such lists short, which favours \
         those algorithms.\n\
         - Each program runs once untimed; then come the timed runs, of all programs in turn. Timed runs of each: {}. The \
         file is in the page cache. A program that takes over two minutes runs once.\n\
         - Times are wall times from just before the start of the process to its end; *CPU time* is user and system time \
         of all threads (median).\n\
         - *Peak memory* is `ru_maxrss` from `wait4` (median): what was resident at once. It counts pages of a mapped \
         input file, which belong to the page cache and cost nothing where memory is short. *Anonymous* is the highest \
         `RssAnon` seen in the untimed run, sampled every 4 ms.\n\
         - heap-snapshot-toolkit runs both halves of the DevTools analysis in one thread; *two threads* gives the second \
         half a thread of its own, as Chrome does.\n\
         - memlab has no class table: its driver adds up each node's own retained size, which is less work.\n\
         - The programs on Node have a heap limit of 16 GB, so that none fails for want of memory; far below its limit V8 \
         collects garbage less eagerly.\n",
        args.runs
    );
    if args.min_memory {
        text.push_str(
            "- *Works with* is the smallest `RLIMIT_DATA` (private writable memory, without mapped files) with which three \
             runs in a row succeed, within 3 %. It counts what V8 reserves and never touches, so it says more about the \
             native programs.\n",
        );
    }
    text.push_str("\nThe commands, with FILE for the snapshot:\n\n```\n");
    if let Some(result) = results.first() {
        for row in &result.rows {
            let _ = writeln!(text, "{}", row.contestant.shown);
        }
    }
    text.push_str("```\n");
}

fn machine_and_versions(text: &mut String, tools: &Tools, load_before: &str) {
    text.push_str("\n## Machine and versions\n\n| | |\n| --- | --- |\n");
    for (name, value) in machine::describe().into_iter().chain(tools.versions()) {
        let _ = writeln!(text, "| {name} | {} |", one_cell(&value));
    }
    let _ = writeln!(text, "| Load average | {load_before} before, {} after |", machine::load_average());
}

/// The middle value; of an even number of values the lower middle one.
fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Option<f64> {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied()
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.2} s"))
}

fn megabytes(bytes: Option<f64>) -> String {
    bytes.map_or_else(|| "–".to_owned(), |bytes| format!("{:.0} MB", bytes / 1e6))
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.1}"))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Text that does not end its table cell.
fn one_cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(percent(0.256), "26 %");
        assert_eq!(times(None), "–");
    }

    #[test]
    fn the_median_of_none_is_none() {
        let run = |wall_s| Run { wall_s, cpu_s: 0.0, peak_rss_bytes: 0 };
        assert_eq!(median(&[], |run| run.wall_s), None);
        assert_eq!(median(&[run(3.0), run(1.0), run(2.0)], |run| run.wall_s), Some(2.0));
    }
}
