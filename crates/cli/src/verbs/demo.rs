//! `twinheap demo`: the sample server, its snapshots, and what `leaks` says of them.

use twinheap_report::{Describer, LeaksView, leaks_text};

use crate::args::Global;
use crate::demo::{DemoArgs, Step, record};
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
    if let Some(folder) = run.kept() {
        let last = run.snapshots.last().map(|p| p.display().to_string()).unwrap_or_default();
        let source = run.server_source.display();
        output.text(&format!(
            "\nThe snapshots are kept in {}, the server's source is {source}.\nLook around: twinheap summary {last}\n",
            folder.display(),
        ))?;
    } else {
        output.text(
            "\nThe snapshots are deleted again; `twinheap demo --keep DIR` keeps them to look around.\n",
        )?;
    }
    Ok(0)
}
