//! `twinheap demo`: the sample server, its snapshots and its recording, what `leaks` says of them, and their page.

mod native;

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use twinheap_report::{Describer, LeaksView, leaks_text};

use crate::args::Global;
use crate::demo::{DemoArgs, DemoRun, Page, Step, record};
use crate::interrupt::{Cooperative, STOP};
use crate::load::load;
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::leaks::{Climbed, climb};
use crate::verbs::open;

/// Suspects to print: the demo leaks in two ways.
const SUSPECTS: usize = 2;

/// Where nobody can press Ctrl-C the page ends when nobody has asked for anything for so long.
const IDLE: Duration = Duration::from_secs(60);

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
        classes: false,
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
    if let Some(folder) = run.kept() {
        output.text(&next(&run, folder))?;
    }
    if args.page != Page::Never {
        page(&run, args.page, global, output)?;
    }
    if run.kept().is_none() {
        output.note("all files are deleted again; `twinheap demo --keep DIR` keeps them to look around");
    }
    Ok(0)
}

/// Prints the address of the page on all files, and serves it.
fn page(run: &DemoRun, when: Page, global: &Global, output: &Output) -> anyhow::Result<()> {
    let mut files = run.snapshots.clone();
    // The newest snapshot has the verdict on all.
    let newest = files.len().saturating_sub(1);
    files.extend(run.native.iter().map(|native| native.recording.clone()));
    let server = match open::bind(&files, None) {
        Ok(server) => server,
        Err(why) => {
            output.warning(&format!("there is no page to look at: {why:#}"));
            return Ok(());
        }
    };
    let is_attended =
        when == Page::Always || std::io::stdin().is_terminal() || std::io::stdout().is_terminal();
    output.text(&format!("\nSee both heaps in a browser:\n{}?file={newest}\n", server.url()))?;
    let end = if is_attended { "Ctrl-C ends it" } else { "it ends a minute after the last look at it" };
    output.note(&format!("{}; {end}", open::how_to_get_there(server.address().port())));
    open::serve(if is_attended { server } else { server.ends_after(IDLE) }, global)
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
