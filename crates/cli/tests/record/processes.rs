//! Programs that make other processes, or become other programs.

use std::fs;
use std::path::Path;

use crate::lab::{Costs, Lab, Summary, costs, run};

const NONE: Costs = costs_of_nothing();

const fn costs_of_nothing() -> Costs {
    Costs { allocations: 0, leaked: 0 }
}

/// What the sites of a process cost: before the other process, after it, in a forked one, in an executed one.
#[track_caller]
fn check_sites(summary: &Summary, expected: [Costs; 4], what: &str) {
    let sites = ["parent_before", "parent_after", "forked", "executed"].map(|site| summary.by(site));
    assert_eq!(sites, expected, "{what}");
}

#[track_caller]
fn check(way: &str, child: [Costs; 4], bystanders: u32) {
    let parent = [costs(5, 50), costs(4, 80), NONE, NONE];
    let lab = Lab::new();
    let program = lab.build("processes.c", &[]);
    let command = [program.to_str().unwrap(), way];

    let (ran, summary) = lab.record(&[], &command);
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    check_sites(&summary, parent, way);
    assert_eq!(lab.recordings(), ["a.heaptrace"], "{way}");
    // Nothing of ours is left to those who are not recorded.
    assert_eq!(ran.stdout, "", "{way}");
    let told = ran.stderr.contains("not recorded; --follow records children too");
    assert_eq!(told, bystanders > 0, "{way}: {}", ran.stderr);
    fs::remove_file(lab.path("a.heaptrace")).unwrap();

    let (ran, summary) = lab.record(&["--follow"], &command);
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    check_sites(&summary, parent, way);
    let others: Vec<_> = lab.recordings().into_iter().filter(|name| name != "a.heaptrace").collect();
    let summaries: Vec<_> = others.iter().map(|name| Summary::of(&lab.path(name))).collect();
    let children =
        summaries.iter().filter(|summary| ["forked", "executed"].iter().any(|site| summary.by(site) != NONE));
    let children: Vec<_> = children.collect();
    assert_eq!(children.len(), 1, "{way}: {others:?}");
    check_sites(children[0], child, way);
    assert!(!ran.stderr.contains("not recorded"), "{way}: {}", ran.stderr);
}

const EXECUTED: [Costs; 4] = [NONE, NONE, NONE, Costs { allocations: 7, leaked: 560 }];

#[test]
fn a_forked_child_is_recorded_if_followed() {
    check("fork", [NONE, NONE, costs(6, 240), NONE], 0);
}

#[test]
fn a_child_that_executes_is_recorded_if_followed() {
    check("fork-exec", EXECUTED, 1);
}

#[test]
fn a_child_of_vfork_is_recorded_if_followed() {
    check("vfork", EXECUTED, 1);
}

#[test]
fn a_spawned_child_is_recorded_if_followed() {
    check("spawn", EXECUTED, 1);
}

#[test]
fn children_of_the_shell_are_recorded_if_followed() {
    check("system", EXECUTED, 1);
    check("popen", EXECUTED, 1);
}

/// What is known of a program's file from one process is used for the next ones.
#[test]
fn a_program_that_is_started_again_has_its_names_again() {
    let lab = Lab::new();
    let program = lab.build("processes.c", &[]);
    let script =
        format!("'{program}' executed; '{program}' fork; '{program}' executed", program = program.display());
    let (ran, _) = lab.record_ending(3, &["--follow"], &["sh", "-c", &script]);
    assert!(ran.stderr.contains("ended with exit status: 3"), "{ran:?}");
    let names = lab.recordings();
    let summaries: Vec<Summary> = names.iter().map(|name| Summary::of(&lab.path(name))).collect();
    let count = |site, cost: Costs| summaries.iter().filter(|summary| summary.by(site) == cost).count();
    // Three programs and the copy of one, which has none of its calls from before; each is named as if it were alone.
    let counts = [
        count("executed", costs(7, 560)),
        count("parent_before", costs(5, 50)),
        count("parent_after", costs(4, 80)),
        count("forked", costs(6, 240)),
    ];
    assert_eq!(counts, [2, 1, 1, 1], "{names:?}");
}

#[test]
fn what_a_program_becomes_has_the_name_that_was_asked_for() {
    let lab = Lab::new();
    let program = lab.build("processes.c", &[]);
    let (ran, summary) = lab.record_ending(3, &[], &[program.to_str().unwrap(), "exec"]);
    assert!(ran.stderr.contains("ended with exit status: 3"), "{ran:?}");
    check_sites(&summary, EXECUTED, "after");
    assert_eq!(lab.recordings(), ["a.before-exec-1.heaptrace", "a.heaptrace"]);
    let before = Summary::of(&lab.path("a.before-exec-1.heaptrace"));
    check_sites(&before, [costs(5, 50), NONE, NONE, NONE], "before");

    // What a later recording of the same name leaves takes the place of this one's.
    for _ in 0..2 {
        lab.record_ending(3, &[], &["env", program.to_str().unwrap(), "exec"]);
        let names = lab.recordings();
        assert_eq!(names, ["a.before-exec-1.heaptrace", "a.before-exec-2.heaptrace", "a.heaptrace"]);
        let before = Summary::of(&lab.path("a.before-exec-2.heaptrace"));
        check_sites(&before, [costs(5, 50), NONE, NONE, NONE], "before");
    }
}

#[test]
fn an_environment_is_given_back_as_it_was() {
    let lab = Lab::new();
    let program = lab.build("processes.c", &[]);
    let other = lab.path("other.so");
    lab.build_as("plugin.c", &other, &["-shared", "-fPIC"]);
    let other = other.to_str().unwrap();
    let file = lab.path("a.heaptrace");
    let mut recorder = lab.recorder(&[], &file, &[program.to_str().unwrap(), "spawn"]);
    recorder.env("LD_PRELOAD", other).env("NODE_OPTIONS", "--no-warnings");
    let ran = crate::lab::run(&mut recorder);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, format!("LD_PRELOAD={other}\nNODE_OPTIONS=--no-warnings\n"));
}

/// Also where a file of that name has been before.
#[test]
fn files_are_called_as_the_user_calls_them() {
    let lab = Lab::new();
    for _ in 0..2 {
        let ran = run(&mut lab.recorder(&[], Path::new("a.heaptrace"), &["env", "true"]));
        let told =
            ["in `a.heaptrace` (", "in `a.before-exec-1.heaptrace` ("].map(|text| ran.stderr.contains(text));
        assert_eq!(told, [true; 2], "{}", ran.stderr);
    }
}

/// A link to a device is no file that could get another name.
#[test]
fn what_a_program_becomes_leaves_a_device_alone() {
    let lab = Lab::new();
    let link = lab.path("a.heaptrace");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let ran = run(&mut lab.recorder(&[], &link, &["env", "true"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("/dev/null"));
    assert_eq!(lab.recordings(), ["a.heaptrace"]);
}

/// A server may start hundreds of thousands of children.
#[test]
fn a_child_that_is_gone_leaves_nothing_but_its_file() {
    let lab = Lab::new();
    let script = r#"
        for i in {1..20}; do /bin/true; done
        for i in {1..100}; do
            set -- "${TWINHEAP_RING%/*}"/ring.[0-9]*
            [ $# -lt 12 ] && exit 0
            sleep 0.1
        done
        echo "$# rings are left"
        exit 7"#;
    let (ran, _) = lab.record(&["--follow"], &["bash", "-c", script]);
    assert_eq!(ran.stdout, "");
    let files = lab.recordings().len();
    assert!(files > 40, "{:?}", lab.recordings());
    // Nor is the terminal filled with them.
    let told = ran.stderr.lines().filter(|line| line.starts_with("recorded ")).count();
    let others = format!(" of {} more processes in files beside (", files - 8);
    assert!(told == 9 && ran.stderr.contains(&others), "{}", ran.stderr);
}
