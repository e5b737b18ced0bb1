//! Frames of JavaScript, read without any option of V8's.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab::{Lab, Summary, run};
use crate::real::node;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record/programs").join(name)
}

/// A frame: file, line, column.
type Place = (String, u64, u64);

/// The places of a stack as V8 writes it, the innermost first. Frames of V8's own functions have none.
fn places_of_error(stack: &str) -> Vec<Place> {
    let frames = stack.lines().filter_map(|line| line.trim().strip_prefix("at "));
    let place = |frame: &str| {
        let place = match frame.strip_suffix(')') {
            // The last pair of brackets; code of eval has one within.
            Some(_) if frame.contains("(eval at ") => {
                frame[frame.find("(eval at ")? + 1..].strip_suffix(')')?
            }
            Some(rest) => &rest[rest.rfind('(')? + 1..],
            None => frame,
        };
        let (rest, column) = place.rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        // `eval at evaluated (FILE:1:2), <anonymous>`: the name that the code got is no part of its origin.
        let file = file.strip_suffix(", <anonymous>").unwrap_or(file);
        Some((file.to_owned(), line.parse().ok()?, column.parse().ok()?))
    };
    frames.filter_map(place).collect()
}

/// The same of a recorded stack, from our own function on.
fn places_of_stack(stack: &Value) -> Vec<Place> {
    let frames = stack["frames"].as_array().unwrap().iter();
    let text = |frame: &Value, field: &str| frame[field].as_str().unwrap_or_default().to_owned();
    let number = |frame: &Value, field: &str| frame[field].as_u64().unwrap_or(0);
    let frames = frames.filter(|frame| frame["kind"] == "js");
    let places = frames.map(|frame| (text(frame, "file"), number(frame, "line"), number(frame, "column")));
    // What allocates a buffer is Node's own JavaScript, which V8's stack begins behind.
    places
        .skip_while(|place| place.0.starts_with("node:buffer") || place.0.starts_with("node:internal/buffer"))
        .collect()
}

/// Records the script; every place that V8 sees is one that the recording has.
#[track_caller]
fn check(version: u32, options: &[&str]) {
    check_in(&Lab::new(), &[], version, options);
}

/// As [`check`], of a Node that another program becomes.
#[track_caller]
fn check_in(lab: &Lab, starter: &[&str], version: u32, options: &[&str]) {
    let file = lab.path("a.heaptrace");
    let script = script("frames.cjs");
    let node = node(version);
    let mut command: Vec<_> = starter.iter().map(std::ffi::OsStr::new).collect();
    command.push(node.as_os_str());
    command.extend(options.iter().map(std::ffi::OsStr::new));
    command.push(script.as_os_str());
    let ran = run(&mut lab.recorder(&["--js-names=frames"], &file, &command));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let seen: serde_json::Map<String, Value> = serde_json::from_str(&ran.stdout).expect("stacks");
    assert!(seen.len() > 20, "{}", seen.len());
    let summary = Summary::filtered(&file, "block");
    let stacks = summary.0["stacks"]["allocations"].as_array().unwrap();
    for (size, error) in seen {
        let size: u64 = size.parse().unwrap();
        let stack = stacks.iter().find(|stack| stack["leaked"] == size);
        let stack = stack.unwrap_or_else(|| panic!("Node {version} {options:?}: nothing of {size} bytes"));
        let error = error.as_str().unwrap();
        let (expected, mut found) = (places_of_error(error), places_of_stack(stack));
        // The buffer and the error are made at two places in the line.
        assert_eq!(found[0].1, expected[0].1, "Node {version} {options:?}: {stack:#}\n{error}");
        found[0].2 = expected[0].2;
        // V8 shows asynchronous callers too, which no stack has.
        let expected = &expected[..expected.len().min(found.len())];
        assert_eq!(&found[..expected.len()], expected, "Node {version} {options:?}: {error}");
    }
}

const INTERPRETED: &[&str] = &["--no-opt", "--no-sparkplug"];
const BASELINE: &[&str] = &["--no-opt", "--always-sparkplug"];

#[test]
fn lines_and_columns_of_interpreted_calls_are_those_that_v8_sees() {
    for version in [18, 20, 22, 24, 26] {
        check(version, INTERPRETED);
    }
}

#[test]
fn lines_and_columns_of_baseline_calls_are_those_that_v8_sees() {
    for version in [18, 20, 22, 24, 26] {
        check(version, BASELINE);
    }
}

/// Functions are made, run once and forgotten, and others get their places: each buffer is that of the function with its
/// size in the name, or of none.
#[track_caller]
fn check_churn(version: u32, options: &[&str]) {
    let lab = Lab::new();
    let file = lab.path("a.heaptrace");
    let (node, script) = (node(version), script("churn.cjs"));
    let mut command = vec![node.as_os_str(), std::ffi::OsStr::new("--expose-gc")];
    command.extend(options.iter().map(std::ffi::OsStr::new));
    command.push(script.as_os_str());
    let ran = run(&mut lab.recorder(&["--js-names=frames"], &file, &command));
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "600"), "{ran:?}");
    let summary = Summary::filtered(&file, "keeps_");
    let mut right = 0;
    for stack in summary.0["stacks"]["allocations"].as_array().unwrap() {
        let size = stack["leaked"].as_u64().unwrap();
        let frames = stack["frames"].as_array().unwrap().iter();
        let mut names = frames.filter_map(|frame| frame["function"].as_str()?.strip_prefix("keeps_"));
        // Other allocations under these functions are small.
        if size < 100_001 {
            continue;
        }
        assert_eq!(names.next(), Some(size.to_string().as_str()), "Node {version} {options:?}: {stack:#}");
        right += 1;
    }
    // How many there are depends on how soon they are looked at.
    assert!(right >= 100, "Node {version} {options:?}: {right}");
}

#[test]
fn a_function_is_never_taken_for_one_that_was_in_its_place() {
    check_churn(18, &[]);
    check_churn(22, &["--always-sparkplug"]);
    check_churn(26, &[]);
}

#[test]
fn a_filter_of_system_calls_ends_nobody_and_hides_nothing() {
    let lab = Lab::new();
    let starter = lab.build("filtered.c", &[]);
    check_in(&lab, &[starter.to_str().unwrap()], 22, &[]);
}

#[test]
fn a_filter_that_comes_later_ends_nobody_and_hides_nothing() {
    let lab = Lab::new();
    let library = lab.path("filter.so");
    lab.build_as("filtered.c", &library, &["-shared", "-fPIC", "-DLIBRARY"]);
    let filter = format!("FILTER={}", library.display());
    let filters = script("filters.cjs");
    for way in ["prctl", "syscall"] {
        let starter = ["env", &filter, &format!("FILTER_BY={way}")];
        check_in(&lab, &starter, 22, &["--require", filters.to_str().unwrap()]);
    }
}
