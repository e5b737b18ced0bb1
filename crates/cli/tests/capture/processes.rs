//! `twinheap ps`.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::lab::{Node, VERSIONS, executable, run};

#[track_caller]
fn entry(document: &Value, node: &Node) -> Value {
    assert_eq!((&document["schema_version"], &document["kind"]), (&json!(1), &json!("processes")));
    let mut processes = document["processes"].as_array().unwrap().iter();
    let entry = processes.find(|p| p["pid"] == node.pid());
    entry.unwrap_or_else(|| panic!("no {} in {document}", node.pid())).clone()
}

#[test]
fn processes_of_all_versions_are_listed_and_left_alone() {
    let mut nodes: Vec<Node> = VERSIONS.map(|version| Node::start(version, &[], &json!({}))).into();
    // A server on the inspector's usual port is none.
    let mut server = Node::small();
    server.ask("require('http').createServer((_, r) => r.end('x')).listen(9229, '127.0.0.1').on('error', () => {}); 0");
    let document = run(&["ps", "--json"]).json();
    for (node, version) in nodes.iter_mut().zip(VERSIONS) {
        let entry = entry(&document, node);
        assert!(entry["version"].as_str().unwrap().starts_with(&format!("v{version}.")), "{entry}");
        assert!(entry["rss_bytes"].as_u64() > Some(10 << 20), "{entry}");
        assert!(entry["v8_bytes"].as_u64() < entry["rss_bytes"].as_u64(), "{entry}");
        assert!(entry["threads"].as_u64() > Some(1), "{entry}");
        assert!(entry["command"].as_str().unwrap().contains("target.cjs"), "{entry}");
        assert_eq!((&entry["inspector_open"], &entry["isolates"]), (&json!(false), &Value::Null));
    }
    assert_eq!(entry(&document, &server)["isolates"], Value::Null);
    assert_eq!(run(&["ps"]).code, Some(0));
    for node in nodes.iter_mut().chain([&mut server]) {
        assert_eq!(node.ask("6 * 7"), 42);
        assert_eq!(node.stderr(), "", "nobody knocked");
    }
}

#[test]
fn isolates_are_shown_of_a_process_that_is_asked() {
    for version in [18, 26] {
        let mut node = Node::start(version, &[], &json!({"workers": true}));
        let document = run(&["ps", "--json", &node.target()]).json();
        let entry = entry(&document, &node);
        let isolates = entry["isolates"].as_array().unwrap();
        let threads: Vec<&str> = isolates.iter().map(|i| i["thread"].as_str().unwrap()).collect();
        assert_eq!(threads.len(), 4);
        assert_eq!(threads[0], "main");
        assert!(["network", "discv5"].iter().all(|name| threads.contains(name)), "{threads:?}");
        for isolate in isolates {
            let (used, total) = (isolate["heap_used_bytes"].as_u64(), isolate["heap_total_bytes"].as_u64());
            assert!(used > Some(1 << 20) && total >= used, "{isolate}");
        }
        node.check_untouched();
        let ran = run(&["ps", &node.target()]);
        let table = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(
            table.contains("network") && table.contains("discv5") && table.contains("worker-"),
            "{table}"
        );
        node.check_untouched();
    }
}

#[test]
fn an_open_inspector_is_asked_and_stays_open() {
    let mut node = Node::start(24, &["--inspect=127.0.0.1:0"], &json!({}));
    let url = node.inspector().unwrap();
    let entry = entry(&run(&["ps", "--json"]).json(), &node);
    assert_eq!(entry["inspector_open"], true);
    assert_eq!(entry["isolates"][0]["thread"], "main");
    assert_eq!(node.inspector(), Some(url));
}

#[test]
fn node_is_found_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let renamed = folder.path().join("beacon");
    if fs::hard_link(executable(22), &renamed).is_err() {
        fs::copy(executable(22), &renamed).unwrap();
    }
    let mut node = Node::run(&mut Command::new(&renamed), &json!({}));
    node.ask("process.title = 'a title\\u001b[31m of its own'; 0");
    // Its file may be gone, as after an update.
    fs::remove_file(&renamed).unwrap();
    let entry = entry(&run(&["ps", "--json"]).json(), &node);
    assert!(entry["version"].as_str().unwrap().starts_with("v22."), "{entry}");
    let ran = run(&["ps"]);
    assert!(!String::from_utf8_lossy(&ran.stdout).contains('\u{1b}'));
    let ran = run(&["ps", &std::process::id().to_string()]);
    ran.check_error(2, &["is not Node.js"]);
}
