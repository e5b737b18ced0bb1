//! What grew on malloc's heap.

use twinheap_native::{Costs, NativeHeap, Side, Suppressions, growth};
use twinheap_report::{NativeLeaksView, StepLabel, native_leaks_text};

use crate::args::Global;
use crate::demo::NativeRun;
use crate::load::load_native;
use crate::output::Output;
use crate::progress::Progress;

/// Suspects to print: the thumbnails, and the sessions' own buffers.
const SUSPECTS: usize = 2;

/// Milliseconds that rounding takes from a moment: it and the recording's start are whole ones, and what happened in the
/// last of them counts.
const ROUNDED: u64 = 2;

/// What grew from the moment of each snapshot to the next, and who allocates it.
pub(super) fn verdict(run: &NativeRun, global: &Global, output: &Output) -> anyhow::Result<String> {
    let (trace, notes) = load_native(&run.recording, global, &Progress::new(global))?;
    let heap = NativeHeap::new(trace);
    let rules = Suppressions::built_in();
    let began = heap.trace.recording.as_ref().map_or(0, |recording| recording.meta.start_unix_ms);
    let moments: Vec<u64> =
        run.moments.iter().map(|moment| (moment + ROUNDED).saturating_sub(began)).collect();
    let costs: Vec<Costs> = moments.iter().map(|&to| heap.costs(Some(&(0..to)), &rules)).collect();
    let steps: Vec<Side<'_>> = costs.iter().map(|costs| Side { heap: &heap, costs }).collect();
    let label = |&ms: &u64| StepLabel { file: &notes.file, ms: Some(ms) };
    let view = NativeLeaksView {
        steps: &steps,
        labels: &moments.iter().map(label).collect::<Vec<_>>(),
        growth: &growth(&steps),
        package: &|_| None,
        full_names: false,
        warnings: &notes.warnings,
        most: SUSPECTS,
    };
    let text = native_leaks_text(&view, &output.style);
    Ok(format!("\nNative heap of the server, before each snapshot\n{text}"))
}
