//! Several snapshots in one session: their ids mean the same objects.

use serde_json::Value;

use crate::lab::{Node, Summary, names_in, run, snapshot, text};

#[track_caller]
fn row<'a>(diff: &'a Value, class: &str) -> Option<&'a Value> {
    diff["classes"].as_array().unwrap().iter().find(|c| c["name"] == class)
}

#[test]
fn ids_of_a_series_are_comparable_and_the_leak_grows() {
    let mut node = Node::small();
    let folder = tempfile::tempdir().unwrap();
    node.ask("grow(100); setInterval(grow, 20, 10); 0");
    let document =
        snapshot(&node, &folder.path().join("s.heapsnapshot"), &["--every=1s", "--count=3", "--thread=main"]);
    let names = ["s-1.heapsnapshot", "s-2.heapsnapshot", "s-3.heapsnapshot"];
    assert_eq!(names_in(folder.path()), names);
    let files: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
    assert_eq!(document["files"].as_array().unwrap().len(), 3);
    for (entry, file) in document["files"].as_array().unwrap().iter().zip(&files) {
        assert_eq!(entry["file"], text(file));
    }
    let counts: Vec<u64> = files.iter().map(|file| Summary::of(file).count("Leaked")).collect();
    assert!(counts[0] >= 100, "{counts:?}");
    for (at, pair) in files.windows(2).enumerate() {
        let diff = run(&["diff", "--json", text(&pair[0]), text(&pair[1])]).json();
        assert_eq!(diff["comparable_ids"], true);
        let leaked = row(&diff, "Leaked").unwrap();
        let grown = counts[at + 1] - counts[at];
        assert!(grown > 0, "{counts:?}");
        assert_eq!((&leaked["added"], &leaked["removed"]), (&grown.into(), &0.into()), "{leaked}");
        // Survivors are neither new nor gone.
        let survivor = row(&diff, "Survivor");
        assert!(survivor.is_none_or(|s| s["added"] == 0 && s["removed"] == 0), "{survivor:?}");
    }
    node.check_untouched();
}

#[test]
fn a_series_in_a_folder_is_named_by_time() {
    let mut node = Node::small();
    let folder = tempfile::tempdir().unwrap();
    // Quicker than the clock in the names.
    snapshot(&node, folder.path(), &["--every=1ms", "--count=3"]);
    let names = names_in(folder.path());
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|n| n.ends_with("-main.heapsnapshot.zst")), "{names:?}");
    node.check_untouched();
}

#[test]
fn a_series_needs_both_numbers_and_no_pipe() {
    for options in [
        &["--every=1s"][..],
        &["--count=2"],
        &["--count=0", "--every=1s"],
        &["--count=2", "--every=1s", "-o", "-"],
    ] {
        let ran = run(&[&["snapshot", "1"], options].concat());
        assert_eq!(ran.code, Some(2), "{options:?}: {}", ran.stderr);
    }
}
