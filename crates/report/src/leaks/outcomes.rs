//! What became of leaks between two ladders.

use serde::Serialize;
use twinheap_jsheap::leaks::{Outcome, Suspect};

use crate::Style;
use crate::names::clean;
use crate::table::{Align, Table};

#[derive(Serialize)]
pub(super) struct OutcomeJson<'a> {
    fate: &'static str,
    signature: &'a str,
    name: &'a str,
    /// Objects more with each dump; null if it was not seen.
    growth_per_step_before: Option<f64>,
    growth_per_step_after: Option<f64>,
    /// Bytes retained more with each dump.
    retained_per_step_before: Option<f64>,
    retained_per_step_after: Option<f64>,
}

pub(super) fn outcomes_json<'a>(outcomes: &[Outcome<'a>]) -> Vec<OutcomeJson<'a>> {
    let one = |outcome: &Outcome<'a>| {
        let suspect = outcome.after.or(outcome.before)?;
        Some(OutcomeJson {
            fate: outcome.fate.word(),
            signature: &suspect.signature,
            name: &suspect.name,
            growth_per_step_before: outcome.before.map(|s| s.growth_per_step),
            growth_per_step_after: outcome.after.map(|s| s.growth_per_step),
            retained_per_step_before: outcome.before.map(|s| s.retained_per_step),
            retained_per_step_after: outcome.after.map(|s| s.retained_per_step),
        })
    };
    outcomes.iter().filter_map(one).collect()
}

pub(super) fn outcomes_text(outcomes: &[Outcome<'_>], style: &Style) -> String {
    if outcomes.is_empty() {
        return "\nNeither before nor now does anything leak.\n".to_owned();
    }
    let mut table = Table::new(&[
        ("", Align::Left),
        ("objects a step, before", Align::Right),
        ("now", Align::Right),
        ("retained a step, before", Align::Right),
        ("now", Align::Right),
        ("leak", Align::Left),
    ]);
    let count = |suspect: Option<&Suspect>| {
        suspect.map_or("–".to_owned(), |s| style.signed_count(s.growth_per_step.round() as i64))
    };
    let size = |suspect: Option<&Suspect>| {
        suspect.map_or("–".to_owned(), |s| style.signed_size(s.retained_per_step.round() as i64))
    };
    for outcome in outcomes {
        let Some(suspect) = outcome.after.or(outcome.before) else { continue };
        table.row(vec![
            outcome.fate.words().to_owned(),
            count(outcome.before),
            count(outcome.after),
            size(outcome.before),
            size(outcome.after),
            clean(&suspect.name, 80),
        ]);
    }
    format!("\nCompared with before:\n{}", table.render(style))
}
