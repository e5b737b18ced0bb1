//! Modes that record less.

use crate::lab::{Lab, Summary, run};

#[test]
fn a_sample_is_an_estimate_of_all() {
    let lab = Lab::new();
    let program = lab.build("many.c", &[]);
    let program = program.to_str().unwrap();
    // A gigabyte, one sample in 64 KiB: 15,259 on average, of which 8 % are ten standard deviations.
    let command = [program, "1000000", "1000", "later"];
    let (_, summary) = lab.record(&["--sample=64K"], &command);
    let samples = summary.by("made").allocations;
    assert!((14_000..16_500).contains(&samples), "{samples}");
    // Nobody takes them for the whole.
    assert!(summary.0["warnings"][0].as_str().unwrap().contains("one allocation in 65536 bytes"));
    // Everything was freed: a free that was missed would be a leak.
    assert_eq!(summary.number("leaked_bytes"), 0);
    let (_, summary) = lab.record(&["--sample=64K"], &[program, "200000", "1000", "at-once"]);
    assert_eq!(summary.number("leaked_bytes"), 0);
}

#[test]
fn short_lives_are_counted_and_not_kept() {
    let lab = Lab::new();
    let program = lab.build("many.c", &[]);
    let program = program.to_str().unwrap();
    let sizes = ["1m", "100ms"].map(|lifetime| {
        let options = [&format!("--min-lifetime={lifetime}")[..]];
        let (_, summary) = lab.record(&options, &[program, "50000", "100", "at-once"]);
        assert_eq!(summary.number("leaked_bytes"), 0, "{lifetime}");
        assert!(summary.0["warnings"][0].as_str().unwrap().contains("were left out"), "{lifetime}");
        std::fs::metadata(lab.path("a.heaptrace")).unwrap().len()
    });
    let (_, summary) = lab.record(&[], &[program, "50000", "100", "at-once"]);
    assert_eq!(summary.number("allocations"), 50_000);
    assert!(sizes[0] < 20_000, "{sizes:?}");
    let (_, summary) = lab.record(&["--min-lifetime=1m"], &[program, "300", "100", "kept"]);
    assert_eq!(summary.by("made").leaked, 30_000);
    assert_eq!(summary.number("leaked_bytes"), 30_000);
}

#[test]
fn what_is_dropped_is_counted() {
    let lab = Lab::new();
    let program = lab.build("many.c", &[]);
    let file = lab.path("a.heaptrace");
    let ran =
        run(&mut lab.recorder(&["--drop"], &file, &[program.to_str().unwrap(), "100000", "100", "kept"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let recorded = Summary::partial(&file, 0).by("made").allocations;
    let is_told = ran.stderr.contains("are missing: there was no room to record them at that moment");
    assert_eq!(is_told, recorded < 100_000, "{recorded}: {}", ran.stderr);
}
