//! Two ladders compared by rate: was the leak fixed?

use crate::leaks::{Findings, Suspect, Verdict};

/// What became of a leak between two ladders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is only in the newer ladder.
    New,
    /// It grows faster than before.
    Worse,
    /// It grows as before.
    NotFixed,
    /// It grows at less than half the rate, but it grows.
    Better,
    /// It doesn't leak any more.
    Fixed,
}

impl Fate {
    /// The word of the JSON document.
    pub fn word(self) -> &'static str {
        match self {
            Fate::New => "new",
            Fate::Worse => "worse",
            Fate::NotFixed => "not-fixed",
            Fate::Better => "better",
            Fate::Fixed => "fixed",
        }
    }

    /// The same for a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Fate::NotFixed => "not fixed",
            other => other.word(),
        }
    }
}

/// A leak in two ladders.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<'a> {
    /// In the older ladder.
    pub before: Option<&'a Suspect>,
    /// In the newer ladder.
    pub after: Option<&'a Suspect>,
    /// What became of it.
    pub fate: Fate,
}

/// A rate that differs by less than this factor is the same: steps are never quite alike.
const ALIKE: f64 = 1.5;
/// Below this share of its former rate a leak is better.
const BETTER: f64 = 0.5;
/// Below this one it is gone: what still comes is noise.
const GONE: f64 = 0.02;

/// Compares leaks by signature and rate, worst fate first. What was only suspected and is gone is not listed.
///
/// Rates are per step, so the steps of both ladders have to be of the same work.
pub fn compare<'a>(before: &'a Findings, after: &'a Findings) -> Vec<Outcome<'a>> {
    let find = |all: &'a Findings, one: &Suspect| all.suspects.iter().find(|s| s.signature == one.signature);
    let mut outcomes: Vec<Outcome<'a>> = Vec::new();
    for old in before.suspects.iter().filter(|suspect| suspect.verdict == Verdict::Leak) {
        let new = find(after, old);
        outcomes.push(Outcome { before: Some(old), after: new, fate: fate(old, new) });
    }
    for new in after.suspects.iter().filter(|suspect| suspect.verdict == Verdict::Leak) {
        let old = find(before, new);
        // A leak that was only suspected before was there all the same.
        match old {
            Some(old) if old.verdict == Verdict::Leak => {}
            Some(old) => {
                outcomes.push(Outcome { before: Some(old), after: Some(new), fate: fate(old, Some(new)) });
            }
            None => outcomes.push(Outcome { before: None, after: Some(new), fate: Fate::New }),
        }
    }
    outcomes.sort_by_key(|outcome| outcome.fate);
    outcomes
}

fn fate(old: &Suspect, new: Option<&Suspect>) -> Fate {
    let Some(new) = new.filter(|new| new.verdict != Verdict::None) else { return Fate::Fixed };
    // Objects that become larger, not more, are told by their bytes.
    let (old_rate, new_rate) = if old.growth_per_step > 0.0 {
        (old.growth_per_step, new.growth_per_step)
    } else {
        (old.retained_per_step, new.retained_per_step)
    };
    if new_rate <= old_rate * GONE {
        Fate::Fixed
    } else if new_rate > old_rate * ALIKE {
        Fate::Worse
    } else if new_rate < old_rate * BETTER {
        Fate::Better
    } else {
        Fate::NotFixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::{Accumulation, AccumulationKind, Confidence};
    use twinheap_snapshot::NodeIdx;

    /// Leaks with their objects and bytes a step, and whether they are sure.
    type Rates<'a> = &'a [(&'a str, f64, f64, Verdict)];

    fn findings(rates: Rates<'_>) -> Findings {
        let suspect = |&(signature, count, bytes, verdict): &(&str, f64, f64, Verdict)| Suspect {
            verdict,
            confidence: Confidence::High,
            detector: "growth",
            class: String::new(),
            name: String::new(),
            location: None,
            package: None,
            count: Vec::new(),
            shallow_size: Vec::new(),
            retained_size: Vec::new(),
            growth_per_step: count,
            retained_per_step: bytes,
            pattern: None,
            accumulation: Accumulation {
                node: NodeIdx(0),
                id: 1,
                name: String::new(),
                kind: AccumulationKind::Map,
                property: None,
            },
            example: NodeIdx(0),
            path: Vec::new(),
            signature: signature.to_owned(),
            evidence: Vec::new(),
            advice: String::new(),
        };
        Findings {
            verdict: Verdict::Leak,
            confidence: Confidence::High,
            suspects: rates.iter().map(suspect).collect(),
            classes: Vec::new(),
            total_size: Vec::new(),
            comparable_ids: None,
            warnings: Vec::new(),
        }
    }

    #[track_caller]
    fn check(before: Rates<'_>, after: Rates<'_>, expected: &[(&str, Fate)]) {
        let (before, after) = (findings(before), findings(after));
        let outcomes = compare(&before, &after);
        let got: Vec<(&str, Fate)> = outcomes
            .iter()
            .map(|one| (one.before.or(one.after).map_or("", |s| s.signature.as_str()), one.fate))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_leak_is_fixed_or_not_by_its_rate() {
        use Verdict::{Leak, Suspect};
        check(&[("a", 17_252.0, 9e6, Leak)], &[("a", 7.0, 4e3, Leak)], &[("a", Fate::Fixed)]);
        check(&[("a", 100.0, 1e5, Leak)], &[], &[("a", Fate::Fixed)]);
        check(&[("a", 100.0, 1e5, Leak)], &[("a", 90.0, 1e5, Leak)], &[("a", Fate::NotFixed)]);
        check(&[("a", 100.0, 1e5, Leak)], &[("a", 100.0, 1e5, Suspect)], &[("a", Fate::NotFixed)]);
        check(&[("a", 100.0, 1e5, Leak)], &[("a", 30.0, 3e4, Leak)], &[("a", Fate::Better)]);
        check(&[("a", 100.0, 1e5, Leak)], &[("a", 200.0, 2e5, Leak)], &[("a", Fate::Worse)]);
        // One object that becomes larger.
        check(&[("a", 0.0, 1e6, Leak)], &[("a", 0.0, 9e5, Leak)], &[("a", Fate::NotFixed)]);
        check(&[("a", 0.0, 1e6, Leak)], &[("a", 0.0, 0.0, Suspect)], &[("a", Fate::Fixed)]);
    }

    #[test]
    fn what_came_new_stands_first() {
        use Verdict::{Leak, Suspect};
        check(
            &[("a", 9.0, 9.0, Leak), ("b", 9.0, 9.0, Suspect)],
            &[("c", 1.0, 1.0, Leak), ("d", 1.0, 1.0, Suspect), ("b", 9.0, 9.0, Leak)],
            &[("c", Fate::New), ("b", Fate::NotFixed), ("a", Fate::Fixed)],
        );
    }
}
