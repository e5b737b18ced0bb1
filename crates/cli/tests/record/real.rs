//! Real programs: Node of every version, Python, git, cargo, and twinheap itself.

use std::path::{Path, PathBuf};

use crate::lab::{Lab, Summary, run, skip};

/// The executable of a major version.
pub(crate) fn node(major: u32) -> PathBuf {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/node_modules");
    modules.join(format!("node{major}/bin/node")).canonicalize().expect("run `cargo xtask setup`")
}

/// Numbers of the note on places with names: named and all of generated code, then of libraries.
fn named(note: &str) -> Option<[u64; 4]> {
    let line = note.lines().find(|line| line.contains("places in generated code"))?;
    let numbers = line.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse().ok());
    numbers.collect::<Vec<_>>().try_into().ok()
}

pub(crate) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record/programs/server.cjs")
}

fn line_of(text: &str) -> usize {
    let code = std::fs::read_to_string(script()).unwrap();
    code.lines().position(|line| line.contains(text)).unwrap() + 1
}

#[track_caller]
fn check(version: u32) {
    let lab = Lab::new();
    let file = lab.path("a.heaptrace");
    let ran = run(&mut lab.recorder(&[], &file, &[node(version).as_os_str(), script().as_os_str()]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "served\n", "{ran:?}");
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    let [generated_named, generated, native_named, native] = named(&ran.stderr).expect("a note");
    assert!(generated_named * 100 >= generated * 95, "Node {version}: {}", ran.stderr);
    assert!(native_named * 100 >= native * 95, "Node {version}: {}", ran.stderr);
    // The functions of the script are found by their names, in stacks that lead to native code.
    for function in ["compresses", "hashes", "work"] {
        assert!(
            Summary::filtered(&file, function).under(function).allocations > 0,
            "Node {version}: {function}"
        );
    }
    // Four runs of 20 buffers, and those of the worker: none is forgotten.
    let summary = Summary::filtered(&file, "keepsABuffer");
    let kept = summary.under("keepsABuffer");
    assert!(kept.allocations >= 4 * 20, "Node {version}: {kept:?}");
    let frames = summary.0["stacks"]["allocations"].as_array().unwrap().iter();
    let mut frames = frames.flat_map(|stack| stack["frames"].as_array().unwrap());
    let frame = frames.find(|frame| frame["function"] == "keepsABuffer").unwrap();
    assert!(frame["file"].as_str().unwrap().ends_with("server.cjs"), "{frame}");
    assert_eq!(
        (&frame["kind"], &frame["line"]),
        (&"js".into(), &line_of("function keepsABuffer").into()),
        "Node {version}: {frame}"
    );
    // What V8 told us of names is not left behind.
    let pid = ran.stderr.split("of process ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(!Path::new(&format!("/tmp/perf-{pid}.map")).exists(), "Node {version}");
    let left = std::fs::read_dir(lab.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
    let logs: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with("-v8.log")).collect();
    assert!(logs.is_empty(), "Node {version}: {logs:?}");
}

#[test]
fn node_18_is_recorded_with_names() {
    check(18);
}

#[test]
fn node_20_is_recorded_with_names() {
    check(20);
}

#[test]
fn node_22_is_recorded_with_names() {
    check(22);
}

#[test]
fn node_24_is_recorded_with_names() {
    check(24);
}

#[test]
fn node_26_is_recorded_with_names() {
    check(26);
}

#[test]
fn programs_of_the_system_say_and_do_what_they_always_do() {
    let twinheap = env!("CARGO_BIN_EXE_twinheap");
    for command in [
        &["python3", "-c", "import json; print(len(json.dumps([{'a': i} for i in range(20000)])))"][..],
        &["git", "--version"],
        &["cargo", "--version"],
        &[twinheap, "--version"],
        &["sh", "-c", "echo $((6 * 7))"],
        &["sort", "--version"],
    ] {
        let mut alone = std::process::Command::new(command[0]);
        let Ok(expected) = alone.args(&command[1..]).output() else {
            skip(command[0], "it is not there");
            continue;
        };
        let lab = Lab::new();
        let file = lab.path("a.heaptrace");
        let ran = run(&mut lab.recorder(&[], &file, command));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout, String::from_utf8_lossy(&expected.stdout), "{command:?}");
        assert!(!ran.stderr.contains("ended with"), "{ran:?}");
        let summary = Summary::of(&file);
        assert!(summary.number("allocations") > 0, "{command:?}");
        assert_eq!(named(&ran.stderr), None, "there is no generated code: {}", ran.stderr);
    }
}
