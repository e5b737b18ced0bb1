//! `twinheap dominators`.

use twinheap_jsheap::{dominated, dominated_by_class, dominator_chain};
use twinheap_report::{Describer, DominatorsView, dominators_json, dominators_text};

use crate::args::{DominatorsArgs, Global};
use crate::load::{load, node_by_id};
use crate::output::Output;
use crate::progress::Progress;

pub(crate) fn run(args: &DominatorsArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let loaded = load(&args.file.file, global, &progress)?;
    let heap = &loaded.heap;
    let node = match args.id {
        Some(id) => node_by_id(heap, id)?,
        None => heap.snapshot.root(),
    };
    let view = DominatorsView {
        node,
        chain: &dominator_chain(heap, node),
        children: &dominated(heap, node),
        classes: &dominated_by_class(heap, node),
    };
    progress.finish(global, output)?;
    let describer = Describer::new(heap);
    let notes = &loaded.notes;
    if global.json {
        output.json(&dominators_json(&describer, &notes.file, &view, args.limit, &notes.warnings))?;
    } else {
        output.text(&dominators_text(&describer, &view, &output.style, args.limit, args.group))?;
    }
    Ok(notes.conclude(output))
}
