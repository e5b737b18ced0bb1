//! `--leak-check`: blocks that nothing points to when the program exits.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::lab::{Lab, Summary, run, twinheap};
use crate::real::{node, script};

/// Blocks lost directly and indirectly, by the function that allocated them.
fn lost_by(summary: &Summary) -> BTreeMap<String, (u64, u64)> {
    let stacks = summary.0["lost"]["stacks"].as_array().unwrap_or_else(|| panic!("{}", summary.0));
    let number = |stack: &Value, field: &str| stack[field].as_u64().unwrap();
    let mut all = BTreeMap::new();
    for stack in stacks {
        let function = stack["frames"][0]["function"].as_str().unwrap().to_owned();
        let sum: &mut (u64, u64) = all.entry(function).or_default();
        sum.0 += number(stack, "direct_blocks");
        sum.1 += number(stack, "indirect_blocks");
    }
    all
}

#[test]
fn what_nothing_points_to_is_lost_and_nothing_else() {
    let lab = Lab::new();
    let program = lab.build("lost.c", &["-rdynamic"]);
    let (_, summary) = lab.record(&["--leak-check"], &[program.to_str().unwrap(), "map"]);
    let expected = [
        ("lost_alone", (30, 0)),
        ("lost_and_large", (1, 0)),
        ("lost_behind", (0, 20)),
        ("lost_first", (10, 0)),
    ];
    let expected = expected.map(|(function, blocks)| (function.to_owned(), blocks));
    assert_eq!(lost_by(&summary), BTreeMap::from(expected));
    assert_eq!(summary.number("lost_bytes"), 30 * 109 + 30 * 48 + (1 << 20));
    assert_eq!(summary.0["lost"]["suppressed_bytes"], 108);
    let text = run(twinheap(&["summary"]).arg(lab.path("a.heaptrace"))).stdout;
    assert!(text.contains("nothing points to 41 blocks, on which 20 more"), "{text}");
    // A stretch of time has no exit.
    let ran = run(twinheap(&["summary", "--json", "--from=0"]).arg(lab.path("a.heaptrace")));
    assert!(!ran.stdout.contains("lost_bytes"), "{}", ran.stdout);
}

#[test]
fn leak_sanitizer_finds_the_same() {
    let lab = Lab::new();
    let program = lab.path("sanitized");
    lab.build_as("lost.c", &program, &["-fsanitize=leak"]);
    let output = Command::new(&program).stdin(Stdio::null()).output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let sum = |kind: &str| {
        let lines = report.lines().filter_map(|line| line.strip_prefix(kind));
        let numbers = lines.map(|line| {
            let mut numbers = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
            (numbers.next().unwrap(), numbers.next().unwrap())
        });
        numbers.fold((0, 0), |sum, (bytes, blocks)| (sum.0 + bytes, sum.1 + blocks))
    };
    let (direct, indirect) = (sum("Direct leak of"), sum("Indirect leak of"));
    let program = lab.build("lost.c", &["-rdynamic"]);
    let (_, summary) = lab.record(&["--leak-check"], &[&program]);
    let lost = |field: &str| summary.0["lost"][field].as_u64().unwrap();
    assert_eq!((lost("direct_bytes"), lost("direct_blocks")), direct, "{report}");
    assert_eq!((lost("indirect_bytes"), lost("indirect_blocks")), indirect, "{report}");
}

#[test]
fn who_did_not_look_says_nothing_or_why() {
    let lab = Lab::new();
    let program = lab.build("lost.c", &["-rdynamic"]);
    let (_, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.0.get("lost_bytes"), None);
    // Not an exit that runs anything of the program's.
    let file = lab.path("a.heaptrace");
    let command = [program.to_str().unwrap(), "_exit"];
    let ran = run(&mut lab.recorder(&["--leak-check"], &file, &command));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("nobody looked for lost blocks: it did not end by exit"), "{ran:?}");
    let summary = Summary::of(&file);
    assert_eq!(summary.0.get("lost_bytes"), None);
    assert!(summary.0["warnings"][0].as_str().unwrap().contains("nobody looked"), "{}", summary.0);
    for option in ["--sample=1M", "--drop"] {
        let ran = run(&mut lab.recorder(&["--leak-check", option], &file, &command));
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
}

#[test]
fn node_loses_next_to_nothing() {
    let lab = Lab::new();
    let file = lab.path("a.heaptrace");
    let ran = run(&mut lab.recorder(&["--leak-check"], &file, &[node(22).as_os_str(), script().as_os_str()]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "served\n"), "{ran:?}");
    let summary = Summary::of(&file);
    // V8 keeps pointers with marks in them, in pages of its own: whoever does not find those takes megabytes for lost.
    let (lost, held) = (summary.number("lost_bytes"), summary.number("leaked_bytes"));
    assert!(lost < 100_000 && held > 10 * lost, "{lost} of {held}: {}", summary.0["lost"]);
}

#[test]
fn what_only_the_stacks_of_ended_threads_know_is_lost() {
    let lab = Lab::new();
    let program = lab.build("stacks_left.c", &[]);
    let (_, summary) = lab.record(&["--leak-check"], &[&program]);
    assert_eq!(lost_by(&summary), BTreeMap::from([("left_behind".to_owned(), (4 * 64, 0))]));
    // What a thread reallocates is its own, whoever allocates in between.
    let ran = run(twinheap(&["histogram", "--realloc", "--json"]).arg(lab.path("a.heaptrace")));
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    let sites = found["sites"].as_array().unwrap();
    let names: Vec<&Value> = sites.iter().map(|site| &site["frames"][0]["function"]).collect();
    assert_eq!(names, ["grown"], "{found}");
    assert!(sites[0]["reallocations"].as_u64().unwrap() > 390_000, "{found}");
}
