//! `dominators`.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_jsheap::DominatedClass;
use twinheap_snapshot::NodeIdx;

use crate::describe::{Describer, NodeJson};
use crate::names::{clean, json, json_bytes};
use crate::objects::node_table;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What `dominators` shows of a node.
pub struct DominatorsView<'a> {
    /// The node.
    pub node: NodeIdx,
    /// Its dominators, itself first, the root last.
    pub chain: &'a [NodeIdx],
    /// What it dominates directly, largest first.
    pub children: &'a [NodeIdx],
    /// The same by class.
    pub classes: &'a [DominatedClass],
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    node: NodeJson,
    /// Immediate dominator first, the root last.
    dominators: Vec<NodeJson>,
    dominated_count: usize,
    dominated: Vec<NodeJson>,
    classes: Vec<ClassJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct ClassJson {
    name: Box<RawValue>,
    key: Box<RawValue>,
    count: u64,
    shallow_size: u64,
    retained_size: u64,
}

/// The neighbourhood of a node in the dominator tree; at most `most` nodes below it are listed.
pub fn dominators_json<'a>(
    describer: &Describer<'_>,
    file: &'a str,
    view: &DominatorsView<'_>,
    most: usize,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    let heap = describer.heap;
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "js-dominators",
        file,
        node: describer.node_json(view.node),
        dominators: view.chain.iter().skip(1).map(|&node| describer.node_json(node)).collect(),
        dominated_count: view.children.len(),
        dominated: view.children.iter().take(most).map(|&node| describer.node_json(node)).collect(),
        classes: view
            .classes
            .iter()
            .map(|row| {
                let class = heap.classes().get(row.class);
                ClassJson {
                    name: json(class.name()),
                    key: json_bytes(&class.key()),
                    count: row.count,
                    shallow_size: row.shallow_size,
                    retained_size: row.retained_size,
                }
            })
            .collect(),
        warnings,
    }
}

/// The same in words.
pub fn dominators_text(
    describer: &Describer<'_>,
    view: &DominatorsView<'_>,
    style: &Style,
    most: usize,
    group: bool,
) -> String {
    let heap = describer.heap;
    let retained = heap.retained_size(view.node);
    let mut out = format!(
        "{}\nretains {} ({} of the heap)\n",
        style.bold(&describer.node_words(view.node, 120)),
        style.size(retained),
        style.percent(retained, heap.total_size()),
    );
    for (at, &above) in view.chain.iter().skip(1).take(12).enumerate() {
        out.push_str(&format!("{}↑ {}\n", "  ".repeat(at), describer.node_words(above, 80)));
    }
    if let Some(rest) = view.chain.len().checked_sub(13).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("… {rest} more dominators up to the root\n")));
    }
    out.push('\n');
    let (table, total) = if group {
        (class_table(describer, view, style, most), view.classes.len())
    } else {
        (node_table(describer, &view.children[..view.children.len().min(most)], style), view.children.len())
    };
    if view.children.is_empty() {
        out.push_str("It dominates nothing.\n");
        return out;
    }
    out.push_str(&table.render(style));
    if let Some(rest) = total.checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("… {} more (--limit N)\n", style.count(rest as u64))));
    }
    out
}

fn class_table(describer: &Describer<'_>, view: &DominatorsView<'_>, style: &Style, most: usize) -> Table {
    let heap = describer.heap;
    let of = heap.retained_size(view.node);
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("count", Align::Right),
        ("shallow", Align::Right),
        ("retained", Align::Right),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    for row in view.classes.iter().take(most) {
        table.row(vec![
            clean(&heap.classes().get(row.class).name().to_string_lossy(), 60),
            style.count(row.count),
            style.size(row.shallow_size),
            style.size(row.retained_size),
            style.percent(row.retained_size, of),
            style.bar(row.retained_size, of, 10),
        ]);
    }
    table
}
