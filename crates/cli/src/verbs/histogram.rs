//! `twinheap histogram`.

use twinheap_native::{Measure, Sizes, size_buckets};
use twinheap_report::{HistogramView, histogram_json, histogram_text};

use crate::args::Global;
use crate::args::native::HistogramArgs;
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::{Query, work};

pub(crate) fn run(args: &HistogramArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let query = Query::new(&args.select)?;
    let recording = query.open(&args.file.file, global, &progress)?;
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
