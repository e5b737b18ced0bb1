//! From what was found to what is said: names, lines, merging, order, verdict.

use twinheap_snapshot::{EdgeIdx, NodeIdx};

use crate::ids::IdEvidence;
use crate::leaks::ClassGrowth;
use crate::leaks::advice::advice;
use crate::leaks::census::{Census, Sums};
use crate::leaks::detectors;
use crate::leaks::naming::{Holding, accumulation};
use crate::leaks::place::locate;
use crate::leaks::scene::Scene;
use crate::leaks::signature::signature;
use crate::leaks::steps::NO_STEP;
use crate::leaks::{Accumulation, Confidence, LocationRole, Pattern, Strength, Suspect, Verdict};
use crate::npm::package_of;
use twinheap_trend::trend;

/// Suspects that are compared with each other: each with each.
const MOST_DRAFTS: usize = 400;
/// A longer path is one through a chain; then the path to the place says as much.
const LONG_PATH: usize = 100;
/// Suspects that are described; more help nobody.
const MOST_SUSPECTS: usize = 20;

/// What is said of a dump or a ladder.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// The worst that is said of a suspect.
    pub verdict: Verdict,
    /// How sure that is.
    pub confidence: Confidence,
    /// Worst first.
    pub suspects: Vec<Suspect>,
    /// Classes that grow, whoever holds their objects, the one whose shallow size grew most first; of one dump none.
    pub classes: Vec<ClassGrowth>,
    /// The heap's size at each dump, in bytes.
    pub total_size: Vec<u64>,
    /// Whether object ids mean the same objects in all dumps; `None` for one dump.
    pub comparable_ids: Option<bool>,
    /// What limits the answer, as sentences.
    pub warnings: Vec<String>,
}

impl Findings {
    pub(crate) fn new(earlier: &[Census], now: &Census) -> Findings {
        let dumps = || earlier.iter().chain([now]);
        let mut warnings = Vec::new();
        let mut layouts: Vec<&str> = dumps().map(|dump| dump.v8_layout).collect();
        layouts.dedup();
        if layouts.len() > 1 {
            warnings.push(format!(
                "the dumps were written by different versions of V8 ({}): they are of different processes, and what \
                 differs may be due to that",
                layouts.join("; ")
            ));
        }
        Findings {
            verdict: Verdict::None,
            confidence: Confidence::High,
            suspects: Vec::new(),
            classes: Vec::new(),
            total_size: dumps().map(|dump| dump.total_size).collect(),
            comparable_ids: None,
            warnings,
        }
    }

    /// Takes down whether ids can be compared; `ids` has each earlier dump against the newest.
    pub(crate) fn note_ids(&mut self, ids: &[IdEvidence]) {
        let comparable = ids.iter().all(IdEvidence::comparable);
        self.comparable_ids = Some(comparable);
        if let Some(bad) = ids.iter().find(|ids| !ids.comparable()) {
            self.warnings.push(format!(
                "the object ids are not comparable ({} of {} common ids have the same type and name): the dumps are of \
                 different processes or inspector sessions; objects are compared by the paths that hold them, and how \
                 old they are is not known",
                bad.agreeing, bad.common
            ));
        }
    }
}

/// A suspect in the making.
pub(crate) struct Draft {
    pub(crate) verdict: Verdict,
    pub(crate) confidence: Confidence,
    pub(crate) detector: &'static str,
    pub(crate) place: Accumulation,
    pub(crate) example: NodeIdx,
    pub(crate) series: Vec<Sums>,
    pub(crate) pattern: Option<Pattern>,
    /// True if not the number but the size of the objects grows.
    pub(crate) swells: bool,
    pub(crate) evidence: Vec<String>,
    /// The function to look at, if a detector knows it.
    pub(crate) function: Option<NodeIdx>,
    pub(crate) advice: Option<String>,
}

impl Draft {
    pub(crate) fn new(
        scene: &Scene<'_>,
        detector: &'static str,
        owner: NodeIdx,
        entry: Option<EdgeIdx>,
        holding: Holding,
        example: NodeIdx,
        series: &[Sums],
    ) -> Draft {
        Draft {
            verdict: Verdict::Suspect,
            confidence: Confidence::Low,
            detector,
            place: accumulation(scene, owner, entry, holding),
            example,
            series: series.to_vec(),
            pattern: None,
            swells: false,
            evidence: Vec::new(),
            function: None,
            advice: None,
        }
    }

    /// What it is about, in bytes: growth, or for one dump the size.
    fn weight(&self) -> u64 {
        let retained = |sums: &Sums| sums.retained_size.max(sums.shallow_size);
        match self.series.as_slice() {
            [only] => retained(only),
            [first, .., last] => retained(last).saturating_sub(retained(first)),
            [] => 0,
        }
    }
}

/// Suspects out of what the detectors find in the newest heap, with the series of earlier findings of the same key.
pub(crate) fn draft_evidence(scene: &Scene<'_>, earlier: &[Census]) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for one in scene.evidence() {
        let now = Sums {
            objects: one.count,
            shallow_size: one.shallow_size,
            retained_size: one.retained_size,
            below: one.retained_size,
        };
        let before = earlier.iter().map(|dump| dump.evidence.get(&one.key).copied().unwrap_or_default());
        let series: Vec<Sums> = before.chain([now]).collect();
        let counts: Vec<u64> = series.iter().map(|sums| sums.objects).collect();
        let trend = trend(&counts);
        let entry =
            scene.holder(one.example).filter(|&(holder, _)| holder == one.holder).map(|(_, edge)| edge);
        let mut draft =
            Draft::new(scene, one.detector, one.holder, entry, Holding::Entries, one.example, &series);
        draft.pattern = trend.pattern;
        (draft.verdict, draft.confidence) = match (one.strength, trend.pattern) {
            (Strength::Suspicious | Strength::Damning, Some(Pattern::Steady)) => {
                (Verdict::Leak, trend.confidence)
            }
            (Strength::Damning, _) if earlier.is_empty() => (Verdict::Suspect, Confidence::Medium),
            (Strength::Suspicious, _) if earlier.is_empty() => (Verdict::Suspect, Confidence::Low),
            (Strength::Damning | Strength::Suspicious, Some(_)) => (Verdict::Suspect, Confidence::Low),
            // What does not grow is no leak, and a note accuses nobody.
            _ => (Verdict::None, Confidence::Low),
        };
        draft.evidence.push(one.words.clone());
        draft.function = one.function;
        draft.advice = Some(one.advice.clone());
        drafts.push(draft);
    }
    drafts
}

/// Merges what belongs together, orders, describes and judges.
pub(crate) fn conclude(scene: &Scene<'_>, findings: &mut Findings, drafts: Vec<Draft>) {
    let drafts = merge(scene, drafts);
    for draft in drafts.into_iter().take(MOST_SUSPECTS) {
        findings.suspects.push(describe(scene, draft));
    }
    if let Some(worst) = findings.suspects.first() {
        findings.verdict = worst.verdict;
        findings.confidence = worst.confidence;
    }
}

/// One suspect a place: detectors' evidence joins the growth of the same place, and a place inside another suspect's
/// objects is that one's doing.
fn merge(scene: &Scene<'_>, mut drafts: Vec<Draft>) -> Vec<Draft> {
    let order = |draft: &Draft| {
        let is_detected = draft.detector != "growth";
        (
            std::cmp::Reverse(draft.verdict),
            std::cmp::Reverse(draft.weight()),
            is_detected,
            draft.place.id,
            scene.heap.snapshot.id(draft.example),
        )
    };
    drafts.sort_by_cached_key(order);
    drafts.truncate(MOST_DRAFTS);
    let dominates = |above: NodeIdx, below: NodeIdx| scene.heap.dominators.dominates(above.0, below.0);
    let mut merged: Vec<Draft> = Vec::new();
    for draft in drafts {
        let step = scene.steps.of(draft.example);
        let same_objects = |other: &Draft| step != NO_STEP && scene.steps.of(other.example) == step;
        let home = merged.iter_mut().find(|other| {
            let same_place = other.place.node == draft.place.node && !(other.swells ^ draft.swells);
            // Inside one of the objects that pile up there.
            let is_inside = other.pattern.is_some()
                && dominates(other.place.node, draft.place.node)
                && other.place.node != draft.place.node
                && is_in_step(scene, other.example, draft.place.node);
            // The same objects, though a detector may say more of where they are.
            same_place || same_objects(other) || is_inside
        });
        match home {
            Some(home) => {
                let is_news = draft.detector != "growth" || draft.place.node == home.place.node;
                // Who names a cause goes before who describes.
                let is_closer = detectors::rank(draft.detector) < detectors::rank(home.detector);
                // What describes a smaller part of it is a remark, not the matter, and a question about what the
                // objects hold does not say why there are more and more of them.
                let is_question = draft.verdict == Verdict::None && detectors::asks(draft.detector);
                let describes = draft.weight() >= home.weight() / 2 && (same_objects(home) || !is_question);
                let is_matter = detectors::names_cause(draft.detector) || describes;
                if is_news && is_closer && is_matter {
                    home.detector = draft.detector;
                    home.function = draft.function.or(home.function);
                    home.advice = draft.advice.or(home.advice.take());
                }
                for words in draft.evidence {
                    if !home.evidence.contains(&words) && is_news {
                        home.evidence.push(words);
                    }
                }
            }
            None => merged.push(draft),
        }
    }
    merged.retain(|draft| draft.verdict != Verdict::None);
    merged
}

/// True if `node` is, or is dominated by, an object of the same step as `example`.
fn is_in_step(scene: &Scene<'_>, example: NodeIdx, node: NodeIdx) -> bool {
    let step = scene.steps.of(example);
    let mut at = node;
    loop {
        if scene.steps.of(at) == step {
            return true;
        }
        let above = scene.heap.dominator(at);
        if above == at {
            return false;
        }
        at = above;
    }
}

fn describe(scene: &Scene<'_>, draft: Draft) -> Suspect {
    let Draft { verdict, confidence, detector, place, example, series, pattern, swells, function, .. } =
        draft;
    let class = scene.class_words(example);
    let known = function.and_then(|function| scene.location(function, LocationRole::Function));
    let location = known.or_else(|| locate(scene, example, &place));
    let mut path = scene.path(example);
    if path.len() > LONG_PATH {
        path = scene.path(place.node);
    }
    let package = location.as_ref().and_then(|location| package_of(&location.script));
    let counts: Vec<u64> = series.iter().map(|sums| sums.objects).collect();
    let retained: Vec<u64> = series.iter().map(|sums| sums.retained_size).collect();
    let slope = |series: &[u64]| if series.len() > 1 { trend(series).slope } else { 0.0 };
    let name = if swells && example == place.node {
        place.name.clone()
    } else {
        format!("{class} in {}", place.name)
    };
    let advice = draft.advice.unwrap_or_else(|| advice(&place, &class, location.as_ref(), swells));
    Suspect {
        verdict,
        confidence,
        detector,
        name,
        signature: signature(&place, &class, location.as_ref()),
        growth_per_step: slope(&counts),
        retained_per_step: slope(&retained),
        count: counts,
        shallow_size: series.iter().map(|sums| sums.shallow_size).collect(),
        retained_size: retained,
        class,
        location,
        package,
        pattern,
        path,
        example,
        evidence: draft.evidence,
        advice,
        accumulation: place,
    }
}
