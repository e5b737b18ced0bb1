//! Files of other heap profilers: what they say, and that nothing gets lost on the way back.
//!
//! The fixtures are recordings of small programs by the tools themselves; `fixtures/README.md` has the commands.

use twinheap_trace::{
    CostType, Detail, ExportFormat, Profile, ProfileError, ProfileFormat, ReadProfile, read_profile,
    sniff_profile, write_dhat, write_folded, write_massif, write_pprof, write_speedscope,
};

const ALLOCATIONS: CostType = CostType::Allocations;
const ALLOCATED: CostType = CostType::AllocatedBytes;
const LIVE_BLOCKS: CostType = CostType::LiveBlocks;
const LIVE: CostType = CostType::LiveBytes;
const PEAK_BLOCKS: CostType = CostType::PeakBlocks;
const PEAK: CostType = CostType::PeakBytes;

fn read(bytes: &[u8]) -> Result<ReadProfile, ProfileError> {
    read_profile(sniff_profile(bytes).expect("a known format"), bytes)
}

/// Reads a file without damage.
#[track_caller]
fn sound(bytes: &[u8]) -> Profile {
    let read = read(bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.damage, []);
    read.profile
}

/// A stack as text, leaf first: `function (file:line) < …`, or the module or address of a frame without a name.
fn stack(profile: &Profile, sample: usize) -> String {
    let text = |id| String::from_utf8_lossy(profile.strings.get(id)).into_owned();
    let frame = |id| {
        let frame = profile.frames.get(id);
        let name = match (frame.function.is_zero(), frame.module.is_zero()) {
            (false, _) => text(frame.function),
            (true, false) => format!("{:x} in {}", frame.address, text(frame.module)),
            (true, true) => format!("{:x}", frame.address),
        };
        let place = if frame.file.is_zero() {
            String::new()
        } else {
            format!(" ({}:{}:{})", text(frame.file), frame.line, frame.column)
        };
        format!("{name}{place}{}", if frame.is_inlined { " inlined" } else { "" })
    };
    let frames: Vec<String> = profile.stacks.frames(profile.samples.stacks()[sample]).map(frame).collect();
    frames.join(" < ")
}

/// Reads a fixture: its format, all totals, and its first stack.
#[track_caller]
fn check(bytes: &[u8], format: ProfileFormat, totals: &[(CostType, i64)], first: &str) -> Profile {
    assert_eq!(sniff_profile(bytes), Some(format));
    let profile = sound(bytes);
    assert_eq!(profile.meta.format, Some(format));
    let samples = &profile.samples;
    let found: Vec<_> = samples.costs().map(|cost| (cost, samples.total(cost).unwrap_or(-1))).collect();
    assert_eq!(found, totals);
    assert_eq!(stack(&profile, 0), first);
    profile
}

const VALGRIND_MASSIF: &[u8] = include_bytes!("fixtures/valgrind.massif");
const HEAPTRACK_MASSIF: &[u8] = include_bytes!("fixtures/heaptrack14.massif");
const VALGRIND_DHAT: &[u8] = include_bytes!("fixtures/valgrind.dhat");
const RUST_DHAT: &[u8] = include_bytes!("fixtures/rust.dhat.json");
const GPERFTOOLS: &[u8] = include_bytes!("fixtures/gperftools.heap");
const JEMALLOC_EXACT: &[u8] = include_bytes!("fixtures/jemalloc-exact.heap");
const JEMALLOC_SAMPLED: &[u8] = include_bytes!("fixtures/jemalloc-sampled.heap");
const GO: &[u8] = include_bytes!("fixtures/go.pb");

#[test]
fn massif_has_a_peak_and_a_series() {
    let profile = check(
        VALGRIND_MASSIF,
        ProfileFormat::Massif,
        &[(PEAK, 221_244)],
        "make (shop.c:7:0) < stock (shop.c:10:0) < main (shop.c:28:0)",
    );
    assert_eq!(profile.meta.command, b"./shop");
    assert_eq!(profile.snapshots.len(), 9);
    assert_eq!(profile.snapshots[3].heap_bytes, 121_555);
    assert_eq!(profile.snapshots[3].extra_bytes, 1781);
    let peak = profile.snapshots.iter().find(|snapshot| snapshot.detail == Detail::Peak).expect("a peak");
    assert_eq!((peak.time, peak.heap_bytes), (150_621.0, 221_244));
    for snapshot in profile.snapshots.iter().filter(|snapshot| snapshot.detail != Detail::Totals) {
        assert_eq!(snapshot.stacks.iter().map(|&(_, bytes)| bytes).sum::<u64>(), snapshot.heap_bytes);
    }
    let clock = profile.meta.clock.expect("a clock");
    assert_eq!((&clock.unit[..], clock.peak, clock.seconds(1.0)), (&b"i"[..], Some(150_621.0), None));
}

#[test]
fn massif_of_heaptrack_has_its_header_at_the_end() {
    let profile = check(HEAPTRACK_MASSIF, ProfileFormat::Massif, &[(LIVE, 58_725)], "");
    assert_eq!(profile.meta.description, b"heaptrack");
    assert_eq!(profile.snapshots.iter().map(|snapshot| snapshot.heap_bytes).max(), Some(292_604));
    assert_eq!(profile.meta.clock.and_then(|clock| clock.seconds(clock.end)), Some(0.051));
}

#[test]
fn dhat_counts_what_valgrind_counts() {
    let profile = check(
        VALGRIND_DHAT,
        ProfileFormat::Dhat,
        &[
            (ALLOCATIONS, 222),
            (ALLOCATED, 251_244),
            (LIVE_BLOCKS, 50),
            (LIVE, 58_725),
            (PEAK_BLOCKS, 221),
            (PEAK, 221_244),
            (CostType::OwnPeakBlocks, 221),
            (CostType::OwnPeakBytes, 221_244),
            (CostType::Lifetime, 3_198_809),
        ],
        "malloc < make (shop.c:7:0) < stock (shop.c:10:0) < main (shop.c:28:0)",
    );
    assert_eq!((profile.meta.pid, &profile.meta.command[..]), (Some(8207), &b"./shop"[..]));
}

#[test]
fn dhat_of_the_rust_crate_has_columns_and_seconds() {
    let profile = sound(RUST_DHAT);
    let samples = &profile.samples;
    assert_eq!((samples.total(ALLOCATED), samples.total(LIVE)), (Some(9000), Some(1000)));
    let first = "<alloc::alloc::Global as core::alloc::Allocator>::allocate (alloc/src/alloc.rs:429:14)";
    assert!(stack(&profile, 0).starts_with(first), "{}", stack(&profile, 0));
    assert_eq!(profile.meta.clock.and_then(|clock| clock.seconds(clock.end)), Some(89e-6));
}

#[test]
fn gperftools_counts_all_and_finds_modules() {
    let profile = check(
        GPERFTOOLS,
        ProfileFormat::Gperftools,
        &[(ALLOCATIONS, 222), (ALLOCATED, 251_244), (LIVE_BLOCKS, 50), (LIVE, 58_725)],
        "5566c5e87190 in /srv/shop/source/shop < 5566c5e871b5 in /srv/shop/source/shop < \
         5566c5e8729b in /srv/shop/source/shop < 7ff8c7445249 in /usr/lib/x86_64-linux-gnu/libc.so.6 < \
         7ff8c7445304 in /usr/lib/x86_64-linux-gnu/libc.so.6 < 5566c5e870b0 in /srv/shop/source/shop",
    );
    assert_eq!(profile.meta.sampling_period, Some(1));
    assert_eq!(profile.meta.mappings.len(), 11);
}

#[test]
fn sampled_gperftools_profiles_are_estimates() {
    let file = |source: &str| {
        format!(
            "heap profile:   3:   1536 [  3:   1536] @ {source}\n     1:      512 [  1:  512] @ 0x2001\n#\t0x2000\tmain.main+0x1\n"
        )
    };
    let totals = |source: &str| {
        let profile = sound(file(source).as_bytes());
        (profile.samples.total(LIVE_BLOCKS), profile.samples.total(LIVE), profile.samples.total(ALLOCATIONS))
    };
    assert_eq!(totals("heapprofile"), (Some(1), Some(512), Some(1)));
    assert_eq!(totals("growthz"), (Some(1), Some(512), None));
    assert_eq!(totals("heap_v2/524288"), (Some(1024), Some(524_544), None));
    assert_eq!(totals("heap/1048576"), (Some(1024), Some(524_544), None));
    let error = read(file("heap_v3/1").as_bytes()).expect_err("an unknown kind");
    assert!(error.to_string().contains("`heap_v3/1` is no kind of heap profile"), "{error}");
}

#[test]
fn jemalloc_of_every_allocation_is_exact() {
    let profile = sound(JEMALLOC_EXACT);
    let samples = &profile.samples;
    assert_eq!((samples.total(LIVE_BLOCKS), samples.total(LIVE)), (Some(51), Some(145_920)));
    assert_eq!(samples.column(ALLOCATIONS), None, "jemalloc was not told to count them");
    assert_eq!(profile.meta.sampling_period, Some(1));
}

#[test]
fn jemalloc_of_samples_is_an_estimate_stack_by_stack() {
    let profile = sound(JEMALLOC_SAMPLED);
    // The program keeps 10000 blocks of about 65 bytes, and made 15000 of them and 5000 of about 15000.
    let estimate = |blocks: f64, bytes: f64| {
        let scale = 1.0 / (1.0 - (-bytes / blocks / 65_536.0).exp());
        ((blocks * scale) as i64, (bytes * scale) as i64)
    };
    let samples = &profile.samples;
    let column = |cost| samples.column(cost).expect("a column").to_vec();
    let (live, all) = (estimate(13.0, 1213.0), estimate(1125.0, 18_636_621.0));
    let startup = estimate(1.0, 82_704.0);
    assert_eq!(column(LIVE_BLOCKS), [live.0, 0, startup.0]);
    assert_eq!(column(LIVE), [live.1, 0, startup.1]);
    assert_eq!(column(ALLOCATED)[1], all.1);
    assert_eq!(profile.meta.sampling_period, Some(65_536));
}

#[test]
fn pprof_of_go_is_what_go_says() {
    let profile = check(
        GO,
        ProfileFormat::Pprof,
        &[(ALLOCATIONS, 218), (ALLOCATED, 653_792), (LIVE_BLOCKS, 210), (LIVE, 647_672)],
        "runtime/pprof.writeHeapInternal (/usr/lib/go-1.19/src/runtime/pprof/pprof.go:565:0) < \
         runtime/pprof.writeHeap (/usr/lib/go-1.19/src/runtime/pprof/pprof.go:535:0) inlined < \
         runtime/pprof.WriteHeapProfile (/usr/lib/go-1.19/src/runtime/pprof/pprof.go:524:0) inlined < \
         main.main (/srv/shop/source/alloc.go:21:0) < runtime.main (/usr/lib/go-1.19/src/runtime/proc.go:250:0)",
    );
    let sizes: Vec<_> = (0..profile.samples.len()).map(|at| profile.samples.block_size(at)).collect();
    assert!(sizes.contains(&Some(32)) && sizes.contains(&Some(6144)), "{sizes:?}");
    assert_eq!(profile.meta.sampling_period, Some(1));
    assert!(profile.meta.time_ns.is_some());
}

#[test]
fn folded_stacks_have_a_weight_without_a_name() {
    let profile = check(
        b"main;shop::sell;malloc 40\nmain;a\\x3bb 2\nmain 1\n# comment\n",
        ProfileFormat::Folded,
        &[(CostType::Weight, 43)],
        "malloc < shop::sell < main",
    );
    assert_eq!(stack(&profile, 1), "a;b < main");
}

#[test]
fn folded_stacks_of_heaptrack_are_read() {
    let profile = sound(b"main (shop.c);stock (shop.c);make (shop.c); 200\nmain (shop.c); 1\n");
    assert_eq!(stack(&profile, 0), "make (shop.c) < stock (shop.c) < main (shop.c)");
}

/// Writes a profile, and reads what was written.
#[track_caller]
fn again(profile: &Profile, format: ExportFormat) -> (Vec<u8>, Profile) {
    let mut out = Vec::new();
    match format {
        ExportFormat::Massif => write_massif(profile, 0.0, &mut out).expect("memory"),
        ExportFormat::Pprof => write_pprof(profile, &mut out).expect("memory"),
        ExportFormat::Folded => write_folded(profile, CostType::Weight, &mut out).expect("memory"),
        ExportFormat::Dhat => write_dhat(profile, &mut out).expect("memory"),
        other => panic!("{other:?} is not read"),
    }
    let profile = sound(&out);
    (out, profile)
}

/// Reading and writing a file in its own format loses nothing, and what we wrote ourselves comes back to the byte.
#[track_caller]
fn check_round(bytes: &[u8], format: ExportFormat) {
    let first = sound(bytes);
    let (written, second) = again(&first, format);
    assert_eq!(second, first);
    assert_eq!(again(&second, format).0, written);
}

#[test]
fn a_file_comes_back_in_its_own_format() {
    check_round(GO, ExportFormat::Pprof);
    check_round(VALGRIND_DHAT, ExportFormat::Dhat);
    check_round(RUST_DHAT, ExportFormat::Dhat);
    check_round(VALGRIND_MASSIF, ExportFormat::Massif);
    check_round(b"main;a;b 3\nmain;a 4\nmain;c\\x3bd 5\n", ExportFormat::Folded);
    let seconds = b"desc: x\ncmd: y\ntime_unit: ms\n#---\nsnapshot=0\ntime=0.5\nmem_heap_B=8\n\
        mem_heap_extra_B=1\nmem_stacks_B=2\nheap_tree=peak\nn2: 8 (heap allocation functions) \
        malloc/new/new[], --alloc-fns, etc.\n n1: 6 0xA1: a (in /lib/x)\n  n0: 5 0xB1: b (b.c:7)\n n0: 2 0xC1: ???\n";
    check_round(seconds, ExportFormat::Massif);
}

#[test]
fn every_profile_goes_through_pprof_with_all_its_costs() {
    for bytes in [VALGRIND_MASSIF, VALGRIND_DHAT, RUST_DHAT, GPERFTOOLS, JEMALLOC_SAMPLED] {
        let profile = sound(bytes);
        let (_, back) = again(&profile, ExportFormat::Pprof);
        for cost in CostType::ALL {
            assert_eq!(back.samples.column(cost), profile.samples.column(cost), "{cost:?}");
        }
        for sample in 0..profile.samples.len() {
            assert_eq!(stack(&back, sample), stack(&profile, sample));
        }
        assert_eq!(back.meta.command, profile.meta.command);
    }
}

#[test]
fn massif_puts_together_what_is_below_the_threshold() {
    let profile = sound(VALGRIND_DHAT);
    let mut out = Vec::new();
    write_massif(&profile, 1.0, &mut out).expect("memory");
    let text = String::from_utf8_lossy(&out);
    let tree = "heap_tree=peak\nn1: 221244 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.\n \
                n2: 221244 0x48417B4: malloc (in /usr/libexec/valgrind/vgpreload_dhat-amd64-linux.so)\n  \
                n1: 219900 0x109190: make (shop.c:7)\n   n1: 219900 0x1091B5: stock (shop.c:10)\n    \
                n0: 219900 0x10929B: main (shop.c:28)\n  \
                n0: 1344 in 1 place, below massif's threshold (1.00%)\n";
    assert!(text.ends_with(tree), "{text}");
}

#[test]
fn folded_stacks_have_what_is_inlined_behind_what_it_is_inlined_into() {
    let mut out = Vec::new();
    write_folded(&sound(GO), LIVE, &mut out).expect("memory");
    let text = String::from_utf8_lossy(&out);
    // Go's compiler put `leak` into `main`.
    assert!(text.contains("runtime.main;main.main;main.leak 646144\n"), "{text}");
    let sum: i64 = text.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum();
    assert_eq!(sum, 647_672);
}

#[test]
fn speedscope_has_a_profile_for_each_cost() {
    let mut out = Vec::new();
    write_speedscope(&sound(VALGRIND_DHAT), "shop", &mut out).expect("memory");
    let file: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let frames = file["shared"]["frames"].as_array().expect("frames");
    assert!(frames.iter().all(|frame| frame["name"].is_string()));
    let profiles = file["profiles"].as_array().expect("profiles");
    let sums: Vec<_> = profiles
        .iter()
        .map(|profile| {
            assert_eq!(profile["type"], "sampled");
            let samples = profile["samples"].as_array().expect("samples");
            let weights = profile["weights"].as_array().expect("weights");
            assert_eq!(samples.len(), weights.len());
            for sample in samples {
                let frames_of = sample.as_array().expect("a stack");
                assert!(
                    frames_of.iter().all(|at| at.as_u64().is_some_and(|at| (at as usize) < frames.len()))
                );
                let root = frames_of.first().and_then(serde_json::Value::as_u64).expect("a root");
                let name = frames[root as usize]["name"].as_str().unwrap_or_default();
                assert!(name == "main" || name == "count", "the root comes first: {name}");
            }
            let sum: u64 = weights.iter().filter_map(serde_json::Value::as_u64).sum();
            assert_eq!(profile["endValue"], sum);
            (profile["name"].as_str().unwrap_or_default(), profile["unit"].as_str().unwrap_or_default(), sum)
        })
        .collect();
    let expected = [
        ("peak", "bytes", 221_244),
        ("leaked", "bytes", 58_725),
        ("allocations", "none", 222),
        ("allocated bytes", "bytes", 251_244),
    ];
    assert_eq!(sums, expected);
}

#[test]
fn what_a_format_can_not_hold_is_said() {
    let losses = |bytes: &[u8], format: ExportFormat| format.losses(&sound(bytes), PEAK).join("; ");
    assert_eq!(losses(GO, ExportFormat::Pprof), "");
    assert_eq!(losses(VALGRIND_MASSIF, ExportFormat::Pprof), "pprof keeps no series over time");
    assert!(
        losses(VALGRIND_DHAT, ExportFormat::Massif).contains("massif keeps no allocations, allocated bytes")
    );
    assert!(losses(VALGRIND_DHAT, ExportFormat::Folded).contains("one cost, which is bytes at the peak"));
    assert_eq!(losses(VALGRIND_DHAT, ExportFormat::Dhat), "");
    assert!(losses(GO, ExportFormat::Dhat).contains("keeps no leaked blocks, leaked bytes"));
    let error = write_dhat(&sound(VALGRIND_MASSIF), &mut Vec::new()).expect_err("no allocations");
    assert_eq!(error.to_string(), "DHAT needs numbers of allocations, and this profile has none");
}

/// Reads a file whose damage begins with these words at this byte, and which keeps these samples.
#[track_caller]
fn check_damage(text: &str, offset: usize, what: &str, samples: usize) {
    let format = sniff_profile(text.as_bytes()).unwrap_or(ProfileFormat::Folded);
    let read = read_profile(format, text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let [damage] = &read.damage[..] else { panic!("{:?}", read.damage) };
    assert!(damage.what.contains(what), "{damage}");
    assert_eq!(damage.offset, offset as u64, "{damage}");
    assert_eq!(read.profile.samples.len(), samples);
}

#[test]
fn damage_has_a_place_and_leaves_the_rest() {
    let check = |good: &str, bad: &str, what, samples| {
        check_damage(&format!("{good}{bad}"), good.len(), what, samples);
    };
    let head = "desc: x\ncmd: y\ntime_unit: B\nsnapshot=0\ntime=1\nmem_heap_B=8\nheap_tree=peak\n";
    check(head, "n1: 8 all\n", "cut short", 1);
    check(&format!("{head}n1: 8 all\n"), "  n0: 8 0x1: f (a.c:1)\n n0: 8 0x1: f (a.c:1)\n", "no parent", 1);
    check(&format!("{head}n1: 8 all\n"), " n0: 9 0x1: f (a.c:1)\n", "fewer bytes", 1);
    check(&format!("{head}n0: 8 all\n"), " n0: 8 0x1: f (a.c:1)\n", "more children", 1);
    check(head, "nonsense\n", "none of massif's", 0);
    check(head, "mem_heap_B=-8\n", "no number", 0);
    check("desc: x\n", "time=1\nsnapshot=0\n", "no snapshot", 0);

    let heap = "heap profile: 1: 8 [1: 8] @ heapprofile\n1: 8 [1: 8] @ 0x10\n";
    check(heap, "1: 8 [1: 8] 0x10\n", "no stack", 1);
    check(heap, "1: 8 [1: 8] @ 0x10 main\n", "no hexadecimal number", 1);
    let jemalloc = "heap_v2/1\n@ 0x10\n t*: 1: 8 [0: 0]\n";
    check(jemalloc, "@ 0x20\n", "no costs", 1);
    check(jemalloc, " t*: 1\n", "no costs of threads", 1);
    check(jemalloc, "nonsense\n", "none of jemalloc's", 1);
    check("a;b 1\n", "a;b\n", "number", 1);

    let dhat = |pps: &str| {
        format!(
            "{{\"dhatFileVersion\":2,\"tu\":\"i\",\"te\":1,\"ftbl\":[\"[root]\",\"f\"],\"pps\":\n[{pps}]}}"
        )
    };
    let good = "{\"tb\":8,\"tbk\":1,\"fs\":[1]},";
    let at = |pps: &str| dhat(pps).len() - 2 - (pps.len() - good.len());
    for (bad, what, samples) in [
        ("{\"tb\":8,\"fs\":[1]}", "missing field `tbk`", 1),
        ("{\"tb\":8,\"tbk\":1,\"fs\":[7]}", "not in the table", 2),
    ] {
        let pps = format!("{good}{bad}");
        check_damage(&dhat(&pps), at(&pps), what, samples);
    }
}

/// A file that can't be read is refused with these words.
#[track_caller]
fn check_refused(format: ProfileFormat, bytes: &[u8], what: &str) {
    let error = read_profile(format, bytes).expect_err("nothing to read");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn what_can_not_be_read_is_refused_with_a_sentence() {
    check_refused(ProfileFormat::Massif, b"desc: x\n", "damaged at byte 8: it has no snapshot");
    check_refused(ProfileFormat::Dhat, b"{\"dhatFileVersion\":2,", "damaged at byte 20: EOF");
    check_refused(
        ProfileFormat::Dhat,
        b"{\"dhatFileVersion\":1,\"tu\":\"i\",\"te\":1,\"ftbl\":[],\"pps\":[]}",
        "it has version 1, and version 2 can be read",
    );
    check_refused(
        ProfileFormat::Dhat,
        b"{\"dhatFileVersion\":2,\"mode\":\"copy\",\"tu\":\"i\",\"te\":1,\"ftbl\":[],\"pps\":[]}",
        "no heap profile: its mode is `copy`",
    );
    check_refused(ProfileFormat::Jemalloc, b"heap_v2/x\n", "no sampling period");
    check_refused(ProfileFormat::Gperftools, b"heap profile: x\n", "no totals");
    check_refused(ProfileFormat::Pprof, b"\x0a\x04\x08\x01", "damaged at byte 2: a field is longer");
    // A profile of processor time: sample type `cpu`, in nanoseconds.
    let cpu = b"\x0a\x04\x08\x01\x10\x02\x32\x00\x32\x03cpu\x32\x0bnanoseconds";
    check_refused(ProfileFormat::Pprof, cpu, "no heap profile: it counts cpu");
}

#[test]
fn one_location_of_many_functions_does_not_fill_the_memory() {
    // 16000 lines in a location, and samples that name it again and again: a few bytes for 16384 frames each.
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len >= 128 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(bytes);
        out
    };
    let mut file = field(1, &[8, 1, 16, 2]);
    for id in 1..=4_u8 {
        let mut location = vec![8, id, 24, id];
        for _ in 0..16_000 {
            location.extend(field(4, &[16, id]));
        }
        file.extend(field(4, &location));
    }
    for sample in 0..200_u32 {
        let ids: Vec<u8> = (0..4).map(|at| (sample >> (2 * at) & 3) as u8 + 1).collect();
        file.extend(field(2, &[field(1, &ids), vec![16, 1]].concat()));
    }
    for text in ["", "inuse_space", "bytes"] {
        file.extend(field(6, text.as_bytes()));
    }
    let error = read_profile(ProfileFormat::Pprof, &file).expect_err("more frames than bytes");
    assert!(matches!(error, ProfileError::TooLarge { .. }), "{error}");
}
