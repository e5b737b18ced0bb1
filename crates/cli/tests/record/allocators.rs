//! Every function that allocates is counted once, at the line that calls it.

use std::process::Command;

use crate::lab::{Lab, Summary, costs, run};

#[test]
fn functions_of_c_are_counted_at_their_callers() {
    let lab = Lab::new();
    let program = lab.build("allocators.c", &[]);
    let (ran, summary) = lab.record_ending(5, &[], &[&program]);
    assert_eq!(ran.stdout, "allocated\n", "{ran:?}");
    assert!(ran.stderr.contains("the program ended with exit status: 5"), "{ran:?}");
    let check = |function, allocations, leaked| {
        assert_eq!(summary.by(function), costs(allocations, leaked), "{function}");
    };
    check("by_malloc", 10, 1000);
    check("by_calloc", 11, 2200);
    check("by_realloc", 10, 3000);
    check("by_reallocarray", 10, 4000);
    check("by_posix_memalign", 10, 5000);
    check("by_aligned_alloc", 1, 640);
    check("by_memalign", 1, 700);
    check("by_valloc", 1, 800);
    check("by_pvalloc", 1, 900);
    check("nothing", 1, 0);
    check("small", 2, 0);
    check("grown", 1, 5000);
    check("gone", 0, 0);
    check("brief", 1000, 0);
    check("failing", 1, 90);
    for (function, text) in [
        ("by_malloc", "SITE by_malloc"),
        ("by_reallocarray", "SITE by_reallocarray"),
        ("by_pvalloc", "SITE by_pvalloc"),
        ("grown", "SITE grown"),
        ("failing", "void *kept = malloc(90)"),
    ] {
        summary.check_line(function, "allocators.c", text);
    }
    // C programs allocate nothing before main, so that the totals are known too.
    assert_eq!(summary.number("allocations"), 1060);
    assert_eq!(summary.number("leaked_bytes"), 23_330);
    // Those of `brief`, and the two that are reallocated at once.
    assert_eq!(summary.number("temporary_exact"), 1002);
    // All that is freed is gone before the last block is allocated.
    assert_eq!(summary.number("peak_bytes"), 23_330);
}

#[test]
fn a_place_may_ask_for_any_sizes() {
    let lab = Lab::new();
    let program = lab.build("sizes.c", &[]);
    let (_, summary) = lab.record(&[], &[&program]);
    let sizes = 4 * 24 + 4 + 4 * (1 << 32) - 4 + 10 * (1 << 30);
    assert_eq!(summary.by("asked"), costs(10 * 12, 10 * sizes));
}

#[test]
fn operators_of_cpp_are_counted_at_their_callers() {
    let lab = Lab::new();
    let program = lab.build("operators.cpp", &["-std=c++17"]);
    let (ran, summary) = lab.record(&[], &[&program]);
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    let check = |function, allocations, leaked| {
        assert_eq!(summary.by(function), costs(allocations, leaked), "{function}");
    };
    check("plain", 4, 100);
    check("array", 4, 200);
    check("plain_nothrow", 1, 300);
    check("array_nothrow", 1, 400);
    check("aligned", 4, 512);
    check("aligned_array", 4, 768);
    check("aligned_nothrow", 1, 1024);
    check("aligned_array_nothrow", 1, 1280);
    // It asks for nothing and gets a byte.
    check("empty", 1, 1);
    summary.check_line("plain", "operators.cpp", "SITE plain()");
    summary.check_line("aligned_array_nothrow", "operators.cpp", "SITE aligned_array_nothrow()");
}

#[test]
fn what_comes_before_and_after_main_is_recorded() {
    let lab = Lab::new();
    let program = lab.build("around_main.c", &[]);
    let (_, summary) = lab.record(&[], &[&program]);
    assert_eq!(summary.by("before_main"), costs(1, 1000));
    assert_eq!(summary.by("at_exit"), costs(1, 2000));
    assert_eq!(summary.by("destructor"), costs(1, 3000));
    assert_eq!(summary.number("allocations"), 3);
}

/// Libraries that allocate while they are loaded: before the program, with it, and by it.
#[test]
fn constructors_of_libraries_are_recorded() {
    let lab = Lab::new();
    let library = lab.path("libconstructors.so");
    lab.build_as("constructors.cpp", &library, &["-shared", "-fPIC"]);
    let check = |summary: &Summary, times: u64, kept: u64, way: &str| {
        assert_eq!(summary.by("constructor"), costs(times, kept), "{way}");
        assert_eq!(summary.by("Static"), costs(times, 0), "{way}");
        assert_eq!(summary.by("~Static"), costs(times, times * 300), "{way}");
        summary.check_line("constructor", "constructors.cpp", "static void constructor()");
    };

    let program = lab.build("around_main.c", &[]);
    let file = lab.path("a.heaptrace");
    let ran = run(lab.recorder(&[], &file, &[&program]).env("LD_PRELOAD", &library));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let summary = Summary::of(&file);
    check(&summary, 1, 100, "preloaded");
    assert_eq!(summary.by("before_main"), costs(1, 1000));

    let linked = lab.path("linked");
    let options = ["-Wl,--no-as-needed", library.to_str().unwrap(), "-lstdc++"];
    lab.build_as("around_main.c", &linked, &options);
    check(&lab.record(&[], &[&linked]).1, 1, 100, "linked");

    let loads = lab.build("loads.c", &[]);
    let (ran, summary) = lab.record(&[], &[&loads, &library]);
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    // What is kept by way of dlopen is suppressed, as heaptrack has it.
    check(&summary, 20, 0, "loaded twenty times");
}

/// C23's functions, which the C library of the machine may lack.
#[test]
fn sized_frees_are_frees() {
    let lab = Lab::new();
    let program = lab.build("sized.c", &[]);
    let (ran, summary) = lab.record(&[], &[&program]);
    assert!(!ran.stderr.contains("ended with"), "{ran:?}");
    assert_eq!(summary.by("freed_with_size"), costs(10, 0));
    assert_eq!(summary.by("freed_with_alignment"), costs(10, 0));
    assert_eq!(summary.by("kept"), costs(1, 30));
}

#[test]
fn addresses_of_hooked_functions_lead_to_the_hooks() {
    for options in [&["-no-pie"][..], &["-pie", "-fPIE"]] {
        let lab = Lab::new();
        let program = lab.build("address.c", options);
        let (_, summary) = lab.record(&[], &[&program]);
        assert_eq!(summary.by("by_address"), costs(9, 108), "{options:?}");
        assert_eq!(summary.number("allocations"), 11, "{options:?}");
        assert_eq!(summary.number("leaked_bytes"), 108, "{options:?}");
    }
}

/// Other mallocs, as a program is linked with them or a server gets them by `LD_PRELOAD`.
#[test]
fn allocators_in_shared_objects_are_recorded() {
    for library in ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"] {
        for is_preloaded in [false, true] {
            let lab = Lab::new();
            let link = format!("-l:{library}");
            let options = if is_preloaded { &[][..] } else { &["-Wl,--no-as-needed", &link] };
            let program = lab.build("allocators.c", options);
            let file = lab.path("a.heaptrace");
            let run = |mut command: Command| {
                if is_preloaded {
                    command.env("LD_PRELOAD", library);
                }
                run(&mut command)
            };
            // mimalloc does a few things in its own way, which the program says with its code.
            let alone = run(Command::new(&program));
            let ran = run(lab.recorder(&[], &file, &[&program]));
            let what = format!("{library}, preloaded: {is_preloaded}, {ran:?}");
            assert_eq!((ran.code, &ran.stdout), (alone.code, &alone.stdout), "{what}");
            // Nothing failed to be loaded, which the dynamic linker would say.
            assert!(!ran.stderr.contains(library), "{what}");
            let summary = Summary::of(&file);
            let check = |function, allocations, leaked| {
                assert_eq!(summary.by(function), costs(allocations, leaked), "{function} {what}");
            };
            check("by_malloc", 10, 1000);
            check("by_calloc", 11, 2200);
            check("by_realloc", 10, 3000);
            check("by_posix_memalign", 10, 5000);
            check("by_memalign", 1, 700);
        }
    }
}

/// An allocator that the user preloads, as servers have jemalloc: the program gets its blocks, and they are recorded.
#[test]
fn a_preloaded_allocator_is_the_one_that_is_called() {
    let lab = Lab::new();
    let arena = lab.path("arena.so");
    lab.build_as("arena.c", &arena, &["-shared", "-fPIC", "-fno-builtin"]);
    let program = lab.build("preloaded.c", &["-ldl"]);
    let file = lab.path("a.heaptrace");
    let ran = run(lab.recorder(&[], &file, &[&program]).env("LD_PRELOAD", &arena));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "11 in the arena\n"), "{ran:?}");
    let summary = Summary::of(&file);
    let check = |function, allocations, leaked| {
        assert_eq!(summary.by(function), costs(allocations, leaked), "{function}");
    };
    check("by_malloc", 5, 0);
    check("by_calloc", 5, 10_000);
    check("by_memalign", 5, 0);
    check("by_realloc", 5, 20_000);
    check("by_deep", 1, 500);
}
