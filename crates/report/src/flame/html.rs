//! The page: data as JSON, and a small script that draws it.
//!
//! Names out of a recording appear only inside the JSON, where `<` and its like are written as escapes, so that no
//! name can end the block that it stands in. The script puts them on the page as text. A content security policy
//! allows the page's own script and style by their hashes, and nothing else: no network, no other script.

use serde::Serialize;

use super::colors::{module_hues, modules_by_cost};
use super::graph::{FlameCost, FlameGraph, FlameKind};
use super::{Drawn, FlameView};
use crate::html::head;

/// Both are one script, in one function: nothing of it is global.
const SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("../../assets/flame/graph.js"),
    include_str!("../../assets/flame/page.js"),
    "})();"
);
const STYLE: &str = include_str!("../../assets/flame/page.css");
const BODY: &str = include_str!("../../assets/flame/page.html");

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    notes: &'a [String],
    by: &'static str,
    bottom_up: bool,
    min_percent: f64,
    costs: Vec<CostJson>,
    modules: &'a [String],
    /// By module: its hue in degrees, 999 for grey.
    hues: Vec<u16>,
    /// The modules of native functions, the most expensive first.
    legend: Vec<usize>,
    files: &'a [String],
    /// By symbol.
    names: Vec<&'a str>,
    /// By symbol: the name for a box; empty where it is the name.
    shorts: Vec<&'a str>,
    /// By symbol.
    module: Vec<u32>,
    /// By symbol: 0 native, 1 JavaScript, 2 builtin, 3 unknown.
    kind: Vec<u8>,
    /// By node, from here on: the caller's number plus one.
    parent: &'a [u32],
    symbol: &'a [u32],
    file: &'a [u32],
    line: &'a [u32],
    /// Numbers of the nodes that are inlined.
    inlined: Vec<usize>,
    /// Six numbers for each node that costs something itself: its own number and five costs.
    own: Vec<u64>,
}

#[derive(Serialize)]
struct CostJson {
    key: &'static str,
    label: &'static str,
    is_bytes: bool,
    below_zero: u64,
}

/// Makes a page that shows the graph in a browser, in one file.
pub fn flame_html(graph: &FlameGraph, view: &FlameView<'_>) -> Drawn {
    let cost = |cost: FlameCost| CostJson {
        key: cost.key(),
        label: cost.label(),
        is_bytes: cost.is_bytes(),
        below_zero: graph.below_zero[cost as usize],
    };
    let mut own = Vec::new();
    for (node, costs) in graph.own.iter().enumerate() {
        if *costs != [0; 5] {
            own.push(node as u64);
            own.extend(graph.costs().map(|cost| costs[cost as usize]));
        }
    }
    let symbols = &graph.symbols;
    let page = Page {
        title: view.title,
        notes: view.notes,
        by: view.by.key(),
        bottom_up: view.bottom_up,
        min_percent: view.min_percent,
        costs: graph.costs().map(cost).collect(),
        modules: &graph.modules,
        hues: module_hues(graph),
        legend: modules_by_cost(graph),
        files: &graph.files,
        names: symbols.iter().map(|symbol| symbol.name.as_str()).collect(),
        shorts: symbols.iter().map(|s| if s.short == s.name { "" } else { &s.short }).collect(),
        module: symbols.iter().map(|symbol| symbol.module).collect(),
        kind: symbols.iter().map(|symbol| kind_number(symbol.kind)).collect(),
        parent: &graph.parents,
        symbol: &graph.symbol,
        file: &graph.file,
        line: &graph.line,
        inlined: (0..graph.len()).filter(|&node| graph.inlined[node]).collect(),
        own,
    };
    let script = SCRIPT;
    let style = STYLE.trim();
    let text = format!(
        "{}<body>\n{}\n<script type=\"application/json\" id=\"data\">{}</script>\n<script>{script}</script>\n\
         </body>\n</html>\n",
        head(view.title, style, Some(script)),
        BODY.trim(),
        json_in_html(&page),
    );
    Drawn { text, frames: graph.len(), left_out: 0 }
}

fn kind_number(kind: FlameKind) -> u8 {
    match kind {
        FlameKind::Native => 0,
        FlameKind::Js => 1,
        FlameKind::Builtin => 2,
        FlameKind::Unknown => 3,
    }
}

/// JSON that can stand in a script element: outside of strings there is none of these characters, and inside they may
/// be escapes.
fn json_in_html(value: &impl Serialize) -> String {
    // Strings, numbers and lists of them have no way to fail.
    let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}
