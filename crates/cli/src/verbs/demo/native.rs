//! What grew on malloc's heap.

use twinheap_native::{Costs, NativeGrowth, NativeHeap, Suppressions, native_growth};
use twinheap_report::native_growth_text;

use crate::args::Global;
use crate::demo::NativeRun;
use crate::load::load_native;
use crate::output::Output;
use crate::progress::Progress;

/// Suspects to print: the thumbnails, and the sessions' own buffers.
const SUSPECTS: usize = 2;

/// What grew from the moment of each snapshot to the next, and who allocates it.
pub(super) fn verdict(run: &NativeRun, global: &Global, output: &Output) -> anyhow::Result<String> {
    let style = &output.style;
    let (trace, _) = load_native(&run.recording, global, &Progress::new(global))?;
    let heap = NativeHeap::new(trace);
    let rules = Suppressions::built_in();
    let costs: Vec<Costs> = run.moments.iter().map(|&to| heap.costs(Some(&(0..to)), &rules)).collect();
    let alive = |costs: &Costs| style.size(costs.total.cost.leaked.max(0).cast_unsigned());
    let sizes: Vec<String> = costs.iter().map(alive).collect();
    let mut out = format!("\nNative heap of the server, at the same moments: {}\n", sizes.join(" → "));
    let growth = native_growth(&heap, &costs);
    // What Node does grows with whatever asks it to; a function of the program is what makes it grow.
    let own: Vec<&NativeGrowth> = growth.iter().filter(|growth| growth.has_script).collect();
    if own.is_empty() {
        out.push_str("Nothing that the server's own functions allocate grew with every snapshot.\n");
    }
    for suspect in own.into_iter().take(SUSPECTS) {
        out.push_str(&format!("\n{}", native_growth_text(&heap, suspect, style)));
    }
    Ok(out)
}
