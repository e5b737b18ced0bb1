//! The picture: boxes and words that any viewer shows, and a script for zoom and search where there is a browser.

use super::colors::{fill, hue, module_hues, shade};
use super::graph::FlameGraph;
use super::layout::{Layout, Placed, Tree};
use super::{Drawn, FlameView};
use crate::html::{escape, text};
use crate::{Style, clean};

const SCRIPT: &str = include_str!("../../assets/flame/picture.js");
const STYLE: &str = include_str!("../../assets/flame/picture.css");

/// The picture's width in pixels, and that of the boxes.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 10.0;
const BOXES: f64 = WIDTH - 2.0 * MARGIN;
/// Boxes narrower than this are not drawn: nobody could see them, and there are many.
const LEAST: f64 = 0.1;
const ROW: u32 = 17;
/// Where text stands in its row.
const BASELINE: u32 = 12;
/// Width of a character of the monospaced font, in pixels; a little more than it takes in most.
const CHARACTER: f64 = 7.25;
/// Characters of a name in a tooltip: those of templates have thousands, and a picture many of them.
const LONGEST: usize = 300;
/// Text in a box keeps this distance from its sides.
const PADDING: f64 = 3.0;

/// Makes a picture of one cost, with a script for zoom and search.
pub fn flame_svg(graph: &FlameGraph, view: &FlameView<'_>) -> Drawn {
    let tree = Tree::new(graph, view.by, view.bottom_up);
    let total = graph.total(view.by);
    let least = LEAST.max(view.min_percent / 100.0 * BOXES);
    let layout = Layout::new(&tree, BOXES, least);
    let left_out = tree.nodes.len() - layout.boxes.len();

    let mut words = vec![headline(graph, view, total, layout.boxes.len(), left_out)];
    words.extend(view.notes.iter().cloned());
    let top = 40 + 16 * words.len() as u32;
    let height = top + (layout.rows + 1) * ROW + 14;
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"12\">\n<title>{title}</title>\n<style>{style}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"26\">{title}</text>\n",
        title = text(view.title),
        style = STYLE.trim(),
    );
    for (at, line) in words.iter().enumerate() {
        let y = 44 + 16 * at;
        out.push_str(&format!(
            "<text class=\"words\" x=\"{MARGIN}\" y=\"{y}\">{}</text>\n",
            text(&clean(line, 170))
        ));
    }
    // Shown by the script: without it they do nothing.
    out.push_str(&format!(
        "<text id=\"reset\" class=\"words button\" x=\"{}\" y=\"26\" visibility=\"hidden\">Reset zoom</text>\n\
         <text id=\"search\" class=\"words button\" x=\"{}\" y=\"26\" text-anchor=\"end\" \
         visibility=\"hidden\">Search</text>\n\
         <text id=\"found\" class=\"words\" x=\"{}\" y=\"44\" text-anchor=\"end\"></text>\n",
        WIDTH - 180.0,
        WIDTH - MARGIN,
        WIDTH - MARGIN,
    ));
    if total > 0 {
        boxes(&mut out, graph, view, &tree, &layout, top, total);
    } else {
        let y = top + ROW;
        out.push_str(&format!(
            "<text class=\"title\" x=\"{MARGIN}\" y=\"{y}\">{}</text>\n",
            nothing(graph, view)
        ));
    }
    out.push_str(&format!("<script><![CDATA[\n{}\n]]></script>\n</svg>\n", SCRIPT.trim()));
    Drawn { text: out, frames: layout.boxes.len(), left_out }
}

fn nothing(graph: &FlameGraph, view: &FlameView<'_>) -> String {
    if graph.is_empty() {
        "There are no allocations to draw.".to_owned()
    } else {
        format!("Nothing to draw: 0 {}.", view.by.label())
    }
}

fn headline(graph: &FlameGraph, view: &FlameView<'_>, total: u64, frames: usize, left_out: usize) -> String {
    let style = Style::default();
    let count = |count: usize| style.count(count as u64);
    let order = if view.bottom_up { "callers below what they call" } else { "callers above what they call" };
    let mut words =
        format!("{} {} · {order} · {} frames", amount(view, total), view.by.label(), count(frames));
    if left_out > 0 {
        words.push_str(&format!(" · {} frames too small to show", count(left_out)));
    }
    let below_zero = graph.below_zero[view.by as usize];
    if below_zero > 0 {
        words.push_str(&format!(" · stacks that shrank by {} not shown", amount(view, below_zero)));
    }
    words
}

fn amount(view: &FlameView<'_>, value: u64) -> String {
    let style = Style::default();
    if view.by.is_bytes() { style.size(value) } else { style.count(value) }
}

fn boxes(
    out: &mut String,
    graph: &FlameGraph,
    view: &FlameView<'_>,
    tree: &Tree,
    layout: &Layout,
    top: u32,
    total: u64,
) {
    let hues = module_hues(graph);
    let number = |value: f64| {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let mut push = |parent: usize, x: f64, row: u32, width: f64, color: &str, name: &str, title: &str| {
        let y = top + row * ROW;
        let (shown, is_whole) = fitting(name, width);
        let full = if is_whole { String::new() } else { format!(" data-n=\"{}\"", text(name)) };
        // The script makes the text that there is no room for yet: most boxes are narrow.
        let text = match shown.as_str() {
            "" => String::new(),
            shown => {
                let x = number(MARGIN + x + PADDING);
                format!("<text x=\"{x}\" y=\"{}\">{}</text>", y + BASELINE, text(shown))
            }
        };
        out.push_str(&format!(
            "<g data-p=\"{parent}\"{full}><title>{}</title>\
             <rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{color}\"/>{text}</g>\n",
            escape(title),
            number(MARGIN + x),
            number(width),
            ROW - 1,
        ));
    };
    let all = format!("all: {} {}", amount(view, total), view.by.label());
    // Parents are counted from 1; the box for all is the first, and has none.
    push(0, 0.0, 0, BOXES, "#d9d9d9", &all, &all);
    let mut number_of = vec![1; tree.nodes.len() + 1];
    for (at, placed) in layout.boxes.iter().enumerate() {
        let node = &tree.nodes[placed.node as usize];
        number_of[placed.node as usize + 1] = at + 2;
        let symbol = &graph.symbols[node.symbol as usize];
        let color = fill(hue(symbol.kind, hues[symbol.module as usize]), shade(&symbol.name));
        let Placed { x, row, width, .. } = *placed;
        let parent = number_of[tree.parent(placed.node)];
        push(
            parent,
            x,
            row + 1,
            width,
            &color,
            &symbol.short,
            &tooltip(graph, view, tree, placed.node, total),
        );
    }
}

/// Name, place and costs of a box, a line each.
fn tooltip(graph: &FlameGraph, view: &FlameView<'_>, tree: &Tree, node: u32, total: u64) -> String {
    let node = &tree.nodes[node as usize];
    let mut name = clean(&graph.symbols[node.symbol as usize].name, LONGEST);
    if node.is_inlined {
        name.push_str(" (inlined)");
    }
    let cost = |value: u64| format!("{} ({:.2} %)", amount(view, value), value as f64 * 100.0 / total as f64);
    let mut costs = format!("{} {}", cost(node.total), view.by.label());
    if !view.bottom_up {
        costs.push_str(&format!(", itself {}", cost(node.own)));
    }
    let place = clean(&graph.place(node.example as usize), 500);
    [name, place, costs].into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// As much of a name as fits into a box, and whether that is all of it. Outer namespaces go first: they are the same
/// all around.
fn fitting(name: &str, width: f64) -> (String, bool) {
    let name = clean(name, usize::MAX);
    let room = ((width - 2.0 * PADDING) / CHARACTER).max(0.0) as usize;
    let length = |text: &str| text.chars().count();
    if length(&name) <= room {
        return (name, true);
    }
    // A letter or two say nothing.
    if room < 3 {
        return (String::new(), false);
    }
    let mut rest = name.as_str();
    while length(rest) >= room
        && let Some(at) =
            rest.char_indices().skip(1).map(|(at, _)| at).find(|&at| rest[at..].starts_with("::"))
    {
        rest = &rest[at + 2..];
    }
    let start = if rest.len() < name.len() { "…" } else { "" };
    let shown = format!("{start}{rest}");
    if length(&shown) <= room {
        return (shown, false);
    }
    (shown.chars().take(room - 1).chain(['…']).collect(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, room: usize, expected: &str) {
        let width = room as f64 * CHARACTER + 2.0 * PADDING + 0.01;
        assert_eq!(fitting(name, width), (expected.to_owned(), expected == name), "{name} in {room}");
    }

    #[test]
    fn names_are_cut_where_it_hurts_least() {
        check("node::Start", 11, "node::Start");
        check("node::Start", 10, "…Start");
        check("v8::internal::Heap::Run", 22, "…internal::Heap::Run");
        check("v8::internal::Heap::Run", 12, "…Heap::Run");
        check("v8::internal::Heap::Run", 4, "…Run");
        check("v8::internal::Heap::Allocate", 5, "…All…");
        check("allocate", 4, "all…");
        check("main", 2, "");
        check("::f", 3, "::f");
        check("ä::ß::ü", 4, "…ü");
    }
}
