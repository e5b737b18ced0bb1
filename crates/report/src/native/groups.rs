//! `tree --per` of a native trace.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{GroupCost, Measure};

use super::tree::total_word;
use super::{CostJson, NativeSource, SelectionJson, measure_word, number};
use crate::names::{clean, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the list of owners shows.
pub struct GroupsView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// The owners.
    pub groups: &'a [GroupCost],
    /// What they are: `module` or `package`.
    pub per: &'static str,
    /// The number that counts.
    pub by: Measure,
    /// Owners to print; JSON has all.
    pub most: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    per: &'static str,
    by: &'static str,
    total: CostJson,
    groups: Vec<GroupJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct GroupJson {
    /// Null for stacks without an owner.
    name: Option<Box<RawValue>>,
    #[serde(rename = "self")]
    own: CostJson,
    inclusive: CostJson,
}

/// All owners.
pub fn groups_json<'a>(view: &GroupsView<'a>) -> impl Serialize + use<'a> {
    let group = |group: &GroupCost| GroupJson {
        name: group.name.as_deref().map(json_bytes),
        own: view.source.cost_json(&group.own),
        inclusive: view.source.cost_json(&group.inclusive),
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-groups",
        file: view.source.file,
        selection: view.source.selection(),
        per: view.per,
        by: measure_word(view.by),
        total: view.source.cost_json(&view.source.costs.total.cost),
        groups: view.groups.iter().map(group).collect(),
        warnings: view.source.warnings,
    }
}

/// The owners that cost most.
pub fn groups_text(view: &GroupsView<'_>, style: &Style) -> String {
    let (source, by) = (&view.source, view.by);
    let whole = source.whole(by);
    let total = number(style, by, by.of(&source.costs.total.cost));
    let mut out = format!("{}{total} {} in all\n\n", source.heading(style), total_word(by));
    let mut table = Table::new(&[
        ("self", Align::Right),
        ("", Align::Right),
        ("", Align::Left),
        ("inclusive", Align::Right),
        ("calls", Align::Right),
        (view.per, Align::Left),
    ]);
    let room = style.width.saturating_sub(56).max(24);
    for group in view.groups.iter().take(view.most) {
        let own = by.of(&group.own);
        let name = group.name.as_deref().map_or_else(|| "(none)".into(), String::from_utf8_lossy);
        table.row(vec![
            number(style, by, own),
            style.percent(own.unsigned_abs(), whole),
            style.bar(own.unsigned_abs(), whole, 10),
            number(style, by, by.of(&group.inclusive)),
            style.count(group.own.allocations),
            clean(&name, room),
        ]);
    }
    if table.is_empty() {
        out.push_str("Nothing to show.\n");
        return out;
    }
    out.push_str(&table.render(style));
    if let Some(rest) = view.groups.len().checked_sub(view.most).filter(|&rest| rest > 0) {
        let rest = style.count(rest as u64);
        out.push_str(&style.dim(&format!("… {rest} more (--limit N, or --json for all)\n")));
    }
    out
}
