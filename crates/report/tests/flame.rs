//! Flame graphs as a browser gets them: well-formed, complete, harmless whatever functions are called.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use twinheap_native::{NativeHeap, Suppressions, top_down};
use twinheap_report::{FlameCost, FlameGraph, FlameView, flame_html, flame_svg};
use twinheap_trace::Parser;

fn graph_of(bytes: &[u8], ms: Option<&std::ops::Range<u64>>) -> FlameGraph {
    let mut parser = Parser::new();
    parser.feed(bytes).expect("a sound file");
    let heap = NativeHeap::new(parser.finish().expect("a sound file").trace);
    let costs = heap.costs(ms, &Suppressions::none());
    let graph = FlameGraph::of_native(&heap, &top_down(&heap, &costs));
    for (by, total) in [
        (FlameCost::Peak, costs.total.cost.peak),
        (FlameCost::Allocations, costs.total.cost.allocations.cast_signed()),
        (FlameCost::Temporary, costs.total.cost.temporary.cast_signed()),
        (FlameCost::Bytes, costs.total.cost.bytes.cast_signed()),
    ] {
        assert_eq!(graph.total(by).cast_signed(), total, "{by:?}");
    }
    graph
}

fn node_start() -> FlameGraph {
    let path = "../native/tests/fixtures/node22-start.heaptrack.zst";
    let file = std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the fixture");
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::new(file).expect("zstd").read_to_end(&mut bytes).expect("zstd");
    graph_of(&bytes, None)
}

/// A program whose functions have these names, each calling the next; the last allocates 100 bytes.
fn calling(names: &[&str]) -> FlameGraph {
    let mut text = String::from("v 10400 3\ns 4 /bin\n");
    for name in names {
        text.push_str(&format!("s {:x} {name}\n", name.len()));
    }
    for at in 0..names.len() {
        text.push_str(&format!(
            "i {:x} 1 {:x} {:x} 7\nt {:x} {at:x}\n",
            0x40_1000 + at,
            at + 2,
            at + 2,
            at + 1
        ));
    }
    text.push_str(&format!("a 64 {:x}\n+ 0\nc 1\n", names.len()));
    graph_of(text.as_bytes(), None)
}

fn view<'a>(title: &'a str, notes: &'a [String]) -> FlameView<'a> {
    FlameView { title, notes, by: FlameCost::Peak, bottom_up: false, min_percent: 0.0 }
}

/// A frame of a picture: parent's number from 1, x, y, width, name and tooltip.
#[derive(Debug)]
struct Frame {
    parent: usize,
    x: f64,
    y: f64,
    width: f64,
    shown: String,
    tip: String,
}

#[track_caller]
fn frames(svg: &str) -> Vec<Frame> {
    let document = roxmltree::Document::parse(svg).expect("well-formed XML");
    for node in document.descendants() {
        assert!(
            ["", "svg", "title", "style", "rect", "text", "g", "script"].contains(&node.tag_name().name()),
            "{node:?}"
        );
        for attribute in node.attributes() {
            assert!(
                !attribute.name().starts_with("on") && !attribute.name().ends_with("href"),
                "{attribute:?}"
            );
        }
    }
    let scripts = document.descendants().filter(|node| node.has_tag_name("script")).count();
    assert_eq!(scripts, 1);
    let group = |node: roxmltree::Node<'_, '_>| {
        let child = |name: &str| node.children().find(|child| child.tag_name().name() == name);
        let number =
            |name: &str| child("rect").expect("a box").attribute(name).expect(name).parse().expect(name);
        Frame {
            parent: node.attribute("data-p").expect("parent").parse().expect("parent"),
            x: number("x"),
            y: number("y"),
            width: number("width"),
            shown: child("text").and_then(|text| text.text()).unwrap_or("").to_owned(),
            tip: child("title").and_then(|title| title.text()).expect("a tooltip").to_owned(),
        }
    };
    document.descendants().filter(|node| node.has_tag_name("g")).map(group).collect()
}

/// The JSON in a page.
#[track_caller]
fn data(html: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"data\">";
    let (before, rest) = html.split_once(start).expect("the data block");
    let (json, after) = rest.split_once("</script>").expect("the end of the data block");
    assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
    // Nothing else of the page comes from the recording but the title.
    assert!(after.trim_start().starts_with("<script>"));
    assert_eq!((before.matches("<script").count(), after.matches("<script").count()), (0, 1));
    serde_json::from_str(json).expect("JSON")
}

#[track_caller]
fn check_hostile(name: &str) {
    let graph = calling(&["main", name]);
    let notes = [name.to_owned()];
    let svg = flame_svg(&graph, &view(name, &notes)).text;
    let frames = frames(&svg);
    assert_eq!(frames.len(), 3);
    assert!(frames[2].width > 1000.0 && !frames[2].shown.is_empty());
    assert!(!svg.contains('\u{202E}') && !svg.contains('\u{1}'));
    let html = flame_html(&graph, &view(name, &notes)).text;
    let data = data(&html);
    assert_eq!((data["names"][1].as_str(), data["title"].as_str()), (Some(name), Some(name)));
    let title = html.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    assert!(!title.expect("a title").contains(['<', '>']));
}

#[test]
fn hostile_names_are_only_names() {
    check_hostile("</script><img src=x onerror=alert(1)>");
    check_hostile("]]></script></svg><script>alert(1)</script>");
    check_hostile("\"><rect onclick='alert(1)'>&lt;&#x3c;");
    check_hostile("<!--<script>");
    check_hostile("a\u{1}\u{202E}b\u{FFFF}\u{2028}c");
    check_hostile("\\u003c/script>${alert(1)}`");
}

#[test]
fn pictures_have_every_frame_in_its_place() {
    let graph = node_start();
    for bottom_up in [false, true] {
        for by in FlameCost::ALL {
            let drawn = flame_svg(&graph, &FlameView { by, bottom_up, ..view("node", &[]) });
            let frames = frames(&drawn.text);
            assert_eq!(frames.len(), drawn.frames + 1, "all, and each frame");
            assert!(drawn.frames > 100, "{by:?}");
            // Two decimals of each number are in the file.
            let slack = 0.02;
            for frame in &frames[1..] {
                let parent = &frames[frame.parent - 1];
                assert!(frame.x > parent.x - slack, "{frame:?}");
                assert!(frame.x + frame.width < parent.x + parent.width + slack, "{frame:?}");
                assert!(frame.y > parent.y && frame.width >= 0.09, "{frame:?}");
                assert!(frame.shown.chars().count() as f64 * 7.0 < frame.width, "{frame:?}");
                assert!(frame.tip.lines().count() >= 2, "{frame:?}");
            }
            let words = "frames too small to show";
            assert_eq!(drawn.text.contains(words), drawn.left_out > 0);
        }
    }
}

#[test]
fn small_frames_are_left_out_and_counted() {
    let graph = node_start();
    let all = flame_svg(&graph, &view("node", &[]));
    let some = flame_svg(&graph, &FlameView { min_percent: 5.0, ..view("node", &[]) });
    assert_eq!(all.frames + all.left_out, some.frames + some.left_out);
    assert!(some.frames < all.frames);
    assert!(frames(&some.text).iter().all(|frame| frame.width > 58.9));
}

#[test]
fn a_page_has_every_node() {
    let graph = node_start();
    let drawn = flame_html(&graph, &view("node", &["a note".to_owned()]));
    assert_eq!(drawn, flame_html(&node_start(), &view("node", &["a note".to_owned()])), "always the same");
    let data = data(&drawn.text);
    let column = |name: &str| data[name].as_array().expect(name).len();
    for name in ["parent", "symbol", "file", "line"] {
        assert_eq!(column(name), graph.len(), "{name}");
    }
    assert_eq!((column("own") % 6, column("names")), (0, column("kind")));
    let own: Vec<u64> =
        data["own"].as_array().expect("own").iter().map(|n| n.as_u64().expect("own")).collect();
    for (at, by) in FlameCost::ALL.into_iter().enumerate() {
        assert_eq!(own.chunks(6).map(|row| row[at + 1]).sum::<u64>(), graph.total(by), "{by:?}");
        assert_eq!(data["costs"][at]["key"], by.key());
    }
    let parents = data["parent"].as_array().expect("parent");
    assert!(parents.iter().enumerate().all(|(at, parent)| parent.as_u64().expect("number") <= at as u64));
    // The policy allows nothing but the page's own script and style.
    assert!(drawn.text.contains("default-src 'none'; script-src 'sha256-"));
    assert!(!drawn.text.contains("http://") && !drawn.text.contains("https://"), "a page loads nothing");
}

/// Runs the page's script in Node.js and compares what it draws at an address: a line a row of names, and what it found.
#[track_caller]
fn check_script(page: &Path, hash: &str, rows: &[&str], found: &str) {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flame/run.mjs");
    let output = Command::new("node").arg(runner).arg(page).arg(hash).output().expect("Node.js");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drawn: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((drawn["rows"].clone(), drawn["found"].as_str()), (rows.into(), Some(found)), "at {hash}");
}

#[test]
fn the_script_of_a_page_draws_what_the_address_says() {
    // main calls load 100 B, which calls itself with 50 B more, and read, which calls load with 200 B.
    let text = b"v 10400 3\ns 4 main\ns 8 ns::load\ns 4 read\ni 10 0 1\ni 20 0 2\ni 30 0 3\n\
                 t 1 0\nt 2 1\nt 2 2\nt 3 1\nt 2 4\na 64 2\na 32 3\na c8 5\n+ 0\n+ 1\n+ 2\n+ 2\n- 2\nc 1\n";
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    std::fs::write(&page, flame_html(&graph_of(text, None), &view("a page", &[])).text).expect("a page");
    let check = |hash: &str, rows: &[&str], found: &str| check_script(&page, hash, rows, found);

    let peak = "all: 550 B alive at the peak";
    check("", &[peak, "main", "read | ns::load", "ns::load | ns::load"], "");
    check(
        "#by=bytes&view=bottom-up",
        &["all: 550 B allocated in all", "ns::load", "read | main | ns::load", "main | main"],
        "",
    );
    check("#by=leaked&collapse=1", &["all: 350 B not freed", "main", "read | ns::load", "ns::load"], "");
    check("#by=allocations&min=40", &["all: 4 calls", "main", "ns::load | read", "ns::load"], "");
    check("#by=temporary&view=bottom-up", &["all: 1 temporary blocks", "ns::load", "read", "main"], "");
    // Zoom: symbols are numbered as they come. What is not there is not zoomed into.
    check("#by=peak&at=0.2", &[peak, "main", "read", "ns::load"], "");
    check(
        "#by=peak&at=0.77&q=READ",
        &[peak, "main", "read | ns::load", "ns::load | ns::load"],
        "72.73 % matched, 400 B",
    );
    check("#q=/^ns::/", &[peak, "main", "read | ns::load", "ns::load | ns::load"], "100.00 % matched, 550 B");
    check("#q=/(/", &[peak, "main", "read | ns::load", "ns::load | ns::load"], "no regular expression");
}

#[test]
fn a_picture_of_nothing_says_so() {
    let none = graph_of(b"v 10400 3\nX ./idle\nc 5\n", None);
    assert!(none.is_empty());
    let drawn = flame_svg(&none, &view("idle", &[]));
    assert_eq!(frames(&drawn.text).len(), 0);
    assert!(drawn.text.contains("There are no allocations to draw."));
    assert_eq!(data(&flame_html(&none, &view("idle", &[])).text)["parent"], Value::Array(Vec::new()));

    let drawn = flame_svg(
        &calling(&["main"]),
        &FlameView { by: FlameCost::Temporary, ..view("no temporary blocks", &[]) },
    );
    assert!(drawn.text.contains("Nothing to draw: 0 temporary blocks."));
}

#[test]
fn what_shrinks_is_told_and_not_drawn() {
    let text = b"v 10400 3\ns 1 a\ns 1 b\ni 10 0 1\ni 20 0 2\nt 1 0\nt 2 0\na 64 1\na 32 2\n\
                 + 0\n+ 0\nc 5\n- 0\n+ 1\nc 9\n";
    let graph = graph_of(text, Some(&(5..9)));
    assert_eq!(graph.total(FlameCost::Leaked), 50);
    let drawn = flame_svg(&graph, &FlameView { by: FlameCost::Leaked, ..view("a stretch", &[]) });
    assert_eq!(frames(&drawn.text).len(), 2);
    assert!(drawn.text.contains("stacks that shrank by 100 B not shown"), "{}", drawn.text);
}
