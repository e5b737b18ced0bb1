//! heaptrack counts the same.

use std::fs;
use std::process::Command;

use crate::lab::{Lab, Summary, skip};

/// Records a program with heaptrack; its summary, if heaptrack is there.
fn heaptrack(lab: &Lab, command: &[&str]) -> Option<Summary> {
    let raw = lab.path("peer");
    let mut recorder = Command::new("heaptrack");
    recorder.arg("-o").arg(&raw).args(command);
    recorder.output().ok()?;
    let written = ["peer.zst", "peer.gz"].map(|name| lab.path(name));
    let written = written.iter().find(|path| path.exists()).expect("heaptrack wrote a file");
    let summary = Summary::partial(written, 0);
    fs::remove_file(written).unwrap();
    Some(summary)
}

#[test]
fn heaptrack_and_twinheap_count_the_same() {
    let lab = Lab::new();
    for (program, arguments, sites) in [
        // heaptrack 1.4 has no hook for reallocarray, and counts what it calls.
        (
            "allocators.c",
            &[][..],
            &["by_malloc", "by_calloc", "by_realloc", "by_posix_memalign", "brief", "grown"][..],
        ),
        ("many.c", &["30000", "100", "later"], &["made"]),
        ("many.c", &["3000", "100", "kept"], &["made"]),
        ("deep.c", &["20"], &["bottom"]),
        ("around_main.c", &[], &["before_main", "at_exit", "destructor"]),
    ] {
        let built = lab.build(program, &[]);
        let command = [&[built.to_str().unwrap()], arguments].concat();
        let Some(theirs) = heaptrack(&lab, &command) else {
            return skip("counts of heaptrack", "it is not installed");
        };
        let code = if program == "allocators.c" { 5 } else { 0 };
        let (_, ours) = lab.record_ending(code, &[], &command);
        for site in sites {
            assert_eq!(ours.by(site), theirs.by(site), "{program}: {site}");
            assert!(ours.by(site).allocations > 0, "{program}: {site}");
        }
    }
}
