//! `twinheap summary`.

use twinheap_jsheap::{Work, allocation_sites, class_rows, intervals, sampled_functions, statistics};
use twinheap_report::{SummaryView, sampling_json, sampling_text, summary_json, summary_text};

use crate::args::{Global, SummaryArgs};
use crate::load::{Loaded, load_any, resources};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::select::Selection;

pub(crate) fn run(args: &SummaryArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let mut loaded = match load_any(&args.file.file, global, &progress)? {
        Loaded::Heap(loaded) => loaded,
        Loaded::Sampling(profile, notes) => {
            progress.finish(global, output)?;
            let functions = sampled_functions(&profile);
            if global.json {
                output.json(&sampling_json(&profile, &functions, &notes.file, &notes.warnings))?;
            } else {
                output.text(&sampling_text(&profile, &functions, &notes.file, &output.style, args.limit))?;
            }
            return Ok(notes.conclude(output));
        }
    };
    let heap = &loaded.heap;
    let mut selection = Selection::from_args(&args.filter, heap, global, output)?;
    if let Some(selection) = &mut selection {
        selection.tell(&mut loaded.notes);
    }
    let nodes = selection.as_ref().map(|s| s.nodes(heap));
    let n = heap.snapshot.node_count() as u64;
    let work = |bytes| Work { nodes: n, edges: 0, bytes };
    let join = resources(global, &progress).join;
    let rows = progress.pass("class rows", work(36 * n), || class_rows(heap, nodes.as_ref(), join));
    let (intervals, sites) = (intervals(heap), allocation_sites(heap));
    progress.finish(global, output)?;
    let view = SummaryView {
        heap,
        file: &loaded.notes.file,
        rows: &rows,
        statistics: statistics(heap),
        filter: selection.as_ref().map(|s| s.words.as_str()),
        intervals: &intervals,
        sites: &sites,
        warnings: &loaded.notes.warnings,
    };
    if global.json {
        output.json(&summary_json(&view))?;
    } else {
        output.text(&summary_text(&view, &output.style, args.limit))?;
    }
    Ok(loaded.notes.conclude(output))
}
