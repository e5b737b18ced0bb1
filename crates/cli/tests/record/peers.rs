//! heaptrack counts the same.

use std::fs;
use std::process::Command;

use crate::lab::{Lab, Summary, costs, skip};

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

/// A pool that tells of its blocks itself, `heaptrack_api.h` in hand: recorded as by heaptrack.
#[track_caller]
fn check_pool(lab: &Lab, command: &[&str]) {
    let (ran, ours) = lab.record(&[], command);
    assert_eq!(ran.stdout, "allocated\n", "{ran:?}");
    let expected = [
        ("kept", costs(50, 5000)),
        ("close_together", costs(64, 96)),
        ("grown", costs(9, 700)),
        ("brief", costs(200, 0)),
    ];
    for (site, costs) in expected {
        assert_eq!(ours.under(site), costs, "{command:?}: {site}");
    }
    ours.check_line("pool_alloc", "pool.c", "heaptrack_report_alloc(block, size);");
    ours.check_line("pool_realloc", "pool.c", "heaptrack_report_realloc(old, size, block);");
    // The memory that the pool took is no line of its own: its blocks are recorded.
    let parts = ours.0["outside_malloc"]["parts"].as_array().unwrap();
    assert!(parts.iter().all(|part| part["kind"] != "module" || part["recorded"] == true), "{parts:#?}");
    let Some(theirs) = heaptrack(lab, command) else {
        return skip("a pool under heaptrack", "it is not installed");
    };
    for (site, costs) in expected {
        assert_eq!(theirs.under(site), costs, "heaptrack, {command:?}: {site}");
    }
    // heaptrack itself has a block of the C++ library, which it doesn't count as leaked.
    assert_eq!(ours.number("leaked_bytes"), theirs.number("leaked_bytes"), "{command:?}");
}

#[test]
fn a_pool_tells_of_its_blocks() {
    let lab = Lab::new();
    let library = lab.path("libpool.so");
    lab.build_as("pool.c", &library, &["-shared", "-fPIC"]);
    let folder = library.parent().unwrap().to_str().unwrap();
    let linked = lab.build("linked.c", &[&format!("-L{folder}"), &format!("-Wl,-rpath,{folder}"), "-lpool"]);
    let opens = lab.build("opens.c", &["-ldl"]);
    let program = lab.build("pool.c", &["-DHEAPTRACK_API_DLSYM", "-ldl"]);
    for command in [
        &[linked.to_str().unwrap()][..],
        &[opens.to_str().unwrap(), library.to_str().unwrap()],
        &[program.to_str().unwrap()],
    ] {
        check_pool(&lab, command);
    }
}
