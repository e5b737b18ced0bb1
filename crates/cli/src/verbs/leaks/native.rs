//! `leaks` of native traces: several recordings, or moments of one.

use std::path::PathBuf;

use twinheap_native::{Costs, FrameView, Side, Verdict, growth, moments};
use twinheap_report::{NativeLeaksView, StepLabel};
use twinheap_trace::{Events, Trace};

use super::{Ask, Found};
use crate::args::Global;
use crate::failure::{DAMAGED, FOUND, Failure};
use crate::load::{Notes, load_native};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::{Query, Recording, package_of, work};

/// Judges native traces, of which the first is read already.
pub(super) fn judge(
    (trace, notes): (Trace, Notes),
    others: &[PathBuf],
    query: &Query<'_>,
    ask: &Ask<'_>,
    (global, progress, output): (&Global, &Progress, &Output),
    show: &mut dyn FnMut(Found<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    let mut recordings = vec![query.count(trace, notes, progress)];
    for file in others {
        // The costs are all that is needed of a recording that is one step of many; its events are most of its memory.
        if let Some(last) = recordings.last_mut() {
            last.heap.trace.events = Events::default();
        }
        let (trace, notes) = load_native(file, global, progress)?;
        recordings.push(query.count(trace, notes, progress));
    }
    let steps = match recordings.as_slice() {
        [one] => moments_of(one, query, ask, progress)?,
        many => many.iter().map(|recording| Step { recording, ms: None, costs: None }).collect(),
    };
    let sides: Vec<Side<'_>> = steps.iter().map(Step::side).collect();
    let labels: Vec<StepLabel<'_>> =
        steps.iter().map(|step| StepLabel { file: &step.recording.notes.file, ms: step.ms }).collect();
    let stacks = sides.iter().map(|side| side.costs.stacks.len() as u64).sum();
    let growth = progress.pass("growth", work(stacks, 0), || growth(&sides));
    progress.finish(global, output)?;

    let warnings: Vec<String> = recordings
        .iter()
        .flat_map(|recording| {
            recording.notes.warnings.iter().map(|w| format!("{}: {w}", recording.notes.file))
        })
        .collect();
    let package =
        |frame: &FrameView<'_>| package_of(frame).map(|name| String::from_utf8_lossy(&name).into_owned());
    let view = NativeLeaksView {
        steps: &sides,
        labels: &labels,
        growth: &growth,
        package: &package,
        full_names: query.has_full_names(),
        warnings: &warnings,
        most: ask.limit,
    };
    show(Found::Native(&view))?;
    for warning in &warnings {
        output.warning(warning);
    }
    Ok(match growth.verdict {
        _ if recordings.iter().any(|recording| recording.notes.is_damaged) => DAMAGED,
        Verdict::Leak if ask.fail_on_leak => FOUND,
        _ => 0,
    })
}

/// A step of the ladder: the end of a recording, or a moment of it with the costs until then.
struct Step<'a> {
    recording: &'a Recording,
    ms: Option<u64>,
    costs: Option<Costs>,
}

impl Step<'_> {
    fn side(&self) -> Side<'_> {
        Side { heap: &self.recording.heap, costs: self.costs.as_ref().unwrap_or(&self.recording.costs) }
    }
}

/// Cuts one recording into steps.
fn moments_of<'a>(
    recording: &'a Recording,
    query: &Query<'_>,
    ask: &Ask<'_>,
    progress: &Progress,
) -> anyhow::Result<Vec<Step<'a>>> {
    let heap = &recording.heap;
    let (events, size) = (heap.trace.events.len(), heap.trace.events.size());
    let moments =
        progress.pass("moments", work(events, size), || moments(heap, query.ms(), ask.steps.into()));
    if moments.len() < 2 {
        let what = format!("`{}` is too short to show growth", recording.notes.file);
        return Err(Failure::new(what)
            .hint("record for longer, or give several recordings, oldest first")
            .into());
    }
    let each = |ms: u64| {
        let costs = query.costs_until(recording, ms);
        Step { recording, ms: Some(ms), costs: Some(costs) }
    };
    let all = work(events * moments.len() as u64, 2 * size * moments.len() as u64);
    Ok(progress.pass("costs of moments", all, || moments.iter().copied().map(each).collect()))
}
