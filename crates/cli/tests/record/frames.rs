//! Stacks: how deep, through what code, and by which names.

use crate::lab::{Lab, costs};

#[test]
fn libraries_keep_their_names_after_they_are_gone() {
    let lab = Lab::new();
    let program = lab.build("loads.c", &[]);
    let plugin = lab.path("plugin.so");
    lab.build_as("plugin.c", &plugin, &["-shared", "-fPIC"]);
    let (_, summary) = lab.record(&[], &[&program, &plugin]);
    assert_eq!(summary.by("made_in_plugin"), costs(40, 20 * 100));
    assert_eq!(summary.by("unloaded"), costs(20, 20 * 7));
    assert_eq!(summary.by("between"), costs(20, 20 * 3));
    assert_eq!(summary.under("plugin"), costs(40, 20 * 100));
    summary.check_line("made_in_plugin", "plugin.c", "void *made_in_plugin");
    for frames in summary.frames("made_in_plugin") {
        let names: Vec<_> = frames.iter().filter_map(|frame| frame["function"].as_str()).collect();
        assert_eq!(names.get(..3), Some(&["made_in_plugin", "plugin", "main"][..]), "{names:?}");
    }
}

#[test]
fn frames_may_be_left_by_jumps_and_exceptions() {
    let lab = Lab::new();
    let program = lab.build("jumps.c", &[]);
    let (_, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.by("deep"), costs(1000, 0));
    assert_eq!(summary.functions("after_jump"), ["after_jump", "main"]);
    let program = lab.build("throws.cpp", &[]);
    let (ran, summary) = lab.record(&[], &[&program]);
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    assert_eq!(summary.under("thrower").leaked, 0);
    assert_eq!(summary.by("after_throw"), costs(100, 800));
    assert_eq!(summary.functions("after_throw"), ["after_throw()", "main"]);
}

#[test]
fn code_is_walked_however_it_is_compiled() {
    for options in [
        &["-O2", "-fomit-frame-pointer"][..],
        &["-O2", "-fno-omit-frame-pointer"],
        &["-O0"],
        &["-O2", "-fcf-protection=full", "-fomit-frame-pointer"],
        &["-O2", "-fstack-protector-all", "-fstack-clash-protection"],
        &["-Os", "-no-pie"],
        &[
            "-O1",
            "-fomit-frame-pointer",
            "-Wl,--no-eh-frame-hdr",
            "-fno-asynchronous-unwind-tables",
            "-Wl,-s",
        ],
    ] {
        let is_stripped = options.contains(&"-Wl,-s");
        let lab = Lab::new();
        let program = lab.build("deep.c", &[options, &["-fno-inline", "-fno-ipa-icf"]].concat());
        let (_, summary) = lab.record(&[], &[program.to_str().unwrap(), "12"]);
        assert_eq!(summary.number("allocations"), 3, "{options:?}");
        if !is_stripped {
            let mut expected = vec!["bottom"];
            expected.extend(vec!["level"; 12]);
            expected.extend(["top", "main"]);
            assert_eq!(summary.functions("bottom"), expected, "{options:?}");
            summary.check_line("bottom", "deep.c", "static void bottom");
        }
    }
}

#[test]
fn frames_may_be_large() {
    let lab = Lab::new();
    for room in ["100000", "500000", "900000"] {
        let program = lab.build("deep.c", &["-O2", "-fomit-frame-pointer", &format!("-DROOM={room}")]);
        let (_, summary) = lab.record(&[], &[program.to_str().unwrap(), "8"]);
        assert_eq!(summary.number("allocations"), 3, "{room}");
        let mut expected = vec!["bottom"];
        expected.extend(["level"; 8]);
        expected.extend(["top", "main"]);
        assert_eq!(summary.functions("bottom"), expected, "{room}");
    }
}

#[test]
fn stacks_are_as_deep_as_asked_for() {
    let lab = Lab::new();
    let program = lab.build("deep.c", &["-fomit-frame-pointer"]);
    let program = program.to_str().unwrap();
    let check = |options: &[&str], levels: &str, expected: usize, is_whole| {
        let (_, summary) = lab.record(options, &[program, levels]);
        let stacks = summary.frames("bottom");
        assert_eq!(stacks.len(), 1, "{options:?}");
        let names: Vec<_> = stacks[0].iter().filter_map(|frame| frame["function"].as_str()).collect();
        assert_eq!(names.iter().filter(|name| **name == "level").count(), expected, "{options:?}");
        assert_eq!(names.contains(&"main"), is_whole, "{options:?}");
    };
    check(&[], "200", 200, true);
    check(&[], "300", 255, false);
    check(&["--frames=400"], "300", 300, true);
    check(&["--frames=10"], "300", 9, false);
}

#[test]
fn a_rust_program_has_its_names() {
    let lab = Lab::new();
    let program = lab.build("program.rs", &[]);
    let (ran, summary) = lab.record(&[], &[&program]);
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    assert_eq!(summary.under("leaked"), costs(10, 1230));
    assert_eq!(summary.under("grown").leaked, 0);
    assert!(summary.under("grown").allocations > 5);
    assert_eq!(summary.under("in_thread"), costs(1, 0));
}
