//! Memory that malloc's symbols don't show: it has a line of its own, or its allocator is hooked.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab::{Lab, Summary, costs, run, twinheap};

const MB: u64 = 1 << 20;

/// Resident bytes in the end of parts of a kind, together.
#[track_caller]
fn at_end(summary: &Summary, kind: &str, path: Option<&Path>) -> u64 {
    let parts = summary.0["outside_malloc"]["parts"].as_array().unwrap();
    let is_wanted = |part: &&Value| {
        part["kind"] == kind && path.is_none_or(|path| part["path"].as_str() == Some(path.to_str().unwrap()))
    };
    parts.iter().filter(is_wanted).map(|part| part["bytes_at_end"].as_u64().unwrap()).sum()
}

#[test]
fn all_resident_memory_is_told_apart_and_adds_up() {
    let lab = Lab::new();
    let program = lab.build("outside.c", &[]);
    let (ran, summary) = lab.record(&[], &[&program]);
    let program = program.canonicalize().unwrap();
    let check = |kind, path, least: u64, most: u64| {
        let bytes = at_end(&summary, kind, path);
        assert!((least..=most).contains(&bytes), "{kind}: {bytes}\n{}", summary.0["outside_malloc"]);
    };
    check("module", Some(&program), 16 * MB, 16 * MB);
    check("malloc", None, 14 * MB, 16 * MB);
    check("stack", None, 6 * MB, 7 * MB);
    check("unknown", None, 6 * MB, 6 * MB + 512 * 1024);
    let file = lab.path("mapped.bin").canonicalize().unwrap();
    check("file", Some(&file), 4 * MB, 4 * MB);
    // The kernel's own sum is the oracle, a moment before.
    let outside = &summary.0["outside_malloc"];
    let all: u64 = ran.stdout.trim().parse().unwrap();
    let parts = outside["parts"].as_array().unwrap();
    let sum: u64 = parts.iter().map(|part| part["bytes_at_end"].as_u64().unwrap()).sum();
    assert!(sum.abs_diff(all) < MB, "{sum} {all}");
    let unexplained = outside["unexplained_at_end"].as_i64().unwrap();
    assert_eq!(outside["end_rss"].as_i64().unwrap(), sum.cast_signed() + unexplained);
    assert!(unexplained.unsigned_abs() < MB, "{outside}");
    // The program is over before its memory is looked at in between.
    let peak = outside["peak_rss"].as_u64().unwrap();
    assert!(peak > 40 * MB && summary.number("peak_rss") >= peak, "{peak} {}", summary.number("peak_rss"));
}

/// What the sites of `own_allocator.c` allocate and keep.
#[track_caller]
fn check_sites(summary: &Summary) {
    let check = |function, allocations, leaked| {
        assert_eq!(summary.by(function), costs(allocations, leaked), "{function}");
    };
    check("by_malloc", 109, 50_000 + 8 * MB);
    check("by_calloc", 10, 4000);
    check("by_realloc", 5, 5000);
    check("by_memalign", 1, 3000);
}

fn allocators(summary: &Summary) -> &Vec<Value> {
    summary.0["outside_malloc"]["allocators"].as_array().unwrap()
}

#[test]
fn a_program_s_own_allocator_is_hooked() {
    let lab = Lab::new();
    let program = lab.build("own_allocator.c", &[]);
    let (ran, summary) = lab.record(&[], &[&program]);
    assert_eq!(ran.stdout, "allocated\n", "{ran:?}");
    check_sites(&summary);
    let found = &allocators(&summary)[0];
    assert_eq!((found["name"].as_str(), found["reason"].as_str()), (Some("mimalloc"), None));
    assert_eq!(found["hooked"].as_array().unwrap().len(), 5, "{found}");
}

/// A program that opens an addon, and the addon, which has an allocator of its own.
fn program_and_addon(lab: &Lab) -> (PathBuf, PathBuf) {
    let program = lab.build("opens.c", &["-ldl"]);
    let addon = lab.path("addon.so");
    lab.build_as("own_allocator.c", &addon, &["-shared", "-fPIC", "-DADDON"]);
    (program, addon)
}

#[test]
fn an_addon_s_own_allocator_is_hooked_before_it_runs() {
    let lab = Lab::new();
    let (program, addon) = program_and_addon(&lab);
    let (ran, summary) = lab.record(&[], &[&program, &addon]);
    assert_eq!(ran.stdout, "allocated\n", "{ran:?}");
    check_sites(&summary);
    // Its maps are a part of their own, and are not counted as outside: the blocks are recorded.
    let parts = summary.0["outside_malloc"]["parts"].as_array().unwrap();
    let of_addon = parts.iter().find(|part| part["kind"] == "module").unwrap();
    assert_eq!(
        (of_addon["recorded"].as_bool(), of_addon["allocator"].as_str()),
        (Some(true), Some("mimalloc"))
    );
}

/// Code of ours has to be in reach of the addon. Where there is no room the addon is left as it is, and all else goes on.
#[test]
fn an_addon_above_something_large_is_hooked_if_a_jump_reaches_beyond() {
    let lab = Lab::new();
    let (program, addon) = program_and_addon(&lab);
    let check = |megabytes: &str, is_hooked: bool| {
        let (ran, summary) = lab.record(&[], &[program.as_os_str(), addon.as_os_str(), megabytes.as_ref()]);
        assert_eq!(ran.stdout, "allocated\n", "{ran:?}");
        if is_hooked {
            check_sites(&summary);
        } else {
            assert_eq!(summary.by("by_malloc"), costs(0, 0));
        }
        // The look at the end is answered in both cases.
        let bytes = at_end(&summary, "module", Some(&addon.canonicalize().unwrap()));
        assert!((8 * MB..10 * MB).contains(&bytes), "{}", summary.0["outside_malloc"]);
    };
    check("512", true);
    check("4096", false);
}

#[test]
fn an_allocator_without_symbols_is_a_named_line() {
    let lab = Lab::new();
    let program = lab.build("opens.c", &["-ldl"]);
    let addon = lab.path("addon.so");
    lab.build_as("own_allocator.c", &addon, &["-shared", "-fPIC", "-DADDON", "-s"]);
    let (ran, summary) = lab.record(&[], &[&program, &addon]);
    assert_eq!(ran.stdout, "allocated\n", "{ran:?}");
    assert_eq!(summary.by("by_malloc"), costs(0, 0));
    let bytes = at_end(&summary, "module", Some(&addon.canonicalize().unwrap()));
    assert!((8 * MB..10 * MB).contains(&bytes), "{}", summary.0["outside_malloc"]);
    assert!(summary.0["outside_malloc"]["end_bytes"].as_u64().unwrap() > 8 * MB);
}

#[test]
fn an_allocator_that_can_t_be_hooked_as_a_whole_is_not_hooked_at_all() {
    let lab = Lab::new();
    let program = lab.build("own_allocator.c", &["-DIMMOVABLE"]);
    let (ran, summary) = lab.record(&[], &[&program]);
    assert_eq!(ran.stdout, "allocated\n", "{ran:?}");
    let found = &allocators(&summary)[0];
    assert_eq!(found["reason"], "`mi_free_size` can't be hooked");
    assert_eq!(found["refused"][0]["reason"], "something could jump between its first instructions");
    assert_eq!(summary.by("by_malloc"), costs(0, 0));
    let bytes = at_end(&summary, "module", Some(&program.canonicalize().unwrap()));
    assert!((8 * MB..10 * MB).contains(&bytes), "{}", summary.0["outside_malloc"]);
}

/// A program whose RSS grows and whose malloc doesn't: the timeline says which memory it is.
#[test]
fn memory_outside_malloc_is_told_over_time() {
    let lab = Lab::new();
    let program = lab.build("outgrows.c", &[]);
    let (_, _) = lab.record(&[], &[&program]);
    let file = lab.path("a.heaptrace");
    let timeline = |options: &[&str]| run(twinheap(&["timeline"]).arg(&file).args(options));
    let ran = timeline(&["--json", "--buckets=8"]);
    let timeline_json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let live = timeline_json["live_bytes"].as_array().unwrap();
    assert!(live.iter().all(|bytes| bytes.as_i64().unwrap() <= 1 << 20), "{timeline_json:#}");
    let outside = &timeline_json["outside_malloc"];
    let all = outside["bytes"].as_array().unwrap();
    assert_eq!(all.len(), live.len());
    let parts = outside["parts"].as_array().unwrap();
    let module = parts.iter().find(|part| part["kind"] == "module").unwrap();
    assert_eq!(module["recorded"], false);
    let seen: Vec<u64> = module["bytes"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    // The first look is at the start, the last one at the exit, and there are some for new peaks if the machine is not
    // too busy.
    assert!(seen.is_sorted() && seen.len() >= 2 && seen[0] < 90 * MB, "{seen:?}");
    assert_eq!(*seen.last().unwrap(), 96 * MB, "{seen:?}");
    // All that is not recorded is in the sum.
    for (at, bytes) in all.iter().enumerate().filter(|(_, bytes)| !bytes.is_null()) {
        let of_part = |part: &&Value| part["recorded"] == false;
        let sum: u64 = parts.iter().filter(of_part).map(|part| part["bytes"][at].as_u64().unwrap()).sum();
        assert_eq!(bytes.as_u64().unwrap(), sum, "{at}");
        let rss = timeline_json["rss"][at].as_u64().unwrap();
        assert!(sum <= rss + MB, "{sum} {rss}");
    }
    let text = timeline(&[]).stdout;
    assert!(text.contains("resident outside malloc, at most ") && text.contains("by mmap "), "{text}");
    assert!(timeline(&["--table"]).stdout.contains("outside malloc"));
}
