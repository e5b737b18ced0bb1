//! `leaks` as a process, on dumps of real programs.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]
#![expect(clippy::disallowed_methods, reason = "the dumps are small")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[path = "leaks/source_maps.rs"]
mod source_maps;

/// A service with a map that only grows, one whose listeners a package keeps, a cache with a limit and a table that
/// was filled once. It writes three dumps of itself.
const PROGRAM: &str = r"'use strict';
const v8 = require('node:v8');
const { Feed } = require('@acme/feed');

const answers = new Map();

function remember(question, text) {
  answers.set(question, { question, text });
}

class Page {
  constructor(key) {
    this.key = key;
    this.words = [key, `${key}!`];
  }
}

const table = Array.from({ length: 3000 }, (_, at) => new Page(`fixed ${at}`));
const recent = new Map();

function visit(number) {
  remember(`question ${number}`, 'so it is'.repeat(number % 7));
  const key = `page ${number}`;
  recent.set(key, new Page(key));
  // Wavers between 120 and 200.
  if (recent.size > 200) for (const old of [...recent.keys()].slice(0, 80)) recent.delete(old);
  if (number % 5 === 0) feed.subscribe(function onPrice() { return number; });
}

const feed = new Feed();
let visits = 0;
let dumps = 0;
setImmediate(function round() {
  for (let i = 0; i < 500; i++) visit(++visits);
  v8.writeHeapSnapshot(`${process.argv[2]}/${++dumps}.heapsnapshot`);
  if (dumps < 3) setImmediate(round);
  else if (table.length + answers.size === 0) console.log('unused');
});
";

const PACKAGE: &str = r"'use strict';
exports.Feed = class Feed {
  constructor() {
    this.subscribers = new Set();
  }
  subscribe(callback) {
    this.subscribers.add(callback);
  }
};
";

/// A folder with a program and its dumps.
struct Ladder {
    folder: TempDir,
}

impl Ladder {
    fn climb() -> Ladder {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("node_modules/@acme/feed");
        std::fs::create_dir_all(&package).unwrap();
        std::fs::write(package.join("index.js"), PACKAGE).unwrap();
        std::fs::write(folder.path().join("service.cjs"), PROGRAM).unwrap();
        let ran =
            Command::new("node").arg("service.cjs").arg(folder.path()).current_dir(folder.path()).output();
        let ran = ran.expect("Node.js is installed");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        Ladder { folder }
    }

    fn dump(&self, number: u32) -> PathBuf {
        self.folder.path().join(format!("{number}.heapsnapshot"))
    }

    fn dumps(&self) -> Vec<PathBuf> {
        (1..=3).map(|number| self.dump(number)).collect()
    }
}

fn leaks(files: &[PathBuf], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.arg("leaks").args(options).args(files).stdin(Stdio::null()).output().unwrap()
}

fn json(files: &[PathBuf]) -> Value {
    let output = leaks(files, &["--json"]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// From 1: where `code` stands in the program.
fn line_of(code: &str) -> u64 {
    1 + PROGRAM.lines().position(|line| line.contains(code)).expect("a line of the program") as u64
}

fn file_name(location: &Value) -> &str {
    Path::new(location["script"].as_str().unwrap()).file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_ladder_names_what_grows_and_nothing_else() {
    let ladder = Ladder::climb();
    let document = json(&ladder.dumps());
    assert_eq!(document["schema_version"], 1);
    assert_eq!((&document["kind"], &document["verdict"]), (&"js-leaks".into(), &"leak".into()));
    assert_eq!((&document["confidence"], &document["comparable_ids"]), (&"high".into(), &true.into()));
    assert_eq!(document["warnings"].as_array().map(Vec::len), Some(0), "{document:#}");
    let suspects = document["suspects"].as_array().unwrap();
    let places: Vec<&str> = suspects.iter().map(|s| s["accumulation"]["name"].as_str().unwrap()).collect();
    assert_eq!(places, ["answers", "Feed.subscribers"]);

    let answers = &suspects[0];
    assert_eq!(answers["class"], "{question, text}");
    assert_eq!(answers["count"], serde_json::json!([500, 1000, 1500]));
    assert_eq!((&answers["growth_per_step"], &answers["pattern"]), (&500.0.into(), &"steady".into()));
    assert_eq!(answers["accumulation"]["kind"], "map");
    assert_eq!(answers["accumulation"]["property"], "answers");
    assert_eq!(file_name(&answers["location"]), "service.cjs");
    assert_eq!(answers["location"]["line"], line_of("function remember"));
    assert_eq!(answers["package"], Value::Null);
    let path = answers["path"].as_array().unwrap();
    assert_eq!(path.last().unwrap()["class"], "{question, text}");

    let subscribers = &suspects[1];
    assert_eq!(subscribers["class"], "onPrice()");
    assert_eq!(subscribers["accumulation"]["kind"], "set");
    // A package stores them; the program makes them, and can stop doing so.
    assert_eq!(file_name(&subscribers["location"]), "service.cjs");
    assert_eq!(subscribers["location"]["line"], line_of("function onPrice"));

    // The same program again: another process, the same leaks by the same names.
    let again = Ladder::climb();
    let other = json(&again.dumps());
    for (one, other) in suspects.iter().zip(other["suspects"].as_array().unwrap()) {
        assert_eq!(one["signature"], other["signature"]);
    }
    // Dumps of different processes: ids mean nothing, and it is said.
    let mixed = json(&[ladder.dump(1), ladder.dump(2), again.dump(3)]);
    assert_eq!((&mixed["comparable_ids"], &mixed["verdict"]), (&false.into(), &"leak".into()));
    assert!(mixed["warnings"].to_string().contains("ids are not comparable"), "{mixed:#}");
    assert_eq!(mixed["suspects"][0]["count"], serde_json::json!([500, 1000, 1500]));
}

#[test]
fn exit_codes_say_what_was_found() {
    let ladder = Ladder::climb();
    let dumps = ladder.dumps();
    let code = |files: &[PathBuf], options: &[&str]| leaks(files, options).status.code();
    assert_eq!(code(&dumps, &[]), Some(0));
    assert_eq!(code(&dumps, &["--fail-on-leak"]), Some(1));
    // Nothing grows from a dump to itself, and one dump proves nothing.
    assert_eq!(code(&[dumps[2].clone(), dumps[2].clone()], &["--fail-on-leak"]), Some(0));
    assert_eq!(code(&dumps[2..], &["--fail-on-leak"]), Some(0));
    assert_eq!(code(&[ladder.folder.path().join("none.heapsnapshot")], &[]), Some(2));
    assert_eq!(code(&["-".into(), "-".into()], &[]), Some(2));
    // A dump that was cut short: what is left is judged, and it is said.
    let whole = std::fs::read(&dumps[2]).unwrap();
    let cut = ladder.folder.path().join("cut.heapsnapshot");
    std::fs::write(&cut, &whole[..whole.len() * 9 / 10]).unwrap();
    let output = leaks(&[dumps[0].clone(), dumps[1].clone(), cut], &["--fail-on-leak"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("damaged file"));

    let text = String::from_utf8(leaks(&dumps, &[]).stdout).unwrap();
    assert!(text.starts_with("Leak: {question, text} piles up in answers, "), "{text}");
    for part in ["number    500 → 1,000 → 1,500", "look at", "service.cjs:", "path", "next: twinheap object"]
    {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}
