//! `twinheap retainers`.

use twinheap_jsheap::{Heap, retainers};
use twinheap_report::{Describer, RetainerNode, retainers_json, retainers_text};
use twinheap_snapshot::NodeIdx;

use crate::args::{Global, RetainersArgs};
use crate::load::{load, node_by_id};
use crate::output::Output;
use crate::progress::Progress;

pub(crate) fn run(args: &RetainersArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let loaded = load(&args.object.file.file, global, &progress)?;
    let heap = &loaded.heap;
    let node = node_by_id(heap, args.object.id)?;
    let (total, tree) = open_nearest(heap, node, args.depth, args.limit);
    progress.finish(global, output)?;
    let describer = Describer::new(heap);
    let notes = &loaded.notes;
    if global.json {
        output.json(&retainers_json(&describer, &notes.file, node, total, &tree, &notes.warnings))?;
    } else {
        output.text(&retainers_text(&describer, node, total, &tree, &output.style))?;
    }
    Ok(notes.conclude(output))
}

/// The retainers of `node`; at each level the first is opened, as DevTools does, while it is not next to a root.
fn open_nearest(heap: &Heap, node: NodeIdx, depth: u32, limit: usize) -> (usize, Vec<RetainerNode>) {
    // The levels first, then the tree from its far end: no recursion for a deep one.
    let mut levels = Vec::new();
    let mut at = node;
    let mut seen = vec![node];
    for _ in 0..depth {
        let mut links = retainers(heap, at);
        let total = links.len();
        // The one that is opened is listed whatever the limit: the levels below hang from it.
        links.truncate(limit.max(1));
        let next = links.first().map(|link| link.node);
        levels.push((total, links));
        match next {
            Some(next) if heap.distance(next) != 1 && !seen.contains(&next) => {
                seen.push(next);
                at = next;
            }
            _ => break,
        }
    }
    let mut below: Option<(usize, Vec<RetainerNode>)> = None;
    for (total, links) in levels.into_iter().rev() {
        let mut below_first = below.take();
        let tree = links
            .into_iter()
            .map(|link| {
                let (total, retainers) = match below_first.take() {
                    Some((total, retainers)) => (Some(total), retainers),
                    None => (None, Vec::new()),
                };
                RetainerNode { link, retainers, total }
            })
            .collect();
        below = Some((total, tree));
    }
    below.unwrap_or_default()
}
