//! `twinheap strings`.

use twinheap_jsheap::{Work, duplicate_strings, largest_strings};
use twinheap_report::{Describer, StringsView, strings_json, strings_text};

use crate::args::{Global, StringsArgs};
use crate::load::load;
use crate::output::Output;
use crate::progress::Progress;

pub(crate) fn run(args: &StringsArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let loaded = load(&args.file.file, global, &progress)?;
    let heap = &loaded.heap;
    let strings = heap.snapshot.nodes().filter(|&node| heap.snapshot.node_type(node).is_string());
    let (count, shallow_size) = strings
        .map(|node| heap.shallow_size(node))
        .filter(|&size| size > 0)
        .fold((0, 0), |(count, sum), size| (count + 1, sum + size));
    let work = Work { nodes: heap.snapshot.node_count() as u64, edges: 0, bytes: 0 };
    let duplicates = progress.pass("duplicates", work, || duplicate_strings(heap));
    let largest = largest_strings(heap, args.limit);
    progress.finish(global, output)?;
    let view = StringsView { duplicates: &duplicates, largest: &largest, count, shallow_size };
    let describer = Describer::new(heap);
    let notes = &loaded.notes;
    if global.json {
        output.json(&strings_json(&describer, &notes.file, &view, args.limit, &notes.warnings))?;
    } else {
        output.text(&strings_text(&describer, &view, &output.style, args.limit))?;
    }
    Ok(notes.conclude(output))
}
