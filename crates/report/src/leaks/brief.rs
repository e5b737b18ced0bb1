//! The verdict on the JavaScript heap as a report.

use twinheap_jsheap::leaks::Suspect;

use super::{LeaksView, location_words, sentence};
use crate::brief::{Brief, BriefNumber, BriefPicture, BriefSuspect, shell_word};
use crate::names::clean;
use crate::paths::{NoPath, path_text};
use crate::tiles::class_tiles;
use crate::{Describer, Style};

/// Levels of the dominator tree in the picture.
const LEVELS: usize = 10;
/// What is smaller than this part of the whole can't be seen in it.
const LEAST: u64 = 1000;

/// The report on a ladder, with at most so many suspects.
pub fn leaks_brief(describer: &Describer<'_>, view: &LeaksView<'_>, style: &Style, most: usize) -> Brief {
    let findings = view.findings;
    let (size, count) = (|size| style.size(size), |count| style.count(count));
    let mut numbers = vec![BriefNumber::new("heap", &findings.total_size, &size)];
    if let Some(worst) = findings.suspects.first() {
        numbers.push(BriefNumber::new(&worst.name, &worst.count, &count));
        numbers.push(BriefNumber::new("retained by them", &worst.retained_size, &size));
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

/// Where the newest heap's bytes are.
pub fn leaks_picture(describer: &Describer<'_>, view: &LeaksView<'_>) -> BriefPicture {
    let file = view.files.last().map(|file| clean(file, 200)).unwrap_or_default();
    let least = describer.heap.total_size() / LEAST;
    BriefPicture {
        caption: format!(
            "Retained size by class in {file}: what lies inside of a tile would be freed with it"
        ),
        tiles: class_tiles(describer.heap, LEVELS, least),
    }
}

fn brief_suspect(describer: &Describer<'_>, suspect: &Suspect, style: &Style) -> BriefSuspect {
    let style = Style { color: false, ..*style };
    let path = if suspect.path.is_empty() { Err(NoPath::WeaklyHeld) } else { Ok(suspect.path.as_slice()) };
    let counts = BriefNumber::new("number", &suspect.count, &|count| style.count(count));
    let retained = BriefNumber::new("retained", &suspect.retained_size, &|size| style.size(size));
    let mut evidence = vec![format!(
        "{}: {} objects that retain {}",
        suspect.verdict.word(),
        counts.course.join(" → "),
        retained.course.join(" → ")
    )];
    evidence.extend(suspect.evidence.iter().cloned());
    BriefSuspect {
        name: suspect.name.clone(),
        numbers: vec![counts, retained],
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
