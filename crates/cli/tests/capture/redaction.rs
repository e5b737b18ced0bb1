//! Redaction on the way: no secret reaches a file, and the analysis stays the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::lab::{Node, Summary, names_in, run, snapshot, text};

/// Pieces of secrets that are looked for.
const PIECE: usize = 8;
const METHODS: [&[&str]; 2] = [&[], &["--pause-free"]];

/// How many of the secrets' pieces are in a file.
#[track_caller]
fn found(secrets: &[String], path: &Path) -> usize {
    let file = fs::read(path).unwrap();
    let pieces: BTreeSet<&[u8]> = secrets.iter().flat_map(|s| s.as_bytes().windows(PIECE)).collect();
    file.windows(PIECE).filter(|window| pieces.contains(window)).count()
}

/// The longer strings of a snapshot.
#[track_caller]
fn strings(path: &Path) -> BTreeSet<String> {
    let table = run(&["export", text(path), "--nodes", "-"]);
    assert_eq!(table.code, Some(0), "{}", table.stderr);
    let table = String::from_utf8(table.stdout).unwrap();
    let rows = table.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    rows.filter(|row| row[7] == "string" && row[1].len() > 20).map(|row| row[1].to_owned()).collect()
}

#[test]
fn no_secret_reaches_the_file() {
    let mut node = Node::start(24, &[], &json!({"workers": true}));
    let secrets: Vec<String> = serde_json::from_value(node.ask("plant('a seed')")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(format!("{name}.heapsnapshot"));
    for method in METHODS {
        let common = [&["--thread=main", "--numeric-values"], method].concat();
        let take = |name: &str, args: &[&str]| -> PathBuf {
            let document = snapshot(&node, &at(name), &[&common, args].concat());
            assert_eq!(document["files"][0]["redacted"], !args.is_empty());
            at(name)
        };
        let plain = take("plain", &[]);
        // The check itself finds what is there.
        assert!(found(&secrets, &plain) >= secrets.len());
        let one = take("one", &["--redact", "--salt=pepper"]);
        let two = take("two", &["--redact", "--salt=pepper"]);
        let other = take("other", &["--redact"]);
        for redacted in [&one, &two, &other] {
            assert_eq!(found(&secrets, redacted), 0, "{method:?}");
            Summary::of(redacted).check_like(&Summary::of(&plain));
        }
        let (one, two, other) = (strings(&one), strings(&two), strings(&other));
        let same = one.intersection(&two).count();
        assert!(same * 10 > one.len() * 9, "{same} of {} are the same with the same salt", one.len());
        let same = one.intersection(&other).count();
        assert!(same < one.len() / 2, "{same} of {} are the same with another salt", one.len());
    }
    assert_eq!(names_in(folder.path()).len(), 4);
    // A worker's, compressed, and on standard output.
    let ran = run(&["snapshot", &node.target(), "-o", "-", "--redact"]);
    fs::write(at("stream"), &ran.stdout).unwrap();
    assert_eq!(found(&secrets, &at("stream")), 0);
    assert_eq!(Summary::of(&at("stream")).markers(), ["main"]);
    let worker = folder.path().join("worker.heapsnapshot.zst");
    snapshot(&node, &worker, &["--thread=network", "--redact"]);
    assert_eq!(Summary::of(&worker).markers(), ["network"]);
    let ran = run(&["snapshot", &node.target(), "--salt=pepper"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("--redact"), "{}", ran.stderr);
    node.check_untouched();
}
