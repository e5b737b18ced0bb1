//! `strings`.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_jsheap::StringGroup;
use twinheap_snapshot::{NodeIdx, Wtf8};

use crate::describe::{Describer, NodeJson};
use crate::names::{clean, json_bytes};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What `strings` shows.
pub struct StringsView<'a> {
    /// Texts that are there more than once, most bytes first.
    pub duplicates: &'a [StringGroup],
    /// The largest strings.
    pub largest: &'a [NodeIdx],
    /// Number of strings of all kinds with a size.
    pub count: u64,
    /// Their shallow sizes, in bytes.
    pub shallow_size: u64,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    count: u64,
    shallow_size: u64,
    /// Bytes that one copy of each text would save.
    wasted: u64,
    duplicate_texts: usize,
    duplicates: Vec<GroupJson>,
    largest: Vec<NodeJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct GroupJson {
    text: Box<RawValue>,
    count: usize,
    shallow_size: u64,
    wasted: u64,
    may_differ: bool,
    /// The first of them.
    ids: Vec<u64>,
}

/// Ids listed for a text; the rest differ in nothing.
const MOST_IDS: usize = 10;

/// Duplicates and the largest strings, at most `most` of each.
pub fn strings_json<'a>(
    describer: &Describer<'_>,
    file: &'a str,
    view: &StringsView<'_>,
    most: usize,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    let heap = describer.heap;
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "js-strings",
        file,
        count: view.count,
        shallow_size: view.shallow_size,
        wasted: view.duplicates.iter().map(|g| g.wasted).sum(),
        duplicate_texts: view.duplicates.len(),
        duplicates: view
            .duplicates
            .iter()
            .take(most)
            .map(|group| GroupJson {
                text: json_bytes(&group.text),
                count: group.nodes.len(),
                shallow_size: group.shallow_size,
                wasted: group.wasted,
                may_differ: group.may_differ,
                ids: group.nodes.iter().take(MOST_IDS).map(|&n| heap.snapshot.id(n)).collect(),
            })
            .collect(),
        largest: view.largest.iter().map(|&node| describer.node_json(node)).collect(),
        warnings,
    }
}

/// The same in words.
pub fn strings_text(describer: &Describer<'_>, view: &StringsView<'_>, style: &Style, most: usize) -> String {
    let heap = describer.heap;
    let wasted: u64 = view.duplicates.iter().map(|g| g.wasted).sum();
    let mut out = format!(
        "{} strings, {}; {} texts are there more than once, one copy of each would save {} ({})\n\n",
        style.count(view.count),
        style.size(view.shallow_size),
        style.count(view.duplicates.len() as u64),
        style.size(wasted),
        style.percent(wasted, view.shallow_size),
    );
    let room = style.width.saturating_sub(46).max(30);
    let mut table = Table::new(&[
        ("copies", Align::Right),
        ("size", Align::Right),
        ("wasted", Align::Right),
        ("text", Align::Left),
        ("first", Align::Right),
    ]);
    let mut may_differ = false;
    for group in view.duplicates.iter().take(most) {
        may_differ |= group.may_differ;
        table.row(vec![
            style.count(group.nodes.len() as u64),
            style.size(group.shallow_size),
            style.size(group.wasted),
            format!("\"{}\"", clean(&Wtf8::new(&group.text).to_string_lossy(), room)),
            group.nodes.first().map(|&n| format!("@{}", heap.snapshot.id(n))).unwrap_or_default(),
        ]);
    }
    if !table.is_empty() {
        out.push_str(&style.bold("Duplicates"));
        out.push('\n');
        out.push_str(&table.render(style));
        if may_differ {
            let note = "Texts of 1,024 characters are cut in the snapshot: they may differ behind that.\n";
            out.push_str(&style.dim(note));
        }
        out.push('\n');
    }
    let mut table = Table::new(&[
        ("size", Align::Right),
        ("kind", Align::Left),
        ("text", Align::Left),
        ("id", Align::Right),
    ]);
    for &node in view.largest {
        let kind = heap.snapshot.type_name(heap.snapshot.node_type(node));
        let text = heap.node_name(node);
        table.row(vec![
            style.size(heap.shallow_size(node)),
            kind.to_owned(),
            format!("\"{}\"", clean(&Wtf8::new(&text).to_string_lossy(), room)),
            format!("@{}", heap.snapshot.id(node)),
        ]);
    }
    out.push_str(&style.bold("Largest"));
    out.push('\n');
    out.push_str(&table.render(style));
    out
}
