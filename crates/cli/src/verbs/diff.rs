//! `twinheap diff`.

use twinheap_jsheap::{Work, diff};
use twinheap_native::{Measure, Side, stack_diffs};
use twinheap_report::{NativeDiffView, diff_json, diff_text, native_diff_json, native_diff_text};

use crate::args::{DiffArgs, Global};
use crate::failure::{DAMAGED, Failure};
use crate::load::{Loaded, LoadedHeap, Notes, load_any, not_comparable, resources};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::{Query, Recording, check_measure, work};
use crate::verbs::summary::refuse;

/// Rows to print if nobody says how many.
const ROWS: usize = 30;
/// Stacks in JSON: two recordings may differ in a hundred thousand, of ten kilobytes each.
const STACKS: usize = 1000;

pub(crate) fn run(args: &DiffArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    if args.base.as_os_str() == "-" && args.new.as_os_str() == "-" {
        let what = "can't compare standard input with itself: it can be read only once";
        return Err(Failure::new(what).hint("give one of the two as a file").into());
    }
    let progress = Progress::new(global);
    let query = Query::new(&args.select)?;
    let base = load_any(&args.base, global, &progress)?;
    let new = load_any(&args.new, global, &progress)?;
    match (base, new) {
        (Loaded::Heap(base), Loaded::Heap(new)) => {
            let given = args.by.map(|_| "--by").or_else(|| args.select.given());
            refuse(given, "native traces", &new.notes, "a heap snapshot")?;
            run_js(&base, &new, &progress, args, global, output)
        }
        (Loaded::Native(base, base_notes), Loaded::Native(new, new_notes)) => {
            let given = args.by_id.map(|_| "--by-id");
            refuse(given, "heap snapshots", &new_notes, "a native trace")?;
            let base = query.count(*base, base_notes, &progress);
            let new = query.count(*new, new_notes, &progress);
            run_native(&base, &new, &query, &progress, args, global, output)
        }
        (base, new) => Err(not_comparable(&base, &new).into()),
    }
}

/// What there is to say about both files.
fn warnings(base: &Notes, new: &Notes) -> Vec<String> {
    [base, new].iter().flat_map(|n| n.warnings.iter().map(|w| format!("{}: {w}", n.file))).collect()
}

fn conclude(base: &Notes, new: &Notes, warnings: &[String], output: &Output) -> u8 {
    for warning in warnings {
        output.warning(warning);
    }
    if base.is_damaged || new.is_damaged { DAMAGED } else { 0 }
}

fn run_native(
    base: &Recording,
    new: &Recording,
    query: &Query<'_>,
    progress: &Progress,
    args: &DiffArgs,
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    let by = args.by.map_or(Measure::Peak, Measure::from);
    for recording in [base, new] {
        check_measure(by, &recording.heap, &recording.notes.file)?;
    }
    let sides = [base, new].map(|recording| Side { heap: &recording.heap, costs: &recording.costs });
    let stacks = work((base.costs.stacks.len() + new.costs.stacks.len()) as u64, 0);
    let stacks = progress.pass("comparison", stacks, || stack_diffs(sides[0], sides[1], by));
    progress.finish(global, output)?;
    let warnings = warnings(&base.notes, &new.notes);
    let most = args.limit.unwrap_or(if global.json { STACKS } else { ROWS });
    let view = NativeDiffView {
        base: query.source(base),
        new: query.source(new),
        stacks: &stacks,
        by,
        warnings: &warnings,
        most,
    };
    if global.json {
        output.json(&native_diff_json(&view))?;
    } else {
        output.text(&native_diff_text(&view, &output.style))?;
    }
    Ok(conclude(&base.notes, &new.notes, &warnings, output))
}

fn run_js(
    base: &LoadedHeap,
    new: &LoadedHeap,
    progress: &Progress,
    args: &DiffArgs,
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    let nodes = (base.heap.snapshot.node_count() + new.heap.snapshot.node_count()) as u64;
    let work = Work { nodes, edges: 0, bytes: 30 * nodes };
    let join = resources(global, progress).join;
    let difference = progress.pass("comparison", work, || diff(&base.heap, &new.heap, args.by_id, join));
    progress.finish(global, output)?;

    let mut warnings = warnings(&base.notes, &new.notes);
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
        let text = diff_text(
            &difference,
            &base.notes.file,
            &new.notes.file,
            &output.style,
            args.limit.unwrap_or(ROWS),
        );
        output.text(&text)?;
    }
    Ok(conclude(&base.notes, &new.notes, &warnings, output))
}
