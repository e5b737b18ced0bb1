//! Every isolate of every Node version, the ordinary way and by a copy.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::lab::{Node, Summary, names_in, run, snapshot, text, wait_until};

/// Files of a document by their thread; an unnamed worker's number depends on the others.
#[track_caller]
fn files(document: &Value, pid: &str, version: u32) -> BTreeMap<String, PathBuf> {
    assert_eq!((&document["schema_version"], &document["kind"]), (&json!(1), &json!("captured-snapshots")));
    assert_eq!(document["target"], format!("process {pid}"));
    assert!(document["node_version"].as_str().unwrap().starts_with(&format!("v{version}.")), "{document}");
    let mut files = BTreeMap::new();
    for file in document["files"].as_array().unwrap() {
        let (thread, path) = (file["thread"].as_str().unwrap(), Path::new(file["file"].as_str().unwrap()));
        let name = path.file_name().unwrap().to_str().unwrap();
        let (start, end) = (format!("heap-{pid}-"), format!("Z-{thread}.heapsnapshot.zst"));
        assert!(name.starts_with(&start) && name.ends_with(&end), "{name}");
        let about = fs::metadata(path).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        assert_eq!(file["bytes"], about.len());
        assert!(file["json_bytes"].as_u64() > file["bytes"].as_u64(), "{file}");
        let pause = file["pause_seconds"].as_f64().unwrap();
        assert!(pause > 0.0 && pause <= file["took_seconds"].as_f64().unwrap() + 0.1, "{file}");
        let foreseen = file["predicted_pause_seconds"].as_array().unwrap();
        assert!(foreseen[0].as_f64() <= foreseen[1].as_f64(), "{file}");
        assert_eq!(file["redacted"], false);
        let is_copy = file["method"] == "pause-free";
        assert!(is_copy || file["method"] == "ordinary", "{file}");
        assert_eq!(file["attempts"].is_u64(), is_copy, "{file}");
        let thread = if thread.starts_with("worker-") { "unnamed" } else { thread };
        files.insert(thread.to_owned(), path.to_owned());
    }
    files
}

/// One file of the right isolate for each thread, and nothing else in the folder.
#[track_caller]
fn summaries(document: &Value, folder: &Path, pid: &str, version: u32) -> BTreeMap<String, Summary> {
    let files = files(document, pid, version);
    let mut expected: Vec<_> = files.values().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(names_in(folder), expected);
    let summaries: BTreeMap<_, _> =
        files.iter().map(|(thread, f)| (thread.clone(), Summary::of(f))).collect();
    for (thread, summary) in &summaries {
        assert_eq!(summary.markers(), [thread], "Node {version}");
        let survivors = if thread == "main" { 1000 } else { 10 };
        assert_eq!(summary.count("Survivor"), survivors, "{thread} of Node {version}");
    }
    summaries
}

#[track_caller]
fn check(version: u32) {
    let mut node = Node::start(version, &[], &json!({"workers": true}));
    let pid = node.target();
    let folder = tempfile::tempdir().unwrap();
    let ordinary = snapshot(&node, folder.path(), &[]);
    assert_eq!(ordinary["warnings"], json!([]));
    let ordinary = summaries(&ordinary, folder.path(), &pid, version);
    assert_eq!(ordinary.keys().collect::<Vec<_>>(), ["discv5", "main", "network", "unnamed"]);
    node.check_untouched();

    // Whatever the first dump made Node open for good is open now. The agent stays loaded, and its file is gone.
    node.ask("globalThis.sigchld = 0; process.on('SIGCHLD', () => sigchld++); 0");
    let threads = ["--thread=main", "--thread=network"];
    let first = tempfile::tempdir().unwrap();
    snapshot(&node, first.path(), &[&threads[..], &["--pause-free"]].concat());
    node.check_untouched();
    let folder = tempfile::tempdir().unwrap();
    let ordinary = snapshot(&node, folder.path(), &threads);
    let ordinary = summaries(&ordinary, folder.path(), &pid, version);
    node.check_untouched();
    let (descriptors, system_threads) = (node.descriptors(), node.threads());
    let folder = tempfile::tempdir().unwrap();
    let copied = snapshot(&node, folder.path(), &[&threads[..], &["--pause-free"]].concat());
    assert!(copied["files"].as_array().unwrap().iter().all(|f| f["method"] == "pause-free"), "{copied}");
    let copied = summaries(&copied, folder.path(), &pid, version);
    assert_eq!(copied.keys().collect::<Vec<_>>(), ["main", "network"]);
    for (thread, summary) in &copied {
        summary.check_like(&ordinary[thread]);
    }
    node.check_untouched();
    wait_until("the agent's threads have ended", || node.threads() == system_threads);
    assert_eq!(node.descriptors(), descriptors, "Node {version}");
    // A signal would have come before this timer.
    assert_eq!(node.ask("sigchld"), 0);
    assert_eq!(node.stderr().matches("Warning").count(), 0, "{}", node.stderr());
    check_options(version, &mut node, [&ordinary["main"], &copied["main"]]);
}

/// What the options bring, both ways; a version that doesn't know them says so.
#[track_caller]
fn check_options(version: u32, node: &mut Node, plain: [&Summary; 2]) {
    /// More than V8 itself makes from one dump to the next.
    const MANY: u64 = 1000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    for (method, plain) in [&[][..], &["--pause-free"]].into_iter().zip(plain) {
        let options = [&["--thread=main", "--expose-internals", "--numeric-values"], method].concat();
        let document = snapshot(node, &path, &options);
        let both = Summary::of(&path);
        let is_known = version >= 20 || method.is_empty();
        // Numbers are nodes of their own then, and what V8 keeps for itself has names instead of `(system)`.
        let (numbers, internals) = (
            both.nodes.saturating_sub(plain.nodes),
            both.count("(system)").abs_diff(plain.count("(system)")),
        );
        assert_eq!(numbers > MANY, is_known, "Node {version} {method:?}: {numbers} more nodes");
        assert_eq!(internals > MANY, is_known, "Node {version} {method:?}: {internals} other internals");
        assert_eq!(document["warnings"].as_array().unwrap().is_empty(), is_known, "{document}");
    }
    node.check_untouched();
}

#[test]
fn node_18_gives_a_snapshot_of_each_isolate() {
    check(18);
}

#[test]
fn node_20_gives_a_snapshot_of_each_isolate() {
    check(20);
}

#[test]
fn node_22_gives_a_snapshot_of_each_isolate() {
    check(22);
}

#[test]
fn node_24_gives_a_snapshot_of_each_isolate() {
    check(24);
}

#[test]
fn node_26_gives_a_snapshot_of_each_isolate() {
    check(26);
}

#[test]
fn paths_go_to_stdout_and_words_to_stderr() {
    let node = Node::small();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&["snapshot", &node.target(), "-o", text(folder.path())]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let name = &names_in(folder.path())[0];
    assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("{}/{name}\n", text(folder.path())));
    assert!(ran.stderr.starts_with("main: ") && ran.stderr.contains("stood still for"), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\r') && !ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    let ran = run(&["snapshot", &node.target(), "-o", text(folder.path()), "--quiet"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}
