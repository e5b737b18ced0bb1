//! `convert` and `summary` on files of other heap profilers, on the real binary and with the tools that read what we
//! write: heaptrack_print and ms_print have to be installed.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]
#![expect(clippy::disallowed_methods, reason = "the fixtures are small")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const TOTALS: [&str; 5] = [
    "calls to allocation functions",
    "temporary memory allocations",
    "peak heap memory consumption",
    "total memory leaked",
    "peak RSS (including heaptrack overhead)",
];

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS").args(args).stdin(Stdio::null()).output().unwrap()
}

fn fixture(of: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("tests/fixtures").join(name);
    path.to_str().unwrap().to_owned()
}

fn trace() -> String {
    fixture("native", "node22-start.heaptrack.zst")
}

/// Converts, and expects an exit code and these words on stderr; gives what was written.
#[track_caller]
fn convert(input: &str, out: &Path, more: &[&str], words: &[&str]) -> Vec<u8> {
    let output = run(&[&["convert", input, out.to_str().unwrap()], more].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(output.stdout, b"");
    words.iter().for_each(|word| assert!(stderr.contains(word), "no `{word}` in: {stderr}"));
    let folder = out.parent().unwrap();
    let left = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().ends_with(".part")));
    fs::read(out).unwrap()
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let output = run(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The totals that `heaptrack_print` prints.
fn heaptrack_totals(file: &Path) -> Vec<String> {
    let output = Command::new("heaptrack_print").arg("-f").arg(file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    let lines: Vec<String> = TOTALS.iter().filter_map(|name| line(name)).collect();
    assert_eq!(lines.len(), TOTALS.len(), "{text}");
    lines
}

#[test]
fn heaptrack_opens_what_we_write_whatever_the_compression() {
    let folder = tempfile::tempdir().unwrap();
    let expected = heaptrack_totals(Path::new(&trace()));
    for name in ["heaptrack.node.1.zst", "heaptrack.node.1.gz", "plain.heaptrack"] {
        let out = folder.path().join(name);
        let bytes = convert(&trace(), &out, &[], &[]);
        let is_compressed = !bytes.starts_with(b"v 10400 3\n");
        assert_eq!(is_compressed, name.starts_with("heaptrack."), "{name}");
        assert_eq!(heaptrack_totals(&out), expected, "{name}");
    }
}

/// The sums of a profile are those of the recording that it was made from.
#[track_caller]
fn check_sums(folder: &Path, name: &str, format: &str, fields: &[&str]) {
    let original = json(&["summary", &trace()]);
    let out = folder.join(name);
    convert(&trace(), &out, &[], &["of suppressed leaks"]);
    let profile = json(&["summary", out.to_str().unwrap()]);
    assert_eq!((&profile["kind"], &profile["format"]), (&"native-profile".into(), &format.into()));
    for field in ["allocations", "allocated_bytes", "temporary", "peak_bytes", "leaked_bytes"] {
        let mut expected = if fields.contains(&field) { original[field].clone() } else { Value::Null };
        if (format, field) == ("massif", "leaked_bytes") {
            // massif knows nothing of leaks: this is what was alive.
            let suppressed = original["suppressed_bytes"].as_i64().unwrap();
            expected = (original[field].as_i64().unwrap() + suppressed).into();
        }
        assert_eq!(profile[field], expected, "{field} of {name}");
    }
    let entry = &profile["stacks"]["peak"][0];
    for (field, total) in
        [("bytes", "allocated_bytes"), ("allocations", "allocations"), ("temporary", "temporary")]
    {
        assert_eq!(entry[field].is_null(), !fields.contains(&total), "{field} of {name}");
    }
    assert!(entry["peak"].as_i64().unwrap() > 0);
    assert!(entry["frames"][0]["kind"].is_string());
}

#[test]
fn each_format_keeps_the_sums_that_it_has_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let all = ["allocations", "allocated_bytes", "temporary", "peak_bytes", "leaked_bytes"];
    check_sums(folder.path(), "node.pb.gz", "pprof", &all);
    check_sums(folder.path(), "massif.out.node", "massif", &["peak_bytes", "leaked_bytes"]);
    check_sums(
        folder.path(),
        "node.dhat.json",
        "DHAT",
        &["allocations", "allocated_bytes", "peak_bytes", "leaked_bytes"],
    );
}

#[test]
fn folded_stacks_have_the_cost_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let original = json(&["summary", &trace()]);
    for (by, field) in [
        ("peak", "peak_bytes"),
        ("leaked", "leaked_bytes"),
        ("allocations", "allocations"),
        ("bytes", "allocated_bytes"),
        ("temporary", "temporary"),
    ] {
        let out = folder.path().join("node.folded");
        convert(&trace(), &out, &["--by", by], &["folded keeps one cost"]);
        let profile = json(&["summary", out.to_str().unwrap()]);
        assert_eq!(profile["weight"], original[field], "{by}");
        assert_eq!(profile["stacks"]["peak"], Value::Null);
    }
}

#[test]
fn ms_print_reads_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("massif.out.node");
    let stderr = ["massif keeps no allocations", "temporary allocations", "less than 1 % of a snapshot"];
    convert(&trace(), &out, &[], &stderr);
    let output = Command::new("ms_print").arg(&out).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace(',', "");
    assert!(output.status.success() && output.stderr.is_empty(), "{text}");
    let peak = json(&["summary", &trace()])["peak_bytes"].to_string();
    assert!(text.contains(&format!("({peak}B) (heap allocation functions)")), "{text}");
}

#[test]
fn a_stretch_of_time_can_be_cut_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("early.heaptrack");
    convert(&trace(), &out, &["--to", "20ms"], &[]);
    let (all, early) = (json(&["summary", &trace()]), json(&["summary", out.to_str().unwrap()]));
    assert!(early["runtime"].as_f64().unwrap() <= 0.021, "{}", early["runtime"]);
    assert!(early["allocations"].as_u64().unwrap() < all["allocations"].as_u64().unwrap());
    let pprof = folder.path().join("early.pb.gz");
    convert(&trace(), &pprof, &["--to", "20ms"], &[]);
    let profile = json(&["summary", pprof.to_str().unwrap()]);
    for field in ["allocations", "allocated_bytes", "peak_bytes", "temporary"] {
        assert_eq!(profile[field], early[field], "{field}");
    }
}

#[test]
fn standard_output_and_standard_input_work() {
    let output = run(&["convert", &trace(), "-", "--format", "folded", "-q"]);
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
    assert!(output.stdout.split(|&byte| byte == b'\n').count() > 10);
    // A second run reads the first one's output.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stacks");
    fs::write(&file, &output.stdout).unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_twinheap"))
        .args(["convert", "-", "-", "--format", "folded", "-q"])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(again.stdout, output.stdout);
}

#[test]
fn every_fixture_has_a_summary_in_words() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../trace/tests/fixtures");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "md") {
            continue;
        }
        let output = run(&["summary", path.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", path.display());
        assert!(text.contains("not freed") || text.contains("peak"), "{text}");
        seen += 1;
    }
    assert_eq!(seen, 9);
}

/// Runs and expects this exit code, nothing on stdout, and these words on stderr.
#[track_caller]
fn check_error(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    words.iter().for_each(|word| assert!(stderr.contains(word), "no `{word}` in: {stderr}"));
}

#[test]
fn what_can_not_be_converted_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let massif = fixture("trace", "valgrind.massif");
    check_error(
        &["convert", &massif, &path("x.json")],
        2,
        &["can't tell the format", "--format", "speedscope"],
    );
    check_error(&["convert", &massif, "-"], 2, &["which format to write to standard output", "--format"]);
    check_error(&["convert", &massif, &path("x.zst")], 2, &["holds every call", "only what stacks cost"]);
    check_error(&["convert", &massif, &path("x.dhat")], 2, &["DHAT needs numbers of allocations"]);
    check_error(&["convert", &massif, &path("x.pb"), "--from", "1s"], 2, &["no times of allocations"]);
    check_error(&["convert", &massif, &path("x.pb"), "--by", "peak"], 2, &["--by chooses"]);
    check_error(&["convert", &massif, &path("x"), "--to", "folded"], 2, &["--format folded"]);
    check_error(
        &["convert", &massif, &path("x.folded"), "--by", "leaked"],
        2,
        &["folded needs leaked bytes, and this profile has none"],
    );
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node24-a.heapsnapshot.zst");
    check_error(&["convert", snapshot.to_str().unwrap(), &path("x.pb")], 2, &["is a JS heap snapshot"]);
    check_error(&["objects", &massif], 2, &["a profile of native allocations", "needs a heap snapshot"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_damaged_profile_gives_what_could_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.massif");
    let whole = fs::read(fixture("trace", "valgrind.massif")).unwrap();
    let peak = String::from_utf8_lossy(&whole).find("n2: 221244").unwrap();
    fs::write(&file, &whole[..peak + 30]).unwrap();
    let output = run(&["summary", file.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("damaged file: the file ends within a tree") && stderr.contains("byte"),
        "{stderr}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("snapshots"));
}
