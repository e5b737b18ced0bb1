//! The loop of malloc and free: what one of these calls costs more when it is recorded.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{NativeArgs, Recorder, Tools, best, median};
use crate::{
    bench::{
        check,
        measure::{self, Outcome},
    },
    root,
};

/// The loop of one depth and number of threads, compiled in one way.
pub(super) struct Shape {
    pub(super) has_frame_pointers: bool,
    pub(super) threads: u64,
    pub(super) depth: u32,
    /// In the order of [`RECORDERS`].
    pub(super) rows: Vec<Row>,
}

/// One recorder's runs of a shape.
pub(super) struct Row {
    runs: Vec<HammerRun>,
    /// The recording of the last run.
    pub(super) file: Option<PathBuf>,
}

struct HammerRun {
    /// Of one call in the slowest thread.
    nanoseconds: f64,
    /// From the recorder's start to its end, when the recording is written.
    wall_s: f64,
    /// Of the largest process, in bytes.
    peak_bytes: u64,
}

/// Who takes part, the program alone first.
pub(super) const RECORDERS: [Recorder; 3] = [Recorder::Nobody, Recorder::Twinheap, Recorder::Heaptrack];

impl Row {
    /// Nanoseconds of a call.
    pub(super) fn nanoseconds(&self) -> f64 {
        best(self.runs.iter().map(|run| run.nanoseconds))
    }

    /// Seconds from start to end.
    pub(super) fn wall_s(&self) -> f64 {
        best(self.runs.iter().map(|run| run.wall_s))
    }

    pub(super) fn peak_bytes(&self) -> f64 {
        median(self.runs.iter().map(|run| run.peak_bytes as f64))
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file.as_ref().and_then(|file| fs::metadata(file).ok()).map_or(0, |about| about.len())
    }
}

impl Shape {
    pub(super) fn name(&self) -> String {
        let kind = if self.has_frame_pointers { "fp" } else { "nofp" };
        format!("loop-{kind}-{}-{}", self.threads, self.depth)
    }

    pub(super) fn row(&self, recorder: Recorder) -> Option<&Row> {
        let at = RECORDERS.iter().position(|one| *one == recorder)?;
        self.rows.get(at)
    }

    /// Nanoseconds that a recorder adds to a call.
    pub(super) fn added(&self, recorder: Recorder) -> f64 {
        let of = |recorder| self.row(recorder).map_or(f64::NAN, Row::nanoseconds);
        of(recorder) - of(Recorder::Nobody)
    }

    /// How many times more heaptrack adds than twinheap in the same round, the median.
    pub(super) fn median_ratio(&self) -> f64 {
        let runs = |recorder| self.row(recorder).map_or(&[][..], |row| &row.runs);
        let alone =
            runs(Recorder::Nobody).iter().zip(runs(Recorder::Twinheap)).zip(runs(Recorder::Heaptrack));
        median(alone.map(|((alone, ours), heaptrack)| {
            (heaptrack.nanoseconds - alone.nanoseconds) / (ours.nanoseconds - alone.nanoseconds)
        }))
    }
}

/// All shapes in turn, and that as often as asked for: a machine that others share has its slow minutes, and none of the
/// shapes should have them alone.
pub(super) fn measure(tools: &Tools, args: &NativeArgs) -> Result<Vec<Shape>> {
    let mut shapes = Vec::new();
    for has_frame_pointers in [true, false] {
        let program = compile(tools, has_frame_pointers)?;
        for threads in [1, 2] {
            for depth in [10, 30, 60] {
                let rows = RECORDERS.map(|_| Row { runs: Vec::new(), file: None }).into_iter().collect();
                shapes.push((Shape { has_frame_pointers, threads, depth, rows }, program.clone()));
            }
        }
    }
    for run in 1..=args.runs {
        println!("  round {run} of {}", args.runs);
        for (shape, program) in &mut shapes {
            repeat(shape, program, tools, args)?;
        }
    }
    let shapes: Vec<Shape> = shapes.into_iter().map(|(shape, _)| shape).collect();
    shapes.iter().for_each(tell);
    Ok(shapes)
}

fn compile(tools: &Tools, has_frame_pointers: bool) -> Result<PathBuf> {
    let program = tools.folder.join(if has_frame_pointers { "hammer-fp" } else { "hammer-nofp" });
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-g", "-pthread"]);
    cc.arg(if has_frame_pointers { "-fno-omit-frame-pointer" } else { "-fomit-frame-pointer" });
    check(cc.arg("-o").arg(&program).arg(root().join("xtask/bench/hammer.c")))?;
    Ok(program)
}

/// One run of each recorder.
fn repeat(shape: &mut Shape, program: &Path, tools: &Tools, args: &NativeArgs) -> Result<()> {
    let words = [shape.threads, u64::from(shape.depth), args.pairs].map(|word| word.to_string());
    let command: Vec<String> = [program.display().to_string()].into_iter().chain(words).collect();
    let name = shape.name();
    let answer = tools.folder.join("answer.txt");
    for (recorder, row) in RECORDERS.iter().zip(&mut shape.rows) {
        let (command, file) = recorder.command(tools, &name, &command)?;
        let run = match measure::run(command, &answer)? {
            Outcome::Finished(run) => run,
            Outcome::Failed(why) => bail!("{} fails at {name}: {why}", recorder.label()),
        };
        let text = fs::read_to_string(&answer)?;
        let said = text.lines().find_map(|line| line.strip_prefix("nanoseconds an event: "));
        let nanoseconds = said.context("the loop told no time")?.parse()?;
        row.runs.push(HammerRun { nanoseconds, wall_s: run.wall_s, peak_bytes: run.peak_rss_bytes });
        row.file = file;
    }
    Ok(())
}

fn tell(shape: &Shape) {
    let name = shape.name();
    for (recorder, row) in RECORDERS.iter().zip(&shape.rows) {
        println!(
            "  {name:<16} {:<14} {:>8.1} ns an event (+{:.1}) {:>7.2} s {:>8.1} MB of memory {:>10} bytes of file",
            recorder.label(),
            row.nanoseconds(),
            shape.added(*recorder),
            row.wall_s(),
            row.peak_bytes() / 1e6,
            row.file_bytes(),
        );
    }
}
