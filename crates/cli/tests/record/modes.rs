//! Modes that record less.

use crate::lab::{Lab, Summary, run, twinheap};

#[test]
fn a_sample_is_an_estimate_of_all() {
    let lab = Lab::new();
    let program = lab.build("many.c", &[]);
    let program = program.to_str().unwrap();
    // A gigabyte in a million blocks: 15,259 samples on average, so that 95 % are no further off than 1.6 %. These are
    // three times as far, for one failure in a billion runs.
    let command = [program, "1000000", "1000", "later"];
    let (_, summary) = lab.record(&["--sample=64K"], &command);
    let error = summary.0["error_95"]["allocations"].as_u64().unwrap();
    assert!((14_000..18_000).contains(&error), "{error}");
    let calls = summary.by("made").allocations;
    assert!(calls.abs_diff(1_000_000) < 3 * error, "{calls}");
    let bytes = summary.number("allocated_bytes");
    assert!(bytes.abs_diff(1_000_000_000) < 3000 * error, "{bytes}");
    // Nobody takes them for counts, and what a sample can't tell is not there.
    assert!(summary.0["warnings"][0].as_str().unwrap().contains("one allocation in 65536 bytes"));
    assert_eq!(summary.0["estimated"], true);
    assert_eq!(summary.number("sample_interval"), 65536);
    assert!(summary.0["temporary"].is_null() && summary.0["stacks"]["temporary"].is_null());
    // Everything was freed: a free that was missed would be a leak.
    assert_eq!(summary.number("leaked_bytes"), 0);
    let file = lab.path("a.heaptrace");
    for verb in [&["tree", "--by=temporary"][..], &["histogram", "--realloc"]] {
        run(twinheap(verb).arg(&file)).check_error(2, &["is a sample"]);
    }
    let text = run(twinheap(&["summary"]).arg(&file)).stdout;
    assert!(text.contains("estimates from a sample") && text.contains(" ± "), "{text}");
    let (_, summary) = lab.record(&["--sample=64K"], &[program, "200000", "1000", "at-once"]);
    assert_eq!(summary.number("leaked_bytes"), 0);
}

#[test]
fn what_a_sample_says_of_a_program_is_what_all_of_it_says() {
    let lab = Lab::new();
    let program = lab.build("many.c", &[]);
    let command = [program.to_str().unwrap(), "300000", "3000", "mixed"];
    let (_, all) = lab.record(&[], &command);
    let (_, sample) = lab.record(&["--sample=16K"], &command);
    for field in ["allocations", "allocated_bytes", "peak_bytes"] {
        let error = sample.0["error_95"][field].as_u64().unwrap();
        let (truth, estimate) = (all.number(field), sample.number(field));
        // Where memory wavers, the peak of an estimate is high: it is where chance adds most.
        assert!(truth.abs_diff(estimate) < 4 * error, "{field}: {truth}, {estimate} ± {error}");
        assert!(error > 0 && error < truth / 2, "{field}: {truth} ± {error}");
    }
    // The converted file has the same numbers.
    let (file, out) = (lab.path("a.heaptrace"), lab.path("sample.pb.gz"));
    let ran = run(twinheap(&["convert"]).args([&file, &out]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(twinheap(&["summary", "--json"]).arg(&out));
    let converted: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(converted["sampling_period"], 16384, "{converted}");
    // Bytes of heaptrack's form are scaled, its calls can't be.
    let out = lab.path("sample.zst");
    let ran = run(twinheap(&["convert"]).args([&file, &out]));
    assert!(ran.stderr.contains("heaptrack knows no samples"), "{ran:?}");
    let converted = Summary::of(&out);
    assert_eq!(converted.number("peak_bytes"), sample.number("peak_bytes"));
}

#[test]
fn blocks_that_grow_are_followed() {
    let lab = Lab::new();
    let program = lab.build("grows.c", &[]);
    lab.record(&[], &[&program]);
    let ran = run(twinheap(&["histogram", "--realloc", "--json"]).arg(lab.path("a.heaptrace")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let sites = found["sites"].as_array().unwrap();
    let site = |function: &str| {
        let is_it = |site: &&serde_json::Value| site["frames"][0]["function"] == function;
        let site = sites.iter().find(is_it).unwrap_or_else(|| panic!("{function}: {found}"));
        ["chains", "reallocations", "longest_chain", "first_bytes", "last_bytes", "copied_bytes_at_most"]
            .map(|field| site[field].as_u64().unwrap())
    };
    // 16 + 32 + … + 4080.
    assert_eq!(site("grew"), [1, 255, 255, 16, 4096, 16 * 255 * 256 / 2]);
    assert_eq!(site("grew_once"), [10, 10, 1, 1000, 3000, 1000]);
    let text = run(twinheap(&["histogram", "--realloc"]).arg(lab.path("a.heaptrace"))).stdout;
    assert!(text.contains("grew") && text.contains("copied"), "{text}");
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
