//! The section about the native heap in BENCHMARKS.md.

use std::fmt::Write as _;

use super::{NativeArgs, Recorder, hammer, hammer::Shape, reading::Reading, server};
use crate::bench::machine;

/// The section's first line.
pub(in crate::bench) const HEADING: &str = "## The native heap\n";

/// Less than this can't be told from nothing, in nanoseconds: an added time below it counts as this much.
const RESOLUTION_NS: f64 = 0.5;

/// Everything that was measured.
pub(super) struct Results<'a> {
    pub(super) loops: &'a [Shape],
    pub(super) server: Option<&'a Vec<server::Row>>,
    pub(super) reading: &'a [Reading],
}

/// The section's text.
pub(super) fn render(
    results: &Results<'_>,
    args: &NativeArgs,
    versions: &[(String, String)],
    load_before: &str,
) -> String {
    let mut text = format!(
        "{HEADING}\n\
         Written by `cargo xtask bench native`, which leaves the rest of this file alone. Recorded and read beside \
         heaptrack in the same run, the programs in turn. Times depend on the machine and on what else it does: the \
         ratios are what counts.\n"
    );
    goals(&mut text, results);
    if !results.loops.is_empty() {
        loops(&mut text, results.loops, args);
    }
    if let Some(rows) = results.server {
        server(&mut text, rows, args);
    }
    if !results.reading.is_empty() {
        reading(&mut text, results.reading);
    }
    text.push_str("\n### Machine and versions of this section\n\n| | |\n| --- | --- |\n");
    for (name, value) in machine::describe().iter().chain(versions) {
        let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    }
    let _ = writeln!(text, "| Load average | {load_before} before, {} after |", machine::load_average());
    text
}

/// The worst row of each kind.
fn goals(text: &mut String, results: &Results<'_>) {
    let worst =
        |values: Vec<f64>| values.into_iter().filter(|value| !value.is_nan()).fold(f64::INFINITY, f64::min);
    let mut rows: Vec<(&str, &str, String)> = Vec::new();
    let times = |value: f64| format!("{value:.1}");
    if !results.loops.is_empty() {
        let of = |figure: fn(&Shape) -> f64| worst(results.loops.iter().map(figure).collect());
        rows.push(("heaptrack's added time a call ÷ ours", "10", times(of(added_ratio))));
        rows.push(("the same, until the recording is written", "–", times(of(wall_ratio))));
        rows.push(("heaptrack's file of the loop ÷ ours", "1", times(of(file_ratio))));
        rows.push(("heaptrack's memory at the loop ÷ ours", "–", times(of(memory_ratio))));
    }
    if let Some(server) = results.server {
        let share = |recorder| format!("{:.0} %", 100.0 * throughput(server, recorder));
        rows.push((
            "requests of a recorded Node server, of those unrecorded",
            "90 %",
            share(Recorder::Twinheap),
        ));
        rows.push(("the same, sampled", "98 %", share(Recorder::TwinheapSampled)));
        rows.push((
            "heaptrack's file of the server ÷ ours, a request",
            "1",
            times(server_file_ratio(server)),
        ));
    }
    if !results.reading.is_empty() {
        let ratios = |figure: fn(&Reading) -> f64| worst(results.reading.iter().map(figure).collect());
        rows.push(("speed of reading ÷ heaptrack_print's", "4", times(ratios(|one| speed(one, 0)))));
        rows.push(("the same, of heaptrack's file", "4", times(ratios(|one| speed(one, 1)))));
        rows.push(("heaptrack_print's memory ÷ ours", "1", times(ratios(|one| memory(one, 0)))));
        rows.push(("the same, of heaptrack's file", "1", times(ratios(|one| memory(one, 1)))));
    }
    text.push_str("\n### Goals\n\n| The worst row of each table | goal | reached |\n| --- | ---: | ---: |\n");
    for (what, goal, reached) in rows {
        let _ = writeln!(text, "| {what} | {goal} | {reached} |");
    }
}

fn added_ratio(shape: &Shape) -> f64 {
    shape.added(Recorder::Heaptrack) / shape.added(Recorder::Twinheap).max(RESOLUTION_NS)
}

fn of(shape: &Shape, recorder: Recorder, figure: impl Fn(&hammer::Row) -> f64) -> f64 {
    shape.row(recorder).map_or(f64::NAN, figure)
}

fn wall_ratio(shape: &Shape) -> f64 {
    let added = |recorder| {
        of(shape, recorder, hammer::Row::wall_s) - of(shape, Recorder::Nobody, hammer::Row::wall_s)
    };
    added(Recorder::Heaptrack) / added(Recorder::Twinheap)
}

fn file_ratio(shape: &Shape) -> f64 {
    let bytes = |recorder| of(shape, recorder, |row| row.file_bytes() as f64);
    bytes(Recorder::Heaptrack) / bytes(Recorder::Twinheap)
}

fn memory_ratio(shape: &Shape) -> f64 {
    let bytes = |recorder| of(shape, recorder, hammer::Row::peak_bytes);
    bytes(Recorder::Heaptrack) / bytes(Recorder::Twinheap)
}

fn loops(text: &mut String, shapes: &[Shape], args: &NativeArgs) {
    let _ = write!(
        text,
        "\n### A loop of malloc and free\n\n\
         `xtask/bench/hammer.c`: {} calls of malloc and as many of free in each thread, from 256 stacks, 16 to 143 \
         bytes. *Added* is the time that one call takes longer in the slowest thread than in the program alone, best of \
         {} rounds of all rows; *median* is the ratio within a round, with what others do on the machine in it. *In all* \
         is from the recorder's start until the recording is written and named. *Memory* is that of the largest process that takes part, shared memory included (`ru_maxrss`).\n\n\
         | frame pointers | threads | depth | alone, ns a call | twinheap, added ns | heaptrack, added ns | added ÷ ours | median | in all: alone | twinheap | heaptrack | file, MB: twinheap | heaptrack | memory, MB: twinheap | heaptrack |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        args.pairs, args.runs
    );
    for shape in shapes {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} s | {:.2} s | {:.2} s | {:.2} | {:.2} | {:.0} | {:.0} |",
            if shape.has_frame_pointers { "yes" } else { "no" },
            shape.threads,
            shape.depth,
            of(shape, Recorder::Nobody, hammer::Row::nanoseconds),
            shape.added(Recorder::Twinheap),
            shape.added(Recorder::Heaptrack),
            added_ratio(shape),
            shape.median_ratio(),
            of(shape, Recorder::Nobody, hammer::Row::wall_s),
            of(shape, Recorder::Twinheap, hammer::Row::wall_s),
            of(shape, Recorder::Heaptrack, hammer::Row::wall_s),
            of(shape, Recorder::Twinheap, |row| row.file_bytes() as f64 / 1e6),
            of(shape, Recorder::Heaptrack, |row| row.file_bytes() as f64 / 1e6),
            of(shape, Recorder::Twinheap, |row| row.peak_bytes() / 1e6),
            of(shape, Recorder::Heaptrack, |row| row.peak_bytes() / 1e6),
        );
    }
}

fn throughput(rows: &[server::Row], recorder: Recorder) -> f64 {
    let row = rows.iter().find(|row| row.recorder == recorder);
    row.map_or(f64::NAN, server::Row::throughput)
}

fn server_file_ratio(rows: &[server::Row]) -> f64 {
    let of = |recorder| {
        let row = rows.iter().find(|row| row.recorder == recorder);
        row.and_then(server::Row::file_bytes_per_request).unwrap_or(f64::NAN)
    };
    of(Recorder::Heaptrack) / of(Recorder::Twinheap)
}

fn server(text: &mut String, rows: &[server::Row], args: &NativeArgs) {
    let _ = write!(
        text,
        "\n### A Node HTTP server\n\n\
         `xtask/bench/server.cjs`: hashes, buffers, compression, JSON; 16 connections that ask without pause. The \
         servers live at the same time and are loaded in turn, {} times {} ms each after a warm-up, with {} sets of \
         servers; a share is the median of those with the turn of the unrecorded server right before or behind. A \
         server, its clients and the recorder share the machine's processors. *Processor time* is that of the server for a request.\n\n\
         | | requests/s | of those unrecorded | processor time a request | times that unrecorded | file, bytes a request | memory of the recorder, MB | of the server, MB |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        args.seconds * server::TURNS_A_SECOND,
        server::MEASURED.as_millis(),
        args.sets
    );
    for row in rows {
        let is_alone = row.recorder == Recorder::Nobody;
        let file = row.file_bytes_per_request().map_or_else(|| "–".to_owned(), |bytes| format!("{bytes:.0}"));
        let memory = if is_alone { "–".to_owned() } else { format!("{:.0}", row.recorder_bytes() / 1e6) };
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.1} % | {:.1} µs | {:.2} | {file} | {memory} | {:.0} |",
            row.recorder.label(),
            row.requests_per_s(),
            100.0 * row.throughput(),
            row.cpu_s() * 1e6,
            row.cpu_ratio(),
            row.server_bytes() / 1e6,
        );
    }
}

/// Events a second of a row over those of heaptrack_print.
fn speed(reading: &Reading, at: usize) -> f64 {
    let of = |at: usize| reading.rows.get(at).map_or(f64::NAN, super::reading::Row::events_per_s);
    of(at) / of(reading.rows.len() - 1)
}

/// Memory of heaptrack_print over that of a row.
fn memory(reading: &Reading, at: usize) -> f64 {
    let of = |at: usize| reading.rows.get(at).map_or(f64::NAN, super::reading::Row::peak_bytes);
    of(reading.rows.len() - 1) / of(at)
}

fn reading(text: &mut String, readings: &[Reading]) {
    text.push_str(
        "\n### Reading\n\n\
         `twinheap summary FILE --json` beside `heaptrack_print FILE`. The files are those of the runs above: of the \
         same program, each by its own recorder. An event is an allocation or a free. Best times, median memory.\n\n\
         | recorded | | events | time | events/s | ÷ heaptrack_print's | memory, MB | heaptrack_print's ÷ this |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for reading in readings {
        for (at, row) in reading.rows.iter().enumerate() {
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} M | {:.3} s | {:.1} M | {:.1} | {:.0} | {:.1} |",
                if at == 0 { &*reading.what } else { "" },
                row.label,
                2.0 * row.allocations as f64 / 1e6,
                row.wall_s(),
                row.events_per_s() / 1e6,
                speed(reading, at),
                row.peak_bytes() / 1e6,
                memory(reading, at),
            );
        }
    }
}
