//! `twinheap histogram`.

use twinheap_native::{Measure, Sizes, lifetime_buckets, realloc_sites, size_buckets};
use twinheap_report::{
    HistogramView, LifetimesView, ReallocsView, histogram_json, histogram_text, lifetimes_json,
    lifetimes_text, reallocs_json, reallocs_text,
};

use crate::args::Global;
use crate::args::native::HistogramArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::{Query, Recording, lifetimes, work};

pub(crate) fn run(args: &HistogramArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let query = Query::new(&args.select)?;
    if args.lifetime {
        let recording = query.open_with_lifetimes(&args.file.file, global, &progress)?;
        return run_lifetimes(&query, &recording, &progress, global, output);
    }
    let recording = query.open(&args.file.file, global, &progress)?;
    if args.realloc {
        return run_reallocs(&query, &recording, args.limit, &progress, global, output);
    }
    let by = Measure::from(args.by);
    let sizes = if args.exact { Sizes::Exact } else { Sizes::PowersOfTwo };
    let infos = work(recording.heap.trace.infos.len() as u64, 0);
    let buckets =
        progress.pass("sizes", infos, || size_buckets(&recording.heap, &recording.costs, sizes, by));
    progress.finish(global, output)?;
    let view = HistogramView {
        source: query.source(&recording),
        buckets: &buckets,
        is_exact: args.exact,
        by,
        most: args.limit,
    };
    if global.json {
        output.json(&histogram_json(&view))?;
    } else {
        output.text(&histogram_text(&view, &output.style))?;
    }
    Ok(recording.notes.conclude(output))
}

fn run_reallocs(
    query: &Query<'_>,
    recording: &Recording,
    most: usize,
    progress: &Progress,
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    let (heap, file) = (&recording.heap, &recording.notes.file);
    let Some(own) = &heap.trace.recording else {
        let what = format!("`{file}` does not tell which blocks were reallocated");
        return Err(Failure::new(what)
            .hint("record with `twinheap record`; heaptrack's files lack it")
            .into());
    };
    if heap.sample_interval().is_some() {
        let what = format!("`{file}` is a sample, which breaks the chains of reallocations");
        return Err(Failure::new(what).hint("record without --sample").into());
    }
    let chains = own.realloc_chains.rows();
    let rows = work(chains.len() as u64, 0);
    let sites = progress.pass("reallocations", rows, || realloc_sites(heap, &recording.costs, chains));
    progress.finish(global, output)?;
    let view = ReallocsView { source: query.source(recording), sites: &sites, most };
    if global.json {
        output.json(&reallocs_json(&view))?;
    } else {
        output.text(&reallocs_text(&view, &output.style))?;
    }
    Ok(recording.notes.conclude(output))
}

fn run_lifetimes(
    query: &Query<'_>,
    recording: &Recording,
    progress: &Progress,
    global: &Global,
    output: &Output,
) -> anyhow::Result<u8> {
    let Some(freed) = lifetimes(&recording.heap.trace) else {
        let what = format!("`{}` does not tell how long blocks lived", recording.notes.file);
        return Err(Failure::new(what)
            .hint("record with `twinheap record`; heaptrack's files lack it")
            .into());
    };
    let rows = work(freed.len() as u64, 0);
    let buckets =
        progress.pass("lifetimes", rows, || lifetime_buckets(&recording.heap, &recording.costs, freed));
    progress.finish(global, output)?;
    let view = LifetimesView { source: query.source(recording), buckets: &buckets };
    if global.json {
        output.json(&lifetimes_json(&view))?;
    } else {
        output.text(&lifetimes_text(&view, &output.style))?;
    }
    Ok(recording.notes.conclude(output))
}
