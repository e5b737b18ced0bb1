//! `twinheap demo`: the sample server, its snapshots, and what they show.

use twinheap_jsheap::{Growth, Heap, Paths, independent, steady_growth};
use twinheap_report::{Describer, NoPath, clean, path_text};
use twinheap_snapshot::Wtf8;

use crate::args::Global;
use crate::demo::{DemoArgs, Step, record};
use crate::interrupt::{Cooperative, STOP};
use crate::load::load;
use crate::output::Output;
use crate::progress::Progress;

/// Suspects to print: the demo leaks in two ways.
const SUSPECTS: usize = 2;

pub(crate) fn run(args: &DemoArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let cooperative = Cooperative::new();
    let run = record(args, &STOP, &mut |step| match step {
        Step::Visiting { .. } => {}
        step => output.note(&format!("{step}")),
    })?;
    drop(cooperative);
    let mut heaps = Vec::new();
    for path in &run.snapshots {
        heaps.push(load(path, global, &Progress::new(global))?.heap);
    }
    let heaps: Vec<&Heap> = heaps.iter().collect();
    let growth = steady_growth(&heaps);
    output.text(&verdict(&heaps, &growth, output, &run.node_version))?;
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

fn verdict(heaps: &[&Heap], growth: &[Growth], output: &Output, node_version: &str) -> String {
    let style = &output.style;
    let Some(last) = heaps.last() else { return String::new() };
    let sizes: Vec<String> = heaps.iter().map(|heap| style.size(heap.total_size())).collect();
    let mut out = format!("\nHeap of the server (Node.js {node_version}): {}\n", sizes.join(" → "));
    let suspects: Vec<Growth> = own_code_first(growth);
    let growing: Vec<&Growth> =
        independent(last, &suspects).into_iter().filter(|g| g.retained_growth() > 0).take(SUSPECTS).collect();
    if growing.is_empty() {
        out.push_str("Nothing grew with every snapshot.\n");
        return out;
    }
    let describer = Describer::new(last);
    let paths = Paths::new(last, &[]);
    for suspect in growing {
        let name = clean(&Wtf8::new(&suspect.name).to_string_lossy(), 60);
        let subject = if suspect.is_function { format!("{name}()") } else { name };
        let what = if suspect.is_function { "closures" } else { "objects" };
        let counts: Vec<String> = suspect.counts.iter().map(|&c| style.count(c)).collect();
        let place =
            describer.source_of(suspect.example).map(|p| format!("\n  made at {p}")).unwrap_or_default();
        out.push_str(&format!(
            "\n{} leaks: {} {what}, {} retained by the last{place}\n  held by:\n",
            style.bold(&subject),
            counts.join(" → "),
            style.size(suspect.retained_sizes.last().copied().unwrap_or(0)),
        ));
        let path = paths.to(suspect.example);
        for line in
            path_text(&describer, suspect.example, path.as_deref().ok_or(NoPath::WeaklyHeld), style).lines()
        {
            out.push_str(&format!("    {line}\n"));
        }
    }
    out
}

/// Arrays, plain objects and the like grow with whatever holds them; what has a place in the source is what made
/// them grow, and is named if there is any such.
fn own_code_first(growth: &[Growth]) -> Vec<Growth> {
    let located: Vec<Growth> = growth.iter().filter(|g| g.location.is_some()).cloned().collect();
    if located.is_empty() { growth.to_vec() } else { located }
}
