//! `leaks`, `assert` and `report` on the real binary, with snapshots and recordings made here.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// A store that keeps what it gets, or as many as it may; dumps are taken while it works.
const STORE: &str = r#"
const v8 = require("node:v8");
class Ticket { constructor(n) { this.n = n; this.text = `ticket ${n}`; } }
class Desk {
  constructor(most) { this.most = most; this.open = new Map(); }
  take(n) {
    this.open.set(n, new Ticket(n));
    if (this.open.size > this.most) this.open.delete(this.open.keys().next().value);
  }
}
const [most, folder] = [Number(process.argv[2]), process.argv[3]];
const desk = new Desk(most);
setImmediate(() => {
  for (let dump = 0, n = 0; dump < 3; dump++) {
    while (n < (dump + 1) * 400) desk.take(n++);
    v8.writeHeapSnapshot(`${folder}/${dump}.heapsnapshot`);
  }
});
"#;

struct Lab {
    folder: tempfile::TempDir,
}

/// Ladders of a program that leaks and of one that doesn't, and native traces.
static LAB: LazyLock<Lab> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("desk.cjs");
    std::fs::write(&script, STORE).unwrap();
    for (name, most) in [("leaky", "1000000"), ("healthy", "300")] {
        let to = folder.path().join(name);
        std::fs::create_dir(&to).unwrap();
        let status = Command::new("node").arg(&script).arg(most).arg(&to).status().unwrap();
        assert!(status.success());
    }
    std::fs::write(folder.path().join("grows.heaptrack"), trace(10)).unwrap();
    std::fs::write(folder.path().join("grows-more.heaptrack"), trace(20)).unwrap();
    std::fs::write(folder.path().join("grows-most.heaptrack"), trace(30)).unwrap();
    Lab { folder }
});

/// A recording of a program that keeps a hundred blocks of a kilobyte each tenth of a second, and makes and frees some.
fn trace(ticks: u64) -> String {
    let mut text =
        String::from("v 10400 2\nX ./app\nI 1000 4000\ns /srv/app\ns keep\ns work\ns /srv/app.c\n");
    text.push_str("i 400 1 2 4 a\ni 401 1 3 4 14\nt 1 0\nt 2 0\na 400 1\na 400 2\n");
    for tick in 0..ticks {
        writeln!(text, "c {:x}", tick * 100).unwrap();
        text.push_str(&"+ 0\n".repeat(100));
        text.push_str(&"+ 1\n- 1\n".repeat(100));
    }
    writeln!(text, "c {:x}", ticks * 100).unwrap();
    text
}

impl Lab {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ladder(&self, name: &str) -> Vec<String> {
        (0..3).map(|dump| self.path(&format!("{name}/{dump}.heapsnapshot")).display().to_string()).collect()
    }
}

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS").args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs a verb on a ladder with more arguments; expects the exit code and hands on the document.
#[track_caller]
fn check(verb: &str, files: &[String], more: &[&str], code: i32) -> Value {
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let output = run(&[&[verb][..], &files, more, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

#[track_caller]
fn check_error(args: &[&str], part: &str) {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains(part) && error.contains("hint: "), "{error}");
}

/// The signature of the ladder's leak.
fn signature() -> String {
    let found = check("leaks", &LAB.ladder("leaky"), &[], 0);
    found["suspects"][0]["signature"].as_str().unwrap().to_owned()
}

fn write(name: &str, text: &str) -> String {
    let path = LAB.path(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_leak_is_found_and_a_full_cache_is_none() {
    let found = check("leaks", &LAB.ladder("leaky"), &["--fail-on-leak"], 1);
    assert_eq!((&found["kind"], &found["verdict"]), (&"js-leaks".into(), &"leak".into()));
    let first = &found["suspects"][0];
    assert_eq!(first["class"], "Ticket");
    assert_eq!(first["count"], serde_json::json!([400, 800, 1200]));
    assert_eq!(first["growth_per_step"], 400.0);
    assert_eq!(first["pattern"], "steady");
    assert_eq!(first["accumulation"]["property"], "open");
    assert_eq!(first["location"]["script"].as_str().map(Path::new), Some(LAB.path("desk.cjs").as_path()));
    let healthy = check("leaks", &LAB.ladder("healthy"), &["--fail-on-leak"], 0);
    assert_ne!(healthy["verdict"], "leak");
}

/// Classes are counted as `summary` counts them.
#[test]
fn classes_that_grow_have_numbers_at_each_snapshot() {
    let files = LAB.ladder("leaky");
    let found = check("leaks", &files, &[], 0);
    let classes = found["classes"].as_array().unwrap();
    let ticket = classes.iter().find(|class| class["name"] == "Ticket").unwrap();
    assert_eq!(
        (&ticket["count"], &ticket["pattern"]),
        (&serde_json::json!([400, 800, 1200]), &"steady".into())
    );
    for (at, file) in files.iter().enumerate() {
        let summary = check("summary", std::slice::from_ref(file), &[], 0);
        let rows = summary["classes"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == "Ticket").unwrap();
        for figure in ["count", "shallow_size", "retained_size"] {
            assert_eq!(row[figure], ticket[figure][at], "{figure} of {file}");
        }
    }
    let healthy = check("leaks", &LAB.ladder("healthy"), &[], 0);
    assert!(
        healthy["classes"].as_array().unwrap().iter().all(|class| class["name"] != "Ticket"),
        "{healthy}"
    );
    assert!(check("leaks", &files[..1], &[], 0).get("classes").is_none());

    let args: Vec<&str> =
        ["leaks", "--classes"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let text = String::from_utf8(run(&args).stdout).unwrap();
    let (_, table) = text.split_once("Classes that grow").unwrap_or_else(|| panic!("{text}"));
    let row = table.lines().find(|line| line.starts_with("Ticket ")).unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains(" 400 → 800 → 1,200 ") && row.ends_with(" steady"), "{row}");
}

#[test]
fn known_leaks_are_left_out() {
    let known = write("known", &format!("# accepted\n{} Ticket in Desk.open\n", signature()));
    let found = check("leaks", &LAB.ladder("leaky"), &["--known", &known, "--fail-on-leak"], 0);
    assert_eq!(found["known"], serde_json::json!([signature()]));
    assert_ne!(found["verdict"], "leak");
    let other = write("other", "0123456789abcdef\n");
    check("leaks", &LAB.ladder("leaky"), &["--known", &other, "--fail-on-leak"], 1);
}

#[test]
fn two_ladders_tell_what_a_change_fixed() {
    let (leaky, healthy) = (LAB.ladder("leaky"), LAB.ladder("healthy"));
    let fate = |after: &[String], before: &[String]| {
        let before: Vec<&str> = ["--before"].into_iter().chain(before.iter().map(String::as_str)).collect();
        check("leaks", after, &before, 0)["outcomes"][0]["fate"].clone()
    };
    assert_eq!(fate(&healthy, &leaky), "fixed");
    assert_eq!(fate(&leaky, &leaky), "not-fixed");
    assert_eq!(fate(&leaky, &healthy), "new");
    assert_eq!(fate(&healthy, &healthy), Value::Null);
}

#[test]
fn assert_fails_on_leaks_and_limits() {
    let (leaky, healthy) = (LAB.ladder("leaky"), LAB.ladder("healthy"));
    let limit = |limit: &'static str| ["--max-growth", limit];
    let failed = check("assert", &leaky, &[], 1);
    assert_eq!((&failed["kind"], &failed["passed"]), (&"js-assert".into(), &false.into()));
    assert_eq!(check("assert", &healthy, &limit("Ticket=0/step"), 0)["passed"], true);
    let limits = check("assert", &leaky, &[&limit("Ticket=399/step")[..], &["--allow-leaks"]].concat(), 1);
    assert_eq!(limits["limits"][0]["series"], serde_json::json!([400, 800, 1200]));
    check("assert", &leaky, &[&limit("Ticket=400/step")[..], &["--allow-leaks"]].concat(), 0);
    check("assert", &leaky, &["--max-heap-growth", "1kB/step", "--allow-leaks"], 1);
    check("assert", &leaky, &["--max-heap-growth", "50MB/step", "--allow-leaks"], 0);
    let known = write("assert-known", &signature());
    check("assert", &leaky, &["--known", &known], 0);
    // A class that was misspelt passes, but not in silence.
    let nothing = check("assert", &healthy, &limit("Tiket=0/step"), 0);
    assert!(nothing["warnings"][0].as_str().unwrap().contains("Tiket"));
}

#[test]
fn native_traces_leak_at_call_sites() {
    let one = [LAB.path("grows-most.heaptrack").display().to_string()];
    let many: Vec<String> = ["grows", "grows-more", "grows-most"]
        .iter()
        .map(|name| LAB.path(&format!("{name}.heaptrack")).display().to_string())
        .collect();
    for files in [&one[..], &many] {
        let found = check("leaks", files, &["--fail-on-leak"], 1);
        assert_eq!((&found["kind"], &found["verdict"]), (&"native-leaks".into(), &"leak".into()));
        let suspects = found["suspects"].as_array().unwrap();
        assert_eq!(suspects.len(), 1, "{suspects:#?}");
        assert_eq!(suspects[0]["function"], "keep");
        assert_eq!(suspects[0]["location"]["line"], 10);
        assert_eq!(suspects[0]["pattern"], "steady");
    }
    let ladder = check("leaks", &many, &[], 0);
    assert_eq!(ladder["suspects"][0]["bytes"], serde_json::json!([1_024_000, 2_048_000, 3_072_000]));
    assert_eq!(ladder["suspects"][0]["blocks"], serde_json::json!([1000, 2000, 3000]));
}

#[test]
fn reports_are_markdown_pages_or_json() {
    let leaky = LAB.ladder("leaky");
    let report = LAB.path("report.md").display().to_string();
    check("report", &leaky, &["-o", &report], 0);
    let text = std::fs::read_to_string(&report).unwrap();
    for part in ["## Leak: Ticket", "Desk.open", "desk.cjs:", "```sh\ntwinheap object ", &signature()] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let json = LAB.path("report.json").display().to_string();
    check("report", &[LAB.path("grows.heaptrack").display().to_string()], &["-o", &json], 0);
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(document["kind"], "report");
    assert_eq!(document["findings"]["kind"], "native-leaks");
    assert_eq!(document["numbers"].as_array().unwrap().len(), 3);
    for (name, files) in
        [("leaky", leaky), ("grows", vec![LAB.path("grows.heaptrack").display().to_string()])]
    {
        let page = LAB.path(&format!("{name}.html")).display().to_string();
        check("report", &files, &["-o", &page], 0);
        let page = std::fs::read_to_string(&page).unwrap();
        assert!(page.len() < 5_000_000 && page.contains("<svg class=\"map\""), "{name}");
        let known = check("report", &files, &["-o", "-", "--format", "json"], 0);
        assert!(known["headline"].as_str().is_some_and(|words| page.contains(&format!("<h1>{words}</h1>"))));
        for number in known["numbers"].as_array().unwrap() {
            for value in number["series"].as_array().unwrap() {
                assert!(page.contains(&format!("<data value=\"{value}\">")), "{value} in {page}");
            }
        }
    }
}

#[test]
fn what_cannot_be_judged_is_said() {
    let dump = &LAB.ladder("leaky")[0];
    let trace = &LAB.path("grows.heaptrack").display().to_string();
    let bad = &write("bad-known", "Ticket in Desk.open\n");
    check_error(&["leaks", dump, "--known", bad], "line 1 of");
    check_error(&["leaks", dump, "--known", "/nowhere/known"], "can't read the known leaks");
    check_error(&["leaks", trace, "--known", &write("good-known", "0123456789abcdef")], "heap snapshots");
    check_error(&["leaks", trace, "--classes"], "heap snapshots");
    check_error(&["leaks", dump, "--from", "1s"], "native traces");
    check_error(&["leaks", dump, trace], "needs a heap snapshot");
    check_error(&["leaks", trace, dump], "needs a native trace");
    check_error(&["leaks", "-", "-"], "only once");
    check_error(&["report", dump, "-o", "report.txt"], "does not tell what to write");
    check_error(&["report", dump, "-o", "/nowhere/report.md"], "no folder");
}
