//! The classes that grow from dump to dump.

use serde::Serialize;
use twinheap_jsheap::leaks::{ClassGrowth, Findings};

use crate::Style;
use crate::names::clean;
use crate::table::{Align, Table};

#[derive(Serialize)]
pub(super) struct ClassJson<'a> {
    name: &'a str,
    count: &'a [u64],
    shallow_size: &'a [u64],
    retained_size: &'a [u64],
    growth_per_step: f64,
    pattern: &'static str,
    confidence: &'static str,
}

pub(super) fn classes_json(classes: &[ClassGrowth]) -> Vec<ClassJson<'_>> {
    let rows = classes.iter().map(|one| ClassJson {
        name: &one.name,
        count: &one.count,
        shallow_size: &one.shallow_size,
        retained_size: &one.retained_size,
        growth_per_step: one.growth_per_step,
        pattern: one.pattern.word(),
        confidence: one.confidence.word(),
    });
    rows.collect()
}

/// The classes as a table, those whose shallow size grew most first.
pub(super) fn classes_text(findings: &Findings, style: &Style, most: usize) -> String {
    let classes = &findings.classes;
    if findings.total_size.len() < 2 {
        return "\nOne dump can't show which classes grow.\n".to_owned();
    }
    if classes.is_empty() {
        return "\nNo class grows.\n".to_owned();
    }
    let heads = [
        ("Class", Align::Left),
        ("Count", Align::Right),
        ("Shallow size", Align::Right),
        ("Retained size", Align::Right),
        ("Growth", Align::Left),
    ];
    let mut table = Table::new(&heads);
    let series = |numbers: &[u64], show: &dyn Fn(u64) -> String| {
        numbers.iter().map(|&number| show(number)).collect::<Vec<_>>().join(" → ")
    };
    for one in classes.iter().take(most) {
        table.row(vec![
            clean(&one.name, 60),
            series(&one.count, &|count| style.count(count)),
            series(&one.shallow_size, &|size| style.size(size)),
            series(&one.retained_size, &|size| style.size(size)),
            one.pattern.word().to_owned(),
        ]);
    }
    let mut out = format!("\nClasses that grow, whoever holds them:\n{}", table.render(style));
    if let Some(rest) = classes.len().checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("… {rest} more classes (--limit N, or --json for all)\n")));
    }
    out
}
