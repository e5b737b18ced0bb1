//! Threads, their ends, and signals that come in between.

use crate::lab::{Lab, costs, run};

#[test]
fn blocks_that_other_threads_free_are_matched() {
    let lab = Lab::new();
    let program = lab.build("threads.c", &[]);
    let (_, summary) = lab.record(&[], &[&program]);
    // Half of the last 25 threads' twenty blocks stay.
    assert_eq!(summary.by("made_here"), costs(500 * 20, 25 * 10 * 32));
    assert_eq!(summary.by("left_behind"), costs(500, 500 * 8));
    // Destructors of thread-specific data run four times; the block of the last round stays.
    assert_eq!(summary.by("made_at_the_end").allocations, 500 * 4);
    assert_eq!(summary.by("made_at_the_end").leaked, 0);
}

#[test]
fn five_hundred_threads_record_at_once() {
    let lab = Lab::new();
    let program = lab.build("at_once.c", &[]);
    let (_, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.by("made_by_all"), costs(500 * 50, 0));
    assert_eq!(summary.by("kept_by_all"), costs(500, 500 * 48));
}

#[test]
fn idle_threads_take_nobody_s_room() {
    let lab = Lab::new();
    let program = lab.build("idle.c", &[]);
    let (_, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.by("made_by_idle"), costs(700, 700 * 24));
    assert_eq!(summary.by("made_by_busy"), costs(400_000, 0));
}

#[test]
fn threads_that_come_and_go_leave_nothing() {
    let lab = Lab::new();
    let program = lab.build("comes_and_goes.c", &[]);
    let (ran, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.by("made_by_guest"), costs(5_100, 0));
    let kilobytes: Vec<u64> = ran.stdout.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [few, many] = kilobytes[..] else { panic!("{ran:?}") };
    // One that has not quite ended when the next one comes may need a place of its own.
    assert!(many <= few + few / 4, "{few} kB, {many} kB");
}

#[test]
fn destructors_of_thread_local_objects_are_recorded() {
    let lab = Lab::new();
    let program = lab.build("thread_local.cpp", &[]);
    let (_, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.by("made_for_thread"), costs(20, 0));
    assert_eq!(summary.by("leaked_by_destructor"), costs(20, 20 * 128));
}

#[test]
fn handlers_may_allocate_at_any_moment() {
    let lab = Lab::new();
    let program = lab.build("signals.c", &[]);
    // The malloc of the C library may not be called in handlers. This one may: only the recorder is put to the test.
    let allocator = lab.path("bump.so");
    lab.build_as("bump.c", &allocator, &["-shared", "-fPIC"]);
    for stack in ["threads", "own"] {
        let file = lab.path("a.heaptrace");
        let mut recorder = lab.recorder(&[], &file, &[program.to_str().unwrap(), stack]);
        let ran = run(recorder.env("LD_PRELOAD", &allocator));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stderr.contains("ended with"), "{ran:?}");
        let counts: Vec<u64> = ran.stdout.split_whitespace().map(|count| count.parse().unwrap()).collect();
        let summary = crate::lab::Summary::partial(&file, 0);
        let (outside, inside) = (summary.by("outside"), summary.by("in_handler"));
        // What came while a chunk was changed is left out and told of; nothing else is missing.
        let lost = ran.stderr.split("warning: ").nth(1).map_or(0, |told| {
            let digits: String =
                told.chars().take_while(|letter| *letter != ' ').filter(|l| *l != ',').collect();
            digits.parse::<u64>().unwrap()
        });
        assert_eq!(summary.number("allocations") + lost, counts[0] + counts[1], "{stack}: {}", ran.stderr);
        assert!(outside.allocations <= counts[0] && inside.allocations <= counts[1], "{stack}: {counts:?}");
        // Handlers' stacks go on into what they interrupted.
        let inside = summary.frames("in_handler");
        assert!(
            inside.iter().any(|frames| frames.iter().any(|frame| frame["function"] == "main")),
            "{stack}"
        );
    }
}
