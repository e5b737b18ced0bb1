//! `twinheap timeline`.

use twinheap_native::{call_sites, timeline};
use twinheap_report::{TimelineView, timeline_json, timeline_text};

use crate::args::Global;
use crate::args::native::TimelineArgs;
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::{Query, check_measure, work};

/// Stretches of time in JSON if nobody says how many.
const JSON_BUCKETS: usize = 100;
/// The same for a table.
const TABLE_BUCKETS: usize = 30;

pub(crate) fn run(args: &TimelineArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let query = Query::new(&args.select)?;
    let recording = query.open(&args.file.file, global, &progress)?;
    check_measure(args.by.into(), &recording.heap, &recording.notes.file)?;
    let buckets = args.buckets.unwrap_or_else(|| match (global.json, args.table) {
        (true, _) => JSON_BUCKETS,
        (_, true) => TABLE_BUCKETS,
        _ => TimelineView::fitting(&output.style),
    });
    let heap = &recording.heap;
    let mut sites = call_sites(heap, &recording.costs, args.by.into()).sites;
    sites.truncate(args.by_site);
    let events = work(heap.trace.events.len(), heap.trace.events.size());
    let function = query.function().map(str::as_bytes);
    let timeline =
        progress.pass("timeline", events, || timeline(heap, query.ms(), buckets, &sites, function));
    progress.finish(global, output)?;
    let view = TimelineView { source: query.source(&recording), timeline: &timeline, is_table: args.table };
    if global.json {
        output.json(&timeline_json(&view))?;
    } else {
        output.text(&timeline_text(&view, &output.style))?;
    }
    Ok(recording.notes.conclude(output))
}
