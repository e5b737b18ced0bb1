//! Names of recordings, and what can't be recorded.

use std::fs;

use crate::lab::{Lab, Summary, run, twinheap};

#[test]
fn names_say_which_process_and_machine() {
    let lab = Lab::new();
    let program = lab.build("around_main.c", &[]);
    let ran = run(&mut lab.recorder(&[], &lab.path("100%%-%h-%p.heaptrace"), &[&program]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let names = lab.recordings();
    let start = format!("100%-{}-", host.trim());
    let pid = names[0].strip_prefix(&start).and_then(|rest| rest.strip_suffix(".heaptrace"));
    assert!(pid.is_some_and(|pid| pid.parse::<u32>().is_ok()), "{names:?}");
    assert!(ran.stderr.contains(&format!("of process {}", pid.unwrap())), "{}", ran.stderr);
}

#[test]
fn the_name_that_nobody_chose_has_program_and_process() {
    let lab = Lab::new();
    let program = lab.build("around_main.c", &[]);
    let mut recorder = twinheap(&["record", "--"]);
    let ran = run(recorder.arg(&program).current_dir(program.parent().unwrap()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let names = lab.recordings();
    let pid = names[0].strip_prefix("twinheap.around_main.").and_then(|rest| rest.strip_suffix(".heaptrace"));
    assert!(pid.is_some_and(|pid| pid.parse::<u32>().is_ok()), "{names:?}");
    Summary::of(&lab.path(&names[0]));
}

#[test]
fn a_file_that_was_there_is_replaced() {
    let lab = Lab::new();
    let program = lab.build("around_main.c", &[]);
    fs::write(lab.path("a.heaptrace"), "something else").unwrap();
    fs::write(lab.path("a.heaptrace.part"), "of an earlier run").unwrap();
    let (_, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.number("allocations"), 3);
    assert_eq!(lab.recordings(), ["a.heaptrace"]);
}

#[test]
fn places_that_take_no_file_are_refused_before_anything_starts() {
    let lab = Lab::new();
    let program = lab.build("ends.c", &[]);
    let command = [program.to_str().unwrap(), "_exit"];
    for (file, words) in [
        ("-", &["standard output", "-o"][..]),
        ("missing/a.heaptrace", &["can't write", "there is no folder"]),
        (".", &["it is a directory"]),
    ] {
        let mut recorder = twinheap(&["record", "-o", file, "--"]);
        let ran = run(recorder.args(command).current_dir(program.parent().unwrap()));
        ran.check_error(2, words);
        assert_eq!(ran.stdout, "", "{file}");
    }
    assert_eq!(lab.recordings(), Vec::<String>::new());
}

#[test]
fn what_can_not_be_recorded_is_said() {
    let lab = Lab::new();
    let program = lab.build("processes.c", &["-static"]);
    let file = lab.path("a.heaptrace");
    let ran = run(&mut lab.recorder(&[], &file, &[program.to_str().unwrap(), "executed"]));
    ran.check_error(2, &["was not recorded", "statically linked"]);
    let ran = run(&mut lab.recorder(&[], &file, &["/nowhere/to/be/found"]));
    ran.check_error(2, &["can't start `/nowhere/to/be/found`"]);
    assert_eq!(lab.recordings(), Vec::<String>::new());
}

#[test]
fn quiet_is_quiet() {
    let lab = Lab::new();
    let program = lab.build("around_main.c", &[]);
    let (ran, _) = lab.record(&["--quiet"], &[&program]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}

#[test]
fn commands_may_be_given_as_to_heaptrack() {
    let lab = Lab::new();
    let program = lab.build("says.c", &[]);
    let program = program.to_str().unwrap();
    for (words, said) in [
        (&["--", program, "-o", "--", "--json"][..], "-o -- --json\n"),
        (&[program, "-o", "x", "--follow"], "-o x --follow\n"),
        (&["--record-only", program, "--help"], "--help\n"),
    ] {
        let mut recorder = twinheap(&["record", "-o", "a.heaptrace"]);
        let ran = run(recorder.args(words).current_dir(lab.path(".")));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), said), "{words:?}: {}", ran.stderr);
        Summary::of(&lab.path("a.heaptrace"));
    }
}

#[test]
fn options_of_heaptrack_that_are_not_here_are_explained() {
    for (words, expected) in [
        (&["-p", "1234"][..], &["--pid", "from its start only", "twinheap snapshot 1234"][..]),
        (&["--analyze", "heaptrack.x.1.zst"], &["--analyze", "twinheap summary heaptrack.x.1.zst"]),
        (&["-i"], &["--interpret", "twinheap summary FILE"]),
        (&["-r", "sleep", "1"], &["--raw", "leave the option out"]),
        (&["--debug", "sleep", "1"], &["--debug", "gdb"]),
        (&["--use-inject", "sleep", "1"], &["--use-inject"]),
        (&["--asan", "--", "sleep", "1"], &["--asan"]),
    ] {
        run(twinheap(&["record"]).args(words)).check_error(2, expected);
    }
}
