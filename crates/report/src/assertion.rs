//! `assert`: limits and leaks, passed or not.

use serde::Serialize;
use twinheap_jsheap::leaks::{Findings, LimitCheck, LimitOf, Suspect, Verdict};

use crate::names::clean;
use crate::{SCHEMA_VERSION, Style};

/// What `assert` shows.
pub struct AssertView<'a> {
    /// What was found; accepted leaks are not in it.
    pub findings: &'a Findings,
    /// Leaks that were left out since somebody accepted them.
    pub accepted: &'a [Suspect],
    /// The limits, with what was measured.
    pub limits: &'a [LimitCheck],
    /// Leaks fail it, not only limits.
    pub leaks_count: bool,
    /// The dumps, oldest first.
    pub files: &'a [String],
    /// What limits the answer.
    pub warnings: &'a [String],
}

impl AssertView<'_> {
    /// True if no limit is exceeded and nothing leaks that is not known.
    pub fn passed(&self) -> bool {
        self.limits.iter().all(|limit| limit.passed)
            && !(self.leaks_count && self.findings.verdict == Verdict::Leak)
    }

    fn leaks(&self) -> impl Iterator<Item = &Suspect> {
        self.findings.suspects.iter().filter(|suspect| suspect.verdict == Verdict::Leak)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    passed: bool,
    files: &'a [String],
    verdict: &'static str,
    limits: Vec<LimitJson<'a>>,
    leaks: Vec<LeakJson<'a>>,
    /// Signatures of leaks that are accepted.
    known: Vec<&'a str>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct LimitJson<'a> {
    /// Null for the whole heap.
    class: Option<&'a str>,
    of: &'static str,
    max_per_step: u64,
    series: &'a [u64],
    per_step: f64,
    passed: bool,
}

#[derive(Serialize)]
struct LeakJson<'a> {
    signature: &'a str,
    name: &'a str,
    growth_per_step: f64,
    retained_per_step: f64,
}

/// The document.
pub fn assert_json<'a>(view: &'a AssertView<'_>) -> impl Serialize + use<'a> {
    let limit = |check: &'a LimitCheck| LimitJson {
        class: check.limit.class.as_deref(),
        of: of_word(check.limit.of),
        max_per_step: check.limit.per_step,
        series: &check.series,
        per_step: check.per_step,
        passed: check.passed,
    };
    let leak = |suspect: &'a Suspect| LeakJson {
        signature: &suspect.signature,
        name: &suspect.name,
        growth_per_step: suspect.growth_per_step,
        retained_per_step: suspect.retained_per_step,
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "js-assert",
        passed: view.passed(),
        files: view.files,
        verdict: view.findings.verdict.word(),
        limits: view.limits.iter().map(limit).collect(),
        leaks: view.leaks().map(leak).collect(),
        known: view.accepted.iter().map(|suspect| suspect.signature.as_str()).collect(),
        warnings: view.warnings,
    }
}

fn of_word(of: LimitOf) -> &'static str {
    match of {
        LimitOf::Count => "count",
        LimitOf::Retained => "retained_size",
    }
}

/// A line for each limit and each leak, and the outcome.
pub fn assert_text(view: &AssertView<'_>, style: &Style) -> String {
    let mut out = String::new();
    let mark = |passed: bool| if passed { "ok    " } else { "FAILED" };
    for LimitCheck { limit, series, per_step, passed } in view.limits {
        let number = |number: u64| match limit.of {
            LimitOf::Count => style.count(number),
            LimitOf::Retained => style.size(number),
        };
        let series: Vec<String> = series.iter().map(|&n| number(n)).collect();
        let sign = if *per_step < 0.0 { "−" } else { "+" };
        out.push_str(&format!(
            "{} {}: {}, {sign}{} a step, at most {} allowed\n",
            mark(*passed),
            limit.class.as_deref().map_or("the whole heap".to_owned(), |class| clean(class, 80)),
            series.join(" → "),
            number(per_step.abs().round() as u64),
            number(limit.per_step),
        ));
    }
    for leak in view.leaks() {
        let counts: Vec<String> = leak.count.iter().map(|&count| style.count(count)).collect();
        out.push_str(&format!(
            "{} leak {}: {} ({})\n",
            if view.leaks_count { mark(false) } else { "note  " },
            leak.signature,
            clean(&leak.name, 100),
            counts.join(" → "),
        ));
    }
    for leak in view.accepted {
        out.push_str(&style.dim(&format!("known  leak {}: {}\n", leak.signature, clean(&leak.name, 100))));
    }
    out.push_str(if view.passed() { "passed\n" } else { "failed\n" });
    out
}
