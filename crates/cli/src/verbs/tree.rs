//! `twinheap tree`.

use twinheap_native::{
    Cut, Direction, FrameTable, FrameView, Identity, Measure, caller_callee, frame_tree, groups,
    package_of_path,
};
use twinheap_report::{
    CallersView, GroupsView, TreeView, callers_json, callers_text, groups_json, groups_text, tree_json,
    tree_text,
};

use crate::args::Global;
use crate::args::native::{Per, TreeArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::{Query, Recording, work};

pub(crate) fn run(args: &TreeArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let query = Query::new(&args.select)?;
    let recording = query.open(&args.file.file, global, &progress)?;
    let heap = &recording.heap;
    let identity = if args.lines { Identity::Line } else { Identity::Function };
    let by = Measure::from(args.by);
    let whole = by.of(&recording.costs.total.cost).unsigned_abs();
    let least = (whole as f64 * args.min_percent / 100.0).ceil() as u64;
    let table = FrameTable::new(heap, identity);
    let stacks = work(recording.costs.stacks.len() as u64, 0);
    if let Some(per) = args.per {
        return run_groups(&query, &recording, &table, per, &progress, args, global, output);
    }
    if args.caller_callee {
        let callers = progress.pass("callers", stacks, || caller_callee(&table, &recording.costs, by));
        progress.finish(global, output)?;
        let view = CallersView {
            source: query.source(&recording),
            table: &table,
            callers: &callers,
            identity,
            by,
            least,
            most: args.limit,
        };
        if global.json {
            output.json(&callers_json(&view))?;
        } else {
            output.text(&callers_text(&view, &output.style))?;
        }
        return Ok(recording.notes.conclude(output));
    }
    let direction = if args.top_down { Direction::TopDown } else { Direction::BottomUp };
    let cut = Cut { by, least, depth: args.depth };
    let tree = progress.pass("tree", stacks, || frame_tree(&table, &recording.costs, direction, &cut));
    progress.finish(global, output)?;
    let view = TreeView {
        source: query.source(&recording),
        table: &table,
        tree: &tree,
        direction,
        identity,
        cut,
        most: args.limit,
    };
    if global.json {
        output.json(&tree_json(&view))?;
    } else {
        output.text(&tree_text(&view, &output.style))?;
    }
    Ok(recording.notes.conclude(output))
}

#[expect(clippy::too_many_arguments, reason = "the tail of `run`, which has them all at hand")]
fn run_groups(
    query: &Query<'_>,
    recording: &Recording,
    table: &FrameTable<'_>,
    per: Per,
    progress: &Progress,
    args: &TreeArgs,
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    let (name, owner): (_, fn(&FrameView<'_>) -> Option<Vec<u8>>) = match per {
        Per::Module => ("module", module_of),
        Per::Package => ("package", package_of),
        Per::Thread => {
            let what = format!("`{}` does not tell which thread allocates", recording.notes.file);
            return Err(Failure::new(what).hint("heaptrack records no threads; try --per module").into());
        }
    };
    let by = Measure::from(args.by);
    let stacks = work(recording.costs.stacks.len() as u64, 0);
    let groups = progress.pass("owners", stacks, || groups(table, &recording.costs, by, owner));
    progress.finish(global, output)?;
    let view =
        GroupsView { source: query.source(recording), groups: &groups, per: name, by, most: args.limit };
    if global.json {
        output.json(&groups_json(&view))?;
    } else {
        output.text(&groups_text(&view, &output.style))?;
    }
    Ok(recording.notes.conclude(output))
}

fn module_of(frame: &FrameView<'_>) -> Option<Vec<u8>> {
    (!frame.module.is_empty()).then(|| frame.module.to_vec())
}

/// The npm package that an addon or a script belongs to. Node itself may come as a package; it owns nothing.
fn package_of(frame: &FrameView<'_>) -> Option<Vec<u8>> {
    let addon = if frame.module.ends_with(b"/node") { None } else { package_of_path(frame.module) };
    addon.or_else(|| package_of_path(frame.file)).map(<[u8]>::to_vec)
}
