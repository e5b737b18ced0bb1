//! `twinheap diff`.

use twinheap_jsheap::{Work, diff};
use twinheap_report::{diff_json, diff_text};

use crate::args::{DiffArgs, Global};
use crate::failure::{DAMAGED, Failure};
use crate::load::{load, resources};
use crate::output::Output;
use crate::progress::Progress;

pub(crate) fn run(args: &DiffArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    if args.base.as_os_str() == "-" && args.new.as_os_str() == "-" {
        let what = "can't compare standard input with itself: it can be read only once";
        return Err(Failure::new(what).hint("give one of the two snapshots as a file").into());
    }
    let progress = Progress::new(global);
    let base = load(&args.base, global, &progress)?;
    let new = load(&args.new, global, &progress)?;
    let nodes = (base.heap.snapshot.node_count() + new.heap.snapshot.node_count()) as u64;
    let work = Work { nodes, edges: 0, bytes: 30 * nodes };
    let join = resources(global, &progress).join;
    let difference = progress.pass("comparison", work, || diff(&base.heap, &new.heap, args.by_id, join));
    progress.finish(global, output)?;

    let mut warnings: Vec<String> = [&base.notes, &new.notes]
        .iter()
        .flat_map(|n| n.warnings.iter().map(|w| format!("{}: {w}", n.file)))
        .collect();
    let ids = difference.ids;
    let by_id = args.by_id.unwrap_or(ids.comparable());
    if !ids.comparable() {
        let evidence = format!("{} of {} common ids have the same type and name", ids.agreeing, ids.common);
        warnings.push(if by_id {
            format!("the object ids don't look comparable ({evidence}); the numbers may be meaningless")
        } else {
            format!(
                "the object ids are not comparable ({evidence}): the snapshots are of different processes or inspector \
                 sessions; rows show differences of counts and sizes instead of added and removed objects"
            )
        });
    }
    if global.json {
        output.json(&diff_json(&difference, &base.notes.file, &new.notes.file, &warnings))?;
    } else {
        let text = diff_text(&difference, &base.notes.file, &new.notes.file, &output.style, args.limit);
        output.text(&text)?;
    }
    for warning in &warnings {
        output.warning(warning);
    }
    let is_damaged = base.notes.is_damaged || new.notes.is_damaged;
    Ok(if is_damaged { DAMAGED } else { 0 })
}
