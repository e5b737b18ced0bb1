//! Reading recordings: twinheap beside heaptrack_print.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{NativeArgs, Recorder, Tools, best, hammer::Shape, median, server};
use crate::bench::measure::{self, Outcome, Run};

/// One program's recordings, by twinheap and by heaptrack, and what it takes to read them.
pub(super) struct Reading {
    pub(super) what: String,
    pub(super) rows: Vec<Row>,
}

/// One reader of one file.
pub(super) struct Row {
    pub(super) label: &'static str,
    program: PathBuf,
    file: PathBuf,
    options: &'static [&'static str],
    /// Calls that the file holds: almost each has its free.
    pub(super) allocations: u64,
    runs: Vec<Run>,
}

impl Row {
    pub(super) fn wall_s(&self) -> f64 {
        best(self.runs.iter().map(|run| run.wall_s))
    }

    pub(super) fn peak_bytes(&self) -> f64 {
        median(self.runs.iter().map(|run| run.peak_rss_bytes as f64))
    }

    /// Allocations and frees in a second; blocks that were never freed are too few to count.
    pub(super) fn events_per_s(&self) -> f64 {
        2.0 * self.allocations as f64 / self.wall_s()
    }
}

pub(super) fn measure(
    tools: &Tools,
    loops: &[Shape],
    server: Option<&Vec<server::Row>>,
    args: &NativeArgs,
) -> Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for (threads, depth) in [(1, 30), (2, 60)] {
        let shape =
            loops.iter().find(|one| one.has_frame_pointers && one.threads == threads && one.depth == depth);
        let Some(shape) = shape else { continue };
        let file = |recorder| shape.row(recorder).and_then(|row| row.file.clone());
        let what = format!("the loop, {threads} thread(s), depth {depth}");
        readings.extend(reading(tools, what, file(Recorder::Twinheap), file(Recorder::Heaptrack))?);
    }
    if let Some(rows) = server {
        let file =
            |recorder| rows.iter().find(|row| row.recorder == recorder).and_then(|row| row.file.clone());
        let what = "the Node server".to_owned();
        readings.extend(reading(tools, what, file(Recorder::Twinheap), file(Recorder::Heaptrack))?);
    }
    for reading in &mut readings {
        for _ in 0..args.runs {
            for row in &mut reading.rows {
                row.runs.push(read(&row.program, &row.file, row.options, &tools.folder.join("answer.txt"))?);
            }
        }
        for row in &reading.rows {
            let (events, memory) = (row.events_per_s() / 1e6, row.peak_bytes() / 1e6);
            println!("  {:<28} {:<36} {events:>7.2} M events/s {memory:>7.1} MB", reading.what, row.label);
        }
    }
    Ok(readings)
}

fn reading(
    tools: &Tools,
    what: String,
    ours: Option<PathBuf>,
    theirs: Option<PathBuf>,
) -> Result<Option<Reading>> {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(None) };
    let row = |label, program: &Path, file: &Path, options: &'static [&'static str], allocations| Row {
        label,
        program: program.to_owned(),
        file: file.to_owned(),
        options,
        allocations,
        runs: Vec::new(),
    };
    let (of_ours, of_theirs) = (allocations(tools, &ours)?, allocations(tools, &theirs)?);
    let print = Path::new("heaptrack_print");
    Ok(Some(Reading {
        what,
        rows: vec![
            row("twinheap, its own file", &tools.twinheap, &ours, &["summary", "--json"], of_ours),
            row("twinheap, heaptrack's file", &tools.twinheap, &theirs, &["summary", "--json"], of_theirs),
            row("heaptrack_print, heaptrack's file", print, &theirs, &[], of_theirs),
        ],
    }))
}

fn read(program: &Path, file: &Path, options: &[&str], answer: &Path) -> Result<Run> {
    let mut command = Command::new(program);
    command.args(options).arg(file);
    match measure::run(command, answer)? {
        Outcome::Finished(run) => Ok(run),
        Outcome::Failed(why) => bail!("{} can't read {}: {why}", program.display(), file.display()),
    }
}

/// Allocations in a file.
fn allocations(tools: &Tools, file: &Path) -> Result<u64> {
    let answer = tools.folder.join("answer.txt");
    read(&tools.twinheap, file, &["summary", "--json"], &answer)?;
    let json: Value = serde_json::from_str(&fs::read_to_string(&answer)?)?;
    json["allocations"].as_u64().context("the summary has no allocations")
}
