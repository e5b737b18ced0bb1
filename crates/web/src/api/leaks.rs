//! The verdict: what leaks, by this snapshot and those that were opened before it.

use axum::extract::State;
use serde::Serialize;
use twinheap_jsheap::leaks::{Findings, Ladder, Location, Suspect};
use twinheap_report::{Describer, LeaksView, Style, leaks_brief};
use twinheap_snapshot::sequential;

use super::{Answer, App, FilePath, OfHeap, Shared, work};
use crate::answer::Failure;
use crate::files::Opened;
use crate::heap_view::HeapView;
use crate::rows::CompiledJson;

/// The words are those of `leaks --json`.
#[derive(Debug, Serialize)]
pub(crate) struct LeaksJson {
    /// The verdict in a sentence.
    headline: String,
    verdict: &'static str,
    confidence: &'static str,
    /// Numbers of the files that were looked at, oldest first.
    files: Vec<usize>,
    /// Bytes of each.
    total_size: Vec<u64>,
    /// Null for one dump.
    comparable_ids: Option<bool>,
    suspects: Vec<SuspectJson>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SuspectJson {
    verdict: &'static str,
    confidence: &'static str,
    /// The suspect in a few words.
    name: String,
    class: String,
    location: Option<PlaceJson>,
    package: Option<String>,
    count: Vec<u64>,
    shallow_size: Vec<u64>,
    retained_size: Vec<u64>,
    growth_per_step: f64,
    pattern: Option<&'static str>,
    accumulation_id: u64,
    accumulation_name: String,
    example_id: u64,
    evidence: Vec<String>,
    advice: String,
}

#[derive(Debug, Serialize)]
struct PlaceJson {
    script: String,
    line: u32,
    column: u32,
    function: Option<String>,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compiled: Option<CompiledJson>,
}

/// What leaks.
pub(super) async fn leaks(State(app): Shared, FilePath { file }: FilePath) -> Answer {
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let files = ladder(&app, file);
        let findings = view.leaks(&files, || findings(&app, &view, &files))?;
        serde_json::to_value(&*findings).map_err(|error| super::internal(&error))
    })
    .await
}

/// The snapshots up to this one, in the order of the command line. Those that can't be read are left out, and those
/// on their way too: the page asks again when they are here.
fn ladder(app: &App, file: usize) -> Vec<usize> {
    let is_heap = |&id: &usize| app.files.get(id).is_ok_and(|ready| matches!(ready.content, Opened::Heap(_)));
    (0..=file).filter(is_heap).collect()
}

fn findings(app: &App, view: &HeapView, files: &[usize]) -> Result<LeaksJson, Failure> {
    let mut ladder = Ladder::new();
    // Others ask too: each question has one thread.
    let earlier = files.len().saturating_sub(1);
    for &id in &files[..earlier] {
        let before = OfHeap::get(app, id)?;
        ladder.add(&before.heap, &sequential);
    }
    let findings = ladder.finish(&view.heap, &sequential);
    let of_findings = LeaksView {
        findings: &findings,
        files: &[],
        accepted: &[],
        outcomes: None,
        classes: false,
        warnings: &[],
    };
    let brief = leaks_brief(&Describer::new(&view.heap), &of_findings, &Style::default(), 0);
    // Classes are what the page compares by itself.
    let Findings { verdict, confidence, suspects, total_size, comparable_ids, warnings, classes: _ } =
        findings;
    Ok(LeaksJson {
        headline: brief.headline,
        verdict: verdict.word(),
        confidence: confidence.word(),
        files: files.to_vec(),
        total_size,
        comparable_ids,
        suspects: suspects.into_iter().map(|suspect| suspect_json(view, suspect)).collect(),
        warnings,
    })
}

fn suspect_json(view: &HeapView, suspect: Suspect) -> SuspectJson {
    let place = |location: Location| PlaceJson {
        script: location.script,
        line: location.line,
        column: location.column,
        function: location.function,
        role: location.role.word(),
        compiled: location.compiled.map(CompiledJson::from),
    };
    SuspectJson {
        verdict: suspect.verdict.word(),
        confidence: suspect.confidence.word(),
        name: suspect.name,
        class: suspect.class,
        location: suspect.location.map(place),
        package: suspect.package,
        count: suspect.count,
        shallow_size: suspect.shallow_size,
        retained_size: suspect.retained_size,
        growth_per_step: suspect.growth_per_step,
        pattern: suspect.pattern.map(twinheap_jsheap::leaks::Pattern::word),
        accumulation_id: suspect.accumulation.id,
        accumulation_name: suspect.accumulation.name,
        example_id: view.heap.snapshot.id(suspect.example),
        evidence: suspect.evidence,
        advice: suspect.advice,
    }
}
