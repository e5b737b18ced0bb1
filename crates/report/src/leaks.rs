//! `leaks`: the verdict, the suspects, and what to do next.

mod brief;
mod classes;
mod outcomes;

use serde::Serialize;
use twinheap_jsheap::leaks::{Confidence, Findings, Location, Outcome, Pattern, Suspect, Verdict};

pub use self::brief::{leaks_brief, leaks_picture};
use self::classes::{ClassJson, classes_json, classes_text};
use self::outcomes::{OutcomeJson, outcomes_json, outcomes_text};
use crate::describe::{CompiledJson, Describer};
use crate::names::clean;
use crate::paths::{NoPath, StepJson, path_text, steps_json};
use crate::{SCHEMA_VERSION, Style};

/// Suspects that the text shows with everything; of the others, a line.
const MOST_IN_FULL: usize = 3;

/// The findings with the files they are about.
pub struct LeaksView<'a> {
    /// What was found.
    pub findings: &'a Findings,
    /// The dumps, oldest first.
    pub files: &'a [String],
    /// Leaks that were left out since somebody accepted them.
    pub accepted: &'a [Suspect],
    /// What became of the leaks of an older ladder, if there is one.
    pub outcomes: Option<&'a [Outcome<'a>]>,
    /// Whether the text has the classes that grow; JSON has them always.
    pub classes: bool,
    /// What limits the answer.
    pub warnings: &'a [String],
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    files: &'a [String],
    verdict: &'static str,
    confidence: &'static str,
    /// False if ids mean different objects in some dumps; missing for one dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparable_ids: Option<bool>,
    total_size: &'a [u64],
    suspects: Vec<SuspectJson<'a>>,
    /// Classes that grow; missing for one dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<ClassJson<'a>>>,
    /// Signatures of what was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcomes: Option<Vec<OutcomeJson<'a>>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct SuspectJson<'a> {
    name: &'a str,
    class: &'a str,
    verdict: &'static str,
    confidence: &'static str,
    detector: &'static str,
    signature: &'a str,
    location: Option<LocationJson<'a>>,
    package: Option<&'a str>,
    count: &'a [u64],
    shallow_size: &'a [u64],
    retained_size: &'a [u64],
    growth_per_step: f64,
    retained_per_step: f64,
    pattern: Option<&'static str>,
    accumulation: AccumulationJson<'a>,
    path: Vec<StepJson>,
    evidence: &'a [String],
    advice: &'a str,
}

#[derive(Serialize)]
struct LocationJson<'a> {
    script: &'a str,
    line: u32,
    column: u32,
    function: Option<&'a str>,
    role: &'static str,
    /// Where that is in the script that ran; absent if the place is in that script.
    #[serde(skip_serializing_if = "Option::is_none")]
    compiled: Option<CompiledJson>,
}

#[derive(Serialize)]
struct AccumulationJson<'a> {
    id: u64,
    name: &'a str,
    kind: &'static str,
    property: Option<&'a str>,
}

/// The document of the contract; suspects worst first.
pub fn leaks_json<'a>(describer: &Describer<'_>, view: &LeaksView<'a>) -> impl Serialize + use<'a> {
    let findings = view.findings;
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "js-leaks",
        files: view.files,
        verdict: findings.verdict.word(),
        confidence: findings.confidence.word(),
        comparable_ids: findings.comparable_ids,
        total_size: &findings.total_size,
        suspects: findings.suspects.iter().map(|suspect| suspect_json(describer, suspect)).collect(),
        classes: (findings.total_size.len() > 1).then(|| classes_json(&findings.classes)),
        known: view.accepted.iter().map(|suspect| suspect.signature.as_str()).collect(),
        outcomes: view.outcomes.map(outcomes_json),
        warnings: view.warnings,
    }
}

fn suspect_json<'a>(describer: &Describer<'_>, suspect: &'a Suspect) -> SuspectJson<'a> {
    SuspectJson {
        name: &suspect.name,
        class: &suspect.class,
        verdict: suspect.verdict.word(),
        confidence: suspect.confidence.word(),
        detector: suspect.detector,
        signature: &suspect.signature,
        location: suspect.location.as_ref().map(|location| LocationJson {
            script: &location.script,
            line: location.line,
            column: location.column,
            function: location.function.as_deref(),
            role: location.role.word(),
            compiled: location.compiled.clone().map(CompiledJson::from),
        }),
        package: suspect.package.as_deref(),
        count: &suspect.count,
        shallow_size: &suspect.shallow_size,
        retained_size: &suspect.retained_size,
        growth_per_step: suspect.growth_per_step,
        retained_per_step: suspect.retained_per_step,
        pattern: suspect.pattern.map(Pattern::word),
        accumulation: AccumulationJson {
            id: suspect.accumulation.id,
            name: &suspect.accumulation.name,
            kind: suspect.accumulation.kind.word(),
            property: suspect.accumulation.property.as_deref(),
        },
        path: steps_json(describer, &suspect.path),
        evidence: &suspect.evidence,
        advice: &suspect.advice,
    }
}

/// The verdict for people.
pub fn leaks_text(describer: &Describer<'_>, view: &LeaksView<'_>, style: &Style, most: usize) -> String {
    let findings = view.findings;
    let mut out = format!("{}\n", style.bold(&sentence(findings, style)));
    if findings.total_size.len() > 1 {
        let sizes: Vec<String> = findings.total_size.iter().map(|&size| style.size(size)).collect();
        out.push_str(&format!("Heap: {}\n", sizes.join(" → ")));
    }
    for (at, suspect) in findings.suspects.iter().take(most).enumerate() {
        if at < MOST_IN_FULL {
            out.push('\n');
            out.push_str(&suspect_text(describer, suspect, style, view));
        } else {
            if at == MOST_IN_FULL {
                out.push_str("\nAlso:\n");
            }
            out.push_str(&format!("  {}\n", line(suspect, style)));
        }
    }
    if let Some(outcomes) = view.outcomes {
        out.push_str(&outcomes_text(outcomes, style));
    }
    if view.classes {
        out.push_str(&classes_text(findings, style, most));
    }
    if !view.accepted.is_empty() {
        let names: Vec<String> = view.accepted.iter().map(|suspect| clean(&suspect.name, 60)).collect();
        out.push_str(&style.dim(&format!("Known, left out: {}\n", names.join("; "))));
    }
    if let Some(rest) = findings.suspects.len().checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("… {rest} more suspects (--limit N, or --json for all)\n")));
    }
    out
}

/// The verdict in a sentence.
fn sentence(findings: &Findings, style: &Style) -> String {
    let is_ladder = findings.total_size.len() > 1;
    let sure = match findings.confidence {
        Confidence::High => "",
        Confidence::Medium => "probably ",
        Confidence::Low => "perhaps ",
    };
    let Some(worst) = findings.suspects.first() else {
        return if is_ladder {
            "No leak: nothing grew from dump to dump and stayed.".to_owned()
        } else {
            "Nothing stands out. One dump can't show growth: take two more some time apart.".to_owned()
        };
    };
    let class = clean(&worst.class, 60);
    let place = clean(&worst.accumulation.name, 60);
    match findings.verdict {
        Verdict::Leak => {
            let retained = style.size(worst.retained_per_step.max(0.0) as u64);
            format!("Leak: {class} {sure}piles up in {place}, {retained} more with each dump.")
        }
        _ if is_ladder => format!("No clear leak; {class} in {place} grew and is worth a look."),
        _ => format!(
            "Suspect: {} {class} in {place} hold {}. One dump can't show growth.",
            style.count(worst.count.first().copied().unwrap_or(0)),
            style.size(worst.retained_size.first().copied().unwrap_or(0)),
        ),
    }
}

/// A suspect on one line.
fn line(suspect: &Suspect, style: &Style) -> String {
    let counts: Vec<String> = suspect.count.iter().map(|&count| style.count(count)).collect();
    let retained = style.size(suspect.retained_size.last().copied().unwrap_or(0));
    format!(
        "{} ({}): {}, {retained} retained",
        clean(&suspect.name, 80),
        suspect.verdict.word(),
        counts.join(" → ")
    )
}

fn suspect_text(describer: &Describer<'_>, suspect: &Suspect, style: &Style, view: &LeaksView<'_>) -> String {
    let counts: Vec<String> = suspect.count.iter().map(|&count| style.count(count)).collect();
    let retained: Vec<String> = suspect.retained_size.iter().map(|&size| style.size(size)).collect();
    let place = &suspect.accumulation;
    let mut out = format!(
        "{}  {}\n  number    {}\n  retained  {}\n",
        style.bold(&clean(&suspect.name, 100)),
        style.dim(&format!("[{}, confidence {}]", suspect.verdict.word(), suspect.confidence.word())),
        counts.join(" → "),
        retained.join(" → "),
    );
    if let Some(pattern) = suspect.pattern {
        out.push_str(&format!("  growth    {}, {} a step\n", pattern.word(), per_step(suspect, style)));
    }
    out.push_str(&format!("  held in   {} {} @{}\n", place.kind.words(), clean(&place.name, 80), place.id));
    if let Some(location) = &suspect.location {
        out.push_str(&format!("  look at   {}\n", location_words(location, suspect.package.as_deref())));
    }
    for words in &suspect.evidence {
        out.push_str(&format!("  - {}\n", clean(words, 200)));
    }
    out.push_str("  path\n");
    let path = if suspect.path.is_empty() { Err(NoPath::WeaklyHeld) } else { Ok(suspect.path.as_slice()) };
    for step in path_text(describer, suspect.example, path, style).lines() {
        out.push_str(&format!("    {step}\n"));
    }
    out.push_str(&format!("  {}\n", clean(&suspect.advice, 300)));
    if let Some(file) = view.files.last() {
        let next = format!("  next: twinheap object {} {}\n", clean(file, 200), place.id);
        out.push_str(&style.dim(&next));
    }
    out
}

fn per_step(suspect: &Suspect, style: &Style) -> String {
    format!(
        "{} objects and {}",
        style.signed_count(suspect.growth_per_step.round() as i64),
        style.signed_size(suspect.retained_per_step.round() as i64)
    )
}

fn location_words(location: &Location, package: Option<&str>) -> String {
    let name = location.function.as_deref().map(|name| format!(" {}", clean(name, 60))).unwrap_or_default();
    let package = package.map(|package| format!(", package {}", clean(package, 60))).unwrap_or_default();
    let what = match location.role.word() {
        "function" => "the function",
        "class" => "the class",
        "maker" => "made and stored by",
        "owner" => "its owner, the class",
        _ => "code that reaches it:",
    };
    let compiled = location.compiled.as_ref().map(|compiled| {
        format!("; it ran as {}:{}:{}", clean(&compiled.script, 200), compiled.line, compiled.column)
    });
    format!(
        "{}:{}:{}  ({what}{name}{package}{})",
        clean(&location.script, 200),
        location.line,
        location.column,
        compiled.unwrap_or_default()
    )
}
