//! `twinheap objects` and `twinheap object`.

use std::cmp::Reverse;

use twinheap_jsheap::{children, retainers};
use twinheap_report::{Describer, ObjectView, object_json, object_text, objects_json, objects_text};
use twinheap_snapshot::NodeIdx;

use crate::args::{Global, ObjectArgs, ObjectsArgs, Sort};
use crate::load::{load, node_by_id};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::select::{Selection, classes};

pub(crate) fn run(args: &ObjectsArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let mut loaded = load(&args.file.file, global, &progress)?;
    let heap = &loaded.heap;
    let wanted = args.class.as_deref().map(|class| classes(heap, class)).transpose()?;
    let mut selection = Selection::from_args(&args.filter, heap, global, output)?;
    if let Some(selection) = &mut selection {
        selection.tell(&mut loaded.notes);
    }
    let selection = selection.map(|s| s.nodes(heap));
    let mut search = args.search.as_ref().map(|text| heap.name_search(text));
    // As in DevTools, what has no size is not listed, unless the class was asked for.
    let mut nodes: Vec<NodeIdx> = heap
        .snapshot
        .nodes()
        .filter(|&node| heap.shallow_size(node) > 0)
        .filter(|&node| wanted.as_ref().is_none_or(|list| list.contains(&heap.class_of(node))))
        .filter(|&node| selection.as_ref().is_none_or(|set| set.contains(node.index())))
        .filter(|&node| search.as_mut().is_none_or(|fits| fits(node)))
        .collect();
    let total = nodes.len();
    let snapshot = &heap.snapshot;
    match args.sort {
        Sort::Retained => nodes.sort_by_key(|&n| (Reverse(heap.retained_size(n)), snapshot.id(n))),
        Sort::Shallow => nodes.sort_by_key(|&n| (Reverse(heap.shallow_size(n)), snapshot.id(n))),
        Sort::Distance => nodes.sort_by_key(|&n| (heap.distance(n) as u32, snapshot.id(n))),
        Sort::Id => nodes.sort_by_key(|&n| snapshot.id(n)),
    }
    nodes.truncate(args.limit);
    progress.finish(global, output)?;
    let describer = Describer::new(heap);
    let notes = &loaded.notes;
    if global.json {
        output.json(&objects_json(&describer, &notes.file, &nodes, total, &notes.warnings))?;
    } else {
        output.text(&objects_text(&describer, &nodes, total, &output.style))?;
    }
    Ok(notes.conclude(output))
}

pub(crate) fn run_one(args: &ObjectArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let loaded = load(&args.object.file.file, global, &progress)?;
    let heap = &loaded.heap;
    let node = node_by_id(heap, args.object.id)?;
    let (children, retainers) = (children(heap, node), retainers(heap, node));
    progress.finish(global, output)?;
    let describer = Describer::new(heap);
    let view = ObjectView { node, children: &children, retainers: &retainers };
    let notes = &loaded.notes;
    if global.json {
        output.json(&object_json(&describer, &notes.file, &view, &notes.warnings))?;
    } else {
        output.text(&object_text(&describer, &view, &output.style, args.limit))?;
    }
    Ok(notes.conclude(output))
}
