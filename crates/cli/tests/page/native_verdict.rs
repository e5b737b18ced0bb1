//! The verdict on native traces: the page's is that of `leaks --json`, and leads to the stacks behind each number.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::lab::{Page, cli};

/// Bytes of a block, so that a thousand blocks are worth telling.
const BLOCK: u64 = 512;

/// Writes a recording, as heaptrack does, of a program whose functions `remember` and `fill` have so many blocks after
/// each tenth of a second.
fn recording(path: &Path, command: &str, ticks: &[[u64; 2]]) -> PathBuf {
    let mut text = format!("v 10400 2\nX {command}\nI 1000 4000\n");
    for string in ["/lib/libc.so.6", "strdup", "/srv/app", "/srv/app.c", "remember", "fill"] {
        writeln!(text, "s {string}").unwrap();
    }
    // Place 1 is strdup, the others are the functions' calls of it.
    text.push_str("i 7000 1 2\ni 400 3 5 4 a\ni 500 3 6 4 b\n");
    for at in 0..2 {
        writeln!(text, "t {:x} 0\nt 1 {:x}\na {BLOCK:x} {:x}", 2 + at, 2 * at + 1, 2 * at + 2).unwrap();
    }
    let mut alive = [0; 2];
    for (tick, wanted) in ticks.iter().enumerate() {
        writeln!(text, "c {:x}", tick * 100).unwrap();
        for (at, &wanted) in wanted.iter().enumerate() {
            (alive[at]..wanted).for_each(|_| writeln!(text, "+ {at:x}").unwrap());
            (wanted..alive[at]).for_each(|_| writeln!(text, "- {at:x}").unwrap());
            alive[at] = wanted;
        }
    }
    writeln!(text, "c {:x}", ticks.len() * 100).unwrap();
    fs::write(path, text).unwrap();
    path.to_owned()
}

fn grows(from: u64) -> Vec<[u64; 2]> {
    (0..60).map(|tick| [from + 10 * tick, 50 + 40 * (tick % 5)]).collect()
}

#[track_caller]
fn check(page: &Page, query: &str, ladder: &str, wanted: &[&str]) -> Value {
    let answer = page.get(query).json();
    assert_eq!(answer["ladder"], ladder, "{answer}");
    assert_eq!(answer["leaks"], cli(wanted), "{query}");
    assert_eq!(answer["leaks"]["verdict"], "leak", "{answer}");
    assert!(answer["headline"].as_str().unwrap().starts_with("Leak: remember"), "{answer}");
    answer
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |out, byte| out + &format!("%{byte:02x}"))
}

#[test]
fn the_verdict_is_that_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let a = recording(&at("a"), "./app --port 1", &grows(0));
    let other = recording(&at("other"), "./other", &grows(250));
    let b = recording(&at("b"), "./app --port 1", &grows(500));
    let c = recording(&at("c"), "./app --port 1", &grows(1000));
    let short = recording(&at("short"), "./short", &[[9, 9]]);
    let page = Page::open(&[&a, &other, &b, &c, &short]);
    page.wait();
    let [a, other, b, c] = [&a, &other, &b, &c].map(|path| path.to_str().unwrap());

    // The recordings of one program are a ladder, and one alone is taken apart.
    let ladder = check(&page, "api/files/3/native/leaks", "recordings", &["leaks", a, b, c]);
    assert_eq!(ladder["files"], serde_json::json!([0, 2, 3]));
    check(&page, "api/files/2/native/leaks?by=leaked", "recordings", &["leaks", a, b]);
    let moments = check(&page, "api/files/0/native/leaks", "moments", &["leaks", a]);
    check(&page, "api/files/3/native/leaks?ladder=moments", "moments", &["leaks", c]);
    check(&page, "api/files/2/native/leaks?ladder=recordings", "recordings", &["leaks", a, other, b]);
    // A stretch of time and a function count as everywhere.
    let part = ["leaks", a, "--from", "1", "--to", "4", "--filter-function", "remember"];
    check(&page, "api/files/0/native/leaks?from=1&to=4&function=remember", "moments", &part);
    let short = page.get("api/files/4/native/leaks").json();
    assert!(short["problem"]["error"].as_str().unwrap().contains("too short"), "{short}");

    // The stacks of a finding have its bytes, at the moment that the number is from.
    for (file, answer) in [(3, &ladder), (0, &moments)] {
        let suspect = &answer["leaks"]["suspects"][0];
        let last = |list: &Value| list.as_array().unwrap().last().unwrap().clone();
        let (site, bytes) = (encoded(&answer["sites"][0].to_string()), last(&suspect["bytes"]));
        let end = last(&answer["leaks"]["steps"])["time"]
            .as_f64()
            .map_or(String::new(), |end| format!("&to={end}"));
        let tree = page.get(&format!("api/files/{file}/native/tree?by=leaked&site={site}{end}")).json();
        let roots: Vec<&Value> =
            tree["nodes"].as_array().unwrap().iter().filter(|node| node["depth"] == 0).collect();
        assert_eq!((roots.len(), &roots[0]["leaked"]), (1, &bytes), "{tree}");
        assert_eq!(answer["newest"][0], file);
    }
    let wrong = page.get("api/files/0/native/tree?site=nonsense");
    assert_eq!(wrong.status, 400);
    assert!(wrong.json()["error"].as_str().unwrap().contains("no call site"));
    assert_eq!(page.get("api/files/0/native/leaks?ladder=nonsense").status, 400);
}
