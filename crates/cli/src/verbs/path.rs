//! `twinheap path`.

use twinheap_jsheap::{Paths, Work, merged_paths};
use twinheap_report::{Describer, MergedView, NoPath, merged_json, merged_text, path_json, path_text};
use twinheap_snapshot::NodeIdx;

use crate::args::{Global, PathArgs};
use crate::load::{load, node_by_id};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::select::classes;

pub(crate) fn run(args: &PathArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let loaded = load(&args.file.file, global, &progress)?;
    let heap = &loaded.heap;
    let notes = &loaded.notes;
    let ignored = args.ignore.iter().map(|&id| node_by_id(heap, id)).collect::<anyhow::Result<Vec<_>>>()?;
    // What was asked is checked before the work.
    let target = args.id.map(|id| node_by_id(heap, id)).transpose()?;
    let wanted = args.merge.as_deref().map(|class| classes(heap, class)).transpose()?;
    let (nodes, edges) = (heap.snapshot.node_count() as u64, heap.snapshot.edge_count() as u64);
    let work = Work { nodes, edges, bytes: 4 * edges + 12 * nodes };
    let paths = progress.pass("paths", work, || Paths::new(heap, &ignored));
    let describer = Describer::new(heap);
    let no_path = match () {
        () if !ignored.is_empty() => NoPath::AllIgnored,
        () if notes.is_damaged => NoPath::Damaged,
        () => NoPath::WeaklyHeld,
    };

    if let Some(target) = target {
        let path = paths.to(target);
        progress.finish(global, output)?;
        if global.json {
            output.json(&path_json(&describer, &notes.file, target, path.as_deref(), &notes.warnings))?;
        } else {
            output.text(&path_text(&describer, target, path.as_deref().ok_or(no_path), &output.style))?;
        }
        return Ok(notes.conclude(output));
    }

    let wanted = wanted.unwrap_or_default();
    let instances: Vec<NodeIdx> =
        heap.snapshot.nodes().filter(|&node| wanted.contains(&heap.class_of(node))).collect();
    let steps = progress.pass("merging", work, || merged_paths(heap, &paths, &instances));
    progress.finish(global, output)?;
    let reached = steps.first().map_or(0, |root| root.instances) as usize;
    let view = MergedView {
        class: args.merge.as_deref().unwrap_or_default(),
        instances: instances.len(),
        unreachable: instances.len() - reached,
        no_path,
        steps: &steps,
    };
    if global.json {
        output.json(&merged_json(&describer, &notes.file, &view, &notes.warnings))?;
    } else {
        output.text(&merged_text(&describer, &view, &output.style, args.limit))?;
    }
    Ok(notes.conclude(output))
}
