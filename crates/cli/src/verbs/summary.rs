//! `twinheap summary`.

use twinheap_jsheap::{Work, allocation_sites, class_rows, intervals, sampled_functions, statistics};
use twinheap_native::lost;
use twinheap_report::{
    NativeView, ProfileView, SummaryView, native_json, native_text, profile_json, profile_text,
    sampling_json, sampling_text, summary_json, summary_text,
};
use twinheap_trace::{Profile, Trace};

use crate::args::{Global, SummaryArgs};
use crate::failure::Failure;
use crate::load::{Loaded, Notes, load_any, resources};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::Query;
use crate::verbs::select::Selection;

/// Rows to print if nobody says how many.
const CLASSES: usize = 30;
/// The same for call sites, of which there are four lists.
const CALL_SITES: usize = 10;
/// Stacks of each kind in JSON, at least: a recording has a hundred thousand of them.
const STACKS: usize = 100;

pub(crate) fn run(args: &SummaryArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let limit = args.limit.unwrap_or(CLASSES);
    // What is wrong with these options is said before a large file is read.
    let query = Query::new(&args.native.select)?;
    let mut loaded = match load_any(&args.file.file, global, &progress)? {
        Loaded::Heap(loaded) => {
            refuse(args.native.given(), "native traces", &loaded.notes, "a heap snapshot")?;
            loaded
        }
        Loaded::Sampling(profile, notes) => {
            refuse(args.native.given(), "native traces", &notes, "a sampling heap profile")?;
            progress.finish(global, output)?;
            let functions = sampled_functions(&profile);
            if global.json {
                output.json(&sampling_json(&profile, &functions, &notes.file, &notes.warnings))?;
            } else {
                output.text(&sampling_text(&profile, &functions, &notes.file, &output.style, limit))?;
            }
            return Ok(notes.conclude(output));
        }
        Loaded::Native(trace, notes) => {
            refuse(args.filter.given(), "heap snapshots", &notes, "a native trace")?;
            return run_native(*trace, notes, &query, &progress, args, global, output);
        }
        Loaded::Profile(profile, notes) => {
            refuse(args.filter.given(), "heap snapshots", &notes, "a profile")?;
            progress.finish(global, output)?;
            return run_profile(&profile, &notes, args, global, output);
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
        output.text(&summary_text(&view, &output.style, limit))?;
    }
    Ok(loaded.notes.conclude(output))
}

/// An option that this kind of file has no answer for is not passed over in silence.
pub(super) fn refuse(option: Option<&str>, of: &str, notes: &Notes, is: &str) -> Result<(), Failure> {
    let Some(option) = option else { return Ok(()) };
    let what = format!("`{option}` is an option for {of}, and `{}` is {is}", notes.file);
    Err(Failure::new(what).hint("leave the option out"))
}

fn run_native(
    trace: Trace,
    notes: Notes,
    query: &Query<'_>,
    progress: &Progress,
    args: &SummaryArgs,
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    let recording = query.count(trace, notes, progress);
    // Lost blocks are those of the exit, whenever they were allocated.
    let lost = match query.ms() {
        None => lost(&recording.heap, &recording.costs, &recording.rules),
        Some(_) => None,
    };
    progress.finish(global, output)?;
    let native = &args.native;
    let most = args.limit.unwrap_or(CALL_SITES);
    let view = |most| NativeView {
        source: query.source(&recording),
        most,
        stacks_of_site: native.stacks.unwrap_or(0),
        is_merged: native.merge.unwrap_or(!native.no_merge),
        show_suppressions: native.show_suppressions,
        lost: lost.as_ref(),
    };
    if global.json {
        output.json(&native_json(&view(most.max(STACKS))))?;
    } else {
        output.text(&native_text(&view(most), &output.style))?;
    }
    Ok(recording.notes.conclude(output))
}

fn run_profile(
    profile: &Profile,
    notes: &Notes,
    args: &SummaryArgs,
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    let most = args.limit.unwrap_or(CALL_SITES);
    let view = |most| ProfileView { profile, file: &notes.file, warnings: &notes.warnings, most };
    if global.json {
        output.json(&profile_json(&view(most.max(STACKS))))?;
    } else {
        output.text(&profile_text(&view(most), &output.style))?;
    }
    Ok(notes.conclude(output))
}
