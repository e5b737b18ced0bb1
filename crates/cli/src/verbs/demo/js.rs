//! What grew on V8's heap.

use twinheap_jsheap::{Growth, Heap, Paths, independent, steady_growth};
use twinheap_report::{Describer, NoPath, clean, path_text};
use twinheap_snapshot::Wtf8;

use crate::output::Output;

/// Suspects to print: the demo leaks in two ways.
const SUSPECTS: usize = 2;

/// What grew from each snapshot to the next, and who holds it.
pub(super) fn verdict(heaps: &[&Heap], output: &Output, node_version: &str) -> String {
    let growth = steady_growth(heaps);
    let style = &output.style;
    let Some(last) = heaps.last() else { return String::new() };
    let sizes: Vec<String> = heaps.iter().map(|heap| style.size(heap.total_size())).collect();
    let mut out = format!("\nHeap of the server (Node.js {node_version}): {}\n", sizes.join(" → "));
    let suspects: Vec<Growth> = own_code_first(&growth);
    let growing: Vec<&Growth> =
        independent(last, &suspects).into_iter().filter(|g| g.retained_growth() > 0).take(SUSPECTS).collect();
    if growing.is_empty() {
        out.push_str("Nothing grew with every snapshot.\n");
        return out;
    }
    let describer = Describer::new(last);
    let paths = Paths::new(last, &[]);
    for suspect in growing {
        let name = clean(&Wtf8::new(&suspect.name).to_string_lossy(), 60);
        let subject = if suspect.is_function { format!("{name}()") } else { name };
        let what = if suspect.is_function { "closures" } else { "objects" };
        let counts: Vec<String> = suspect.counts.iter().map(|&c| style.count(c)).collect();
        let place =
            describer.source_of(suspect.example).map(|p| format!("\n  made at {p}")).unwrap_or_default();
        out.push_str(&format!(
            "\n{} leaks: {} {what}, {} retained by the last{place}\n  held by:\n",
            style.bold(&subject),
            counts.join(" → "),
            style.size(suspect.retained_sizes.last().copied().unwrap_or(0)),
        ));
        let path = paths.to(suspect.example);
        for line in
            path_text(&describer, suspect.example, path.as_deref().ok_or(NoPath::WeaklyHeld), style).lines()
        {
            out.push_str(&format!("    {line}\n"));
        }
    }
    out
}

/// Arrays, plain objects and the like grow with whatever holds them; what has a place in the source is what made
/// them grow, and is named if there is any such.
fn own_code_first(growth: &[Growth]) -> Vec<Growth> {
    let located: Vec<Growth> = growth.iter().filter(|g| g.location.is_some()).cloned().collect();
    if located.is_empty() { growth.to_vec() } else { located }
}
