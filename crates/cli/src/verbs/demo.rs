//! `twinheap demo`: the sample server, its snapshots and its recording, and what `leaks` says of them.

mod native;

use std::path::Path;

use twinheap_report::{Describer, LeaksView, leaks_text};

use crate::args::Global;
use crate::demo::{DemoArgs, DemoRun, Step, record};
use crate::interrupt::{Cooperative, STOP};
use crate::load::load;
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::leaks::{Climbed, climb};

/// Suspects to print: the demo leaks in two ways.
const SUSPECTS: usize = 2;

pub(crate) fn run(args: &DemoArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let cooperative = Cooperative::new();
    let run = record(args, &STOP, &mut |step| match step {
        Step::Visiting { .. } => {}
        step => output.note(&format!("{step}")),
    })?;
    drop(cooperative);
    let progress = Progress::new(global);
    let Some((first, others)) = run.snapshots.split_first() else { return Ok(0) };
    let first = load(first, global, &progress)?;
    let Climbed { findings, newest, notes } = climb(first, others, global, &progress, &mut |_| {})?;
    progress.clear();
    let view = LeaksView {
        findings: &findings,
        files: &notes.files,
        accepted: &[],
        outcomes: None,
        warnings: &notes.warnings,
    };
    let text = leaks_text(&Describer::new(&newest.heap), &view, &output.style, SUSPECTS);
    output.text(&format!(
        "\nThe server ran on Node.js {}. `twinheap leaks` says:\n\n{text}",
        run.node_version
    ))?;
    if let Some(recorded) = &run.native {
        output.text(&native::verdict(recorded, global, output)?)?;
    }
    output.text(&match run.kept() {
        Some(folder) => next(&run, folder),
        None => "\nAll files are deleted again; `twinheap demo --keep DIR` keeps them to look around.\n"
            .to_owned(),
    })?;
    Ok(0)
}

/// What was kept, and what to look at next.
fn next(run: &DemoRun, folder: &Path) -> String {
    let mut commands = Vec::new();
    if let Some(last) = run.snapshots.last() {
        let last = last.display();
        commands.push(format!("twinheap summary {last}"));
        commands.push(format!("twinheap path {last} --merge Session"));
    }
    if let Some(native) = &run.native {
        let recording = native.recording.display();
        commands.push(format!("twinheap summary {recording}"));
        commands.push(format!("twinheap tree {recording} --by leaked"));
        commands.push(format!("twinheap flamegraph {recording} -o {}", folder.join("demo.html").display()));
    }
    let commands: Vec<String> = commands.iter().map(|command| format!("  {command}\n")).collect();
    format!(
        "\nAll files are kept in {}; the server's source is {}. Look around:\n{}",
        folder.display(),
        run.server_source.display(),
        commands.concat()
    )
}
