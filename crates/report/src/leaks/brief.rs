//! The verdict on the JavaScript heap as a report.

use twinheap_jsheap::leaks::Suspect;

use super::{LeaksView, location_words, sentence};
use crate::brief::{Brief, BriefNumber, BriefSuspect, shell_word};
use crate::names::clean;
use crate::paths::{NoPath, path_text};
use crate::{Describer, Style};

/// The report on a ladder, with at most so many suspects.
pub fn leaks_brief(describer: &Describer<'_>, view: &LeaksView<'_>, style: &Style, most: usize) -> Brief {
    let findings = view.findings;
    let mut numbers = vec![number("heap", &findings.total_size, |size| style.size(size))];
    if let Some(worst) = findings.suspects.first() {
        numbers.push(number(&worst.name, &worst.count, |count| style.count(count)));
        numbers.push(number("retained by them", &worst.retained_size, |size| style.size(size)));
    }
    let suspect = |suspect: &Suspect| brief_suspect(describer, suspect, style);
    Brief {
        headline: sentence(findings, style),
        verdict: findings.verdict.word(),
        confidence: findings.confidence.word(),
        numbers,
        suspects: findings.suspects.iter().take(most).map(suspect).collect(),
        next: next(view),
        files: view.files.to_vec(),
        warnings: view.warnings.to_vec(),
    }
}

fn number(name: &str, series: &[u64], words: impl Fn(u64) -> String) -> BriefNumber {
    BriefNumber {
        name: name.to_owned(),
        course: series.iter().map(|&number| words(number)).collect(),
        series: series.to_vec(),
    }
}

fn brief_suspect(describer: &Describer<'_>, suspect: &Suspect, style: &Style) -> BriefSuspect {
    let style = Style { color: false, ..*style };
    let path = if suspect.path.is_empty() { Err(NoPath::WeaklyHeld) } else { Ok(suspect.path.as_slice()) };
    let counts: Vec<String> = suspect.count.iter().map(|&count| style.count(count)).collect();
    let retained: Vec<String> = suspect.retained_size.iter().map(|&size| style.size(size)).collect();
    let mut evidence = vec![format!(
        "{}: {} objects that retain {}",
        suspect.verdict.word(),
        counts.join(" → "),
        retained.join(" → ")
    )];
    evidence.extend(suspect.evidence.iter().cloned());
    BriefSuspect {
        name: suspect.name.clone(),
        signature: Some(suspect.signature.clone()),
        look_at: suspect.location.as_ref().map(|place| location_words(place, suspect.package.as_deref())),
        evidence,
        trail: path_text(describer, suspect.example, path, &style).lines().map(str::to_owned).collect(),
        advice: suspect.advice.clone(),
    }
}

/// Where to look on, with the newest dump.
fn next(view: &LeaksView<'_>) -> Vec<String> {
    let Some(file) = view.files.last() else { return Vec::new() };
    let file = shell_word(file);
    let Some(worst) = view.findings.suspects.first() else {
        return vec![format!("twinheap summary {file}")];
    };
    let class = shell_word(&clean(&worst.class, 200));
    vec![
        format!("twinheap object {file} {}", worst.accumulation.id),
        format!("twinheap path {file} --merge {class}"),
        format!("twinheap objects {file} --class {class}"),
    ]
}
